"""What a face answers to coloured light: measured per frame, judged over the whole sequence.

The light that skin sends to the camera is (Lambert): albedo times (light of the room + light of the screen
that falls on it), and the camera multiplies it by its exposure and white balance. So per channel

    face(t) / backdrop(t) = a + g * screen(t - lag),   g >= 0,

where the backdrop, too far away for the screen to light, takes exposure and white balance out again, and the
albedo goes once it is put in relation to its own mean. Three things are judged:

time     one lag for the whole sequence, within what displays and cameras need
colour   the share of the response that non-negative gains explain, held against how much of it they explain
         for other random sequences: what comes from the room, from movement or from a recording of another
         session is explained by others just as well
shape    forehead and cheeks face the screen, the sides of the face turn away from it. Both sides are taken
         together, so that no sheet, however it is tilted or lit from one side, shows the same. And skin
         answers in proportion to how bright it is anyway, brows and lips less than cheeks: the front glass
         of a display mirrors the light on top of what it shows, as much on dark as on bright

After Tang et al. (NDSS 2018) and Liu et al. (2019); the permutation test after Phipson and Smyth (2010).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.liveness.registration import Registration
from edge.model import Colour, Face, Image

Array = npt.NDArray[np.float64]

CELLS = np.array(
    [
        *((across, -0.5) for across in (-0.3, 0.0, 0.3)),  # forehead
        *((across, down) for across in (-0.45, 0.45) for down in (0.4, 0.65)),  # cheeks
        *((across, down) for across in (-0.8, 0.8) for down in (0.25, 0.5, 0.75)),  # sides
        *((across, down) for across in (-0.5, 0.5) for down in (-0.25, 0.0)),  # brows and eyes
        *((across, 0.9) for across in (-0.2, 0.2)),  # lips
    ]
)
"""Where the face is looked at, from between the eyes, across and down in eye distances."""

FRONT, SIDES = slice(0, 7), slice(7, 13)
HALF_CELL = 0.13  # half the side of a cell's square, in eye distances
SATURATED = 0.7  # of full light, on average over a cell: parts of it are clipped, and answer no more
PATCHES = 16  # of the backdrop, at most
PATCH_PX = 24
CLIPPED = 250  # grey levels from which on a sensor tells nothing more
DARK = 0.004  # of full light, added to a backdrop so that a black one neither divides by zero nor flickers

MAX_LAG_S, LAG_STEP_S = 0.4, 0.02
"""Screens show within 0.05 s, USB cameras hand on within 0.15 s, a browser's page comes in between."""

SLOW_HZ = 0.9  # slower changes are no answer: colours change at 3.8 a second
CELL_SPREAD = 0.1  # of a cell's answer, beside noise: skin is no even surface
QUIETEST = 0.002  # of full light: no average over a cell is steadier
TIE_WEIGHT = 0.3  # of 150 simulated heads and 36 displays: least of both on the other's side
MAX_WAVES = 5  # where a slow device lets each colour stay for longer
NOD = 0.02  # eye distances; a scale only, so that all terms weigh alike

EXPOSED_S = 0.04  # after a change: the picture that was being exposed shows both colours
MIN_SAMPLES = 16  # two of each colour on average


@dataclass(frozen=True, slots=True)
class ShownColour:
    """``at``: monotonic seconds since when the screen showed it."""

    colour: Colour
    at: float


@dataclass(frozen=True, slots=True)
class LightSample:
    """One frame in linear light, as natural logarithms; channels: red, green, blue.

    ``cells``: float64 [len(CELLS), 3]. ``backdrop``: float64 [patches, 3]. ``pose``: float64 [5], how the
    face is turned, tilted and how large.
    """

    cells: Array
    backdrop: Array
    pose: Array


@dataclass(frozen=True, slots=True)
class LightReading:
    """``bits``: one of 2^bits random sequences would explain the response as well, at most 13.

    ``strength``: how much brighter the face gets when a channel goes from off to on, as a share of what it
    is anyway. ``fall``: by which share the sides answer less than the front. ``tie``: how the answer goes
    with brightness, 0 for skin and paper, -1 for a mirror. ``response``: per colour and channel, a logarithm,
    less what is slow or comes from movement. ``reason``: why nothing could be judged; then the numbers are 0.
    """

    bits: float = 0.0
    strength: float = 0.0
    lag_s: float = 0.0
    fall: float = 0.0
    tie: float = 0.0
    response: tuple[tuple[float, float, float], ...] = ()
    reason: str = ""

    @property
    def shape(self) -> float:
        return self.fall + TIE_WEIGHT * self.tie


class Backdrop:
    """Patches of what is behind a person, chosen in one frame and looked at in all others; and the pattern of
    the face by which its places are found again (edge.liveness.registration)."""

    def __init__(self, image: Image, face: Face) -> None:
        """Choose, in ``image`` (uint8 [height, width, 3] BGR), among all but the person's surroundings."""
        x, y, width, height = face.box
        rows = min(image.shape[0], int(y + 1.1 * height)) - PATCH_PX  # below are shoulders
        spots = [
            (top, left)
            for top in range(0, max(rows, 0), PATCH_PX)
            for left in range(0, image.shape[1] - PATCH_PX, PATCH_PX)
            if left + PATCH_PX < x - 0.6 * width
            or left > x + 1.6 * width
            or top + PATCH_PX < y - 0.9 * height
        ]
        usable = [spot for spot in spots if int(_patch(image, spot).max()) < CLIPPED]
        step = max(1, len(usable) // PATCHES)
        self._spots = usable[::step][:PATCHES]
        self._registration = Registration(image, face)

    @property
    def empty(self) -> bool:
        """Whether there is nothing behind the person that could be measured."""
        return not self._spots

    def sample(self, image: Image, face: Face) -> LightSample | None:
        """Measure one frame; None where a part of the face is outside of the picture."""
        face = self._registration.place(image, face)
        squares = [_square(image, centre, HALF_CELL * face.inter_eye) for centre in _centres(face)]
        if any(square.size == 0 for square in squares):
            return None
        cells = np.array([_light(square) for square in squares])
        patches = np.array([_light(_patch(image, spot)) for spot in self._spots]).reshape(-1, 3)
        return LightSample(np.log(cells + DARK), np.log(patches + DARK), _pose(face))


def judge_response(
    shown: Sequence[ShownColour],
    samples: Sequence[tuple[float, LightSample]],
    *,
    palette: Sequence[Colour],
    others: int,
    seed: int,
) -> LightReading:
    """Judge the ``samples`` (with their times) of one sequence against ``others`` drawn with ``seed``.

    ``palette``: of which every sequence is made, no colour following itself.
    """
    if len(samples) < MIN_SAMPLES:
        return LightReading(reason="LIVENESS_LIGHT_TOO_FEW_FRAMES")
    if samples[0][1].backdrop.shape[0] == 0:
        return LightReading(reason="LIVENESS_LIGHT_NO_BACKDROP")
    times = np.array([at for at, _ in samples])
    cells = np.array([sample.cells for _, sample in samples])
    backdrop = np.array([sample.backdrop for _, sample in samples])
    poses = np.array([sample.pose for _, sample in samples])
    cells = cells - np.median(backdrop - backdrop.mean(axis=0), axis=1)[:, None, :]
    if not (np.isfinite(cells).all() and np.isfinite(poses).all()):
        return LightReading(reason="LIVENESS_LIGHT_TOO_FEW_FRAMES")
    starts = np.array([item.at for item in shown])
    lags = np.arange(0.0, MAX_LAG_S + LAG_STEP_S / 2, LAG_STEP_S)
    looks = [_look(float(lag), times - lag, starts, cells, poses) for lag in lags]
    usable = [look for look in looks if look is not None]
    if not usable:
        return LightReading(reason="LIVENESS_LIGHT_TOO_FEW_FRAMES")
    codes = np.array([palette.index(item.colour) for item in shown])
    sequences = np.vstack([codes, _other_sequences(len(codes), len(palette), others, seed)])
    lights = np.array([[_linear(part) for part in colour] for colour in palette])
    screens = lights[sequences]
    shares = np.stack([look.explained_by(screens) for look in usable], axis=1)
    best = usable[int(shares[0].argmax())]
    explained = shares.max(axis=1)  # each sequence with the lag that suits it best, as the true one
    as_good = int(np.count_nonzero(explained[1:] >= explained[0]))
    bits = -math.log2((1 + as_good) / len(sequences))
    return _reading(best, screens[0], contrast=float(np.ptp(lights)), bits=bits)


@dataclass(frozen=True, slots=True)
class _Look:
    """The frames at one lag, with all taken out that slow light or a moving head explains.

    ``cells``: [frames, cells, 3]. ``places``: [colours, frames], what is left of each colour's
    frames. ``means``: [cells, 3], how bright each cell is.
    """

    lag_s: float
    cells: Array
    places: Array
    means: Array

    @property
    def saturated(self) -> npt.NDArray[np.bool_]:
        """[cells, 3], too bright to answer."""
        return self.means > math.log(SATURATED)

    @property
    def face(self) -> Array:
        """Of the front, each cell by how quiet it is, whatever was shown: [frames, 3]."""
        front = self.cells[:, FRONT]
        quiet = 1.0 / (front.var(axis=0) + QUIETEST**2) * ~self.saturated[FRONT] + 1e-9
        mean: Array = (front * quiet).sum(axis=1) / quiet.sum(axis=0)
        return mean

    def gains(self, screens: Array) -> Array:
        """Non-negative gain of each channel: [sequences, 3]; ``screens``: [sequences, colours, 3]."""
        common = np.einsum("kc,skc->sc", self.places @ self.face, screens)
        power = self.power(screens)
        return np.where(power > 1e-9, np.maximum(common, 0.0) / np.maximum(power, 1e-9), 0.0)

    def power(self, screens: Array) -> Array:
        """How much of each channel's light is left: [sequences, 3]."""
        overlap = self.places @ self.places.T
        power: Array = np.stack(
            [((screens[:, :, c] @ overlap) * screens[:, :, c]).sum(axis=1) for c in range(3)], axis=1
        )
        return power

    def explained_by(self, screens: Array) -> Array:
        """Share of the response that each sequence explains, 0..1: [sequences]."""
        whole = max(float((self.face**2).sum()), 1e-18)
        shares: Array = (self.gains(screens) ** 2 * self.power(screens)).sum(axis=1) / whole
        return shares


def _look(lag: float, since: Array, starts: Array, cells: Array, poses: Array) -> _Look | None:
    """None where a colour has no frame. ``since``: [frames], the moment of the screen that each one shows."""
    order = np.searchsorted(starts, since, side="right") - 1
    settled = (order >= 0) & (since - starts[np.maximum(order, 0)] >= EXPOSED_S)
    order = order[settled]
    if len(np.unique(order)) < len(starts) or len(order) < MIN_SAMPLES:
        return None
    basis = _nuisance(since[settled], poses[settled])
    places = np.eye(len(starts))[order].T
    means = cells[settled].mean(axis=0)
    left = (cells[settled] - means).reshape(len(order), -1)
    return _Look(
        lag,
        (left - basis @ (basis.T @ left)).reshape(len(order), *cells.shape[1:]),
        places - (places @ basis) @ basis.T,
        means,
    )


def _nuisance(times: Array, poses: Array) -> Array:
    """An orthonormal basis of what is no answer: slow change, and where the head is: [frames, terms]."""
    count = len(times)
    phase = math.pi * (times - times[0]) / max(float(times[-1] - times[0]), 1e-6)
    waves = min(round(2 * SLOW_HZ * float(times[-1] - times[0])), MAX_WAVES, count // 6)
    slow = np.column_stack([np.cos(order * phase) for order in range(waves + 1)])
    moved = poses - poses.mean(axis=0)
    moved = moved[:, : max(0, count // 4 - waves - 1)]
    basis: Array = np.linalg.svd(np.column_stack([slow, moved / NOD]), full_matrices=False)[0]
    return basis


def _reading(look: _Look, screen: Array, *, contrast: float, bits: float) -> LightReading:
    """``screen``: [colours, 3]; ``contrast``: of a channel, off to on."""
    gains = look.gains(screen[None])[0]
    expected = look.places.T @ (gains * screen)
    power = float((expected**2).sum())
    fall, tie = _shape(look, expected) if power > 0 else (0.0, 0.0)
    response = np.linalg.pinv(look.places.T, rcond=1e-6) @ look.face
    return LightReading(
        bits=bits,
        strength=float(gains.mean()) * contrast,
        lag_s=look.lag_s,
        fall=fall,
        tie=tie,
        response=tuple((float(row[0]), float(row[1]), float(row[2])) for row in response),
    )


def _shape(look: _Look, expected: Array) -> tuple[float, float]:
    """Return ``fall`` and ``tie``. ``expected``: [frames, 3], the face's mean response.

    Each cell's own answer is taken relative to that, and counts by how surely it is known.
    """
    power = np.maximum((expected**2).sum(axis=0), 1e-12)
    answers = np.einsum("fnc,fc->nc", look.cells, expected) / power
    left = look.cells - answers * expected[:, None, :]
    sure = 1.0 / ((left**2).mean(axis=0) / power + CELL_SPREAD**2)
    sure[look.saturated] = 1e-3
    front, sides = (float((answers[part] * sure[part]).sum() / sure[part].sum()) for part in (FRONT, SIDES))
    mean = (answers * sure).sum(axis=0) / sure.sum(axis=0)
    brighter = look.means - (look.means * sure).sum(axis=0) / sure.sum(axis=0)
    varied = float((sure * (mean * brighter) ** 2).sum())
    together = float((sure * mean * brighter * (answers - mean)).sum())
    return 1.0 - sides / max(front, 1e-6), together / max(varied, 1e-12)


def _other_sequences(colours: int, palette: int, others: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw as the challenge does: [others, colours] places in the palette."""
    draws = np.random.default_rng(seed)
    steps = draws.integers(1, palette, (others, colours))
    steps[:, 0] = draws.integers(0, palette, others)
    return np.asarray(steps.cumsum(axis=1) % palette, dtype=np.int64)


def _pose(face: Face) -> Array:
    points = face.points.astype(np.float64)
    size = max(face.inter_eye, 1.0)
    middle = points[:2].mean(axis=0) / size
    nose, mouth = (points[2] / size - middle, points[3:].mean(axis=0) / size - middle)
    return np.array([nose[0], nose[1], mouth[0], math.log(size), (points[1] - points[0])[1] / size])


def _centres(face: Face) -> list[Array]:
    """Of each region, in pixels."""
    points = face.points.astype(np.float64)
    along = points[1] - points[0]
    down = np.array([-along[1], along[0]])
    middle = points[:2].mean(axis=0)
    return [middle + across * along + below * down for across, below in CELLS]


def _square(image: Image, centre: Array, half: float) -> Image:
    """The square around ``centre``; empty where it is not wholly within the picture."""
    left, top = (math.floor(value - half) for value in centre)
    right, bottom = (math.ceil(value + half) for value in centre)
    if left < 0 or top < 0 or right > image.shape[1] or bottom > image.shape[0]:
        return image[:0, :0]
    return image[top:bottom, left:right]


def _patch(image: Image, spot: tuple[int, int]) -> Image:
    top, left = spot
    return image[top : top + PATCH_PX, left : left + PATCH_PX]


def _light(part: Image) -> Array:
    """Mean linear light (sRGB, IEC 61966-2-1) of a part of a picture: red, green, blue, 0..1."""
    mean: Array = _LINEAR[part].reshape(-1, 3).mean(axis=0)[::-1]
    return mean


def _linear(value: int) -> float:
    share = value / 255.0
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


_LINEAR = np.array([_linear(value) for value in range(256)])
