"""The whole way: enrol with the cloud service, verify offline, deliver, and check the bundle it gives out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from edge.attest.clock import SystemClock
from edge.attest.enroll import enroll
from edge.attest.identity import DeviceIdentity
from edge.attest.statement import parse_disclosures
from edge.errors import CloudError
from edge.model import Decision, Evidence, Outcome
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.recorder import Recorder
from edge.sync.daemon import SyncReport, run
from tests.support.appliance import ignore_trouble, verified_evidence
from tests.support.cloud import RunningCloud, running_cloud
from verifield.certificates import load_roots
from verifield.commitments import check_disclosure
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_service_pb2
from verifield.v1.attestation_pb2 import TIME_QUALITY_BOUNDED, TIME_QUALITY_SUSPECT
from verifield.verify import verify_bundle


@dataclass
class Office:
    identity: DeviceIdentity
    recorder: Recorder

    def sync(self) -> SyncReport:
        return run(
            identity=self.identity,
            outbox=self.recorder.outbox,
            stop=threading.Event(),
            once=True,
            retention=timedelta(days=30),
            on_trouble=ignore_trouble,
        )


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud, tmp_path: Path) -> Iterator[Office]:
    identity = enroll(
        endpoint=cloud.endpoint.listen,
        root_pem=cloud.root_pem,
        join_token=cloud.join_token("site-7"),
        folder=tmp_path / "identity",
    )
    with Outbox.open(tmp_path / "outbox.db", device_id=identity.device_id) as outbox:
        recorder = Recorder(
            identity=identity,
            signer=identity.open_signer(),
            outbox=outbox,
            clock=SystemClock(),
            policy=Policy(),
            config_sha256=bytes(32),
            software_version="0.1.0",
        )
        recorder.ensure_enrolled()
        yield Office(identity, recorder)


def bundle_of(cloud: RunningCloud, attestation_id: str) -> bytes:
    request = attestation_service_pb2.GetBundleRequest(attestation_id=attestation_id)
    answer = cloud.operator.call(cloud.operator.attestations.GetBundle, request)
    return bytes(answer.bundle.SerializeToString(deterministic=True))


def test_what_was_verified_offline_can_be_checked_by_anybody(cloud: RunningCloud, office: Office) -> None:
    assert office.identity.site_id == "site-7"
    record = office.recorder.record(verified_evidence(), Decision(Outcome.VERIFIED, ()))
    office.recorder.record(Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",)))
    assert office.sync() == SyncReport(delivered=3, confirmed=3, trouble=None)
    assert office.sync() == SyncReport(delivered=0, confirmed=0, trouble=None)
    report = verify_bundle(bundle_of(cloud, record.attestation_id), roots=load_roots(cloud.root_pem))
    assert report.ok, report.headline
    statement = parse_statement(parse_envelope(record.envelope).payload)
    for item in parse_disclosures(office.recorder.outbox.private(record.attestation_id)):
        check_disclosure(statement, field=item.field, value=item.value, salt=item.salt)


def test_the_next_record_is_bounded_by_the_receipt(office: Office) -> None:
    def clock_quality(record_envelope: bytes) -> int:
        return parse_statement(parse_envelope(record_envelope).payload).clock.quality

    aborted = (Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",)))
    assert clock_quality(office.recorder.record(*aborted).envelope) == TIME_QUALITY_SUSPECT
    office.sync()
    assert clock_quality(office.recorder.record(*aborted).envelope) == TIME_QUALITY_BOUNDED
    assert office.sync().confirmed == 1


def test_a_token_that_was_used_enrols_nobody_else(cloud: RunningCloud, tmp_path: Path) -> None:
    token = cloud.join_token()

    def enroll_in(folder: Path) -> DeviceIdentity:
        return enroll(
            endpoint=cloud.endpoint.listen, root_pem=cloud.root_pem, join_token=token, folder=folder
        )

    enroll_in(tmp_path / "one")
    with pytest.raises(CloudError) as error:
        enroll_in(tmp_path / "two")
    assert error.value.code == "ENROLL_REFUSED"
    assert "JOIN_TOKEN_USED" in error.value.message


def test_devices_of_one_cloud_do_not_mix(cloud: RunningCloud, office: Office, tmp_path: Path) -> None:
    other = enroll(
        endpoint=cloud.endpoint.listen,
        root_pem=cloud.root_pem,
        join_token=cloud.join_token(),
        folder=tmp_path / "other",
    )
    office.sync()
    report = run(
        identity=other,  # the records of one device over the connection of another
        outbox=office.recorder.outbox,
        stop=threading.Event(),
        once=True,
        retention=timedelta(0),
        on_trouble=ignore_trouble,
    )
    assert report.trouble is not None
    assert report.confirmed == 0
