"""Attacks on signed PDF that have been published, each on one of our documents.

Shadow attacks (Mainka et al., NDSS 2021), universal forgery, incremental saving and wrapping (Mladenov et
al., CCS 2019), attacks on certified documents (Rohlmann et al., S&P 2021), and tricks with tables.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.dss import DocumentSecurityStore

from tests.support.tampering import Change, field_of, page_of, updated

Attack = Callable[[bytes], bytes]

_PAINT = b"1 0 0 rg 0 0 595 842 re f"


def by(change: Change) -> Attack:
    """The attack that appends a revision with ``change``."""
    return lambda content: updated(content, change)


def in_catalog(key: str, value: Callable[[IncrementalPdfFileWriter], generic.PdfObject]) -> Attack:
    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.root[pdf_name(key)] = value(writer)
        writer.update_root()

    return by(change)


def in_page(key: str, value: Callable[[IncrementalPdfFileWriter], generic.PdfObject]) -> Attack:
    def change(writer: IncrementalPdfFileWriter) -> None:
        page = page_of(writer)
        page[pdf_name(key)] = value(writer)
        writer.update_container(page)

    return by(change)


def in_pages(key: str, value: Callable[[IncrementalPdfFileWriter], generic.PdfObject]) -> Attack:
    """What pages inherit."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        pages = writer.root["/Pages"]
        pages[pdf_name(key)] = value(writer)
        writer.update_container(pages)

    return by(change)


def in_form(key: str, value: Callable[[IncrementalPdfFileWriter], generic.PdfObject]) -> Attack:
    def change(writer: IncrementalPdfFileWriter) -> None:
        form = writer.root["/AcroForm"]
        form[pdf_name(key)] = value(writer)
        writer.update_container(form)

    return by(change)


def in_field(key: str, value: Callable[[IncrementalPdfFileWriter], generic.PdfObject]) -> Attack:
    def change(writer: IncrementalPdfFileWriter) -> None:
        field = field_of(writer, "name1")
        field[pdf_name(key)] = value(writer)
        writer.update_container(field)

    return by(change)


def in_signature(key: str, value: generic.PdfObject | None) -> Attack:
    """Universal forgery: the signature lacks what a reader needs to look at it."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        signature = field_of(writer, "name1")["/V"]
        if value is None:
            del signature[key]
        else:
            signature[pdf_name(key)] = value
        writer.update_container(signature)

    return by(change)


def paint(writer: IncrementalPdfFileWriter) -> generic.PdfObject:
    stream = generic.StreamObject(
        {
            pdf_name("/Type"): pdf_name("/XObject"),
            pdf_name("/Subtype"): pdf_name("/Form"),
            pdf_name("/BBox"): _numbers(0, 0, 595, 842),
        },
        stream_data=_PAINT,
    )
    return writer.add_object(stream)


def contents_appended(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        page = page_of(writer)
        page[pdf_name("/Contents")] = generic.ArrayObject([page.raw_get("/Contents"), paint(writer)])
        writer.update_container(page)

    return updated(content, change)


def font_swapped(content: bytes) -> bytes:
    """Shadow attack: the same text, in a font whose letters look like others."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        fonts = page_of(writer)["/Resources"]["/Font"]
        fonts["/F1"][pdf_name("/Encoding")] = generic.DictionaryObject(
            {pdf_name("/Differences"): generic.ArrayObject([generic.NumberObject(49), pdf_name("/nine")])}
        )
        writer.update_container(fonts["/F1"])

    return updated(content, change)


def mark_font_swapped(content: bytes) -> bytes:
    """The glyphs of a mark that is signed."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        mark = field_of(writer, "name1")["/AP"]["/N"]["/Resources"]["/XObject"]["/Mark"]
        fonts = mark["/Resources"]["/Font"]
        for name in fonts:
            fonts[name][pdf_name("/BaseFont")] = pdf_name("/Symbol")
            writer.update_container(fonts[name])

    return updated(content, change)


def catalog_replaced(content: bytes) -> bytes:
    """Shadow attack (replace): another catalog with other pages, by one word of the trailer."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        page = generic.DictionaryObject(dict(page_of(writer)))
        page.pop("/Annots", None)
        page[pdf_name("/Contents")] = paint(writer)
        pages = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Pages"),
                pdf_name("/Kids"): generic.ArrayObject([writer.add_object(page)]),
                pdf_name("/Count"): generic.NumberObject(1),
            }
        )
        writer.root[pdf_name("/Pages")] = writer.add_object(pages)
        writer.update_root()

    return updated(content, change)


def evidence_added(content: bytes) -> bytes:
    """No attack: what a program for long keeping does."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        reader = writer.prev
        certificates = [one.signer_cert for one in reader.embedded_signatures]
        DocumentSecurityStore.supply_dss_in_writer(writer, None, certs=certificates)

    return updated(content, change)


def described(content: bytes) -> bytes:
    """A title, where programs write the time of a change."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.document_meta.title = "Void"
        writer._force_write_when_empty = True

    return updated(content, change)


def evidence_with_more(content: bytes) -> bytes:
    """Something that is no evidence, put among it."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        store = writer.root["/DSS"]
        store[pdf_name("/Certs")].append(paint(writer))
        store[pdf_name("/Page")] = paint(writer)
        writer.update_container(store)

    return updated(content, change)


def unlisted_object(content: bytes) -> bytes:
    """Incremental saving without a table: for readers that look for objects themselves."""
    number = page_number(content)
    return content + b"\n%d 0 obj\n<</Type/Page/MediaBox[0 0 9 9]>>\nendobj\n" % number


def unlisted_object_with_trailer(content: bytes) -> bytes:
    return unlisted_object(content) + b"trailer\n<</Size 3/Root 1 0 R>>\nstartxref\n0\n%%EOF\n"


def table_that_leads_to_itself(content: bytes) -> bytes:
    at = len(content) + 1
    return content + (
        b"\nxref\n0 1\n0000000000 65535 f \ntrailer\n"
        b"<</Size 900/Root 1 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n" % (at, at)
    )


def older_table(content: bytes) -> bytes:
    """The last table is the first one again: the file shows its state before anybody signed."""
    first = re.search(rb"startxref\s+(\d+)", content)
    assert first
    return content + b"\nstartxref\n%s\n%%%%EOF\n" % first[1]


def hidden_in_hybrid_table(content: bytes) -> bytes:
    """A table that says nothing, and a stream beside it that says something to some readers."""
    reader = PdfFileReader(io.BytesIO(content))
    root, size = reader.trailer.raw_get("/Root"), int(reader.trailer["/Size"])
    before = re.findall(rb"startxref\s+(\d+)", content)[-1]
    page = page_number(content)
    at_page = len(content)
    body = b"%d 0 obj\n<</Type/Page/MediaBox[0 0 595 842]>>\nendobj\n" % page
    at_stream = at_page + len(body)
    rows = at_page.to_bytes(4, "big")
    stream = (
        b"%d 0 obj\n<</Type/XRef/Size %d/W[0 4 0]/Index[%d 1]/Root %d 0 R/Length 4>>"
        b"stream\n%s\nendstream\nendobj\n" % (size, size + 1, page, root.idnum, rows)
    )
    at_table = at_stream + len(stream)
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size %d/Root %d 0 R/Prev %s/XRefStm %d>>\n" % (
        size + 1,
        root.idnum,
        before,
        at_stream,
    )
    return content + body + stream + table + b"startxref\n%d\n%%%%EOF\n" % at_table


def in_object_stream(content: bytes) -> bytes:
    """An object that is there already, again within a compressed one, listed by a stream."""
    buffer = io.BytesIO(content)
    writer = IncrementalPdfFileWriter(buffer, strict=False)
    writer._force_write_when_empty = True
    writer.stream_xrefs = True
    store = writer.prepare_object_stream()
    page = page_of(writer)
    page[pdf_name("/Rotate")] = generic.NumberObject(180)
    store.add_object(page.container_ref.idnum, page)
    writer.write_in_place()
    return buffer.getvalue()


def freed(content: bytes) -> bytes:
    """Incremental saving: the object of a signature is given up."""
    reader = PdfFileReader(io.BytesIO(content))
    root = reader.trailer.raw_get("/Root")
    number = next(one.sig_field.raw_get("/V").idnum for one in reader.embedded_signatures[1:])
    before = re.findall(rb"startxref\s+(\d+)", content)[-1]
    table = b"xref\n%d 1\n0000000000 00001 f \ntrailer\n<</Size %d/Root %d 0 R/Prev %s>>\n" % (
        number,
        reader.trailer["/Size"],
        root.idnum,
        before,
    )
    return content + table + b"startxref\n%d\n%%%%EOF\n" % len(content)


def wrapped(content: bytes) -> bytes:
    """Signature wrapping: what is signed is moved back, and something else stands in its place."""
    found = list(re.finditer(rb"/ByteRange \[0 (\d+) (\d+) (\d+)\s*\]", content))[-1]
    first, second, length = map(int, found.groups())
    more = b"\n%d 0 obj\n<</Type/Page>>\nendobj\n" % page_number(content)
    entry = b"/ByteRange [0 %d %d %d]" % (first, second + len(more), length)
    changed = content[: found.start()] + entry.ljust(len(found[0])) + content[found.end() :]
    return changed[:second] + more + changed[second:]


def gap_widened(content: bytes) -> bytes:
    """Wrapping: the gap reaches over an object that is left out of the signature."""
    found = list(re.finditer(rb"/ByteRange \[0 (\d+) (\d+) (\d+)\s*\]", content))[-1]
    first, second, length = map(int, found.groups())
    entry = b"/ByteRange [0 %d %d %d]" % (first, second + 40, length - 40)
    return content[: found.start()] + entry.ljust(len(found[0])) + content[found.end() :]


def page_number(content: bytes) -> int:
    kids = PdfFileReader(io.BytesIO(content)).root["/Pages"]["/Kids"]
    number: int = kids.raw_get(0).idnum
    return number


def _numbers(*values: float) -> generic.ArrayObject:
    return generic.ArrayObject(map(generic.FloatObject, values))


def _number(value: int) -> Callable[[IncrementalPdfFileWriter], generic.PdfObject]:
    return lambda writer: generic.NumberObject(value)


def _dictionary(**values: generic.PdfObject) -> generic.DictionaryObject:
    return generic.DictionaryObject({pdf_name("/" + key): one for key, one in values.items()})


def _file(writer: IncrementalPdfFileWriter) -> generic.PdfObject:
    held = writer.add_object(generic.StreamObject(stream_data=b"another contract"))
    named = _dictionary(F=generic.pdf_string("contract.pdf"), EF=_dictionary(F=held))
    return _dictionary(
        EmbeddedFiles=_dictionary(
            Names=generic.ArrayObject([generic.pdf_string("a"), writer.add_object(named)])
        )
    )


def _layers(writer: IncrementalPdfFileWriter) -> generic.PdfObject:
    layer = writer.add_object(_dictionary(Type=pdf_name("/OCG"), Name=generic.pdf_string("price")))
    return _dictionary(OCGs=generic.ArrayObject([layer]), D=_dictionary(OFF=generic.ArrayObject([layer])))


def _link(writer: IncrementalPdfFileWriter) -> generic.PdfObject:
    return _dictionary(S=pdf_name("/URI"), URI=generic.pdf_string("https://pay.example"))


ATTACKS: dict[str, Attack] = {
    "contents appended": contents_appended,
    "font of a page swapped": font_swapped,
    "font of a mark swapped": mark_font_swapped,
    "catalog leads to other pages": catalog_replaced,
    "page turned": in_page("/Rotate", _number(180)),
    "page cropped": in_page("/CropBox", lambda writer: _numbers(0, 0, 595, 300)),
    "page of another unit": in_page("/UserUnit", _number(2)),
    "page with an action": in_page("/AA", lambda writer: _dictionary(O=_link(writer))),
    "page with other resources": in_page("/Resources", lambda writer: _dictionary()),
    "inherited resources": in_pages("/Resources", lambda writer: _dictionary()),
    "inherited turning": in_pages("/Rotate", _number(90)),
    "file embedded": in_catalog("/Names", _file),
    "layers": in_catalog("/OCProperties", _layers),
    "portfolio": in_catalog("/Collection", lambda writer: _dictionary(View=pdf_name("/H"))),
    "opening action": in_catalog("/OpenAction", _link),
    "permissions": in_catalog("/Perms", lambda writer: _dictionary()),
    "words about the file": described,
    "metadata": in_catalog("/Metadata", paint),
    "page labels": in_catalog("/PageLabels", lambda writer: _dictionary(Nums=generic.ArrayObject())),
    "form of another kind": in_form("/XFA", paint),
    "order of calculation": in_form("/CO", lambda writer: generic.ArrayObject()),
    "looks made anew": in_form("/NeedAppearances", lambda writer: generic.BooleanObject(True)),
    "fonts of the form": in_form("/DR", lambda writer: _dictionary(Font=_dictionary())),
    "look of another state": in_field("/AS", lambda writer: pdf_name("/Off")),
    "looks by state": in_field("/AP", lambda writer: _dictionary(N=_dictionary(Off=paint(writer)))),
    "look when pressed": in_field("/AP", lambda writer: _dictionary(N=paint(writer), D=paint(writer))),
    "mark hidden": in_field("/F", _number(2)),
    "mark with an action": in_field("/A", _link),
    "mark in a layer": in_field("/OC", lambda writer: writer.add_object(_dictionary(Type=pdf_name("/OCG")))),
    "mark with another name": in_field("/T", lambda writer: generic.pdf_string("name9")),
    "no range": in_signature("/ByteRange", None),
    "null range": in_signature("/ByteRange", generic.NullObject()),
    "empty range": in_signature("/ByteRange", generic.ArrayObject()),
    "range of nothing": in_signature("/ByteRange", generic.ArrayObject(map(generic.NumberObject, (0,) * 4))),
    "range with a minus": in_signature(
        "/ByteRange", generic.ArrayObject(map(generic.NumberObject, (0, -1, -1, -1)))
    ),
    "no contents": in_signature("/Contents", None),
    "null contents": in_signature("/Contents", generic.NullObject()),
    "empty contents": in_signature("/Contents", generic.ByteStringObject(b"")),
    "contents of zeros": in_signature("/Contents", generic.ByteStringObject(b"\0" * 64)),
    "no filter": in_signature("/SubFilter", None),
    "time of the signature": in_signature("/M", generic.pdf_string("D:20200101000000Z")),
    "more than evidence": evidence_with_more,
    "object without a table": unlisted_object,
    "object with a trailer": unlisted_object_with_trailer,
    "table that leads to itself": table_that_leads_to_itself,
    "older table": older_table,
    "hybrid table": hidden_in_hybrid_table,
    "object in a stream": in_object_stream,
    "signature given up": freed,
    "wrapped": wrapped,
    "gap widened": gap_widened,
    "end of file twice": lambda content: content + b"%%EOF\n",
    "start twice": lambda content: content + b"startxref\n0\n%%EOF\n",
    "bytes in front": lambda content: b"%PDF-1.7\n" + content,
    "one byte in front": lambda content: b" " + content,
}
