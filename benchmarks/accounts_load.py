"""The load of ``benchmarks.bench_accounts``: holders of accounts who sign in, or ask how theirs stands.

A process of its own with a few connections and a closed loop on each of ``callers`` lanes: the next call goes
out when the last one was answered. Reads a plan from a file, and prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from verifield.v1 import account_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub

CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """``kind``: login, status or health. ``people``: identifier, password and token of each account."""

    kind: str
    endpoint: str
    root: str
    people: list[tuple[str, str, str]]
    calls: int
    callers: int
    warm: int


async def main(plan: Plan, root_pem: bytes) -> dict[str, Any]:
    credentials = grpc.ssl_channel_credentials(root_pem)
    channels = [
        # Each a connection of its own: gRPC would share one.
        grpc.aio.secure_channel(plan.endpoint, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(CONNECTIONS)
    ]
    try:
        await _load(plan, channels, plan.warm)
        started, cpu = time.perf_counter(), time.process_time()
        waits = await _load(plan, channels, plan.calls)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    finally:
        for channel in channels:
            await channel.close()
    return {"seconds": seconds, "calls": len(waits), "waits_ms": waits, "client_cpu_s": cpu}


async def _load(plan: Plan, channels: list[grpc.aio.Channel], calls: int) -> list[float]:
    numbers, waits = iter(range(calls)), list[float]()

    async def lane(index: int) -> None:
        call = _caller(plan, channels[index % len(channels)])
        for number in numbers:
            started = time.perf_counter()
            await call(number)
            waits.append((time.perf_counter() - started) * 1e3)

    await asyncio.gather(*(lane(index) for index in range(plan.callers)))
    return waits


def _caller(plan: Plan, channel: grpc.aio.Channel) -> Any:
    accounts, health = AccountServiceStub(channel), health_pb2_grpc.HealthStub(channel)

    async def login(number: int) -> None:
        identifier, password, _ = plan.people[number % len(plan.people)]
        answer = await accounts.Login(pb.LoginRequest(identifier=identifier, password=password))
        assert answer.session.token

    async def status(number: int) -> None:
        token = plan.people[number % len(plan.people)][2]
        metadata = (("authorization", f"Bearer {token}"),)
        answer = await accounts.GetAccountStatus(pb.GetAccountStatusRequest(), metadata=metadata)
        assert answer.state == pb.ACCOUNT_STATE_ACTIVE

    async def check(_number: int) -> None:
        await health.Check(health_pb2.HealthCheckRequest())

    return {"login": login, "status": status, "health": check}[plan.kind]


if __name__ == "__main__":
    given = Plan(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps(asyncio.run(main(given, Path(given.root).read_bytes()))))
