"""A server's certificate that is not valid at the device's time is no foreign root; over real TLS.

The tests move the server's certificate and not the clock: TLS only compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from edge.attest.enroll import enroll
from edge.attest.identity import DeviceIdentity
from edge.attest.keystore_software import SoftwareKeyStore
from edge.attest.renew import RenewalError, renew
from edge.errors import CloudError
from edge.files import write_private
from edge.outbox.records import RecordState
from edge.rpc import FailureKind
from edge.sync.daemon import SyncReport
from edge.sync.uplink import GrpcUplink
from tests.support.appliance import MemorySigner
from tests.support.authority import Authority, Device, der, new_key
from tests.support.model_cloud import ModelCloud, identity_for, key_pem, new_authority, serving, to_pem
from tests.support.sync_device import FieldDevice
from verifield.profile import leaf_certificate

DAY = timedelta(days=1)
TOKEN = "token"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture(scope="module")
def enrolled(authority: Authority) -> Device:
    return authority.enroll("device-1", now=datetime.now(UTC))


@pytest.fixture(params=[-2 * DAY, 2 * DAY], ids=["expired", "not-yet-valid"])
def endpoint(request: pytest.FixtureRequest, authority: Authority) -> Iterator[str]:
    """A server of the right root, whose certificate has a day of validity that is not today."""
    with serving_from(authority, datetime.now(UTC) + request.param) as opened:
        yield opened


@pytest.fixture
def device(enrolled: Device, tmp_path: Path) -> Iterator[FieldDevice]:
    device = FieldDevice(tmp_path / "device", signer=MemorySigner(enrolled.key))
    yield device
    device.close()


@contextmanager
def serving_from(authority: Authority, begin: datetime) -> Iterator[str]:
    """Both ports of a cloud in one, which answers no call; yields the endpoint."""
    key = new_key()
    leaf = leaf_certificate(
        issuer_cert=authority.issuing,
        issuer_key=authority.issuing_key,
        public_key=key.public_key(),
        common_name="cloud",
        purpose="tls_server",
        now=begin,
        lifetime=DAY,
        san=["127.0.0.1"],
    )
    server = grpc.server(futures.ThreadPoolExecutor(1))
    credentials = grpc.ssl_server_credentials([(key_pem(key), to_pem([der(leaf), der(authority.issuing)]))])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def sync(authority: Authority, enrolled: Device, endpoint: str, device: FieldDevice) -> SyncReport:
    identity = identity_for(authority, enrolled, endpoint=endpoint)
    return device.run(lambda: GrpcUplink.open(identity), identity.root_pem)


def enrol(authority: Authority, endpoint: str, folder: Path) -> DeviceIdentity | None:
    return enroll(
        endpoint=endpoint,
        root_pem=authority.root_pem,
        join_token=TOKEN,
        folder=folder,
        key_store=SoftwareKeyStore.open_store(folder),
    ).identity


def check_told(error: CloudError) -> None:
    """The person is sent to the clock, and not after the root."""
    assert error.code == "CLOCK_OR_CERTIFICATE"
    assert "date and time" in error.message
    assert "root" not in error.message + error.hint


def test_records_wait_and_the_clock_is_told(
    authority: Authority, enrolled: Device, endpoint: str, device: FieldDevice
) -> None:
    device.verify()
    with pytest.raises(CloudError) as caught:
        sync(authority, enrolled, endpoint, device)
    check_told(caught.value)
    assert device.states() == [RecordState.PENDING]
    with serving(ModelCloud(authority, at=datetime.now(UTC))) as (_, good):
        assert sync(authority, enrolled, good, device) == SyncReport(delivered=1, confirmed=1, trouble=None)


@pytest.mark.parametrize("years", [-20, 20], ids=["all-expired", "none-yet-valid"])
def test_a_whole_chain_of_another_time_is_told_alike(
    enrolled: Device, device: FieldDevice, years: int
) -> None:
    begin = datetime.now(UTC) + years * 365 * DAY
    authority = Authority.create(now=begin)
    device.verify()
    with serving_from(authority, begin) as endpoint, pytest.raises(CloudError) as caught:
        sync(authority, enrolled, endpoint, device)
    check_told(caught.value)


def test_a_foreign_root_stays_one_also_where_the_time_is_wrong(
    enrolled: Device, endpoint: str, device: FieldDevice
) -> None:
    device.verify()
    report = sync(new_authority(), enrolled, endpoint, device)
    assert report.trouble is not None
    assert report.trouble.code == "ROOT_MISMATCH"
    assert device.states() == [RecordState.PENDING]


def test_an_enrolment_tells_it_and_goes_on_later(authority: Authority, endpoint: str, tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    with pytest.raises(CloudError) as caught:
        enrol(authority, endpoint, folder)
    check_told(caught.value)
    assert "operator" in caught.value.hint
    with serving(ModelCloud(authority, at=datetime.now(UTC), tokens={TOKEN})) as (good, _):
        assert enrol(authority, good, folder) is not None


def test_a_renewal_tells_it_and_the_old_certificates_stand(
    authority: Authority, endpoint: str, tmp_path: Path
) -> None:
    folder = tmp_path / "identity"
    with serving(ModelCloud(authority, at=datetime.now(UTC), tokens={TOKEN})) as (good, _):
        identity = enrol(authority, good, folder)
    assert identity is not None
    path = identity.folder / "identity.json"
    write_private(path, json.dumps(json.loads(path.read_text()) | {"enrollment_endpoint": endpoint}).encode())
    here = DeviceIdentity.open(folder, key_store=identity.key_store)
    with pytest.raises(RenewalError) as caught:
        renew(here)
    check_told(caught.value)
    assert caught.value.failure.kind is FailureKind.TRANSIENT
    assert DeviceIdentity.open(folder, key_store=identity.key_store) == here
