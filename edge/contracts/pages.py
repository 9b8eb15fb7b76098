"""A contract's pages as pictures, and where its marks are: read by a limited process for each question.

A document that is broken, or made to break its reader, ends that process and nothing else. The document goes
through a pipe and its pictures come back through memory: nothing of it touches the disk in the clear.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from edge.contracts.page_worker import MOST_ANSWER_BYTES, WorkerExit
from edge.errors import InputError

TIMEOUT_S = 60.0
"""For one question, on a busy machine; the worker's own processor time is limited to much less."""

LEAST_WIDTH, MOST_WIDTH = 64, 1600
"""Pixels: from a picture in a list to one that is read enlarged."""

KEPT_PICTURES = 6
"""Pages that were just made: the one that is read, its neighbours, and both sizes of them."""

_KINDS = {"signature": "SIGNATURE", "seal": "SEAL", "sign_date": "SIGN_DATE"}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something will be signed, or is. Places are shares (0..1) of the page's width and height.

    ``kind``: SIGNATURE, SEAL or SIGN_DATE; MARK where the field's name does not tell.
    """

    kind: str
    signed: bool
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PaperPage:
    """``width`` and ``height`` in points."""

    width: float
    height: float
    marks: tuple[Mark, ...]


def look_at_pages(content: bytes) -> tuple[PaperPage, ...]:
    """Return every page of the PDF, the first first.

    Raises:
        InputError: DOCUMENT_UNREADABLE.
    """
    try:
        found = json.loads(_run(content, "look"))
        return tuple(
            PaperPage(
                float(page["width"]), float(page["height"]), tuple(_mark(mark) for mark in page["marks"])
            )
            for page in found
        )
    except (ValueError, KeyError, TypeError):
        raise _unreadable() from None


def picture_of_page(content: bytes, number: int, *, width_px: int) -> bytes:
    """Return page ``number``, from 1, as PNG.

    Raises:
        InputError: DOCUMENT_UNREADABLE, or NO_PAGE.
    """
    if not LEAST_WIDTH <= width_px <= MOST_WIDTH:
        raise ValueError(f"a picture is {LEAST_WIDTH} to {MOST_WIDTH} pixels wide")
    return _run(content, str(number), str(width_px))


class PictureShelf:
    """The pictures that were made last, so that going back a page costs nothing; safe between threads."""

    def __init__(self, make: Callable[..., bytes] = picture_of_page, *, most: int = KEPT_PICTURES) -> None:
        self._make = make
        self._most = most
        self._kept: OrderedDict[tuple[bytes, int, int], bytes] = OrderedDict()
        self._lock = Lock()

    def picture(self, sha256: bytes, content: Callable[[], bytes], number: int, *, width_px: int) -> bytes:
        """Return the page of the document of this digest; errors as :func:`picture_of_page`."""
        key = (sha256, number, width_px)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._make(content(), number, width_px=width_px)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget all of them: nobody reads any more."""
        with self._lock:
            self._kept.clear()


def _mark(found: dict[str, object]) -> Mark:
    name = str(found["name"])
    kind = next((kind for word, kind in _KINDS.items() if f"_{word}_" in name), "MARK")
    left, top, width, height = (float(str(found[key])) for key in ("left", "top", "width", "height"))
    return Mark(kind, bool(found["signed"]), left, top, width, height)


def _run(content: bytes, *arguments: str) -> bytes:
    command = [sys.executable, "-I", str(Path(__file__).with_name("page_worker.py")), *arguments]
    with os.fdopen(os.memfd_create("page"), "w+b") as written:  # a page never touches the disk
        try:
            status = subprocess.run(
                command,
                input=content,
                stdout=written,
                stderr=subprocess.DEVNULL,  # a library may print what it sees
                timeout=TIMEOUT_S,
                check=False,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                cwd="/",
            ).returncode
        except (subprocess.TimeoutExpired, OSError):
            raise _unreadable() from None
        written.seek(0)
        answer = written.read(MOST_ANSWER_BYTES + 1)
    if status == WorkerExit.NO_PAGE:
        raise InputError("NO_PAGE", "The document has no such page.", hint="Go back to the first page.")
    if status != WorkerExit.OK or not answer or len(answer) > MOST_ANSWER_BYTES:
        raise _unreadable()
    return answer


def _unreadable() -> InputError:
    return InputError(
        "DOCUMENT_UNREADABLE",
        "The document of this contract cannot be shown at this device.",
        hint="The person can read and sign it where the network is. Tell the operator of the cloud.",
    )
