"""The detector's network, compiled: layers over strips of rows, and the faces that its answers tell.

A layer is a pointwise convolution and a depthwise one after it. Of the first only four rows are kept at a
time, in the processor's nearest cache, where the second finds them. Threads share the rows of a layer out
as those of the embedding network do: each takes the next that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.capture.detector_answers import ANSWERS, FOUND, read_answers
from edge.capture.detector_ir import (
    COLOURS,
    emit_bytes,
    emit_clear,
    emit_depthwise,
    emit_first,
    emit_largest,
    emit_pointwise,
    emit_pooled,
    emit_sum,
)
from edge.compute.compiling import compiled, literally, load_without_blas, typeof
from edge.compute.intrinsics import COUNTER_STEP, emitting, take, wait_for
from edge.compute.vectors import LANES, Kind, bytes_of

KEPT_ROWS = 4

Array = npt.NDArray[Any]

(
    INPUT,  # what the pointwise convolution takes, see below
    SOURCE,  # offsets in the workspace
    OTHER,  # the second source; of the first layer: weights of the first convolution
    TARGET,  # offset in the workspace; of a head: its first cell
    CHANNELS_IN,
    CHANNELS_OUT,
    HEIGHT,  # of both convolutions' output, before it is pooled
    WIDTH,
    OUTPUT,  # what becomes of the output, see below
    POINT_WEIGHTS,  # offsets in the weights
    POINT_BIAS,
    DEPTH_WEIGHTS,
    DEPTH_BIAS,
    TILE,  # channels of a pointwise tile
    ROWS,  # of output, that a task has
    COLUMNS,
) = range(16)
"""What the table of layers has of each, in int64."""

PLAIN, PICTURE, SUM, LARGEST = range(4)
"""Inputs: rows of the layer before; the picture, through the first convolution; sums with a layer of half
the size; the largest of 2x2 pixels."""

KEPT, POOLED, HEAD = range(3)
"""Outputs: as they are; the largest of 2x2; answers, which may be below 0."""

ZEROS, KEPT_AT, LINE, PICTURE_AT = range(4)
"""Offsets in a thread's strip: a row of zeros, the rows that are kept, one row of input, rows of numbers of
the picture."""


_bytes = emitting(lambda builder, _, rest: emit_bytes(builder, rest))
_clear = emitting(lambda builder, _, rest: emit_clear(builder, rest))
_first = emitting(emit_first)
_point = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, LANES, rest))
_point_2 = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, 2 * LANES, rest))
_point_4 = emitting(lambda builder, kind, rest: emit_pointwise(builder, kind, 4 * LANES, rest))
_depth = emitting(lambda builder, kind, rest: emit_depthwise(builder, kind, rest, last=False))
_depth_last = emitting(lambda builder, kind, rest: emit_depthwise(builder, kind, rest, last=True))
_depth_pooled = emitting(emit_pooled)
_sum = emitting(emit_sum)
_largest = emitting(emit_largest)


@compiled
def _picture_row(layer: Array, places: Array, strip: int, row: int, height: int) -> int:
    """Where a row of the picture stands as numbers, from the black pixel left of the first on."""
    if row < 0 or row >= height:
        return int(strip + places[ZEROS])
    line = (2 * layer[WIDTH] + 1) * COLOURS * 4
    return int(strip + places[PICTURE_AT] + (row % KEPT_ROWS) * line)


@compiled
def _from_picture(
    kind: int, layer: Array, picture: tuple[int, int, int], weights: int, places: Array, strip: int, row: int
) -> None:
    """One row of the first convolution, into the strip's line; the picture's rows come in order."""
    literally(kind)
    height, across = picture[1], picture[2] * COLOURS
    for number in range(2 * row, min(2 * row + 2, height)):
        begun = _picture_row(layer, places, strip, number, height) + COLOURS * 4
        _bytes(kind, (picture[0] + number * across, begun, across))
    above = _picture_row(layer, places, strip, 2 * row - 1, height)
    here = _picture_row(layer, places, strip, 2 * row, height)
    below = _picture_row(layer, places, strip, 2 * row + 1, height)
    _first(kind, (above, here, below, weights + layer[OTHER], strip + places[LINE], layer[WIDTH]))


@compiled
def _input_row(kind: int, size: int, layer: Array, work: int, places: Array, strip: int, row: int) -> int:
    """Where one row that the pointwise convolution takes stands; it is made where it is made of others."""
    literally(kind)
    line = strip + places[LINE]
    if layer[INPUT] == PICTURE:
        return int(line)
    width, channels = layer[WIDTH], layer[CHANNELS_IN]
    down = width * channels * size
    source = work + layer[SOURCE]
    if layer[INPUT] == SUM:
        other = work + layer[OTHER] + row // 2 * (down // 2)
        _sum(kind, (source + row * down, other, line, channels, width))
        return int(line)
    if layer[INPUT] == LARGEST:
        above = source + 4 * row * down  # two rows of twice the pixels
        _largest(kind, (above, above + 2 * down, line, channels, width))
        return int(line)
    return int(source + row * down)


@compiled
def _point_row(kind: int, size: int, layer: Array, weights: int, source: int, target: int) -> None:
    """One row of the pointwise convolution."""
    literally(kind)
    channels, width, wide, tile = layer[CHANNELS_IN], layer[WIDTH], layer[CHANNELS_OUT], layer[TILE]
    for start in range(0, wide, tile):
        arguments = (
            source,
            weights + layer[POINT_WEIGHTS] + start * channels * size,
            weights + layer[POINT_BIAS] + start * 4,
            target + start * 4,
            channels,
            width,
            wide * 4,
        )
        if tile == 4 * LANES:
            _point_4(kind, arguments)
        elif tile == 2 * LANES:
            _point_2(kind, arguments)
        else:
            _point(kind, arguments)


@compiled
def _kept_row(layer: Array, places: Array, strip: int, row: int) -> int:
    """Where a row of the pointwise convolution is kept, from the zeros left of its first pixel on."""
    if row < 0 or row >= layer[HEIGHT]:
        return int(strip + places[ZEROS])
    down = (layer[WIDTH] + 2) * layer[CHANNELS_OUT] * 4
    return int(strip + places[KEPT_AT] + row % KEPT_ROWS * down)


@compiled
def _depth_row(
    kind: int, size: int, layer: Array, weights: int, places: Array, strip: int, row: int, target: int
) -> None:
    """One row of output of the depthwise convolution."""
    literally(kind)
    wide, width = layer[CHANNELS_OUT], layer[WIDTH]
    factors, bias = weights + layer[DEPTH_WEIGHTS], weights + layer[DEPTH_BIAS]
    first = 2 * row - 1 if layer[OUTPUT] == POOLED else row - 1
    above = _kept_row(layer, places, strip, first)
    here = _kept_row(layer, places, strip, first + 1)
    below = _kept_row(layer, places, strip, first + 2)
    if layer[OUTPUT] == POOLED:
        lowest = _kept_row(layer, places, strip, first + 3)
        place = target + row * (width // 2) * wide * size
        _depth_pooled(kind, (above, here, below, lowest, factors, bias, place, wide, width // 2))
    elif layer[OUTPUT] == HEAD:
        place = target + row * width * wide * 4
        _depth_last(kind, (above, here, below, factors, bias, place, wide, width))
    else:
        place = target + row * width * wide * size
        _depth(kind, (above, here, below, factors, bias, place, wide, width))


@compiled
def _task(
    kind: int,
    size: int,
    layer: Array,
    picture: tuple[int, int, int],
    weights: int,
    memory: tuple[int, int],
    places: Array,
    strip: int,
    rows: tuple[int, int],
) -> None:
    """Some rows of output of one layer. ``memory``: the workspace, the answers."""
    literally(kind)
    wide, width = layer[CHANNELS_OUT], layer[WIDTH]
    for number in range(KEPT_ROWS):  # a row before and after it are zero
        kept = _kept_row(layer, places, strip, number)
        if number < layer[HEIGHT]:
            _clear(kind, (kept, wide // LANES))
            _clear(kind, (kept + (width + 1) * wide * 4, wide // LANES))
    pooled = 2 if layer[OUTPUT] == POOLED else 1
    following = max(0, pooled * rows[0] - 1)
    if layer[INPUT] == PICTURE:
        line = (2 * width + 1) * COLOURS * 4
        _clear(kind, (strip + places[PICTURE_AT], (KEPT_ROWS * line + 63) // 64))
        above = 2 * following - 1
        if 0 <= above < picture[1]:
            across = picture[2] * COLOURS
            begun = _picture_row(layer, places, strip, above, picture[1]) + COLOURS * 4
            _bytes(kind, (picture[0] + above * across, begun, across))
    target = memory[1] + layer[TARGET] * ANSWERS * 4 if layer[OUTPUT] == HEAD else memory[0] + layer[TARGET]
    for row in range(rows[0], rows[1]):
        while following <= min(pooled * (row + 1), layer[HEIGHT] - 1):
            if layer[INPUT] == PICTURE:
                _from_picture(kind, layer, picture, weights, places, strip, following)
            source = _input_row(kind, size, layer, memory[0], places, strip, following)
            kept = _kept_row(layer, places, strip, following) + wide * 4
            _point_row(kind, size, layer, weights, source, kept)
            following += 1
        _depth_row(kind, size, layer, weights, places, strip, row, target)


def _specialised(kind: int) -> Callable[..., None]:
    """The search for one kind: to look for the code of a constant at every call would take milliseconds."""

    @compiled
    def run(
        size: int,
        picture: tuple[int, int, int],
        weights: Array,
        work: Array,
        plan: Array,
        places: Array,
        counters: Array,
        strip: Array,
        answers: Array,
    ) -> None:
        memory = (work.ctypes.data, answers.ctypes.data)
        taken, done = counters.ctypes.data, counters.ctypes.data + 8 * COUNTER_STEP
        for number in range(plan.shape[0]):
            layer = plan[number]
            height = layer[HEIGHT] // 2 if layer[OUTPUT] == POOLED else layer[HEIGHT]
            tasks = (height + layer[ROWS] - 1) // layer[ROWS]
            while True:
                task = take(taken)
                if task >= tasks:
                    break
                rows = (task * layer[ROWS], min((task + 1) * layer[ROWS], height))
                own = strip.ctypes.data
                _task(kind, size, layer, picture, weights.ctypes.data, memory, places, own, rows)
                take(done)
            wait_for(done, tasks)
            taken, done = taken + 16 * COUNTER_STEP, done + 16 * COUNTER_STEP

    return run


RUNS = {kind: _specialised(int(kind)) for kind in (Kind.SINGLE, Kind.SINGLE_WIDE, Kind.BFLOAT)}
"""Take part in one search. (Whole numbers of 16 bits: see ADR 0053.)

``size``: bytes of a number. ``picture``: where its bytes begin (uint8 [height, width, 3], BGR), height,
width. ``weights``, ``work`` and ``strip`` (the thread's own): bytes. ``plan``: int64 [layers, COLUMNS].
``places``: int64 [4]. ``counters``: int64, zeros at first. ``answers``: float32 [cells, ANSWERS], written.
"""


def compile_run(kind: Kind) -> None:
    """Compile one kind, or read its code from the disk; nothing is run."""
    load_without_blas()
    octets, numbers = np.zeros(1, np.uint8), np.zeros(1, np.int64)
    picture, answers = (0, 0, 0), np.zeros((1, ANSWERS), np.float32)
    plan, grids = np.zeros((1, COLUMNS), np.int64), np.zeros((1, 3), np.int64)
    given = (bytes_of(kind), picture, octets, octets, plan, numbers, numbers, octets, answers)
    run: Any = RUNS[kind]
    run.compile(tuple(typeof(one) for one in given))
    found = np.zeros((1, FOUND), np.float32)
    reading: Any = read_answers
    reading.compile(tuple(typeof(one) for one in (answers, grids, 0.5, found)))
