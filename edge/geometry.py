"""Five points of a face: how they are turned and moved. Pure, so that capture and liveness judge alike."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge.model import Face


def roll_deg(face: Face) -> float:
    """Tilt of the line through the eyes in degrees; positive: the right end is lower in the picture."""
    one, other, *_ = face.points.tolist()  # plain numbers: arrays this small cost more than what they hold
    return math.degrees(math.atan2(other[1] - one[1], other[0] - one[0]))


def nose_drop(face: Face) -> float:
    """How far the nose tip is below the line of the eyes, over how far the mouth is: the head's pitch.

    About 0.53 for a head that looks into the camera; less with the chin up, more with the chin down.
    Infinite where the mouth is not below the eyes.
    """
    one, other, nose, *corners = face.points.tolist()
    mouth = [(left + right) / 2 for left, right in zip(*corners, strict=True)]
    to_nose, to_mouth = below_eyes(one, other, nose), below_eyes(one, other, mouth)
    return to_nose / to_mouth if to_mouth > 0 else math.inf


def yaw_ratio(face: Face) -> float:
    """How far the nose tip is from the mid-point of the eyes, along their line, over their distance.

    0 for a head that looks into the camera, whatever its roll; positive where the nose is towards the
    right of the picture, which is the person's own left. Infinite where both eyes are one point.
    """
    one, other, nose, *_ = face.points.tolist()
    along = other[0] - one[0], other[1] - one[1]
    squared = along[0] * along[0] + along[1] * along[1]
    if squared == 0.0:
        return math.inf
    across = nose[0] - (one[0] + other[0]) / 2, nose[1] - (one[1] + other[1]) / 2
    return float((across[0] * along[0] + across[1] * along[1]) / squared)


def below_eyes(one: list[float], other: list[float], point: list[float]) -> float:
    """How far ``point`` is below the line of the eyes, square to it, times their distance."""
    down = point[1] - (one[1] + other[1]) / 2
    right = point[0] - (one[0] + other[0]) / 2
    return (other[0] - one[0]) * down - (other[1] - one[1]) * right


def similarity(source: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The rotation, uniform scale and shift that takes ``source`` [n, 2] closest to ``target``, as [2, 3].

    Exact least squares, in closed form: with points as complex numbers, target = a * source + b
    (Umeyama 1991 for the plane; no reflection can come out).

    Raises:
        ValueError: all source points are one.
    """
    start = source.astype(np.float64) @ np.array([1, 1j])
    end = target.astype(np.float64) @ np.array([1, 1j])
    spread = start - start.mean()
    power = float(np.vdot(spread, spread).real)
    if power == 0.0:
        raise ValueError("the points coincide")
    turn = complex(np.vdot(spread, end - end.mean())) / power
    shift = complex(end.mean() - turn * start.mean())
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
