"""A JPEG of few bytes may ask for the work of hours: it is refused by its segments, before it is decoded."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PilImage

from cloud.bank.cards import parse_card
from cloud.errors import Reason, ServiceError
from cloud.objects.kinds import MediaType, sniff
from cloud.papers.pictures import PictureError, open_picture
from edge.capture.pictures import decode_picture
from edge.errors import InputError
from edge.reader.photo import PictureDecoder
from tests.support.bank import card_of, customer_person
from tests.support.scans import END, jpeg_of_scans
from tests.unit.test_bank_rules import TODAY
from verifield.jpeg import MAX_SCANS, MAX_SEGMENTS, is_laborious_jpeg

MOST, TOO_MANY = jpeg_of_scans(MAX_SCANS), jpeg_of_scans(MAX_SCANS + 1)
NOTE = b"\xff\xfe\x00\x02"


def behind_start(part: bytes, whole: bytes = MOST) -> bytes:
    return whole[:2] + part + whole[2:]


def segment(content: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    return marker + (len(content) + 2).to_bytes(2) + content


def decoded(data: bytes) -> None:
    decode_picture(data, name="a.jpg")


def kept(data: bytes) -> None:
    assert sniff(data) is MediaType.JPEG


def printed(data: bytes) -> None:
    open_picture(data, formats=("JPEG",), most_pixels=100_000)


def registered(data: bytes) -> None:
    parse_card(card_of(customer_person(3), photo=data), today=TODAY)


def from_reader(data: bytes) -> None:
    assert PictureDecoder().decode(data) is not None


@pytest.mark.parametrize(
    ("take", "error", "code"),
    [
        (decoded, InputError, "NOT_A_PICTURE"),
        (from_reader, InputError, "CARD_PHOTO_INVALID"),
        (printed, PictureError, None),
        (kept, ServiceError, Reason.OBJECT_TYPE_REFUSED),
        (registered, ServiceError, Reason.REQUEST_INVALID),
    ],
)
def test_a_picture_of_too_many_scans_is_taken_nowhere(
    take: Callable[[bytes], None], error: type[Exception], code: object
) -> None:
    take(MOST)
    with pytest.raises(error) as refused:
        take(TOO_MANY)
    assert code in (None, getattr(refused.value, "code", None), getattr(refused.value, "reason", None))


def test_a_picture_of_a_moment_is_refused_in_a_moment() -> None:
    """Of 6 megapixels, where each scan takes some 10 ms."""
    began = time.monotonic()
    with pytest.raises(InputError):
        decode_picture(jpeg_of_scans(5000, PilImage.new("L", (3000, 2000))), name="a.jpg")
    assert time.monotonic() - began < 2


def test_scans_that_no_decoder_sees_do_not_count() -> None:
    """A thumbnail in EXIF, and a second picture behind the first, have scans of their own."""
    assert not is_laborious_jpeg(behind_start(segment(b"Exif\0\0" + TOO_MANY[:20_000])))
    assert not is_laborious_jpeg(MOST + TOO_MANY)
    frames = [PilImage.new("L", (16, 16), level) for level in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:] * 150)
    assert buffer.getvalue().count(b"\xff\xda") > MAX_SCANS
    assert decode_picture(buffer.getvalue(), name="a.jpg").shape == (16, 16, 3)


@pytest.mark.parametrize(
    "hidden",
    [
        behind_start(b"\xff" * 50, TOO_MANY),  # fill bytes before a marker
        behind_start(segment(b""), TOO_MANY),
        behind_start(b"\xff\xe1\x00\x00", TOO_MANY),  # a length that does not count itself
        TOO_MANY.replace(
            b"\xff\xda", b"\xff\xd0\xff\x00\xff\xff\xda"
        ),  # behind a restart, and a stuffed byte
    ],
)
def test_scans_are_counted_where_a_decoder_finds_them(hidden: bytes) -> None:
    assert is_laborious_jpeg(hidden)


def test_segments_are_counted_too() -> None:
    """Pillow reads each of them in Python."""
    assert not is_laborious_jpeg(behind_start(NOTE * 1000))
    assert is_laborious_jpeg(behind_start(NOTE * MAX_SEGMENTS))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", TOO_MANY[1:], b"\x89PNG"])
def test_what_is_no_jpeg_is_left_to_the_decoder(data: bytes) -> None:
    assert not is_laborious_jpeg(data)


@pytest.mark.parametrize("filling", [b"\xff\x00", b"\xff\xd0", b"\xff\xff", b"\x00\x00", NOTE])
def test_the_walk_is_quick_whatever_the_bytes(filling: bytes) -> None:
    data = MOST.removesuffix(END) + filling * (4_000_000 // len(filling)) + END
    began = time.monotonic()
    is_laborious_jpeg(data)
    assert time.monotonic() - began < 4  # a tenth of that, on a slow core


def test_pictures_of_every_kind_are_taken() -> None:
    noise = PilImage.fromarray(
        np.frombuffer(random.Random(1).randbytes(300 * 200 * 3), np.uint8).reshape(200, 300, 3)
    )
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}):
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", **options)
        assert decode_picture(buffer.getvalue(), name="a.jpg").shape == (200, 300, 3)
