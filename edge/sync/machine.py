"""When to ask, deliver, wait and stop: the sync daemon's rules as a pure state machine.

    state       event          next state               because
    IDLE        Wake           RESUMING or DELIVERING   records wait; the cloud's head is not known, or is
    RESUMING    HeadAnswered   DELIVERING or HALTED     both chains agree, or contradict each other
    RESUMING    Failed         WAITING or HALTED        by kind of failure
    DELIVERING  BatchAnswered  DELIVERING               all taken: the next batch
    DELIVERING  BatchAnswered  RESUMING or WAITING      out of order: ask for the head, at once or later
    DELIVERING  BatchAnswered  HALTED                   FORK, or a record that the cloud will never take
    DELIVERING  Drained        IDLE, WAITING or HALTED  all confirmed; receipt missing; a record in the way
    DELIVERING  Failed         WAITING or HALTED        by kind of failure
    WAITING     Timer          RESUMING                 the back-off is over
    HALTED      Timer          RESUMING                 a person may have removed the cause

Nothing is ever given up: WAITING retries for ever with growing, capped, fully jittered delays, HALTED
looks again at a slow fixed pace and says why it stopped. Times are monotonic seconds, ``jitter`` is a
random number in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto

from edge.rpc import FailureKind, RpcFailure
from verifield.chain import ChainHead


class State(Enum):
    IDLE = auto()
    RESUMING = auto()
    DELIVERING = auto()
    WAITING = auto()
    HALTED = auto()


BACKOFF_FIRST_S = 1.0
BACKOFF_CAP_S = 300.0
"""A cloud that comes back is noticed within five minutes; a fleet does not hammer it."""

BACKOFF_MAX_EXPONENT = 9
"""2**9 s is past the cap; a larger exponent would only overflow after weeks offline."""

HALT_RECHECK_S = 3600.0
"""Often enough that a cause removed in the cloud takes effect the same day, rare enough to be no load."""


class Verdict(StrEnum):
    """What the cloud says of one record; names equal those of verifield.v1.DeliverStatus."""

    ACCEPTED = "ACCEPTED"
    ALREADY_HAVE = "ALREADY_HAVE"
    FORK = "FORK"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class RecordResult:
    """``reason``: the cloud's stable code, for INVALID."""

    seq: int
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LocalChain:
    """Our side of the comparison. ``sha256_at_cloud``: our digest at the cloud's seq, None where unknown."""

    head: ChainHead | None
    confirmed_seq: int
    oldest_seq: int | None
    sha256_at_cloud: bytes | None


@dataclass(frozen=True, slots=True)
class Wake:
    """Records wait, or the daemon has just started."""


@dataclass(frozen=True, slots=True)
class Timer:
    """The time in ``until`` has come."""


@dataclass(frozen=True, slots=True)
class HeadAnswered:
    """``cloud``: None when the cloud has nothing of this device yet."""

    cloud: ChainHead | None
    local: LocalChain


@dataclass(frozen=True, slots=True)
class BatchAnswered:
    """``results`` in seq order, one for each record sent; ``newly_confirmed``: by the receipt beside them."""

    results: tuple[RecordResult, ...]
    newly_confirmed: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing more can be sent. ``invalid``: seq and reason of the record in the way, if one is."""

    unconfirmed: bool
    invalid: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Failed:
    failure: RpcFailure


Event = Wake | Timer | HeadAnswered | BatchAnswered | Drained | Failed


@dataclass(frozen=True, slots=True)
class AskHead:
    """Ask the cloud where it stands; answer with HeadAnswered or Failed."""


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send what follows ``after_seq``; answer with BatchAnswered, Drained or Failed."""

    after_seq: int


@dataclass(frozen=True, slots=True)
class MarkDelivered:
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MarkInvalid:
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Drop the connection: the next attempt starts afresh."""


Command = AskHead | SendBatch | MarkDelivered | MarkInvalid | Disconnect


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the machine waits or halts: a stable code and a sentence for the operator."""

    code: str
    message: str


class IllegalEvent(Exception):
    """An event that the state does not allow: a bug in the pump."""


TRANSITIONS: dict[tuple[State, type[Event]], frozenset[State]] = {
    (State.IDLE, Wake): frozenset({State.RESUMING, State.DELIVERING}),
    (State.RESUMING, HeadAnswered): frozenset({State.DELIVERING, State.HALTED}),
    (State.RESUMING, Failed): frozenset({State.WAITING, State.HALTED}),
    (State.DELIVERING, BatchAnswered): frozenset(
        {State.DELIVERING, State.RESUMING, State.WAITING, State.HALTED}
    ),
    (State.DELIVERING, Drained): frozenset({State.IDLE, State.WAITING, State.HALTED}),
    (State.DELIVERING, Failed): frozenset({State.WAITING, State.HALTED}),
    (State.WAITING, Timer): frozenset({State.RESUMING}),
    (State.HALTED, Timer): frozenset({State.RESUMING}),
}


@dataclass(frozen=True, slots=True)
class SyncMachine:
    """Immutable; ``handle`` returns the next one with the commands to carry out, in order.

    ``cursor``: the newest seq that the cloud has, None while unknown. ``attempts``: failures since the
    last progress. ``until``: when WAITING or HALTED ends.
    """

    state: State = State.IDLE
    cursor: int | None = None
    attempts: int = 0
    until: float = 0.0
    trouble: Trouble | None = None

    def handle(self, event: Event, *, now: float, jitter: float) -> tuple[SyncMachine, tuple[Command, ...]]:
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

    def _next(self, event: Event, now: float, jitter: float) -> tuple[SyncMachine, tuple[Command, ...]]:
        match event:
            case Wake() if self.cursor is not None:
                return self._deliver(self.cursor)
            case Wake() | Timer():
                return self._resume()
            case HeadAnswered():
                verdict = judge_head(event.cloud, event.local)
                return self._halt(verdict, now) if isinstance(verdict, Trouble) else self._deliver(verdict)
            case BatchAnswered():
                return self._after_batch(event, now, jitter)
            case Drained():
                return self._after_drain(event, now, jitter)
            case Failed(failure):
                trouble = Trouble(failure.code, failure.message)
                if failure.kind is FailureKind.TRANSIENT:
                    return self._wait(trouble, now, jitter)
                return self._halt(trouble, now)

    def _after_batch(
        self, event: BatchAnswered, now: float, jitter: float
    ) -> tuple[SyncMachine, tuple[Command, ...]]:
        taken, bad = _split(event.results)
        marks: tuple[Command, ...] = (MarkDelivered(taken),) if taken else ()
        progress = event.newly_confirmed > 0 or any(
            item.verdict is Verdict.ACCEPTED for item in event.results
        )
        machine = replace(
            self,
            cursor=taken[-1] if taken else self.cursor,
            attempts=0 if progress else self.attempts,
            trouble=None if progress else self.trouble,
        )
        if bad is None:
            following, commands = machine._deliver(machine.cursor or 0)
        elif bad.verdict is Verdict.INVALID:
            marks += (MarkInvalid(bad.seq, bad.reason),)
            following, commands = machine._halt(_refused(bad.seq, bad.reason), now)
        elif bad.verdict is Verdict.FORK:
            following, commands = machine._halt(_fork(bad.seq), now)
        elif progress:
            following, commands = machine._resume()
        else:  # the cloud's head and its answers disagree: do not ask again at once
            following, commands = machine._wait(
                Trouble("OUT_OF_ORDER", "The cloud wants another record than the one after its head."),
                now,
                jitter,
            )
        return following, marks + commands

    def _after_drain(
        self, event: Drained, now: float, jitter: float
    ) -> tuple[SyncMachine, tuple[Command, ...]]:
        if event.invalid is not None:
            return self._halt(_refused(*event.invalid), now)
        if event.unconfirmed:
            return self._wait(
                Trouble("RECEIPT_MISSING", "The cloud took all records but gave no receipt for them yet."),
                now,
                jitter,
            )
        return replace(self, state=State.IDLE, attempts=0, trouble=None), ()

    def _resume(self) -> tuple[SyncMachine, tuple[Command, ...]]:
        return replace(self, state=State.RESUMING, cursor=None), (AskHead(),)

    def _deliver(self, after_seq: int) -> tuple[SyncMachine, tuple[Command, ...]]:
        return replace(self, state=State.DELIVERING, cursor=after_seq), (SendBatch(after_seq),)

    def _wait(self, trouble: Trouble, now: float, jitter: float) -> tuple[SyncMachine, tuple[Command, ...]]:
        waiting = replace(
            self,
            state=State.WAITING,
            cursor=None,
            attempts=self.attempts + 1,
            until=now + backoff_s(self.attempts, jitter),
            trouble=trouble,
        )
        return waiting, (Disconnect(),)

    def _halt(self, trouble: Trouble, now: float) -> tuple[SyncMachine, tuple[Command, ...]]:
        halted = replace(self, state=State.HALTED, cursor=None, until=now + HALT_RECHECK_S, trouble=trouble)
        return halted, (Disconnect(),)


def backoff_s(attempts: int, jitter: float) -> float:
    """Delay after ``attempts`` failures before this one: full jitter under a doubling, capped ceiling.

    Never under the first delay, so that no run of luck makes a busy loop.
    """
    ceiling = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2.0 ** min(attempts, BACKOFF_MAX_EXPONENT))
    return BACKOFF_FIRST_S + jitter * (ceiling - BACKOFF_FIRST_S)


def judge_head(cloud: ChainHead | None, local: LocalChain) -> int | Trouble:
    """Compare both chains: the seq after which to send, or why nothing may be sent.

    Where the cloud has records that no receipt of ours covers, its newest one is sent again: the
    answer brings the receipt that was lost.
    """
    cloud_seq = cloud.seq if cloud else 0
    local_seq = local.head.seq if local.head else 0
    if cloud_seq > local_seq:
        return Trouble(
            "STORE_BEHIND",
            f"The cloud has {cloud_seq} records of this device, the device only {local_seq}: its store was "
            "restored from a backup, or another device uses its identity.",
        )
    if cloud and local.head and cloud.epoch != local.head.epoch:
        return Trouble(
            "OTHER_EPOCH",
            f"The cloud is in epoch {cloud.epoch} of this device's chain, the device in {local.head.epoch}.",
        )
    if cloud and local.sha256_at_cloud is not None and local.sha256_at_cloud != cloud.sha256:
        return _fork(cloud_seq)
    after_seq = cloud_seq - 1 if cloud_seq > local.confirmed_seq else cloud_seq
    if after_seq < local_seq and (local.oldest_seq is None or local.oldest_seq > after_seq + 1):
        return Trouble(
            "GAP", f"The cloud wants record {after_seq + 1}, which this device has deleted after a receipt."
        )
    return after_seq


def _split(results: tuple[RecordResult, ...]) -> tuple[tuple[int, ...], RecordResult | None]:
    """The seqs taken before the first that was not, and that one."""
    taken: list[int] = []
    for item in results:
        if item.verdict not in (Verdict.ACCEPTED, Verdict.ALREADY_HAVE):
            return tuple(taken), item
        taken.append(item.seq)
    return tuple(taken), None


def _fork(seq: int) -> Trouble:
    return Trouble(
        "FORK",
        f"The cloud has another record {seq} of this device: two devices may use one identity, or the store "
        "was restored from a backup. Stop verifying with this device and call for help.",
    )


def _refused(seq: int, reason: str) -> Trouble:
    return Trouble(
        "RECORD_REFUSED",
        f"The cloud will not take record {seq} ({reason}). It is kept, and later records wait behind it "
        "until an operator acts: remove the cause, then retry the record.",
    )
