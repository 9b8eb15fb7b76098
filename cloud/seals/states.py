"""The lives of a seal, of its versions and of grants: which event may happen in which state."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from types import MappingProxyType

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import seal_service_pb2 as pb


class State(IntEnum):
    """Of a seal. FROZEN holds whatever becomes of its versions."""

    PENDING_REVIEW = pb.SEAL_STATE_PENDING_REVIEW
    APPROVED = pb.SEAL_STATE_APPROVED
    REJECTED = pb.SEAL_STATE_REJECTED
    FROZEN = pb.SEAL_STATE_FROZEN
    REVOKED = pb.SEAL_STATE_REVOKED


class Event(Enum):
    """What may happen to a seal. The ones of a LAST version: there is no other one that signs."""

    SUBMIT = auto()  # a new version
    ASSIGN = auto()  # its review, to a reviewer
    APPROVE = auto()
    REJECT = auto()
    REJECT_LAST = auto()
    REOPEN = auto()  # a decision about a version beside the one that signs does not stand
    REOPEN_LAST = auto()  # or about the one that signs
    FREEZE = auto()
    UNFREEZE = auto()
    UNFREEZE_LAST = auto()  # while its version is looked at again
    REVOKE = auto()


_S, _E = State, Event

MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (_S.PENDING_REVIEW, _E.ASSIGN): _S.PENDING_REVIEW,
            (_S.PENDING_REVIEW, _E.APPROVE): _S.APPROVED,
            (_S.PENDING_REVIEW, _E.REJECT_LAST): _S.REJECTED,
            (_S.PENDING_REVIEW, _E.REVOKE): _S.REVOKED,
            (_S.REJECTED, _E.SUBMIT): _S.PENDING_REVIEW,
            (_S.REJECTED, _E.REOPEN_LAST): _S.PENDING_REVIEW,
            (_S.REJECTED, _E.REVOKE): _S.REVOKED,
            (_S.APPROVED, _E.SUBMIT): _S.APPROVED,
            (_S.APPROVED, _E.ASSIGN): _S.APPROVED,
            (_S.APPROVED, _E.APPROVE): _S.APPROVED,
            (_S.APPROVED, _E.REJECT): _S.APPROVED,
            (_S.APPROVED, _E.REOPEN): _S.APPROVED,
            (_S.APPROVED, _E.REOPEN_LAST): _S.PENDING_REVIEW,
            (_S.APPROVED, _E.FREEZE): _S.FROZEN,
            (_S.APPROVED, _E.REVOKE): _S.REVOKED,
            (_S.FROZEN, _E.ASSIGN): _S.FROZEN,
            (_S.FROZEN, _E.APPROVE): _S.FROZEN,
            (_S.FROZEN, _E.REJECT): _S.FROZEN,
            (_S.FROZEN, _E.REJECT_LAST): _S.REJECTED,
            (_S.FROZEN, _E.REOPEN): _S.FROZEN,
            (_S.FROZEN, _E.REOPEN_LAST): _S.FROZEN,
            (_S.FROZEN, _E.UNFREEZE): _S.APPROVED,
            (_S.FROZEN, _E.UNFREEZE_LAST): _S.PENDING_REVIEW,
            (_S.FROZEN, _E.REVOKE): _S.REVOKED,
        }
    ),
    refusal=Reason.SEAL_STATE,
    refusals=MappingProxyType({}),
)


class VersionState(IntEnum):
    """Of one version."""

    PENDING_REVIEW = pb.SEAL_VERSION_STATE_PENDING_REVIEW
    APPROVED = pb.SEAL_VERSION_STATE_APPROVED
    REJECTED = pb.SEAL_VERSION_STATE_REJECTED
    REPLACED = pb.SEAL_VERSION_STATE_REPLACED
    WITHDRAWN = pb.SEAL_VERSION_STATE_WITHDRAWN


class VersionEvent(Enum):
    """What may happen to a version."""

    APPROVE = auto()
    REJECT = auto()
    REPLACE = auto()  # by a later one that was approved
    WITHDRAW = auto()  # with its seal
    REOPEN = auto()


_V, _VE = VersionState, VersionEvent

VERSIONS: Machine[VersionState, VersionEvent] = Machine(
    MappingProxyType(
        {
            (_V.PENDING_REVIEW, _VE.APPROVE): _V.APPROVED,
            (_V.PENDING_REVIEW, _VE.REJECT): _V.REJECTED,
            (_V.PENDING_REVIEW, _VE.WITHDRAW): _V.WITHDRAWN,
            (_V.APPROVED, _VE.REPLACE): _V.REPLACED,
            (_V.APPROVED, _VE.REOPEN): _V.PENDING_REVIEW,
            (_V.REJECTED, _VE.REOPEN): _V.PENDING_REVIEW,
        }
    ),
    refusal=Reason.SEAL_STATE,
    refusals=MappingProxyType({}),
)


class GrantState(IntEnum):
    """As it is stored; that its time is over, or its uses used up, is worked out."""

    ACTIVE = pb.SEAL_GRANT_STATE_ACTIVE
    REVOKED = pb.SEAL_GRANT_STATE_REVOKED
    EXPIRED = pb.SEAL_GRANT_STATE_EXPIRED


class GrantEvent(Enum):
    """What may happen to a grant."""

    USE = auto()
    REVOKE = auto()


_G, _GE = GrantState, GrantEvent

GRANTS: Machine[GrantState, GrantEvent] = Machine(
    MappingProxyType(
        {
            (_G.ACTIVE, _GE.USE): _G.ACTIVE,
            (_G.ACTIVE, _GE.REVOKE): _G.REVOKED,
        }
    ),
    refusal=Reason.SEAL_GRANT_STATE,
    refusals=MappingProxyType({}),
)


class Scope(IntEnum):
    """What a grant is for."""

    CONTRACTS = pb.SEAL_SCOPE_CONTRACTS
    APPROVALS = pb.SEAL_SCOPE_APPROVALS

    @property
    def bit(self) -> int:
        """In the column ``scopes``."""
        return 1 << self.value
