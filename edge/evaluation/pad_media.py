"""The frames of a presentation, one after the other: a picture, a folder of pictures, or a video.

Never more than one frame is held, and none has a side above ``MAX_SIDE``. Whatever cannot be read raises
InputError with a stable code: an evaluation counts it and goes on.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np

from edge.capture.pictures import MAX_PIXELS, SUFFIXES, read_picture
from edge.errors import InputError
from edge.model import Image

FOLDER_RATE = 15.0
"""Frames a second of a folder whose rate nobody told."""

VIDEO_RATE = 30.0
"""Of a video that does not say, or says what cannot be."""

MAX_VIDEO_RATE = 240.0
MAX_SIDE = 1920
"""Pixels: a face in a larger picture is not told better, and a working picture stays below 12 MB."""

MAX_FRAMES = 4_000
"""Read of one presentation: more than half a minute at 120 frames a second."""

MAX_LISTED = 100_000
"""Names in one folder of frames."""

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".3gp"})
"""What the name of a file that is no video promised, for the message; what it is, its first bytes say."""

_HEAD_BYTES = 16
_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_EBML = b"\x1aE\xdf\xa3"


class Kind(StrEnum):
    PICTURE = "picture"
    FRAMES = "frames"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Moment:
    """``image``: uint8 [height, width, 3], BGR. ``at``: seconds since the first frame."""

    image: Image
    at: float


@dataclass(frozen=True, slots=True)
class Media:
    """``rate``: frames a second, 0 for a picture."""

    kind: Kind
    rate: float
    moments: Iterator[Moment]


def without_words() -> None:
    """Keep the video library from writing to standard error: what it cannot read is told with the figures."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


@contextmanager
def open_media(path: Path, fps: float | None) -> Iterator[Media]:
    """Open a presentation; ``fps`` beats what a video says, and is that of a folder.

    Raises:
        InputError: NO_FRAMES, TOO_MANY_FRAMES, VIDEO_UNREADABLE, VIDEO_EMPTY, VIDEO_TOO_LARGE, NOT_A_PICTURE,
            PICTURE_TOO_LARGE; also while the frames are read.
    """
    if path.is_dir():
        rate = fps or FOLDER_RATE
        yield Media(Kind.FRAMES, rate, _of_folder(frames_of(path), rate))
    elif _is_video(path):
        source = _open_video(path)
        try:
            rate = fps or _rate_of(source)
            yield Media(Kind.VIDEO, rate, _of_video(source, path.name, rate, keep_time=fps is None))
        finally:
            source.release()
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        raise _fault("VIDEO_UNREADABLE", f"{path.name} is not a video that can be read.")
    else:
        yield Media(Kind.PICTURE, 0.0, iter([Moment(bounded(read_picture(path)), 0.0)]))


def frames_of(folder: Path) -> list[Path]:
    """The pictures of a folder, by name: ``2.jpg`` before ``10.jpg``. Hidden files are none of them.

    Raises:
        InputError: NO_FRAMES, TOO_MANY_FRAMES.
    """
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= MAX_LISTED:
                    raise _fault("TOO_MANY_FRAMES", f"The folder {folder.name} has too many files.")
                if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in SUFFIXES:
                    names.append(entry.name)
    except OSError as error:
        raise _fault("NO_FRAMES", f"The folder {folder.name} cannot be read.") from error
    if not names:
        raise _fault("NO_FRAMES", f"The folder {folder.name} has no pictures.")
    return [folder / name for name in sorted(names, key=natural)]


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers within names by their value."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return (*((1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts), (2, 0, name))


def bounded(image: Image) -> Image:
    """The picture, made smaller where a side is longer than ``MAX_SIDE``."""
    scale = MAX_SIDE / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _of_folder(paths: list[Path], rate: float) -> Iterator[Moment]:
    for number, path in enumerate(paths[:MAX_FRAMES]):
        yield Moment(bounded(read_picture(path)), number / rate)


def _is_video(path: Path) -> bool:
    """By its first bytes: no other file reaches the video library (a play list names further files)."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return False  # reading it as a picture says why
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    pictures = head[4:12] in (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypmif1")
    return riff or head[:4] == _EBML or (head[4:8] in _ATOMS and not pictures)


def _open_video(path: Path) -> cv2.VideoCapture:
    # one thread: an evaluation runs several processes, and frames come out the same
    source = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not source.isOpened():
        source.release()
        raise _fault("VIDEO_UNREADABLE", f"The video {path.name} cannot be read.")
    if source.get(cv2.CAP_PROP_FRAME_WIDTH) * source.get(cv2.CAP_PROP_FRAME_HEIGHT) > MAX_PIXELS:
        source.release()
        raise _fault("VIDEO_TOO_LARGE", f"The frames of {path.name} are too large.")
    return source


def _rate_of(source: cv2.VideoCapture) -> float:
    told = source.get(cv2.CAP_PROP_FPS)
    return told if math.isfinite(told) and 0.0 < told <= MAX_VIDEO_RATE else VIDEO_RATE


def _of_video(source: cv2.VideoCapture, name: str, rate: float, *, keep_time: bool) -> Iterator[Moment]:
    """``keep_time``: by the video's own time, which need not be even (webcams, browsers)."""
    at = first = -1.0
    for number in range(MAX_FRAMES):
        try:
            there, pixels = source.read()
        except cv2.error as error:
            raise _fault("VIDEO_UNREADABLE", f"The video {name} breaks off badly.") from error
        if not there or pixels is None:
            if number == 0:
                raise _fault("VIDEO_EMPTY", f"The video {name} has no frames.")
            return
        told = source.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        if number == 0:
            first, at = told, 0.0
        elif keep_time and math.isfinite(told - first) and at < told - first <= at + 60.0:
            at = told - first
        else:
            at = at + 1.0 / rate if keep_time else number / rate
        yield Moment(bounded(np.asarray(pixels, dtype=np.uint8)), at)


def _fault(code: str, message: str) -> InputError:
    return InputError(code, message, hint="Use pictures, folders of pictures, or MP4, MOV, MKV, WebM or AVI.")
