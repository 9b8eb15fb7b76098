"""One signature into one field, with pyHanko: PAdES, a time-stamp, a revision of its own."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import crl as asn1_crl
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.stamp import BaseStampStyle
from pyhanko_certvalidator.registry import SimpleCertificateStore

from cloud.pdf.ports import Identity, StampUnavailable
from cloud.pdf.stamping import Stamping

ROOM = 16 * 1024
"""Bytes for a signature with the longest time-stamp that is taken."""

_USUAL_TOKEN = 6 * 1024  # before it is known how long those of the authority are

_WORDS = 1536  # bytes: all of a signature but certificates and time-stamp
_SPARE = 512  # a token of the same authority is as long as the last one, but for some bytes


class SignRefused(ValueError):
    """A field that is not there, or is signed already; or a document that was not frozen here."""


class _Writer(IncrementalPdfFileWriter):
    """pyHanko's, which leaves what a file says of itself (title, times of changes) as it was certified."""

    def _update_meta(self) -> None:
        return


class _TooLong(Exception):
    """The signature does not fit into the room that was left for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """``style``: of a field that shows something. ``certify``: the first signature, in a field of its own."""

    style: BaseStampStyle | None = None
    certify: bool = False


Prepare = Callable[[IncrementalPdfFileWriter], Wanted]
"""Adds what belongs into the revision of a signature beside it; called again where that is begun anew."""


@dataclass(frozen=True, slots=True)
class Act:
    """What the signatures of one act share. ``reason`` and ``at``: stand in each of them."""

    signer: SimpleSigner
    stamping: Stamping
    at: datetime
    reason: str


def act_of(identity: Identity, stamping: Stamping, *, at: datetime, reason: str) -> Act:
    """The act of ``identity``. The root is left out of signatures: who checks them has it, or trusts none."""
    if at.tzinfo is None:
        raise ValueError("the time of a signature is aware")
    key = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    issuers = [as_asn1(one) for one in identity.chain if one.issuer != one.subject]
    signer = SimpleSigner(
        signing_cert=as_asn1(identity.certificate),
        signing_key=asn1_keys.PrivateKeyInfo.load(key),
        cert_registry=SimpleCertificateStore.from_certs(issuers),  # type: ignore[no-untyped-call]
        embed_roots=False,
    )
    return Act(signer, stamping, at, reason)


def open_for_update(buffer: io.BytesIO) -> IncrementalPdfFileWriter:
    """What will be added to ``buffer``.

    Raises:
        SignRefused: the content is none that was frozen here.
    """
    try:
        buffer.seek(0)
        return _Writer.from_reader(PdfFileReader(buffer))
    except (PdfError, ValueError, KeyError, TypeError) as error:
        raise SignRefused("the document cannot be read") from error


def put_signature(buffer: io.BytesIO, act: Act, name: str, prepare: Prepare) -> None:
    """Sign the field ``name`` in a revision that is added to ``buffer``.

    Raises:
        SignRefused
        StampUnavailable: ``buffer`` is of no use then.
    """
    start = len(buffer.getbuffer())
    tight = (act.stamping.size or _USUAL_TOKEN) + _SPARE + _length_of_certificates(act.signer)
    for room in (tight, max(tight, ROOM)):
        writer = open_for_update(buffer)
        wanted = prepare(writer)
        try:
            run_through(_put(writer, act, name, wanted, room=room))
        except _TooLong:  # another authority answered, with a longer token
            buffer.truncate(start)
            continue
        except SigningError as error:
            raise SignRefused("the field is not there or signed already") from error
        return
    raise StampUnavailable("a time-stamp is longer than there is room for")


async def _put(writer: IncrementalPdfFileWriter, act: Act, name: str, wanted: Wanted, *, room: int) -> None:
    settings = PdfSignatureMetadata(
        field_name=name,
        md_algorithm="sha256",
        reason=act.reason,
        certify=wanted.certify,
        docmdp_permissions=MDPPerm.FILL_FORMS,
        subfilter=SigSeedSubFilter.PADES,
    )
    signer = PdfSigner(
        settings,
        signer=act.signer,
        timestamper=act.stamping,
        stamp_style=wanted.style,
        new_field_spec=SigFieldSpec(name) if wanted.certify else None,
    )
    session = signer.init_signing_session(writer, existing_fields_only=not wanted.certify)
    session.system_time = act.at
    document = session.prepare_tbs_document(validation_info=None, bytes_reserved=2 * room)
    digest, _ = document.digest_tbs_document(in_place=True)
    signature = await act.signer.async_sign(
        digest.document_digest,
        "sha256",
        use_pades=True,
        timestamper=act.stamping,
        signed_attr_settings=PdfCMSSignedAttributes(),
    )
    if len(signature.dump()) > room:
        raise _TooLong
    document.cms_writer.send(signature)


def add_evidence(
    writer: IncrementalPdfFileWriter, certificates: Iterable[asn1_x509.Certificate], crls: Iterable[bytes]
) -> None:
    """Certificates and revocation lists, kept in the document for as long as it is (its DSS)."""
    DocumentSecurityStore.supply_dss_in_writer(
        writer,
        None,
        certs=list(certificates),
        crls=[asn1_crl.CertificateList.load(one) for one in crls],
    )


def run_through(steps: Coroutine[Any, Any, object]) -> None:
    """Run steps of pyHanko, which want an event loop and leave none behind.

    So signing is for threads that run no loop of their own.
    """
    asyncio.run(steps)


def as_asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    """The same certificate, as pyHanko takes it."""
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def _length_of_certificates(signer: SimpleSigner) -> int:
    """And of what else a signature says beside its time-stamp."""
    certificates = (signer.signing_cert, *signer.cert_registry)
    return sum(len(one.dump()) for one in certificates) + _WORDS
