"""The log and its witnesses: tiles, consistency for devices, and statements of others in a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import text

from cloud.errors import ClientError
from cloud.log.sequencer import MAX_TILE_LEVEL
from tests.support.authority import der, new_key
from tests.support.chains import Chain
from tests.support.cloud import CloudDevice, RunningCloud, next_envelopes, running_cloud, verification_of
from verifield.certificates import log_key, parse_certificate
from verifield.chain import envelope_sha256
from verifield.dsse import parse_envelope
from verifield.merkle import HASH_BYTES, MerkleTree, check_consistency, node_hash
from verifield.note import Checkpoint, check_checkpoint
from verifield.profile import root_certificate
from verifield.receipt import check_receipt
from verifield.statement import parse_statement
from verifield.v1 import attestation_service_pb2, log_service_pb2
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.bundle_pb2 import Bundle, Receipt
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def deliver(
    cloud: RunningCloud, device: CloudDevice, envelopes: list[bytes], *, witnessed: int = 0
) -> pb.DeliverResponse:
    request = pb.DeliverRequest(envelopes=envelopes, certificates=device.chain, witnessed_tree_size=witnessed)
    with cloud.sync(device) as stub:
        [answer] = stub.Deliver(iter([request]), timeout=30)
    return answer


def receipt_in(cloud: RunningCloud, answer: pb.DeliverResponse) -> Receipt:
    return check_receipt(
        answer.receipt,
        certificates=list(answer.receipt_certificates),
        roots=x509.load_pem_x509_certificates(cloud.root_pem),
    )


def checkpoint_in(cloud: RunningCloud, answer: pb.DeliverResponse) -> Checkpoint:
    key = log_key(parse_certificate(answer.log_certificates[0]))
    return check_checkpoint(receipt_in(cloud, answer).checkpoint, key=key)


def published(cloud: RunningCloud) -> Checkpoint:
    answer = cloud.operator.call(cloud.operator.log.GetCheckpoint, log_service_pb2.GetCheckpointRequest())
    return check_checkpoint(answer.checkpoint, key=log_key(parse_certificate(answer.certificates[0])))


def tile(cloud: RunningCloud, level: int, index: int, width: int = 0) -> list[bytes]:
    request = log_service_pb2.GetTileRequest(level=level, index=index, width=width)
    hashes = cloud.operator.call(cloud.operator.log.GetTile, request).hashes
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]


def get_bundle(cloud: RunningCloud, envelope: bytes) -> Bundle:
    attestation_id = parse_statement(parse_envelope(envelope).payload).attestation_id
    request = attestation_service_pb2.GetBundleRequest(attestation_id=attestation_id)
    return cloud.operator.call(cloud.operator.attestations.GetBundle, request).bundle


# Devices as witnesses


def test_a_device_gets_the_proof_that_the_log_only_grew(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    first = checkpoint_in(cloud, deliver(cloud, device, next_envelopes(device, 1)))
    deliver(cloud, other, next_envelopes(other, 5))
    answer = deliver(cloud, device, next_envelopes(device, 2), witnessed=first.size)
    second = checkpoint_in(cloud, answer)
    assert second.size == first.size + 7
    check_consistency(
        first_size=first.size,
        first_root=first.root,
        second_size=second.size,
        second_root=second.root,
        proof=list(answer.consistency_hashes),
    )
    same = deliver(cloud, device, [], witnessed=second.size)
    assert checkpoint_in(cloud, same).size == second.size
    assert not same.consistency_hashes


def test_a_device_that_has_seen_a_larger_tree_gets_no_proof(cloud: RunningCloud) -> None:
    """As after the log was restored from a backup: there is nothing to prove, and the device will halt."""
    device = cloud.enroll()
    answer = deliver(cloud, device, next_envelopes(device, 1), witnessed=10**6)
    assert answer.receipt
    assert not answer.consistency_hashes


def test_a_device_learns_which_places_are_missing(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    envelopes = next_envelopes(device, 6)
    answer = deliver(cloud, device, [envelopes[0], envelopes[2], envelopes[5]])
    ranges = [(2, 2), (4, 5)]
    assert [(one.first_seq, one.last_seq) for one in answer.missing] == ranges
    head = cloud.head(device)
    assert (head.seq, head.newest_seq) == (1, 6)
    assert [(one.first_seq, one.last_seq) for one in head.missing] == ranges
    deliver(cloud, device, [envelopes[1], envelopes[3], envelopes[4]])
    head = cloud.head(device)
    assert (head.seq, head.newest_seq, list(head.missing)) == (6, 6, [])
    assert head.head_sha256 == envelope_sha256(envelopes[-1])


def test_damaged_records_are_taken_beside_the_batch(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    request = pb.DeliverRequest(
        envelopes=next_envelopes(device, 1),
        certificates=device.chain,
        damaged=[pb.DamagedRecord(chain_epoch=1, seq=7, content=b"rest")],
    )
    with cloud.sync(device) as stub:
        [answer] = stub.Deliver(iter([request]), timeout=30)
    assert len(answer.results) == 1
    with cloud.database() as connection:
        row = connection.execute(
            text("SELECT chain_epoch, seq, content FROM side_records WHERE device_id = :device"),
            {"device": device.device_id},
        ).one()
    assert tuple(row) == (1, 7, b"rest")


# Tiles (C2SP tlog-tiles)


def test_tiles_give_the_root_of_the_checkpoint(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device = cloud.enroll()
        envelopes = next_envelopes(device, 600)
        cloud.deliver(device, envelopes[:256], envelopes[256:512], envelopes[512:])
        newest = published(cloud)
        assert newest.size == 600
        leaves = tile(cloud, 0, 0) + tile(cloud, 0, 1) + tile(cloud, 0, 2, 600 - 512)
        tree = MerkleTree()
        for leaf in leaves:
            tree.append(leaf)
        assert (tree.size, tree.root()) == (600, newest.root)
        first, second = tile(cloud, 1, 0, 2)
        assert node_hash(first, second) == tree.root(512)
        assert tile(cloud, 0, 0, 255) == leaves[:255]
        for bad in ((0, 2, 0), (0, 2, 89), (0, 3, 1), (1, 0, 3), (1, 0, 0), (2, 0, 1)):
            with pytest.raises(ClientError) as caught:
                tile(cloud, *bad)
            assert caught.value.code == "LOG_RANGE", bad
        for far in ((MAX_TILE_LEVEL, 2**63, 1), (MAX_TILE_LEVEL + 1, 0, 1), (2**31, 2**63, 1), (0, 0, 256)):
            with pytest.raises(ClientError) as caught:
                tile(cloud, *far)
            assert caught.value.code in {"LOG_RANGE", "REQUEST_INVALID"}, far


# Witnesses in bundles


def cite(cloud: RunningCloud, device: CloudDevice, note: str) -> bytes:
    """Deliver a record of ``device`` that cites a checkpoint."""
    statement = verification_of(device)
    statement.last_checkpoint_sha256 = hashlib.sha256(note.encode()).digest()
    envelope = device.sign(statement)
    deliver(cloud, device, [envelope])
    return envelope


def test_a_bundle_carries_statements_of_others_who_saw_the_log(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device, *others = (cloud.enroll() for _ in range(6))
        before = deliver(cloud, others[0], next_envelopes(others[0], 1))
        [envelope] = next_envelopes(device, 1)
        after = deliver(cloud, device, [envelope])
        cite(cloud, others[0], receipt_in(cloud, before).checkpoint)  # a tree without the record
        cite(cloud, device, receipt_in(cloud, after).checkpoint)  # the device itself
        assert list(get_bundle(cloud, envelope).witnesses) == []
        seen = [cite(cloud, other, receipt_in(cloud, after).checkpoint) for other in others[1:]]
        cite(cloud, others[1], receipt_in(cloud, after).checkpoint)
        bundle = get_bundle(cloud, envelope)
        assert [one.envelope for one in bundle.witnesses] == seen[:3]
        roots = x509.load_pem_x509_certificates(cloud.root_pem)
        report = verify_bundle(bundle.SerializeToString(), roots=roots)
        assert report.verdict == "verified"
        changed = Bundle()
        changed.CopyFrom(bundle)
        changed.witnesses[0].checkpoint = bundle.log_entry.checkpoint
        assert verify_bundle(changed.SerializeToString(), roots=roots) != report


def test_a_witness_whose_row_is_damaged_does_not_keep_a_bundle_back(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device, *others = (cloud.enroll() for _ in range(3))
        [envelope] = next_envelopes(device, 1)
        note = receipt_in(cloud, deliver(cloud, device, [envelope])).checkpoint
        damaged, sound = (cite(cloud, other, note) for other in others)
        with cloud.database() as connection:
            connection.exec_driver_sql(
                "UPDATE attestations SET wall_us = 1 WHERE envelope_sha256 = ?", (envelope_sha256(damaged),)
            )
        assert [one.envelope for one in get_bundle(cloud, envelope).witnesses] == [sound]


def test_a_cited_receipt_of_another_key_brings_its_certificates(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device = cloud.enroll()
        first = deliver(cloud, device, next_envelopes(device, 1))
        citing = device.sign(verification_of(device, cites=first.receipt))
        deliver(cloud, device, [citing])
        assert not get_bundle(cloud, citing).cited_receipt_certificates
        # The service's receipt key is replaced: what it signed before is vouched for by the old one.
        with cloud.database() as connection:
            certificate = der(
                root_certificate(new_key(), name="old", now=datetime.now(UTC), lifetime=timedelta(days=1))
            )
            digest = hashlib.sha256(certificate).digest()
            connection.exec_driver_sql("INSERT INTO certificates VALUES (?, ?, NULL)", (digest, certificate))
            connection.exec_driver_sql("UPDATE receipts SET certificate_sha256 = ?", (digest,))
        assert list(get_bundle(cloud, citing).cited_receipt_certificates) == [certificate]
        with cloud.database() as connection:
            connection.exec_driver_sql("UPDATE receipts SET certificate_sha256 = NULL")
        assert not get_bundle(cloud, citing).cited_receipt_certificates


def test_a_bundle_carries_the_revocation_list(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    [envelope] = next_envelopes(device, 1)
    deliver(cloud, device, [envelope])
    crl = x509.load_der_x509_crl(get_bundle(cloud, envelope).revocation_list)
    issuing = parse_certificate(device.chain[1])
    assert crl.issuer == issuing.subject


def test_the_chain_of_a_bundle_with_a_hole_verifies(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    chain = Chain(device)
    first, _, third = chain.add(), chain.add(), chain.add()
    deliver(cloud, device, [first, third, chain.gap(2, 2)])
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    for envelope in (first, third, chain.envelopes[-1]):
        bundle = get_bundle(cloud, envelope)
        assert verify_bundle(bundle.SerializeToString(), roots=roots).verdict == "verified"


def test_a_log_that_was_changed_is_told_once_to_whoever_runs_the_service(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        with cloud.database() as connection:
            connection.exec_driver_sql("UPDATE log_head SET note = 'other'")
        for _ in range(2):
            with pytest.raises(ClientError) as caught:
                cloud.operator.call(cloud.operator.log.GetCheckpoint, log_service_pb2.GetCheckpointRequest())
            assert caught.value.code == "LOG_INCONSISTENT"
        [told] = [call for call in cloud.log.calls if call.kwargs["event"] == "log inconsistent"]
        assert told.method_name == "error"
        assert "another checkpoint" in told.kwargs["why"]
