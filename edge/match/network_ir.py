"""The inner loops of the embedding network in LLVM's language: seven neighbouring pixels at a time.

Pixels stand one after another with all their channels (NHWC), so that a vector holds sixteen channels of one
pixel. Every width in the network is a multiple of seven, every number of channels one of 32.

    pointwise   1x1 convolution: a tile of 7 pixels by some vectors of channels stays in registers for all
                input channels; bias and PRelu are added before it is stored. 95 % of the work is here
    depthwise   3x3 convolution of each channel by itself, bias and PRelu added, 7 pixels by 16 channels
    first       3x3 convolution of the picture's three channels into 32
    product     one vector times a matrix of 128 columns in whole numbers of 8 bits: the last layer
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from edge.compute.vectors import (
    F32,
    FLOATS,
    LANES,
    Kind,
    bytes_of,
    fma,
    load,
    loop,
    multiplier,
    number,
    pointer,
    prelu,
    read,
    read_octets,
    splat_at,
    splat_read,
    store,
    vectors_of,
)

PIXELS = 7
OUTPUTS = 128
FIRST_CHANNELS = 32
_COLOURS = 3


def emit_pointwise(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit one tile. ``arguments``, 64-bit integers: input (7 pixels of ``channels`` numbers, one after
    another), weights of this tile, bias and slopes (float32), output, channels in, bytes from output pixel to
    output pixel.
    """
    source, weights, bias, slopes, target, channels, stride = arguments
    vectors, step = vectors_of(kind), 2 if kind is Kind.BFLOAT else 1
    row_bytes = builder.mul(channels, number(bytes_of(kind)))
    rows = [builder.add(source, builder.mul(row_bytes, number(pixel))) for pixel in range(PIXELS)]
    starts = [load(builder, bias, FLOATS, 64 * vector) for vector in range(vectors)]
    count = builder.udiv(channels, number(step))
    multiply = multiplier(builder, kind)
    width = 4  # bytes of one number, or of one pair of short ones: what is spread over a vector

    def body(index: Any, sums: list[Any]) -> list[Any]:
        place = builder.add(weights, builder.mul(index, number(64 * vectors)))
        columns = [load(builder, place, multiply.kind, 64 * vector) for vector in range(vectors)]
        offset = builder.mul(index, number(width))
        after = []
        for pixel in range(PIXELS):
            spread = multiply.spread(builder.add(rows[pixel], offset))
            for vector in range(vectors):
                after.append(multiply.add(sums[pixel * vectors + vector], spread, columns[vector]))
        return after

    sums = loop(builder, count, [starts[v] for _ in range(PIXELS) for v in range(vectors)], body)
    lines = [load(builder, slopes, FLOATS, 64 * vector) for vector in range(vectors)]
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride, number(pixel)))
        for vector in range(vectors):
            value = prelu(builder, sums[pixel * vectors + vector], lines[vector])
            store(builder, kind, place, vector, value)


def emit_depthwise(builder: Any, kind: Kind, stride: int, arguments: list[Any]) -> None:
    """Emit 7 pixels of 16 channels. ``arguments``: input (upper left neighbour of the first pixel), weights
    (float32 [9, channels] from these channels on), bias, slopes, output, bytes from input pixel to input
    pixel, bytes from input row to input row, bytes from output pixel to output pixel, bytes of a row of
    weights.
    """
    source, weights, bias, slopes, target, across, down, stride_out, weight_row = arguments
    sums = [load(builder, bias, FLOATS, 0)] * PIXELS
    for row in range(3):
        line = builder.add(source, builder.mul(down, number(row)))
        factors = [
            load(builder, builder.add(weights, builder.mul(weight_row, number(3 * row + column))), FLOATS, 0)
            for column in range(3)
        ]
        for column in range(stride * (PIXELS - 1) + 3):
            value = read(builder, kind, builder.add(line, builder.mul(across, number(column))))
            for offset in range(3):
                pixel, rest = divmod(column - offset, stride)
                if rest == 0 and 0 <= pixel < PIXELS:
                    sums[pixel] = fma(builder, value, factors[offset], sums[pixel])
    slope = load(builder, slopes, FLOATS, 0)
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride_out, number(pixel)))
        store(builder, kind, place, 0, prelu(builder, sums[pixel], slope))


def emit_first(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit 7 pixels of 32 channels. ``arguments``: input (float32, upper left neighbour), weights (float32
    [27, 32]), bias, slopes, output, bytes from input row to input row, bytes from output pixel to output
    pixel.
    """
    source, weights, bias, slopes, target, down, stride_out = arguments
    vectors = FIRST_CHANNELS // LANES
    sums = [load(builder, bias, FLOATS, 64 * vector) for _ in range(PIXELS) for vector in range(vectors)]
    for row in range(3):
        line = builder.add(source, builder.mul(down, number(row)))
        for place in range(3 * _COLOURS):
            weight = 3 * _COLOURS * row + place
            columns = [
                load(builder, weights, FLOATS, 64 * (vectors * weight + vector)) for vector in range(vectors)
            ]
            for pixel in range(PIXELS):
                value = splat_at(builder, builder.add(line, number(4 * (_COLOURS * pixel + place))), F32)
                for vector in range(vectors):
                    at = pixel * vectors + vector
                    sums[at] = fma(builder, value, columns[vector], sums[at])
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride_out, number(pixel)))
        for vector in range(vectors):
            slope = load(builder, slopes, FLOATS, 64 * vector)
            store(builder, kind, place, vector, prelu(builder, sums[pixel * vectors + vector], slope))


def emit_product(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit a vector times a matrix of 128 columns. ``arguments``: the vector, the matrix (int8 [numbers,
    128]), what its columns are multiplied by (float32 [128]), sums (float32 [128], written), how many
    numbers the vector has."""
    source, weights, scales, target, channels = arguments
    vectors = OUTPUTS // LANES

    def body(index: Any, sums: list[Any]) -> list[Any]:
        place = builder.add(weights, builder.mul(index, number(OUTPUTS)))
        spread = splat_read(builder, kind, builder.add(source, builder.mul(index, number(bytes_of(kind)))))
        return [
            fma(builder, spread, read_octets(builder, place, LANES * vector), sums[vector])
            for vector in range(vectors)
        ]

    zero = ir.Constant(FLOATS, [0.0] * LANES)
    sums = loop(builder, channels, [zero] * vectors, body)
    for vector in range(vectors):
        value = builder.fmul(sums[vector], load(builder, scales, FLOATS, 64 * vector))
        stored = builder.store(value, pointer(builder, target, FLOATS, 64 * vector))
        stored.align = 4
