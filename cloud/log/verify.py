"""Reads the whole log from its beginning and checks everything that is kept of it against everything else.

    1  leaves stand at every index from 0 on, 32 bytes each
    2  each leaf with a place has its record there, whose bytes, certificate and columns give this leaf
    3  no record stands in the log but those of its leaves
    4  full tiles hold the hashes of the tree over the leaves
    5  each checkpoint is signed by the log's key, and its root is that of the leaves of its size: so each is
       consistent with every other
    6  the head is the newest of them, over all leaves

A running service may append meanwhile: what is checked is the log up to the head at the beginning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import chain

from cloud.errors import SetupError
from cloud.log.view import LogSigner, check_note
from cloud.sources import to_us
from cloud.store import log as rows
from cloud.store import log_records
from cloud.store.database import Store
from verifield.chain import envelope_sha256
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.leaf import log_leaf
from verifield.merkle import HASH_BYTES, leaf_hash
from verifield.statement import parse_statement
from verifield.tiles import RightEdge, Tile
from verifield.wire import parse_time

MAX_FAULTS = 100
"""Listed: who has this many restores a backup, whatever the others are. They are counted all the same."""

RECORDS_AT_ONCE = 1000
"""A few megabytes of envelopes."""

CHECKPOINTS_AT_ONCE = 1000

Progress = Callable[[int, int], None]
"""Told how many leaves are done, and how many there are."""


class FaultKind(StrEnum):
    """What a fault concerns."""

    LEAF = "LEAF"
    RECORD = "RECORD"
    TILE = "TILE"
    CHECKPOINT = "CHECKPOINT"
    HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class LogFault:
    """``index``: of the leaf or the tile, or the size of the checkpoint's tree."""

    kind: FaultKind
    index: int
    what: str


@dataclass(slots=True)
class LogReport:
    """What was checked; ``others``: leaves without a record. ``faults``: the first ones of all ``wrong``."""

    tree_size: int = 0
    records: int = 0
    others: int = 0
    tiles: int = 0
    checkpoints: int = 0
    wrong: int = 0
    faults: list[LogFault] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return self.wrong == 0

    def add(self, kind: FaultKind, index: int, what: str) -> None:
        """Note a fault."""
        self.wrong += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(LogFault(kind, index, what))


def verify_log(store: Store, signer: LogSigner, progress: Progress | None = None) -> LogReport:
    """Check the log of ``store``, whose key ``signer`` has. Reads everything once, in bounded memory."""
    report = LogReport()
    with store.reading() as connection:
        head = rows.get_head(connection)
    size = head.tree_size if head else 0
    walk = _Walk(store, signer, report, size)
    for piece in _leaves(store, size, report):
        walk.take(piece)
        if progress:
            progress(report.tree_size, size)
    walk.finish(head)
    if report.tree_size == size:
        _count_records(store, report)
    return report


class _Walk:
    """Grows the tree over the leaves and stops at the size of each checkpoint."""

    def __init__(self, store: Store, signer: LogSigner, report: LogReport, size: int) -> None:
        self._store = store
        self._signer = signer
        self._report = report
        self._edge = RightEdge()
        self._checkpoints = _checkpoints(store, size)
        self._next = next(self._checkpoints, None)
        self._newest: rows.CheckpointRow | None = None

    def take(self, records: list[log_records.RecordRow]) -> None:
        leaves = [row.leaf_hash for row in records]
        done = 0
        self._stop()
        while done < len(leaves):
            end = len(leaves)
            if self._next is not None:
                end = min(end, done + self._next.tree_size - self._edge.size)
            self._check_tiles(self._edge.extend(leaves[done:end]))
            done = end
            self._stop()
        for row in records:
            self._check_record(row)
        self._report.tree_size = self._edge.size

    def finish(self, head: rows.HeadRow | None) -> None:
        report = self._report
        self._stop()
        for left in chain([self._next] if self._next else [], self._checkpoints):
            report.checkpoints += 1
            report.add(FaultKind.CHECKPOINT, left.tree_size, "There are not so many leaves.")
        if head is None:
            if self._newest is not None or self._has_leaves():
                report.add(FaultKind.HEAD, 0, "The log's head is gone.")
        elif self._newest is None or head.note != self._newest.note:
            report.add(FaultKind.HEAD, head.tree_size, "The head is not the newest checkpoint.")

    def _stop(self) -> None:
        while self._next is not None and self._next.tree_size == self._edge.size:
            self._report.checkpoints += 1
            self._check_checkpoint(self._next)
            self._newest = self._next
            self._next = next(self._checkpoints, None)

    def _check_checkpoint(self, row: rows.CheckpointRow) -> None:
        try:
            checkpoint = check_note(row.note, self._signer)
        except SetupError:
            self._report.add(FaultKind.CHECKPOINT, row.tree_size, "It is not signed by this log's key.")
            return
        if checkpoint.size != row.tree_size or sha256(row.note.encode()).digest() != row.note_sha256:
            self._report.add(FaultKind.CHECKPOINT, row.tree_size, "Its row does not say what it says.")
        elif checkpoint.root != self._edge.root():
            self._report.add(FaultKind.CHECKPOINT, row.tree_size, "The leaves do not give its root.")

    def _check_tiles(self, tiles: list[Tile]) -> None:
        self._report.tiles += len(tiles)
        with self._store.reading() as connection:
            for tile in tiles:
                roots = rows.tile_roots(connection, tile.level, tile.index, 1)
                if roots != [tile.root] or rows.get_tile(connection, tile.level, tile.index) != tile.hashes:
                    what = f"Tile of level {tile.level} is missing, or does not hold the tree's hashes."
                    self._report.add(FaultKind.TILE, tile.index, what)

    def _check_record(self, row: log_records.RecordRow) -> None:
        if row.place is None:
            self._report.others += 1
            return
        self._report.records += 1
        wrong = judge_record(row)
        if wrong:
            self._report.add(FaultKind.RECORD, row.log_index, wrong)

    def _has_leaves(self) -> bool:
        with self._store.reading() as connection:
            return rows.newest_index(connection) is not None


def judge_record(row: log_records.RecordRow) -> str:
    """What of a record does not agree with its leaf, as a sentence; empty where all does.

    Its signature was checked before the leaf was made, and the leaf is under a signed root: what agrees with
    the leaf is what was verified then.
    """
    record = row.record
    if record is None:
        return "The leaf's record is missing."
    if row.certificate is None:
        return "The certificate of the record's key is missing."
    try:
        envelope = parse_envelope(record.envelope)
        statement = parse_statement(envelope.payload)
        wall_us = to_us(parse_time(statement.clock.wall_time, what="wall time"))
        reasons = json.loads(record.reasons)
    except (VerifieldError, ValueError):
        return "The record's bytes are damaged."
    if (
        record.log_index != row.log_index
        or envelope_sha256(record.envelope) != record.envelope_sha256
        or sha256(row.certificate).digest() != record.certificate_sha256
        or leaf_hash(log_leaf(envelope, row.certificate)) != row.leaf_hash
    ):
        return "The record does not give the leaf."
    said = (statement.attestation_id, statement.device_id, statement.chain_epoch, statement.seq)
    shown = (statement.site.site_id, statement.kind, statement.outcome, list(statement.reasons), wall_us)
    if said != (record.attestation_id, record.device_id, record.chain_epoch, record.seq) or shown != (
        record.site_id,
        record.kind,
        record.outcome,
        reasons,
        record.wall_us,
    ):
        return "The record's columns do not say what its statement says."
    return ""


def _leaves(store: Store, size: int, report: LogReport) -> Iterator[list[log_records.RecordRow]]:
    """Leaves with their records in order, up to the first that is missing or damaged."""
    first = 0
    while first < size:
        last = min(size, first + RECORDS_AT_ONCE)
        with store.reading() as connection:
            found = log_records.list_records(connection, first, last)
        sound = [
            row
            for number, row in enumerate(found, first)
            if row.log_index == number and len(row.leaf_hash) == HASH_BYTES
        ]
        yield sound
        if len(sound) < last - first:
            report.add(
                FaultKind.LEAF, first + len(sound), "The leaf, or one soon behind it, is damaged or gone."
            )
            return
        first = last


def _checkpoints(store: Store, size: int) -> Iterator[rows.CheckpointRow]:
    after = -1
    while True:
        with store.reading() as connection:
            found = rows.list_checkpoints(connection, after=after, limit=CHECKPOINTS_AT_ONCE)
        yield from (row for row in found if row.tree_size <= size)
        if not found or found[-1].tree_size > size:
            return
        after = found[-1].tree_size


def _count_records(store: Store, report: LogReport) -> None:
    with store.reading() as connection:
        count = log_records.count_records(connection, report.tree_size)
    if count != report.records:
        what = f"{count} records say that they stand in the log, {report.records} do."
        report.add(FaultKind.RECORD, report.tree_size, what)
