"""The sync daemon over real mutual TLS against a server that follows the contract."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.attest.enroll import enroll
from edge.attest.identity import DeviceIdentity
from edge.errors import CloudError
from edge.outbox.records import RecordState
from edge.sync.daemon import SyncReport, run
from edge.sync.uplink import CALL_TIMEOUT_S, GrpcUplink, UplinkIdentity
from tests.support.appliance import Appliance, MemorySigner, ignore_trouble
from tests.support.authority import Authority, Device
from tests.support.model_cloud import ModelCloud, identity_for, new_authority, serving
from verifield.chain import ChainHead, envelope_sha256
from verifield.v1 import sync_service_pb2 as pb

DEADLINE_S = 60.0
RETENTION = timedelta(days=30)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def cloud(authority: Authority) -> ModelCloud:
    return ModelCloud(authority, at=datetime.now(UTC))


@pytest.fixture
def device(authority: Authority) -> Device:
    return authority.enroll("device-1", now=datetime.now(UTC))


@pytest.fixture
def endpoint(cloud: ModelCloud) -> Iterator[str]:
    with serving(cloud) as (_, device_endpoint):
        yield device_endpoint


@pytest.fixture
def identity(authority: Authority, device: Device, endpoint: str) -> UplinkIdentity:
    return identity_for(authority, device, endpoint=endpoint)


@pytest.fixture
def appliance(device: Device, tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox.db", MemorySigner(device.key))
    yield appliance
    appliance.outbox.close()


def sync_once(identity: UplinkIdentity, appliance: Appliance) -> SyncReport:
    return run(
        identity=identity,
        outbox=appliance.outbox,
        stop=threading.Event(),
        once=True,
        retention=RETENTION,
        on_trouble=ignore_trouble,
    )


def states(appliance: Appliance) -> list[RecordState]:
    return [record.state for record in reversed(appliance.outbox.newest(limit=1000))]


def test_a_backlog_drains_in_one_run_and_is_confirmed(
    cloud: ModelCloud, identity: UplinkIdentity, appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sync.daemon.MAX_BATCH_RECORDS", 4)
    records = [appliance.verify() for _ in range(10)]
    assert sync_once(identity, appliance) == SyncReport(delivered=10, confirmed=10, trouble=None)
    assert cloud.chains["device-1"] == [record.envelope for record in records]
    assert set(states(appliance)) == {RecordState.CONFIRMED}
    assert appliance.outbox.cited().server_time == cloud.at
    assert sync_once(identity, appliance) == SyncReport(delivered=0, confirmed=0, trouble=None)


def test_an_enrolled_device_delivers_its_first_records(cloud: ModelCloud, tmp_path: Path) -> None:
    cloud.tokens.add("token")
    with serving(cloud) as (public, _):
        identity = enroll(
            endpoint=public,
            root_pem=cloud.authority.root_pem,
            join_token="token",
            folder=tmp_path / "identity",
        )
        signer = identity.open_signer()
        appliance = Appliance(
            tmp_path / "outbox.db",
            signer,  # type: ignore[arg-type]
            device_id=identity.device_id,
        )
        appliance.verify()
        appliance.verify_person()
        opened = DeviceIdentity.open(tmp_path / "identity")
        assert sync_once(opened, appliance) == SyncReport(delivered=2, confirmed=2, trouble=None)
        appliance.outbox.close()


def test_a_cloud_that_is_away_is_said_and_nothing_changes(
    authority: Authority, device: Device, appliance: Appliance
) -> None:
    appliance.verify()
    with pytest.raises(CloudError) as error:
        sync_once(identity_for(authority, device, endpoint="127.0.0.1:1"), appliance)
    assert error.value.code == "CLOUD_AWAY"
    assert error.value.hint
    assert states(appliance) == [RecordState.PENDING]


def test_a_server_of_another_root_gets_nothing(
    cloud: ModelCloud, device: Device, endpoint: str, appliance: Appliance
) -> None:
    appliance.verify()
    stranger = new_authority()
    report = sync_once(identity_for(stranger, device, endpoint=endpoint), appliance)
    assert report.trouble is not None
    assert report.trouble.code == "ROOT_MISMATCH"
    assert cloud.chains == {}
    assert states(appliance) == [RecordState.PENDING]


def test_a_lost_receipt_is_fetched_with_the_next_contact(
    cloud: ModelCloud, identity: UplinkIdentity, appliance: Appliance
) -> None:
    for _ in range(3):
        appliance.verify()
    uplink = GrpcUplink.open(identity)
    uplink.deliver(appliance.outbox.pending(after_seq=0, limit_bytes=1 << 20, limit_count=9))
    uplink.close()  # the device died before it read the answer
    report = sync_once(identity, appliance)
    assert (report.confirmed, report.trouble) == (3, None)
    assert len(cloud.chains["device-1"]) == 3


def test_records_are_deleted_by_the_clouds_clock_once_their_retention_is_over(
    cloud: ModelCloud, identity: UplinkIdentity, appliance: Appliance
) -> None:
    appliance.verify()
    sync_once(identity, appliance)
    cloud.at += RETENTION - timedelta(seconds=1)
    appliance.verify()
    sync_once(identity, appliance)
    assert states(appliance) == [RecordState.CONFIRMED] * 2
    cloud.at += timedelta(seconds=1)
    appliance.verify()
    sync_once(identity, appliance)
    assert [record.seq for record in appliance.outbox.newest(limit=9)] == [3, 2]


def test_a_refused_record_is_kept_and_later_ones_wait(
    cloud: ModelCloud, identity: UplinkIdentity, appliance: Appliance
) -> None:
    for _ in range(4):
        appliance.verify()
    cloud.refuse[3] = "STATEMENT"
    report = sync_once(identity, appliance)
    assert report.trouble is not None
    assert report.trouble.code == "RECORD_REFUSED"
    assert states(appliance) == [
        RecordState.CONFIRMED,
        RecordState.CONFIRMED,
        RecordState.INVALID,
        RecordState.PENDING,
    ]
    again = sync_once(identity, appliance)  # it is not sent again by itself
    assert (again.delivered, again.trouble) == (0, report.trouble)
    cloud.refuse.clear()
    assert appliance.outbox.retry_invalid(3)
    assert sync_once(identity, appliance) == SyncReport(delivered=2, confirmed=2, trouble=None)


def test_another_chain_in_the_cloud_halts_as_a_fork(
    cloud: ModelCloud, identity: UplinkIdentity, device: Device, appliance: Appliance, tmp_path: Path
) -> None:
    clone = Appliance(tmp_path / "clone.db", MemorySigner(device.key))
    clone.verify()
    sync_once(identity, clone)
    clone.outbox.close()
    appliance.verify()
    report = sync_once(identity, appliance)
    assert report.trouble is not None
    assert report.trouble.code == "FORK"
    assert states(appliance) == [RecordState.PENDING]


def test_a_store_restored_from_a_backup_halts(
    identity: UplinkIdentity, device: Device, appliance: Appliance, tmp_path: Path
) -> None:
    appliance.verify()
    appliance.verify()
    sync_once(identity, appliance)
    restored = Appliance(tmp_path / "restored.db", MemorySigner(device.key))
    report = sync_once(identity, restored)
    restored.outbox.close()
    assert report.trouble is not None
    assert report.trouble.code == "STORE_BEHIND"


class Receipts:
    """Ways to spoil the receipt of an answer."""

    def __init__(self, authority: Authority, device: Device) -> None:
        self.authority = authority
        self.device = device

    def forged(self, answer: pb.DeliverResponse) -> None:
        answer.receipt = answer.receipt[:-8] + bytes(8)

    def other_root(self, answer: pb.DeliverResponse) -> None:
        stranger = new_authority()
        head = ChainHead(1, 2, bytes(32))
        answer.receipt = stranger.receipt("device-1", head, at=datetime.now(UTC))
        answer.receipt_certificates[:] = stranger.receipt_chain

    def wrong_purpose(self, answer: pb.DeliverResponse) -> None:
        answer.receipt_certificates[:] = self.device.chain

    def no_certificates(self, answer: pb.DeliverResponse) -> None:
        del answer.receipt_certificates[:]

    def other_device(self, answer: pb.DeliverResponse) -> None:
        self._receipt(answer, "device-2", 2, None)

    def wrong_head(self, answer: pb.DeliverResponse) -> None:
        self._receipt(answer, "device-1", 2, bytes(32))

    def ahead(self, answer: pb.DeliverResponse) -> None:
        self._receipt(answer, "device-1", 3, None)

    def _receipt(self, answer: pb.DeliverResponse, device_id: str, seq: int, sha256: bytes | None) -> None:
        digest = sha256 or envelope_sha256(b"any")
        answer.receipt = self.authority.receipt(device_id, ChainHead(1, seq, digest), at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("forged", "RECEIPT_REFUSED"),
        ("other_root", "RECEIPT_REFUSED"),
        ("wrong_purpose", "RECEIPT_REFUSED"),
        ("no_certificates", "RECEIPT_REFUSED"),
        ("other_device", "RECEIPT_OTHER_DEVICE"),
        ("wrong_head", "RECEIPT_FORK"),
        ("ahead", "RECEIPT_AHEAD"),
    ],
)
def test_a_receipt_that_does_not_hold_confirms_and_deletes_nothing(
    authority: Authority,
    device: Device,
    cloud: ModelCloud,
    identity: UplinkIdentity,
    appliance: Appliance,
    monkeypatch: pytest.MonkeyPatch,
    spoil: str,
    code: str,
) -> None:
    appliance.verify()
    appliance.verify()
    honest = cloud.deliver

    def dishonest(device_id: str, request: pb.DeliverRequest) -> pb.DeliverResponse:
        answer = honest(device_id, request)
        getattr(Receipts(authority, device), spoil)(answer)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "deliver", dishonest)
        report = sync_once(identity, appliance)
    assert report.trouble is not None
    assert report.trouble.code == code
    assert report.confirmed == 0
    assert RecordState.CONFIRMED not in states(appliance)
    assert appliance.outbox.purge(now=datetime.now(UTC) + timedelta(days=999), retention=timedelta(0)) == 0
    assert sync_once(identity, appliance).confirmed == 2  # an honest receipt still counts


@pytest.mark.parametrize("results", [[], [pb.DELIVER_STATUS_ACCEPTED] * 2, [pb.DELIVER_STATUS_UNSPECIFIED]])
def test_an_answer_that_makes_no_sense_marks_nothing(
    cloud: ModelCloud,
    identity: UplinkIdentity,
    appliance: Appliance,
    monkeypatch: pytest.MonkeyPatch,
    results: list[pb.DeliverStatus.ValueType],
) -> None:
    appliance.verify()
    answer = pb.DeliverResponse(results=[pb.DeliverResult(status=status) for status in results])
    monkeypatch.setattr(cloud, "deliver", lambda *_: answer)
    with pytest.raises(CloudError) as error:
        sync_once(identity, appliance)
    assert error.value.code == "CLOUD_ANSWER"
    assert states(appliance) == [RecordState.PENDING]


def test_a_server_that_crashes_on_a_batch_is_tried_again(
    cloud: ModelCloud, identity: UplinkIdentity, appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    appliance.verify()

    def crash(*_: object) -> pb.DeliverResponse:
        raise RuntimeError("a bug in the cloud")

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "deliver", crash)
        with pytest.raises(CloudError) as error:
            sync_once(identity, appliance)
    assert error.value.code == "CLOUD_UNKNOWN"
    assert sync_once(identity, appliance).confirmed == 1


def test_the_daemon_outlives_a_cloud_that_comes_late_and_notices_new_records(
    authority: Authority,
    cloud: ModelCloud,
    device: Device,
    appliance: Appliance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.sync.daemon.POLL_S", 0.01)
    monkeypatch.setattr("edge.sync.machine.BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr("edge.sync.machine.BACKOFF_CAP_S", 0.02)
    appliance.verify()
    stop, tried, done = threading.Event(), threading.Event(), threading.Event()
    reports: list[SyncReport] = []
    endpoints = ["127.0.0.1:1"]
    real_open = GrpcUplink.open

    def open_uplink(identity: UplinkIdentity) -> GrpcUplink:
        uplink = real_open(identity_for(authority, device, endpoint=endpoints[0]))
        close = uplink.close

        def close_and_say() -> None:
            close()
            tried.set()

        monkeypatch.setattr(uplink, "close", close_and_say)
        return uplink

    monkeypatch.setattr(GrpcUplink, "open", open_uplink)

    def work() -> None:
        outbox = type(appliance.outbox).open(appliance.path, device_id="device-1")
        identity = identity_for(authority, device, endpoint=endpoints[0])
        reports.append(
            run(
                identity=identity,
                outbox=outbox,
                stop=stop,
                once=False,
                retention=RETENTION,
                on_trouble=ignore_trouble,
            )
        )
        outbox.close()
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert tried.wait(DEADLINE_S)
        with serving(cloud) as (_, endpoint):
            endpoints[0] = endpoint
            wait_until(lambda: appliance.outbox.confirmed_seq() == 1)
            appliance.verify()
            wait_until(lambda: appliance.outbox.confirmed_seq() == 2)
            assert not done.is_set()
            stop.set()
            thread.join(DEADLINE_S)
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert reports == [SyncReport(delivered=2, confirmed=2, trouble=None)]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread brings about."""
    ticker = threading.Event()
    for _ in range(int(DEADLINE_S / 0.02)):
        if condition():
            return
        ticker.wait(0.02)
    raise AssertionError("it did not happen in time")


@pytest.mark.parametrize("once", [True, False])
def test_a_stop_breaks_off_a_call_that_nobody_answers(
    authority: Authority, device: Device, tmp_path: Path, once: bool
) -> None:
    """The listener takes connections and is silent, as a link is that swallows everything."""
    stop = threading.Event()
    reports: list[SyncReport] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        identity = identity_for(authority, device, endpoint=f"127.0.0.1:{port}")

        def work() -> None:
            appliance = Appliance(tmp_path / "outbox.db", MemorySigner(device.key))
            appliance.verify()
            reports.append(
                run(
                    identity=identity,
                    outbox=appliance.outbox,
                    stop=stop,
                    once=once,
                    retention=RETENTION,
                    on_trouble=ignore_trouble,
                )
            )
            appliance.outbox.close()

        thread = threading.Thread(target=work)
        thread.start()
        link, _ = silent.accept()
        stop.set()
        thread.join(CALL_TIMEOUT_S / 2)
        assert not thread.is_alive()
        link.close()
    assert [report.delivered for report in reports] == [0]
    assert not any(thread.name == "hang-up" for thread in threading.enumerate())
