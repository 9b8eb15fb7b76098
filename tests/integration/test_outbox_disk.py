"""A disk that fills up, turns read-only, or refuses: real small file systems, and real calls that fail.

VERIFIELD_SOAK=10 lets ten times as many calls fail.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import power
from tests.support.outbox_oracle import Promised, check_store

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
RUNS = 1 * SOAK
ROOT = Path(__file__).resolve().parents[2]
DISK_MIB = 6


def in_namespace(script: str) -> list[str]:
    """Run as root of a user namespace of our own, where file systems may be mounted."""
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]


def why_not(folder: Path) -> str | None:
    """A sentence where no file system can be mounted here; None where one can."""
    try:
        probe = subprocess.run(
            in_namespace(f"mount -t tmpfs -o size=1m none '{folder}'"),
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "unshare is not installed: no disk can be made small or read-only"
    return None if probe.returncode == 0 else f"mounting is not allowed here: {probe.stderr.strip()}"


def on_a_small_disk(what: str, folder: Path) -> Any:
    reason = why_not(folder)
    if reason is not None:
        pytest.skip(reason)
    script = (
        f"mount -t tmpfs -o size={DISK_MIB}m,mode=700 none '{folder}' && "
        f"exec '{sys.executable}' -m tests.support.small_disk {what} '{folder}'"
    )
    done = subprocess.run(
        in_namespace(script),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.req("E050")
def test_on_a_full_disk_the_record_in_hand_still_fits(tmp_path: Path) -> None:
    found = on_a_small_disk("full", tmp_path)
    assert found.pop("purged") == found.pop("stored") - 1  # one has a file that the cloud does not have
    assert found == {
        "reserve_at_first": True,
        "free_when_full": 0,
        "reserve_after_the_record_in_hand": False,
        "check_ready_when_full": "DISK_RESERVE",
        "code_when_nothing_is_left": "OUTBOX_FULL",
        "head_is_the_last_stored": True,
        "opens_when_full": "",
        "delivers_when_full": True,
        "reserve_when_there_is_room": True,
        "all_are_there": True,
        "sound": True,
    }


@pytest.mark.req("E050")
def test_on_a_read_only_disk_nothing_is_lost_and_it_is_said(tmp_path: Path) -> None:
    found = on_a_small_disk("read-only", tmp_path)
    assert found == {"open": "OUTBOX_READONLY", "nothing_lost": True, "goes_on": True}


@pytest.mark.skipif(power.why_not() is not None, reason=power.why_not() or "")
@pytest.mark.parametrize(
    ("calls", "error", "latest", "is_noticed"),
    [
        ("pwrite64", "ENOSPC", 40, True),
        ("pwrite64", "EROFS", 40, True),
        ("fsync,fdatasync", "EIO", 8, True),
        ("openat", "EIO", 3, True),
        ("ftruncate,unlink", "EIO", 3, False),  # little depends on them
    ],
)
def test_calls_that_fail_lose_nothing_that_was_promised(
    begun: tuple[Path, list[bytes]], tmp_path: Path, calls: str, error: str, latest: int, is_noticed: bool
) -> None:
    """strace makes some of the calls fail, as a failing disk does; the store says so, and goes on."""
    path, promised, chance = tmp_path / "store/outbox.db", Promised(), random.Random(calls + error)
    shutil.copytree(begun[0], path.parent)
    promised.hear(begun[1])
    for seed in range(2, 2 + RUNS):
        first, every = chance.randint(1, latest), chance.choice((3, 7, 19))
        promised.hear(run_worker(path, seed=seed, inject=f"{calls}:error={error}:when={first}+{every}"))
    check_store(path, promised, in_hand=promised.faults)
    assert promised.faults > 0 or not is_noticed


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """The folder of a store that is in use, and what its user was told."""
    folder = tmp_path_factory.mktemp("begun") / "store"
    return folder, run_worker(folder / "outbox.db", seed=1)


def run_worker(path: Path, *, seed: int, inject: str = "") -> list[bytes]:
    """Let a worker take some steps; with ``inject``, some of its calls on the store's files fail."""
    command = [sys.executable, "-m", "tests.support.outbox_worker", str(path), str(seed), "12"]
    if inject:
        names = [path.name, *(f"{path.name}{suffix}" for suffix in ("-wal", "-shm", ".head", ".reserve"))]
        only = [word for name in names for word in ("-P", str(path.with_name(name)))]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", *only, "-e", f"inject={inject}", *command]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.splitlines(keepends=True)
