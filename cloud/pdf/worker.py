"""Reads PDF of unknown origin in a process of its own: ``python -m cloud.pdf.worker``.

Requests come on standard input, answers go to standard output, each with a header: see ``REQUEST`` and
``ANSWER``. A process is given one document only, so that what one document does to it reaches no other.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
from contextlib import suppress
from enum import IntEnum
from typing import BinaryIO

REQUEST = struct.Struct(">BIII")
"""What is asked, number of the page, width in pixels, length of the document that follows.

The document follows on the first request alone."""

ANSWER = struct.Struct(">BI")
"""How it went, and the length of what follows."""

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_S = 20  # for one request
OPEN_FILES = 16
MOST_PIXELS = 24_000_000


class Ask(IntEnum):
    CHECK = 1
    PAGE = 2


class Went(IntEnum):
    OK = 0
    REFUSED = 1
    LIMIT = 2
    DAMAGED = 3
    NO_PAGE = 4


class _Over(Exception):
    """More pixels than a picture may have."""


class _NoPage(Exception):
    """The document has fewer pages."""


def main() -> None:
    """Serve until the other side closes."""
    _limit()
    content = b""
    while header := sys.stdin.buffer.read(REQUEST.size):
        ask, number, width, length = REQUEST.unpack(header)
        if length:
            content = sys.stdin.buffer.read(length)
        _allow_time()
        _answer(sys.stdout.buffer, *_served(Ask(ask), content, number, width))


def _served(ask: Ask, content: bytes, number: int, width: int) -> tuple[Went, bytes]:
    try:
        return _check(content) if ask is Ask.CHECK else (Went.OK, _page(content, number, width))
    except (MemoryError, _Over):
        return Went.LIMIT, b""
    except _NoPage:
        return Went.NO_PAGE, b""
    except Exception:  # libraries fail in many ways; the document is what all have in common
        return Went.DAMAGED, b""


def _check(content: bytes) -> tuple[Went, bytes]:
    from cloud.pdf.intake import PdfRefused, check_document  # noqa: PLC0415  after the limits

    try:
        document = check_document(content)
        if document.pages:
            _page(content, 1, 64)  # what reads it for people can read it too
    except PdfRefused as refused:
        return Went.REFUSED, refused.why.value.encode()
    return Went.OK, json.dumps([[page.width, page.height] for page in document.pages]).encode()


def _page(content: bytes, number: int, width: int) -> bytes:
    import pypdfium2  # noqa: PLC0415  after the limits

    pdf = pypdfium2.PdfDocument(content)
    if not 1 <= number <= len(pdf):
        raise _NoPage
    pdf.init_forms()
    page = pdf[number - 1]
    across, down = page.get_size()
    scale = width / across
    if width * down * scale > MOST_PIXELS:
        raise _Over
    picture = page.render(scale=scale).to_pil()
    output = io.BytesIO()
    picture.convert("RGB").save(output, "PNG", compress_level=4)
    return output.getvalue()


def _answer(output: BinaryIO, went: Went, content: bytes) -> None:
    output.write(ANSWER.pack(went, len(content)) + content)
    output.flush()


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),  # a core would hold the document
    ):
        resource.setrlimit(what, (most, most))


def _allow_time() -> None:
    """The system ends the process where a request takes longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, hard))


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt):
        main()
