"""What the fusion is calibrated on: people and attacks before many cameras, as pictures and as clips.

Living people come as they were recorded and through other cameras (``film_clip``); attacks are made of the
same people's pictures and clips (``recapture_clip``), held in a hand. Everything is drawn from one seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edge.liveness.training.camera import Random, film_clip, film_still
from edge.liveness.training.corpus import real_pictures
from edge.liveness.training.instruments import INSTRUMENTS, Screen
from edge.liveness.training.recapture import recapture_clip, recapture_still
from edge.model import Face, Image
from edge.ports import FaceDetector

BONA_FIDE, STILL, REPLAY = "bona_fide", "still", "replay"
CLIPS, PICTURES, PORTRAITS = "clips", "pictures", "portraits"
RECORDED = "recorded"  # real pictures of the folder pad
# Which clips of the folder show the same person.
PEOPLE = {
    "one": ("again", "brother", "help", "no", "student", "yes"),
    "two": ("bird", "milk", "please", "sorry", "thanks"),
    "three": ("book", "learn", "school", "walk"),
    "four": ("eat", "night", "sister"),
    "five": ("hungry", "want"),
}
CLIP_FPS = 30.0
LONGEST_S = 3.0
RATES = (1.5, 3.0, 5.0)  # frames a second of what is presented
SIZE = (480, 360)  # of a clip's picture: bounds the work
NEAREST, FARTHEST = 4.2, 9.0  # width of the picture in widths of the face: how a camera frames a person
STEP = 10  # frames of a clip: the longest shift between two frames of which the same face is followed


@dataclass(frozen=True, slots=True)
class Presentation:
    """One attempt before the camera. ``kind``: BONA_FIDE, STILL or REPLAY. One frame: a picture."""

    frames: tuple[Image, ...]
    faces: tuple[Face | None, ...]
    fps: float
    kind: str
    instrument: str
    person: str

    @property
    def form(self) -> str:
        """CLIPS; PICTURES: one frame of a webcam or a phone; PORTRAITS: one picture of the press."""
        if len(self.frames) > 1:
            return CLIPS
        return PICTURES if self.person in PEOPLE or self.person == RECORDED else PORTRAITS


def as_picture(clip: Presentation) -> Presentation:
    """The middle frame of a clip, alone."""
    middle = len(clip.frames) // 2
    return replace(clip, frames=clip.frames[middle : middle + 1], faces=clip.faces[middle : middle + 1])


def clips(data: Path, detector: FaceDetector, rng: Random) -> Iterator[Presentation]:
    """Each clip as it is, through other cameras, held up as a picture and played back."""
    screens = [name for name, one in INSTRUMENTS.items() if isinstance(one, Screen)]
    for person, names in PEOPLE.items():
        for name in names:
            frames = _read_clip(data / "videos" / "intel-webcam" / f"{name}.mkv")
            own = _followed(frames, detector, _head(frames[0], detector))
            for number in range(6):
                rate = float(rng.choice(RATES))
                start = int(rng.integers(0, max(1, len(frames) - int(LONGEST_S * CLIP_FPS))))
                picked = _sampled(len(frames), start, rate)
                if number == 0:  # as recorded
                    shown = [frames[index] for index in picked]
                    yield Presentation(
                        tuple(shown), tuple(own[index] for index in picked), rate, BONA_FIDE, "", person
                    )
                    continue
                shown = _framed(frames, own, picked, rng)
                if number < 3:
                    yield _seen(
                        film_clip(shown, rng), detector, rate, BONA_FIDE, instrument="", person=person
                    )
                held = [shown[int(rng.integers(len(shown)))]] * len(picked)
                instrument = str(rng.choice(list(INSTRUMENTS)))
                taken = recapture_clip(held, instrument, rng, fps=rate)
                yield _seen(taken, detector, rate, STILL, instrument=instrument, person=person)
                instrument = str(rng.choice(screens))
                taken = recapture_clip(shown, instrument, rng, fps=rate)
                yield _seen(taken, detector, rate, REPLAY, instrument=instrument, person=person)


def portraits(data: Path, detector: FaceDetector, rng: Random, *, people: int) -> Iterator[Presentation]:
    """Pictures of ``people`` people: as they are, filmed, recaptured; and held up for three seconds."""
    folders = sorted(one for one in (data / "faces" / "lfw-dev").iterdir() if one.is_dir())
    folders += sorted(one for one in (data / "faces" / "orl").iterdir() if one.is_dir())
    for place in rng.permutation(len(folders))[:people]:
        folder = folders[place]
        path = sorted(one for one in folder.iterdir() if one.suffix in {".jpg", ".pgm", ".png"})[0]
        picture = _roomy(np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8))
        person = folder.name
        yield _seen([picture], detector, 1.0, BONA_FIDE, instrument="", person=person)
        yield _seen([film_still(picture, rng)], detector, 1.0, BONA_FIDE, instrument="", person=person)
        for _ in range(2):
            instrument = str(rng.choice(list(INSTRUMENTS)))
            taken = recapture_still(picture, instrument, rng)
            yield _seen([taken], detector, 1.0, STILL, instrument=instrument, person=person)
        if rng.random() < 0.4:
            instrument, rate = str(rng.choice(list(INSTRUMENTS))), float(rng.choice(RATES))
            held = [picture] * round(LONGEST_S * rate)
            swayed = recapture_clip(held, instrument, rng, fps=rate)
            yield _seen(swayed, detector, rate, STILL, instrument=instrument, person=person)


def recorded(data: Path, detector: FaceDetector) -> Iterator[Presentation]:
    """The real pictures of the folder ``pad``."""
    for one in real_pictures(data, detector):
        kind = BONA_FIDE if one.live else STILL
        yield Presentation((one.picture,), (one.face,), 1.0, kind, "" if one.live else RECORDED, RECORDED)


def _seen(
    frames: Sequence[Image], detector: FaceDetector, fps: float, kind: str, *, instrument: str, person: str
) -> Presentation:
    first = max(detector.detect(frames[0]), key=lambda face: face.score * face.inter_eye, default=None)
    return Presentation(
        tuple(frames), tuple(_followed(frames, detector, first)), fps, kind, instrument, person
    )


def _followed(frames: Sequence[Image], detector: FaceDetector, first: Face | None) -> list[Face | None]:
    """The same face in all frames: always the nearest to where it was."""
    followed: list[Face | None] = []
    known = first
    for frame in frames:
        found = detector.detect(frame)
        if known is None or not found:
            followed.append(None)
            continue
        middle = known.points.mean(axis=0)
        nearest = min(found, key=lambda face: float(np.hypot(*(face.points.mean(axis=0) - middle))))
        away = float(np.hypot(*(nearest.points.mean(axis=0) - middle)))
        followed.append(nearest if away < 2.0 * known.inter_eye else None)
        known = followed[-1] or known
    return followed


def _head(frame: Image, detector: FaceDetector) -> Face | None:
    """The highest face: a shirt may show another."""
    return min(detector.detect(frame), key=lambda face: face.box[1], default=None)


def _read_clip(path: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(path))
    try:
        frames = []
        while (grabbed := capture.read())[0]:
            frames.append(np.asarray(grabbed[1], np.uint8))
        return frames
    finally:
        capture.release()


def _sampled(count: int, start: int, rate: float) -> list[int]:
    end = min(count, start + int(LONGEST_S * CLIP_FPS))
    return [int(index) for index in np.arange(start, end, CLIP_FPS / rate)]


def _framed(
    frames: Sequence[Image], faces: Sequence[Face | None], picked: Sequence[int], rng: Random
) -> list[Image]:
    """Frames as another camera would frame this person: nearer, and of SIZE."""
    x, y, w, h = next(face.box for face in faces if face is not None)
    width = w * float(rng.uniform(NEAREST, FARTHEST))
    high = width * SIZE[1] / SIZE[0]
    left, top = x + w / 2 - width / 2, y + h / 2 - high * float(rng.uniform(0.4, 0.5))
    scale = SIZE[0] / width
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return [
        np.asarray(
            cv2.warpAffine(
                frames[index], matrix, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )
        for index in picked
    ]


def _roomy(picture: Image) -> Image:
    """A tight portrait before a plain wall, and none over 320 pixels."""
    if picture.shape[0] < 200:
        picture = np.asarray(cv2.copyMakeBorder(picture, 20, 20, 40, 40, cv2.BORDER_REPLICATE), np.uint8)
        picture = np.asarray(cv2.resize(picture, None, fx=1.6, fy=1.6), np.uint8)
    return picture
