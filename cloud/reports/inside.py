"""What stands in the file of a contract: who signed which field, by which certificate, and who stamped it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from hashlib import sha256

from asn1crypto import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature

from verifield.documents.identifiers import NAME, ORGANISATION_ID

_COMMON_NAME = "2.5.4.3"
_REGISTERED = "NTRCN-"  # ETSI EN 319 412-1: a code of the register of trade of China


@dataclass(frozen=True, slots=True)
class Inside:
    """One signature. ``serial``: lower-case hex. ``stamp``: common name of the time-stamping authority.

    ``uscc``: of the organisation that it was made for; empty where it was made for nobody else.
    """

    name: str
    serial: str
    certificate_sha256: bytes
    signer: str = field(repr=False)
    stamp: str
    uscc: str


def signatures_in(content: bytes) -> dict[str, Inside]:
    """By the names of their fields. The file is one that this service composed, and has its digest."""
    reader = PdfFileReader(io.BytesIO(content))
    return {one.name: one for one in map(_read, reader.embedded_regular_signatures)}


def _read(signature: EmbeddedPdfSignature) -> Inside:
    certificate: x509.Certificate = signature.signer_cert
    return Inside(
        name=str(signature.field_name),
        serial=f"{certificate.serial_number:x}",
        certificate_sha256=sha256(certificate.dump()).digest(),
        signer=_common_name(certificate),
        stamp=_authority_of(signature),
        uscc=_part(certificate, ORGANISATION_ID).removeprefix(_REGISTERED),
    )


def _authority_of(signature: EmbeddedPdfSignature) -> str:
    """Empty where there is no time-stamp."""
    signed = next(extract_tst_data_iter(signature.signer_info, signed=False), None)
    if signed is None:
        return ""
    signer = signed["signer_infos"][0]["sid"].chosen
    certificates = [one.chosen for one in signed["certificates"] or ()]
    serial = signer["serial_number"].native
    made_by = next((one for one in certificates if one.serial_number == serial), None)
    return _common_name(made_by) if made_by is not None else ""


def _common_name(certificate: x509.Certificate) -> str:
    return _part(certificate, NAME) or _part(certificate, _COMMON_NAME)


def _part(certificate: x509.Certificate, kind: str) -> str:
    """A part of the subject's name; empty where it has none."""
    for part in certificate.subject.chosen:
        for one in part:
            if one["type"].dotted == kind:
                return str(one["value"].native)
    return ""
