"""Small pictures and documents, made when they are asked for."""

from __future__ import annotations

import io

from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject
from reportlab.pdfgen.canvas import Canvas


def jpeg(seed: int = 1, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture that differs by ``seed``."""
    return _picture("JPEG", seed, size)


def png(seed: int = 1, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """As :func:`jpeg`."""
    return _picture("PNG", seed, size)


def pdf(text: str = "certificate of employment") -> bytes:
    """A document of one page."""
    target = io.BytesIO()
    canvas = Canvas(target, invariant=True)
    canvas.drawString(72, 720, text)
    canvas.save()
    return target.getvalue()


def pdf_with_script() -> bytes:
    """One that runs something when it is opened."""
    writer = PdfWriter(io.BytesIO(pdf()))
    action = {"/S": NameObject("/JavaScript"), "/JS": TextStringObject("app.alert('hello')")}
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(
        {NameObject(key): value for key, value in action.items()}
    )
    return _written(writer)


def pdf_with_attachment() -> bytes:
    """One with another file in it."""
    writer = PdfWriter(io.BytesIO(pdf()))
    writer.add_attachment("notes.txt", b"notes")
    return _written(writer)


def pdf_encrypted() -> bytes:
    """One that asks for a password."""
    writer = PdfWriter(io.BytesIO(pdf()))
    writer.encrypt("secret", algorithm="RC4-128")
    return _written(writer)


def _picture(kind: str, seed: int, size: tuple[int, int]) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, (seed % 256, seed // 256 % 256, 128)).save(target, kind)
    return target.getvalue()


def _written(writer: PdfWriter) -> bytes:
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()
