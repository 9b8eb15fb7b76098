"""What a printed or shown picture gives off, as light, and the pattern of dots that it is made of.

A pattern finer than the camera's pixels is not drawn finer: it is evaluated where the camera's pixels lie,
weakened as optics and pixel area weaken its frequency. Moire is what is left of it (Amidror, "The Theory
of the Moire Phenomenon", 2009). Red and blue are seen by every second pixel only: hence coloured moire.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.training.camera import Light, Random, grey_of, to_light
from edge.liveness.training.instruments import Layout, Print, Range, Screen, Screening
from edge.model import Image

Map = npt.NDArray[np.float32]
INK_ANGLES_DEG = (15.0, 75.0, 45.0)  # of the inks that take away red, green, blue: cyan, magenta, yellow
LENS_SIGMA = 0.33  # of a sharp lens, in pixels


@dataclass(frozen=True, slots=True)
class Pattern:
    """Periodic or scattered dots. ``frequency``: cycles per pixel; ``depth``: 0..1 before optics."""

    printed: bool
    layout: Layout
    scattered: bool
    frequency: float
    depth: float
    angle: float


def draw_from(values: Range, rng: Random) -> float:
    """A value from a range, evenly."""
    return float(rng.uniform(*values))


def printed(picture: Image, device: Print, rng: Random) -> tuple[Light, Pattern]:
    """The picture on paper under even white light, with its screening apart."""
    light = to_light(picture)
    gamut = draw_from(device.gamut, rng)
    grey = grey_of(light)
    mixed = cv2.transform(light, _crosstalk(0.5 * (1.0 - gamut), rng))
    light = grey + (np.asarray(mixed, np.float32) - grey) * np.float32(0.5 + gamut / 2)
    tone = float(rng.uniform(0.8, 1.35))  # dot gain darkens the middle tones
    light = np.power(np.clip(light, 0.0, 1.0), np.float32(tone))
    black, white = draw_from(device.black, rng), draw_from(device.paper, rng)
    tint = np.asarray([white * rng.uniform(0.88, 1.03), white, white * rng.uniform(0.98, 1.04)], np.float32)
    light = tint * (black + (1.0 - black) * light)
    grain = draw_from(device.grain, rng)
    if grain:
        fibres = rng.standard_normal(picture.shape[:2], dtype=np.float32)
        fibres = np.asarray(cv2.GaussianBlur(fibres, (0, 0), float(rng.uniform(0.5, 1.5))), np.float32)
        light = light * (1.0 + np.float32(grain) * fibres)[..., None]
    depth = 0.0 if device.screening is Screening.CONTINUOUS else float(rng.uniform(0.3, 1.0))
    scattered = device.screening is Screening.FREQUENCY
    angle = float(rng.uniform(0, np.pi / 2))
    pattern = Pattern(True, Layout.STRIPE, scattered, draw_from(device.frequency, rng), depth, angle)
    return np.asarray(light, np.float32), pattern


def shown(picture: Image, device: Screen, rng: Random) -> tuple[Light, Pattern]:
    """The picture on a screen in the dark, with its sub-pixels apart."""
    light = np.power(to_light(picture), np.float32(draw_from(device.gamma, rng)))
    white = draw_from(device.white, rng)
    grey = grey_of(light)
    light = grey + (light - grey) * np.float32(rng.uniform(0.8, 1.35))  # vivid modes and narrow gamuts
    gains = np.asarray([white, 1.0, 1.0 / white], np.float32) * np.float32(draw_from(device.brightness, rng))
    light = np.maximum(light, 0.0) * gains + np.float32(draw_from(device.glow, rng))
    depth = float(rng.uniform(*device.fill))
    pattern = Pattern(False, device.layout, False, draw_from(device.frequency, rng), depth, 0.0)
    return np.asarray(light, np.float32), pattern


def add_pattern(light: Light, pattern: Pattern, across: Map, down: Map, rng: Random) -> Light:
    """Modulate the light by the dots. ``across``, ``down``: which pixel of the carrier each pixel shows."""
    if not pattern.depth:
        return light
    if pattern.scattered:
        return _scattered(light, pattern, rng)
    level = pattern.depth * _transfer(pattern.frequency)
    if level < 0.002:
        return light
    result = light.copy()
    for channel in range(3):
        u, v = (across, down) if channel == 1 else (across[::2, ::2], down[::2, ::2])
        wave = _inks(pattern, u, v, channel) if pattern.printed else _subpixels(pattern, u, v, channel)
        if channel != 1:
            size = (light.shape[1], light.shape[0])
            wave = np.asarray(cv2.resize(wave, size, interpolation=cv2.INTER_LINEAR), np.float32)
        seen = light[..., channel]
        weight = 4.0 * seen * np.clip(1.0 - seen, 0.0, 1.0) if pattern.printed else seen
        result[..., channel] = seen + np.float32(level) * weight * wave
    return result


def _transfer(frequency: float) -> float:
    """What lens and square pixel leave of a wave."""
    return float(np.exp(-2.0 * (np.pi * frequency * LENS_SIGMA) ** 2) * abs(np.sinc(frequency)) + 0.004)


def _inks(pattern: Pattern, across: Map, down: Map, channel: int) -> Map:
    angle = pattern.angle + np.deg2rad(INK_ANGLES_DEG[2 - channel])
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turn = np.float32(2 * np.pi * pattern.frequency)
    waves = np.cos(turn * (cosine * across + sine * down)) + np.cos(turn * (cosine * down - sine * across))
    return np.asarray(waves * 0.5, np.float32)


def _subpixels(pattern: Pattern, across: Map, down: Map, channel: int) -> Map:
    turn = np.float32(2 * np.pi * pattern.frequency)
    phase = np.float32(2 * np.pi * channel / 3)
    if pattern.layout is Layout.DIAMOND:
        half = np.float32(np.sqrt(0.5))
        across, down = half * (across + down), half * (down - across)
    if pattern.layout is Layout.STRIPE:
        waves = 0.7 * np.cos(turn * across + phase) + 0.3 * np.cos(turn * down)
    elif channel == 1:
        waves = 0.5 * np.cos(turn * across) + 0.5 * np.cos(turn * down)
    else:  # half as many, in rows that alternate
        waves = np.cos(turn * 0.5 * across + phase) * np.cos(turn * 0.5 * down)
    return np.asarray(waves, np.float32)


def _scattered(light: Light, pattern: Pattern, rng: Random) -> Light:
    """Dots without a raster: noise whose size follows from how many dots lie in one pixel."""
    dots = rng.standard_normal(light.shape, dtype=np.float32)
    if pattern.frequency < 1.0:
        dots = np.asarray(cv2.GaussianBlur(dots, (0, 0), 0.4 / pattern.frequency), np.float32)
    level = np.float32(pattern.depth * 0.10 / max(pattern.frequency, 0.5))
    weight = 4.0 * light * np.clip(1.0 - light, 0.0, 1.0)
    return np.asarray(light + level * weight * dots, np.float32)


def _crosstalk(strength: float, rng: Random) -> npt.NDArray[np.float32]:
    """Inks that take away more than the one colour that they should."""
    matrix = np.eye(3) * (1.0 - strength) + strength * rng.dirichlet((1.0, 1.0, 1.0), 3)
    return np.asarray(matrix, np.float32)
