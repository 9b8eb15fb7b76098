"""A phone, tablet or monitor that plays a video before the camera.

What tells it from the person it shows: sub-pixels that beat against the sensor's pixels (moire), back light
that beats against the rolling shutter (bands), gamma and white point of its own, a frame around the picture,
a front glass that mirrors the room and the screen before it, video that was compressed once and comes at its
own rate, and that all of it lies in one plane. The lamp's colour reaches the glass and not the face inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from verifield_sim.camera.figures import Moment, over
from verifield_sim.camera.lamp import GAMMA, REFERENCE_MM, SHADE, Beam, Colour
from verifield_sim.camera.optics import FOCAL_PX, HEIGHT, WIDTH, Field, Image, Pose

DisplayKind = Literal["phone", "tablet", "monitor"]
DEVICES: tuple[DisplayKind, ...] = ("phone", "tablet", "monitor")


class Video(Protocol):
    """What a display plays: the face's middle in the middle, 84 pixels between the eyes."""

    def show(self, prompt: str, now: float) -> None: ...

    def light(self, colour: Colour | None, now: float) -> None: ...

    def frame(self, now: float) -> Image: ...


_EYES_PX = 84.0  # between the eyes in the video
_SENSOR_WIDTH = (1280, 1920)  # pixels across before the camera scales its picture down
_CELL = 24  # raster of one pixel of the display


@dataclass(frozen=True, slots=True)
class _Make:
    """Ranges of a kind of display: lengths in mm, ``eyes_px`` between the eyes in the camera's picture."""

    width: tuple[float, float]
    height: tuple[float, float]
    bezel: tuple[float, float]
    pitch: tuple[float, float]
    distance: tuple[float, float]
    eyes_px: tuple[float, float]
    haze: tuple[float, float]  # diffuse share of the front: next to nothing on glass, more on a matte film


_MAKES: dict[DisplayKind, _Make] = {
    "phone": _Make((66, 76), (140, 160), (2, 5), (0.054, 0.075), (190, 270), (62, 80), (0.002, 0.006)),
    "tablet": _Make((195, 245), (150, 175), (8, 16), (0.090, 0.125), (300, 420), (66, 88), (0.002, 0.008)),
    "monitor": _Make((470, 600), (265, 340), (8, 22), (0.230, 0.290), (450, 640), (66, 88), (0.010, 0.030)),
}


class Display:
    """Implements ``figures.Figure`` around a video."""

    def __init__(self, kind: DisplayKind, video: Video, room: Image, seed: int) -> None:
        make = _MAKES[kind]
        rng = np.random.default_rng([seed, 14])
        self._video = video
        self.held = kind != "monitor"
        # Held or set up at a slant, for whoever does it does not measure: pitch and yaw.
        self.slant = float(rng.uniform(-0.18, 0.18)), float(rng.uniform(-0.15, 0.15))
        self.distance = float(rng.uniform(*make.distance))
        eyes = float(rng.uniform(*make.eyes_px))
        self._mm_per_px = self.distance * eyes / (FOCAL_PX * _EYES_PX)
        self._cut, self._frame, self._panel = _panel(make, self._mm_per_px, rng)
        self._tone = _tone(rng)
        self._rate = float(rng.choice([24.0, 25.0, 30.0]))
        self._quality = int(rng.integers(60, 95))
        self._blur = float(rng.uniform(0.3, 0.9) if kind == "phone" else rng.uniform(0.2, 0.6))
        self._pitch = float(rng.uniform(*make.pitch))
        self._cell = _cell(self._pitch, self.distance, rng)
        self._bands = [float(rng.uniform(*span)) for span in ((0.0, 0.03), (0.8, 6.0), (0.2, 9.0))]
        self._haze = float(rng.uniform(*make.haze))
        self._mirror = _mirrored(room, rng)
        # How far a matte film spreads what it mirrors, in shading pixels.
        self._soft = 1.0 + 60.0 * self._haze

    def show(self, prompt: str, now: float) -> None:
        """A puppet in the video follows; the device itself does not."""
        self._video.show(prompt, now)

    def light(self, colour: Colour | None, now: float) -> None:
        """Who plays the video sees the screen; the device itself only mirrors it."""
        self._video.light(colour, now)

    def onto(self, picture: Image, moment: Moment) -> Image:
        shown = self._screen(moment.now)
        to_camera = self._homography(moment.pose)
        seen = cv2.warpPerspective(shown, to_camera, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        # Another lens's depth of field: the device is nearer than what the camera was focused on.
        seen = cv2.GaussianBlur(seen, (0, 0), self._blur)
        cover = cv2.extractChannel(seen, 3).astype(np.float32) / 255.0
        emitted = cv2.cvtColor(seen, cv2.COLOR_BGRA2BGR)
        lit = cv2.multiply(emitted, self._pixels(to_camera, moment.now), dtype=cv2.CV_32F)
        lit = cv2.add(lit, self._glare(moment), dtype=cv2.CV_8U)
        return over(lit.astype(np.uint8, copy=False), cover, picture)

    def _screen(self, now: float) -> Image:
        """The display's own picture with its frame, BGR and cover."""
        frame = self._video.frame(math.floor(now * self._rate) / self._rate)
        packed = cv2.imencode(".jpg", frame, (cv2.IMWRITE_JPEG_QUALITY, self._quality))[1]
        unpacked = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        rows, cols = self._cut
        inner = cv2.LUT(unpacked[rows, cols], self._tone)
        top, left = self._frame
        self._panel[top : top + inner.shape[0], left : left + inner.shape[1], :3] = inner
        return self._panel

    def _homography(self, pose: Pose) -> Image:
        """From the panel's pixels to the camera's, for its four corners."""
        height, width = self._panel.shape[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        placed = (corners - np.array([width / 2, height / 2], np.float32)) * self._mm_per_px
        seen = np.array([_projected(float(x), float(y), pose) for x, y in placed], np.float32)
        return cv2.getPerspectiveTransform(corners - 0.5, seen)  # type: ignore[return-value]

    def _pixels(self, to_camera: Image, now: float) -> Field:
        """What the beat of sub-pixels and sensor, and the back light, make of each place.

        Returns float32 [480, 640, 3] around 1.
        """
        back = np.linalg.inv(to_camera.astype(np.float64))
        cols = (np.arange(WIDTH // SHADE) + 0.5) * SHADE - 0.5
        rows = (np.arange(HEIGHT // SHADE) + 0.5) * SHADE - 0.5
        x, y = np.meshgrid(cols, rows)
        depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
        scale = self._mm_per_px / self._pitch * _CELL
        u = ((back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth * scale).astype(np.float32)
        v = ((back[1, 0] * x + back[1, 1] * y + back[1, 2]) / depth * scale).astype(np.float32)
        # cv2.remap takes up to 32767: which pixel of the display it is does not matter, only where in it.
        fine_u, fine_v = (_within(cv2.resize(part, (WIDTH, HEIGHT))) for part in (u, v))
        beat = cv2.remap(
            self._cell,
            fine_u,
            fine_v,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_WRAP,
        )
        size, waves, rate = self._bands
        places = np.arange(HEIGHT, dtype=np.float32) / HEIGHT
        bands = 1.0 + size * np.sin(2 * np.pi * (waves * places + rate * now))
        return np.asarray(beat * bands.astype(np.float32)[:, None, None], np.float32)

    def _glare(self, moment: Moment) -> Field:
        """What the front glass adds: the room behind the camera, and the screen beside it."""
        glare = self._mirror
        if moment.beam is not None:
            glare = glare + self._screen_in_glass(moment.pose, moment.beam)
        return np.asarray(cv2.resize(glare, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), np.float32)

    def _screen_in_glass(self, pose: Pose, beam: Beam) -> Field:
        """The lamp's mirror image, at twice the distance, and the little that the front scatters."""
        luminance = beam.rows * (np.pi * REFERENCE_MM**2 / (beam.size[0] * beam.size[1]))
        x, y, z = _mirrored_point(beam.position, pose)
        scale = FOCAL_PX / z / SHADE
        centre = x * scale + WIDTH / 2 / SHADE, y * scale + HEIGHT / 2 / SHADE
        half = beam.size[0] / 2 * scale, beam.size[1] / 2 * scale
        shape = np.zeros((HEIGHT // SHADE, WIDTH // SHADE), np.float32)
        corners = [(round(centre[0] + side * half[0]), round(centre[1] + side * half[1])) for side in (-1, 1)]
        cv2.rectangle(shape, corners[0], corners[1], 1.0, -1)
        shape = cv2.GaussianBlur(shape, (0, 0), self._soft).astype(np.float32)
        mirrored = 0.04 * shape[..., None] * luminance[:, None, :]  # Fresnel, straight on
        scattered = self._haze * (REFERENCE_MM / pose.z) ** 2 * beam.rows[:, None, :]
        # Added light over a mid-grey of 0.25, encoded.
        return np.asarray((mirrored + scattered) * (255.0 / GAMMA * 0.25 ** (1.0 / GAMMA - 1.0)), np.float32)


def _panel(
    make: _Make, mm_per_px: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice], tuple[int, int], Image]:
    """Which part of the video is seen, where it lies on the panel, and the dark panel with its frame."""
    width = round(float(rng.uniform(*make.width)) / mm_per_px)
    height = round(float(rng.uniform(*make.height)) / mm_per_px)
    bezel = max(2, round(float(rng.uniform(*make.bezel)) / mm_per_px))
    cols, rows = min(width, WIDTH), min(height, HEIGHT)
    cut = (
        slice((HEIGHT - rows) // 2, (HEIGHT - rows) // 2 + rows),
        slice((WIDTH - cols) // 2, (WIDTH - cols) // 2 + cols),
    )
    panel = np.zeros((height + 2 * bezel + 2, width + 2 * bezel + 2, 4), np.uint8)
    tone = int(rng.integers(12, 60)) if rng.random() < 0.8 else int(rng.integers(150, 220))
    panel[1:-1, 1:-1] = (tone, tone, tone, 255)
    panel[1 + bezel : -1 - bezel, 1 + bezel : -1 - bezel, :3] = (14, 12, 12)  # a black that shines a little
    at = 1 + bezel + (height - rows) // 2, 1 + bezel + (width - cols) // 2
    return cut, at, panel


def _tone(rng: np.random.Generator) -> Image:
    """Gamma, white point, brightness and the back light's black, as a table for BGR."""
    levels = np.arange(256) / 255.0
    gamma, bright, black = rng.uniform(0.88, 1.15), rng.uniform(0.85, 1.05), rng.uniform(0.005, 0.04)
    white = np.array([rng.uniform(0.98, 1.10), 1.0, rng.uniform(0.92, 1.02)])
    table = (black + (1 - black) * levels[:, None] ** gamma) * bright * white
    return np.asarray(np.clip(np.round(table * 255), 0, 255).reshape(1, 256, 3), np.uint8)


def _cell(pitch: float, distance: float, rng: np.random.Generator) -> Field:
    """One pixel of the display as the sensor's pixels average it: float32 [cell, cell, 3] around 1.

    Three stripes, a third of the pitch wide. Their first harmonic passes lens and aperture of the sensor
    in part, and what is left beats against the sensor's raster; a beat finer than the scaled picture is lost.
    """
    sensor = float(rng.choice(_SENSOR_WIDTH))
    per_pixel = distance / (FOCAL_PX * sensor / WIDTH) / pitch  # cycles per sensor pixel
    beat = abs(per_pixel - round(per_pixel)) * sensor / WIDTH  # cycles per pixel of the picture
    lens = max(0.0, 1.0 - per_pixel / float(rng.uniform(2.0, 3.0))) ** 1.5
    size = 1.65 * lens * abs(float(np.sinc(per_pixel))) * abs(float(np.sinc(beat)))
    size = min(size, 0.07)
    phase = 2 * np.pi * np.arange(_CELL) / _CELL
    stripes = np.stack([np.cos(phase - 2 * np.pi * place / 3) for place in (2, 1, 0)], axis=-1)
    lines = 0.4 * np.cos(phase)
    return np.asarray(1.0 + size * (stripes[None, :, :] + lines[:, None, None]), np.float32)


def _mirrored(room: Image, rng: np.random.Generator) -> Field:
    """What the glass shows of the room behind the camera: float32 [120, 160, 3], levels to add."""
    small = cv2.resize(cv2.flip(room, 1), (WIDTH // SHADE, HEIGHT // SHADE), interpolation=cv2.INTER_AREA)
    mirror = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 3.0) * float(rng.uniform(0.005, 0.04))
    if rng.random() < 0.6:  # a lamp or a window
        spot = np.zeros(mirror.shape[:2], np.float32)
        centre = int(rng.integers(20, 140)), int(rng.integers(10, 110))
        cv2.ellipse(spot, centre, (int(rng.integers(4, 18)), int(rng.integers(3, 12))), 0, 0, 360, 1.0, -1)
        spot = cv2.GaussianBlur(spot, (0, 0), float(rng.uniform(1.0, 4.0))).astype(np.float32)
        mirror = mirror + spot[..., None] * float(rng.uniform(15, 70))
    return np.asarray(mirror, np.float32)


def _within(places: npt.NDArray[np.floating]) -> Field:
    """Places in one cell, of places in many; numpy's remainder of floats takes three times as long."""
    return np.asarray(places - np.floor(places * (1.0 / _CELL)) * _CELL, np.float32)


def _projected(x: float, y: float, pose: Pose) -> tuple[float, float]:
    """A point of the subject's plane in the picture: the rays of ``optics``, the other way round."""
    h = -math.sin(pose.yaw) * x
    x = math.cos(pose.yaw) * x
    y, h = (
        math.cos(pose.pitch) * y + math.sin(pose.pitch) * h,
        math.cos(pose.pitch) * h - math.sin(pose.pitch) * y,
    )
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    x, y = cr * x - sr * y + pose.x, sr * x + cr * y + pose.y
    depth = max(pose.z - h, 1.0)
    return FOCAL_PX * x / depth + WIDTH / 2, FOCAL_PX * y / depth + HEIGHT / 2


def _mirrored_point(point: tuple[float, float, float], pose: Pose) -> tuple[float, float, float]:
    """A point behind the mirror that the plane of ``pose`` is."""
    normal = np.array(
        [
            math.sin(pose.yaw),
            math.sin(pose.pitch) * math.cos(pose.yaw),
            -math.cos(pose.pitch) * math.cos(pose.yaw),
        ]
    )
    at = np.array(point) - np.array([pose.x, pose.y, pose.z])
    x, y, z = np.array(point) - 2.0 * float(at @ normal) * normal
    return float(x), float(y), max(float(z), 50.0)
