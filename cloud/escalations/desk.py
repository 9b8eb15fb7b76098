"""Tickets from a window to the information centre: each call is part of the caller's transaction.

1  who opens a ticket is a person, and so is who ends it; they are never the same one
2  the centre takes a ticket before it ends it; a colleague may take it over
3  what a ticket is about, and what is said of it, is sealed under the account's key
4  a rejection has a reason
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.access.call import Caller, Kind
from cloud.errors import Reason, ServiceError
from cloud.escalations.port import Ticket, TicketDecision, TicketHandler, TicketHandlers, TicketKind
from cloud.escalations.states import MACHINE, TicketEvent, TicketState
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.sources import Sources, to_us
from cloud.store import escalations as rows
from cloud.store.escalations import TicketEventRow, TicketRow
from cloud.store.schema import ticket_events, tickets
from cloud.store.sealed import SealedTable
from cloud.store.staff import is_same_person
from verifield.v1 import escalation_service_pb2 as pb

SEALED = (
    SealedTable(tickets, key="ticket_id", person="account_id", sealed=("payload",)),
    SealedTable(ticket_events, key="ticket_id", person="account_id", sealed=("note",)),
)
"""For forgetting a person."""


MAX_EVENTS = 500
"""Of a ticket, in one answer: takings over, in practice a handful."""


@dataclass(frozen=True, slots=True)
class Escalations:
    """``handlers`` is read at each use."""

    persons: Persons
    sources: Sources
    handlers: TicketHandlers

    def open_ticket(
        self,
        connection: Connection,
        *,
        kind: TicketKind,
        account_id: str,
        payload: pb.TicketPayload,
        opened_by: Caller,
    ) -> str:
        """Hand a case to the information centre; return the ticket's id.

        Raises:
            ServiceError: TICKET_KIND_CLOSED, TICKET_NEEDS_PERSON, TICKET_PAYLOAD, TICKET_EXISTS (with its
                id), PERSON_ERASED, or what the kind's own check says.
        """
        handler, opener = self._handler(kind), _person(opened_by)
        if payload.WhichOneof("about") != kind.part:
            raise ServiceError(Reason.TICKET_PAYLOAD, "The payload does not belong to this kind of ticket.")
        found = rows.live_ticket(connection, account_id, kind)
        if found is not None:
            raise ServiceError(
                Reason.TICKET_EXISTS,
                "The information centre already sees to this account.",
                {"ticket_id": found.ticket_id},
            )
        handler.check(connection, account_id, payload)
        ticket_id = self.sources.uuid7()
        key = self.persons.key_of(connection, account_id)
        content = payload.SerializeToString(deterministic=True)
        row = TicketRow(
            ticket_id=ticket_id,
            kind=int(kind),
            account_id=account_id,
            state=int(TicketState.OPEN),
            payload=self.persons.seal_bytes(key, Place("tickets", "payload", ticket_id), content),
            opened_by=opener,
            opened_us=self._now_us,
        )
        rows.add_ticket(connection, row)
        self._tell(connection, row, pb.TICKET_EVENT_KIND_OPENED, opener)
        return ticket_id

    def take(self, connection: Connection, ticket_id: str, *, caller: Caller) -> TicketRow:
        """Say that the caller sees to it.

        Raises:
            ServiceError: TICKET_NOT_FOUND, TICKET_STATE, TICKET_NEEDS_PERSON, TICKET_OWN.
        """
        row = self._open(connection, ticket_id)
        state = MACHINE.after(TicketState(row.state), TicketEvent.TAKE)
        taker = self._second(connection, row, caller)
        if row.taken_by == taker:
            return row
        new = replace(row, state=int(state), taken_by=taker, taken_us=self._now_us)
        rows.change_ticket(connection, new)
        self._tell(connection, new, pb.TICKET_EVENT_KIND_TAKEN, taker)
        return new

    def resolve(
        self, connection: Connection, ticket_id: str, *, note: str, caller: Caller
    ) -> TicketRow | ServiceError:
        """Do what was asked for. A returned error: the handler's, to be committed with what it wrote.

        Raises:
            ServiceError: TICKET_NOT_FOUND, TICKET_STATE, TICKET_NEEDS_PERSON, TICKET_OWN, TICKET_NOT_YOURS,
                PERSON_ERASED, or what the handler raises.
        """
        return self._end(connection, ticket_id, TicketEvent.RESOLVE, note=note, caller=caller)

    def reject(
        self, connection: Connection, ticket_id: str, *, reason: str, caller: Caller
    ) -> TicketRow | ServiceError:
        """End a ticket without doing it.

        Raises:
            ServiceError: as :meth:`resolve`; TICKET_REASON_MISSING.
        """
        return self._end(connection, ticket_id, TicketEvent.REJECT, note=reason, caller=caller)

    def payload_of(self, connection: Connection, row: TicketRow) -> pb.TicketPayload | None:
        """What a ticket is about; None where the account's key was destroyed."""
        keys = self.persons.keys_of(connection, [row.account_id])
        place = Place("tickets", "payload", row.ticket_id)
        content = self.persons.open_bytes(keys.get(row.account_id), place, row.payload)
        return None if content is None else pb.TicketPayload.FromString(content)

    def notes_of(self, connection: Connection, row: TicketRow, events: Sequence[TicketEventRow]) -> list[str]:
        """What was said with each event; empty where nothing was, and where the key was destroyed."""
        key = self.persons.keys_of(connection, [row.account_id]).get(row.account_id)
        return [
            self.persons.open_text(key, _note_place(one.ticket_id, one.number), one.note) for one in events
        ]

    def _end(
        self, connection: Connection, ticket_id: str, event: TicketEvent, *, note: str, caller: Caller
    ) -> TicketRow | ServiceError:
        row = self._open(connection, ticket_id)
        state = MACHINE.after(TicketState(row.state), event)
        decider = self._second(connection, row, caller)
        if row.taken_by != decider:
            raise ServiceError(Reason.TICKET_NOT_YOURS, "Somebody else sees to this ticket.")
        resolved = event is TicketEvent.RESOLVE
        if not resolved and not note.strip():
            raise ServiceError(Reason.TICKET_REASON_MISSING, "A rejection needs a reason.")
        decision = TicketDecision(resolved, decider, note)
        if resolved:
            refused = self._ask_handler(connection, row, decision)
            if refused is not None:
                return refused
        else:
            self._tell_handler(connection, row, decision)
        new = replace(row, state=int(state), closed_by=decider, closed_us=self._now_us)
        rows.change_ticket(connection, new)
        told = pb.TICKET_EVENT_KIND_RESOLVED if resolved else pb.TICKET_EVENT_KIND_REJECTED
        self._tell(connection, new, told, decider, note=note)
        return new

    def _ask_handler(
        self, connection: Connection, row: TicketRow, decision: TicketDecision
    ) -> ServiceError | None:
        payload = self.payload_of(connection, row)
        if payload is None:
            raise ServiceError(Reason.PERSON_ERASED, "This person was erased.")
        kind = TicketKind(row.kind)
        ticket = Ticket(row.ticket_id, kind, row.account_id, row.opened_by)
        return self._handler(kind).resolve(connection, ticket, payload, decision)

    def _tell_handler(self, connection: Connection, row: TicketRow, decision: TicketDecision) -> None:
        # The account may have ended, gone on without this, or been erased: then there is nothing to note, and
        # a ticket that could not be rejected either would stand in the queue for ever.
        with suppress(ServiceError), connection.begin_nested():
            self._ask_handler(connection, row, decision)

    @property
    def _now_us(self) -> int:
        return to_us(self.sources.now())

    def _handler(self, kind: TicketKind) -> TicketHandler:
        found = self.handlers.get(kind)
        if found is None:
            raise ServiceError(Reason.TICKET_KIND_CLOSED, "Nobody here sees to such tickets.")
        return found

    def _open(self, connection: Connection, ticket_id: str) -> TicketRow:
        row = rows.get_ticket(connection, ticket_id, lock=True)
        if row is None:
            raise not_found()
        return row

    def _second(self, connection: Connection, row: TicketRow, caller: Caller) -> str:
        """The second of the two people: another login of the first one is none."""
        person = _person(caller)
        if is_same_person(connection, row.opened_by, person):
            raise ServiceError(Reason.TICKET_OWN, "Who opened a ticket does not decide it.")
        return person

    def _tell(
        self,
        connection: Connection,
        row: TicketRow,
        kind: pb.TicketEventKind.ValueType,
        actor: str,
        *,
        note: str = "",
    ) -> None:
        number = rows.next_number(connection, row.ticket_id)
        sealed = None
        if note and row.account_id in self.persons.keys_of(connection, [row.account_id]):
            key = self.persons.key_of(connection, row.account_id)
            sealed = self.persons.seal_text(key, _note_place(row.ticket_id, number), note)
        event = TicketEventRow(row.ticket_id, number, row.account_id, int(kind), self._now_us, actor, sealed)
        rows.add_event(connection, event)


def not_found() -> ServiceError:
    """There is no such ticket."""
    return ServiceError(Reason.TICKET_NOT_FOUND, "There is no such ticket.")


def _person(caller: Caller) -> str:
    """KIND/NAME of a caller who is a person: a token of the service may be anybody's."""
    if caller.kind not in {Kind.USER, Kind.ACCOUNT}:
        raise ServiceError(Reason.TICKET_NEEDS_PERSON, "A ticket needs two people, each as themselves.")
    return caller.path


def _note_place(ticket_id: str, number: int) -> Place:
    return Place("ticket_events", "note", f"{ticket_id}.{number}")
