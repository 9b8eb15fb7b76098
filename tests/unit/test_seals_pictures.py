"""Pictures of seals: what is taken, a reason for each thing that is not, and seals that are drawn here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from random import Random

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from cloud.errors import ServiceError
from cloud.objects.kinds import MediaType, sniff
from cloud.seals.drawing import Pen
from cloud.seals.policy import POLICY, Checked, bare_picture, check_image
from tests.support.organisations import BLACK, BLUE, RED, ring
from tests.support.samples import jpeg, pdf
from verifield.v1 import seal_service_pb2 as pb


def check(content: bytes, width: int = 300, height: int = 300) -> Checked:
    return check_image(content, width_dmm=width, height_dmm=height)


def refused(content: bytes, width: int = 300, height: int = 300) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        check(content, width, height)
    return caught.value


def saved(picture: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **how)
    return content.getvalue()


def changed(change: Callable[[Image.Image], Image.Image]) -> bytes:
    return saved(change(Image.open(io.BytesIO(ring()))))


@pytest.mark.req("R166")
@pytest.mark.parametrize(
    ("ink", "colour"),
    [(RED, pb.SEAL_COLOUR_RED), (BLUE, pb.SEAL_COLOUR_BLUE), (BLACK, pb.SEAL_COLOUR_BLACK)],
)
def test_a_seal_on_a_transparent_ground_is_taken(
    ink: tuple[int, int, int], colour: pb.SealColour.ValueType
) -> None:
    assert check(ring(400, ink)) == Checked(400, 400, colour)


def test_a_palette_with_transparency_is_taken_too() -> None:
    assert check(changed(lambda picture: picture.quantize(8))).colour == pb.SEAL_COLOUR_RED


@pytest.mark.req("R166")
def test_each_thing_that_a_picture_is_not_has_a_reason_of_its_own() -> None:
    def photograph(picture: Image.Image) -> bytes:
        return saved(picture.convert("RGB"), "JPEG")

    two_inks = Image.open(io.BytesIO(ring(400, BLUE)))
    ImageDraw.Draw(two_inks).rectangle((120, 120, 280, 280), fill=(*RED, 255))
    noise = Image.frombytes("RGBA", (700, 700), Random(1).randbytes(700 * 700 * 4))
    found = {
        "photograph": refused(photograph(Image.open(io.BytesIO(ring())))).reason.value,
        "document": refused(pdf()).reason.value,
        "heavy": refused(saved(noise)).reason.value,
        "small": refused(ring(120)).reason.value,
        "coarse on paper": refused(ring(210), 600, 600).reason.value,
        "huge": refused(ring(3100)).reason.value,
        "white ground": refused(ring(ground=(255, 255, 255, 255))).reason.value,
        "no alpha": refused(changed(lambda one: one.convert("RGB"))).reason.value,
        "empty": refused(saved(Image.new("RGBA", (400, 400)))).reason.value,
        "a plane": refused(_plane()).reason.value,
        "green": refused(ring(400, (20, 150, 40))).reason.value,
        "two inks": refused(saved(two_inks)).reason.value,
        "tiny on paper": refused(ring(), 50, 50).reason.value,
        "stretched": refused(ring(), 300, 400).reason.value,
    }
    assert found == {
        "photograph": "SEAL_IMAGE_FORMAT",
        "document": "SEAL_IMAGE_FORMAT",
        "heavy": "SEAL_IMAGE_BYTES",
        "small": "SEAL_IMAGE_TOO_SMALL",
        "coarse on paper": "SEAL_IMAGE_TOO_SMALL",
        "huge": "SEAL_IMAGE_TOO_LARGE",
        "white ground": "SEAL_IMAGE_OPAQUE",
        "no alpha": "SEAL_IMAGE_OPAQUE",
        "empty": "SEAL_IMAGE_INK",
        "a plane": "SEAL_IMAGE_INK",
        "green": "SEAL_IMAGE_COLOUR",
        "two inks": "SEAL_IMAGE_COLOUR",
        "tiny on paper": "SEAL_SIZE",
        "stretched": "SEAL_SIZE",
    }


def test_a_limit_that_was_passed_is_told() -> None:
    assert refused(ring(120)).metadata == {"limit": str(POLICY.min_side_px)}


@pytest.mark.parametrize("cut", [9, 60, 0.5])
def test_what_is_cut_off_or_damaged_is_no_picture(cut: float) -> None:
    content = ring()
    at = int(cut if cut > 1 else len(content) * cut)
    assert refused(content[:at]).reason.value == "SEAL_IMAGE_FORMAT"
    assert refused(b"\x89PNG\r\n\x1a\n" + bytes(100)).reason.value == "SEAL_IMAGE_FORMAT"


def test_a_moving_picture_is_refused() -> None:
    frame = Image.open(io.BytesIO(ring()))
    moving = saved(frame, save_all=True, append_images=[Image.open(io.BytesIO(ring(400, BLUE)))])
    assert refused(moving).reason.value == "SEAL_IMAGE_FORMAT"


def test_nothing_but_pixels_is_kept_of_a_picture() -> None:
    words = PngInfo()
    words.add_text("Author", "someone by name")
    words.add_itxt("Comment", "more " * 400, zip=True)
    picture = Image.open(io.BytesIO(ring()))
    content = saved(picture, pnginfo=words, icc_profile=b"profile" * 100, exif=b"Exif\0\0someone")
    bare = bare_picture(content + b"PK\x03\x04 another file behind it")
    for left in (b"someone", b"tEXt", b"iTXt", b"iCCP", b"eXIf", b"PK\x03\x04"):
        assert left not in bare
    assert Image.open(io.BytesIO(bare)).convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()
    assert bare_picture(bare) == bare
    palette = changed(lambda picture: picture.quantize(8))
    assert check(bare_picture(palette)).colour == pb.SEAL_COLOUR_RED


@pytest.mark.parametrize(
    "content",
    [
        ring()[:-12],
        ring()[:40],
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(64),
        ring()[:33] + struct.pack(">I4sII", 8, b"acTL", 1, 0) + bytes(4) + ring()[33:],
    ],
    ids=["no end", "cut off", "a length that lies", "moving"],
)
def test_what_is_no_whole_picture_is_not_made_one(content: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        bare_picture(content)
    assert caught.value.reason.value == "SEAL_IMAGE_FORMAT"


@pytest.mark.parametrize("side", [3001, 10_000, 20_000, 2**31 - 1])
def test_a_small_file_of_very_many_pixels_is_refused_unread(side: int) -> None:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = part(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    lines = part(b"IDAT", zlib.compress(bytes(100_000)))
    found = refused(b"\x89PNG\r\n\x1a\n" + head + lines + part(b"IEND", b""))
    assert found.reason.value == "SEAL_IMAGE_TOO_LARGE"


def test_a_veil_over_the_document_is_no_transparent_ground() -> None:
    veil = Image.new("RGBA", (400, 400))
    ImageDraw.Draw(veil).ellipse((2, 2, 397, 397), fill=(255, 255, 255, 90))
    veil.alpha_composite(Image.open(io.BytesIO(ring())))
    assert refused(saved(veil)).reason.value == "SEAL_IMAGE_OPAQUE"


def test_one_transparent_pixel_makes_no_transparent_ground() -> None:
    white = Image.open(io.BytesIO(ring(ground=(255, 255, 255, 255))))
    for corner in ((0, 0), (399, 0), (0, 399), (399, 399)):
        white.putpixel(corner, (0, 0, 0, 0))
    assert refused(saved(white)).reason.value == "SEAL_IMAGE_OPAQUE"


DRAWN = [
    ("杭州示例网络科技有限公司", pb.SEAL_SHAPE_ROUND, "合同专用章", "3301060012345"),
    ("南方花园", pb.SEAL_SHAPE_ROUND, "", ""),
    ("内蒙古自治区呼和浩特市示范农村产权交易服务中心股份有限公司", pb.SEAL_SHAPE_ROUND, "财务专用章", ""),
    ("Example Rural Property Agents Ltd.", pb.SEAL_SHAPE_ROUND, "CONTRACTS", ""),
    ("上海示例（中国）投资有限公司", pb.SEAL_SHAPE_OVAL, "业务专用章", "91310000"),
    ("Señales Ejemplo S.A.", pb.SEAL_SHAPE_OVAL, "OFICIAL", ""),
]


@pytest.mark.parametrize(("name", "shape", "line", "code"), DRAWN)
def test_drawn_seals_meet_the_policy(name: str, shape: pb.SealShape.ValueType, line: str, code: str) -> None:
    drawing = pb.SealDrawing(shape=shape, colour=pb.SEAL_COLOUR_RED, bottom_text=line, code=code)
    drawn = Pen.open(None).draw(name, drawing)
    checked = check(drawn.png, drawn.width_dmm, drawn.height_dmm)
    assert checked.colour == pb.SEAL_COLOUR_RED
    assert sniff(drawn.png) is MediaType.PNG
    assert len(drawn.png) < 300 * 1024  # an answer of the service holds it
    assert (drawn.width_dmm == drawn.height_dmm) == (shape == pb.SEAL_SHAPE_ROUND)
    assert _ink(drawn.png, (0.35, 0.30, 0.65, 0.55)) > 0 or shape == pb.SEAL_SHAPE_OVAL  # the star
    assert drawn.png == Pen.open(None).draw(name, drawing).png  # the same each time


def test_names_stand_along_the_upper_edge_and_the_line_below() -> None:
    def draw(name: str, line: str) -> bytes:
        drawing = pb.SealDrawing(shape=pb.SEAL_SHAPE_ROUND, colour=pb.SEAL_COLOUR_RED, bottom_text=line)
        return Pen.open(None).draw(name, drawing).png

    top, below = (0.1, 0.05, 0.9, 0.3), (0.34, 0.68, 0.66, 0.82)
    assert _ink(draw("杭州示例网络科技有限公司", ""), top) > 1.5 * _ink(draw("一一一一", ""), top)
    assert _ink(draw("杭州示例网络科技有限公司", "合同专用章"), below) > 0
    assert _ink(draw("杭州示例网络科技有限公司", ""), below) == 0


@pytest.mark.parametrize(
    ("name", "line"), [("甲" * 61, ""), ("示例公司", "\U0001f600"), ("A", "x" * 61), ("有限公司" * 14, "")]
)
def test_what_cannot_be_drawn_is_refused(name: str, line: str) -> None:
    drawing = pb.SealDrawing(shape=pb.SEAL_SHAPE_ROUND, colour=pb.SEAL_COLOUR_RED, bottom_text=line)
    with pytest.raises(ServiceError) as caught:
        Pen.open(None).draw(name, drawing)
    assert caught.value.reason.value == "SEAL_TEXT"


def test_a_photograph_stays_one_whatever_its_size() -> None:
    assert refused(jpeg(size=(1200, 900))).reason.value == "SEAL_IMAGE_FORMAT"


def _ink(png: bytes, box: tuple[float, float, float, float]) -> int:
    """Pixels with ink in a part of a picture."""
    alpha = Image.open(io.BytesIO(png)).getchannel("A")
    size = (alpha.width, alpha.height, alpha.width, alpha.height)
    cut = alpha.crop(tuple(round(part * side) for part, side in zip(box, size, strict=True)))
    return sum(cut.histogram()[128:])


def _plane() -> bytes:
    """Nothing but ink, but for its corners."""
    picture = Image.new("RGBA", (400, 400))
    ImageDraw.Draw(picture).rectangle((28, 28, 371, 371), fill=(*RED, 255))
    return saved(picture)
