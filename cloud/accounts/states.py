"""The life of an account, and that of an activation: tables of states."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import account_service_pb2 as pb


class State(IntEnum):
    """Numbers equal those of verifield.v1.AccountState."""

    DRAFT = pb.ACCOUNT_STATE_DRAFT
    PHONE_VERIFIED = pb.ACCOUNT_STATE_PHONE_VERIFIED
    ELEMENTS_VERIFIED = pb.ACCOUNT_STATE_ELEMENTS_VERIFIED
    ACTIVE = pb.ACCOUNT_STATE_ACTIVE
    SYNCED_INACTIVE = pb.ACCOUNT_STATE_SYNCED_INACTIVE
    LOCKED = pb.ACCOUNT_STATE_LOCKED
    DEREGISTERED = pb.ACCOUNT_STATE_DEREGISTERED


class Event(IntEnum):
    """What happens to an account."""

    VERIFY_PHONE = 1
    """A code reached the number, or two persons of the staff vouched for it."""
    CHANGE_PHONE = 2
    """By the holder, before the account is active: the new number has to be verified."""
    VERIFY_ELEMENTS = 3
    VERIFY_IDENTITY = 4
    """The face, the network certificate, or somebody at a window: who it is."""
    ACTIVATE = 5
    LOCK = 6
    UNLOCK = 7
    DEREGISTER = 8
    EXPIRE = 9
    """Nobody went on with the registration."""
    REBIND_PHONE = 10
    """By the centre, or by the holder of an active account with a code: the number counts as verified."""
    UPDATE = 11
    """The holder of an active account: new card, name, mail, password, filing permission."""


_S, _E = State, Event
_LIVE = tuple(state for state in State if state is not State.DEREGISTERED)

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (_S.DRAFT, _E.VERIFY_PHONE): _S.PHONE_VERIFIED,
            (_S.PHONE_VERIFIED, _E.VERIFY_ELEMENTS): _S.ELEMENTS_VERIFIED,
            # At a window, or by the network certificate, nobody is asked for the four elements apart.
            (_S.PHONE_VERIFIED, _E.VERIFY_IDENTITY): _S.ACTIVE,
            (_S.ELEMENTS_VERIFIED, _E.VERIFY_ELEMENTS): _S.ELEMENTS_VERIFIED,
            (_S.ELEMENTS_VERIFIED, _E.VERIFY_IDENTITY): _S.ACTIVE,
            # Who is active verifies again when something became stale.
            (_S.ACTIVE, _E.VERIFY_ELEMENTS): _S.ACTIVE,
            (_S.ACTIVE, _E.VERIFY_IDENTITY): _S.ACTIVE,
            (_S.ACTIVE, _E.UPDATE): _S.ACTIVE,
            (_S.DRAFT, _E.CHANGE_PHONE): _S.DRAFT,
            (_S.PHONE_VERIFIED, _E.CHANGE_PHONE): _S.DRAFT,
            (_S.SYNCED_INACTIVE, _E.ACTIVATE): _S.ACTIVE,
            (_S.ACTIVE, _E.LOCK): _S.LOCKED,
            (_S.LOCKED, _E.UNLOCK): _S.ACTIVE,
            (_S.ACTIVE, _E.REBIND_PHONE): _S.ACTIVE,
            (_S.SYNCED_INACTIVE, _E.REBIND_PHONE): _S.SYNCED_INACTIVE,
            (_S.LOCKED, _E.REBIND_PHONE): _S.LOCKED,
            (_S.DRAFT, _E.EXPIRE): _S.DEREGISTERED,
            (_S.PHONE_VERIFIED, _E.EXPIRE): _S.DEREGISTERED,
            (_S.ELEMENTS_VERIFIED, _E.EXPIRE): _S.DEREGISTERED,
            # From every state: a card's old dates leave people before ACTIVE, false data is found anywhere.
            **{(state, _E.DEREGISTER): _S.DEREGISTERED for state in _LIVE},
        }
    ),
    refusal=Reason.ACCOUNT_STATE,
    refusals=MappingProxyType({_E.UPDATE: Reason.ACCOUNT_NOT_ACTIVE}),
)

NEXT_STEPS = MappingProxyType(
    {
        State.DRAFT: pb.NEXT_STEP_VERIFY_PHONE,
        State.PHONE_VERIFIED: pb.NEXT_STEP_VERIFY_ELEMENTS,
        State.ELEMENTS_VERIFIED: pb.NEXT_STEP_VERIFY_FACE,
        State.SYNCED_INACTIVE: pb.NEXT_STEP_ACTIVATE,
    }
)
"""What the holder does next; in other states nothing."""

UNFINISHED = frozenset({State.DRAFT, State.PHONE_VERIFIED, State.ELEMENTS_VERIFIED})
"""Registrations that have not come to their end."""

MAY_SIGN_IN = UNFINISHED | {State.ACTIVE}


class ActivationState(IntEnum):
    """How far an activation has come."""

    STARTED = 1
    CODE_SENT = 2
    PHONE_VERIFIED = 3
    DONE = 4
    ENDED = 5


class ActivationEvent(IntEnum):
    """What happens to an activation."""

    SEND_CODE = 1
    VERIFY_CODE = 2
    ACTIVATE = 3
    END = 4
    """Too many telephone numbers that were not the one, or the number was changed meanwhile."""


_A, _B = ActivationState, ActivationEvent

ACTIVATION: Machine[ActivationState, ActivationEvent] = Machine(
    MappingProxyType(
        {
            (_A.STARTED, _B.SEND_CODE): _A.CODE_SENT,
            (_A.CODE_SENT, _B.SEND_CODE): _A.CODE_SENT,
            (_A.CODE_SENT, _B.VERIFY_CODE): _A.PHONE_VERIFIED,
            (_A.PHONE_VERIFIED, _B.ACTIVATE): _A.DONE,
            (_A.STARTED, _B.END): _A.ENDED,
            (_A.CODE_SENT, _B.END): _A.ENDED,
            (_A.PHONE_VERIFIED, _B.END): _A.ENDED,
        }
    ),
    refusal=Reason.ACTIVATION_REFUSED,
    refusals=MappingProxyType({_B.ACTIVATE: Reason.ACTIVATION_PHONE_UNVERIFIED}),
)
