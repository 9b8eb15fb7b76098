"""Searching a million faces exactly, beside the fastest libraries for it, in one run on one machine.

python -m benchmarks.bench_gallery

Templates are made up: random directions, and clusters of a dozen alike (people who come again, families).
Each contestant searches for the ten best, for one probe and for 64 at once, with one thread and with two. A
process for each number of threads has so many processors and no more; in it the contestants take turns. What
each finds is compared with the truth, so that who rounds is seen. Peers that are not installed are left out,
and named: install the extra ``bench``.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.progress import Progress

from benchmarks.gallery_contest import KEY, MODEL_NAME, MODEL_SHA256, THREAD_VARIABLES, K
from benchmarks.machine import (
    RESULTS,
    ROOT,
    Noise,
    Sheet,
    describe_machine,
    progress,
    publish,
    summary_json,
    warm_up,
)
from edge.gallery.layout import CHUNK_ROWS, Records
from edge.gallery.records import Kind, Rowset, to_records
from edge.gallery.warming import warm
from edge.gallery.writing import new_header, write_file

Floats = npt.NDArray[np.float32]
TEMPLATES, QUICK_TEMPLATES = 1_000_000, 50_000
PROBES = 64
THREADS = (1, 2)
ROUNDS, BATCH_ROUNDS = 40, 5
CLUSTER = 12
SPREAD = 0.2
OURS = "Verifield (encrypted file)"
NO_PEERS = frozenset({OURS, "numpy"})
"""numpy is a yardstick that everybody has, and no library for searching."""

BYTES_READ = 68
"""Of each template in the first pass: four bits a number, a scale and an error in half precision."""

TIMEOUT_S = 3600.0
COLUMNS = ("search", "median ms", "p99 ms", "times ours", "recall", "bytes each", "cores")


def random_templates(count: int, rng: np.random.Generator) -> Floats:
    return unit(rng.standard_normal((count, 128), dtype=np.float32))


def clustered_templates(count: int, rng: np.random.Generator) -> Floats:
    centres = rng.standard_normal((count // CLUSTER + 1, 128), dtype=np.float32)
    noise = rng.standard_normal((count, 128), dtype=np.float32)
    return unit(centres[rng.integers(0, len(centres), count)] + np.float32(SPREAD) * noise)


MAKERS: dict[str, Callable[[int, np.random.Generator], Floats]] = {
    "random": random_templates,
    "clustered": clustered_templates,
}


def unit(rows: Floats) -> Floats:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def prepare(folder: Path, kind: str, count: int, bar: Progress) -> None:
    """Templates, probes, the truth, and our file."""
    rng = np.random.default_rng(7)
    templates = MAKERS[kind](count, rng)
    # Half of the probes are people in the gallery who come again, half are strangers.
    again = templates[rng.integers(0, count, PROBES // 2)]
    again = again + np.float32(0.05) * rng.standard_normal(again.shape, dtype=np.float32)
    probes = unit(np.concatenate([again, random_templates(PROBES - len(again), rng)]))
    np.save(folder / "templates.npy", templates)
    np.save(folder / "probes.npy", probes)
    np.save(folder / "truth.npy", true_scores(templates, probes))
    ids = np.frombuffer(rng.bytes(16 * count), np.uint8).reshape(count, 16)
    np.save(folder / "ids.npy", ids)
    order = np.argsort(ids.copy().view("S16").reshape(-1), kind="stable")
    header = new_header(
        model_sha256=bytes.fromhex(MODEL_SHA256), model_name=MODEL_NAME, count=count, version=1
    )
    path = folder / "people.gallery"
    task = bar.add_task(f"{kind}: the file", total=count)

    def parts() -> Iterator[Records]:
        for start in range(0, count, CHUNK_ROWS):
            rows = order[start : start + CHUNK_ROWS]
            zeros = np.zeros(len(rows), np.int32)
            kinds = np.full(len(rows), Kind.PERSON, np.uint8)
            yield to_records(Rowset(ids[rows].view("S16").reshape(-1), templates[rows], zeros, kinds))

    beside = write_file(
        path, header, KEY, parts(), tell=lambda done, total: bar.update(task, completed=done, total=total)
    )
    beside.rename(path)


def true_scores(templates: Floats, probes: Floats) -> npt.NDArray[np.float64]:
    """The K-th best score of each probe, in double precision."""
    best = np.full((len(probes), K), -2.0)
    for start in range(0, len(templates), 1 << 16):
        scores = probes.astype(np.float64) @ templates[start : start + (1 << 16)].astype(np.float64).T
        best = -np.partition(-np.concatenate([best, scores], axis=1), K - 1, axis=1)[:, :K]
    return np.asarray(best.min(axis=1))


def run_contest(folder: Path, threads: int, rounds: tuple[int, int]) -> dict[str, Any]:
    """Errors of a contestant end everything: a figure beside one that failed says nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gallery_contest", str(folder), str(threads), *map(str, rounds)],
        cwd=ROOT,
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def judge(rows: list[dict[str, Any]], floor_s: float) -> dict[str, Any]:
    """One case: how many times faster than the best peer, and how far from the floor."""
    ours = next(row for row in rows if row["contestant"] == OURS)["seconds"]["median"]
    peers = [row for row in rows if row["contestant"] not in NO_PEERS]
    exact = [row for row in peers if row["recall"] == 1.0]

    def fastest(among: list[dict[str, Any]]) -> tuple[str | None, float | None]:
        best = min(among, key=lambda row: row["seconds"]["median"], default=None)
        return (best["contestant"], best["seconds"]["median"] / ours) if best else (None, None)

    peer, speedup = fastest(peers)
    exact_peer, exact_speedup = fastest(exact)
    return {
        "best_peer": peer,
        "speedup_vs_best_peer": speedup,
        "best_exact_peer": exact_peer,
        "speedup_vs_best_exact_peer": exact_speedup,
        "seconds": ours,
        "floor_s": floor_s,
        "over_floor": ours / floor_s,
    }


def sheet_of(name: str, rows: list[dict[str, Any]], case: dict[str, Any]) -> Sheet:
    lines = [
        (
            row["contestant"],
            f"{row['seconds']['median'] * 1e3:.2f}",
            f"{row['seconds']['p99'] * 1e3:.2f}",
            f"{row['seconds']['median'] / case['seconds']:.1f}",
            f"{row['recall']:.4f}",
            f"{row['bytes_per_template']:.0f}",
            f"{row['cores_used']:.2f}",
        )
        for row in sorted(rows, key=lambda row: row["seconds"]["median"])
    ]
    note = f"Floor: {case['floor_s'] * 1e3:.2f} ms to read what one probe has to read, from this memory."
    return Sheet(name, COLUMNS, lines, note)


def plot(cases: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Medians of all cases, on a logarithmic axis; left out where nothing can draw."""
    try:
        import matplotlib as mpl  # noqa: PLC0415

        mpl.use("Agg")
        from matplotlib import pyplot  # noqa: PLC0415
    except ImportError:
        return
    figure, axes = pyplot.subplots(2, len(cases) // 2, figsize=(16, 8), sharex=True)
    for axis, (name, rows) in zip(axes.flat, cases.items(), strict=True):
        ordered = sorted(rows, key=lambda row: -row["seconds"]["median"])
        colours = ["tab:green" if row["contestant"] == OURS else "tab:gray" for row in ordered]
        names = [row["contestant"] + ("" if row["recall"] == 1.0 else " (not exact)") for row in ordered]
        axis.barh(names, [row["seconds"]["median"] * 1e3 for row in ordered], color=colours)
        axis.set(title=name, xscale="log", xlabel="ms, median")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def packages() -> list[str]:
    names = []
    for name in ("numba", "numpy", "faiss-cpu", "usearch", "numkong"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        names.append(name)
    return names


def measure(count: int, rounds: tuple[int, int], bar: Progress) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows and judgement of each case."""
    cases: dict[str, list[dict[str, Any]]] = {}
    judged: dict[str, dict[str, Any]] = {}
    for kind in MAKERS:
        folder = Path(tempfile.mkdtemp(prefix="verifield-bench-"))
        try:
            prepare(folder, kind, count, bar)
            for threads in bar.track(THREADS, description=f"{kind}: contests"):
                told = run_contest(folder, threads, rounds)
                for batch in (1, PROBES):
                    rows = [row for row in told["rows"] if row["batch"] == batch]
                    for row in rows:
                        row["seconds"] = summary_json(row["seconds"])
                        row["templates"] = kind
                    probe, thread = "probes" if batch > 1 else "probe", "threads" if threads > 1 else "thread"
                    name = f"{kind}, {batch} {probe}, {threads} {thread}"
                    cases[name] = rows
                    judged[name] = judge(rows, BYTES_READ * count / told["read_bytes_per_s"])
        finally:
            shutil.rmtree(folder)
    return cases, judged


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[
        bool, typer.Option(help="Few templates and rounds, to try it; keeps no result.")
    ] = False,
) -> None:
    """Search the same templates with everything that is installed."""
    warm()
    if not quick:
        warm_up()
    noise = Noise()
    count = QUICK_TEMPLATES if quick else TEMPLATES
    with progress() as bar:
        cases, judged = measure(count, (8, 2) if quick else (ROUNDS, BATCH_ROUNDS), bar)
    first = [case for name, case in judged.items() if "1 probe, 1 thread" in name]
    rows = [row for case in cases.values() for row in case]
    figures = {
        "machine": describe_machine(*packages()),
        "noise": noise.stop(),
        "templates": count,
        "k": K,
        "speedup_vs_best_peer": _least(first, "speedup_vs_best_peer"),
        "speedup_vs_best_exact_peer": _least(first, "speedup_vs_best_exact_peer"),
        "exact": all(row["recall"] == 1.0 for row in rows if row["contestant"] == OURS),
        "bytes_per_template": max(row["bytes_per_template"] for row in rows if row["contestant"] == OURS),
        "over_floor": statistics.median(case["over_floor"] for case in first),
        "cases": judged,
        "rows": rows,
    }
    sheets = [sheet_of(name, cases[name], judged[name]) for name in cases]
    publish("gallery", "Searching a gallery", figures, sheets, as_json=as_json, keep=not quick)
    if not quick:
        plot(cases, RESULTS / "gallery.png")


def _least(cases: list[dict[str, Any]], name: str) -> float | None:
    """Over random and clustered templates; None where no peer is installed."""
    values = [case[name] for case in cases if case[name] is not None]
    return min(values) if values else None


if __name__ == "__main__":
    typer.run(main)
