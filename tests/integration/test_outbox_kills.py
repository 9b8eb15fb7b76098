"""kill -9 at random points: nothing that was promised is lost, nothing is there twice, the chain holds.

VERIFIELD_SOAK=10 makes it a thousand kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.outbox_oracle import Promised, check_store

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
KILLS = 80 * SOAK
KILLS_AT_BIRTH = 20 * SOAK
MANY_STEPS = 100_000
CHECK_EVERY = 20
ROOT = Path(__file__).resolve().parents[2]


class Workers:
    """The process that forks workers; see tests.support.outbox_worker."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def start(self, *, seed: int, steps: int) -> int:
        self._in.write(f"{seed} {steps}\n".encode())
        self._in.flush()
        for line in self._out:
            if line.startswith(b"PID "):
                return int(line.split()[1])
            self.early.append(line)
        raise AssertionError("the process that forks workers has died")

    early: list[bytes]

    def lines(self) -> Iterator[bytes]:
        """What the worker says, until it has ended."""
        yield from self.early
        for line in self._out:
            if b"END " in line:
                yield line[: line.index(b"END ")]  # what the kill cut off stands before it
                return
            yield line


@contextmanager
def workers_on(path: Path) -> Iterator[Workers]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.outbox_worker", str(path)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        workers = Workers(process)
        yield workers
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def kill_after(workers: Workers, *, seed: int, lines: int, delay_s: float) -> list[bytes]:
    """Let a worker say so many lines, wait a little more, kill it; return all that it said."""
    workers.early = []
    pid = workers.start(seed=seed, steps=MANY_STEPS)
    said: list[bytes] = []
    heard = workers.lines()
    while len(said) < lines:
        said.append(next(heard))
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    return said + list(heard)


@pytest.mark.req("E050")
def test_kill_9_at_random_points_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    path, promised, chance = tmp_path / "outbox.db", Promised(), random.Random(20)
    with workers_on(path) as workers:
        for number in range(1, KILLS + 1):
            promised.hear(
                kill_after(workers, seed=number, lines=chance.randint(0, 12), delay_s=chance.random() * 0.015)
            )
            if number % CHECK_EVERY == 0:
                check_store(path, promised, in_hand=number)
    assert check_store(path, promised, in_hand=KILLS) > 0
    assert len(promised.appended) > KILLS


def test_kill_9_while_the_store_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    chance = random.Random(21)
    folder = tmp_path / "store"
    with workers_on(folder / "outbox.db") as workers:
        for number in range(KILLS_AT_BIRTH):
            promised = Promised()
            workers.early = []
            pid = workers.start(seed=number, steps=MANY_STEPS)
            time.sleep(chance.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
            promised.hear(workers.lines())
            check_store(folder / "outbox.db", promised, in_hand=1)
            folder.rename(tmp_path / f"store-{number}")


def test_two_processes_share_one_chain(tmp_path: Path) -> None:
    path, promised = tmp_path / "outbox.db", Promised()
    with workers_on(path) as one, workers_on(path) as two:
        for seed, workers in ((1, one), (2, two)):
            workers.early = []
            workers.start(seed=seed, steps=40)
        for workers in (one, two):
            promised.hear(workers.lines())
    promised.delivered.clear()  # one may have begun a new epoch behind the other's delivery
    assert check_store(path, promised, in_hand=0) > 0
    assert len(promised.appended) > 40
