"""What the device itself adds to a session of the counter: the card, the comparison, the signature's picture.

Nothing of it is written anywhere.
"""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
from PIL import Image as PilImage

from edge.errors import InputError
from edge.kiosk import card
from edge.kiosk.counter_steps import LONG_TERM, EdgeCard
from edge.kiosk.replies import parse_signature, signature_empty
from edge.kiosk.server import Kiosk
from edge.match.score import match
from edge.model import Face, Image
from edge.policy import MatchThreshold
from edge.vision import Vision
from verifield.jpeg import is_laborious_jpeg
from verifield.v1 import coop_service_pb2 as pb

DOMAIN = "live/authority_photo"

MAX_PHOTO_BYTES = 256 * 1024
MAX_PHOTO_PIXELS = 2_000_000
"""Of an authority's photograph: far more than any register keeps."""

PEN_SHARE = 1 / 60
"""Of the pad's shorter side: as thick as the pad draws it."""


async def read_card(kiosk: Kiosk) -> EdgeCard:
    """Read the card that lies on the reader, or is laid on it now; what to do with it is said on the page.

    Raises:
        InputError: NO_CHIP_PHOTO; all else as ``card.read_card``.
    """
    document = await card.read_card(kiosk)
    if document.photo is None:
        raise InputError(
            "NO_CHIP_PHOTO",
            "Nothing here can decode the photo in the card's chip, which the authority is asked about.",
            hint="Set photo_decoder, and the maker's library.",
        )
    return EdgeCard(
        document.number,
        document.name,
        document.issuer,
        document.valid_from.isoformat(),
        document.valid_to.isoformat() if document.valid_to else LONG_TERM,
        cv2.imencode(".jpg", document.photo)[1].tobytes(),
    )


def is_same_face(vision: Vision, live: Image, photo: bytes, *, threshold: MatchThreshold) -> bool:
    """Whether the face of a best shot (uint8 [height, width, 3], BGR) is that of the authority's photograph.

    What cannot be compared is no match: the answer can only make things worse, and the authority is asked
    besides.
    """
    reference = _decode(photo)
    faces = vision.detect(live)
    if reference is None or not faces:
        return False
    try:
        template = vision.embed_chip_photo(reference)
    except InputError:
        return False
    probe = vision.embed(live, max(faces, key=_size))
    return match(probe, template, threshold=threshold, domain=DOMAIN).matched


def written_signature(given: dict[str, object]) -> tuple[pb.SignatureStrokes, bytes]:
    """What was written on the pad, as strokes and as the picture of them (PNG).

    Raises:
        InputError: BAD_REQUEST, or SIGNATURE_EMPTY: a typed name is none at a bank.
    """
    value = json.loads(parse_signature(given) or b"{}")
    if value.get("kind") != "strokes":
        raise signature_empty()
    strokes = pb.SignatureStrokes(width=value["width"], height=value["height"])
    earliest = 0
    for stroke in value["strokes"]:
        line = strokes.strokes.add()
        for x, y, milliseconds in stroke:
            earliest = max(earliest, milliseconds)  # the page's clock may be set back in between
            line.points.add(x=x, y=y, time_ms=earliest)
    return strokes, draw_strokes(strokes)


def draw_strokes(strokes: pb.SignatureStrokes) -> bytes:
    """The whole pad as a PNG, dark on white."""
    pad = np.full((strokes.height, strokes.width), 255, np.uint8)
    pen = max(2, round(min(strokes.width, strokes.height) * PEN_SHARE))
    for stroke in strokes.strokes:
        way = np.array([(point.x, point.y) for point in stroke.points], np.int32).reshape(-1, 1, 2)
        cv2.polylines(pad, [way], False, 0, pen, cv2.LINE_AA)
    return cv2.imencode(".png", pad)[1].tobytes()


def _decode(photo: bytes) -> Image | None:
    """An authority's photograph, JPEG or PNG; None for what is none, or too much work."""
    if not photo or len(photo) > MAX_PHOTO_BYTES or is_laborious_jpeg(photo):
        return None
    try:
        with PilImage.open(io.BytesIO(photo), formats=("JPEG", "PNG")) as opened:
            if opened.width * opened.height > MAX_PHOTO_PIXELS:  # known before a pixel is decoded
                return None
            return np.ascontiguousarray(np.asarray(opened.convert("RGB"), np.uint8)[:, :, ::-1])
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError):
        return None


def _size(face: Face) -> float:
    return float(face.box[2] * face.box[3])
