"""The verification of a bundle, offline, against roots that the caller trusts.

Steps, each a named check of the report:

1.  bundle: the bytes are an intact bundle of a known version.
2.  envelope: it carries an intact envelope of a known type.
3.  receipt: a service key that the root vouches for, at the receipt's time, signed the receipt.
    Its server time is the latest time at which the record can have been made.
4.  certificate: the root vouches for the device's key, at that latest time.
5.  signature: that key signed the envelope's content.
6.  statement: the signed bytes are a statement that keeps the protocol's rules.
7.  device: the statement names the device that the certificate names.
8.  position: the receipt names this very record: device, epoch, seq and digest of the envelope.
9.  not-before: the receipt that the statement cites is genuine; its server time is the earliest
    time of the record. Not required: the first record of a device has none to cite.
10. checkpoint: a log key that the root vouches for signed the checkpoint under the log's name.
11. inclusion: the record is in the tree of that checkpoint, and in the one that the receipt names.
12. time: the bounds do not contradict each other.

A failed step ends the verification with its verdict. A missing one (no receipt, no log entry)
does not, but without a required one the verdict is unknown: without a receipt, for example, the
device's own clock would be the only witness that its certificate was valid, which proves nothing.
No clock is read: a bundle gives the same answer for ever.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from verifield import report
from verifield.bundle import parse_bundle
from verifield.certificates import (
    Purpose,
    check_chain,
    common_name,
    log_key,
    parse_certificate,
    signing_key,
)
from verifield.chain import envelope_sha256
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import Forged, Unknown, Untrusted, VerifieldError
from verifield.leaf import log_leaf
from verifield.merkle import check_inclusion, leaf_hash
from verifield.note import Checkpoint, check_checkpoint, parse_checkpoint
from verifield.profile import device_id_of
from verifield.receipt import check_receipt
from verifield.report import Check, Facts, Fault, Report
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Bundle, Envelope, Receipt
from verifield.wire import parse_time

NOT_REACHED = "Not reached."


class _Missing(Exception):
    """The bundle does not carry what a step needs; the text says what that means."""


@dataclass(slots=True)
class _Run:
    """What the steps have established so far."""

    data: bytes
    roots: Sequence[x509.Certificate]
    bundle: Bundle = field(init=False)
    envelope: Envelope = field(init=False)
    statement: Statement = field(init=False)
    leaf: x509.Certificate = field(init=False)
    receipt: Receipt | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    checkpoint: Checkpoint | None = None


def verify_bundle(data: bytes, *, roots: Sequence[x509.Certificate]) -> Report:
    """Run all steps on the bytes of a bundle; never raises on account of ``data``."""
    run = _Run(data, roots)
    checks: list[Check] = []
    for number, (name, _, step) in enumerate(_STEPS):
        try:
            checks.append(Check(name, "passed", step(run)))
        except _Missing as missing:
            checks.append(Check(name, "missing", str(missing)))
        except VerifieldError as error:
            checks.append(Check(name, "failed", error.message))
            checks += [Check(later, "missing", NOT_REACHED) for later, _, _ in _STEPS[number + 1 :]]
            return _refuse(error, checks)
    return _conclude(run, checks)


def _check_bundle(run: _Run) -> str:
    """Step 1."""
    run.bundle = parse_bundle(run.data)
    return "An intact bundle of version 1."


def _check_envelope(run: _Run) -> str:
    """Step 2."""
    run.envelope = parse_envelope(run.bundle.envelope)
    if run.envelope.payload_type != STATEMENT_TYPE:
        raise Unknown(
            "STATEMENT_TYPE", "The envelope holds a type of record that this version does not know."
        )
    return "An intact envelope with an attestation of version 1."


def _check_receipt(run: _Run) -> str:
    """Step 3."""
    if not run.bundle.receipt or not run.bundle.receipt_certificates:
        raise _Missing("No receipt with its certificate: no trusted time, no proof of the chain position.")
    run.receipt = check_receipt(
        run.bundle.receipt, certificates=run.bundle.receipt_certificates, roots=run.roots
    )
    run.not_after = parse_time(run.receipt.server_time, what="receipt's server time")
    return f"Signed by the service at {run.not_after:%Y-%m-%d %H:%M:%S} UTC."


def _check_certificate(run: _Run) -> str:
    """Step 4. Without a receipt the path alone is checked, at the moment that the certificate begins."""
    run.leaf = parse_certificate(run.bundle.certificates[0])
    at = run.not_after or run.leaf.not_valid_before_utc
    check_chain(run.bundle.certificates, roots=run.roots, at=at, purpose=Purpose.ATTESTATION)
    if run.not_after is None:
        raise _Missing(
            "The root vouches for the device's key, but only the device's own clock says that the "
            "certificate was still valid: validity at signing is not proved."
        )
    return "The root vouches for the device's key at the time of the receipt."


def _check_signature(run: _Run) -> str:
    """Step 5."""
    check_signature(run.envelope, signing_key(run.leaf))
    return "The device's key signed exactly this content."


def _check_statement(run: _Run) -> str:
    """Step 6. Parses the very bytes whose signature held."""
    run.statement = parse_statement(run.envelope.payload)
    return "The content keeps the rules of an attestation."


def _check_device(run: _Run) -> str:
    """Step 7."""
    if run.statement.device_id != device_id_of(run.leaf):
        raise Forged(
            "DEVICE", "The record names another device than the certificate of the key that signed it."
        )
    return "The certificate names the same device."


def _check_position(run: _Run) -> str:
    """Step 8."""
    receipt, statement = run.receipt, run.statement
    if receipt is None:
        raise _Missing("Without a receipt only the device itself says where in its chain the record stands.")
    same_place = (receipt.device_id, receipt.chain_epoch, receipt.through_seq) == (
        statement.device_id,
        statement.chain_epoch,
        statement.seq,
    )
    if not same_place or not hmac.compare_digest(receipt.head_sha256, envelope_sha256(run.bundle.envelope)):
        raise Forged("RECEIPT_MISMATCH", "The receipt was given for another record.")
    return f"The receipt names this record: number {statement.seq} in epoch {statement.chain_epoch}."


def _check_not_before(run: _Run) -> str:
    """Step 9."""
    statement = run.statement
    if not run.bundle.cited_receipt or not run.bundle.receipt_certificates:
        cites = (
            "the receipt that it cites is not here"
            if statement.last_receipt_sha256
            else "it cites no receipt"
        )
        raise _Missing(f"No earliest time of the record: {cites}.")
    if not hmac.compare_digest(statement.last_receipt_sha256, envelope_sha256(run.bundle.cited_receipt)):
        raise Forged("CITED_RECEIPT", "The bundle brings another earlier receipt than the record cites.")
    cited = check_receipt(
        run.bundle.cited_receipt, certificates=run.bundle.receipt_certificates, roots=run.roots
    )
    before = (cited.chain_epoch, cited.through_seq) < (statement.chain_epoch, statement.seq)
    if cited.device_id != statement.device_id or not before:
        raise Forged("CITED_RECEIPT", "The earlier receipt is of another device, or of a later record.")
    run.not_before = parse_time(cited.server_time, what="receipt's server time")
    return f"The record cites a receipt of {run.not_before:%Y-%m-%d %H:%M:%S} UTC."


def _check_log_checkpoint(run: _Run) -> str:
    """Step 10. A checkpoint may be newer than the receipt, and so may the key that signed it."""
    certificates = run.bundle.log_certificates
    if not run.bundle.HasField("log_entry") or not certificates:
        raise _Missing("No log entry with its certificate: nothing shows that the record was published.")
    key_certificate = parse_certificate(certificates[0])
    begins = key_certificate.not_valid_before_utc
    at = max(run.not_after, begins) if run.not_after else begins
    check_chain(certificates, roots=run.roots, at=at, purpose=Purpose.LOG)
    checkpoint = check_checkpoint(run.bundle.log_entry.checkpoint, key=log_key(key_certificate))
    if checkpoint.origin != common_name(key_certificate):
        raise Untrusted("LOG_NAME", "The checkpoint is of another log than its key was certified for.")
    if checkpoint.size != run.bundle.log_entry.tree_size:
        raise Forged("LOG_SIZE", "The checkpoint is of another tree size than the log entry claims.")
    run.checkpoint = checkpoint
    return f"The log {checkpoint.origin} signed its tree of {checkpoint.size} records."


def _check_inclusion(run: _Run) -> str:
    """Step 11."""
    checkpoint, entry = run.checkpoint, run.bundle.log_entry
    if checkpoint is None:
        raise _Missing("Without a log entry nothing shows that the record was published.")
    check_inclusion(
        leaf=leaf_hash(log_leaf(run.envelope, run.bundle.certificates[0])),
        index=entry.index,
        size=checkpoint.size,
        proof=entry.inclusion_hashes,
        root=checkpoint.root,
    )
    if run.receipt is not None:
        promised = parse_checkpoint(run.receipt.checkpoint)
        same_size_other_root = promised.size == checkpoint.size and promised.root != checkpoint.root
        if promised.origin != checkpoint.origin or promised.size <= entry.index or same_size_other_root:
            raise Forged("LOG_CONTRADICTION", "The receipt and the log entry speak of different logs.")
    return f"The record is entry {entry.index} of the log."


def _check_time(run: _Run) -> str:
    """Step 12."""
    if run.not_after is None:
        raise _Missing("No trusted time bounds the record.")
    if run.not_before is not None and run.not_before > run.not_after:
        raise Forged("TIME_ORDER", "The receipt is older than the earlier one that the record cites.")
    return "The bounds of the record's time agree."


_STEPS: tuple[tuple[str, bool, Callable[[_Run], str]], ...] = (
    # name, required, step
    ("bundle", True, _check_bundle),
    ("envelope", True, _check_envelope),
    ("receipt", True, _check_receipt),
    ("certificate", True, _check_certificate),
    ("signature", True, _check_signature),
    ("statement", True, _check_statement),
    ("device", True, _check_device),
    ("position", True, _check_position),
    ("not-before", False, _check_not_before),
    ("checkpoint", True, _check_log_checkpoint),
    ("inclusion", True, _check_inclusion),
    ("time", True, _check_time),
)


def _refuse(error: VerifieldError, checks: list[Check]) -> Report:
    return Report(
        verdict=error.verdict,
        headline=report.REFUSED_HEADLINES[error.verdict],
        checks=tuple(checks),
        facts=None,
        proved=(),
        not_proved=("Nothing: no word of this bundle may be relied on.",),
        error=Fault(error.code, error.message, error.hint),
    )


def _conclude(run: _Run, checks: list[Check]) -> Report:
    facts = _facts(run)
    missing = [
        check.name
        for check, (_, required, _) in zip(checks, _STEPS, strict=True)
        if required and check.status != "passed"
    ]
    if missing:
        return Report(
            verdict="unknown",
            headline=report.INCOMPLETE_HEADLINE,
            checks=tuple(checks),
            facts=facts,
            proved=report.describe_proved(facts),
            not_proved=report.describe_not_proved(facts),
            error=Fault(
                "INCOMPLETE",
                f"The bundle lacks what these checks need: {', '.join(missing)}.",
                "Fetch the bundle again from the service once it has confirmed and logged the record.",
            ),
        )
    return Report(
        verdict=report.VERIFIED,
        headline=report.describe_headline(facts),
        checks=tuple(checks),
        facts=facts,
        proved=report.describe_proved(facts),
        not_proved=report.describe_not_proved(facts),
        error=None,
    )


def _facts(run: _Run) -> Facts:
    statement = run.statement
    return Facts(
        attestation_id=statement.attestation_id,
        device_id=statement.device_id,
        chain_epoch=statement.chain_epoch,
        seq=statement.seq,
        kind=report.name_kind(statement.kind),
        outcome=report.name_outcome(statement.outcome),
        reasons=tuple(statement.reasons),
        wall_time=parse_time(statement.clock.wall_time, what="statement's wall time"),
        not_before=run.not_before,
        not_after=run.not_after,
        key_protection=report.name_key_protection(statement.assurance.key_protection),
        camera=report.name_camera(statement.assurance.camera),
        reader_sam_id=statement.assurance.reader_sam_id,
        log_index=run.bundle.log_entry.index if run.checkpoint else None,
    )
