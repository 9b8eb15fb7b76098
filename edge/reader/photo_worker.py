"""Runs a vendor's photo library in a process of its own: ``photo_worker.py LIBRARY ABI SYMBOL``.

Reads one 1024-byte photo field from standard input and writes raw BGR, 102 x 126, to standard output.
The exit status says the rest: see ``WorkerExit``. Imports nothing but the standard library, so that the
process is small and starts fast; its limits are set before the library is loaded.

ABIs that vendors' libraries are known to have:

    unpack   int f(char *field, char *bgr, int flag)    writes 38,556 bytes, top row last; 1 is success
    getbmp   int f(const char *path, int port)          writes PATH's .bmp beside PATH; 1 is success

Files of ``getbmp`` lie in the working folder. Who starts this process clears it: a library that crashes
leaves nobody here to do so.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from enum import IntEnum
from pathlib import Path

FIELD_BYTES = 1024
WIDTH, HEIGHT = 102, 126
BGR_BYTES = WIDTH * HEIGHT * 3
_BMP_PIXELS_AT = 54
_BMP_ROW_BYTES = (WIDTH * 3 + 3) // 4 * 4
_SPARE_BYTES = 64 * 1024  # a library that writes more than it should hits this, and not the heap

MEMORY_BYTES = 512 * 1024 * 1024
CPU_S = 5
FILE_BYTES = 1024 * 1024
OPEN_FILES = 32
SUCCESS = 1


class WorkerExit(IntEnum):
    OK = 0
    USAGE = 2
    NOT_LOADED = 3  # the library or the function is not there
    REFUSED = 4  # it says that it cannot decode this
    RUBBISH = 5  # it says that it can, and gave no picture


def main(arguments: list[str]) -> int:
    """Decode one field; the exit status."""
    if len(arguments) != 3 or arguments[1] not in _ABIS:
        return WorkerExit.USAGE
    library, abi, symbol = arguments
    _limit()
    try:
        function = getattr(ctypes.CDLL(library), symbol)
    except (OSError, AttributeError):
        return WorkerExit.NOT_LOADED
    function.restype = ctypes.c_int
    field = sys.stdin.buffer.read(FIELD_BYTES + 1)
    if len(field) != FIELD_BYTES:
        return WorkerExit.USAGE
    try:
        pixels = _ABIS[abi](function, field)
    except _Refused:
        return WorkerExit.REFUSED
    if pixels is None:
        return WorkerExit.RUBBISH
    sys.stdout.buffer.write(pixels)
    return WorkerExit.OK


class _Refused(Exception):
    """The library says no."""


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),  # a core would hold the photo
    ):
        resource.setrlimit(what, (most, most))


def _unpack(function: ctypes._NamedFuncPointer, field: bytes) -> bytes | None:
    source = ctypes.create_string_buffer(field, FIELD_BYTES + _SPARE_BYTES)
    target = ctypes.create_string_buffer(BGR_BYTES + _SPARE_BYTES)
    if function(source, target, 0) != SUCCESS:
        raise _Refused
    pixels = target.raw[:BGR_BYTES]
    return _flip(pixels, WIDTH * 3) if any(pixels) else None


def _getbmp(function: ctypes._NamedFuncPointer, field: bytes) -> bytes | None:
    path = Path.cwd() / "photo.wlt"
    path.write_bytes(field)
    if function(os.fsencode(path), SUCCESS) != SUCCESS:
        raise _Refused
    made = path.with_suffix(".bmp")
    content = made.read_bytes() if made.is_file() and made.stat().st_size <= FILE_BYTES else b""
    if not content.startswith(b"BM") or len(content) != _BMP_PIXELS_AT + _BMP_ROW_BYTES * HEIGHT:
        return None
    rows = content[_BMP_PIXELS_AT:]
    starts = range(0, len(rows), _BMP_ROW_BYTES)
    return _flip(b"".join(rows[at : at + WIDTH * 3] for at in starts), WIDTH * 3)


def _flip(pixels: bytes, row_bytes: int) -> bytes:
    """Bottom row first, as bitmaps have it, to top row first."""
    return b"".join(pixels[at : at + row_bytes] for at in range(len(pixels) - row_bytes, -1, -row_bytes))


_ABIS = {"unpack": _unpack, "getbmp": _getbmp}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
