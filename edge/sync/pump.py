"""Carries out what the sync machine says, one call at a time, and tells it what came of that.

A receipt is verified against the pinned root and the log seen before it is handed to the outbox, and only
the outbox, which compares it with its own digest, marks anything as confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field

from edge.errors import EdgeError, StorageError
from edge.model import Position
from edge.ports import Clock
from edge.rpc import FailureKind, RpcFailure
from edge.sync.batch import sort_results
from edge.sync.compare import place
from edge.sync.events import (
    AskHead,
    BatchAnswered,
    Command,
    DeliverAgain,
    Disconnect,
    Event,
    Failed,
    HeadAnswered,
    Lock,
    MarkBranch,
    MarkDelivered,
    MarkRefused,
    MediaStepped,
    Pulled,
    PullPage,
    RecordHoles,
    RecordResult,
    RecordTombstone,
    Renew,
    Renewed,
    Repaired,
    SendBatch,
    SendMedia,
    Span,
    SpanSent,
    StartEpoch,
    Trouble,
)
from edge.sync.look import local_chain
from edge.sync.machine import State, SyncMachine
from edge.sync.media import MediaQueue
from edge.sync.pacing import BatchSize
from edge.sync.ports import (
    Damaged,
    Outgoing,
    Uplink,
    UplinkError,
)
from edge.sync.taking import Parts, ReceiptTaker, read_arrival
from edge.sync.uplink import MAX_BATCH_RECORDS, MAX_DAMAGED, check_epoch, nonsense
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.errors import VerifieldError

FIRST_PAGE_ITEMS = 16
LARGEST_PAGE_ITEMS = 100
"""Of what comes down; a page that does not come through is halved."""

MAX_PAGES = 512
"""Of what comes down, one behind the other, before records go up again: tens of thousands of items."""

_UNFORESEEN = (VerifieldError, ValueError, OverflowError)
"""What reading an answer may raise that none of the checks knows: no answer may end the daemon."""

_STOPPED = (State.WAITING, State.HALTED)


@dataclass(slots=True)
class Pump:
    """One connection and one batch at a time. ``accept_log``: a person believes the log as it is now."""

    parts: Parts
    clock: Clock
    jitter: Callable[[], float]
    accept_log: InitVar[bool] = False
    machine: SyncMachine = field(default_factory=SyncMachine)
    delivered: int = 0
    storage_error: StorageError | None = None
    media: MediaQueue = field(init=False)
    receipts: ReceiptTaker = field(init=False)
    _size: BatchSize = field(default_factory=BatchSize)
    _page_items: int = FIRST_PAGE_ITEMS
    _pages: int = 0
    _uplink: Uplink | None = None

    def __post_init__(self, accept_log: bool) -> None:
        self.media = MediaQueue(self.parts.backlog, self.now)
        self.receipts = ReceiptTaker(self.parts, self.clock, accept_log=accept_log)

    def now(self) -> float:
        """Monotonic seconds."""
        return self.clock.monotonic_ns() / 1e9

    def handle(self, event: Event) -> Event | None:
        """Advance by one event; return the one that came of it, None when there is time to wait."""
        self.machine, commands = self.machine.handle(event, now=self.now(), jitter=self.jitter())
        following: Event | None = None
        for command in commands:
            following = self._carry_out(command)
            if isinstance(following, Failed):
                break
        stopped = self.machine.state in _STOPPED  # a mark that could not be made is made at the next contact
        return None if stopped else following

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        self.hang_up()
        self._uplink = None
        self.media.forget()

    def hang_up(self) -> None:
        """Break off the call under way, if there is one; also from another thread."""
        uplink = self._uplink
        if uplink is not None:
            uplink.close()

    def _carry_out(self, command: Command) -> Event | None:
        try:
            if not _is_mark(command):
                return self._ask(command)
            self._mark(command)
        except UplinkError as error:
            self._shrink(command)
            return Failed(error.failure)
        except StorageError as error:  # a full disk may have space again
            self.storage_error = error
            return Failed(RpcFailure(FailureKind.TRANSIENT, error.code, error.message))
        except _UNFORESEEN as error:
            return Failed(nonsense(_name_of(error)))
        return None

    def _ask(self, command: Command) -> Event | None:
        match command:
            case AskHead():
                cloud = self._connection().get_head()
                local = local_chain(self.parts.backlog, cloud)
                check_epoch(cloud.head, local.head)
                return HeadAnswered(cloud, local)
            case SendBatch(span):
                return self._send_batch(span)
            case PullPage():
                return self._pull()
            case SendMedia():
                refused = self._step_aside()
                records = self.parts.backlog.first_pending() is not None
                return MediaStepped(left=self._aside_waits(), records=records, refused=refused)
            case StartEpoch(cloud, reason):
                return _repaired([self.parts.chronicle.record_reset(cloud, reason)])
            case RecordHoles(holes):
                return _repaired([self.parts.chronicle.record_gap(hole) for hole in holes])
            case RecordTombstone(position, reason):
                self.parts.backlog.mark_refused(position, reason)
                return _repaired([self.parts.chronicle.record_tombstone(position, reason)])
            case Renew():
                failure = self.parts.renew()
                return Renewed() if failure is None else Failed(failure)
            case _:
                raise AssertionError(command)

    def _mark(self, command: Command) -> None:
        match command:
            case MarkDelivered(positions):
                self.parts.backlog.mark_delivered(positions)
                self.delivered += len(positions)
            case MarkBranch(positions):
                self.parts.backlog.mark_branch(positions)
            case MarkRefused(position, reason):
                self.parts.backlog.mark_refused(position, reason)
            case DeliverAgain(epoch):
                self.parts.backlog.deliver_again(before_epoch=epoch)
            case Lock():
                self.parts.downstream.revoked()
            case Disconnect():
                self.close()

    def _step_aside(self) -> Trouble | None:
        """Make one call for what goes after the records: errands are small and somebody waits for them."""
        for errand in self.parts.errands:
            if errand.waiting():
                return errand.step(self._connection())
        return self.media.step(self._connection())

    def _aside_waits(self) -> bool:
        return any(errand.waiting() for errand in self.parts.errands) or self.media.waiting()

    def _connection(self) -> Uplink:
        if self._uplink is None:
            self._uplink = self.parts.open_uplink()
        return self._uplink

    def _shrink(self, command: Command) -> None:
        """What did not come through is tried with less."""
        if isinstance(command, SendBatch):
            self._size = self._size.after_failure()
        elif isinstance(command, PullPage):
            self._page_items = max(1, self._page_items // 2)

    def _pull(self) -> Event:
        """What comes down must not keep records from going up: a fault of it is PERMANENT to the machine."""
        downstream = self.parts.downstream
        try:
            cursor = downstream.cursor()
            page = self._connection().pull(cursor=cursor, page_size=self._page_items)
            downstream.take(page, arrival=read_arrival(self.clock))
            stuck = page.more and downstream.cursor() == cursor
        except EdgeError as error:
            return Failed(RpcFailure(FailureKind.PERMANENT, error.code, error.message))
        except _UNFORESEEN as error:
            return Failed(nonsense(_name_of(error), FailureKind.PERMANENT))
        self._pages = self._pages + 1 if page.more else 0
        if stuck or self._pages == MAX_PAGES:
            self._pages = 0
            return Failed(nonsense("its news have no end", FailureKind.PERMANENT))
        if page.more:
            self._page_items = min(2 * self._page_items, LARGEST_PAGE_ITEMS)
        return Pulled(page.more)

    def _send_batch(self, span: Span) -> Event:
        backlog = self.parts.backlog
        records = self._batch(span)
        if not records:
            return SpanSent(unconfirmed=self._unconfirmed(), media=self._aside_waits())
        damaged = _within(self._size.limit, backlog.damaged_rows()[:MAX_DAMAGED])
        seen = backlog.witnessed()
        started = self.now()
        results, answer = self._connection().deliver(
            records, damaged=damaged, witnessed_tree_size=seen.tree_size if seen else 0
        )
        sent = sum(len(record.envelope) for record in records)
        self._size = self._size.after_answer(sent=sent, took_s=self.now() - started)
        if damaged:
            backlog.mark_damaged_sent([row.position for row in damaged])
        self._mark_earlier(results)
        taken = self.receipts.take(answer)
        if isinstance(taken, RpcFailure):
            return Failed(taken)
        confirmed, conflict = (0, taken) if isinstance(taken, Trouble) else (taken, None)
        return BatchAnswered(results, confirmed, conflict)

    def _mark_earlier(self, results: Sequence[RecordResult]) -> None:
        """Note what the cloud has of earlier epochs before the receipt is applied, which settles that too."""
        epoch = self.machine.epoch
        batch = sort_results(tuple(one for one in results if one.position.epoch < epoch), epoch=epoch)
        if batch.delivered:
            self.parts.backlog.mark_delivered(batch.delivered)
        if batch.branch:
            self.parts.backlog.mark_branch(batch.branch)

    def _batch(self, span: Span) -> Sequence[Outgoing]:
        """The next records of the span; the first of them whatever its size."""
        found = self.parts.backlog.pending(
            after=span.after,
            limit_bytes=max(self._size.limit, MAX_ENVELOPE_BYTES),
            limit_count=MAX_BATCH_RECORDS,
        )
        if not found or (span.through and found[0].position > span.through):
            found = self._refused_again(span)
        size = 0
        records: list[Outgoing] = []
        for record in found:
            size += len(record.envelope)
            if (records and size > self._size.limit) or (span.through and record.position > span.through):
                break
            records.append(record)
        return records

    def _refused_again(self, span: Span) -> Sequence[Outgoing]:
        """Refused records that the cloud waits for, having lost them: their TOMBSTONEs name their bytes."""
        after, through = span.after, span.through
        if through is None or through.epoch != after.epoch:
            return []
        last = min(through.seq, after.seq + MAX_BATCH_RECORDS)
        places = (Position(after.epoch, seq) for seq in range(after.seq + 1, last + 1))
        found = (self.parts.backlog.at(place) for place in places)
        return [record for record in found if record is not None and record.state == "INVALID"]

    def _unconfirmed(self) -> bool:
        head, confirmed = self.parts.backlog.head(), self.parts.backlog.confirmed()
        if head is not None and (confirmed is None or confirmed < place(head)):
            return True
        return self.parts.backlog.first_pending() is not None


def _is_mark(command: Command) -> bool:
    return isinstance(command, MarkDelivered | MarkBranch | MarkRefused | DeliverAgain | Lock | Disconnect)


def _name_of(error: Exception) -> str:
    """Its code or its kind, never its text, which may hold what the answer held."""
    return error.code if isinstance(error, VerifieldError) else type(error).__name__


def _repaired(records: Sequence[Outgoing]) -> Repaired:
    return Repaired(records[0].position, records[-1].position)


def _within(limit: int, rows: Sequence[Damaged]) -> Sequence[Damaged]:
    """As many as fit, but one at least."""
    size = 0
    fitting: list[Damaged] = []
    for row in rows:
        size += len(row.content)
        if fitting and size > limit:
            break
        fitting.append(row)
    return fitting
