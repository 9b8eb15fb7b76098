"""The load on the service, as a process of its own: signs everything first, then sends, and counts answers.

``python -m benchmarks.ingest_load PLAN``. It writes one JSON object a line on standard output: ``ready``,
when all is signed and connected, ``begin`` and ``end`` of what is measured, and ``result``. It starts when a
line comes on standard input.

Closed loop: each device sends its next batch when the last one was answered. Open loop (a rate): batches
are sent at their times, whatever became of those before, and waits are counted from the times at which they
should have been sent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

from benchmarks.ingest_fleet import Fleet, LoadDevice, read_fleet, sign_requests, take_receipt
from verifield.v1.sync_service_pb2 import (
    DELIVER_STATUS_ACCEPTED,
    DESCRIPTOR,
    DeliverResponse,
)

RAMP, TAIL = 0.15, 0.05
"""Shares of the records before and behind what is measured: processes start, and the last devices run dry."""

CONNECT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """``rate``: records per second for an open loop; None: a closed one. ``batches``: of each device."""

    fleet: str
    batch: int
    batches: int
    rate: float | None


@dataclass(slots=True)
class Load:
    """What was answered so far. Times by ``time.perf_counter``."""

    plan: Plan
    total: int
    acked: int = 0
    accepted: int = 0
    waits_s: list[float] = field(default_factory=list)
    begun: tuple[float, int] | None = None
    ended: tuple[float, int] | None = None

    def answered(self, answer: bytes, *, since: float) -> None:
        """Count one answer to a batch that was sent, or should have been, at ``since``."""
        now = time.perf_counter()
        results = DeliverResponse.FromString(answer).results
        self.acked += len(results)
        self.accepted += sum(one.status == DELIVER_STATUS_ACCEPTED for one in results)
        if self.begun is None and self.acked >= RAMP * self.total:
            self.begun = now, self.acked
            tell("begin", acked=self.acked)
        elif self.begun is not None and self.ended is None:
            self.waits_s.append(now - since)
            if self.acked >= (1 - TAIL) * self.total:
                self.ended = now, self.acked
                tell("end", acked=self.acked)


def tell(event: str, **facts: Any) -> None:
    """Write one line for whoever measures."""
    print(json.dumps({"event": event, **facts}), flush=True)


def open_channel(fleet: Fleet, device: LoadDevice) -> grpc.aio.Channel:
    """The device's own connection, with its certificate."""
    credentials = grpc.ssl_channel_credentials(fleet.root_pem, device.tls_key_pem, device.tls_chain_pem)
    return grpc.aio.secure_channel(fleet.address, credentials)


def open_stream(channel: grpc.aio.Channel) -> Any:
    """A Deliver stream that takes and gives bytes."""
    method = f"/{DESCRIPTOR.services_by_name['SyncService'].full_name}/Deliver"
    return channel.stream_stream(method)()


async def deliver_first(channel: grpc.aio.Channel, device: LoadDevice) -> None:
    """Deliver the device's first record, and cite its receipt from then on."""
    sign_requests(device, batches=1, batch=1)
    stream = open_stream(channel)
    await stream.write(device.requests[0])
    answer = DeliverResponse.FromString(await stream.read())
    await stream.done_writing()
    await stream.read()
    take_receipt(device, answer.receipt)


async def closed_loop(stream: Any, device: LoadDevice, load: Load) -> None:
    for request in device.requests:
        since = time.perf_counter()
        await stream.write(request)
        load.answered(await stream.read(), since=since)


async def open_loop(stream: Any, device: LoadDevice, load: Load, times: list[float]) -> None:
    async def send() -> None:
        for request, at in zip(device.requests, times, strict=True):
            await asyncio.sleep(at - time.perf_counter())
            await stream.write(request)

    sending = asyncio.create_task(send())
    for at in times:
        load.answered(await stream.read(), since=at)
    await sending


async def run(plan: Plan) -> None:
    """Sign, connect, wait for the start, send, and tell what came of it."""
    fleet = read_fleet(Path(plan.fleet))
    channels = [open_channel(fleet, device) for device in fleet.devices]
    for channel, device in zip(channels, fleet.devices, strict=True):
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await deliver_first(channel, device)
    for device in fleet.devices:
        sign_requests(device, batches=plan.batches, batch=plan.batch)
    size = sum(len(one) for device in fleet.devices for one in device.requests)
    total = len(fleet.devices) * plan.batches * plan.batch
    streams = [open_stream(channel) for channel in channels]
    load = Load(plan, total)
    gc.freeze()
    gc.disable()  # what was signed stays until the end
    tell("ready", records=total, bytes=size)
    await asyncio.to_thread(sys.stdin.readline)
    cpu, start = time.process_time(), time.perf_counter()
    if plan.rate is None:
        works = [closed_loop(s, device, load) for s, device in zip(streams, fleet.devices, strict=True)]
    else:
        step = plan.batch / plan.rate
        works = [
            open_loop(
                stream,
                device,
                load,
                [start + (turn * len(streams) + number) * step for turn in range(plan.batches)],
            )
            for number, (stream, device) in enumerate(zip(streams, fleet.devices, strict=True))
        ]
    await asyncio.gather(*works)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    for channel in channels:
        await channel.close()
    tell_result(load, seconds=seconds, used=used)


def tell_result(load: Load, *, seconds: float, used: float) -> None:
    assert load.begun
    assert load.ended, "too few records to measure anything"
    span, records = load.ended[0] - load.begun[0], load.ended[1] - load.begun[1]
    tell(
        "result",
        plan=asdict(load.plan),
        acked=load.acked,
        accepted=load.accepted,
        seconds=seconds,
        measured_seconds=span,
        measured_records=records,
        client_cpu_us_each=used / load.acked * 1e6,
        waits_ms=[round(one * 1e3, 2) for one in load.waits_s],
    )


if __name__ == "__main__":
    asyncio.run(run(Plan(**json.loads(Path(sys.argv[1]).read_text()))))
