"""The detector's compiled network against onnxruntime on the same graph, for every kind of numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from llvmlite import binding
from onnx import helper

from edge.capture.detector import OnnxRunner, YuNetDetector, decode, overlaps
from edge.capture.detector_answers import ANSWERS, FOUND, read_answers
from edge.capture.detector_graph import UnsupportedGraph, read_layers
from edge.capture.detector_network import MOST_PLANS, Network, exact_kind, quick_kind, step_up
from edge.compute.compiling import COMPILED
from edge.compute.vectors import Kind
from edge.model import Face, Image
from edge.models.store import ModelStore
from tests.support.faces import PORTRAITS, portrait, shared_pictures

ROOT = Path(__file__).resolve().parents[2]
FEATURES = binding.get_host_cpu_features()
HERE = [
    kind
    for kind, wanted in {Kind.SINGLE: "", Kind.SINGLE_WIDE: "avx512f", Kind.BFLOAT: "avx512bf16"}.items()
    if not wanted or FEATURES.get(wanted)
]
OFF_POINTS = {Kind.SINGLE: 0.001, Kind.SINGLE_WIDE: 0.001, Kind.BFLOAT: 0.25}
"""Of eye distance: how far a point or a box's side may lie from where onnxruntime has it. With rounded
numbers another of the cells that see the face may be the surest."""

USUALLY_OFF = 0.005
"""Of most faces' points with rounded numbers."""

OFF_SCORE = {Kind.SINGLE: 1e-4, Kind.SINGLE_WIDE: 1e-4, Kind.BFLOAT: 0.02}
needs_compiler = pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT")


@pytest.fixture(scope="module")
def yunet(model_store: ModelStore) -> Path:
    return model_store.path("yunet-int8bq")


@pytest.fixture(scope="module")
def reference(yunet: Path) -> YuNetDetector:
    return YuNetDetector(OnnxRunner(yunet, threads=1), 640)


def pictures() -> dict[str, Image]:
    """Faces near and far, on canvases of odd sizes, in the dark, cut by the edge, and two of them."""
    made = {}
    for name in PORTRAITS:
        whole = portrait(name)
        made[name] = whole
        made[f"{name}, small"] = cv2.resize(whole, (211, 243), interpolation=cv2.INTER_AREA)
        made[f"{name}, dark"] = (whole[:401, :399] * 0.3).astype(np.uint8)
        made[f"{name}, mirrored and wide"] = cv2.resize(whole, (640, 480))[:, ::-1].copy()
    left, right = (cv2.resize(portrait(name), (300, 340)) for name in PORTRAITS)
    two = np.zeros((350, 611, 3), np.uint8)
    two[5:345, 4:304], two[5:345, 307:607] = left, right
    return made | {"two": two}


PICTURES = pictures()


def offs(found: list[Face], expected: list[Face], kind: Kind) -> list[float]:
    """How far the points of the same faces are off, in eye distances; all within the kind's tolerance."""
    assert len(found) == len(expected)
    if not expected:
        return []
    boxes = np.array([one.box for one in expected], np.float32)
    seen = []
    for one in found:
        other = expected[int(np.argmax(overlaps(np.array(one.box, np.float32), boxes)))]
        assert one.score == pytest.approx(other.score, abs=OFF_SCORE[kind])
        off = OFF_POINTS[kind] * other.inter_eye
        np.testing.assert_allclose(one.points, other.points, atol=off)
        np.testing.assert_allclose(one.box, other.box, atol=2 * off)
        seen.append(float(np.abs(one.points - other.points).max()) / other.inter_eye)
    return seen


@needs_compiler
@pytest.mark.parametrize("kind", HERE)
def test_the_faces_are_those_of_onnxruntime(yunet: Path, reference: YuNetDetector, kind: Kind) -> None:
    detector = YuNetDetector(Network.open(yunet, threads=1, kind=kind), 640)
    seen = []
    for image in PICTURES.values():
        seen += offs(detector.detect(image), reference.detect(image), kind)
    assert len(seen) == len(PICTURES) + 1
    assert np.median(seen) < USUALLY_OFF


@needs_compiler
@pytest.mark.parametrize("size", [(1, 1), (33, 31), (7, 900), (64, 32), (96, 320), (240, 320), (287, 289)])
def test_every_cell_says_what_it_says_in_onnxruntime(yunet: Path, size: tuple[int, int]) -> None:
    """In single precision, whatever the size, for a picture that strains every value."""
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    image[: size[0] // 2] = cv2.resize(portrait("astronaut"), size[::-1])[: size[0] // 2]
    session = ort.InferenceSession(str(yunet), providers=["CPUExecutionProvider"])
    blob = np.zeros((1, 3, step_up(size[0]), step_up(size[1])), np.float32)
    blob[0, :, : size[0], : size[1]] = image.transpose(2, 0, 1)
    levels = [
        [session.run([f"{name}_{stride}"], {"input": blob})[0][0] for name in ("cls", "obj", "bbox", "kps")]
        for stride in (8, 16, 32)
    ]
    expected = np.concatenate([np.concatenate(level, axis=1) for level in levels])
    for kind in (Kind.SINGLE, HERE[-1]):
        for threads in (1, 2, 3):
            said = Network.open(yunet, threads=threads, kind=kind).answers(image)
            said[:, :2] = 1 / (1 + np.exp(-said[:, :2]))
            off = np.abs(said - expected)
            if kind is Kind.BFLOAT:
                assert off.mean() < 0.05  # noise strains what is rounded; faces are compared above
            else:
                assert off.max() < 2e-3


@pytest.mark.parametrize(
    ("features", "exact", "quick"),
    [
        ({"avx512bf16": True, "avx512vl": True, "avx512f": True}, Kind.SINGLE_WIDE, Kind.BFLOAT),
        ({"avx512f": True}, Kind.SINGLE_WIDE, Kind.SINGLE_WIDE),
        ({"avx2": True, "fma": True}, Kind.SINGLE, Kind.SINGLE),
        ({}, Kind.SINGLE, Kind.SINGLE),
    ],
)
def test_what_places_points_never_rounds(
    features: dict[str, bool], exact: Kind, quick: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
    assert exact_kind() is exact
    assert quick_kind() is quick


@needs_compiler
def test_all_threads_callers_and_sizes_agree(yunet: Path) -> None:
    """How the work was shared out cannot be seen, nor who asked at the same time, nor what came before."""
    alone = Network.open(yunet, threads=1)
    some = [PICTURES[name] for name in ("astronaut", "two", "grace_hopper, small")]
    expected = [alone.run(one, 0.6) for one in some]
    shared = Network.open(yunet, threads=2)
    for side in range(1, MOST_PLANS + 3):
        shared.run(np.zeros((32 * side, 32, 3), np.uint8), 0.6)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: shared.run(one, 0.6), some * 5))
    for one, other in zip(found, expected * 5, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_compiler
def test_a_part_of_a_picture_is_read_as_what_it_shows(yunet: Path) -> None:
    """A cut lies in memory with gaps between its rows."""
    whole = PICTURES["two"]
    network = Network.open(yunet, threads=1)
    np.testing.assert_array_equal(
        network.answers(whole[:, 100:420]), network.answers(whole[:, 100:420].copy())
    )


@needs_compiler
def test_a_picture_that_must_not_be_written_to_is_read(yunet: Path) -> None:
    network = Network.open(yunet, threads=1)
    fixed = PICTURES["two"].copy()
    fixed.flags.writeable = False
    np.testing.assert_array_equal(network.answers(fixed), network.answers(PICTURES["two"]))


@needs_compiler
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
    ids=["grey", "with alpha", "numbers", "empty"],
)
def test_what_is_no_picture_is_refused(yunet: Path, image: Image) -> None:
    with pytest.raises(ValueError, match="a picture is"):
        Network.open(yunet, threads=1).run(image, 0.6)


@needs_compiler
def test_answers_are_read_as_they_are_decoded() -> None:
    rng = np.random.default_rng(5)
    grids = np.array([[6, 8, 8], [3, 4, 16]], np.int64)
    answers = rng.normal(0, 1.5, (60, ANSWERS)).astype(np.float32)
    answers[7] = np.nan
    answers[8, :2] = -500, 500
    found = np.zeros((60, FOUND), np.float32)
    count = read_answers(answers, grids, 0.6, found)
    with np.errstate(over="ignore"):
        answers[:, :2] = 1 / (1 + np.exp(-answers[:, :2]))
    expected = []
    for rows, stride, columns in ((answers[:48], 8, 8), (answers[48:], 16, 4)):
        parts = (rows[None, :, first:last] for first, last in ((0, 1), (1, 2), (2, 6), (6, 16)))
        scores, boxes, points = decode(*parts, stride=stride, columns=columns)
        expected.append(np.concatenate([scores[:, None], boxes, points.reshape(-1, 10)], axis=1))
    assert 5 < count < 55
    np.testing.assert_allclose(found[:count], np.concatenate(expected), rtol=1e-4, atol=1e-4)


def test_people_of_the_development_data_are_found_as_by_onnxruntime(
    yunet: Path, reference: YuNetDetector
) -> None:
    exact, rounding = (YuNetDetector.open(yunet, threads=1, rounding=one) for one in (False, True))
    paths = list(shared_pictures("faces/lfw-dev"))
    seen = []
    for path in paths[:: max(1, len(paths) // 60)]:
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        expected = reference.detect(image)
        offs(exact.detect(image), expected, Kind.SINGLE)
        seen += offs(rounding.detect(image), expected, Kind.BFLOAT)
    assert len(seen) >= 60
    assert np.median(seen) < USUALLY_OFF


def changed(yunet: Path, path: Path, change: str) -> Path:
    model = onnx.load(str(yunet))
    nodes = model.graph.node
    if change == "another activation":
        place = next(number for number, node in enumerate(nodes) if node.op_type == "Relu")
        nodes[place].CopyFrom(helper.make_node("Tanh", nodes[place].input, nodes[place].output))
    elif change == "another stride":
        first = next(node for node in nodes if node.op_type == "Conv")
        next(item for item in first.attribute if item.name == "strides").ints[:] = [1, 1]
    elif change == "another way to enlarge":
        resize = next(node for node in nodes if node.op_type == "Resize")
        next(item for item in resize.attribute if item.name == "mode").s = b"linear"
    elif change == "another source":
        add = next(node for node in nodes if node.op_type == "Add")
        add.input[0] = next(node for node in nodes if node.op_type == "Relu").output[0]
    else:
        nodes.append(helper.make_node("Relu", [nodes[0].output[0]], ["more"]))
    path.write_bytes(model.SerializeToString())
    return path


@needs_compiler
@pytest.mark.parametrize(
    "change",
    ["another activation", "another stride", "another way to enlarge", "another source", "something beside"],
)
def test_a_graph_of_another_form_is_refused_never_run_wrongly(
    yunet: Path, tmp_path: Path, change: str
) -> None:
    with pytest.raises(UnsupportedGraph):
        Network.open(changed(yunet, tmp_path / "other.onnx", change), threads=1)


def test_the_layers_are_those_of_the_graph(yunet: Path) -> None:
    layers = read_layers(yunet)
    assert [len(trunk) for trunk in layers.trunks] == [1, 4, 2, 2, 2]
    assert [head.channels for head in layers.heads] == [(64, 16)] * 3
    assert [layer.channels for layer in layers.trunks[1]] == [(16, 16), (16, 32), (32, 32), (32, 64)]


def test_without_a_compiler_faces_are_found_too() -> None:
    code = (
        "from edge.capture.detector import OnnxRunner\n"
        "from edge.models.store import ModelStore\n"
        "from edge.vision import Vision\n"
        "from tests.support.faces import portrait\n"
        "vision = Vision.open(ModelStore.open(), threads=1)\n"
        "assert isinstance(vision.detector._runner, OnnxRunner)\n"
        "print(len(vision.detect(portrait('astronaut'))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "1"
