"""An operator's own face as a factor: alive, and the one that was enrolled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge.errors import InputError
from edge.match.score import match
from edge.model import Embedding, LivenessDecision
from edge.policy import LIVE_LIVE, MatchThreshold


@dataclass(frozen=True, slots=True)
class LiveFace:
    """What a capture gave. ``embedding``: of the best shot, None where there was none."""

    liveness: LivenessDecision
    embedding: Embedding | None = field(default=None, repr=False)


class FaceCheck(Protocol):
    """A camera with the whole liveness behind it."""

    def capture(self) -> LiveFace:
        """Look at the person in front of the camera.

        Raises:
            HardwareError: there is no camera, or it went away.
        """


def face_template(face: LiveFace) -> Embedding:
    """Return what to keep of an operator's face.

    Raises:
        InputError: FACE_NOT_LIVE, or FACE_MISSING: a template of a picture would let the picture in.
    """
    if face.liveness is not LivenessDecision.LIVE:
        raise InputError(
            "FACE_NOT_LIVE",
            "The camera did not see a live person.",
            hint="Enrol the face again in good light, and follow the prompts.",
        )
    if face.embedding is None:
        raise InputError(
            "FACE_MISSING",
            "No picture of the face was good enough.",
            hint="Come closer, face the light, and enrol the face again.",
        )
    return face.embedding


def is_own_face(probe: Embedding, template: Embedding | None, *, threshold: MatchThreshold) -> bool:
    """Whether an applicant's face is an operator's own; nobody can tell where the operator enrolled none.

    Raises:
        SetupError: MODEL_MISMATCH: the face was enrolled with another model.
    """
    return template is not None and match(probe, template, threshold=threshold, domain=LIVE_LIVE).matched


def face_matches(face: LiveFace, template: Embedding | None, *, threshold: MatchThreshold) -> bool:
    """Whether a live person with the enrolled face is there; every missing part is a no.

    Raises:
        SetupError: MODEL_MISMATCH: the face was enrolled with another model.
    """
    if template is None or face.embedding is None or face.liveness is not LivenessDecision.LIVE:
        return False
    return match(face.embedding, template, threshold=threshold, domain=LIVE_LIVE).matched
