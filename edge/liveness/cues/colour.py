"""Has the colour gone through paper or a screen? Recapture narrows it; gloss shines where skin would not.

Principles: ink and display have a smaller gamut than the world, so that a recaptured face has fewer colours
(colour diversity and chromatic moments, Wen, Han and Jain 2015; chroma texture, Boulkenafet et al. 2016).
Glass and glossy paper mirror a lamp in one flat patch, skin in small spots (specular statistics, the same
paper). Cameras differ in colour more than attacks do from faces, so both are weak evidence.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.liveness.cues.view import FaceView
from edge.model import Image

SIDE = 64  # pixels to which the face is averaged: noise is no colour
LEVELS = 32  # of Cr and Cb each
SHINE = 235  # of the darkest channel: white, not skin
MIN_PIXELS = 24  # a side


def diversity(view: FaceView) -> float | None:
    """Entropy of the face's chroma, in bits; more colours are more alive. None for a grey or tiny picture."""
    small = _small(view)
    if small is None:
        return None
    chroma = cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb)[..., 1:].reshape(-1, 2).astype(np.intp)
    if np.ptp(chroma, axis=0).max() <= 2:
        return None
    cells = chroma // (256 // LEVELS // 4)
    counts = np.bincount(cells[:, 0] * 256 + cells[:, 1])
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def mattness(view: FaceView) -> float | None:
    """1 less the share of the face that the largest flat white patch covers; None for a tiny picture."""
    small = _small(view)
    if small is None:
        return None
    white = np.asarray(small.min(axis=2) >= SHINE, dtype=np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(white, connectivity=4)
    patches = stats[1:, cv2.CC_STAT_AREA]
    return 1.0 - (float(patches.max()) / white.size if len(patches) else 0.0)


def _small(view: FaceView) -> Image | None:
    if min(view.skin.shape[:2]) < MIN_PIXELS:
        return None
    return np.asarray(cv2.resize(view.skin, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
