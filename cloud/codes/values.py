"""What codes are for, how a challenge goes on, and how numbers are proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import otp_service_pb2 as pb


class Purpose(IntEnum):
    """Numbers equal those of verifield.v1.CodePurpose."""

    REGISTER = pb.CODE_PURPOSE_REGISTER
    ACTIVATE = pb.CODE_PURPOSE_ACTIVATE
    LOGIN = pb.CODE_PURPOSE_LOGIN
    RESET_PASSWORD = pb.CODE_PURPOSE_RESET_PASSWORD
    SIGN_CONTRACT = pb.CODE_PURPOSE_SIGN_CONTRACT
    REBIND_PHONE = pb.CODE_PURPOSE_REBIND_PHONE


class State(IntEnum):
    """Numbers equal those of verifield.v1.ChallengeState."""

    SENT = pb.CHALLENGE_STATE_SENT
    VERIFIED = pb.CHALLENGE_STATE_VERIFIED
    EXPIRED = pb.CHALLENGE_STATE_EXPIRED
    LOCKED = pb.CHALLENGE_STATE_LOCKED
    REPLACED = pb.CHALLENGE_STATE_REPLACED


class Event(IntEnum):
    """What happens to a challenge. MISS: a wrong guess that is forgiven; LOCK: one too many."""

    HIT = 1
    MISS = 2
    LOCK = 3
    EXPIRE = 4
    REPLACE = 5


MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (State.SENT, Event.HIT): State.VERIFIED,
            (State.SENT, Event.MISS): State.SENT,
            (State.SENT, Event.LOCK): State.LOCKED,
            (State.SENT, Event.EXPIRE): State.EXPIRED,
            (State.SENT, Event.REPLACE): State.REPLACED,
        }
    ),
    refusal=Reason.CODE_EXPIRED,
    refusals=MappingProxyType({}),
)

OVER = MappingProxyType(
    {
        State.VERIFIED: Reason.CODE_USED,
        State.EXPIRED: Reason.CODE_EXPIRED,
        State.LOCKED: Reason.CODE_LOCKED,
        State.REPLACED: Reason.CODE_REPLACED,
    }
)
"""Why a code is not taken any more, by how its challenge ended."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A code was sent. ``retry_s``: when the next one may be asked for."""

    challenge_id: str
    expire_time: datetime
    retry_s: float
    masked_phone: str


class Method(IntEnum):
    """Numbers equal those of verifield.v1.PhoneMethod."""

    CODE = pb.PHONE_METHOD_CODE
    MANUAL = pb.PHONE_METHOD_MANUAL


class Match(IntEnum):
    """Numbers equal those of verifield.v1.PhoneMatch."""

    NOT_ASKED = pb.PHONE_MATCH_NOT_ASKED
    CONSISTENT = pb.PHONE_MATCH_CONSISTENT
    INCONSISTENT = pb.PHONE_MATCH_INCONSISTENT
    UNKNOWN = pb.PHONE_MATCH_UNKNOWN
