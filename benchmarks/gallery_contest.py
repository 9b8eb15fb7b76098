"""One run of bench_gallery in a process of its own, whose threads are limited before anything is imported.

    python -m benchmarks.gallery_contest FOLDER THREADS ROUNDS ROUNDS_OF_BATCHES

Prints one JSON object. The folder has templates.npy, probes.npy, truth.npy and people.gallery.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NK_NUM_THREADS",
)
K = 10
KEY = bytes(range(32))
MODEL_NAME, MODEL_SHA256 = "made up", "ab" * 32
TIE = 1e-6
"""Scores nearer than this are one to single precision: any order of theirs is right."""

Search = Callable[[Any], Any]
"""Probes (float32 [n, 128]) to the rows of the K best of each, [n, K]."""


def contestants(folder: Path, templates: Any, threads: int) -> Iterator[tuple[str, Search, float]]:
    """Name, search, and the memory of a template, of all that are installed; made when they are asked for."""
    yield from _ours(folder, threads)
    yield _numpy(templates)
    for make in (_faiss, _usearch, _numkong):
        try:
            yield from make(templates, threads)
        except ImportError as error:
            print(f"left out: {error.name} is not installed", file=sys.stderr)


def _ours(folder: Path, threads: int) -> Iterator[tuple[str, Search, float]]:
    import numpy as np  # noqa: PLC0415

    from edge.gallery.store import Gallery  # noqa: PLC0415
    from edge.model import Embedding  # noqa: PLC0415

    gallery = Gallery.open(folder / "people.gallery", KEY, threads=threads)
    rows = {bytes(one): row for row, one in enumerate(np.load(folder / "ids.npy"))}

    def search(probes: Any) -> Any:
        return gallery.search([Embedding(row, MODEL_NAME, MODEL_SHA256) for row in probes], k=K)

    def as_rows(found: Any) -> Any:
        return [[rows[one.candidate_id.bytes] for one in hits] for hits in found]

    search.as_rows = as_rows  # type: ignore[attr-defined]
    yield "Verifield (encrypted file)", search, gallery.memory_bytes / gallery.size


def _numpy(templates: Any) -> tuple[str, Search, float]:
    def search(probes: Any) -> Any:
        return _best(probes @ templates.T)

    return "numpy", search, templates.nbytes / len(templates)


def _faiss(templates: Any, threads: int) -> Iterator[tuple[str, Search, float]]:
    import faiss  # noqa: PLC0415

    faiss.omp_set_num_threads(threads)
    size = templates.shape[1]
    flat = faiss.IndexFlatIP(size)
    flat.add(templates)
    yield "FAISS Flat", lambda probes: flat.search(probes, K)[1], 4.0 * size
    coded = faiss.IndexScalarQuantizer(size, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    coded.train(templates[:: max(1, len(templates) // 100_000)])
    coded.add(templates)
    yield "FAISS SQ8", lambda probes: coded.search(probes, K)[1], float(size)


def _usearch(templates: Any, threads: int) -> Iterator[tuple[str, Search, float]]:
    from usearch.index import MetricKind  # noqa: PLC0415
    from usearch.index import search as exact  # noqa: PLC0415

    def search(probes: Any) -> Any:
        keys = exact(templates, probes, K, MetricKind.IP, exact=True, threads=threads).keys
        return keys.reshape(len(probes), K)

    yield "usearch exact", search, templates.nbytes / len(templates)


def _numkong(templates: Any, threads: int) -> Iterator[tuple[str, Search, float]]:
    import numkong  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    def cdist(probes: Any) -> Any:
        return _best(np.asarray(numkong.cdist(probes, templates, "dot", threads=threads)))

    parts = [numkong.dots_pack(part) for part in np.array_split(templates, threads)]
    pool = ThreadPoolExecutor(threads)

    def packed(probes: Any) -> Any:
        scores = pool.map(lambda part: np.asarray(numkong.dots_packed(probes, part)), parts)
        return _best(np.concatenate(list(scores), axis=1))

    yield "NumKong cdist", cdist, templates.nbytes / len(templates)
    yield "NumKong packed", packed, templates.nbytes / len(templates)


def _best(scores: Any) -> Any:
    """The columns of the K largest of each row, largest first."""
    import numpy as np  # noqa: PLC0415

    columns = np.argpartition(-scores, K, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1)
    return np.take_along_axis(columns, order, axis=1)


def recall(found: Any, templates: Any, probes: Any, truth: Any) -> float:
    """How many of the real K best are in the answers; ``truth``: the K-th best score of each probe."""
    import numpy as np  # noqa: PLC0415

    hits = 0
    for rows, probe, least in zip(found, probes, truth, strict=True):
        scores = templates[np.asarray(rows, np.int64)].astype(np.float64) @ probe.astype(np.float64)
        hits += int((scores >= least - TIE).sum()) if len(set(rows)) == K else 0
    return hits / (K * len(probes))


def time_rounds(searches: dict[str, Search], probes: list[Any], rounds: int) -> dict[str, list[Any]]:
    """Seconds, and processor seconds, of each contestant; they take turns in changing order."""
    seen: dict[str, list[Any]] = {name: [] for name in searches}
    for search in searches.values():
        search(probes[0])
    names = list(searches)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            probe = probes[number % len(probes)]
            used, begun = time.process_time(), time.perf_counter()
            searches[name](probe)
            seconds = time.perf_counter() - begun
            seen[name].append((seconds, time.process_time() - used))
    return seen


def read_speed(size: int, threads: int) -> float:
    """Bytes a second at which so many bytes are read out of memory: the best of many times."""
    import numpy as np  # noqa: PLC0415

    data = np.ones(size // 8, np.uint64)
    parts = np.array_split(data, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(30):
            begun = time.perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, size / (time.perf_counter() - begun))
    return best


def main(folder: Path, threads: int, rounds: int, batch_rounds: int) -> None:
    """Run everything and print what was seen."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # whoever starts more gains nothing
    import numpy as np  # noqa: PLC0415

    templates, probes = np.load(folder / "templates.npy"), np.load(folder / "probes.npy")
    truth = np.load(folder / "truth.npy")
    searches: dict[str, Search] = {}
    memory: dict[str, float] = {}
    exactness: dict[str, float] = {}
    for name, search, size in contestants(folder, templates, threads):
        found = search(probes)
        found = search.as_rows(found) if hasattr(search, "as_rows") else found
        searches[name], memory[name] = search, size
        exactness[name] = recall(found, templates, probes, truth)
    single = [probes[i : i + 1] for i in range(len(probes))]
    rows = []
    for batch, given, times in ((1, single, rounds), (len(probes), [probes], batch_rounds)):
        for name, seen in time_rounds(searches, given, times).items():
            seconds, used = [one[0] for one in seen], sum(one[1] for one in seen)
            rows.append(
                {
                    "contestant": name,
                    "batch": batch,
                    "threads": threads,
                    "seconds": seconds,
                    "cores_used": round(used / sum(seconds), 2),
                    "recall": exactness[name],
                    "bytes_per_template": memory[name],
                }
            )
    speed = read_speed(68 * len(templates), threads)
    print(json.dumps({"rows": rows, "read_bytes_per_s": speed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
