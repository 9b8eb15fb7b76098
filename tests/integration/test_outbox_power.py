"""A power cut after any system call, with writes lost, torn and out of order: what was promised is there.

The calls are those that the real store makes, recorded by strace; from them come states that a disk may
be in after a cut. VERIFIELD_SOAK=10 looks at ten times as many.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.outbox_oracle import Promised, check_store
from tests.support.outbox_worker import COUNTER_SUFFIX
from tests.support.power import SECTOR, Call, Disk, File, Folder, trace, why_not

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
STATES = 120 * SOAK
STATES_AT_BIRTH = 40 * SOAK
STEPS = 30
ROOT = Path(__file__).resolve().parents[2]

needs_strace = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """The folder, which was empty, and the calls of two processes that used a store in it in turn."""
    root = tmp_path_factory.mktemp("recorded") / "data"
    root.mkdir()
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "OPENBLAS_NUM_THREADS": "1"}
    calls: list[Call] = []
    for seed in (7, 8):
        worker = [sys.executable, "-m", "tests.support.outbox_worker", str(root / "outbox/outbox.db")]
        calls += trace([*worker, str(seed), str(STEPS)], cwd=ROOT, environment=environment)
    return root, calls


def changes(root: Path, calls: list[Call]) -> Iterator[Disk]:
    """The disk after each call that changed it."""
    disk = Disk(root, hardware=COUNTER_SUFFIX)
    for call in calls:
        if disk.apply(call):
            yield disk


def check_cut(disk: Disk, chance: random.Random, into: Path) -> None:
    promised = Promised()
    promised.hear(disk.said())
    disk.cut(chance, into=into)
    path = into / "outbox/outbox.db"
    if promised.appended or path.parent.is_dir():
        check_store(path, promised, in_hand=1)
    shutil.rmtree(into)


@pytest.mark.req("E050")
@needs_strace
def test_whatever_a_power_cut_leaves_holds_all_that_was_promised(
    recorded: tuple[Path, list[Call]], tmp_path: Path
) -> None:
    count = sum(1 for _ in changes(*recorded))
    chance = random.Random(8)
    chosen = {chance.randrange(count) for _ in range(STATES)}
    for number, disk in enumerate(changes(*recorded)):
        if number in chosen:
            check_cut(disk, chance, tmp_path / "cut")
    assert count > 500
    assert number == count - 1


@needs_strace
def test_a_power_cut_while_the_store_is_made_leaves_one_that_opens(
    recorded: tuple[Path, list[Call]], tmp_path: Path
) -> None:
    chance = random.Random(9)
    for number, disk in enumerate(changes(*recorded)):
        if number > STATES_AT_BIRTH:
            break
        check_cut(disk, chance, tmp_path / "cut")


@needs_strace
def test_a_cut_after_the_last_call_keeps_all(recorded: tuple[Path, list[Call]], tmp_path: Path) -> None:
    *_, disk = changes(*recorded)
    for seed in range(10):
        check_cut(disk, random.Random(seed), tmp_path / "cut")


def test_the_cut_really_loses_what_was_not_synced(tmp_path: Path) -> None:
    kept = set()
    for seed in range(50):
        file = File(b"old" * 500)
        file.write(0, b"new" * 500)
        kept.add(file.after_cut(random.Random(seed)))
    assert {b"old" * 500, b"new" * 500} < kept
    torn = next(iter(kept - {b"old" * 500, b"new" * 500}))
    sectors = [torn[start : start + SECTOR] for start in range(0, 1500, SECTOR)]
    whole = b"old" * 500, b"new" * 500
    assert all(
        sector in (one[start : start + SECTOR] for one in whole)
        for sector, start in zip(sectors, range(0, 1500, SECTOR), strict=True)
    )


def test_what_was_synced_is_never_lost() -> None:
    file = File()
    file.write(0, b"synced")
    file.sync()
    file.write(6, b" and not")
    for seed in range(50):
        assert file.after_cut(random.Random(seed)).startswith(b"synced")


def test_a_name_that_was_not_synced_may_be_gone() -> None:
    folder, file = Folder(), File(b"content")
    folder.change(("name", file))
    assert [folder.now(count) for count in (0, 1)] == [{}, {"name": file}]
    folder.sync()
    folder.change(("name", None), ("other", file))
    assert [folder.now(count) for count in (0, 1)] == [{"name": file}, {"other": file}]
