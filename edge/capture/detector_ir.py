"""The inner loops of the detector in LLVM's language: one row of a layer at a time.

Pixels stand one after another with all their channels (NHWC), so that a vector holds sixteen channels of one
pixel, or eight (edge.compute.vectors). Every number of channels is 16, 32 or 64; a row has any number of
pixels: four at a time, the rest one by one.

    bytes       a row of the picture as numbers
    first       3x3 convolution of the picture's three channels into 16, every second pixel and row
    pointwise   1x1 convolution: sums of 4 pixels by some vectors of channels stay in registers for all input
                channels; without an activation, as YuNet has it
    depthwise   3x3 convolution of each channel by itself, and what is below 0 becomes 0
    pooled      the same, and the largest of 2x2 pixels is kept
    sum, largest  what a layer's input is made of: a pixel added to one of half the size, the largest of 2x2

What a pointwise convolution takes is stored as the kind of numbers says; what it gives is kept in single
precision until the depthwise one has taken it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from edge.compute.vectors import (
    F32,
    FLOATS,
    I8,
    LANES,
    Kind,
    bytes_of,
    each,
    floats_of,
    fma,
    lanes_of,
    larger,
    load,
    loop,
    multiplier,
    number,
    pointer,
    read,
    relu,
    splat_at,
    store,
    tile_of,
    zeros,
)

PIXELS = 4
FIRST_CHANNELS = 16
COLOURS = 3
_FLOAT, _VECTOR = 4, 4 * LANES
"""Bytes of a number of single precision, and of sixteen of them."""


def emit_bytes(builder: Any, arguments: list[Any]) -> None:
    """``arguments``, 64-bit integers here and below: bytes, numbers (float32, written), how many."""
    source, target, count = arguments
    octets = ir.VectorType(I8, LANES)

    def copy(place: Any, kind: Any, numbers: Any) -> None:
        loaded = builder.load(pointer(builder, builder.add(source, place), kind, 0))
        loaded.align = 1
        value = builder.uitofp(loaded, numbers)
        start = builder.add(target, builder.mul(place, number(_FLOAT)))
        builder.store(value, pointer(builder, start, numbers, 0)).align = 4

    whole = builder.udiv(count, number(LANES))
    each(builder, whole, lambda index: copy(builder.mul(index, number(LANES)), octets, FLOATS))
    done = builder.mul(whole, number(LANES))
    each(builder, builder.sub(count, done), lambda index: copy(builder.add(done, index), I8, F32))


def emit_clear(builder: Any, arguments: list[Any]) -> None:
    """``arguments``: where vectors of zeros are written, how many."""
    target, count = arguments

    def clear(index: Any) -> None:
        place = builder.add(target, builder.mul(index, number(_VECTOR)))
        builder.store(zeros(FLOATS), pointer(builder, place, FLOATS, 0)).align = 4

    each(builder, count, clear)


def emit_first(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """``arguments``: three rows of the picture (float32, from the pixel left of the first on), weights
    (float32 [27, 16]: rows, columns, colours; then the bias), output, output pixels."""
    for part in range(FIRST_CHANNELS // lanes_of(kind)):
        _first_part(builder, kind, part, arguments)


def _first_part(builder: Any, kind: Kind, part: int, arguments: list[Any]) -> None:
    """One vector of the channels."""
    *rows, weights, target, pixels = arguments
    lanes, numbers = lanes_of(kind), floats_of(kind)
    factors = [
        load(builder, weights, numbers, _FLOAT * (FIRST_CHANNELS * place + lanes * part))
        for place in range(9 * COLOURS + 1)
    ]
    target = builder.add(target, number(part * lanes * bytes_of(kind)))

    def tile(start: Any, place: Any, width: int) -> None:
        sums = [factors[-1]] * width
        for row in range(3):
            line = builder.add(rows[row], builder.mul(start, number(2 * COLOURS * _FLOAT)))
            for at in range(3 * COLOURS):
                for pixel in range(width):
                    offset = number(_FLOAT * (2 * COLOURS * pixel + at))
                    value = splat_at(builder, builder.add(line, offset), F32, lanes)
                    sums[pixel] = fma(builder, value, factors[3 * COLOURS * row + at], sums[pixel])
        for pixel, total in enumerate(sums):
            goal = builder.add(place, number(pixel * FIRST_CHANNELS * bytes_of(kind)))
            store(builder, kind, goal, 0, relu(builder, total))

    _tiles(builder, pixels, (target, FIRST_CHANNELS * bytes_of(kind)), tile)


def emit_pointwise(builder: Any, kind: Kind, wide: int, arguments: list[Any]) -> None:
    """``arguments``: input, weights of a tile so many channels wide, their bias (float32), output (float32),
    input channels, pixels, bytes from output pixel to output pixel.

    Nothing is emitted for tiles wider than the kind's.
    """
    if wide > tile_of(kind):
        return
    vectors, long = wide // lanes_of(kind), _FLOAT * lanes_of(kind)
    source, weights, bias, target, channels, pixels, stride = arguments
    row_bytes = builder.mul(channels, number(bytes_of(kind)))
    starts = [load(builder, bias, floats_of(kind), long * vector) for vector in range(vectors)]
    steps = builder.udiv(channels, number(2 if kind is Kind.BFLOAT else 1))
    multiply = multiplier(builder, kind)

    def tile(start: Any, place: Any, width: int) -> None:
        first = builder.add(source, builder.mul(start, row_bytes))
        inputs = [builder.add(first, builder.mul(row_bytes, number(pixel))) for pixel in range(width)]

        def body(index: Any, sums: list[Any]) -> list[Any]:
            begin = builder.add(weights, builder.mul(index, number(long * vectors)))
            columns = [load(builder, begin, multiply.kind, long * vector) for vector in range(vectors)]
            offset = builder.mul(index, number(4))  # a number, or a pair of short ones
            after = []
            for pixel in range(width):
                spread = multiply.spread(builder.add(inputs[pixel], offset))
                row = sums[pixel * vectors : (pixel + 1) * vectors]
                after += [multiply.add(one, spread, column) for one, column in zip(row, columns, strict=True)]
            return after

        sums = loop(builder, steps, starts * width, body)
        for at, total in enumerate(sums):
            pixel, vector = divmod(at, vectors)
            store(builder, Kind.SINGLE, builder.add(place, builder.mul(stride, number(pixel))), vector, total)

    _tiles(builder, pixels, (target, stride), tile)


def emit_depthwise(builder: Any, kind: Kind, arguments: list[Any], *, last: bool) -> None:
    """``arguments``: three rows of input (float32, from the pixel left of the first on), weights (float32
    [9, channels]), bias, output, channels, pixels.

    ``last``: nothing follows, so that numbers below 0 stay and are stored in single precision.
    """
    *rows, weights, bias, target, channels, pixels = arguments
    across = builder.mul(channels, number(_FLOAT))
    out = Kind.SINGLE if last else kind
    stride = builder.mul(channels, number(bytes_of(out)))
    lanes, numbers = lanes_of(kind), floats_of(kind)

    def group(index: Any) -> None:
        place = builder.mul(index, number(_FLOAT * lanes))
        factors = _factors(builder, kind, builder.add(weights, place), across)
        begun = load(builder, builder.add(bias, place), numbers, 0)

        def tile(start: Any, goal: Any, width: int) -> None:
            sums = [begun] * width
            for row in range(3):
                line = builder.add(builder.add(rows[row], place), builder.mul(start, across))
                for column in range(width + 2):
                    at = builder.add(line, builder.mul(across, number(column)))
                    value = load(builder, at, numbers, 0)
                    for offset in range(3):
                        if 0 <= column - offset < width:
                            total = sums[column - offset]
                            sums[column - offset] = fma(builder, value, factors[3 * row + offset], total)
            for pixel, total in enumerate(sums):
                at = builder.add(goal, builder.mul(stride, number(pixel)))
                store(builder, out, at, 0, total if last else relu(builder, total))

        goal = builder.add(target, builder.mul(index, number(lanes * bytes_of(out))))
        _tiles(builder, pixels, (goal, stride), tile)

    each(builder, builder.udiv(channels, number(lanes)), group)


def emit_pooled(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """``arguments``: four rows of input, else as of ``emit_depthwise``; pixels are those of the output."""
    *rows, weights, bias, target, channels, pixels = arguments
    across = builder.mul(channels, number(_FLOAT))
    stride = builder.mul(channels, number(bytes_of(kind)))
    lanes, numbers = lanes_of(kind), floats_of(kind)

    def group(index: Any) -> None:
        place = builder.mul(index, number(_FLOAT * lanes))
        factors = _factors(builder, kind, builder.add(weights, place), across)
        begun = load(builder, builder.add(bias, place), numbers, 0)
        goal = builder.add(target, builder.mul(index, number(lanes * bytes_of(kind))))

        def pixel(start: Any) -> None:
            sums = {(down, right): begun for down in range(2) for right in range(2)}
            begin = builder.mul(builder.mul(start, number(2)), across)
            for row in range(4):
                line = builder.add(builder.add(rows[row], place), begin)
                for column in range(4):
                    at = builder.add(line, builder.mul(across, number(column)))
                    value = load(builder, at, numbers, 0)
                    for (down, right), total in sums.items():
                        if 0 <= row - down < 3 and 0 <= column - right < 3:
                            factor = factors[3 * (row - down) + column - right]
                            sums[down, right] = fma(builder, value, factor, total)
            one, two, three, four = sums.values()
            best = larger(builder, larger(builder, one, two), larger(builder, three, four))
            store(builder, kind, builder.add(goal, builder.mul(start, stride)), 0, relu(builder, best))

        each(builder, pixels, pixel)

    each(builder, builder.udiv(channels, number(lanes)), group)


def emit_sum(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """``arguments``: a row, one of half its pixels, their sum (written), channels, pixels."""
    one, other, target, channels, pixels = arguments

    def value(place: Any, pixel: Any, offset: Any) -> Any:
        half = builder.udiv(pixel, number(2))
        beside = builder.add(builder.mul(half, builder.mul(channels, number(bytes_of(kind)))), offset)
        return builder.fadd(
            read(builder, kind, builder.add(one, place)), read(builder, kind, builder.add(other, beside))
        )

    _vectors(builder, kind, (target, channels, pixels), value)


def emit_largest(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """``arguments``: two rows, a row of half their pixels (written), channels, pixels of that."""
    one, other, target, channels, pixels = arguments
    across = builder.mul(channels, number(bytes_of(kind)))

    def value(_: Any, pixel: Any, offset: Any) -> Any:
        start = builder.add(builder.mul(builder.mul(pixel, number(2)), across), offset)
        four = [
            read(builder, kind, builder.add(builder.add(row, start), extra))
            for row in (one, other)
            for extra in (number(0), across)
        ]
        return larger(builder, larger(builder, four[0], four[1]), larger(builder, four[2], four[3]))

    _vectors(builder, kind, (target, channels, pixels), value)


def _vectors(
    builder: Any, kind: Kind, room: tuple[Any, Any, Any], value: Callable[[Any, Any, Any], Any]
) -> None:
    """Write each vector of a row. ``value`` takes its offset in the row, its pixel and its offset in that."""
    target, channels, pixels = room
    across = builder.mul(channels, number(bytes_of(kind)))

    def one_pixel(pixel: Any) -> None:
        start = builder.mul(pixel, across)

        def one_vector(index: Any) -> None:
            offset = builder.mul(index, number(lanes_of(kind) * bytes_of(kind)))
            place = builder.add(start, offset)
            store(builder, kind, builder.add(target, place), 0, value(place, pixel, offset))

        each(builder, builder.udiv(channels, number(lanes_of(kind))), one_vector)

    each(builder, pixels, one_pixel)


def _factors(builder: Any, kind: Kind, weights: Any, across: Any) -> list[Any]:
    return [
        load(builder, builder.add(weights, builder.mul(across, number(place))), floats_of(kind), 0)
        for place in range(9)
    ]


def _tiles(builder: Any, pixels: Any, goal: tuple[Any, Any], tile: Callable[[Any, Any, int], None]) -> None:
    """Emit ``tile`` (first pixel, where its output goes, how many) for all pixels of a row.

    ``goal``: where the row's output goes, and bytes from pixel to pixel there (a number or emitted).
    """
    target, step = goal[0], number(goal[1]) if isinstance(goal[1], int) else goal[1]
    whole = builder.udiv(pixels, number(PIXELS))
    done = builder.mul(whole, number(PIXELS))

    def many(index: Any) -> None:
        start = builder.mul(index, number(PIXELS))
        tile(start, builder.add(target, builder.mul(start, step)), PIXELS)

    def single(index: Any) -> None:
        start = builder.add(done, index)
        tile(start, builder.add(target, builder.mul(start, step)), 1)

    each(builder, whole, many)
    each(builder, builder.sub(pixels, done), single)
