"""A counter in hardware tells an old copy of the store from the newest one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import SetupError, StorageError
from edge.model import Position, ResetReason
from edge.outbox.rollback import CounterVerdict, judge_counter
from tests.support.appliance import Appliance, MemorySigner, open_outbox


class Counter:
    """In memory; ``away`` makes it fail as hardware that was pulled does."""

    def __init__(self, value: int = 7) -> None:
        self.value = value
        self.away = False

    def read(self) -> int:
        self._check()
        return self.value

    def increment(self) -> int:
        self._check()
        self.value += 1
        return self.value

    def _check(self) -> None:
        if self.away:
            raise SetupError("KEY_STORE_AWAY", "The TPM is away.")


class Counted(Appliance):
    """An appliance with a counter."""

    def __init__(self, path: Path, counter: Counter) -> None:
        super().__init__(path, MemorySigner())
        self.counter = counter
        self.restart()

    def restart(self) -> None:
        self.outbox.close()
        self.outbox = open_outbox(self.path, counter=self.counter)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Counted]:
    appliance = Counted(tmp_path / "device" / "outbox.db", Counter())
    yield appliance
    appliance.outbox.close()


def put_back(device: Counted, backup: Path) -> None:
    device.outbox.close()
    shutil.rmtree(device.path.parent)
    shutil.copytree(backup, device.path.parent)
    device.restart()


def back_up(device: Counted, backup: Path) -> None:
    device.outbox.close()
    shutil.copytree(device.path.parent, backup)
    device.restart()


@pytest.mark.parametrize(
    ("expected", "counter", "verdict"),
    [
        (5, 5, CounterVerdict.FITS),
        (5, 4, CounterVerdict.UNFINISHED),
        (5, 6, CounterVerdict.AHEAD),
        (5, 3, CounterVerdict.BEHIND),
    ],
)
def test_store_and_counter_compared(expected: int, counter: int, verdict: CounterVerdict) -> None:
    assert judge_counter(expected, counter) is verdict


def test_each_record_moves_the_counter_by_one(device: Counted) -> None:
    for _ in range(3):
        device.verify()
        device.restart()
    assert device.counter.value == 10
    assert device.outbox.reset_needed() is None
    device.outbox.check_ready()


def test_an_old_copy_of_the_whole_folder_is_told(device: Counted, tmp_path: Path) -> None:
    device.verify()
    back_up(device, tmp_path / "backup")
    device.verify()
    put_back(device, tmp_path / "backup")
    assert device.outbox.reset_needed() is ResetReason.COUNTER_AHEAD
    for refused in (device.verify, device.outbox.check_ready):
        with pytest.raises(StorageError) as error:
            refused()
        assert error.value.code == "STORE_ROLLED_BACK"
        assert "sync" in error.value.hint
    reset = device.recorder().record_reset(None, ResetReason.COUNTER_AHEAD)
    assert reset.position == Position(2, 1)
    assert device.outbox.reset_needed() is None
    assert device.verify().position == Position(2, 2)


def test_another_counter_is_told_too(device: Counted) -> None:
    device.verify()
    device.counter.value -= 3
    with pytest.raises(StorageError) as error:
        device.verify()
    assert error.value.code == "STORE_ROLLED_BACK"


def test_a_cut_between_commit_and_increment_is_made_good(device: Counted) -> None:
    first = device.verify()
    device.counter.value -= 1  # as if the power had failed after the commit
    device.restart()
    assert device.outbox.reset_needed() is None
    assert device.outbox.newest(limit=1) == [first]
    assert device.verify().seq == 2
    assert device.counter.value == 9
    assert device.verify().seq == 3


def test_a_counter_that_is_away_stores_nothing(device: Counted) -> None:
    device.verify()
    device.counter.away = True
    with pytest.raises(SetupError) as error:
        device.verify()
    assert error.value.code == "KEY_STORE_AWAY"
    device.counter.away = False
    assert device.verify().seq == 2


def test_a_counter_that_goes_away_after_the_commit_costs_nothing(device: Counted) -> None:
    device.verify()
    increment = device.counter.increment

    def lost() -> int:
        raise SetupError("KEY_STORE_AWAY", "The TPM is away.")

    device.counter.increment = lost
    assert device.verify().seq == 2  # durable, and said so
    device.counter.increment = increment
    assert device.verify().seq == 3
    assert device.outbox.reset_needed() is None


def test_a_store_that_never_saw_the_counter_takes_it_as_it_is(tmp_path: Path) -> None:
    plain = Appliance(tmp_path / "outbox.db", MemorySigner())
    plain.verify()
    plain.outbox.close()
    counted = Counted(tmp_path / "outbox.db", Counter(1000))
    assert counted.outbox.reset_needed() is None
    assert counted.verify().seq == 2
    assert counted.counter.value == 1001
    counted.outbox.close()
