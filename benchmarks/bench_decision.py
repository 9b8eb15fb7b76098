"""One decision on a 640x480 frame, and its parts: ours, OpenCV's own pipeline, and the bare networks.

python -m benchmarks.bench_decision

All contestants run in one process and take turns, in an order shuffled anew each round, so that noise
meets all of them alike. "cpu" is processor time of the whole process, which others on the machine disturb
less than the wall clock; waiting threads that spin count in it, as they cost a device power.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import matplotlib as mpl
import numpy as np
import onnxruntime as ort
import skimage
import typer
from rich.progress import Progress

from benchmarks.machine import (
    RESULTS,
    Noise,
    Sheet,
    Summary,
    describe_machine,
    progress,
    publish,
    summary_json,
)
from edge.capture.align import align
from edge.capture.choose import Chosen, choose_face
from edge.capture.pictures import read_picture
from edge.capture.quality import assess
from edge.match.score import match
from edge.model import Embedding, Image
from edge.models.store import ModelStore
from edge.policy import LIVE_LIVE, Policy
from edge.vision import DETECTOR_MODEL, EMBEDDING_MODEL, Vision

WIDTH, HEIGHT = 640, 480
ROUNDS, QUICK_ROUNDS = 400, 20
WARM_UP = 5
REST_S = 0.01  # so that nobody runs beside threads of the one before that still spin
THREADS = (1, 2)
OPENCV_MATCH = 0.363  # the cosine that OpenCV's own example accepts at

OURS, PEER = "verifield", "OpenCV"
FLOOR, FLOOR_SPINNING = "bare networks", "bare networks, waiting threads spin"

WHOLE_NOTE = (
    "OpenCV runs the same two networks (FaceDetectorYN and FaceRecognizerSF, default engine); it does not"
    ' choose among faces and does not judge quality. "Time over ours" is the median of the ratios within'
    " each round. The bare networks are the floor of the present design: onnxruntime with the product's"
    " options and inputs that are ready. Passive liveness is measured elsewhere (bench_liveness)."
)

Lap = Callable[[str], None]


@dataclass(slots=True)
class Contestant:
    """``run`` does the work once and calls its argument after each part; it returns the 1:1 score.
    ``opencv_threads``: that OpenCV may have meanwhile; the product leaves it one.
    """

    name: str
    run: Callable[[Lap], float]
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    parts_ms: dict[str, list[float]] = field(default_factory=dict)
    score: float = 0.0
    opencv_threads: int = 1

    def get_ready(self) -> None:
        """Let OpenCV have its threads, and have begun them before time counts."""
        cv2.setNumThreads(self.opencv_threads)
        cv2.GaussianBlur(np.zeros((512, 512), np.uint8), (0, 0), 3)

    def turn(self) -> None:
        """Run once and keep the times."""
        cpu, start = time.process_time(), time.perf_counter()
        last = start

        def lap(part: str) -> None:
            nonlocal last
            now = time.perf_counter()
            self.parts_ms.setdefault(part, []).append((now - last) * 1e3)
            last = now

        self.score = self.run(lap)
        self.wall_ms.append((time.perf_counter() - start) * 1e3)
        self.cpu_ms.append((time.process_time() - cpu) * 1e3)

    def forget(self) -> None:
        """Drop the times of the warm-up."""
        self.wall_ms.clear()
        self.cpu_ms.clear()
        self.parts_ms.clear()


def make_frame() -> tuple[Image, Image]:
    """The frame that is judged and the picture that was enrolled: the same public-domain portrait."""
    portrait = read_picture(Path(skimage.__file__).parent / "data" / "astronaut.png")
    cut = portrait[: portrait.shape[1] * HEIGHT // WIDTH]
    frame = cv2.resize(cut, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(frame, dtype=np.uint8), portrait


def ours(store: ModelStore, threads: int, frame: Image, enrolled: Image) -> Contestant:
    """What the pipeline does with one frame, by the same functions."""
    vision, policy = Vision.open(store, threads=threads), Policy()
    reference = vision.embed(enrolled, vision.detect(enrolled)[0])

    def run(lap: Lap) -> float:
        faces = vision.detect(frame)
        lap("detect")
        choice = choose_face(faces, (HEIGHT, WIDTH))
        if not isinstance(choice, Chosen):
            raise TypeError("no face was chosen: the frame is not what it should be")
        lap("choose")
        quality = assess(frame, choice.face, policy.quality)
        lap("quality")
        aligned = align(frame, choice.face)
        lap("align")
        probe: Embedding = vision.embedder.embed(aligned)
        lap("embed")
        result = match(probe, reference, threshold=policy.match.live_live, domain=LIVE_LIVE)
        lap("match 1:1")
        if not (result.matched and all(component.passed for component in quality)):
            raise ValueError("the frame was not accepted")
        return result.score

    return Contestant(OURS, run)


def opencv(store: ModelStore, frame: Image, enrolled: Image) -> Contestant:
    """The pipeline of OpenCV's example: no choice among faces, no quality.

    The detector's file is the published one, as its users have it; the embedding network's is the prepared
    one, because OpenCV's engine refuses the published form.
    """
    published = store.path(DETECTOR_MODEL).parent.parent / "published" / store.entry(DETECTOR_MODEL).file
    detector = cv2.FaceDetectorYN.create(str(published), "", (WIDTH, HEIGHT), 0.6, 0.3, 1000)
    recognizer = cv2.FaceRecognizerSF.create(str(store.path(EMBEDDING_MODEL)), "")
    detector.setInputSize(enrolled.shape[1::-1])
    reference = recognizer.feature(recognizer.alignCrop(enrolled, detector.detect(enrolled)[1][0])).copy()
    detector.setInputSize((WIDTH, HEIGHT))

    def run(lap: Lap) -> float:
        face = detector.detect(frame)[1][0]
        lap("detect")
        aligned = recognizer.alignCrop(frame, face)
        lap("align")
        probe = recognizer.feature(aligned)
        lap("embed")
        score = recognizer.match(probe, reference, cv2.FaceRecognizerSF_FR_COSINE)
        lap("match 1:1")
        if score < OPENCV_MATCH:
            raise ValueError("the frame was not accepted")
        return float(score)

    return Contestant(PEER, run)


def bare_networks(store: ModelStore, threads: int, frame: Image, *, spin: bool) -> Contestant:
    """The floor of this design: onnxruntime on inputs that are ready, nothing else.

    The product does not let waiting threads spin; onnxruntime itself would.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    detector, embedder = (
        ort.InferenceSession(str(store.path(name)), options, providers=["CPUExecutionProvider"])
        for name in (DETECTOR_MODEL, EMBEDDING_MODEL)
    )
    blob = np.ascontiguousarray(frame.transpose(2, 0, 1)[None], dtype=np.float32)
    crop = np.ascontiguousarray(blob[:, :, 100:212, 200:312])

    def run(lap: Lap) -> float:
        detector.run(None, {"input": blob})
        lap("detect")
        embedder.run(None, {"data": crop})
        lap("embed")
        return float("nan")

    return Contestant(FLOOR_SPINNING if spin else FLOOR, run)


def compete(threads: int, rounds: int, bar: Progress) -> list[Contestant]:
    """Let everybody run ``rounds`` times with ``threads`` threads."""
    store = ModelStore.open()
    frame, enrolled = make_frame()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of a default it sets itself
    contestants = [
        ours(store, threads, frame, enrolled),
        opencv(store, frame, enrolled),
        bare_networks(store, threads, frame, spin=False),
    ]
    if threads > 1:  # a single thread has nobody to wait for
        contestants.append(bare_networks(store, threads, frame, spin=True))
    contestants[1].opencv_threads = threads
    for contestant in contestants:
        contestant.get_ready()
        for _ in range(WARM_UP):
            contestant.turn()
        contestant.forget()
    order = random.Random(threads)
    for _ in bar.track(range(rounds), description=f"{threads} thread(s)"):
        for contestant in order.sample(contestants, len(contestants)):
            contestant.get_ready()
            time.sleep(REST_S)
            contestant.turn()
    return contestants


def to_figures(contestants: Sequence[Contestant]) -> dict[str, Any]:
    """Summaries by name, and how the others compare with us round by round."""
    by_name = {contestant.name: contestant for contestant in contestants}
    ratios = {
        name: statistics.median(
            other / own for other, own in zip(by_name[name].wall_ms, by_name[OURS].wall_ms, strict=True)
        )
        for name in by_name
        if name != OURS
    }
    return {
        "contestants": {
            one.name: {
                "wall_ms": summary_json(one.wall_ms),
                "cpu_ms": summary_json(one.cpu_ms),
                "parts_ms": {part: summary_json(values) for part, values in one.parts_ms.items()},
                "score": None if np.isnan(one.score) else round(one.score, 4),
            }
            for one in contestants
        },
        "time_over_ours_median": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }


def to_sheets(runs: dict[int, list[Contestant]]) -> list[Sheet]:
    """One table of whole decisions, one of their parts."""
    whole, parts = [], []
    for threads, contestants in runs.items():
        ratios = to_figures(contestants)["time_over_ours_median"]
        for one in contestants:
            wall, cpu = Summary.of(one.wall_ms), Summary.of(one.cpu_ms)
            times = tuple(f"{value:.1f}" for value in (wall.median, wall.p99, wall.minimum, cpu.median))
            whole.append((one.name, str(threads), *times, f"{ratios.get(one.name, 1.0):.2f}"))
            for part, values in one.parts_ms.items():
                spread = Summary.of(values)
                cells = (f"{value:.2f}" for value in (spread.median, spread.p99, spread.minimum))
                parts.append((f"{one.name}: {part}", str(threads), *cells))
    return [
        Sheet(
            "One decision, 640x480",
            ("", "threads", "median ms", "p99 ms", "best ms", "cpu ms", "time over ours"),
            whole,
            WHOLE_NOTE,
        ),
        Sheet("Parts", ("", "threads", "median ms", "p99 ms", "best ms"), parts),
    ]


def plot(runs: dict[int, list[Contestant]], path: Path) -> None:
    """Medians of the parts, stacked."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 (after the backend is chosen)

    figure, axes = plt.subplots(figsize=(7, 2.8), dpi=90, layout="constrained")
    labels = [f"{one.name} ({threads})" for threads, row in runs.items() for one in row]
    everybody = [one for row in runs.values() for one in row]
    left = np.zeros(len(everybody))
    for part in everybody[0].parts_ms:
        widths = np.array([statistics.median(one.parts_ms.get(part, [0.0])) for one in everybody])
        axes.barh(labels, widths, left=left, label=part)
        left += widths
    axes.invert_yaxis()
    axes.set_xlabel("median of each part in ms; in brackets: threads", fontsize=8)
    axes.tick_params(labelsize=7)
    figure.legend(fontsize=7, loc="outside upper center", ncols=6)
    figure.savefig(path)
    plt.close(figure)


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few rounds, to try it; keeps no result.")] = False,
) -> None:
    """Measure one decision and its parts against OpenCV and the floor."""
    noise = Noise()
    machine = describe_machine("opencv-python", "onnxruntime", "numpy")
    with progress() as bar:
        runs = {threads: compete(threads, QUICK_ROUNDS if quick else ROUNDS, bar) for threads in THREADS}
    figures = {
        "machine": machine,
        "noise": noise.stop(),
        "frame": [WIDTH, HEIGHT],
        "threads": {str(threads): to_figures(row) for threads, row in runs.items()},
    }
    publish("decision", "One decision", figures, to_sheets(runs), as_json=as_json, keep=not quick)
    if not quick:
        plot(runs, RESULTS / "decision.png")


if __name__ == "__main__":
    typer.run(main)
