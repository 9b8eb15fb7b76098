"""What is asked of authorities, and what they answer: a port for each, and frozen values. No I/O.

All questions are coroutines, to be awaited outside of database transactions: they may take seconds. What an
authority says is an answer, also where it is no (MISSING, MISMATCH, INCONSISTENT), and an answer is never
asked for again. What keeps it from answering is an ``AuthorityFault``: a ``ServiceError`` that a caller of
ours may be refused with as it is.

``request_id``: a UUID that the asker keeps with what it asks for, so that a question which is put again after
a crash is not charged twice; empty for a new one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from cloud.elements import FourElements, Validity
from cloud.errors import Reason, ServiceError

MAX_PICTURE_BYTES = 1024 * 1024
"""Of one picture, sent or received: a face of a thousand pixels in good JPEG has a third of it."""

MAX_OTHER = 16
"""Of the "other registered information": entries, each with MAX_TEXT_CHARS at most."""

MAX_TEXT_CHARS = 200

NONCE_BYTES = 32


class Authority(StrEnum):
    """Whom we ask."""

    REGISTRY = "registry"  # the people's registry: four elements, faces, photographs
    BANK = "bank"  # the central bank's corporate-account online verification
    CTID = "ctid"  # network certificates
    CARRIER = "carrier"  # telephone numbers and who holds them


class FaultKind(StrEnum):
    """What kept an authority from answering."""

    BUSY = "BUSY"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    UNREACHABLE = "UNREACHABLE"
    NONSENSE = "NONSENSE"
    NOT_CONFIGURED = "NOT_CONFIGURED"


class RetryClass(StrEnum):
    """What trying again may bring.

    AUTOMATIC: it was tried again until the budget was used up, and a short while later it may go. LATER: a
    fault that somebody has to mend; a person comes back another time, or takes another way. NEVER: the same
    question gets the same answer.
    """

    AUTOMATIC = "AUTOMATIC"
    LATER = "LATER"
    NEVER = "NEVER"


RETRIED = frozenset({FaultKind.BUSY, FaultKind.UNREACHABLE})
"""What is tried again by itself, within the budget of a question."""

REASONS: Mapping[FaultKind, Reason] = MappingProxyType(
    {
        FaultKind.BUSY: Reason.AUTHORITY_BUSY,
        FaultKind.SYSTEM_ERROR: Reason.REALNAME_SYSTEM_ERROR,
        FaultKind.UNREACHABLE: Reason.REALNAME_SYSTEM_ERROR,
        FaultKind.NONSENSE: Reason.REALNAME_SYSTEM_ERROR,
        FaultKind.NOT_CONFIGURED: Reason.AUTHORITY_NOT_CONFIGURED,
    }
)

RETRY_CLASSES: Mapping[Reason, RetryClass] = MappingProxyType(
    {
        Reason.AUTHORITY_BUSY: RetryClass.AUTOMATIC,
        Reason.REALNAME_SYSTEM_ERROR: RetryClass.LATER,
        Reason.VERIFICATION_DATA_MISSING: RetryClass.NEVER,
        Reason.AUTHORITY_NOT_CONFIGURED: RetryClass.NEVER,
    }
)
"""Of each reason that a question can end with; told as the fact ``retry_class``."""

_TOLD = {
    FaultKind.BUSY: "The authority is busy.",
    FaultKind.SYSTEM_ERROR: "The authority's system has a fault.",
    FaultKind.UNREACHABLE: "The authority cannot be reached.",
    FaultKind.NONSENSE: "The authority's answer cannot be understood.",
    FaultKind.NOT_CONFIGURED: "This service is not connected to the authority.",
}


class AuthorityFault(ServiceError):
    """No answer was got. Nothing of what was asked or answered stands in it.

    ``seconds``: from the question to the fault; ``tries``: how often it was sent, 0 where it was not.
    """

    def __init__(
        self,
        authority: Authority,
        kind: FaultKind,
        *,
        tries: int = 0,
        seconds: float = 0.0,
        retry_s: float | None = None,
        circuit_open: bool = False,
    ) -> None:
        reason = REASONS[kind]
        facts = {
            "authority": authority.value,
            "fault": kind.value,
            "retry_class": RETRY_CLASSES[reason].value,
            "tries": str(tries),
        }
        if circuit_open:
            facts["circuit"] = "OPEN"
        super().__init__(reason, _TOLD[kind], facts, retry_s=retry_s)
        self.authority = authority
        self.kind = kind
        self.tries = tries
        self.seconds = seconds
        self.circuit_open = circuit_open


def data_missing(authority: Authority = Authority.REGISTRY, **facts: str) -> ServiceError:
    """The refusal for an answer MISSING, in the manner of an AuthorityFault: the retry class is NEVER."""
    reason = Reason.VERIFICATION_DATA_MISSING
    told = {"authority": authority.value, "retry_class": RETRY_CLASSES[reason].value, **facts}
    return ServiceError(reason, "The authority has no such data.", told)


class Elements(StrEnum):
    """Whether the registry knows a person with all four elements. It does not tell which one is wrong."""

    MATCH = "MATCH"
    MISSING = "MISSING"


class FaceMatch(StrEnum):
    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    MISSING = "MISSING"  # the registry has no such person, or no photograph
    UNUSABLE = "UNUSABLE"  # there is no face to compare in the picture that was sent
    OTHER_CARD = "OTHER_CARD"  # it is the person, whose card has other days than those that were asked about


@dataclass(frozen=True, slots=True)
class FaceResult:
    """``score``: 0 to 1 on the registry's own scale, for the evidence; the decision is ``match`` alone.

    None where nothing was compared.
    """

    match: FaceMatch
    score: float | None


class ItemName(StrEnum):
    """What the bank's verification reports one by one (R002)."""

    NAME = "NAME"
    ID_NUMBER = "ID_NUMBER"
    PHOTO = "PHOTO"
    ISSUER = "ISSUER"
    OTHER = "OTHER"


class ItemResult(StrEnum):
    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    UNAVAILABLE = "UNAVAILABLE"  # nothing was given, or nothing is registered, to compare


@dataclass(frozen=True, slots=True)
class Item:
    """``source``: which register the authority compared with, in its own short name."""

    name: ItemName
    result: ItemResult
    source: str


@dataclass(frozen=True, slots=True)
class BankQuery:
    """What is to be verified. ``other``: further registered information by name (``company``, ``account``).

    Empty values are not compared: their item is UNAVAILABLE.
    """

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    photo: bytes = field(default=b"", repr=False)
    other: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class BankVerdict:
    """All five items, in the order of ItemName. ``seconds``: how long it took, for the audit."""

    items: tuple[Item, ...]
    seconds: float
    tries: int

    @property
    def passed(self) -> bool:
        """Whether every item is MATCH: one that is UNAVAILABLE has not been verified."""
        return all(item.result is ItemResult.MATCH for item in self.items)


@dataclass(frozen=True, slots=True)
class BankRecord:
    """What is registered; where nothing is, ``found`` is False and all else empty. ``photo``: JPEG or PNG."""

    found: bool
    seconds: float
    tries: int
    name: str = field(default="", repr=False)
    id_number: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    photo: bytes = field(default=b"", repr=False)
    other: Mapping[str, str] = field(default_factory=dict, repr=False)
    source: str = ""


@dataclass(frozen=True, slots=True)
class CtidTransaction:
    """A verification that was begun. ``link``: https, to be opened or shown as a QR code.

    ``nonce`` makes the answer belong to this transaction alone: keep it until the end, with the transaction.
    """

    transaction_id: str
    link: str = field(repr=False)
    nonce: bytes = field(repr=False)
    expires: datetime


class CtidState(StrEnum):
    PENDING = "PENDING"  # the person has not answered yet
    VERIFIED = "VERIFIED"
    REFUSED = "REFUSED"  # by the person, or by the authority
    EXPIRED = "EXPIRED"
    OTHER_PERSON = "OTHER_PERSON"  # somebody was verified, who is not the one that was asked for


@dataclass(frozen=True, slots=True)
class CtidResult:
    """``identity_digest``: of who was verified (``identity_digest``); empty in every other state."""

    state: CtidState
    identity_digest: bytes = b""


class Consistency(StrEnum):
    """Whether a telephone number belongs to the holder of an id number."""

    CONSISTENT = "CONSISTENT"
    INCONSISTENT = "INCONSISTENT"
    UNKNOWN = "UNKNOWN"  # the carrier does not know the number, or may not tell


class Registry(Protocol):
    """The people's registry."""

    async def check_elements(self, elements: FourElements, *, request_id: str = "") -> Elements:
        """Whether there is a person with all four.

        Raises:
            AuthorityFault: no answer was got.
        """

    async def compare_face(
        self, id_number: str, picture: bytes, *, validity: Validity | None = None, request_id: str = ""
    ) -> FaceResult:
        """Compare a face (JPEG or PNG, at most MAX_PICTURE_BYTES) with the registry's photograph.

        ``validity``: of the person's card, where it has to be the one that counts now, too.

        Raises:
            AuthorityFault: no answer was got.
        """

    async def photo(self, id_number: str, *, request_id: str = "") -> bytes | None:
        """The registry's photograph, JPEG or PNG; None where it has none.

        Raises:
            AuthorityFault: no answer was got.
        """


class Bank(Protocol):
    """The central bank's verification of corporate accounts, in its two modes."""

    async def verify(self, query: BankQuery, *, request_id: str = "") -> BankVerdict:
        """Mode VERIFY: compare what is given, item by item.

        Raises:
            AuthorityFault: no answer was got.
        """

    async def query(self, id_number: str, *, name: str = "", request_id: str = "") -> BankRecord:
        """Mode QUERY: fetch what is registered.

        Raises:
            AuthorityFault: no answer was got.
        """


class Ctid(Protocol):
    """Verification by network certificate, in which the person takes part with a phone."""

    async def start(self, name: str, id_number: str) -> CtidTransaction:
        """Begin; the person opens the link, gets a certificate where there is none, and agrees.

        Each call begins another transaction: one that nobody ends costs nothing, and ends by itself.

        Raises:
            AuthorityFault: no answer was got.
        """

    async def finish(self, transaction_id: str, *, nonce: bytes, name: str, id_number: str) -> CtidResult:
        """Ask how it stands; may be asked again and again. Verified is only the person of the last two.

        Raises:
            AuthorityFault: no answer was got.
        """


class Carrier(Protocol):
    """The carriers' register of who holds a number."""

    async def check(self, phone: str, id_number: str, *, request_id: str = "") -> Consistency:
        """``phone``: E.164.

        Raises:
            AuthorityFault: no answer was got.
        """


def identity_digest(nonce: bytes, name: str, id_number: str) -> bytes:
    """HMAC-SHA-256 over name, line feed, number: says who it is to those who know it already, nobody else."""
    return hmac.digest(nonce, f"{name}\n{id_number}".encode(), hashlib.sha256)
