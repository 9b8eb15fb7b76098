"""What happens in a session: one answer for each state, and what may happen in any of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.answers import GalleryResult, PrivateField, SignedIn, TextShown
from edge.model import CaptureRecord, IdDocument, LivenessResult, MatchResult, Validity

PERSON_STOPPED = "PERSON_STOPPED"
OPERATOR_STOPPED = "OPERATOR_STOPPED"
DEVICE_LOCKED = "DEVICE_LOCKED"
OPERATOR_IDLE = "OPERATOR_IDLE"
OPERATOR_IS_APPLICANT = "OPERATOR_IS_APPLICANT"
"""Reasons of an abort beside the codes of faults (edge.errors): both end as ABORTED."""

OTHER_PERSON = "OTHER_PERSON"
"""The session is for somebody else than the document's holder."""

CONSENT_REFUSED = "CONSENT_REFUSED"
EXITED_AT_EARLIER_RECORDS = "EXITED_AT_EARLIER_RECORDS"
CUSTOMER_DATA_REFUSED = "CUSTOMER_DATA_REFUSED"
NOTICE_REFUSED = "NOTICE_REFUSED"
SIGNATURE_REFUSED = "SIGNATURE_REFUSED"
"""Reasons of an abort by an answer that does not let the session go on."""

SAID_NO = frozenset(
    {PERSON_STOPPED, CONSENT_REFUSED, CUSTOMER_DATA_REFUSED, NOTICE_REFUSED, SIGNATURE_REFUSED}
)
"""Where the person did not want to: nobody else may decide otherwise."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The operator or the person starts."""


@dataclass(frozen=True, slots=True)
class OperatorIdentified:
    operator: SignedIn


@dataclass(frozen=True, slots=True)
class ConsentAnswered:
    consent: TextShown


@dataclass(frozen=True, slots=True)
class DocumentRead:
    """``validity``: of the document today; one that is expired or not valid yet ends the session.

    ``awaited``: whether it is the document of whom the session is for.
    """

    document: IdDocument
    validity: Validity
    awaited: bool = True


@dataclass(frozen=True, slots=True)
class EarlierRecordsAnswered:
    """``shown``: how many there were; with none there is nothing to ask, and the session goes on."""

    shown: int
    go_on: bool


@dataclass(frozen=True, slots=True)
class FaceCaptured:
    capture: CaptureRecord


@dataclass(frozen=True, slots=True)
class LivenessJudged:
    liveness: LivenessResult


@dataclass(frozen=True, slots=True)
class FacesCompared:
    """``match`` None: there was nothing to compare, which is never a pass."""

    match: MatchResult | None


@dataclass(frozen=True, slots=True)
class GallerySearched:
    """``result`` None: there was nothing to search with, which is never a pass."""

    result: GalleryResult | None


@dataclass(frozen=True, slots=True)
class CustomerDataAnswered:
    """``fields``: as the plan asks, in its order; empty when the person refused."""

    fields: tuple[PrivateField, ...]


@dataclass(frozen=True, slots=True)
class NoticesAnswered:
    """``notices``: as the plan has them, up to the first that was refused."""

    notices: tuple[TextShown, ...]


@dataclass(frozen=True, slots=True)
class SignatureAnswered:
    """``signature``: the strokes as the desk encodes them; empty when the person would not sign."""

    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordStored:
    """The attestation is durable: only now may anybody be told."""

    attestation_id: str


@dataclass(frozen=True, slots=True)
class Timer:
    """Time has passed; what that means depends on ``now`` alone."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Somebody or something ends the session. ``code``: stable, for example CAMERA_LOST."""

    code: str


Answer = (
    Begin
    | OperatorIdentified
    | ConsentAnswered
    | DocumentRead
    | EarlierRecordsAnswered
    | FaceCaptured
    | LivenessJudged
    | FacesCompared
    | GallerySearched
    | CustomerDataAnswered
    | NoticesAnswered
    | SignatureAnswered
    | RecordStored
)
Event = Answer | Timer | Abort
