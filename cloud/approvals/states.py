"""The life of an approval."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import approval_service_pb2 as pb


class State(IntEnum):
    OPEN = pb.APPROVAL_STATE_OPEN
    SEALED = pb.APPROVAL_STATE_SEALED
    WITHDRAWN = pb.APPROVAL_STATE_WITHDRAWN


class Event(Enum):
    """What may happen to an approval."""

    AUTHENTICATE = auto()  # somebody who is to seal it
    SEAL = auto()
    WITHDRAW = auto()


MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (State.OPEN, Event.AUTHENTICATE): State.OPEN,
            (State.OPEN, Event.SEAL): State.SEALED,
            (State.OPEN, Event.WITHDRAW): State.WITHDRAWN,
        }
    ),
    refusal=Reason.APPROVAL_STATE,
    refusals=MappingProxyType({}),
)
