"""Lives of acts of signing."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import signing_service_pb2 as pb


class State(IntEnum):
    """Numbers equal those of verifield.v1.SigningState."""

    STARTED = pb.SIGNING_STATE_STARTED
    AT_SITE = pb.SIGNING_STATE_AT_SITE
    AUTHENTICATED = pb.SIGNING_STATE_AUTHENTICATED
    TIMESTAMP_PENDING = pb.SIGNING_STATE_TIMESTAMP_PENDING
    SIGNED = pb.SIGNING_STATE_SIGNED
    REPLACED = pb.SIGNING_STATE_REPLACED
    EXPIRED = pb.SIGNING_STATE_EXPIRED
    FAILED = pb.SIGNING_STATE_FAILED
    CANCELLED = pb.SIGNING_STATE_CANCELLED


class Event(IntEnum):
    """What happens to an act of signing."""

    CHOOSE = 1  # the person chose how it looks, and sees that
    ASK_CODE = 2
    MISS = 3  # what was brought does not authenticate the person
    HAND_OUT = 4  # to the devices of a site
    AUTHENTICATE = 5
    SUBMIT = 6  # a device hands in what it took
    WAIT = 7  # no authority gives a time-stamp
    COMPLETE = 8
    REPLACE = 9
    CANCEL = 10
    EXPIRE = 11
    FAIL = 12  # the contract or the account has ended, or what was confirmed is no more


_S, _E = State, Event

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (_S.STARTED, _E.CHOOSE): _S.STARTED,
            (_S.STARTED, _E.ASK_CODE): _S.STARTED,
            (_S.STARTED, _E.MISS): _S.STARTED,
            (_S.STARTED, _E.HAND_OUT): _S.AT_SITE,
            (_S.STARTED, _E.AUTHENTICATE): _S.AUTHENTICATED,
            (_S.STARTED, _E.REPLACE): _S.REPLACED,
            (_S.STARTED, _E.EXPIRE): _S.EXPIRED,
            (_S.STARTED, _E.FAIL): _S.FAILED,
            (_S.AT_SITE, _E.SUBMIT): _S.AUTHENTICATED,
            (_S.AT_SITE, _E.REPLACE): _S.REPLACED,
            (_S.AT_SITE, _E.CANCEL): _S.CANCELLED,
            (_S.AT_SITE, _E.EXPIRE): _S.EXPIRED,
            (_S.AT_SITE, _E.FAIL): _S.FAILED,
            (_S.AUTHENTICATED, _E.WAIT): _S.TIMESTAMP_PENDING,
            (_S.AUTHENTICATED, _E.COMPLETE): _S.SIGNED,
            (_S.AUTHENTICATED, _E.FAIL): _S.FAILED,
            (_S.TIMESTAMP_PENDING, _E.WAIT): _S.TIMESTAMP_PENDING,
            (_S.TIMESTAMP_PENDING, _E.COMPLETE): _S.SIGNED,
            (_S.TIMESTAMP_PENDING, _E.FAIL): _S.FAILED,
        }
    ),
    refusal=Reason.SIGNING_STATE,
    refusals=MappingProxyType({}),
)

OPEN = frozenset({State.STARTED, State.AT_SITE, State.AUTHENTICATED, State.TIMESTAMP_PENDING})
MAKING = frozenset({State.AUTHENTICATED, State.TIMESTAMP_PENDING})
"""The person has done all that is theirs; the signature is to be made."""
