"""Documents that no reader reads: typed or pictured before the session, or completed by a picture."""

from __future__ import annotations

from edge.model import IdDocument
from edge.ports import CardReader, Screen
from edge.reader.scan.scanner import Scan, lend_portrait


class GivenDocument:
    """Stands where a card reader would, and has the document already."""

    sam_id = ""

    def __init__(self, document: IdDocument) -> None:
        self._document = document

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:  # noqa: ARG002 (the port's)
        return self._document

    def close(self) -> None: ...


class WithPrintedPhoto:
    """A card reader whose cards' photos nothing can decode: the printed one stands in.

    A photo that the chip gives is never replaced.
    """

    def __init__(self, reader: CardReader, front: Scan) -> None:
        self._reader = reader
        self._front = front

    @property
    def sam_id(self) -> str:
        return self._reader.sam_id

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        """As ``edge.ports.CardReader``.

        Raises:
            InputError: also SCAN_OTHER_CARD and SCAN_INCOMPLETE.
        """
        document = self._reader.read_document(timeout_s, screen)
        return document if document.photo is not None else lend_portrait(document, self._front)

    def close(self) -> None:
        self._reader.close()
