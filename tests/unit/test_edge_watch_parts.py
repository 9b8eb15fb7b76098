"""What is seen of camera and gallery from outside: another camera is no camera, a wrong key is no gallery."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from edge.config import EdgeConfig
from edge.errors import EdgeError
from edge.gallery.glance import glance
from edge.gallery.layout import HEADER_BYTES
from edge.health import PartLook
from edge.watch import look_at_camera, look_at_gallery, look_at_port
from tests.support.galleries import KEY, MODEL, filled, random_templates
from tests.support.made_machine import MadeMachine


@pytest.fixture
def made(tmp_path: Path) -> MadeMachine:
    machine = MadeMachine(tmp_path / "machine", lambda: None)
    machine.plug("video0", serial="OTHER", port="1-1")
    machine.plug("video2", serial="OURS", port="1-2")
    return machine


def seen(made: MadeMachine, camera: str, *, allow: bool = False) -> PartLook:
    config = EdgeConfig(camera=camera, allow_simulated_camera=allow)
    machine = made.machine
    return look_at_camera(config, video_class=machine.video_class, devices=machine.devices)


@pytest.mark.req("E064")
@pytest.mark.parametrize("address", ["v4l2:2", "v4l2:serial=OURS", "v4l2:{dev}/video2"])
def test_only_the_camera_that_is_meant_counts(made: MadeMachine, address: str) -> None:
    """A device with another camera plugged in has none: a session would not begin."""
    camera = address.format(dev=made.machine.devices)
    look = seen(made, camera)
    assert (look.code, look.value) == ("", str(made.machine.devices / "video2"))
    made.unplug("video2")
    assert seen(made, camera).code == "NO_CAMERA"


@pytest.mark.req("E064")
def test_two_cameras_of_one_serial_number_are_none(made: MadeMachine) -> None:
    made.plug("video4", serial="OURS", port="1-3")
    look = seen(made, "v4l2:serial=OURS")
    assert (look.code, look.works) == ("CAMERA_AMBIGUOUS", False)


@pytest.mark.req("E064")
@pytest.mark.parametrize("address", ["v4l2:7", "rtsp://camera.example/1", "folder:/srv/pictures"])
def test_a_camera_that_a_session_would_refuse_is_not_called_well(made: MadeMachine, address: str) -> None:
    made.plug("video7", virtual=True)
    look = seen(made, address)
    assert (look.code, look.works) == ("CAMERA_NOT_ALLOWED", False)
    allowed = seen(made, address, allow=True)
    assert (allowed.code, allowed.works) in {("", False), ("CAMERA_NOT_LOCAL", True)}


def code_of(path: Path, key: bytes = KEY) -> str:
    try:
        glance(path, key)
    except EdgeError as error:
        return error.code
    return ""


@pytest.mark.req("E064")
def test_a_gallery_is_looked_at_beside_whoever_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "people.gallery"
    assert code_of(path) == "GALLERY_MISSING"
    with filled(path, random_templates(3, seed=1), compact=True):
        header = glance(path, KEY)
        assert (header.model_name, header.model_sha256.hex()) == (MODEL.name, MODEL.sha256)
        assert code_of(path, bytes(32)) == "GALLERY_KEY_WRONG"
    whole = path.read_bytes()
    for change, code in (
        (b"", "GALLERY_FORMAT"),
        (b"no gallery at all", "GALLERY_FORMAT"),
        (whole[:100] + b"x" + whole[101:], "GALLERY_DAMAGED"),
        (whole[: HEADER_BYTES + 100] + b"x" + whole[HEADER_BYTES + 101 :], "GALLERY_DAMAGED"),
        (whole[: 2 * HEADER_BYTES + 10], "GALLERY_DAMAGED"),
    ):
        path.write_bytes(change)
        assert code_of(path) == code
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        code_of(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "no look leaves the file open"


@pytest.mark.req("E064")
def test_a_folder_that_cannot_be_looked_into_ends_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exists(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    nobody: Any = None
    config = EdgeConfig(data_dir=tmp_path)
    assert look_at_gallery(config, nobody) is None
    monkeypatch.setattr(Path, "exists", exists)
    look = look_at_gallery(config, nobody)
    assert look is not None
    assert (look.code, look.works, bool(look.hint)) == ("GALLERY_READONLY", False, True)


@pytest.mark.req("E064")
def test_a_reader_whose_photos_nothing_decodes_is_told_of(tmp_path: Path) -> None:
    port = tmp_path / "reader"
    assert look_at_port(EdgeConfig(reader_port=str(port), photo_decoder="pictures")).code == "NO_READER"
    port.touch()
    assert look_at_port(EdgeConfig(reader_port=str(port), photo_decoder="pictures")).code == ""
    blind = look_at_port(EdgeConfig(reader_port=str(port)))
    assert (blind.code, blind.works, blind.value) == ("PHOTO_DECODER", True, str(port))
