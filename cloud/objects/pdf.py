"""Whether a PDF document may be kept: a plain one, of which no reader runs anything.

This reads no pages. It looks for names in the document's bytes, in the escaped spellings too, and in all
object streams, which hold names compressed; where one of those cannot be looked into for certain, the whole
document is refused. Readers take a stream for one of objects where others point at it, whatever it says that
it is: each that tells where its first object begins counts as one here. It keeps out what acts by itself; it
is no proof that a reader without faults is needed no more. ISO 32000-2 has the names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from cloud.errors import Reason, ServiceError

MAX_UNPACKED_BYTES = 16 * 1024 * 1024
"""Of all object streams together."""

MAX_OBJECT_STREAMS = 10_000
"""Each holds a hundred objects or more."""

_END_WITHIN = 2048
_HEADER = re.compile(rb"%PDF-(?:1\.[0-7]|2\.0)[\r\n \t%]")

_SPACE = rb"[\x00\t\n\f\r ]"
_NAME_ENDS = rb"(?=[\x00\t\n\f\r ()<>\[\]{}/%]|\Z)"


def _spelled(name: bytes) -> bytes:
    """A pattern of all spellings of a name: each of its characters may be written as #HH."""
    spelled = b""
    for code in name:
        digits = re.sub(rb"[a-f]", lambda found: b"[%s%s]" % (found[0], found[0].upper()), b"%02x" % code)
        spelled += b"(?:%c|#%s)" % (code, digits)
    return spelled


def _names(*names: bytes) -> re.Pattern[bytes]:
    return re.compile(b"/(?:" + b"|".join(map(_spelled, names)) + b")" + _NAME_ENDS)


_ENCRYPTED = _names(b"Encrypt")

# Each is long enough not to come up by chance in compressed bytes. An action of JavaScript has that name too.
_ACTIVE = _names(
    b"JavaScript",
    b"Launch",
    b"EmbeddedFile",
    b"EmbeddedFiles",
    b"RichMedia",
    b"XFA",
    b"SubmitForm",
    b"ImportData",
    b"Rendition",
    b"Movie",
    b"OnInstantiate",
)

# A file in the document that does not say so; two letters alone do come up by chance.
_ATTACHED = re.compile(
    b"/" + _spelled(b"EF") + _SPACE + rb"*(?:<<|%|[0-9]+" + _SPACE + b"+[0-9]+" + _SPACE + b"+R)"
)

_OBJECTS = _names(b"ObjStm")
_FIRST = _names(b"First")  # of a stream of objects; of a list of contents too, which is no stream

# Real ones are lists of numbers: texts and comments, in which a second beginning could hide, are refused.
_OBJECT_STREAM = re.compile(rb"obj\s{0,64}<<([^()%]{0,2048})>>\s{0,64}stream(?:\r\n|\n)")
_OBJECT_STREAM_BYTES = 4096
_FILTER = re.compile(rb"/Filter\s*(?:\[\s*)?/FlateDecode\s*(?:\]|/|>|$|\s)")
_UNPACKED_AT_ONCE = 16 * 1024

_TOKEN = re.compile(
    rb"[\x00\t\n\f\r ]+|%[^\r\n]*|/[^\x00\t\n\f\r ()<>\[\]{}/%]*|[\[\]]|<[0-9A-Fa-f\x00\t\n\f\r ]*>"
    rb"|(?P<open><<)|(?P<close>>>)|(?P<text>\()|(?P<word>[^\x00\t\n\f\r ()<>\[\]{}/%]+)"
)
_VALUE = re.compile(rb"[0-9+.-]+|true|false|null|R")
_PARENTHESIS = re.compile(rb"\\.|[()]", re.DOTALL)
_MOST_TOKENS = 2_000


def check_pdf(content: bytes) -> None:
    """Check that a document is whole, open to readers, and acts on nothing.

    Raises:
        ServiceError: OBJECT_TYPE_REFUSED.
    """
    end = content[-_END_WITHIN:]
    if not _HEADER.match(content) or b"%%EOF" not in end or b"startxref" not in end:
        raise _refused("DAMAGED", "The document is not a whole PDF document.")
    _check_names(content)
    room = MAX_UNPACKED_BYTES
    for number, begin in enumerate(dict.fromkeys(_object_streams(content)), 1):
        unpacked = _unpack(content, begin, room)
        room -= len(unpacked)
        if number > MAX_OBJECT_STREAMS:
            raise _refused("UNREADABLE", "The document has more parts than are looked into here.")
        _check_names(unpacked)


def _object_streams(content: bytes) -> Iterator[int]:
    """Where the content of each object stream begins."""
    for pattern in (_OBJECTS, _FIRST):
        for found in pattern.finditer(content):
            if pattern is _FIRST and not _is_of_stream(content, found.end()):
                continue
            at = found.start()
            begin = content.rfind(b"obj", max(0, at - _OBJECT_STREAM_BYTES), at)
            head = _OBJECT_STREAM.match(content, begin) if begin >= 0 else None
            if head is None or head.end() <= at or not _FILTER.search(head[1]) or b"/Predictor" in head[1]:
                raise _refused("UNREADABLE", "A part of the document cannot be looked into.")
            yield head.end()


def _is_of_stream(content: bytes, at: int) -> bool:
    """Whether the dictionary around a name that ends ``at`` this place is that of a stream, or may be.

    It is not where the dictionary is closed and its object ends, as a reader sees it.
    """
    depth = 0
    for _ in range(_MOST_TOKENS):
        found = _TOKEN.match(content, at)
        if found is None:
            return True
        at = found.end()
        depth += (found.lastgroup == "open") - (found.lastgroup == "close")
        if found.lastgroup == "text":
            at = _end_of_text(content, at)
        elif found.lastgroup == "word" and not _VALUE.fullmatch(found[0]):
            return depth >= 0 or found[0] != b"endobj"
    return True


def _end_of_text(content: bytes, at: int) -> int:
    """Behind the parenthesis that closes a text; the end where none does."""
    depth = 1
    for found in _PARENTHESIS.finditer(content, at):
        depth += (found[0] == b"(") - (found[0] == b")")
        if not depth:
            return found.end()
    return len(content)


def _unpack(content: bytes, begin: int, room: int) -> bytes:
    """The content of the object stream whose packed bytes begin there."""
    unpacker, unpacked, view = zlib.decompressobj(), bytearray(), memoryview(content)
    try:
        while not unpacker.eof and begin < len(content) and len(unpacked) <= room:
            piece: bytes | memoryview = unpacker.unconsumed_tail
            if not piece:
                piece = view[begin : begin + _UNPACKED_AT_ONCE]
                begin += len(piece)
            unpacked += unpacker.decompress(piece, room - len(unpacked) + 1)
    except zlib.error as error:
        raise _refused("DAMAGED", "A part of the document is damaged.") from error
    if not unpacker.eof or len(unpacked) > room:
        raise _refused("UNREADABLE", "The document unpacks to more than is taken here, or is cut short.")
    return bytes(unpacked)


def _check_names(text: bytes) -> None:
    if _ENCRYPTED.search(text):
        raise _refused("ENCRYPTED", "The document is encrypted.")
    if _ACTIVE.search(text) or _ATTACHED.search(text):
        raise _refused("ACTIVE", "The document holds something that acts by itself.")


def _refused(why: str, message: str) -> ServiceError:
    return ServiceError(Reason.OBJECT_TYPE_REFUSED, message, {"why": why})
