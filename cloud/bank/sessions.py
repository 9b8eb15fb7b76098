"""Sessions: begun by a device, moved on by its calls, ended by their time limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from cloud.attestations.intake import known_device
from cloud.audit import chain
from cloud.bank.states import OPEN, Event, State, after
from cloud.bank.vault import Vault
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import bank as rows
from cloud.store import persons
from cloud.store.bank import SessionRow
from cloud.store.devices import DeviceRow
from verifield.v1 import bank_pb2
from verifield.v1 import coop_service_pb2 as pb
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE

LIFETIME = timedelta(minutes=30)
"""Of a session: eight steps with a person who reads; a queue stands behind them."""

MAX_OPEN = 3
"""Sessions of one device at once: the one at the screen, and those of customers who walked away."""

KEPT_FOR = timedelta(hours=1)
"""After a session's end its card can still be shown and its request be printed; then it is cleared."""

AT_ONCE = 100
"""Sessions that one transaction of a job ends or clears."""

NONCE_BYTES = 32

SERVICE = "service"
"""Who ends sessions by itself, in the audit chain."""

_DECIDED = frozenset(Event) - {
    Event.SHOW_PHOTO,
    Event.SHOW_DETAILS,
    Event.SHOW_CUSTOMER,
    Event.SHOW_NOTICES,
    Event.DOWNLOAD,
}
"""Events that the evidence tells of."""

_ENDS = {
    Event.REFUSE_CARD: pb.COOP_END_ITEMS,
    Event.REFUSE_FACE: pb.COOP_END_FACE,
    Event.EXIT: pb.COOP_END_CLOSED_BY_USER,
    Event.ISSUE: pb.COOP_END_ISSUED,
    Event.CANCEL: pb.COOP_END_CANCELLED,
    Event.RUN_OUT: pb.COOP_END_TIME_LIMIT,
}


_PERSONAL = ("card", "authority_photo", "organisation_name", "check_id", "check_input", "nonce")
"""Columns of a session that are emptied after its end; digests of what was handed in among them."""


def check_device(connection: Connection, device_id: str) -> DeviceRow:
    """Customers stand only at a device that is let in at this moment, whatever its certificate says.

    Raises:
        ServiceError: DEVICE_UNKNOWN, DEVICE_PENDING, DEVICE_REVOKED, DEVICE_NOT_ACTIVE.
    """
    device = known_device(connection, device_id)
    if device.state != DEVICE_STATE_ACTIVE:
        raise ServiceError(Reason.DEVICE_NOT_ACTIVE, "This device was suspended, or another took its place.")
    return device


def name_of(session_id: str) -> str:
    """How the audit chain names a session."""
    return f"coop_sessions/{session_id}"[:256]


class Sessions:
    """All methods work in the caller's transaction."""

    def __init__(self, vault: Vault, sources: Sources) -> None:
        self.vault = vault
        self.sources = sources

    @property
    def now_us(self) -> int:
        return to_us(self.sources.now())

    def start(self, connection: Connection, *, device_id: str, language: str) -> SessionRow:
        """Begin a session in the state CARD_READ.

        Raises:
            ServiceError: COOP_SESSIONS_OPEN, and as :func:`check_device`.
        """
        check_device(connection, device_id)
        now_us = self.now_us
        for due in rows.due_sessions(connection, now_us=now_us, limit=MAX_OPEN, device_id=device_id):
            self.run_out(connection, due)
        session_id = self.sources.uuid7()
        for slot in range(1, MAX_OPEN + 1):  # what two calls at once want, the database gives to one
            row = SessionRow(
                session_id=session_id,
                device_id=device_id,
                slot=slot,
                state=State.CARD_READ.value,
                language=language,
                person_id=session_id,
                steps=b"",
                started_us=now_us,
                deadline_us=now_us + LIFETIME // timedelta(microseconds=1),
                face_tries=0,
            )
            if rows.add_session(connection, row):
                return row
        raise ServiceError(
            Reason.COOP_SESSIONS_OPEN,
            f"This device has {MAX_OPEN} open sessions.",
            {"limit": str(MAX_OPEN)},
        )

    def look(
        self, connection: Connection, session_id: str, event: Event | None, *, device_id: str
    ) -> SessionRow:
        """A session of this device; with an ``event`` only where it may happen now. Locks nothing.

        Raises:
            ServiceError: COOP_SESSION_NOT_FOUND, and as ``states.after`` and :func:`check_device`.
        """
        check_device(connection, device_id)
        return self._check(rows.get_session(connection, session_id), event, device_id)

    def take(
        self, connection: Connection, session_id: str, event: Event | None, *, device_id: str
    ) -> SessionRow:
        """As :meth:`look`, locked until the transaction ends."""
        check_device(connection, device_id)
        return self._check(rows.get_session(connection, session_id, lock=True), event, device_id)

    def move(self, connection: Connection, row: SessionRow, event: Event, **changes: Any) -> SessionRow:
        """Write what ``event`` does to a session that was taken.

        Raises:
            ServiceError: as ``states.after``.
        """
        state, now_us = after(State(row.state), event), self.now_us
        if event in _DECIDED:
            told = bank_pb2.CoopEvidence.FromString(row.steps)
            told.steps.add(event=event.value).time.FromMicroseconds(now_us)
            changes["steps"] = told.SerializeToString(deterministic=True)
        if state not in OPEN and row.ended_us is None:
            changes |= {"ended_us": now_us, "end": _ENDS[event], "nonce": None}
        return rows.change_session(connection, replace(row, state=state.value, **changes))

    def count(self, row: SessionRow, event: Event) -> int:
        """How often something was decided in a session."""
        steps = bank_pb2.CoopEvidence.FromString(row.steps).steps
        return sum(step.event == event.value for step in steps)

    def write(self, connection: Connection, row: SessionRow) -> SessionRow:
        """Write a session that was taken, in the state in which it is; return its next version."""
        return rows.change_session(connection, row)

    def run_out(self, connection: Connection, row: SessionRow) -> None:
        """End a session whose time is over, and tell the audit chain."""
        self.move(connection, row, Event.RUN_OUT)
        self._tell(connection, "coop.run_out", row)

    def clear(self, connection: Connection, row: SessionRow) -> None:
        """Take away what is personal in a session that ended, with the session's own key.

        What was signed for a request stays with the request; where there is none, nobody needs it.
        """
        gone: dict[str, Any] = dict.fromkeys(_PERSONAL)
        rows.change_session(connection, replace(row, **gone, cleared_us=self.now_us))
        if row.number is None:
            rows.empty_signature(connection, row.session_id)
        if row.person_id == row.session_id:
            persons.destroy_key(connection, row.session_id, now_us=self.now_us)
        self._tell(connection, "coop.clear", row)

    def record_of(self, connection: Connection, row: SessionRow) -> rows.RecordRow:
        """The record that a session ended with.

        Raises:
            ServiceError: COOP_RECORD_NOT_FOUND.
        """
        self._check_kept(row)
        record = rows.record_of_session(connection, row.session_id)
        if record is None:
            raise ServiceError(Reason.COOP_RECORD_NOT_FOUND, "The session has no request.")
        return record

    def card_of(self, connection: Connection, row: SessionRow) -> pb.CoopCard:
        """The card of a session, with its photo.

        Raises:
            ServiceError: PERSON_ERASED; COOP_RECORD_NOT_FOUND, the time after its end is over.
        """
        self._check_kept(row)
        content = self.vault.open(connection, row.person_id, row.card, at=self.place(row, "card"))
        if content is None:
            raise ServiceError(Reason.PERSON_ERASED, "What was read from the card is no longer kept.")
        return pb.CoopCard.FromString(content)

    def place(self, row: SessionRow, column: str) -> tuple[str, str, str]:
        """Where a value of a session is sealed for."""
        return ("coop_sessions", column, row.session_id)

    def _check_kept(self, row: SessionRow) -> None:
        """What a session shows after its end is over at one instant, whenever the job runs that clears it."""
        kept_us = KEPT_FOR // timedelta(microseconds=1)
        over = row.ended_us is not None and row.ended_us + kept_us <= self.now_us
        if over or row.cleared_us is not None:
            raise ServiceError(Reason.COOP_RECORD_NOT_FOUND, "The session no longer shows its request.")

    def _check(self, row: SessionRow | None, event: Event | None, device_id: str) -> SessionRow:
        if row is None or row.device_id != device_id:
            raise ServiceError(Reason.COOP_SESSION_NOT_FOUND, "This device has no such session.")
        if event is not None:
            if State(row.state) in OPEN and row.deadline_us <= self.now_us:
                raise ServiceError(
                    Reason.COOP_SESSION_ENDED,
                    "The time of the session is over.",
                    {"state": State(row.state).name, "event": event.name},
                )
            after(State(row.state), event)
        return row

    def _tell(self, connection: Connection, action: str, row: SessionRow) -> None:
        chain.record(
            connection,
            action=action,
            subject=name_of(row.session_id),
            caller=SERVICE,
            request_id="",
            now_us=self.now_us,
        )
