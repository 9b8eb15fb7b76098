"""The whole way: enrol with the cloud service, verify offline, deliver, and check the bundle it gives out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.model import Decision, Evidence, Outcome
from edge.sync.daemon import SyncReport
from tests.support.appliance import verified_evidence
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice
from verifield.certificates import load_roots
from verifield.commitments import check_disclosure, parse_disclosures
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_service_pb2
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT, TIME_QUALITY_TRUSTED
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud, tmp_path: Path) -> FieldOffice:
    return FieldOffice.open(cloud, tmp_path / "device")


def bundle_of(cloud: RunningCloud, attestation_id: str) -> bytes:
    request = attestation_service_pb2.GetBundleRequest(attestation_id=attestation_id)
    answer = cloud.operator.call(cloud.operator.attestations.GetBundle, request)
    return bytes(answer.bundle.SerializeToString(deterministic=True))


def test_what_was_verified_offline_can_be_checked_by_anybody(
    cloud: RunningCloud, office: FieldOffice
) -> None:
    with office.recorder() as recorder:
        record = recorder.record(verified_evidence(), Decision(Outcome.VERIFIED, ()))
        recorder.record(Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",)))
        disclosures = parse_disclosures(recorder.outbox.private(record.attestation_id))
    assert office.sync() == SyncReport(delivered=3, confirmed=3, trouble=None)
    assert office.sync() == SyncReport(delivered=0, confirmed=0, trouble=None)
    report = verify_bundle(bundle_of(cloud, record.attestation_id), roots=load_roots(cloud.root_pem))
    assert report.ok, report.headline
    statement = parse_statement(parse_envelope(record.envelope).payload)
    for item in disclosures:
        check_disclosure(statement, field=item.field, value=item.value, salt=item.salt)


def test_the_next_record_is_bounded_by_the_receipt(office: FieldOffice) -> None:
    def clock_quality() -> int:
        [record] = office.verify()
        return parse_statement(parse_envelope(record.envelope).payload).clock.quality

    assert clock_quality() == TIME_QUALITY_SUSPECT
    office.sync()
    assert clock_quality() == TIME_QUALITY_TRUSTED
    assert office.sync().confirmed == 1


def test_devices_of_one_cloud_do_not_mix(cloud: RunningCloud, office: FieldOffice, tmp_path: Path) -> None:
    other = FieldOffice.open(cloud, tmp_path / "other")
    office.verify(3)
    other.verify(2)
    assert (office.sync().confirmed, other.sync().confirmed) == (4, 3)
    assert office.device_id != other.device_id
