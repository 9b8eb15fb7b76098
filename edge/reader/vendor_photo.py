"""A vendor's photo library, kept at arm's length: it may hang, crash or return rubbish, and harms nothing.

No such library is part of this product: none is free to be passed on. Whoever has one names its file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edge.errors import SetupError
from edge.model import Image
from edge.reader.memory_folder import memory_folder
from edge.reader.photo import check_photo_field
from edge.reader.photo_worker import BGR_BYTES, HEIGHT, WIDTH, WorkerExit

TIMEOUT_S = 8.0
"""Longer than the processor time that the worker has, and short for a person who waits."""

WLT_MAGIC = b"WL"

_UNFIT = "Check the path, that it is made for this processor, and photo_library_symbol."
_NO_MEMORY_FOLDER = "Let this user write to /run/verifield or /dev/shm, and make that a tmpfs."


@dataclass(frozen=True, slots=True)
class VendorPhotoDecoder:
    """``library``: a file for this machine's architecture; ``abi`` and ``symbol``: see ``photo_worker``."""

    library: Path
    abi: Literal["unpack", "getbmp"]
    symbol: str
    timeout_s: float = TIMEOUT_S

    def decode(self, data: bytes) -> Image | None:
        """Return uint8 [126, 102, 3] BGR; None for another format, or where the library gives no picture.

        A document then has no photo, and the decision says so.

        Raises:
            InputError: CARD_PHOTO_INVALID, the field has not its length.
            SetupError: PHOTO_LIBRARY, the library cannot be loaded, or would write the photo to a disk.
        """
        check_photo_field(data)
        if not data.startswith(WLT_MAGIC):
            return None
        status, pixels = self._run(data)
        if status == WorkerExit.NOT_LOADED:
            raise self._unusable("cannot be loaded here, or has no such function")
        if status != WorkerExit.OK or len(pixels) != BGR_BYTES:
            return None
        return np.frombuffer(pixels, np.uint8).reshape(HEIGHT, WIDTH, 3).copy()

    def _run(self, data: bytes) -> tuple[int | None, bytes]:
        """As :meth:`_run_in`, with a folder in memory for a library that writes files."""
        if self.abi != "getbmp":
            return self._run_in(Path("/"), data)
        try:
            with memory_folder() as folder:
                return self._run_in(folder, data)
        except FileNotFoundError:
            raise self._unusable("has no folder in memory for the photo", hint=_NO_MEMORY_FOLDER) from None

    def _run_in(self, folder: Path, data: bytes) -> tuple[int | None, bytes]:
        """Exit status, None where it took too long; and what was written, as far as the worker may."""
        command = [sys.executable, "-I", _worker_file(), str(self.library.absolute()), self.abi, self.symbol]
        with os.fdopen(os.memfd_create("photo"), "w+b") as written:  # a photo never touches the disk
            try:
                status = subprocess.run(
                    command,
                    input=data,
                    stdout=written,
                    stderr=subprocess.DEVNULL,  # a library may print what it sees
                    timeout=self.timeout_s,
                    check=False,
                    env={"PATH": "/usr/bin:/bin"},
                    cwd=folder,
                ).returncode
            except subprocess.TimeoutExpired:
                return None, b""
            except OSError as error:
                raise self._unusable(f"cannot be started: {type(error).__name__}") from error
            written.seek(0)
            return status, written.read(BGR_BYTES + 1)

    def _unusable(self, why: str, *, hint: str = _UNFIT) -> SetupError:
        return SetupError(
            "PHOTO_LIBRARY",
            f"The photo library {self.library} ({self.symbol}) {why}.",
            hint=hint,
        )


def _worker_file() -> str:
    return str(Path(__file__).with_name("photo_worker.py"))
