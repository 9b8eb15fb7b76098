"""Batches are verified in processes beside the service; one that dies takes nothing with it."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from cloud.attestations import verifiers as module
from cloud.attestations.record import Record, Refused
from cloud.attestations.verifiers import (
    JOBS_AT_ONCE,
    VerifierProcesses,
    VerifierThread,
    default_processes,
    open_verifiers,
)
from cloud.attestations.verifying import Job, verify_batch
from cloud.attestations.worker import LENGTH, encode_frame, parse_answer
from cloud.errors import Reason, ServiceError
from tests.support.authority import NOW, Authority, Device, new_key, sign_envelope, verification
from tests.support.chains import Chain
from verifield.statement import STATEMENT_TYPE, encode_statement

DIES = (sys.executable, "-c", "import sys, socket; socket.socket(fileno=int(sys.argv[1])).recv(1)")
"""A worker that ends as soon as it hears anything."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(authority: Authority) -> Device:
    return authority.enroll("device-1")


def job_of(device: Device, *envelopes: bytes, chain: list[bytes] | None = None) -> Job:
    return Job(device.device_id, tuple(device.chain if chain is None else chain), NOW, envelopes)


def some_of_everything(device: Device) -> list[bytes]:
    """Records, an event, a changed byte, a foreign signature, and what is no envelope at all."""
    chain = Chain(device)
    good = [chain.add(), chain.add(), chain.gap(1, 1)]
    changed = bytearray(good[0])
    changed[len(changed) // 2] ^= 1
    payload = encode_statement(verification(device))
    forged = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=new_key())
    return [*good, bytes(changed), forged, b"no envelope", b""]


@asynccontextmanager
async def processes(
    authority: Authority, count: int = 1, on_death: Callable[[], None] = lambda: None
) -> AsyncIterator[VerifierProcesses]:
    verifiers = VerifierProcesses(count, root=authority.root, on_death=on_death)
    try:
        yield verifiers
    finally:
        await verifiers.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")


def test_processes_and_a_thread_say_what_the_rules_say(authority: Authority, device: Device) -> None:
    envelopes = some_of_everything(device)
    job = job_of(device, *envelopes)
    expected = verify_batch(job, root=authority.root)
    assert [type(one) for one in expected.records] == [Record] * 3 + [Refused] * 4

    async def work() -> None:
        async with processes(authority) as beside:
            assert await beside.verify(job) == expected
            assert await VerifierThread(root=authority.root).verify(job) == expected
            assert beside.pids != [os.getpid()]

    run(work)


def test_a_refusal_comes_back_as_it_was(authority: Authority, device: Device) -> None:
    other = authority.enroll("device-2")
    late = Job(device.device_id, tuple(device.chain), datetime(2060, 1, 1, tzinfo=UTC), ())

    async def work() -> None:
        async with processes(authority) as beside:
            for job, reason in (
                (job_of(device, chain=[]), Reason.CERTIFICATES_MISSING),
                (job_of(device, chain=other.chain), Reason.CERTIFICATES_REFUSED),
                (late, Reason.CERTIFICATES_REFUSED),
            ):
                with pytest.raises(ServiceError) as refused:
                    await beside.verify(job)
                with pytest.raises(ServiceError) as expected:
                    verify_batch(job, root=authority.root)
                assert refused.value.reason is reason
                assert (refused.value.message, refused.value.metadata) == (
                    expected.value.message,
                    expected.value.metadata,
                )

    run(work)


def test_answers_belong_to_their_jobs_however_many_come_at_once(authority: Authority) -> None:
    devices = [authority.enroll(f"device-{number}") for number in range(12)]
    jobs = [job_of(one, one.sign(verification(one)), b"x" * number) for number, one in enumerate(devices)]

    async def work() -> None:
        async with processes(authority, 2) as beside:
            answers = await asyncio.gather(*map(beside.verify, jobs))
            for job, answer in zip(jobs, answers, strict=True):
                assert answer == verify_batch(job, root=authority.root)
            assert 1 <= len(beside.pids) <= 2

    run(work)


def test_what_a_dying_process_did_not_answer_is_verified_again(authority: Authority, device: Device) -> None:
    deaths: list[int] = []
    envelopes = some_of_everything(device)
    jobs = [job_of(device, *envelopes[number:]) for number in range(JOBS_AT_ONCE)]

    async def work() -> None:
        async with processes(authority, on_death=lambda: deaths.append(1)) as beside:
            await beside.verify(job_of(device))
            [pid] = beside.pids
            os.kill(pid, signal.SIGSTOP)
            asked = [asyncio.create_task(beside.verify(job)) for job in jobs]
            await until(lambda: beside.jobs == JOBS_AT_ONCE)
            os.kill(pid, signal.SIGKILL)
            for job, answer in zip(jobs, await asyncio.gather(*asked), strict=True):
                assert answer == verify_batch(job, root=authority.root)
            assert len(deaths) == JOBS_AT_ONCE
            assert await beside.verify(jobs[0]) == verify_batch(jobs[0], root=authority.root)
            assert pid not in beside.pids, "another process has taken its place"

    run(work)


def test_a_process_that_hangs_is_ended(
    authority: Authority, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(device, device.sign(verification(device)))
    patience = module.VERIFY_TIMEOUT_S

    def as_before() -> None:
        monkeypatch.setattr(module, "VERIFY_TIMEOUT_S", patience)

    async def work() -> None:
        async with processes(authority, on_death=as_before) as beside:
            await beside.verify(job)
            [pid] = beside.pids
            os.kill(pid, signal.SIGSTOP)
            monkeypatch.setattr(module, "VERIFY_TIMEOUT_S", 0.05)
            assert await beside.verify(job) == verify_batch(job, root=authority.root)
            assert pid not in beside.pids

    run(work)


def test_a_batch_that_nobody_survives_is_refused_and_the_next_one_is_not(
    authority: Authority, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(device, device.sign(verification(device)))

    async def work() -> None:
        async with processes(authority) as beside:
            with monkeypatch.context() as patched:
                patched.setattr(module, "WORKER", DIES)
                with pytest.raises(ServiceError) as refused:
                    await beside.verify(job)
                assert refused.value.reason is Reason.VERIFIER_UNAVAILABLE
            assert await beside.verify(job) == verify_batch(job, root=authority.root)

    run(work)


def test_a_command_that_cannot_run_refuses_too(
    authority: Authority, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKER", ("/no/such/command",))

    async def work() -> None:
        async with processes(authority) as beside:
            with pytest.raises(ServiceError) as refused:
                await beside.verify(job_of(device))
            assert refused.value.reason is Reason.VERIFIER_UNAVAILABLE

    run(work)


def test_closing_ends_the_processes_and_refuses_what_they_were_asked(
    authority: Authority, device: Device
) -> None:
    async def work() -> None:
        async with processes(authority) as beside:
            await beside.verify(job_of(device))
            [pid] = beside.pids
            os.kill(pid, signal.SIGSTOP)
            asked = asyncio.create_task(beside.verify(job_of(device)))
            await until(lambda: beside.jobs == 1)
            await beside.close()
            with pytest.raises(ServiceError) as refused:
                await asked
            assert refused.value.reason is Reason.VERIFIER_UNAVAILABLE
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            with pytest.raises(ServiceError):
                await beside.verify(job_of(device))

    run(work)


def test_a_process_heeds_no_signals_and_ends_when_its_service_is_gone(
    authority: Authority, device: Device
) -> None:
    job = job_of(device, device.sign(verification(device)))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [*module.WORKER, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=(theirs.fileno(),)) as process:
            theirs.close()
            ours.sendall(encode_frame(authority.root.public_bytes(Encoding.DER)))
            for _ in range(2):
                ours.sendall(encode_frame(pickle.dumps(tuple(job))))
                with ours.makefile("rb") as answers:
                    [size] = LENGTH.unpack(answers.read(LENGTH.size))
                    answer = parse_answer(answers.read(size), job)
                assert answer == verify_batch(job, root=authority.root)
                for number in (signal.SIGINT, signal.SIGTERM):  # for the service, which ends its work first
                    process.send_signal(number)
            ours.close()
            assert process.wait(30) == 0


@pytest.mark.parametrize(("cores", "expected"), [(1, 0), (2, 2), (8, 8), (96, 64)])
def test_there_are_as_many_processes_as_cores_but_none_beside_a_single_one(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert default_processes() == expected


def test_the_setting_decides(authority: Authority) -> None:
    assert isinstance(open_verifiers(0, root=authority.root), VerifierThread)
    assert isinstance(open_verifiers(3, root=authority.root), VerifierProcesses)
