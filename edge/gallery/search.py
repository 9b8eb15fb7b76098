"""Who is most like this face? The exact answer, read from a fraction of the data.

1  each query becomes whole numbers, and its rounding error is measured
2  the compiled scan gives all rows whose upper bound reaches the k-th best lower bound (or the threshold)
3  for those few, the real templates are fetched, and scored in double precision
4  by score, then by row: the k best, or all at the threshold and above

What is left out has a proven upper bound below the k-th best score, so the answer is that of comparing with
every template. Equal scores come in the order of their rows.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding

from edge.compute.compiling import COMPILED
from edge.compute.crew import share
from edge.gallery.codes import SIZE, Codes, Floats, are_unit
from edge.gallery.kernels import CHUNK, exact_scores, prepare, scanner
from edge.gallery.vector_ir import ROWS, Path, choose_path, queries_together

Rows = npt.NDArray[np.int64]
Fetch = Callable[[Rows], Floats]
"""Templates of some rows, float32 [n, 128]."""

MAX_QUERIES = 4096
MAX_K = 1000

_FIRST_ROOM = 65_536
_MORE_ROOM = 4
_SAMPLE_FROM = 24 * CHUNK
"""Blocks. With fewer of them a bar comes soon enough by itself."""

_SAMPLE_STRIDE = 128
_FETCHED = 8192
"""Templates that are in memory at once, four megabytes, however many reach a low threshold."""

_PIECES = 8
"""For each thread. Whoever is woken late, as a sleeping core is, finds less left to do."""

_NEVER = np.float32(np.inf)


@dataclass(frozen=True, slots=True)
class Hit:
    """``score``: the cosine, in double precision."""

    row: int
    score: float


@cache
def machine_path() -> Path:
    """The fastest path of this machine; the portable one where nothing is compiled."""
    return Path.PORTABLE if not COMPILED else choose_path(binding.get_host_cpu_features())


@dataclass(frozen=True, slots=True)
class _Queries:
    """``arrays``: of edge.gallery.kernels.prepare, for whole groups. ``real``: how many there are."""

    arrays: tuple[npt.NDArray[Any], ...]
    real: int
    group: int
    path: Path

    def __len__(self) -> int:
        return len(self.arrays[0])


def search(
    codes: Codes, fetch: Fetch, queries: Floats, *, k: int, threads: int = 1, path: Path | None = None
) -> list[list[Hit]]:
    """The ``k`` best of all templates for each query (float32 [n, 128], unit length), best first.

    Raises:
        ValueError: a query has no unit length, or k or n are out of their ranges.
    """
    if not 1 <= k <= MAX_K:
        raise ValueError(f"k is 1 to {MAX_K}")
    prepared = _prepare(queries, machine_path() if path is None else path)
    reach = np.full(len(prepared), -_NEVER, np.float32)
    return _found(codes, fetch, queries, prepared, reach, k=k, threads=threads)


def search_above(
    codes: Codes,
    fetch: Fetch,
    queries: Floats,
    *,
    threshold: float,
    threads: int = 1,
    path: Path | None = None,
) -> list[list[Hit]]:
    """All templates whose score is ``threshold`` or more, for each query, best first.

    Raises:
        ValueError: as :func:`search`.
    """
    prepared = _prepare(queries, machine_path() if path is None else path)
    reach = np.full(len(prepared), threshold, np.float32)
    hits = _found(codes, fetch, queries, prepared, reach, k=0, threads=threads)
    return [[hit for hit in one if hit.score >= threshold] for one in hits]


def _prepare(queries: Floats, path: Path) -> _Queries:
    given = np.ascontiguousarray(queries, dtype=np.float32)
    if given.ndim != 2 or given.shape[1] != SIZE or len(given) > MAX_QUERIES:
        raise ValueError(f"queries are up to {MAX_QUERIES} rows of {SIZE} numbers")
    if not are_unit(given):
        raise ValueError("a query must have unit length")
    group = 1 if len(given) == 1 else queries_together(path)
    return _Queries(prepare(given, -(-len(given) // group) * group), len(given), group, path)


def _found(
    codes: Codes,
    fetch: Fetch,
    queries: Floats,
    prepared: _Queries,
    reach: Floats,
    *,
    k: int,
    threads: int,
) -> list[list[Hit]]:
    reach[prepared.real :] = _NEVER
    if k:
        _sample(codes, prepared, reach, k=k)
    who, rows, uppers, least = _pass_over(codes, prepared, reach, k=k, threads=threads)
    kept = uppers >= least[who]
    return [
        _decide(fetch, rows[mine], uppers[mine], np.ascontiguousarray(queries[query], np.float32), k=k)
        for query, mine in ((query, np.flatnonzero(kept & (who == query))) for query in range(prepared.real))
    ]


def _pass_over(
    codes: Codes, prepared: _Queries, reach: Floats, *, k: int, threads: int
) -> tuple[npt.NDArray[np.int32], Rows, Floats, Floats]:
    """Query, row and upper bound of what may be among the best of all; and the bounds at the end."""
    count = threads * _PIECES if threads > 1 else 1
    bounds = [len(codes) * number // count for number in range(count + 1)]
    pieces = deque((a, b) for a, b in pairwise(bounds) if b > a)

    results: list[tuple[npt.NDArray[np.int32], Rows, Floats, Floats]] = []

    def work(_helper: int) -> None:
        own, heaps = reach.copy(), _heaps(prepared, k)
        while pieces:
            try:
                piece = pieces.popleft()
            except IndexError:  # another thread was quicker
                break
            results.append(_scan(codes, prepared, own, heaps, piece))

    share(_helpers(), work, range(threads))
    if not results:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32), reach
    who, rows, uppers, bars = zip(*results, strict=True)
    return np.concatenate(who), np.concatenate(rows), np.concatenate(uppers), np.max(bars, axis=0)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Threads that stay: to begin one takes as long as half a search."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="gallery")


os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not come along


def _heaps(prepared: _Queries, k: int) -> Floats:
    return np.full((len(prepared), k), -_NEVER, np.float32)


def _sample(codes: Codes, prepared: _Queries, reach: Floats, *, k: int) -> None:
    """Raise the bounds by a part of the templates from all over: the first of the pass then meet a bar."""
    if len(codes) >= _SAMPLE_FROM:
        everything = (0, len(codes))
        _scan(codes, prepared, reach, _heaps(prepared, k), everything, stride=_SAMPLE_STRIDE)


def _scan(
    codes: Codes,
    prepared: _Queries,
    reach: Floats,
    heaps: Floats,
    part: tuple[int, int],
    *,
    stride: int = 1,
) -> tuple[npt.NDArray[np.int32], Rows, Floats, Floats]:
    """Query, row and upper bound of what may be among the best of a part; ``reach``, ``heaps`` are raised."""
    room = max(_FIRST_ROOM, 2 * CHUNK * ROWS * prepared.group)
    found = np.empty(room, np.int32), np.empty(room, np.int64), np.empty(room, np.float32)
    arrays = codes.blocks, codes.low, codes.error8
    count, block, group = 0, part[0], 0
    scan = scanner(prepared.path, prepared.group)
    while True:
        count, block, group = scan(
            arrays, prepared.arrays, reach, heaps, found, count, (block, part[1], group), stride
        )
        if block >= part[1]:
            break
        room *= _MORE_ROOM
        found = _longer(found[0], room), _longer(found[1], room), _longer(found[2], room)
    who, rows, uppers = found[0][:count], found[1][:count], found[2][:count]
    kept = uppers >= reach[who]
    return who[kept], rows[kept], uppers[kept], reach


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.concatenate([array, np.empty(length - len(array), array.dtype)])


def _decide(fetch: Fetch, rows: Rows, uppers: Floats, query: Floats, *, k: int) -> list[Hit]:
    """Score the likeliest first: with k real scores in hand, most upper bounds turn out to be too low."""
    if not len(rows):
        return []
    likely = np.argsort(-uppers, kind="stable")
    first, rest = (likely[:k], likely[k:]) if k else (likely, likely[:0])
    scores = _scores(fetch, rows[first], query)
    rest = rest[uppers[rest] >= scores.min()]
    if len(rest):
        scores = np.concatenate([scores, _scores(fetch, rows[rest], query)])
    scored = np.concatenate([rows[first], rows[rest]])
    best = np.lexsort((scored, -scores))
    return [Hit(int(scored[i]), float(scores[i])) for i in (best[:k] if k else best)]


def _scores(fetch: Fetch, rows: Rows, query: Floats) -> npt.NDArray[np.float64]:
    """The real scores, in the order of the rows; those are fetched in the order in which they are stored."""
    order = np.argsort(rows, kind="stable")
    scores = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _FETCHED):
        part = order[start : start + _FETCHED]
        scores[part] = exact_scores(np.ascontiguousarray(fetch(rows[part]), np.float32), query)
    return scores
