"""A store of every released schema is brought forward, whole or not at all; a newer one is left alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StorageError
from edge.model import Position
from edge.outbox.layout import DATA_KEY_SUFFIX
from edge.outbox.records import RecordState
from edge.outbox.schema import COLUMNS, STEPS
from edge.outbox.store import Outbox
from tests.support.appliance import Appliance, MemorySigner, open_outbox
from tests.support.outbox import ALL, raw
from verifield.chain import ChainHead

RELEASED = Path(__file__).parents[1] / "vectors/outbox"


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A store as version 0.1.0 left it."""
    path = tmp_path / "outbox" / "outbox.db"
    path.parent.mkdir()
    shutil.copyfile(RELEASED / "m001.sqlite", path)
    key = path.with_name(path.name + DATA_KEY_SUFFIX)
    shutil.copyfile(RELEASED / "m001.sqlite.key", key)
    key.chmod(0o600)
    return path


@pytest.fixture
def expected() -> Any:
    return json.loads((RELEASED / "m001.json").read_text())


def dump(path: Path) -> list[str]:
    with closing(raw(path)) as connection:
        return list(connection.iterdump())


def columns(path: Path) -> dict[str, str]:
    with closing(raw(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: " ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
            for table in tables
            if not table.startswith(("_", "sqlite_"))
        }


@pytest.mark.req("E056")
def test_a_released_store_is_brought_forward_with_all_that_it_holds(released: Path, expected: Any) -> None:
    old = {record["seq"]: record for record in expected["records"]}
    with open_outbox(released, device_id=expected["device_id"]) as outbox:
        records = outbox.pending(after=None, **ALL)
        assert [record.seq for record in records] == [2, 3, 4, 5, 6, 7]  # the first was purged
        for record in records:
            assert record.sha256.hex() == old[record.seq]["sha256"]
            assert outbox.get(record.attestation_id) == record
            assert len(outbox.private(record.attestation_id)) == old[record.seq]["private_bytes"]
        assert [record.state for record in records] == [
            *[RecordState.CONFIRMED] * 2,
            RecordState.DELIVERED,
            RecordState.PENDING,  # was refused, and is to be refused once more by a cloud that keeps it
            *[RecordState.PENDING] * 2,
        ]
        assert outbox.head() == ChainHead(1, 7, bytes.fromhex(old[7]["sha256"]))
        assert outbox.confirmed() == Position(1, 3)
        assert outbox.digest_at(Position(1, 3)) == bytes.fromhex(old[3]["sha256"])
        cited = outbox.cited()
        assert cited.receipt_sha256.hex() == expected["receipt_sha256"]
        assert cited.server_time is not None
        assert cited.server_time.isoformat() == expected["server_time"]
        assert (cited.arrival, cited.last_clock) == (None, None)
        seen = outbox.witnessed()
        assert seen is not None
        assert seen.tree_size == expected["tree_size"]
        assert outbox.holes(after=outbox.confirmed()) == []
    device = Appliance(released, MemorySigner(), device_id=expected["device_id"])
    assert device.verify_person().seq == 8
    assert len((released.with_name(released.name + DATA_KEY_SUFFIX)).read_bytes()) > 32  # wrapped now
    device.outbox.close()


@pytest.mark.req("E056")
def test_an_old_store_that_cannot_be_brought_forward_stays_as_it_was(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def m998_breaks(_db: object) -> None:
        raise RuntimeError("half-way")

    before = dump(released)
    with monkeypatch.context() as patch:
        patch.setattr("edge.outbox.schema.STEPS", (*STEPS, m998_breaks))
        with pytest.raises(RuntimeError):
            open_outbox(released)
    assert dump(released) == before
    open_outbox(released).close()


@pytest.mark.req("E056")
def test_a_newer_schema_is_refused_and_left_alone(released: Path) -> None:
    open_outbox(released).close()
    with closing(raw(released)) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('outbox', 'm999_later', '')"
        )
    before = dump(released)
    with pytest.raises(StorageError) as error:
        open_outbox(released)
    assert error.value.code == "OUTBOX_NEWER"
    assert dump(released) == before


def test_migrations_leave_nothing_when_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def m998_breaks(_db: object) -> None:
        raise RuntimeError("half-way")

    path = tmp_path / "outbox.db"
    with monkeypatch.context() as patch:
        patch.setattr("edge.outbox.schema.STEPS", (*STEPS, m998_breaks))
        with pytest.raises(RuntimeError):
            open_outbox(path)
    with closing(raw(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    open_outbox(path).close()


def test_old_and_new_stores_have_the_same_tables(released: Path, tmp_path: Path) -> None:
    open_outbox(released).close()
    open_outbox(tmp_path / "new.db").close()
    assert columns(released) == columns(tmp_path / "new.db") == COLUMNS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    with open_outbox(tmp_path / "outbox.db"):
        pass
    return tmp_path / "outbox.db"


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE media",
        "ALTER TABLE records RENAME COLUMN envelope TO envelppe",
        "CREATE TABLE chain (id INTEGER)",
        "DELETE FROM _sqlite_migrations WHERE name LIKE 'm002%'",
        "DROP TABLE _sqlite_migrations",
    ],
)
def test_damaged_tables_are_no_bug_of_ours(store: Path, damage: str) -> None:
    with closing(raw(store)) as connection:
        connection.execute(damage)
    with pytest.raises(StorageError) as error:
        open_outbox(store)
    assert error.value.code == "OUTBOX_CORRUPT"
    assert "outbox recover" in error.value.hint


def test_a_receipt_that_was_damaged_does_not_stop_the_migration(released: Path) -> None:
    with closing(raw(released)) as connection:
        connection.execute("UPDATE receipts SET envelope = x'ff'")
    with open_outbox(released) as outbox:
        assert isinstance(outbox, Outbox)
        assert outbox.witnessed() is None
        assert outbox.cited().receipt_sha256 == b""
        assert outbox.confirmed() == Position(1, 3)


def test_sqlite_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 37)  # RETURNING and UPDATE FROM
