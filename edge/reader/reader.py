"""The card reader as the appliance sees it: the pump between port, link and dialogue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol, Self

from edge.errors import EdgeError
from edge.model import Colour, IdDocument, Prompt
from edge.ports import PhotoDecoder, Screen
from edge.reader.cards import parse_newest_address, parse_text, split_base
from edge.reader.dialogue import Dialogue
from edge.reader.faults import fault
from edge.reader.link import LinkParser
from edge.reader.messages import (
    ClearLink,
    Command,
    Failed,
    Got,
    Heard,
    Open,
    Opened,
    Read,
    Record,
    Send,
    Show,
    Tick,
)
from edge.reader.probe import find_speed
from edge.reader.serial_port import SerialPort
from edge.reader.traffic import say_dropped, say_heard, say_sent

_NOT_UNDERSTOOD = frozenset({"READER_SILENT", "READER_GARBLED"})

_log = logging.getLogger(__name__)  # states and counts only: never a field, a frame or a photo


class Transport(Protocol):
    """A byte stream that dies by ReaderGone only."""

    def read(self) -> bytes:
        """Return what arrived, waiting a moment at most; empty where nothing did."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class _NoScreen:
    """Nobody is asked for anything while a reader is being opened."""

    can_light = False

    def show(self, prompt: Prompt) -> None: ...

    def light(self, colour: Colour | None) -> None: ...


class SamVReader:
    """A SAM_V module on a serial port. Not for use by several threads."""

    def __init__(
        self,
        transport: Transport,
        *,
        baud: int,
        decoder: PhotoDecoder,
        expected_sam_id: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._decoder = decoder
        self._expected_sam_id = expected_sam_id
        self._clock = clock
        self._link = LinkParser()
        self._dialogue = Dialogue(baud=baud)
        self._sam_id = ""

    @classmethod
    def open(
        cls,
        port: str,
        *,
        baud: int | None = None,
        decoder: PhotoDecoder,
        expected_sam_id: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Open ``port``, wait for the module's answer and check which module it is.

        ``baud``: None looks for the speed at which it answers.

        Raises:
            HardwareError: NO_READER, READER_BUSY, READER_FORBIDDEN, READER_SILENT, READER_GARBLED,
                READER_DIALECT, READER_REFUSED, READER_OUT_OF_SERVICE or READER_CHANGED.
            ReaderGone: the port died meanwhile.
        """
        speed = find_speed(port, clock=clock) if baud is None else baud
        return cls.over(
            SerialPort.open(port, baud=speed),
            baud=speed,
            decoder=decoder,
            expected_sam_id=expected_sam_id,
            clock=clock,
        )

    @classmethod
    def over(
        cls,
        transport: Transport,
        *,
        baud: int,
        decoder: PhotoDecoder,
        expected_sam_id: str | None,
        clock: Callable[[], float],
    ) -> Self:
        """Wait for the answer of the module behind ``transport``, which is closed where there is none.

        Raises:
            HardwareError: READER_SILENT, READER_GARBLED, READER_DIALECT, READER_REFUSED,
                READER_OUT_OF_SERVICE or READER_CHANGED.
            ReaderGone: the port died meanwhile.
        """
        reader = cls(transport, baud=baud, decoder=decoder, expected_sam_id=expected_sam_id, clock=clock)
        try:
            reader._run(Open(), _NoScreen())
        except BaseException:
            reader.close()
            raise
        return reader

    @property
    def sam_id(self) -> str:
        return self._sam_id

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        """Wait for a card and read it whole; see ``edge.ports.CardReader``."""
        self._check_identity()
        record = self._run(Read(self._clock() + timeout_s), screen)
        if record is None:
            raise RuntimeError("a Read ends with a record or a fault")
        return self._document(record)

    def close(self) -> None:
        self._transport.close()

    def _document(self, record: Record) -> IdDocument:
        text, photo = bytearray(), bytearray()
        try:
            text, photo = split_base(record.data)
            card = parse_text(text)
            newest = parse_newest_address(record.address)
            decoded = self._decoder.decode(bytes(photo))
            return card.document(photo=decoded, sam_id=self._sam_id, newest_address=newest)
        finally:
            for buffer in (record.data, record.address, text, photo):
                buffer[:] = bytes(len(buffer))

    def _run(self, event: Open | Read, screen: Screen) -> Record | None:
        """Pump until the dialogue is done with ``event``; return the record, none after Open."""
        commands = self._dialogue.handle(event, self._clock())
        while True:
            for command in commands:
                match command:
                    case Send(frame):
                        say_sent(frame)
                        self._transport.write(frame)
                    case ClearLink():
                        self._link.clear()
                    case Show(prompt):
                        screen.show(prompt)
                    case Opened(sam_id):
                        self._sam_id = sam_id
                        self._check_identity()
                        if isinstance(event, Open):
                            return None
                    case Record() as record:
                        return record
                    case Failed(code):
                        raise self._fault(code)
            commands = self._listen()

    def _fault(self, code: str) -> EdgeError:
        if self._link.dialect and code in _NOT_UNDERSTOOD:
            return fault("READER_DIALECT", self._link.dialect)
        return fault(code)

    def _listen(self) -> list[Command]:
        """Take what arrived, then let time pass.

        Silence counts from before the port was asked: what arrives while this process is kept waiting
        by the operating system is not late.
        """
        asked_at = self._clock()
        data = self._transport.read()
        now = self._clock() if data else asked_at
        before, dropped = self._dialogue.state, self._link.dropped
        commands = self._dialogue.handle(Heard(), now) if data else []
        for reply in self._link.feed(data, now) if data else self._link.tick(now):
            say_heard(reply)
            commands += self._dialogue.handle(Got(reply), now)
        if self._link.dropped > dropped:
            say_dropped(self._link.dropped - dropped)
        commands += self._dialogue.handle(Tick(), now)
        if self._dialogue.state is not before:
            _log.debug("%s -> %s, %d bytes dropped", before, self._dialogue.state, self._link.dropped)
        return commands

    def _check_identity(self) -> None:
        """The cable is not authenticated: the module's identity is pinned at the first answer, or before."""
        if self._expected_sam_id is None:
            self._expected_sam_id = self._sam_id
        if self._sam_id != self._expected_sam_id:
            raise fault("READER_CHANGED")
