"""One training example: a sitter, filmed as a living person or as an attack, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.crops import FAR, NEAR, SIDE, crop_window
from edge.liveness.training.camera import GOOD_SHARE, Random, film_still
from edge.liveness.training.corpus import Sitter
from edge.liveness.training.recapture import Box, moved, recaptured
from edge.model import Image

LIVE = "live"
PLAIN = "plain"  # live, as the picture is: what the teachers know best
MIXED = "mixed"
SHARE_LIVE, SHARE_PLAIN, SHARE_MIXED = 0.3, 0.2, 0.08  # the rest are attacks
GOOD_FOR_ATTACKS = (SHARE_PLAIN + SHARE_LIVE * GOOD_SHARE) / (SHARE_PLAIN + SHARE_LIVE)
"""A picture without a camera's traces must be no sign of life: attacks are as often without them."""
LONGEST = 520  # pixels; bounds the work


@dataclass(frozen=True, slots=True)
class Sample:
    """Two crops, uint8 [80, 80, 3], BGR. ``kind``: LIVE, PLAIN, MIXED, or the instrument's name."""

    near: Image
    far: Image
    kind: str
    group: str


def draw_sample(people: Sequence[Sitter], kinds: Sequence[str], rng: Random) -> Sample:
    """Draw an example of one of ``kinds``, each as likely as the others."""
    kind = kinds[int(rng.integers(len(kinds)))]
    for _ in range(8):
        found = _try_sample(people, kind, rng)
        if found is not None:
            return found
    raise RuntimeError("eight attacks in a row whose face is not in the picture")


def training_kinds(instruments: Sequence[str]) -> list[str]:
    """Kinds in the proportion of the training, as one list to draw from."""
    each = (1.0 - SHARE_LIVE - SHARE_PLAIN - SHARE_MIXED) / len(instruments)
    return [
        *instruments,
        *[LIVE] * round(SHARE_LIVE / each),
        *[PLAIN] * round(SHARE_PLAIN / each),
        *[MIXED] * round(SHARE_MIXED / each),
    ]


def _try_sample(people: Sequence[Sitter], kind: str, rng: Random) -> Sample | None:
    sitter = _draw_sitter(people, rng)
    picture, box = _framed(sitter, rng)
    if kind == LIVE:
        picture = film_still(picture, rng)
    elif kind == MIXED:
        return _mixed(people, picture, box, rng)
    elif kind != PLAIN:
        if rng.random() < 0.5:  # the picture that an attacker has was taken by some camera too
            picture = film_still(picture, rng)
        picture, pose = recaptured(picture, kind, rng, face=box, good_cameras=GOOD_FOR_ATTACKS)
        box = moved(box, pose)
    cut = _crops(picture, _jittered(box, rng))
    return None if cut is None else Sample(*cut, kind, sitter.group)


def _draw_sitter(people: Sequence[Sitter], rng: Random) -> Sitter:
    """Anybody; frames of the few clips come as often as their share of the list, at most."""
    return people[int(rng.integers(len(people)))]


def _framed(sitter: Sitter, rng: Random) -> tuple[Image, Box]:
    """The sitter as some camera frames a person: nearer or further, mirrored or not, any resolution."""
    picture, (x, y, across, down) = sitter.picture, sitter.box
    width = picture.shape[1]
    draw = rng.random()
    if draw < 0.2:  # stands further away, before a wall
        edge = int(rng.uniform(0.1, 0.45) * width)
        wide = cv2.copyMakeBorder(picture, edge, 0, edge, edge, cv2.BORDER_REFLECT_101)
        soft = cv2.GaussianBlur(wide, (0, 0), float(rng.uniform(3, 12)))
        soft[edge:, edge : edge + width] = picture
        picture, x, y = np.asarray(soft, np.uint8), x + edge, y + edge
    elif draw < 0.6:  # nearer: the frame cuts closer
        reach = rng.uniform(0.7, 2.0, 4) * (across, down, across, down) * (1.0, 0.8, 1.0, 1.0)
        left, top = max(0, int(x + across / 2 - reach[0])), max(0, int(y + down / 2 - reach[1]))
        right, bottom = int(x + across / 2 + reach[2]), int(y + down / 2 + reach[3])
        picture, x, y = picture[top:bottom, left:right], x - left, y - top
    if rng.random() < 0.5:
        picture, x = picture[:, ::-1], picture.shape[1] - x - across
    aim = float(np.exp(rng.uniform(np.log(48), np.log(230))))  # width of the face
    scale = min(aim / across, LONGEST / max(picture.shape[:2]), 3.5)
    scale = max(scale, 48.0 / min(picture.shape[:2]))
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(picture), size, interpolation=way)
    return np.asarray(resized, np.uint8), (x * scale, y * scale, across * scale, down * scale)


def _mixed(people: Sequence[Sitter], picture: Image, box: Box, rng: Random) -> Sample | None:
    """Two pictures in one, which only the teachers name (Beyer et al., 2022)."""
    other = _draw_sitter(people, rng)
    second = np.asarray(cv2.resize(other.picture, (picture.shape[1], picture.shape[0])), np.uint8)
    share = float(rng.uniform(0.2, 0.8))
    if rng.random() < 0.5:
        picture = np.asarray(cv2.addWeighted(picture, share, second, 1 - share, 0), np.uint8)
    else:
        column = int(share * picture.shape[1])
        picture = np.concatenate([picture[:, :column], second[:, column:]], axis=1)
    cut = _crops(film_still(picture, rng), _jittered(box, rng))
    return None if cut is None else Sample(*cut, MIXED, other.group)


def _jittered(box: Box, rng: Random) -> Box:
    """As differently as a detector puts it."""
    x, y, across, down = box
    shift = rng.normal(0.0, 0.03, 2) * (across, down)
    wide, tall = np.exp(rng.normal(0.0, 0.05, 2)) * (across, down)
    return (
        float(x + across / 2 + shift[0] - wide / 2),
        float(y + down / 2 + shift[1] - tall / 2),
        float(wide),
        float(tall),
    )


def _crops(picture: Image, box: Box) -> tuple[Image, Image] | None:
    """Both crops; None where the face is not in the picture."""
    cut: list[npt.NDArray[np.uint8]] = []
    for scale in (NEAR, FAR):
        try:
            left, top, right, bottom = crop_window((picture.shape[0], picture.shape[1]), box, scale)
        except ValueError:
            return None
        part = picture[top : bottom + 1, left : right + 1]
        cut.append(np.asarray(cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8))
    return cut[0], cut[1]
