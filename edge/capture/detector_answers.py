"""What the detector's answers say: which cells see a face, where, and which of them see the same one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.compute.compiling import compiled

ANSWERS = 16
"""Numbers of each cell: class and object (logits), box (4) and points (10)."""

FOUND = 15
"""Numbers of a face: score, box (x, y, width, height) and five points, in pixels."""

Array = npt.NDArray[Any]


@compiled
def read_answers(answers: Array, grids: Array, least: float, found: Array) -> int:
    """Write each cell whose score is at least so high into ``found`` and return how many there are.

    ``answers``: float32 [cells, ANSWERS]. ``grids``: int64 [n, 3], rows, columns and stride of each grid of
    cells, one after another. ``found``: float32 [cells, FOUND], written; as ``decode`` of
    ``edge.capture.detector`` has it.
    """
    cell, count = 0, 0
    square = least * least
    surely = math.log(square / (1 - square)) - 1e-3  # less of either, and the other's 1 were not enough
    for grid in range(grids.shape[0]):
        stride = np.float32(grids[grid, 2])
        for row in range(grids[grid, 0]):
            for column in range(grids[grid, 1]):
                told = answers[cell]
                cell += 1
                if told[0] < surely or told[1] < surely:
                    continue
                score = np.float32(math.sqrt(1 / (1 + math.exp(-told[0])) / (1 + math.exp(-told[1]))))
                if not score >= np.float32(least):
                    continue
                face = found[count]
                count += 1
                face[0] = score
                face[3] = np.float32(math.exp(told[4])) * stride
                face[4] = np.float32(math.exp(told[5])) * stride
                face[1] = (np.float32(column) + told[2]) * stride - face[3] / np.float32(2)
                face[2] = (np.float32(row) + told[3]) * stride - face[4] / np.float32(2)
                for point in range(5):
                    face[5 + 2 * point] = (np.float32(column) + told[6 + 2 * point]) * stride
                    face[6 + 2 * point] = (np.float32(row) + told[7 + 2 * point]) * stride
    return count
