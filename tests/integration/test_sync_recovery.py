"""What must never be lost in silence: each rule of the queue from end to end, over a network that fails.

The real device and the real cloud; only the weather, the disk and the copies of the disk are arranged.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cloud.commands.policies import first_policy
from edge.answers import PrivateField
from edge.app import outbox_path
from edge.attest.media import seal_media
from edge.errors import CloudError
from edge.model import Decision, Evidence, Outcome, Position, ResetReason
from edge.outbox.records import RecordState, StoredRecord
from edge.recorder import Recorder
from edge.sync.uplink import GrpcUplink
from tests.support.bad_network import CLEAR, SILENT, BadNetwork, Weather, bad_network
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from verifield.chain import envelope_sha256
from verifield.dsse import parse_envelope
from verifield.media import CHUNK_BYTES
from verifield.statement import parse_statement
from verifield.v1 import attestation_service_pb2
from verifield.v1 import device_service_pb2 as devices_pb
from verifield.v1.policy_service_pb2 import PublishPolicyRequest

CONFIRMED = RecordState.CONFIRMED

pytestmark = pytest.mark.req("E051")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def network(cloud: RunningCloud) -> Iterator[BadNetwork]:
    with bad_network(cloud.endpoint.device_listen) as network:
        yield network


@pytest.fixture
def office(cloud: RunningCloud, network: BadNetwork, tmp_path: Path) -> FieldOffice:
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.go_through(device=network.endpoint)
    return office


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sync.daemon.POLL_S", 0.05)
    monkeypatch.setattr("edge.sync.machine.BACKOFF_FIRST_S", 0.05)
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_FIRST_S", 0.05)
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_CAP_S", 0.3)
    monkeypatch.setattr("edge.sync.uplink.CALL_TIMEOUT_S", 3.0)
    monkeypatch.setattr("edge.rpc.CONNECT_S", 3)


def copy_of(office: FieldOffice, folder: Path) -> FieldOffice:
    """The same disk in another machine."""
    shutil.copytree(office.settings.data_dir, folder, symlinks=True)
    return FieldOffice(office.cloud, office.settings.model_copy(update={"data_dir": folder}))


def drain(office: FieldOffice, network: BadNetwork) -> None:
    """Run the daemon while the network flaps, until everything is confirmed."""
    with office.daemon():
        weather = network.flap(len(office.states()), turns=5, longest_s=0.3)
        weather.join()
        wait_until(office.all_settled)


def delivered(office: FieldOffice) -> list[tuple[int, int]]:
    request = attestation_service_pb2.ListAttestationsRequest(device_id=office.device_id, page_size=500)
    answer = office.cloud.operator.call(office.cloud.operator.attestations.ListAttestations, request)
    return sorted((one.chain_epoch, one.seq) for one in answer.attestations)


def chain(epoch: int, *seqs: int) -> list[tuple[int, int]]:
    return [(epoch, seq) for seq in seqs]


def alarms(office: FieldOffice) -> list[str]:
    """Kinds of what nobody has acknowledged, oldest first."""
    return [devices_pb.AlarmKind.Name(one.kind).removeprefix("ALARM_KIND_") for one in open_alarms(office)]


def open_alarms(office: FieldOffice) -> list[devices_pb.Alarm]:
    request = devices_pb.ListAlarmsRequest(device_id=office.device_id, open_only=True, page_size=100)
    answer = office.cloud.operator.call(office.cloud.operator.devices.ListAlarms, request)
    return list(reversed(answer.alarms))


def acknowledge(office: FieldOffice) -> None:
    for alarm in open_alarms(office):
        request = devices_pb.AcknowledgeAlarmRequest(alarm_id=alarm.alarm_id)
        office.cloud.operator.call(office.cloud.operator.devices.AcknowledgeAlarm, request)


def side_records(office: FieldOffice) -> list[tuple[str, int, int]]:
    request = devices_pb.ListSideRecordsRequest(device_id=office.device_id, page_size=100)
    answer = office.cloud.operator.call(office.cloud.operator.devices.ListSideRecords, request)
    return sorted(
        (
            devices_pb.SideRecordKind.Name(one.kind).removeprefix("SIDE_RECORD_KIND_"),
            one.chain_epoch,
            one.seq,
        )
        for one in answer.records
    )


def damage(office: FieldOffice, position: Position) -> None:
    path = outbox_path(office.settings, office.device_id)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE records SET envelope = CAST(substr(envelope, 2) AS BLOB) WHERE epoch = ? AND seq = ?",
            (position.epoch, position.seq),
        )


def test_batches_that_come_twice_out_of_order_and_overlapping_end_in_one_chain(
    office: FieldOffice, network: BadNetwork
) -> None:
    """What a device that was cut off and restarted may send, all of it at once."""
    office.verify(11)
    with office.recorder() as recorder:
        records = recorder.outbox.pending(after=None, limit_bytes=1 << 20, limit_count=99)
        identity = recorder.identity
    pieces = [records[6:12], records[3:8], records[6:12], records[9:10], records[2:5]]

    def send(piece: Sequence[StoredRecord]) -> None:
        uplink = GrpcUplink.open(identity)
        uplink.deliver(piece, damaged=(), witnessed_tree_size=0)
        uplink.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, pieces))
    assert delivered(office) == []  # all of it waits for the first two
    drain(office, network)
    assert delivered(office) == chain(1, *range(1, 13))
    assert office.all_confirmed()
    for piece in pieces:
        send(piece)
    assert delivered(office) == chain(1, *range(1, 13))


def test_records_are_deleted_only_after_their_receipt_and_their_retention(
    office: FieldOffice, network: BadNetwork
) -> None:
    office.verify(2)
    network.weather = SILENT
    office.settings = office.settings.model_copy(update={"retention_days": 0.0})
    with pytest.raises(CloudError):
        office.sync()
    assert office.states() == [RecordState.PENDING] * 3
    network.weather = CLEAR
    network.cut_all()
    assert office.sync().confirmed == 3
    assert office.states() == []
    office.verify()
    assert office.sync().confirmed == 1
    assert delivered(office) == chain(1, 1, 2, 3, 4)


def test_broken_records_are_given_up_by_a_gap_and_their_bytes_kept(
    office: FieldOffice, network: BadNetwork
) -> None:
    office.verify(6)
    damage(office, Position(1, 3))
    damage(office, Position(1, 4))
    drain(office, network)
    assert delivered(office) == chain(1, 1, 2, 5, 6, 7, 8)
    assert alarms(office) == ["GAP"]
    assert side_records(office) == [("DAMAGED", 1, 3), ("DAMAGED", 1, 4)]
    office.verify(2)
    assert office.sync().confirmed == 2


def test_a_refused_record_is_closed_by_a_tombstone_and_the_queue_goes_on(
    office: FieldOffice, network: BadNetwork
) -> None:
    office.verify(2)
    with office.recorder() as recorder:
        strange = replace(recorder, identity=replace(recorder.identity, site_id="elsewhere"))
        refuse_one(strange)
    office.verify(3)
    drain(office, network)
    assert delivered(office) == chain(1, 1, 2, 3, 5, 6, 7, 8)
    assert office.states()[3] is RecordState.INVALID
    assert [side for side in side_records(office) if side[0] == "REFUSED"] == [("REFUSED", 1, 4)]
    assert "RECORD_REFUSED" in office.troubles


def refuse_one(recorder: Recorder) -> None:
    recorder.record(Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",)))


def test_a_store_restored_from_a_backup_goes_on_in_a_new_epoch_and_both_branches_stay(
    office: FieldOffice, network: BadNetwork, tmp_path: Path
) -> None:
    office.verify(2)
    office.sync()
    restored = copy_of(office, tmp_path / "restored")
    office.verify(4)
    office.sync()
    assert delivered(office) == chain(1, 1, 2, 3, 4, 5, 6, 7)
    restored.verify(2)  # other records in places that the cloud has
    drain(restored, network)
    assert delivered(office) == chain(1, 1, 2, 3, 4, 5, 6, 7) + chain(2, 1)
    assert side_records(office) == [("BRANCH", 1, 4), ("BRANCH", 1, 5)]
    assert "STORE_BEHIND" in restored.troubles
    restored.verify(3)
    drain(restored, network)
    assert delivered(office)[-3:] == chain(2, 2, 3, 4)
    with restored.recorder() as recorder:
        first = recorder.outbox.at(Position(2, 1))
        assert first is not None
        reset = parse_statement(parse_envelope(first.envelope).payload).device_event.reset
    assert (reset.device_head.seq, reset.cloud_head.seq, reset.reason) == (5, 7, "STORE_BEHIND")


def test_other_records_than_the_clouds_are_a_fork_that_a_new_epoch_leaves_behind(
    office: FieldOffice, network: BadNetwork, tmp_path: Path
) -> None:
    office.sync()
    restored = copy_of(office, tmp_path / "restored")
    office.verify()
    office.sync()
    restored.verify(4)  # more than the cloud has, from the same place on
    drain(restored, network)
    assert "FORK" in restored.troubles
    assert delivered(office) == chain(1, 1, 2) + chain(2, 1)
    assert side_records(office) == [("BRANCH", 1, seq) for seq in range(2, 6)]
    restored.verify()
    assert restored.sync().trouble is None
    assert set(restored.states()) == {CONFIRMED}  # the RESET tells of the other branch, and is confirmed


def test_two_devices_with_one_key_are_suspended_until_a_person_has_looked(
    office: FieldOffice, network: BadNetwork, tmp_path: Path
) -> None:
    office.sync()
    clone = copy_of(office, tmp_path / "clone")
    office.verify(2)
    office.sync()
    clone.verify(2)
    clone.sync()
    office.verify(2)
    with pytest.raises(CloudError) as error:
        office.sync()
    assert error.value.code == "HELD_BACK"
    assert "person" in error.value.message
    assert "CLONE" in alarms(office)
    acknowledge(office)
    drain(office, network)
    acknowledge(office)
    drain(clone, network)
    kept = {*delivered(office), *((epoch, seq) for _, epoch, seq in side_records(office))}
    for device in (office, clone):
        with device.recorder() as recorder:
            assert {(one.epoch, one.seq) for one in recorder.outbox.newest(limit=100)} <= kept


def test_a_reset_that_came_too_late_is_followed_by_another(
    office: FieldOffice, network: BadNetwork, tmp_path: Path
) -> None:
    office.verify()
    office.sync()
    late = copy_of(office, tmp_path / "late")
    office.verify()
    office.sync()
    with late.recorder() as recorder, office.recorder() as other:
        head = other.outbox.head()
        late.verify()
        recorder.record_reset(head, ResetReason.STORE_BEHIND)  # and then its network died
    office.verify()
    office.sync()  # the head that it cites is no longer the head
    with late.daemon():
        wait_until(lambda: "FORK" in late.troubles or "STORE_BEHIND" in late.troubles)
        for _ in range(3):
            acknowledge(office)
            network.weather = CLEAR
        wait_until(late.all_settled)
    assert delivered(office)[-1][0] == 3
    late.verify()
    acknowledge(office)
    assert late.sync().trouble is None


def test_what_a_restored_cloud_wants_again_is_sent_or_given_up(tmp_path: Path) -> None:
    """The service loses a day: what the device still has is sent again, what it has deleted is a GAP."""
    data = tmp_path / "cloud"
    with running_cloud(data) as cloud:
        office = FieldOffice.open(cloud, tmp_path / "device")
        office.verify(2)
        office.sync()
    shutil.copytree(data, tmp_path / "backup")
    with running_cloud(data) as cloud:
        office.cloud = cloud
        office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
        office.verify(4)
        office.sync()
        assert delivered(office) == chain(1, 1, 2, 3, 4, 5, 6, 7)
        with office.recorder() as recorder:
            purge_one(recorder, seq=5)
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "backup", data)
    with running_cloud(data) as cloud:
        office.cloud = cloud
        office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
        office.verify()
        report = office.sync()  # the log has lost records that this device has seen in it
        assert report.trouble is not None
        assert report.trouble.code == "LOG_INCONSISTENT"
        evidence = list((tmp_path / "device" / "outbox").glob("log-evidence-*.json"))
        assert len(evidence) == 1
        assert "seen" in evidence[0].read_text()
        assert office.sync(accept_log=True).trouble is None
        assert delivered(office) == chain(1, 1, 2, 3, 4, 6, 7, 8, 9)
        assert alarms(office) == ["GAP"]
        assert office.sync().trouble is None


def purge_one(recorder: Recorder, *, seq: int) -> None:
    """As if its retention were over."""
    path = recorder.outbox._store.path
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("records", "delivery"):
            connection.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))


def test_a_revoked_device_locks_itself_and_says_so(office: FieldOffice) -> None:
    office.verify()
    request = devices_pb.RevokeDeviceRequest(
        device_id=office.device_id, reason=devices_pb.REVOCATION_REASON_KEY_COMPROMISE
    )
    office.cloud.operator.call(office.cloud.operator.devices.RevokeDevice, request)
    report = office.sync()
    assert report.trouble is not None
    assert report.trouble.code == "DEVICE_REVOKED"
    assert office.lock().revoked
    assert office.states() == [RecordState.PENDING] * 2


def test_an_order_takes_effect_with_the_next_contact(office: FieldOffice) -> None:
    def send(action: int) -> None:
        request = devices_pb.SendDirectiveRequest(device_id=office.device_id, action=action, reason="stolen")
        office.cloud.operator.call(office.cloud.operator.devices.SendDirective, request)

    send(1)
    office.sync()
    assert office.lock().locked
    assert office.lock().reason == "stolen"
    send(2)
    office.sync()
    assert not office.lock().locked


@pytest.mark.req("E054")
def test_policies_and_revocations_come_down_over_a_network_that_fails(
    office: FieldOffice, network: BadNetwork
) -> None:
    """The first page is cut off again and again; what came is kept, and nothing comes twice."""
    wanted = first_policy()
    wanted.version = 1
    wanted.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    request = PublishPolicyRequest(policy=wanted)
    office.cloud.operator.call(office.cloud.operator.policies.PublishPolicy, request)
    with office.daemon():
        weather = network.flap(7, turns=6, longest_s=0.3)
        weather.join()
        wait_until(office.all_settled)
        wait_until(lambda: any(one.policy is not None for one in office.news))
    adopted = [one.policy.version for one in office.news if one.policy is not None]
    assert adopted == [1]
    assert not any(one.refused for one in office.news)
    assert sum(one.stored for one in office.news) >= 1  # the revocation list
    before = len(office.news)
    office.sync()
    assert all(one.policy is None and not one.stored for one in office.news[before:])


def test_a_wiped_device_still_delivers_what_it_signed(office: FieldOffice) -> None:
    office.verify(2)
    request = devices_pb.SendDirectiveRequest(device_id=office.device_id, action=3, reason="stolen")
    office.cloud.operator.call(office.cloud.operator.devices.SendDirective, request)
    office.sync()  # the keys of personal data are gone, and with them the one for mutual TLS
    report = office.sync()
    assert report.trouble is None
    assert delivered(office) == chain(1, 1, 2, 3)


class TestMedia:
    """Files come after the records, in chunks, and go on where a cut was."""

    @pytest.fixture
    def files(self) -> tuple[bytes, ...]:
        return (bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"tail", b"small")

    def test_a_file_goes_on_where_it_was_cut(
        self, office: FieldOffice, network: BadNetwork, files: tuple[bytes, ...]
    ) -> None:
        public = X25519PrivateKey.generate().public_key().public_bytes_raw()
        media = seal_media(
            tuple(
                PrivateField(name, content)
                for name, content in zip(("best_shot", "document_photo"), files, strict=True)
            ),
            recipient_key=public,
        )
        office.sync()
        office.verify(1, media=media)
        size = sum(len(item.data) for item in media)
        with office.daemon():
            for _ in range(3):
                network.weather = Weather(cut_after=network.upstream_bytes + CHUNK_BYTES + 30_000)
                cut = network.weather.cut_after or 0
                wait_until(
                    lambda cut=cut: network.upstream_bytes >= cut or media_state(office) == {"DELIVERED"}
                )
            network.weather = CLEAR
            wait_until(lambda: media_state(office) == {"DELIVERED"})
        assert network.upstream_bytes < size + 4 * CHUNK_BYTES  # a cut costs one chunk
        assert stored_media(office) == {item.sha256 for item in media}
        assert office.sync().media == 0


def media_state(office: FieldOffice) -> set[str]:
    with office.recorder() as recorder:
        newest = recorder.outbox.newest(limit=1)[0]
        return {state.value for _, state in recorder.outbox.media_of(newest.position)}


def stored_media(office: FieldOffice) -> set[bytes]:
    """Digests of the files of the newest record that the service has whole."""
    with office.recorder() as recorder:
        newest = recorder.outbox.newest(limit=1)[0]
        wanted = {sha256 for sha256, _ in recorder.outbox.media_of(newest.position)}
    found = [path.read_bytes() for path in office.cloud.data.rglob("*") if path.is_file()]
    return wanted & {envelope_sha256(content) for content in found}
