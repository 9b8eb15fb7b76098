"""The search itself, compiled: which templates may be among the best of each query, and how good they are.

Two bounds (edge.gallery.codes) let almost everything be left unread. With q' = t * w the query in whole
numbers w from -127 to 127, and T at most the k-th best score of all:

    first pass    q.x <= t * s * (16 h.w - 120 sum(w)) + |q| error4 + |q - q'| (|x| + error4)
    second pass   q.x <= q.x8 + |q| error8, for those whose first bound reaches T

T grows while templates are seen, as the k-th best of the second pass's lower bounds. What reaches it at the
end is returned with both bounds; the exact score of those few decides (edge.gallery.search). Every bound has
SLACK added, far more than single precision loses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from edge.compute.compiling import COMPILED, RequireLiteralValue, compiled, intrinsic, literally, types
from edge.gallery.codes import SIZE
from edge.gallery.vector_ir import (
    CODE_BYTES,
    ROWS,
    STEPS,
    Path,
    emit_block,
    emit_prefetch,
    emit_second,
    queries_together,
)

SLACK = np.float32(1e-5)
LONGEST = np.float32(1.001)
"""|q| and |x|, at most: what is searched for, and searched, is of unit length to a thousandth."""

CHUNK = 64
"""Blocks that stay in the first cache while all queries pass over them."""

_CENTRE = 127.5
_OFFSET = 120
_UP = 1.0 + 1e-6
"""Errors are rounded up."""

_LARGEST = 127

Array = npt.NDArray[Any]
Bounds = tuple[Array, Array, Array, Array]


@intrinsic
def _block(
    typing_context: Any,
    path: Any,
    queries: Any,
    block: Any,
    words: Any,
    offsets: Any,
    slopes: Any,
    limits: Any,
    masks: Any,
) -> Any:
    """Compare one block with ``queries`` queries by ``path``; see edge.gallery.vector_ir.emit_block."""
    for literal in (path, queries):
        if not isinstance(literal, types.IntegerLiteral):
            raise RequireLiteralValue("path and queries are constants")
    chosen, count = Path(path.literal_value), queries.literal_value
    address = types.uintp
    signature = types.uint32(path, queries, *[address] * 6)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_block(builder, chosen, list(arguments[2:]), count)

    return signature, generate


@intrinsic
def _second(typing_context: Any, high: Any, low: Any, query: Any) -> Any:
    """See edge.gallery.vector_ir.emit_second."""
    signature = types.float32(types.uintp, types.uintp, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_second(builder, list(arguments))

    return signature, generate


@intrinsic
def _prefetch(typing_context: Any, address: Any) -> Any:
    """Bring 64 bytes into the cache; nothing else."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_prefetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.uintp), generate


@intrinsic
def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Place of the lowest bit of a word that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), generate


def _compare_plain(
    path: int, group: int, blocks: Array, queries: Bounds, first: int, last: int, masks: Array
) -> Any:
    """What ``_compare_compiled`` does, in numpy: where nothing is compiled, and to compare with."""
    words, offsets, slopes, limits = (one[:group] for one in queries)
    for block in range(first, last):
        scales, errors = blocks[block, CODE_BYTES:].view(np.float16).astype(np.float32).reshape(2, ROWS, 1)
        octets = blocks[block, :CODE_BYTES].reshape(STEPS, ROWS, 4).astype(np.int32)
        halves = np.stack([octets & 15, octets >> 4], axis=2).transpose(1, 0, 2, 3).reshape(ROWS, SIZE)
        whole = 16 * (halves @ words.astype(np.int32).T) - offsets
        value = whole.astype(np.float32) * scales + slopes * errors
        bits = (value >= limits).astype(np.uint32) << np.arange(ROWS, dtype=np.uint32)[:, None]
        masks[block - first, :group] = bits.sum(axis=0)
    return bool(masks[: last - first].any())


@compiled
def _compare_compiled(
    path: int, group: int, blocks: Array, queries: Bounds, first: int, last: int, masks: Array
) -> Any:
    """Compare some blocks with a group of queries; see edge.gallery.vector_ir.emit_block."""
    literally(path)
    literally(group)
    words, offsets, slopes, limits = queries
    found = np.uint32(0)
    for block in range(first, last):
        found |= _block(
            path,
            group,
            blocks[block].ctypes.data,
            words.ctypes.data,
            offsets.ctypes.data,
            slopes.ctypes.data,
            limits.ctypes.data,
            masks[block - first].ctypes.data,
        )
    return found != 0


_compare = _compare_compiled if COMPILED else _compare_plain


def _dot_plain(high: Array, lane: int, low: Array, query: Array) -> Any:
    """What ``_dot_compiled`` does, in numpy."""
    parts = high[:CODE_BYTES].reshape(STEPS, ROWS, 4)[:, lane].astype(np.int32)
    rest = low.reshape(STEPS, 4).astype(np.int32)
    halves = [(parts >> 4 * h & 15) << 4 | rest >> 4 * h & 15 for h in (0, 1)]
    codes = np.stack(halves, axis=2).reshape(STEPS, 8).T
    return np.float32((codes.astype(np.float32) * query.reshape(8, STEPS)).sum())


@compiled
def _dot_compiled(high: Array, lane: int, low: Array, query: Array) -> Any:
    return _second(high[4 * lane :].ctypes.data, low.ctypes.data, query.ctypes.data)


_dot = _dot_compiled if COMPILED else _dot_plain


_POWERS = (2.0 ** np.arange(-25, 7)).astype(np.float32)
"""Of half precision: what its mantissa of eleven bits is multiplied by, for each of its exponents."""


@compiled
def _scale_of(block: Array, lane: int) -> Any:
    """A scale out of its half precision; it has a full mantissa."""
    at = CODE_BYTES + 2 * lane
    bits = np.int32(block[at]) | np.int32(block[at + 1]) << 8
    return np.float32(1024 + (bits & 1023)) * _POWERS[bits >> 10 & 31]


def _lowest_plain(mask: int) -> Any:
    return (int(mask) & -int(mask)).bit_length() - 1


@compiled
def _lowest_compiled(mask: int) -> Any:
    return np.int64(_trailing_zeros(np.uint32(mask)))


def _fetch_soon_plain(row: Array) -> None:
    """Nothing: only compiled code gains by it."""


@compiled
def _fetch_soon_compiled(row: Array) -> None:
    _prefetch(row.ctypes.data)


_lowest = _lowest_compiled if COMPILED else _lowest_plain
_fetch_soon = _fetch_soon_compiled if COMPILED else _fetch_soon_plain


@compiled
def _sift(heap: Array, value: float) -> None:
    """Put ``value`` in the place of the least of a heap, whose least stands first."""
    size, at = heap.shape[0], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@compiled
def _drop_beaten(count: int, who: Array, rows: Array, uppers: Array, reach: Array) -> Any:
    kept = 0
    for i in range(count):
        if uppers[i] >= reach[who[i]]:
            who[kept], rows[kept], uppers[kept] = who[i], rows[i], uppers[i]
            kept += 1
    return kept


@compiled
def _list_hits(masks: Array, place: tuple[int, int, int], low: Array, rows: Array, queries: Array) -> Any:
    """Write rows and queries of all bits of masks, and let the rows' low halves come; return how many.

    ``place``: first and last block, and the first query.
    """
    hits = 0
    for block in range(place[0], place[1]):
        for i in range(masks.shape[1]):
            mask = masks[block - place[0], i]
            while mask:
                row = block * ROWS + _lowest(mask)
                mask &= mask - np.uint32(1)
                _fetch_soon(low[row])
                rows[hits], queries[hits] = row, place[2] + i
                hits += 1
    return hits


@compiled
def prepare(given: Array, room: int) -> tuple[Array, Array, Array, Array, Array]:
    """What ``_scan`` takes for queries (float32 [n, 128], unit length); empty ones fill up to ``room``."""
    words, floats = np.zeros((room, SIZE), np.int8), np.zeros((room, SIZE), np.float32)
    offsets, steps = np.zeros(room, np.int32), np.ones(room, np.float32)
    errors = np.zeros(room, np.float32)
    for q in range(given.shape[0]):
        largest: Any = np.float32(0.0)
        for i in range(SIZE):
            largest = max(largest, abs(given[q, i]))
        steps[q] = largest / np.float32(_LARGEST)
        rest, total = 0.0, 0
        for i in range(SIZE):
            word = int(np.rint(given[q, i] / steps[q]))
            words[q, i] = word
            total += word
            rest += (np.float64(given[q, i]) - np.float64(steps[q]) * word) ** 2
            # The second pass takes byte j and half h of all steps together.
            step, half, j = i // 8, i // 4 % 2, i % 4
            floats[q, (2 * j + half) * STEPS + step] = given[q, i]
        offsets[q] = _OFFSET * total
        errors[q] = np.float32(np.sqrt(rest) * _UP)
    return words, floats, offsets, steps, errors


@compiled
def _first_bounds(queries: tuple[Array, Array, Array, Array, Array], reach: Array, guess: bool) -> Any:
    """Slope, margin, limit and sum of each query, for the first pass; a ``guess`` leaves the errors out."""
    _, floats, _, steps, errors = queries
    n = floats.shape[0]
    slopes, margins = np.zeros(n, np.float32), np.zeros(n, np.float32)
    limits, totals = np.empty(n, np.float32), np.empty(n, np.float32)
    for q in range(n):
        if not guess:
            slopes[q] = (LONGEST + errors[q]) / steps[q]
            margins[q] = SLACK + errors[q] * LONGEST
        limits[q] = (reach[q] - margins[q]) / steps[q]
        totals[q] = floats[q].sum()
    return slopes, margins, limits, totals


@compiled
def _scan(
    path: int,
    group: int,
    codes: tuple[Array, Array, Array],
    queries: tuple[Array, Array, Array, Array, Array],
    reach: Array,
    heaps: Array,
    found: tuple[Array, Array, Array],
    count: int,
    place: tuple[int, int, int],
    stride: int,
) -> tuple[int, int, int]:
    """Pass over the blocks from ``place[0]`` to ``place[1]``, beginning with the group ``place[2]``.

    ``codes``: blocks, low, error8 (edge.gallery.codes.Codes). ``queries``: words int8 [n, 128], the floats in
    the order of the codes float32 [n, 128], offsets int32 [n], steps t and errors |q - q'| float32 [n]; n is
    a multiple of ``group``. ``reach``: T of each query, raised here; infinite for one that only fills the
    group. ``heaps``: float32 [n, k], the best lower bounds; k is 0 where T is given. ``found``: query, row
    and upper bound of what may be among the best, of which ``count`` are filled. Returns count, and where to
    go on when ``found`` is full: block (``place[1]`` when all is done) and group. A ``stride`` above 1 takes
    every so manieth chunk, finds nothing, and raises T: only what seems to be better is looked at.
    """
    literally(path)
    literally(group)
    guess = stride > 1
    blocks, low, error8 = codes
    words, floats, offsets, steps, _ = queries
    who, rows, uppers = found
    n, k = words.shape[0], heaps.shape[1]
    slopes, margins, limits, totals = _first_bounds(queries, reach, guess)
    masks = np.zeros((CHUNK, group), np.uint32)
    hit_rows, hit_queries = np.empty(CHUNK * ROWS * group, np.int64), np.empty(CHUNK * ROWS * group, np.int32)
    first_group = place[2]
    for chunk in range(place[0], place[1], CHUNK * stride):
        end = min(place[1], chunk + CHUNK)
        for start in range(first_group, n, group):
            if count + CHUNK * ROWS * group > who.shape[0]:
                count = _drop_beaten(count, who, rows, uppers, reach)
                if count + CHUNK * ROWS * group > who.shape[0]:
                    return count, chunk, start
            bounds = words[start:], offsets[start:], slopes[start:], limits[start:]
            if not _compare(path, group, blocks, bounds, chunk, end, masks):
                continue
            for i in range(_list_hits(masks, (chunk, end, start), low, hit_rows, hit_queries)):
                row, q, block, lane = hit_rows[i], hit_queries[i], hit_rows[i] // ROWS, hit_rows[i] % ROWS
                dot = _dot(blocks[block], lane, low[row], floats[q])
                score = _scale_of(blocks[block], lane) * (dot - np.float32(_CENTRE) * totals[q])
                error = error8[block] * LONGEST + SLACK
                if score + error < reach[q]:
                    continue
                if not guess:
                    who[count], rows[count], uppers[count] = q, row, score + error
                    count += 1
                if k and score - error > heaps[q, 0]:
                    _sift(heaps[q], score - error)
                    if heaps[q, 0] > reach[q]:
                        reach[q] = heaps[q, 0]
                        limits[q] = (reach[q] - margins[q]) / steps[q]
        first_group = 0
    return count, place[1], 0


def scanner(path: Path, group: int) -> Callable[..., tuple[int, int, int]]:
    """The scan for a path and a size of groups, 1 or what ``queries_together`` says: as ``_scan`` without its
    first two arguments.

    One for each pair: they are constants of the compiled code, and not looked at again with each call.
    """
    return _SCANNERS[path, group]


def _specialised(path: int, group: int) -> Callable[..., tuple[int, int, int]]:
    def scan(
        codes: Any, queries: Any, reach: Any, heaps: Any, found: Any, count: int, place: Any, stride: int
    ) -> Any:
        return _scan(path, group, codes, queries, reach, heaps, found, count, place, stride)

    specialised: Callable[..., tuple[int, int, int]] = compiled(scan)
    return specialised


_SCANNERS = {
    (path, group): _specialised(int(path), group) for path in Path for group in (1, queries_together(path))
}


@compiled
def exact_scores(templates: Array, query: Array) -> Array:
    """Scores of templates (float32 [n, 128]) in double precision: equal templates have equal ones."""
    scores = np.empty(templates.shape[0], np.float64)
    for row in range(templates.shape[0]):
        total = 0.0
        for i in range(SIZE):
            total += np.float64(templates[row, i]) * np.float64(query[i])
        scores[row] = total
    return scores
