"""Pictures that devices hand in: whatever their bytes are, they are refused in one way, or can be used."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest
from PIL import Image, ImageDraw

from cloud.bank.cards import parse_card
from cloud.bank.signature import check_image, check_strokes
from cloud.errors import Reason, ServiceError
from cloud.papers.render import Paper, PaperError, Picture, Section, render
from tests.support.authorities import face_of
from tests.support.bank import broken_pngs, card_of, customer_person, picture_of, png_of, strokes
from tests.unit.test_bank_rules import TODAY
from tests.unit.test_papers_render import MADE
from verifield.v1 import coop_service_pb2 as pb


@pytest.mark.parametrize("image", broken_pngs(picture_of(strokes())))
def test_what_makes_the_reader_of_pictures_fail_is_refused(image: bytes) -> None:
    with pytest.raises(ServiceError) as refused:
        check_image(image, strokes())
    assert refused.value.reason is Reason.SIGNATURE_INVALID
    with pytest.raises(ServiceError) as refused:
        parse_card(card_of(customer_person(3), photo=image), today=TODAY)
    assert refused.value.reason is Reason.REQUEST_INVALID
    paper = Paper("1", "t", "en", MADE, (Section("x", pictures=(Picture("y", image),)),))
    with pytest.raises(PaperError):
        render(paper)


@pytest.mark.filterwarnings("ignore")
def test_no_bytes_bring_another_error_than_a_refusal() -> None:
    rng, png, jpeg = random.Random(7), picture_of(strokes()), face_of("astronaut")
    for image in (*_mutated(rng, png, 300), *_mutated(rng, jpeg, 200)):
        found = _refusals(lambda image=image: check_image(image, strokes()))
        assert found <= {Reason.SIGNATURE_INVALID, Reason.SIGNATURE_EMPTY}
        found = _refusals(
            lambda image=image: parse_card(card_of(customer_person(3), photo=image), today=TODAY)
        )
        assert found <= {Reason.REQUEST_INVALID}


def _refusals(work: Callable[[], object]) -> set[Reason]:
    try:
        work()
    except ServiceError as error:
        return {error.reason}
    return set()


def _mutated(rng: random.Random, content: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        yield bytes(changed[: rng.randint(1, len(changed))] if rng.random() < 0.3 else changed)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = png_of([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")])
    assert len(bomb) < 2_000
    with pytest.raises(ServiceError) as refused:
        check_image(bomb, strokes())
    assert refused.value.reason is Reason.SIGNATURE_INVALID


def _with_more_ink(box: tuple[int, int, int, int]) -> bytes:
    picture = Image.open(io.BytesIO(picture_of(strokes())))
    ImageDraw.Draw(picture).rectangle(box, fill=(0, 0, 0, 255))
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()


def _hatched() -> bytes:
    """Lines over the whole pad: the way of any strokes is covered."""
    picture = Image.new("RGB", (600, 200), "white")
    for x in range(0, 600, 8):
        ImageDraw.Draw(picture).line([(x, 0), (x, 200)], fill="black", width=2)
    return _png(picture)


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        (_hatched(), "OTHER_INK"),
        (_with_more_ink((0, 0, 599, 20)), "OTHER_INK"),
        (_png(Image.open(io.BytesIO(picture_of(strokes()))).resize((300, 600))), "PROPORTIONS"),
        (_png(Image.open(io.BytesIO(picture_of(strokes()))).resize((2000, 40))), "PROPORTIONS"),
    ],
)
def test_a_picture_that_shows_something_else_is_refused(image: bytes, rule: str) -> None:
    with pytest.raises(ServiceError) as refused:
        check_image(image, strokes())
    assert refused.value.metadata == {"rule": rule}


def test_a_line_to_sign_on_and_a_thick_pen_are_no_fault() -> None:
    check_image(_with_more_ink((20, 170, 580, 170)), strokes())
    picture = Image.new("RGB", (600, 200), "white")
    for stroke in strokes().strokes:
        way = [(point.x, point.y) for point in stroke.points]
        ImageDraw.Draw(picture).line(way, fill="black", width=16)
    check_image(_png(picture), strokes())


def test_points_are_counted_before_they_are_looked_at() -> None:
    """100,000 are refused without a list of them."""
    made = pb.SignatureStrokes(width=600, height=200)
    for _ in range(20):
        made.strokes.add().points.extend([pb.SignaturePoint(x=700)] * 5000)
    with pytest.raises(ServiceError) as refused:
        check_strokes(made)
    assert refused.value.metadata == {"rule": "POINTS"}


@pytest.mark.parametrize("scale", [0.02, 0.05])
def test_a_tiny_signature_is_none(scale: float) -> None:
    made = strokes()
    for stroke in made.strokes:
        for point in stroke.points:
            point.x, point.y = int(point.x * scale), int(point.y * scale)
    with pytest.raises(ServiceError) as refused:
        check_strokes(made)
    assert refused.value.reason is Reason.SIGNATURE_EMPTY
