"""Weights and room in memory as the compiled networks want them."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.compute.vectors import Kind

Floats = npt.NDArray[np.float32]
Octets = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]
ALIGNMENT = 64
"""A line of the cache, and a vector of sixteen numbers."""


class Packed:
    """All weights in one row of bytes; each part begins at a multiple of 64."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._parts: list[Octets] = []
        self._bytes = 0

    def add(self, *arrays: Floats) -> tuple[int, ...]:
        """Single precision, as it is; where each begins. One that fills whole vectors is followed closely."""
        return tuple(self._append(np.ascontiguousarray(one, np.float32)) for one in arrays)

    def add_tiles(self, weights: Floats, tile: int) -> int:
        """[out, in] as tiles of so many outputs, each: input, output (bfloat16: two inputs side by side)."""
        return self._append_tiles(_pairs(to_bfloat(weights)) if self._kind is Kind.BFLOAT else weights, tile)

    def add_short_tiles(self, weights: Shorts, tile: int) -> int:
        """[out, in] as tiles of so many outputs, each: input, output, two inputs side by side."""
        return self._append_tiles(_pairs(weights), tile)

    def add_octets(self, numbers: npt.NDArray[np.int8]) -> int:
        """Whole numbers of 8 bits, as they are; where they begin."""
        return self._append(np.ascontiguousarray(numbers))

    def joined(self) -> Octets:
        """Everything that was added."""
        everything = aligned(self._bytes)
        np.concatenate(self._parts, out=everything)
        return everything

    def _append_tiles(self, words: npt.NDArray[Any], tile: int) -> int:
        wide, steps = words.shape
        return self._append(np.ascontiguousarray(words.reshape(wide // tile, tile, steps).transpose(0, 2, 1)))

    def _append(self, array: npt.NDArray[Any]) -> int:
        start = self._bytes
        octets = array.reshape(-1).view(np.uint8)
        rest = -len(octets) % ALIGNMENT
        self._parts += [octets, np.zeros(rest, np.uint8)]
        self._bytes += len(octets) + rest
        return start


def _pairs(shorts: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Each two numbers of 16 bits of a row as one word, so that they move together."""
    return np.ascontiguousarray(shorts).view(np.uint32)


def to_shorts(weights: Floats, largest: int) -> tuple[Shorts, Floats]:
    """Rows as whole numbers of 16 bits, and what each row's are to be multiplied by.

    No sum of products of a row with whole numbers up to ``largest`` leaves 32 bits, whatever these are:
    rounding adds at most a half to each number of the row.
    """
    rows = np.abs(weights.astype(np.float64))
    room = np.iinfo(np.int32).max / largest - weights.shape[1] / 2
    tiny = np.finfo(np.float32).tiny
    factors = np.minimum(
        np.iinfo(np.int16).max / np.maximum(rows.max(axis=1), tiny),
        room / np.maximum(rows.sum(axis=1), tiny),
    )[:, None]
    return np.rint(weights * factors).astype(np.int16), (1 / factors[:, 0]).astype(np.float32)


def to_bfloat(values: Floats) -> npt.NDArray[np.uint16]:
    """The nearest bfloat16 of each, ties away from zero, as its bits: a view of every second half."""
    rounded = np.ascontiguousarray(values, np.float32).view(np.uint32) + np.uint32(0x8000)
    halves = rounded.view(np.uint16).reshape(*values.shape, 2)
    return halves[..., 1 if sys.byteorder == "little" else 0]


def aligned(size: int) -> Octets:
    """So many zero bytes that begin at a multiple of 64."""
    whole = np.zeros(size + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + size]


def give_memory_back() -> None:
    """Give the system what only reading took: the C library would keep 50 MiB of it for later."""
    with suppress(OSError, AttributeError):  # another C library has no such function
        ctypes.CDLL(None).malloc_trim(0)
