"""Cameras of this machine, by index, path and serial, on made-up folders of devices and of sysfs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.capture.camera_v4l2 import assurance_of, is_busy
from edge.capture.sources import open_camera
from edge.capture.steady import SteadyCamera
from edge.capture.video_devices import (
    MAX_WORD_CHARS,
    UsbIdentity,
    find_again,
    is_virtual,
    list_video_devices,
    parse_serial,
    stable_identity,
)
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance
from tests.support.clocks import ManualClock
from tests.support.made_machine import MadeMachine

WAIT_S = 10.0
CHANCE = np.random.default_rng(1)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[MadeMachine]:
    machine = MadeMachine(tmp_path, lambda: CHANCE.integers(60, 200, (8, 8, 3)).astype(np.uint8))
    yield machine
    for _, source in machine.opened:
        source.let_go()


def opened(made: MadeMachine, address: str, clock: ManualClock | None = None) -> SteadyCamera:
    clock = clock or ManualClock()
    return open_camera(address, clock=clock, wait=clock.advance, machine=made.machine)


def test_sysfs_is_read_as_it_is(made: MadeMachine, tmp_path: Path) -> None:
    made.plug("video10", serial="S-1", port="1-2")
    made.plug("video2", serial="", product="1bcf:2284", port="1-1")
    made.plug("video3", serial="", product="1bcf:2284", port="1-1", index=1)  # its second node: no pictures
    made.plug("video0", virtual=True)
    listed = list_video_devices(tmp_path / "class")
    assert [(one.node, one.identity, one.virtual) for one in listed] == [
        ("video0", None, True),
        ("video2", UsbIdentity("1bcf:2284"), False),
        ("video10", UsbIdentity("046d:0825", "S-1"), False),
    ]
    assert list_video_devices(tmp_path / "nowhere") == []


def test_a_serial_cannot_smuggle_anything(made: MadeMachine, tmp_path: Path) -> None:
    made.plug("video0", serial="a\x1b[2Jb\x00" + "x" * 500)
    (device,) = list_video_devices(tmp_path / "class")
    assert device.identity is not None
    assert device.identity.serial.isprintable()
    assert len(device.identity.serial) <= MAX_WORD_CHARS


def test_without_a_serial_the_product_tells_only_where_it_is_the_only_one(
    made: MadeMachine, tmp_path: Path
) -> None:
    made.plug("video0", port="1-1")
    alone = stable_identity(list_video_devices(tmp_path / "class"), "video0")
    assert alone == UsbIdentity("046d:0825")
    made.plug("video2", port="1-2")
    both = list_video_devices(tmp_path / "class")
    assert stable_identity(both, "video0") is None
    assert find_again(both, alone) is None
    assert stable_identity(both, "video9") is None


@pytest.mark.parametrize(
    ("address", "serial"), [("serial=X1", "X1"), ("serial=", None), ("0", None), ("/dev/video0", None)]
)
def test_addresses_by_serial(address: str, serial: str | None) -> None:
    assert parse_serial(address) == serial


@pytest.mark.parametrize("way", ["index", "path", "stable path", "serial"])
def test_one_camera_by_every_kind_of_address(made: MadeMachine, tmp_path: Path, way: str) -> None:
    device = made.plug("video250", serial="A7", port="1-1")
    made.plug("video251", serial="B7", port="1-2")
    link = tmp_path / "by-id"
    link.symlink_to(device)
    address = {
        "index": "v4l2:250",
        "path": f"v4l2:{device}",
        "stable path": f"v4l2:{link}",
        "serial": "v4l2:serial=A7",
    }[way]
    camera = opened(made, address)
    assert made.opened[0][0] == "video250"
    assert camera.camera_id == "v4l2:046d:0825:A7", "the same for every address"
    assert camera.assurance is CameraAssurance.HOST
    made.next_one()
    assert camera.read(WAIT_S).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize(("plugged", "code"), [(0, "NO_CAMERA"), (2, "CAMERA_AMBIGUOUS")])
def test_a_serial_that_names_no_one_or_two_is_refused(made: MadeMachine, plugged: int, code: str) -> None:
    made.plug("video8", serial="OTHER", port="1-9")
    for number in range(plugged):
        made.plug(f"video{number}", serial="SN0001", port=f"1-{number}")
    with pytest.raises(HardwareError) as caught:
        opened(made, "v4l2:serial=SN0001")
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.req("E002")
@pytest.mark.parametrize("serial", ["A7", ""])
def test_a_camera_that_moved_to_another_index_is_found_again(made: MadeMachine, serial: str) -> None:
    clock = ManualClock()
    made.plug("video0", serial=serial, port="1-1")
    camera = opened(made, "v4l2:0", clock)
    made.unplug("video0")
    with pytest.raises(CameraLost) as caught:
        camera.read(WAIT_S)
    assert caught.value.code == "CAMERA_LOST"
    made.plug("video0", serial="THIEF", product="dead:beef", port="1-1")  # another one in its old place
    with pytest.raises(CameraLost):
        camera.read(1.0)
    assert len(made.opened) == 1, "the other camera was not even opened"
    made.plug("video4", serial=serial, port="1-3")
    before = clock.now_s
    camera_opens(camera, made)
    assert made.opened[-1][0] == "video4"
    assert clock.now_s - before < 2.0
    assert camera.camera_id.startswith("v4l2:046d:0825")


def lost(camera: SteadyCamera, made: MadeMachine, *nodes: str) -> None:
    """Unplug cameras, of which one is looked at."""
    for node in nodes:
        made.unplug(node)
    with pytest.raises(CameraLost):
        camera.read(WAIT_S)


def refused(camera: SteadyCamera, made: MadeMachine) -> None:
    """What is plugged in now is not even opened."""
    before = len(made.opened)
    for _ in range(2):
        with pytest.raises(CameraLost, match="There is not the camera"):
            camera.read(1.0)
    assert len(made.opened) == before


@pytest.mark.parametrize("serial", ["", "SN0001"])
def test_of_two_that_are_alike_the_port_tells_which_is_ours(made: MadeMachine, serial: str) -> None:
    device = made.plug("video0", serial=serial, port="1-1")
    made.plug("video2", serial=serial, port="1-2")
    camera = opened(made, "v4l2:0")
    name = camera.camera_id
    assert name == f"v4l2:{device}", "nothing else tells it from the other"
    lost(camera, made, "video0", "video2")
    made.plug("video0", serial=serial, port="1-2")  # the other one, at our index
    refused(camera, made)
    made.plug("video4", serial=serial, port="1-1")
    camera_opens(camera, made)
    assert made.opened[-1][0] == "video4"
    lost(camera, made, "video4", "video0")
    made.plug("video0", serial=serial, port="1-1")  # alone: it is no other camera by that
    camera_opens(camera, made)
    lost(camera, made, "video0")
    made.plug("video7", serial=serial, port="1-3")  # one of the two, nobody knows which
    refused(camera, made)
    assert camera.camera_id == name


def test_one_that_was_alone_is_ours_at_its_port_beside_another_like_it(made: MadeMachine) -> None:
    made.plug("video0", port="1-1")
    camera = opened(made, "v4l2:0")
    lost(camera, made, "video0")
    made.plug("video0", port="1-2")
    made.plug("video1", port="1-3")
    refused(camera, made)
    made.plug("video2", port="1-1")
    camera_opens(camera, made)
    assert made.opened[-1][0] == "video2"
    assert camera.camera_id == "v4l2:046d:0825"


def test_one_on_no_usb_is_known_again_after_another_was_at_its_index(made: MadeMachine) -> None:
    device = made.plug("video0", virtual=True)
    camera = opened(made, "v4l2:0")
    lost(camera, made, "video0")
    made.plug("video0", port="1-1")
    refused(camera, made)
    made.unplug("video0")
    made.plug("video0", virtual=True)
    camera_opens(camera, made)
    assert camera.camera_id == f"v4l2:{device}"


def test_the_second_node_of_a_camera_is_not_taken_for_its_first(made: MadeMachine) -> None:
    made.plug("video0", serial="A7")
    device = made.plug("video1", serial="A7", index=1)
    camera = opened(made, "v4l2:1")
    lost(camera, made, "video1")
    refused(camera, made)
    made.plug("video1", serial="A7", index=1)
    camera_opens(camera, made)
    assert (camera.camera_id, made.opened[-1][0]) == (f"v4l2:{device}", "video1")


def camera_opens(camera: SteadyCamera, made: MadeMachine) -> None:
    """Look once while the camera, once it is opened, gives a picture."""
    first = len(made.opened)
    real = made.machine.open_source

    def open_and_give(device: Path) -> object:
        source = real(device)
        made.next_one()
        return source

    object.__setattr__(made.machine, "open_source", open_and_give)
    frame = camera.read(WAIT_S)
    object.__setattr__(made.machine, "open_source", real)
    assert frame.number == 1
    assert len(made.opened) == first + 1


def test_a_camera_that_is_used_by_another_program_says_so(made: MadeMachine) -> None:
    clock = ManualClock()
    made.plug("video0", serial="A7")
    made.busy.add("video0")
    with pytest.raises(HardwareError) as caught:
        opened(made, "v4l2:0")
    assert caught.value.code == "CAMERA_BUSY"
    made.busy.clear()
    camera = opened(made, "v4l2:0", clock)
    made.opened[-1][1].let_go()
    with pytest.raises(CameraLost):
        camera.read(WAIT_S)
    made.busy.add("video0")
    with pytest.raises(CameraLost) as lost:
        camera.read(1.0)
    assert lost.value.code == "CAMERA_BUSY"
    made.busy.clear()
    camera_opens(camera, made)


@pytest.mark.parametrize(
    ("answer", "busy"),
    [(None, False), (OSError(errno.EBUSY, "busy"), True), (OSError(errno.ENOTTY, "no"), False)],
)
def test_a_driver_that_has_no_buffers_to_give_is_busy(
    tmp_path: Path, answer: OSError | None, busy: bool
) -> None:
    device = tmp_path / "video0"
    device.touch()
    asked: list[int] = []

    def ioctl(handle: int, request: int, what: bytes) -> None:
        os.fstat(handle)
        asked.append(request)
        assert len(what) == 20  # struct v4l2_requestbuffers
        if answer is not None:
            raise answer

    assert is_busy(device, ioctl=ioctl) is busy
    assert len(asked) == 1
    assert not is_busy(tmp_path / "none", ioctl=ioctl)


@pytest.mark.req("E016")
@pytest.mark.parametrize(
    ("place", "driver", "name"),
    [
        ("virtual/video4linux/video0", "", "Integrated Camera"),  # v4l2loopback, whatever it is called
        ("platform/vivid.0/video4linux/video0", "vivid", "Camera"),
        ("platform/vimc.0/video4linux/video0", "vimc", "Camera"),
        ("platform/vhci_hcd.0/usb3/3-1/3-1:1.0/video4linux/video0", "uvcvideo", "Integrated Camera"),
        ("platform/dummy_hcd.0/usb4/4-1/4-1:1.0/video4linux/video0", "uvcvideo", "Integrated Camera"),
        ("pci0000:00/usb1/1-1/1-1:1.0/video4linux/video0", "uvcvideo", "OBS Virtual Camera"),
        ("pci0000:00/usb1/1-1/1-1:1.0/video4linux/video0", "v4l2loopback", "Integrated Camera"),
    ],
)
def test_what_software_makes_is_simulated_at_most(tmp_path: Path, place: str, driver: str, name: str) -> None:
    node = made_node(tmp_path, place, driver=driver, name=name)
    assert is_virtual(node)
    assert assurance_of("video0", node.parent) is CameraAssurance.SIMULATED


def test_a_camera_on_a_bus_is_none_of_these(tmp_path: Path) -> None:
    place = "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/video4linux/video0"
    node = made_node(tmp_path, place, driver="uvcvideo", name="Integrated Camera")
    assert not is_virtual(node)
    assert assurance_of("video0", node.parent) is CameraAssurance.HOST


def made_node(folder: Path, place: str, *, driver: str, name: str) -> Path:
    """A node of sysfs at ``devices/place``, as its class lists it."""
    device = folder / "devices" / place
    device.mkdir(parents=True)
    (device / "name").write_text(name + "\n")
    if driver:
        kernel = folder / "bus" / "drivers" / driver
        kernel.mkdir(parents=True)
        interface = device.parent.parent
        (interface / "driver").symlink_to(kernel)
        (device / "device").symlink_to(interface)
    listed = folder / "class"
    listed.mkdir()
    (listed / "video0").symlink_to(device)
    return listed / "video0"
