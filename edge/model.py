"""The values that stages hand to each other. Frozen; no behaviour beyond derived values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edge.answers import ChallengeKind, ChallengeVariant, GalleryResult, PrivateField, SessionAnswers

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green, blue as sRGB, 0..255


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
    WATCH_SCREEN = "WATCH_SCREEN"  # it changes colour, and the face is lit by it
    OPEN_MOUTH = "OPEN_MOUTH"  # also while the screen changes colour
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
    """One signal. ``score`` None means the expert could not judge, which is never a pass.

    ``advisory``: it is shown and may accuse, but does not pass or fail by itself, since others judge what it
    sees as well, or since the policy does without it.
    """

    name: str
    score: float | None
    threshold: float
    reason: str = ""
    model_sha256: str = ""
    advisory: bool = False

    @property
    def passed(self) -> bool:
        return self.score is not None and self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class ChallengeRecord:
    """``actions`` derive from ``nonce`` (16 bytes); ``completed`` counts those answered in order.

    ``kinds``: in the order asked. ``omitted``: those that the policy has and that were not asked for, since
    the verdict stood without them. ``light``: sequence and response, where there was one. ``turns``: how far
    each answered turn went, as a change of the yaw ratio. ``time_factor``: of the time limits.
    ``attempt``: 1 for the first with this document of late.
    """

    nonce: bytes
    actions: tuple[Prompt, ...]
    completed: int
    kinds: tuple[ChallengeKind, ...] = ()
    variant: ChallengeVariant = ChallengeVariant.STANDARD
    light: LightRecord | None = None
    turns: tuple[float, ...] = ()
    time_factor: float = 1.0
    attempt: int = 1
    omitted: tuple[ChallengeKind, ...] = ()


@dataclass(frozen=True, slots=True)
class LightRecord:
    """What the screen showed and how the face answered.

    ``shown_ms``: when each colour came, after the first. ``response``: per colour, how much brighter the
    face became in red, green and blue against the background, as a natural logarithm around its mean; empty
    where it could not be measured. ``lag_ms``: from screen to picture.
    """

    colours: tuple[Colour, ...]
    shown_ms: tuple[int, ...] = ()
    response: tuple[tuple[float, float, float], ...] = ()
    lag_ms: int = 0


@dataclass(frozen=True, slots=True)
class LivenessResult:
    """``score``: all signals as one number, 0..1, higher is more alive; None where one is missing.

    LIVE needs ``score`` >= ``threshold``, and every expert that is not advisory to pass.
    """

    decision: LivenessDecision
    experts: tuple[ExpertScore, ...]
    challenge: ChallengeRecord
    reasons: tuple[str, ...]
    score: float | None = None
    threshold: float = 0.0


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
