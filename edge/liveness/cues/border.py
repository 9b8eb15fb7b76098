"""Is there a frame around the face? The edge of a sheet, the bezel of a screen.

Principle: an instrument that does not fill the picture shows its border, straight edges to both sides of
the face and above or below it, square to each other, whatever the tilt (spoof-medium cues, Komulainen et
al. 2013). Straight segments are found in the scene (probabilistic Hough, Matas et al. 2000), and told is
how much of a rectangle about the face they make up. Doors and pictures on a wall make rectangles too,
though seldom tightly about a face: weak evidence by itself, strong where it moves with the face (see
background).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.cues.view import FaceView

NEAREST, FARTHEST = 0.55, 2.2  # of the face's larger side, from its middle: where a border may lie
LONG = 1.0  # of the face's larger side: a segment that counts
LEAN_DEG = 20.0  # an instrument is held about upright
SQUARE_DEG = 8.0

_Lines = npt.NDArray[np.float64]


def openness(view: FaceView) -> float | None:
    """1 where nothing frames the face, 0 where a rectangle of four sides does; None: no room for one."""
    x, y, w, h = view.scene_box
    size = max(w, h)
    height, width = view.scene.shape
    if size < 12 or max(x, y, width - x - w, height - y - h) < 0.15 * size:
        return None
    edges = cv2.Canny(cv2.GaussianBlur(view.scene, (3, 3), 0), 40, 100)
    _clear_face(edges, view)
    found = cv2.HoughLinesP(edges, 1, np.pi / 180, 25, minLineLength=LONG * size, maxLineGap=0.12 * size)
    if found is None:
        return 1.0
    return 1.0 - _rectangle(np.asarray(found, dtype=np.float64).reshape(-1, 4), (x + w / 2, y + h / 2), size)


def _clear_face(edges: npt.NDArray[np.generic], view: FaceView) -> None:
    x, y, w, h = view.scene_box
    top, left = max(0, int(y)), max(0, int(x))
    edges[top : int(y + h), left : int(x + w)] = 0


def _rectangle(lines: _Lines, middle: tuple[float, float], size: float) -> float:
    """The best share over all leans that an upright line proposes: sides that are there, of four."""
    start, end = lines[:, :2] - middle, lines[:, 2:] - middle
    along = np.degrees(np.arctan2(*(end - start).T[::-1])) % 180.0
    steep = np.abs(along - 90.0) <= LEAN_DEG
    level = np.minimum(along, 180.0 - along) <= LEAN_DEG
    best = 0.0
    for lean in np.unique(np.round(along[steep])):
        sides = steep & (np.abs(along - lean) <= SQUARE_DEG)
        caps = level & (np.abs((along - lean + 180.0) % 180.0 - 90.0) <= SQUARE_DEG)
        across = (start[:, 0] + end[:, 0]) / 2 / size
        down = (start[:, 1] + end[:, 1]) / 2 / size
        there = [
            _any(sides, -across, down, start[:, 1], end[:, 1]),
            _any(sides, across, down, start[:, 1], end[:, 1]),
            _any(caps, -down, across, start[:, 0], end[:, 0]),
            _any(caps, down, across, start[:, 0], end[:, 0]),
        ]
        left, right, above, below = there
        if left and right:  # two sides of one rectangle with the face between them
            best = max(best, sum(there) / 4)
        elif (left or right) and (above or below):
            best = max(best, 0.25)
    return best


def _any(
    which: npt.NDArray[np.bool_], outwards: _Lines, _beside: _Lines, first: _Lines, second: _Lines
) -> bool:
    """Whether a segment lies outside the face on this side, and passes beside its middle."""
    spans = np.minimum(first, second) * np.maximum(first, second) <= 0
    return bool((which & spans & (outwards >= NEAREST) & (outwards <= FARTHEST)).any())
