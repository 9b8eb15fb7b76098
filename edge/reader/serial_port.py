"""The serial port: a thin adapter over pyserial that has one way to die.

pyserial tells of a dead port by four unrelated exceptions, depending on the call. All of them become
``ReaderGone`` here. The modem lines are left alone: some adapters refuse them.
"""

from __future__ import annotations

import errno
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import serial
from serial.tools import list_ports

from edge.errors import EdgeError, HardwareError
from edge.reader.faults import fault

READ_SLICE_S = 0.02  # how long a read waits for the first byte: deadlines are kept to within this
WRITE_TIMEOUT_S = 1.0  # a frame is 11 bytes at most; a port that cannot take it within a second is stuck

_STABLE_NAMES = Path("/dev/serial/by-id")
_PORT_DEATHS = (serial.SerialException, OSError, termios.error, TypeError)
_OPEN_FAULTS = {
    errno.EACCES: "READER_FORBIDDEN",
    errno.EPERM: "READER_FORBIDDEN",
    errno.EBUSY: "READER_BUSY",
    errno.EAGAIN: "READER_BUSY",
}


@contextmanager
def _deaths_as_reader_gone() -> Iterator[None]:
    try:
        yield
    except _PORT_DEATHS as error:
        raise fault("READER_GONE", type(error).__name__) from error


class SerialPort:
    """An open port: 8N1, no flow control, ours alone."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port

    @classmethod
    def open(cls, path: str, *, baud: int) -> SerialPort:
        """Open ``path``, best a stable name below /dev/serial/by-id.

        Raises:
            HardwareError: NO_READER, READER_BUSY or READER_FORBIDDEN.
        """
        try:
            return cls(
                serial.Serial(path, baud, timeout=READ_SLICE_S, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
            )
        except (*_PORT_DEATHS, ValueError) as error:
            raise _open_fault(path, error) from error

    def read(self) -> bytes:
        """Return what arrived, waiting ``READ_SLICE_S`` at most; empty where nothing did.

        Raises:
            ReaderGone: the port died.
        """
        with _deaths_as_reader_gone():
            data: bytes = self._port.read(max(1, self._port.in_waiting))
        return data

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            ReaderGone: the port died.
        """
        with _deaths_as_reader_gone():
            self._port.write(data)

    def close(self) -> None:
        with suppress(*_PORT_DEATHS):
            self._port.close()


def port_names() -> list[str]:
    """Serial ports of this machine, by their stable names where they have one."""
    stable = sorted(str(path) for path in _STABLE_NAMES.glob("*"))
    if stable:
        return stable
    try:
        return sorted(port.device for port in list_ports.comports())
    except (TypeError, OSError):  # a port that is unplugged while it is being listed
        return []


def _open_fault(path: str, error: BaseException) -> EdgeError:
    number = error.errno if isinstance(error, OSError) else None
    if number in _OPEN_FAULTS:
        return fault(_OPEN_FAULTS[number], path)
    names = port_names()
    return HardwareError(
        "NO_READER",
        f"There is no card reader at {path}.",
        hint=f"Serial ports here: {', '.join(names)}." if names else "This machine has no serial port now.",
    )
