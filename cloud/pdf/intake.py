"""Which PDF may become a contract: one that shows everybody the same, does nothing, and hides nothing."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import pikepdf

from cloud.pdf.geometry import GeometryError, Sheet, sheet_of
from cloud.pdf.shown import (
    Layers,
    annotation_looks_the_same,
    layers_of,
    looks_the_same,
    prints_what_it_shows,
    word,
)

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
_OPENING = {"/GoTo"}  # may happen unasked, when the document is opened
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
    "/PresSteps",
    "/F",
}
_FILES = {"/Filespec", "/EmbeddedFile", "/FileAttachment"}
_SENTENCES = {
    Why.DAMAGED: "the file is not a PDF that can be read whole",
    Why.ENCRYPTED: "the document is encrypted",
    Why.XFA: "the document is an XFA form",
    Why.JAVASCRIPT: "the document has scripts",
    Why.ACTION: "the document has parts that act, move or change by themselves, "
    "or are not the same on every screen and on paper",
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
    with open_strictly(content) as pdf, _unreadable_is_damaged():
        layers = _checked_catalog(pdf.Root)
        pages = tuple(Page(sheet.width, sheet.height) for sheet in _sheets(pdf))
        for found in _dictionaries(pdf):
            _check_dictionary(found)
            if not looks_the_same(found.entries, layers, stream=found.stream):
                _refuse(Why.ACTION)
        _check_annotations(pdf)
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


@contextmanager
def _unreadable_is_damaged() -> Iterator[None]:
    try:
        yield
    except PdfRefused:
        raise
    except (pikepdf.PdfError, TypeError, ValueError, RuntimeError):
        _refuse(Why.DAMAGED)


def _checked_catalog(root: pikepdf.Object) -> Layers:
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
    layers = layers_of(root.get("/OCProperties"))
    if "/AA" in root or layers is None or not prints_what_it_shows(root.get("/ViewerPreferences")):
        _refuse(Why.ACTION)
    return layers


def _is_signed(form: pikepdf.Dictionary) -> bool:
    """Whether a field of a signature is filled."""
    waiting, seen = list(form.get("/Fields", [])), 0
    while waiting and seen < MAX_OBJECTS:
        field = waiting.pop()
        seen += 1
        if not isinstance(field, pikepdf.Dictionary):
            continue
        if word(field.get("/FT")) == "/Sig" and "/V" in field:
            return True
        waiting.extend(field.get("/Kids", []))
    return False


def _sheets(pdf: pikepdf.Pdf) -> Iterator[Sheet]:
    count = len(pdf.pages)
    if not 1 <= count <= MAX_PAGES:
        _refuse(Why.PAGES)
    try:
        for page in pdf.pages:
            sheet = sheet_of(page.obj)
            if not all(_fits(side) for side in (sheet.width, sheet.height)):
                _refuse(Why.PAGE_SIZE)
            yield sheet
    except GeometryError:
        _refuse(Why.PAGE_SIZE)


def _fits(side: float) -> bool:
    return math.isfinite(side) and LEAST_SIDE <= side <= MOST_SIDE


def _dictionaries(pdf: pikepdf.Pdf) -> Iterator[_Entries]:
    """Every dictionary of the file, those inside of others too, whether something refers to it or not."""
    if len(pdf.objects) > MAX_OBJECTS:
        _refuse(Why.SIZE)
    for found in pdf.objects:
        yield from _inside(found, 0)
    if pdf.check_pdf_syntax() or pdf.get_warnings():  # unpacks every stream, and keeps none
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
    kind, subtype = word(entries.get("/Type")), word(entries.get("/Subtype"))
    if word(entries.get("/S")) in _SCRIPTS or "/JS" in entries:
        _refuse(Why.JAVASCRIPT)
    if kind in _FILES or subtype in _FILES or "/EF" in entries:
        _refuse(Why.ATTACHMENT)
    if kind in {"/Sig", "/DocTimeStamp"} or "/ByteRange" in entries:
        _refuse(Why.SIGNED)
    if subtype == "/Widget":
        _refuse(Why.FORM)
    if "/AA" in entries or "/PresSteps" in entries or subtype in _MOVING:
        _refuse(Why.ACTION)
    if _acts_on_opening(entries.get("/OpenAction")):
        _refuse(Why.ACTION)
    if any(_acts(entries.get(key)) for key in ("/A", "/Next", "/PA")):
        _refuse(Why.ACTION)
    if kind == "/Action" and word(entries.get("/S")) not in _QUIET:
        _refuse(Why.ACTION)
    if found.stream and "/F" in entries:
        _refuse(Why.ATTACHMENT)  # its content lies in a file elsewhere


def _acts(action: object, quiet: Set[str] = _QUIET) -> bool:
    """Whether it is an action, or a row of them, that does more than to lead somewhere."""
    row = action if isinstance(action, pikepdf.Array) else [action]
    return any(
        isinstance(one, pikepdf.Array)
        or (isinstance(one, pikepdf.Dictionary) and "/S" in one and word(one["/S"]) not in quiet | _SCRIPTS)
        for one in row
    )


def _acts_on_opening(action: object) -> bool:
    """Whether more happens than that a page is turned to."""
    if isinstance(action, pikepdf.Dictionary) and ("/S" not in action or "/Next" in action):
        return True
    return _acts(action, _OPENING)


def _check_annotations(pdf: pikepdf.Pdf) -> None:
    seen = 0
    for page in pdf.pages:
        annotations = page.obj.get("/Annots", pikepdf.Array())
        if not isinstance(annotations, pikepdf.Array):
            _refuse(Why.DAMAGED)
        seen += len(annotations)
        if seen > MAX_OBJECTS:
            _refuse(Why.SIZE)
        if not all(annotation_looks_the_same(one) for one in annotations):
            _refuse(Why.ACTION)


def refusal(why: Why) -> PdfRefused:
    """To be raised."""
    return PdfRefused(why, _SENTENCES[why])


def _refuse(why: Why) -> NoReturn:
    raise refusal(why)
