"""Marks: what a signature, a seal or a date looks like on the page.

Vectors and embedded fonts; only pictures of seals are pixels. A mark is fitted into its box whole and in its
own proportions, and nothing of it is cut off.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
import zlib
from dataclasses import dataclass

import pikepdf
from pikepdf import Array, Dictionary, Name
from PIL import Image

from cloud.papers.fonts import Fonts
from cloud.papers.pictures import PictureError, open_picture
from cloud.papers.render import default_fonts
from cloud.pdf.drawing import draw_strokes
from cloud.pdf.lettering import Lettering, LetteringError, draw_text, lettering
from cloud.pdf.strokes import Strokes, StrokesRefused, decode_strokes, encode_strokes, parse_strokes

__all__ = [
    "Mark",
    "MarkRefused",
    "Strokes",
    "StrokesRefused",
    "date_mark",
    "decode_strokes",
    "encode_strokes",
    "mark_page",
    "name_mark",
    "parse_strokes",
    "picture_mark",
    "strokes_mark",
]

MAX_TEXT = 120
MAX_PNG_BYTES = 4 * 1024 * 1024
MAX_PICTURE_PIXELS = 9_000_000
MAX_KEPT_SIDE = 1_200
"""Pixels: 600 to the inch for a seal of five centimetres. Larger pictures are made smaller, once."""

_BEGINNING = b"BT /F1 12 Tf 14.4 TL ET"
_INK = (0.05, 0.11, 0.36)  # the blue-black of a pen
_PRINT = (0.1, 0.1, 0.1)


class MarkRefused(ValueError):
    """A name, a date or a picture that cannot be shown as it is."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """Samples as the file keeps them: packed RGB, packed opacity."""

    width: int
    height: int
    colours: bytes
    opacity: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Opaque to others. Marks that are equal look the same."""

    shape: Lettering | Strokes | _Picture


@dataclass(frozen=True, slots=True)
class Sheet:
    """A mark as a PDF of one page. ``width`` and ``height``: of the page, in points."""

    content: bytes
    width: float
    height: float


def name_mark(name: str, fonts: Fonts | None = None) -> Mark:
    """The default signature, of a verified name. ``fonts``: None: those of papers.

    Raises:
        MarkRefused: it is empty or too long, or has a character that no font can show.
    """
    return Mark(_lettering(name, fonts, ink=_INK, name=True))


def date_mark(text: str, fonts: Fonts | None = None) -> Mark:
    """A date, as it is to be read.

    Raises:
        MarkRefused
    """
    return Mark(_lettering(text, fonts, ink=_PRINT, name=False))


def strokes_mark(strokes: Strokes) -> Mark:
    """A signature drawn by hand."""
    return Mark(strokes)


def picture_mark(png: bytes) -> Mark:
    """A seal; what is transparent in it stays so.

    Raises:
        MarkRefused
    """
    if len(png) > MAX_PNG_BYTES:
        raise MarkRefused("a picture is too large")
    try:
        layer = open_picture(png, formats=("PNG",), most_pixels=MAX_PICTURE_PIXELS, least_side=8)
    except PictureError as error:
        raise MarkRefused(f"{error}") from error
    if max(layer.size) > MAX_KEPT_SIDE:
        layer = _smaller(layer)
    opacity = layer.getchannel("A")
    if opacity.getextrema()[1] == 0:
        raise MarkRefused("a picture shows nothing")
    return Mark(
        _Picture(
            layer.width,
            layer.height,
            zlib.compress(layer.convert("RGB").tobytes(), 9),
            zlib.compress(opacity.tobytes(), 9),
        )
    )


def mark_page(mark: Mark, width: float, height: float) -> bytes:
    """The mark alone as a PDF of that size in points: to be looked at through ``Previews``."""
    sheet = sheet_of_mark(mark, width, height)
    with pikepdf.open(io.BytesIO(sheet.content)) as pdf:
        page = pdf.pages[0]
        if (sheet.width, sheet.height) != (width, height):
            scale, left, bottom = placed(sheet, width, height)
            page.contents_add(b"q %.5f 0 0 %.5f %.5f %.5f cm" % (scale, scale, left, bottom), prepend=True)
            page.contents_add(b"Q")
            page.obj.MediaBox = Array([0, 0, round(width, 4), round(height, 4)])
        return _saved(pdf)


def sheet_of_mark(mark: Mark, width: float, height: float) -> Sheet:
    """The mark for a box of that size. Pictures come in their own size, to be scaled."""
    shape = mark.shape
    if isinstance(shape, _Picture):
        return Sheet(_picture_page(shape), float(shape.width), float(shape.height))
    if isinstance(shape, Strokes):
        return Sheet(_page(width, height, draw_strokes(shape, width, height)), width, height)
    with pikepdf.open(io.BytesIO(draw_text(shape, width, height))) as pdf:
        _tidy(pdf)
        return Sheet(_saved(pdf), width, height)


def placed(sheet: Sheet, width: float, height: float) -> tuple[float, float, float]:
    """Where a sheet stands in a box: scale, and its left and lower edge."""
    scale = min(width / sheet.width, height / sheet.height)
    return scale, (width - scale * sheet.width) / 2, (height - scale * sheet.height) / 2


def _lettering(text: str, fonts: Fonts | None, *, ink: tuple[float, float, float], name: bool) -> Lettering:
    clean = " ".join(unicodedata.normalize("NFC", text).split())
    if not clean or len(clean) > MAX_TEXT:
        raise MarkRefused(f"a mark has from 1 to {MAX_TEXT} characters")
    if any(unicodedata.category(one).startswith("C") for one in clean):
        raise MarkRefused("a mark has a character that nobody sees")
    try:
        return lettering(clean, fonts or default_fonts(), ink=ink, name=name)
    except LetteringError as error:
        raise MarkRefused(f"{error}") from error


def _smaller(layer: Image.Image) -> Image.Image:
    """With the colours of what is opaque alone: those of transparent pixels would show at its edges."""
    scale = MAX_KEPT_SIDE / max(layer.size)
    size = (max(1, round(layer.width * scale)), max(1, round(layer.height * scale)))
    return layer.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def _picture_page(picture: _Picture) -> bytes:
    with pikepdf.new() as pdf:
        mask = pikepdf.Stream(pdf, picture.opacity, _image(picture, Name.DeviceGray))
        image = pikepdf.Stream(pdf, picture.colours, _image(picture, Name.DeviceRGB))
        image.SMask = pdf.make_indirect(mask)
        content = b"q %d 0 0 %d 0 0 cm /Im Do Q" % (picture.width, picture.height)
        _add_page(pdf, picture.width, picture.height, content, Dictionary(XObject=Dictionary(Im=image)))
        return _saved(pdf)


def _tidy(pdf: pikepdf.Pdf) -> None:
    """Without the font that ReportLab begins every page with, and with names that tell one subset of a font
    from another (ISO 32000-2, 9.9.2): programs that print keep fonts by their names."""
    page = pdf.pages[0].obj
    page.Contents.write(page.Contents.read_bytes().replace(_BEGINNING, b"", 1))
    fonts = page.Resources.Font
    for name, font in list(fonts.items()):
        if "/FontDescriptor" not in font:
            del fonts[name]
            continue
        digest = hashlib.sha256(font.FontDescriptor.FontFile2.read_bytes()).digest()
        tag = "".join(chr(ord("A") + byte % 26) for byte in digest[:6])
        unlike = Name(f"/{tag}+{str(font.BaseFont).partition('+')[2]}")
        font.BaseFont = font.FontDescriptor.FontName = unlike


def _image(picture: _Picture, space: Name) -> Dictionary:
    return Dictionary(
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=picture.width,
        Height=picture.height,
        BitsPerComponent=8,
        ColorSpace=space,
        Filter=Name.FlateDecode,
        Interpolate=True,
    )


def _page(width: float, height: float, content: bytes) -> bytes:
    with pikepdf.new() as pdf:
        _add_page(pdf, width, height, content, Dictionary())
        return _saved(pdf)


def _add_page(pdf: pikepdf.Pdf, width: float, height: float, content: bytes, resources: Dictionary) -> None:
    page = pdf.make_indirect(
        Dictionary(
            Type=Name.Page,
            MediaBox=Array([0, 0, round(width, 4), round(height, 4)]),
            Resources=resources,
            Contents=pdf.make_stream(content),
        )
    )
    pdf.pages.append(pikepdf.Page(page))


def _saved(pdf: pikepdf.Pdf) -> bytes:
    output = io.BytesIO()
    pdf.save(
        output,
        deterministic_id=True,
        object_stream_mode=pikepdf.ObjectStreamMode.disable,
        stream_decode_level=pikepdf.StreamDecodeLevel.generalized,
    )
    return output.getvalue()
