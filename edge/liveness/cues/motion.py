"""Does the face change as only a living one can? Two aligned views, about half a second apart.

Principle: two views of a plane differ by a homography, however the plane is moved (Hartley and Zisserman,
Multiple View Geometry, section 13.1). So corners inside the face are followed from one view to the other
(Shi and Tomasi 1994; Bouguet 2001), a homography is fitted to them (RANSAC, Fischler and Bolles 1981), and
the second view is brought onto the first by it. What then still differs about the eyes and the mouth, after
each picture's own brightness and contrast were taken out, is what a plane cannot do: relief, a blink, a
word. What differs in the stillest quarter of the face is noise, and is taken off. The motion-based
countermeasures of Kollreider et al. (2009) and Bao et al. (2009) rest on the same.

A video that is played back moves as a person does: to it this cue is blind.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.cues.tracks import follow_corners
from edge.liveness.cues.view import LAYOUT, SIDE
from edge.model import Image

MAX_CORNERS = 70
MIN_TRACKS = 12  # a homography takes four; the rest is evidence
ROUND_TRIP_PX = 1.0  # a corner that does not return to where it came from was lost (Kalal et al. 2010)
DRAWN_PX, PLANE_PX = 1.2, 2.0  # from where the homography puts it: to be fitted to, to count as fitting
WINDOW = 17  # over which brightness and contrast are taken out
FLAT = 12.0  # grey levels: contrast under this is noise and is not made large
SMOOTH = 2.0  # pixels: takes the camera's noise and blocks out; a blink is larger
BLOCK = 12  # pixels: the face is looked at in blocks of this size
STILLEST = 0.25  # share of the blocks in which nothing but noise is expected

_Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PairReading:
    """How badly two views fit one plane.

    ``eyes``, ``mouth``: mean difference of the locally normalised pictures there, 0 for equal ones;
    ``floor``: the same in the stillest blocks of the face. ``fitting``: share of the tracks that fit one
    plane. ``tracks``: how many there were.
    """

    eyes: float
    mouth: float
    floor: float
    fitting: float
    tracks: int

    @property
    def excess(self) -> float:
        """How much more changed about eyes and mouth than noise does."""
        return max((self.eyes + self.mouth) / 2 - self.floor, 0.0)


def _ellipse(centre: tuple[float, float], axes: tuple[int, int]) -> Image:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(mask, (round(centre[0]), round(centre[1])), axes, 0, 0, 360, 255, -1)
    return mask


_FACE = _ellipse((56, 62), (38, 46))
_EYES = (_ellipse((float(LAYOUT[0, 0]), 40), (13, 9)) | _ellipse((float(LAYOUT[1, 0]), 40), (13, 9))) > 0
_MOUTH = _ellipse((56, 88), (21, 11)) > 0


def compare(first: Image, second: Image) -> PairReading | None:
    """Compare two aligned faces (uint8 [SIDE, SIDE]); None where too few corners could be followed."""
    start, end = follow_corners(first, second, _FACE, most=MAX_CORNERS, apart=4, round_trip=ROUND_TRIP_PX)
    if len(start) < MIN_TRACKS:
        return None
    plane, _ = cv2.findHomography(start, end, cv2.RANSAC, DRAWN_PX, maxIters=500)
    if plane is None or not np.isfinite(plane).all() or abs(np.linalg.det(plane[:2, :2])) < 0.2:
        return None
    brought = cv2.warpPerspective(
        second,
        plane,
        (SIDE, SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    difference = np.abs(_normalised(first) - _normalised(np.asarray(brought, dtype=np.uint8)))
    expected = cv2.perspectiveTransform(start[:, None], plane)[:, 0]
    return PairReading(
        eyes=float(difference[_EYES].mean()),
        mouth=float(difference[_MOUTH].mean()),
        floor=float(np.quantile(_blocks(difference), STILLEST)),
        fitting=float((np.hypot(*(expected - end).T) < PLANE_PX).mean()),
        tracks=len(start),
    )


def _blocks(difference: _Picture) -> _Picture:
    """Means of the blocks that lie in the face."""
    means = cv2.blur(difference, (BLOCK, BLOCK))
    return np.asarray(means[14 : SIDE - 4 : BLOCK, 20 : SIDE - 16 : BLOCK], dtype=np.float32)


def _normalised(picture: Image) -> _Picture:
    """Local mean and contrast taken out, each over WINDOW pixels."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), SMOOTH)
    mean = cv2.blur(smooth, (WINDOW, WINDOW))
    spread = np.sqrt(np.maximum(cv2.blur(smooth * smooth, (WINDOW, WINDOW)) - mean * mean, 0.0))
    return np.asarray((smooth - mean) / (spread + FLAT), dtype=np.float32)
