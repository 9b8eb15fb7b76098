"""The durable store of signed records: what is not in here was never shown to anybody as done.

Commit point: one SQLite transaction (WAL, synchronous=FULL) holds the envelope, what opens its
commitments (encrypted), references to its files (written and synced before) and the new chain head.
Several processes may have it open: each write takes its turn with BEGIN IMMEDIATE. Only a receipt that
the caller has verified, and that names our own digest, marks records as confirmed; only confirmed
records are ever deleted. What a failing disk broke is noticed when it is read, kept, and does not stop
the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from edge.contact import Arrival
from edge.errors import StorageError
from edge.files import locked
from edge.model import Hole, Position, ResetReason
from edge.outbox.begun import Begun
from edge.outbox.chain import ANY_EPOCH, Chain
from edge.outbox.database import Store
from edge.outbox.delivery import Delivery
from edge.outbox.faults import storage_errors
from edge.outbox.layout import (
    LOCK_SUFFIX,
    MARK_SUFFIX,
    RESERVE_SUFFIX,
    beside,
    make_durable_folder,
    missing,
    newest_broken,
)
from edge.outbox.media import Media, MediaState
from edge.outbox.private import PrivateParts
from edge.outbox.purging import purge_confirmed
from edge.outbox.receipts import Receipts
from edge.outbox.records import (
    BegunSession,
    CheckReport,
    Cited,
    DamagedRow,
    MediaFile,
    OutboxStats,
    RecordState,
    SignedRecord,
    StoredRecord,
    Witnessed,
)
from edge.outbox.rollback import CounterGuard, CounterVerdict, HeadMark, rolled_back
from edge.outbox.rows import FIRST, Records
from edge.outbox.space import RESERVE_BYTES, Reserve, Space, check_space, look_at_space
from edge.outbox.stats import gather_stats
from edge.outbox.times import time_text
from edge.ports import KeyStore, RollbackCounter
from verifield.chain import ChainHead, check_link, is_reset, next_head
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Receipt

MEDIA_BATCH = 16
"""Files listed at once; each is read whole to check its digest."""

T = TypeVar("T")


class Outbox:
    """Open with :meth:`open`; one object for each thread and process. Every method may raise StorageError."""

    def __init__(self, store: Store, private: PrivateParts, guard: CounterGuard | None) -> None:
        self._store = store
        self._private = private
        self._guard = guard
        self._records = Records(store)
        self._delivery = Delivery(store)
        self._chain = Chain(store, self._records)
        self._receipts = Receipts(store, self._chain)
        self._media = Media(store)
        self._begun = Begun(store)
        self._mark = HeadMark(beside(store.path, MARK_SUFFIX))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        device_id: str,
        key_store: KeyStore,
        counter: RollbackCounter | None = None,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Outbox:
        """Open the store of this device at ``path``, or make it; its data key lies beside it.

        Raises:
            StorageError: OUTBOX_NEWER, OUTBOX_OTHER_DEVICE, OUTBOX_CORRUPT, OUTBOX_MISSING,
                OUTBOX_READONLY, OUTBOX_UNREADABLE or DATA_KEY_PERMISSIONS among others.
            SetupError: the key store or the counter is away.
        """
        with storage_errors():
            make_durable_folder(path.parent)
            # The switch to WAL does not wait for another process's switch, so opening takes turns.
            with locked(beside(path, LOCK_SUFFIX)):
                mark = HeadMark(beside(path, MARK_SUFFIX)).read()
                if not path.exists() and (mark is not None or newest_broken(path) is not None):
                    raise missing(path)
                store = Store.open(path, Reserve(beside(path, RESERVE_SUFFIX), reserve_bytes))
                try:
                    store.claim(device_id)
                    outbox = cls(
                        store,
                        PrivateParts.open(
                            store, key_store, create=mark is None and store.one(ANY_EPOCH) is None
                        ),
                        CounterGuard(store, counter) if counter else None,
                    )
                    outbox._chain.settle(mark)
                    outbox._media.delete_orphans()
                except BaseException:
                    store.close()
                    raise
                store.reserve.keep()
                return outbox

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, make: Callable[[ChainHead | None, Cited], SignedRecord]) -> StoredRecord:
        """Build, sign and store the next record in one transaction; when this returns, it is durable.

        ``make`` gets the head to continue and what to cite; it is called once more where the disk was full
        and the reserve made room. If it raises, nothing is stored.

        Raises:
            StorageError: OUTBOX_FULL and the like; the record is wholly there or not at all. EPOCH_NEEDED
                or STORE_ROLLED_BACK: only a RESET may be stored.
            verifield.errors.ChainBreak: ``make`` did not continue the chain.
        """
        with self._turn():
            record = self._store.write(lambda: self._append(make))
            if self._guard is not None:
                self._guard.finish()
        self._mark.write(ChainHead(record.epoch, record.seq, record.sha256))
        return record

    def begin(self, begun: BegunSession) -> None:
        """Note that a session has begun; the record of its id takes the mark away."""
        self._begun.add(begun)

    def begun(self) -> list[BegunSession]:
        """Return the sessions that have begun and have no record, oldest first."""
        return self._begun.all()

    def open_for_sessions(self) -> AbstractContextManager[None]:
        """Hold this while sessions may be under way in this process."""
        return self._begun.open_for_sessions()

    def closed_for_sessions(self) -> AbstractContextManager[bool]:
        """Within it no process has a session under way, if it gives True."""
        return self._begun.closed_for_sessions()

    def head(self) -> ChainHead | None:
        """Return the newest record's place and digest; None before the first. Survives every purge."""
        return self._chain.head()

    def cited(self) -> Cited:
        """Return what the next statement cites."""
        return self._receipts.cited()

    def witnessed(self) -> Witnessed | None:
        """Return the newest checkpoint of the log that the device accepted."""
        return self._receipts.witnessed()

    def confirmed(self) -> Position | None:
        """Return the newest place that a verified receipt covers."""
        return self._chain.confirmed()

    def oldest(self) -> Position | None:
        """Return the oldest place that still has a row."""
        return next((place.position for place in self._records.places(FIRST)), None)

    def digest_at(self, position: Position) -> bytes | None:
        """Return the digest of our record at ``position``; None where nothing here tells it any more."""
        return self._chain.digest_at(position)

    def has_unconfirmed(self) -> bool:
        """Tell cheaply whether there is anything that no receipt covers; for polling."""
        unconfirmed = (RecordState.PENDING, RecordState.DELIVERED)
        return self._delivery.first(*unconfirmed, after=FIRST) is not None

    def first_pending(self, *, after: Position | None = None) -> Position | None:
        """Return the oldest place behind ``after`` of whose record the cloud has said nothing."""
        return self._delivery.first(RecordState.PENDING, after=after or FIRST)

    def pending(self, *, after: Position | None, limit_bytes: int, limit_count: int) -> list[StoredRecord]:
        """Return what can be delivered of the records behind ``after``, in order, up to the limits.

        ``after`` None begins with the oldest. Delivered and confirmed ones are among them, for a cloud that
        lost them. Refused, broken and branched-off ones are passed over.
        """
        records: list[StoredRecord] = []
        size = 0
        for record in self._records.read_after(after or FIRST):
            if record.state in (RecordState.INVALID, RecordState.BRANCH):
                continue
            size += len(record.envelope)
            if size > limit_bytes or len(records) == limit_count:
                break
            records.append(record)
        return records

    def holes(self, *, after: Position | None) -> list[Hole]:
        """Return the places of the newest epoch behind ``after`` that are lost and not excused by a GAP yet.

        ``after``: where the cloud stands; None where it has nothing.
        """
        return self._chain.holes(after)

    def refused(self) -> list[StoredRecord]:
        """Return the records of the newest epoch that the cloud refused and no TOMBSTONE closes yet."""
        return self._chain.refused()

    def reset_needed(self) -> ResetReason | None:
        """Return why only a RESET may follow; None where the chain may go on."""
        reason = self._chain.reset_needed()
        if reason is None and self._guard is not None:
            with self._guard.turn():
                verdict = self._guard.judge()
            if verdict in (CounterVerdict.AHEAD, CounterVerdict.BEHIND):
                return ResetReason.COUNTER_AHEAD
        return reason

    def mark_delivered(self, positions: Iterable[Position]) -> None:
        """Note that the cloud has these; a confirmed record stays confirmed."""
        self._delivery.move(positions, RecordState.DELIVERED, only=[RecordState.PENDING])

    def mark_branch(self, positions: Iterable[Position]) -> None:
        """Note that the cloud keeps these beside the chain."""
        self._delivery.move(positions, RecordState.BRANCH, only=[RecordState.PENDING, RecordState.DELIVERED])

    def mark_refused(self, position: Position, reason: str) -> None:
        """Note that the cloud will never take this one. It stays, visible; a TOMBSTONE closes its place."""
        unconfirmed = (RecordState.PENDING, RecordState.DELIVERED)
        self._delivery.move([position], RecordState.INVALID, reason=reason, only=unconfirmed)

    def deliver_again(self, *, before_epoch: int) -> None:
        """Queue what is here of earlier epochs once more: the cloud has lost some of what it had."""
        self._store.write(lambda: self._chain.deliver_again(before_epoch=before_epoch))

    def damaged_rows(self) -> list[DamagedRow]:
        """Return what is left of broken records, to be given to the cloud once."""
        return self._records.damaged_unsent()

    def mark_damaged_sent(self, positions: Iterable[Position]) -> None:
        sql = "UPDATE damaged SET sent = 1 WHERE epoch = ? AND seq = ?"
        places = [(position.epoch, position.seq) for position in positions]
        self._store.write(lambda: self._store.db.conn.executemany(sql, places))

    def apply_receipt(self, envelope: bytes, receipt: Receipt, *, arrival: Arrival, tree_size: int) -> int:
        """Store a receipt that the caller has verified, and mark what it covers as confirmed.

        ``arrival``: of the answer that brought it. ``tree_size``: of its checkpoint, which the caller has
        shown to have grown out of :meth:`witnessed`. Returns how many records became confirmed. One older
        than the newest confirms, but is not cited.

        Raises:
            StorageError: RECEIPT_OTHER_DEVICE, RECEIPT_AHEAD or RECEIPT_FORK; then nothing is changed.
        """
        return self._store.write(
            lambda: self._receipts.apply(envelope, receipt, arrival=arrival, tree_size=tree_size)
        )

    def purge(self, *, now: datetime, retention: timedelta) -> int:
        """Delete records confirmed at least ``retention`` before ``now``, with their files; return how many.

        Ages count from the server time of the receipt, so ``now`` must be bounded by server time too. A
        record whose files the cloud does not have yet stays; so does everything while a broken page is in
        the way.
        """
        latest = time_text(now - retention)
        try:
            self._media.look_again()
            count, files = self._store.write(lambda: purge_confirmed(self._store, self._media, latest=latest))
        except StorageError as error:
            if error.code != "OUTBOX_CORRUPT":
                raise
            return 0
        self._media.delete_files(files)
        self._store.reserve.keep()
        return count

    def media_pending(self, *, with_record: bool = False, limit: int = MEDIA_BATCH) -> list[MediaFile]:
        """Return the next files to deliver, oldest first; see ``Media.pending``."""
        return self._media.pending(limit=limit, with_record=with_record)

    def media_done(self, sha256: bytes) -> None:
        """Note that the cloud has the whole file."""
        self._media.done(sha256)

    def media_of(self, position: Position) -> list[tuple[bytes, MediaState]]:
        return self._media.of_record(position)

    def get(self, attestation_id: str) -> StoredRecord | None:
        return self._records.get(attestation_id)

    def at(self, position: Position) -> StoredRecord | None:
        return self._records.at(position)

    def private(self, attestation_id: str) -> bytes:
        """Return what opens the record's commitments (personal data); empty where it has none."""
        return self._private.get(attestation_id)

    def newest(self, *, limit: int) -> list[StoredRecord]:
        """Return the newest records first; a broken one shows as DAMAGED."""
        return self._records.newest(limit=limit)

    def check(self, progress: Callable[[int], None] = lambda _read: None) -> CheckReport:
        """Read every record and look at SQLite's own structure; ``progress`` is told how many were read."""
        return self._records.check(progress)

    def stats(self) -> OutboxStats:
        return gather_stats(self._store, self._records, self._chain, self._receipts)

    def space(self) -> Space:
        """Look at the disk; room inside the store's own file counts as free."""
        with storage_errors():
            return look_at_space(self._store.path.parent, reusable_bytes=self._store.reusable_bytes())

    def check_ready(self) -> Space:
        """Refuse a new session whose record would not fit, or could not be stored; otherwise say how full.

        Raises:
            StorageError: DISK_RESERVE, EPOCH_NEEDED, STORE_ROLLED_BACK, DATA_KEY_MISSING or DATA_KEY_WRONG.
        """
        self._private.check_key()
        self._chain.check_may_go_on()
        if self.reset_needed():
            raise rolled_back()
        space = self.space()
        check_space(space)
        return space

    def _append(self, make: Callable[[ChainHead | None, Cited], SignedRecord]) -> StoredRecord:
        head = self.head()
        signed = make(head, self.cited())
        statement = parse_statement(parse_envelope(signed.envelope).payload)
        check_link(statement, head)
        self._chain.check_may_append(statement, head)
        if self._guard is not None:
            self._guard.begin(reset=is_reset(statement))
        new_head = next_head(statement, signed.envelope)
        record = _record(statement, new_head, signed.envelope)
        self._media.add(statement, signed.media)
        self._records.add(record)
        self._delivery.add(record)
        self._begun.end(statement.session.session_id)
        if signed.private:
            self._private.put(record.attestation_id, signed.private)
        self._chain.advance(statement, new_head)
        self._receipts.note_clock(statement.clock)
        return record

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._guard is None:
            yield
        else:
            with self._guard.turn():
                yield


def _record(statement: Statement, head: ChainHead, envelope: bytes) -> StoredRecord:
    return StoredRecord(
        attestation_id=statement.attestation_id,
        epoch=head.epoch,
        seq=head.seq,
        sha256=head.sha256,
        envelope=envelope,
        state=RecordState.PENDING,
        reason="",
        created_at=statement.clock.wall_time.ToDatetime(tzinfo=UTC),
    )
