"""Tickets FOUR_ELEMENTS: what a window sends to the information centre after several tries that failed.

The window has seen the person and the card; somebody else, in the centre, looks into the registry. Where the
centre confirms the four, two people have vouched for the person, and the account is VERIFIED with the mark
CENTRE_VERIFIED; neither of them may be known to be that person. Where it does not, the attempt is FAILED
with TICKET_REJECTED; the reason stands in the ticket.
"""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.accounts.states import Event as AccountEvent
from cloud.accounts.states import State as AccountState
from cloud.elements import FourElements, parse_elements
from cloud.errors import Reason, ServiceError
from cloud.escalations.port import Ticket, TicketDecision
from cloud.verifications.desk import Held, Verifications
from cloud.verifications.people import Staff
from cloud.verifications.states import Event
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.escalation_service_pb2 import TicketPayload

REJECTED = "TICKET_REJECTED"
_LIFE_US = 1


class ElementsTickets:
    """The handler of tickets FOUR_ELEMENTS."""

    def __init__(self, desk: Verifications, staff: Staff) -> None:
        self._desk = desk
        self._staff = staff

    def check(self, connection: Connection, account_id: str, payload: TicketPayload) -> None:
        """Before a ticket is opened.

        Raises:
            ServiceError: VERIFICATION_STATE: the holder has not tried often enough; NAME_INVALID and the
                like; ID_VALIDITY_CONFLICT, or why the account's state does not allow it.
        """
        held = self._desk.hold(connection, account_id)
        self._check(held)
        _elements(payload)
        least = self._desk.rules(connection).tries_before_escalation
        if held.identity.element_tries < least:
            raise ServiceError(
                Reason.VERIFICATION_STATE,
                "The holder has not tried often enough.",
                {"tries": str(held.identity.element_tries), "tries_before_escalation": str(least)},
            )

    def resolve(
        self, connection: Connection, ticket: Ticket, payload: TicketPayload, decision: TicketDecision
    ) -> ServiceError | None:
        """Do what the centre decided; see the port."""
        held = self._desk.hold(connection, ticket.account_id)
        method = pb.VERIFICATION_METHOD_FOUR_ELEMENTS
        if not decision.resolved:
            if held.account.state == AccountState.PHONE_VERIFIED:  # else there is nothing left to fail
                row = self._desk.begin(connection, held, method, request_id="", life_us=_LIFE_US)
                self._desk.end(connection, row, Event.REFUSE, code=REJECTED)
            return None
        self._check(held)
        elements = _elements(payload)
        for who in (ticket.opened_by, decision.decided_by):
            self._staff.check_other(connection, who, elements.id_number)
        row = self._desk.begin(connection, held, method, request_id="", life_us=_LIFE_US)
        mark = pb.VERIFICATION_MARK_CENTRE_VERIFIED
        held, row = self._desk.confirm_elements(connection, held, row, elements, mark=mark)
        self._desk.confirm_person(connection, held, row, mark=mark)
        return None

    def _check(self, held: Held) -> None:
        self._desk.check_open(held, AccountEvent.VERIFY_ELEMENTS)
        if held.account.state != AccountState.PHONE_VERIFIED:
            raise ServiceError(
                Reason.VERIFICATION_STATE, "The four elements of this account are verified already."
            )


def _elements(payload: TicketPayload) -> FourElements:
    return parse_elements(payload.four_elements.elements, path="payload.four_elements.elements")
