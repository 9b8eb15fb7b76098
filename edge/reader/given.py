"""Documents that no chip gives: typed at the desk, or pictured; and a chip's, completed by a picture.

Each stands where a card reader would, and does its work only when the session asks for the document: by
then the person has agreed to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge.answers import Stop
from edge.errors import InputError
from edge.model import IdDocument
from edge.ports import CardReader, Desk, Screen
from edge.reader.faults import fault
from edge.reader.scan.scanner import Scan, document_of, lend_portrait
from edge.reader.typed import ELEMENTS, element_fits, typed_document

Look = Callable[[], Scan]
"""Reads the pictures that were given."""

_DATES = ("valid_from", "valid_to")
_STOP_CODES = {
    Stop.PERSON: "PERSON_STOPPED",
    Stop.OPERATOR: "OPERATOR_STOPPED",
    Stop.TIMEOUT: "NO_DOCUMENT_TYPED",
}


class TypedDocument:
    """The four elements, asked for one after the other, each until it can be on a document."""

    sam_id = ""

    def __init__(self, desk: Desk, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._clock = clock

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:  # noqa: ARG002 (the port's)
        """Ask for name, number and both dates; dates that contradict each other or the number again.

        Raises:
            InputError: PERSON_STOPPED or OPERATOR_STOPPED; NO_DOCUMENT_TYPED after an empty answer, or where
                time is up.
        """
        until = self._clock() + timeout_s
        values = {element: self._ask(element, until, again=False) for element in ELEMENTS}
        while True:
            try:
                return typed_document(**values)
            except InputError:  # each of them fits by itself
                values |= {element: self._ask(element, until, again=True) for element in _DATES}

    def close(self) -> None: ...

    def _ask(self, element: str, until: float, *, again: bool) -> str:
        while True:
            left = until - self._clock()
            if left <= 0:
                raise fault("NO_DOCUMENT_TYPED")
            answer = self._desk.ask_field(f"document_{element}", left, again=again)
            if isinstance(answer, Stop):
                raise fault(_STOP_CODES[answer])
            if not answer.strip():
                raise fault("NO_DOCUMENT_TYPED")
            if element_fits(element, answer):
                return answer
            again = True


class PicturedDocument:
    """A document from pictures of both its sides."""

    sam_id = ""

    def __init__(self, look: Look) -> None:
        self._look = look

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:  # noqa: ARG002 (the port's)
        """Read the pictures; errors as ``scan`` and ``document_of``."""
        return document_of(self._look())

    def close(self) -> None: ...


class WithPrintedPhoto:
    """A card reader whose cards' photos nothing can decode: the printed one stands in.

    A photo that the chip gives is never replaced. ``look``: at the picture of the card's front.
    """

    def __init__(self, reader: CardReader, look: Look) -> None:
        self._reader = reader
        self._look = look

    @property
    def sam_id(self) -> str:
        return self._reader.sam_id

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        """As ``edge.ports.CardReader``.

        Raises:
            InputError: also SCAN_NO_CARD, SCAN_OTHER_CARD and SCAN_INCOMPLETE.
        """
        document = self._reader.read_document(timeout_s, screen)
        return document if document.photo is not None else lend_portrait(document, self._look())

    def close(self) -> None:
        self._reader.close()
