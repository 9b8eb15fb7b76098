"""The texture network, and MiniFASNet where it was fetched: what they look at, what they refuse."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge.capture.choose import choose_portrait
from edge.capture.detector import YuNetDetector
from edge.capture.pictures import read_picture
from edge.errors import SetupError
from edge.liveness.crops import FAR, NEAR, SIDE, crop, crop_window
from edge.liveness.minifasnet import SCALES, open_minifasnet
from edge.liveness.texture import MAX_BYTES, TextureExpert
from edge.liveness.training.camera import film_still
from edge.liveness.training.corpus import Sitter
from edge.liveness.training.instruments import HELD_OUT, TRAINING
from edge.liveness.training.recapture import moved, recaptured
from edge.model import Face, Image
from edge.models.store import ModelStore
from edge.ports import FrameExpert
from tests.support.faces import PORTRAITS, face, portrait, shared_pictures

GREY = np.full((200, 200, 3), 128, np.uint8)
FACE = face(scale=1.5)


def network(path: Path, answer: list[float], *, inputs: tuple[str, ...] = ("near", "far")) -> Path:
    """A network that gives the same answer to everything."""
    shape = ["n", 3, SIDE, SIDE]
    value = helper.make_tensor("value", TensorProto.FLOAT, [len(answer)], answer)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["live"], value=value)],
        "same",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info("live", TensorProto.FLOAT, [len(answer)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(path))
    return path


@given(
    size=st.tuples(st.integers(40, 900), st.integers(40, 900)),
    middle=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    face_size=st.tuples(st.floats(16, 1200), st.floats(16, 1200)),
    scale=st.sampled_from([NEAR, FAR]),
)
def test_a_window_lies_in_the_picture_and_never_leaves_the_face_behind(
    size: tuple[int, int], middle: tuple[float, float], face_size: tuple[float, float], scale: float
) -> None:
    height, width = size
    x, y = middle[0] * width, middle[1] * height
    box = (x - face_size[0] / 2, y - face_size[1] / 2, *face_size)
    left, top, right, bottom = crop_window(size, box, scale)
    assert 0 <= left <= right < width
    assert 0 <= top <= bottom < height
    assert left - 1 <= x <= right + 1
    assert top - 1 <= y <= bottom + 1


def test_a_window_that_stands_out_is_moved_into_the_picture_not_padded() -> None:
    left, top, right, bottom = crop_window((480, 640), (0.0, 0.0, 40.0, 50.0), 4.0)
    assert (left, top) == (0, 0)
    assert (right, bottom) == (160, 200)


def test_a_window_about_a_large_face_is_as_large_as_the_picture_allows() -> None:
    assert crop_window((101, 201), (80.0, 25.0, 40.0, 50.0), 4.0) == (60, 0, 140, 100)


@pytest.mark.parametrize(
    "box",
    [
        (10.0, 10.0, 15.9, 40.0),
        (10.0, 10.0, 40.0, float("nan")),
        (float("inf"), 10.0, 40.0, 40.0),
        (-100.0, 10.0, 40.0, 40.0),
        (10.0, 190.0, 40.0, 40.0),
    ],
)
def test_a_face_too_small_or_outside_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="face"):
        crop_window((200, 200), box, NEAR)


@pytest.mark.parametrize(
    "picture", [GREY[..., 0], GREY.astype(np.float32), np.zeros((200, 200, 4), np.uint8)]
)
def test_something_else_than_a_picture_is_refused(picture: Image) -> None:
    with pytest.raises(ValueError, match="picture"):
        crop(picture, FACE, NEAR)


def test_the_network_of_the_package_is_small_and_known_by_its_digest() -> None:
    data = resources.files("edge.liveness").joinpath("texture.onnx").read_bytes()
    expert: FrameExpert = TextureExpert.open()
    assert expert.name == "texture"
    assert expert.model_sha256 == hashlib.sha256(data).hexdigest()
    assert len(data) <= 2_000_000


def test_a_score_is_a_share_and_the_same_each_time() -> None:
    expert = TextureExpert.open()
    score = expert.live(GREY, FACE)
    assert 0.0 <= score <= 1.0
    assert expert.live(GREY, FACE) == score


def test_a_missing_network_is_a_fault_of_the_setup(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        TextureExpert.open(path=tmp_path / "none.onnx")
    assert caught.value.code == "MODEL_MISSING"


@pytest.mark.parametrize("content", [b"", b"no network", b"\0" * (MAX_BYTES + 1)])
def test_a_damaged_network_is_a_fault_of_the_setup(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "texture.onnx"
    path.write_bytes(content)
    with pytest.raises(SetupError) as caught:
        TextureExpert.open(path=path)
    assert caught.value.code == "MODEL_UNREADABLE"


def test_a_truncated_network_is_a_fault_of_the_setup(tmp_path: Path) -> None:
    path = tmp_path / "texture.onnx"
    data = resources.files("edge.liveness").joinpath("texture.onnx").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SetupError) as caught:
        TextureExpert.open(path=path)
    assert caught.value.code == "MODEL_UNREADABLE"


def test_another_network_is_a_fault_of_the_setup(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        TextureExpert.open(path=network(tmp_path / "other.onnx", [0.5], inputs=("input",)))
    assert caught.value.code == "MODEL_UNREADABLE"


@pytest.mark.parametrize("answer", [[float("nan")], [float("inf")], [-0.1], [1.1], [0.5, 0.5]])
def test_an_answer_that_is_no_share_is_no_score(tmp_path: Path, answer: list[float]) -> None:
    expert = TextureExpert.open(path=network(tmp_path / "texture.onnx", answer))
    with pytest.raises(ValueError, match="usable answer"):
        expert.live(GREY, FACE)


def test_portraits_score_higher_than_their_recaptures(model_store: ModelStore) -> None:
    """Portraits that training has not seen, on instruments of the training and on held-out ones."""
    expert = TextureExpert.open()
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    live, attacks = [], []
    for name in PORTRAITS:
        picture = portrait(name)
        found = choose_portrait(detector.detect(picture), picture.shape[:2])
        assert found is not None
        for seed, instrument in enumerate((*TRAINING, *HELD_OUT)):
            rng = np.random.default_rng(seed)
            live.append(expert.live(film_still(picture, rng), found))
            attack, pose = recaptured(picture, instrument, rng, face=found.box)
            attacks.append(expert.live(attack, Face(moved(found.box, pose), found.points, found.score)))
    above = np.mean([[one > other for other in attacks] for one in live])
    assert above > 0.7
    assert np.median(live) > np.median(attacks) + 0.1


class Files:
    """Model files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        found = self._folder / f"{name}.onnx"
        if not found.exists():
            raise SetupError("MODEL_MISSING", "not there")
        return found


def scores(path: Path, values: list[float]) -> None:
    """A network with the form of MiniFASNet that gives the same scores to everything."""
    value = helper.make_tensor("value", TensorProto.FLOAT, [1, len(values)], values)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["logits"], value=value)],
        "same",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(values)])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))


def test_minifasnet_is_an_expert_only_where_both_networks_are(tmp_path: Path) -> None:
    assert open_minifasnet(Files(tmp_path)) is None
    scores(tmp_path / "minifasnet-v2.onnx", [0.0, 0.0, 0.0])
    assert open_minifasnet(Files(tmp_path)) is None


def test_minifasnet_gives_the_mean_share_of_the_class_live(tmp_path: Path) -> None:
    scores(tmp_path / "minifasnet-v2.onnx", [0.0, 0.0, 0.0])
    scores(tmp_path / "minifasnet-v1se.onnx", [-50.0, 50.0, -50.0])
    expert = open_minifasnet(Files(tmp_path))
    assert expert is not None
    assert expert.name == "minifasnet"
    assert expert.live(GREY, FACE) == pytest.approx((1 / 3 + 1.0) / 2)
    both = "".join(hashlib.sha256(Files(tmp_path).path(name).read_bytes()).hexdigest() for name in SCALES)
    assert expert.model_sha256 == hashlib.sha256(both.encode()).hexdigest()


@pytest.mark.parametrize("answer", [[0.0, float("nan"), 0.0], [0.0, 1.0]])
def test_an_answer_of_minifasnet_that_is_not_usable_is_no_score(tmp_path: Path, answer: list[float]) -> None:
    for name in SCALES:
        scores(tmp_path / f"{name}.onnx", answer)
    expert = open_minifasnet(Files(tmp_path))
    assert expert is not None
    with pytest.raises(ValueError, match="usable answer"):
        expert.live(GREY, FACE)


def test_a_damaged_minifasnet_is_shown(tmp_path: Path) -> None:
    for name in SCALES:
        (tmp_path / f"{name}.onnx").write_bytes(b"no network")
    with pytest.raises(SetupError) as caught:
        open_minifasnet(Files(tmp_path))
    assert caught.value.code == "MODEL_UNREADABLE"


def test_the_model_card_is_that_of_the_network() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    digest = TextureExpert.open().model_sha256
    assert json.loads((docs / "liveness-model.json").read_text("utf-8"))["sha256"] == digest
    assert digest in (docs / "liveness-model.md").read_text("utf-8")


def test_real_live_pictures_are_judged_as_the_teachers_judge_them(model_store: ModelStore) -> None:
    """People whom training has not seen; the figures of all of them are in docs/liveness-model.json."""
    expert = TextureExpert.open()
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    scores = []
    for path in shared_pictures("faces/lfw-dev"):
        person = f"lfw/{path.parent.name}"
        if Sitter(GREY, FACE.box, person, "lfw").held_out:
            picture = read_picture(path)
            found = choose_portrait(detector.detect(picture), picture.shape[:2])
            if found is not None:
                scores.append(expert.live(picture, found))
        if len(scores) == 60:
            break
    assert len(scores) == 60
    assert np.mean(np.array(scores) > 0.5) >= 0.8  # the teachers: 0.8


def test_real_live_pictures_score_higher_than_most_real_attacks(model_store: ModelStore) -> None:
    """Nine pictures that training has not seen: no rate, a sign of life."""
    expert = TextureExpert.open()
    detector = YuNetDetector.open(model_store.path("yunet-int8bq"), threads=1)
    found: dict[str, list[float]] = {"bona-fide": [], "attack": []}
    for kind, each in found.items():
        for path in shared_pictures(f"pad/{kind}"):
            picture = read_picture(path)
            chosen = choose_portrait(detector.detect(picture), picture.shape[:2])
            assert chosen is not None
            each.append(expert.live(picture, chosen))
    assert np.median(found["bona-fide"]) > max(found["attack"])
