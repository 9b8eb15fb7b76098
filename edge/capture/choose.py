"""Which of the detected faces is the person: a value, never a guess among equals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.capture.detector import overlaps
from edge.capture.drawn import is_drawn
from edge.geometry import below_eyes, roll_deg, yaw_ratio
from edge.model import Face, Image

# A detector finds faces on T-shirts, in cartoons and in wood. What it finds there scores low, or its points
# do not lie as on a head: on sample clips a printed skull had 0.6 to 0.8 and eyes four pixels apart.
MIN_SCORE = 0.7
MIN_PORTRAIT_SCORE = (
    0.6  # a card's photo is known to show a face; whether it is the right one, matching decides
)
MIN_INTER_EYE_PX = 8.0  # the points of smaller faces are noise
MAX_ROLL_DEG = 60.0
MAX_YAW_RATIO = 0.8  # a head turned by about 60 degrees; no step can use it beyond that
MOUTH_DROP = (0.5, 2.0)  # eyes to mouth over the distance of the eyes: 1.0 frontal, 2.0 turned by 60 degrees
MOUTH_WIDTH = (0.3, 1.8)  # over the distance of the eyes
NOSE_DROP = (0.1, 0.95)  # eyes to nose tip over eyes to mouth
COMPARABLE_SIZE = 0.5  # a second person this large, compared with the first, could be the one meant

# From frame to frame.
STEADY_FRAMES = 3  # a detector's slip lasts for one or two
MAX_MISSED = 3  # as long as that a face that is followed may be overlooked
SAME_FACE = 0.3  # intersection over union of one face in two frames
MAX_TRACKS = 32  # new faces that are followed: more are a crowd anyway
EDGE_LOSS = 0.3  # of a face's weight in a corner of the picture: a second person is one there too
# A print on clothing lies on the chest of its wearer, and its score is lower.
SURER = 0.1  # by which the wearer's score is higher; two people's differ by less
CHEST_WIDTH = 1.0  # of the head's width, to each side
CHEST_HEIGHT = 3.0  # of the head's height, below the chin


@dataclass(frozen=True, slots=True)
class Chosen:
    face: Face


@dataclass(frozen=True, slots=True)
class NoFace:
    """Nobody plausible is in view."""


@dataclass(frozen=True, slots=True)
class MultipleFaces:
    """Two or more plausible people of comparable size: the capture stops until one is alone."""

    count: int


Choice = Chosen | NoFace | MultipleFaces


def choose_face(faces: Sequence[Face], size: tuple[int, int]) -> Choice:
    """Pick the person among ``faces`` of a picture of ``size`` (height, width)."""
    plausible = sorted((face for face in faces if is_plausible(face, size)), key=extent, reverse=True)
    if not plausible:
        return NoFace()
    comparable = [face for face in plausible if extent(face) >= COMPARABLE_SIZE * extent(plausible[0])]
    if len(comparable) > 1:
        return MultipleFaces(len(comparable))
    return Chosen(plausible[0])


class FaceChooser:
    """Chooses frame after frame: also by place and by having been there for some frames.

    What is seen for a frame or two (a slip of the detector, somebody in a doorway) is neither the person
    nor a second one.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []

    def choose(self, faces: Sequence[Face], image: Image) -> Choice:
        """Pick the person among the ``faces`` of the next frame, uint8 [height, width, 3], BGR."""
        size = image.shape[0], image.shape[1]
        plausible = [face for face in faces if is_plausible(face, size)]
        people = [face for face in plausible if not _is_worn(face, plausible)]
        if len(people) > 1:  # a drawing that is alone is left to the liveness: it may be a pale person
            people = [face for face in people if not is_drawn(image, face)] or people
        self._follow(people)
        return self._choice(size)

    def _choice(self, size: tuple[int, int]) -> Choice:
        people = [track for track in self._tracks if track.steady and track.missed == 0]
        if not people:
            return NoFace()
        weights = {id(track): _weight(track.face, size) for track in people}
        most = max(weights.values())
        comparable = [track for track in people if weights[id(track)] >= COMPARABLE_SIZE * most]
        if len(comparable) > 1:
            return MultipleFaces(len(comparable))
        (first,) = comparable
        return Chosen(first.face)

    def _follow(self, faces: Sequence[Face]) -> None:
        left = list(faces)
        for track in self._tracks:
            same = max(left, key=lambda face: _overlap(face, track.face), default=None)
            if same is not None and _overlap(same, track.face) >= SAME_FACE:
                track.seen(same)
                left = [face for face in left if face is not same]
            else:
                track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= MAX_MISSED]
        self._tracks += [_Track(face) for face in left[:MAX_TRACKS]]


class _Track:
    """One face from frame to frame."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.missed = 0
        self._hits = 1

    @property
    def steady(self) -> bool:
        return self._hits >= STEADY_FRAMES

    def seen(self, face: Face) -> None:
        self.face, self.missed, self._hits = face, 0, self._hits + 1


def _is_worn(face: Face, others: Sequence[Face]) -> bool:
    """Whether it lies on the chest of a face that is much surer: a print on clothing."""
    x, y, width, height = face.box
    centre = x + width / 2
    for head in others:
        left, top, head_width, head_height = head.box
        middle, below = left + head_width / 2, top + head_height
        on_chest = (
            abs(centre - middle) <= CHEST_WIDTH * head_width
            and below - head_height / 4 <= y + height / 2 <= below + CHEST_HEIGHT * head_height
        )
        if on_chest and face.score <= head.score - SURER:
            return True
    return False


def _weight(face: Face, size: tuple[int, int]) -> float:
    """Size, less towards the edges: who is meant stands in the middle."""
    height, width = size
    x, y, box_width, box_height = face.box
    away = math.hypot((x + box_width / 2) / width - 0.5, (y + box_height / 2) / height - 0.5)
    return extent(face) * (1.0 - EDGE_LOSS * min(1.0, 2 * away))


def _overlap(one: Face, other: Face) -> float:
    """Intersection over union of the boxes."""
    return float(overlaps(np.array(one.box, np.float32), np.array([other.box], np.float32))[0])


def choose_portrait(faces: Sequence[Face], size: tuple[int, int]) -> Face | None:
    """The face that an official portrait shows: the largest plausible one, as nobody else can be in it."""
    plausible = [face for face in faces if is_plausible(face, size, min_score=MIN_PORTRAIT_SCORE)]
    return max(plausible, key=extent, default=None)


def extent(face: Face) -> float:
    """Size of a face in pixels, from its points: box edges jump, and a turned head keeps its height."""
    return math.sqrt(face.inter_eye * _mouth_drop(face) * face.inter_eye)


def is_plausible(face: Face, size: tuple[int, int], *, min_score: float = MIN_SCORE) -> bool:
    """Whether score, place and the lie of the five points are those of a person's head."""
    if face.score < min_score or face.inter_eye < MIN_INTER_EYE_PX:
        return False
    if abs(roll_deg(face)) > MAX_ROLL_DEG or abs(yaw_ratio(face)) > MAX_YAW_RATIO:
        return False
    height, width = size
    x, y, box_width, box_height = face.box
    if not (0 <= x + box_width / 2 <= width and 0 <= y + box_height / 2 <= height):
        return False
    drop, nose, width_of_mouth = _lie(face)
    measures = ((drop, MOUTH_DROP), (nose, NOSE_DROP), (width_of_mouth, MOUTH_WIDTH))
    return all(low <= value <= high for value, (low, high) in measures)


def _mouth_drop(face: Face) -> float:
    return max(0.0, _lie(face)[0])


def _lie(face: Face) -> tuple[float, float, float]:
    """How far the mouth is below the eyes, over their distance; how far the nose is, over that; and the
    mouth's width over the distance of the eyes."""
    one, other, nose, left, right = face.points.tolist()  # plain numbers: what is this small is quicker so
    eyes = math.dist(one, other)
    mouth = [(start + end) / 2 for start, end in zip(left, right, strict=True)]
    drop = below_eyes(one, other, mouth) / (eyes * eyes)
    to_nose = below_eyes(one, other, nose) / (eyes * eyes)
    return drop, to_nose / drop if drop > 0 else 0.0, math.dist(left, right) / eyes
