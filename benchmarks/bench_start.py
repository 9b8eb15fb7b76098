"""From the start of a process to its first decision and its first search, and the memory that it then holds.

python -m benchmarks.bench_start

Each repetition is a process of its own with warm file caches and with the kernels compiled before, as set-up
does it. Its floor is a process that only imports the libraries. The gallery has 100,000 templates, encrypted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer

from benchmarks.bench_gallery import random_templates
from benchmarks.gallery_contest import KEY, MODEL_NAME, MODEL_SHA256
from benchmarks.machine import (
    ROOT,
    Noise,
    Sheet,
    Summary,
    describe_machine,
    progress,
    publish,
    summary_json,
    warm_up,
)
from edge.capture.detector_network import warm as warm_detector
from edge.gallery.layout import CHUNK_ROWS
from edge.gallery.records import Kind, Rowset, to_records
from edge.gallery.warming import warm
from edge.gallery.writing import new_header, write_file
from edge.match.network import warm as warm_network

REPETITIONS, QUICK_REPETITIONS = 9, 1
"""Each is five processes: the whole run ends within three minutes on a machine that is busy too."""
TEMPLATES = 100_000
TIMEOUT_S = 60.0

_REPORT = """
import json, pathlib
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps(int(status.split("VmRSS:")[1].split()[0]) / 1024), flush=True)
"""
_OPEN = """
import numpy as np
import edge.pipeline
from edge.models.store import ModelStore
from edge.vision import Vision
vision = Vision.open(ModelStore.open(), threads=2)
"""
_DECIDE = """
vision.watch(np.zeros((480, 640, 3), np.uint8))
vision.embedder.embed(np.zeros((112, 112, 3), np.uint8))
"""
_GALLERY = f"""
import sys, pathlib
from edge.gallery.store import Gallery
gallery = Gallery.open(pathlib.Path(sys.argv[1]), {KEY!r}, threads=2)
"""
_SEARCH = f"""
from edge.model import Embedding
probe = Embedding(np.eye(128, dtype=np.float32)[0], {MODEL_NAME!r}, {MODEL_SHA256!r})
assert len(gallery.search([probe], k=10)[0]) == 10
"""
READY, READY_SEARCHED = "models and gallery open: ready", "the same, a first frame judged and a first search"
STEPS = {
    "imports of numpy, cv2, onnxruntime and numba (floor)": "import numpy, cv2, onnxruntime, numba",
    "models open": _OPEN,
    "first frame searched, first face embedded": _OPEN + _DECIDE,
    READY: _OPEN + _GALLERY,
    READY_SEARCHED: _OPEN + _DECIDE + _GALLERY + _SEARCH,
}


def make_gallery(folder: Path) -> Path:
    """A file with as many people as the requirement names."""
    rng = np.random.default_rng(7)
    ids = np.sort(np.frombuffer(rng.bytes(16 * TEMPLATES), "S16"))
    templates = random_templates(TEMPLATES, rng)
    header = new_header(
        model_sha256=bytes.fromhex(MODEL_SHA256), model_name=MODEL_NAME, count=TEMPLATES, version=1
    )
    parts = (
        to_records(
            Rowset(
                ids[start : start + CHUNK_ROWS],
                templates[start : start + CHUNK_ROWS],
                np.zeros(len(ids[start : start + CHUNK_ROWS]), np.int32),
                np.full(len(ids[start : start + CHUNK_ROWS]), Kind.PERSON, np.uint8),
            )
        )
        for start in range(0, TEMPLATES, CHUNK_ROWS)
    )
    path = folder / "people.gallery"
    write_file(path, header, KEY, parts).rename(path)
    return path


def start(code: str, gallery: Path) -> tuple[float, float, float]:
    """Seconds until a new process has run ``code``, its resident MiB then, and its processor seconds."""
    used = _children_s()
    begun = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code + _REPORT, str(gallery)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - begun
        process.wait(TIMEOUT_S)
    return seconds, float(json.loads(line)), _children_s() - used


def _children_s() -> float:
    """Processor seconds of all processes that have ended; other programs do not show in them."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few starts, to try it; keeps no result.")] = False,
) -> None:
    """Measure the start of the vision stages and the gallery in a new process."""
    warm()
    warm_network()
    warm_detector()
    if not quick:
        warm_up()
    noise = Noise()
    machine = describe_machine("opencv-python", "onnxruntime", "numpy", "numba")
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in STEPS}
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        gallery = make_gallery(Path(folder))
        for code in STEPS.values():
            start(code, gallery)
        for _ in bar.track(range(QUICK_REPETITIONS if quick else REPETITIONS), description="starts"):
            for name, code in STEPS.items():
                seen[name].append(start(code, gallery))
    summaries = {
        name: tuple(Summary.of(column) for column in zip(*values, strict=True))
        for name, values in seen.items()
    }
    rows = [
        (
            name,
            str(seconds.count),
            f"{seconds.median:.3f}",
            f"{seconds.maximum:.3f}",
            f"{seconds.minimum:.3f}",
            f"{cpu.median:.2f}",
            f"{memory.median:.0f}",
            f"{memory.maximum:.0f}",
        )
        for name, (seconds, memory, cpu) in summaries.items()
    ]
    columns = ("from process start to", "times", "median s", "worst s", "best s", "CPU s", "MiB", "most MiB")
    figures = {
        "ready_s": round(summaries[READY][0].median, 3),
        "ready_p99_s": round(summaries[READY][0].p99, 3),
        "resident_mib": round(summaries[READY_SEARCHED][1].maximum, 1),
        "gallery_templates": TEMPLATES,
        "machine": machine,
        "noise": noise.stop(),
        "steps": {
            name: {
                "seconds": summary_json([one[0] for one in values]),
                "resident_mib": summary_json([one[1] for one in values]),
                "cpu_seconds": summary_json([one[2] for one in values]),
            }
            for name, values in seen.items()
        },
    }
    note = (
        f"File caches are warm, kernels are compiled. The gallery has {TEMPLATES:,} templates. CPU s: median "
        "processor time of the process to its end, all threads, which other programs do not take from it."
    )
    sheets = [Sheet("Start", columns, rows, note)]
    publish("start", "Start of the appliance's process", figures, sheets, as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
