"""Is the face as sharp as a face before this camera would be?

Principle: a picture that is taken of a picture was blurred twice (Li et al. 2004 on its high frequencies;
blur as a cue of recapture: Wen, Han and Jain 2015), and camera noise is the same in face and surroundings
while the blur is not. Told is how much of the face's contrast lies in its finest details. A weak webcam
blurs living faces no less, so this is weak evidence.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge.liveness.cues.view import FaceView

MIN_SIDE = 32  # pixels
MIN_CONTRAST = 4.0  # grey levels of gradient: a face without any is too dark to tell


def fineness(view: FaceView) -> float | None:
    """Log of fine over coarse contrast; higher is sharper. None where the face is tiny or has no contrast."""
    if min(view.skin.shape[:2]) < MIN_SIDE:
        return None
    grey = cv2.cvtColor(view.skin, cv2.COLOR_BGR2GRAY).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    coarse = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 3.0)
    whole = float(coarse.std())
    if whole * 4 < MIN_CONTRAST:
        return None
    return math.log(max(float(fine.std()), 1e-3) / whole)
