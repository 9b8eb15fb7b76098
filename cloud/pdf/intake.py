"""Which PDF may become a contract: one that shows everybody the same, does nothing, and hides nothing."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import pikepdf

from cloud.pdf.geometry import GeometryError, Sheet, sheet_of

MAX_BYTES = 20 * 1024 * 1024
MAX_PAGES = 500
LEAST_SIDE = 72.0
MOST_SIDE = 7_200.0
"""Points: an inch, and a hundred."""

MAX_OBJECTS = 200_000
_MOST_DEPTH = 50  # of arrays and dictionaries within one object


class Why(StrEnum):
    DAMAGED = "DAMAGED"
    ENCRYPTED = "ENCRYPTED"
    XFA = "XFA"
    JAVASCRIPT = "JAVASCRIPT"
    ACTION = "ACTION"
    ATTACHMENT = "ATTACHMENT"
    SIGNED = "SIGNED"
    FORM = "FORM"
    PAGES = "PAGES"
    PAGE_SIZE = "PAGE_SIZE"
    SIZE = "SIZE"


class PdfRefused(ValueError):
    """``why``: stable; the message says it in a sentence."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(why, message)
        self.why = why
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Page:
    """Its size as a reader shows it, in points."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class _Entries:
    """Of a dictionary, or of that of a stream."""

    entries: dict[str, object]
    stream: bool


@dataclass(frozen=True, slots=True)
class Document:
    """``sha256``: of the bytes that were checked."""

    pages: tuple[Page, ...]
    sha256: bytes


_SCRIPTS = {"/JavaScript"}
_QUIET = {"/GoTo", "/URI", "/Named", "/Thread"}  # these only lead somewhere, when a person presses them
_MOVING = {"/Movie", "/Sound", "/Screen", "/RichMedia", "/3D", "/TrapNet"}
_TELLING = {
    "/Type",
    "/Subtype",
    "/S",
    "/JS",
    "/EF",
    "/ByteRange",
    "/AA",
    "/A",
    "/OpenAction",
    "/Next",
    "/PA",
    "/F",
}
_FILES = {"/Filespec", "/EmbeddedFile", "/FileAttachment"}
_SENTENCES = {
    Why.DAMAGED: "the file is not a PDF that can be read whole",
    Why.ENCRYPTED: "the document is encrypted",
    Why.XFA: "the document is an XFA form",
    Why.JAVASCRIPT: "the document has scripts",
    Why.ACTION: "the document has parts that act, move or change by themselves",
    Why.ATTACHMENT: "the document has files attached",
    Why.SIGNED: "the document is signed already",
    Why.FORM: "the document has form fields",
    Why.PAGES: f"a document has from one page to {MAX_PAGES}",
    Why.PAGE_SIZE: "a page is too small, too large, or without a size",
    Why.SIZE: f"a document has at most {MAX_BYTES // (1024 * 1024)} MiB",
}


def check_document(content: bytes) -> Document:
    """The document, where it may become a contract. What comes from outside is checked by ``Previews.check``.

    Raises:
        PdfRefused
    """
    if len(content) > MAX_BYTES:
        _refuse(Why.SIZE)
    with open_strictly(content) as pdf:
        _check_catalog(pdf)
        pages = tuple(Page(sheet.width, sheet.height) for sheet in _sheets(pdf))
        for found in _dictionaries(pdf):
            _check_dictionary(found)
    return Document(pages, hashlib.sha256(content).digest())


def open_strictly(content: bytes) -> pikepdf.Pdf:
    """Opened without any repair: readers repair differently, and would show different things.

    Raises:
        PdfRefused: ENCRYPTED, DAMAGED.
    """
    if not content.startswith(b"%PDF-"):
        _refuse(Why.DAMAGED)
    try:
        pdf = pikepdf.open(io.BytesIO(content), attempt_recovery=False, suppress_warnings=True)
    except pikepdf.PasswordError:
        _refuse(Why.ENCRYPTED)
    except MemoryError:
        raise
    except Exception:  # qpdf fails in many ways: all mean the same here
        _refuse(Why.DAMAGED)
    if pdf.is_encrypted:
        pdf.close()
        _refuse(Why.ENCRYPTED)
    return pdf


def _check_catalog(pdf: pikepdf.Pdf) -> None:
    try:
        root = pdf.Root
        form = root.get("/AcroForm")
        if isinstance(form, pikepdf.Dictionary):
            if "/XFA" in form:
                _refuse(Why.XFA)
            if _is_signed(form):
                _refuse(Why.SIGNED)
            if len(form.get("/Fields", [])):
                _refuse(Why.FORM)
        if "/Perms" in root or "/DSS" in root:
            _refuse(Why.SIGNED)
        names = root.get("/Names")
        if isinstance(names, pikepdf.Dictionary):
            if "/JavaScript" in names:
                _refuse(Why.JAVASCRIPT)
            if "/EmbeddedFiles" in names:
                _refuse(Why.ATTACHMENT)
        if "/Collection" in root:
            _refuse(Why.ATTACHMENT)
        if "/AA" in root:
            _refuse(Why.ACTION)
        _check_layers(root.get("/OCProperties"))
    except (pikepdf.PdfError, TypeError, ValueError) as error:
        if isinstance(error, PdfRefused):
            raise
        _refuse(Why.DAMAGED)


def _is_signed(form: pikepdf.Dictionary) -> bool:
    """Whether a field of a signature is filled."""
    waiting, seen = list(form.get("/Fields", [])), 0
    while waiting and seen < MAX_OBJECTS:
        field = waiting.pop()
        seen += 1
        if not isinstance(field, pikepdf.Dictionary):
            continue
        if _word(field.get("/FT")) == "/Sig" and "/V" in field:
            return True
        waiting.extend(field.get("/Kids", []))
    return False


def _check_layers(properties: object) -> None:
    """Layers that show themselves on a screen and not on paper, or at some zoom: all are to see the same."""
    if not isinstance(properties, pikepdf.Dictionary):
        return
    settings = [properties.get("/D"), *properties.get("/Configs", [])]
    if any(isinstance(one, pikepdf.Dictionary) and len(one.get("/AS", [])) for one in settings):
        _refuse(Why.ACTION)


def _sheets(pdf: pikepdf.Pdf) -> Iterator[Sheet]:
    try:
        count = len(pdf.pages)
        if not 1 <= count <= MAX_PAGES:
            _refuse(Why.PAGES)
        for page in pdf.pages:
            sheet = sheet_of(page.obj)
            if not all(_fits(side) for side in (sheet.width, sheet.height)):
                _refuse(Why.PAGE_SIZE)
            yield sheet
    except GeometryError:
        _refuse(Why.PAGE_SIZE)
    except (pikepdf.PdfError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, PdfRefused):
            raise
        _refuse(Why.DAMAGED)


def _fits(side: float) -> bool:
    return math.isfinite(side) and LEAST_SIDE <= side <= MOST_SIDE


def _dictionaries(pdf: pikepdf.Pdf) -> Iterator[_Entries]:
    """Every dictionary of the file, those inside of others too, whether something refers to it or not."""
    try:
        if len(pdf.objects) > MAX_OBJECTS:
            _refuse(Why.SIZE)
        for found in pdf.objects:
            yield from _inside(found, 0)
        if pdf.check_pdf_syntax() or pdf.get_warnings():  # unpacks every stream, and keeps none
            _refuse(Why.DAMAGED)
    except (pikepdf.PdfError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        if isinstance(error, PdfRefused):
            raise
        _refuse(Why.DAMAGED)


def _inside(found: pikepdf.Object, depth: int) -> Iterator[_Entries]:
    if depth > _MOST_DEPTH:
        _refuse(Why.DAMAGED)
    if isinstance(found, pikepdf.Array):
        children: list[object] = list(found)
    elif isinstance(found, pikepdf.Dictionary | pikepdf.Stream):
        entries: dict[str, object] = dict(found.items())
        yield _Entries(entries, stream=isinstance(found, pikepdf.Stream))
        children = list(entries.values())
    else:
        return
    for child in children:
        if isinstance(child, pikepdf.Array | pikepdf.Dictionary) and not child.is_indirect:
            yield from _inside(child, depth + 1)


def _check_dictionary(found: _Entries) -> None:
    entries = found.entries
    if not _TELLING & entries.keys():
        return
    kind, subtype = _word(entries.get("/Type")), _word(entries.get("/Subtype"))
    if _word(entries.get("/S")) in _SCRIPTS or "/JS" in entries:
        _refuse(Why.JAVASCRIPT)
    if kind in _FILES or subtype in _FILES or "/EF" in entries:
        _refuse(Why.ATTACHMENT)
    if kind in {"/Sig", "/DocTimeStamp"} or "/ByteRange" in entries:
        _refuse(Why.SIGNED)
    if subtype == "/Widget":
        _refuse(Why.FORM)
    if "/AA" in entries or subtype in _MOVING:
        _refuse(Why.ACTION)
    if any(_acts(entries.get(key)) for key in ("/A", "/OpenAction", "/Next", "/PA")):
        _refuse(Why.ACTION)
    if kind == "/Action" and _word(entries.get("/S")) not in _QUIET:
        _refuse(Why.ACTION)
    if found.stream and "/F" in entries:
        _refuse(Why.ATTACHMENT)  # its content lies in a file elsewhere


def _acts(action: object) -> bool:
    """Whether it is an action, or a row of them, that does more than to lead somewhere."""
    if isinstance(action, pikepdf.Array):
        return any(_acts(one) for one in action)
    if not isinstance(action, pikepdf.Dictionary):
        return False
    if "/S" not in action:
        return False
    return _word(action.get("/S")) not in _QUIET | _SCRIPTS


def _word(name: object) -> str:
    """Names are bytes; those that are no UTF-8, as older Chinese programs wrote them, are none of ours."""
    try:
        return str(name) if isinstance(name, pikepdf.Name) else ""
    except UnicodeDecodeError:
        return ""


def refusal(why: Why) -> PdfRefused:
    """To be raised."""
    return PdfRefused(why, _SENTENCES[why])


def _refuse(why: Why) -> NoReturn:
    raise refusal(why)
