"""The screen as a lamp: what its colour does to whatever stands before it, and to the camera's automatics.

A 10-inch display of 300 cd/m2 half a metre away gives a face about 35 lux, in a lobby whose light gives it
300 to 900. So a white screen adds some 4 to 12 percent, drawn by the seed. It falls off with the square
of the distance and follows Lambert's law over the surface's normals: a nose brightens more than the cheeks'
edges, and the wall two metres behind hardly at all. All light is linear; pictures are encoded with gamma 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from verifield_sim.camera.optics import HEIGHT, WIDTH, Field, Hits, Image, Pose, Relief

Colour = tuple[int, int, int]
"""Red, green, blue, sRGB 0..255."""
Point = tuple[float, float, float]

REFERENCE_MM = 470.0  # the gain of a lamp is stated for a surface that far from it, facing it
GAIN = (0.04, 0.12)  # of the ambient light, for white
LATENCY_S = (0.03, 0.15)  # drawing, display and camera together
GAMMA = 2.2
SHADE = 4  # one value of shading for so many pixels: light changes slowly over a face
_EYE: Point = (0.0, 0.0, 0.0)
_MAX_EVENTS = 64  # colours that are remembered; older ones have long faded
_WALL_MM = (1400.0, 2500.0)
_LIT_SHARE = 0.35  # of the picture, which is what the automatics see


@dataclass(frozen=True, slots=True)
class Beam:
    """The lamp at one moment.

    ``rows``: float32 [120, 3], BGR, irradiance at the reference distance as a share of the ambient light; a
    rolling shutter reads the rows one after the other. ``automatics``: float64 [3], BGR, gain of the encoded
    picture by exposure and white balance. ``position``: of the screen's middle, mm in the camera's axes;
    ``size``: its width and height in mm; ``wall``: how much of the light reaches the room behind.
    """

    rows: Field
    automatics: npt.NDArray[np.float64]
    position: Point
    size: tuple[float, float]
    wall: float

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """BGR over all rows."""
        return np.asarray(self.rows.mean(axis=0), dtype=np.float64)

    def on_room(self, room: Image) -> Image:
        """What the lamp makes of the wall behind."""
        gains = (1.0 + self.mean * self.wall) ** (1.0 / GAMMA) * self.automatics
        lit = cv2.multiply(room, np.array([*gains, 0.0]), dtype=cv2.CV_8U)  # a scalar for each channel
        return lit.astype(np.uint8, copy=False)

    def on_surface(self, drawn: Image, shading: Field) -> Image:
        """What it makes of a drawn surface; ``shading``: float32 [120, 160], 1 at the reference."""
        more = shading[..., None] * self.rows[:, None, :]
        # (1 + x) ** (1 / 2.2) as a series: 0.2 % off where the light is half again as strong.
        gains = (1.0 + more * (1.0 / GAMMA - 0.124 * more)) * self.automatics.astype(np.float32)
        fine = cv2.resize(gains.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        return cv2.multiply(drawn, fine, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


@dataclass(frozen=True, slots=True)
class _Event:
    at: float
    colour: npt.NDArray[np.float64]  # BGR, linear, from then on
    slow: npt.NDArray[np.float64]  # what the automatics had got used to at that moment: exposure
    slower: npt.NDArray[np.float64]  # and white balance


class Lamp:
    """Colours over time. Between two calls of :meth:`light` all is a function of time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._gain = float(np.exp(rng.uniform(*np.log(GAIN))))
        self._latency = float(rng.uniform(*LATENCY_S))
        self._readout = float(rng.uniform(0.010, 0.030))
        self._rise = float(rng.uniform(0.015, 0.035))  # display's response and exposure time
        self._exposure = float(rng.uniform(0.0, 0.6)), float(rng.uniform(0.25, 0.9))  # share, time constant
        self._white = float(rng.uniform(0.0, 0.35)), float(rng.uniform(1.0, 4.0))
        width = float(rng.uniform(200, 340))
        self._size = width, 0.62 * width
        above = float(rng.uniform(8, 20))  # the camera sits over the screen
        self._position = float(rng.uniform(-15, 15)), above + 0.31 * width, float(rng.uniform(-10, 10))
        self._wall = (REFERENCE_MM / float(rng.uniform(*_WALL_MM))) ** 2
        self._events: list[_Event] = []

    def light(self, colour: Colour | None, now: float) -> None:
        """Let the screen shine in ``colour`` from ``now`` on; None: as bright as it was before all this."""
        linear = np.zeros(3)
        if colour is not None:
            encoded = np.array(colour[::-1]) / 255.0
            linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        at = now + self._latency
        if not self._events:
            still = np.zeros(3)
            self._events.append(_Event(at, self._gain * linear, still, still))
            return
        last = self._events[-1]
        at = max(at, last.at)
        self._events.append(_Event(at, self._gain * linear, *self._adapted(last, at)))
        del self._events[:-_MAX_EVENTS]

    def at(self, now: float) -> Beam | None:
        """The lamp as a frame of ``now`` sees it; None as long as nothing was ever shown."""
        if not self._events or now < self._events[0].at - self._readout:
            return None
        count = HEIGHT // SHADE
        times = now - self._readout * np.linspace(1.0, 0.0, count)[:, None]
        rows = np.zeros((count, 3))
        for event in self._events:
            rows += np.clip((times - event.at) / self._rise, 0.0, 1.0) * (event.colour - rows)
        last = next((one for one in reversed(self._events) if one.at <= now), None)
        slow, slower = (np.zeros(3), np.zeros(3)) if last is None else self._adapted(last, now)
        bright, tint = _LIT_SHARE * slow.mean(), _LIT_SHARE * (slower - slower.mean())
        gains = np.exp(-(self._exposure[0] * bright + self._white[0] * tint) / GAMMA)
        return Beam(rows.astype(np.float32), gains, self._position, self._size, self._wall)

    def _adapted(self, event: _Event, now: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Exposure and white balance follow the light as first-order filters do."""
        fast = math.exp(-(now - event.at) / self._exposure[1])
        lazy = math.exp(-(now - event.at) / self._white[1])
        return (
            event.colour + (event.slow - event.colour) * fast,
            event.colour + (event.slower - event.colour) * lazy,
        )


class Surface:
    """The normals of a relief, and what a lamp gives to each place of it."""

    def __init__(self, relief: Relief, *, gloss: float, sharpness: float) -> None:
        """``gloss``: specular share against the diffuse one of skin; ``sharpness``: Phong's exponent."""
        self._gloss, self._sharpness = gloss, sharpness
        self._pivot = relief.pivot
        self._height = np.ascontiguousarray(relief.height[::2, ::2])
        step = self._step = 2 * relief.height_mm_per_px
        rows, cols = self._height.shape
        reach_x = (np.arange(cols, dtype=np.float32) - (cols - 1) / 2) * step
        reach_y = (np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * step
        self._x, self._y = np.meshgrid(reach_x.astype(np.float32), reach_y.astype(np.float32))
        slope_y, slope_x = np.gradient(self._height, step)
        length = np.sqrt(slope_x**2 + slope_y**2 + 1.0)
        self._normal = [
            np.asarray(part, np.float32) for part in (-slope_x / length, -slope_y / length, 1 / length)
        ]

    def shading(self, pose: Pose, hits: Hits, beam: Beam) -> Field:
        """Return float32 [120, 160]: irradiance of each place against that of the reference."""
        lamp, eye, ahead = (
            _in_subject(point, pose, self._pivot) for point in (beam.position, _EYE, (0.0, 0.0, 1.0))
        )
        lit = self._lit(lamp, eye, (ahead[0] - eye[0], ahead[1] - eye[1], ahead[2] - eye[2]))
        every = SHADE // 2
        mid_x, mid_y = (lit.shape[1] - 1) / 2, (lit.shape[0] - 1) / 2
        x = hits.x[every // 2 :: every, every // 2 :: every] / self._step + mid_x
        y = hits.y[every // 2 :: every, every // 2 :: every] / self._step + mid_y
        seen = cv2.remap(lit, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, dtype=np.float32)

    def _lit(self, lamp: Point, eye: Point, ahead: Point) -> Field:
        """``ahead``: where camera and screen look, in the subject's axes."""
        to_lamp = [np.float32(lamp[0]) - self._x, np.float32(lamp[1]) - self._y, lamp[2] - self._height]
        to_eye = [np.float32(eye[0]) - self._x, np.float32(eye[1]) - self._y, eye[2] - self._height]
        far2 = to_lamp[0] ** 2 + to_lamp[1] ** 2 + to_lamp[2] ** 2
        far, eye_far = np.sqrt(far2), np.sqrt(to_eye[0] ** 2 + to_eye[1] ** 2 + to_eye[2] ** 2)
        cosine = _dot(self._normal, to_lamp) / far
        # The screen is itself a Lambertian source that looks where the camera looks.
        leaving = -(ahead[0] * to_lamp[0] + ahead[1] * to_lamp[1] + ahead[2] * to_lamp[2]) / far
        falloff = REFERENCE_MM**2 / far2 * np.maximum(leaving, 0.0)
        lit = np.maximum(cosine, 0.0) * falloff
        if self._gloss > 0:
            half = [a / far + b / eye_far for a, b in zip(to_lamp, to_eye, strict=True)]
            size = np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
            shine = np.maximum(_dot(self._normal, half) / size, 0.0) ** self._sharpness
            lit = lit + self._gloss * shine * falloff
        return np.asarray(lit, dtype=np.float32)


def _dot(a: list[Field], b: list[Field]) -> Field:
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2], dtype=np.float32)


def _in_subject(point: Point, pose: Pose, pivot: float) -> Point:
    """A point of the camera's axes in the subject's, as the rays of ``optics``."""
    x, y, h = point[0] - pose.x, point[1] - pose.y, pose.z - point[2]
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    x, y = cr * x + sr * y, cr * y - sr * x
    cp, sp = math.cos(pose.pitch), math.sin(pose.pitch)
    y, h = cp * y - sp * h, sp * y + cp * h
    cy, sy = math.cos(pose.yaw), math.sin(pose.yaw)
    return cy * x - sy * (h - pivot), y, sy * x + cy * (h - pivot) + pivot
