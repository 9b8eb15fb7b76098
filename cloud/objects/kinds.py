"""What a content is, found out from the content alone: names and declared types are never believed.

Pictures are taken whole through a decoder's header checks, and refused where something else hides in the
same bytes: a page, a script, an archive or a PDF document that a careless reader would open.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from enum import StrEnum

from PIL import Image

from cloud.errors import Reason, ServiceError
from cloud.objects.pdf import check_pdf
from verifield.jpeg import is_laborious_jpeg


class MediaType(StrEnum):
    """What can be kept."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    PDF = "application/pdf"


PICTURES = frozenset({MediaType.JPEG, MediaType.PNG})
DOCUMENTS = PICTURES | {MediaType.PDF}

MAX_PIXELS = 50_000_000
"""A page at 600 dots per inch has 35 million."""

MAX_SIDE = 20_000

_MAGICS = (
    (b"\xff\xd8\xff", MediaType.JPEG),
    (b"\x89PNG\r\n\x1a\n", MediaType.PNG),
    (b"%PDF-", MediaType.PDF),
)
_FORMATS = {MediaType.JPEG: "JPEG", MediaType.PNG: "PNG"}
_ENDS = {MediaType.JPEG: b"\xff\xd9", MediaType.PNG: b"IEND\xaeB`\x82"}

_PDF_WITHIN = 1024
"""Where readers of PDF look for its beginning, behind whatever stands before it."""

_ACTIVE = (b"<script", b"<html", b"<!doctype html", b"<?php", b"<iframe", b"javascript:")
_SVG = re.compile(rb"<svg[\s/>]")  # four letters alone come up by chance in a large photograph
_warnings = threading.Lock()  # what is ignored is ignored by the whole process, and must be put back

_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22
_ZIP_COMMENT_BYTES = 65_535


def sniff(content: bytes, *, kinds: frozenset[MediaType] = DOCUMENTS) -> MediaType:
    """What ``content`` is.

    Raises:
        ServiceError: OBJECT_TYPE_REFUSED: none of ``kinds``, damaged, encrypted, or more than one thing.
    """
    kind = next((kind for magic, kind in _MAGICS if content.startswith(magic)), None)
    if kind is None or kind not in kinds:
        raise refused("TYPE", "The file is of a type that is not taken here.")
    if kind is MediaType.PDF:
        check_pdf(content)
    else:
        _check_picture(content, kind)
        _check_single(content)
    return kind


def refused(why: str, message: str) -> ServiceError:
    """``why``: a stable word, told as a fact."""
    return ServiceError(Reason.OBJECT_TYPE_REFUSED, message, {"why": why})


def _check_picture(content: bytes, kind: MediaType) -> None:
    if is_laborious_jpeg(content):
        raise refused("DAMAGED", "The picture has more scans than a camera writes.")
    try:
        with _warnings, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=[_FORMATS[kind]]) as picture:
                width, height = picture.size
                if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                    raise _too_many_pixels()
                picture.verify()
    except Image.DecompressionBombError as error:
        raise _too_many_pixels() from error
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise refused("DAMAGED", "The picture cannot be read.") from error
    if _ENDS[kind] not in content[-_PDF_WITHIN * 64 :]:
        raise refused("DAMAGED", "The picture is cut off.")


def _too_many_pixels() -> ServiceError:
    return refused("TOO_MANY_PIXELS", "The picture has more pixels than are taken here.")


def _check_single(content: bytes) -> None:
    """Cameras put notes and previews into and behind a picture; none of these is one."""
    lower = content.lower()
    if b"%pdf-" in lower[: _PDF_WITHIN + 5] or any(word in lower for word in _ACTIVE):
        raise _polyglot()
    if _SVG.search(lower) or _is_archive(content):
        raise _polyglot()


def _polyglot() -> ServiceError:
    return refused("POLYGLOT", "The picture holds something else beside the picture.")


def _is_archive(content: bytes) -> bool:
    """Whether the end of a ZIP archive stands at the end, as its readers look for it."""
    tail = content[-_ZIP_COMMENT_BYTES - _ZIP_END_BYTES :]
    at = tail.rfind(_ZIP_END)
    while at >= 0:
        comment = int.from_bytes(tail[at + 20 : at + 22], "little")
        if at + _ZIP_END_BYTES + comment <= len(tail) and len(tail) - at >= _ZIP_END_BYTES:
            return True
        at = tail.rfind(_ZIP_END, 0, at)
    return False
