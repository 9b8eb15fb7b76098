"""The lives of a request and of a delegation: which event may happen in which state."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from types import MappingProxyType

from cloud.errors import Reason
from cloud.store.business import BusinessRow
from cloud.transitions import Machine
from verifield.v1 import business_service_pb2 as pb


class State(IntEnum):
    """Of a request. SUPPLEMENT is told as IN_REVIEW with a time until which the supplement is awaited."""

    DRAFT = pb.BUSINESS_STATE_DRAFT
    SUBMITTED = pb.BUSINESS_STATE_SUBMITTED
    IN_REVIEW = pb.BUSINESS_STATE_IN_REVIEW
    ACCEPTED = pb.BUSINESS_STATE_ACCEPTED
    REJECTED = pb.BUSINESS_STATE_REJECTED
    WITHDRAWN = pb.BUSINESS_STATE_WITHDRAWN
    SUPPLEMENT = 100

    @property
    def told(self) -> pb.BusinessState.ValueType:
        """As the contract and the table have it."""
        return pb.BUSINESS_STATE_IN_REVIEW if self is State.SUPPLEMENT else pb.BusinessState.ValueType(self)


class Event(Enum):
    """What may happen to a request."""

    EDIT = auto()
    ADD_DOCUMENT = auto()
    REMOVE_DOCUMENT = auto()
    SUBMIT = auto()  # after a question: the answer to it
    ASSIGN = auto()  # to a reviewer, the first or another one
    ASK = auto()  # for a supplement
    MISS = auto()  # the time for the supplement
    ACCEPT = auto()
    REJECT = auto()
    REOPEN = auto()  # the decision does not stand
    WITHDRAW = auto()
    CLOSE = auto()  # by staff


_S, _E = State, Event

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (_S.DRAFT, _E.EDIT): _S.DRAFT,
            (_S.DRAFT, _E.ADD_DOCUMENT): _S.DRAFT,
            (_S.DRAFT, _E.REMOVE_DOCUMENT): _S.DRAFT,
            (_S.DRAFT, _E.SUBMIT): _S.SUBMITTED,
            (_S.DRAFT, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.DRAFT, _E.CLOSE): _S.WITHDRAWN,
            (_S.SUBMITTED, _E.ASSIGN): _S.IN_REVIEW,
            (_S.SUBMITTED, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.SUBMITTED, _E.CLOSE): _S.WITHDRAWN,
            (_S.IN_REVIEW, _E.ASSIGN): _S.IN_REVIEW,
            (_S.IN_REVIEW, _E.ASK): _S.SUPPLEMENT,
            (_S.IN_REVIEW, _E.ACCEPT): _S.ACCEPTED,
            (_S.IN_REVIEW, _E.REJECT): _S.REJECTED,
            (_S.IN_REVIEW, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.IN_REVIEW, _E.CLOSE): _S.WITHDRAWN,
            (_S.SUPPLEMENT, _E.ADD_DOCUMENT): _S.SUPPLEMENT,
            (_S.SUPPLEMENT, _E.SUBMIT): _S.IN_REVIEW,
            (_S.SUPPLEMENT, _E.ASSIGN): _S.SUPPLEMENT,
            (_S.SUPPLEMENT, _E.MISS): _S.REJECTED,
            (_S.SUPPLEMENT, _E.WITHDRAW): _S.WITHDRAWN,
            (_S.SUPPLEMENT, _E.CLOSE): _S.WITHDRAWN,
            (_S.ACCEPTED, _E.REOPEN): _S.SUBMITTED,
            (_S.REJECTED, _E.REOPEN): _S.SUBMITTED,
        }
    ),
    refusal=Reason.BUSINESS_STATE,
    refusals=MappingProxyType({}),
)

UNDER_REVIEW = frozenset({State.SUBMITTED, State.IN_REVIEW, State.SUPPLEMENT})
"""There is a review task that has not ended."""


def state_of(row: BusinessRow) -> State:
    """What a row's columns say together."""
    if row.state == State.IN_REVIEW and row.supplement_us is not None:
        return State.SUPPLEMENT
    return State(row.state)


class DelegationState(IntEnum):
    """As it is stored; that its time is over is worked out from the time."""

    OFFERED = pb.DELEGATION_STATE_OFFERED
    ACTIVE = pb.DELEGATION_STATE_ACTIVE
    DECLINED = pb.DELEGATION_STATE_DECLINED
    REVOKED = pb.DELEGATION_STATE_REVOKED
    EXPIRED = pb.DELEGATION_STATE_EXPIRED


class DelegationEvent(Enum):
    """What may happen to a delegation."""

    ACCEPT = auto()
    DECLINE = auto()
    REVOKE = auto()


_D, _DE = DelegationState, DelegationEvent

DELEGATIONS: Machine[DelegationState, DelegationEvent] = Machine(
    MappingProxyType(
        {
            (_D.OFFERED, _DE.ACCEPT): _D.ACTIVE,
            (_D.OFFERED, _DE.DECLINE): _D.DECLINED,
            (_D.OFFERED, _DE.REVOKE): _D.REVOKED,
            (_D.ACTIVE, _DE.REVOKE): _D.REVOKED,
        }
    ),
    refusal=Reason.DELEGATION_STATE,
    refusals=MappingProxyType({}),
)
