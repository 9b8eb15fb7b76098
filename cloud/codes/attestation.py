"""A number that no code reaches: a window asks, the information centre vouches, the registration goes on.

Handles tickets of the kind SMS_PHONE (``cloud.escalations``). The number is the draft's own, of a segment
that is served; two different persons of the staff stand in the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.codes.desk import Codes, Purpose
from cloud.codes.ports import HolderOf, PhoneVerified
from cloud.codes.proofs import Proofs
from cloud.codes.values import Method
from cloud.errors import Reason, ServiceError
from cloud.privacy.normal import normal_id_number
from verifield.v1 import escalation_service_pb2 as pb


class Ticket(Protocol):
    """``opened_by``: KIND/NAME of who asked."""

    @property
    def ticket_id(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def opened_by(self) -> str: ...


class Decision(Protocol):
    """``decided_by``: KIND/NAME of who vouched, or would not (``resolved`` False)."""

    @property
    def resolved(self) -> bool: ...
    @property
    def decided_by(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PhoneAttestation:
    """A handler of tickets."""

    codes: Codes
    proofs: Proofs
    holder_of: HolderOf
    phone_verified: PhoneVerified

    def check(self, connection: Connection, account_id: str, payload: pb.TicketPayload) -> None:
        """Before a ticket is opened.

        Raises:
            ServiceError: PHONE_INVALID, PHONE_SEGMENT_UNSUPPORTED; PHONE_CHANGED where it is not the draft's
                number; REQUEST_INVALID where the card is another person's; or what the account's state says.
        """
        self._number(connection, account_id, payload.sms_phone)

    def resolve(
        self, connection: Connection, ticket: Ticket, payload: pb.TicketPayload, decision: Decision
    ) -> ServiceError | None:
        """Accept the number where the centre vouches for it.

        Raises:
            ServiceError: as :meth:`check`; SAME_STAFF.
        """
        if not decision.resolved:
            return None
        if decision.decided_by == ticket.opened_by:
            raise ServiceError(Reason.SAME_STAFF, "Whoever asked does not vouch.")
        number = self._number(connection, ticket.account_id, payload.sms_phone)
        self.proofs.add(
            connection,
            ticket.account_id,
            number,
            method=Method.MANUAL,
            evidence_id=ticket.ticket_id,
            requested_by=ticket.opened_by,
            confirmed_by=decision.decided_by,
        )
        self.codes.retire(connection, ticket.account_id, Purpose.REGISTER)
        self.phone_verified(connection, ticket.account_id)
        return None

    def _number(self, connection: Connection, account_id: str, asked: pb.PhoneTicket) -> str:
        holder = self.holder_of(connection, account_id, Purpose.REGISTER, lock=True)
        number = self.codes.check_phone(connection, asked.phone)
        if number != holder.phone:
            raise ServiceError(Reason.PHONE_CHANGED, "The registration has another telephone number.")
        shown = normal_id_number(asked.id_number)
        if shown and holder.id_number and shown != normal_id_number(holder.id_number):
            refuse_field(
                "payload.sms_phone.id_number",
                rule="ticket.person",
                why="is not that of the registration's holder",
            )
        return number
