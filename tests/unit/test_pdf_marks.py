"""What marks look like, and drawings that are none."""

from __future__ import annotations

import io
import math
import re
from concurrent.futures import ThreadPoolExecutor

import pikepdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from cloud.papers.fonts import Fonts
from cloud.papers.render import default_fonts
from cloud.pdf.marks import (
    Mark,
    MarkRefused,
    StrokesRefused,
    date_mark,
    decode_strokes,
    encode_strokes,
    mark_page,
    name_mark,
    parse_strokes,
    picture_mark,
    strokes_mark,
)

PAD = {"pad_width": 300.0, "pad_height": 200.0}
WAVE = [
    [(20.0 + 2 * n, 100 + 40 * math.sin(n / 6)) for n in range(90)],
    [(150.0, 60.0), (160.0, 50.0)],
    [(190.0, 140.0)],
]


def seal(width: int = 300, height: int = 300) -> bytes:
    """A ring on nothing."""
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse(
        (2, 2, width - 3, height - 3), outline=(200, 0, 0, 255), width=width // 20
    )
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()


def shown(mark: Mark, width: float, height: float, *, scale: float = 4) -> Image.Image:
    document = pypdfium2.PdfDocument(mark_page(mark, width, height))
    try:
        assert document[0].get_size() == pytest.approx((width, height), abs=0.01)
        return document[0].render(scale=scale).to_pil().convert("L").point(lambda grey: 255 * (grey < 250))
    finally:
        document.close()


def text_of(content: bytes) -> str:
    document = pypdfium2.PdfDocument(content)
    try:
        text: str = document[0].get_textpage().get_text_range()
        return text
    finally:
        document.close()


def ink(mark: Mark, width: float, height: float, *, scale: float = 4) -> tuple[float, float, float, float]:
    """Edges of what is drawn, in points from the top left corner."""
    box = shown(mark, width, height, scale=scale).getbbox()
    assert box is not None, "nothing is shown"
    left, top, right, bottom = box
    return left / scale, top / scale, right / scale, bottom / scale


NAMES = [
    "王芳",
    "欧阳·明",
    "阿不都热依木·买买提艾力·吐尔逊",
    "John Smith",
    "jÁgÝj",
    "María José García-Fernández y Vega",
    "W",
]


@pytest.mark.parametrize("size", [(120, 40), (60, 15), (40, 90), (300, 200), (24, 10)])
@pytest.mark.parametrize("name", NAMES)
def test_names_are_whole_and_fill_their_box(name: str, size: tuple[float, float]) -> None:
    """A margin stays free on all sides: nothing is cut off."""
    width, height = size
    left, top, right, bottom = ink(name_mark(name), width, height, scale=8)
    assert left > 0.1
    assert top > 0.1
    assert right < width - 0.1
    assert bottom < height - 0.1
    assert right - left > 0.75 * width or bottom - top > 0.5 * height


@pytest.mark.parametrize("name", NAMES)
def test_the_font_of_a_name_is_embedded_and_its_text_is_read(name: str) -> None:
    content = mark_page(name_mark(name), 200, 30)
    assert text_of(content).replace("\r\n", "") == name
    with pikepdf.open(io.BytesIO(content)) as pdf:
        fonts = [
            font
            for font in pdf.objects
            if isinstance(font, pikepdf.Dictionary) and font.get("/Type") == "/Font"
        ]
        used = [font for font in fonts if font.get("/Subtype") == "/TrueType"]
        assert used
        assert all("/FontFile2" in font.FontDescriptor for font in used)
        assert not [one for one in fonts if one.get("/Subtype") == "/Type1"], "no font is left to the reader"
    assert len(content) < 40_000


def test_the_same_mark_gives_the_same_bytes() -> None:
    assert mark_page(name_mark("欧阳·明"), 120, 40) == mark_page(name_mark("欧阳·明"), 120, 40)
    assert name_mark("欧阳·明") == name_mark("欧阳·明") != name_mark("欧阳明")


def test_subsets_of_a_font_have_names_of_their_own() -> None:
    names = set()
    for text in ("王芳", "欧阳", "李雷"):
        with pikepdf.open(io.BytesIO(mark_page(name_mark(text), 100, 40))) as pdf:
            fonts = [
                one for one in pdf.objects if isinstance(one, pikepdf.Dictionary) and "/FontFile2" in one
            ]
            names |= {str(one.FontName) for one in fonts}
    assert len(names) == 3
    assert all(re.fullmatch(r"/[A-Z]{6}\+DroidSansFallback", name) for name in names)


def test_marks_are_made_by_several_threads_at_once() -> None:
    names = [f"欧阳·明{chr(0x4E00 + number)}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda name: mark_page(name_mark(name), 120, 40), names))
    assert [text_of(one) for one in made] == names
    assert made == [mark_page(name_mark(name), 120, 40) for name in names]


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "\U00020bb7田", "A\x00B", "\u202eabc"])
def test_names_that_cannot_be_shown_as_they_are(name: str) -> None:
    with pytest.raises(MarkRefused):
        name_mark(name)


def test_chinese_needs_a_font_that_can_be_embedded() -> None:
    brought_by_readers = Fonts.open(None)
    name_mark("John", brought_by_readers)
    with pytest.raises(MarkRefused):
        name_mark("王芳", brought_by_readers)
    name_mark("王芳", default_fonts())


def test_dates() -> None:
    for text in ("2026-11-22 16:00:00 UTC+08:00", "2026年11月22日 16:00:00"):
        content = mark_page(date_mark(text), 140, 16)
        assert " ".join(text_of(content).split()) == text
        left, top, right, bottom = ink(date_mark(text), 140, 16)
        assert 0 < left < right < 140
        assert 0 < top < bottom < 16
        assert "-\r" not in text_of(mark_page(date_mark(text), 60, 30))


@pytest.mark.parametrize("size", [(100, 100), (200, 50), (30, 90)])
def test_a_seal_keeps_its_proportions_and_what_is_transparent(size: tuple[float, float]) -> None:
    width, height = size
    left, top, right, bottom = ink(picture_mark(seal()), width, height)
    assert right - left == pytest.approx(bottom - top, abs=0.6)
    assert right - left == pytest.approx(min(size), rel=0.03)
    assert (left + right) / 2 == pytest.approx(width / 2, abs=0.6)
    assert (top + bottom) / 2 == pytest.approx(height / 2, abs=0.6)
    assert shown(picture_mark(seal()), width, height).getpixel((int(2 * width), int(2 * height))) == 0
    with pikepdf.open(io.BytesIO(mark_page(picture_mark(seal()), width, height))) as pdf:
        images = [one for one in pdf.objects if isinstance(one, pikepdf.Stream) and "/SMask" in one]
        assert len(images) == 1
        assert images[0].Width == 300


def test_a_large_picture_is_made_smaller_and_keeps_its_edges_clean() -> None:
    """The transparent part is black underneath, and must not darken the ring."""
    with pikepdf.open(io.BytesIO(mark_page(picture_mark(seal(3000, 1500)), 100, 50))) as pdf:
        image = next(one for one in pdf.objects if isinstance(one, pikepdf.Stream) and "/SMask" in one)
        assert (image.Width, image.Height) == (1200, 600)
        colours = Image.frombytes("RGB", (1200, 600), image.read_bytes())
        opacity = Image.frombytes("L", (1200, 600), image.SMask.read_bytes())
    red = colours.getchannel("R").point(lambda value: 255 * (value < 170))
    seen = opacity.point(lambda value: 255 * (value > 40))
    assert ImageChops.multiply(red, seen).getbbox() is None


@pytest.mark.parametrize("png", [b"", b"not a picture", seal()[:200], bytes(5 * 1024 * 1024)])
def test_pictures_that_are_none(png: bytes) -> None:
    with pytest.raises(MarkRefused):
        picture_mark(png)


def test_a_picture_of_nothing_or_of_too_much() -> None:
    for size in ((50, 50), (3100, 3100)):
        output = io.BytesIO()
        Image.new("RGBA", size, (0, 0, 0, 0)).save(output, "PNG")
        with pytest.raises(MarkRefused):
            picture_mark(output.getvalue())


@pytest.mark.parametrize("size", [(120, 40), (40, 90), (24, 10), (400, 300)])
def test_drawings_are_whole_and_keep_their_proportions(size: tuple[float, float]) -> None:
    strokes = parse_strokes(WAVE, **PAD)
    width, height = size
    left, top, right, bottom = ink(strokes_mark(strokes), width, height, scale=8)
    assert left > 0
    assert top > 0
    assert right < width
    assert bottom < height
    expected = strokes.width / strokes.height
    assert (right - left) / (bottom - top) == pytest.approx(expected, rel=0.25)  # a pen has a width
    with pikepdf.open(io.BytesIO(mark_page(strokes_mark(strokes), width, height))) as pdf:
        assert not any(
            "/Subtype" in one and one.Subtype == "/Image"
            for one in pdf.objects
            if isinstance(one, pikepdf.Stream)
        )


def test_drawings_are_stored_and_read_again() -> None:
    strokes = parse_strokes(WAVE, **PAD)
    assert decode_strokes(encode_strokes(strokes)) == strokes
    for wrong in (b"", b"[]", b"{}", b'{"v":2}', b'{"v":1,"w":1,"h":1,"lines":[[["a",1]]]}', b'{"v":1}'):
        with pytest.raises(ValueError, match=r".*"):
            decode_strokes(wrong)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [[]],
        [[(5.0, 5.0)]],
        [[(5.0, 5.0)] * 50],
        [[(5.0, 5.0), (5.5, 5.5), (5.2, 5.1), (5.3, 5.4), (5.1, 5.6)]],
        [[(5.0, 5.0)], [(200.0, 5.0)], [(5.0, 100.0)], [(90.0, 90.0)], [(60.0, 60.0)]],
        [[(float("nan"), 5.0), (9.0, 9.0)]],
        [[(float("inf"), 5.0), (9.0, 9.0)]],
        [[(-1.0, 5.0), (200.0, 100.0), (90.0, 30.0), (10.0, 80.0)]],
        [[(0.0, 5.0), (301.0, 100.0), (90.0, 30.0), (10.0, 80.0)]],
        [[(1.0, 1.0), (2.0, 2.0)]] * 201,
        [[(float(n % 300), float(n % 199)) for n in range(10_001)]],
    ],
    ids=range(12),
)
def test_drawings_that_are_none(lines: list[list[tuple[float, float]]]) -> None:
    """Nothing, a dot, several dots, a slip, points outside the pad, more than a hand draws."""
    with pytest.raises(StrokesRefused):
        parse_strokes(lines, **PAD)


def test_a_pad_without_a_size() -> None:
    with pytest.raises(StrokesRefused):
        parse_strokes(WAVE, pad_width=0, pad_height=200)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200)), max_size=12), max_size=6))
def test_every_drawing_is_refused_or_stays_in_its_box(lines: list[list[tuple[float, float]]]) -> None:
    try:
        strokes = parse_strokes(lines, **PAD)
    except StrokesRefused:
        return
    left, top, right, bottom = ink(strokes_mark(strokes), 80, 40)
    assert left >= 0.25
    assert top >= 0.25
    assert right <= 79.75
    assert bottom <= 39.75
