"""What people at the device are asked in a session, and what they answer. Frozen values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Step(StrEnum):
    """Steps that a policy may add to a session; names as in verifield.v1.SessionStep, less the prefix."""

    OPERATOR = "OPERATOR"
    CONSENT = "CONSENT"
    EARLIER_RECORDS = "EARLIER_RECORDS"
    GALLERY = "GALLERY"
    CUSTOMER_DATA = "CUSTOMER_DATA"
    NOTICE = "NOTICE"
    SIGNATURE = "SIGNATURE"


class Stop(StrEnum):
    """Why a question got no answer."""

    PERSON = "PERSON"
    OPERATOR = "OPERATOR"
    TIMEOUT = "TIMEOUT"


class SignInFactor(StrEnum):
    """Names equal those of verifield.v1.AuthenticationFactor, less the prefix."""

    PIN = "PIN"
    FACE = "FACE"


class Refusal(StrEnum):
    """Why somebody is not signed in. Which factor was wrong is not told."""

    WRONG = "WRONG"
    BLOCKED = "BLOCKED"
    BUSY = "BUSY"


class GalleryDecision(StrEnum):
    """Names equal those of verifield.v1.GalleryDecision, less the prefix."""

    UNKNOWN = "UNKNOWN"
    FOUND = "FOUND"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who sits at the device. ``operator_id``: a pseudonym. ``role``: clerk, supervisor or agent."""

    operator_id: str
    role: str
    factors: frozenset[SignInFactor] = frozenset()


@dataclass(frozen=True, slots=True)
class NotSignedIn:
    """``wait_s``: until the next attempt is allowed."""

    refusal: Refusal
    wait_s: float


@dataclass(frozen=True, slots=True)
class SessionText:
    """A consent or a notice. ``by_language``: the text in each language that the policy has."""

    text_id: str
    by_language: Mapping[str, str]

    def in_language(self, language: str) -> str:
        """Return the text in ``language``, else in the first language by name."""
        return self.by_language.get(language) or self.by_language[min(self.by_language)]

    def answered(self, language: str, *, accepted: bool) -> TextShown:
        """What the statement says of this text, once it was shown in ``language``."""
        return TextShown(self.text_id, _digest(self.in_language(language)), accepted)

    def shown_as(self, shown: TextShown) -> bool:
        """Whether ``shown`` is this very text in one of its languages."""
        digests = {_digest(text) for text in self.by_language.values()}
        return shown.text_id == self.text_id and shown.text_sha256 in digests


@dataclass(frozen=True, slots=True)
class TextShown:
    """``text_sha256``: of the UTF-8 text in the language shown."""

    text_id: str
    text_sha256: bytes
    accepted: bool


@dataclass(frozen=True, slots=True)
class PrivateField:
    """Something that a person gave, to be committed to under ``name``. ``repr`` shows the name only."""

    name: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EarlierRecord:
    """A record of the same document on this device. ``at``: the wall clock of then.

    ``boot_id`` and ``monotonic_ns``: where the device's own clock stood; of no boot where nobody noted it.
    """

    attestation_id: str
    outcome: str
    at: datetime
    boot_id: str = ""
    monotonic_ns: int = 0


@dataclass(frozen=True, slots=True)
class GalleryCandidate:
    """``candidate_id``: pseudonym of an enrolled person. ``score``: cosine, -1..1.

    ``watched``: whether that person is on the watch-list.
    """

    candidate_id: str
    score: float
    watched: bool = False


@dataclass(frozen=True, slots=True)
class GalleryResult:
    """``candidates``: best first. Nobody is an answer; no answer at all is None instead of this.

    ``second_check``: the answer alone does not let the session go on (siblings, twins, the watch-list): a
    person has to look.
    """

    gallery_version: int
    size: int
    candidates: tuple[GalleryCandidate, ...]
    decision: GalleryDecision
    second_check: bool = False

    @property
    def watched(self) -> bool:
        """Whether somebody of the watch-list is among them."""
        return any(one.watched for one in self.candidates)


@dataclass(frozen=True, slots=True)
class SessionAnswers:
    """All that was asked beside the face. None and empty: not asked, or not answered.

    ``session_id``: 16 random bytes. ``earlier_records``: how many were shown; None where nobody looked.
    ``signature``: the strokes, as the desk encodes them.
    """

    session_id: bytes
    operator: SignedIn | None = None
    consent: TextShown | None = None
    earlier_records: int | None = None
    customer: tuple[PrivateField, ...] = ()
    notices: tuple[TextShown, ...] = ()
    signature: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ManualVerdict:
    """What two people decided. ``causes``: the attempt's outcome and reasons, as stable codes.

    ``cosigner_key``: DER SubjectPublicKeyInfo of the second person's key.
    """

    accepted: bool
    causes: tuple[str, ...]
    cosigner: SignedIn
    cosigner_key: bytes
    attempt_id: str


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class ChallengeKind(StrEnum):
    """Names equal those of verifield.v1.ChallengeKind without the prefix."""

    LIGHT = "LIGHT"
    TURNS = "TURNS"


class TurnsWhen(StrEnum):
    """When the head must be turned after light. Names equal those of verifield.v1.TurnsWhen."""

    ALWAYS = "ALWAYS"
    NEEDED = "NEEDED"  # only where the verdict does not stand without


class ChallengeVariant(StrEnum):
    """For whom the challenge was made. Names equal those of verifield.v1.ChallengeVariant."""

    STANDARD = "STANDARD"
    NO_SCREEN = "NO_SCREEN"  # the person cannot see the screen, or must not look at flicker: turns, by word
    NO_TURN = "NO_TURN"  # the person cannot turn the head: light alone


@dataclass(frozen=True, slots=True)
class Accommodation:
    """What a person needs so that the challenge can be answered. ``more_time``: longer limits."""

    variant: ChallengeVariant = ChallengeVariant.STANDARD
    more_time: bool = False
