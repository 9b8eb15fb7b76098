"""One person's sign-in as a pure state machine.

    state       event    next state   command                because
    SIGNED_OUT  Ask      CHECKING     CountAttempt           the wait is over
    SIGNED_OUT  Ask      SIGNED_OUT   Refuse(BLOCKED)        there is time left to wait
    CHECKING    Counted  CHECKING     CheckFactors           the attempt is durable, whatever happens next
    CHECKING    Busy     SIGNED_OUT   Refuse(BUSY)           another attempt was made at the same time
    CHECKING    Judged   SIGNED_IN    ForgiveAttempts        every factor given has passed
    CHECKING    Judged   SIGNED_OUT   Refuse(WRONG)          one has not
    SIGNED_IN   Active   SIGNED_IN                           somebody works
    SIGNED_IN   Tick     SIGNED_IN                           not idle for long
    SIGNED_IN   Tick     SIGNED_OUT   Forget                 idle for too long
    SIGNED_IN   Leave    SIGNED_OUT   Forget                 the person signs out

An attempt counts as failed before it is judged, so that pulling the plug gains nothing. All times are
monotonic.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from edge.answers import Refusal
from edge.contact import Arrival
from edge.operators.lockout import counted, left_ns
from edge.state.records import Lockout

IDLE_LIMIT_NS = 5 * 60 * 1_000_000_000
"""Longer than any step of a session takes; short enough that a device left alone is soon nobody's."""


class State(Enum):
    SIGNED_OUT = auto()
    CHECKING = auto()
    SIGNED_IN = auto()


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody gives a factor. ``lockout``: as stored."""

    lockout: Lockout


@dataclass(frozen=True, slots=True)
class Counted:
    """The attempt is stored."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The stored failures are no longer those that were read."""


@dataclass(frozen=True, slots=True)
class Judged:
    passed: bool


@dataclass(frozen=True, slots=True)
class Active:
    """The person does something."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time goes by."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The person signs out."""


Event = Ask | Counted | Busy | Judged | Active | Tick | Leave


@dataclass(frozen=True, slots=True)
class CountAttempt:
    """Store ``new`` if ``known`` still stands; answer with Counted or Busy."""

    known: Lockout
    new: Lockout


@dataclass(frozen=True, slots=True)
class CheckFactors:
    """Compare what was given; answer with Judged."""


@dataclass(frozen=True, slots=True)
class ForgiveAttempts:
    """Store that there are no failures in a row any more."""

    known: Lockout


@dataclass(frozen=True, slots=True)
class Refuse:
    """``left_ns``: how long the next attempt has to wait."""

    refusal: Refusal
    left_ns: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop every key that was opened for this person."""


Command = CountAttempt | CheckFactors | ForgiveAttempts | Refuse | Forget


class IllegalEvent(Exception):
    """An event that the state does not allow: a bug in the pump."""


TRANSITIONS: dict[tuple[State, type[Event]], frozenset[State]] = {
    (State.SIGNED_OUT, Ask): frozenset({State.CHECKING, State.SIGNED_OUT}),
    (State.CHECKING, Counted): frozenset({State.CHECKING}),
    (State.CHECKING, Busy): frozenset({State.SIGNED_OUT}),
    (State.CHECKING, Judged): frozenset({State.SIGNED_IN, State.SIGNED_OUT}),
    (State.SIGNED_IN, Active): frozenset({State.SIGNED_IN, State.SIGNED_OUT}),
    (State.SIGNED_IN, Tick): frozenset({State.SIGNED_IN, State.SIGNED_OUT}),
    (State.SIGNED_IN, Leave): frozenset({State.SIGNED_OUT}),
}


@dataclass(frozen=True, slots=True)
class SignIn:
    """Immutable; ``handle`` returns the next one with the commands to carry out.

    ``lockout``: with the attempt under way. ``active_ns``: when the person last did something.
    """

    state: State = State.SIGNED_OUT
    lockout: Lockout = field(default_factory=Lockout)
    active_ns: int = 0

    def handle(self, event: Event, *, now: Arrival) -> tuple[SignIn, tuple[Command, ...]]:
        """Advance.

        Raises:
            IllegalEvent: the event does not belong to this state.
        """
        allowed = TRANSITIONS.get((self.state, type(event)))
        if allowed is None:
            raise IllegalEvent(f"{type(event).__name__} in {self.state.name}")
        machine, commands = self._next(event, now)
        if machine.state not in allowed:
            raise IllegalEvent(f"{self.state.name} to {machine.state.name} by {type(event).__name__}")
        return machine, commands

    def _next(self, event: Event, now: Arrival) -> tuple[SignIn, tuple[Command, ...]]:
        match event:
            case Ask(lockout):
                if left := left_ns(lockout, now):
                    return replace(self, lockout=lockout), (Refuse(Refusal.BLOCKED, left),)
                new = counted(lockout, now)
                return replace(self, state=State.CHECKING, lockout=new), (CountAttempt(lockout, new),)
            case Counted():
                return self, (CheckFactors(),)
            case Busy():
                return SignIn(), (Refuse(Refusal.BUSY, 0),)
            case Judged(passed=True):
                signed_in = SignIn(State.SIGNED_IN, Lockout(), now.monotonic_ns)
                return signed_in, (ForgiveAttempts(self.lockout),)
            case Judged():
                return SignIn(), (Refuse(Refusal.WRONG, left_ns(self.lockout, now)),)
            case Active() | Tick():
                if now.monotonic_ns - self.active_ns >= IDLE_LIMIT_NS:
                    return SignIn(), (Forget(),)
                active = now.monotonic_ns if isinstance(event, Active) else self.active_ns
                return replace(self, active_ns=active), ()
            case Leave():
                return SignIn(), (Forget(),)
