"""The life of one attempt to verify somebody, as a table of states."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import identity_service_pb2 as pb


class State(IntEnum):
    """Numbers equal those of verifield.v1.VerificationState."""

    PENDING = pb.VERIFICATION_STATE_PENDING
    PASSED = pb.VERIFICATION_STATE_PASSED
    FAILED = pb.VERIFICATION_STATE_FAILED
    ERROR_RETRYABLE = pb.VERIFICATION_STATE_ERROR_RETRYABLE
    STALE = pb.VERIFICATION_STATE_STALE


class Event(IntEnum):
    """What happens to an attempt."""

    CONFIRM = 1
    """The authority said yes, or a person at a window."""
    REFUSE = 2
    """The authority said no, or the evidence did."""
    INTERRUPT = 3
    """No answer was got, or not in time."""
    OUTDATE = 4
    """What it stood on has changed."""


MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (State.PENDING, Event.CONFIRM): State.PASSED,
            (State.PENDING, Event.REFUSE): State.FAILED,
            (State.PENDING, Event.INTERRUPT): State.ERROR_RETRYABLE,
            (State.PASSED, Event.OUTDATE): State.STALE,
        }
    ),
    refusal=Reason.VERIFICATION_STATE,
    refusals=MappingProxyType({}),
)
"""An answer that comes after an attempt has ended changes nothing: nobody is verified by accident."""
