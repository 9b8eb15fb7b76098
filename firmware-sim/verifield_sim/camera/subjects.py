"""What can stand before the camera: a head with depth, a paper print, and the room behind both."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from verifield_sim.camera.cutout import Box, cut_out
from verifield_sim.camera.optics import HEIGHT, WIDTH, Field, Image, Relief

FACE_BOX_MM = 140.0  # a found face box is about as wide as a face with its ears

# Proportions of a face inside the found box (share of its height), and the head behind it in mm.
_EYES_FROM_TOP = 0.377
_NOSE_BELOW_EYES, _MOUTH_BELOW_EYES, _CHIN_BELOW_EYES = 31.0, 52.0, 100.0
_HEAD_HALF_WIDTH, _HEAD_HALF_HEIGHT, _HEAD_HALF_DEPTH = 80.0, 130.0, 92.0
_HEAD_CENTRE = -88.0  # behind the plane of the eyes
_NECK_AXIS = -90.0
_MOUTH_INSIDE = (36.0, 30.0, 62.0)
_TWIST = (108.0, 90.0)  # the neck takes up the turn below the chin; the chest stays

_HEIGHT_RASTER_MM, _HEIGHT_RASTER = 2.5, 257  # +-320 mm
_WORK_PX_PER_MM = 1.6  # a little finer than the picture at arm's length


def head(portrait: Image, box: Box) -> Relief:
    """A head-and-shoulders figure whose front looks like ``portrait`` (BGR), face at ``box``."""
    texture, mm_per_px, origin = _rescaled(portrait, box)
    size = (texture.shape[1], texture.shape[0])
    cover = cv2.resize(cut_out(portrait, box), size, interpolation=cv2.INTER_CUBIC)
    four = _u8(np.dstack([texture, cover]))
    if (missing := round(origin[1] + 360 / mm_per_px) - four.shape[0]) > 0:
        four = _u8(cv2.copyMakeBorder(four, 0, missing, 0, 0, cv2.BORDER_REPLICATE))
    return Relief(four, head_height(), origin, mm_per_px, _HEIGHT_RASTER_MM, _NECK_AXIS, _TWIST)


def closed_eyes(figure: Relief, eye_distance_mm: float = 60.0) -> Image:
    """The figure's texture with its lids down: the skin around the eyes drawn over them."""
    eyes = np.zeros(figure.texture.shape[:2], np.uint8)
    for side in (-0.5, 0.5):
        centre = (
            round(figure.origin[0] + side * eye_distance_mm / figure.mm_per_px),
            round(figure.origin[1]),
        )
        axes = (round(14 / figure.mm_per_px), round(6 / figure.mm_per_px))
        cv2.ellipse(eyes, centre, axes, 0, 0, 360, 255, -1)
    lids = cv2.inpaint(np.ascontiguousarray(figure.texture[..., :3]), eyes, 3, cv2.INPAINT_TELEA)
    return _u8(np.dstack([lids, figure.texture[..., 3]]))


def half_closed_eyes(figure: Relief, closed: Image) -> Image:
    """The texture with its lids half-way down. ``closed``: as ``closed_eyes`` gives it."""
    texture = figure.texture.copy()
    row = round(figure.origin[1])  # of the pupils
    texture[:row] = closed[:row]
    return texture


def jaw_down(figure: Relief, texture: Image, opening_mm: float) -> tuple[slice, slice, Image]:
    """The part of ``texture`` that changes when the jaw sinks by ``opening_mm``, and where it lies.

    The skin below the lips goes down, least towards the neck and the corners of the mouth; behind the lips
    it is dark. The wider the mouth, the more of lip and chin goes down as one: the jaw is a bone.
    """
    px = 1.0 / figure.mm_per_px
    wide, reach = 13.0 + 0.6 * opening_mm, 44.0 + 1.5 * opening_mm
    centre_x, line = figure.origin[0], figure.origin[1] + _MOUTH_BELOW_EYES * px
    rows = slice(round(line - 4 * px), round(line + 92 * px))  # of the widest mouth
    right = min(texture.shape[1], round(centre_x + 80 * px))
    cols = slice(max(0, round(centre_x - 80 * px)), right)
    y, x = np.mgrid[rows, cols].astype(np.float32)
    across = np.exp(-0.5 * ((x - centre_x) / (wide * px)) ** 2)
    down = np.clip((y - line) / px, 0, None)
    shift = opening_mm * px * across * np.clip(1.0 - down / reach, 0.0, 1.0)
    source = np.where(y >= line, np.maximum(y - shift, line), y).astype(np.float32)
    moved = cv2.remap(texture, x, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap = np.clip((shift - (y - line)) / px, 0.0, 1.0) * (y >= line)
    dark = np.clip(cv2.GaussianBlur(gap.astype(np.float32), (0, 0), 0.8), 0.0, 1.0)[..., None]
    moved[..., :3] = moved[..., :3] * (1.0 - dark) + np.array(_MOUTH_INSIDE) * dark
    return rows, cols, _u8(moved)


def paper_print(portrait: Image, box: Box, rng: np.random.Generator, *, bend_mm: float = 0.0) -> Relief:
    """A printed photograph with a white border; ``bend_mm`` is how far its sides curl away."""
    picture, mm_per_px, origin = _rescaled(portrait, box)
    half = round(125 / mm_per_px), round(150 / mm_per_px)
    centre = round(origin[0]), round(origin[1] + 25 / mm_per_px)
    sheet = _crop(picture, centre, half)
    sheet = printed(sheet, rng)
    b = round(12 / mm_per_px)
    bordered = cv2.copyMakeBorder(sheet, b, b, b, b, cv2.BORDER_CONSTANT, value=(228, 234, 236))
    grain = cv2.GaussianBlur(rng.normal(0, 6, bordered.shape[:2]).astype(np.float32), (0, 0), 0.9)
    sheet = _u8(np.clip(bordered + grain[..., None], 0, 255))
    opaque = np.dstack([sheet, np.full(sheet.shape[:2], 255, np.uint8)])
    four = _u8(cv2.copyMakeBorder(opaque, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(228, 234, 236, 0)))
    _thumbs(four, mm_per_px)
    middle = (four.shape[1] - 1) / 2, (four.shape[0] - 1) / 2 - 25 / mm_per_px
    across = (np.arange(_HEIGHT_RASTER) - _HEIGHT_RASTER // 2) * _HEIGHT_RASTER_MM / 137.0
    height = np.tile(-bend_mm * np.minimum(across**2, 1.5), (_HEIGHT_RASTER, 1)).astype(np.float32)
    return Relief(four, height, middle, mm_per_px, _HEIGHT_RASTER_MM)


def room(rng: np.random.Generator) -> Image:
    """An office wall, a little out of focus: uint8 [480, 640, 3] BGR."""
    tint = rng.uniform(0.9, 1.05, 3)
    ramp = np.linspace(205, 150, WIDTH, dtype=np.float32)[None, :] * np.ones((HEIGHT, 1), np.float32)
    wall = np.clip(ramp[..., None] * np.array([0.93, 0.97, 1.0]) * tint, 0, 255).astype(np.uint8)
    left = int(rng.integers(25, 70))
    cv2.rectangle(wall, (left, 50), (left + 110, 200), (70, 95, 120), 6)
    cv2.rectangle(wall, (left + 6, 56), (left + 104, 194), (180, 160, 120), -1)
    cv2.ellipse(wall, (left + 55, 194), (46, 60), 0, 180, 360, (90, 130, 90), -1)
    shelf = int(rng.integers(180, 230))
    cv2.rectangle(wall, (470, shelf), (640, shelf + 10), (60, 85, 120), -1)
    x = 478
    while x < 632:
        width, tall = int(rng.integers(9, 20)), int(rng.integers(55, 105))
        colour = tuple(int(value) for value in rng.integers(40, 200, 3))
        cv2.rectangle(wall, (x, shelf - tall), (x + width, shelf - 1), colour, -1)
        cv2.line(wall, (x + width // 2, shelf - tall + 8), (x + width // 2, shelf - 20), (210, 210, 210), 1)
        x += width + 1
    cv2.rectangle(wall, (0, 400), (WIDTH, HEIGHT), (95, 105, 115), -1)
    cv2.line(wall, (0, 400), (WIDTH, 400), (150, 155, 160), 5)
    plaster = cv2.GaussianBlur(rng.normal(0, 14, wall.shape[:2]).astype(np.float32), (0, 0), 3.0)
    blurred = cv2.GaussianBlur(wall, (0, 0), 2.0)
    return _u8(np.clip(blurred + plaster[..., None], 0, 255))


def _rescaled(portrait: Image, box: Box) -> tuple[Image, float, tuple[float, float]]:
    """Portrait at working size, its mm per pixel, and the pixel between the eyes."""
    scale = FACE_BOX_MM * _WORK_PX_PER_MM / box[2]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=way).astype(np.uint8)
    origin = (box[0] + box[2] / 2) * scale, (box[1] + _EYES_FROM_TOP * box[3]) * scale
    return picture, 1.0 / _WORK_PX_PER_MM, origin


def _crop(picture: Image, centre: tuple[int, int], half: tuple[int, int]) -> Image:
    """Cut ``half`` to every side of ``centre``; what the portrait does not have repeats its border."""
    pad = max(half)
    wide = cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    x, y = centre[0] + pad, centre[1] + pad
    return wide[y - half[1] : y + half[1], x - half[0] : x + half[0]].astype(np.uint8)


def printed(picture: Image, rng: np.random.Generator) -> Image:
    """Ink on paper: less contrast, a halftone screen at 45 degrees, softened."""
    ink = picture.astype(np.float32) * 0.78 + 38.0
    rows, cols = np.indices(picture.shape[:2], dtype=np.float32)
    phase = rng.uniform(0, 2 * np.pi, 2)
    screen = np.sin((rows + cols) * 1.9 + phase[0]) * np.sin((rows - cols) * 1.9 + phase[1])
    ink += (screen * 9.0)[..., None]
    return _u8(np.clip(cv2.GaussianBlur(ink, (0, 0), 0.8), 0, 255))


def _thumbs(sheet: npt.NDArray[np.uint8], mm_per_px: float) -> None:
    """The holder's thumbs on the lower corners of the sheet (BGR + cover), in place."""
    h, w = sheet.shape[:2]
    for x, tilt in ((round(24 / mm_per_px), 30), (w - round(24 / mm_per_px), -30)):
        centre, axes = (x, h - round(6 / mm_per_px)), (round(10 / mm_per_px), round(24 / mm_per_px))
        cv2.ellipse(sheet, centre, axes, tilt, 0, 360, (118, 146, 196, 255), -1, cv2.LINE_AA)
        cv2.ellipse(sheet, centre, axes, tilt, 0, 360, (92, 116, 166, 255), 2, cv2.LINE_AA)


def head_height(*, broad: float = 1.0, features: float = 1.0) -> Field:
    """Height over the eye plane in mm: an ellipsoid for the skull, features on it, neck and chest behind.

    ``broad`` widens the skull, ``features`` raises nose, mouth and chin: another head.
    """
    reach = (np.arange(_HEIGHT_RASTER, dtype=np.float32) - _HEIGHT_RASTER // 2) * _HEIGHT_RASTER_MM
    x, y = np.meshgrid(reach, reach)
    r2 = (x / (_HEAD_HALF_WIDTH * broad)) ** 2 + (y / _HEAD_HALF_HEIGHT) ** 2
    skull = _HEAD_CENTRE + _HEAD_HALF_DEPTH * np.sqrt(np.maximum(1.0 - r2, 0.0))
    skull += _bump(x, y, below=0, half=(34, 12)) * (-5.0 * features)
    skull += _bump(x, y, below=_MOUTH_BELOW_EYES, half=(22, 16)) * (6.0 * features)
    skull += _bump(x, y, below=_CHIN_BELOW_EYES - 8, half=(20, 14)) * (9.0 * features)
    above = _bump(x, y, below=_NOSE_BELOW_EYES, half=(9, 20)) * (y <= _NOSE_BELOW_EYES)
    below = _bump(x, y, below=_NOSE_BELOW_EYES, half=(11, 8)) * (y > _NOSE_BELOW_EYES)
    skull += (above + below) * (25.0 * features)
    rise = np.clip((y - 120.0) / 110.0, 0.0, 1.0)
    body = -74.0 + 40.0 * rise * rise * (3 - 2 * rise) - 0.0006 * x * x
    # A soft maximum: no step between head and neck, which would tear the picture.
    soft = 7.0
    height = soft * np.logaddexp(skull / soft, np.maximum(body, -120.0) / soft)
    return np.asarray(cv2.GaussianBlur(height.astype(np.float32), (0, 0), 1.2), dtype=np.float32)


def _bump(x: Field, y: Field, *, below: float, half: tuple[float, float]) -> Field:
    """A Gaussian hill of height 1 on the middle line, ``below`` the eyes."""
    hill: Field = np.exp(-0.5 * ((x / half[0]) ** 2 + ((y - below) / half[1]) ** 2)).astype(np.float32)
    return hill


def _u8(picture: npt.ArrayLike) -> Image:
    return np.asarray(picture, dtype=np.uint8)
