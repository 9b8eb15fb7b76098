"""The values that the state store takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from edge.model import Embedding, Role
from edge.policy import Policy


class ItemKind(StrEnum):
    """Names equal those of verifield.v1.DownItemKind without the prefix."""

    POLICY = "POLICY"
    DIRECTIVE = "DIRECTIVE"
    REVOCATIONS = "REVOCATIONS"
    ACCOUNT = "ACCOUNT"
    CONTRACT = "CONTRACT"
    RULES = "RULES"


@dataclass(frozen=True, slots=True)
class DownItem:
    """Something that the cloud handed down. ``content``: as received; personal data, so not in ``repr``."""

    kind: ItemKind
    item_id: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """What came down and was not believed. ``kind``: as the cloud names it."""

    kind: str
    item_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LockState:
    """``reason``: the cloud's, for the people at the device. ``wiped`` is for ever.

    ``revoked``: the cloud refused the device's certificate when it called last.
    """

    locked: bool = False
    reason: str = ""
    wiped: bool = False
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """What a pull changed. None: as it was."""

    policy: Policy | None = None
    lock: LockState | None = None
    wiped: bool = False
    stored: int = 0
    refused: tuple[RefusedItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Lockout:
    """Failed sign-ins in a row, and how long the next one must wait from where the clock stood then."""

    failures: int = 0
    blocked_ns: int = 0
    boot_id: str = ""
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Credentials:
    """How an operator is known. ``pin_hash``: PHC string, empty without a PIN. Never logged."""

    name: str = field(repr=False)
    pin_hash: str = field(default="", repr=False)
    face: Embedding | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A supervisor's key. ``public_key``: SubjectPublicKeyInfo, DER. ``wrapped``: needs PIN and device."""

    public_key: bytes = b""
    wrapped: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """``operator_id``: a pseudonym, the only name that ever leaves the device."""

    operator_id: str
    role: Role
    credentials: Credentials
    cosigner: Cosigner = Cosigner()
    lockout: Lockout = Lockout()


@dataclass(frozen=True, slots=True)
class ManualEntry:
    """Two people decided by hand. ``not_before``: certainly that late; ``wall``: what the clock showed."""

    attestation_id: str
    decided_by: str
    agreed_by: str
    accepted: bool
    not_before: datetime
    wall: datetime
