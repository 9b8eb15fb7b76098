"""Templates in four and in eight bits, and how far these can be from the real ones.

A template x of unit length becomes whole numbers c from 0 to 255 and a scale s: about s * (c - 127.5). What
is larger than the scale allows is cut off, where that makes all else finer. The high halves of all c come
first, sixteen templates together, as the search reads them; the low halves stand apart and are read for those
few that may be among the best. What rounding took away is measured, not estimated: ``error4`` and ``error8``
are lengths of the difference, rounded up, so that for every query q

    |q.x - q.x4| <= |q| * error4        |q.x - q.x8| <= |q| * error8        (Cauchy and Schwarz)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.compute.compiling import compiled
from edge.gallery.vector_ir import BLOCK_BYTES, CODE_BYTES, ROWS, STEPS

SIZE = 128
"""Numbers in a template."""

HALF = SIZE // 2
_CENTRE = 127.5
_NIBBLE_CENTRE = 7.5
_UP = 1.0 + 1e-6
"""Errors are rounded up: the sum of 128 squares in double precision is off by far less."""

_CUTS = (1.0, 0.95, 0.9, 0.85, 0.8)
_SHORT_HALF = 1 << 12
"""Half of the last place of half precision, among the bits of single precision."""

_WEIGHT8 = 1.0
"""The first pass reads everything, the second one little: still its error costs real templates."""

_LENGTH_SLACK = 1e-3
_ALIGN = 64

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Codes:
    """``blocks``: uint8 [n, 1088], each with sixteen templates, see edge.gallery.vector_ir. ``low``: uint8
    [16 n, 64]. ``error8``: float32 [n], the largest of each block."""

    blocks: Bytes
    low: Bytes
    error8: Floats

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def scales(self) -> npt.NDArray[np.float16]:
        """[n, 16]; NaN where there is no template (any more)."""
        return self.blocks[:, CODE_BYTES : CODE_BYTES + 2 * ROWS].view(np.float16)

    @property
    def error4(self) -> npt.NDArray[np.float16]:
        """[n, 16]"""
        return self.blocks[:, CODE_BYTES + 2 * ROWS :].view(np.float16)

    @property
    def nbytes(self) -> int:
        """Memory of all of it."""
        return self.blocks.nbytes + self.low.nbytes + self.error8.nbytes


@dataclass(frozen=True, slots=True)
class RowCodes:
    """The codes of some templates, one after the other; what a file keeps of them.

    ``high``, ``low``: uint8 [n, 64]. ``scale``, ``error4``: float16 [n]. ``error8``: float32 [n].
    """

    high: Bytes
    low: Bytes
    scale: npt.NDArray[np.float16]
    error4: npt.NDArray[np.float16]
    error8: Floats


def untouched_codes(blocks: int) -> Codes:
    """Room for ``blocks`` blocks that takes no memory before it is written; not to be searched before."""
    return Codes(
        aligned((blocks, BLOCK_BYTES), np.uint8),
        aligned((blocks * ROWS, HALF), np.uint8),
        aligned((blocks,), np.float32),
    )


def empty_codes(blocks: int) -> Codes:
    """Room for ``blocks`` blocks, with no template in them."""
    codes = untouched_codes(blocks)
    codes.scales[...] = np.nan
    return codes


def first_blocks(codes: Codes, blocks: int) -> Codes:
    """The same memory, as far as ``blocks`` blocks."""
    return Codes(codes.blocks[:blocks], codes.low[: blocks * ROWS], codes.error8[:blocks])


def encode_rows(templates: Floats) -> RowCodes:
    """The codes of templates (float32 [n, 128], unit length); errors as :func:`write_codes`."""
    count = len(templates)
    codes = empty_codes(-(-count // ROWS))
    error8 = write_codes(codes, 0, templates)
    high = _by_lane(codes).transpose(0, 2, 1, 3).reshape(-1, HALF)[:count]
    scale, error4 = (one.reshape(-1)[:count] for one in (codes.scales, codes.error4))
    return RowCodes(high, codes.low[:count], scale, error4, error8)


def put_rows(codes: Codes, first: int, rows: RowCodes) -> None:
    """Put codes into the rows from ``first`` on."""
    places = np.arange(first, first + len(rows.low))
    at = places // ROWS, places % ROWS
    _by_lane(codes)[at[0], :, at[1]] = rows.high.reshape(-1, STEPS, 4)
    codes.low[first : first + len(places)] = rows.low
    codes.scales[at], codes.error4[at] = rows.scale, rows.error4
    np.maximum.at(codes.error8, at[0], rows.error8)


def write_codes(codes: Codes, first: int, templates: Floats) -> Floats:
    """Put templates (float32 [n, 128], unit length) into the rows from ``first`` on, over what is there.

    Returns the ``error8`` of each.

    Raises:
        ValueError: one has no unit length or is not finite: its scores would mean nothing.
    """
    rows = np.ascontiguousarray(templates, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != SIZE:
        raise ValueError(f"templates are {SIZE} numbers each")
    if not are_unit(rows):
        raise ValueError("a template must have unit length")
    places = np.arange(first, first + len(rows))
    measured = np.empty((3, len(rows)), np.float32)
    _write((codes.blocks, codes.low), first, rows, measured)
    scales, off4, off8 = measured
    at = places // ROWS, places % ROWS
    codes.scales[at] = scales
    codes.error4[at] = np.nextafter(off4.astype(np.float16), np.float16(np.inf))
    np.maximum.at(codes.error8, at[0], off8)
    return np.asarray(off8)


@compiled
def are_unit(rows: Floats) -> bool:
    """Whether all rows (float32 [n, 128]) have unit length, to a thousandth; no infinity or NaN has it."""
    for row in range(rows.shape[0]):
        total = 0.0
        for i in range(SIZE):
            total += np.float64(rows[row, i]) * np.float64(rows[row, i])
        if not abs(np.sqrt(total) - 1.0) < _LENGTH_SLACK:
            return False
    return True


def remove_rows(codes: Codes, rows: npt.NDArray[np.int64]) -> None:
    """Let rows be found no more, and empty them."""
    at = rows // ROWS, rows % ROWS
    codes.scales[at] = np.nan
    codes.low[rows] = 0
    _by_lane(codes)[at[0], :, at[1]] = 0


def aligned(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """An array of zeros that begins at a multiple of 64 bytes; what is not written takes no memory."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return np.asarray(raw[start : start + size].view(dtype).reshape(shape))


def _by_lane(codes: Codes) -> Bytes:
    """The high halves, [n, 16 steps, 16 lanes, 4]; the same memory."""
    return codes.blocks[:, :CODE_BYTES].reshape(-1, STEPS, ROWS, 4)


@compiled
def _errors(row: Floats, scale: Any, code: npt.NDArray[np.int32]) -> tuple[float, float]:
    """Write the codes of one template; return the squared lengths of what four and eight bits lose."""
    off4, off8 = 0.0, 0.0
    for i in range(SIZE):
        value = float(row[i])
        c = min(255, max(0, int(np.rint(value / scale + _CENTRE))))
        code[i] = c
        off8 += (value - scale * (c - _CENTRE)) ** 2
        off4 += (value - scale * (16 * (c >> 4) - 16 * _NIBBLE_CENTRE)) ** 2
    return off4, off8


@compiled
def _to_short(value: Any) -> Any:
    """Round to the numbers that half precision has, of those with a full mantissa."""
    one = np.empty(1, np.float32)
    one[0] = value
    bits = one.view(np.int32)
    bits[0] = (bits[0] + _SHORT_HALF) & ~(2 * _SHORT_HALF - 1)
    return one[0]


@compiled
def _write(codes: tuple[Bytes, Bytes], first: int, rows: Floats, measured: Floats) -> None:
    """Write blocks and low halves; ``measured`` is filled: scales, and what four and eight bits lose."""
    blocks, low = codes
    code = np.empty(SIZE, np.int32)
    for index in range(rows.shape[0]):
        row = first + index
        block, lane = row // ROWS, row % ROWS
        largest: Any = np.float32(0.0)
        for i in range(SIZE):
            largest = max(largest, abs(rows[index, i]))
        best, scale = np.inf, np.float32(0.0)
        for share in _CUTS:
            tried = _to_short(np.float32(largest * share / _CENTRE))
            off4, off8 = _errors(rows[index], tried, code)
            if np.sqrt(off4) + _WEIGHT8 * np.sqrt(off8) < best:
                best, scale = np.sqrt(off4) + _WEIGHT8 * np.sqrt(off8), tried
        off4, off8 = _errors(rows[index], scale, code)
        for i in range(HALF):
            # Byte i of the template: its numbers 8s + j in the low half, 8s + 4 + j in the high one.
            step, j = i // 4, i % 4
            a, b = code[8 * step + j], code[8 * step + 4 + j]
            blocks[block, step * 64 + lane * 4 + j] = (a >> 4) | (b & 0xF0)
            low[row, i] = (a & 0x0F) | ((b & 0x0F) << 4)
        measured[0, index] = scale
        measured[1, index] = np.float32(np.sqrt(off4) * _UP)
        measured[2, index] = np.float32(np.sqrt(off8) * _UP)
