"""Head pose from five points: pure, so that capture and liveness judge it alike."""

from __future__ import annotations

import math

import numpy as np

from edge.model import Face


def roll_deg(face: Face) -> float:
    """Tilt of the line through the eyes in degrees; positive: the right end is lower in the picture."""
    right, down = (float(value) for value in face.points[1] - face.points[0])
    return math.degrees(math.atan2(down, right))


def yaw_ratio(face: Face) -> float:
    """How far the nose tip is from the mid-point of the eyes, along their line, over their distance.

    0 for a head that looks into the camera, whatever its roll; positive where the nose is towards the
    right of the picture, which is the person's own left. Infinite where both eyes are one point.
    """
    eyes = face.points[:2].astype(np.float64)
    along = eyes[1] - eyes[0]
    squared = float(along @ along)
    if squared == 0.0:
        return math.inf
    nose = face.points[2].astype(np.float64) - eyes.mean(axis=0)
    return float(nose @ along) / squared
