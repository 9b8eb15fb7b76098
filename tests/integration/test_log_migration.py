"""A log of schema 0002 becomes tiles, head and places, on both engines, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from cloud.errors import SetupError
from cloud.store import database
from cloud.store import log as rows
from tests.support.logs import SIGNER, leaves, many, open_log, open_store
from verifield.merkle import MerkleTree
from verifield.note import Checkpoint, sign_checkpoint
from verifield.tiles import TILE_WIDTH, split_hashes

DIGEST = bytes(range(32))


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def write_0002(url: str, size: int, *, checkpoints: bool = True) -> MerkleTree:
    """A log of ``size`` leaves, each of a record of one device, and a checkpoint after every hundred."""
    tree = MerkleTree()
    notes = [(0, sign_checkpoint(Checkpoint(SIGNER.origin, 0, tree.root()), key=SIGNER.key))]
    for number, leaf in enumerate(leaves(*many(size)), 1):
        tree.append(leaf)
        if number % 100 == 0 or number == size:
            note = sign_checkpoint(Checkpoint(SIGNER.origin, number, tree.root()), key=SIGNER.key)
            notes.append((number, note))
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0002")
        connection.execute(
            text(
                "INSERT INTO devices (device_id, site_id, key_protection, attestation_key_sha256,"
                " enrolled_us, chain_epoch, seq, head_sha256)"
                " VALUES ('device-1', 's', 1, :d, 1, 3, :size, :d)"
            ),
            {"d": DIGEST, "size": size},
        )
        connection.execute(text("INSERT INTO certificates (sha256, der) VALUES (:d, :d)"), {"d": DIGEST})
        for index in range(size):
            values = {"index": index, "leaf": tree.nodes(0, index, 1)[0], "d": DIGEST, "id": f"id-{index}"}
            connection.execute(
                text("INSERT INTO log_leaves (log_index, leaf_hash) VALUES (:index, :leaf)"), values
            )
            connection.execute(
                text(
                    "INSERT INTO attestations (log_index, attestation_id, device_id, chain_epoch, seq,"
                    " envelope, envelope_sha256, certificate_sha256, site_id, kind, outcome, reasons,"
                    " wall_us, received_us)"
                    " VALUES (:index, :id, 'device-1', 3, :index + 1, :d, :d, :d, 's', 1, 1, '[]', 1, 1)"
                ),
                values,
            )
        for number, note in notes if checkpoints else ():
            connection.execute(
                text(
                    "INSERT INTO checkpoints (tree_size, note, signed_us, note_sha256)"
                    " VALUES (:size, :note, 1, :d)"
                ),
                {"size": number, "note": note, "d": DIGEST},
            )
    engine.dispose()
    return tree


def read_in_pieces(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    load = ScriptDirectory._load_revisions

    def with_chunk(scripts: ScriptDirectory) -> Iterator[Script]:
        for script in load(scripts):
            if script.revision == "0003":
                script.module._CHUNK = chunk
            yield script

    monkeypatch.setattr(ScriptDirectory, "_load_revisions", with_chunk)


@pytest.mark.parametrize(("size", "chunk"), [(0, 10), (1, 10), (256, 100), (700, 256), (700, 10_000)])
def test_an_old_log_goes_on(
    empty_database_url: str, size: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_0002(empty_database_url, size)
    read_in_pieces(monkeypatch, chunk)
    with open_log(empty_database_url) as log:
        with log.store.reading() as connection:
            found = rows.list_leaves(connection, 0)
            tiles = [rows.get_tile(connection, 0, index) for index in range(size // TILE_WIDTH)]
            roots = rows.tile_roots(connection, 0, 0, 9)
            head = rows.get_head(connection)
        assert [row.place for row in found] == [("device-1", 3, index + 1) for index in range(size)]
        for index, hashes in enumerate(tiles):
            assert hashes is not None
            assert split_hashes(hashes) == tree.nodes(0, TILE_WIDTH * index, TILE_WIDTH)
        assert roots == (tree.nodes(8, 0, size // TILE_WIDTH) if size >= TILE_WIDTH else [])
        assert head is not None
        assert (head.tree_size, head.note) == (size, log.sequencer.published.note)
        log.run(log.append("device-1", *many(300, "new")))
        for leaf in leaves(*many(300, "new")):
            tree.append(leaf)
        for index in {0, size - 1, size, size + 299} - {-1}:
            assert log.sequencer.inclusion_proof(index)[1] == tree.inclusion_proof(index, size + 300)
        log.check()


def test_a_log_with_a_hole_is_not_brought_forward(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    write_0002(url, 30)
    engine = create_engine(url)
    for change in (
        "UPDATE log_leaves SET leaf_hash = x'00' WHERE log_index = 29",
        "DELETE FROM log_leaves WHERE log_index = 7",
        "DELETE FROM checkpoints",
    ):
        with engine.begin() as connection:
            connection.execute(text(change))
        with pytest.raises(SetupError) as caught:
            open_store(url)
        assert caught.value.code == "LOG_INCONSISTENT"
        with closing(engine.raw_connection()) as raw:
            [version] = raw.execute("SELECT version_num FROM alembic_version").fetchone()
        assert version == "0002", "nothing was changed"
        if change.startswith("DELETE FROM log_leaves"):
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM attestations"))
                connection.execute(text("DELETE FROM log_leaves WHERE log_index >= 7"))
    engine.dispose()


def test_an_old_log_that_does_not_fit_its_checkpoint_is_not_opened(empty_database_url: str) -> None:
    write_0002(empty_database_url, 300)
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE log_leaves SET leaf_hash = :hash WHERE log_index = 3"), {"hash": DIGEST}
        )
    engine.dispose()
    with pytest.raises(SetupError) as caught, open_log(empty_database_url):
        pass
    assert caught.value.code == "LOG_INCONSISTENT"
