"""The pump between the simulated module and a pseudo-terminal that a host opens like a serial port."""

from __future__ import annotations

import errno
import os
import pty
import random
import select
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Self

from verifield_sim.cards import Card
from verifield_sim.errors import SimError
from verifield_sim.reader import Bytes, Event, Lift, Place, ReaderModule, Tick

BAUDS = (115200, 57600, 38400, 19200, 9600)
_CHUNK_BYTES = 16  # what a UART's buffer holds
_BITS_PER_BYTE = 10  # 8N1
_TICK_S = 0.01  # how exactly delayed replies are kept
_WRONG_SPEED_BYTES = b"\x00\x80\xe0\xf8\xfe"  # what a UART makes of another speed
_OUTPUT_SPEED = 5  # index into the list of termios.tcgetattr


class ReaderPty:
    """A running reader. Its path is a symlink that stays the same while the terminal behind it may not."""

    def __init__(self, module: ReaderModule, *, link: Path, baud: int, master: int, slave: int) -> None:
        self.path = link
        self._module = module
        self._baud = baud
        self._master, self._slave = master, slave
        self._lock = threading.Lock()  # the module is spoken to by the host and by the scenario
        self._stop = threading.Event()
        self._pulled_s: float | None = None
        self._garbage = random.Random(0)  # noqa: S311 - repeatable, not secret
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    @classmethod
    def open(cls, module: ReaderModule, *, link: Path, baud: int) -> Self:
        """Start a reader behind ``link``.

        Raises:
            SimError: a speed that readers do not have, or ``link`` exists or cannot be made.
        """
        if baud not in BAUDS:
            raise SimError(f"baud {baud}: it is one of {', '.join(map(str, BAUDS))}")
        master, slave = _plug_in(link)
        reader = cls(module, link=link, baud=baud, master=master, slave=slave)
        reader._thread.start()
        return reader

    @property
    def card_present(self) -> bool:
        with self._lock:
            return self._module.card_present

    def place(self, card: Card) -> None:
        """Lay a card down, in place of whatever lies there."""
        self._handle(Place(card))

    def lift(self) -> None:
        """Take the card away."""
        self._handle(Lift())

    def unplug(self, seconds: float) -> None:
        """Pull the cable for so long; the reader comes back behind the same link, on another terminal."""
        self._pulled_s = seconds

    def close(self) -> None:
        """Pull the plug, in the middle of a reply where one is under way."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._pull_out()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._pulled_s is not None:
                self._replug(self._pulled_s)
                continue
            readable, _, _ = select.select([self._master], [], [], _TICK_S)
            data = os.read(self._master, 4096) if readable else b""
            if data and not self._same_speed():
                self._write(bytes(self._garbage.choices(_WRONG_SPEED_BYTES, k=len(data))))
                continue
            for reply in self._handle(Bytes(data) if data else Tick()):
                self._write(reply)
            if self._module.unplugged_s is not None:
                self._pulled_s = self._module.unplugged_s

    def _replug(self, seconds: float) -> None:
        self._pull_out()
        self._pulled_s = None
        if self._stop.wait(seconds):
            return
        with self._lock:
            self._module.power_on(time.monotonic())
        self._master, self._slave = _plug_in(self.path)

    def _pull_out(self) -> None:
        if self._master < 0:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)  # kept open until now: without it the master cannot wait for a host
        self._master = self._slave = -1

    def _handle(self, event: Event) -> list[bytes]:
        with self._lock:
            return self._module.handle(event, time.monotonic())

    def _same_speed(self) -> bool:
        return bool(termios.tcgetattr(self._master)[_OUTPUT_SPEED] == getattr(termios, f"B{self._baud}"))

    def _write(self, data: bytes) -> None:
        """Write at the pace of the wire; what the host does not take is lost, as on a real one."""
        started = time.monotonic()
        for offset in range(0, len(data), _CHUNK_BYTES):
            chunk = data[offset : offset + _CHUNK_BYTES]
            due = started + (offset + len(chunk)) * _BITS_PER_BYTE / self._baud
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            try:
                os.write(self._master, chunk)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise


def _plug_in(link: Path) -> tuple[int, int]:
    """A terminal behind ``link``: its two ends. A link that leads nowhere is of a simulator that was killed.

    Raises:
        SimError: ``link`` exists or cannot be made.
    """
    if link.is_symlink() and not link.exists():
        link.unlink(missing_ok=True)
    master, slave = pty.openpty()
    tty.setraw(slave)  # else the line discipline eats control bytes until a host has opened it
    os.set_blocking(master, False)
    try:
        link.symlink_to(os.ttyname(slave))
    except OSError as error:
        os.close(master)
        os.close(slave)
        if isinstance(error, FileExistsError):
            raise SimError(
                f"{link} is there already: another simulator may use it; where none does, remove it"
            ) from None
        raise SimError(f"{link} cannot be made: {error.strerror}") from None
    return master, slave
