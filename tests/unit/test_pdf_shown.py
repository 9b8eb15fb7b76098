"""What may become a contract looks the same to everybody, on every screen and on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, Pdf

from cloud.pdf.intake import PdfRefused, Why, check_document
from tests.support import pdf_samples as samples

PRINT = 4


def accepted(change: Callable[[Pdf], object]) -> None:
    assert check_document(samples.changed(samples.plain(), change)).pages


def refused(change: Callable[[Pdf], object], why: Why = Why.ACTION) -> None:
    with pytest.raises(PdfRefused) as caught:
        check_document(samples.changed(samples.plain(), change))
    assert caught.value.why is why


def in_catalog(key: str, found: object) -> Callable[[Pdf], object]:
    return lambda pdf: pdf.Root.update({key: found})


def layered(
    *, layer: dict[str, object] | None = None, default: dict[str, object] | None = None, **more: object
) -> Callable[[Pdf], object]:
    """A clause in a layer that the document has on, and ``more`` that its layers have."""

    def add(pdf: Pdf) -> None:
        group = pdf.make_indirect(Dictionary(Type=Name.OCG, Name="clause", **(layer or {})))
        pdf.pages[0].obj.Resources.Properties = Dictionary({"/Clause": group})
        pdf.pages[0].contents_add(pdf.make_stream(b"/OC /Clause BDC 60 300 475 60 re f EMC"))
        settings = Dictionary(Order=Array([group]), ON=Array([group]))
        for key, found in (default or {}).items():
            settings[f"/{key}"] = Array([group]) if found == "the layer" else found
        pdf.Root.OCProperties = Dictionary(OCGs=Array([group]), D=settings, **more)

    return add


def member(
    which: Callable[[pikepdf.Object, pikepdf.Object], object], kind: str = "/OCMD", **more: object
) -> Callable[[Pdf], object]:
    """A clause that is a member of ``which``, told the only layer of the document and a foreign one."""

    def add(pdf: Pdf) -> None:
        layered()(pdf)
        foreign = pdf.make_indirect(Dictionary(Type=Name.OCG, Name="other"))
        membership = Dictionary(Type=Name(kind), OCGs=which(pdf.Root.OCProperties.OCGs[0], foreign), **more)
        pdf.pages[0].obj.Resources.Properties = Dictionary({"/Clause": pdf.make_indirect(membership)})

    return add


@pytest.mark.parametrize(
    "change",
    [
        layered(),
        layered(layer={"Intent": Name.View}),
        layered(
            layer={
                "Intent": Array([Name.View, Name.Design]),
                "Usage": Dictionary(CreatorInfo=Dictionary(Creator="a drawing program")),
            }
        ),
        layered(default={"OFF": Array(), "AS": Array(), "RBGroups": Array(), "BaseState": Name.ON}),
        layered(Configs=Array([Dictionary(Name="all")])),
        member(lambda own, _: own),
        member(lambda own, _: Array([own]), P=Name.AnyOn),
        member(lambda own, _: Array([own, own]), P=Name.AllOn),
        in_catalog("/OCProperties", Dictionary(OCGs=Array(), D=Dictionary())),
    ],
)
def test_layers_that_are_plainly_on_are_accepted(change: Callable[[Pdf], object]) -> None:
    accepted(change)


@pytest.mark.parametrize(
    "change",
    [
        layered(layer={"Usage": Dictionary(View=Dictionary(ViewState=Name.OFF))}),
        layered(layer={"Usage": Dictionary(View=Dictionary(ViewState=Name.ON))}),
        layered(layer={"Usage": Dictionary(Print=Dictionary(PrintState=Name.OFF))}),
        layered(layer={"Usage": Dictionary(Zoom=Dictionary(min=2))}),
        layered(layer={"Usage": Array()}),
        layered(layer={"Intent": Name.Design}),
        layered(layer={"Intent": Name.All}),
        layered(layer={"Intent": Array([Name.View, Name.All])}),
        layered(layer={"Intent": Array()}),
        layered(default={"OFF": "the layer"}),
        layered(default={"OFF": Name.OFF}),
        layered(default={"BaseState": Name.OFF}),
        layered(default={"BaseState": Name.Unchanged}),
        layered(default={"Intent": Name.Design}),
        layered(default={"AS": Array([Dictionary(Event=Name.View)])}),
        layered(default={"RBGroups": Array([Array()])}),
        layered(Configs=Array([Dictionary(), Dictionary(BaseState=Name.OFF)])),
        layered(Configs=Array([1])),
        layered(Configs=Dictionary()),
    ],
)
def test_layers_that_some_may_not_see_are_refused(change: Callable[[Pdf], object]) -> None:
    refused(change)


@pytest.mark.parametrize(
    "properties",
    [
        Array(),
        Dictionary(),
        Dictionary(OCGs=Array()),
        Dictionary(OCGs=Array(), D=Array()),
        Dictionary(OCGs=Dictionary(), D=Dictionary()),
        Dictionary(OCGs=Array([Dictionary(Type=Name.OCG)]), D=Dictionary()),
        Dictionary(OCGs=Array([1]), D=Dictionary()),
    ],
)
def test_layers_that_cannot_be_read_are_refused(properties: pikepdf.Object) -> None:
    refused(in_catalog("/OCProperties", properties))


@pytest.mark.parametrize(
    "change",
    [
        member(lambda own, _: own, P=Name.AllOff),
        member(lambda own, _: Array([own]), P=Name.AnyOff),
        member(lambda own, _: Array([own]), P="AllOff"),
        member(lambda own, _: Array([own]), VE=Array([Name.Not])),
        member(lambda own, foreign: Array([own, foreign])),
        member(lambda _, foreign: foreign),
        member(lambda _own, _foreign: Array()),
        member(lambda _own, _foreign: 1),
        member(lambda own, _: own, kind="/Other", P=Name.AllOff),
        member(lambda own, _: own, kind="/Other", VE=Array([Name.Not])),
    ],
)
def test_memberships_that_can_hide_are_refused(change: Callable[[Pdf], object]) -> None:
    refused(change)


def test_a_usage_counts_without_a_list_of_layers_too() -> None:
    def add(pdf: Pdf) -> None:
        layered(layer={"Usage": Dictionary(View=Dictionary(ViewState=Name.OFF))})(pdf)
        del pdf.Root["/OCProperties"]

    refused(add)


def test_a_style_may_be_called_as_a_usage_is() -> None:
    accepted(in_catalog("/StructTreeRoot", Dictionary(RoleMap=Dictionary(Usage=Name.P))))


def drawing(pdf: Pdf) -> pikepdf.Stream:
    form = pdf.make_stream(b"0 0 475 60 re f")
    form.update({"/Type": Name.XObject, "/Subtype": Name.Form, "/BBox": Array([0, 0, 475, 60])})
    return form


def annotated(
    subtype: str,
    *,
    flags: object = PRINT,
    looks: Sequence[str] = ("/N",),
    states: bool = False,
    **more: object,
) -> Callable[[Pdf], object]:
    """An annotation with these ``looks``; with ``states`` each has several."""

    def add(pdf: Pdf) -> None:
        found = Dictionary(Type=Name.Annot, Subtype=Name(subtype), Rect=Array([60, 300, 535, 360]), **more)
        if flags is not None:
            found.F = flags
        if looks:
            form = drawing(pdf)
            found.AP = Dictionary({look: Dictionary(On=form) if states else form for look in looks})
        pdf.pages[0].obj.Annots = Array([pdf.make_indirect(found)])

    return add


def link(**more: object) -> Callable[[Pdf], object]:
    return annotated("/Link", flags=more.pop("F", None), looks=(), **more)


@pytest.mark.parametrize(
    "change",
    [
        annotated("/Stamp"),
        annotated("/Stamp", flags=PRINT | 64 | 128 | 512),
        annotated("/Highlight"),
        annotated("/FreeText", Contents="a remark"),
        annotated("/Watermark"),
        link(),
        link(Border=Array([0, 0, 0])),
        link(BS=Dictionary(W=0), F=PRINT),
        link(BS=Dictionary(W=0), Border=Array([0, 0, 0, Array()])),
        annotated("/Popup", flags=None, looks=()),
        annotated("/Popup", flags=28, looks=(), Open=False),
        lambda pdf: pdf.pages[0].obj.update({"/Annots": Array([None])}),
    ],
)
def test_annotations_that_look_the_same_are_accepted(change: Callable[[Pdf], object]) -> None:
    accepted(change)


@pytest.mark.parametrize(
    "flags",
    [
        None,
        0,
        PRINT | 1,  # Invisible
        PRINT | 2,  # Hidden
        PRINT | 8,  # NoZoom
        PRINT | 16,  # NoRotate
        PRINT | 32,  # NoView
        PRINT | 256,  # ToggleNoView
        PRINT | 1 << 20,
        -1,
        "4",
    ],
)
def test_annotations_that_are_not_shown_as_they_are_printed_are_refused(flags: object) -> None:
    refused(annotated("/Stamp", flags=flags))


@pytest.mark.parametrize(
    "change",
    [
        annotated("/Line", looks=(), L=Array([60, 330, 535, 330])),
        annotated("/Stamp", looks=("/N", "/R")),
        annotated("/Stamp", looks=("/D",)),
        annotated("/Stamp", states=True, AS=Name.On),
        annotated("/Stamp", looks=(), AP=Name.N),
        annotated("/Text"),
        annotated("/Redact"),
        annotated("/Unknown"),
        annotated("/Watermark", FixedPrint=Dictionary(Type=Name.FixedPrint)),
        annotated("/Popup"),
        annotated("/Popup", looks=(), Open=True),
        lambda pdf: pdf.pages[0].obj.update({"/Annots": Array([Name.Stamp])}),
    ],
)
def test_annotations_that_readers_draw_differently_are_refused(change: Callable[[Pdf], object]) -> None:
    refused(change)


@pytest.mark.parametrize(
    "change",
    [
        annotated("/Link"),
        link(Border=Array([0, 0, 1])),
        link(Border=Array([0, 0, 1]), F=PRINT),
        link(Border=Array()),
        link(Border=0),
        link(BS=Dictionary()),
        link(BS=Dictionary(W=60)),
        link(BS=Array()),
        link(BS=Dictionary(W=0), Border=Array([0, 0, 1])),
        link(BS=Dictionary(W=1), Border=Array([0, 0, 0])),
    ],
)
def test_links_that_draw_something_are_refused(change: Callable[[Pdf], object]) -> None:
    refused(change)


def test_annotations_that_are_no_list_are_damage() -> None:
    refused(lambda pdf: pdf.pages[0].obj.update({"/Annots": Dictionary()}), Why.DAMAGED)


def placed(stream: bytes, **entries: object) -> Callable[[Pdf], object]:
    """An object on the page with these entries."""

    def add(pdf: Pdf) -> None:
        found = pdf.make_stream(stream)
        found.update({"/Type": Name.XObject} | {f"/{key}": entry for key, entry in entries.items()})
        pdf.pages[0].obj.Resources.XObject = Dictionary(I=found)
        pdf.pages[0].contents_add(pdf.make_stream(b"q 475 0 0 60 60 300 cm /I Do Q"))

    return add


def picture(**more: object) -> Callable[[Pdf], object]:
    return placed(
        bytes(3), Subtype=Name.Image, Width=1, Height=1, ColorSpace=Name.DeviceRGB, BitsPerComponent=8, **more
    )


def form(**more: object) -> Callable[[Pdf], object]:
    return placed(b"", Subtype=Name.Form, BBox=Array([0, 0, 9, 9]), **more)


@pytest.mark.parametrize(
    "change",
    [
        picture(Alternates=Array([Dictionary(DefaultForPrinting=True)])),
        picture(OPI=Dictionary()),
        form(OPI=Dictionary()),
        form(Ref=Dictionary(F="other.pdf", Page=0)),
        form(Subtype2=Name.PS),
        placed(b"showpage", Subtype=Name.PS),
        *(
            in_catalog("/ViewerPreferences", Dictionary({f"/{area}": Name.MediaBox}))
            for area in ("ViewArea", "ViewClip", "PrintArea", "PrintClip")
        ),
        in_catalog("/ViewerPreferences", Array()),
    ],
)
def test_what_prints_otherwise_is_refused(change: Callable[[Pdf], object]) -> None:
    refused(change)


@pytest.mark.parametrize(
    "change",
    [
        picture(),
        form(),
        in_catalog("/ViewerPreferences", Dictionary(PrintArea=Name.CropBox, DisplayDocTitle=True)),
    ],
)
def test_plain_pictures_and_preferences_are_accepted(change: Callable[[Pdf], object]) -> None:
    accepted(change)
