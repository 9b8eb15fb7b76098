"""The lives of a contract and of each of its parties: what may happen in which state."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import contract_service_pb2 as pb


class State(IntEnum):
    """Numbers equal those of verifield.v1.ContractState."""

    DRAFT = pb.CONTRACT_STATE_DRAFT
    INTERNAL_REVIEW = pb.CONTRACT_STATE_INTERNAL_REVIEW
    SENT = pb.CONTRACT_STATE_SENT
    PARTIALLY_SIGNED = pb.CONTRACT_STATE_PARTIALLY_SIGNED
    COMPLETED = pb.CONTRACT_STATE_COMPLETED
    ARCHIVED = pb.CONTRACT_STATE_ARCHIVED
    DECLINED = pb.CONTRACT_STATE_DECLINED
    WITHDRAWN = pb.CONTRACT_STATE_WITHDRAWN
    EXPIRED = pb.CONTRACT_STATE_EXPIRED
    DELETED = pb.CONTRACT_STATE_DELETED


class Event(IntEnum):
    """What happens to one. Those that a timeline shows have the numbers of ContractEventKind."""

    CREATE = pb.CONTRACT_EVENT_KIND_CREATED
    REQUEST_REVIEW = pb.CONTRACT_EVENT_KIND_REVIEW_REQUESTED
    REVIEW_APPROVE = pb.CONTRACT_EVENT_KIND_REVIEW_APPROVED
    REVIEW_REFUSE = pb.CONTRACT_EVENT_KIND_REVIEW_REFUSED
    REVIEW_RECALL = pb.CONTRACT_EVENT_KIND_REVIEW_RECALLED
    SEND = pb.CONTRACT_EVENT_KIND_SENT
    NOTIFY = pb.CONTRACT_EVENT_KIND_NOTIFIED
    OPEN = pb.CONTRACT_EVENT_KIND_OPENED
    READ = pb.CONTRACT_EVENT_KIND_READ
    AUTHENTICATE = pb.CONTRACT_EVENT_KIND_AUTHENTICATED
    SIGN = pb.CONTRACT_EVENT_KIND_SIGNED
    APPROVE = pb.CONTRACT_EVENT_KIND_APPROVED
    COMPLETE = pb.CONTRACT_EVENT_KIND_COMPLETED
    DECLINE = pb.CONTRACT_EVENT_KIND_DECLINED
    WITHDRAW = pb.CONTRACT_EVENT_KIND_WITHDRAWN
    EXPIRE = pb.CONTRACT_EVENT_KIND_EXPIRED
    REMIND = pb.CONTRACT_EVENT_KIND_REMINDED
    AWAIT_STAMP = pb.CONTRACT_EVENT_KIND_TIMESTAMP_AWAITED
    CLASSIFY = pb.CONTRACT_EVENT_KIND_CLASSIFIED
    ARCHIVE = pb.CONTRACT_EVENT_KIND_ARCHIVED
    UNARCHIVE = pb.CONTRACT_EVENT_KIND_UNARCHIVED
    DELETE = pb.CONTRACT_EVENT_KIND_DELETED
    EDIT = 100
    """Details, parties or marks: shown by the contract itself."""
    COPY = 101
    """A new one begins with the file of this one, which stays as it is."""


_S, _E = State, Event

OPEN_STATES = frozenset({_S.SENT, _S.PARTIALLY_SIGNED})
"""In which parties act."""

DRAFTS = frozenset({_S.DRAFT, _S.INTERNAL_REVIEW})
"""Which nobody but the sender's side sees."""

CAME_TO_NOTHING = frozenset({_S.DECLINED, _S.WITHDRAWN, _S.EXPIRED})
CONCLUDED = frozenset({_S.COMPLETED, _S.ARCHIVED})

_WHILE_OPEN = (
    _E.NOTIFY,
    _E.OPEN,
    _E.READ,
    _E.AUTHENTICATE,
    _E.APPROVE,
    _E.REMIND,
    _E.AWAIT_STAMP,
)

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (_S.DRAFT, _E.EDIT): _S.DRAFT,
            (_S.DRAFT, _E.REQUEST_REVIEW): _S.INTERNAL_REVIEW,
            (_S.DRAFT, _E.SEND): _S.SENT,
            # What was approved is what is sent: nothing can be edited meanwhile.
            (_S.INTERNAL_REVIEW, _E.REVIEW_APPROVE): _S.INTERNAL_REVIEW,
            (_S.INTERNAL_REVIEW, _E.REVIEW_REFUSE): _S.DRAFT,
            (_S.INTERNAL_REVIEW, _E.REVIEW_RECALL): _S.DRAFT,
            (_S.INTERNAL_REVIEW, _E.SEND): _S.SENT,
            **{(state, event): state for state in OPEN_STATES for event in _WHILE_OPEN},
            **{(state, _E.SIGN): _S.PARTIALLY_SIGNED for state in OPEN_STATES},
            **{(state, _E.COMPLETE): _S.COMPLETED for state in OPEN_STATES},
            **{(state, _E.DECLINE): _S.DECLINED for state in OPEN_STATES},
            **{(state, _E.WITHDRAW): _S.WITHDRAWN for state in OPEN_STATES},
            **{(state, _E.EXPIRE): _S.EXPIRED for state in OPEN_STATES},
            # Who is told of a contract may still open it when it is concluded.
            **{(state, _E.OPEN): state for state in CONCLUDED},
            (_S.COMPLETED, _E.ARCHIVE): _S.ARCHIVED,
            (_S.ARCHIVED, _E.UNARCHIVE): _S.COMPLETED,
            # What is archived is read-only.
            **{(state, _E.CLASSIFY): state for state in State if state not in (_S.ARCHIVED, _S.DELETED)},
            **{(state, _E.COPY): state for state in CAME_TO_NOTHING},
            **{
                (state, _E.DELETE): _S.DELETED
                for state in (_S.DRAFT, _S.COMPLETED, _S.ARCHIVED, *CAME_TO_NOTHING)
            },
        }
    ),
    refusal=Reason.CONTRACT_STATE,
    refusals=MappingProxyType({}),
)


class PartyState(IntEnum):
    """Numbers equal those of verifield.v1.ContractPartyState."""

    INVITED = pb.CONTRACT_PARTY_STATE_INVITED
    NOTIFIED = pb.CONTRACT_PARTY_STATE_NOTIFIED
    OPENED = pb.CONTRACT_PARTY_STATE_OPENED
    READ_CONFIRMED = pb.CONTRACT_PARTY_STATE_READ_CONFIRMED
    AUTHENTICATED = pb.CONTRACT_PARTY_STATE_AUTHENTICATED
    SIGNED = pb.CONTRACT_PARTY_STATE_SIGNED
    DECLINED = pb.CONTRACT_PARTY_STATE_DECLINED
    EXPIRED = pb.CONTRACT_PARTY_STATE_EXPIRED


_P = PartyState

WAITING = (_P.INVITED, _P.NOTIFIED, _P.OPENED, _P.READ_CONFIRMED, _P.AUTHENTICATED)
"""Not at an end."""

PARTY_MACHINE: Machine[PartyState, Event] = Machine(
    MappingProxyType(
        {
            (_P.INVITED, _E.NOTIFY): _P.NOTIFIED,
            **{(state, _E.REMIND): state for state in WAITING if state is not _P.INVITED},
            (_P.NOTIFIED, _E.OPEN): _P.OPENED,
            (_P.OPENED, _E.OPEN): _P.OPENED,
            (_P.OPENED, _E.READ): _P.READ_CONFIRMED,
            (_P.READ_CONFIRMED, _E.READ): _P.READ_CONFIRMED,
            (_P.READ_CONFIRMED, _E.AUTHENTICATE): _P.AUTHENTICATED,
            (_P.AUTHENTICATED, _E.AUTHENTICATE): _P.AUTHENTICATED,
            (_P.AUTHENTICATED, _E.AWAIT_STAMP): _P.AUTHENTICATED,
            (_P.AUTHENTICATED, _E.SIGN): _P.SIGNED,
            (_P.READ_CONFIRMED, _E.APPROVE): _P.SIGNED,
            **{(state, _E.DECLINE): _P.DECLINED for state in WAITING if state is not _P.INVITED},
            **{(state, _E.EXPIRE): _P.EXPIRED for state in WAITING},
        }
    ),
    refusal=Reason.CONTRACT_STATE,
    refusals=MappingProxyType({}),
)
