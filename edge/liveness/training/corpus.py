"""The faces of the training: pictures and clips of a data folder, split by person.

The folder is laid out as the development data are (faces/lfw-dev, faces/orl, videos/intel-webcam, pad).
Nobody who is held out is seen in training, whatever the picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.capture.choose import choose_portrait
from edge.errors import SetupError
from edge.model import Face, Image
from edge.ports import FaceDetector

HELD_OUT_SHARE = 0.1
CLIPS_HELD_OUT = frozenset({"book", "learn", "school", "walk", "hungry", "want"})  # two people of five
FRAME_STEP = 4  # frames of a clip that are nearer to each other than this show the same
CLIP_REACH = 6.0  # how much of a frame is kept about the face, in widths of its box
MIN_FACE = 24.0
PICTURES = frozenset({".jpg", ".png", ".pgm"})


@dataclass(frozen=True, slots=True)
class Sitter:
    """One picture of one living person. ``box``: of the face. ``group``: lfw, orl or webcam."""

    picture: Image
    box: tuple[float, float, float, float]
    person: str
    group: str

    @property
    def held_out(self) -> bool:
        """Whether this person is kept for the test."""
        if self.group == "webcam":
            return self.person in CLIPS_HELD_OUT
        number = int.from_bytes(hashlib.sha256(self.person.encode()).digest()[:4], "big")
        return number < HELD_OUT_SHARE * 2**32


@dataclass(frozen=True, slots=True)
class RealPicture:
    """A real picture, live or not, that only tests see."""

    picture: Image
    face: Face
    live: bool
    name: str


def sitters(data: Path, detector: FaceDetector) -> list[Sitter]:
    """Everybody in the folder, in a fixed order.

    Raises:
        SetupError: TRAINING_DATA where the folder has none of the collections.
    """
    found = [
        *_stills(data / "faces" / "lfw-dev", "lfw", detector),
        *_stills(data / "faces" / "orl", "orl", detector),
        *_frames(data / "videos" / "intel-webcam", detector),
    ]
    if not found:
        raise SetupError(
            "TRAINING_DATA", "No pictures to learn from.", hint="Name their folder in VERIFIELD_DATA."
        )
    return found


def real_pictures(data: Path, detector: FaceDetector) -> list[RealPicture]:
    """The real attacks and live pictures under ``pad``; a picture without a face is left out."""
    found = []
    for live, folder in ((True, "bona-fide"), (False, "attack")):
        for path in _paths(data / "pad" / folder):
            picture = _read(path)
            face = choose_portrait(detector.detect(picture), picture.shape[:2])
            if face is not None:
                found.append(RealPicture(picture, face, live, path.name))
    return found


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def _stills(folder: Path, group: str, detector: FaceDetector) -> Iterator[Sitter]:
    for path in _paths(folder):
        picture = _read(path)
        if group == "orl":  # too small for their surroundings to be seen: a plain wall is theirs
            picture = np.asarray(cv2.copyMakeBorder(picture, 20, 20, 40, 40, cv2.BORDER_REPLICATE), np.uint8)
        face = choose_portrait(detector.detect(picture), picture.shape[:2])
        if face is not None and min(face.box[2:]) >= MIN_FACE:
            yield Sitter(picture, face.box, f"{group}/{path.parent.name}", group)


def _frames(folder: Path, detector: FaceDetector) -> Iterator[Sitter]:
    for path in sorted(folder.glob("*.mkv")):
        capture = cv2.VideoCapture(str(path))
        try:
            number = 0
            while True:
                more, frame = capture.read()
                if not more:
                    break
                if number % FRAME_STEP == 0:
                    yield from _sitter_in(np.asarray(frame, np.uint8), path.stem, detector)
                number += 1
        finally:
            capture.release()


def _sitter_in(frame: Image, person: str, detector: FaceDetector) -> Iterator[Sitter]:
    """The head of somebody who stands: the highest face, for shirts may show faces too."""
    faces = [face for face in detector.detect(frame) if face.score > 0.8 and face.box[2] >= MIN_FACE]
    if not faces:
        return
    x, y, across, down = min(faces, key=lambda face: face.box[1]).box
    half = CLIP_REACH * down / 2
    left, top = max(0, int(x + across / 2 - half)), max(0, int(y + down / 2 - half))
    right, bottom = int(x + across / 2 + half), int(y + down / 2 + half)
    part = np.ascontiguousarray(frame[top:bottom, left:right])
    yield Sitter(part, (x - left, y - top, across, down), person, "webcam")


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SetupError("TRAINING_DATA", f"The picture {path.name} cannot be read.")
    return np.asarray(picture, np.uint8)
