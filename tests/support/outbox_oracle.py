"""What a store must hold, by what the processes that used it were told, whatever killed them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.model import Position
from edge.outbox.layout import MEDIA_SUFFIX, beside
from edge.outbox.records import RecordState
from edge.outbox.rows import FIRST, statement_of
from tests.support.outbox_worker import open_counted
from verifield.chain import excuses_of, is_reset

LIMITS = {"limit_bytes": 1 << 40, "limit_count": 1 << 40}
_PAST_PENDING = frozenset(RecordState) - {RecordState.PENDING}


@dataclass
class Promised:
    """``appended``: what was shown as done. ``covered``: through where a receipt may have been applied.

    ``faults``: how often the store refused.
    """

    appended: dict[Position, dict[str, Any]] = field(default_factory=dict)
    delivered: set[Position] = field(default_factory=set)
    covered: Position = FIRST
    faults: int = 0

    def hear(self, lines: Iterable[bytes]) -> None:
        """Take in what one process said; a line that was cut off was not shown to anybody."""
        for line in lines:
            if not line.endswith(b"\n") or not line.startswith(b"{"):
                continue
            said = json.loads(line)
            if said.get("ok") == "append":
                place = Position(*said["place"])
                assert place not in self.appended, f"{place} was promised twice"
                self.appended[place] = said
            elif said.get("try") == "reset":  # whatever came before it is delivered once more
                self.delivered.clear()
            elif said.get("ok") == "deliver":
                self.delivered |= {Position(*place) for place in said["places"]}
            elif said.get("try") == "receipt":
                self.covered = max(self.covered, Position(*said["place"]))
            elif "fault" in said:
                self.faults += 1


def check_store(path: Path, promised: Promised, *, in_hand: int) -> int:
    """Open the store and compare; return how many records it holds.

    ``in_hand``: how many records may be there that nobody was told of, one for each cut.
    """
    with open_counted(path) as outbox:
        assert outbox.reset_needed() is None, "a cut looks like a store that was put back"
        assert outbox.check().damaged == ()
        assert outbox._store.all("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        listed = outbox.newest(limit=1 << 40)[::-1]
        stored = {record.position: record for record in listed}
        assert len(stored) == len(listed), "a place is taken twice"
        _check_promises(promised, stored)
        unpromised = stored.keys() - promised.appended.keys()
        assert len(unpromised) <= in_hand, f"{len(unpromised)} records that nobody was told of"
        _check_chain(outbox, stored)
        for position, record in stored.items():
            private = outbox.private(record.attestation_id)  # decrypts, or raises
            if position in promised.appended:
                said = promised.appended[position]
                assert bool(private) == (said["private"] or bool(said["media"]))
        _check_media(path, stored)
        after = outbox.confirmed()
        assert outbox.holes(after=after) == []
    return len(stored)


def _check_promises(promised: Promised, stored: dict[Position, Any]) -> None:
    for place, said in promised.appended.items():
        if place in stored:
            assert stored[place].sha256.hex() == said["sha256"], f"{place} is another record"
        else:
            settled = place <= promised.covered
            assert settled, f"{place} was promised and is gone"
    for place in promised.delivered & stored.keys():
        assert stored[place].state in _PAST_PENDING, f"{place} was delivered, and is {stored[place].state}"


def _check_chain(outbox: Any, stored: dict[Position, Any]) -> None:
    """Each record names the one before it, or a reset names the head before it."""
    for place in sorted(stored):
        statement = statement_of(stored[place])
        before = stored.get(Position(place.epoch, place.seq - 1))
        if before is not None:
            assert statement.previous_envelope_sha256 == before.sha256
        if is_reset(statement):
            cited = statement.device_event.reset.device_head
            closed = stored.get(Position(cited.chain_epoch, cited.seq))
            assert closed is None or closed.sha256 == cited.envelope_sha256
        excuse = excuses_of(statement)
        if excuse is not None and (hole := stored.get(Position(place.epoch, excuse.last_seq))) is not None:
            assert hole.sha256 == excuse.last_sha256
    head = outbox.head()
    if stored:
        last = stored[max(stored)]
        assert (head.epoch, head.seq, head.sha256) == (last.epoch, last.seq, last.sha256)


def _check_media(path: Path, stored: dict[Position, Any]) -> None:
    folder = beside(path, MEDIA_SUFFIX)
    wanted = {item.sha256 for record in stored.values() for item in statement_of(record).media}
    for sha256 in wanted:
        assert hashlib.sha256((folder / sha256.hex()).read_bytes()).digest() == sha256
    there = {name.name for name in folder.iterdir()} if folder.is_dir() else set()
    assert there == {sha256.hex() for sha256 in wanted}, "files that belong to no record"
