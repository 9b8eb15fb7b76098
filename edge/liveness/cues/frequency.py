"""Does the picture carry a grid? Pixels of a screen or dots of a print, sampled once more by a camera.

Principle: pictures of the world lose power evenly with frequency (about 1/f, Field 1987); a second sampling
of a regular grid adds narrow peaks, the moire (Garcia and de Queiroz 2015; Patel et al. 2015). The spectrum
of the middle of the face is divided by its own radial fall-off and the highest peak counts. The axes are
left out, where the blocks of JPEG and H.264 have theirs.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.cues.view import FaceView

MIN_SIDE = 48  # pixels of face: fewer hold too few periods
MAX_SIDE = 128
LOWEST, HIGHEST = 0.12, 0.48  # cycles per pixel: below lie eyes and mouth, above nothing
AXIS = 0.03  # cycles per pixel to either side of the axes

_Field = npt.NDArray[np.float64]


def evenness(view: FaceView) -> float | None:
    """Minus the height of the highest peak over the fall-off, in nats: -3 to -1.5 for a face without a grid.

    None where the face is too small.
    """
    side = min(MAX_SIDE, *view.skin.shape[:2])
    if side < MIN_SIDE:
        return None
    side -= side % 2
    top, left = (view.skin.shape[0] - side) // 2, (view.skin.shape[1] - side) // 2
    grey = cv2.cvtColor(view.skin[top : top + side, left : left + side], cv2.COLOR_BGR2GRAY)
    window, rings, band = _plan(side)
    power = np.abs(np.fft.fftshift(np.fft.fft2((grey - float(grey.mean())) * window))) ** 2
    level = np.log(cv2.blur(power, (3, 3)).ravel() + 1.0)  # a single frequency of noise is no peak
    fall_off = np.bincount(rings, level) / np.maximum(np.bincount(rings), 1)
    return -float((level - fall_off[rings])[band].max())


@functools.lru_cache(maxsize=128)
def _plan(side: int) -> tuple[_Field, npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Window, ring of each frequency, and which frequencies count, flat; from the lowest up."""
    window = np.outer(np.hanning(side), np.hanning(side))
    across = np.fft.fftshift(np.fft.fftfreq(side))
    fx, fy = np.meshgrid(across, across)
    radius = np.hypot(fx, fy)
    off_axis = (np.abs(fx) > AXIS) & (np.abs(fy) > AXIS)
    band = (radius > LOWEST) & (radius < HIGHEST) & off_axis
    rings = np.minimum(radius * side / 2, side).astype(np.intp).ravel()
    return window, rings, band.ravel()
