"""Writes what the rules of ``ingest`` and ``advance`` decide of a batch into a device's chain.

What is decided in memory is written at once where a later step asks the store for it (side records,
alarms, staging), and at the end where none does (the chain, the head), once the records' places in the
log are known.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from sqlalchemy import Connection

from cloud.attestations import chain_rows
from cloud.attestations.advance import Advance, Holes, advance, known
from cloud.attestations.aside import AsideBook
from cloud.attestations.ingest import (
    ACCEPTED,
    HAVE,
    STAGED,
    Judged,
    Verdict,
    branch_off,
    judge_batch,
    refuse,
)
from cloud.attestations.limits import (
    MAX_ADVANCE,
    MAX_STAGED_BYTES,
    MAX_STAGED_EXCUSE_BYTES,
    MAX_STAGED_EXCUSES,
    MAX_STAGED_RECORDS,
)
from cloud.attestations.record import Record, RecordReason, Refused
from cloud.sources import Sources
from cloud.store import devices, staging
from verifield.chain import ChainHead, Excuse, check_reset, cited_head
from verifield.v1 import device_service_pb2 as devices_pb
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.attestation_pb2 import (
    DEVICE_EVENT_TYPE_GAP,
    DEVICE_EVENT_TYPE_PERIPHERAL,
    PeripheralKind,
)


@dataclass(frozen=True, slots=True)
class Damaged:
    """What is left of a record that the device can no longer read, with the place that it had."""

    epoch: int
    seq: int
    content: bytes = field(repr=False)


@dataclass(slots=True)
class Room:
    """How many records wait, and their bytes, and the most of both that may."""

    records: int
    content_bytes: int
    most_records: int
    most_bytes: int
    full: bool = False

    def take(self, record: Record) -> bool:
        """Whether the record may wait; if so, it counts from now on. Behind one that may not, none may."""
        fits = self.content_bytes + len(record.envelope) <= self.most_bytes
        self.full = self.full or self.records >= self.most_records or not fits
        if not self.full:
            self._count(record, 1)
        return not self.full

    def leave(self, record: Record) -> None:
        """The record waits no more."""
        self._count(record, -1)

    def _count(self, record: Record, sign: int) -> None:
        self.records += sign
        self.content_bytes += sign * len(record.envelope)


class Stage:
    """The room that is left for records to wait; those that excuse others have their own."""

    def __init__(self, fill: staging.StageFill) -> None:
        self._plain = Room(fill.records, fill.content_bytes, MAX_STAGED_RECORDS, MAX_STAGED_BYTES)
        self._excusing = Room(fill.excusing, fill.excusing_bytes, MAX_STAGED_EXCUSES, MAX_STAGED_EXCUSE_BYTES)

    @property
    def used(self) -> bool:
        return self._plain.records + self._excusing.records > 0

    def take(self, record: Record) -> bool:
        """Whether the record may wait; if so, it counts from now on."""
        return self._room(record).take(record)

    def leave(self, record: Record) -> None:
        """The record waits no more."""
        self._room(record).leave(record)

    def fitting(self, excusing: Sequence[Record]) -> list[Record]:
        """The first of these that may wait together, should all have to. None of them counts yet."""
        room = replace(self._excusing)
        return list(takewhile(room.take, excusing))

    def _room(self, record: Record) -> Room:
        return self._excusing if record.excuse else self._plain


class ChainWriter:
    """One batch in one transaction. Call judge, go_on, settle and verdicts, then write, in this order.

    ``head`` and ``appended``: the chain's new head, and what leads to it. ``more``: the chain can go on
    in another transaction.
    """

    def __init__(
        self, connection: Connection, device: devices.DeviceRow, *, now_us: int, sources: Sources
    ) -> None:
        self._connection = connection
        self._device = device
        self._device_id = device.device_id
        self._now_us = now_us
        self._fill = staging.staged_fill(connection, device.device_id)
        self._stage = Stage(self._fill)
        self._asides = AsideBook(connection, device.device_id, now_us=now_us, sources=sources)
        self._suspended = device.state == devices_pb.DEVICE_STATE_SUSPENDED
        self._judged = Judged()
        self._waited = (
            Judged()
        )  # what had waited, and will not be appended: durable already, so kept in any case
        self._used_ids: set[str] = set()
        self._fresh: list[Record] = []  # appended without having waited
        self.head = ChainHead(device.chain_epoch, device.seq, device.head_sha256)
        self.appended: list[Record] = []
        self.more = False

    @property
    def has_waiting(self) -> bool:
        """Whether anything of the device waits, after :meth:`settle`."""
        return self._stage.used

    def judge(self, records: Sequence[Record | Refused], damaged: Sequence[Damaged]) -> None:
        """Steps 6 to 11, and what is left of damaged records."""
        books = chain_rows.load_books(self._connection, self._device, records, fill=self._fill)
        self._used_ids = set(books.used_ids)
        self._judged = judge_batch(records, books)
        # Kept before the chain goes on: a TOMBSTONE counts only for bytes that are here.
        self._keep_asides()
        self._asides.keep_damaged([((one.epoch, one.seq), one.content) for one in damaged])
        if self._judged.suspend:
            self._suspend()

    def go_on(self) -> None:
        """Step 12: the chain goes on, through as many epochs as it can."""
        while not self._suspended:
            step = advance(
                self._coming(),
                head=self.head,
                holes=Holes(self._excuses()),
                resets=self._resets(),
                used_ids=self._used_ids,
                limit=MAX_ADVANCE - len(self.appended),
            )
            self._take(step)
            if step.reset is None or not self._begin_epoch(step.reset):
                return

    def settle(self) -> None:
        """Step 13 for what remains of the batch; what can never be appended any more is kept beside."""
        for record in self._waiting_resets():
            if self._is_passed(cited_head(record.statement)):
                self._branch(record, RecordReason.OTHER_CLOUD_HEAD)
        waiting: list[Record] = []
        for place, record in sorted(self._judged.candidates.items()):
            if place[0] < self.head.epoch:
                branch_off(self._judged, record, RecordReason.CLOSED_EPOCH, alarm=None)
            elif self._stage.take(record):
                waiting.append(record)
            else:
                self._judged.verdicts[record.sha256] = self._not_now()
        staging.add_staged(
            self._connection, [chain_rows.to_staged(one, received_us=self._now_us) for one in waiting]
        )
        self._enter(waiting)
        self._enter(self._fresh)
        for record in self.appended:
            self._tell_of(record)
        self._keep_asides()

    def write(self, connection: Connection, *, first_index: int) -> None:
        """What was appended has its leaves in the log from ``first_index`` on: into the chain with it."""
        if not self.appended:
            return
        chain_rows.add_appended(connection, self.appended, first_index=first_index, received_us=self._now_us)
        devices.set_head(
            connection,
            self._device_id,
            chain_epoch=self.head.epoch,
            seq=self.head.seq,
            head_sha256=self.head.sha256,
            delivered_us=self._now_us,
        )

    def verdicts(self, records: Sequence[Record | Refused]) -> list[Verdict]:
        """In the order of the batch; what comes twice was there already the second time."""
        found = dict(self._judged.verdicts)
        appended = {record.sha256 for record in self.appended}
        verdicts: list[Verdict] = []
        for record in records:
            verdict = found.get(record.sha256)
            if verdict is None and record.sha256 in appended:
                verdict = ACCEPTED
                found[record.sha256] = HAVE
            verdicts.append(verdict or STAGED)
        return verdicts

    def _coming(self) -> Iterable[Record]:
        """Records of the head's epoch behind it, of the batch and of the stage, in order of places."""
        epoch = self.head.epoch
        fresh = [one for (of, _), one in sorted(self._judged.candidates.items()) if of == epoch]
        if not self._stage.used:
            return fresh
        staged = chain_rows.waiting_records(self._connection, self._device_id, self.head, self._used_ids)
        return heapq.merge(fresh, staged, key=lambda record: record.place)

    def _excuses(self) -> list[Excuse]:
        """What was given up behind the head, by records that are here or will be."""
        excusing = [
            record
            for (epoch, _), record in sorted(self._judged.candidates.items())
            if epoch == self.head.epoch and record.excuse
        ]
        # One more than can wait does not count: its record may not be kept.
        given = [excuse for one in self._stage.fitting(excusing) if (excuse := one.excuse)]
        fresh = chain_rows.counting_excuses(self._connection, self._device_id, given)
        if not self._fill.excusing:
            return fresh
        return fresh + chain_rows.excuses_behind(self._connection, self._device_id, self.head)

    def _waiting_resets(self) -> list[Record]:
        """First records of later epochs, lowest epoch first."""
        candidates = self._judged.candidates
        resets = [one for (epoch, seq), one in candidates.items() if seq == 1 and epoch > self.head.epoch]
        if self._stage.used:
            rows = staging.staged_resets(self._connection, self._device_id, behind_epoch=self.head.epoch)
            resets += map(chain_rows.to_record, rows)
        return sorted(resets, key=lambda record: record.place)

    def _resets(self) -> dict[ChainHead | None, Record]:
        """By the head that they cite; of several the newest, since with it the device gave up the others."""
        waiting = self._waiting_resets()
        self._used_ids |= chain_rows.taken_ids(self._connection, waiting)
        return {cited_head(one.statement): one for one in waiting}

    def _is_passed(self, cited: ChainHead | None) -> bool:
        """Whether the chain can never come to the head that a RESET cites."""
        if cited is None:
            return self.head.seq > 0
        return (cited.epoch, cited.seq) <= (self.head.epoch, self.head.seq) and cited != self.head

    def _take(self, step: Advance) -> None:
        from_stage = [record for record in step.appended if not self._is_candidate(record)]
        self._fresh += [record for record in step.appended if self._is_candidate(record)]
        for record in step.appended:
            self._judged.candidates.pop(record.place, None)
        self._unstage(from_stage)
        for record in step.forked:
            self._branch(record, RecordReason.OTHER_PREDECESSOR)
        for record in step.reused:
            self._refuse_reused(record)
        self.appended += step.appended
        self.head, self.more = step.head, step.more

    def _begin_epoch(self, reset: Record) -> bool:
        """Close the epoch and begin the RESET's; False where a person has to look first."""
        check_reset(reset.statement, known(self.head))  # the one place where the service's chain begins anew
        if reset.attestation_id in self._used_ids:
            self._refuse_reused(reset)
            return True
        again = self._asides.has_open(devices_pb.ALARM_KIND_RESET)
        self._asides.raise_at_place(
            devices_pb.ALARM_KIND_RESET, reset.place, reset.statement.device_event.reset.reason
        )
        if again:
            self._suspend()
            return False
        chain_rows.open_epoch(self._connection, reset, closed=self.head, opened_us=self._now_us)
        if self._is_candidate(reset):
            del self._judged.candidates[reset.place]
            self._fresh.append(reset)
        else:
            self._unstage([reset])
        self.appended.append(reset)
        self._used_ids.add(reset.attestation_id)
        self.head = ChainHead(*reset.place, reset.sha256)
        self._close_epochs()
        return True

    def _close_epochs(self) -> None:
        """Keep beside what still waits for a place in an epoch that is closed now."""
        if not self._stage.used:
            return
        for rows in chain_rows.staged_before(self._connection, self._device_id, epoch=self.head.epoch):
            records = [chain_rows.to_record(row) for row in rows]
            for record in records:
                branch_off(self._waited, record, RecordReason.CLOSED_EPOCH, alarm=None)
            self._keep_asides()
            self._unstage(records)

    def _refuse_reused(self, record: Record) -> None:
        reason = RecordReason.ATTESTATION_ID_USED
        refuse(self._leave(record), Refused(record.envelope, record.sha256, reason, record.place))

    def _branch(self, record: Record, reason: RecordReason) -> None:
        branch_off(self._leave(record), record, reason)

    def _leave(self, record: Record) -> Judged:
        """Take a record out of what may be appended, and what it has given up; return where it is judged."""
        if self._is_candidate(record):
            del self._judged.candidates[record.place]
            return self._judged
        self._unstage([record])
        staging.drop_excuses(self._connection, self._device_id, [record.place])
        return self._waited

    def _unstage(self, records: Sequence[Record]) -> None:
        staging.drop_staged(self._connection, self._device_id, [record.place for record in records])
        for record in records:
            self._stage.leave(record)

    def _is_candidate(self, record: Record) -> bool:
        return self._judged.candidates.get(record.place) is record

    def _enter(self, records: Sequence[Record]) -> None:
        """What records give up and name, when they are kept for the first time."""
        chain_rows.add_excuses(self._connection, records)
        chain_rows.add_media(self._connection, records, named_us=self._now_us)

    def _keep_asides(self) -> None:
        for digest in self._asides.keep(self._judged.asides):
            self._judged.verdicts[digest] = self._not_now()
        self._asides.keep(self._waited.asides, limited=False)
        self._judged.verdicts |= self._waited.verdicts
        self._judged.asides.clear()
        self._waited.asides.clear()

    def _not_now(self) -> Verdict:
        return Verdict(pb.DELIVER_STATUS_OUT_OF_ORDER, expected_seq=self.head.seq + 1)

    def _suspend(self) -> None:
        self._suspended = True
        devices.set_state(self._connection, self._device_id, devices_pb.DEVICE_STATE_SUSPENDED)

    def _tell_of(self, record: Record) -> None:
        if not record.is_event:
            return
        event = record.statement.device_event
        if event.type == DEVICE_EVENT_TYPE_GAP:
            self._asides.raise_alarm(devices_pb.ALARM_KIND_GAP, record.place, event.gap.reason)
        elif event.type == DEVICE_EVENT_TYPE_PERIPHERAL and event.peripheral.previous_id:  # not the first
            kind = PeripheralKind.Name(event.peripheral.kind).removeprefix("PERIPHERAL_KIND_")
            self._asides.raise_alarm(devices_pb.ALARM_KIND_PERIPHERAL, record.place, kind)
