"""Evidence reports of contracts, checked offline: plain ZIP files whose every file a signed manifest lists.

MANIFEST                 SignedManifest: names, sizes and SHA-256 of all other files, signed
report.json              what happened, for programs (verifield.report_facts)
report.pdf               the same for people, signed by the platform
records/ID.bundle        the record of a device about a face, with its receipt and its place in the log
assertions/ID.json       what a passkey signed

1  manifest    a key of the service signed the list of files, a chain leads from it to your root, and the
               files are those on the list
2  report      the JSON has its one form, and is of the contract and the document that the manifest names
3  revisions   the file of each signature is the one that the signature before it left
4  order       sent, read, authenticated, signed: in this order; and nobody's certificate was revoked by then
5  bindings    what each person showed was bound to this document, this party and this act of signing
6  records     what a device saw (all steps of a bundle) was VERIFIED, for this binding, and is in the log
7  passkeys    the assertion is over this binding, opened by its owner
8  contract    the file of the contract is the one that the report is of, and begins with each of the files
               that the report names
"""

from __future__ import annotations

import hmac
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import IO

from cryptography import x509

from verifield.archive import DAMAGED, MANIFEST_NAME, read_member
from verifield.certificates import Purpose, check_chain
from verifield.documents.verdict import Code, Kind, Outcome, Verdict
from verifield.dsse import parse_envelope
from verifield.errors import Forged, Malformed, Unknown, Untrusted, VerifieldError
from verifield.passkeys import check_assertion
from verifield.report import Report
from verifield.report_facts import MAX_REPORT_BYTES, ReportFacts, SignatureFacts, parse_report
from verifield.signed import check_signed
from verifield.statement import parse_statement
from verifield.v1 import badge_pb2
from verifield.v1 import report_pb2 as pb
from verifield.v1.attestation_pb2 import OUTCOME_VERIFIED
from verifield.v1.bundle_pb2 import Bundle
from verifield.verify import verify_bundle
from verifield.wire import parse_message

MANIFEST_TYPE = "application/vnd.verifield.report.v1+protobuf"
JSON_NAME, PDF_NAME = "report.json", "report.pdf"

MAX_MANIFEST_BYTES = 256 * 1024
MAX_FILES = 1_000
"""Two for each signature, and a contract has at most 200 marks."""
MAX_FILE_BYTES = 32 * 1024 * 1024

FACE, PASSKEY = "FACE", "PASSKEY"
CONCLUDED = frozenset({"COMPLETED", "ARCHIVED"})
SLACK = timedelta(minutes=1)
"""By how much the clock of a time-stamping authority and that of the service may differ."""

_OF_PARTIES = frozenset({Kind.PERSONAL, Kind.SEAL})

_DOMAIN = b"verifield sign v1"
_END = re.compile(rb"(%%EOF)(\r?)(\n?)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CheckedReport:
    """What passed all steps. ``missing``: evidence that the report does not have, in plain sentences.

    ``pdf``: the report for people. ``contract_checked``: a file of the contract was given.
    """

    facts: ReportFacts
    pdf: bytes
    missing: tuple[str, ...]
    contract_checked: bool


def check_report(
    file: IO[bytes], *, roots: Sequence[x509.Certificate], contract: bytes | None = None
) -> CheckedReport:
    """Run all steps. ``contract``: its file, where that is at hand.

    Raises:
        Malformed, Forged, Unknown, Untrusted: something in it is not what was reported.
    """
    manifest, files = _open(file, roots=roots)  # step 1
    facts = parse_report(files[JSON_NAME])  # step 2
    _check_names(facts, manifest)
    _check_revisions(facts)  # step 3
    _check_signers(facts)
    missing: list[str] = []
    for one in facts.signatures:
        _check_order(facts, one)  # step 4
        if one.revoked is not None and one.revoked <= one.signed:
            raise _revoked(one.field)
        _check_binding(facts, one)  # step 5
        missing += _check_evidence(one, files, roots=roots)  # steps 6 and 7
    if contract is not None:
        _check_contract(facts, contract)  # step 8
    return CheckedReport(facts, files[PDF_NAME], tuple(missing), contract is not None)


def check_document(name: str, verdict: Verdict, facts: ReportFacts | None) -> None:
    """Hold the verdict on a PDF against the report. ``facts``: of a contract.

    Raises:
        Forged: it was altered or has no signature, or those in it are not those that the report tells of.
        Untrusted: a signer was revoked.
        Unknown: nothing can be said of it.
    """
    if verdict.outcome is Outcome.ALTERED:
        codes = ", ".join(one.code for one in verdict.findings)
        raise Forged("REPORT_PDF_ALTERED", f"The file {name} is not as it was signed ({codes}).")
    if any(one.code is Code.UNSIGNED for one in verdict.findings):
        raise Forged("REPORT_PDF_UNSIGNED", f"The file {name} has no signature.")
    revoked = next((one.field for one in verdict.findings if one.code is Code.REVOKED), None)
    if revoked is not None:
        raise _revoked(revoked)
    if verdict.outcome is not Outcome.VALID:
        codes = ", ".join(sorted({one.code for one in verdict.findings}))
        raise Unknown(
            "REPORT_PDF_UNKNOWN",
            f"Whether the file {name} is good cannot be said ({codes}).",
            hint="verifield-verify document tells more; --stamp-root names roots of other time-stamps.",
        )
    if facts is None:
        return
    inside = {one.field: one for one in verdict.signatures}
    for one in facts.signatures:
        found = inside.get(one.field)
        if found is None or found.serial != one.certificate or found.signer != one.signer:
            raise _contradiction(f"The signature {one.field} in the contract is another one.")
        if found.time is None or abs(found.time - one.signed) > timedelta(seconds=1):
            raise _contradiction(f"The signature {one.field} in the contract has another time.")
    told = {one.field for one in facts.signatures}
    if any(one.kind in _OF_PARTIES and one.field not in told for one in verdict.signatures):
        raise _contradiction("The contract has a signature that the report does not tell of.")


def bind(contract_id: str, party_id: str, document_sha256: bytes, challenge: bytes) -> bytes:
    """What an authentication is bound to: SHA-256 over these, with a name before them."""
    head = b"\0".join((_DOMAIN, contract_id.encode(), party_id.encode(), b""))
    return sha256(head + document_sha256 + challenge).digest()


def _open(
    file: IO[bytes], *, roots: Sequence[x509.Certificate]
) -> tuple[pb.ReportManifest, dict[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            found = {info.filename: info for info in archive.infolist()}
            if len(found) != len(archive.infolist()) or not 1 <= len(found) <= MAX_FILES:
                raise _archive("The report has too many files, or two of one name.")
            head = found.pop(MANIFEST_NAME, None)
            if head is None:
                raise _archive("The file has no manifest.")
            manifest = _read_manifest(read_member(archive, head, MAX_MANIFEST_BYTES), roots=roots)
            if sorted(found) != sorted(entry.name for entry in manifest.files):
                raise Forged("REPORT_FILES", "The report holds other files than its manifest lists.")
            if not {JSON_NAME, PDF_NAME} <= found.keys():
                raise _archive("The report lacks its JSON or its PDF.")
            files = {}
            for entry in manifest.files:
                info = found[entry.name]
                content = b""
                if info.file_size == entry.size_bytes:  # before anything is unpacked
                    content = read_member(archive, info, _limit(entry.name))
                if not hmac.compare_digest(sha256(content).digest(), entry.sha256):
                    raise Forged("REPORT_DIGEST", f"The file {entry.name} is not what was signed.")
                files[entry.name] = content
    except DAMAGED as error:
        raise _archive("The file is no ZIP archive, or a damaged one.") from error
    return manifest, files


def _read_manifest(data: bytes, *, roots: Sequence[x509.Certificate]) -> pb.ReportManifest:
    signed = parse_message(badge_pb2.SignedManifest, data, what="manifest", max_bytes=MAX_MANIFEST_BYTES)
    payload = check_signed(
        signed.envelope, payload_type=MANIFEST_TYPE, certificates=signed.certificates, what="manifest"
    )
    manifest = parse_message(pb.ReportManifest, payload, what="manifest", max_bytes=MAX_MANIFEST_BYTES)
    try:
        at = _EPOCH + timedelta(microseconds=manifest.made_us)
    except OverflowError as error:
        raise Malformed("MANIFEST", "The manifest has a time that cannot be.") from error
    check_chain(signed.certificates, roots=roots, at=at, purpose=Purpose.CERTIFICATION)
    return manifest


def _check_names(facts: ReportFacts, manifest: pb.ReportManifest) -> None:
    contract = facts.contract
    told = (facts.report_id, contract.contract_id, contract.document_sha256, contract.revision_sha256)
    named = (
        manifest.report_id,
        manifest.contract_id,
        manifest.document_sha256,
        manifest.revision_sha256,
    )
    if told != named or facts.made != _EPOCH + timedelta(microseconds=manifest.made_us):
        raise Forged("REPORT_MANIFEST", "The report and its manifest are of different contracts or times.")


def _check_revisions(facts: ReportFacts) -> None:
    """Each file of the contract follows from the one before: from the document to the file as it is now."""
    contract, revisions = facts.contract, facts.revisions
    first = revisions[0] if revisions else None
    if first is None or (first.number, first.sha256) != (0, contract.document_sha256):
        raise _contradiction("The revisions do not begin with the document that was sent.")
    if [one.number for one in revisions] != list(range(len(revisions))):
        raise _contradiction("A revision is missing.")
    last = revisions[-1]
    if (last.number, last.sha256) != (contract.revision_number, contract.revision_sha256):
        raise _contradiction("The last revision is not the file that the report is of.")
    known = {one.sha256 for one in revisions}
    left, party = contract.document_sha256, 0
    for one in facts.signatures:
        if one.before_sha256 != left:  # several marks of one party make one revision
            raise _contradiction(f"The signature {one.field} is not over the file that was there before it.")
        if party not in (0, one.party_number) and left not in known:
            raise _contradiction(f"What stood before the signature {one.field} is no revision.")
        left, party = one.after_sha256, one.party_number
    # Behind the last signature of all the file is closed with a time-stamp, which makes another file of it.
    if left not in known and contract.state not in CONCLUDED:
        raise _contradiction("What the last signature left is no revision.")


def _check_signers(facts: ReportFacts) -> None:
    """Whoever has signed has a signature, and nobody else."""
    signed = {one.number for one in facts.parties if (one.role, one.state) == ("SIGNER", "SIGNED")}
    if signed != {one.party_number for one in facts.signatures}:
        raise _contradiction("The parties that have signed are not those of whom there are signatures.")


def _check_order(facts: ReportFacts, one: SignatureFacts) -> None:
    party = next((party for party in facts.parties if party.number == one.party_number), None)
    if party is None:
        raise _contradiction(f"The signature {one.field} is of a party that the contract has not.")
    if party.read is None or party.read_sha256 != facts.contract.document_sha256:
        raise _contradiction(f"Party {party.number} has signed, and has not read this document.")
    times = [facts.contract.sent, party.read, one.authenticated, one.signed]
    if any(later < earlier - SLACK for earlier, later in pairwise(times)):
        raise _contradiction(f"The times of the signature {one.field} are not in order.")
    if one.signed > facts.made + SLACK:
        raise _contradiction(f"The signature {one.field} is later than the report.")


def _check_binding(facts: ReportFacts, one: SignatureFacts) -> None:
    party_id = next(party.party_id for party in facts.parties if party.number == one.party_number)
    if one.document_sha256 != facts.contract.document_sha256:
        raise Forged("REPORT_BINDING", f"The signature {one.field} is for another document.")
    nonce = bind(facts.contract.contract_id, party_id, one.document_sha256, one.challenge)
    if not hmac.compare_digest(nonce, one.nonce):
        raise Forged("REPORT_BINDING", f"The authentication for {one.field} was bound to something else.")


def _check_evidence(
    one: SignatureFacts, files: Mapping[str, bytes], *, roots: Sequence[x509.Certificate]
) -> list[str]:
    """Return what is missing."""
    content = files.get(one.file) if one.file else None
    if one.file and content is None:
        raise Forged("REPORT_FILES", f"The evidence for {one.field} is not in the report.")
    if one.method == FACE:
        if content is None:
            return [
                f"{one.field}: the device's record has not come to the service, or is not in its log yet."
            ]
        _check_record(one, content, roots=roots)
    elif one.method == PASSKEY:
        if content is None:
            return [f"{one.field}: the passkey's assertion is not in the report."]
        if not hmac.compare_digest(sha256(content).digest(), one.evidence_sha256):
            raise Forged(
                "REPORT_EVIDENCE", f"The assertion for {one.field} is not the one that was reported."
            )
        check_assertion(content, challenge=one.nonce)
    return []


def _check_record(one: SignatureFacts, content: bytes, *, roots: Sequence[x509.Certificate]) -> None:
    found: Report = verify_bundle(content, roots=roots)
    if not found.ok:
        code = found.error.code if found.error else found.verdict.upper()
        raise Forged("REPORT_RECORD", f"The device's record for {one.field} does not hold ({code}).")
    envelope = Bundle.FromString(content).envelope
    if not hmac.compare_digest(sha256(envelope).digest(), one.evidence_sha256):
        raise Forged("REPORT_RECORD", f"The device's record for {one.field} is another one.")
    statement = parse_statement(parse_envelope(envelope).payload)
    told = (one.evidence_id, one.device_id, one.task_id, one.nonce)
    said = (
        statement.attestation_id,
        statement.device_id,
        statement.purpose.task_id,
        statement.purpose.nonce,
    )
    read = statement.purpose.read_sha256
    if one.task_id and read != one.document_sha256:
        raise Forged("REPORT_RECORD", f"At the device nobody has read the document of {one.field}.")
    if told != said or statement.outcome != OUTCOME_VERIFIED:
        raise Forged("REPORT_RECORD", f"The device's record for {one.field} was made for something else.")


def _check_contract(facts: ReportFacts, content: bytes) -> None:
    given = sha256(content).digest()
    if not hmac.compare_digest(given, facts.contract.revision_sha256):
        if any(hmac.compare_digest(given, one.sha256) for one in facts.revisions):
            raise VerifieldError(
                "REPORT_EARLIER",
                "The file is an earlier state of this contract: it lacks signatures that the report has.",
                hint="Download the contract anew.",
            )
        raise Forged("REPORT_OTHER_CONTRACT", "The report is of another file than this one.")
    states = _states_of(content)
    named = {one.sha256 for one in facts.revisions} | {one.after_sha256 for one in facts.signatures}
    if not named <= states:
        raise _contradiction("The contract does not begin with the files that the report names.")


def _states_of(content: bytes) -> set[bytes]:
    """Digests of the file as it was behind each of its updates; each update of a PDF ends with its mark."""
    found, running, done = set(), sha256(), 0
    for match in _END.finditer(content):
        for end in {match.end(1), match.end(2), match.end()}:
            part = running.copy()
            part.update(content[done:end])
            found.add(part.digest())
        running.update(content[done : match.end(1)])
        done = match.end(1)
    return found


def _limit(name: str) -> int:
    return MAX_REPORT_BYTES if name == JSON_NAME else MAX_FILE_BYTES


def _archive(message: str) -> Malformed:
    return Malformed("REPORT_ARCHIVE", message)


def _revoked(field: str) -> Untrusted:
    return Untrusted(
        "REPORT_REVOKED", f"The signature {field} counts for nothing: its certificate was revoked."
    )


def _contradiction(message: str) -> Forged:
    return Forged("REPORT_CONTRADICTION", message)
