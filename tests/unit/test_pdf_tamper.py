"""What somebody does to a signed document is found, whatever pdfsig says of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from cloud.pdf.fields import Box, Kind, Place
from cloud.pdf.freeze import freeze
from cloud.pdf.marks import date_mark, name_mark
from cloud.pdf.sign import Filled, finish, sign
from tests.support import pdf_samples as samples
from tests.support.pdf_signing import NOW, check_valid, holds, installed, judged, pdfsig, signing_authority

Writer = IncrementalPdfFileWriter
Change = Callable[[Writer], None]


@lru_cache(maxsize=1)
def documents() -> tuple[bytes, bytes, bytes]:
    """Sent, signed by the first of two parties, and complete."""
    authority = signing_authority()
    places = (
        Place("name", Kind.SIGNATURE, 1, Box(60, 300, 120, 40), "one"),
        Place("date", Kind.SIGN_DATE, 1, Box(60, 345, 120, 16), "one"),
        Place("other", Kind.SIGNATURE, 1, Box(300, 300, 120, 40), "two"),
    )
    stamper = authority.stamper()
    sent = freeze(samples.plain(2), places, identity=authority.identity("Platform"), stamper=stamper, at=NOW)
    marks = (Filled("name", name_mark("欧阳·明")), Filled("date", date_mark("2026-11-22 16:00:00")))
    one = sign(sent, marks, identity=authority.identity(), stamper=stamper, at=NOW, reason="").content
    other = (Filled("other", name_mark("王芳")),)
    two = sign(one, other, identity=authority.identity("王芳"), stamper=stamper, at=NOW, reason="").content
    return sent, one, finish(two, stamper=stamper, chain=authority.chain, crls=authority.crls)


def field_of(writer: Writer, name: str) -> generic.DictionaryObject:
    for reference in writer.root["/AcroForm"]["/Fields"]:
        found = reference.get_object()
        if found["/T"] == name:
            writer.mark_update(reference)
            return found
    raise AssertionError(name)


def form(writer: Writer) -> generic.IndirectObject:
    """Something black."""
    stream = generic.StreamObject(stream_data=b"0 0 0 rg 0 0 120 40 re f")
    stream["/Type"], stream["/Subtype"] = pdf_name("/XObject"), pdf_name("/Form")
    stream["/BBox"] = generic.ArrayObject(generic.NumberObject(edge) for edge in (0, 0, 120, 40))
    return writer.add_object(stream)


def painted_over(writer: Writer) -> None:
    page = writer.root["/Pages"]["/Kids"].raw_get(0)
    more = writer.add_object(generic.StreamObject(stream_data=b"0 0 0 rg 60 700 300 60 re f"))
    page.get_object()["/Contents"] = generic.ArrayObject([page.get_object().raw_get("/Contents"), more])
    writer.mark_update(page)


def page_added(writer: Writer) -> None:
    pages = writer.root["/Pages"]
    page = generic.DictionaryObject(
        {
            pdf_name("/Type"): pdf_name("/Page"),
            pdf_name("/Parent"): writer.root.raw_get("/Pages"),
            pdf_name("/MediaBox"): generic.ArrayObject(generic.NumberObject(one) for one in (0, 0, 595, 842)),
            pdf_name("/Resources"): generic.DictionaryObject(),
        }
    )
    pages["/Kids"].append(writer.add_object(page))
    pages["/Count"] = generic.NumberObject(int(pages["/Count"]) + 1)
    writer.update_container(pages["/Kids"])
    writer.update_container(pages)


def page_removed(writer: Writer) -> None:
    pages = writer.root["/Pages"]
    del pages["/Kids"][1]
    pages["/Count"] = generic.NumberObject(1)
    writer.update_container(pages["/Kids"])
    writer.update_container(pages)


def date_rewritten(writer: Writer) -> None:
    field_of(writer, "date")["/AP"] = generic.DictionaryObject({pdf_name("/N"): form(writer)})


def look_of_date_rewritten(writer: Writer) -> None:
    """Within the object that the field keeps referring to."""
    look = field_of(writer, "date")["/AP"].raw_get("/N")
    look.get_object()._data = b"0 0 0 rg 0 0 50 9 re f"
    look.get_object()._encoded_data = None
    writer.mark_update(look)


def mark_replaced(writer: Writer) -> None:
    """The drawing that the look of a field shows."""
    resources = field_of(writer, "name")["/AP"]["/N"]["/Resources"]["/XObject"]
    inner = resources.raw_get("/Mark")
    inner.get_object()._data = b"0 0 0 rg 0 0 50 9 re f"
    inner.get_object()._encoded_data = None
    writer.mark_update(inner)


def stripped(writer: Writer) -> None:
    del field_of(writer, "name")["/V"]


def swapped(writer: Writer) -> None:
    """The signature of one field put into another."""
    one, other = field_of(writer, "name"), field_of(writer, "date")
    one["/V"], other["/V"] = other.raw_get("/V"), one.raw_get("/V")


def moved(writer: Writer) -> None:
    field_of(writer, "name")["/Rect"] = generic.ArrayObject(
        generic.NumberObject(one) for one in (300, 100, 420, 140)
    )


def hidden(writer: Writer) -> None:
    field_of(writer, "date")["/F"] = generic.NumberObject(2)


def removed(writer: Writer) -> None:
    fields = writer.root["/AcroForm"]["/Fields"]
    del fields[1]
    writer.update_container(fields)


def font_replaced(writer: Writer) -> None:
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    fonts = page["/Resources"]["/Font"]
    font = fonts.raw_get(next(iter(fonts)))
    font.get_object()["/BaseFont"] = pdf_name("/Symbol")
    writer.mark_update(font)


def note_added(writer: Writer) -> None:
    page = writer.root["/Pages"]["/Kids"].raw_get(0)
    note = generic.DictionaryObject(
        {
            pdf_name("/Type"): pdf_name("/Annot"),
            pdf_name("/Subtype"): pdf_name("/Stamp"),
            pdf_name("/Rect"): generic.ArrayObject(generic.NumberObject(one) for one in (60, 600, 300, 700)),
            pdf_name("/AP"): generic.DictionaryObject({pdf_name("/N"): form(writer)}),
        }
    )
    page.get_object()["/Annots"].append(writer.add_object(note))
    writer.update_container(page.get_object()["/Annots"])
    writer.mark_update(page)


def place_added(writer: Writer) -> None:
    append_signature_field(writer, SigFieldSpec("more", on_page=0, box=(60, 60, 200, 100)))


def script_added(writer: Writer) -> None:
    action = {pdf_name("/S"): pdf_name("/JavaScript"), pdf_name("/JS"): generic.pdf_string("1")}
    writer.root["/OpenAction"] = generic.DictionaryObject(action)
    writer.update_root()


def empty_field_painted(writer: Writer) -> None:
    """One that waits for its party."""
    field_of(writer, "other")["/AP"] = generic.DictionaryObject({pdf_name("/N"): form(writer)})


def look_of_empty_field_rewritten(writer: Writer) -> None:
    look = field_of(writer, "other")["/AP"].raw_get("/N")
    look.get_object()._data = b"0 0 0 rg 0 0 900 900 re f"
    look.get_object()._encoded_data = None
    writer.mark_update(look)


def empty_field_moved(writer: Writer) -> None:
    edges = (0, 0, 595, 842)
    field_of(writer, "other")["/Rect"] = generic.ArrayObject(generic.NumberObject(one) for one in edges)


CHANGES: tuple[Change, ...] = (
    painted_over,
    page_added,
    page_removed,
    date_rewritten,
    look_of_date_rewritten,
    mark_replaced,
    stripped,
    swapped,
    moved,
    hidden,
    removed,
    font_replaced,
    note_added,
    place_added,
    script_added,
)


def changed(content: bytes, change: Change) -> bytes:
    writer = Writer(io.BytesIO(content))
    change(writer)
    output = io.BytesIO()
    writer.write(output)
    assert output.getvalue().startswith(content)
    return output.getvalue()


def found(content: bytes) -> bool:
    """Whether a signature fails, or is not there any more."""
    try:
        statuses = judged(content, signing_authority())
    except (PdfError, ValueError, KeyError, TypeError, ArithmeticError):
        return True
    names = {name for name, _ in statuses}
    return not all(holds(status) for _, status in statuses) or not {"Platform", "name", "date"} <= names


def test_nothing_is_found_where_nothing_was_done() -> None:
    for content in documents()[1:]:
        assert not found(content)


@pytest.mark.parametrize("which", [1, 2], ids=["half signed", "complete"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_found(change: Change, which: int) -> None:
    assert found(changed(documents()[which], change))


@pytest.mark.req("R175")
def test_a_date_that_is_rewritten_is_found_and_stands_where_it_was_placed() -> None:
    for which in (1, 2):
        for change in (date_rewritten, look_of_date_rewritten, moved, hidden):
            assert found(changed(documents()[which], change))
    writer = Writer(io.BytesIO(documents()[2]))
    rectangle = [float(edge) for edge in field_of(writer, "date")["/Rect"]]
    assert rectangle == pytest.approx([60, 842 - 361, 180, 842 - 345], abs=1)


@pytest.mark.parametrize(
    "change", [empty_field_painted, look_of_empty_field_rewritten, empty_field_moved], ids=range(3)
)
def test_a_field_that_waits_shows_nothing_but_what_its_party_signs(change: Change) -> None:
    for content in documents()[:2]:
        assert not any(holds(status) for _, status in judged(changed(content, change), signing_authority()))


@pytest.mark.parametrize("change", [painted_over, page_added, script_added, place_added])
def test_a_document_that_was_only_sent_is_guarded_by_the_certification(change: Change) -> None:
    statuses = judged(changed(documents()[0], change), signing_authority())
    assert [holds(status) for _, status in statuses] == [False]


def test_a_flipped_byte_is_found_wherever_it_is() -> None:
    """In steps over the whole of the file; what is between signatures and unused has no meaning."""
    content = documents()[1]
    for at in range(10, len(content), len(content) // 25):
        broken = bytearray(content)
        broken[at] ^= 0x10
        spare = content[at : at + 1] == b"0" and set(content[at - 40 : at + 40]) == {ord("0")}
        assert spare or found(bytes(broken)), at


@pytest.mark.skipif(not installed("pdfsig"), reason="pdfsig of poppler-utils is not installed")
def test_pdfsig_alone_is_not_enough(tmp_path: Path) -> None:
    """Why the verdict is one of difference analysis: to pdfsig a page that was painted over is valid."""
    content = changed(documents()[1], painted_over)
    assert pdfsig(content, tmp_path).count("Signature is Valid") == 3
    assert found(content)


def test_the_document_of_another_authority_is_not_ours() -> None:
    authority = signing_authority()
    signing_authority.cache_clear()
    try:
        other = signing_authority()
        statuses = judged(documents()[1], other)
        assert not any(holds(status) for _, status in statuses)
    finally:
        signing_authority.cache_clear()
        documents.cache_clear()
    assert other.root != authority.root
    check_valid(documents()[1], signing_authority())
