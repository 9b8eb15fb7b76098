"""The whole log is checked against itself: each row that was changed, removed or added is told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.log import verify
from cloud.log.sequencer import LogSigner
from cloud.log.verify import FaultKind, LogReport, verify_log
from cloud.store import log as rows
from cloud.store.database import Store
from tests.support.cloud import next_envelopes
from tests.support.databases import migrated
from tests.support.intake import Desk, open_desk
from tests.support.logs import adding, leaves, open_store
from verifield.merkle import MerkleTree
from verifield.note import Checkpoint, sign_checkpoint

RECORDS = 300
LEAVES = RECORDS + 1


def fill(desk: Desk) -> LogSigner:
    """Two devices with their records, and one leaf of the service's own; return the log's key."""
    devices = [desk.enroll() for _ in range(2)]
    for _ in range(3):
        for device in devices:
            desk.take(device, next_envelopes(device, RECORDS // 6))
    desk.loop.run_until_complete(desk.sequencer.transact(adding("own"), key="own"))
    return LogSigner(desk.authority.log_origin, desk.authority.log_key)


@dataclass(frozen=True)
class Filled:
    content: bytes
    signer: LogSigner


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("filled")
    with open_desk(folder) as desk:
        signer = fill(desk)
    return Filled((folder / "test.db").read_bytes(), signer)


@contextmanager
def opened(filled: Filled, folder: Path) -> Iterator[Store]:
    path = folder / "copy.db"
    path.write_bytes(filled.content)
    store = open_store(f"sqlite:///{path}")
    try:
        yield store
    finally:
        store.close()


def change(store: Store, *statements: str, **values: object) -> None:
    with store.writing() as connection:
        for statement in statements:
            assert connection.execute(text(statement), values).rowcount > 0


def kinds(report: LogReport) -> set[tuple[FaultKind, int]]:
    return {(fault.kind, fault.index) for fault in report.faults}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_sound_log_is_sound(kind: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with migrated(kind, tmp_path) as url, open_desk(tmp_path, database=url) as desk:
        signer = fill(desk)
        report = verify_log(desk.store, signer, lambda done, of: told.append((done, of)))
    assert report == LogReport(tree_size=LEAVES, records=RECORDS, others=1, tiles=1, checkpoints=8)
    assert report.sound
    assert told == [(LEAVES, LEAVES)]


def test_an_empty_log_is_sound(tmp_path: Path, filled: Filled) -> None:
    with migrated("sqlite", tmp_path) as url:
        store = open_store(url)
        assert verify_log(store, filled.signer) == LogReport()
        store.close()
        with open_desk(tmp_path, database=url) as desk:
            signer = LogSigner(desk.authority.log_origin, desk.authority.log_key)
            assert verify_log(desk.store, signer) == LogReport(checkpoints=1)


def test_it_is_read_in_pieces(tmp_path: Path, filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "RECORDS_AT_ONCE", 7)
    monkeypatch.setattr(verify, "CHECKPOINTS_AT_ONCE", 2)
    told: list[tuple[int, int]] = []
    with opened(filled, tmp_path) as store:
        report = verify_log(store, filled.signer, lambda done, of: told.append((done, of)))
    assert report == LogReport(tree_size=LEAVES, records=RECORDS, others=1, tiles=1, checkpoints=8)
    assert told == [(min(done, LEAVES), LEAVES) for done in range(7, LEAVES + 7, 7)]


LEAF, RECORD, TILE, CHECKPOINT, HEAD = FaultKind
_ROW = "WHERE log_index = 60"
_OTHER = "FROM attestations WHERE log_index = 61"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        # Records
        (f"DELETE FROM attestations {_ROW}", {(RECORD, 60), (RECORD, LEAVES)}),
        (f"UPDATE attestations SET envelope = x'00' {_ROW}", {(RECORD, 60)}),
        (
            f"UPDATE attestations SET envelope = (SELECT envelope {_OTHER}) {_ROW}",
            {(RECORD, 60)},
        ),
        (f"UPDATE attestations SET envelope_sha256 = zeroblob(32) {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET certificate_sha256 = zeroblob(32) {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET outcome = outcome + 1 {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET kind = kind + 1 {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET reasons = '[\"X\"]' {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET reasons = '' {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET wall_us = wall_us + 1 {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET site_id = 'other' {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET attestation_id = 'other' {_ROW}", {(RECORD, 60)}),
        (f"UPDATE attestations SET log_index = 59 {_ROW}", {(RECORD, 60)}),
        # Leaves: their places, and what the tree was built of
        (f"UPDATE log_leaves SET device_id = NULL {_ROW}", {(RECORD, LEAVES)}),
        (f"UPDATE log_leaves SET seq = seq + 1 {_ROW}", {(RECORD, 60)}),
        ("UPDATE log_leaves SET leaf_hash = zeroblob(32) WHERE log_index = 300", {(CHECKPOINT, 301)}),
        (
            "UPDATE log_leaves SET leaf_hash = zeroblob(31) WHERE log_index = 300",
            {(LEAF, 300), (CHECKPOINT, 301), (HEAD, 301)},
        ),
        ("DELETE FROM log_leaves WHERE log_index = 300", {(LEAF, 300), (CHECKPOINT, 301), (HEAD, 301)}),
        # Tiles
        ("UPDATE log_tiles SET hashes = zeroblob(8192)", {(TILE, 0)}),
        ("UPDATE log_tiles SET root = zeroblob(32)", {(TILE, 0)}),
        ("UPDATE log_tiles SET tile_index = 1", {(TILE, 0)}),
        ("DELETE FROM log_tiles", {(TILE, 0)}),
        # Checkpoints and head
        ("UPDATE checkpoints SET note = 'x' WHERE tree_size = 100", {(CHECKPOINT, 100)}),
        ("UPDATE checkpoints SET note_sha256 = zeroblob(32) WHERE tree_size = 100", {(CHECKPOINT, 100)}),
        ("UPDATE checkpoints SET tree_size = 101 WHERE tree_size = 100", {(CHECKPOINT, 101)}),
        ("DELETE FROM checkpoints WHERE tree_size = 301", {(HEAD, 301)}),
        ("UPDATE log_head SET note = 'x'", {(HEAD, 301)}),
        ("DELETE FROM log_head", {(HEAD, 0)}),
    ],
)
def test_what_was_changed_from_outside_is_found(
    tmp_path: Path, filled: Filled, statement: str, expected: set[tuple[FaultKind, int]]
) -> None:
    with opened(filled, tmp_path) as store:
        change(store, statement)
        report = verify_log(store, filled.signer)
    assert not report.sound
    assert kinds(report) == expected
    assert report.wrong == len(report.faults)


def test_an_old_leaf_breaks_its_tile_and_every_checkpoint_behind_it(tmp_path: Path, filled: Filled) -> None:
    with opened(filled, tmp_path) as store:
        change(store, "UPDATE log_leaves SET leaf_hash = zeroblob(32) WHERE log_index = 120")
        report = verify_log(store, filled.signer)
    later = {(CHECKPOINT, size) for size in (150, 200, 250, 300, 301)}
    assert kinds(report) == later | {(TILE, 0), (RECORD, 120)}


def test_a_record_that_no_leaf_has_is_found(tmp_path: Path, filled: Filled) -> None:
    with opened(filled, tmp_path) as store:
        with store.writing() as connection:
            connection.execute(text("CREATE TABLE one AS SELECT * FROM attestations WHERE log_index = 299"))
            connection.execute(text("UPDATE one SET seq = 999, attestation_id = 'another'"))
            connection.execute(text("INSERT INTO attestations SELECT * FROM one"))
            connection.execute(text("DROP TABLE one"))
        report = verify_log(store, filled.signer)
    assert kinds(report) == {(RECORD, LEAVES)}
    assert "301" in report.faults[0].what


def test_a_second_history_under_the_right_key_is_found(tmp_path: Path, filled: Filled) -> None:
    """What a stolen key can sign is still no history of these leaves."""
    tree = MerkleTree()
    for leaf in leaves("a", "b"):
        tree.append(leaf)
    note = sign_checkpoint(Checkpoint(filled.signer.origin, 2, tree.root()), key=filled.signer.key)
    with opened(filled, tmp_path) as store:
        with store.writing() as connection:
            rows.add_checkpoint(connection, tree_size=2, note=note, signed_us=1)
        report = verify_log(store, filled.signer)
    assert kinds(report) == {(CHECKPOINT, 2)}


def test_a_log_under_another_key_is_not_ours(tmp_path: Path, filled: Filled) -> None:
    with opened(filled, tmp_path) as store:
        report = verify_log(store, LogSigner("verifield/log/other", filled.signer.key))
    assert {fault.kind for fault in report.faults} == {CHECKPOINT}
    assert report.wrong == 8


def test_faults_beyond_a_number_are_only_counted(
    tmp_path: Path, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "MAX_FAULTS", 10)
    with opened(filled, tmp_path) as store:
        change(store, "UPDATE attestations SET outcome = outcome + 1 WHERE log_index < 11")
        report = verify_log(store, filled.signer)
    assert (report.wrong, len(report.faults)) == (11, 10)
