"""The inner loop of a search in LLVM's language: sixteen templates against some queries.

A block holds sixteen templates of 128 numbers in four bits each (edge.gallery.codes). Step s of sixteen has
64 bytes, four for each template: their low halves are the numbers 8s to 8s+3, the high ones 8s+4 to 8s+7.
Each template thus has a lane of its own in a vector register, and nothing is ever added across lanes. Behind
the steps stand the sixteen scales and the sixteen errors, in half precision.

All paths make the same whole numbers, and from these the same floats: which one runs cannot be seen.

    AVX512_VNNI   vpdpbusd, 64 products an instruction
    AVX2          vpmaddubsw into 16 bits, widened before these can overflow
    NEON_DOT      sdot, 16 products an instruction (the halves of a byte are signed numbers too)
    PORTABLE      vectors of LLVM without instructions of any machine: it finds what there is
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import reduce
from itertools import product
from typing import Any

from llvmlite import ir

ROWS = 16
STEPS = 16
CODE_BYTES = 1024
BLOCK_BYTES = CODE_BYTES + 2 * 2 * ROWS
QUERY_WORDS = 2 * STEPS
"""Of a query: words of four signed bytes, in the order in which they are used."""

SHIFT = 4
"""A code stands for 16 times its value, so that the low halves of the same template continue it."""

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_I8 = ir.IntType(8)
_LANES = ir.VectorType(_I32, ROWS)
_FLOATS = ir.VectorType(_F32, ROWS)
_SHORT_FLOATS = ir.VectorType(ir.HalfType(), ROWS)
_NIBBLES = 0x0F0F0F0F
_HIGH = 4
_IN_FLIGHT = 4
"""Sums that are made at the same time: an instruction that adds to one waits four cycles for the last."""
_AHEAD = 2
"""Blocks that a single query asks for before it needs them: it waits for memory, and what the processor
fetches by itself leaves a quarter of the memory's rate unused. Several queries multiply longer than a block
takes to come."""

_LINE = 64
_WIDEN_EVERY = 4
"""Steps whose products fit into 16 bits: 4 * 2 halves * 2 products * 15 * 127 = 30480."""


class Path(IntEnum):
    """Which instructions are used."""

    PORTABLE = 0
    AVX2 = 1
    AVX512_VNNI = 2
    NEON_DOT = 3


def queries_together(path: Path) -> int:
    """How many queries are compared with a block while it is in registers: AVX2 has half as many of these."""
    return 4 if path is Path.AVX2 else 8


def choose_path(features: Any) -> Path:
    """The fastest path of a machine with these features (llvmlite's host features, or any mapping)."""
    if features.get("avx512vnni") and features.get("avx512bw"):
        return Path.AVX512_VNNI
    if features.get("avx2"):
        return Path.AVX2
    return Path.NEON_DOT if features.get("dotprod") else Path.PORTABLE


def emit_block(builder: Any, path: Path, pointers: list[Any], queries: int) -> Any:
    """Emit the block for a number of queries; the value is an i32, not zero where any mask has a bit.

    ``pointers``, as 64-bit integers: the block (at a multiple of 64); query words (int32 [queries, 32]),
    offsets (int32 [queries]), slopes and limits (float32 [queries]), masks (uint32 [queries], written: bit r
    for a template r where scale * (16 sum - offset) + slope * error >= limit).
    """
    codes, words, offsets, slopes, limits, masks = pointers
    if queries == 1:
        for byte in range(0, BLOCK_BYTES, _LINE):
            ahead = ir.Constant(_I64, _AHEAD * BLOCK_BYTES + byte)
            emit_prefetch(builder, builder.add(codes, ahead))
    sums = _SUMS[path](builder, codes, words, queries)
    first = CODE_BYTES // 32
    scale, error = (
        builder.fpext(_load(builder, codes, _SHORT_FLOATS, first + part, align=32), _FLOATS)
        for part in (0, 1)
    )
    found: Any = ir.Constant(_I32, 0)
    for query, total in enumerate(sums):
        offset = _element(builder, offsets, _I32, query)
        slope, limit = (
            _splat(builder, _element(builder, one, _F32, query), _F32, ROWS) for one in (slopes, limits)
        )
        codes16 = builder.shl(total, _splat_constant(SHIFT, _I32, ROWS))
        whole = builder.sub(codes16, _splat(builder, offset, _I32, ROWS))
        value = builder.fmul(builder.sitofp(whole, _FLOATS), scale)
        above = builder.fcmp_ordered(">=", builder.fadd(value, builder.fmul(slope, error)), limit)
        mask = builder.zext(builder.bitcast(above, _I16), _I32)
        builder.store(mask, _pointer(builder, masks, _I32, query))
        found = builder.or_(found, mask)
    return found


def emit_second(builder: Any, pointers: list[Any]) -> Any:
    """Emit the sum over one template in eight bits; the value is a float: the sum of code * query.

    ``pointers``: the template's first four bytes in its block, its low halves (64 bytes), the query (float32
    [8, 16]: for byte j and half h of a step, row 2j + h has the number of each step).
    """
    high, low, query = pointers
    parts: Any = ir.Constant(_LANES, ir.Undefined)
    for step in range(STEPS):
        part = _element(builder, high, _I32, step * ROWS)
        parts = builder.insert_element(parts, part, ir.Constant(_I32, step))
    rest = _load(builder, low, _LANES, 0, align=4)
    sums = [_splat_constant(0.0, _F32, ROWS)] * 2
    nibble = _splat_constant(15, _I32, ROWS)
    for place in range(8):
        shift = _splat_constant(8 * (place // 2) + _HIGH * (place % 2), _I32, ROWS)
        above, below = (builder.and_(builder.lshr(one, shift), nibble) for one in (parts, rest))
        code = builder.or_(builder.shl(above, _splat_constant(_HIGH, _I32, ROWS)), below)
        floats = _load(builder, query, _FLOATS, place, align=4)
        product = builder.fmul(builder.uitofp(code, _FLOATS), floats)
        sums[place % 2] = builder.fadd(sums[place % 2], product)
    total = builder.fadd(*sums)
    add = _declare(builder, "llvm.vector.reduce.fadd.v16f32", _F32, [_F32, _FLOATS])
    return builder.call(add, [ir.Constant(_F32, 0.0), total], fastmath=("reassoc",))


def emit_prefetch(builder: Any, address: Any) -> None:
    """Emit a read into all caches that nobody waits for."""
    octets = _I8.as_pointer()
    fetch = _declare(builder, "llvm.prefetch", ir.VoidType(), [octets, _I32, _I32, _I32])
    read, keep, data = (ir.Constant(_I32, value) for value in (0, 3, 1))
    builder.call(fetch, [builder.inttoptr(address, octets), read, keep, data])


def _sums_avx512(builder: Any, codes: Any, words: Any, queries: int) -> list[Any]:
    dot = _declare(builder, "llvm.x86.avx512.vpdpbusd.512", _LANES, [_LANES, _LANES, _LANES])
    chains = max(1, _IN_FLIGHT // queries)
    sums: list[list[Any]] = [[_splat_constant(0, _I32, ROWS)] * chains for _ in range(queries)]
    for step in range(STEPS):
        loaded = _load(builder, codes, _LANES, step, align=64)
        for half, part in enumerate(_halves(builder, loaded, ROWS)):
            index = 2 * step + half
            for query, own in enumerate(sums):
                word = _splat(
                    builder, _element(builder, words, _I32, query * QUERY_WORDS + index), _I32, ROWS
                )
                own[index % chains] = builder.call(dot, [own[index % chains], part, word])
    return [reduce(builder.add, own) for own in sums]


def _sums_avx2(builder: Any, codes: Any, words: Any, queries: int) -> list[Any]:
    lanes = 8
    ints, words16, octets = ir.VectorType(_I32, lanes), ir.VectorType(_I16, 16), ir.VectorType(_I8, 32)
    multiply = _declare(builder, "llvm.x86.avx2.pmadd.ub.sw", words16, [octets, octets])
    widen = _declare(builder, "llvm.x86.avx2.pmadd.wd", ints, [words16, words16])
    ones = _splat_constant(1, _I16, 16)
    sums: list[list[Any]] = [[_splat_constant(0, _I32, lanes)] * 2 for _ in range(queries)]
    for first in range(0, STEPS, _WIDEN_EVERY):
        shorts = [[_splat_constant(0, _I16, 16)] * 2 for _ in range(queries)]
        for step in range(first, first + _WIDEN_EVERY):
            sides = [
                _halves(builder, _load(builder, codes, ints, 2 * step + side, align=32), lanes)
                for side in range(2)
            ]
            # A word is spread once for both sides; each product goes into its sum at once.
            for half, query in product(range(2), range(queries)):
                word = _element(builder, words, _I32, query * QUERY_WORDS + 2 * step + half)
                spread = builder.bitcast(_splat(builder, word, _I32, lanes), octets)
                for side, parts in enumerate(sides):
                    products = builder.call(multiply, [builder.bitcast(parts[half], octets), spread])
                    shorts[query][side] = builder.add(shorts[query][side], products)
        for query, side in product(range(queries), range(2)):
            wide = builder.call(widen, [shorts[query][side], ones])
            sums[query][side] = builder.add(sums[query][side], wide)
    return [_join(builder, sides, lanes) for sides in sums]


def _sums_neon(builder: Any, codes: Any, words: Any, queries: int) -> list[Any]:
    lanes = 4
    ints, octets = ir.VectorType(_I32, lanes), ir.VectorType(_I8, 16)
    dot = _declare(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", ints, [ints, octets, octets])
    sums: list[list[Any]] = [[_splat_constant(0, _I32, lanes)] * 4 for _ in range(queries)]
    for step in range(STEPS):
        for side in range(4):
            loaded = _load(builder, codes, ints, 4 * step + side, align=16)
            for half, part in enumerate(_halves(builder, loaded, lanes)):
                signed = builder.bitcast(part, octets)
                for query in range(queries):
                    word = _element(builder, words, _I32, query * QUERY_WORDS + 2 * step + half)
                    spread = builder.bitcast(_splat(builder, word, _I32, lanes), octets)
                    sums[query][side] = builder.call(dot, [sums[query][side], signed, spread])
    return [_join(builder, [_join(builder, four[:2], 4), _join(builder, four[2:], 4)], 8) for four in sums]


def _sums_portable(builder: Any, codes: Any, words: Any, queries: int) -> list[Any]:
    octet = _splat_constant(0xFF, _I32, ROWS)
    sums: list[Any] = [_splat_constant(0, _I32, ROWS)] * queries
    for step in range(STEPS):
        loaded = _load(builder, codes, _LANES, step, align=64)
        for half, part in enumerate(_halves(builder, loaded, ROWS)):
            for j in range(4):
                number = builder.and_(builder.lshr(part, _splat_constant(8 * j, _I32, ROWS)), octet)
                for query in range(queries):
                    index = 4 * (query * QUERY_WORDS + 2 * step + half) + j
                    word = builder.sext(_load(builder, words, _I8, index, align=1), _I32)
                    product = builder.mul(number, _splat(builder, word, _I32, ROWS))
                    sums[query] = builder.add(sums[query], product)
    return sums


_SUMS: dict[Path, Callable[[Any, Any, Any, int], list[Any]]] = {
    Path.PORTABLE: _sums_portable,
    Path.AVX512_VNNI: _sums_avx512,
    Path.AVX2: _sums_avx2,
    Path.NEON_DOT: _sums_neon,
}


def _halves(builder: Any, loaded: Any, lanes: int) -> tuple[Any, Any]:
    """The low and the high halves of all bytes."""
    nibbles = _splat_constant(_NIBBLES, _I32, lanes)
    high = builder.lshr(loaded, _splat_constant(_HIGH, _I32, lanes))
    return builder.and_(loaded, nibbles), builder.and_(high, nibbles)


_OVERLOADS: dict[str, tuple[Any, ...]] = {"llvm.prefetch": (_I8.as_pointer(),)}
"""Intrinsics whose names carry the types of their arguments."""


def _declare(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return builder.module.declare_intrinsic(
        name, _OVERLOADS.get(name, ()), ir.FunctionType(result, arguments)
    )


def _pointer(builder: Any, address: Any, kind: Any, index: int) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [ir.Constant(_I64, index)])


def _load(builder: Any, address: Any, kind: Any, index: int, *, align: int) -> Any:
    loaded = builder.load(_pointer(builder, address, kind, index))
    loaded.align = align
    return loaded


def _element(builder: Any, address: Any, kind: Any, index: int) -> Any:
    return _load(builder, address, kind, index, align=4)


def _splat(builder: Any, value: Any, kind: Any, lanes: int) -> Any:
    vector = ir.VectorType(kind, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _splat_constant(value: float, kind: Any, lanes: int) -> Any:
    return ir.Constant(ir.VectorType(kind, lanes), [value] * lanes)


def _join(builder: Any, pair: list[Any], lanes: int) -> Any:
    order = ir.Constant(ir.VectorType(_I32, 2 * lanes), list(range(2 * lanes)))
    return builder.shuffle_vector(pair[0], pair[1], order)
