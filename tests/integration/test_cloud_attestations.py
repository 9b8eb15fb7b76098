"""The operator's view: listing, one record, bundles that verify, the log's proofs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from cloud.errors import ClientError
from cloud.paging import MAX_PAGE_SIZE, encode_page_token
from tests.support.authority import device_event
from tests.support.cloud import CloudDevice, RunningCloud, next_envelopes, running_cloud, verification_of
from verifield.certificates import log_key, parse_certificate
from verifield.dsse import parse_envelope
from verifield.merkle import check_consistency
from verifield.note import check_checkpoint
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2, attestation_service_pb2, log_service_pb2
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def id_of(envelope: bytes) -> str:
    return parse_statement(parse_envelope(envelope).payload).attestation_id


def list_page(cloud: RunningCloud, **request: object) -> attestation_service_pb2.ListAttestationsResponse:
    message = attestation_service_pb2.ListAttestationsRequest(**request)  # type: ignore[arg-type]
    return cloud.operator.call(cloud.operator.attestations.ListAttestations, message)


def get_bundle(cloud: RunningCloud, attestation_id: str) -> bytes:
    request = attestation_service_pb2.GetBundleRequest(attestation_id=attestation_id)
    answer = cloud.operator.call(cloud.operator.attestations.GetBundle, request)
    return answer.bundle.SerializeToString()


def deliver_one(cloud: RunningCloud, device: CloudDevice, statement: attestation_pb2.Statement) -> bytes:
    [answer] = cloud.deliver(device, [device.sign(statement)])
    return answer.receipt


def test_pages_are_newest_first_and_complete(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    envelopes = next_envelopes(device, 5)
    cloud.deliver(device, envelopes[:2], envelopes[2:])
    seen, token = [], ""
    while True:
        page = list_page(cloud, device_id=device.device_id, page_size=2, page_token=token)
        assert len(page.attestations) <= 2
        seen += [one.attestation_id for one in page.attestations]
        token = page.next_page_token
        if not token:
            break
    assert seen == [id_of(envelope) for envelope in reversed(envelopes)]


def test_filters_are_combined(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    spoof = verification_of(device, outcome=attestation_pb2.OUTCOME_SPOOF)
    deliver_one(cloud, device, spoof)
    deliver_one(cloud, device, verification_of(device))
    deliver_one(cloud, other, verification_of(other, outcome=attestation_pb2.OUTCOME_SPOOF))
    page = list_page(cloud, device_id=device.device_id, outcome=attestation_pb2.OUTCOME_SPOOF)
    assert [one.attestation_id for one in page.attestations] == [spoof.attestation_id]
    assert page.attestations[0].site_id == device.site_id


def test_a_page_token_belongs_to_its_filters(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    cloud.deliver(device, next_envelopes(device, 2))
    token = list_page(cloud, device_id=device.device_id, page_size=1).next_page_token
    assert token
    for wrong in ({"page_token": token}, {"device_id": device.device_id, "page_token": token[:-4] + "!!!!"}):
        with pytest.raises(ClientError) as caught:
            list_page(cloud, **wrong)
        assert caught.value.code == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("position", [str(2**63), "9" * 150, "-1", "1 ", "x"])
def test_a_made_up_position_is_refused(cloud: RunningCloud, position: str) -> None:
    with pytest.raises(ClientError) as caught:
        list_page(cloud, page_token=encode_page_token(position, filters="attestations||0"))
    assert caught.value.code == "PAGE_TOKEN_INVALID"


def test_a_page_has_a_largest_size(cloud: RunningCloud) -> None:
    list_page(cloud, page_size=MAX_PAGE_SIZE)
    with pytest.raises(ClientError) as caught:
        list_page(cloud, page_size=MAX_PAGE_SIZE + 1)
    assert caught.value.code == "REQUEST_INVALID"


def test_one_record_is_shown_as_it_was_signed(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    statement = verification_of(device, outcome=attestation_pb2.OUTCOME_SPOOF)
    statement.reasons.append("SPOOF_PLANAR_MOTION")
    deliver_one(cloud, device, statement)
    request = attestation_service_pb2.GetAttestationRequest(attestation_id=statement.attestation_id)
    answer = cloud.operator.call(cloud.operator.attestations.GetAttestation, request)
    assert answer.statement == statement
    assert answer.summary.outcome == attestation_pb2.OUTCOME_SPOOF
    assert list(answer.summary.reasons) == ["SPOOF_PLANAR_MOTION"]
    assert answer.summary.wall_time == statement.clock.wall_time


def test_an_unknown_record_is_not_found(cloud: RunningCloud) -> None:
    with pytest.raises(ClientError) as caught:
        get_bundle(cloud, "019ca5a0-0000-7000-8000-00000000ffff")
    assert caught.value.code == "ATTESTATION_NOT_FOUND"


def test_every_bundle_verifies_offline(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    event = device_event(device)
    event.attestation_id = verification_of(device).attestation_id
    deliver_one(cloud, device, event)
    middle = next_envelopes(device, 2)
    [answer] = cloud.deliver(device, middle)
    citing = verification_of(device, cites=answer.receipt)
    deliver_one(cloud, device, citing)
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    ids = [event.attestation_id, *map(id_of, middle), citing.attestation_id]
    reports = [verify_bundle(get_bundle(cloud, one), roots=roots) for one in ids]
    assert [report.verdict for report in reports] == ["verified"] * 4
    facts = reports[-1].facts
    assert facts is not None
    assert facts.not_before is not None
    assert facts.not_after is not None
    assert facts.not_before <= facts.not_after


def test_a_bundle_verifies_against_no_other_root(cloud: RunningCloud, tmp_path: Path) -> None:
    device = cloud.enroll()
    [envelope] = next_envelopes(device, 1)
    cloud.deliver(device, [envelope])
    with running_cloud(tmp_path / "other") as elsewhere:
        roots = x509.load_pem_x509_certificates(elsewhere.root_pem)
    assert verify_bundle(get_bundle(cloud, id_of(envelope)), roots=roots).verdict == "untrusted"


def test_checkpoints_are_consistent_with_each_other(cloud: RunningCloud) -> None:
    def checkpoint() -> log_service_pb2.GetCheckpointResponse:
        return cloud.operator.call(cloud.operator.log.GetCheckpoint, log_service_pb2.GetCheckpointRequest())

    device = cloud.enroll()
    cloud.deliver(device, next_envelopes(device, 1))
    before = checkpoint()
    cloud.deliver(device, next_envelopes(device, 6))
    after = checkpoint()
    key = log_key(parse_certificate(after.certificates[0]))
    first, second = (check_checkpoint(one.checkpoint, key=key) for one in (before, after))
    assert second.size == first.size + 6
    request = log_service_pb2.GetConsistencyProofRequest(first_size=first.size)
    proof = cloud.operator.call(cloud.operator.log.GetConsistencyProof, request)
    assert proof.second_size == second.size
    check_consistency(
        first_size=first.size,
        first_root=first.root,
        second_size=second.size,
        second_root=second.root,
        proof=list(proof.hashes),
    )


def test_proofs_beyond_the_tree_are_refused(cloud: RunningCloud) -> None:
    inclusion = log_service_pb2.GetInclusionProofRequest(index=10**6)
    too_large = log_service_pb2.GetInclusionProofRequest(index=0, tree_size=10**6)
    backwards = log_service_pb2.GetConsistencyProofRequest(first_size=10**6)
    log = cloud.operator.log
    for method, request in (
        (log.GetInclusionProof, inclusion),
        (log.GetInclusionProof, too_large),
        (log.GetConsistencyProof, backwards),
    ):
        with pytest.raises(ClientError) as caught:
            cloud.operator.call(method, request)
        assert caught.value.code == "LOG_RANGE"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE attestations SET envelope = zeroblob(100)",
        "UPDATE attestations SET envelope_sha256 = zeroblob(32)",
        "UPDATE attestations SET seq = 77",
        "UPDATE attestations SET outcome = 3",
        "UPDATE attestations SET kind = 2",
        "UPDATE attestations SET reasons = '[\"MADE_UP\"]'",
        "UPDATE attestations SET wall_us = wall_us + 1",
        "UPDATE certificates SET der = zeroblob(50)",
    ],
)
def test_a_row_changed_from_outside_is_reported_and_never_bundled(tmp_path: Path, change: str) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device = cloud.enroll()
        [envelope] = next_envelopes(device, 1)
        cloud.deliver(device, [envelope])
        with closing(sqlite3.connect(cloud.data / "verifield.db")) as database:
            database.execute(change)
            database.commit()
        with pytest.raises(ClientError) as caught:
            get_bundle(cloud, id_of(envelope))
    assert caught.value.code == "RECORD_DAMAGED"
