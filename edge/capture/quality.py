"""Whether a face may be judged: measures after ISO/IEC 29794-5, each with a reason and an advice.

The picture measures are taken on the face aligned to 112x112, so that they do not depend on how large the
face is in the frame, except that a small one is soft, as it should be.

Eyes and mouth count as covered where next to nothing changes in brightness where they must be, compared with
the whole face: dark lenses, a hand, a mask. A cover with a pattern of its own passes. How often each is right
and wrong was measured: docs/cameras.md.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.capture.align import align
from edge.geometry import nose_drop, roll_deg, yaw_ratio
from edge.model import Face, Image, Prompt, QualityComponent
from edge.policy import QualityPolicy

SHARPNESS = "sharpness"
INNER_FACE = (slice(32, 108), slice(24, 88))  # brows to chin of the aligned face: no hair, no background
EYES = ((slice(44, 60), slice(29, 48)), (slice(44, 60), slice(64, 83)))
MOUTH = (slice(83, 103), slice(39, 74))
HALVES = ((slice(32, 108), slice(24, 56)), (slice(32, 108), slice(56, 88)))
SKIN = (slice(62, 80), slice(30, 82))  # cheeks and nose: what every face shows

_LEVEL_NOISE = 3.0  # grey levels: keeps what is compared with a flat picture finite
_DEEPEST_SKIN = 60.0  # of the colour: beyond it the light is coloured
_GREY = 128.0  # of a colour channel in YCrCb: no colour

_Luma = npt.NDArray[np.uint8]


def assess(image: Image, face: Face, policy: QualityPolicy) -> tuple[QualityComponent, ...]:
    """Measure ``face`` in ``image`` (uint8 [height, width, 3], BGR); all components, most urgent first."""
    aligned = align(image, face)
    luma = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY), np.uint8)
    return (
        *_of_the_face(image, face, policy),
        *_of_the_light(luma, policy),
        *_of_the_view(aligned, luma, policy),
    )


def _of_the_face(image: Image, face: Face, policy: QualityPolicy) -> tuple[QualityComponent, ...]:
    """What place and points of the face say."""
    yaw, pitch, roll = abs(yaw_ratio(face)), nose_drop(face), abs(roll_deg(face))
    inside, near = inside_share(face, image), face.inter_eye / image.shape[1]
    level, look = policy.min_nose_drop <= pitch <= policy.max_nose_drop, Prompt.LOOK_STRAIGHT
    return (
        _least(
            "detection_score", face.score, policy.min_detection_score, "FACE_UNCLEAR", Prompt.LOOK_AT_CAMERA
        ),
        _least(
            "inter_eye_distance",
            face.inter_eye,
            policy.min_inter_eye_px,
            "FACE_TOO_SMALL",
            Prompt.COME_CLOSER,
        ),
        _most("head_size", near, policy.max_inter_eye_share, "FACE_TOO_LARGE", Prompt.MOVE_BACK),
        _least("crop_of_the_face", inside, policy.min_inside_share, "FACE_CROPPED", Prompt.MOVE_TO_MIDDLE),
        _most("head_pose_yaw", yaw, policy.max_yaw_ratio, "HEAD_TURNED", look),
        _judge("head_pose_pitch", pitch, level, "HEAD_NODDED", look),
        _most("head_pose_roll", roll, policy.max_roll_deg, "HEAD_TILTED", look),
    )


def _of_the_light(luma: _Luma, policy: QualityPolicy) -> tuple[QualityComponent, ...]:
    mean, contrast = _level_and_spread(luma[INNER_FACE])
    light = Prompt.MORE_LIGHT
    return (
        _least("under_exposure_prevention", mean, policy.min_mean_luma, "TOO_DARK", light),
        _most("over_exposure_prevention", mean, policy.max_mean_luma, "TOO_BRIGHT", Prompt.LESS_LIGHT),
        _least("illumination_uniformity", uniformity_of(luma), policy.min_uniformity, "UNEVEN_LIGHT", light),
        _least("contrast", contrast, policy.min_contrast, "LOW_CONTRAST", light),  # the root of the variance
    )


def _of_the_view(aligned: Image, luma: _Luma, policy: QualityPolicy) -> tuple[QualityComponent, ...]:
    """What stands between the face and its picture: covers, colour, blur."""
    whole = _level_and_spread(luma[INNER_FACE])[1]
    *eyes, mouth = (_level_and_spread(luma[part])[1] / (whole + _LEVEL_NOISE) for part in (*EYES, MOUTH))
    red, blue = skin_colour(aligned)
    colour = float(np.hypot(red, blue))
    cast = max(-red, blue, colour - _DEEPEST_SKIN)  # skin is red, never green or blue
    clear = Prompt.UNCOVER_FACE
    return (
        _least("eyes_visible", min(eyes), policy.min_eye_relief, "EYES_COVERED", clear),
        _least("mouth_occlusion_prevention", mouth, policy.min_mouth_relief, "MOUTH_COVERED", clear),
        _least("natural_colour_presence", colour, policy.min_colour, "NO_COLOUR", Prompt.MORE_LIGHT),
        _most("natural_colour", cast, policy.max_colour_cast, "COLOUR_CAST", Prompt.PLAIN_LIGHT),
        _least(SHARPNESS, sharpness_of(luma[INNER_FACE]), policy.min_sharpness, "BLURRED", Prompt.HOLD_STILL),
    )


def crowd(count: int) -> QualityComponent:
    """The component of a picture with ``count`` people in it."""
    return QualityComponent(
        "single_face_present",
        float(count),
        passed=False,
        reason="MULTIPLE_FACES",
        advice=Prompt.ONE_PERSON_ONLY,
    )


def sharpness_of(luma: _Luma) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., 2000) of uint8 [height, width]."""
    return float(cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_32F))[1][0, 0]) ** 2


def inside_share(face: Face, image: Image) -> float:
    """How much of the face's box lies in the picture, 0..1."""
    x, y, width, height = face.box
    across = min(x + width, image.shape[1]) - max(x, 0.0)
    down = min(y + height, image.shape[0]) - max(y, 0.0)
    return float(max(0.0, across) * max(0.0, down) / max(width * height, 1e-6))


def uniformity_of(luma: _Luma) -> float:
    """Mean brightness of the darker half of the aligned face over that of the lighter one, 0..1."""
    left, right = (float(cv2.mean(luma[half])[0]) for half in HALVES)
    return min(left, right) / max(left, right, 1.0)


def skin_colour(aligned: Image) -> tuple[float, float]:
    """Median of red and of blue (Cr, Cb) of the aligned face's skin, from grey."""
    skin = cv2.cvtColor(np.ascontiguousarray(aligned[SKIN]), cv2.COLOR_BGR2YCrCb).reshape(-1, 3)
    return float(np.median(skin[:, 1])) - _GREY, float(np.median(skin[:, 2])) - _GREY


def _level_and_spread(luma: _Luma) -> tuple[float, float]:
    """Mean and standard deviation of the brightness."""
    mean, deviation = cv2.meanStdDev(luma)  # a tenth of the time that arrays of this size take by themselves
    return float(mean[0, 0]), float(deviation[0, 0])


def _least(name: str, value: float, limit: float, reason: str, advice: Prompt) -> QualityComponent:
    return _judge(name, value, value >= limit, reason, advice)


def _most(name: str, value: float, limit: float, reason: str, advice: Prompt) -> QualityComponent:
    return _judge(name, value, value <= limit, reason, advice)


def _judge(name: str, value: float, passed: bool, reason: str, advice: Prompt) -> QualityComponent:
    if passed:
        return QualityComponent(name, value, passed=True)
    return QualityComponent(name, value, passed=False, reason=reason, advice=advice)
