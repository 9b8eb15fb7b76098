"""The portrait in an ID card's chip: 102x126 pixels, soft and cut close.

The detector was trained on faces with some surroundings and at other sizes, so the portrait is enlarged
and given a margin before it is searched.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.model import Image

HEIGHT, WIDTH = 126, 102
ENLARGEMENT = 4  # at 3 a face that fills only a fifth of the portrait is missed
MARGIN = 0.25  # of the enlarged portrait's width, on each side


def is_chip_photo(image: Image) -> bool:
    """Whether a picture has exactly a chip portrait's size."""
    return image.shape[:2] == (HEIGHT, WIDTH)


def with_surroundings(photo: Image) -> Image:
    """Enlarge a portrait (uint8 [height, width, 3], BGR) and continue its edges outwards."""
    large = cv2.resize(photo, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC)
    margin = round(MARGIN * large.shape[1])
    padded = cv2.copyMakeBorder(large, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.uint8)
