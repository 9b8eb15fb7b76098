"""Corners that are followed from one small grey picture to another, there and back."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Image

Points = npt.NDArray[np.float32]

WINDOW = (15, 15)
LEVELS = 2  # of the pyramid: a motion of some 20 pixels is found


def follow_corners(
    first: Image, second: Image, mask: Image, *, most: int, apart: float, round_trip: float
) -> tuple[Points, Points]:
    """Return where corners inside ``mask`` are in the first and in the second picture: [n, 2] each.

    Shi and Tomasi 1994 for the corners, Bouguet 2001 for following them; one that does not return to within
    ``round_trip`` pixels of where it came from was lost (Kalal et al. 2010) and is left out.
    """
    found = cv2.goodFeaturesToTrack(first, most, 0.01, apart, mask=mask, blockSize=5)
    if found is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    start = np.asarray(found, dtype=np.float32).reshape(-1, 2)
    there, kept = _follow(first, second, start)
    back, returned = _follow(second, first, there)
    good = kept & returned & (np.hypot(*(back - start).T) < round_trip)
    return start[good], there[good]


def _follow(before: Image, after: Image, points: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points[:, None],
        points[:, None].copy(),  # where to start looking
        winSize=WINDOW,
        maxLevel=LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.03),
    )
    return np.asarray(found, dtype=np.float32).reshape(-1, 2), np.asarray(status.ravel() > 0)
