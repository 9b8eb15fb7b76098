"""A person steps in while a device is at work, with the real service: approval, revocation, a closer look."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from cloud.devices.service import acknowledge
from cloud.sources import to_us
from edge.attest.enroll import Progress, is_under_way, open_enrolment
from edge.attest.keystore_software import SoftwareKeyStore
from edge.attest.pending import Application
from edge.errors import CloudError
from tests.support.authority import new_key
from tests.support.chains import Chain
from tests.support.cloud import (
    TIMEOUT_S,
    CloudDevice,
    RunningCloud,
    enroll_request,
    next_envelopes,
    refusal,
    running_cloud,
)
from verifield.certificates import load_roots
from verifield.chain import ChainHead
from verifield.receipt import check_receipt
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.enrollment_service_pb2 import ENROLLMENT_STATE_ACTIVE, EnrollRequest, EnrollResponse
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub
from verifield.v1.sync_service_pb2 import (
    DELIVER_STATUS_ACCEPTED,
    DELIVER_STATUS_STAGED,
    DeliverRequest,
    DeliverResponse,
)

REVOKED = pb.DEVICE_STATE_REVOKED


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def device_row(cloud: RunningCloud, device_id: str) -> pb.Device:
    return cloud.operator.call(
        cloud.operator.devices.GetDevice, pb.GetDeviceRequest(device_id=device_id)
    ).device


def open_alarms(cloud: RunningCloud, device: CloudDevice) -> list[str]:
    request = pb.ListAlarmsRequest(device_id=device.device_id, open_only=True)
    return [one.alarm_id for one in cloud.operator.call(cloud.operator.devices.ListAlarms, request).alarms]


def revoke(cloud: RunningCloud, device_id: str) -> None:
    request = pb.RevokeDeviceRequest(device_id=device_id, reason=pb.REVOCATION_REASON_KEY_COMPROMISE)
    cloud.operator.call(cloud.operator.devices.RevokeDevice, request)


def receipt_of(answer: DeliverResponse, cloud: RunningCloud) -> ChainHead:
    """Through which record the answer's receipt is good."""
    receipt = check_receipt(
        answer.receipt, certificates=answer.receipt_certificates, roots=load_roots(cloud.root_pem)
    )
    return ChainHead(receipt.chain_epoch, receipt.through_seq, receipt.head_sha256)


# A closer look


def suspended(cloud: RunningCloud) -> tuple[CloudDevice, Chain]:
    """A device whose second RESET came before anybody had looked at its first; three records wait."""
    device = cloud.enroll()
    chain = Chain(device)
    cloud.deliver(device, [chain.add()])
    [answer] = cloud.deliver(device, [chain.reset(cloud_head=chain.head, device_head=chain.head)])
    assert [one.status for one in answer.results] == [DELIVER_STATUS_ACCEPTED]
    known = chain.head
    waiting = [chain.reset(cloud_head=known, device_head=known), chain.add(), chain.add()]
    [answer] = cloud.deliver(device, waiting)
    assert [one.status for one in answer.results] == [DELIVER_STATUS_STAGED] * 3
    assert not answer.receipt
    row = device_row(cloud, device.device_id)
    assert (row.state, row.staged_records) == (pb.DEVICE_STATE_SUSPENDED, 3)
    return device, chain


def test_a_suspended_device_goes_on_once_a_person_has_looked_at_everything(cloud: RunningCloud) -> None:
    device, chain = suspended(cloud)
    first, second = open_alarms(cloud, device)
    request = pb.AcknowledgeAlarmRequest(alarm_id=first)
    cloud.operator.call(cloud.operator.devices.AcknowledgeAlarm, request)
    assert device_row(cloud, device.device_id).state == pb.DEVICE_STATE_SUSPENDED
    [answer] = cloud.deliver(device, [chain.add()])
    assert [one.status for one in answer.results] == [DELIVER_STATUS_STAGED], "kept, and no more"

    for _ in range(2):  # a person presses twice
        request = pb.AcknowledgeAlarmRequest(alarm_id=second)
        cloud.operator.call(cloud.operator.devices.AcknowledgeAlarm, request)
    row = device_row(cloud, device.device_id)
    assert (row.state, row.staged_records) == (pb.DEVICE_STATE_ACTIVE, 0)
    assert (row.chain_epoch, row.seq) == (chain.head.epoch, chain.head.seq), "without the device's doing"
    [answer] = cloud.deliver(device, [])
    assert receipt_of(answer, cloud) == chain.head
    assert not answer.missing


def test_an_acknowledgement_cut_off_before_the_chain_went_on_costs_nothing(cloud: RunningCloud) -> None:
    """The service died right after it was durable: the device's next call makes up for it."""
    device, chain = suspended(cloud)
    alarms = open_alarms(cloud, device)
    with cloud.database() as connection:
        for alarm_id in alarms:
            acknowledge(connection, alarm_id, now_us=to_us(datetime.now(UTC)))
    assert device_row(cloud, device.device_id).staged_records == 3
    [answer] = cloud.deliver(device, [chain.add()])
    assert [one.status for one in answer.results] == [DELIVER_STATUS_ACCEPTED]
    assert receipt_of(answer, cloud) == chain.head
    assert device_row(cloud, device.device_id).staged_records == 0


# Revocation


class Stream:
    """One call of Deliver that stays open between batches."""

    def __init__(self, cloud: RunningCloud, device: CloudDevice) -> None:
        self._device = device
        self._requests: queue.SimpleQueue[DeliverRequest | None] = queue.SimpleQueue()
        self._sync = cloud.sync(device)
        requests = iter(self._requests.get, None)
        self._answers = self._sync.__enter__().Deliver(requests, timeout=TIMEOUT_S)

    def deliver(self, envelopes: list[bytes]) -> DeliverResponse:
        self._requests.put(DeliverRequest(envelopes=envelopes, certificates=self._device.chain))
        return next(self._answers)

    def close(self) -> None:
        self._requests.put(None)
        self._sync.__exit__(None, None, None)


def test_a_revoked_device_is_refused_on_a_stream_that_is_open_already(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    stream = Stream(cloud, device)
    try:
        answer = stream.deliver(next_envelopes(device, 2))
        assert [one.status for one in answer.results] == [DELIVER_STATUS_ACCEPTED] * 2
        revoke(cloud, device.device_id)
        with pytest.raises(grpc.RpcError) as caught:
            stream.deliver(next_envelopes(device, 1))
        assert refusal(caught.value)[1].reason == "DEVICE_REVOKED"
    finally:
        stream.close()
    row = device_row(cloud, device.device_id)
    assert (row.state, row.seq) == (REVOKED, 2)
    with pytest.raises(grpc.RpcError) as caught:
        cloud.head(device)
    assert refusal(caught.value)[1].reason == "DEVICE_REVOKED"


def test_an_acknowledgement_brings_no_revoked_device_back(cloud: RunningCloud) -> None:
    device, _ = suspended(cloud)
    revoke(cloud, device.device_id)
    for alarm_id in open_alarms(cloud, device):
        request = pb.AcknowledgeAlarmRequest(alarm_id=alarm_id)
        cloud.operator.call(cloud.operator.devices.AcknowledgeAlarm, request)
    row = device_row(cloud, device.device_id)
    assert (row.state, row.staged_records) == (REVOKED, 3)


# Approval


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "identity"


class Polling:
    """A device that asks again and again in a thread of its own, until it is let in or turned away."""

    def __init__(self, cloud: RunningCloud, folder: Path) -> None:
        self.folder = folder
        self.waiting: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        token = cloud.join_token(waive_approval=False)
        self._application = Application(cloud.endpoint.listen, cloud.root_pem, token)
        self._key_store = SoftwareKeyStore.open_store(folder)
        self._pool = ThreadPoolExecutor(1)
        self._stop = threading.Event()
        self._end = self._pool.submit(self._poll)

    def _poll(self) -> Progress:
        with open_enrolment(
            self.folder, key_store=self._key_store, application=self._application
        ) as enrolment:
            while True:
                progress = enrolment.advance()
                if progress.identity is not None or self._stop.is_set():
                    return progress
                self.waiting.put(progress)

    def end(self) -> Progress:
        try:
            return self._end.result(TIMEOUT_S)
        finally:
            self._stop.set()
            self._pool.shutdown()


def test_a_device_is_let_in_while_it_asks(cloud: RunningCloud, folder: Path) -> None:
    device = Polling(cloud, folder)
    asked = [device.waiting.get(timeout=TIMEOUT_S) for _ in range(3)]
    assert len({one.device_id for one in asked}) == 1, "asking again changes nothing"
    request = pb.ApproveDeviceRequest(device_id=asked[0].device_id, key_sha256=asked[0].key_sha256)
    cloud.operator.call(cloud.operator.devices.ApproveDevice, request)
    identity = device.end().identity
    assert identity is not None
    assert identity.device_id == asked[0].device_id
    assert identity.open_signer().sign(b"record")
    row = device_row(cloud, identity.device_id)
    assert (row.state, row.key_sha256) == (pb.DEVICE_STATE_ACTIVE, asked[0].key_sha256)


def test_a_device_is_turned_away_while_it_asks(cloud: RunningCloud, folder: Path) -> None:
    device = Polling(cloud, folder)
    waiting = device.waiting.get(timeout=TIMEOUT_S)
    revoke(cloud, waiting.device_id)
    with pytest.raises(CloudError) as caught:
        device.end()
    assert caught.value.code == "ENROLL_REFUSED"
    assert "DEVICE_REVOKED" in caught.value.message
    assert not is_under_way(folder)
    assert device_row(cloud, waiting.device_id).state == REVOKED


def test_approval_and_many_calls_at_once_make_one_device(cloud: RunningCloud) -> None:
    request = enroll_request(cloud.join_token(waive_approval=False), new_key(), new_key())
    asking = 12
    ready = threading.Barrier(asking + 1)

    def ask(_: int) -> EnrollResponse:
        with cloud.public_channel() as channel:
            ready.wait(TIMEOUT_S)
            return EnrollmentServiceStub(channel).Enroll(request, timeout=TIMEOUT_S)

    first = ask_once(cloud, request)
    with ThreadPoolExecutor(asking) as pool:
        answers = pool.map(ask, range(asking))
        ready.wait(TIMEOUT_S)
        approval = pb.ApproveDeviceRequest(device_id=first.device_id, key_sha256=first.key_sha256)
        cloud.operator.call(cloud.operator.devices.ApproveDevice, approval)
        found = list(answers)
    assert {one.device_id for one in found} == {first.device_id}
    for one in found:
        assert bool(one.tls_certificates) is (one.state == ENROLLMENT_STATE_ACTIVE)
    assert ask_once(cloud, request).state == ENROLLMENT_STATE_ACTIVE


def ask_once(cloud: RunningCloud, request: EnrollRequest) -> EnrollResponse:
    with cloud.public_channel() as channel:
        return EnrollmentServiceStub(channel).Enroll(request, timeout=TIMEOUT_S)
