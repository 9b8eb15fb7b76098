"""Whether a face may be judged: measures after ISO/IEC 29794-5, each with a reason and an advice.

The picture measures are taken on the face aligned to 112x112, so that they do not depend on how large the
face is in the frame, except that a small one is soft, as it should be.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.capture.align import align
from edge.geometry import roll_deg, yaw_ratio
from edge.model import Face, Image, Prompt, QualityComponent
from edge.policy import QualityPolicy

INNER_FACE = (slice(32, 108), slice(24, 88))  # brows to chin of the aligned face: no hair, no background


def assess(image: Image, face: Face, policy: QualityPolicy) -> tuple[QualityComponent, ...]:
    """Measure ``face`` in ``image`` (uint8 [height, width, 3], BGR); all components, most urgent first."""
    luma = _inner_luma(image, face)
    mean = float(luma.mean())
    yaw, roll = abs(yaw_ratio(face)), abs(roll_deg(face))
    sharpness, contrast = sharpness_of(luma), float(luma.std())
    return (
        _judge(
            "detection_score",
            face.score,
            face.score >= policy.min_detection_score,
            "FACE_UNCLEAR",
            Prompt.LOOK_AT_CAMERA,
        ),
        _judge(
            "inter_eye_distance",
            face.inter_eye,
            face.inter_eye >= policy.min_inter_eye_px,
            "FACE_TOO_SMALL",
            Prompt.COME_CLOSER,
        ),
        _judge("head_pose_yaw", yaw, yaw <= policy.max_yaw_ratio, "HEAD_TURNED", Prompt.LOOK_STRAIGHT),
        _judge("head_pose_roll", roll, roll <= policy.max_roll_deg, "HEAD_TILTED", Prompt.LOOK_STRAIGHT),
        _judge(
            "under_exposure_prevention", mean, mean >= policy.min_mean_luma, "TOO_DARK", Prompt.MORE_LIGHT
        ),
        _judge(
            "over_exposure_prevention", mean, mean <= policy.max_mean_luma, "TOO_BRIGHT", Prompt.MOVE_BACK
        ),
        _judge(
            "contrast", contrast, contrast >= policy.min_contrast, "LOW_CONTRAST", Prompt.MORE_LIGHT
        ),  # standard deviation: the root of the standard's luminance variance
        _judge("sharpness", sharpness, sharpness >= policy.min_sharpness, "BLURRED", Prompt.HOLD_STILL),
    )


def sharpness_of(luma: npt.NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., 2000) of uint8 [height, width]."""
    return float(cv2.Laplacian(luma, cv2.CV_32F).var())


def _inner_luma(image: Image, face: Face) -> npt.NDArray[np.uint8]:
    luma = cv2.cvtColor(align(image, face), cv2.COLOR_BGR2GRAY)
    return np.asarray(luma[INNER_FACE], dtype=np.uint8)


def _judge(name: str, value: float, passed: bool, reason: str, advice: Prompt) -> QualityComponent:
    if passed:
        return QualityComponent(name, value, passed=True)
    return QualityComponent(name, value, passed=False, reason=reason, advice=advice)
