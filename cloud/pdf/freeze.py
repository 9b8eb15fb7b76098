"""Freezing: all fields are made at once, and the platform certifies that nothing but these may change."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

import pikepdf
from pikepdf import Array, Dictionary, Name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from cloud.pdf.appearance import shown_size, upright
from cloud.pdf.engine import Wanted, act_of, add_evidence, as_asn1, put_signature
from cloud.pdf.fields import CERTIFICATION, Place, check_places
from cloud.pdf.geometry import Sheet, sheet_of
from cloud.pdf.intake import check_document, open_strictly
from cloud.pdf.ports import Identity, Stamper
from cloud.pdf.stamping import Stamping

_PRINTED = 4 | 128  # printed, and not to be moved (ISO 32000-2, table 167)
_APPEND_ONLY = 3  # signatures are there, and a file must only be added to (table 225)


def freeze(
    content: bytes,
    places: Sequence[Place],
    *,
    identity: Identity,
    stamper: Stamper,
    at: datetime,
    reason: str = "",
) -> bytes:
    """The document with its fields and a certifying signature that allows filling them, no more.

    The file is written anew, with what its pages need: nothing of its earlier versions is left, and there is
    one way to read it.

    Raises:
        PdfRefused: ``content`` is none that ``check_document`` lets pass.
        PlacesRefused
        StampUnavailable
    """
    document = check_document(content)
    check_places(document, places)
    buffer = io.BytesIO(_with_fields(content, places))
    act = act_of(identity, Stamping(stamper), at=at, reason=reason)

    def prepare(writer: IncrementalPdfFileWriter) -> Wanted:
        add_evidence(writer, map(as_asn1, identity.chain), identity.crls)
        return Wanted(certify=True)

    put_signature(buffer, act, CERTIFICATION, prepare)
    return buffer.getvalue()


def _with_fields(content: bytes, places: Sequence[Place]) -> bytes:
    """The same bytes for the same input."""
    output = io.BytesIO()
    with open_strictly(content) as pdf:
        held = Array()
        for place in places:
            page = pdf.pages[place.page - 1].obj
            field = pdf.make_indirect(_field(pdf, place, page, sheet_of(page)))
            page.Annots = Array([*page.get("/Annots", Array()), field])
            held.append(field)
        pdf.Root.AcroForm = pdf.make_indirect(Dictionary(Fields=held, SigFlags=_APPEND_ONLY))
        pdf.save(
            output,
            deterministic_id=True,
            min_version="1.7",
            object_stream_mode=pikepdf.ObjectStreamMode.disable,
        )
    return output.getvalue()


def _field(pdf: pikepdf.Pdf, place: Place, page: pikepdf.Object, sheet: Sheet) -> Dictionary:
    """A signature field that shows nothing yet."""
    rectangle = [round(edge, 4) for edge in sheet.rectangle(place.box)]
    width, height = shown_size(rectangle, sheet.rotate)
    nothing = pdf.make_stream(b"")
    nothing.update(
        {
            "/Type": Name.XObject,
            "/Subtype": Name.Form,
            "/BBox": Array([0, 0, round(width, 4), round(height, 4)]),
            "/Matrix": Array(list(upright(sheet.rotate))),
            "/Resources": Dictionary(),
        }
    )
    return Dictionary(
        Type=Name.Annot,
        Subtype=Name.Widget,
        FT=Name.Sig,
        T=place.name,
        F=_PRINTED,
        P=page,
        Rect=Array(rectangle),
        MK=Dictionary(R=sheet.rotate),
        AP=Dictionary(N=pdf.make_indirect(nothing)),
    )
