"""What the passive half of liveness costs per frame of 640x480, on one core, cue by cue.

python -m benchmarks.bench_liveness

Frames come from the simulator's camera (a head that moves and blinks), faces from the product's detector;
both are made before anything is timed. "All of a frame" is what ``PassiveEvidence.observe`` takes with the
work spread over the frames as in the product; the cues below it are timed by themselves on the same frames.
Told is processor time of the one thread that does it all, which other programs change less than the time on
the wall.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.machine import Noise, Sheet, describe_machine, publish, summary_json, warm_up
from edge.capture.detector import YuNetDetector
from edge.errors import SetupError
from edge.liveness.cues import background, banding, motion
from edge.liveness.cues.repetition import FrameNovelty
from edge.liveness.cues.view import FaceView, look
from edge.liveness.minifasnet import open_minifasnet
from edge.liveness.passive import FRAME_CUES, PassiveCalibration, PassiveEvidence
from edge.liveness.texture import TextureExpert
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.ports import FrameExpert
from verifield_sim import portraits
from verifield_sim.camera import Scene

FPS = {"video, 30 a second": 30.0, "slow video, 10 a second": 10.0, "frames, 1.5 a second": 1.5}
SECONDS, QUICK_SECONDS = 10.0, 2.0
ALLOWED_MS = 15.0
LAG = 15  # frames between the two that are compared

Look = tuple[Image, Face]


def make_looks(detector: YuNetDetector, seconds: float) -> list[Look]:
    """Frames of a living head at 30 a second, each with its face."""
    scene = Scene("live", portraits.load("astronaut"), seed=3)
    looks = []
    for number in range(round(seconds * 30.0)):
        frame = scene.frame(number / 30.0)
        face = next(iter(detector.detect(frame)), None)
        if face is not None:
            looks.append((frame, face))
    return looks


def open_experts(store: ModelStore) -> list[FrameExpert]:
    """The product's network, and MiniFASNet where it was pulled."""
    experts: list[FrameExpert] = []
    try:
        experts.append(TextureExpert.open())
    except SetupError as error:
        print(f"left out: {error}", file=sys.stderr)
    optional = open_minifasnet(store)
    return [*experts, optional] if optional is not None else experts


def time_stream(looks: Sequence[Look], fps: float, experts: Sequence[FrameExpert]) -> list[float]:
    """Processor milliseconds of each frame of a stream, the work spread over it as in the product."""
    evidence = PassiveEvidence(experts, PassiveCalibration.built_in())
    return [
        _ms(partial(evidence.observe, image, face, number / fps))
        for number, (image, face) in enumerate(looks)
    ]


def time_cues(looks: Sequence[Look], experts: Sequence[FrameExpert]) -> dict[str, list[float]]:
    """Milliseconds of each cue on each frame."""
    views = [look(image, face, number / 30.0) for number, (image, face) in enumerate(looks)]
    novelty = FrameNovelty()
    told: dict[str, list[float]] = {
        "cutting out": [_ms(partial(look, image, face, 0.0)) for image, face in looks],
        "repetition": [_ms(partial(novelty.observe, view)) for view in views],
    }
    for name, cue in FRAME_CUES.items():
        told[name] = [_ms(partial(cue, view)) for view in views]
    pairs = list(zip(views, views[LAG:], strict=False))
    told["face motion"] = [_ms(partial(motion.compare, one.aligned, two.aligned)) for one, two in pairs]
    told["background"] = [_ms(partial(background.drift, one, two)) for one, two in pairs]
    told["banding"] = [_ms(partial(_banding, one, two)) for one, two in pairs]
    for expert in experts:
        told[f"network {expert.name}"] = [_ms(partial(expert.live, image, face)) for image, face in looks]
    return told


def _banding(first: FaceView, second: FaceView) -> float | None:
    return banding.steadiness(first, second)


def _ms(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return (time.thread_time() - start) * 1e3


def describe(values: Sequence[float]) -> dict[str, float]:
    """A summary with mean and 95th percentile beside it."""
    extra = {"mean": float(np.mean(values)), "p95": float(np.quantile(values, 0.95))}
    return summary_json(values) | {name: float(f"{value:.4g}") for name, value in extra.items()}


def to_rows(told: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    names = ("mean", "median", "p95", "p99", "maximum")
    return [(name, *(f"{one[key]:.2f}" for key in names)) for name, one in told.items()]


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="Few frames, to try it; keeps no result.")] = False,
) -> None:
    """Time the passive half of liveness."""
    cv2.setNumThreads(1)
    store = ModelStore.open()
    looks = make_looks(
        YuNetDetector.open(store.path("yunet-int8bq"), threads=1), QUICK_SECONDS if quick else SECONDS
    )
    experts = open_experts(store)
    if not quick:
        warm_up()
    noise = Noise()
    machine = describe_machine("opencv-python", "onnxruntime", "numpy")
    streams = {name: describe(time_stream(looks, fps, experts)) for name, fps in FPS.items()}
    cues = {name: describe(values) for name, values in time_cues(looks, experts).items()}
    figures: dict[str, Any] = {
        "allowed_ms": ALLOWED_MS,
        "frames": len(looks),
        "experts": [expert.name for expert in experts],
        "streams": streams,
        "cues": cues,
        "machine": machine,
        "noise": noise.stop(),
    }
    columns = ("milliseconds", "mean", "median", "p95", "p99", "most")
    note = (
        f"Allowed per frame: {ALLOWED_MS:.0f} ms on one core, mean and p95. {len(looks)} frames of 640x480."
    )
    sheets = [
        Sheet("All of a frame", columns, to_rows(streams), note),
        Sheet("Each cue by itself", columns, to_rows(cues), "Not every cue runs on every frame."),
    ]
    publish("liveness", "What passive liveness costs", figures, sheets, as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
