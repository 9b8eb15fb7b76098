"""When to ask, deliver, mend, wait and stop: the sync daemon's rules as a pure state machine.

    state       event          next state               because
    IDLE        Wake           PULLING or DELIVERING    records wait; last asked long ago, or just now
    IDLE        Timer, Called  PULLING                  time to look again; a person asks
    (IDLE,      RenewalDue     RENEWING                 half of the certificates' life is over
     WAITING)
    RENEWING    Renewed        PULLING                  new certificates: go on
    RENEWING    Failed         PULLING, WAITING, HALTED renewed early; refused, and nothing helps
    PULLING     Pulled         PULLING                  more is waiting
    PULLING     Pulled         RESUMING or DELIVERING   all of it is here
    PULLING     Failed         RESUMING, ...            refused for good: deliver all the same; else by kind
    RESUMING    HeadAnswered   DELIVERING               both chains agree: send what is missing there
    RESUMING    HeadAnswered   REPAIRING                they do not: record holes, or begin a new epoch
    RESUMING    HeadAnswered   HALTED                   mending does not help
    REPAIRING   Repaired       DELIVERING               our own notes go first: others wait for them
    DELIVERING  BatchAnswered  DELIVERING               the next batch
    DELIVERING  BatchAnswered  REPAIRING                a record is refused for good: a tombstone, and on
    DELIVERING  BatchAnswered  RESUMING                 a fork, or out of order: compare both chains
    DELIVERING  BatchAnswered  WAITING or HALTED        no progress; our own notes are refused
    DELIVERING  SpanSent       DELIVERING               the next span
    DELIVERING  SpanSent       UPLOADING or IDLE        all confirmed; errands or media wait, or nothing does
    DELIVERING  SpanSent       RESUMING or WAITING      not confirmed: look again, at once or later
    UPLOADING   MediaStepped   UPLOADING, IDLE          one chunk after the other
    UPLOADING   MediaStepped   PULLING, ...             new records go first
    any of them Failed         RENEWING                 the cloud does not accept the certificates: renew once
    any of them Failed         WAITING or HALTED        by kind of failure
    WAITING     Timer, Called  PULLING, ...             the back-off is over; a person asks
    WAITING     Wake           PULLING, ... or WAITING  a new record; not before the first delay is over
    HALTED      Timer, Called  PULLING, ...             a person may have removed the cause

Nothing is ever given up: WAITING retries for ever with growing, capped, fully jittered delays, HALTED
looks again at a slow fixed pace and says why. Times are monotonic seconds, ``jitter`` lies in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from edge.model import Position
from edge.rpc import FailureKind, RpcFailure
from edge.sync import says
from edge.sync.batch import Batch, marks_of, sort_results
from edge.sync.compare import START, Bury, Mend, NewEpoch, Send, before, judge_chains, place
from edge.sync.events import (
    AskHead,
    BatchAnswered,
    Called,
    Command,
    DeliverAgain,
    Disconnect,
    Event,
    Failed,
    HeadAnswered,
    Lock,
    MediaStepped,
    Pulled,
    PullPage,
    RecordHoles,
    RecordTombstone,
    Renew,
    RenewalDue,
    Renewed,
    Repaired,
    SendBatch,
    SendMedia,
    Span,
    SpanSent,
    StartEpoch,
    Timer,
    Trouble,
    Wake,
)
from edge.sync.pacing import BACKOFF_FIRST_S, backoff_s
from verifield.chain import ChainHead


class State(Enum):
    IDLE = auto()
    RENEWING = auto()
    PULLING = auto()
    RESUMING = auto()
    REPAIRING = auto()
    DELIVERING = auto()
    UPLOADING = auto()
    WAITING = auto()
    HALTED = auto()


HALT_RECHECK_S = 3600.0
"""Often enough that a cause removed in the cloud takes effect the same day, rare enough to be no load."""

AUTH_RECHECK_S = 900.0
"""A portal that intercepts TLS, or an account that is being looked into, is often mended within minutes."""

IDLE_CHECK_S = 300.0
"""How long a quiet device goes without asking what is new: a lock takes effect within this."""

FRESH_S = 60.0
"""What was pulled or asked within this is not asked for again before a delivery."""

SWEEP_S = 3600.0
"""How often records that the cloud keeps back are sent again, in case it has lost them."""

RENEW_INTERVAL_S = 3600.0
"""A refusal that new certificates did not mend is not mended by newer ones."""

RENEW_RETRY_S = 300.0
"""For one that did not come through: where certificates have expired, a link that is back needs it first."""

RENEW_AFTER_FAILURES = 6
"""A server that refuses an expired certificate within TLS looks like a dead link: after a minute or two of
failures a renewal is tried, which needs no certificate. Where the link is dead, it costs one more call."""

MAX_REPAIRS = 8
"""More notes in a row, none of which brings the chain on, are a bug here or there, and no remedy."""

DEVICE_REVOKED = "DEVICE_REVOKED"

_CONTACT = frozenset({State.PULLING, State.RESUMING, State.DELIVERING})
_FAILURE = frozenset({State.RENEWING, State.WAITING, State.HALTED})

TRANSITIONS: dict[tuple[State, type[Event]], frozenset[State]] = {
    (State.IDLE, Wake): _CONTACT,
    (State.IDLE, Timer): _CONTACT,
    (State.IDLE, Called): _CONTACT,
    (State.IDLE, RenewalDue): frozenset({State.RENEWING}),
    (State.RENEWING, Renewed): _CONTACT,
    (State.RENEWING, Failed): _CONTACT | {State.WAITING, State.HALTED},
    (State.PULLING, Pulled): _CONTACT,
    (State.PULLING, Failed): _CONTACT | _FAILURE,
    (State.RESUMING, HeadAnswered): frozenset({State.DELIVERING, State.REPAIRING, State.HALTED}),
    (State.RESUMING, Failed): _FAILURE,
    (State.REPAIRING, Repaired): frozenset({State.DELIVERING}),
    (State.REPAIRING, Failed): _FAILURE,
    (State.DELIVERING, BatchAnswered): frozenset(
        {State.DELIVERING, State.REPAIRING, State.RESUMING, State.WAITING, State.HALTED}
    ),
    (State.DELIVERING, SpanSent): frozenset(
        {State.DELIVERING, State.UPLOADING, State.IDLE, State.RESUMING, State.WAITING}
    ),
    (State.DELIVERING, Failed): _FAILURE,
    (State.UPLOADING, MediaStepped): _CONTACT | {State.UPLOADING, State.IDLE},
    (State.UPLOADING, Failed): _FAILURE,
    (State.WAITING, Timer): _CONTACT,
    (State.WAITING, Called): _CONTACT,
    (State.WAITING, Wake): _CONTACT | {State.WAITING},
    (State.WAITING, RenewalDue): frozenset({State.RENEWING}),
    (State.HALTED, Timer): _CONTACT,
    (State.HALTED, Called): _CONTACT,
}


class IllegalEvent(Exception):
    """An event that the state does not allow: a bug in the pump."""


Step = tuple["SyncMachine", tuple[Command, ...]]


@dataclass(frozen=True, slots=True)
class SyncMachine:
    """Immutable; ``handle`` returns the next one with the commands to carry out, in order.

    ``until``: when IDLE, WAITING or HALTED ends; ``earliest``: when a new record may end WAITING.
    ``trouble``: why it waits or halts; ``aside``: the newest that a person should know as well. ``cursor``:
    the cloud has all through here, or None. ``attempts``: failures since progress. ``epoch``: ours;
    ``forked``: the one of ours that the cloud contradicted, 0 for none. ``conflict``: what a receipt
    contradicts, until the chains are compared. ``lost_at``: where the cloud stood when it lacked records.
    """

    state: State = State.IDLE
    until: float = 0.0
    earliest: float = 0.0
    trouble: Trouble | None = None
    aside: Trouble | None = None
    cursor: Position | None = None
    spans: tuple[Span, ...] = ()
    attempts: int = 0
    progress: bool = False
    repairs: int = 0
    epoch: int = 1
    forked: int = 0
    conflict: Trouble | None = None
    held_back: bool = False
    lost_at: ChainHead | None = None
    renew_after: float = float("-inf")
    renewing_for: RpcFailure | None = None
    pulled_at: float = float("-inf")
    asked_at: float = float("-inf")
    swept_at: float = float("-inf")

    def handle(self, event: Event, *, now: float, jitter: float) -> Step:
        """Advance.

        Raises:
            IllegalEvent: the event does not belong to this state.
        """
        allowed = TRANSITIONS.get((self.state, type(event)))
        if allowed is None:
            raise IllegalEvent(f"{type(event).__name__} in {self.state.name}")
        machine, commands = self._next(event, now, jitter)
        if machine.state not in allowed:
            raise IllegalEvent(f"{self.state.name} to {machine.state.name} by {type(event).__name__}")
        return machine, commands

    def may_renew(self, now: float) -> bool:
        """Whether a renewal that is due may be tried now."""
        return now >= self.renew_after and (self.state, RenewalDue) in TRANSITIONS

    def _next(self, event: Event, now: float, jitter: float) -> Step:  # noqa: PLR0912 - one case an event
        match event:
            case Wake() if self.state is State.WAITING and now < self.earliest:
                return replace(self, until=min(self.until, self.earliest)), ()
            case Wake():
                return self._contact(now)
            case Timer():
                return replace(self, cursor=None)._contact(now)
            case Called():
                return replace(self, cursor=None, attempts=0, pulled_at=float("-inf"))._contact(now)
            case RenewalDue():
                return self._renew(None, now)
            case Renewed():
                return replace(self, renewing_for=None, aside=None)._contact(now)
            case Pulled(more):
                return (self, (PullPage(),)) if more else replace(self, pulled_at=now)._after_pull(now)
            case HeadAnswered():
                return self._after_head(event, now)
            case Repaired(first, last):
                spans = (Span(before(first), last), *self.spans)
                return replace(self, epoch=first.epoch)._deliver(spans)
            case BatchAnswered():
                return self._after_batch(event, now, jitter)
            case SpanSent():
                return self._after_span(event, now, jitter)
            case MediaStepped():
                return self._after_media(event, now, jitter)
            case Failed(failure):
                return self._after_failure(failure, now, jitter)

    def _contact(self, now: float) -> Step:
        """Begin to talk: first what the device must know, then what the cloud must."""
        machine = replace(self, progress=False)
        if now - self.pulled_at >= FRESH_S:
            return replace(machine, state=State.PULLING), (PullPage(),)
        return machine._after_pull(now)

    def _after_pull(self, now: float) -> Step:
        if self.cursor is not None and now - self.asked_at < FRESH_S:
            return self._deliver((Span(self.cursor),))
        return self._resume()

    def _resume(self) -> Step:
        return replace(self, state=State.RESUMING, cursor=None, spans=()), (AskHead(),)

    def _deliver(self, spans: tuple[Span, ...]) -> Step:
        return replace(self, state=State.DELIVERING, spans=spans), (SendBatch(spans[0]),)

    def _after_head(self, event: HeadAnswered, now: float) -> Step:
        head = event.local.head
        epoch = head.epoch if head else 1
        sweep = now - self.swept_at >= SWEEP_S
        judgement = judge_chains(event.cloud, event.local, forked=self.forked == epoch, sweep=sweep)
        machine = replace(self, epoch=epoch, asked_at=now, progress=False)
        if not isinstance(judgement, Send):
            return machine._repair(judgement, event, now)
        if self.conflict is not None:  # the receipt contradicts what the cloud itself says
            return replace(machine, conflict=None)._halt(self.conflict, now)
        spans = judgement.spans
        if not spans:
            spans = (Span(place(head) if head else START),)
        again = judgement.lost and epoch > 1 and (sweep or event.cloud.head != self.lost_at)
        swept = now if sweep and (judgement.held_back or again) else self.swept_at
        machine = replace(machine, held_back=judgement.held_back, swept_at=swept)
        if not again:
            return machine._deliver(spans)
        machine, commands = replace(machine, lost_at=event.cloud.head)._deliver(spans)
        return machine, (DeliverAgain(epoch), *commands)

    def _repair(self, judgement: Mend | Bury | NewEpoch, event: HeadAnswered, now: float) -> Step:
        machine = replace(self, state=State.REPAIRING, repairs=self.repairs + 1, conflict=None, spans=())
        if machine.repairs > MAX_REPAIRS:
            return self._halt(says.CANNOT_REPAIR, now)
        if isinstance(judgement, Mend):
            machine = replace(machine, aside=says.records_lost(judgement.holes))
            return machine, (RecordHoles(judgement.holes),)
        if isinstance(judgement, Bury):
            return machine, (RecordTombstone(judgement.position, judgement.reason),)
        machine = replace(machine, aside=says.NEW_EPOCH[judgement.reason], forked=0)
        return machine, (StartEpoch(event.cloud.head, judgement.reason),)

    def _after_batch(self, event: BatchAnswered, now: float, jitter: float) -> Step:
        batch = sort_results(event.results, epoch=self.epoch)
        progress = event.newly_confirmed > 0 or batch.progress
        last = event.results[-1].position
        machine = replace(
            self,
            spans=(replace(self.spans[0], after=last), *self.spans[1:]),
            progress=self.progress or progress,
            attempts=0 if progress else self.attempts,
            repairs=0 if batch.accepted or event.newly_confirmed else self.repairs,
            trouble=None if progress else self.trouble,
            forked=self.epoch if batch.forked else self.forked,
            conflict=event.conflict,
        )
        following, commands = machine._judge_batch(batch, now, jitter)
        return following, marks_of(batch) + commands

    def _judge_batch(self, batch: Batch, now: float, jitter: float) -> Step:
        if batch.excuse_refused is not None:
            return self._halt(says.excuse_refused(batch.excuse_refused), now)
        if batch.refused is not None:
            refused = batch.refused
            machine = replace(self, state=State.REPAIRING, aside=says.record_refused(refused))
            return machine, (RecordTombstone(refused.position, refused.reason),)
        if batch.forked or self.conflict is not None:
            return self._resume()
        if batch.out_of_order:
            return self._resume() if self.progress else self._wait(says.OUT_OF_ORDER, now, jitter)
        return self, (SendBatch(self.spans[0]),)

    def _after_span(self, event: SpanSent, now: float, jitter: float) -> Step:
        last, *rest = self.spans
        if rest:
            return self._deliver(tuple(rest))
        if event.unconfirmed:
            if self.progress:
                return self._resume()
            return self._wait(says.HELD_BACK if self.held_back else says.RECEIPT_MISSING, now, jitter)
        cursor = None if last.through else last.after
        machine = replace(self, cursor=cursor, spans=(), attempts=0, repairs=0)
        if event.media:
            return replace(machine, state=State.UPLOADING), (SendMedia(),)
        return machine._idle(now, jitter)

    def _after_media(self, event: MediaStepped, now: float, jitter: float) -> Step:
        machine = self if event.refused is None else replace(self, aside=event.refused)
        if event.records:
            return machine._contact(now)
        return (machine, (SendMedia(),)) if event.left else machine._idle(now, jitter)

    def _after_failure(self, failure: RpcFailure, now: float, jitter: float) -> Step:
        trouble = Trouble(failure.code, failure.message)
        if failure.code == DEVICE_REVOKED:
            halted, commands = self._halt(trouble, now)
            return halted, (Lock(), *commands)
        if self.state is State.RENEWING:
            return self._after_renewal_failed(failure, now, jitter)
        if self.state is State.PULLING and failure.kind is FailureKind.PERMANENT:
            return replace(self, aside=trouble, pulled_at=now)._after_pull(now)
        refused = failure.kind is FailureKind.AUTH or self.attempts + 1 >= RENEW_AFTER_FAILURES
        if refused and failure.kind is not FailureKind.PERMANENT and now >= self.renew_after:
            return self._renew(failure, now)
        return self._stop_for(failure, now, jitter)

    def _after_renewal_failed(self, failure: RpcFailure, now: float, jitter: float) -> Step:
        cause = self.renewing_for
        again = now + RENEW_RETRY_S if failure.kind is FailureKind.TRANSIENT else self.renew_after
        aside = Trouble(failure.code, failure.message)
        machine = replace(self, renewing_for=None, aside=aside, renew_after=again)
        if cause is None:  # the old certificates may serve for the other half of their life
            return machine._contact(now)
        if failure.kind is FailureKind.TRANSIENT and cause.kind is FailureKind.AUTH:
            return replace(machine, renew_after=now)._wait(Trouble(cause.code, cause.message), now, jitter)
        return machine._stop_for(cause, now, jitter)

    def _stop_for(self, failure: RpcFailure, now: float, jitter: float) -> Step:
        trouble = Trouble(failure.code, failure.message)
        if failure.kind is FailureKind.TRANSIENT:
            return self._wait(trouble, now, jitter)
        return self._halt(trouble, now, auth=failure.kind is FailureKind.AUTH)

    def _renew(self, cause: RpcFailure | None, now: float) -> Step:
        machine = replace(
            self, state=State.RENEWING, cursor=None, renewing_for=cause, renew_after=now + RENEW_INTERVAL_S
        )
        return machine, (Disconnect(), Renew())

    def _idle(self, now: float, jitter: float) -> Step:
        until = now + IDLE_CHECK_S * (0.8 + 0.4 * jitter)
        return replace(self, state=State.IDLE, until=until, attempts=0, trouble=None), ()

    def _wait(self, trouble: Trouble, now: float, jitter: float) -> Step:
        waiting = replace(
            self,
            state=State.WAITING,
            cursor=None,
            spans=(),
            attempts=self.attempts + 1,
            until=now + backoff_s(self.attempts, jitter),
            earliest=now + BACKOFF_FIRST_S,
            trouble=trouble,
        )
        return waiting, (Disconnect(),)

    def _halt(self, trouble: Trouble, now: float, *, auth: bool = False) -> Step:
        until = now + (AUTH_RECHECK_S if auth else HALT_RECHECK_S)
        halted = replace(self, state=State.HALTED, cursor=None, spans=(), until=until, trouble=trouble)
        return halted, (Disconnect(),)
