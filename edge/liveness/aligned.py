"""A face at one size and upright by its eyes, and where a part of it is found again, to a part of a pixel.

Two points of a detector are good enough to bring a face to one size, and not to hold it still: they slip by
some percent of their distance, and all together where the mouth opens. The pattern about the eyes does not.
It is looked for by normalised correlation (Lewis 1995), which takes light, exposure and contrast out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Face, Image

EYES_PX = 48.0  # between the eyes of the aligned face
WIDTH, HEIGHT = 112, 168  # of the aligned face, in pixels
EYES_AT = (56.0, 24.0)  # where the middle of the eyes comes to lie
MIN_INTER_EYE = 20.0  # pixels; in smaller faces a lip is three pixels high
EYES = (0.72, -0.26, 0.18)  # of the patch about the eyes: half width and rows, in eye distances
SLIPS = 0.15  # eye distances, by which the points of a detector slip at most
MIN_EYES = 0.4  # correlation; who blinks keeps brows and corners

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the aligned face."""


def align(image: Image, face: Face) -> Image | None:
    """Bring a face to EYES_PX between its eyes, upright: uint8 [HEIGHT, WIDTH], grey.

    None where it is too small, or not in the picture.
    """
    if not np.isfinite(face.points).all() or not face.inter_eye >= MIN_INTER_EYE:
        return None
    matrix, middle = upright(face, EYES_PX, EYES_AT), face.points[:2].astype(np.float64).mean(axis=0)
    scale = EYES_PX / face.inter_eye
    reach = 3.2 * face.inter_eye
    left, top = (max(0, int(value - reach)) for value in middle)
    part = image[top : max(top, int(middle[1] + reach)), left : max(left, int(middle[0] + reach))]
    if min(part.shape[:2]) < 8:
        return None
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    if scale < 0.7:  # a large face is averaged down first, or noise would be sampled
        grey = cv2.blur(grey, (round(1 / scale), round(1 / scale)))
    size = (WIDTH, HEIGHT)
    warped = cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def upright(face: Face, eyes_px: float, eyes_at: tuple[float, float]) -> npt.NDArray[np.float64]:
    """The similarity that brings the eyes side by side, so many pixels from each other, and their middle to
    ``eyes_at``: [2, 3]."""
    eyes = face.points[:2].astype(np.float64)
    along, middle = eyes[1] - eyes[0], eyes.mean(axis=0)
    size = max(face.inter_eye, 1e-6)  # both eyes may be seen as one
    turn = complex(*along).conjugate() / size * (eyes_px / size)
    shift = complex(*eyes_at) - turn * complex(*middle)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def box_at(at: tuple[float, float], patch: tuple[float, float, float]) -> Box:
    """The part about ``at`` (pixels), of half a width and between two rows (eye distances)."""
    half, above, below = (EYES_PX * value for value in patch)
    return round(at[0] - half), round(at[1] + above), round(at[0] + half), round(at[1] + below)


@dataclass(frozen=True, slots=True)
class Found:
    """How well a patch fits where it was found, and how well where it was before.

    ``across`` and ``down``: from there, in pixels of the aligned face.
    """

    fit: float
    across: float
    down: float
    unmoved: float


def find(
    rest: Image, view: Image, box: Box, at: tuple[int, int], search: tuple[int, int, int]
) -> Found | None:
    """Look for the part ``box`` of ``rest`` in ``view``, from ``at`` (across, down) on.

    ``search``: pixels to both sides, up and down. None where there is no pattern, or no room.
    """
    aside, rises, sinks = search
    left, top = max(0, box[0] + at[0] - aside), max(0, box[1] + at[1] - rises)
    right, bottom = min(WIDTH, box[2] + at[0] + aside), min(HEIGHT, box[3] + at[1] + sinks)
    patch, area = rest[box[1] : box[3], box[0] : box[2]], view[top:bottom, left:right]
    if area.shape[0] < patch.shape[0] or area.shape[1] < patch.shape[1] or float(patch.std()) < 1.0:
        return None
    scores = cv2.matchTemplate(area, patch, cv2.TM_CCOEFF_NORMED)
    if not np.isfinite(scores).all():
        return None
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    row, column = int(best[0]), int(best[1])
    home = box[1] + at[1] - top, box[0] + at[0] - left
    near = scores[max(0, home[0] - 1) : home[0] + 2, max(0, home[1] - 1) : home[1] + 2]
    return Found(
        float(scores[row, column]),
        column + _vertex(scores[row], column) + left - box[0],
        row + _vertex(scores[:, column], row) + top - box[1],
        float(near.max()) if near.size else -1.0,
    )


def _vertex(scores: npt.NDArray[np.generic], at: int) -> float:
    """Where the parabola through the best score and its neighbours has its top, -0.5..0.5 from it."""
    if not 0 < at < len(scores) - 1:
        return 0.0
    before, top, after = (float(value) for value in scores[at - 1 : at + 2])
    bend = before - 2.0 * top + after
    return 0.0 if bend >= 0.0 else min(max(0.5 * (before - after) / bend, -0.5), 0.5)


class Anchor:
    """Holds one face still against the slips of its points, by the first frame in which it was seen."""

    def __init__(self) -> None:
        self._rest: Image | None = None

    def steady(self, image: Image, face: Face) -> Face:
        """The same face with its points where the pattern about the eyes is; as it is where that is lost.

        Raises:
            cv2.error: no picture of a camera.
        """
        view = align(image, face)
        if view is None:
            return face
        if self._rest is None:
            self._rest = view
            return face
        reach = round(SLIPS * EYES_PX)
        found = find(self._rest, view, box_at(EYES_AT, EYES), (0, 0), (reach, reach, reach))
        if found is None or found.fit < MIN_EYES:
            return face
        along = complex(*(face.points[1] - face.points[0]).astype(np.float64))
        slip = complex(found.across, found.down) * along / EYES_PX
        moved = face.points + np.array([slip.real, slip.imag], np.float32)
        return dataclasses.replace(face, points=moved)
