"""Keys that suit engines which spread tables over machines: led by the device, not by time."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from cloud.store.lanes import lane_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Rows of one device are given their lane at once; devices are read in pieces.
_CHUNK = 1000


def upgrade() -> None:
    """Change the keys, and give each row the lane of its device."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()  # it cannot change the key of a table
    else:
        _change()
    _fill_lanes()
    _create_indexes()


def _device_key() -> sa.Column[str]:
    return sa.Column("device_id", sa.String(36), sa.ForeignKey("devices.device_id"), primary_key=True)


def _number_key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _digest(name: str, *, null: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(32), nullable=null)


def _lane() -> sa.Column[int]:
    return sa.Column("lane", sa.SmallInteger, nullable=False, server_default=sa.text("0"))


def _rebuild() -> None:
    _rebuild_chains()
    _rebuild_devices()
    _rebuild_asides()


def _rebuild_chains() -> None:
    lane = sa.Column("lane", sa.SmallInteger, nullable=False)
    _replace("attestations", *_attestation_columns(), lane, add={"lane": "0"})
    _replace(
        "receipts",
        _device_key(),
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("signed_us", sa.BigInteger, nullable=False),
        _digest("certificate_sha256", null=True),
    )
    _replace(
        "staged",
        _device_key(),
        _number_key("chain_epoch"),
        _number_key("seq"),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        _digest("envelope_sha256"),
        _digest("leaf_hash"),
        _digest("certificate_sha256"),
        sa.Column("excusing", sa.Boolean, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
    )


def _rebuild_devices() -> None:
    op.drop_index("ix_issued_certificates_revoked")
    _replace(
        "issued_certificates",
        _device_key(),
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("issued_us", sa.BigInteger, nullable=False),
        sa.Column("not_after_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("reason", sa.Integer),
        _digest("certificate_sha256", null=True),
    )
    _replace(
        "join_tokens",
        sa.Column("token_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("used_us", sa.BigInteger),
        sa.Column("device_id", sa.String(36)),
        sa.Column("account_id", sa.String(64), nullable=False, server_default=sa.text("''")),
        sa.Column("predecessor_id", sa.String(36)),
        sa.Column("waive_approval", sa.Boolean, nullable=False, server_default=sa.text("FALSE")),
    )


def _rebuild_asides() -> None:
    op.drop_index("ix_alarms_alarm")
    _replace(
        "alarms",
        _device_key(),
        sa.Column("alarm_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("raised_us", "chain_epoch", "seq")),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("acknowledged_us", sa.BigInteger),
        sa.Column("lane", sa.SmallInteger, nullable=False),
        add={"lane": "0"},
    )
    op.drop_index("ix_side_records_record")
    _replace(
        "side_records",
        _device_key(),
        sa.Column("sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
        _number_key("chain_epoch"),
        _number_key("seq"),
        sa.Column("record_id", sa.String(36), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("lane", sa.SmallInteger, nullable=False),
        add={"lane": "0"},
    )


def _attestation_columns() -> list[sa.Column[Any]]:
    return [
        _device_key(),
        _number_key("chain_epoch"),
        _number_key("seq"),
        sa.Column("attestation_id", sa.String(36), nullable=False, unique=True),
        sa.Column("log_index", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        _digest("envelope_sha256"),
        _digest("certificate_sha256"),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("wall_us", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("cited_tree_size", sa.BigInteger),
    ]


def _replace(name: str, *columns: sa.Column[Any], add: dict[str, str] | None = None) -> None:
    """Put a table with these columns in place of the one of this name. No other table refers to it."""
    add = add or {}
    op.rename_table(name, f"{name}_old")
    op.create_table(name, *columns)
    kept = ", ".join(column.name for column in columns if column.name not in add)
    into, values = ", ".join([kept, *add]), ", ".join([kept, *add.values()])
    op.execute(f"INSERT INTO {name} ({into}) SELECT {values} FROM {name}_old")  # noqa: S608 (names only)
    op.drop_table(f"{name}_old")


def _change() -> None:
    for name in ("device", "outcome", "cited"):
        op.drop_index(f"ix_attestations_{name}")
    op.drop_index("ix_issued_certificates_revoked")
    op.drop_index("ix_alarms_alarm")
    op.drop_index("ix_side_records_record")
    op.drop_constraint("attestations_pkey", "attestations", type_="primary")
    op.drop_constraint("uq_attestations_position", "attestations", type_="unique")
    op.create_primary_key("attestations_pkey", "attestations", ["device_id", "chain_epoch", "seq"])
    op.drop_constraint("receipts_pkey", "receipts", type_="primary")
    op.create_primary_key("receipts_pkey", "receipts", ["device_id", "sha256"])
    for table, column in (
        ("attestations", "log_index"),
        ("attestations", "certificate_sha256"),
        ("staged", "certificate_sha256"),
        ("issued_certificates", "certificate_sha256"),
        ("join_tokens", "device_id"),
    ):
        op.drop_constraint(f"{table}_{column}_fkey", table, type_="foreignkey")
    for table in ("attestations", "alarms", "side_records"):
        op.add_column(table, _lane())
        op.alter_column(table, "lane", server_default=None)


def _fill_lanes() -> None:
    connection = op.get_bind()
    devices = sa.table("devices", sa.column("device_id"))
    after = ""
    while True:
        query = sa.select(devices.c.device_id).where(devices.c.device_id > after)
        ids = list(connection.execute(query.order_by(devices.c.device_id).limit(_CHUNK)).scalars())
        if not ids:
            return
        changes = [{"id": one, "to": lane_of(one)} for one in ids if lane_of(one)]
        for name in ("attestations", "alarms", "side_records"):
            table = sa.table(name, sa.column("device_id"), sa.column("lane"))
            change = sa.update(table).where(table.c.device_id == sa.bindparam("id"))
            if changes:
                connection.execute(change.values(lane=sa.bindparam("to")), changes)
        after = ids[-1]


def _create_indexes() -> None:
    _create_index("ix_attestations_outcome", "attestations", "lane outcome log_index", "outcome > 0")
    _create_index(
        "ix_attestations_cited",
        "attestations",
        "lane cited_tree_size log_index",
        "cited_tree_size IS NOT NULL",
    )
    _create_index(
        "ix_issued_certificates_revoked", "issued_certificates", "revoked_us", "revoked_us IS NOT NULL"
    )
    _create_index("ix_devices_predecessor", "devices", "predecessor_id", "predecessor_id IS NOT NULL")
    op.create_index("ix_receipts_signed", "receipts", ["device_id", "signed_us"])
    op.create_index("ix_alarms_alarm", "alarms", ["lane", "alarm_id"])
    _create_index("ix_alarms_open", "alarms", "lane alarm_id", "acknowledged_us IS NULL")
    op.create_index("ix_side_records_record", "side_records", ["lane", "record_id"])


def _create_index(name: str, table: str, columns: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns.split(), sqlite_where=where, postgresql_where=where)
