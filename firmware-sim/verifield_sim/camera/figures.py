"""Figures before the camera: a living person, a sheet of paper, a cut-out, a mask. All draw themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from verifield_sim.camera import subjects
from verifield_sim.camera.lamp import Beam, Colour, Surface
from verifield_sim.camera.motion import Blinking, Gaping, Talking
from verifield_sim.camera.optics import Field, Image, Pose, Relief, paint, trace

# How skin, paper and a printed mask shine beside what they scatter, and how sharply.
_SKIN, _PAPER, _PHOTO_PAPER, _MASK = (0.10, 14.0), (0.0, 1.0), (0.25, 60.0), (0.03, 8.0)
_JAW_STEP_MM = 0.8  # half a pixel at arm's length


@dataclass(frozen=True, slots=True)
class Moment:
    """What a frame shows: when, how the figure stands, and what the screen throws on it."""

    now: float
    pose: Pose
    beam: Beam | None = None


class Figure(Protocol):
    """Something that can be held or stand before the camera."""

    def show(self, prompt: str, now: float) -> None:
        """Take notice of what the screen says."""

    def light(self, colour: Colour | None, now: float) -> None:
        """Take notice of the screen's colour: a beam comes with each moment."""

    def onto(self, picture: Image, moment: Moment) -> Image:
        """Return ``picture`` (uint8 [480, 640, 3] BGR) with the figure before it."""


def over(drawn: Image, cover: Field, picture: Image) -> Image:
    """Lay one picture over another."""
    return cv2.blendLinear(drawn, picture, cover, 1.0 - cover).astype(np.uint8, copy=False)


class _Still:
    """A figure that only its pose moves."""

    def show(self, prompt: str, now: float) -> None:
        """Paper does not listen."""

    def light(self, colour: Colour | None, now: float) -> None:
        """It has no memory for light."""


class Person(_Still):
    """A head and shoulders that blinks, moves its mouth, and opens it when asked."""

    def __init__(
        self,
        head: Relief,
        *,
        blinking: Blinking | None,
        talking: Talking | None,
        gaping: Gaping | None = None,
        shine: tuple[float, float] = _SKIN,
    ) -> None:
        """``blinking``, ``talking``, ``gaping``: None where lids and jaw do not move, or nobody is asked."""
        self._head = head
        self._surface: Surface | None = None
        self._shine = shine
        self._blinking, self._talking, self._gaping = blinking, talking, gaping
        closed = subjects.closed_eyes(head) if blinking else head.texture
        half = subjects.half_closed_eyes(head, closed) if blinking else head.texture
        self._lids = (head.texture, half, closed)
        self._jaws: dict[int, tuple[slice, slice, Image]] = {}
        self._worn = (0, 0)
        self._texture = head.texture.copy()

    def show(self, prompt: str, now: float) -> None:
        """Open the mouth when asked."""
        if self._gaping is not None:
            self._gaping.show(prompt, now)

    def onto(self, picture: Image, moment: Moment) -> Image:
        hits = trace(self._head, moment.pose)
        drawn, cover = paint(self._head, self._face(moment.now), hits)
        if moment.beam is not None:
            self._surface = self._surface or Surface(
                self._head, gloss=self._shine[0], sharpness=self._shine[1]
            )
            drawn = moment.beam.on_surface(drawn, self._surface.shading(moment.pose, hits, moment.beam))
        return over(drawn, cover, picture)

    def _face(self, now: float) -> Image:
        """The texture with lids and jaw as they are now."""
        lids = 0
        if self._blinking is not None:
            lids = 2 if self._blinking.shut(now) else int(self._blinking.half_shut(now))
        sunk = sum(part.at(now) for part in (self._talking, self._gaping) if part is not None)
        jaw = round(sunk / _JAW_STEP_MM)
        if (lids, jaw) != self._worn:
            if lids != self._worn[0]:
                np.copyto(self._texture, self._lids[lids])
            if jaw not in self._jaws:
                self._jaws[jaw] = subjects.jaw_down(self._head, self._head.texture, jaw * _JAW_STEP_MM)
            rows, cols, patch = self._jaws[jaw]
            self._texture[rows, cols] = patch
            self._worn = lids, jaw
        return self._texture


class Sheet(_Still):
    """A print on paper, flat or bent."""

    def __init__(self, paper: Relief, *, glossy: bool = False) -> None:
        self._paper = paper
        self._shine = _PHOTO_PAPER if glossy else _PAPER
        self._surface: Surface | None = None

    def onto(self, picture: Image, moment: Moment) -> Image:
        hits = trace(self._paper, moment.pose)
        drawn, cover = paint(self._paper, self._paper.texture, hits)
        if moment.beam is not None:
            self._surface = self._surface or Surface(
                self._paper, gloss=self._shine[0], sharpness=self._shine[1]
            )
            drawn = moment.beam.on_surface(drawn, self._surface.shading(moment.pose, hits, moment.beam))
        return over(drawn, cover, picture)


class Cutout(_Still):
    """A print cut along the outline, before the face of who holds it; through eye holes that one blinks."""

    def __init__(self, paper: Relief, holder: Person, *, before_mm: float, glossy: bool) -> None:
        """``before_mm``: between the sheet and the plane of the holder's eyes."""
        self._sheet = Sheet(paper, glossy=glossy)
        self._holder = holder
        self._before = before_mm

    def onto(self, picture: Image, moment: Moment) -> Image:
        pose = moment.pose
        # The holder turns with the sheet, behind it along its own axis.
        behind = Pose(
            pose.x - float(np.sin(pose.yaw)) * self._before,
            pose.y - float(np.sin(pose.pitch)) * self._before,
            pose.z + float(np.cos(pose.yaw) * np.cos(pose.pitch)) * self._before,
            pose.yaw,
            pose.pitch,
            pose.roll,
        )
        with_holder = self._holder.onto(picture, Moment(moment.now, behind, moment.beam))
        return self._sheet.onto(with_holder, moment)


class Mask(_Still):
    """A printed mask on somebody's head; where its eyes are cut, theirs are behind."""

    def __init__(self, shell: Relief, wearer: Person) -> None:
        self._shell = Person(shell, blinking=None, talking=None, shine=_MASK)
        self._wearer = wearer

    def onto(self, picture: Image, moment: Moment) -> Image:
        return self._shell.onto(self._wearer.onto(picture, moment), moment)
