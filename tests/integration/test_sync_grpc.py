"""The sync daemon over real mutual TLS against a cloud that answers anything but what it should."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from edge.errors import CloudError, StorageError
from edge.outbox.records import RecordState
from edge.sync.daemon import SyncReport
from edge.sync.ports import UplinkIdentity
from edge.sync.uplink import CALL_TIMEOUT_S, GrpcUplink
from tests.support.appliance import MemorySigner
from tests.support.authority import Authority, Device
from tests.support.model_cloud import ModelCloud, Refusal, identity_for, new_authority, serving
from tests.support.sync_device import RETENTION, FieldDevice
from verifield.chain import ChainHead, envelope_sha256
from verifield.merkle import MerkleTree, leaf_hash
from verifield.v1 import sync_service_pb2 as pb


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def cloud(authority: Authority) -> ModelCloud:
    return ModelCloud(authority, at=datetime.now(UTC))


@pytest.fixture
def enrolled(authority: Authority) -> Device:
    return authority.enroll("device-1", now=datetime.now(UTC))


@pytest.fixture
def endpoint(cloud: ModelCloud) -> Iterator[str]:
    with serving(cloud) as (_, device_endpoint):
        yield device_endpoint


@pytest.fixture
def identity(authority: Authority, enrolled: Device, endpoint: str) -> UplinkIdentity:
    return identity_for(authority, enrolled, endpoint=endpoint)


@pytest.fixture
def device(enrolled: Device, tmp_path: Path) -> Iterator[FieldDevice]:
    device = FieldDevice(tmp_path / "device", signer=MemorySigner(enrolled.key))
    yield device
    device.close()


def sync(identity: UplinkIdentity, device: FieldDevice, **options: bool) -> SyncReport:
    return device.run(lambda: GrpcUplink.open(identity), identity.root_pem, **options)


def test_a_backlog_drains_in_one_run_and_is_confirmed(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sync.pump.MAX_BATCH_RECORDS", 4)
    records = [device.verify() for _ in range(10)]
    assert sync(identity, device) == SyncReport(delivered=10, confirmed=10, trouble=None)
    assert cloud.device("device-1").chain == [record.envelope for record in records]
    assert set(device.states()) == {RecordState.CONFIRMED}
    assert device.outbox.cited().server_time == cloud.at
    assert device.downstream.words[-1] == cloud.at
    assert sync(identity, device) == SyncReport(delivered=0, confirmed=0, trouble=None)


def test_a_cloud_that_is_away_is_said_and_nothing_changes(
    authority: Authority, enrolled: Device, device: FieldDevice
) -> None:
    device.verify()
    with pytest.raises(CloudError) as error:
        sync(identity_for(authority, enrolled, endpoint="127.0.0.1:1"), device)
    assert error.value.code == "CLOUD_AWAY"
    assert error.value.hint
    assert device.states() == [RecordState.PENDING]


def test_a_server_of_another_root_gets_nothing(
    cloud: ModelCloud, enrolled: Device, endpoint: str, device: FieldDevice
) -> None:
    device.verify()
    stranger = new_authority()
    report = sync(identity_for(stranger, enrolled, endpoint=endpoint), device)
    assert report.trouble is not None
    assert report.trouble.code == "ROOT_MISMATCH"
    assert cloud.devices == {}
    assert device.states() == [RecordState.PENDING]


def test_a_lost_receipt_is_fetched_with_the_next_contact(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
) -> None:
    for _ in range(3):
        device.verify()
    uplink = GrpcUplink.open(identity)
    records = device.outbox.pending(after=None, limit_bytes=1 << 20, limit_count=9)
    uplink.deliver(records, damaged=(), witnessed_tree_size=0)
    uplink.close()  # the device died before it read the answer
    report = sync(identity, device)
    assert (report.confirmed, report.trouble) == (3, None)
    assert len(cloud.device("device-1").chain) == 3


def test_records_are_deleted_by_the_clouds_clock_once_their_retention_is_over(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
) -> None:
    device.verify()
    sync(identity, device)
    cloud.at += RETENTION - timedelta(seconds=1)
    device.verify()
    sync(identity, device)
    assert device.states() == [RecordState.CONFIRMED] * 2
    cloud.at += timedelta(seconds=1)
    device.verify()
    sync(identity, device)
    assert [record.seq for record in device.outbox.newest(limit=9)] == [3, 2]


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

    def no_log_certificates(self, answer: pb.DeliverResponse) -> None:
        del answer.log_certificates[:]

    def other_log_key(self, answer: pb.DeliverResponse) -> None:
        answer.log_certificates[:] = new_authority().log_chain

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
        ("no_log_certificates", "RECEIPT_REFUSED"),
        ("other_log_key", "RECEIPT_REFUSED"),
        ("other_device", "RECEIPT_OTHER_DEVICE"),
        ("wrong_head", "RECEIPT_FORK"),
        ("ahead", "RECEIPT_AHEAD"),
    ],
)
def test_a_receipt_that_does_not_hold_confirms_and_deletes_nothing(
    authority: Authority,
    enrolled: Device,
    cloud: ModelCloud,
    identity: UplinkIdentity,
    device: FieldDevice,
    monkeypatch: pytest.MonkeyPatch,
    spoil: str,
    code: str,
) -> None:
    device.verify()
    device.verify()
    with monkeypatch.context() as patch:
        lie(cloud, patch, getattr(Receipts(authority, enrolled), spoil))
        report = sync(identity, device)
    assert report.trouble is not None
    assert report.trouble.code == code
    assert report.confirmed == 0
    assert RecordState.CONFIRMED not in device.states()
    assert device.outbox.purge(now=datetime.now(UTC) + timedelta(days=999), retention=timedelta(0)) == 0
    assert sync(identity, device).confirmed == 2  # an honest receipt still counts


def lie(cloud: ModelCloud, patch: pytest.MonkeyPatch, spoil: Callable[[pb.DeliverResponse], None]) -> None:
    honest = cloud.deliver

    def dishonest(device_id: str, request: pb.DeliverRequest) -> pb.DeliverResponse:
        answer = honest(device_id, request)
        spoil(answer)
        return answer

    patch.setattr(cloud, "deliver", dishonest)


class TestWitness:
    """The device believes no log that does not continue the one it has seen."""

    def other_tree(self, cloud: ModelCloud, leaves: int) -> None:
        cloud.authority.tree = MerkleTree()
        for number in range(leaves):
            cloud.authority.tree.append(leaf_hash(b"%d" % number))

    @pytest.fixture(autouse=True)
    def tree(self, cloud: ModelCloud, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cloud.authority, "tree", MerkleTree())

    @pytest.mark.parametrize(
        ("leaves", "why"), [(0, "LOG_SHRANK"), (2, "CONSISTENCY"), (3, "CONSISTENCY"), (40, "CONSISTENCY")]
    )
    def test_a_log_that_was_changed_halts_with_both_notes_as_evidence(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice, leaves: int, why: str
    ) -> None:
        for _ in range(3):
            device.verify()
        sync(identity, device)
        seen = device.outbox.witnessed()
        assert seen is not None
        self.other_tree(cloud, leaves)
        device.verify()
        report = sync(identity, device)
        assert report.trouble is not None
        assert report.trouble.code == "LOG_INCONSISTENT"
        assert "evidence" in report.trouble.message
        assert report.confirmed == 0
        [error] = device.evidence
        assert (error.code, error.seen) == (why, seen.note)
        assert error.shown != seen.note
        assert device.outbox.witnessed() == seen

    def test_a_proof_that_is_left_out_or_of_another_tree_halts(
        self,
        cloud: ModelCloud,
        identity: UplinkIdentity,
        device: FieldDevice,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        device.verify()
        sync(identity, device)
        device.verify()
        with monkeypatch.context() as patch:
            lie(cloud, patch, lambda answer: answer.ClearField("consistency_hashes"))
            report = sync(identity, device)
        assert report.trouble is not None
        assert report.trouble.code == "LOG_INCONSISTENT"
        assert sync(identity, device).confirmed == 1

    def test_a_log_that_grows_is_followed(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        for number in range(1, 9):
            device.verify()
            cloud.authority.tree.append(leaf_hash(b"another device"))
            assert sync(identity, device).confirmed == 1
            seen = device.outbox.witnessed()
            assert seen is not None
            assert seen.tree_size == 2 * number

    def test_a_person_can_believe_the_log_as_it_is_now_and_only_as_it_is_now(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        device.verify()
        sync(identity, device)
        self.other_tree(cloud, 9)
        device.verify()
        assert sync(identity, device, accept_log=True).confirmed == 1
        device.verify()
        assert sync(identity, device).confirmed == 1
        self.other_tree(cloud, 30)
        device.verify()
        assert sync(identity, device).trouble is not None


@pytest.mark.parametrize("results", [[], [pb.DELIVER_STATUS_ACCEPTED] * 2, [pb.DELIVER_STATUS_UNSPECIFIED]])
def test_an_answer_that_makes_no_sense_marks_nothing(
    cloud: ModelCloud,
    identity: UplinkIdentity,
    device: FieldDevice,
    monkeypatch: pytest.MonkeyPatch,
    results: list[pb.DeliverStatus.ValueType],
) -> None:
    device.verify()
    answer = pb.DeliverResponse(results=[pb.DeliverResult(status=status) for status in results])
    monkeypatch.setattr(cloud, "deliver", lambda *_: answer)
    with pytest.raises(CloudError) as error:
        sync(identity, device)
    assert error.value.code == "CLOUD_ANSWER"
    assert device.states() == [RecordState.PENDING]


def test_ranges_that_make_no_sense_are_not_believed(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.verify()
    answer = pb.GetHeadResponse(chain_epoch=1, missing=[pb.SeqRange(first_seq=5, last_seq=4)])
    monkeypatch.setattr(cloud, "get_head", lambda _device_id: answer)
    with pytest.raises(CloudError) as error:
        sync(identity, device)
    assert error.value.code == "CLOUD_ANSWER"


class TestErrors:
    """What the cloud may say instead of an answer, and in which call."""

    METHODS = ("Pull", "GetHead", "Deliver")

    def failing(self, cloud: ModelCloud, method: str, refusal: Exception) -> None:
        def fail(called: str) -> None:
            if called == method:
                raise refusal

        cloud.fail = fail

    @pytest.mark.req("E052")
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        "code",
        [
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        ],
        ids=lambda code: code.name,
    )
    def test_what_may_pass_is_tried_again(
        self,
        cloud: ModelCloud,
        identity: UplinkIdentity,
        device: FieldDevice,
        method: str,
        code: grpc.StatusCode,
    ) -> None:
        device.verify()
        self.failing(cloud, method, Refusal(code))
        with pytest.raises(CloudError):
            sync(identity, device)
        assert device.states() == [RecordState.PENDING]
        cloud.fail = lambda _method: None
        assert sync(identity, device).confirmed == 1

    @pytest.mark.parametrize("method", METHODS)
    def test_a_bug_in_the_cloud_is_waited_out(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice, method: str
    ) -> None:
        device.verify()
        self.failing(cloud, method, RuntimeError("a bug"))
        with pytest.raises(CloudError) as error:
            sync(identity, device)
        assert error.value.code == "CLOUD_UNKNOWN"
        cloud.fail = lambda _method: None
        assert sync(identity, device).confirmed == 1

    @pytest.mark.parametrize("method", METHODS[1:])
    def test_what_is_refused_for_good_halts_and_says_why(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice, method: str
    ) -> None:
        device.verify()
        self.failing(cloud, method, Refusal(grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE"))
        report = sync(identity, device)
        assert report.trouble is not None
        assert report.trouble.code == "BATCH_TOO_LARGE"
        assert device.states() == [RecordState.PENDING]

    def test_news_that_are_refused_keep_no_record_back(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        device.verify()
        self.failing(cloud, "Pull", Refusal(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"))
        assert sync(identity, device).confirmed == 1
        assert device.troubles == ["PAGE_TOKEN_INVALID"]

    def test_news_that_cannot_be_stored_keep_no_record_back(
        self, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        device.verify()
        device.downstream.refuse = StorageError("STATE_FULL", "The disk is full.")
        assert sync(identity, device).confirmed == 1
        assert device.troubles == ["STATE_FULL"]

    def test_a_refused_certificate_is_renewed_once_and_then_held(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        device.verify()
        refusal = Refusal(grpc.StatusCode.UNAUTHENTICATED, "CLIENT_CERTIFICATE_REFUSED")
        self.failing(cloud, "GetHead", refusal)
        device.renewals = [None, None, None]
        report = sync(identity, device)
        assert report.trouble is not None
        assert report.trouble.code == "CLIENT_CERTIFICATE_REFUSED"
        assert len(device.renewals) == 2

    def test_a_refused_certificate_that_was_renewed_goes_on(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        device.verify()
        left = [Refusal(grpc.StatusCode.UNAUTHENTICATED, "CLIENT_CERTIFICATE_REFUSED")]

        def fail(_method: str) -> None:
            if left:
                raise left.pop()

        cloud.fail = fail
        assert sync(identity, device).confirmed == 1

    def test_a_revoked_device_locks(
        self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
    ) -> None:
        device.verify()
        self.failing(cloud, "Pull", Refusal(grpc.StatusCode.PERMISSION_DENIED, "DEVICE_REVOKED"))
        report = sync(identity, device)
        assert report.trouble is not None
        assert report.trouble.code == "DEVICE_REVOKED"
        assert device.downstream.locked


def test_news_come_in_pages_and_are_not_asked_for_again(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
) -> None:
    cloud.feed = [
        pb.DownItem(kind=pb.DOWN_ITEM_KIND_ACCOUNT, item_id=f"a-{number}", content=b"%d" % number)
        for number in range(120)
    ]
    sync(identity, device)
    assert device.downstream.items == [b"%d" % number for number in range(120)]
    cloud.feed.append(pb.DownItem(kind=pb.DOWN_ITEM_KIND_ACCOUNT, item_id="a-120", content=b"120"))
    sync(identity, device)
    assert len(device.downstream.items) == 121


def test_news_go_on_behind_the_last_page_that_came_whole(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice
) -> None:
    cloud.feed = [
        pb.DownItem(kind=pb.DOWN_ITEM_KIND_CONTRACT, item_id=f"c-{number}", content=b"%d" % number)
        for number in range(60)
    ]
    calls = 0

    def fail(method: str) -> None:
        nonlocal calls
        calls += method == "Pull"
        if calls == 2:
            raise Refusal(grpc.StatusCode.UNAVAILABLE)

    cloud.fail = fail
    with pytest.raises(CloudError):
        sync(identity, device)
    assert 0 < len(device.downstream.items) < 60
    sync(identity, device)
    assert device.downstream.items == [b"%d" % number for number in range(60)]


@pytest.mark.parametrize("once", [True, False])
def test_a_stop_breaks_off_a_call_that_nobody_answers(
    authority: Authority, enrolled: Device, device: FieldDevice, once: bool
) -> None:
    """The listener takes connections and is silent, as a link is that swallows everything."""
    stop = threading.Event()
    reports: list[SyncReport] = []
    device.verify()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        identity = identity_for(authority, enrolled, endpoint=f"127.0.0.1:{silent.getsockname()[1]}")

        def work() -> None:
            uplink = lambda: GrpcUplink.open(identity)  # noqa: E731
            reports.append(device.run(uplink, identity.root_pem, once=once, stop=stop))

        thread = threading.Thread(target=work)
        thread.start()
        link, _ = silent.accept()
        stop.set()
        thread.join(CALL_TIMEOUT_S / 2)
        assert not thread.is_alive()
        link.close()
    assert [report.delivered for report in reports] == [0]
    assert not any(thread.name == "hang-up" for thread in threading.enumerate())
