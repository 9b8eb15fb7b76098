"""The values that stages hand to each other. Frozen; no behaviour beyond derived values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


class Outcome(StrEnum):
    """Names equal those of verifield.v1.Outcome without the prefix."""

    VERIFIED = "VERIFIED"
    NOT_MATCHED = "NOT_MATCHED"
    SPOOF = "SPOOF"
    INCONCLUSIVE = "INCONCLUSIVE"
    ABORTED = "ABORTED"


class CameraAssurance(StrEnum):
    SIMULATED = "SIMULATED"
    HOST = "HOST"


class KeyProtection(StrEnum):
    SOFTWARE = "SOFTWARE"


class DocumentType(StrEnum):
    RESIDENT_ID = "RESIDENT_ID"
    HKMT_PERMIT = "HKMT_PERMIT"
    FOREIGNER_2017 = "FOREIGNER_2017"
    FOREIGNER_2023 = "FOREIGNER_2023"


class ReadMethod(StrEnum):
    CHIP = "CHIP"


class Prompt(StrEnum):
    """What the person or the clerk is asked to do; texts in zh, es and en live with the screen."""

    PLACE_CARD = "PLACE_CARD"
    LIFT_CARD = "LIFT_CARD"
    LOOK_AT_CAMERA = "LOOK_AT_CAMERA"
    COME_CLOSER = "COME_CLOSER"
    MOVE_BACK = "MOVE_BACK"
    ONE_PERSON_ONLY = "ONE_PERSON_ONLY"
    MORE_LIGHT = "MORE_LIGHT"
    HOLD_STILL = "HOLD_STILL"
    TURN_LEFT = "TURN_LEFT"  # towards the person's own left: the nose moves right in the picture
    TURN_RIGHT = "TURN_RIGHT"
    LOOK_STRAIGHT = "LOOK_STRAIGHT"
    DONE = "DONE"


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

    def __repr__(self) -> str:
        return f"IdDocument({self.type})"


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """``best_shot``: the frame that was embedded, None where no frame was good enough.

    ``quality``: of the best shot, or of the best frame that was refused.
    """

    camera_id: str
    assurance: CameraAssurance
    frames_seen: int
    frames_used: int
    best_shot: Frame | None
    quality: tuple[QualityComponent, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a decision rests on. None means the stage gave no answer, which is never a pass."""

    document: IdDocument | None = None
    capture: CaptureRecord | None = None
    liveness: LivenessResult | None = None
    match: MatchResult | None = None
    aborted: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """``reasons``: stable codes, most important first."""

    outcome: Outcome
    reasons: tuple[str, ...]
