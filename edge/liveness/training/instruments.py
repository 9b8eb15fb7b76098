"""What pictures are shown on to fool a camera: the devices, each as ranges that a seed draws from.

Frequencies are cycles per pixel of the camera, so they join a device's pitch with how far away it is held.
HELD_OUT devices are of other makes than those of TRAINING and are never trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Range = tuple[float, float]
"""Smallest and largest value; drawn evenly."""


class Screening(StrEnum):
    """How a printer makes tones of dots."""

    AMPLITUDE = "amplitude"  # larger and smaller dots on a rotated raster per ink
    FREQUENCY = "frequency"  # scattered dots of one size
    CONTINUOUS = "continuous"  # dye sublimation and photographic paper


class Layout(StrEnum):
    """How a screen's sub-pixels lie."""

    STRIPE = "stripe"
    PENTILE = "pentile"  # half as many red and blue ones, in rows that alternate
    DIAMOND = "diamond"  # the same, turned by 45 degrees


@dataclass(frozen=True, slots=True)
class Print:
    """A printed picture. ``black``: least reflectance; ``gamut``: share of the colour that the inks keep.

    ``margin``: width of the white edge as a share of the picture; ``bend``: depth of the curl as a share of
    the width; ``gloss``: strength of a lamp's reflection; ``cut``: along the face, with holes for the eyes.
    """

    screening: Screening
    frequency: Range
    gamut: Range
    black: Range = (0.02, 0.10)
    paper: Range = (0.72, 0.95)
    grain: Range = (0.0, 0.05)
    gloss: Range = (0.0, 0.10)
    margin: Range = (0.0, 0.12)
    bend: Range = (0.0, 0.02)
    size: Range = (0.6, 1.3)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """A display. ``bezel``: width of the frame as a share of the picture; ``frequency``: of its pixels.

    ``white``: gain of blue over red; ``gamma``: of the shown over the meant; ``glow``: light of black pixels;
    ``banding``: depth of the stripes that refresh and rolling shutter make together; ``size``: of the shown
    picture as a share of the camera's picture.
    """

    layout: Layout
    frequency: Range
    bezel: Range
    white: Range
    gamma: Range
    size: Range
    glow: Range = (0.002, 0.05)
    banding: Range = (0.0, 0.12)
    brightness: Range = (0.5, 1.8)
    reflection: Range = (0.0, 0.25)
    fill: Range = (0.5, 1.0)  # contrast of the sub-pixel raster


Instrument = Print | Screen

INSTRUMENTS: Mapping[str, Instrument] = {
    "print_inkjet": Print(Screening.FREQUENCY, (0.6, 2.5), (0.55, 0.9)),
    "print_laser": Print(Screening.AMPLITUDE, (0.25, 1.6), (0.5, 0.85), black=(0.03, 0.12), gloss=(0.0, 0.2)),
    "print_bent": Print(Screening.AMPLITUDE, (0.4, 2.0), (0.5, 0.9), bend=(0.05, 0.22), gloss=(0.0, 0.2)),
    "cutout": Print(
        Screening.FREQUENCY, (0.5, 2.5), (0.55, 0.9), margin=(0.0, 0.0), size=(0.8, 1.2), cut=True
    ),
    "phone_lcd": Screen(Layout.STRIPE, (0.8, 3.0), (0.03, 0.10), (0.95, 1.35), (0.85, 1.25), (0.45, 1.0)),
    "phone_oled": Screen(
        Layout.PENTILE, (0.7, 2.8), (0.01, 0.06), (0.9, 1.2), (0.9, 1.4), (0.45, 1.0), glow=(0.0, 0.01)
    ),
    "tablet": Screen(Layout.STRIPE, (0.5, 2.0), (0.03, 0.14), (0.95, 1.3), (0.85, 1.2), (0.6, 1.3)),
    "monitor": Screen(
        Layout.STRIPE, (0.3, 1.2), (0.01, 0.08), (0.95, 1.4), (0.8, 1.25), (0.8, 1.6), reflection=(0.0, 0.12)
    ),
    # Held out: other makes, none of whose ranges a training device has in this combination.
    "print_photo": Print(
        Screening.CONTINUOUS,
        (0.5, 1.0),
        (0.8, 1.0),
        black=(0.005, 0.03),
        paper=(0.85, 0.98),
        gloss=(0.1, 0.45),
    ),
    "print_poster": Print(
        Screening.AMPLITUDE,
        (0.10, 0.30),
        (0.4, 0.7),
        black=(0.06, 0.16),
        paper=(0.55, 0.8),
        grain=(0.03, 0.09),
    ),
    "phone_diamond": Screen(
        Layout.DIAMOND, (0.6, 2.2), (0.0, 0.03), (1.0, 1.15), (1.1, 1.5), (0.5, 1.1), glow=(0.0, 0.004)
    ),
    "tablet_fine": Screen(
        Layout.STRIPE, (1.2, 3.2), (0.06, 0.18), (0.8, 1.0), (0.9, 1.1), (0.7, 1.4), reflection=(0.1, 0.4)
    ),
    "television": Screen(
        Layout.STRIPE, (0.12, 0.5), (0.005, 0.03), (1.2, 1.7), (0.75, 1.0), (1.0, 1.8), banding=(0.05, 0.25)
    ),
}

HELD_OUT = ("print_photo", "print_poster", "phone_diamond", "tablet_fine", "television")
TRAINING = tuple(name for name in INSTRUMENTS if name not in HELD_OUT)
