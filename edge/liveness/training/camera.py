"""A cheap camera: what is between the light of a scene and the picture that arrives.

Live faces and attacks go through the same cameras, drawn from the same ranges: a network that could tell
them by blur, noise or compression would learn nothing about attacks (Jia et al., 2020, on domain shift).
Light is linear float32 [height, width, 3], BGR, 1.0 is where the sensor is full before exposure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from edge.model import Image

Light = npt.NDArray[np.float32]
Random = np.random.Generator

_TO_LIGHT = np.square(np.arange(256, dtype=np.float32) / 255.0)
GOOD_SHARE = 0.4  # of all cameras
NOISE_TILE = 256


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera with its settings. Lengths in pixels; ``balance``: gains of blue, green and red.

    ``target``: mean of the picture that auto exposure aims at, None where exposure is fixed at ``gain``.
    ``scale``: share of the size at which the sensor really sees; ``quality``: of JPEG, 0 for none.
    """

    target: float | None
    gain: float
    balance: tuple[float, float, float]
    defocus: float
    shake: tuple[float, float]
    shot: float
    read: float
    denoise: float
    sharpen: float
    contrast: float
    saturation: float
    scale: float
    quality: int
    soften: float


def draw_camera(rng: Random, good: float = GOOD_SHARE) -> Camera:
    """A camera from a wide range: from a good one in daylight to a webcam in a dim room.

    ``good``: the share of cameras that hardly show.
    """
    if rng.random() < good:
        return _good_camera(rng)
    dim = rng.random() < 0.3
    return Camera(
        target=rng.uniform(0.28, 0.58) if rng.random() < 0.8 else None,
        gain=float(rng.uniform(0.6, 1.5)),
        balance=(float(rng.uniform(0.78, 1.25)), 1.0, float(rng.uniform(0.78, 1.25))),
        defocus=float(rng.choice((0.0, 0.5, 0.8, 1.2, 2.0), p=(0.3, 0.3, 0.2, 0.13, 0.07))),
        shake=(float(rng.uniform(2, 7)), float(rng.uniform(0, np.pi))) if rng.random() < 0.12 else (0.0, 0.0),
        shot=float(rng.uniform(0.0, 0.045 if dim else 0.02)),
        read=float(rng.uniform(0.0, 0.02 if dim else 0.006)),
        denoise=float(rng.uniform(0.4, 1.3)) if rng.random() < 0.5 else 0.0,
        sharpen=float(rng.uniform(0.2, 1.6)) if rng.random() < 0.5 else 0.0,
        contrast=float(rng.uniform(0.8, 1.25)),
        saturation=float(rng.uniform(0.6, 1.35)),
        scale=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.4 else 1.0,
        quality=int(rng.integers(25, 97)) if rng.random() < 0.85 else 0,
        soften=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.35 else 0.0,
    )


def _good_camera(rng: Random) -> Camera:
    """One that hardly shows."""
    return Camera(
        target=None,
        gain=float(rng.uniform(0.9, 1.15)),
        balance=(float(rng.uniform(0.95, 1.06)), 1.0, float(rng.uniform(0.95, 1.06))),
        defocus=0.0,
        shake=(0.0, 0.0),
        shot=float(rng.uniform(0.0, 0.006)),
        read=float(rng.uniform(0.0, 0.002)),
        denoise=0.0,
        sharpen=float(rng.uniform(0.0, 0.4)),
        contrast=float(rng.uniform(0.95, 1.08)),
        saturation=float(rng.uniform(0.9, 1.1)),
        scale=1.0,
        quality=int(rng.integers(80, 98)),
        soften=0.0,
    )


def to_light(picture: Image) -> Light:
    """The light that a picture stands for, by a gamma of 2.

    Real transfer curves differ more between cameras than this does from any of them.
    """
    light: Light = _TO_LIGHT[picture]
    return light


def grey_of(light: Light) -> Light:
    """Mean of the three channels, [height, width, 1]."""
    return np.asarray(cv2.transform(light, np.full((1, 3), 1 / 3, np.float32)), np.float32)[..., None]


def expose(light: Light, camera: Camera, rng: Random) -> Image:
    """Take the picture: optics, sensor, the camera's own processing, compression."""
    height, width = light.shape[:2]
    if camera.scale < 1.0:
        size = (max(16, int(width * camera.scale)), max(16, int(height * camera.scale)))
        light = np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), np.float32)
    light = _through_lens(light, camera)
    gain = camera.gain
    if camera.target is not None:
        mean = float(np.sqrt(np.maximum(light[::4, ::4], 0.0)).mean())
        gain = min(6.0, (camera.target / max(mean, 1e-3)) ** 2)
    light = light * np.asarray([gain * share for share in camera.balance], np.float32)
    picture = _processed(_with_noise(light, camera, rng), camera)
    if camera.scale < 1.0:
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    coded = np.clip(picture * 255.0 + 0.5, 0, 255).astype(np.uint8)
    if camera.quality:
        _, data = cv2.imencode(".jpg", coded, (cv2.IMWRITE_JPEG_QUALITY, camera.quality))
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if decoded is None:
            raise RuntimeError("a picture that was just encoded cannot be decoded")
        coded = np.asarray(decoded, np.uint8)
    if camera.soften:  # a video codec's filter against blocks
        coded = np.asarray(cv2.GaussianBlur(coded, (0, 0), camera.soften), np.uint8)
    return np.asarray(coded, np.uint8)


def film_still(picture: Image, rng: Random) -> Image:
    """A live face as such a camera would see it: uint8, the same size."""
    return expose(to_light(picture), draw_camera(rng), rng)


def film_clip(frames: Iterable[Image], rng: Random) -> list[Image]:
    """The same for the frames of one clip: one camera, fresh noise."""
    camera = draw_camera(rng)
    return [expose(to_light(frame), steadied(camera, rng), rng) for frame in frames]


def steadied(camera: Camera, rng: Random) -> Camera:
    """The camera for the next frame: exposure hunts a little."""
    if camera.target is None:
        return camera
    return replace(camera, target=camera.target * float(rng.normal(1.0, 0.006)))


def _through_lens(light: Light, camera: Camera) -> Light:
    if camera.defocus:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), camera.defocus), np.float32)
    length, angle = camera.shake
    if length:
        side = int(length) | 1
        kernel = np.zeros((side, side), np.float32)
        reach = np.array([np.cos(angle), np.sin(angle)]) * (side // 2)
        middle = side // 2
        ends = [tuple(int(value) for value in np.rint(middle + sign * reach)) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1)
        light = np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum()), np.float32)
    return light


def _with_noise(light: Light, camera: Camera, rng: Random) -> Light:
    """Shot and read noise; demosaicing spreads part of it over neighbours."""
    if not camera.shot and not camera.read:
        return light
    height, width = light.shape[:2]
    noise = rng.standard_normal((min(height, NOISE_TILE), min(width, NOISE_TILE), 3), dtype=np.float32)
    if noise.shape[:2] != (height, width):  # a larger picture repeats the tile, which nothing here looks at
        noise = np.tile(noise, (-(-height // NOISE_TILE), -(-width // NOISE_TILE), 1))[:height, :width]
    noise[..., ::2] = cv2.blur(noise[..., ::2], (2, 2)) * 1.6
    spread = np.sqrt(np.maximum(light, 0.0)) * camera.shot + camera.read
    return np.asarray(light + spread * noise, np.float32)


def _processed(light: Light, camera: Camera) -> Light:
    """What the camera does with the sensor's values: tones, noise filter, sharpening, colour; 0..1."""
    picture = np.sqrt(np.clip(light, 0.0, 1.0))
    if camera.denoise:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), camera.denoise), np.float32)
    if camera.sharpen:
        picture = picture + camera.sharpen * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
    if camera.saturation != 1.0:
        grey = grey_of(picture)
        picture = grey + camera.saturation * (picture - grey)
    return np.asarray((picture - 0.5) * camera.contrast + 0.5, np.float32)
