"""The log as tiles, its head as a row that fences writers, and each leaf's place in its chain."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from cloud.errors import SetupError
from verifield.merkle import HASH_BYTES
from verifield.tiles import RightEdge, Tile

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Leaves read at once, and tiles written at once: memory stays small however large the log is.
_CHUNK = 10_000


def upgrade() -> None:
    """Add what is new, and fill it from the leaves and the newest checkpoint."""
    for name, kind in (("device_id", sa.String(36)), ("chain_epoch", sa.BigInteger), ("seq", sa.BigInteger)):
        op.add_column("log_leaves", sa.Column(name, kind))
    op.create_table(
        "log_head",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("tree_size", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("tile_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
    )
    connection = op.get_bind()
    _fill_places(connection)
    edge = RightEdge()
    for leaves in _leaves(connection):
        _add_tiles(connection, edge.extend(leaves))
    _add_head(connection, edge.size)


def _fill_places(connection: sa.Connection) -> None:
    connection.execute(
        sa.text(
            "UPDATE log_leaves SET device_id = a.device_id, chain_epoch = a.chain_epoch, seq = a.seq"
            " FROM attestations AS a WHERE a.log_index = log_leaves.log_index"
        )
    )


def _leaves(connection: sa.Connection) -> Iterator[list[bytes]]:
    table = sa.table("log_leaves", sa.column("log_index"), sa.column("leaf_hash", sa.LargeBinary))
    size = 0
    while True:
        query = sa.select(table.c.log_index, table.c.leaf_hash).where(table.c.log_index >= size)
        rows = connection.execute(query.order_by(table.c.log_index).limit(_CHUNK)).all()
        if not rows:
            return
        for number, row in enumerate(rows, size):
            if row.log_index != number or len(row.leaf_hash) != HASH_BYTES:
                raise _inconsistent(f"leaf {number} is missing or damaged")
        yield [bytes(row.leaf_hash) for row in rows]
        size += len(rows)


def _add_tiles(connection: sa.Connection, tiles: list[Tile]) -> None:
    table = sa.table(
        "log_tiles", *map(sa.column, ("level", "tile_index")), *map(_bytes_column, ("root", "hashes"))
    )
    if tiles:
        rows = [
            {"level": tile.level, "tile_index": tile.index, "root": tile.root, "hashes": tile.hashes}
            for tile in tiles
        ]
        connection.execute(sa.insert(table), rows)


def _bytes_column(name: str) -> sa.ColumnClause[bytes]:
    return sa.column(name, sa.LargeBinary)


def _add_head(connection: sa.Connection, size: int) -> None:
    """The newest checkpoint becomes the head. Whether it fits the leaves is checked when the log opens."""
    notes = sa.table("checkpoints", sa.column("tree_size"), sa.column("note"))
    query = sa.select(notes.c.note).order_by(notes.c.tree_size.desc()).limit(1)
    note = connection.execute(query).scalar_one_or_none()
    if note is None:
        if size:
            raise _inconsistent("it has leaves but no checkpoint")
        return  # the first start signs the empty tree
    head = sa.table("log_head", *map(sa.column, ("id", "tree_size", "note")))
    connection.execute(sa.insert(head).values(id=1, tree_size=size, note=note))


def _inconsistent(why: str) -> SetupError:
    return SetupError(
        "LOG_INCONSISTENT",
        f"The log does not agree with what it has signed: {why}.",
        hint="Do not go on with this database: restore it from a backup, and find out who changed it.",
    )
