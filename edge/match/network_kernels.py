"""The embedding network, compiled: layers over strips of rows, shared out among threads while they last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.compute.compiling import compiled, literally, load_without_blas, typeof
from edge.compute.intrinsics import COUNTER_STEP, emitting, take, wait_for
from edge.compute.vectors import LANES, Kind, bytes_of, factor_bytes_of, is_narrow, tile_of
from edge.match.network_ir import (
    FIRST_CHANNELS,
    OUTPUTS,
    PIXELS,
    emit_depthwise,
    emit_first,
    emit_pointwise,
    emit_product,
    emit_round,
)

SIDE = 112
PADDED = SIDE + 2
_SHORT = int(Kind.SHORT)
_NARROW = tuple(int(kind) for kind in Kind if is_narrow(kind))
Array = npt.NDArray[Any]

(
    SOURCE,  # offsets in the workspace
    TARGET,
    WIDTH_IN,  # of the padded input, in pixels
    CHANNELS_IN,
    STRIDE,
    SIZE_OUT,  # rows and columns
    CHANNELS_OUT,
    DEPTH_WEIGHTS,  # offsets in the weights
    DEPTH_BIAS,
    DEPTH_SLOPE,
    POINT_WEIGHTS,
    POINT_BIAS,
    POINT_SLOPE,
    POINT_SCALE,
    ROWS,  # of a task
    SPLITS,  # tasks among which the output channels of the same rows are divided
    PADDING,  # pixels around the output
    COLUMNS,
) = range(18)
"""What the table of layers has of each block of a depthwise and a pointwise convolution, in int64."""


_pointwise = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, PIXELS, rest))
_pointwise_6 = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, 6, rest))
_pointwise_4 = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, 4, rest))
_pointwise_3 = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, 3, rest))
_depthwise = emitting(lambda builder, kind, rest: emit_depthwise(builder, kind, 1, rest))
_depthwise_halving = emitting(lambda builder, kind, rest: emit_depthwise(builder, kind, 2, rest))
_round = emitting(lambda builder, _, rest: emit_round(builder, rest))
_first = emitting(emit_first)
_product = emitting(emit_product)


@compiled
def _first_layer(kind: int, picture: Array, weights: int, target: int, size: int, row: int) -> None:
    """One row of the first layer; ``picture``: float32 [114, 114, 3]."""
    literally(kind)
    down = PADDED * 3 * 4
    pixel = FIRST_CHANNELS * size
    for column in range(0, SIDE, PIXELS):
        source = picture.ctypes.data + row * down + column * 12
        place = target + ((row + 1) * PADDED + column + 1) * pixel
        bias = weights + 27 * FIRST_CHANNELS * 4
        _first(kind, (source, weights, bias, bias + FIRST_CHANNELS * 4, place, down, pixel))


@compiled
def _depth_rows(
    kind: int, layer: Array, work: int, weights: int, strip: int, rows: tuple[int, int], size: int
) -> None:
    """Depthwise results of some rows, one after another, into ``strip``.

    With Kind.SHORT a strip has room for one row of them first, then the rows as whole numbers, and then
    their scales.
    """
    literally(kind)
    channels, stride, width = layer[CHANNELS_IN], layer[STRIDE], layer[SIZE_OUT]
    across = channels * size
    down = layer[WIDTH_IN] * across
    row_bytes = channels * 4
    for row in range(rows[0], rows[1]):
        line = 0 if kind == _SHORT else row - rows[0]
        for column in range(0, width, PIXELS):
            source = work + layer[SOURCE] + stride * (row * down + column * across)
            target = strip + (line * width + column) * across
            for channel in range(0, channels, LANES):
                factors = weights + layer[DEPTH_WEIGHTS] + channel * 4
                arguments = (
                    source + channel * size,
                    factors,
                    weights + layer[DEPTH_BIAS] + channel * 4,
                    weights + layer[DEPTH_SLOPE] + channel * 4,
                    target + channel * size,
                    across,
                    down,
                    across,
                    row_bytes,
                )
                if stride == 1:
                    _depthwise(kind, arguments)
                else:
                    _depthwise_halving(kind, arguments)
        if kind == _SHORT:
            wholes, scales = _rounded_row(layer, strip, row - rows[0])
            _round(kind, (strip, wholes, scales, channels, width))


@compiled
def _rounded_row(layer: Array, strip: int, row: int) -> tuple[int, int]:
    """Where a row of a strip stands as whole numbers, and where its scales do."""
    channels, width = layer[CHANNELS_IN], layer[SIZE_OUT]
    begun = strip + width * channels * 4
    scales = begun + layer[ROWS] * width * channels * 2
    return int(begun + row * width * channels * 2), int(scales + row * width * 4)


@compiled
def _point_rows(
    kind: int,
    layer: Array,
    work: int,
    weights: int,
    strip: int,
    rows: tuple[int, int],
    part: int,
    sizes: tuple[int, int, int],
) -> None:
    """Pointwise results of a strip, of one part of the output channels."""
    literally(kind)
    size, tile, factor = sizes
    channels, width, wide = layer[CHANNELS_IN], layer[SIZE_OUT], layer[CHANNELS_OUT]
    padding = layer[PADDING]
    line = (width + 2 * padding) * wide * size
    blocks = wide // tile
    for block in range(blocks * part // layer[SPLITS], blocks * (part + 1) // layer[SPLITS]):
        columns = weights + layer[POINT_WEIGHTS] + block * tile * channels * factor
        bias = weights + layer[POINT_BIAS] + block * tile * 4
        slope = weights + layer[POINT_SLOPE] + block * tile * 4
        scale = weights + layer[POINT_SCALE] + block * tile * 4
        for row in range(rows[0], rows[1]):
            target = work + layer[TARGET] + (row + padding) * line + block * tile * size
            source, pixel_scales = strip + (row - rows[0]) * width * channels * factor, 0
            if kind == _SHORT:
                source, pixel_scales = _rounded_row(layer, strip, row - rows[0])
            left = width
            while left > 0:
                at = width - left
                place = target + (at + padding) * wide * size
                begun = source + at * channels * factor
                given = (begun, columns, bias, slope, place, channels, wide * size)
                arguments = (*given, pixel_scales + at * 4, scale)
                left -= _point_tile(kind, left, arguments)


@compiled
def _point_tile(kind: int, left: int, arguments: tuple[int, int, int, int, int, int, int, int, int]) -> int:
    """One tile of a row of which so many pixels are left; returns how many it took.

    By the tiles of ``pixels_of``. They fill rows of seven times a power of two, as all of this network are.
    """
    literally(kind)
    if kind not in _NARROW:
        _pointwise(kind, arguments)
        return PIXELS
    if left % 6 == 0:
        _pointwise_6(kind, arguments)
        return 6
    if left > 3:
        _pointwise_4(kind, arguments)
        return 4
    _pointwise_3(kind, arguments)
    return 3


def _specialised(kind: int) -> Callable[..., None]:
    """The run for one kind: to look for the code of a constant at every call would take milliseconds."""

    @compiled
    def run(
        sizes: tuple[int, int, int],
        picture: Array,
        weights: Array,
        work: Array,
        plan: Array,
        counters: Array,
        strip: Array,
        last: Array,
        sums: Array,
    ) -> None:
        size = sizes[0]
        factors, space, own = weights.ctypes.data, work.ctypes.data, strip.ctypes.data
        taken, done = counters.ctypes.data, counters.ctypes.data + 8 * COUNTER_STEP
        step = 16 * COUNTER_STEP
        while True:
            row = take(taken)
            if row >= SIDE // 4:
                break
            for one in range(4 * row, 4 * row + 4):
                _first_layer(kind, picture, factors, space + plan[0, SOURCE], size, one)
            take(done)
        wait_for(done, SIDE // 4)
        for number in range(plan.shape[0]):
            layer = plan[number]
            taken, done = taken + step, done + step
            strips = (layer[SIZE_OUT] + layer[ROWS] - 1) // layer[ROWS]
            tasks = strips * layer[SPLITS]
            while True:
                task = take(taken)
                if task >= tasks:
                    break
                start = task % strips * layer[ROWS]
                rows = (start, min(start + layer[ROWS], layer[SIZE_OUT]))
                _depth_rows(kind, layer, space, factors, own, rows, size)
                _point_rows(kind, layer, space, factors, own, rows, task // strips, sizes)
                take(done)
            wait_for(done, tasks)
        taken, done = taken + step, done + step
        tasks = sums.shape[0]
        while True:
            task = take(taken)
            if task >= tasks:
                break
            source = space + last[0] + task * last[3] * size
            matrix = factors + last[1] + task * last[3] * OUTPUTS
            scales = factors + last[2] + task * OUTPUTS * 4
            _product(kind, (source, matrix, scales, sums[task].ctypes.data, last[3]))
            take(done)
        wait_for(done, tasks)

    return run


RUNS = {kind: _specialised(int(kind)) for kind in Kind}
"""Take part in one run of the network.

``sizes``: see ``tile_sizes``. ``picture``: float32 [114, 114, 3]. ``weights``, ``work`` and ``strip``
(the thread's own): bytes. ``plan``: int64 [blocks, COLUMNS]. ``counters``: int64, zeros at first.
``last``: offsets of the last layer's input, its matrix and the matrix's scales, and how many numbers a
task takes. ``sums``: float32 [tasks, 128], written.
"""


def compile_run(kind: Kind) -> None:
    """Compile one kind, or read its code from the disk; nothing is run."""
    load_without_blas()
    octets, numbers = np.zeros(1, np.uint8), np.zeros(1, np.int64)
    picture, sums = np.zeros((1, 1, 3), np.float32), np.zeros((1, OUTPUTS), np.float32)
    plan = np.zeros((1, COLUMNS), np.int64)
    given = (tile_sizes(kind), picture, octets, octets, plan, numbers, octets, numbers, sums)
    run: Any = RUNS[kind]
    run.compile(tuple(typeof(one) for one in given))


def tile_sizes(kind: Kind) -> tuple[int, int, int]:
    """Bytes of a number, channels of a pointwise tile, bytes of a number that is multiplied there."""
    return bytes_of(kind), tile_of(kind), factor_bytes_of(kind)


def strip_bytes(kind: Kind, rows: int, width: int, channels: int) -> int:
    """Of a thread's room for depthwise results, as ``_depth_rows`` uses it."""
    plain = rows * width * channels * factor_bytes_of(kind)
    return plain + width * (channels + rows) * 4 if kind is Kind.SHORT else plain
