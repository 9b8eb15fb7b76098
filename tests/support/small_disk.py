"""What happens to a store on a real disk that fills up, and on one that becomes read-only.

    python -m tests.support.small_disk full|read-only FOLDER

FOLDER is the mount point of a small file system of its own, in a namespace where this process may mount.
It prints what it found as one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from edge.attest.keystore_software import SoftwareKeyStore
from edge.errors import StorageError
from edge.outbox.layout import RESERVE_SUFFIX, beside
from edge.outbox.store import Outbox
from tests.support.appliance import Appliance, MemorySigner
from tests.support.authority import NOW, Authority
from tests.support.outbox import ALL, apply, receipt_through

RESERVE_BYTES = 1024 * 1024
PICTURE = os.urandom(200_000)


class Device(Appliance):
    """A device whose reserve fits a small disk, and whose key store is elsewhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signer = MemorySigner()
        self.device_id = "device-1"
        self.quality = 2
        self.open()

    def open(self) -> None:
        self.outbox = Outbox.open(
            self.path,
            device_id=self.device_id,
            key_store=SoftwareKeyStore.open_store(self.path.parent / "keys", environ={}),
            reserve_bytes=RESERVE_BYTES,
        )

    def restart(self) -> None:
        self.outbox.close()
        self.open()

    def reserve_is_there(self) -> bool:
        return beside(self.path, RESERVE_SUFFIX).exists()


def code_of(work: Any) -> str:
    """The code with which it was refused; empty where it worked."""
    try:
        work()
    except StorageError as error:
        return error.code
    return ""


def fill(folder: Path) -> Path:
    """Leave no block free."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def full(folder: Path) -> dict[str, Any]:
    """Fill the disk; store the record in hand; run out for good; make room; go on."""
    device = Device(folder / "outbox.db")
    first = device.verify_person()
    found: dict[str, Any] = {"reserve_at_first": device.reserve_is_there()}
    ballast = fill(folder)
    found["free_when_full"] = os.statvfs(folder).f_bavail
    in_hand = device.outbox.append(lambda head, cited: device.make(head, cited, media=(PICTURE,)))
    found["reserve_after_the_record_in_hand"] = device.reserve_is_there()
    fill(folder)
    found["check_ready_when_full"] = code_of(device.outbox.check_ready)
    stored = [first, in_hand]
    while not (code := code_of(lambda: stored.append(device.verify_person()))):
        pass
    found["code_when_nothing_is_left"] = code
    found["head_is_the_last_stored"] = device.outbox.newest(limit=1) == stored[-1:]
    found["opens_when_full"] = code_of(device.restart)
    found["delivers_when_full"] = device.outbox.pending(after=None, **ALL) == stored
    ballast.unlink()
    device.restart()
    found["reserve_when_there_is_room"] = device.reserve_is_there()
    stored.append(device.verify_person())
    found["all_are_there"] = device.outbox.pending(after=None, **ALL) == stored
    found["sound"] = device.outbox.check().sound
    authority = Authority.create()
    apply(device, receipt_through(authority, device, stored[-1].seq))
    found["purged"] = device.outbox.purge(now=NOW, retention=timedelta(0))
    found["stored"] = len(stored)
    device.outbox.close()
    return found


def read_only(folder: Path) -> dict[str, Any]:
    """Make the disk read-only between two openings."""
    device = Device(folder / "outbox.db")
    record = device.verify_person()
    device.outbox.close()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    found: dict[str, Any] = {"open": code_of(device.open)}
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    device.open()
    found["nothing_lost"] = device.outbox.pending(after=None, **ALL) == [record]
    found["goes_on"] = device.verify().seq == 2
    device.outbox.close()
    return found


if __name__ == "__main__":
    print(json.dumps((full if sys.argv[1] == "full" else read_only)(Path(sys.argv[2]))))
