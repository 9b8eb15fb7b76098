"""What the kernel says of this machine's cameras: sysfs read as it is, and which device is meant by whom.

A USB camera has up to two things that stay when it is plugged into another port: its serial number, and its
vendor and product. Cheap ones all carry the same serial, or none; then vendor and product name it only where
no other camera has the same. Where two could be meant, nobody is: a guess could be somebody else's camera.
While the appliance runs, the port tells as well: what is the same model at the same port is the same camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import HardwareError

VIDEO_CLASS = Path("/sys/class/video4linux")
"""Where Linux tells of its cameras."""

MAX_WORD_CHARS = 64
"""Of a name or serial; USB strings have at most 126 characters, and a camera chooses its own."""


VIRTUAL_DRIVERS = frozenset({"v4l2loopback", "vivid", "vimc", "akvcam", "dummy_hcd", "vhci_hcd"})
"""Of the kernel, that make pictures or pass on those of a program: loopbacks, test sources, and USB buses
whose devices are somewhere else or made up (USB over a network, gadgets on a dummy controller)."""

VIRTUAL_NAMES = (
    "obs virtual",
    "droidcam",
    "iriun",
    "manycam",
    "dummy video device",
    "virtual camera",
    "vivid",
)
"""How programs that feed pictures call their device, in lower case; a name proves nothing in favour."""


@dataclass(frozen=True, slots=True)
class UsbIdentity:
    """``product``: vendor and product as ``046d:0825``. ``serial``: empty where the camera has none."""

    product: str
    serial: str = ""

    def __str__(self) -> str:
        return f"{self.product}:{self.serial}" if self.serial else self.product


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """One node that may give pictures. ``node``: video0. ``identity``: None where it is on no USB.

    ``place``: the port that it hangs on, and which of the nodes there it is; the same under another index.
    ``virtual``: made by software.
    """

    node: str
    name: str
    identity: UsbIdentity | None
    place: str
    virtual: bool

    def __str__(self) -> str:
        return f"{self.node} ({self.name})" if self.name else self.node


def list_video_devices(video_class: Path) -> list[VideoDevice]:
    """Read ``/sys/class/video4linux``; of a camera with several nodes only the first: it has the pictures."""
    entries = sorted(video_class.iterdir(), key=_order) if video_class.is_dir() else []
    return [read_video_device(entry) for entry in entries if _word(entry / "index") in ("", "0")]


def parse_serial(address: str) -> str | None:
    """The serial of ``serial=XYZ``; None where the address is of another form."""
    key, found, serial = address.partition("=")
    return serial if found and key == "serial" and serial else None


def choose_by_serial(devices: Sequence[VideoDevice], serial: str) -> VideoDevice:
    """The one camera with this serial number.

    Raises:
        HardwareError: NO_CAMERA, or CAMERA_AMBIGUOUS.
    """
    found = [device for device in devices if device.identity and device.identity.serial == serial]
    if len(found) == 1:
        return found[0]
    if found:
        raise HardwareError(
            "CAMERA_AMBIGUOUS",
            f"{len(found)} cameras have the same serial number.",
            hint="Name the camera by its path: look under /dev/v4l/by-path.",
        )
    known = [str(device.identity) for device in devices if device.identity]
    raise HardwareError(
        "NO_CAMERA",
        "No camera has this serial number.",
        hint=f"Plugged in are: {', '.join(known)}." if known else "No USB camera is plugged in.",
    )


def find_again(devices: Sequence[VideoDevice], identity: UsbIdentity) -> VideoDevice | None:
    """Where the camera of ``identity`` is now, under whatever index; None where it is not, or not surely."""
    found = [device for device in devices if device.identity == identity]
    return found[0] if len(found) == 1 else None


def find_in_place(devices: Sequence[VideoDevice], known: VideoDevice) -> VideoDevice | None:
    """The same model at the same port; None where that is empty, or where another model is."""
    same = (device for device in devices if (device.place, device.identity) == (known.place, known.identity))
    return next(same, None)


def stable_identity(devices: Sequence[VideoDevice], node: str) -> UsbIdentity | None:
    """What ``node`` can be told by among ``devices``; None where nothing tells it from another."""
    identity = next((device.identity for device in devices if device.node == node), None)
    return identity if identity and find_again(devices, identity) else None


def read_video_device(entry: Path) -> VideoDevice:
    """The node ``entry`` of ``/sys/class/video4linux``; one that sysfs does not know is but a name."""
    place = entry.resolve()
    parent = place / "device"
    return VideoDevice(
        node=entry.name,
        name=_word(entry / "name"),
        identity=_identity(parent),
        place=f"{(parent if parent.exists() else place).resolve()}#{_word(entry / 'index') or '0'}",
        virtual=is_virtual(entry),
    )


def is_virtual(entry: Path) -> bool:
    """Whether the node ``entry`` of ``/sys/class/video4linux`` is made by software, as the kernel tells it.

    A device on no bus lies under ``devices/virtual``; others tell by their driver, by the controller that
    they hang on, or by their name.
    """
    place = entry.resolve()
    parts = {part.split(".")[0] for part in place.parts}
    driver = place / "device" / "driver"
    drivers = {driver.resolve().name} if driver.exists() else set()
    name = _word(entry / "name").lower()
    return (
        "virtual" in parts
        or bool((parts | drivers) & VIRTUAL_DRIVERS)
        or any(known in name for known in VIRTUAL_NAMES)
    )


def _identity(interface: Path) -> UsbIdentity | None:
    """``interface``: the USB interface that the node belongs to; the device is the folder above it."""
    if not interface.exists():
        return None
    device = interface.resolve().parent
    vendor, product = _word(device / "idVendor"), _word(device / "idProduct")
    if not (vendor and product):
        return None
    return UsbIdentity(f"{vendor}:{product}", _word(device / "serial"))


def _word(path: Path) -> str:
    """One line of sysfs, cut to what can be shown; empty where there is none."""
    try:
        with path.open("rb") as stream:
            line = stream.read(4 * MAX_WORD_CHARS).decode("utf-8", "replace")
    except OSError:
        return ""
    return "".join(sign for sign in line.strip() if sign.isprintable())[:MAX_WORD_CHARS]


def _order(entry: Path) -> tuple[int, str]:
    digits = entry.name.lstrip("abcdefghijklmnopqrstuvwxyz-")
    return (int(digits) if digits.isascii() and digits.isdigit() else 1 << 30, entry.name)
