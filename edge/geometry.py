"""Head pose from five points: pure, so that capture and liveness judge it alike."""

from __future__ import annotations

import math

import numpy as np

from edge.model import Face


def roll_deg(face: Face) -> float:
    """Tilt of the line through the eyes in degrees; positive: the right end is lower in the picture."""
    right, down = (float(value) for value in face.points[1] - face.points[0])
    return math.degrees(math.atan2(down, right))


def nose_drop(face: Face) -> float:
    """How far the nose tip is below the line of the eyes, over how far the mouth is: the head's pitch.

    About 0.53 for a head that looks into the camera; less with the chin up, more with the chin down.
    Infinite where the mouth is not below the eyes.
    """
    points = face.points.astype(np.float64)
    along = points[1] - points[0]
    nose, mouth = (part - points[:2].mean(axis=0) for part in (points[2], points[3:].mean(axis=0)))
    to_mouth = float(along[0] * mouth[1] - along[1] * mouth[0])
    return float(along[0] * nose[1] - along[1] * nose[0]) / to_mouth if to_mouth > 0 else math.inf


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
