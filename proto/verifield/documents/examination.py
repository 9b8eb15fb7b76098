"""One signature: what pyHanko finds of it, and what we ask beyond that."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID
from pyhanko.sign.diff_analysis import DiffResult, ModificationLevel
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter
from pyhanko.sign.validation.pdf_embedded import (
    EmbeddedPdfSignature,
    async_validate_pdf_signature,
    async_validate_pdf_timestamp,
)
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import (
    DocumentTimestampStatus,
    PdfSignatureStatus,
    SignatureCoverageLevel,
    TimestampSignatureStatus,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.path import ValidationPath

from verifield.certificates import DAMAGED
from verifield.documents.identifiers import DOCUMENT_SIGNING, NAME, ORGANISATION_ID
from verifield.documents.raw import is_plain, signer_of
from verifield.documents.shape import has_our_form
from verifield.documents.steps import Stepwise
from verifield.documents.tokens import is_for_stamps, to_asn1
from verifield.documents.verdict import Code, Kind, Signature, TimeSource

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far behind the clock of whoever checks may be."""

STATED_TOLERANCE = timedelta(hours=1)
"""Between the time that a signature states, which readers of PDF show, and that of its time-stamp: an act of
many marks states one time, and slow authorities are waited for."""

MAX_NAME_CHARS = 300

PLATFORM = "Platform"
"""Name of the field of the certifying signature."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bench:
    """Whom to trust, and when. ``stamp_roots``: for time-stamps, beside ``roots``.

    ``lists``: of revoked certificates; they are believed where their issuer is trusted. ``steps``: what was
    found of this one document's revisions.
    """

    roots: Sequence[x509.Certificate]
    stamp_roots: Sequence[x509.Certificate]
    at: datetime
    lists: Sequence[x509.CertificateRevocationList] = ()
    steps: Stepwise = field(default_factory=Stepwise)

    def context(self, moment: datetime, *, stamps: bool) -> ValidationContext:
        """For certificates at a moment; nothing is fetched, and revocation is looked at here."""
        roots = [*self.roots, *self.stamp_roots] if stamps else self.roots
        return ValidationContext(trust_roots=to_asn1(roots), moment=moment, allow_fetching=False)


@dataclass(frozen=True, slots=True)
class Examined:
    """``ours``: the certificate is of this deployment, whether or not the signature is good.

    ``stamped``: the time of a time-stamp that is good. ``lists``: those at hand of who issued a certificate
    that it rests on; ``listed``: its own issuer's is among them.
    """

    signature: Signature
    codes: tuple[Code, ...]
    ours: bool
    stamped: datetime | None = None
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    listed: bool = False
    certifies: bool = False


@dataclass(slots=True)
class _Found:
    codes: list[Code] = field(default_factory=list)

    def note(self, code: Code, *, where: bool) -> None:
        if where and code not in self.codes:
            self.codes.append(code)


async def examine(one: EmbeddedPdfSignature, gap: bytes, bench: Bench, *, known_at: datetime) -> Examined:
    """Check one signature. ``gap``: what stands in its place. ``known_at``: it existed by then."""
    is_stamp = one.sig_object_type == "/DocTimeStamp"
    issuers = [*bench.roots, *bench.stamp_roots] if is_stamp else bench.roots
    certificate = signer_of(one.pkcs7_content, issuers)
    try:
        if is_stamp:
            return await _examine_stamp(one, gap, bench, certificate, known_at=known_at)
        return await _examine_signature(one, gap, bench, certificate, known_at=known_at)
    except Exception:
        # Whatever a library raises over bytes that somebody may have made to break it: it is not good.
        _log.debug("a signature could not be examined", exc_info=True)
        signature = _describe(one, certificate, None, TimeSource.CLAIMED, codes=[Code.SIGNATURE_CHANGED])
        return Examined(signature, (Code.SIGNATURE_CHANGED,), ours=certificate is not None)


async def _examine_signature(
    one: EmbeddedPdfSignature,
    gap: bytes,
    bench: Bench,
    certificate: x509.Certificate | None,
    *,
    known_at: datetime,
) -> Examined:
    claimed = _claimed(one)
    stamped = _stamp_time(one)
    moment = stamped or claimed or bench.at
    status: PdfSignatureStatus = await async_validate_pdf_signature(
        one,
        signer_validation_context=bench.context(moment, stamps=False),
        ts_validation_context=bench.context(max(known_at, moment), stamps=True),
        diff_policy=bench.steps,
        key_usage_settings=KeyUsageConstraints(key_usage={"non_repudiation"}),
    )
    found = _Found()
    stamp: TimestampSignatureStatus | None = status.timestamp_validity
    found.note(Code.CHANGED, where=not status.intact)
    found.note(Code.SIGNATURE_CHANGED, where=not status.valid or not _has_form(one, gap, bench))
    found.note(Code.CONTENT_CHANGED, where=not status.docmdp_ok or not _is_whole(one))
    found.note(Code.SIGNATURE_FOREIGN, where=certificate is None)
    found.note(
        Code.CERTIFICATE_UNFIT,
        where=certificate is not None
        and status.valid
        and not (status.trusted and _is_for_documents(certificate)),
    )
    found.note(Code.STAMP_MISSING, where=stamp is None)
    if stamp is not None:
        found.note(Code.SIGNATURE_CHANGED, where=not (stamp.intact and stamp.valid))
        trusted = stamp.trusted and is_for_stamps(stamp.signing_cert)
        found.note(Code.STAMP_UNTRUSTED, where=stamp.intact and stamp.valid and not trusted)
    found.note(Code.TIME_AHEAD, where=moment > bench.at + CLOCK_TOLERANCE)
    found.note(Code.TIME_DIFFERS, where=stamped is not None and not _is_near(claimed, stamped))
    paths = [status.validation_path, stamp.validation_path if stamp else None]
    lists, listed, revoked = _look_up(paths, bench, moment)
    found.note(Code.REVOKED, where=revoked)
    found.note(Code.SIGNATURE_CHANGED, where=not status.bottom_line and not found.codes)
    source = TimeSource.TIME_STAMP if stamped else TimeSource.CLAIMED
    return Examined(
        _describe(one, certificate, moment if stamped else claimed, source, codes=found.codes),
        tuple(found.codes),
        ours=certificate is not None,
        lists=lists,
        listed=listed,
        certifies=one.docmdp_level is MDPPerm.FILL_FORMS,
    )


async def _examine_stamp(
    one: EmbeddedPdfSignature,
    gap: bytes,
    bench: Bench,
    certificate: x509.Certificate | None,
    *,
    known_at: datetime,
) -> Examined:
    stamped = one.signed_data["encap_content_info"]["content"].parsed["gen_time"].native
    status: DocumentTimestampStatus = await async_validate_pdf_timestamp(
        one,
        validation_context=bench.context(max(known_at, stamped), stamps=True),
        diff_policy=bench.steps,
    )
    found = _Found()
    changed = status.diff_result
    allowed = isinstance(changed, DiffResult) and changed.modification_level <= ModificationLevel.LTA_UPDATES
    found.note(Code.CHANGED, where=not status.intact)
    found.note(Code.SIGNATURE_CHANGED, where=not status.valid or not _has_form(one, gap, bench))
    found.note(Code.CONTENT_CHANGED, where=not allowed or not _is_whole(one))
    trusted = status.trusted and is_for_stamps(status.signing_cert)
    # An authority that is not known changes nothing in the document, and may be one whose root was not given.
    found.note(Code.STAMP_UNTRUSTED, where=status.valid and not trusted)
    found.note(Code.TIME_AHEAD, where=stamped > bench.at + CLOCK_TOLERANCE)
    lists, listed, revoked = _look_up([status.validation_path], bench, stamped)
    found.note(Code.REVOKED, where=revoked)
    return Examined(
        _describe(one, certificate, stamped, TimeSource.TIME_STAMP, codes=found.codes),
        tuple(found.codes),
        ours=certificate is not None,
        stamped=stamped if not found.codes else None,
        lists=lists,
        listed=listed,
    )


def _is_whole(one: EmbeddedPdfSignature) -> bool:
    """Whether it covers all of the revision that it belongs to, but for itself."""
    return one.coverage is not None and one.coverage >= SignatureCoverageLevel.ENTIRE_REVISION


def _has_form(one: EmbeddedPdfSignature, gap: bytes, bench: Bench) -> bool:
    is_stamp = one.sig_object_type == "/DocTimeStamp"
    wanted = SigSeedSubFilter.ETSI_RFC3161 if is_stamp else SigSeedSubFilter.PADES
    return (
        one.sig_object.get("/SubFilter") == wanted.value
        and is_plain(gap)
        and has_our_form(one.signed_data, roots=[*bench.roots, *bench.stamp_roots], is_token=is_stamp)
    )


def _stamp_time(one: EmbeddedPdfSignature) -> datetime | None:
    for token in extract_tst_data_iter(one.signer_info, signed=False):
        moment = token["encap_content_info"]["content"].parsed["gen_time"].native
        return moment if isinstance(moment, datetime) else None
    return None


def _claimed(one: EmbeddedPdfSignature) -> datetime | None:
    moment = one.self_reported_timestamp
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _is_near(claimed: datetime | None, stamped: datetime) -> bool:
    return claimed is not None and abs(claimed - stamped) <= STATED_TOLERANCE


def _is_for_documents(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *DAMAGED):
        return False
    return x509.ObjectIdentifier(DOCUMENT_SIGNING) in usage


def _look_up(
    paths: Iterable[ValidationPath | None], bench: Bench, moment: datetime
) -> tuple[tuple[x509.CertificateRevocationList, ...], bool, bool]:
    """The lists at hand of who issued a certificate of a path; whether the leaf's issuer has one; and whether
    anybody of a path is revoked by one."""
    found: list[x509.CertificateRevocationList] = []
    listed = revoked = False
    for path in paths:
        if path is None:
            continue
        certificates = [x509.load_der_x509_certificate(one.dump()) for one in path.iter_certs(True)]
        for issuer, certificate in pairwise(certificates):  # from the root down
            for one in _lists_of(issuer, bench.lists):
                found.append(one)
                listed = listed or certificate is certificates[-1]
                since = _revoked_since(one, certificate)
                revoked = revoked or (since is not None and since <= moment)
    return tuple(found), listed, revoked


def _lists_of(
    issuer: x509.Certificate, lists: Sequence[x509.CertificateRevocationList]
) -> Iterator[x509.CertificateRevocationList]:
    for one in lists:
        try:
            if one.issuer == issuer.subject and one.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
                yield one
        except (TypeError, UnsupportedAlgorithm, *DAMAGED):
            continue


def _revoked_since(
    revocations: x509.CertificateRevocationList, certificate: x509.Certificate
) -> datetime | None:
    """Since when what a certificate signs counts for nothing; None where it counts."""
    entry = revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return None
    try:
        return entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    except x509.ExtensionNotFound:
        return entry.revocation_date_utc


def _describe(
    one: EmbeddedPdfSignature,
    certificate: x509.Certificate | None,
    moment: datetime | None,
    source: TimeSource,
    *,
    codes: Sequence[Code],
) -> Signature:
    """``certificate``: one of ours; names in those of others are not repeated."""
    organisation = _attribute(certificate, NameOID.ORGANIZATION_NAME)
    if one.sig_object_type == "/DocTimeStamp":
        kind = Kind.TIME_STAMP
    elif one.field_name == PLATFORM:
        kind = Kind.PLATFORM
    else:
        kind = Kind.SEAL if organisation else Kind.PERSONAL
    return Signature(
        field=_shown(str(one.field_name)),
        kind=kind,
        valid=not codes,
        signer=_attribute(certificate, x509.ObjectIdentifier(NAME))
        or _attribute(certificate, NameOID.COMMON_NAME),
        organisation=organisation,
        uscc=_attribute(certificate, x509.ObjectIdentifier(ORGANISATION_ID)).removeprefix("NTRCN-"),
        time=moment,
        time_source=source,
        covers_file=one.coverage is SignatureCoverageLevel.ENTIRE_FILE,
        serial=f"{certificate.serial_number:x}" if certificate is not None else "",
    )


def _attribute(certificate: x509.Certificate | None, oid: x509.ObjectIdentifier) -> str:
    if certificate is None:
        return ""
    values = certificate.subject.get_attributes_for_oid(oid)
    return _shown(str(values[0].value)) if values else ""


def _shown(text: str) -> str:
    """Without what changes how the rest is read: controls, and marks of direction."""
    kept = (one for one in text[:MAX_NAME_CHARS] if unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
    return "".join(kept)
