"""Whether a PDF document may be kept: a plain one, of which no reader runs anything.

This reads no pages. It looks at every name in the document's bytes, in the escaped spelling too, and in all
object streams, which hold names compressed; where one of those cannot be looked into for certain, the whole
document is refused. It keeps out what acts by itself; it is no proof that a reader without faults is needed
no more. ISO 32000-2 has the names.
"""

from __future__ import annotations

import re
import zlib

from cloud.errors import Reason, ServiceError

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of all object streams together."""

_END_WITHIN = 2048
_HEADER = re.compile(rb"%PDF-(?:1\.[0-7]|2\.0)[\r\n \t%]")
_NAME = re.compile(rb"/[^\x00\t\n\f\r ()<>\[\]{}/%]{1,127}")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")

# Real ones are lists of numbers: texts and comments, in which a second beginning could hide, are refused.
_OBJECT_STREAM = re.compile(rb"obj\s*<<([^()%]{0,2048})>>\s*stream(?:\r\n|\n)")
_OBJECT_STREAM_BYTES = 4096
_FILTER = re.compile(rb"/Filter\s*(?:\[\s*)?/FlateDecode\s*(?:\]|/|>|$|\s)")

# Each is long enough not to come up by chance in compressed bytes. An action of JavaScript has that name too.
_ACTIVE = frozenset(
    {
        b"/JavaScript",
        b"/Launch",
        b"/EmbeddedFile",
        b"/EmbeddedFiles",
        b"/RichMedia",
        b"/XFA",
        b"/SubmitForm",
        b"/ImportData",
        b"/Rendition",
        b"/Movie",
    }
)


def check_pdf(content: bytes) -> None:
    """Check that a document is whole, open to readers, and acts on nothing.

    Raises:
        ServiceError: OBJECT_TYPE_REFUSED.
    """
    end = content[-_END_WITHIN:]
    if not _HEADER.match(content) or b"%%EOF" not in end or b"startxref" not in end:
        raise _refused("DAMAGED", "The document is not a whole PDF document.")
    names, object_streams = _names(content)
    _check_names(names)
    room = MAX_UNPACKED_BYTES
    for at in object_streams:
        unpacked = _unpack(content, at, room)
        room -= len(unpacked)
        _check_names(_names(unpacked)[0])


def _names(text: bytes) -> tuple[set[bytes], list[int]]:
    """All names, and where one says that an object stream begins."""
    names, object_streams = set(), []
    for found in _NAME.finditer(text):
        name = _unescaped(found[0])
        names.add(name)
        if name == b"/ObjStm":
            object_streams.append(found.start())
    return names, object_streams


def _unpack(content: bytes, at: int, room: int) -> bytes:
    """The content of the object stream whose dictionary has its name ``at`` that place."""
    begin = content.rfind(b"obj", max(0, at - _OBJECT_STREAM_BYTES), at)
    found = _OBJECT_STREAM.match(content, begin) if begin >= 0 else None
    if found is None or found.end() <= at or not _FILTER.search(found[1]) or b"/Predictor" in found[1]:
        raise _refused("UNREADABLE", "A part of the document cannot be looked into.")
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(content[found.end() :], max(1, room))
    except zlib.error as error:
        raise _refused("DAMAGED", "A part of the document is damaged.") from error
    if not unpacker.eof:
        raise _refused("UNREADABLE", "The document unpacks to more than is taken here, or is cut short.")
    return unpacked


def _check_names(names: set[bytes]) -> None:
    if b"/Encrypt" in names:
        raise _refused("ENCRYPTED", "The document is encrypted.")
    if names & _ACTIVE:
        raise _refused("ACTIVE", "The document holds something that acts by itself.")


def _unescaped(name: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), name) if b"#" in name else name


def _refused(why: str, message: str) -> ServiceError:
    return ServiceError(Reason.OBJECT_TYPE_REFUSED, message, {"why": why})
