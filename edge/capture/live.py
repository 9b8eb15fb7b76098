"""Faces in a camera's picture, searched in a small one, and the largest of them again up close.

A search of a 640x480 picture takes four times that of 320x240. Who may be judged is large enough to be found
in the small one, and so is whoever could be meant instead (edge.capture.choose). The five points, though,
depend on the size at which a face is searched: in the small picture a turned head looks less turned, to one
side more than to the other. So a second search of a face's surroundings places them, always at the same size
of the face. The first one may compute with shorter numbers, as it only says where to look. What the second
does to templates and to turns was measured: docs/matching.md.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.capture.detector import YuNetDetector, overlaps
from edge.model import Face, Image

SMALL_SIDE = 320
"""Of the first search, the longer one. A face that may be judged has 40 pixels between the eyes at 640."""

FACE_UP_CLOSE = 150.0
"""Pixels that a face's box has in the second search, at most: a picture is never enlarged for it."""

CLOSE_SIDE = 288
"""Of the second search's picture: the face and nearly half of its size on each side."""

MOST_UP_CLOSE = 3
"""Faces that are searched again: more people are too many anyway, and the first search's points tell so."""

SAME_FACE = 0.3
"""Intersection over union from which what is found up close is the face that was looked for."""


class LiveDetector:
    """Implements ``ports.FaceDetector`` for pictures of a camera. Safe to call from several threads."""

    def __init__(
        self, detector: YuNetDetector, *, finder: YuNetDetector | None = None, small_side: int = SMALL_SIDE
    ) -> None:
        """``finder``: makes the first search, where not ``detector``."""
        self._detector, self._finder = detector, detector if finder is None else finder
        self._small_side = small_side

    def detect(self, image: Image) -> list[Face]:
        """All faces of ``image`` (uint8 [height, width, 3], BGR), best score first, in its own pixels.

        Where the small picture shows nobody, the whole one is searched: an empty room is not in a hurry.
        """
        scale = self._small_side / max(image.shape[:2])
        if scale >= 1.0:
            return self._detector.detect(image)
        found = self._finder.detect(_reduced(image, scale))
        if not found:
            return self._detector.detect(image)
        faces = [_moved(face, 1.0 / scale, (0.0, 0.0)) for face in found]
        largest = sorted(faces, key=_size, reverse=True)[:MOST_UP_CLOSE]
        better = {id(face): self._up_close(image, face) for face in largest}
        faces = [better.get(id(face), face) for face in faces]
        return sorted(faces, key=lambda face: -face.score)

    def _up_close(self, image: Image, face: Face) -> Face:
        """The same face, found again in its surroundings; as it was where it is not."""
        x, y, width, height = face.box
        scale = min(FACE_UP_CLOSE / max(width, height, 1.0), 1.0)
        side = CLOSE_SIDE / scale
        left = min(max(0.0, x + width / 2 - side / 2), max(0.0, image.shape[1] - side))
        top = min(max(0.0, y + height / 2 - side / 2), max(0.0, image.shape[0] - side))
        start = (int(left), int(top))
        cut = image[start[1] : start[1] + round(side), start[0] : start[0] + round(side)]
        close = _reduced(cut, scale)
        # what was cut and reduced has whole sides: the scales of both differ a little from the one wanted
        scales = np.array([close.shape[1] / cut.shape[1], close.shape[0] / cut.shape[0]])
        found = [_moved(one, 1.0 / scales, start) for one in self._detector.detect(close)]
        box = np.array(face.box, np.float32)
        same = [one for one in found if float(overlaps(box, np.array([one.box], np.float32))[0]) >= SAME_FACE]
        return max(same, key=lambda one: one.score, default=face)


def _size(face: Face) -> float:
    return max(face.box[2], face.box[3])


def _reduced(image: Image, scale: float) -> Image:
    if scale >= 1.0:
        return np.ascontiguousarray(image)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _moved(face: Face, factor: float | npt.NDArray[np.float64], start: tuple[float, float]) -> Face:
    """The face in pixels of a larger picture in which the searched one begins at ``start``."""
    factors = np.broadcast_to(np.asarray(factor, np.float64), (2,))
    # a pixel has its coordinate in its middle
    points = (face.points + 0.5) * factors - 0.5 + np.asarray(start)
    x, y, width, height = face.box
    box = (
        (x + 0.5) * factors[0] - 0.5 + start[0],
        (y + 0.5) * factors[1] - 0.5 + start[1],
        width * factors[0],
        height * factors[1],
    )
    return Face(
        tuple(float(side) for side in box),  # type: ignore[arg-type]
        points.astype(np.float32),
        face.score,
    )
