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
8.  cosignature: a decision by people carries the signature of a second key, which it names.
9.  position: the receipt names this very record: device, epoch, seq and digest of the envelope.
10. not-before (*): the receipt that the statement cites is genuine; its server time, and what the
    device's monotonic clock has counted since, is the earliest time of the record.
11. time: the bounds do not contradict each other.
12. revocation (*): no list of the issuing authority names the device's certificate as revoked at or
    before the latest time of the record, nor, here and below, a key of the service by when its signature
    was there for certain.
13. checkpoint: a log key that the root vouches for signed the checkpoint under the log's name.
14. inclusion: the record is in the tree of that checkpoint; the tree that the receipt names is of the
    same log, and large enough to hold the record.
15. witnesses (*): other devices, with keys of their own, saw a tree of the same log with the record in
    it, and one of the two trees is shown to have grown out of the other.
16. policy (*): the record names the policy that the caller brings, and was judged by its thresholds.
17. disclosures (*): the record committed to the values that the caller brings.

Steps with a star are not required: where what they need is not there, the report says what that
leaves open. But what is there must hold: a failed step, starred or not, ends the verification with
its verdict. A missing one of the others does not, but the verdict is unknown then: without a receipt,
for example, the device's own clock would be the only witness that its certificate was valid, which
proves nothing. No clock is read: the same bytes give the same answer for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography import x509

from verifield import describe, report
from verifield.commitments import Disclosure
from verifield.errors import VerifieldError
from verifield.report import Check, Facts, Fault, Report
from verifield.steps import extras, log, record, revocation, service
from verifield.steps.run import Missing, Run
from verifield.wire import parse_time

NOT_REACHED = "Not reached."

_STEPS: tuple[tuple[str, bool, Callable[[Run], str]], ...] = (
    # name, required, step
    ("bundle", True, record.check_bundle),  # 1
    ("envelope", True, record.check_envelope),  # 2
    ("receipt", True, service.check_service_receipt),  # 3
    ("certificate", True, record.check_certificate),  # 4
    ("signature", True, record.check_device_signature),  # 5
    ("statement", True, record.check_statement),  # 6
    ("device", True, record.check_device),  # 7
    ("cosignature", True, record.check_second_signature),  # 8
    ("position", True, service.check_position),  # 9
    ("not-before", False, service.check_not_before),  # 10
    ("time", True, service.check_time),  # 11
    ("revocation", False, revocation.check_revocation),  # 12
    ("checkpoint", True, log.check_log_checkpoint),  # 13
    ("inclusion", True, log.check_log_inclusion),  # 14
    ("witnesses", False, log.check_witnesses),  # 15
    ("policy", False, extras.check_named_policy),  # 16
    ("disclosures", False, extras.check_disclosures),  # 17
)


def verify_bundle(
    data: bytes,
    *,
    roots: Sequence[x509.Certificate],
    disclosures: Sequence[Disclosure] = (),
    revocation_list: bytes | None = None,
    policy: bytes | None = None,
    policy_certificates: Sequence[bytes] = (),
) -> Report:
    """Run all steps on the bytes of a bundle; never raises on account of what it is given.

    ``disclosures``: values that the record is said to have committed to; each is proved, or the
    bundle is refused. ``revocation_list`` (DER) counts beside the bundle's. ``policy``: the envelope
    of the policy that the record is said to name, and ``policy_certificates`` (DER, leaf
    first) those of the key that signed it.
    """
    run = Run(
        data,
        roots,
        disclosures=disclosures,
        given_list=revocation_list,
        given_policy=policy,
        policy_certificates=policy_certificates,
    )
    checks: list[Check] = []
    for number, (name, _, step) in enumerate(_STEPS):
        try:
            checks.append(Check(name, "passed", step(run)))
        except Missing as missing:
            checks.append(Check(name, "missing", str(missing)))
        except VerifieldError as error:
            checks.append(Check(name, "failed", error.message))
            checks += [Check(later, "missing", NOT_REACHED) for later, _, _ in _STEPS[number + 1 :]]
            return _refuse(error, checks)
    return _conclude(run, checks)


def _refuse(error: VerifieldError, checks: list[Check]) -> Report:
    return Report(
        verdict=error.verdict,
        headline=describe.REFUSED_HEADLINES[error.verdict],
        checks=tuple(checks),
        facts=None,
        proved=(),
        not_proved=("Nothing: no word of this bundle may be relied on.",),
        error=Fault(error.code, error.message, error.hint),
    )


def _conclude(run: Run, checks: list[Check]) -> Report:
    facts = _facts(run)
    missing = [
        check.name
        for check, (_, required, _) in zip(checks, _STEPS, strict=True)
        if required and check.status != "passed"
    ]
    fault = None
    if missing:
        fault = Fault(
            "INCOMPLETE",
            f"The bundle lacks what these checks need: {', '.join(missing)}.",
            "Fetch the bundle again from the service once it has confirmed and logged the record.",
        )
    return Report(
        verdict="unknown" if missing else report.VERIFIED,
        headline=describe.INCOMPLETE_HEADLINE if missing else describe.describe_headline(facts),
        checks=tuple(checks),
        facts=facts,
        proved=describe.describe_proved(facts),
        not_proved=describe.describe_not_proved(facts),
        error=fault,
    )


def _facts(run: Run) -> Facts:
    statement = run.statement
    return Facts(
        attestation_id=statement.attestation_id,
        device_id=statement.device_id,
        chain_epoch=statement.chain_epoch,
        seq=statement.seq,
        kind=describe.name_kind(statement.kind),
        outcome=describe.name_outcome(statement.outcome),
        reasons=tuple(statement.reasons),
        event=describe.describe_event(statement),
        wall_time=parse_time(statement.clock.wall_time, what="statement's wall time"),
        not_before=run.not_before,
        not_after=run.not_after,
        key_protection=describe.name_key_protection(statement.assurance.key_protection),
        camera=describe.name_camera(statement.assurance.camera),
        reader_sam_id=statement.assurance.reader_sam_id,
        log_index=run.bundle.log_entry.index if run.checkpoint else None,
        witnesses=run.witnesses,
        revocation_checked=run.revocation_checked,
        policy_version=run.policy_version,
        decided_by=(statement.operator.operator_id, statement.manual.cosigner.operator_id)
        if statement.HasField("manual")
        else (),
        accepted=statement.manual.accepted if statement.HasField("manual") else None,
        degraded=describe.is_degraded(statement),
        read_method=describe.name_read_method(statement),
        printed_photo=describe.is_photo_printed(statement),
        disclosed=run.disclosed,
    )
