"""The last revision of a document: all evidence, and a time-stamp over everything."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.signers import PdfTimeStamper

from cloud.pdf.engine import ROOM, add_evidence, as_asn1, open_for_update, run_through
from cloud.pdf.fields import ARCHIVE
from cloud.pdf.stamping import Stamping


def put_time_stamp(
    buffer: io.BytesIO, stamping: Stamping, chain: Sequence[x509.Certificate], crls: Sequence[bytes]
) -> None:
    """Add the revision to ``buffer``.

    Raises:
        StampUnavailable: ``buffer`` is of no use then.
    """
    writer = open_for_update(buffer)
    count = len(writer.prev.embedded_timestamp_signatures)
    found = {one.dump(): one for one in _certificates(writer.prev)}
    for certificate in chain:
        one = as_asn1(certificate)
        found.setdefault(one.dump(), one)
    add_evidence(writer, found.values(), crls)
    stamper = PdfTimeStamper(stamping, field_name=f"{ARCHIVE}{count + 1}")
    run_through(stamper.async_timestamp_pdf(writer, "sha256", bytes_reserved=2 * ROOM, in_place=True))


def _certificates(reader: PdfFileReader) -> Iterator[asn1_x509.Certificate]:
    """Those of all signers and of all time-stamps, as the signatures carry them."""
    for signature in reader.embedded_signatures:
        yield from _of(signature.signed_data)
        for attribute in signature.signer_info["unsigned_attrs"] or ():
            if attribute["type"].native == "signature_time_stamp_token":
                for token in attribute["values"]:
                    yield from _of(token["content"])


def _of(signed: cms.SignedData) -> Iterator[asn1_x509.Certificate]:
    for one in signed["certificates"]:
        if one.name == "certificate":
            yield one.chosen
