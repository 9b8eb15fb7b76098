"""The conversation with a SAM_V module: what to send next, what a reply means, when to give up. Pure.

A reply names neither its command nor a number, so a late one looks like the answer to the next
command. Four rules keep one person's data from another:

1. A reply must have the shape that its command asks for; anything else is a loss of step.
2. After a loss of step or a time-out: listen until the line is quiet, then ask for the status and take
   nothing but an exact "ok".
3. A record counts only if find, select and read succeeded in one run without an interruption.
4. A record is handed out only after one more find was answered in step: a module answers in order, so
   a stale record that slipped in before the true one is found out here and thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge.model import Prompt
from edge.reader import status
from edge.reader.link import Reply, encode_command
from edge.reader.messages import (
    ClearLink,
    Command,
    Event,
    Failed,
    Got,
    Heard,
    Open,
    Opened,
    Read,
    Record,
    Send,
    Show,
    Tick,
)
from edge.reader.sam_id import SAM_ID_BYTES, parse_sam_id


class State(StrEnum):
    CLOSED = "CLOSED"  # before Open
    DRAIN = "DRAIN"  # listening until the line is quiet
    STATUS = "STATUS"
    MAX_RF = "MAX_RF"
    SAM_ID = "SAM_ID"
    READY = "READY"  # nothing under way
    FIND = "FIND"
    POLL_WAIT = "POLL_WAIT"  # no card: pausing before the next find
    SELECT = "SELECT"
    READ = "READ"
    ADDRESS = "ADDRESS"  # where the person moved to since the card was made
    CONFIRM = "CONFIRM"  # a record is held back until one more find is answered
    AWAY = "AWAY"  # find, in the hope that the card is gone
    AWAY_WAIT = "AWAY_WAIT"
    RESET = "RESET"
    FAILED = "FAILED"  # the module is of no use; the next Read starts again at DRAIN


class Outcome(StrEnum):
    """What an event means to the state that it reaches. The middle ones equal ``status.Retry``."""

    OK = "OK"
    NO_CARD = "NO_CARD"
    RESEND = "RESEND"
    RESTART = "RESTART"
    LIFT = "LIFT"
    NEVER = "NEVER"
    CARD_REFUSED = "CARD_REFUSED"
    RESET = "RESET"
    DEAD = "DEAD"
    NO_ITEM = "NO_ITEM"  # the card has none
    MISFIT = "MISFIT"  # a reply of the wrong shape, or one that nobody asked for
    TIMEOUT = "TIMEOUT"
    DUE = "DUE"  # a pause or the quiet is over


TRANSITIONS: dict[tuple[State, Outcome], State] = {
    (State.DRAIN, Outcome.DUE): State.STATUS,
    (State.STATUS, Outcome.OK): State.MAX_RF,  # where the SAM id is known: FIND, or READY without a Read
    (State.MAX_RF, Outcome.OK): State.SAM_ID,
    (State.MAX_RF, Outcome.NEVER): State.SAM_ID,  # older firmware knows no such command and needs it not
    (State.MAX_RF, Outcome.RESTART): State.SAM_ID,
    (State.SAM_ID, Outcome.OK): State.READY,  # or FIND where a Read waits
    (State.FIND, Outcome.OK): State.SELECT,
    (State.FIND, Outcome.NO_CARD): State.POLL_WAIT,
    (State.POLL_WAIT, Outcome.DUE): State.FIND,
    (State.SELECT, Outcome.OK): State.READ,
    (State.READ, Outcome.OK): State.ADDRESS,  # or CONFIRM, where the module was deaf to that before
    (State.ADDRESS, Outcome.OK): State.CONFIRM,
    (State.ADDRESS, Outcome.NO_ITEM): State.CONFIRM,
    (State.ADDRESS, Outcome.NEVER): State.CONFIRM,  # older firmware knows no such command
    (State.ADDRESS, Outcome.RESTART): State.CONFIRM,  # the card is gone; what was read of it is whole
    (State.CONFIRM, Outcome.NO_CARD): State.READY,  # the module wants the card lifted first
    (State.CONFIRM, Outcome.OK): State.READY,  # a module that does not insist on it
    (State.AWAY, Outcome.OK): State.AWAY_WAIT,
    (State.AWAY_WAIT, Outcome.DUE): State.AWAY,
    (State.AWAY, Outcome.NO_CARD): State.POLL_WAIT,
    (State.RESET, Outcome.OK): State.DRAIN,
}

DEFAULTS: dict[Outcome, State] = {  # where the table above says nothing
    Outcome.NO_CARD: State.FIND,
    Outcome.RESTART: State.FIND,
    Outcome.LIFT: State.AWAY,
    Outcome.NEVER: State.FAILED,
    Outcome.CARD_REFUSED: State.READY,
    Outcome.RESET: State.RESET,
    Outcome.DEAD: State.FAILED,
    Outcome.MISFIT: State.DRAIN,
    Outcome.TIMEOUT: State.DRAIN,
}

_HOPELESS = {
    Outcome.NEVER: "READER_REFUSED",
    Outcome.DEAD: "READER_OUT_OF_SERVICE",
    Outcome.CARD_REFUSED: "CARD_TYPE_UNKNOWN",
}
_OPENING = frozenset({State.STATUS, State.MAX_RF, State.SAM_ID, State.RESET})
_ABOUT_A_CARD = frozenset({Outcome.NO_CARD, Outcome.RESTART, Outcome.LIFT, Outcome.CARD_REFUSED})
_ON_A_CARD = frozenset({State.SELECT, State.READ, State.ADDRESS, State.CONFIRM})
_HOLDING = frozenset({State.ADDRESS, State.CONFIRM})
_DEAF = frozenset({State.CLOSED, State.DRAIN, State.FAILED})
_PAUSES = frozenset({State.POLL_WAIT, State.AWAY_WAIT})


@dataclass(frozen=True, slots=True)
class Ask:
    """A command, the shape of its success, and the module's own time for it."""

    frame: bytes
    success: int
    data_bytes: int
    budget_s: float


ADDRESS_BYTES = 70
MAX_RF_BYTES = 80  # what public drivers set

_FIND = Ask(encode_command(0x20, 0x01), status.CARD_FOUND, 4, 0.5)
ASKS: dict[State, Ask] = {
    State.STATUS: Ask(encode_command(0x11, 0xFF), status.OK, 0, 0.3),
    State.MAX_RF: Ask(encode_command(0x61, 0xFF, bytes([MAX_RF_BYTES])), status.OK, 0, 0.3),
    State.SAM_ID: Ask(encode_command(0x12, 0xFF), status.OK, SAM_ID_BYTES, 0.3),
    State.FIND: _FIND,
    State.SELECT: Ask(encode_command(0x20, 0x02), status.OK, 8, 0.5),
    State.READ: Ask(encode_command(0x30, 0x01), status.OK, 4 + 256 + 1024, 2.0),
    State.ADDRESS: Ask(encode_command(0x30, 0x03), status.OK, ADDRESS_BYTES, 1.5),
    State.CONFIRM: _FIND,
    State.AWAY: _FIND,
    State.RESET: Ask(encode_command(0x10, 0xFF), status.OK, 0, 1.0),
}

QUIET_S = 0.2  # no byte for so long means that nothing more is on its way
DRAIN_LIMIT_S = 3.0  # longer than the longest reply at 9600 baud: what still talks is no module
POLL_S = 0.3  # between two finds without a card: prompt for a person, restful for the module
PROMPT_TURN_S = 2.0  # a person's time to obey before the other request is shown
MAX_RESTARTS = 3  # of one Read
MAX_LIFTS = 1  # of one Read; then the card is refused
MAX_ADDRESS_SILENCES = 2  # a module that says nothing to this command would never read a card
MAX_RESYNCS = 3  # without a good status between them; then the module is reset, once
_REPLY_FRAME_BYTES = 7 + 4  # of a reply without data
_BITS_PER_BYTE = 10  # 8N1
_WIRE_SLACK = 1.2  # USB adapters and busy hosts


def judge_reply(ask: Ask, reply: Reply) -> Outcome:
    """Say what ``reply`` means as the answer to ``ask``."""
    if (ask.data_bytes, reply.status, len(reply.data)) == (ADDRESS_BYTES, status.NO_ITEM, 0):
        return Outcome.NO_ITEM
    if reply.status in status.SUCCESSES:
        fits = reply.status == ask.success and len(reply.data) == ask.data_bytes
        # SW1 and SW2 may come from the card, so they count only where no card has a part.
        exact = ask.data_bytes > 0 or (reply.sw1, reply.sw2) == (0, 0)
        return Outcome.OK if fits and exact else Outcome.MISFIT
    if reply.data:
        return Outcome.MISFIT
    return Outcome(status.failure(reply.status).retry.value)


class Dialogue:
    """One module on one port. ``handle`` each event and carry out what it returns, in order."""

    def __init__(self, *, baud: int) -> None:
        self.state = State.CLOSED
        self._baud = baud
        self._sam_id = ""
        self._deadline = 0.0  # of the ask, or the end of the pause
        self._heard_at = self._drain_from = 0.0
        self._until: float | None = None  # of the Read under way
        self._held = bytearray()  # the record that awaits its confirmation
        self._address = bytearray()  # that belongs to it
        self._address_silences = 0  # one after the other, over all reads
        self._resent = self._was_reset = False
        self._restarts = self._lifts = self._resyncs = 0
        self._lift_first = False  # a card that was read, or nearly, may still lie there
        self._prompt_from: float | None = None
        self._shown: Prompt | None = None
        self._failure = 0  # the last status that was no success

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event at monotonic time ``now`` (seconds) and return what to do."""
        match event:
            case Open():
                return self._enter(State.DRAIN, now)
            case Read(until):
                return self._begin_read(until, now)
            case Heard():
                self._heard_at = now
                return []
            case Got(reply):
                return self._on_reply(reply, now)
            case Tick():
                return self._on_tick(now)

    def _begin_read(self, until: float, now: float) -> list[Command]:
        if self.state is State.CLOSED:
            raise RuntimeError("Read comes after Open")
        self._until = until
        self._restarts = self._lifts = self._resyncs = 0
        self._was_reset = False
        self._prompt_from = self._shown = None
        return self._enter(State.FIND if self.state is State.READY else State.DRAIN, now)

    def _on_reply(self, reply: Reply, now: float) -> list[Command]:
        if self.state in _DEAF:
            reply.wipe()
            return []
        said = [one for one in (self._held, self._address) if one]
        if self.state in _HOLDING and reply.data in said:
            reply.wipe()  # the module said the same twice: no harm, and no answer to the find
            return []
        ask = ASKS.get(self.state)
        outcome = judge_reply(ask, reply) if ask else Outcome.MISFIT
        self._failure = reply.status
        commands: list[Command] = []
        if outcome is Outcome.OK and self.state is State.READ:
            self._held = reply.data
        elif outcome is Outcome.OK and self.state is State.ADDRESS:
            self._address = reply.data
            self._address_silences = 0
        elif outcome is Outcome.OK and self.state is State.SAM_ID:
            sam_id = parse_sam_id(reply.data)
            if sam_id is None:
                outcome = Outcome.MISFIT
            else:
                self._sam_id = sam_id
                commands.append(Opened(sam_id))
        else:
            reply.wipe()
        return commands + self._step(outcome, now)

    def _on_tick(self, now: float) -> list[Command]:
        if self.state is State.DRAIN:
            if now - self._heard_at >= QUIET_S:
                return [ClearLink(), *self._step(Outcome.DUE, now)]
            if now - self._drain_from >= DRAIN_LIMIT_S:
                return self._fail("READER_GARBLED", State.FAILED)
        elif self.state in _PAUSES and now >= self._deadline:
            return self._step(Outcome.DUE, now)
        elif self.state in ASKS and now >= self._deadline:
            return self._step(Outcome.TIMEOUT, now)
        return []

    def _step(self, outcome: Outcome, now: float) -> list[Command]:
        """Follow the tables, within the limits on repetition."""
        if (self.state, outcome) in TRANSITIONS:
            return self._advance(outcome, now)
        if self.state in _OPENING and outcome in _ABOUT_A_CARD:
            outcome = Outcome.MISFIT  # no card was asked about
        if outcome in _HOPELESS:
            return self._fail(_HOPELESS[outcome], DEFAULTS[outcome])
        match outcome:
            case Outcome.RESEND:
                return self._resend(now)
            case Outcome.RESET:
                return self._reset("READER_OUT_OF_SERVICE", now)
            case Outcome.LIFT:
                return self._ask_to_lift(now)
            case Outcome.MISFIT | Outcome.TIMEOUT:
                if (self.state, outcome) == (State.ADDRESS, Outcome.TIMEOUT):
                    self._address_silences += 1
                self._resyncs += 1
                if self._resyncs > MAX_RESYNCS or (self.state, outcome) == (State.RESET, Outcome.TIMEOUT):
                    return self._reset("READER_SILENT", now)
        target = DEFAULTS[outcome]
        if self.state in _ON_A_CARD:
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                return self._fail("CARD_NOT_READABLE", State.READY if target is State.FIND else target)
        return self._enter(target, now)

    def _advance(self, outcome: Outcome, now: float) -> list[Command]:
        """Follow the first table, with what its steps bring along."""
        target = TRANSITIONS[self.state, outcome]
        match self.state:
            case State.STATUS if self._sam_id:
                target = self._resume()
            case State.SAM_ID:
                target = self._resume()
            case State.FIND:
                self._resyncs = 0  # the line works; what happened before is history
                if outcome is Outcome.OK:
                    self._lift_first = False
                    self._prompt_from = None
            case State.AWAY if outcome is Outcome.NO_CARD:
                self._lift_first = False
                self._prompt_from = None
            case State.READ if self._address_silences >= MAX_ADDRESS_SILENCES:
                target = State.CONFIRM
            case State.SELECT:
                self._lift_first = True  # from the read on, whether or not its reply arrives whole
            case State.CONFIRM:
                record = Record(self._held, self._address)
                self._held, self._address = bytearray(), bytearray()
                self._until = None
                return [record, *self._enter(target, now)]
        return self._enter(target, now)

    def _resume(self) -> State:
        return State.READY if self._until is None else State.FIND

    def _enter(self, state: State, now: float) -> list[Command]:
        if state in (State.FIND, State.AWAY) and self._until is not None and now >= self._until:
            return self._fail("NO_CARD", State.READY)
        self.state = state
        self._resent = False
        self._wipe_unless_holding()
        if state is State.DRAIN:
            self._heard_at = self._drain_from = now
        elif state in _PAUSES:
            self._deadline = now + POLL_S
            return self._show(self._wanted_prompt(now)) if state is State.POLL_WAIT else []
        elif ask := ASKS.get(state):
            wire_bytes = len(ask.frame) + _REPLY_FRAME_BYTES + ask.data_bytes
            self._deadline = now + ask.budget_s + wire_bytes * _BITS_PER_BYTE / self._baud * _WIRE_SLACK
            return [Send(ask.frame)]
        return []

    def _ask_to_lift(self, now: float) -> list[Command]:
        self._lifts += 1
        if self._lifts > MAX_LIFTS:
            not_genuine = self._failure in status.NOT_GENUINE
            return self._fail("CARD_NOT_GENUINE" if not_genuine else "CARD_NOT_READABLE", State.READY)
        commands = self._enter(State.AWAY, now)  # first: a screen may take its time
        return commands + self._show(Prompt.LIFT_CARD)

    def _resend(self, now: float) -> list[Command]:
        if self._resent:
            return self._fail("READER_REFUSED", State.FAILED)
        commands = self._enter(self.state, now)
        self._resent = True
        return commands

    def _reset(self, code: str, now: float) -> list[Command]:
        if self._was_reset:
            return self._fail(code, State.FAILED)
        self._was_reset = True
        self._resyncs = 0
        return self._enter(State.RESET, now)

    def _fail(self, code: str, state: State) -> list[Command]:
        self.state = state
        self._until = None
        self._wipe_unless_holding()
        if state is State.FAILED:
            self._sam_id = ""  # whoever answers next has to say again who it is
            self._address_silences = 0
        return [Failed(code)]

    def _wipe_unless_holding(self) -> None:
        if self.state not in _HOLDING:
            for buffer in (self._held, self._address):
                buffer[:] = bytes(len(buffer))
            self._held, self._address = bytearray(), bytearray()

    def _wanted_prompt(self, now: float) -> Prompt:
        """No card is found: none lies there, or one that was read and not lifted since. Ask in turn."""
        if self._prompt_from is None:
            self._prompt_from = now
        turn = int((now - self._prompt_from) / PROMPT_TURN_S)
        prompts = (Prompt.PLACE_CARD, Prompt.LIFT_CARD)
        return prompts[(turn + self._lift_first) % 2]

    def _show(self, prompt: Prompt) -> list[Command]:
        if prompt is self._shown:
            return []
        self._shown = prompt
        return [Show(prompt)]
