"""The values that stages hand to each other. Frozen; no behaviour beyond derived values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edge.answers import GalleryResult, PrivateField, SessionAnswers

Image = npt.NDArray[np.uint8]


class Outcome(StrEnum):
    """Names equal those of verifield.v1.Outcome without the prefix."""

    VERIFIED = "VERIFIED"
    NOT_MATCHED = "NOT_MATCHED"
    SPOOF = "SPOOF"
    INCONCLUSIVE = "INCONCLUSIVE"
    MANUAL = "MANUAL"
    ABORTED = "ABORTED"


class Role(StrEnum):
    """What an operator may do: all verify; a supervisor also decides with another by hand."""

    CLERK = "clerk"
    AGENT = "agent"
    SUPERVISOR = "supervisor"


class Standing(StrEnum):
    """How the device stands with its cloud. Names equal those of verifield.v1.Standing where it has them."""

    NORMAL = "NORMAL"
    DEGRADED = "DEGRADED"  # too long without word: records are marked
    STOPPED = "STOPPED"  # far too long: no new session
    LOCKED = "LOCKED"  # the cloud said so, or revoked the device


class CameraAssurance(StrEnum):
    SIMULATED = "SIMULATED"
    HOST = "HOST"


class PeripheralKind(StrEnum):
    """Names equal those of verifield.v1.PeripheralKind without the prefix."""

    CAMERA = "CAMERA"
    READER = "READER"


class KeyProtection(StrEnum):
    """Names equal those of verifield.v1.KeyProtection without the prefix."""

    SOFTWARE = "SOFTWARE"
    PKCS11 = "PKCS11"
    TPM = "TPM"


class DocumentType(StrEnum):
    RESIDENT_ID = "RESIDENT_ID"
    HKMT_PERMIT = "HKMT_PERMIT"
    FOREIGNER_2017 = "FOREIGNER_2017"
    FOREIGNER_2023 = "FOREIGNER_2023"


class Validity(StrEnum):
    """Of a document, as far as the device knows the time."""

    VALID = "VALID"
    EXPIRED = "EXPIRED"
    NOT_YET = "NOT_YET"
    UNCERTAIN = "UNCERTAIN"


class ReadMethod(StrEnum):
    """How the document's data were read, best first."""

    CHIP = "CHIP"
    SCANNED = "SCANNED"
    TYPED = "TYPED"


class PhotoOrigin(StrEnum):
    """Where a document's photo comes from, if not from where its data do."""

    SAME = "SAME"
    PRINTED = "PRINTED"  # on the card: nothing but the number beside it binds it to the chip


class Prompt(StrEnum):
    """What the person or the clerk is asked to do; texts in zh, es and en live with the screen."""

    PLACE_CARD = "PLACE_CARD"
    LIFT_CARD = "LIFT_CARD"
    PLUG_IN_READER = "PLUG_IN_READER"
    LOOK_AT_CAMERA = "LOOK_AT_CAMERA"
    COME_CLOSER = "COME_CLOSER"
    MOVE_BACK = "MOVE_BACK"
    ONE_PERSON_ONLY = "ONE_PERSON_ONLY"
    MORE_LIGHT = "MORE_LIGHT"
    LESS_LIGHT = "LESS_LIGHT"
    PLAIN_LIGHT = "PLAIN_LIGHT"
    MOVE_TO_MIDDLE = "MOVE_TO_MIDDLE"
    UNCOVER_FACE = "UNCOVER_FACE"
    HOLD_STILL = "HOLD_STILL"
    TURN_LEFT = "TURN_LEFT"  # towards the person's own left: the nose moves right in the picture
    TURN_RIGHT = "TURN_RIGHT"
    LOOK_STRAIGHT = "LOOK_STRAIGHT"
    CAMERA_LOST = "CAMERA_LOST"
    CAMERA_FROZEN = "CAMERA_FROZEN"
    CAMERA_BLACK = "CAMERA_BLACK"
    CAMERA_BUSY = "CAMERA_BUSY"
    DONE = "DONE"


class ResetReason(StrEnum):
    """Why the chain of an epoch cannot go on."""

    STORE_BEHIND = "STORE_BEHIND"  # the cloud has more than the device: a restored backup
    FORK = "FORK"  # the cloud has other bytes
    STORE_LOST = "STORE_LOST"  # nobody knows what the device's newest record was
    COUNTER_AHEAD = "COUNTER_AHEAD"  # the hardware counter says that this is an old copy of the store


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the device's chain. Ordered: every place of an epoch comes before those of later epochs."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Places of one epoch, first to last, whose records this device can no longer deliver.

    ``last_sha256``: digest of the envelope that was at the last. ``reason``: stable code of the GAP event
    that gives them up: DAMAGED, LOST or PURGED.
    """

    epoch: int
    first_seq: int
    last_seq: int
    last_sha256: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where the device's own clock stood when the cloud's word arrived. ``monotonic_ns``: since boot."""

    boot_id: str
    monotonic_ns: int


BY_HAND = Arrival("by-hand", 0)
"""Of a word that lay on a stick: it says nothing about when this boot's clock stood where."""


@dataclass(frozen=True, slots=True)
class ClockMark:
    """What the clocks showed together at the newest record whose time was not SUSPECT. ``wall``: aware."""

    boot_id: str
    monotonic_ns: int
    wall: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """The cloud's newest word. ``server_time``: None where the device has none since it was enrolled.

    ``arrival``: when that word came. ``uptime_ns``: how long the device was certainly on since, up to
    the moment ``mark``, which may be of a later boot.
    """

    server_time: datetime | None
    arrival: Arrival
    mark: Arrival
    uptime_ns: int = 0

    def elapsed(self, now: Arrival) -> timedelta:
        """At least this long ago: time switched off is not known, time switched on is."""
        return timedelta(microseconds=self._elapsed_ns(now) // 1000)

    def until(self, now: Arrival) -> Contact:
        """The same word, with the time until ``now`` counted."""
        return Contact(self.server_time, self.arrival, now, self._elapsed_ns(now))

    def after_word_by_hand(self, server_time: datetime, now: Arrival) -> Contact:
        """What is known once a word was read that had lain on a stick, for nobody knows how long.

        One that is not newer is no new word, and the time that was certain before stays so.
        """
        if self.server_time is None:
            return Contact(server_time, BY_HAND, now)
        if server_time <= self.server_time:
            return self.until(now)
        since = self.server_time + self.elapsed(now) - server_time
        return Contact(server_time, BY_HAND, now, max(0, since // timedelta(microseconds=1)) * 1000)

    def _elapsed_ns(self, now: Arrival) -> int:
        counted_ns = self.mark.monotonic_ns if self.mark.boot_id == now.boot_id else 0
        return self.uptime_ns + max(0, now.monotonic_ns - counted_ns)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. ``pixels``: uint8 [height, width, 3], BGR. ``captured_at``: monotonic seconds."""

    pixels: Image
    captured_at: float
    number: int


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face, in pixels of the picture it was found in.

    ``box``: x, y, width, height. ``points``: float32 [5, 2]: the eye at the left of the picture,
    the other eye, nose tip, mouth corner at the left of the picture, the other. ``score``: 0..1.
    """

    box: tuple[float, float, float, float]
    points: npt.NDArray[np.float32]
    score: float

    @property
    def inter_eye(self) -> float:
        """Distance between the eyes in pixels."""
        return float(np.hypot(*(self.points[1] - self.points[0])))


@dataclass(frozen=True, slots=True)
class QualityComponent:
    """One named measure (ISO/IEC 29794-5) with its verdict; ``reason`` is set where it failed."""

    name: str
    value: float
    passed: bool
    reason: str = ""
    advice: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """``vector``: float32 [128], unit length. Comparable only within one ``model_sha256``."""

    vector: npt.NDArray[np.float32]
    model_name: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class MatchResult:
    """``score``: cosine, -1..1. ``false_match_rate``: expected at ``threshold`` in ``domain``."""

    score: float
    threshold: float
    false_match_rate: float
    domain: str
    model_name: str
    model_sha256: str

    @property
    def matched(self) -> bool:
        return self.score >= self.threshold


class LivenessDecision(StrEnum):
    LIVE = "LIVE"
    ATTACK = "ATTACK"
    INSUFFICIENT = "INSUFFICIENT"


@dataclass(frozen=True, slots=True)
class ExpertScore:
    """One signal. ``score`` None means the expert could not judge, which is never a pass."""

    name: str
    score: float | None
    threshold: float
    reason: str = ""
    model_sha256: str = ""

    @property
    def passed(self) -> bool:
        return self.score is not None and self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class ChallengeRecord:
    """``actions`` derive from ``nonce`` (16 bytes); ``completed`` counts those answered in order."""

    nonce: bytes
    actions: tuple[Prompt, ...]
    completed: int


@dataclass(frozen=True, slots=True)
class LivenessResult:
    decision: LivenessDecision
    experts: tuple[ExpertScore, ...]
    challenge: ChallengeRecord
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdDocument:
    """What a card says. ``valid_to`` None means long-term. ``photo``: uint8 [126, 102, 3] BGR or None.

    Personal data: never logged, never in an error; ``repr`` shows the type only.
    """

    type: DocumentType
    read_method: ReadMethod
    name: str
    number: str
    sex: str
    birth: date
    valid_from: date
    valid_to: date | None
    issuer: str
    address: str
    ethnicity: str
    nationality: str
    photo: Image | None
    reader_sam_id: str
    photo_origin: PhotoOrigin = PhotoOrigin.SAME

    def __repr__(self) -> str:
        return f"IdDocument({self.type})"


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """``best_shot``: the frame that was embedded, None where no frame was good enough.

    ``quality``: of the best shot, or of the best frame that was refused. ``interruptions``: how often the
    camera was lost on the way; each time the challenge began anew.
    """

    camera_id: str
    assurance: CameraAssurance
    frames_seen: int
    frames_used: int
    best_shot: Frame | None
    quality: tuple[QualityComponent, ...]
    interruptions: int = 0


@dataclass(frozen=True, slots=True)
class Purpose:
    """The request that a record is made for.

    ``task_id``: empty where the nonce was given by hand. ``number_salt``: the task's own, 32 bytes.
    ``read_sha256``: of the document that the person has confirmed to have read here, where there is one.
    """

    nonce: bytes
    task_id: str = ""
    number_salt: bytes = field(default=b"", repr=False)
    read_sha256: bytes = b""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a decision rests on. None means the stage gave no answer, which is never a pass.

    ``validity``: of the document, by the time that was known when it was read.
    ``media``: pictures to keep beside the record, as files not yet encrypted; nothing is decided by them.
    ``purpose``: what the cloud asked for; None where nobody asked.
    """

    document: IdDocument | None = None
    capture: CaptureRecord | None = None
    liveness: LivenessResult | None = None
    match: MatchResult | None = None
    aborted: str = ""
    gallery: GalleryResult | None = None
    session: SessionAnswers | None = None
    media: tuple[PrivateField, ...] = ()
    validity: Validity | None = None
    purpose: Purpose | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """``reasons``: stable codes, most important first."""

    outcome: Outcome
    reasons: tuple[str, ...]
