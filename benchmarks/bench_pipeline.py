"""One decision on a 640x480 frame on two cores: ours, OpenCV's own pipeline and dlib's, side by side.

python -m benchmarks.bench_pipeline

A decision is: a frame comes in, all faces are found, the person is chosen and a template is made; meanwhile,
in another thread, the points of the face are followed for the motion test of the passive liveness, and then
quality is judged; at the end the template is compared with one. Nothing is accepted before all of that has
been answered. All contestants run in one process and take turns, in an order shuffled anew each round, with
two threads each (ours leaves OpenCV one, as the product does). What OpenCV and dlib do is less: neither
chooses among faces, judges quality or follows points.

Measured twice: decisions one after another, as fast as they go, and single ones after a rest. After a rest a
part of the time is not the program's: the system wakes a sleeping processor, whose caches others have filled.
dlib is left out, and named, where it is not installed: install the extra ``bench``, or name a folder that has
dlib-bin and face-recognition-models in PYTHONPATH.
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.progress import Progress

from benchmarks.bench_decision import HEIGHT, WIDTH, Contestant, Lap, make_frame, opencv
from benchmarks.machine import (
    Noise,
    Sheet,
    Summary,
    describe_machine,
    progress,
    publish,
    summary_json,
    warm_up,
)
from edge.capture.align import align
from edge.capture.choose import Chosen, choose_face
from edge.capture.quality import assess
from edge.liveness.planar import PlanarTrack
from edge.match.embedder import OnnxRunner
from edge.match.network import machine_kind
from edge.match.score import match
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.policy import LIVE_LIVE, Policy
from edge.vision import EMBEDDING_MODEL, Vision

THREADS = 2
ROUNDS, QUICK_ROUNDS = 300, 15
DLIB_EVERY = 5
"""Rounds in which dlib takes part: it takes ten times as long as the others together."""

WARM_UP = 5
REST_S = 0.01
IN_A_ROW = 4
"""Decisions of a turn that count, after one that does not."""

OURS, OURS_FULL, OPENCV, DLIB = "Verifield", "Verifield, full-size search", "OpenCV Zoo", "dlib"
DLIB_MATCH = 0.6
"""The Euclidean distance that face_recognition accepts at."""

NOTE = (
    "OpenCV Zoo: FaceDetectorYN and FaceRecognizerSF with the same prepared networks. dlib: HOG detector (no"
    " enlargement), five points, ResNet, as face_recognition runs them. Ours also chooses the person, judges"
    ' quality and follows the points of the passive motion test. "Full-size search" finds faces at 640x480 as'
    ' stills are searched; "times ours" is the median of the ratios within each round.'
)


def verifield(name: str, store: ModelStore, frame: Image, enrolled: Image, *, full: bool) -> Contestant:
    """What the product does with one frame of a camera, by the same functions."""
    vision, policy = Vision.open(store, threads=THREADS), Policy()
    reference = vision.embed(enrolled, vision.detect(enrolled)[0])
    search = vision.detect if full else vision.watch
    track = PlanarTrack(frame, search(frame)[0])
    frames = cycle([np.roll(frame, shift, axis=1) for shift in (1, 2, 1, 0)])  # there is motion to follow
    beside = ThreadPoolExecutor(1)

    def run(lap: Lap) -> float:
        following = beside.submit(track.advance, next(frames))  # nobody waits for it before the end
        faces = search(frame)
        lap("detect")
        choice = choose_face(faces, (HEIGHT, WIDTH))
        if not isinstance(choice, Chosen):
            raise TypeError("no face was chosen: the frame is not what it should be")
        judging = beside.submit(assess, frame, choice.face, policy.quality)
        lap("choose")
        probe = vision.embedder.embed(align(frame, choice.face))
        lap("align, embed")
        reading, quality = following.result(), judging.result()
        lap("liveness and quality, after that")
        result = match(probe, reference, threshold=policy.match.live_live, domain=LIVE_LIVE)
        lap("match 1:1")
        if not (result.matched and reading is not None and all(one.passed for one in quality)):
            raise ValueError("the frame was not accepted")
        return result.score

    return Contestant(name, run)


def dlib_contestant(frame: Image, enrolled: Image) -> Contestant:
    """As face_recognition does it. Raises ImportError."""
    import dlib  # noqa: PLC0415

    # face_recognition_models itself asks pkg_resources, which is gone, where its files are
    place = importlib.util.find_spec("face_recognition_models")
    if place is None or not place.submodule_search_locations:
        raise ImportError("no models", name="face_recognition_models")
    models = Path(place.submodule_search_locations[0]) / "models"
    detector = dlib.get_frontal_face_detector()
    shape = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def template(rgb: Image) -> Any:
        return np.array(network.compute_face_descriptor(rgb, shape(rgb, detector(rgb, 0)[0])))

    reference = template(np.ascontiguousarray(enrolled[:, :, ::-1]))

    def run(lap: Lap) -> float:
        rgb = np.ascontiguousarray(frame[:, :, ::-1])
        found = detector(rgb, 0)[0]
        lap("detect")
        points = shape(rgb, found)
        probe = np.array(network.compute_face_descriptor(rgb, points))
        lap("align, embed")
        distance = float(np.linalg.norm(probe - reference))
        lap("match 1:1")
        if distance > DLIB_MATCH:
            raise ValueError("the frame was not accepted")
        return 1.0 - distance

    return Contestant(DLIB, run)


def contestants(frame: Image, enrolled: Image) -> Iterator[Contestant]:
    """All that can take part here."""
    store = ModelStore.open()
    yield verifield(OURS, store, frame, enrolled, full=False)
    yield verifield(OURS_FULL, store, frame, enrolled, full=True)
    peer = opencv(store, frame, enrolled)
    peer.name, peer.opencv_threads = OPENCV, THREADS
    yield peer
    try:
        yield dlib_contestant(frame, enrolled)
    except ImportError as error:
        print(f"left out: {error.name} is not installed (extra bench)", file=sys.stderr)


def compete(everybody: list[Contestant], rounds: int, bar: Progress, *, in_a_row: bool) -> None:
    """Let them take turns; dlib, which is slow, only in some rounds. A turn is one decision after a rest, or
    ``IN_A_ROW`` decisions behind one that is not counted."""
    for one in everybody:
        one.get_ready()
        for _ in range(1 if one.name == DLIB else WARM_UP):
            one.turn()
        one.forget()
    order = random.Random(1)
    what = "decisions in a row" if in_a_row else "decisions after a rest"
    for number in bar.track(range(rounds), description=what):
        for one in order.sample(everybody, len(everybody)):
            if one.name == DLIB and number % DLIB_EVERY:
                continue
            one.get_ready()
            time.sleep(REST_S)
            if in_a_row:
                one.run(lambda _: None)
            for _ in range(IN_A_ROW if in_a_row else 1):
                one.turn()


def speedup(ours: Contestant, other: Contestant | None, *, in_a_row: bool) -> float | None:
    """The median of their ratios decision by decision; None where the other did not take part."""
    if other is None or not other.wall_ms:
        return None
    every, count = DLIB_EVERY if other.name == DLIB else 1, IN_A_ROW if in_a_row else 1
    own = [wall for number, wall in enumerate(ours.wall_ms) if number // count % every == 0]
    return round(statistics.median(theirs / mine for theirs, mine in zip(other.wall_ms, own, strict=True)), 2)


def agreement(frame: Image) -> dict[str, Any]:
    """How near the compiled network's template is to that of onnxruntime in single precision."""
    store = ModelStore.open()
    vision = Vision.open(store, threads=THREADS)
    face = vision.detect(frame)[0]
    aligned = align(frame, face)
    reference = OnnxRunner(store.path(EMBEDDING_MODEL), threads=1).run(aligned)
    cosine = float(vision.embedder.embed(aligned).vector @ (reference / np.linalg.norm(reference)))
    live: Face = max(vision.watch(frame), key=lambda one: one.score)
    return {
        "numbers": machine_kind().name,
        "cosine_to_float32": round(cosine, 6),
        "points_off_full_search": round(float(np.abs(live.points - face.points).mean()) / face.inter_eye, 4),
    }


def to_figures(everybody: list[Contestant], *, in_a_row: bool) -> dict[str, Any]:
    by_name = {one.name: one for one in everybody}
    ours = by_name[OURS]
    return {
        "speedup_vs_opencv_zoo": speedup(ours, by_name.get(OPENCV), in_a_row=in_a_row),
        "speedup_vs_dlib": speedup(ours, by_name.get(DLIB), in_a_row=in_a_row),
        "median_ms": round(statistics.median(ours.wall_ms), 3),
        "p99_ms": round(Summary.of(ours.wall_ms).p99, 3),
        "contestants": {
            one.name: {
                "wall_ms": summary_json(one.wall_ms),
                "cpu_ms": summary_json(one.cpu_ms),
                "parts_ms": {part: summary_json(values) for part, values in one.parts_ms.items()},
                "score": round(one.score, 4),
                "time_over_ours": speedup(ours, one, in_a_row=in_a_row),
            }
            for one in everybody
        },
    }


def to_sheets(figures: dict[str, Any], title: str, *notes: str) -> list[Sheet]:
    whole, parts = [], []
    for name, told in figures["contestants"].items():
        wall, cpu = told["wall_ms"], told["cpu_ms"]
        times = (wall["median"], wall["p99"], wall["minimum"], cpu["median"], told["time_over_ours"])
        whole.append((name, *(f"{value:.2f}" for value in times)))
        parts += [
            (f"{name}: {part}", *(f"{one[key]:.2f}" for key in ("median", "p99", "minimum")))
            for part, one in told["parts_ms"].items()
        ]
    columns = ("", "median ms", "p99 ms", "best ms", "cpu ms", "times ours")
    return [
        Sheet(f"{title}, 640x480, two threads", columns, whole, *notes[:1]),
        Sheet(f"Parts ({title.lower()})", ("", "median ms", "p99 ms", "best ms"), parts, *notes[1:]),
    ]


def _agreement_note(told: dict[str, Any]) -> str:
    return (
        f"Our network computes with {told['numbers']} numbers here; its template of this frame has a cosine"
        f" of {told['cosine_to_float32']} to that of onnxruntime in single precision."
    )


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few rounds, to try it; keeps no result.")] = False,
) -> None:
    """Measure one decision against OpenCV's and dlib's pipelines."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of a default it sets itself
    if not quick:
        warm_up()
    noise = Noise()
    machine = describe_machine("opencv-python", "onnxruntime", "numpy", "numba")
    frame, enrolled = make_frame()
    everybody = list(contestants(frame, enrolled))
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with progress() as bar:
        compete(everybody, rounds, bar, in_a_row=True)
        figures = to_figures(everybody, in_a_row=True)
        compete(everybody, rounds, bar, in_a_row=False)
        rested = to_figures(everybody, in_a_row=False)
    figures |= {"after_a_rest": rested, "threads": THREADS, "frame": [WIDTH, HEIGHT]}
    figures |= {"agreement": agreement(frame), "machine": machine, "noise": noise.stop()}
    sheets = to_sheets(figures, "Decisions one after another", NOTE, _agreement_note(figures["agreement"]))
    sheets += to_sheets(rested, f"One decision after a rest of {1e3 * REST_S:.0f} ms")
    publish("pipeline", "One decision", figures, sheets, as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
