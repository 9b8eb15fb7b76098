"""The life of an organisation: which event may happen in which state."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from types import MappingProxyType

from cloud.errors import Reason
from cloud.store.organisations import OrganisationRow
from cloud.transitions import Machine
from verifield.v1 import organisation_service_pb2 as pb


class State(IntEnum):
    """SUPPLEMENT is told as PENDING_REVIEW with a time until which the supplement is awaited."""

    REGISTERED = pb.ORGANISATION_STATE_REGISTERED
    PENDING_REVIEW = pb.ORGANISATION_STATE_PENDING_REVIEW
    VERIFIED = pb.ORGANISATION_STATE_VERIFIED
    REJECTED = pb.ORGANISATION_STATE_REJECTED
    STALE = pb.ORGANISATION_STATE_STALE
    SUPPLEMENT = 100

    @property
    def told(self) -> pb.OrganisationState.ValueType:
        """As the contract and the table have it."""
        if self is State.SUPPLEMENT:
            return pb.ORGANISATION_STATE_PENDING_REVIEW
        return pb.OrganisationState.ValueType(self)


class Event(Enum):
    """What may happen to an organisation."""

    CHANGE_DOCUMENTS = auto()
    SUBMIT = auto()  # after a question: the answer to it
    ASSIGN = auto()  # to a reviewer
    ASK = auto()  # for a supplement
    MISS = auto()  # the time for the supplement
    VERIFY = auto()
    REJECT = auto()
    WITHDRAW = auto()
    OUTDATE = auto()  # its name, its representative or its administrator is another one
    REOPEN = auto()  # the decision does not stand
    HAND_OVER = auto()  # its administration, to another account


_S, _E = State, Event

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            **{
                (state, event): after
                for state in (_S.REGISTERED, _S.REJECTED, _S.STALE)
                for event, after in (
                    (_E.CHANGE_DOCUMENTS, state),
                    (_E.SUBMIT, _S.PENDING_REVIEW),
                    (_E.HAND_OVER, state),
                )
            },
            (_S.PENDING_REVIEW, _E.ASSIGN): _S.PENDING_REVIEW,
            (_S.PENDING_REVIEW, _E.ASK): _S.SUPPLEMENT,
            (_S.PENDING_REVIEW, _E.VERIFY): _S.VERIFIED,
            (_S.PENDING_REVIEW, _E.REJECT): _S.REJECTED,
            (_S.PENDING_REVIEW, _E.WITHDRAW): _S.REGISTERED,
            (_S.SUPPLEMENT, _E.CHANGE_DOCUMENTS): _S.SUPPLEMENT,
            (_S.SUPPLEMENT, _E.SUBMIT): _S.PENDING_REVIEW,
            (_S.SUPPLEMENT, _E.ASSIGN): _S.SUPPLEMENT,
            (_S.SUPPLEMENT, _E.MISS): _S.REJECTED,
            (_S.SUPPLEMENT, _E.WITHDRAW): _S.REGISTERED,
            (_S.VERIFIED, _E.OUTDATE): _S.STALE,
            (_S.VERIFIED, _E.HAND_OVER): _S.STALE,
            (_S.VERIFIED, _E.REOPEN): _S.PENDING_REVIEW,
            (_S.REJECTED, _E.REOPEN): _S.PENDING_REVIEW,
        }
    ),
    refusal=Reason.ORGANISATION_STATE,
    refusals=MappingProxyType({}),
)

UNDER_REVIEW = frozenset({State.PENDING_REVIEW, State.SUPPLEMENT})
"""There is a review task that has not ended."""


def state_of(row: OrganisationRow) -> State:
    """What a row's columns say together."""
    if row.state == State.PENDING_REVIEW and row.supplement_us is not None:
        return State.SUPPLEMENT
    return State(row.state)
