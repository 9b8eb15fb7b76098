"""The part of the pump that asks people: each question of a session becomes an event of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.answers import EarlierRecord, PrivateField, Stop
from edge.errors import SetupError
from edge.model import IdDocument
from edge.policy import Policy
from edge.ports import Desk, EarlierRecords
from edge.session.customer import judge_field
from edge.session.events import (
    OPERATOR_STOPPED,
    PERSON_STOPPED,
    Abort,
    ConsentAnswered,
    CustomerDataAnswered,
    EarlierRecordsAnswered,
    Event,
    NoticesAnswered,
    OperatorIdentified,
    SignatureAnswered,
    Timer,
)
from edge.session.plan import SessionPlan

Remaining = Callable[[], float]
"""Seconds that the session still has in its state, at the moment of the call."""

_STOP_CODES = {Stop.PERSON: PERSON_STOPPED, Stop.OPERATOR: OPERATOR_STOPPED}


@dataclass(frozen=True, slots=True)
class Interview:
    """Asks at ``desk`` what ``plan`` has. ``earlier``: None where the device remembers nothing."""

    desk: Desk
    plan: SessionPlan
    policy: Policy
    earlier: EarlierRecords | None

    def identify(self, remaining: Remaining) -> Event:
        answer = self.desk.identify(remaining())
        return _stopped(answer) if isinstance(answer, Stop) else OperatorIdentified(answer)

    def ask_consent(self, remaining: Remaining) -> Event:
        if self.plan.consent is None:
            raise AssertionError("a plan with the step has its text")
        answer = self.desk.ask_consent(self.plan.consent, remaining())
        return _stopped(answer) if isinstance(answer, Stop) else ConsentAnswered(answer)

    def show_earlier(self, document: IdDocument, remaining: Remaining) -> Event:
        """Show the records of the same document; where there are none, nobody is asked anything."""
        records = self._earlier_of(document)
        if not records:
            return EarlierRecordsAnswered(0, go_on=True)
        answer = self.desk.show_earlier(records, remaining())
        if isinstance(answer, Stop):
            return _stopped(answer)
        return EarlierRecordsAnswered(len(records), go_on=answer)

    def ask_customer(self, remaining: Remaining) -> Event:
        """Ask field by field, each until its answer can be used; an empty one is a refusal."""
        given: list[PrivateField] = []
        for name in self.plan.customer_fields:
            again = False
            while True:
                text = self.desk.ask_field(name, remaining(), again=again)
                if isinstance(text, Stop):
                    return _stopped(text)
                if not text.strip():
                    return CustomerDataAnswered(())
                usable = judge_field(name, text, self.policy)
                if usable is not None:
                    given.append(usable)
                    break
                if remaining() <= 0:
                    return Timer()
                again = True
        return CustomerDataAnswered(tuple(given))

    def show_notices(self, remaining: Remaining) -> Event:
        """Show each notice; the first that is refused ends it."""
        shown = []
        for notice in self.plan.notices:
            answer = self.desk.show_notice(notice, remaining())
            if isinstance(answer, Stop):
                return _stopped(answer)
            shown.append(answer)
            if not answer.accepted:
                break
        return NoticesAnswered(tuple(shown))

    def ask_signature(self, remaining: Remaining) -> Event:
        answer = self.desk.ask_signature(remaining())
        return _stopped(answer) if isinstance(answer, Stop) else SignatureAnswered(answer)

    def stop_code(self) -> str:
        """The reason to end the session with, where somebody has pressed stop; empty otherwise."""
        stop = self.desk.stop_requested()
        return "" if stop is None else _STOP_CODES.get(stop, OPERATOR_STOPPED)

    def note(self, document: IdDocument, record: EarlierRecord) -> None:
        """Remember the record for the document's next session."""
        if self.earlier is not None:
            self.earlier.note_earlier(self.earlier.pseudonym(document.type, document.number), record)

    def _earlier_of(self, document: IdDocument) -> list[EarlierRecord]:
        if self.earlier is None:
            raise SetupError(
                "EARLIER_RECORDS_MISSING",
                "The policy asks for earlier records, which this device does not keep.",
                hint="Set the device up with its store of state, or publish a policy without that step.",
            )
        return self.earlier.earlier(self.earlier.pseudonym(document.type, document.number))


def _stopped(stop: Stop) -> Event:
    """A desk whose time is up does not end the session: its limit does, by the session's own clock."""
    return Timer() if stop is Stop.TIMEOUT else Abort(_STOP_CODES[stop])
