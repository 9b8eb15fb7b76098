"""What is wrong with the card reader, from the port to the module: one finding for each thing looked at.

Looking changes nothing: no speed is set, no card is read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.errors import EdgeError
from edge.ports import PhotoDecoder
from edge.reader.photo import PHOTO_BYTES, NoPhotoDecoder
from edge.reader.probe import find_speed
from edge.reader.reader import SamVReader
from edge.reader.serial_port import port_names
from edge.reader.vendor_photo import WLT_MAGIC

MODEM_MANAGER_RULE = 'SUBSYSTEM=="tty", ENV{ID_VENDOR_ID}=="VVVV", ENV{ID_MM_DEVICE_IGNORE}="1"'
"""For /etc/udev/rules.d; VVVV is the maker's number that lsusb shows."""

_PROC = Path("/proc")


class Level(StrEnum):
    OK = "OK"
    WARN = "WARN"  # it works, and somebody should look
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """``check``: a stable name; ``what``: what was seen; ``hint``: what to do, empty where all is well."""

    check: str
    level: Level
    what: str
    hint: str = ""


def check_reader(
    port: str,
    *,
    baud: int | None,
    expected_sam_id: str | None,
    decoder: PhotoDecoder,
    proc: Path = _PROC,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Finding]:
    """Look at one thing after the other; what cannot be looked at any more is left out."""
    here = _check_port(port)
    yield here
    if here.level is Level.FAIL:
        return
    yield _check_permission(port)
    yield _check_holders(port, proc)
    yield _check_modem_manager(proc)
    try:
        speed = baud or find_speed(port, clock=clock)
        yield Finding("READER_SPEED", Level.OK, f"{speed} baud" + ("" if baud else ", found by asking"))
        reader = SamVReader.open(
            port, baud=speed, decoder=decoder, expected_sam_id=expected_sam_id, clock=clock
        )
    except EdgeError as error:
        yield Finding(error.code, Level.FAIL, error.message, error.hint)
        return
    try:
        yield _check_module(reader.sam_id, expected_sam_id)
    finally:
        reader.close()
    yield check_decoder(decoder)


def check_decoder(decoder: PhotoDecoder) -> Finding:
    """Whether there is a way to the photo on a card."""
    if isinstance(decoder, NoPhotoDecoder):
        return Finding(
            "PHOTO_DECODER",
            Level.WARN,
            "The photos on cards cannot be decoded: nobody can be compared with theirs.",
            "Set photo_decoder, and with a vendor's library photo_library and photo_library_symbol.",
        )
    try:
        decoder.decode(WLT_MAGIC.ljust(PHOTO_BYTES, b"\0"))
    except EdgeError as error:
        return Finding(error.code, Level.FAIL, error.message, error.hint)
    return Finding("PHOTO_DECODER", Level.OK, type(decoder).__name__)


def _check_port(port: str) -> Finding:
    if Path(port).exists():
        stable = port.startswith("/dev/serial/by-")
        if stable or not port.startswith("/dev/tty"):
            return Finding("READER_PORT", Level.OK, port)
        return Finding(
            "READER_PORT",
            Level.WARN,
            f"{port} may name another device after the reader is plugged in again.",
            "Use its name under /dev/serial/by-id.",
        )
    names = ", ".join(port_names()) or "none"
    return Finding(
        "READER_PORT",
        Level.FAIL,
        f"There is nothing at {port}.",
        f"Plug the reader in, or name its port with reader_port. Serial ports here: {names}.",
    )


def _check_permission(port: str) -> Finding:
    if os.access(port, os.R_OK | os.W_OK):
        return Finding("READER_PERMISSION", Level.OK, "this account may use the port")
    try:
        group = Path(port).group()
    except (KeyError, OSError):
        group = "the group that owns it"
    return Finding(
        "READER_PERMISSION",
        Level.FAIL,
        "This account may not use the port.",
        f"Add the account to the group {group} and sign in again: usermod -aG {group} ACCOUNT.",
    )


def _check_holders(port: str, proc: Path) -> Finding:
    """Programs that have the port open; those of other accounts are seen by root alone."""
    real = os.path.realpath(port)
    names = sorted({name for name, pid in _programs(proc) if pid != os.getpid() and _holds(proc, pid, real)})
    if not names:
        return Finding("READER_HOLDERS", Level.OK, "no other program is seen to hold the port")
    return Finding(
        "READER_HOLDERS",
        Level.WARN,
        f"The port is open in {', '.join(names)} as well.",
        "Stop that program: two on one port take each other's bytes.",
    )


def _check_modem_manager(proc: Path) -> Finding:
    if any(name == "ModemManager" for name, _ in _programs(proc)):
        return Finding(
            "MODEM_MANAGER",
            Level.WARN,
            "ModemManager runs, and talks to each serial port that appears as if it were a modem.",
            f"Tell it to leave the reader alone with a udev rule: {MODEM_MANAGER_RULE}",
        )
    return Finding("MODEM_MANAGER", Level.OK, "ModemManager does not run")


def _check_module(sam_id: str, expected: str | None) -> Finding:
    if expected is None:
        return Finding(
            "READER_MODULE",
            Level.WARN,
            f"The module is {sam_id}, and any other would be taken as well.",
            f'Pin it by reader_sam_id = "{sam_id}", or with: verifield-edge doctor --pin',
        )
    return Finding("READER_MODULE", Level.OK, f"{sam_id}, as pinned")


def _programs(proc: Path) -> Iterator[tuple[str, int]]:
    """Name and process id of all that runs; what ends meanwhile is left out."""
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            try:
                yield (
                    (folder / "comm").read_text(encoding="utf-8", errors="replace").strip(),
                    int(folder.name),
                )
            except OSError:
                continue


def _holds(proc: Path, pid: int, real: str) -> bool:
    try:
        return any(str(entry.readlink()) == real for entry in (proc / str(pid) / "fd").iterdir())
    except OSError:
        return False
