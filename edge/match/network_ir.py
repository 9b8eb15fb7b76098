"""The inner loops of the embedding network in LLVM's language: some neighbouring pixels at a time.

Pixels stand one after another with all their channels (NHWC), so that a vector holds sixteen channels of one
pixel, or eight (edge.compute.vectors). Every width in the network is a multiple of seven.

    pointwise   1x1 convolution: a tile of some pixels by some vectors of channels stays in registers for all
                input channels; bias and PRelu are added before it is stored. 95 % of the work is here
    round       some pixels as the whole numbers that it takes with Kind.SHORT, with a scale for each
    depthwise   3x3 convolution of each channel by itself, bias and PRelu added, 7 pixels by 16 channels (or
                twice by eight)
    first       3x3 convolution of the picture's three channels into 32
    product     one vector times a matrix of 128 columns in whole numbers of 8 bits: the last layer
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from edge.compute.vectors import (
    F32,
    I16,
    LANES,
    WHOLES,
    Kind,
    absolute,
    bytes_of,
    declare,
    each,
    factor_bytes_of,
    floats_of,
    fma,
    is_narrow,
    lanes_of,
    larger,
    load,
    loop,
    multiplier,
    number,
    pointer,
    prelu,
    read,
    read_octets,
    splat,
    splat_at,
    splat_read,
    store,
    tile_of,
    zeros,
)

PIXELS = 7
OUTPUTS = 128
CHANNEL_STEP = 32
"""Every number of channels is a multiple of it."""

FIRST_CHANNELS = 32
LARGEST_SHORT = 2**13 - 1
"""Of a pixel's whole numbers: a part in 16,000 is lost. What is left of 32 bits is room for the weights."""

_PRODUCT_VECTORS = 8  # of the last layer, in registers
_TOGETHER = range(CHANNEL_STEP // lanes_of(Kind.SHORT))  # vectors of a pixel that is rounded
_NEVER_ZERO = 1e-30
_TO_WHOLE = 1.5 * 2**23
"""Added to a number of single precision, it leaves the nearest whole number in the lowest 16 bits."""
_COLOURS = 3


def pixels_of(kind: Kind) -> tuple[int, ...]:
    """Pixels of a pointwise tile. Seven make 28 sums for AVX-512's 32 registers, six make 12 for AVX2's 16.
    What is left of a row there goes by fours (eight sums are under way at a time), and of seven by three."""
    return (6, 4, 3) if is_narrow(kind) else (PIXELS,)


def emit_round(builder: Any, arguments: list[Any]) -> None:
    """``arguments``: pixels (float32, one after another), whole numbers (int16, written), their scales
    (float32, written: what each pixel's are to be multiplied by), channels, pixels."""
    source, target, scales, channels, pixels = arguments
    steps = builder.udiv(channels, number(len(_TOGETHER) * lanes_of(Kind.SHORT)))

    def of_pixel(pixel: Any) -> None:
        start = builder.mul(pixel, channels)
        numbers = builder.add(source, builder.mul(start, number(4)))
        largest = _largest_of(builder, numbers, steps)
        scale = builder.fmul(largest, ir.Constant(F32, 1 / LARGEST_SHORT))
        place = pointer(builder, builder.add(scales, builder.mul(pixel, number(4))), F32, 0)
        builder.store(scale, place).align = 4
        factor = builder.fdiv(ir.Constant(F32, LARGEST_SHORT), largest)
        wholes = builder.add(target, builder.mul(start, number(2)))
        _round_all(builder, numbers, wholes, steps, splat(builder, factor, lanes_of(Kind.SHORT)))

    each(builder, pixels, of_pixel)


def _vectors_at(builder: Any, source: Any, index: Any) -> list[Any]:
    """Those that are taken together, so many times on."""
    long = 4 * lanes_of(Kind.SHORT)
    place = builder.add(source, builder.mul(index, number(len(_TOGETHER) * long)))
    return [load(builder, place, floats_of(Kind.SHORT), long * vector) for vector in _TOGETHER]


def _largest_of(builder: Any, source: Any, steps: Any) -> Any:
    """The largest of a pixel's numbers without their signs; never 0."""
    numbers = floats_of(Kind.SHORT)

    def look(index: Any, best: list[Any]) -> list[Any]:
        pairs = zip(_vectors_at(builder, source, index), best, strict=True)
        return [larger(builder, absolute(builder, value), one) for value, one in pairs]

    least = ir.Constant(numbers, [_NEVER_ZERO] * numbers.count)
    one, two, three, four = loop(builder, steps, [least for _ in _TOGETHER], look)
    most = larger(builder, larger(builder, one, two), larger(builder, three, four))
    name = f"llvm.vector.reduce.fmax.v{numbers.count}f32"
    return builder.call(declare(builder, name, F32, [numbers]), [most])


def _round_all(builder: Any, source: Any, target: Any, steps: Any, factor: Any) -> None:
    """A pixel's numbers times the factor, as the nearest whole numbers."""
    numbers = floats_of(Kind.SHORT)
    shorts, rounding = ir.VectorType(I16, numbers.count), ir.Constant(numbers, [_TO_WHOLE] * numbers.count)
    long = 2 * numbers.count

    def once(index: Any) -> None:
        place = builder.add(target, builder.mul(index, number(len(_TOGETHER) * long)))
        for vector, value in enumerate(_vectors_at(builder, source, index)):
            bits = builder.bitcast(fma(builder, value, factor, rounding), WHOLES)
            whole = builder.trunc(bits, shorts)
            builder.store(whole, pointer(builder, place, shorts, long * vector)).align = 4

    each(builder, steps, once)


def emit_pointwise(builder: Any, kind: Kind, pixels: int, arguments: list[Any]) -> None:
    """Emit one tile. ``arguments``, 64-bit integers: input (pixels of ``channels`` numbers, one after
    another), weights of this tile, bias and slopes (float32), output, channels in, bytes from output pixel to
    output pixel, scales of the pixels and of the outputs (float32; of Kind.SHORT alone). Nothing is emitted
    for tiles that the kind has not.
    """
    if pixels not in pixels_of(kind):
        return
    source, weights, bias, slopes, target, channels, stride, *scales = arguments
    numbers, long = floats_of(kind), 4 * lanes_of(kind)
    vectors = range(tile_of(kind) // lanes_of(kind))
    row_bytes = builder.mul(channels, number(factor_bytes_of(kind)))
    rows = [builder.add(source, builder.mul(row_bytes, number(pixel))) for pixel in range(pixels)]
    if kind is Kind.SHORT:
        starts = [ir.Constant(WHOLES, None)] * len(vectors)
    else:
        starts = [load(builder, bias, numbers, long * vector) for vector in vectors]
    width = 4  # bytes of one number, or of one pair of short ones: what is spread over a vector
    count = builder.udiv(channels, number(width // factor_bytes_of(kind)))
    multiply = multiplier(builder, kind)

    def body(index: Any, sums: list[Any]) -> list[Any]:
        place = builder.add(weights, builder.mul(index, number(long * len(vectors))))
        columns = [load(builder, place, multiply.kind, long * vector) for vector in vectors]
        offset = builder.mul(index, number(width))
        after = []
        for pixel in range(pixels):
            spread = multiply.spread(builder.add(rows[pixel], offset))
            for vector in vectors:
                after.append(multiply.add(sums[pixel * len(vectors) + vector], spread, columns[vector]))
        return after

    sums = loop(builder, count, starts * pixels, body)
    if kind is Kind.SHORT:
        sums = _scaled(builder, sums, len(vectors), (bias, *scales))
    lines = [load(builder, slopes, numbers, long * vector) for vector in vectors]
    for pixel in range(pixels):
        place = builder.add(target, builder.mul(stride, number(pixel)))
        for vector in vectors:
            value = prelu(builder, sums[pixel * len(vectors) + vector], lines[vector])
            store(builder, kind, place, vector, value)


def _scaled(builder: Any, sums: list[Any], vectors: int, places: tuple[Any, Any, Any]) -> list[Any]:
    """Whole sums, pixel by pixel, as the numbers that they stand for. ``places``: of the biases, which are
    added, and of the scales of pixels and outputs."""
    numbers, lanes = floats_of(Kind.SHORT), lanes_of(Kind.SHORT)
    bias, of_pixels, of_outputs = places
    biases = [load(builder, bias, numbers, 4 * lanes * vector) for vector in range(vectors)]
    columns = [load(builder, of_outputs, numbers, 4 * lanes * vector) for vector in range(vectors)]
    values = []
    for at, total in enumerate(sums):
        pixel, vector = divmod(at, vectors)
        spread = splat_at(builder, builder.add(of_pixels, number(4 * pixel)), F32, lanes)
        scale = builder.fmul(spread, columns[vector])
        values.append(fma(builder, builder.sitofp(total, numbers), scale, biases[vector]))
    return values


def emit_depthwise(builder: Any, kind: Kind, stride: int, arguments: list[Any]) -> None:
    """Emit 7 pixels of 16 channels. ``arguments``: input (upper left neighbour of the first pixel), weights
    (float32 [9, channels] from these channels on), bias, slopes, output, bytes from input pixel to input
    pixel, bytes from input row to input row, bytes from output pixel to output pixel, bytes of a row of
    weights.
    """
    for part in range(LANES // lanes_of(kind)):
        _depthwise_part(builder, kind, stride, part, arguments)


def _depthwise_part(builder: Any, kind: Kind, stride: int, part: int, arguments: list[Any]) -> None:
    """One vector of the channels."""
    lanes, numbers = lanes_of(kind), floats_of(kind)
    stored, single = number(part * lanes * bytes_of(kind)), part * lanes * 4
    source, weights, bias, slopes, target, across, down, stride_out, weight_row = arguments
    source, target = builder.add(source, stored), builder.add(target, stored)
    sums = [load(builder, bias, numbers, single)] * PIXELS
    for row in range(3):
        line = builder.add(source, builder.mul(down, number(row)))
        rows = [
            builder.add(weights, builder.mul(weight_row, number(3 * row + column))) for column in range(3)
        ]
        factors = [load(builder, place, numbers, single) for place in rows]
        for column in range(stride * (PIXELS - 1) + 3):
            value = read(builder, kind, builder.add(line, builder.mul(across, number(column))))
            for offset in range(3):
                pixel, rest = divmod(column - offset, stride)
                if rest == 0 and 0 <= pixel < PIXELS:
                    sums[pixel] = fma(builder, value, factors[offset], sums[pixel])
    slope = load(builder, slopes, numbers, single)
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride_out, number(pixel)))
        store(builder, kind, place, 0, prelu(builder, sums[pixel], slope))


def emit_first(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit 7 pixels of 32 channels. ``arguments``: input (float32, upper left neighbour), weights (float32
    [27, 32]), bias, slopes, output, bytes from input row to input row, bytes from output pixel to output
    pixel.
    """
    every = range(FIRST_CHANNELS // lanes_of(kind))
    together = 1 if is_narrow(kind) else len(every)
    for start in every[::together]:
        _first_part(builder, kind, every[start : start + together], arguments)


def _first_part(builder: Any, kind: Kind, vectors: range, arguments: list[Any]) -> None:
    """Some vectors of the channels."""
    source, weights, bias, slopes, target, down, stride_out = arguments
    lanes, numbers = lanes_of(kind), floats_of(kind)
    sums = [[load(builder, bias, numbers, 4 * lanes * vector) for vector in vectors]] * PIXELS
    for row in range(3):
        line = builder.add(source, builder.mul(down, number(row)))
        for place in range(3 * _COLOURS):
            begun = 4 * FIRST_CHANNELS * (3 * _COLOURS * row + place)
            columns = [load(builder, weights, numbers, begun + 4 * lanes * vector) for vector in vectors]
            for pixel in range(PIXELS):
                at = builder.add(line, number(4 * (_COLOURS * pixel + place)))
                value = splat_at(builder, at, F32, lanes)
                pairs = zip(columns, sums[pixel], strict=True)
                sums[pixel] = [fma(builder, value, column, total) for column, total in pairs]
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride_out, number(pixel)))
        for vector, total in zip(vectors, sums[pixel], strict=True):
            slope = load(builder, slopes, numbers, 4 * lanes * vector)
            store(builder, kind, place, vector, prelu(builder, total, slope))


def emit_product(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit a vector times a matrix of 128 columns. ``arguments``: the vector, the matrix (int8 [numbers,
    128]), what its columns are multiplied by (float32 [128]), sums (float32 [128], written), how many
    numbers the vector has."""
    for start in range(0, OUTPUTS, _PRODUCT_VECTORS * lanes_of(kind)):
        _product_part(builder, kind, start, arguments)


def _product_part(builder: Any, kind: Kind, start: int, arguments: list[Any]) -> None:
    """Of as many columns as have their sums in registers, from ``start`` on."""
    source, weights, scales, target, channels = arguments
    lanes, numbers = lanes_of(kind), floats_of(kind)
    columns = range(start, start + _PRODUCT_VECTORS * lanes, lanes)

    def body(index: Any, sums: list[Any]) -> list[Any]:
        place = builder.add(weights, builder.mul(index, number(OUTPUTS)))
        spread = splat_read(builder, kind, builder.add(source, builder.mul(index, number(bytes_of(kind)))))
        return [
            fma(builder, spread, read_octets(builder, kind, place, column), total)
            for column, total in zip(columns, sums, strict=True)
        ]

    sums = loop(builder, channels, [zeros(numbers)] * len(columns), body)
    for column, total in zip(columns, sums, strict=True):
        value = builder.fmul(total, load(builder, scales, numbers, 4 * column))
        stored = builder.store(value, pointer(builder, target, numbers, 4 * column))
        stored.align = 4
