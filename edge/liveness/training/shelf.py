"""Presentations on the disk, so that calibrating anew for another network need not make them anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.training.presentations import Presentation
from edge.model import Face, Image

_FACE = 15  # numbers: box, five points, score


def keep(presentations: Iterable[Presentation], folder: Path) -> Iterator[Presentation]:
    """Pass presentations on, and write each to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(presentations):
        coded = [np.asarray(cv2.imencode(".png", frame)[1]).ravel() for frame in one.frames]
        np.savez(
            folder / f"{number:05d}.npz",
            pictures=np.concatenate(coded),
            lengths=np.array([len(each) for each in coded]),
            faces=np.array([_told(face) for face in one.faces]),
            about=np.array([one.kind, one.instrument, one.person, str(one.fps)]),
        )
        yield one


def kept(folder: Path, *, most: int | None = None) -> Iterator[Presentation]:
    """Read what ``keep`` wrote, in the same order; of a clip no more than ``most`` frames, spread over it."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as data:
            ends = np.cumsum(data["lengths"])
            parts = np.split(data["pictures"], ends[:-1])
            kind, instrument, person, fps = (str(one) for one in data["about"])
            faces = tuple(_face(one) for one in data["faces"])
        if most is not None and len(parts) > most:
            usable = [number for number, face in enumerate(faces) if face is not None] or [0, 1]
            chosen = [usable[place] for place in np.linspace(0, len(usable) - 1, most).astype(int)]
            parts, faces = [parts[number] for number in chosen], tuple(faces[number] for number in chosen)
        yield Presentation(
            tuple(_picture(part) for part in parts), faces, float(fps), kind, instrument, person
        )


def _picture(part: npt.NDArray[np.uint8]) -> Image:
    picture = cv2.imdecode(part, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a kept picture is damaged: remove the folder and begin anew")
    return np.asarray(picture, np.uint8)


def _told(face: Face | None) -> npt.NDArray[np.float64]:
    if face is None:
        return np.full(_FACE, np.nan)
    return np.array([*face.box, *face.points.astype(np.float64).ravel(), face.score])


def _face(told: npt.NDArray[np.float64]) -> Face | None:
    if not np.isfinite(told).all():
        return None
    x, y, w, h = (float(one) for one in told[:4])
    return Face((x, y, w, h), told[4:14].reshape(5, 2).astype(np.float32), float(told[14]))
