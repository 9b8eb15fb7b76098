"""Which of several serial ports the card reader is at: each is asked for its status, and then who it is.

A scale or a printer on another port gets ten bytes that mean nothing to it, at five speeds; where that
is not wanted, the port is named in the configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import EdgeError, HardwareError
from edge.reader.faults import fault
from edge.reader.photo import NoPhotoDecoder
from edge.reader.probe import find_speed
from edge.reader.reader import SamVReader

SERIAL_BY_ID = Path("/dev/serial/by-id")
"""Where Linux keeps names that stay with a device, whichever socket it is plugged into."""


@dataclass(frozen=True, slots=True)
class FoundReader:
    """A module that answered, and how to reach it."""

    port: str
    baud: int
    sam_id: str


def stable_ports(folder: Path = SERIAL_BY_ID) -> list[str]:
    """Return the serial ports that have a stable name, in its order."""
    return sorted(str(path) for path in folder.glob("*")) if folder.is_dir() else []


def find_reader(
    ports: Sequence[str],
    *,
    baud: int | None,
    expected_sam_id: str | None,
    clock: Callable[[], float] = time.monotonic,
) -> FoundReader:
    """Return the one module among ``ports`` that is meant: the expected one, or the only one.

    Raises:
        HardwareError: NO_READER, none answers, or not the expected one, with what each port said;
            READERS_MANY, several answer and none is expected.
    """
    found: list[FoundReader] = []
    said: list[str] = []
    for port in ports:
        answer = ask_port(port, baud=baud, clock=clock)
        if isinstance(answer, FoundReader):
            if answer.sam_id == expected_sam_id:
                return answer
            found.append(answer)
        said.append(f"{Path(port).name}: {answer.code if isinstance(answer, EdgeError) else answer.sam_id}")
    if not found or expected_sam_id is not None:
        raise HardwareError(
            "NO_READER",
            f"The card reader is not connected; serial ports here: {', '.join(said) or 'none'}.",
            hint="Plug the reader in, or name its port with reader_port or --reader.",
        )
    if len(found) > 1:
        raise fault("READERS_MANY", ", ".join(said))
    return found[0]


def ask_port(
    port: str, *, baud: int | None, clock: Callable[[], float] = time.monotonic
) -> FoundReader | EdgeError:
    """Return who answers at ``port``, or why nobody does."""
    try:
        speed = find_speed(port, clock=clock) if baud is None else baud
        reader = SamVReader.open(
            port, baud=speed, decoder=NoPhotoDecoder(), expected_sam_id=None, clock=clock
        )
    except EdgeError as error:
        return error
    try:
        return FoundReader(port, speed, reader.sam_id)
    finally:
        reader.close()
