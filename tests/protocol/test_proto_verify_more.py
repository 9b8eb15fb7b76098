"""The later steps of the verification: people, device events, time, revocation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

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
from tests.support.cases import (
    CITED_AT,
    LISTED_AT,
    RECEIVED_AT,
    SIGNED_AT,
    Case,
    answer,
    build_case,
    change_receipt_key,
    statuses,
)
from tests.support.events import gap_event, reset_event
from verifield.bounds import MAX_DRIFT, earliest_time
from verifield.certificates import Purpose
from verifield.chain import ChainHead, envelope_sha256
from verifield.dsse import encode_envelope, parse_envelope
from verifield.errors import Malformed
from verifield.profile import issuing_certificate, root_certificate
from verifield.rules import MAX_COUNTER
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


# --- 8: the second signature


@pytest.mark.req("E043")
def test_a_manual_decision_is_genuine_with_both_signatures_and_says_who_decided() -> None:
    built = build_case(pb.OUTCOME_MANUAL)
    report = built.verify(built.good)
    assert answer(report) == ("verified", None, None)
    assert report.facts is not None
    assert (report.facts.decided_by, report.facts.accepted) == (("op-1", "op-2"), True)
    assert any("op-1 and op-2 accepted" in sentence for sentence in report.proved)
    assert any("second person" in sentence for sentence in report.not_proved)
    assert "NO person" in report.headline


@pytest.mark.req("E043")
@pytest.mark.parametrize("signer", ["nobody", "another", "the device"])
def test_a_manual_decision_without_its_second_signature_is_forged(signer: str) -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    keys = {"nobody": [], "another": [new_key()], "the device": [device.key]}[signer]
    payload = encode_statement(verification(device, outcome=pb.OUTCOME_MANUAL))
    signatures = [
        parse_envelope(sign_envelope(payload, payload_type=STATEMENT_TYPE, key=key)).signatures[0].sig
        for key in [device.key, *keys]
    ]
    envelope = encode_envelope(payload_type=STATEMENT_TYPE, payload=payload, signatures=signatures)
    device.head = ChainHead(1, 1, envelope_sha256(envelope))
    report = verify_bundle(authority.bundle(device, envelope), roots=[authority.root])
    assert answer(report) == ("forged", "COSIGNATURE", "cosignature")


# --- 9: device events and later epochs


def test_a_reset_and_what_follows_it_are_told_in_words() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    device.sign(device_event(device))
    stood = device.head
    reset = authority.bundle(device, device.sign(reset_event(device, cloud_head=stood, reason="FORK")))
    report = verify_bundle(reset, roots=[authority.root])
    assert report.verdict == "verified"
    assert report.facts is not None
    assert (report.facts.chain_epoch, report.facts.seq) == (2, 1)
    assert any("begun anew as epoch 2 (FORK)" in sentence for sentence in report.proved)
    assert any("this is epoch 2" in sentence for sentence in report.not_proved)
    gap = authority.bundle(device, device.sign(gap_event(device, first=1, last=1, reason="LOST")))
    report = verify_bundle(gap, roots=[authority.root])
    assert any("Record 1 of epoch 2 is lost for ever (LOST)." in sentence for sentence in report.proved)


# --- 10, 11: time


def test_the_time_since_the_receipt_tightens_the_earliest_time_by_no_more_than_a_clock_may_be_fast(
    case: Case,
) -> None:
    report = case.verify(case.good)
    assert report.facts is not None
    assert report.facts.not_before == CITED_AT + timedelta(minutes=50) * (1 - MAX_DRIFT)
    assert earliest_time(CITED_AT, since_receipt_ns=0) == CITED_AT
    assert earliest_time(CITED_AT, since_receipt_ns=10**18) < CITED_AT + timedelta(seconds=10**9)


def test_no_earliest_time_lies_beyond_the_calendar() -> None:
    """A service may certify its receipt key to the end of the calendar, and lie about the time."""
    late = datetime(9990, 1, 1, tzinfo=UTC)
    with pytest.raises(Malformed):
        earliest_time(late, since_receipt_ns=MAX_COUNTER)
    authority = Authority.create()
    lifetime = datetime(9999, 12, 31, tzinfo=UTC) - NOW
    authority.root = root_certificate(authority.root_key, name="Test root", now=NOW, lifetime=lifetime)
    authority.issuing = issuing_certificate(
        issuer_cert=authority.root,
        issuer_key=authority.root_key,
        public_key=authority.issuing_key.public_key(),
        name="Test issuing CA",
        now=NOW,
        lifetime=lifetime,
    )
    authority.receipt_chain = authority.issue(
        authority.receipt_key.public_key(), name="Receipts", purpose=Purpose.RECEIPT, lifetime=lifetime
    )
    device = authority.enroll("device-1", lifetime=lifetime)
    first = authority.confirm(device, device.sign(device_event(device)), at=late)
    statement = verification(device, cites=first.receipt)
    statement.clock.monotonic_ns = statement.clock.since_receipt_ns = MAX_COUNTER
    bundle = authority.bundle(device, device.sign(statement), at=late, cited=first.receipt)
    assert answer(verify_bundle(bundle, roots=[authority.root])) == ("malformed", "BAD_TIME", "not-before")


@pytest.mark.parametrize(("fast", "verdict"), [(MAX_DRIFT / 2, "verified"), (MAX_DRIFT * 2, "forged")])
def test_a_fast_clock_contradicts_the_receipt_only_beyond_its_allowance(fast: float, verdict: str) -> None:
    """Ten days after a receipt a record is confirmed at once."""
    authority = Authority.create()
    device = authority.enroll("device-1")
    first = authority.confirm(device, device.sign(device_event(device)), at=NOW)
    statement = verification(device, cites=first.receipt)
    passed = timedelta(days=10)
    statement.clock.since_receipt_ns = int(passed.total_seconds() * (1 + fast) * 10**9)
    statement.clock.monotonic_ns = statement.clock.since_receipt_ns
    bundle = authority.bundle(device, device.sign(statement), at=NOW + passed, cited=first.receipt)
    report = verify_bundle(bundle, roots=[authority.root])
    assert report.verdict == verdict
    if report.error is not None:
        assert report.error.code == "TIME_ORDER"


def test_the_cited_receipt_may_be_by_an_older_key(case: Case) -> None:
    assert case.good.cited_receipt_certificates[0] != case.good.receipt_certificates[0]
    assert statuses(case.verify(case.good))["not-before"] == "passed"
    bundle = case.changed()
    bundle.ClearField("cited_receipt_certificates")  # then it would have to be by the same key
    assert answer(case.verify(bundle)) == ("forged", "SIGNATURE", "not-before")


def test_without_certificates_of_its_own_the_cited_receipt_is_by_the_receipts_key() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    first = authority.confirm(device, device.sign(device_event(device)), at=NOW)
    envelope = device.sign(verification(device, cites=first.receipt))
    bundle = authority.confirm(device, envelope, cited=first.receipt)
    assert not bundle.cited_receipt_certificates
    report = verify_bundle(bundle.SerializeToString(), roots=[authority.root])
    assert statuses(report)["not-before"] == "passed"


# --- 12: revocation


@pytest.mark.req("E043")
@pytest.mark.parametrize(
    ("late", "status", "verdict"),
    [(-1, "failed", "untrusted"), (0, "failed", "untrusted"), (1, "passed", "verified")],
)
def test_a_certificate_revoked_by_the_latest_time_of_the_record_is_not_trusted(
    case: Case, late: int, status: str, verdict: str
) -> None:
    bundle = case.changed()
    bundle.revocation_list = case.authority.revocation_list(
        case.device.certificate, at=RECEIVED_AT + timedelta(seconds=late), issued=LISTED_AT
    )
    report = case.verify(bundle)
    assert (statuses(report)["revocation"], report.verdict) == (status, verdict)
    if verdict == "untrusted":
        assert answer(report) == ("untrusted", "REVOKED", "revocation")


@pytest.mark.req("E043")
def test_a_receipt_by_a_revoked_key_counts_for_nothing(case: Case) -> None:
    """Whoever has the key can write any time into a receipt; the service signs a new one when it is asked."""
    certificate = x509.load_der_x509_certificate(case.good.receipt_certificates[0])
    for at in (RECEIVED_AT, LISTED_AT):
        bundle = case.changed()
        bundle.revocation_list = case.authority.revocation_list(certificate, at=at, issued=LISTED_AT)
        assert answer(case.verify(bundle)) == ("untrusted", "REVOKED", "revocation")


@pytest.mark.parametrize(
    ("late", "verdict", "bounded"),
    [
        (CITED_AT, "untrusted", None),  # it says itself that it was signed afterwards
        (CITED_AT + timedelta(seconds=1), "verified", False),
        (RECEIVED_AT, "verified", False),
        (RECEIVED_AT + timedelta(seconds=1), "verified", True),  # it was there before
    ],
)
def test_an_earlier_receipt_by_a_revoked_key_bounds_nothing(
    case: Case, late: datetime, verdict: str, bounded: bool | None
) -> None:
    """Whoever held the key could have moved the earliest time of the record; the record itself stands."""
    certificate = x509.load_der_x509_certificate(case.good.cited_receipt_certificates[0])
    bundle = case.changed()
    bundle.revocation_list = case.authority.revocation_list(certificate, at=late, issued=LISTED_AT)
    report = case.verify(bundle)
    assert report.verdict == verdict
    if report.facts is not None:
        assert (report.facts.not_before is not None) == bounded
        assert any("The earliest time" in sentence for sentence in report.not_proved) != bounded
        assert ("open" in {c.name: c.detail for c in report.checks}["revocation"]) != bounded


def test_a_note_by_a_revoked_key_of_the_log_needs_the_receipts_word(case: Case) -> None:
    certificate = x509.load_der_x509_certificate(case.good.log_certificates[0])
    bundle = case.changed()
    bundle.revocation_list = case.authority.revocation_list(certificate, at=LISTED_AT, issued=LISTED_AT)
    assert case.verify(bundle).verdict == "verified"
    bundle.log_entry.tree_size = 9
    bundle.log_entry.checkpoint = case.authority.checkpoint(9)
    del bundle.log_entry.inclusion_hashes[:]
    bundle.log_entry.inclusion_hashes.extend(case.authority.tree.inclusion_proof(6, 9))
    assert answer(case.verify(bundle)) == ("untrusted", "REVOKED", "checkpoint")
    bundle.ClearField("revocation_list")
    del bundle.witnesses[:]
    assert case.verify(bundle).verdict == "verified"


def test_the_key_of_the_policy_may_be_revoked_too(case: Case) -> None:
    """The record names the policy, so that it was there when the record was confirmed."""
    chain = case.authority.policy_chain
    certificate = x509.load_der_x509_certificate(chain[0])
    for at, verdict in ((RECEIVED_AT, "untrusted"), (RECEIVED_AT + timedelta(seconds=1), "verified")):
        bundle = case.changed()
        bundle.revocation_list = case.authority.revocation_list(certificate, at=at, issued=LISTED_AT)
        report = verify_bundle(
            bundle.SerializeToString(),
            roots=[case.authority.root],
            policy=case.policy,
            policy_certificates=chain,
        )
        assert report.verdict == verdict


def test_without_a_receipt_any_revocation_counts(case: Case) -> None:
    bundle = case.changed()
    bundle.ClearField("receipt")
    bundle.revocation_list = case.authority.revocation_list(
        case.device.certificate, at=LISTED_AT, issued=LISTED_AT
    )
    assert answer(case.verify(bundle)) == ("untrusted", "REVOKED", "revocation")


def test_a_list_that_is_missing_or_older_than_the_receipt_is_told_and_blocks_nothing(case: Case) -> None:
    without, older = case.changed(), case.changed()
    without.ClearField("revocation_list")
    older.revocation_list = case.authority.revocation_list(issued=RECEIVED_AT - timedelta(seconds=1))
    for bundle in (without, older):
        report = case.verify(bundle)
        assert (report.verdict, statuses(report)["revocation"]) == ("verified", "missing")
        assert report.facts is not None
        assert not report.facts.revocation_checked
        assert any("reported the device's key as lost" in sentence for sentence in report.not_proved)
    older.revocation_list = case.authority.revocation_list(issued=RECEIVED_AT)
    assert statuses(case.verify(older))["revocation"] == "passed"


def test_a_list_given_beside_the_bundle_counts_too(case: Case) -> None:
    newer = case.authority.revocation_list(case.device.certificate, at=RECEIVED_AT, issued=LISTED_AT)
    data, roots = case.good.SerializeToString(), [case.authority.root]
    assert verify_bundle(data, roots=roots).verdict == "verified"
    assert answer(verify_bundle(data, roots=roots, revocation_list=newer))[1] == "REVOKED"
    assert answer(verify_bundle(data, roots=roots, revocation_list=b"?")) == (
        "malformed",
        "REVOCATION_LIST",
        "revocation",
    )
    foreign = Authority.create().revocation_list(issued=LISTED_AT)
    assert answer(verify_bundle(data, roots=roots, revocation_list=foreign))[0] == "forged"
    assert answer(verify_bundle(data, roots=roots, revocation_list=b""))[0] == "malformed"


@pytest.mark.req("E043")
def test_an_old_list_given_beside_the_bundle_hides_nothing(case: Case) -> None:
    revoked = case.changed()
    revoked.revocation_list = case.authority.revocation_list(
        case.device.certificate, at=RECEIVED_AT, issued=LISTED_AT
    )
    old, newer = (case.authority.revocation_list(issued=at) for at in (NOW, LISTED_AT + timedelta(days=1)))
    roots = [case.authority.root]
    for given in (old, newer):
        report = verify_bundle(revoked.SerializeToString(), roots=roots, revocation_list=given)
        assert answer(report) == ("untrusted", "REVOKED", "revocation")
    report = verify_bundle(case.good.SerializeToString(), roots=roots, revocation_list=old)
    assert statuses(report)["revocation"] == "passed", "the newer of the two counts"


def test_a_receipt_key_that_expired_between_two_receipts_matters_to_neither() -> None:
    """The service changes its receipt key; each receipt is judged at its own time, by its own key."""
    authority = Authority.create()
    device = authority.enroll("device-1", lifetime=3 * LEAF_LIFETIME)
    first = authority.confirm(device, device.sign(device_event(device)), at=NOW)
    change_receipt_key(authority)
    late = NOW + LEAF_LIFETIME + timedelta(days=30)
    authority.receipt_chain = authority.issue(
        authority.receipt_key.public_key(), name="Later", purpose=Purpose.RECEIPT, now=late
    )
    envelope = device.sign(verification(device, at=SIGNED_AT, cites=first.receipt))
    bundle = authority.confirm(device, envelope, at=late, cited=first.receipt)
    bundle.cited_receipt_certificates.extend(first.receipt_certificates)
    bundle.ClearField("log_certificates")
    bundle.log_certificates.extend(
        authority.issue(authority.log_key.public_key(), name=ORIGIN, purpose=Purpose.LOG, now=late)
    )
    assert verify_bundle(bundle.SerializeToString(), roots=[authority.root]).verdict == "verified"
