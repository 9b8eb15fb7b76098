"""The compiled network against onnxruntime on the same prepared graph, for every kind of numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import onnx
import pytest
from llvmlite import binding
from onnx import helper

from edge.capture.align import align
from edge.compute.compiling import COMPILED
from edge.compute.packing import to_shorts
from edge.compute.vectors import Kind, choose_kind
from edge.match import network_kernels as kernels
from edge.match.embedder import OnnxRunner, SFaceEmbedder
from edge.match.network import Convolution, Network, UnsupportedGraph, read_layers
from edge.match.network_ir import LARGEST_SHORT
from edge.model import Image
from edge.models.store import ModelStore
from edge.vision import Vision
from tests.support.faces import PORTRAITS, portrait

ROOT = Path(__file__).resolve().parents[2]
FEATURES = binding.get_host_cpu_features()
HERE = [
    kind
    for kind in (Kind.SINGLE, Kind.SHORT, Kind.SINGLE_WIDE, Kind.BFLOAT)
    if choose_kind(FEATURES, {Kind.SINGLE, kind}) is kind
]
LEAST = {Kind.SINGLE: 0.99998, Kind.SHORT: 0.99998, Kind.SINGLE_WIDE: 0.99998, Kind.BFLOAT: 0.9995}
"""Cosine of a face's template to that of the reference."""

LEAST_OF_NOBODY = 0.997
"""Of a black picture, whose numbers are a few hundredths of a face's."""
needs_compiler = pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT")


@pytest.fixture(scope="module")
def sface(model_store: ModelStore) -> Path:
    return model_store.path("sface-int8bq")


@pytest.fixture(scope="module")
def faces(model_store: ModelStore) -> list[Image]:
    """Real faces under several lights, and pictures that no face is on."""
    vision = Vision.open(model_store, threads=1)
    found = [align(image, vision.detect(image)[0]) for image in map(portrait, PORTRAITS)]
    dark = [(one * 0.3).astype(np.uint8) for one in found]
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    return [*found, *dark, found[0][:, ::-1].copy(), noise, np.zeros((112, 112, 3), np.uint8)]


@pytest.fixture(scope="module")
def references(sface: Path, faces: list[Image]) -> list[np.ndarray]:
    runner = OnnxRunner(sface, threads=1)
    return [runner.run(one) for one in faces]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", HERE)
def test_templates_are_those_of_the_float32_reference(
    sface: Path, faces: list[Image], references: list[np.ndarray], kind: Kind, threads: int
) -> None:
    network = Network.open(sface, threads=threads, kind=kind)
    for face, reference in zip(faces, references, strict=True):
        made = network.run(face)
        assert cosine(made, reference) >= (LEAST[kind] if face.any() else LEAST_OF_NOBODY)
        np.testing.assert_allclose(np.linalg.norm(made), np.linalg.norm(reference), rtol=0.03)
        np.testing.assert_array_equal(network.run(face), made)  # nothing of the face before is left


@needs_compiler
def test_all_threads_and_callers_agree(sface: Path, faces: list[Image]) -> None:
    """How the work was shared out cannot be seen, nor who asked at the same time."""
    kind = HERE[-1]
    alone = Network.open(sface, threads=1, kind=kind)
    expected = [alone.run(face) for face in faces]
    shared = Network.open(sface, threads=2, kind=kind)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(shared.run, faces * 4))
    for one, other in zip(found, expected * 4, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        ({"avx512bf16": True, "avx512vl": True, "avx512f": True}, Kind.BFLOAT),
        ({"avx512f": True}, Kind.SINGLE_WIDE),
        ({"avx2": True, "fma": True}, Kind.SHORT),
        ({"avx2": True}, Kind.SINGLE),
        ({"dotprod": True}, Kind.SINGLE),
        ({}, Kind.SINGLE),
    ],
)
def test_the_numbers_are_chosen_by_what_the_processor_has(features: dict[str, bool], kind: Kind) -> None:
    assert choose_kind(features) is kind


def test_the_numbers_are_chosen_among_those_that_a_network_has() -> None:
    assert choose_kind({"avx2": True, "fma": True}, {Kind.SINGLE, Kind.BFLOAT}) is Kind.SINGLE


@pytest.mark.parametrize("channels", [32, 512, 1024])
def test_no_sum_of_whole_numbers_leaves_its_32_bits(channels: int) -> None:
    """With the worst that a pixel can be: every number the largest there is, and of the weight's sign."""
    rng = np.random.default_rng(channels)
    weights = rng.standard_normal((6, channels)).astype(np.float32)
    weights[0] = 1.0  # nothing is lost to a row that a few large numbers scale
    weights[1] = 0.0
    weights[2, 0] = 1e6
    weights[3] *= 1e-30
    weights[4] *= 1e30
    shorts, scales = to_shorts(weights, LARGEST_SHORT)
    assert shorts.dtype == np.int16
    most = np.abs(shorts.astype(np.int64)).sum(axis=1) * LARGEST_SHORT
    assert most.max() <= np.iinfo(np.int32).max
    assert most[0] > 0.9 * np.iinfo(np.int32).max, "no bit is given away"
    assert not shorts[1].any()
    off = np.abs(shorts * scales[:, None].astype(np.float64) - weights).max(axis=1)
    assert (off <= 0.51 * scales).all()


@needs_compiler
def test_pixels_are_rounded_to_the_nearest_whole_numbers() -> None:
    """A pixel of nothing, of one number, of negative ones, of halves, of very large and very small ones."""
    rng = np.random.default_rng(7)
    pixels = rng.standard_normal((7, 96)).astype(np.float32)
    pixels[0] = 0.0
    pixels[1] = 0.0
    pixels[1, 95] = -3.0
    pixels[2] = -np.abs(pixels[2])
    pixels[3] = np.arange(96) + 0.5
    pixels[3, 0] = LARGEST_SHORT  # so that nothing is scaled
    pixels[4] *= 1e30
    pixels[5] *= 1e-25
    wholes, scales = np.full((8, 96), 77, np.int16), np.full(8, 77, np.float32)

    @numba.njit
    def run(places: tuple[int, ...]) -> None:
        kernels._round(3, places)

    assert Kind.SHORT == 3
    run((pixels.ctypes.data, wholes.ctypes.data, scales.ctypes.data, 96, 7))
    largest = np.maximum(np.abs(pixels).max(axis=1), np.float32(1e-30))
    factors = np.float32(LARGEST_SHORT) / largest
    expected = np.rint(pixels.astype(np.float64) * factors[:, None].astype(np.float64))
    np.testing.assert_array_equal(wholes[:7], expected)
    np.testing.assert_allclose(scales[:7], largest / LARGEST_SHORT, rtol=1e-6)
    assert np.abs(expected).max() == LARGEST_SHORT
    assert (wholes[7] == 77).all()
    assert scales[7] == 77, "nothing is written behind the last one"


@needs_compiler
@pytest.mark.parametrize("kind", HERE)
def test_channels_that_the_kernels_would_leave_out_are_refused(sface: Path, kind: Kind) -> None:
    layers = read_layers(sface)
    (depth, point), (next_depth, next_point), *rest = layers.blocks

    def cut(one: Convolution, outputs: int, inputs: int) -> Convolution:
        weights = one.weights[:outputs, :inputs]
        return replace(one, weights=weights, bias=one.bias[:outputs], slope=one.slope[:outputs])

    second = (cut(next_depth, 48, 1), cut(next_point, 128, 48))
    narrow = replace(layers, blocks=((depth, cut(point, 48, 32)), second, *rest))
    with pytest.raises(UnsupportedGraph):
        Network(narrow, kind, 1)


def changed(sface: Path, path: Path, change: str) -> Path:
    model = onnx.load(str(sface))
    nodes = model.graph.node
    if change == "another activation":
        place = next(number for number, node in enumerate(nodes) if node.op_type == "PRelu")
        nodes[place].CopyFrom(helper.make_node("Relu", nodes[place].input[:1], nodes[place].output))
    elif change == "another stride":
        first = next(node for node in nodes if node.op_type == "Conv")
        next(item for item in first.attribute if item.name == "strides").ints[:] = [2, 2]
    elif change == "a branch":
        later = [node for node in nodes if node.op_type == "Conv"][3]
        later.input[0] = next(node for node in nodes if node.op_type == "Conv").output[0]
    else:
        end = nodes[-1].output[0]
        nodes.append(helper.make_node("Relu", [end], ["more"]))
        model.graph.output[0].name = "more"
    path.write_bytes(model.SerializeToString())
    return path


@needs_compiler
@pytest.mark.parametrize("change", ["another activation", "another stride", "a branch", "something behind"])
def test_a_graph_of_another_form_is_refused_never_run_wrongly(
    sface: Path, tmp_path: Path, change: str
) -> None:
    with pytest.raises(UnsupportedGraph):
        Network.open(changed(sface, tmp_path / "other.onnx", change), threads=1)


def test_the_layers_are_those_of_the_graph(sface: Path) -> None:
    layers = read_layers(sface)
    assert len(layers.blocks) == 13
    assert [depth.stride for depth, _ in layers.blocks].count(2) == 4
    assert layers.matrix.shape == (128, 1024, 7, 7)
    assert (layers.mean, layers.scale) == (127.5, 0.0078125)


def test_what_the_kernels_cannot_run_onnxruntime_runs(
    sface: Path, faces: list[Image], references: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Network:
        raise UnsupportedGraph("another graph")

    monkeypatch.setattr(Network, "open", refused)
    embedder = SFaceEmbedder.open(sface, model_name="n", model_sha256="f" * 64, threads=1)
    assert cosine(embedder.embed(faces[0]).vector, references[0]) > 0.999999


def test_without_a_compiler_templates_are_made_too() -> None:
    code = (
        "import numpy as np\n"
        "from edge.match.embedder import OnnxRunner\n"
        "from edge.models.store import ModelStore\n"
        "from edge.vision import Vision\n"
        "vision = Vision.open(ModelStore.open(), threads=1)\n"
        "assert isinstance(vision.embedder._runner, OnnxRunner)\n"
        "print(vision.embedder.embed(np.full((112, 112, 3), 90, np.uint8)).vector.shape)\n"
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
    assert done.stdout.strip() == "(128,)"
