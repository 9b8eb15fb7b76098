"""Signing: one signature for each mark, each in a revision of its own; and the closing of a document."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pikepdf
from cryptography import x509
from pikepdf import Array, Dictionary, Name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import enumerate_sig_fields

from cloud.pdf.appearance import MarkStyle, Shelf, shown_size, upright
from cloud.pdf.archive import put_time_stamp
from cloud.pdf.engine import (
    Prepare,
    SignRefused,
    Wanted,
    act_of,
    add_evidence,
    as_asn1,
    open_for_update,
    put_signature,
)
from cloud.pdf.fields import MOST_A_PARTY
from cloud.pdf.marks import Mark, placed
from cloud.pdf.ports import Identity, Stamper, StampUnavailable
from cloud.pdf.stamping import Stamping

__all__ = [
    "Filled",
    "SignRefused",
    "Signed",
    "SignedPart",
    "StampUnavailable",
    "finish",
    "preview",
    "sign",
]


@dataclass(frozen=True, slots=True)
class Filled:
    """A field and what is shown in it. ``name``: of its ``Place``."""

    name: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class SignedPart:
    """One signature. ``serial``: of the certificate. ``time``: of its time-stamp, UTC."""

    name: str
    serial: int
    time: datetime
    before_sha256: bytes
    after_sha256: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """The document with all signatures of one act; ``parts`` in the order they were made."""

    content: bytes
    parts: tuple[SignedPart, ...]


def preview(content: bytes, filled: Sequence[Filled]) -> bytes:
    """The document as it will look, unsigned: for eyes alone. The same input gives the same bytes.

    Raises:
        SignRefused
    """
    output = io.BytesIO()
    shelf = Shelf()
    try:
        with pikepdf.open(io.BytesIO(content), attempt_recovery=False) as pdf:
            empty = {str(field.T): field for field in pdf.Root.AcroForm.Fields if "/V" not in field}
            _check_filled(filled, set(empty))
            for one in filled:
                _show(pdf, empty[one.name], one.mark, shelf)
            pdf.save(output, deterministic_id=True)
    except (pikepdf.PdfError, AttributeError, KeyError) as error:
        raise SignRefused("the document cannot be read") from error
    return output.getvalue()


def sign(
    content: bytes,
    filled: Sequence[Filled],
    *,
    identity: Identity,
    stamper: Stamper,
    at: datetime,
    reason: str,
) -> Signed:
    """All marks of one act, each a signature in a revision of its own: all of them, or none.

    ``at``: aware; the server's time, which the signatures state. ``reason``: what they were given for.

    Raises:
        SignRefused
        StampUnavailable: nothing was signed.
    """
    buffer = io.BytesIO(content)
    turned = _empty_fields(buffer)
    _check_filled(filled, set(turned))
    act = act_of(identity, Stamping(stamper), at=at, reason=reason)
    digest = hashlib.sha256(content)
    shelf = Shelf()
    parts: list[SignedPart] = []
    for one in filled:
        before, start = digest.digest(), len(buffer.getbuffer())
        put_signature(buffer, act, one.name, _prepared(one, turned, identity, shelf, first=not parts))
        shelf.keep()
        with buffer.getbuffer() as view:
            digest.update(view[start:])
        parts.append(
            SignedPart(
                one.name, identity.certificate.serial_number, act.stamping.time, before, digest.digest()
            )
        )
    return Signed(buffer.getvalue(), tuple(parts))


def finish(
    content: bytes, *, stamper: Stamper, chain: Sequence[x509.Certificate], crls: Sequence[bytes]
) -> bytes:
    """The complete document, made to last (PAdES B-LTA): evidence about all signatures, under a time-stamp.

    ``chain``: certificates of all authorities (issuers and roots, of signers and of time-stamps);
    ``crls``: their revocation lists (DER), made after the last signature. What is finished may be finished
    again, years later, with lists and a time-stamp of that day.

    Raises:
        SignRefused: a field is not signed yet.
        StampUnavailable: nothing was changed.
    """
    buffer = io.BytesIO(content)
    if _empty_fields(buffer):
        raise SignRefused("a field is not signed yet")
    put_time_stamp(buffer, Stamping(stamper), chain, crls)
    return buffer.getvalue()


def _prepared(
    one: Filled, turned: dict[str, int], identity: Identity, shelf: Shelf, *, first: bool
) -> Prepare:
    def prepare(writer: IncrementalPdfFileWriter) -> Wanted:
        shelf.begin()
        if first:
            add_evidence(writer, map(as_asn1, identity.chain), identity.crls)
        return Wanted(style=MarkStyle(one.mark, turned[one.name], shelf))

    return prepare


def _empty_fields(buffer: io.BytesIO) -> dict[str, int]:
    """Fields that are not signed, with the turning of their pages."""
    reader = open_for_update(buffer).prev
    found: dict[str, int] = {}
    for name, _, reference in enumerate_sig_fields(reader, filled_status=False):
        field = reference.get_object()
        found[name] = int(field.get("/MK", {}).get("/R", 0))
    return found


def _check_filled(filled: Sequence[Filled], empty: set[str]) -> None:
    names = [one.name for one in filled]
    if not names or len(names) > MOST_A_PARTY:
        raise SignRefused(f"an act of signing sets from 1 to {MOST_A_PARTY} marks")
    if len(set(names)) < len(names) or not set(names) <= empty:
        raise SignRefused("the field is not there or signed already")


def _show(pdf: pikepdf.Pdf, field: pikepdf.Object, mark: Mark, shelf: Shelf) -> None:
    rotate = int(field.MK.R)
    width, height = shown_size([float(edge) for edge in field.Rect], rotate)
    sheet = shelf.sheet(mark, width, height)
    scale, left, bottom = placed(sheet, width, height)
    with pikepdf.open(io.BytesIO(sheet.content)) as source:
        inner = pdf.copy_foreign(source.pages[0].as_form_xobject())
    form = pdf.make_stream(b"q %.6f 0 0 %.6f %.4f %.4f cm /Mark Do Q" % (scale, scale, left, bottom))
    form.update(
        {
            "/Type": Name.XObject,
            "/Subtype": Name.Form,
            "/BBox": Array([0, 0, round(width, 4), round(height, 4)]),
            "/Matrix": Array(list(upright(rotate))),
            "/Resources": Dictionary(XObject=Dictionary(Mark=inner)),
        }
    )
    field.AP = Dictionary(N=form)
