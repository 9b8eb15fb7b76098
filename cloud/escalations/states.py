"""The life of a ticket: which event may happen in which state."""

from __future__ import annotations

from enum import Enum, IntEnum, auto

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import escalation_service_pb2 as pb


class TicketState(IntEnum):
    """Numbers equal those of verifield.v1.TicketState."""

    OPEN = pb.TICKET_STATE_OPEN
    IN_CENTRE = pb.TICKET_STATE_IN_CENTRE
    RESOLVED = pb.TICKET_STATE_RESOLVED
    REJECTED = pb.TICKET_STATE_REJECTED


LIVE = (TicketState.OPEN, TicketState.IN_CENTRE)


class TicketEvent(Enum):
    """What may happen to a ticket."""

    TAKE = auto()
    RESOLVE = auto()
    REJECT = auto()


_S, _E = TicketState, TicketEvent

MACHINE: Machine[TicketState, TicketEvent] = Machine(
    {
        (_S.OPEN, _E.TAKE): _S.IN_CENTRE,
        (_S.IN_CENTRE, _E.TAKE): _S.IN_CENTRE,
        (_S.IN_CENTRE, _E.RESOLVE): _S.RESOLVED,
        (_S.IN_CENTRE, _E.REJECT): _S.REJECTED,
    },
    Reason.TICKET_STATE,
    {},
)
