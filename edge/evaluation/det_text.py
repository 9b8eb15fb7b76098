"""The detection error trade-off in characters: a curve for whoever has a terminal and nothing else."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge.evaluation.statistics import Curve

WIDTH, HEIGHT = 60, 16
MEASURED, POLICY = "*", "P"
_LABEL = 6
_LEAST = 1e-8
"""No collection of faces supports less, and more decades would not find room."""


def det_lines(both: Curve, threshold: float) -> list[str]:
    """False non-match rate over false match rate, both logarithmic, up to 1; ``P``: at ``threshold``."""
    seen = (both.fmr >= _LEAST) & (both.fnmr >= _LEAST)
    if not seen.any():
        return ["No curve: at no threshold were there errors of both kinds."]
    across, up = np.log10(both.fmr[seen]), np.log10(both.fnmr[seen])
    left, low = _decade(across), _decade(up)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    cells = np.stack([_place(up, low, HEIGHT), _place(across, left, WIDTH)], axis=1)
    for row, column in np.unique(cells, axis=0):
        grid[row][column] = MEASURED
    chosen = min(int(np.searchsorted(both.thresholds, threshold)), len(both.thresholds) - 1)
    if seen[chosen]:
        here = np.log10([both.fnmr[chosen], both.fmr[chosen]])
        grid[int(_place(here[0], low, HEIGHT))][int(_place(here[1], left, WIDTH))] = POLICY
    rows = {int(_place(float(decade), low, HEIGHT)): f"1e{decade}" for decade in range(low, 1)}
    lines = [
        f"{rows.get(HEIGHT - 1 - line, ''):>{_LABEL}} |{''.join(grid[HEIGHT - 1 - line]).rstrip()}"
        for line in range(HEIGHT)
    ]
    marks = [" "] * (WIDTH + _LABEL)
    for decade in range(left, 1):
        at = int(_place(float(decade), left, WIDTH))
        marks[at : at + _LABEL] = f"1e{decade}".ljust(_LABEL)
    under = " " * (_LABEL + 2)
    key = f"False non-match rate over false match rate; {POLICY}: threshold {threshold:.3f}"
    return [key, *lines, f"{under}{'-' * WIDTH}", (under + "".join(marks)).rstrip()]


def _decade(logarithms: npt.NDArray[np.float64]) -> int:
    """Where an axis begins."""
    return min(-1, math.floor(float(logarithms.min())))


def _place(value: float | npt.NDArray[np.float64], begin: int, cells: int) -> npt.NDArray[np.int64]:
    """The cells of logarithms between ``begin`` and 0."""
    return np.rint((1 - np.asarray(value) / begin) * (cells - 1)).astype(np.int64)
