"""Enrolment and the list of devices, over real TLS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from cloud import authority as authority_module
from cloud.authority import ATTESTATION_LIFETIME, CLIENT_LIFETIME
from cloud.devices.tokens import JOIN_PREFIX, encode_token
from cloud.errors import ClientError, SetupError
from tests.support.authority import new_key, sign_envelope
from tests.support.cloud import (
    FakeClock,
    RunningCloud,
    csr,
    enroll_request,
    next_envelopes,
    refusal,
    running_cloud,
)
from verifield.certificates import Purpose, check_chain
from verifield.profile import device_id_of
from verifield.renewal import RENEWAL_TYPE, encode_proof
from verifield.v1 import attestation_pb2, device_service_pb2, enrollment_service_pb2
from verifield.v1.enrollment_service_pb2 import EnrollRequest, EnrollResponse
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub

MIN_TTL, MAX_TTL = timedelta(minutes=1), timedelta(days=30)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def enroll(cloud: RunningCloud, request: EnrollRequest) -> EnrollResponse:
    with cloud.public_channel() as channel:
        return EnrollmentServiceStub(channel).Enroll(request, timeout=20)


def refused(cloud: RunningCloud, request: EnrollRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        enroll(cloud, request)
    code, info, hint = refusal(caught.value)
    assert info.domain == "verifield"
    assert hint
    return code, info.reason


def test_enrolment_gives_certificates_that_lead_to_the_root(cloud: RunningCloud) -> None:
    device = cloud.enroll(cloud.join_token(site="harbour-2"))
    assert device.site_id == "harbour-2"
    [root] = x509.load_pem_x509_certificates(cloud.root_pem)
    now = datetime.now(UTC)
    leaf = check_chain(device.chain, roots=[root], at=now, purpose=Purpose.ATTESTATION)
    assert device_id_of(leaf) == device.device_id
    assert leaf.public_key() == device.key.public_key()
    assert leaf.not_valid_after_utc - now <= ATTESTATION_LIFETIME
    tls = x509.load_der_x509_certificate(device.tls_chain[0])
    assert device_id_of(tls) == device.device_id
    assert CLIENT_LIFETIME - timedelta(hours=1) < tls.not_valid_after_utc - now <= CLIENT_LIFETIME


def test_the_device_endpoint_is_a_port_of_the_host_that_was_called(cloud: RunningCloud) -> None:
    assert cloud.enroll().endpoint == ":" + cloud.endpoint.device_listen.rpartition(":")[2]


def test_a_token_enrols_once(cloud: RunningCloud) -> None:
    token = cloud.join_token()
    cloud.enroll(token)
    request = enroll_request(token, new_key(), new_key())
    assert refused(cloud, request) == (grpc.StatusCode.PERMISSION_DENIED, "JOIN_TOKEN_USED")


def test_of_concurrent_enrolments_with_one_token_exactly_one_wins(cloud: RunningCloud) -> None:
    token, before = cloud.join_token(), len(list_devices(cloud))

    def attempt(_: int) -> str:
        try:
            return cloud.enroll(token).device_id
        except grpc.RpcError as error:
            return refusal(error)[1].reason

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(8)))
    assert results.count("JOIN_TOKEN_USED") == 7
    assert len(list_devices(cloud)) == before + 1


@pytest.mark.parametrize("token", ["x", JOIN_PREFIX, encode_token(JOIN_PREFIX, bytes(32)), "ü" * 47])
def test_an_unknown_token_is_refused(cloud: RunningCloud, token: str) -> None:
    request = enroll_request(token, new_key(), new_key())
    assert refused(cloud, request) == (grpc.StatusCode.PERMISSION_DENIED, "JOIN_TOKEN_UNKNOWN")


def test_a_stranger_does_not_wait_for_the_writers_nor_hold_them_up(cloud: RunningCloud) -> None:
    request = enroll_request(encode_token(JOIN_PREFIX, bytes(32)), new_key(), new_key())
    with cloud.database():  # on SQLite nobody else can write meanwhile
        assert refused(cloud, request)[1] == "JOIN_TOKEN_UNKNOWN"


def test_a_token_expires(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path_factory.mktemp("expiry") / "data", clock=clock) as cloud:
        early, late = (cloud.join_token(ttl=timedelta(hours=1)) for _ in range(2))
        clock.offset = timedelta(minutes=59)
        cloud.enroll(early)
        clock.offset = timedelta(minutes=60)
        request = enroll_request(late, new_key(), new_key())
        assert refused(cloud, request) == (grpc.StatusCode.PERMISSION_DENIED, "JOIN_TOKEN_EXPIRED")


def test_a_refused_request_does_not_use_the_token_up(cloud: RunningCloud) -> None:
    token = cloud.join_token()
    request = enroll_request(token, new_key(), new_key())
    request.tls_csr = b"junk"
    assert refused(cloud, request)[1] == "CSR_INVALID"
    cloud.enroll(token)


def tampered() -> bytes:
    data = bytearray(csr(new_key()))
    data[-1] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"\x30\x00",
        tampered,
        lambda: csr(new_key()) + b"\0",
        lambda: csr(ec.generate_private_key(ec.SECP384R1())),
        lambda: csr(new_key(), algorithm=SHA384()),
    ],
    ids=["not a request", "bad signature", "trailing byte", "P-384", "SHA-384"],
)
@pytest.mark.parametrize("field", ["attestation_csr", "tls_csr"])
def test_a_bad_certificate_request_is_refused(
    cloud: RunningCloud, field: str, make: Callable[[], bytes]
) -> None:
    request = enroll_request("any", new_key(), new_key())
    setattr(request, field, make())
    assert refused(cloud, request) == (grpc.StatusCode.INVALID_ARGUMENT, "CSR_INVALID")


def test_two_devices_never_share_an_attestation_key(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    token = cloud.join_token()
    request = enroll_request(token, device.key, new_key())
    assert refused(cloud, request) == (grpc.StatusCode.ALREADY_EXISTS, "KEY_ALREADY_ENROLLED")
    cloud.enroll(token)


def test_key_hardware_is_not_believed_without_proof(cloud: RunningCloud) -> None:
    request = enroll_request(cloud.join_token(), new_key(), new_key())
    request.key_protection = attestation_pb2.KEY_PROTECTION_TPM
    assert refused(cloud, request) == (grpc.StatusCode.FAILED_PRECONDITION, "KEY_PROTECTION_UNPROVEN")


def test_without_a_waiver_a_person_lets_the_device_in(cloud: RunningCloud) -> None:
    request = enroll_request(cloud.join_token(waive_approval=False), new_key(), new_key())
    request.key_protection = attestation_pb2.KEY_PROTECTION_PKCS11
    waiting = enroll(cloud, request)
    assert waiting.state == enrollment_service_pb2.ENROLLMENT_STATE_PENDING_APPROVAL
    assert not waiting.tls_certificates
    devices = cloud.operator.devices
    approval = device_service_pb2.ApproveDeviceRequest(
        device_id=waiting.device_id, key_sha256=waiting.key_sha256
    )
    approved = cloud.operator.call(devices.ApproveDevice, approval).device
    assert approved.state == device_service_pb2.DEVICE_STATE_ACTIVE
    answer = enroll(cloud, request)
    assert answer.state == enrollment_service_pb2.ENROLLMENT_STATE_ACTIVE
    assert answer.device_id == waiting.device_id
    assert answer.tls_certificates


def test_a_successor_replaces_its_predecessor(cloud: RunningCloud) -> None:
    old = cloud.enroll()
    new = cloud.enroll(cloud.join_token(replaces=old.device_id, account="acme"))
    by_id = {one.device_id: one for one in list_devices(cloud)}
    assert by_id[old.device_id].state == device_service_pb2.DEVICE_STATE_REPLACED
    assert by_id[new.device_id].predecessor_id == old.device_id
    assert by_id[new.device_id].account_id == "acme"
    with pytest.raises(ClientError) as caught:
        cloud.join_token(replaces=old.device_id)
    assert caught.value.code == "PREDECESSOR_INVALID"


def test_an_expired_client_certificate_is_renewed_on_the_public_port(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(authority_module, "CLIENT_LIFETIME", timedelta(seconds=-1))
        device = cloud.enroll()
    with pytest.raises(grpc.RpcError) as caught:
        cloud.head(device)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with cloud.public_channel() as channel:
        service = EnrollmentServiceStub(channel)
        challenge = service.CreateRenewalChallenge(
            enrollment_service_pb2.CreateRenewalChallengeRequest(device_id=device.device_id), timeout=20
        )
        device.tls_key = new_key()
        tls_csr = csr(device.tls_key)
        proof = enrollment_service_pb2.RenewalProof(
            device_id=device.device_id,
            challenge=challenge.challenge,
            tls_csr_sha256=hashlib.sha256(tls_csr).digest(),
        )
        envelope = sign_envelope(encode_proof(proof), payload_type=RENEWAL_TYPE, key=device.key)
        answer = service.RenewCertificates(
            enrollment_service_pb2.RenewCertificatesRequest(proof=envelope, tls_csr=tls_csr), timeout=20
        )
    device.tls_chain = list(answer.tls_certificates)
    assert cloud.head(device).seq == 0


def test_makers_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "makers.pem").write_bytes(b"junk")
    for path in ("makers.pem", "missing.pem"):
        with (
            pytest.raises(SetupError) as caught,
            running_cloud(tmp_path / "data", tpm_roots=tmp_path / path),
        ):
            pass
        assert caught.value.code == "TPM_ROOTS"


@pytest.mark.parametrize("ttl", [MIN_TTL, MAX_TTL])
def test_lifetimes_at_the_limits_are_taken(cloud: RunningCloud, ttl: timedelta) -> None:
    assert cloud.join_token(ttl=ttl)


@pytest.mark.parametrize("ttl", [MIN_TTL - timedelta(seconds=1), MAX_TTL + timedelta(seconds=1), -MIN_TTL])
def test_lifetimes_beyond_the_limits_are_not(cloud: RunningCloud, ttl: timedelta) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.join_token(ttl=ttl)
    assert caught.value.code == "REQUEST_INVALID"


@pytest.mark.parametrize("site", ["", "a b", "-a", "a" * 65, "a\n", "../x"])
def test_a_bad_site_is_refused(cloud: RunningCloud, site: str) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.join_token(site=site)
    assert caught.value.code == "REQUEST_INVALID"


def list_devices(cloud: RunningCloud, page_size: int = 2) -> list[device_service_pb2.Device]:
    request = device_service_pb2.ListDevicesRequest(page_size=page_size)
    found: list[device_service_pb2.Device] = []
    while True:
        answer = cloud.operator.call(cloud.operator.devices.ListDevices, request)
        assert len(answer.devices) <= page_size
        found += answer.devices
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def test_devices_are_listed_in_pages_with_their_heads(cloud: RunningCloud) -> None:
    device, idle = cloud.enroll(), cloud.enroll()
    cloud.deliver(device, next_envelopes(device, 2))
    found = list_devices(cloud)
    ids = [one.device_id for one in found]
    assert ids == sorted(set(ids))
    by_id = {one.device_id: one for one in found}
    assert by_id[device.device_id].seq == 2
    assert by_id[device.device_id].HasField("last_delivery_time")
    assert by_id[idle.device_id].seq == 0
    assert not by_id[idle.device_id].HasField("last_delivery_time")
