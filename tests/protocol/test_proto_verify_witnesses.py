"""Step 15 of the verification: other devices saw the log, and whatever does not hold is forged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.support.authority import (
    NOW,
    Authority,
    Device,
    device_event,
    new_key,
    sign_envelope,
    verification,
)
from tests.support.cases import (
    LISTED_AT,
    Case,
    answer,
    build_case,
    statuses,
)
from verifield.bundle import MAX_WITNESSES
from verifield.certificates import Purpose
from verifield.dsse import parse_envelope
from verifield.statement import STATEMENT_TYPE
from verifield.v1.bundle_pb2 import Bundle
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


def witness(case: Case, device: Device, *, size: int, entry_size: int | None = None) -> Bundle:
    """Return the good bundle with the word of ``device`` on the tree of ``size`` as its only witness."""
    bundle = case.changed()
    if entry_size is not None:
        index = bundle.log_entry.index
        bundle.log_entry.tree_size = entry_size
        bundle.log_entry.checkpoint = case.authority.checkpoint(entry_size)
        del bundle.log_entry.inclusion_hashes[:]
        bundle.log_entry.inclusion_hashes.extend(case.authority.tree.inclusion_proof(index, entry_size))
    del bundle.witnesses[:]
    bundle.witnesses.append(
        case.authority.witness(device, verification(device), size=size, entry=bundle.log_entry)
    )
    return bundle


@pytest.mark.req("E043")
@pytest.mark.parametrize(("size", "entry_size"), [(11, 7), (7, 7), (8, 7), (7, 11), (9, 10)])
def test_a_witness_may_have_seen_a_larger_or_a_smaller_tree(case: Case, size: int, entry_size: int) -> None:
    report = case.verify(witness(case, case.witness, size=size, entry_size=entry_size))
    assert (report.verdict, statuses(report)["witnesses"]) == ("verified", "passed")
    assert report.facts is not None
    assert report.facts.witnesses == 1


def test_each_other_device_counts_once_and_the_device_itself_never(case: Case) -> None:
    other = case.authority.enroll("device-9")
    bundle = witness(case, case.witness, size=9)
    for device in (case.witness, other, case.device):
        bundle.witnesses.append(
            case.authority.witness(device, verification(device), size=10, entry=bundle.log_entry)
        )
    report = case.verify(bundle)
    assert report.facts is not None
    assert report.facts.witnesses == 2
    assert any("2 other devices" in sentence for sentence in report.proved)
    alone = case.verify(witness(case, case.device, size=9))
    assert (alone.verdict, statuses(alone)["witnesses"]) == ("verified", "missing")
    assert alone.facts is not None
    assert alone.facts.witnesses == 0
    assert any("no other device's word" in sentence for sentence in alone.not_proved)


def replaced_by(case: Case, *, key: bool, name: str = "device-8") -> Device:
    """Enrol another device, with the key of the record's device or with one of its own."""
    device = case.authority.enroll(name)
    if key:
        chain = case.authority.issue(
            case.device.key.public_key(), name=name, purpose=Purpose.ATTESTATION, now=NOW
        )
        device = Device(name, case.device.key, chain)
    return device


@pytest.mark.req("E043")
def test_the_device_under_another_name_is_no_witness(case: Case) -> None:
    """It comes with the same key, or says itself whose place it has taken."""
    twin = case.verify(witness(case, replaced_by(case, key=True), size=9))
    assert (twin.verdict, statuses(twin)["witnesses"]) == ("verified", "missing")
    bundle = case.changed()
    del bundle.witnesses[:]
    successor = replaced_by(case, key=False)
    enrolment = device_event(successor)
    enrolment.device_event.predecessor_id = case.device.device_id
    bundle.witnesses.append(case.authority.witness(successor, enrolment, size=9, entry=bundle.log_entry))
    assert statuses(case.verify(bundle))["witnesses"] == "missing"
    bundle.witnesses[0].CopyFrom(
        case.authority.witness(successor, verification(successor), size=9, entry=bundle.log_entry)
    )
    assert statuses(case.verify(bundle))["witnesses"] == "passed", "another device, as far as it says"


def test_the_record_of_an_enrolment_names_who_cannot_be_its_witness() -> None:
    authority = Authority.create()
    device, old = authority.enroll("device-2"), authority.enroll("device-1")
    statement = device_event(device)
    statement.device_event.predecessor_id = old.device_id
    bundle = authority.confirm(device, device.sign(statement))
    bundle.witnesses.append(authority.witness(old, verification(old), size=1, entry=bundle.log_entry))
    report = verify_bundle(bundle.SerializeToString(), roots=[authority.root])
    assert (report.verdict, statuses(report)["witnesses"]) == ("verified", "missing")


def test_two_names_with_one_key_count_once(case: Case) -> None:
    bundle = witness(case, case.witness, size=9)
    chain = case.authority.issue(
        case.witness.key.public_key(), name="device-8", purpose=Purpose.ATTESTATION, now=NOW
    )
    twin = Device("device-8", case.witness.key, chain)
    bundle.witnesses.append(case.authority.witness(twin, verification(twin), size=10, entry=bundle.log_entry))
    report = case.verify(bundle)
    assert report.facts is not None
    assert report.facts.witnesses == 1


@pytest.mark.req("E043")
def test_a_witness_whose_key_was_taken_back_does_not_count(case: Case) -> None:
    """Nothing says when it spoke: it may have been after its key was stolen."""
    bundle = witness(case, case.witness, size=9)
    bundle.revocation_list = case.authority.revocation_list(
        case.witness.certificate, at=LISTED_AT, issued=LISTED_AT
    )
    alone = case.verify(bundle)
    assert (alone.verdict, statuses(alone)["witnesses"]) == ("verified", "missing")
    other = case.authority.enroll("device-9")
    bundle.witnesses.append(
        case.authority.witness(other, verification(other), size=10, entry=bundle.log_entry)
    )
    report = case.verify(bundle)
    assert report.facts is not None
    assert report.facts.witnesses == 1


@pytest.mark.parametrize(("margin", "status"), [(0, "passed"), (-1, "failed")])
def test_a_witness_cannot_have_spoken_after_its_certificate_ended(
    case: Case, margin: int, status: str
) -> None:
    facts = case.verify(case.good).facts
    assert facts is not None
    assert facts.not_before is not None
    lifetime = facts.not_before.replace(microsecond=0) + timedelta(seconds=1 + margin) - NOW
    device = case.authority.enroll("device-9", lifetime=lifetime)
    assert statuses(case.verify(witness(case, device, size=9)))["witnesses"] == status


def test_no_witness_is_told_and_blocks_nothing(case: Case) -> None:
    bundle = case.changed()
    bundle.ClearField("witnesses")
    report = case.verify(bundle)
    assert (report.verdict, statuses(report)["witnesses"]) == ("verified", "missing")


def test_a_bundle_has_at_most_16_witnesses(case: Case) -> None:
    bundle = case.changed()
    bundle.witnesses.extend([bundle.witnesses[0]] * (MAX_WITNESSES - 1))
    assert case.verify(bundle).verdict == "verified"
    bundle.witnesses.append(bundle.witnesses[0])
    assert answer(case.verify(bundle)) == ("malformed", "BUNDLE_SHAPE", "bundle")


def _other_signature(case: Case, bundle: Bundle) -> None:
    payload = parse_envelope(bundle.witnesses[0].envelope).payload
    bundle.witnesses[0].envelope = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=new_key())


def _other_chain(case: Case, bundle: Bundle) -> None:
    foreign = Authority.create().enroll("device-2")
    payload = parse_envelope(bundle.witnesses[0].envelope).payload
    bundle.witnesses[0].envelope = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=foreign.key)
    del bundle.witnesses[0].certificates[:]
    bundle.witnesses[0].certificates.extend(foreign.chain)


def _other_name(case: Case, bundle: Bundle) -> None:
    """A device lends its voice to another."""
    statement = verification(case.authority.enroll("device-7"))
    made = case.authority.witness(case.witness, statement, size=9, entry=bundle.log_entry)
    bundle.witnesses[0].CopyFrom(made)


def _other_checkpoint(case: Case, bundle: Bundle) -> None:
    bundle.witnesses[0].checkpoint = case.authority.checkpoint(10)


def _own_log(case: Case, bundle: Bundle) -> None:
    """What the device saw was signed by a key of somebody else."""
    foreign = Authority.create()
    for number in range(12):
        foreign.tree.append(bytes([number]) * 32)
    statement = verification(case.witness)
    bundle.witnesses[0].CopyFrom(foreign.witness(case.witness, statement, size=12, entry=bundle.log_entry))


def _forked_log(case: Case, bundle: Bundle) -> None:
    """The log's own key signed another tree for the witness."""
    forked = Authority.create()
    forked.log_key = case.authority.log_key
    for number in range(12):
        forked.tree.append(bytes([number]) * 32)
    made = forked.witness(case.witness, verification(case.witness), size=12, entry=bundle.log_entry)
    bundle.witnesses[0].CopyFrom(made)


def _small_tree(case: Case, bundle: Bundle) -> None:
    made = case.authority.witness(case.witness, verification(case.witness), size=6, entry=bundle.log_entry)
    bundle.witnesses[0].CopyFrom(made)


def _no_proof(case: Case, bundle: Bundle) -> None:
    bundle.witnesses[0].ClearField("consistency_hashes")


def _no_record(case: Case, bundle: Bundle) -> None:
    bundle.witnesses[0].envelope = bundle.receipt
    bundle.witnesses[0].ClearField("certificates")
    bundle.witnesses[0].certificates.extend(bundle.receipt_certificates)


def _empty(case: Case, bundle: Bundle) -> None:
    bundle.witnesses.add()


@pytest.mark.req("E043")
@pytest.mark.parametrize(
    "lie",
    [
        _other_signature,
        _other_chain,
        _other_name,
        _other_checkpoint,
        _own_log,
        _forked_log,
        _small_tree,
        _no_proof,
        _no_record,
        _empty,
    ],
)
def test_a_witness_that_does_not_hold_makes_the_bundle_forged(
    case: Case, lie: Callable[[Case, Bundle], None]
) -> None:
    bundle = case.changed()
    lie(case, bundle)
    assert answer(case.verify(bundle)) == ("forged", "WITNESS", "witnesses")
