"""Random bytes of the files change: an answer or a StorageError, and never a record that nobody signed.

VERIFIELD_SOAK=10 tries ten times as many.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.model import Position, ResetReason
from edge.outbox.layout import MARK_SUFFIX, beside
from edge.outbox.records import RecordState, StoredRecord
from edge.outbox.recover import recover
from edge.outbox.store import Outbox
from tests.support.appliance import Appliance, MemorySigner, open_outbox
from tests.support.authority import NOW, Authority
from tests.support.outbox import ALL, ARRIVAL, Received, apply, receipt_through
from verifield.chain import ChainHead

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
TRIES = 50 * SOAK
AT = datetime(2026, 11, 22, tzinfo=UTC)
CONFIRMED = 10
RECORDS = 50


class Original:
    """A store with one of everything, as a cut leaves it: half of it in the write-ahead log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority.create()
        device = Appliance(folder / "outbox.db", MemorySigner())
        for _ in range(RECORDS // 2):
            device.verify()
        device.verify_person()
        device.restart()
        device.recorder().record_reset(ChainHead(1, 1, bytes(32)), ResetReason.FORK)
        while len(device.outbox.newest(limit=99)) < RECORDS:
            device.verify()
        apply(device, receipt_through(authority, device, CONFIRMED, epoch=2))
        self.signer = device.signer
        self.records = {record.position: record.envelope for record in device.outbox.newest(limit=99)}
        self.ids = [record.attestation_id for record in device.outbox.newest(limit=99)]
        head = device.outbox.head()
        assert head is not None
        self.head = head
        self.receipt: Received = receipt_through(authority, device, head.seq, epoch=2, at=NOW)
        self._device = device  # stays open, so that its write-ahead log stays

    def copy(self, into: Path) -> Path:
        shutil.copytree(self.folder, into)
        return into / "outbox.db"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("original") / "store")


def flip(path: Path, chance: random.Random) -> None:
    """Change one to sixty bytes of one of the files: both the log and the mark is more than one fault."""
    file = chance.choice((path, path, beside(path, "-wal"), beside(path, "-wal"), beside(path, MARK_SUFFIX)))
    data = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 3))):
        place = chance.randrange(len(data))
        for offset in range(place, min(len(data), place + chance.choice((1, 1, 20)))):
            data[offset] = chance.randrange(256)
    file.write_bytes(data)


def try_all(outbox: Outbox, original: Original) -> set[Position]:
    """Ask everything; return the places whose records were given, having checked each."""
    genuine = original.records
    seen: set[Position] = set()

    def check(*records: StoredRecord | None) -> None:
        for record in records:
            if record is not None and record.state is not RecordState.DAMAGED:
                if record.position in genuine:
                    assert record.envelope == genuine[record.position]
                    seen.add(record.position)
                else:
                    assert record.envelope in made

    made: set[bytes] = set()

    def append() -> None:
        device = Appliance.__new__(Appliance)
        device.signer, device.device_id, device.quality = original.signer, "device-1", 2
        made.add(outbox.append(device.make).envelope)

    steps: list[Callable[[], object]] = [
        outbox.head,
        outbox.cited,
        outbox.witnessed,
        outbox.confirmed,
        outbox.oldest,
        outbox.has_unconfirmed,
        outbox.first_pending,
        outbox.reset_needed,
        lambda: check(*outbox.pending(after=None, **ALL)),
        lambda: check(*outbox.newest(limit=999)),
        lambda: check(*(outbox.get(name) for name in original.ids)),
        lambda: check(*(outbox.at(place) for place in genuine)),
        lambda: [outbox.private(name) for name in original.ids],
        lambda: outbox.holes(after=None),
        outbox.refused,
        outbox.damaged_rows,
        outbox.media_pending,
        outbox.stats,
        outbox.check,
        append,
        lambda: outbox.mark_delivered(genuine),
        lambda: outbox.apply_receipt(*original.receipt, arrival=ARRIVAL, tree_size=1),
        lambda: outbox.purge(now=NOW + timedelta(days=1), retention=timedelta(days=2)),
        lambda: check(*outbox.newest(limit=999)),
    ]
    for step in steps:
        try:
            step()
        except StorageError:
            continue
    return seen


def given_up(outbox: Outbox) -> set[Position]:
    """The places of the newest epoch that the chain will say are lost."""
    return {
        Position(hole.epoch, seq)
        for hole in outbox.holes(after=None)
        for seq in range(hole.first_seq, hole.last_seq + 1)
    }


def test_no_byte_makes_it_crash_or_believe_what_nobody_signed(original: Original, tmp_path: Path) -> None:
    chance = random.Random(31)
    opened = 0
    for number in range(TRIES):
        path = original.copy(tmp_path / str(number))
        flip(path, chance)
        try:
            outbox = open_outbox(path)
        except StorageError:
            continue
        opened += 1
        with outbox:
            try_all(outbox, original)
        shutil.rmtree(path.parent)
    assert opened > TRIES // 3


@pytest.mark.req("E050")
def test_what_is_lost_for_good_is_always_told(original: Original, tmp_path: Path) -> None:
    """After a recovery each record is there, or its place is a hole, or the whole chain is given up."""
    chance = random.Random(32)
    saved = 0
    for number in range(TRIES):
        path = original.copy(tmp_path / str(number))
        flip(path, chance)
        recovery = recover(path, device_id="device-1", now=AT)
        with open_outbox(path) as outbox:
            lost = given_up(outbox)
            seen = {record.position for record in outbox.newest(limit=999)}
            damaged = {row.position for row in outbox.damaged_rows()}
            newest_epoch = {place for place in original.records if place.epoch == original.head.epoch}
            told = seen | lost | damaged
            if not recovery.reset_needed:
                assert newest_epoch <= told
                assert outbox.head() == original.head
            found = try_all(outbox, original)
            assert found <= seen
            assert outbox.check().sound
        saved += len(found)
        shutil.rmtree(path.parent)
    assert saved > 0.8 * TRIES * RECORDS
