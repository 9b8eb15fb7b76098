"""What other rooms see of tickets: how they are opened, and what is done when one is ended.

A room that can do something about a kind of ticket gives a :class:`TicketHandler` at wiring. A kind without
a handler is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from sqlalchemy import Connection

from cloud.errors import ServiceError
from verifield.v1 import escalation_service_pb2 as pb


class TicketKind(IntEnum):
    """Numbers equal those of verifield.v1.TicketKind."""

    SMS_PHONE = pb.TICKET_KIND_SMS_PHONE
    FOUR_ELEMENTS = pb.TICKET_KIND_FOUR_ELEMENTS
    ACTIVATION_PHONE = pb.TICKET_KIND_ACTIVATION_PHONE
    OLD_CARD = pb.TICKET_KIND_OLD_CARD

    @property
    def part(self) -> str:
        """The field of TicketPayload that belongs to it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Ticket:
    """``opened_by``: KIND/NAME of the first of the two people."""

    ticket_id: str
    kind: TicketKind
    account_id: str
    opened_by: str


@dataclass(frozen=True, slots=True)
class TicketDecision:
    """``decided_by``: KIND/NAME of the second person; always another one than who opened it.

    ``note``: how it was found out, or why it was rejected; may be personal and is never logged.
    """

    resolved: bool
    decided_by: str
    note: str = field(repr=False)


class TicketHandler(Protocol):
    """What a room does about tickets of a kind. Both run in the transaction of the call: rows only."""

    def check(self, connection: Connection, account_id: str, payload: pb.TicketPayload) -> None:
        """Before a ticket is opened: raise a ServiceError where such a ticket makes no sense."""
        ...

    def resolve(
        self, connection: Connection, ticket: Ticket, payload: pb.TicketPayload, decision: TicketDecision
    ) -> ServiceError | None:
        """Do what was asked for, or note that it was rejected.

        What is raised undoes everything. What is returned is told to the caller, while the ticket stays as it
        is and what was written here is committed. A rejection ends the ticket whatever is said here: what is
        raised undoes only what was written here, and of somebody who was erased nothing is told.
        """
        ...


TicketHandlers = Mapping[TicketKind, TicketHandler]
