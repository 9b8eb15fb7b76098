"""The inner loops of the embedding network in LLVM's language: seven neighbouring pixels at a time.

Pixels stand one after another with all their channels (NHWC), so that a vector holds sixteen channels of one
pixel. Every width in the network is a multiple of seven, every number of channels one of 32.

    pointwise   1x1 convolution: a tile of 7 pixels by some vectors of channels stays in registers for all
                input channels; bias and PRelu are added before it is stored. 95 % of the work is here
    depthwise   3x3 convolution of each channel by itself, bias and PRelu added, 7 pixels by 16 channels
    first       3x3 convolution of the picture's three channels into 32
    product     one vector times a matrix of 128 columns: the last layer

Two kinds of numbers: single precision, and bfloat16 with sums in single precision where the processor
multiplies pairs of them (vdpbf16ps, twice the products in an instruction and half the memory). In LLVM's own
vectors where no instruction is named: it finds what the machine has.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from llvmlite import ir

LANES = 16
PIXELS = 7
OUTPUTS = 128
FIRST_CHANNELS = 32
_COLOURS = 3


class Kind(IntEnum):
    """How numbers are stored, and how many vectors of channels a tile has."""

    SINGLE = 0
    """One vector: 7 x 16 sums fill the 16 registers of AVX2 and 28 of NEON's 32."""
    SINGLE_WIDE = 1
    """Four vectors: 28 of AVX-512's 32 registers."""
    BFLOAT = 2


class _BFloat(ir.Type):  # type: ignore[misc]
    """bfloat16, which llvmlite does not name."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_I8, _I16, _I32, _I64, _F32 = (
    ir.IntType(8),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
    ir.FloatType(),
)
_FLOATS = ir.VectorType(_F32, LANES)
_WORDS = ir.VectorType(_I32, LANES)
_SHORTS = ir.VectorType(_I16, LANES)
_PAIRS = ir.VectorType(_BFloat(), 2 * LANES)


def vectors_of(kind: Kind) -> int:
    """Vectors of channels in a pointwise tile."""
    return 1 if kind is Kind.SINGLE else 4


def bytes_of(kind: Kind) -> int:
    """Of a number in memory."""
    return 2 if kind is Kind.BFLOAT else 4


def choose_kind(features: Any) -> Kind:
    """The fastest for a machine with these features (llvmlite's host features, or any mapping)."""
    if features.get("avx512bf16") and features.get("avx512vl"):
        return Kind.BFLOAT
    return Kind.SINGLE_WIDE if features.get("avx512f") else Kind.SINGLE


def emit_pointwise(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit one tile. ``arguments``, 64-bit integers: input (7 pixels of ``channels`` numbers, one after
    another), weights of this tile, bias and slopes (float32), output, channels in, bytes from output pixel to
    output pixel.
    """
    source, weights, bias, slopes, target, channels, stride = arguments
    vectors, step = vectors_of(kind), 2 if kind is Kind.BFLOAT else 1
    row_bytes = builder.mul(channels, _int(bytes_of(kind)))
    rows = [builder.add(source, builder.mul(row_bytes, _int(pixel))) for pixel in range(PIXELS)]
    starts = [_load(builder, bias, _FLOATS, 64 * vector) for vector in range(vectors)]
    count = builder.udiv(channels, _int(step))
    multiply = _multiplier(builder, kind)
    width = 4  # bytes of one number, or of one pair of short ones: what is spread over a vector

    def body(index: Any, sums: list[Any]) -> list[Any]:
        place = builder.add(weights, builder.mul(index, _int(64 * vectors)))
        columns = [_load(builder, place, multiply.kind, 64 * vector) for vector in range(vectors)]
        offset = builder.mul(index, _int(width))
        after = []
        for pixel in range(PIXELS):
            spread = multiply.spread(builder.add(rows[pixel], offset))
            for vector in range(vectors):
                after.append(multiply.add(sums[pixel * vectors + vector], spread, columns[vector]))
        return after

    sums = _loop(builder, count, [starts[v] for _ in range(PIXELS) for v in range(vectors)], body)
    lines = [_load(builder, slopes, _FLOATS, 64 * vector) for vector in range(vectors)]
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride, _int(pixel)))
        for vector in range(vectors):
            value = _prelu(builder, sums[pixel * vectors + vector], lines[vector])
            _store(builder, kind, place, vector, value)


def emit_depthwise(builder: Any, kind: Kind, stride: int, arguments: list[Any]) -> None:
    """Emit 7 pixels of 16 channels. ``arguments``: input (upper left neighbour of the first pixel), weights
    (float32 [9, channels] from these channels on), bias, slopes, output, bytes from input pixel to input
    pixel, bytes from input row to input row, bytes from output pixel to output pixel, bytes of a row of
    weights.
    """
    source, weights, bias, slopes, target, across, down, stride_out, weight_row = arguments
    sums = [_load(builder, bias, _FLOATS, 0)] * PIXELS
    for row in range(3):
        line = builder.add(source, builder.mul(down, _int(row)))
        factors = [
            _load(builder, builder.add(weights, builder.mul(weight_row, _int(3 * row + column))), _FLOATS, 0)
            for column in range(3)
        ]
        for column in range(stride * (PIXELS - 1) + 3):
            value = _read(builder, kind, builder.add(line, builder.mul(across, _int(column))))
            for offset in range(3):
                pixel, rest = divmod(column - offset, stride)
                if rest == 0 and 0 <= pixel < PIXELS:
                    sums[pixel] = _fma(builder, value, factors[offset], sums[pixel])
    slope = _load(builder, slopes, _FLOATS, 0)
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride_out, _int(pixel)))
        _store(builder, kind, place, 0, _prelu(builder, sums[pixel], slope))


def emit_first(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit 7 pixels of 32 channels. ``arguments``: input (float32, upper left neighbour), weights (float32
    [27, 32]), bias, slopes, output, bytes from input row to input row, bytes from output pixel to output
    pixel.
    """
    source, weights, bias, slopes, target, down, stride_out = arguments
    vectors = FIRST_CHANNELS // LANES
    sums = [_load(builder, bias, _FLOATS, 64 * vector) for _ in range(PIXELS) for vector in range(vectors)]
    for row in range(3):
        line = builder.add(source, builder.mul(down, _int(row)))
        for place in range(3 * _COLOURS):
            number = 3 * _COLOURS * row + place
            columns = [
                _load(builder, weights, _FLOATS, 64 * (vectors * number + vector))
                for vector in range(vectors)
            ]
            for pixel in range(PIXELS):
                value = _splat_at(builder, builder.add(line, _int(4 * (_COLOURS * pixel + place))), _F32)
                for vector in range(vectors):
                    at = pixel * vectors + vector
                    sums[at] = _fma(builder, value, columns[vector], sums[at])
    for pixel in range(PIXELS):
        place = builder.add(target, builder.mul(stride_out, _int(pixel)))
        for vector in range(vectors):
            slope = _load(builder, slopes, _FLOATS, 64 * vector)
            _store(builder, kind, place, vector, _prelu(builder, sums[pixel * vectors + vector], slope))


def emit_product(builder: Any, kind: Kind, arguments: list[Any]) -> None:
    """Emit a vector times a matrix of 128 columns. ``arguments``: the vector, the matrix (as a pointwise
    tile's weights, eight vectors wide), sums (float32 [128], written), how many numbers the vector has."""
    source, weights, target, channels = arguments
    vectors, step = OUTPUTS // LANES, 2 if kind is Kind.BFLOAT else 1
    multiply = _multiplier(builder, kind)

    def body(index: Any, sums: list[Any]) -> list[Any]:
        place = builder.add(weights, builder.mul(index, _int(64 * vectors)))
        spread = multiply.spread(builder.add(source, builder.mul(index, _int(4))))
        return [
            multiply.add(sums[vector], spread, _load(builder, place, multiply.kind, 64 * vector))
            for vector in range(vectors)
        ]

    zero = ir.Constant(_FLOATS, [0.0] * LANES)
    sums = _loop(builder, builder.udiv(channels, _int(step)), [zero] * vectors, body)
    for vector in range(vectors):
        stored = builder.store(sums[vector], _pointer(builder, target, _FLOATS, 64 * vector))
        stored.align = 4


def emit_take(builder: Any, address: Any) -> Any:
    """Emit the next number of a counter (int64) that threads share."""
    return builder.atomic_rmw("add", _pointer(builder, address, _I64, 0), _int(1), "acq_rel")


def emit_look(builder: Any, address: Any) -> Any:
    """Emit what such a counter shows."""
    return builder.load_atomic(_pointer(builder, address, _I64, 0), "acquire", 8)


def emit_yield(builder: Any) -> None:
    """Emit a word to the system that another thread may have the processor."""
    function = ir.FunctionType(_I32, [])
    known = builder.module.globals.get("sched_yield")
    builder.call(known or ir.Function(builder.module, function, "sched_yield"), [])


class _Multiplier:
    """One instruction's worth of products: how its operand is spread, and how it is added."""

    def __init__(self, kind: Any, spread: Callable[[Any], Any], add: Callable[[Any, Any, Any], Any]) -> None:
        self.kind = kind
        self.spread = spread
        self.add = add


def _multiplier(builder: Any, kind: Kind) -> _Multiplier:
    if kind is not Kind.BFLOAT:
        return _Multiplier(
            _FLOATS,
            lambda address: _splat_at(builder, address, _F32),
            lambda total, spread, column: _fma(builder, spread, column, total),
        )
    dot = _declare(builder, "llvm.x86.avx512bf16.dpbf16ps.512", _FLOATS, [_FLOATS, _PAIRS, _PAIRS])
    return _Multiplier(
        _PAIRS,
        lambda address: builder.bitcast(_splat_at(builder, address, _I32), _PAIRS),
        lambda total, spread, column: builder.call(dot, [total, spread, column]),
    )


def _loop(
    builder: Any, count: Any, starts: list[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Run ``body`` for 0, 1, ... below ``count`` (at least once); values are carried in registers."""
    before = builder.block
    inside, after = builder.append_basic_block("inside"), builder.append_basic_block("after")
    builder.branch(inside)
    builder.position_at_end(inside)
    index = builder.phi(_I64)
    carried = [builder.phi(start.type) for start in starts]
    results = body(index, list(carried))
    following = builder.add(index, _int(1))
    last = builder.block
    index.add_incoming(_int(0), before)
    index.add_incoming(following, last)
    for phi, start, result in zip(carried, starts, results, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(result, last)
    builder.cbranch(builder.icmp_unsigned("<", following, count), inside, after)
    builder.position_at_end(after)
    return results


def _prelu(builder: Any, value: Any, slope: Any) -> Any:
    above = builder.fcmp_ordered(">", value, ir.Constant(_FLOATS, [0.0] * LANES))
    return builder.select(above, value, builder.fmul(value, slope))


def _read(builder: Any, kind: Kind, address: Any) -> Any:
    if kind is not Kind.BFLOAT:
        return _load(builder, address, _FLOATS, 0)
    words = builder.zext(_load(builder, address, _SHORTS, 0), _WORDS)
    return builder.bitcast(builder.shl(words, ir.Constant(_WORDS, [16] * LANES)), _FLOATS)


def _store(builder: Any, kind: Kind, address: Any, vector: int, value: Any) -> None:
    if kind is Kind.BFLOAT:
        value = builder.bitcast(builder.fptrunc(value, ir.VectorType(_BFloat(), LANES)), _SHORTS)
    stored = builder.store(value, _pointer(builder, address, value.type, LANES * bytes_of(kind) * vector))
    stored.align = 4


def _fma(builder: Any, left: Any, right: Any, total: Any) -> Any:
    return builder.call(_declare(builder, "llvm.fma.v16f32", _FLOATS, [_FLOATS] * 3), [left, right, total])


def _declare(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return builder.module.declare_intrinsic(name, (), ir.FunctionType(result, arguments))


def _int(value: int) -> Any:
    return ir.Constant(_I64, value)


def _pointer(builder: Any, address: Any, kind: Any, offset: int) -> Any:
    return builder.inttoptr(builder.add(address, _int(offset)), kind.as_pointer())


def _load(builder: Any, address: Any, kind: Any, offset: int) -> Any:
    loaded = builder.load(_pointer(builder, address, kind, offset))
    loaded.align = 4
    return loaded


def _splat_at(builder: Any, address: Any, kind: Any) -> Any:
    one = _load(builder, address, kind, 0)
    vector = ir.VectorType(kind, LANES)
    undefined = ir.Constant(vector, ir.Undefined)
    placed = builder.insert_element(undefined, one, ir.Constant(_I32, 0))
    return builder.shuffle_vector(placed, undefined, ir.Constant(_WORDS, [0] * LANES))
