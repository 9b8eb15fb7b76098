"""Reads a contract's document in a process of its own: ``page_worker.py look`` or ``page_worker.py N WIDTH``.

The PDF comes on standard input. ``look`` answers with JSON on standard output: the size of each page in
points and the places of its marks, as shares of the page. ``N WIDTH`` answers with page N, counted from 1,
as PNG that is WIDTH pixels wide. The exit status says the rest: see ``WorkerExit``. The limits are set
before the library that reads PDF is loaded: what a broken document does to it ends here.
"""

from __future__ import annotations

import ctypes
import io
import json
import resource
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_S = 20
OPEN_FILES = 32
MOST_INPUT_BYTES = 20 * 1024 * 1024
MOST_ANSWER_BYTES = 32 * 1024 * 1024
MOST_PIXELS = 12_000_000
MOST_PAGES = 500
MOST_MARKS = 1000
MOST_NAME_BYTES = 256

WIDGET = 20
"""FPDF_ANNOT_WIDGET: an annotation that is a field of a form."""

SIGNATURE_FIELD = 7
"""FPDF_FORMFIELD_SIGNATURE."""

_GRID = 1_000_000
"""Places are asked for in whole numbers; a page so wide makes them exact enough."""


class WorkerExit(IntEnum):
    OK = 0
    USAGE = 2
    DAMAGED = 3
    LIMIT = 4  # more pages, marks or pixels than are shown
    NO_PAGE = 5


class _Over(Exception):
    """More of something than is shown."""


class _NoPage(Exception):
    """The document has fewer pages."""


def main(arguments: list[str]) -> int:
    """Answer one question; the exit status."""
    _limit()
    content = sys.stdin.buffer.read(MOST_INPUT_BYTES + 1)
    if len(content) > MOST_INPUT_BYTES:
        return WorkerExit.LIMIT
    try:
        if arguments == ["look"]:
            answer = json.dumps(_look(content)).encode()
        elif len(arguments) == 2 and all(word.isdecimal() for word in arguments):
            answer = _page(content, int(arguments[0]), int(arguments[1]))
        else:
            return WorkerExit.USAGE
    except (_Over, MemoryError):
        return WorkerExit.LIMIT
    except _NoPage:
        return WorkerExit.NO_PAGE
    except Exception:  # the library fails in many ways; the document is what all have in common
        return WorkerExit.DAMAGED
    sys.stdout.buffer.write(answer)
    return WorkerExit.OK


def _look(content: bytes) -> list[dict[str, Any]]:
    import pypdfium2  # noqa: PLC0415 - after the limits

    with pypdfium2.PdfDocument(content) as pdf:
        if not 1 <= len(pdf) <= MOST_PAGES:
            raise _Over
        pdf.init_forms()
        pages: list[dict[str, Any]] = []
        count = 0
        for index in range(len(pdf)):
            page = pdf[index]
            marks = list(_marks(pdf, page))
            count += len(marks)
            if count > MOST_MARKS:
                raise _Over
            width, height = page.get_size()
            pages.append({"width": width, "height": height, "marks": marks})
        return pages


def _marks(pdf: Any, page: Any) -> Iterator[dict[str, Any]]:
    """The places on a page where something will be signed, or is; those that cannot be seen are left out."""
    from pypdfium2 import raw  # noqa: PLC0415

    for index in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        try:
            if raw.FPDFAnnot_GetSubtype(annotation) != WIDGET:
                continue
            if raw.FPDFAnnot_GetFormFieldType(pdf.formenv, annotation) != SIGNATURE_FIELD:
                continue
            left, top, right, bottom = _rectangle(page, annotation)
            if right - left <= 0 or bottom - top <= 0:
                continue
            yield {
                "name": _name(pdf, annotation),
                "signed": bool(raw.FPDFAnnot_HasKey(annotation, b"V")),
                "left": left,
                "top": top,
                "width": right - left,
                "height": bottom - top,
            }
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _rectangle(page: Any, annotation: Any) -> tuple[float, float, float, float]:
    """Left, top, right and bottom as shares of the page as it is shown, turned or not."""
    from pypdfium2 import raw  # noqa: PLC0415

    rectangle = raw.FS_RECTF()
    if not raw.FPDFAnnot_GetRect(annotation, rectangle):
        return 0.0, 0.0, 0.0, 0.0
    corners = []
    for x, y in ((rectangle.left, rectangle.top), (rectangle.right, rectangle.bottom)):
        across, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, _GRID, _GRID, 0, x, y, across, down)
        corners.append((across.value / _GRID, down.value / _GRID))
    (a, b), (c, d) = corners
    return min(a, c), min(b, d), max(a, c), max(b, d)


def _name(pdf: Any, annotation: Any) -> str:
    from pypdfium2 import raw  # noqa: PLC0415

    buffer = (raw.FPDF_WCHAR * (MOST_NAME_BYTES // 2))()
    length = raw.FPDFAnnot_GetFormFieldName(pdf.formenv, annotation, buffer, MOST_NAME_BYTES)
    if not 2 <= length <= MOST_NAME_BYTES:
        return ""
    return bytes(buffer)[: length - 2].decode("utf-16-le", errors="replace")


def _page(content: bytes, number: int, width: int) -> bytes:
    import pypdfium2  # noqa: PLC0415 - after the limits

    with pypdfium2.PdfDocument(content) as pdf:
        if not 1 <= number <= len(pdf):
            raise _NoPage
        pdf.init_forms()
        page = pdf[number - 1]
        across, down = page.get_size()
        scale = width / across
        if width * down * scale > MOST_PIXELS:
            raise _Over
        output = io.BytesIO()
        page.render(scale=scale).to_pil().convert("RGB").save(output, "PNG", compress_level=4)
        return output.getvalue()


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, MOST_ANSWER_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),  # a core would hold the document
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
