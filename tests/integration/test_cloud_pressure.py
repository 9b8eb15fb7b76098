"""Clients that dawdle, that do not read, and that all come at once, over real gRPC: what the service holds of
them stays within its bounds, and the others are served."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from cloud.attestations import deliverer, sync, verifiers
from cloud.attestations.limits import STREAM_PATIENCE_S
from cloud.attestations.streams import Stream, Streams
from cloud.attestations.verifiers import VerifierThread
from cloud.attestations.verifying import Job, Verified
from cloud.attestations.window import Window
from tests.support.cloud import (
    TIMEOUT_S,
    CloudDevice,
    RunningCloud,
    device_credentials,
    next_envelopes,
    refusal,
    running_cloud,
)
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub

PLACES = 4
ROOM = 64 * 1024
"""Bytes in work, in these tests."""


@dataclass
class Answers:
    """How many answers were begun to be sent, and how many were."""

    begun: int = 0
    sent: int = 0

    def stuck(self) -> int:
        """How many are stuck: nothing has moved for a while."""
        before = None
        while before != (self.begun, self.sent):
            before = self.begun, self.sent
            threading.Event().wait(0.3)
        return self.begun - self.sent


class Watched(Window):
    """A window that remembers the most that it held."""

    most_in_work = 0
    most_waiting = 0

    async def enter(self, device_id: str, size: int) -> None:
        entering = asyncio.ensure_future(super().enter(device_id, size))
        await asyncio.sleep(0)
        self.most_waiting = max(self.most_waiting, self.bytes_waiting)
        await entering
        self.most_in_work = max(self.most_in_work, self.bytes_in_work)


@dataclass
class Held:
    """What the service of a test holds, seen from outside; ``now`` is the clock of its streams."""

    now: float = 0.0
    streams: list[Streams] = field(default_factory=list)
    windows: list[Watched] = field(default_factory=list)
    answers: Answers = field(default_factory=Answers)
    gate: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held()
    held.gate.set()

    def open_streams(_clock: object) -> Streams:
        held.streams.append(Streams(lambda: held.now, most=PLACES))
        return held.streams[-1]

    def open_window() -> Watched:
        held.windows.append(Watched(most_bytes=ROOM, most_of_device=ROOM))
        return held.windows[-1]

    class Gated(VerifierThread):
        async def verify(self, job: Job) -> Verified:
            await asyncio.to_thread(held.gate.wait, TIMEOUT_S)
            return await super().verify(job)

    write = Stream.write

    async def counted(stream: Stream, context: Any, answer: object) -> None:
        held.answers.begun += 1
        await write(stream, context, answer)
        held.answers.sent += 1

    monkeypatch.setattr(Stream, "write", counted)
    monkeypatch.setattr(sync, "Streams", open_streams)
    monkeypatch.setattr(deliverer, "Window", open_window)
    monkeypatch.setattr(verifiers, "VerifierThread", Gated)
    return held


@pytest.fixture
def cloud(tmp_path: Path, held: Held) -> Iterator[RunningCloud]:
    assert held
    with running_cloud(tmp_path / "cloud") as running:
        yield running


def until(condition: Any) -> None:
    """Wait for what another thread brings about."""
    end = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.005)):
        if condition():
            return
        end.wait(0.005)
    raise AssertionError("it did not come about")


def open_stream(stack: ExitStack, cloud: RunningCloud, device: CloudDevice, requests: Iterator[Any]) -> Any:
    credentials = device_credentials(cloud.root_pem, device.tls_chain, device.tls_key)
    # Otherwise a quick line lets megabytes of answers wait on the client's side.
    fixed_window = [("grpc.http2.bdp_probe", 0)]
    channel = stack.enter_context(
        grpc.secure_channel(cloud.endpoint.device_listen, credentials, options=fixed_window)
    )
    return SyncServiceStub(channel).Deliver(requests)


def silence(over: threading.Event) -> Iterator[pb.DeliverRequest]:
    over.wait(TIMEOUT_S)
    yield from ()


def test_silent_clients_give_way_to_one_that_delivers(cloud: RunningCloud, held: Held) -> None:
    good, dawdlers = cloud.enroll(), [cloud.enroll() for _ in range(PLACES)]
    over = threading.Event()
    with ExitStack() as stack:
        stack.callback(over.set)
        calls = []
        for number, device in enumerate(dawdlers, 1):
            calls.append(open_stream(stack, cloud, device, silence(over)))
            until(lambda number=number: len(held.streams[0]) == number)
            held.now += 1
        envelopes = next_envelopes(good, 3)
        with pytest.raises(grpc.RpcError) as busy:
            cloud.deliver(good, envelopes)
        code, info, _ = refusal(busy.value)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY")
        held.now += STREAM_PATIENCE_S
        [answer] = cloud.deliver(good, envelopes)
        assert [one.status for one in answer.results] == [pb.DELIVER_STATUS_ACCEPTED] * 3
        with pytest.raises(grpc.RpcError) as gone:
            next(calls[0])
        assert refusal(gone.value)[1].reason == "BUSY"
        assert len(held.streams[0]) == PLACES - 1
        assert all(call.is_active() for call in calls[1:])


def repeats(device: CloudDevice, envelope: bytes, count: int) -> Iterator[pb.DeliverRequest]:
    for _ in range(count):
        yield pb.DeliverRequest(envelopes=[envelope], certificates=device.chain)


def read_all(call: Any) -> tuple[int, str]:
    """How many answers come, and the reason of the refusal at their end, if there is one."""
    count = 0
    try:
        for answer in call:
            count += len(answer.results)
    except grpc.RpcError as error:
        return count, refusal(error)[1].reason
    return count, ""


def test_who_does_not_read_is_not_read_from_and_gives_way(cloud: RunningCloud, held: Held) -> None:
    good, device = cloud.enroll(), cloud.enroll()
    [envelope] = next_envelopes(device, 1)
    cloud.deliver(device, [envelope])
    many = 200
    with ExitStack() as stack:
        calls = [open_stream(stack, cloud, device, repeats(device, envelope, many)) for _ in range(PLACES)]
        until(lambda: len(held.streams[0]) == PLACES)
        assert held.answers.stuck() == PLACES
        assert held.answers.begun < PLACES * many / 2, "what is not answered is not followed by more"
        assert held.windows[0].bytes_in_work == 0
        held.now += STREAM_PATIENCE_S
        [answer] = cloud.deliver(good, next_envelopes(good, 2))
        assert [one.status for one in answer.results] == [pb.DELIVER_STATUS_ACCEPTED] * 2
        # They all begin to read: one learns that it was too slow, the others lose nothing.
        ends = [read_all(call) for call in calls]
        assert [end for end in ends if end != (many, "")] == [(min(ends)[0], "BUSY")]
        assert min(ends)[0] < many
    assert held.windows[0].most_in_work <= ROOM


def test_a_fleet_that_comes_at_once_waits_outside(cloud: RunningCloud, held: Held) -> None:
    devices = [cloud.enroll() for _ in range(PLACES)]
    batches = {device.device_id: next_envelopes(device, 60) for device in devices}
    assert all(ROOM / 2 < sum(map(len, batch)) < ROOM for batch in batches.values()), "one at a time"
    held.gate.clear()
    with ThreadPoolExecutor(len(devices)) as pool:
        asked = [pool.submit(cloud.deliver, device, batches[device.device_id]) for device in devices]
        until(lambda: held.windows[0].bytes_waiting > (PLACES - 1) * ROOM / 2)
        assert held.windows[0].batches_in_work == 1
        held.gate.set()
        for call in asked:
            [answer] = call.result(TIMEOUT_S)
            assert [one.status for one in answer.results] == [pb.DELIVER_STATUS_ACCEPTED] * 60
    window = held.windows[0]
    assert 0 < window.most_in_work <= ROOM
    assert 0 < window.most_waiting <= PLACES * ROOM
    assert (window.bytes_in_work, window.bytes_waiting) == (0, 0)


def test_a_sender_that_goes_away_leaves_nothing_behind(cloud: RunningCloud, held: Held) -> None:
    device = cloud.enroll()
    envelopes = next_envelopes(device, 2)
    held.gate.clear()
    with ExitStack() as stack:
        requests = iter([pb.DeliverRequest(envelopes=envelopes, certificates=device.chain)])
        call = open_stream(stack, cloud, device, requests)
        until(lambda: held.windows[0].batches_in_work == 1)
        call.cancel()
        until(lambda: len(held.streams[0]) == 0)
        assert held.windows[0].batches_in_work == 1, "what was let in counts until it is done"
        held.gate.set()
    until(lambda: held.windows[0].batches_in_work == 0)
    [answer] = cloud.deliver(device, envelopes)
    assert [one.status for one in answer.results] == [pb.DELIVER_STATUS_ALREADY_HAVE] * 2
