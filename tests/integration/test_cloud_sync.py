"""Delivery over real mutual TLS: what is accepted, what is not, and what the receipt says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from cloud.attestations.limits import MAX_BATCH_BYTES, MAX_BATCH_ENVELOPES
from cloud.attestations.streams import MAX_STREAMS_PER_DEVICE
from cloud.authority import CLIENT_LIFETIME
from tests.support.authority import sign_envelope
from tests.support.cloud import (
    FakeClock,
    RunningCloud,
    next_envelopes,
    refusal,
    running_cloud,
    verification_of,
)
from verifield.chain import envelope_sha256
from verifield.receipt import check_receipt
from verifield.statement import STATEMENT_TYPE, encode_statement
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def statuses(answer: pb.DeliverResponse) -> list[str]:
    return [pb.DeliverStatus.Name(one.status).removeprefix("DELIVER_STATUS_") for one in answer.results]


def test_a_batch_is_accepted_and_receipted_through_its_last_record(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    envelopes = next_envelopes(device, 3)
    [answer] = cloud.deliver(device, envelopes)
    assert statuses(answer) == ["ACCEPTED"] * 3
    receipt = check_receipt(
        answer.receipt,
        certificates=list(answer.receipt_certificates),
        roots=x509.load_pem_x509_certificates(cloud.root_pem),
    )
    assert (receipt.device_id, receipt.chain_epoch, receipt.through_seq) == (device.device_id, 1, 3)
    assert receipt.head_sha256 == envelope_sha256(envelopes[-1])
    head = cloud.head(device)
    assert (head.chain_epoch, head.seq, head.head_sha256) == (1, 3, envelope_sha256(envelopes[-1]))


def test_the_head_of_a_new_device_is_empty(cloud: RunningCloud) -> None:
    head = cloud.head(cloud.enroll())
    assert (head.chain_epoch, head.seq, head.head_sha256) == (1, 0, b"")


def test_the_same_bytes_again_are_had_already_and_receipted_again(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    first, second = next_envelopes(device, 2)
    _, again, rest = cloud.deliver(device, [first], [first], [first, second])
    assert statuses(again) == ["ALREADY_HAVE"]
    assert again.receipt
    assert statuses(rest) == ["ALREADY_HAVE", "ACCEPTED"]
    assert cloud.head(device).seq == 2


def test_other_bytes_for_a_taken_place_are_a_fork(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    first = device.sign(verification_of(device))
    device.head = None
    other = device.sign(verification_of(device))
    answers = cloud.deliver(device, [first], [other])
    assert statuses(answers[1]) == ["FORK"]
    assert not answers[1].receipt
    assert cloud.head(device).head_sha256 == envelope_sha256(first)


def test_a_record_behind_another_predecessor_is_a_fork(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    first = device.sign(verification_of(device))
    device.head = None
    device.sign(verification_of(device))  # never delivered
    second = device.sign(verification_of(device))
    assert statuses(cloud.deliver(device, [first, second])[0]) == ["ACCEPTED", "FORK"]


@pytest.mark.req("R181")
def test_a_changed_envelope_is_invalid_and_its_successors_wait(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    first, second, third = next_envelopes(device, 3)
    forged = bytearray(second)
    forged[40] ^= 1
    [answer] = cloud.deliver(device, [first, bytes(forged), third])
    assert statuses(answer) == ["ACCEPTED", "INVALID", "STAGED"]
    assert answer.results[1].reason
    assert statuses(cloud.deliver(device, [second, third])[0]) == ["ACCEPTED", "ACCEPTED"]


@pytest.mark.parametrize("envelope", [b"", b"\xff\xfe", b"plain text"])
def test_bytes_that_are_no_envelope_are_invalid(cloud: RunningCloud, envelope: bytes) -> None:
    [answer] = cloud.deliver(cloud.enroll(), [envelope])
    assert statuses(answer) == ["INVALID"]
    assert not answer.receipt


def test_another_payload_type_is_invalid(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    envelope = sign_envelope(
        encode_statement(verification_of(device)), payload_type="text/plain", key=device.key
    )
    [answer] = cloud.deliver(device, [envelope])
    assert answer.results[0].reason == "STATEMENT_TYPE"


def test_a_statement_that_names_another_device_is_invalid(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    statement = verification_of(other)
    envelope = sign_envelope(encode_statement(statement), payload_type=STATEMENT_TYPE, key=device.key)
    [answer] = cloud.deliver(device, [envelope])
    assert answer.results[0].reason == "OTHER_DEVICE"


def test_an_attestation_id_is_used_once(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    statement = verification_of(device)
    copied = verification_of(other)
    copied.attestation_id = statement.attestation_id
    cloud.deliver(device, [device.sign(statement)])
    [answer] = cloud.deliver(other, [other.sign(copied)])
    assert answer.results[0].reason == "ATTESTATION_ID_USED"


def test_a_device_cannot_deliver_with_the_certificates_of_another(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    device.chain = other.chain
    with pytest.raises(grpc.RpcError) as caught:
        cloud.deliver(device, [other.sign(verification_of(other))])
    code, info, hint = refusal(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CERTIFICATES_REFUSED")
    assert info.metadata["check"] == "OTHER_DEVICE"
    assert hint


def test_a_tls_certificate_signs_no_attestations(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    device.chain, device.key = device.tls_chain, device.tls_key
    with pytest.raises(grpc.RpcError) as caught:
        cloud.deliver(device, [device.sign(verification_of(device))])
    assert refusal(caught.value)[1].metadata["check"] == "CERTIFICATE_PURPOSE"


def test_a_stream_without_certificates_is_refused(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    chain, device.chain = device.chain, []
    with pytest.raises(grpc.RpcError) as caught:
        cloud.deliver(device, [b"any"])
    assert refusal(caught.value)[1].reason == "CERTIFICATES_MISSING"
    assert chain


def test_an_attestation_certificate_opens_no_connection(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    with cloud.device_channel(device.chain, device.key) as channel, pytest.raises(grpc.RpcError) as caught:
        SyncServiceStub(channel).GetHead(pb.GetHeadRequest(), timeout=10)
    assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}


def test_without_a_client_certificate_there_is_no_connection(cloud: RunningCloud) -> None:
    credentials = grpc.ssl_channel_credentials(cloud.root_pem)
    with (
        grpc.secure_channel(cloud.endpoint.device_listen, credentials) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        SyncServiceStub(channel).GetHead(pb.GetHeadRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_another_authority_opens_no_connection(cloud: RunningCloud, tmp_path: Path) -> None:
    with running_cloud(tmp_path / "other") as elsewhere:
        stranger = elsewhere.enroll()
    with pytest.raises(grpc.RpcError) as caught:
        cloud.head(stranger)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_largest_batch_is_taken_and_one_more_is_not(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    envelopes = next_envelopes(device, MAX_BATCH_ENVELOPES + 1)
    with pytest.raises(grpc.RpcError) as caught:
        cloud.deliver(device, envelopes)
    code, info, _ = refusal(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")
    assert cloud.head(device).seq == 0
    [answer] = cloud.deliver(device, envelopes[:-1])
    assert statuses(answer) == ["ACCEPTED"] * MAX_BATCH_ENVELOPES


def test_a_batch_of_the_most_bytes_is_taken_and_one_byte_more_is_not(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    part = bytes(MAX_BATCH_BYTES // 4)
    [answer] = cloud.deliver(device, [part] * 4)
    assert [one.reason for one in answer.results] == ["TOO_LARGE"] * 4
    with pytest.raises(grpc.RpcError) as caught:
        cloud.deliver(device, [*[part] * 4, b"x"])
    assert refusal(caught.value)[1].reason == "BATCH_TOO_LARGE"


def end_of_stream(stub: SyncServiceStub, ended: threading.Event) -> grpc.RpcError | None:
    """How a stream ends that brings nothing until ``ended``."""

    def silence() -> Iterator[pb.DeliverRequest]:
        ended.wait(30)
        yield from ()

    try:
        list(stub.Deliver(silence(), timeout=30))
    except grpc.RpcError as error:
        return error
    return None


def test_one_device_cannot_take_all_streams(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    ended, ends = threading.Event(), []
    with (
        cloud.device_channel(device.tls_chain, device.tls_key) as channel,
        ThreadPoolExecutor(MAX_STREAMS_PER_DEVICE + 1) as pool,
    ):
        stub = SyncServiceStub(channel)
        calls = [pool.submit(end_of_stream, stub, ended) for _ in range(MAX_STREAMS_PER_DEVICE + 1)]
        for call in as_completed(calls):  # the one too many ends at once, and then the others may
            ends.append(call.result())
            ended.set()
    [refused] = filter(None, ends)
    code, info, _ = refusal(refused)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    assert statuses(cloud.deliver(device, next_envelopes(device, 1))[0]) == ["ACCEPTED"]
    assert statuses(cloud.deliver(other, next_envelopes(other, 1))[0]) == ["ACCEPTED"]


def test_a_stream_that_stays_silent_is_ended(cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.attestations.streams.BATCH_WAIT_S", 0.1)
    device = cloud.enroll()
    ended = threading.Event()
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        refused = end_of_stream(SyncServiceStub(channel), ended)
    ended.set()
    assert refused is not None
    code, info, _ = refusal(refused)
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")


def test_a_connection_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", clock=clock) as cloud:
        device = cloud.enroll()
        with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
            stub = SyncServiceStub(channel)
            stub.GetHead(pb.GetHeadRequest(), timeout=20)
            clock.offset = CLIENT_LIFETIME + timedelta(minutes=1)
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetHead(pb.GetHeadRequest(), timeout=20)
    assert refusal(caught.value)[1].reason == "CLIENT_CERTIFICATE_REFUSED"
