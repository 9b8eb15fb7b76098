"""What is taken for a picture or a document: by its content alone, and nothing that hides something else."""

from __future__ import annotations

import contextlib
import io
import re
import time
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cloud.errors import Reason, ServiceError
from cloud.objects.kinds import PICTURES, MediaType, sniff
from tests.support.samples import jpeg, pdf, pdf_encrypted, pdf_with_attachment, pdf_with_script, png


def why(content: bytes, **limits: frozenset[MediaType]) -> str:
    with pytest.raises(ServiceError) as refused:
        sniff(content, **limits)
    assert refused.value.reason is Reason.OBJECT_TYPE_REFUSED
    return refused.value.metadata["why"]


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("run.class", b"content")
    return target.getvalue()


def object_stream(content: bytes, *, dictionary: bytes = b"/Type /ObjStm /N 1 /First 4") -> bytes:
    """A document with ``content`` in an object stream, put in front of the end."""
    packed = zlib.compress(content)
    part = b"9 0 obj\n<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (
        dictionary,
        len(packed),
        packed,
    )
    whole = pdf()
    at = whole.index(b"xref")
    return whole[:at] + part + whole[at:]


def test_the_content_tells_the_type() -> None:
    assert sniff(jpeg()) == "image/jpeg"
    assert sniff(png()) == "image/png"
    assert sniff(pdf()) == "application/pdf"
    assert sniff(object_stream(b"1 0 << /Type /Catalog >>")) == "application/pdf"


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg/>", b"MZ\x90", b"PK\x03\x04", b"II*\0", b" %PDF-1.4\n"]
)
def test_other_types_are_refused(content: bytes) -> None:
    assert why(content) == "TYPE"


def test_a_document_is_no_picture() -> None:
    assert why(pdf(), kinds=PICTURES) == "TYPE"


@pytest.mark.parametrize("content", [jpeg()[:200], png()[:60], b"\xff\xd8\xff\xe0" + bytes(500), pdf()[:400]])
def test_what_is_cut_off_or_broken_is_refused(content: bytes) -> None:
    assert why(content) == "DAMAGED"


@pytest.mark.parametrize(
    "behind", [pdf(), b"<html><script>alert(1)</script>", archive(), b"<?php system($_GET['c']);"]
)
def test_a_picture_with_something_else_behind_it_is_refused(behind: bytes) -> None:
    polyglot = jpeg(size=(8, 8)) + behind
    assert why(polyglot) == "POLYGLOT"
    assert why(png() + behind) == "POLYGLOT"


def test_a_page_in_the_notes_of_a_picture_is_refused() -> None:
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "JPEG", comment=b"<SCRIPT src=//x>")
    assert why(target.getvalue()) == "POLYGLOT"


def test_a_bomb_of_pixels_is_refused_before_it_is_unpacked() -> None:
    target = io.BytesIO()
    Image.new("1", (19_000, 19_000)).save(target, "PNG")
    assert why(target.getvalue()) == "TOO_MANY_PIXELS"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pdf_encrypted(), "ENCRYPTED"),
        (pdf_with_script(), "ACTIVE"),
        (pdf_with_attachment(), "ACTIVE"),
        (pdf_with_script().replace(b"/JavaScript", b"/Java#53cript"), "ACTIVE"),
        (object_stream(b"1 0 << /S /JavaScript /JS (app.alert(1)) >>"), "ACTIVE"),
        (object_stream(b"1 0 << /S /Launc#68 >>"), "ACTIVE"),
        (object_stream(bytes(80_000_000)), "UNREADABLE"),
        (object_stream(b"1 0 <<>>", dictionary=b"/Type /ObjStm /X (stream\n) /N 1"), "UNREADABLE"),
        (object_stream(b"x").replace(b"/FlateDecode", b"/LZWDecode  "), "UNREADABLE"),
        (re.sub(rb"stream\nx", b"stream\ny", object_stream(b"x")), "DAMAGED"),
    ],
)
def test_documents_that_act_or_cannot_be_looked_into_are_refused(content: bytes, expected: str) -> None:
    assert why(content) == expected


HIDDEN = b"1 0 << /S /JavaScript /JS (app.alert(1)) >>"


@pytest.mark.parametrize(
    "dictionary",
    [
        b"/N 1 /First 4",  # readers take a stream for one of objects without its type
        b"/N 8 0 R /Firs#74 7 0 R",
        b"/N 1 /First 4 /X <endobj>",
        b"/N 1 /First 4 /X /endobj /Y [ /endobj ]",
        b"/N 1 /First %endobj\n 4",
        b"/N 1 /First 4 /X (\\) endobj (inner) )",
    ],
)
def test_objects_in_a_stream_that_does_not_say_so_are_found(dictionary: bytes) -> None:
    assert why(object_stream(HIDDEN, dictionary=dictionary)) in {"ACTIVE", "UNREADABLE"}


def test_a_list_of_contents_is_no_stream_of_objects() -> None:
    """Outlines have a first entry too."""
    outline = b"8 0 obj\n<< /First 9 0 R /Last 9 0 R /Title (to (the) stream) >>\nendobj\n"
    whole = pdf()
    at = whole.index(b"xref")
    assert sniff(whole[:at] + outline + whole[at:]) == "application/pdf"


@pytest.mark.parametrize(
    "specification", [b"<< /F (a.exe) /EF << /F 5 0 R >> >>", b"<< /F (a.exe) /E#46 7 0 R >>"]
)
def test_an_attachment_that_does_not_say_so_is_found(specification: bytes) -> None:
    note = b"8 0 obj\n<< /Subtype /FileNote /FS %s >>\nendobj\n" % specification
    whole = pdf()
    at = whole.index(b"xref")
    assert why(whole[:at] + note + whole[at:]) == "ACTIVE"
    assert why(object_stream(b"1 0 " + specification)) == "ACTIVE"


def test_many_streams_and_many_names_are_looked_through_in_little_time() -> None:
    """Ten megabytes of an attacker: of streams that are all looked into, and of names packed small."""
    one = object_stream(b"1 0 <<>>")
    at = one.index(b"9 0 obj")
    part = one[at : one.index(b"xref")]
    many = one[:at] + part * (10 * 1024 * 1024 // len(part)) + one[at:]
    begun = time.process_time()
    with contextlib.suppress(ServiceError):
        sniff(many)
    assert time.process_time() - begun < 10
    names = object_stream(b"/a" * (30 * 1024 * 1024))
    begun = time.process_time()
    with contextlib.suppress(ServiceError):
        sniff(names)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("noise", [b"<sVg\x9a", b"<SVG\x00", b"<svgz"])
def test_what_comes_up_by_chance_in_a_large_picture_is_no_page(noise: bytes) -> None:
    """Four letters in either case come up in one of fifty photographs of ten megabytes."""
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "JPEG", comment=b"x" * 100 + noise)
    assert sniff(target.getvalue()) == "image/jpeg"
    for page in (b"<svg onload=x>", b"<svg>", b"<SVG\n", b"<svg/onload"):
        target = io.BytesIO()
        Image.new("RGB", (8, 8)).save(target, "JPEG", comment=page)
        assert why(target.getvalue()) == "POLYGLOT"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_sizes_of_pictures_at_their_limits(kind: str) -> None:
    for size, expected in [((1, 1), None), ((20_000, 1), None), ((20_001, 1), "x"), ((1, 50_000), "x")]:
        target = io.BytesIO()
        Image.new("L", size).save(target, kind)
        if expected is None:
            assert sniff(target.getvalue()) == f"image/{kind.lower()}"
        else:
            assert why(target.getvalue()) == "TOO_MANY_PIXELS"


@given(st.sampled_from([jpeg(), png(), pdf()]), st.integers(0, 2_000), st.integers(0, 255))
def test_changed_bytes_never_break_it(content: bytes, at: int, value: int) -> None:
    at %= len(content)
    with contextlib.suppress(ServiceError):
        assert sniff(content[:at] + bytes([value]) + content[at + 1 :]) in set(MediaType)
