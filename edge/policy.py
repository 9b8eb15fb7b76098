"""The one owner of every threshold that a decision depends on, with a version and a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

LIVE_LIVE = "live/live"
LIVE_CHIP_PHOTO = "live/chip_photo"
"""The domains of comparison, each with an operating point of its own in MatchPolicy."""


@dataclass(frozen=True, slots=True)
class MatchThreshold:
    """Accept at cosine >= ``threshold``; ``false_match_rate`` is what that costs."""

    threshold: float
    false_match_rate: float


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """Source: all-against-all on Labeled Faces in the Wild, 29.6 million impostor comparisons.

    The chip photo's domain borrows the stricter operating point until it has its own calibration.
    """

    live_live: MatchThreshold = MatchThreshold(0.415, 1e-4)
    live_chip_photo: MatchThreshold = MatchThreshold(0.466, 1e-5)


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """Limits of a frame that may be judged; units in the names."""

    min_detection_score: float = 0.7
    min_inter_eye_px: float = 40.0
    max_roll_deg: float = 25.0
    max_yaw_ratio: float = 0.25
    min_sharpness: float = 20.0
    min_mean_luma: float = 40.0
    max_mean_luma: float = 225.0
    min_contrast: float = 12.0


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """Limits of the first liveness, calibrated on the simulator's heads and prints (docs: see each line)."""

    # Head turn. A head turned by 25 degrees changes its yaw ratio by 0.16 to 0.38; a print tilted by up to
    # 38 degrees, flat or bent, by 0.14 at most, because the ratio hardly changes under affine motion.
    challenge_turns: int = 3
    turn_yaw_ratio: float = 0.15
    frontal_yaw_ratio: float = 0.15  # people look slightly past the camera; measured +-0.13 on webcam clips
    first_look_time_limit_s: float = 10.0  # from the card back to the camera
    turn_time_limit_s: float = 6.0  # slow people need three seconds from reading to turned
    min_reaction_s: float = 0.2  # nobody has read a prompt and turned the head sooner
    # Continuity of the one face that answers.
    max_face_gap_s: float = 0.7  # longer than a detector's slip, too short to swap what is held up
    min_face_overlap: float = (
        0.4  # intersection over union from frame to frame; a fast turn at 5 fps keeps 0.6
    )
    min_frames: int = 12
    # Planar motion: distance to the best homography over the sine of the tilt, in eye distances. Per turn,
    # simulated heads show 0.060 to 0.125, prints 0.008 to 0.016 (120 sessions); real heads on small, blurred
    # webcam clips go down to 0.03. Between the two limits the signal neither passes nor accuses.
    min_tilt_deg: float = 18.0  # below this tracking noise is as large as the relief of a face
    min_planar_inter_eye_px: float = 36.0  # smaller faces are tracked too coarsely to tell relief from noise
    min_planar_points: int = 24  # a homography takes four; the rest is evidence
    min_planar_readings: int = 3
    min_planar_relief: float = 0.035
    max_flat_relief: float = 0.026


@dataclass(frozen=True, slots=True)
class Policy:
    version: int = 1
    match: MatchPolicy = field(default_factory=MatchPolicy)
    quality: QualityPolicy = field(default_factory=QualityPolicy)
    liveness: LivenessPolicy = field(default_factory=LivenessPolicy)

    def sha256(self) -> bytes:
        """Digest of the canonical JSON of all fields (32 bytes)."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()
