"""The verdict on a PDF: whether every signature in it is good and ours, and nothing was changed since.

1  the bytes are looked through for signatures, whatever the structure of the file says
2  the file is read strictly; what was signed here and cannot be read is damaged
3  each signature is checked by pyHanko: what it covers, its arithmetic, what later revisions changed
   (difference analysis, never an indication of the AdES kind), and its certificate at the time of its
   time-stamp, against our roots alone; each time-stamp at a time by which it is known to have existed
4  who was revoked by then does not count
5  the first signature certifies that nothing but fields may change; no field came or went since; before it
   lies the frozen document and no other revision, in which something could have been prepared
6  the last signature covers the file; behind it may stand evidence for long keeping, and nothing else
7  every signature in the bytes is one that the structure still has

Nothing is fetched. What is made to exhaust its reader is for ``apart``, which runs this under limits.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.rw_common import PdfHandler
from pyhanko.sign.diff_analysis import (
    CatalogModificationRule,
    DiffResult,
    DSSCompareRule,
    ModificationLevel,
    ObjectStreamRule,
    StandardDiffPolicy,
    XrefStreamRule,
)
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from verifield.certificates import DAMAGED
from verifield.documents.apart import MAX_DOCUMENT_BYTES
from verifield.documents.examination import Bench, Examined, examine
from verifield.documents.metadata import MetadataRule
from verifield.documents.raw import RawSignature, raw_signatures, signer_of, unhex, was_signed
from verifield.documents.revisions import Reader
from verifield.documents.tokens import run_apart
from verifield.documents.verdict import Code, Finding, Kind, Outcome, Verdict, decide
from verifield.revocation import MAX_REVOCATION_LIST_BYTES

MAX_LISTS = 64

FROZEN_REVISION = 0
"""That of the document as it was frozen; the next one certifies it."""

_HEADER_WITHIN = 1024  # bytes, as readers of PDF look for it
_LTA = ModificationLevel.LTA_UPDATES
_EVIDENCE_ONLY = StandardDiffPolicy(
    global_rules=[
        CatalogModificationRule(  # type: ignore[no-untyped-call]
            ignored_keys={"/DSS", "/Extensions", "/Metadata", "/Version"}
        ),
        XrefStreamRule().as_qualified(_LTA),
        ObjectStreamRule().as_qualified(_LTA),
        DSSCompareRule().as_qualified(_LTA),
        MetadataRule().as_qualified(_LTA),  # type: ignore[no-untyped-call]
    ],
    form_rule=None,
    ignore_orphaned_objects=False,
    ignore_identical_objects=False,
)
"""Stricter than pyHanko's own, which lets titles and unused objects come behind the last signature."""

_log = logging.getLogger(__name__)


def judge(
    content: bytes,
    *,
    roots: Sequence[x509.Certificate],
    at: datetime,
    stamp_roots: Sequence[x509.Certificate] = (),
    revocations: Iterable[bytes] = (),
) -> Verdict:
    """The verdict on a file, for somebody who trusts ``roots`` and asks at the time ``at`` (aware).

    ``stamp_roots``: of time-stamping authorities of others. ``revocations``: lists (DER) beside those in the
    file; one that says nothing of this file is noted. Never raises for what it is given.
    """
    if len(content) > MAX_DOCUMENT_BYTES:
        return Verdict.unknown(Code.TOO_LARGE)
    if b"%PDF-" not in content[:_HEADER_WITHIN]:
        return Verdict.unknown(Code.NOT_PDF)
    raw = list(raw_signatures(content))  # step 1
    ours = [one for one in raw if signer_of(unhex(one.content), roots) is not None]
    try:
        return _judge_read(content, raw, ours, Bench(roots, stamp_roots, at), revocations)
    except MemoryError:
        raise
    except Exception:  # whatever a library raises over bytes that somebody may have made to break it
        _log.debug("a document could not be read", exc_info=True)
        was_ours = bool(ours) or was_signed(content, roots)
        return _without(Code.DAMAGED) if was_ours else Verdict.unknown(Code.UNREADABLE)


@dataclass(frozen=True, slots=True)
class _Read:
    """A file whose structure could be read. ``signed``: in the order of their revisions."""

    content: bytes
    reader: PdfFileReader
    signed: list[EmbeddedPdfSignature]
    open_fields: list[str]


def _judge_read(
    content: bytes,
    raw: list[RawSignature],
    ours: list[RawSignature],
    bench: Bench,
    revocations: Iterable[bytes],
) -> Verdict:
    file = _read(content)  # step 2
    if not file.signed:
        if ours or was_signed(content, bench.roots):
            return _without(Code.SIGNATURE_REMOVED)
        return Verdict.unknown(Code.NOT_OURS if raw else Code.UNSIGNED)
    given = [_parse_list(one) for one in revocations]
    inside = [_parse_list(one) for one in _lists_inside(file.reader)]
    bench = replace(bench, lists=[one for one in (*given, *inside) if one is not None])
    examined = run_apart(_examine_all(file, bench))  # steps 3 and 4
    signatures = tuple(one.signature for one in examined)
    if not ours and not any(one.ours for one in examined):
        return Verdict(Outcome.UNKNOWN, signatures, (Finding(Code.NOT_OURS),))
    findings = [Finding(code, one.signature.field) for one in examined for code in one.codes]
    findings += (Finding(code) for code in _faults(file, examined, ours))  # steps 5 to 7
    if not any(one.signature.covers_file for one in examined) and not _tail_is_evidence(file):
        findings.append(Finding(Code.CONTENT_ADDED))
    told = tuple(dict.fromkeys(findings))
    return Verdict(
        decide(told), signatures, told, tuple(_notes(file, examined, given)), complete=not file.open_fields
    )


def _read(content: bytes) -> _Read:
    reader = Reader(io.BytesIO(content), strict=True)
    if reader.encrypted:
        raise ValueError("the file is encrypted")
    signed, empty = [], []
    for name, value, field in enumerate_sig_fields(reader):
        if value is None:
            empty.append(str(name))
        else:
            signed.append(EmbeddedPdfSignature(reader, field, name))
    signed.sort(key=lambda one: int(one.signed_revision))
    return _Read(content, reader, signed, empty)


async def _examine_all(file: _Read, bench: Bench) -> list[Examined]:
    """From the last to the first: a good time-stamp over the document shows that all before it existed."""
    found = []
    known_at = bench.at
    for one in reversed(file.signed):
        examined = await examine(one, _gap(file.content, one), bench, known_at=known_at)
        if examined.stamped is not None:
            known_at = min(known_at, examined.stamped)
        found.append(examined)
    return found[::-1]


def _gap(content: bytes, one: EmbeddedPdfSignature) -> bytes:
    """What stands where a signature leaves out; empty where its range is not of the common form."""
    values = [int(value) for value in one.byte_range]
    if len(values) != 4 or values[0] != 0:
        return b""
    return content[values[1] : values[2]]


def _faults(file: _Read, examined: Sequence[Examined], ours: Sequence[RawSignature]) -> Iterator[Code]:
    first = file.signed[0]
    if (
        not examined[0].certifies
        or first.signed_revision != FROZEN_REVISION + 1
        or not _is_certified_by(file.reader, first)
    ):
        yield Code.CERTIFICATION_MISSING
    if not _fields_are_those(file, examined):
        yield Code.FIELDS_CHANGED
    reached = {int(one.byte_range[1]) for one in file.signed if len(one.byte_range) > 1}
    if any(one.begin not in reached for one in ours):
        yield Code.SIGNATURE_REMOVED


def _is_certified_by(reader: PdfFileReader, first: EmbeddedPdfSignature) -> bool:
    """Whether the catalog names the first signature as the one that certifies."""
    try:
        named = reader.root["/Perms"].raw_get("/DocMDP")
        own = first.sig_field.raw_get("/V")
    except (KeyError, TypeError, AttributeError):
        return False
    return isinstance(named, generic.IndirectObject) and named.reference == own.reference


def _fields_are_those(file: _Read, examined: Sequence[Examined]) -> bool:
    """Whether the fields are those that were certified, and those of time-stamps over the document."""
    then = file.reader.get_historical_resolver(file.signed[0].signed_revision)
    before, now = _field_names(then), _field_names(file.reader)
    stamps = {
        one.field_name
        for one, found in zip(file.signed, examined, strict=True)
        if found.signature.kind is Kind.TIME_STAMP
    }
    return before is not None and now is not None and before <= now and now - before <= stamps


def _field_names(handler: PdfHandler) -> set[str] | None:
    """Names of all fields; None where one is of another kind, or names are used twice."""
    names = []
    for one in handler.root["/AcroForm"]["/Fields"]:
        field = one.get_object()
        if field.get("/FT") != "/Sig" or "/Kids" in field or "/Parent" in field:
            return None
        names.append(str(field["/T"]))
    return set(names) if len(set(names)) == len(names) else None


def _tail_is_evidence(file: _Read) -> bool:
    """Whether behind the last signature stands what proves the older ones, and nothing else."""
    last = file.signed[-1]
    if last.coverage is not SignatureCoverageLevel.ENTIRE_REVISION:
        return False
    if not file.content.rstrip(b"\r\n").endswith(b"%%EOF"):
        return False
    found = _EVIDENCE_ONLY.review_file(file.reader, last.signed_revision)
    return isinstance(found, DiffResult) and found.modification_level <= _LTA


def _notes(
    file: _Read, examined: Sequence[Examined], given: Sequence[x509.CertificateRevocationList | None]
) -> Iterator[Finding]:
    for name in file.open_fields:
        yield Finding(Code.INCOMPLETE, name)
    if examined[-1].signature.kind is not Kind.TIME_STAMP:
        yield Finding(Code.NOT_CLOSED)
    if not all(one.listed for one in examined):
        yield Finding(Code.REVOCATIONS_UNKNOWN)
    believed = [known for one in examined for known in one.lists]
    if any(one not in believed for one in given):
        yield Finding(Code.LIST_FOREIGN)


def _parse_list(content: bytes) -> x509.CertificateRevocationList | None:
    """None where it is none."""
    try:
        return x509.load_der_x509_crl(content)
    except DAMAGED:
        return None


def _lists_inside(reader: PdfFileReader) -> Iterator[bytes]:
    if "/DSS" not in reader.root:
        return
    for one in DocumentSecurityStore.read_dss(reader).crls[:MAX_LISTS]:
        content = one.get_object().data
        if len(content) <= MAX_REVOCATION_LIST_BYTES:
            yield content


def _without(code: Code) -> Verdict:
    """It was signed here, and no signature can be shown any more."""
    return Verdict(Outcome.ALTERED, findings=(Finding(code),))
