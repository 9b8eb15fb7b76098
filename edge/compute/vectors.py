"""Words of LLVM's language that the compiled networks are written in: vectors of sixteen or eight numbers.

In LLVM's own vectors where no instruction is named: it finds what the machine has. Three kinds of numbers:
single precision; bfloat16 with sums in single precision where the processor multiplies pairs of them
(vdpbf16ps: twice the products in an instruction, half the memory); and whole numbers of 16 bits with a scale
where it multiplies pairs of those (vpmaddwd).

What an inner loop holds must fit the processor's registers: what does not is stored and read back at each
step, which takes longer than the products. So vectors are as long as a register where there are few.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from llvmlite import ir

LANES = 16
"""Of the longest vectors; every number of channels is a multiple of it."""


class Kind(IntEnum):
    """How numbers are stored, and for which registers."""

    SINGLE = 0
    """Vectors of eight: for the 16 registers of AVX2, and pairs of NEON's 32."""
    SINGLE_WIDE = 1
    """Vectors of sixteen, for the 32 registers of AVX-512."""
    BFLOAT = 2
    """bfloat16, summed in single precision; for the same registers as SINGLE_WIDE."""
    SHORT = 3
    """As SINGLE, but what is multiplied by a matrix is rounded to whole numbers of 16 bits before (AVX2)."""


_NEEDED: dict[Kind, tuple[str, ...]] = {
    Kind.BFLOAT: ("avx512bf16", "avx512vl"),
    Kind.SINGLE_WIDE: ("avx512f",),
    Kind.SHORT: ("avx2", "fma"),
    Kind.SINGLE: (),
}
"""Features of the processor that each needs, in the order in which they are taken."""


class _BFloat(ir.Type):  # type: ignore[misc]
    """bfloat16, which llvmlite does not name."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


I8, I16, I32, I64, F32 = (
    ir.IntType(8),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
    ir.FloatType(),
)
FLOATS = ir.VectorType(F32, LANES)
WORDS = ir.VectorType(I32, LANES)
SHORTS = ir.VectorType(I16, LANES)
PAIRS = ir.VectorType(_BFloat(), 2 * LANES)
WHOLES = ir.VectorType(I32, LANES // 2)


def is_narrow(kind: Kind) -> bool:
    """Whether it is for sixteen registers of eight numbers, not 32 of sixteen."""
    return kind in (Kind.SINGLE, Kind.SHORT)


def lanes_of(kind: Kind) -> int:
    """Numbers of a vector."""
    return LANES // 2 if is_narrow(kind) else LANES


def tile_of(kind: Kind) -> int:
    """Channels of a pointwise convolution's widest tile: what is held of some pixels fits the registers."""
    return LANES if is_narrow(kind) else 4 * LANES


def floats_of(kind: Kind) -> Any:
    """The vector's type, of single precision."""
    return ir.VectorType(F32, lanes_of(kind))


def bytes_of(kind: Kind) -> int:
    """Of a number in memory."""
    return 2 if kind is Kind.BFLOAT else 4


def factor_bytes_of(kind: Kind) -> int:
    """Of a number that a matrix is multiplied by, and of the matrix's. Short ones go two at a time."""
    return 2 if kind in (Kind.BFLOAT, Kind.SHORT) else 4


def choose_kind(features: Any, among: Collection[Kind] = tuple(Kind)) -> Kind:
    """The fastest of ``among`` (with SINGLE, which runs everywhere) for a machine with these features
    (llvmlite's host features, or any mapping)."""
    return next(kind for kind, wanted in _NEEDED.items() if kind in among and all(map(features.get, wanted)))


@dataclass(frozen=True, slots=True)
class Multiplier:
    """One instruction's worth of products: what it loads, how its operand is spread, how it is added."""

    kind: Any
    spread: Callable[[Any], Any]
    add: Callable[[Any, Any, Any], Any]


def multiplier(builder: Any, kind: Kind) -> Multiplier:
    """For one number of the input (short ones: two side by side) times a vector of outputs."""
    if kind is Kind.SHORT:
        add = declare(builder, "llvm.x86.avx2.pmadd.wd", WHOLES, [SHORTS, SHORTS])
        return Multiplier(
            SHORTS,
            lambda address: builder.bitcast(splat_at(builder, address, I32, WHOLES.count), SHORTS),
            lambda total, spread, column: builder.add(total, builder.call(add, [spread, column])),
        )
    if kind is not Kind.BFLOAT:
        return Multiplier(
            floats_of(kind),
            lambda address: splat_at(builder, address, F32, lanes_of(kind)),
            lambda total, spread, column: fma(builder, spread, column, total),
        )
    dot = declare(builder, "llvm.x86.avx512bf16.dpbf16ps.512", FLOATS, [FLOATS, PAIRS, PAIRS])
    return Multiplier(
        PAIRS,
        lambda address: builder.bitcast(splat_at(builder, address, I32), PAIRS),
        lambda total, spread, column: builder.call(dot, [total, spread, column]),
    )


def loop(
    builder: Any, count: Any, starts: list[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Run ``body`` for 0, 1, ... below ``count`` (at least once); values are carried in registers."""
    before = builder.block
    inside, after = builder.append_basic_block("inside"), builder.append_basic_block("after")
    builder.branch(inside)
    builder.position_at_end(inside)
    index = builder.phi(I64)
    carried = [builder.phi(start.type) for start in starts]
    results = body(index, list(carried))
    following = builder.add(index, number(1))
    last = builder.block
    index.add_incoming(number(0), before)
    index.add_incoming(following, last)
    for phi, start, result in zip(carried, starts, results, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(result, last)
    builder.cbranch(builder.icmp_unsigned("<", following, count), inside, after)
    builder.position_at_end(after)
    return results


def each(builder: Any, count: Any, body: Callable[[Any], None]) -> None:
    """Run ``body`` for 0, 1, ... below ``count``; not at all where that is 0."""

    def once(index: Any, _: list[Any]) -> list[Any]:
        body(index)
        return []

    with builder.if_then(builder.icmp_unsigned(">", count, number(0))):
        loop(builder, count, [], once)


def prelu(builder: Any, value: Any, slope: Any) -> Any:
    """What is above 0 as it is, what is below times the slope."""
    return builder.select(_positive(builder, value), value, builder.fmul(value, slope))


def relu(builder: Any, value: Any) -> Any:
    """What is above 0, else 0."""
    return builder.select(_positive(builder, value), value, zeros(value.type))


def larger(builder: Any, one: Any, other: Any) -> Any:
    """The larger of each two."""
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


def absolute(builder: Any, value: Any) -> Any:
    """Each without its sign."""
    name = f"llvm.fabs.v{value.type.count}f32"
    return builder.call(declare(builder, name, value.type, [value.type]), [value])


def _positive(builder: Any, value: Any) -> Any:
    return builder.fcmp_ordered(">", value, zeros(value.type))


def zeros(vector: Any) -> Any:
    """A vector of this type."""
    return ir.Constant(vector, [0.0] * vector.count)


def read(builder: Any, kind: Kind, address: Any) -> Any:
    """A vector of numbers as they are stored, in single precision."""
    if kind is not Kind.BFLOAT:
        return load(builder, address, floats_of(kind), 0)
    words = builder.zext(load(builder, address, SHORTS, 0), WORDS)
    return builder.bitcast(builder.shl(words, ir.Constant(WORDS, [16] * LANES)), FLOATS)


def read_octets(builder: Any, kind: Kind, address: Any, offset: int) -> Any:
    """A vector of whole numbers of 8 bits with a sign, so many bytes on, in single precision."""
    octets = builder.load(pointer(builder, address, ir.VectorType(I8, lanes_of(kind)), offset))
    octets.align = 1
    return builder.sitofp(octets, floats_of(kind))


def splat_read(builder: Any, kind: Kind, address: Any) -> Any:
    """One number as it is stored, in single precision, in all places of a vector."""
    if kind is not Kind.BFLOAT:
        return splat_at(builder, address, F32, lanes_of(kind))
    words = builder.zext(splat_at(builder, address, I16), WORDS)
    return builder.bitcast(builder.shl(words, ir.Constant(WORDS, [16] * LANES)), FLOATS)


def store(builder: Any, kind: Kind, address: Any, vector: int, value: Any) -> None:
    """Store a vector of single precision as the kind does, as many vectors on."""
    if kind is Kind.BFLOAT:
        value = builder.bitcast(builder.fptrunc(value, ir.VectorType(_BFloat(), LANES)), SHORTS)
    step = value.type.count * bytes_of(kind)
    stored = builder.store(value, pointer(builder, address, value.type, step * vector))
    stored.align = 4


def fma(builder: Any, left: Any, right: Any, total: Any) -> Any:
    """Left times right plus total, rounded once."""
    kind = total.type
    name = f"llvm.fma.v{kind.count}f32"
    return builder.call(declare(builder, name, kind, [kind] * 3), [left, right, total])


def declare(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """An intrinsic of LLVM's."""
    return builder.module.declare_intrinsic(name, (), ir.FunctionType(result, arguments))


def number(value: int) -> Any:
    """A constant, of 64 bits."""
    return ir.Constant(I64, value)


def pointer(builder: Any, address: Any, kind: Any, offset: int) -> Any:
    """To what lies so many bytes behind an address."""
    return builder.inttoptr(builder.add(address, number(offset)), kind.as_pointer())


def load(builder: Any, address: Any, kind: Any, offset: int) -> Any:
    """What lies there; it need not lie at a multiple of its size."""
    loaded = builder.load(pointer(builder, address, kind, offset))
    loaded.align = 2 if kind is I16 else 4
    return loaded


def splat_at(builder: Any, address: Any, kind: Any, lanes: int = LANES) -> Any:
    """What lies there, in all places of a vector."""
    return splat(builder, load(builder, address, kind, 0), lanes)


def splat(builder: Any, one: Any, lanes: int) -> Any:
    """One number in all places of a vector."""
    undefined = ir.Constant(ir.VectorType(one.type, lanes), ir.Undefined)
    placed = builder.insert_element(undefined, one, ir.Constant(I32, 0))
    return builder.shuffle_vector(placed, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def emit_take(builder: Any, address: Any) -> Any:
    """Emit the next number of a counter (int64) that threads share."""
    return builder.atomic_rmw("add", pointer(builder, address, I64, 0), number(1), "acq_rel")


def emit_look(builder: Any, address: Any) -> Any:
    """Emit what such a counter shows."""
    return builder.load_atomic(pointer(builder, address, I64, 0), "acquire", 8)


def emit_yield(builder: Any) -> None:
    """Emit a word to the system that another thread may have the processor."""
    function = ir.FunctionType(I32, [])
    known = builder.module.globals.get("sched_yield")
    builder.call(known or ir.Function(builder.module, function, "sched_yield"), [])
