"""Wiring of documents: the card reader as configured, and what may stand in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from edge.config import EdgeConfig
from edge.errors import EdgeError, SetupError
from edge.model import Image
from edge.policy import Policy
from edge.ports import CardReader, Clock, Desk, FaceDetector, PhotoDecoder
from edge.reader.checkup import Finding, Level, check_reader
from edge.reader.given import PicturedDocument, TypedDocument, WithPrintedPhoto
from edge.reader.lasting import LastingReader
from edge.reader.photo import NoPhotoDecoder, PictureDecoder, SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from edge.reader.scan.scanner import Scan, scan
from edge.reader.scan.text import RapidTextReader
from edge.reader.search import find_reader, stable_ports
from edge.reader.vendor_photo import VendorPhotoDecoder

TYPING_S = 300.0
"""Four elements, each read off a card and typed by somebody who does it once a day."""


@dataclass(frozen=True, slots=True)
class Typed:
    """No card is read: the four elements are typed at the desk."""


@dataclass(frozen=True, slots=True, repr=False)
class Pictured:
    """No card is read: one or both sides were pictured (uint8 [height, width, 3] BGR)."""

    sides: tuple[Image, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Front:
    """The card is read, and lent the portrait on this picture of its front."""

    side: Image


Given = Typed | Pictured | Front
"""What the operator has given beside the card reader, or in its place."""


def check_given(given: Given | None, policy: Policy) -> None:
    """Refuse what the policy does not accept.

    Raises:
        SetupError: PRINTED_PHOTO_NOT_ACCEPTED.
    """
    if isinstance(given, Front) and not policy.match.accept_printed_photo:
        raise SetupError(
            "PRINTED_PHOTO_NOT_ACCEPTED",
            "The policy does not accept the printed photo of a card in place of the one in its chip.",
            hint="Use a decoder for the chip's photo (photo_decoder), or publish a policy that accepts it.",
        )


def open_documents(
    config: EdgeConfig,
    given: Given | None,
    *,
    desk: Desk,
    detector: FaceDetector,
    clock: Clock,
    pinned: str,
) -> CardReader:
    """Open what gives this session its document. ``pinned``: the only module that counts, empty for any.

    Raises:
        SetupError: PHOTO_LIBRARY.
        HardwareError: as :func:`open_card_reader`.
    """
    match given:
        case Typed():
            return TypedDocument(desk, clock=lambda: clock.monotonic_ns() / 1e9)
        case Pictured(sides):
            return PicturedDocument(looker(config, sides, detector=detector, today=clock.wall().date()))
        case Front(side):
            look = looker(config, (side,), detector=detector, today=clock.wall().date())
            return WithPrintedPhoto(open_card_reader(config, pinned=pinned), look)
        case None:
            return open_card_reader(config, pinned=pinned)


def looker(
    config: EdgeConfig, sides: Sequence[Image], *, detector: FaceDetector, today: date
) -> Callable[[], Scan]:
    """Load the text networks; what is returned reads the pictures."""
    texts = RapidTextReader(threads=config.threads)
    return lambda: scan(sides, faces=detector.detect, texts=texts, today=today)


def open_card_reader(config: EdgeConfig, *, pinned: str = "") -> CardReader:
    """Open the card reader, which outlives its cable. The configured module beats the pinned one.

    Raises:
        HardwareError: NO_READER, READERS_MANY, READER_CHANGED and the like.
    """
    finder = _Finder(config)

    def reopen(sam_id: str | None) -> CardReader:
        port, baud = finder.find(sam_id)
        return SamVReader.open(port, baud=baud, decoder=photo_decoder(config), expected_sam_id=sam_id)

    return LastingReader(reopen, expected_sam_id=config.reader_sam_id or pinned or None)


def check_up_reader(config: EdgeConfig, *, pinned: str = "") -> Iterator[Finding]:
    """Look at the card reader for ``verifield-edge doctor``; a port that is not clear is a finding too."""
    expected = config.reader_sam_id or pinned or None
    try:
        decoder = photo_decoder(config)
        port, baud = _Finder(config).find(expected)
    except EdgeError as error:
        yield Finding(error.code, Level.FAIL, error.message, error.hint)
        return
    yield from check_reader(port, baud=baud, expected_sam_id=expected, decoder=decoder)


def photo_decoder(config: EdgeConfig) -> PhotoDecoder:
    """The configured way to the photos on cards.

    Raises:
        SetupError: PHOTO_LIBRARY.
    """
    match config.photo_decoder:
        case "simulator":
            return SimulatorPhotoDecoder()
        case "pictures":
            return PictureDecoder()
        case "none":
            return NoPhotoDecoder()
        case abi:
            if config.photo_library is None or not config.photo_library_symbol:
                raise SetupError(
                    "PHOTO_LIBRARY",
                    f"The photo decoder {abi} needs a vendor's library and the name of its function.",
                    hint="Set photo_library and photo_library_symbol.",
                )
            return VendorPhotoDecoder(config.photo_library, abi, config.photo_library_symbol)


@dataclass(slots=True)
class _Finder:
    """Port and speed of the reader, anew each time: names change where it is plugged in again."""

    config: EdgeConfig
    _several: bool = field(default=False)  # there have been other devices: an only one need not be ours

    def find(self, sam_id: str | None) -> tuple[str, int | None]:
        config = self.config
        baud = None if config.reader_baud == "auto" else config.reader_baud
        if config.reader_port != "auto":
            return config.reader_port, baud
        ports = stable_ports()
        self._several |= len(ports) > 1
        if len(ports) == 1 and not self._several:
            return ports[0], baud
        found = find_reader(ports, baud=baud, expected_sam_id=sam_id)
        return found.port, found.baud
