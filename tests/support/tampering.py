"""What people do to signed documents: each takes the bytes of one and gives those of another."""

from __future__ import annotations

import io
from collections.abc import Callable

import pikepdf
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

Change = Callable[[IncrementalPdfFileWriter], None]


def updated(content: bytes, change: Change) -> bytes:
    """``content`` with a revision appended."""
    buffer = io.BytesIO(content)
    writer = IncrementalPdfFileWriter(buffer)
    change(writer)
    writer.write_in_place()
    return buffer.getvalue()


def painted_over(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        paint = writer.add_object(generic.StreamObject(stream_data=b"1 g 60 690 300 30 re f"))
        page = page_of(writer)
        old = page.raw_get("/Contents")
        page[pdf_name("/Contents")] = generic.ArrayObject([old, paint])
        writer.update_container(page)

    return updated(content, change)


def replaced(content: bytes) -> bytes:
    """The content of a page is another one, under the same number."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        stream = page_of(writer)["/Contents"]
        stream._data = stream.data.replace(b"contract", b"contrabt")
        stream._encoded_data = None
        writer.update_container(stream)

    return updated(content, change)


def page_added(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        page = generic.DictionaryObject(dict(page_of(writer)))
        page.pop("/Annots", None)
        _pages(writer).append(writer.add_object(page))
        _count(writer, +1)

    return updated(content, change)


def page_removed(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        _pages(writer).pop()
        _count(writer, -1)

    return updated(content, change)


def pages_swapped(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        pages = _pages(writer)
        pages[0], pages[1] = pages.raw_get(1), pages.raw_get(0)
        writer.update_container(pages)

    return updated(content, change)


def look_rewritten(content: bytes, name: str) -> bytes:
    """A mark shows something else: a date another day."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        field = field_of(writer, name)
        field["/AP"][pdf_name("/N")] = writer.add_object(
            generic.StreamObject(
                {
                    pdf_name("/Type"): pdf_name("/XObject"),
                    pdf_name("/Subtype"): pdf_name("/Form"),
                    pdf_name("/BBox"): generic.ArrayObject(map(generic.NumberObject, (0, 0, 110, 20))),
                },
                stream_data=b"0 g 0 0 110 20 re f",
            )
        )
        writer.update_container(field["/AP"])
        writer.update_container(field)

    return updated(content, change)


def drawn_anew(content: bytes, name: str) -> bytes:
    """As :func:`look_rewritten`, in the stream that is there."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        stream = field_of(writer, name)["/AP"]["/N"]
        stream._data, stream._encoded_data = b"0 g 0 0 99 9 re f", None
        stream.pop("/Filter", None)
        writer.update_container(stream)

    return updated(content, change)


def stripped(content: bytes, name: str) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        field = field_of(writer, name)
        del field["/V"]
        writer.update_container(field)

    return updated(content, change)


def field_removed(content: bytes, name: str) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        form = writer.root["/AcroForm"]
        kept = [one for one in form["/Fields"] if one.get_object()["/T"] != name]
        form[pdf_name("/Fields")] = generic.ArrayObject(
            generic.IndirectObject(one.get_object().container_ref.idnum, 0, writer) for one in kept
        )
        writer.update_container(form)

    return updated(content, change)


def form_removed(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        del writer.root["/AcroForm"]
        writer.update_root()

    return updated(content, change)


def moved(content: bytes, name: str) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        field = field_of(writer, name)
        field[pdf_name("/Rect")] = generic.ArrayObject(map(generic.NumberObject, (300, 300, 420, 340)))
        writer.update_container(field)

    return updated(content, change)


def annotated(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        note = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Annot"),
                pdf_name("/Subtype"): pdf_name("/FreeText"),
                pdf_name("/Rect"): generic.ArrayObject(map(generic.NumberObject, (60, 600, 300, 640))),
                pdf_name("/Contents"): generic.pdf_string("PAID"),
                pdf_name("/DA"): generic.pdf_string("/Helv 12 Tf 0 g"),
            }
        )
        _annotations(writer).append(writer.add_object(note))
        writer.update_container(_annotations(writer))

    return updated(content, change)


def field_added(content: bytes, kind: str = "/Tx") -> bytes:
    """A field of ``kind``: a text, or a signature that nobody asked for."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        field = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Annot"),
                pdf_name("/Subtype"): pdf_name("/Widget"),
                pdf_name("/FT"): pdf_name(kind),
                pdf_name("/T"): generic.pdf_string("extra"),
                pdf_name("/F"): generic.NumberObject(4),
                pdf_name("/Rect"): generic.ArrayObject(map(generic.NumberObject, (0, 0, 0, 0))),
            }
        )
        reference = writer.add_object(field)
        form = writer.root["/AcroForm"]
        form["/Fields"].append(reference)
        writer.update_container(form["/Fields"])
        writer.update_container(form)
        _annotations(writer).append(reference)
        writer.update_container(_annotations(writer))

    return updated(content, change)


def titled(content: bytes) -> bytes:
    """Only what readers show in the title of their window."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.set_info(
            writer.add_object(generic.DictionaryObject({pdf_name("/Title"): generic.pdf_string("Void")}))
        )

    return updated(content, change)


def lying_about(content: bytes) -> bytes:
    """An object that nothing uses, for a reader that finds its way in another manner."""
    return updated(
        content, lambda writer: writer.add_object(generic.StreamObject(stream_data=b"hidden")) and None
    )


def scripted(content: bytes) -> bytes:
    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.root[pdf_name("/OpenAction")] = generic.DictionaryObject(
            {pdf_name("/S"): pdf_name("/JavaScript"), pdf_name("/JS"): generic.pdf_string("app.alert(1)")}
        )
        writer.update_root()

    return updated(content, change)


def saved_anew(content: bytes) -> bytes:
    """By a program that knows nothing of signatures."""
    output = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        pdf.save(output)
    return output.getvalue()


def without_signatures(content: bytes) -> bytes:
    """What a forger begins with: the pages alone."""
    output = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        del pdf.Root.AcroForm
        for name in ("/Perms", "/DSS"):
            if name in pdf.Root:
                del pdf.Root[name]
        for page in pdf.pages:
            if "/Annots" in page:
                del page.Annots
        pdf.save(output)
    return output.getvalue()


def page_of(writer: IncrementalPdfFileWriter) -> generic.DictionaryObject:
    page, _ = writer.find_page_for_modification(0)
    found: generic.DictionaryObject = page.get_object()
    return found


def _annotations(writer: IncrementalPdfFileWriter) -> generic.ArrayObject:
    found: generic.ArrayObject = page_of(writer)["/Annots"]
    return found


def _pages(writer: IncrementalPdfFileWriter) -> generic.ArrayObject:
    kids: generic.ArrayObject = writer.root["/Pages"]["/Kids"]
    writer.update_container(kids)
    return kids


def _count(writer: IncrementalPdfFileWriter, by: int) -> None:
    pages = writer.root["/Pages"]
    pages[pdf_name("/Count")] = generic.NumberObject(pages["/Count"] + by)
    writer.update_container(pages)


def field_of(writer: IncrementalPdfFileWriter, name: str) -> generic.DictionaryObject:
    for one in writer.root["/AcroForm"]["/Fields"]:
        field: generic.DictionaryObject = one.get_object()
        if field["/T"] == name:
            return field
    raise KeyError(name)
