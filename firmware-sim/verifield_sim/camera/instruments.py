"""Presentation attack instruments of paper: what somebody cuts and prints to look like another person."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from verifield_sim.camera import subjects
from verifield_sim.camera.cutout import Box
from verifield_sim.camera.figures import Cutout, Mask, Person, Sheet
from verifield_sim.camera.motion import Blinking, Talking
from verifield_sim.camera.optics import Image, Relief

_EYE_APART_MM = 62.0
_EYE_HOLE_MM = (13.0, 6.5)  # half axes
_MASK_HALF_MM = (66.0, 88.0)  # ear to ear, forehead to chin
_MASK_CENTRE_MM = 22.0  # below the eyes


def print_of(portrait: Image, box: Box, rng: np.random.Generator, *, bent: bool) -> Sheet:
    """A photograph on paper; bent: its sides curl away by 8 to 18 mm."""
    bend = float(rng.uniform(8, 18)) if bent else 0.0
    return Sheet(subjects.paper_print(portrait, box, rng, bend_mm=bend))


def cutout_of(portrait: Image, box: Box, impostor: Image, impostor_box: Box, seed: int) -> Cutout:
    """A print cut along head and shoulders; two of three have eye holes."""
    rng = np.random.default_rng([seed, 11])
    paper = subjects.head(portrait, box)
    ink = subjects.printed(np.ascontiguousarray(paper.texture[..., :3]), rng)
    # Scissors run inside the outline.
    cover = np.asarray(cv2.erode(paper.texture[..., 3], np.ones((5, 5), np.uint8)), np.uint8)
    below = round(paper.origin[1] + float(rng.uniform(130, 190)) / paper.mm_per_px)
    cover[below:] = 0
    if rng.random() < 2 / 3:
        _cut_eyes(cover, paper)
    _, reach = np.meshgrid(np.zeros(paper.height.shape[0]), np.arange(paper.height.shape[1]))
    across = (reach.T - paper.height.shape[1] // 2) * paper.height_mm_per_px / 100.0
    bend = float(rng.uniform(0, 12))
    sheet = dataclasses.replace(
        paper,
        texture=np.dstack([ink, cover]),
        height=(-bend * np.minimum(across**2, 1.5)).astype(np.float32),
        pivot=0.0,
        twist=None,
    )
    holder = _somebody(impostor, impostor_box, seed)
    return Cutout(sheet, holder, before_mm=float(rng.uniform(28, 45)), glossy=bool(rng.random() < 0.5))


def mask_of(portrait: Image, box: Box, impostor: Image, impostor_box: Box, seed: int) -> Mask:
    """The victim's face printed on a shell of another head's shape, worn by the impostor."""
    rng = np.random.default_rng([seed, 12])
    front = subjects.head(portrait, box)
    px = 1.0 / front.mm_per_px
    picture = np.ascontiguousarray(front.texture[..., :3])
    # Printing on cloth or resin loses fine detail and contrast.
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.9, 1.8)))
    ink = soft.astype(np.float32) * float(rng.uniform(0.80, 0.95)) + rng.uniform(4.0, 16.0, 3)
    cover = np.zeros(front.texture.shape[:2], np.uint8)
    centre = round(front.origin[0]), round(front.origin[1] + _MASK_CENTRE_MM * px)
    cv2.ellipse(
        cover, centre, (round(_MASK_HALF_MM[0] * px), round(_MASK_HALF_MM[1] * px)), 0, 0, 360, 255, -1
    )
    if rng.random() < 0.5:
        _cut_eyes(cover, front)
    broad, features = float(rng.uniform(0.95, 1.08)), float(rng.uniform(0.5, 1.1))
    height = subjects.head_height(broad=broad, features=features) + np.float32(rng.uniform(2.0, 4.0))
    texture = np.dstack([np.clip(ink, 0, 255).astype(np.uint8), cover])
    shell = dataclasses.replace(front, texture=texture, height=height)
    return Mask(shell, _somebody(impostor, impostor_box, seed))


def _somebody(portrait: Image, box: Box, seed: int) -> Person:
    rng = np.random.default_rng([seed, 13])
    return Person(subjects.head(portrait, box), blinking=Blinking(rng), talking=Talking(rng))


def _cut_eyes(cover: Image, paper: Relief) -> None:
    """Cut holes where the eyes are, in place."""
    px = 1.0 / paper.mm_per_px
    axes = round(_EYE_HOLE_MM[0] * px), round(_EYE_HOLE_MM[1] * px)
    for side in (-0.5, 0.5):
        centre = round(paper.origin[0] + side * _EYE_APART_MM * px), round(paper.origin[1])
        cv2.ellipse(cover, centre, axes, 0, 0, 360, 0, -1)
