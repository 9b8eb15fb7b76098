"""One pinhole camera and one way to draw a relief (a picture with depth) in front of it.

Lengths are millimetres, angles radians, picture coordinates pixels. The camera looks along +z, x
points right and y down. A subject's own axes are parallel to the camera's while it faces the
camera, but its height ``h`` grows towards the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]

WIDTH, HEIGHT = 640, 480
FOCAL_PX = 640.0  # 53 degrees across, a common webcam
# Depth is solved on every second pixel and enlarged: half a pixel of error at most, a quarter of the work.
COARSE = 2


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the subject's origin is and how it is turned; positive ``yaw`` takes the nose to the right."""

    x: float
    y: float
    z: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True, slots=True)
class Relief:
    """A picture with depth.

    ``texture``: uint8 [h, w, 4], BGR with cover in the last channel. ``height``: float32, mm, on its
    own raster. ``origin``: the texture pixel that lies at the subject's origin. ``mm_per_px``: size of
    a texture pixel; ``height_mm_per_px`` of a height pixel, whose centre lies at the origin.
    ``pivot``: height of the vertical axis that yaw turns about. ``twist``: from which y on the
    subject does not follow the yaw any more, and over how many mm that sets in; None for a rigid one.
    """

    texture: Image
    height: Field
    origin: tuple[float, float]
    mm_per_px: float
    height_mm_per_px: float
    pivot: float = 0.0
    twist: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """Where each coarse pixel's ray meets a relief: ``x`` and ``y`` in mm, float32 [240, 320]."""

    x: Field
    y: Field


def draw(relief: Relief, pose: Pose) -> tuple[Image, Field]:
    """Render with true perspective; returns BGR uint8 [480, 640, 3] and cover float32 [480, 640] 0..1."""
    return paint(relief, relief.texture, trace(relief, pose))


def trace(relief: Relief, pose: Pose) -> Hits:
    """Find what each pixel sees of ``relief``."""
    ax, bx, ay, by = _rays(relief, pose)
    level = _first_hit(relief, ax, bx, ay, by)
    return Hits(ax + bx * level, ay + by * level)


def paint(relief: Relief, texture: Image, hits: Hits) -> tuple[Image, Field]:
    """Look the colours up in ``texture``, which lies on ``relief`` as its own does; returns as ``draw``."""
    u = hits.x / relief.mm_per_px + relief.origin[0]
    v = hits.y / relief.mm_per_px + relief.origin[1]
    size = (WIDTH, HEIGHT)
    fine_u = cv2.resize(u, size, interpolation=cv2.INTER_LINEAR)
    fine_v = cv2.resize(v, size, interpolation=cv2.INTER_LINEAR)
    drawn = cv2.remap(texture, fine_u, fine_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    cover = cv2.extractChannel(drawn, 3).astype(np.float32) / 255.0
    return cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR).astype(np.uint8, copy=False), cover


def _rays(relief: Relief, pose: Pose) -> tuple[Field, Field, Field, Field]:
    """Each coarse pixel's ray in the subject's axes, as x = ax + bx * h and y = ay + by * h."""
    # Sines and cosines are Python's floats: numpy's own would make every field one of float64.
    dx, dy = _directions()
    # The ray is t * (dx, dy, 1); relative to the origin, with height towards the camera.
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    ox, oy = -(cr * pose.x + sr * pose.y), -(cr * pose.y - sr * pose.x)
    dx, dy = cr * dx + sr * dy, cr * dy - sr * dx
    oh, dh = pose.z, np.full_like(dx, -1.0)
    cp, sp = math.cos(pose.pitch), math.sin(pose.pitch)
    oy, oh = cp * oy - sp * oh, sp * oy + cp * oh
    dy, dh = cp * dy - sp * dh, sp * dy + cp * dh
    cy: Field | float = math.cos(pose.yaw)
    sy: Field | float = math.sin(pose.yaw)
    if relief.twist is not None:
        start, span = relief.twist
        y0 = oy - dy / dh * oh
        part = np.clip((y0 - start) / span, 0.0, 1.0)
        yaw = pose.yaw * (1.0 - part * part * (3.0 - 2.0 * part))
        cy, sy = np.cos(yaw), np.sin(yaw)
    oh = oh - relief.pivot
    x0, h0 = cy * ox - sy * oh, sy * ox + cy * oh
    dx, dh = cy * dx - sy * dh, sy * dx + cy * dh
    h0 = h0 + relief.pivot
    bx, by = dx / dh, dy / dh
    return _f32(x0 - bx * h0), _f32(bx), _f32(oy - by * h0), _f32(by)


@cache
def _directions() -> tuple[Field, Field]:
    """Direction of each coarse pixel's ray at depth 1, across and down."""
    cols = (np.arange(WIDTH // COARSE, dtype=np.float32) + 0.5) * COARSE - 0.5
    rows = (np.arange(HEIGHT // COARSE, dtype=np.float32) + 0.5) * COARSE - 0.5
    dx, dy = np.meshgrid((cols - WIDTH / 2) / FOCAL_PX, (rows - HEIGHT / 2) / FOCAL_PX)
    return _f32(dx), _f32(dy)


def _first_hit(relief: Relief, ax: Field, bx: Field, ay: Field, by: Field) -> Field:
    """Height at which each ray first meets the relief, searched from the camera side in even steps."""
    top, bottom = float(relief.height.max()) + 0.5, float(relief.height.min())
    if top - bottom < 1.0:
        return np.full_like(ax, bottom)
    steps = max(3, int(np.ceil((top - bottom) / 9.0)))
    scale = 1.0 / relief.height_mm_per_px
    mid_x, mid_y = (relief.height.shape[1] - 1) / 2, (relief.height.shape[0] - 1) / 2
    au, bu, av, bv = ax * scale + mid_x, bx * scale, ay * scale + mid_y, by * scale
    found = np.full_like(ax, bottom)
    open_ = np.ones(ax.shape, bool)
    before = np.zeros_like(ax)
    step = (top - bottom) / (steps - 1)
    for level in np.linspace(top, bottom, steps, dtype=np.float32):
        ground = cv2.remap(
            relief.height, au + bu * level, av + bv * level, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        above = _f32(level - ground)
        hit = np.flatnonzero(open_ & (above <= 0))
        if hit.size:
            last = before.ravel()[hit]
            share = last / np.maximum(last - above.ravel()[hit], 1e-3)
            found.ravel()[hit] = level + step * (1.0 - share)
            open_.ravel()[hit] = False
        before = above
    return found


def _f32(values: npt.NDArray[np.floating]) -> Field:
    return np.asarray(values, dtype=np.float32)
