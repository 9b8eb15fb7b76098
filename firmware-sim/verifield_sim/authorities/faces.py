"""How the simulated registers compare faces: with models where there are some, else picture with picture.

With a folder of models: YuNet finds the face and SFace describes it, through OpenCV; the score is the cosine
of the two descriptions, and MATCH begins at 0.363, the threshold that comes with SFace.

Without: the faces are cut out as for a card, and their brightness is correlated, best over small shifts
and sizes. That tells one portrait from another through recompression and scaling, and is no face recognition:
another picture of the same person is most often a MISMATCH.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from verifield_sim import portraits
from verifield_sim.errors import SimError
from verifield_sim.portraits import Image

MAX_PIXELS = 40_000_000
"""Of a picture that is sent: what a good camera makes."""

SFACE_THRESHOLD = 0.363
"""OpenCV's, for the cosine of SFace."""

CORRELATION_THRESHOLD = 0.88
"""Portraits correlate at 0.93 and above with themselves recompressed to a chip's 1 KiB, scaled to a third
or brightened; of 1,653 pairs of different people in public sets of faces the highest was 0.86."""

_SIDE_PX = 640  # the longer side that faces are sought on
_CELL_PX = 48  # the side of what is correlated: no more than a chip's photo shows
_SHIFTS_PX = 3
_SIZES = (0.92, 1.0, 1.08)
_FLAT = 1e-6


class FaceCompare(Protocol):
    """Compares a picture with a register's; both uint8 [height, width, 3] BGR."""

    threshold: float

    def score(self, picture: Image, registered: Image) -> float | None:
        """0 to 1; None where there is no face in ``picture``."""


def open_compare(models: Path | None) -> FaceCompare:
    """With the models of a folder, or without any.

    Raises:
        SimError: the folder does not hold one YuNet and one SFace, or they cannot be used.
    """
    return ModelCompare.open(models) if models is not None else PictureCompare()


def decode(content: bytes) -> Image | None:
    """A picture; None for what cannot be read as one."""
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if picture is None or picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        return None
    return picture.astype(np.uint8, copy=False)


class PictureCompare:
    """Without models."""

    threshold = CORRELATION_THRESHOLD

    def score(self, picture: Image, registered: Image) -> float | None:
        """As the port says; where no face is found in the register's picture, it is taken whole."""
        probe = _cell(picture)
        if probe is None:
            return None
        known = _cell(registered)
        if known is None:
            known = _small(_grey(registered))
        return float(max(0.0, _best_correlation(probe, known.astype(np.float32))))


@dataclass
class ModelCompare:
    """With YuNet and SFace."""

    detector: cv2.FaceDetectorYN
    recogniser: cv2.FaceRecognizerSF
    threshold: float = SFACE_THRESHOLD

    def __post_init__(self) -> None:
        self._lock = threading.Lock()  # OpenCV's networks keep state

    @classmethod
    def open(cls, models: Path) -> ModelCompare:
        """Open the models of a folder, whatever they are called in it.

        Raises:
            SimError: see ``open_compare``.
        """
        detector, recogniser = (_only(models, f"*{name}*.onnx") for name in ("yunet", "sface"))
        try:
            return cls(
                cv2.FaceDetectorYN.create(str(detector), "", (320, 320), 0.7),
                cv2.FaceRecognizerSF.create(str(recogniser), ""),
            )
        except cv2.error as error:
            raise SimError(f"the models in {models} cannot be used") from error

    def score(self, picture: Image, registered: Image) -> float | None:
        """As the port says."""
        with self._lock:
            probe, known = self._describe(picture), self._describe(registered)
            if probe is None or known is None:
                return None
            cosine = self.recogniser.match(probe, known, cv2.FaceRecognizerSF_FR_COSINE)
        return float(min(1.0, max(0.0, cosine)))

    def _describe(self, picture: Image) -> cv2.typing.MatLike | None:
        scale = _SIDE_PX / max(picture.shape[:2])
        if (
            scale < 1 or max(picture.shape[:2]) < _SIDE_PX // 2
        ):  # a chip's photo is too small to find a face in
            picture = cv2.resize(picture, None, fx=scale, fy=scale).astype(np.uint8, copy=False)
        self.detector.setInputSize((picture.shape[1], picture.shape[0]))
        found = self.detector.detect(picture)[1]
        if found is None or not len(found):
            return None
        biggest = max(found, key=lambda face: face[2] * face[3])
        return self.recogniser.feature(self.recogniser.alignCrop(picture, biggest)).copy()


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SimError(f"the folder {folder} has {len(found)} files {pattern}, and needs one")
    return found[0]


def _grey(picture: Image) -> npt.NDArray[np.uint8]:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def _cell(picture: Image) -> npt.NDArray[np.uint8] | None:
    """The face, from brows to chin and somewhat more, [_CELL_PX, _CELL_PX]."""
    try:
        photo = portraits.id_photo(picture)
    except SimError:
        return None
    middle = photo[22:118, 3:99]
    return _small(_grey(middle))


def _small(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _best_correlation(probe: npt.NDArray[np.uint8], known: npt.NDArray[np.float32]) -> float:
    """The highest normalised correlation of ``known``'s middle within ``probe``, over sizes and shifts."""
    edge = _SHIFTS_PX
    middle = known[edge:-edge, edge:-edge]
    best = -1.0
    for size in _SIZES:
        side = round(_CELL_PX * size)
        scaled = cv2.resize(probe, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        if side < _CELL_PX:
            border = (_CELL_PX - side + 1) // 2
            scaled = np.pad(scaled, border, mode="edge")
        if min(scaled.std(), middle.std()) > _FLAT:
            best = max(best, float(cv2.matchTemplate(scaled, middle, cv2.TM_CCOEFF_NORMED).max()))
    return best
