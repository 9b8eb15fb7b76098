"""A document from pictures of it: the card is found, straightened and read, and its portrait cut out.

A picture proves nothing of itself, so such a document is marked SCANNED: whoever reads the statement knows
that no chip has vouched for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import cv2
import numpy as np

from edge.model import Face, IdDocument, Image, PhotoOrigin, ReadMethod
from edge.reader.faults import fault
from edge.reader.photo import PHOTO_SIZE
from edge.reader.scan.card import find_card, rectify, turn_over
from edge.reader.scan.fields import ScannedFields, read_fields
from edge.reader.scan.mrz import Zone, parse_zone
from edge.reader.scan.text import Line, TextReader
from edge.reader.typed import typed_document

Faces = Callable[[Image], Sequence[Face]]

MAX_SIDES = 2
_PORTRAIT_HEIGHT = 2.1
"""Of the face's own: head, hair and shoulders, as on the photo in a chip."""

_PORTRAIT_CENTRE = 0.47
"""Where the face's middle stands in it, from the top."""


@dataclass(frozen=True, slots=True, repr=False)
class Scan:
    """What the pictures of one document gave. ``portrait``: uint8 [126, 102, 3] BGR or None."""

    fields: ScannedFields
    portrait: Image | None
    zone: Zone | None

    def missing(self) -> tuple[str, ...]:
        """Names of the elements that a person has to type."""
        names = ("name", "number", "valid_from", "valid_to")
        return tuple(name for name in names if not getattr(self.fields, name))


def scan(pictures: Sequence[Image], *, faces: Faces, texts: TextReader, today: date) -> Scan:
    """Read one or both sides, in any order and either way up (uint8 [height, width, 3] BGR).

    Raises:
        InputError: SCAN_NO_CARD, no card is found in one of the pictures.
    """
    found, portrait, zone = ScannedFields(), None, None
    for picture in pictures[:MAX_SIDES]:
        quad = find_card(picture)
        if quad is None:
            raise fault("SCAN_NO_CARD")
        side, face = _upright(rectify(picture, quad), faces, texts)
        lines = texts.read(side)
        found = found.joined(read_fields(lines))
        zone = zone or parse_zone([line.text for line in lines], today=today)
        if portrait is None and face is not None:
            portrait = cut_portrait(side, face)
    return Scan(found, portrait, zone)


def document_of(result: Scan) -> IdDocument:
    """The document of a resident's card that was read whole; its elements must fit each other.

    Raises:
        InputError: SCAN_INCOMPLETE with the names of what is missing, or as ``typed_document``.
    """
    missing = result.missing()
    if missing:
        raise fault("SCAN_INCOMPLETE", ", ".join(missing))
    fields = result.fields
    document = typed_document(
        name=fields.name, number=fields.number, valid_from=fields.valid_from, valid_to=fields.valid_to
    )
    return replace(document, read_method=ReadMethod.SCANNED, photo=result.portrait)


def lend_portrait(document: IdDocument, result: Scan) -> IdDocument:
    """Give a chip's document, whose photo nothing here can decode, the portrait printed on the same card.

    Raises:
        InputError: SCAN_INCOMPLETE without number or portrait, SCAN_OTHER_CARD where the number differs.
    """
    if result.portrait is None or not result.fields.number:
        raise fault("SCAN_INCOMPLETE", "number" if result.portrait is not None else "portrait")
    if result.fields.number != document.number:
        raise fault("SCAN_OTHER_CARD")
    return replace(document, photo=result.portrait, photo_origin=PhotoOrigin.PRINTED)


def cut_portrait(side: Image, face: Face) -> Image:
    """Return the surroundings of ``face`` as uint8 [126, 102, 3], edges continued where the card ends."""
    width, height = PHOTO_SIZE
    x, y, across, down = face.box
    tall = _PORTRAIT_HEIGHT * down
    wide = tall * width / height
    left, top = x + across / 2 - wide / 2, y + down / 2 - _PORTRAIT_CENTRE * tall
    matrix = np.array([[width / wide, 0, -left * width / wide], [0, height / tall, -top * height / tall]])
    cut = cv2.warpAffine(side, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)


def _upright(side: Image, faces: Faces, texts: TextReader) -> tuple[Image, Face | None]:
    """The way up in which there is a face, or else the text that is read more surely."""
    ways = (side, turn_over(side))
    seen = [(way, found[0]) for way in ways if (found := list(faces(way)))]
    if seen:
        return max(seen, key=lambda one: one[1].score)
    return max(((way, None) for way in ways), key=lambda one: _sureness(texts.read(one[0])))


def _sureness(lines: Sequence[Line]) -> float:
    return sum(line.score * len(line.text) for line in lines)
