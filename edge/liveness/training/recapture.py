"""Pictures and clips as a camera sees them on a print or a screen: the attacks of the training.

Order of what happens to the light, as in the world: the picture is printed or shown (``surfaces``); the
carrier is held somewhere in a room, tilted, bent or cut; room light and reflections fall on it; a camera
takes it (``camera``). Everything is drawn from the seed. Same size in and out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.liveness.training.camera import GOOD_SHARE, Camera, Light, Random, draw_camera, expose, steadied
from edge.liveness.training.instruments import INSTRUMENTS, Instrument, Print, Screen
from edge.liveness.training.surfaces import Map, Pattern, add_pattern, draw_from, printed, shown
from edge.model import Image

Matrix = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
MIN_SIDE = 32


@dataclass(frozen=True, slots=True)
class Setting:
    """One attack's circumstances. ``pose``: from picture to camera pixels; ``bend``: pixels of depth."""

    device: Instrument
    pose: Matrix
    background: Light
    room: float
    reflection: Light | None
    camera: Camera
    bend: float
    bend_phase: float
    banding: tuple[float, float, float]
    rim: int
    rim_colour: float
    outline: Light | None


def recapture_still(picture: Image, instrument: str, rng: Random) -> Image:
    """One attack picture made of ``picture`` (uint8 [height, width, 3], BGR); the result has its size.

    Raises:
        ValueError: no such instrument, or a picture under 32 pixels.
    """
    return recaptured(picture, instrument, rng)[0]


def recapture_clip(
    frames: Sequence[Image], instrument: str, rng: Random, *, fps: float = 30.0, face: Box | None = None
) -> list[Image]:
    """One attack clip, held in an unsteady hand: a screen replays ``frames``, a print shows the first.

    All frames have one size, which is also the result's. For a photo on a screen give one frame repeated.

    Raises:
        ValueError: no frames, no such instrument, or a picture under 32 pixels.
    """
    if not frames:
        raise ValueError("a clip has at least one frame")
    setting = draw_setting(frames[0], instrument, rng, face)
    sway = hand_motion(len(frames), fps, float(min(frames[0].shape[:2])), rng)
    seed = int(rng.integers(1 << 62))
    result = []
    for number, frame in enumerate(frames):
        source = frames[0] if isinstance(setting.device, Print) else frame
        # What belongs to the carrier stays the same in all frames: the same seed draws it again.
        light, pattern = _surface(source, setting.device, np.random.default_rng(seed))
        light = _on_scene(light, pattern, setting, sway[number] @ setting.pose, number / fps, rng)
        result.append(expose(light, steadied(setting.camera, rng), rng))
    return result


def recaptured(
    picture: Image, instrument: str, rng: Random, *, face: Box | None = None, good_cameras: float = GOOD_SHARE
) -> tuple[Image, Matrix]:
    """As ``recapture_still``, and the map [3, 3] from the picture's pixels to the result's.

    ``face``: x, y, width, height of the face, along which a cut-out is cut; None: the middle.
    ``good_cameras``: share of cameras that hardly show.
    """
    setting = draw_setting(picture, instrument, rng, face, good_cameras)
    light, pattern = _surface(picture, setting.device, rng)
    light = _on_scene(light, pattern, setting, setting.pose, 0.0, rng)
    return expose(light, setting.camera, rng), setting.pose


def moved(box: Box, pose: Matrix) -> Box:
    """The box about a box that a map [3, 3] has moved."""
    x, y, across, down = box
    middle = np.array([[[x + across / 2, y + down / 2]], [[x, y + down / 2]], [[x + across, y + down / 2]]])
    centre, left, right = cv2.perspectiveTransform(middle, pose)[:, 0]
    scale = float(np.hypot(*(right - left))) / across
    wide, tall = across * scale, down * scale
    return float(centre[0] - wide / 2), float(centre[1] - tall / 2), wide, tall


def draw_setting(
    picture: Image, instrument: str, rng: Random, face: Box | None = None, good_cameras: float = GOOD_SHARE
) -> Setting:
    """Draw how, where and under which light the carrier is held, and the camera.

    Raises:
        ValueError: no such instrument, or a picture under 32 pixels.
    """
    if instrument not in INSTRUMENTS:
        raise ValueError(f"no instrument is called {instrument!r}")
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError("a picture of at least 32 pixels is needed")
    device = INSTRUMENTS[instrument]
    screen = isinstance(device, Screen)
    rim = device.bezel if isinstance(device, Screen) else device.margin
    room = float(rng.uniform(0.05, 0.7) if screen else rng.uniform(0.35, 1.1))
    reflection = None
    strength = draw_from(device.reflection if isinstance(device, Screen) else device.gloss, rng)
    if strength > 0.02 and rng.random() < 0.6:
        reflection = _reflection((height, width), strength * room, rng)
    cut = isinstance(device, Print) and device.cut
    return Setting(
        device=device,
        pose=_pose((height, width), draw_from(device.size, rng), rng),
        background=_room_behind((height, width), rng) * np.float32(room),
        room=room,
        reflection=reflection,
        camera=draw_camera(rng, good_cameras),
        bend=0.0 if isinstance(device, Screen) else draw_from(device.bend, rng) * width,
        bend_phase=float(rng.uniform(0, 2 * np.pi)),
        banding=_banding(device, height, rng),
        rim=int(draw_from(rim, rng) * width),
        rim_colour=float(rng.choice((0.01, 0.03, 0.5)) if screen else 0.85),
        outline=_outline((height, width), face, rng) if cut else None,
    )


def hand_motion(count: int, fps: float, size: float, rng: Random) -> list[Matrix]:
    """Small moves of a hand [3, 3] per frame: slow sway and the tremor of 4 to 10 Hz (Lakie, 2010)."""
    at = np.arange(count) / fps
    waves = np.zeros((4, count))
    for row, scale in enumerate((0.02, 0.02, 0.015, 0.02)):
        for low, high, share in ((0.1, 0.8, 1.0), (4.0, 10.0, 0.04)):
            amplitude = scale * share * rng.uniform(0.2, 1.6)
            phase = 2 * np.pi * (rng.uniform(low, high) * at + rng.random())
            waves[row] += amplitude * np.sin(phase)
    matrices = []
    for x, y, roll, zoom in waves.T - waves.T[0]:
        cosine, sine = (1 + zoom) * np.cos(roll), (1 + zoom) * np.sin(roll)
        matrices.append(np.array([[cosine, -sine, x * size], [sine, cosine, y * size], [0, 0, 1]]))
    return matrices


def _surface(picture: Image, device: Instrument, rng: Random) -> tuple[Light, Pattern]:
    return printed(picture, device, rng) if isinstance(device, Print) else shown(picture, device, rng)


def _on_scene(  # noqa: PLR0917
    light: Light, pattern: Pattern, setting: Setting, pose: Matrix, at: float, rng: Random
) -> Light:
    """The carrier before its background, as light at the camera's pixels."""
    height, width = light.shape[:2]
    across, down = _looks_at((height, width), pose, setting.bend, setting.bend_phase)
    rim = setting.rim
    if rim:
        edge = (setting.rim_colour * (setting.room if isinstance(setting.device, Screen) else 1.0),) * 3
        light = np.asarray(cv2.copyMakeBorder(light, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=edge))
    drawn = np.asarray(cv2.remap(light, across + rim, down + rim, cv2.INTER_LINEAR), np.float32)
    inside = (np.minimum(across, down) > -rim) & (across < width + rim - 1) & (down < height + rim - 1)
    cover = inside.astype(np.float32)
    if setting.outline is not None:
        cover = cover * cv2.remap(setting.outline, across, down, cv2.INTER_LINEAR)
    cover = np.asarray(cv2.blur(cover, (2, 2)), np.float32)[..., None]
    drawn = add_pattern(drawn, pattern, across, down, rng)
    if isinstance(setting.device, Print):
        slope = np.cos(2 * np.pi * across / width + setting.bend_phase) * np.float32(setting.bend / width)
        drawn = drawn * (np.float32(setting.room) * (1.0 + 3.0 * slope))[..., None]
    depth, period, speed = setting.banding
    if depth:
        rows = np.arange(height, dtype=np.float32)[:, None, None]
        wave = np.cos(2 * np.pi * (rows / np.float32(period) + speed * at)).astype(np.float32)
        drawn = drawn * (1.0 + np.float32(depth) * wave)
    if setting.reflection is not None:
        drawn = drawn + setting.reflection
    return np.asarray(setting.background + cover * (drawn - setting.background), np.float32)


def _looks_at(size: tuple[int, int], pose: Matrix, bend: float, phase: float) -> tuple[Map, Map]:
    """For each pixel of the camera the pixel of the carrier."""
    height, width = size
    inverse = np.linalg.inv(pose).astype(np.float32)
    columns = np.arange(width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    below = inverse[2, 0] * columns + inverse[2, 1] * rows + inverse[2, 2]
    across = (inverse[0, 0] * columns + inverse[0, 1] * rows + inverse[0, 2]) / below
    down = (inverse[1, 0] * columns + inverse[1, 1] * rows + inverse[1, 2]) / below
    if bend:
        turn = across * np.float32(2 * np.pi / width) + np.float32(phase)
        down = down + np.float32(0.25 * bend) * np.sin(turn)
        across = across + np.float32(0.35 * bend) * np.cos(turn)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _pose(size: tuple[int, int], scale: float, rng: Random) -> Matrix:
    """A random view of a flat carrier, its middle near the picture's middle."""
    height, width = size
    middle = np.array((width / 2, height / 2))
    unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    corners = unit * middle
    angle = np.deg2rad(rng.normal(0.0, 5.0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    seen = corners @ turn * scale
    tilt = rng.normal(0.0, 0.07, 2)
    seen = seen / (1.0 + unit @ tilt)[:, None]
    spare = max(0.0, 1.0 - scale) + 0.1
    seen += middle + rng.uniform(-0.3, 0.3, 2) * spare * (width, height)
    source = (corners + middle).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, seen.astype(np.float32)), np.float64)


def _room_behind(size: tuple[int, int], rng: Random) -> Light:
    """An office or a wall out of focus, lit at full: soft colours, straight edges, some furniture."""
    height, width = size
    cells = rng.uniform(0.1, 0.8) + rng.normal(0, 0.12, (int(rng.integers(2, 7)), int(rng.integers(2, 7)), 3))
    cells = 0.7 * cells.mean(axis=2, keepdims=True) + 0.3 * cells
    room = np.asarray(cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    for _ in range(int(rng.integers(0, 7))):
        (left, right), (top, bottom) = (np.sort(rng.integers(0, end, 2)) for end in (width, height))
        grey = rng.uniform(0.02, 0.9)
        room[top:bottom, left:right] = np.asarray(grey + rng.normal(0, 0.06, 3), np.float32)
    if rng.random() < 0.5:  # a hand, an arm or the person who holds it
        skin = np.asarray((0.12, 0.2, 0.38), np.float32) * np.float32(rng.uniform(0.3, 1.6))
        where = (int(rng.integers(0, width)), int(height * rng.uniform(0.6, 1.0)))
        axes = (int(width * rng.uniform(0.08, 0.3)), int(height * rng.uniform(0.1, 0.5)))
        colour = tuple(float(value) for value in skin)
        cv2.ellipse(room, where, axes, float(rng.uniform(-40, 40)), 0, 360, colour, -1)
    room = np.asarray(cv2.GaussianBlur(room, (0, 0), float(rng.uniform(0.6, 4.0))), np.float32)
    return np.asarray(np.square(np.clip(room, 0.0, 1.0)), np.float32)


def _reflection(size: tuple[int, int], strength: float, rng: Random) -> Light:
    """Windows and lamps mirrored in glass or gloss: soft, bright, of their own colour."""
    small = np.zeros((24, 32, 3), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        left, top = int(rng.integers(0, 28)), int(rng.integers(0, 20))
        colour = np.asarray(1.0 + rng.normal(0, 0.1, 3), np.float32)
        small[top : top + int(rng.integers(2, 10)), left : left + int(rng.integers(2, 12))] = colour
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), float(rng.uniform(0.5, 3.0))), np.float32)
    large = cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large * np.float32(strength), np.float32)


def _banding(device: Instrument, height: int, rng: Random) -> tuple[float, float, float]:
    """Depth, period in rows, cycles per second of the stripes; rows are read one after another."""
    if not isinstance(device, Screen) or rng.random() < 0.4:
        return 0.0, 1.0, 0.0
    return draw_from(device.banding, rng), float(rng.uniform(0.15, 1.5) * height), float(rng.uniform(-8, 8))


def _outline(size: tuple[int, int], face: Box | None, rng: Random) -> Light:
    """1 where a cut-out face is paper, 0 beside it and in the holes for the eyes."""
    height, width = size
    x, y, across, down = face or (width * 0.3, height * 0.25, width * 0.4, height * 0.5)
    paper = np.zeros(size, np.float32)
    middle = (int(x + across / 2), int(y + down * 0.47))
    wide, tall = float(rng.uniform(0.5, 0.75)), float(rng.uniform(0.55, 0.8))
    cv2.ellipse(paper, middle, (int(across * wide), int(down * tall)), 0, 0, 360, 1.0, -1)
    if rng.random() < 0.6:
        hole = (max(1, int(across * rng.uniform(0.07, 0.12))), max(1, int(down * rng.uniform(0.03, 0.06))))
        for share in (0.3, 0.7):
            cv2.ellipse(paper, (int(x + across * share), int(y + down * 0.4)), hole, 0, 0, 360, 0.0, -1)
    return paper
