"""PDF files to try: good ones of several forms, and of each kind that is refused. All synthetic."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf
from reportlab.pdfgen.canvas import Canvas

A4 = (595.0, 842.0)


def plain(pages: int = 1, *, size: tuple[float, float] = A4, text: str = "Contract") -> bytes:
    """Some lines on each page; the same arguments give the same bytes."""
    output = io.BytesIO()
    canvas = Canvas(output, pagesize=size, invariant=1)
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 14)
        canvas.drawString(60, size[1] - 60, f"{text}, page {number} of {pages}")
        canvas.setFont("Helvetica", 9)
        for line in range(12):
            canvas.drawString(60, size[1] - 90 - 14 * line, f"{line + 1}. The parties agree on this clause.")
        canvas.showPage()
    canvas.save()
    return output.getvalue()


def several_pages(pages: int = 3) -> bytes:
    return plain(pages)


def large(pages: int = 300) -> bytes:
    """Many pages, each with objects of its own."""
    return plain(pages, text="A long contract")


def rotated(degrees: int = 90, pages: int = 1) -> bytes:
    """Pages that a reader turns clockwise."""
    return changed(plain(pages), lambda pdf: [page.obj.update({"/Rotate": degrees}) for page in pdf.pages])


def cropped(
    box: tuple[float, float, float, float] = (50, 80, 450, 700), *, degrees: int = 0, origin: float = 0
) -> bytes:
    """Pages of which a part is shown; with ``origin`` their corner is not at (0, 0)."""

    def crop(pdf: Pdf) -> None:
        for page in pdf.pages:
            page.obj.MediaBox = Array([-origin, -origin, A4[0], A4[1]])
            page.obj.CropBox = Array(list(box))
            page.obj.Rotate = degrees

    return changed(plain(1), crop)


def user_unit(unit: float = 2.0) -> bytes:
    """A page whose units are larger than points."""
    return changed(plain(1), lambda pdf: pdf.pages[0].obj.update({"/UserUnit": unit}))


def huge_page() -> bytes:
    return plain(1, size=(20_000, 20_000))


def encrypted(*, password: str = "reader") -> bytes:
    output = io.BytesIO()
    with Pdf.open(io.BytesIO(plain())) as pdf:
        pdf.save(output, encryption=pikepdf.Encryption(owner="owner", user=password, R=6))
    return output.getvalue()


def xfa() -> bytes:
    def add(pdf: Pdf) -> None:
        form = pdf.make_stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'/>")
        pdf.Root.AcroForm = Dictionary(Fields=Array(), XFA=form)

    return changed(plain(), add)


def javascript() -> bytes:
    """A script that runs when the document is opened."""
    script = Dictionary(S=Name.JavaScript, JS="app.alert('hello')")
    return changed(plain(), lambda pdf: pdf.Root.update({"/OpenAction": script}))


def named_javascript() -> bytes:
    script = Dictionary(S=Name.JavaScript, JS="app.alert('hello')")
    names = Dictionary(JavaScript=Dictionary(Names=Array(["one", script])))
    return changed(plain(), lambda pdf: pdf.Root.update({"/Names": names}))


def launching() -> bytes:
    """A link that starts a program."""

    def add(pdf: Pdf) -> None:
        action = Dictionary(S=Name.Launch, F="program")
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([10, 10, 90, 30]), A=action)
        pdf.pages[0].obj.Annots = Array([pdf.make_indirect(link)])

    return changed(plain(), add)


def linked() -> bytes:
    """A link to a web page, as many contracts have one: accepted."""

    def add(pdf: Pdf) -> None:
        action = Dictionary(S=Name.URI, URI="https://example.org/")
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([10, 10, 90, 30]), A=action)
        pdf.pages[0].obj.Annots = Array([pdf.make_indirect(link)])

    return changed(plain(), add)


def chinese_font_name() -> bytes:
    """A font whose name is in GBK, as older Chinese programs write it; accepted."""
    return plain(2).replace(b"/BaseFont /Helvetica", b"/BaseFont " + "/宋体123".encode("gbk") + b"  ")


def attachment() -> bytes:
    return changed(plain(), lambda pdf: pdf.attachments.update({"a.txt": b"something else"}))


def form() -> bytes:
    """A text field."""

    def add(pdf: Pdf) -> None:
        rectangle = Array([60, 60, 200, 80])
        field = Dictionary(Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T="amount", Rect=rectangle, F=4)
        held = pdf.make_indirect(field)
        pdf.Root.AcroForm = Dictionary(Fields=Array([held]))
        pdf.pages[0].obj.Annots = Array([held])

    return changed(plain(), add)


def signed() -> bytes:
    """With a field that holds a signature; the signature says nothing."""

    def add(pdf: Pdf) -> None:
        value = Dictionary(
            Type=Name.Sig, Filter=Name("/Adobe.PPKLite"), ByteRange=Array([0, 1, 2, 3]), Contents=b"\0" * 16
        )
        field = Dictionary(
            Type=Name.Annot, Subtype=Name.Widget, FT=Name.Sig, T="one", Rect=Array([0, 0, 0, 0]), V=value
        )
        pdf.Root.AcroForm = Dictionary(Fields=Array([pdf.make_indirect(field)]), SigFlags=3)

    return changed(plain(), add)


def damaged() -> bytes:
    """Cut off."""
    content = plain()
    return content[: len(content) * 2 // 3]


def changing_layers() -> bytes:
    """A layer that is seen on the screen and not on paper."""

    def add(pdf: Pdf) -> None:
        layer = pdf.make_indirect(Dictionary(Type=Name.OCG, Name="price"))
        by_itself = Dictionary(Event=Name.Print, OCGs=Array([layer]), Category=Array([Name.Print]))
        pdf.Root.OCProperties = Dictionary(
            OCGs=Array([layer]), D=Dictionary(Order=Array([layer]), AS=Array([by_itself]))
        )

    return changed(plain(), add)


def changed(content: bytes, change: Callable[[Pdf], object]) -> bytes:
    """``content`` after ``change``, the same bytes each time."""
    output = io.BytesIO()
    with Pdf.open(io.BytesIO(content)) as pdf:
        change(pdf)
        pdf.save(output, deterministic_id=True)
    return output.getvalue()


def refused() -> Sequence[tuple[str, bytes]]:
    """Each kind that is refused: the word of the reason, and a file."""
    return (
        ("DAMAGED", damaged()),
        ("DAMAGED", b"not a PDF"),
        ("DAMAGED", b""),
        ("ENCRYPTED", encrypted()),
        ("ENCRYPTED", encrypted(password="")),
        ("XFA", xfa()),
        ("JAVASCRIPT", javascript()),
        ("JAVASCRIPT", named_javascript()),
        ("ACTION", launching()),
        ("ACTION", changing_layers()),
        ("ATTACHMENT", attachment()),
        ("SIGNED", signed()),
        ("FORM", form()),
        ("PAGES", plain(501)),
        ("PAGE_SIZE", huge_page()),
    )
