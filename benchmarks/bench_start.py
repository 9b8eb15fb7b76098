"""From the start of a process to its first decision, and the memory that it then holds.

python -m benchmarks.bench_start

Each repetition is a process of its own with warm file caches. Its floor is a process that only imports
the libraries. There is no gallery and no compiled kernel yet, so neither is in the figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Annotated

import typer

from benchmarks.machine import ROOT, Noise, Sheet, Summary, describe_machine, progress, publish, summary_json

REPETITIONS, QUICK_REPETITIONS = 40, 3
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
vision.detect(np.zeros((480, 640, 3), np.uint8))
vision.embedder.embed(np.zeros((112, 112, 3), np.uint8))
"""
STEPS = {
    "imports of numpy, cv2 and onnxruntime (floor)": "import numpy, cv2, onnxruntime",
    "models opened": _OPEN,
    "first frame detected, first face embedded": _OPEN + _DECIDE,
}


def start(code: str) -> tuple[float, float]:
    """Seconds until a new process has run ``code``, and its resident MiB then."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code + _REPORT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        memory = float(json.loads(process.stdout.readline()))
        seconds = time.perf_counter() - begun
        process.wait(TIMEOUT_S)
    return seconds, memory


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few starts, to try it; keeps no result.")] = False,
) -> None:
    """Measure the start of the vision stages in a new process."""
    noise = Noise()
    machine = describe_machine("opencv-python", "onnxruntime", "numpy")
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in STEPS}
    with progress() as bar:
        for _ in bar.track(range(QUICK_REPETITIONS if quick else REPETITIONS), description="starts"):
            for name, code in STEPS.items():
                seen[name].append(start(code))
    summaries = {
        name: (Summary.of([one[0] for one in values]), Summary.of([one[1] for one in values]))
        for name, values in seen.items()
    }
    rows = [
        (
            name,
            str(seconds.count),
            f"{seconds.median:.3f}",
            f"{seconds.p99:.3f}",
            f"{seconds.minimum:.3f}",
            f"{memory.median:.0f}",
        )
        for name, (seconds, memory) in summaries.items()
    ]
    columns = ("from process start to", "times", "median s", "p99 s", "best s", "resident MiB")
    note = "File caches are warm. There is no gallery and no compiled kernel yet."
    figures = {
        "machine": machine,
        "noise": noise.stop(),
        "steps": {
            name: {
                "seconds": summary_json([one[0] for one in values]),
                "resident_mib": summary_json([one[1] for one in values]),
            }
            for name, values in seen.items()
        },
    }
    sheets = [Sheet("Start", columns, rows, note)]
    publish("start", "Start of the vision stages", figures, sheets, as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
