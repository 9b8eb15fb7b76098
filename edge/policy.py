"""The one owner of every threshold that a decision depends on, with a version and a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field


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
    """Limits of the first liveness; each is explained beside the expert that reads it."""

    challenge_turns: int = 3
    turn_yaw_ratio: float = 0.16
    turn_time_limit_s: float = 6.0
    min_frames: int = 12
    min_planar_residual: float = 0.012


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
