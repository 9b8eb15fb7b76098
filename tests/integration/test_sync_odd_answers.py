"""The sync daemon and a cloud that is right, but confused: each odd answer is a trouble that passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge.errors import CloudError
from edge.model import Position
from edge.outbox.records import RecordState
from edge.sync.daemon import SyncReport
from edge.sync.export import Exporter, write_export
from edge.sync.journal import Journal
from edge.sync.ports import UplinkIdentity
from edge.sync.uplink import GrpcUplink
from tests.support.appliance import MemorySigner
from tests.support.authority import Authority, Device
from tests.support.model_chain import statement_of
from tests.support.model_cloud import ModelCloud, identity_for, new_authority, serving
from tests.support.sync_device import FieldDevice
from verifield.errors import Malformed
from verifield.rules import MAX_COUNTER
from verifield.v1 import sync_service_pb2 as pb

CONFIRMED, INVALID, PENDING = RecordState.CONFIRMED, RecordState.INVALID, RecordState.PENDING
UNNAMED = "REFUSED_UNNAMED"


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
def identity(authority: Authority, enrolled: Device, cloud: ModelCloud) -> Iterator[UplinkIdentity]:
    with serving(cloud) as (_, endpoint):
        yield identity_for(authority, enrolled, endpoint=endpoint)


@pytest.fixture
def device(enrolled: Device, tmp_path: Path) -> Iterator[FieldDevice]:
    device = FieldDevice(tmp_path / "device", signer=MemorySigner(enrolled.key))
    for _ in range(3):
        device.verify()
    yield device
    device.close()


def sync(identity: UplinkIdentity, device: FieldDevice) -> SyncReport:
    return device.run(lambda: GrpcUplink.open(identity), identity.root_pem)


def waits_for_the_cloud(identity: UplinkIdentity, device: FieldDevice) -> str:
    """What a person is told of the one trouble, which may pass."""
    with pytest.raises(CloudError) as error:
        sync(identity, device)
    assert error.value.code == "CLOUD_ANSWER"
    assert error.value.hint
    return error.value.message


def tombstone_reasons(device: FieldDevice) -> list[str]:
    events = [statement_of(one.envelope).device_event for one in device.outbox.newest(limit=100)]
    return [event.tombstone.reason for event in events if event.HasField("tombstone")]


@pytest.mark.parametrize("reason", ["", "policy-unknown", "X" * 65, "\N{CJK UNIFIED IDEOGRAPH-4E0D}"])
def test_a_refusal_whose_reason_is_no_code_closes_its_place_as_any_other(
    cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice, reason: str
) -> None:
    cloud.refuse[2] = reason
    assert sync(identity, device).trouble is None
    assert tombstone_reasons(device) == [UNNAMED]
    device.verify()
    assert sync(identity, device).confirmed == 1
    assert device.states() == [CONFIRMED, INVALID, CONFIRMED, CONFIRMED, CONFIRMED]


class TestRefusalsThatAnOlderVersionHasStored:
    @pytest.fixture(autouse=True)
    def stored(self, cloud: ModelCloud, identity: UplinkIdentity, device: FieldDevice) -> None:
        cloud.refuse[2] = "policy-unknown"
        uplink = GrpcUplink.open(identity)
        records = device.outbox.pending(after=None, limit_bytes=1 << 20, limit_count=9)
        uplink.deliver(records, damaged=(), witnessed_tree_size=0)
        uplink.close()
        device.outbox.mark_refused(Position(1, 2), "policy-unknown")

    def test_over_the_network(self, identity: UplinkIdentity, device: FieldDevice) -> None:
        assert sync(identity, device).trouble is None
        assert tombstone_reasons(device) == [UNNAMED]

    def test_by_hand(
        self, identity: UplinkIdentity, device: FieldDevice, enrolled: Device, tmp_path: Path
    ) -> None:
        exporter = Exporter(
            parts=device.parts(lambda: GrpcUplink.open(identity), identity.root_pem),
            journal=Journal(tmp_path / "exports"),
            device_id="device-1",
            certificates=tuple(enrolled.chain),
            signer=device.signer,
            clock=device.clock,
        )
        assert write_export(exporter, tmp_path).records == 3  # and the TOMBSTONE, in the place of the refused
        assert tombstone_reasons(device) == [UNNAMED]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"chain_epoch": 2**63, "seq": 1, "head_sha256": bytes(32)},
        {"chain_epoch": MAX_COUNTER, "seq": 1, "head_sha256": bytes(32)},
        {"chain_epoch": 2**32, "seq": 1, "head_sha256": bytes(32)},
        {"chain_epoch": 0, "seq": 1, "head_sha256": bytes(32)},
        {"chain_epoch": 2, "seq": 2**64 - 1, "head_sha256": bytes(32)},
        {"chain_epoch": 2, "seq": 1, "head_sha256": b"short"},
        {"newest_seq": 2**64 - 1},
        {"missing": [pb.SeqRange(first_seq=1, last_seq=2**64 - 1)]},
        {"missing": [pb.SeqRange(first_seq=2, last_seq=1)]},
    ],
    ids=str,
)
def test_a_place_that_no_chain_can_have_is_waited_out_and_begins_no_epoch(
    cloud: ModelCloud,
    identity: UplinkIdentity,
    device: FieldDevice,
    monkeypatch: pytest.MonkeyPatch,
    spoilt: dict[str, Any],
) -> None:
    right = cloud.get_head

    def wrong(device_id: str) -> pb.GetHeadResponse:
        answer = right(device_id)
        answer.MergeFrom(pb.GetHeadResponse(**spoilt))
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "get_head", wrong)
        if spoilt.get("chain_epoch") == 0:
            patch.setattr(cloud, "get_head", lambda _device: pb.GetHeadResponse(**spoilt))
        waits_for_the_cloud(identity, device)
    assert device.states() == [PENDING] * 3
    assert sync(identity, device).confirmed == 3
    head = device.outbox.head()
    assert head is not None
    assert (head.epoch, head.seq) == (1, 3)


@pytest.mark.parametrize("moves_on", [False, True])
def test_news_without_end_do_not_keep_records_from_going_up(
    cloud: ModelCloud,
    identity: UplinkIdentity,
    device: FieldDevice,
    monkeypatch: pytest.MonkeyPatch,
    moves_on: bool,
) -> None:
    monkeypatch.setattr("edge.sync.pump.MAX_PAGES", 20)
    pages = []

    def pull(request: pb.PullRequest) -> pb.PullResponse:
        pages.append(request.cursor)
        assert len(pages) <= 20
        cursor = str(len(pages)) if moves_on else request.cursor
        return pb.PullResponse(next_cursor=cursor, more=True)

    monkeypatch.setattr(cloud, "pull", pull)
    assert sync(identity, device).confirmed == 3
    assert device.troubles == ["CLOUD_ANSWER"]
    assert len(pages) == (20 if moves_on else 1)


@pytest.mark.parametrize(
    "fault", [ValueError("of a person"), OverflowError("of a person"), Malformed("RULE", "of a person")]
)
class TestWhatNoCheckHasForeseen:
    def test_in_an_answer_is_waited_out(
        self,
        identity: UplinkIdentity,
        device: FieldDevice,
        monkeypatch: pytest.MonkeyPatch,
        fault: Exception,
    ) -> None:
        def fail(*_: object, **_options: object) -> None:
            raise fault

        with monkeypatch.context() as patch:
            patch.setattr(GrpcUplink, "deliver", fail)
            assert "of a person" not in waits_for_the_cloud(identity, device)
        assert sync(identity, device).confirmed == 3

    def test_in_news_does_not_keep_records_from_going_up(
        self, identity: UplinkIdentity, device: FieldDevice, fault: Exception
    ) -> None:
        device.downstream.refuse = fault
        assert sync(identity, device).confirmed == 3
        assert device.troubles == ["CLOUD_ANSWER"]
