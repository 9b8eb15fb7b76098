"""Which PDF may become a contract."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress

import pikepdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pikepdf import Array, Dictionary, Name
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from cloud.pdf.intake import MAX_BYTES, MAX_PAGES, Page, PdfRefused, Why, check_document
from tests.support import pdf_samples as samples


def test_pages_and_digest() -> None:
    content = samples.several_pages(3)
    document = check_document(content)
    assert document.pages == (Page(595.0, 842.0),) * 3
    assert document.sha256 == hashlib.sha256(content).digest()


@pytest.mark.parametrize(("word", "content"), samples.refused())
def test_refused(word: str, content: bytes) -> None:
    with pytest.raises(PdfRefused) as caught:
        check_document(content)
    assert caught.value.why is Why(word)
    assert str(caught.value) == caught.value.message != ""


def test_too_many_bytes() -> None:
    with pytest.raises(PdfRefused) as caught:
        check_document(b"%PDF-1.7" + bytes(MAX_BYTES))
    assert caught.value.why is Why.SIZE


def test_the_most_pages() -> None:
    assert len(check_document(samples.plain(MAX_PAGES)).pages) == MAX_PAGES


@pytest.mark.parametrize(
    "content",
    [
        samples.rotated(90),
        samples.rotated(-90),
        samples.rotated(180),
        samples.cropped(),
        samples.cropped(degrees=270),
        samples.cropped((-100, -50, 300, 5000)),
        samples.cropped((300, 700, 50, 80), origin=40),
        samples.linked(),
    ],
)
def test_sizes_are_those_that_a_reader_shows(content: bytes) -> None:
    page = check_document(content).pages[0]
    document = pypdfium2.PdfDocument(content)
    try:
        assert (page.width, page.height) == pytest.approx(document[0].get_size(), abs=0.01)
    finally:
        document.close()


def test_units_of_a_page_are_told_in_points() -> None:
    assert check_document(samples.user_unit(2.0)).pages == (Page(1190.0, 1684.0),)


def test_a_page_inherits_its_size() -> None:
    def lift(pdf: pikepdf.Pdf) -> None:
        page = pdf.pages[0].obj
        page.Parent.MediaBox, page.Parent.Rotate = Array([0, 0, 300, 400]), 90
        del page["/MediaBox"]
        if "/Rotate" in page:
            del page["/Rotate"]

    content = samples.changed(samples.plain(), lift)
    assert check_document(content).pages == (Page(400.0, 300.0),)


@pytest.mark.parametrize(
    "change",
    [
        lambda page: page.update({"/Rotate": 45}),
        lambda page: page.update({"/MediaBox": Array([0, 0, 10, 10])}),
        lambda page: page.update({"/CropBox": Array([2000, 2000, 2100, 2100])}),
        lambda page: page.update({"/UserUnit": 0}),
        lambda page: page.update({"/MediaBox": Array([0, 0, 10**9, 10])}),
    ],
)
def test_a_page_without_a_usable_size(change: object) -> None:
    content = samples.changed(samples.plain(), lambda pdf: change(pdf.pages[0].obj))  # type: ignore[operator]
    with pytest.raises(PdfRefused) as caught:
        check_document(content)
    assert caught.value.why is Why.PAGE_SIZE


def test_a_stream_that_cannot_be_unpacked_is_damage() -> None:
    content = bytearray(samples.plain())
    content[content.index(b"stream") + 60] ^= 0x55
    with pytest.raises(PdfRefused) as caught:
        check_document(bytes(content))
    assert caught.value.why is Why.DAMAGED


@pytest.mark.parametrize("at", range(0, 100, 7))
def test_a_file_that_was_cut_is_damaged(at: int) -> None:
    content = samples.plain()
    with pytest.raises(PdfRefused) as caught:
        check_document(content[: len(content) * at // 100])
    assert caught.value.why is Why.DAMAGED


@pytest.mark.parametrize(
    ("why", "action"),
    [
        (Why.ACTION, Dictionary(S=Name.SubmitForm, F="http://example.org")),
        (Why.ACTION, Dictionary(S=Name.GoToR, F="other.pdf", D=Array([0, Name.Fit]))),
        (Why.ACTION, Dictionary(S=Name.ImportData, F="data.fdf")),
        (Why.ACTION, Dictionary(S=Name.Hide, T="field")),
        (
            Why.JAVASCRIPT,
            Dictionary(S=Name.URI, URI="https://example.org", Next=Dictionary(S=Name.JavaScript, JS="1")),
        ),
        (
            Why.ACTION,
            Dictionary(S=Name.URI, URI="https://example.org", Next=Array([Dictionary(S=Name.Launch)])),
        ),
        (
            Why.ACTION,
            Dictionary(
                S=Name.URI, URI="https://example.org", Next=Array([Array([Dictionary(S=Name.Launch)])])
            ),
        ),
    ],
)
def test_actions_of_links(why: Why, action: Dictionary) -> None:
    def add(pdf: pikepdf.Pdf) -> None:
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([1, 1, 9, 9]), A=action)
        pdf.pages[0].obj.Annots = Array([pdf.make_indirect(link)])

    with pytest.raises(PdfRefused) as caught:
        check_document(samples.changed(samples.plain(), add))
    assert caught.value.why is why


@pytest.mark.parametrize(
    ("why", "found"),
    [
        (Why.ATTACHMENT, Dictionary(Subtype=Name.FileAttachment)),
        (Why.ACTION, Dictionary(Subtype=Name.RichMedia)),
        (
            Why.ACTION,
            Dictionary(Type=Name.Annot, Subtype=Name.Square, Rect=Array([1, 1, 9, 9]), AA=Dictionary()),
        ),
    ],
)
def test_annotations_that_do_more_than_show(why: Why, found: Dictionary) -> None:
    found.update({"/Type": Name.Annot, "/Rect": Array([1, 1, 9, 9])})
    content = samples.changed(
        samples.plain(),
        lambda pdf: pdf.pages[0].obj.update({"/Annots": Array([pdf.make_indirect(found)])}),
    )
    with pytest.raises(PdfRefused) as caught:
        check_document(content)
    assert caught.value.why is why


def opening(make: Callable[[pikepdf.Object], object]) -> bytes:
    """A document that does this when it is opened; ``make`` is told its page."""
    return samples.changed(
        samples.plain(), lambda pdf: pdf.Root.update({"/OpenAction": make(pdf.pages[0].obj)})
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda page: Array([page, Name.Fit]),
        lambda _: Name.Chapter,
        lambda page: Dictionary(S=Name.GoTo, D=Array([page, Name.XYZ, None, None, 1])),
    ],
)
def test_a_document_may_open_at_a_page(make: Callable[[pikepdf.Object], object]) -> None:
    assert check_document(opening(make)).pages


@pytest.mark.parametrize(
    "make",
    [
        lambda _: Dictionary(S=Name.URI, URI="https://example.org"),
        lambda _: Dictionary(S=Name.Named, N=Name.Print),
        lambda _: Dictionary(S=Name.Thread, D=0),
        lambda _: Dictionary(D=Name.Chapter),
        lambda _: Array([Dictionary(S=Name.URI, URI="https://example.org")]),
        lambda page: Dictionary(
            S=Name.GoTo,
            D=Array([page, Name.Fit]),
            Next=Array([Dictionary(S=Name.URI, URI="https://example.org")]),
        ),
    ],
)
def test_on_opening_nothing_happens_but_that(make: Callable[[pikepdf.Object], object]) -> None:
    with pytest.raises(PdfRefused) as caught:
        check_document(opening(make))
    assert caught.value.why is Why.ACTION


def test_steps_of_a_presentation_are_refused() -> None:
    def add(pdf: pikepdf.Pdf) -> None:
        page = pdf.pages[0].obj
        page.PresSteps = pdf.make_indirect(Dictionary(NA=Dictionary(S=Name.Launch, F="program")))

    with pytest.raises(PdfRefused) as caught:
        check_document(samples.changed(samples.plain(), add))
    assert caught.value.why is Why.ACTION


def test_what_nothing_refers_to_is_looked_at_too() -> None:
    writer = IncrementalPdfFileWriter(io.BytesIO(samples.plain()))
    script = {"/S": generic.NameObject("/JavaScript"), "/JS": generic.pdf_string("1")}
    writer.add_object(generic.DictionaryObject({generic.pdf_name(key): one for key, one in script.items()}))
    output = io.BytesIO()
    writer.write(output)
    with pytest.raises(PdfRefused) as caught:
        check_document(output.getvalue())
    assert caught.value.why is Why.JAVASCRIPT


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_to_a_file_it_is_accepted_or_refused_with_a_reason(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([samples.linked(), samples.cropped(), samples.form()])))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.sampled_from(b"0123456789/<>[]() Rr\x00\xffabc"))
    with suppress(PdfRefused):
        assert check_document(bytes(content)).pages
