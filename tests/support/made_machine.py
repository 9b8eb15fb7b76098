"""A made-up machine with cameras: folders as in /dev and sysfs, and devices that give pictures on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge.capture.camera_v4l2 import Machine, VideoSource
from edge.model import Image

Pictures = Callable[[], Image | None]


@dataclass
class PluggedSource:
    """Stands for ``cv2.VideoCapture``: one picture each time that ``next_one`` is told; None: unplugged."""

    pictures: Pictures
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    released: threading.Event = field(default_factory=threading.Event)

    def read(self) -> tuple[bool, Image | None]:
        self.gate.acquire()
        picture = None if self.released.is_set() else self.pictures()
        return picture is not None, picture

    def release(self) -> None:
        self.released.set()

    def let_go(self) -> None:
        """End a read that waits."""
        self.released.set()
        self.gate.release()


class MadeMachine:
    """``plug`` and ``unplug`` cameras; ``machine`` is what the appliance looks at."""

    def __init__(self, folder: Path, pictures: Pictures) -> None:
        self._folder = folder
        self._pictures = pictures
        self.busy: set[str] = set()
        self.opened: list[tuple[str, PluggedSource]] = []
        for name in ("dev", "class", "devices"):
            (folder / name).mkdir(parents=True)
        self.machine = Machine(folder / "dev", folder / "class", self._open, self._is_busy)

    def plug(
        self,
        node: str,
        *,
        product: str = "046d:0825",
        serial: str = "",
        port: str = "1-1",
        index: int = 0,
        virtual: bool = False,
    ) -> Path:
        """A USB camera at ``port``; or one made by software. Returns its device."""
        if virtual:
            device = self._folder / "devices" / "virtual" / "video4linux" / node
            device.mkdir(parents=True)
        else:
            usb = self._folder / "devices" / "pci0000:00" / "usb1" / port
            interface = usb / f"{port}:1.0"
            device = interface / "video4linux" / node
            device.mkdir(parents=True)
            vendor, number = product.split(":")
            for name, word in (("idVendor", vendor), ("idProduct", number), ("serial", serial)):
                if word:
                    (usb / name).write_text(f"{word}\n")
            (device / "device").symlink_to(interface)
        (device / "name").write_text(f"Camera {node}\n")
        (device / "index").write_text(f"{index}\n")
        (self._folder / "class" / node).symlink_to(device)
        (self._folder / "dev" / node).touch()
        return self._folder / "dev" / node

    def unplug(self, node: str) -> None:
        entry = self._folder / "class" / node
        place = entry.resolve()
        entry.unlink()
        place.rename(place.with_name(f"gone-{len(list(place.parent.iterdir()))}-{node}"))
        (self._folder / "dev" / node).unlink()
        for name, source in self.opened:
            if name == node:
                source.let_go()

    def next_one(self) -> None:
        """Let the camera that was opened last give a picture."""
        self.opened[-1][1].gate.release()

    def _open(self, device: Path) -> VideoSource | None:
        if device.name in self.busy:
            return None
        self.opened.append((device.name, PluggedSource(self._pictures)))
        return self.opened[-1][1]

    def _is_busy(self, device: Path) -> bool:
        return device.name in self.busy
