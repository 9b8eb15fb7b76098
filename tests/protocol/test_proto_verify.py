"""The verification of whole bundles: what passes, and that nothing false ever does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.authority import (
    LEAF_LIFETIME,
    NOW,
    ORIGIN,
    Authority,
    device_event,
    new_key,
    sign_envelope,
    verification,
)
from tests.support.cases import CITED_AT, RECEIVED_AT, SIGNED_AT, Case, build_case, statuses
from verifield.certificates import Purpose
from verifield.chain import ChainHead, envelope_sha256
from verifield.dsse import parse_envelope
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import EnvelopeSignature
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


@pytest.mark.req("E043")
def test_a_whole_bundle_is_verified_with_its_facts(case: Case) -> None:
    report = case.verify(case.good)
    assert (report.verdict, report.ok, report.error) == ("verified", True, None)
    assert {name for name, status in statuses(report).items() if status != "passed"} == {
        "policy",
        "disclosures",
    }
    assert set(statuses(case.verify_with_all(case.good)).values()) == {"passed"}
    facts = report.facts
    assert facts is not None
    assert (facts.device_id, facts.chain_epoch, facts.seq) == ("device-1", 1, 2)
    assert (facts.kind, facts.outcome, facts.reasons) == ("VERIFICATION", "VERIFIED", ())
    assert facts.not_before is not None
    assert CITED_AT + timedelta(minutes=49) < facts.not_before < CITED_AT + timedelta(minutes=50)
    assert (facts.not_after, facts.wall_time) == (RECEIVED_AT, SIGNED_AT)
    assert (facts.key_protection, facts.camera, facts.log_index) == ("SOFTWARE", "SIMULATED", 6)
    assert facts.attestation_id == "019ca5a0-0000-7000-8000-000000000002"
    assert report.proved
    assert any("SIMULATED" in sentence for sentence in report.not_proved)


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (pb.OUTCOME_SPOOF, "ATTACK"),
        (pb.OUTCOME_NOT_MATCHED, "REFUSAL"),
        (pb.OUTCOME_ABORTED, "STOPPED"),
        (pb.OUTCOME_INCONCLUSIVE, "WITHOUT a result"),
        (pb.OUTCOME_MANUAL, "by PEOPLE"),
    ],
)
def test_a_genuine_refusal_is_verified_as_a_record_and_never_as_a_person(
    outcome: pb.Outcome.ValueType, word: str
) -> None:
    built = build_case(outcome)
    report = built.verify(built.good)
    assert report.verdict == "verified"
    assert report.facts is not None
    assert report.facts.outcome == pb.Outcome.Name(outcome).removeprefix("OUTCOME_")
    assert word in report.headline
    assert "NO person" in report.headline


def test_a_device_event_is_verified_as_such() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    report = verify_bundle(
        authority.bundle(device, device.sign(device_event(device))), roots=[authority.root]
    )
    assert report.verdict == "verified"
    assert statuses(report)["not-before"] == "missing"
    assert report.facts is not None
    assert (report.facts.kind, report.facts.outcome, report.facts.not_before) == ("DEVICE_EVENT", "", None)
    assert "NO person" in report.headline


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        (["receipt"], {"receipt", "certificate", "position", "time"}),
        (
            ["receipt_certificates", "cited_receipt", "cited_receipt_certificates"],
            {"receipt", "certificate", "position", "not-before", "time"},
        ),
        (["log_entry"], {"checkpoint", "inclusion", "witnesses"}),
        (["log_certificates"], {"checkpoint", "inclusion", "witnesses"}),
    ],
)
def test_without_receipt_or_log_entry_the_answer_is_unknown(
    case: Case, fields: list[str], missing: set[str]
) -> None:
    bundle = case.changed()
    for field in fields:
        bundle.ClearField(field)  # type: ignore[arg-type]
    report = case.verify(bundle)
    assert report.verdict == "unknown"
    assert report.error is not None
    assert report.error.code == "INCOMPLETE"
    assert missing <= {name for name, status in statuses(report).items() if status == "missing"}
    assert "NOT established" in report.headline
    assert not any("VERIFIED" in sentence for sentence in report.proved if "receipt" in fields)


def test_without_the_cited_receipt_only_the_earliest_time_is_lost(case: Case) -> None:
    bundle = case.changed()
    bundle.ClearField("cited_receipt")
    report = case.verify(bundle)
    assert report.verdict == "verified"
    assert report.facts is not None
    assert (report.facts.not_before, report.facts.not_after) == (None, RECEIVED_AT)
    assert any("earliest time" in sentence for sentence in report.not_proved)


def test_another_root_is_untrusted(case: Case) -> None:
    report = verify_bundle(case.good.SerializeToString(), roots=[Authority.create().root])
    assert report.verdict == "untrusted"


def test_without_a_receipt_the_path_to_the_root_is_still_checked(case: Case) -> None:
    bundle = case.changed()
    bundle.ClearField("receipt")
    report = verify_bundle(bundle.SerializeToString(), roots=[Authority.create().root])
    assert report.verdict == "untrusted"


@pytest.mark.parametrize(("lateness", "verdict"), [(0, "verified"), (1, "untrusted")])
def test_the_certificate_must_be_valid_at_the_time_of_the_receipt(lateness: int, verdict: str) -> None:
    """The device's clock says that all is well; it is not asked."""
    authority = Authority.create()
    lifetime = timedelta(days=30)
    device = authority.enroll("device-1", lifetime=lifetime)
    envelope = device.sign(verification(device, at=NOW))
    bundle = authority.bundle(device, envelope, at=NOW + lifetime + timedelta(seconds=lateness))
    report = verify_bundle(bundle, roots=[authority.root])
    assert report.verdict == verdict
    if report.error is not None:
        assert report.error.code == "CERTIFICATE_TIME"


def test_an_expired_receipt_key_confirms_nothing() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1", lifetime=2 * LEAF_LIFETIME)
    late = NOW + LEAF_LIFETIME + timedelta(seconds=1)
    report = verify_bundle(
        authority.bundle(device, device.sign(verification(device)), at=late), roots=[authority.root]
    )
    assert report.verdict == "untrusted"
    assert statuses(report)["receipt"] == "failed"


def test_a_log_key_that_had_expired_before_the_receipt_is_untrusted_and_a_newer_one_is_not() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    bundle = authority.confirm(device, device.sign(verification(device)))
    for begins, verdict in ((NOW - 2 * LEAF_LIFETIME, "untrusted"), (NOW + timedelta(days=90), "verified")):
        chain = authority.issue(authority.log_key.public_key(), name=ORIGIN, purpose=Purpose.LOG, now=begins)
        bundle.ClearField("log_certificates")
        bundle.log_certificates.extend(chain)
        report = verify_bundle(bundle.SerializeToString(), roots=[authority.root])
        assert report.verdict == verdict


def test_a_receipt_older_than_the_one_cited_contradicts_itself() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    first = authority.confirm(device, device.sign(device_event(device)), at=NOW + timedelta(hours=5))
    envelope = device.sign(verification(device, cites=first.receipt))
    bundle = authority.bundle(device, envelope, at=NOW + timedelta(hours=4), cited=first.receipt)
    report = verify_bundle(bundle, roots=[authority.root])
    assert report.error is not None
    assert (report.verdict, report.error.code) == ("forged", "TIME_ORDER")


def test_a_receipt_of_another_device_bounds_nothing() -> None:
    authority = Authority.create()
    other, device = authority.enroll("device-2"), authority.enroll("device-1")
    foreign = authority.confirm(other, other.sign(device_event(other)), at=NOW)
    envelope = device.sign(verification(device, cites=foreign.receipt))
    bundle = authority.bundle(device, envelope, cited=foreign.receipt)
    report = verify_bundle(bundle, roots=[authority.root])
    assert report.error is not None
    assert (report.verdict, report.error.code) == ("forged", "CITED_RECEIPT")


def test_receipt_and_log_entry_must_speak_of_one_log(case: Case) -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    bundle = authority.confirm(device, device.sign(verification(device)))
    authority.tree = Authority.create().tree  # the log is rewritten, with the record in another company
    authority.tree.append(bytes(32))
    index = authority.append(bundle.envelope, device.chain[0])
    bundle.log_entry.CopyFrom(authority.log_entry(index))
    report = verify_bundle(bundle.SerializeToString(), roots=[authority.root])
    assert report.error is not None
    assert (report.verdict, report.error.code) == ("forged", "LOG_CONTRADICTION")


def test_a_newer_checkpoint_than_the_receipts_is_fine() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    bundle = authority.confirm(device, device.sign(verification(device)))
    for number in range(100):
        authority.tree.append(bytes([number]) * 32)
    bundle.log_entry.CopyFrom(authority.log_entry(0))
    assert verify_bundle(bundle.SerializeToString(), roots=[authority.root]).verdict == "verified"


def test_a_wrong_device_clock_is_reported_and_blocks_nothing() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    wrong = datetime(2016, 1, 1, tzinfo=UTC) + 20 * timedelta(days=365)
    bundle = authority.bundle(device, device.sign(verification(device, at=wrong)))
    report = verify_bundle(bundle, roots=[authority.root])
    assert report.verdict == "verified"
    assert any("outside the bounds" in sentence for sentence in report.not_proved)


def test_a_co_signature_changes_nothing_for_the_device() -> None:
    authority = Authority.create()
    device, supervisor = authority.enroll("device-1"), new_key()
    payload = encode_statement(verification(device))
    envelope = parse_envelope(sign_envelope(payload, payload_type=STATEMENT_TYPE, key=device.key))
    second = parse_envelope(sign_envelope(payload, payload_type=STATEMENT_TYPE, key=supervisor))
    envelope.signatures.append(EnvelopeSignature(sig=second.signatures[0].sig))
    data = envelope.SerializeToString()
    device.head = ChainHead(1, 1, envelope_sha256(data))
    assert verify_bundle(authority.bundle(device, data), roots=[authority.root]).verdict == "verified"


def test_a_key_on_another_curve_is_unknown(case: Case) -> None:
    bundle = case.changed()
    key = ec.generate_private_key(ec.SECP384R1())
    chain = case.authority.issue(key.public_key(), name="device-1", purpose=Purpose.ATTESTATION)
    assert isinstance(x509.load_der_x509_certificate(chain[0]).public_key(), ec.EllipticCurvePublicKey)
    bundle.ClearField("certificates")
    bundle.certificates.extend(chain)
    report = case.verify(bundle)
    assert report.error is not None
    assert (report.verdict, report.error.code) == ("unknown", "KEY_ALGORITHM")
