"""Tasks on the device: kept as they came, replaced, withdrawn, expired, and told anew from the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge.attest.clock import BUILD_DATE, arrival_now, bounded_now
from edge.downstream import StateDownstream
from edge.errors import StorageError
from edge.state.records import ItemKind
from edge.tasks import find_task, waiting_tasks
from tests.support.authority import NOW, Authority
from tests.support.clocks import SteeredClock
from tests.support.known import KnownDevice, no_wipe
from tests.support.tasks import (
    LIFE,
    account_item,
    account_task,
    bad_item,
    contract_item,
    contract_task,
    removed_item,
    task_id,
)
from verifield.v1 import sync_service_pb2 as sync

DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, Authority.create())
    yield known
    known.state.close()


def waiting(device: KnownDevice) -> set[str]:
    kinds = (ItemKind.ACCOUNT, ItemKind.CONTRACT)
    return {item.item_id for kind in kinds for item in device.state.items(kind)}


def ids(*names: str) -> set[str]:
    return {task_id(name) for name in names}


def test_what_is_no_task_or_another_one_is_refused(device: KnownDevice) -> None:
    account, contract = account_item("a"), contract_item("b")
    newer = account_task("n").SerializeToString() + b"\xa0\x06\x01"  # a field of a later version
    unmasked = account_task("u")
    unmasked.person.masked_name = "Ana Ruiz"
    outcome = device.pull(
        bad_item(account.item_id),
        bad_item(account.item_id, b"\xff"),
        bad_item(task_id("x"), account.content),
        bad_item(account.item_id, contract.content),
        bad_item(task_id("n"), newer),
        bad_item(task_id("u"), unmasked.SerializeToString()),
        contract,
    )
    codes = [item.code for item in outcome.refused]
    assert codes == ["EMPTY", "NOT_PROTOBUF", "TASK", "UNKNOWN_FIELD", "UNKNOWN_FIELD", "TASK"]
    assert waiting(device) == ids("b")
    assert not any("Ana" in item.message for item in device.state.refused())


def test_a_bad_update_leaves_what_is_here(device: KnownDevice) -> None:
    good = account_item("a")
    device.pull(good)
    assert device.pull(bad_item(good.item_id, b"\xff")).stored == 0
    assert [item.content for item in device.state.items(ItemKind.ACCOUNT)] == [good.content]


def test_a_task_goes_when_it_has_expired_and_not_before(device: KnownDevice) -> None:
    device.pull(account_item("a"), account_item("b", life=LIFE + MICROSECOND), contract_item("c"))
    assert device.state.drop_expired(by=NOW + LIFE - MICROSECOND) == 0
    assert device.state.drop_expired(by=NOW + LIFE) == 2
    assert waiting(device) == ids("b")


def test_one_that_comes_expired_is_not_kept_and_takes_the_older_form_away(device: KnownDevice) -> None:
    device.pull(account_item("a"))
    shorter = account_item("a", life=DAY)
    outcome = device.pull(shorter, account_item("b", life=DAY), at=NOW + DAY)
    assert (outcome.stored, outcome.refused, waiting(device)) == (0, (), set())
    assert device.pull(shorter, at=NOW + DAY - MICROSECOND).stored == 1


def test_the_device_forgets_by_time_that_is_certain_also_without_the_cloud(device: KnownDevice) -> None:
    """Time that the device was on counts; a wall clock that runs ahead does not."""
    start = BUILD_DATE + DAY
    clock = SteeredClock(wall=start)
    downstream = StateDownstream(
        device.state, roots=[device.authority.root], clock=clock, wipe=no_wipe, tell=lambda _: None
    )
    device.pull(account_item("a", issued=start, life=DAY), at=start, arrival=arrival_now(clock))
    clock.set_wall(start + 100 * DAY)
    downstream.cursor()
    assert waiting(device) == ids("a")
    clock.advance(DAY - timedelta(seconds=1))
    downstream.cursor()
    assert waiting(device) == ids("a")
    clock.advance(timedelta(seconds=1))
    downstream.cursor()
    assert waiting(device) == set()


@pytest.mark.parametrize("content", ["sealed", "flipped"])
def test_a_task_that_is_damaged_here_comes_again_with_the_next_pull(
    device: KnownDevice, content: str
) -> None:
    device.pull(account_item("a"), contract_item("b"), cursor="c9")
    place = f"down_items/ACCOUNT/{task_id('a')}"
    damaged = device.state._db.vault.seal(b"no task", label=place) if content == "sealed" else bytes(80)
    with device.state._db.writing():
        device.state._db.run("UPDATE down_items SET content = ? WHERE item_id = ?", damaged, task_id("a"))
    bounds = bounded_now(SteeredClock(wall=NOW), contact=device.state.contact(), build_date=NOW)
    for look in (waiting_tasks, lambda state, bounds: find_task(state, task_id("a"), bounds)):
        with pytest.raises(StorageError) as error:
            look(device.state, bounds)
        assert error.value.code == ("STATE_CORRUPT" if content == "sealed" else "DATA_KEY_WRONG")
    assert device.state.pull_cursor() == ""
    device.pull(account_item("a"), contract_item("b"), restarted=True)
    assert {task.task_id for task in waiting_tasks(device.state, bounds)} == ids("a", "b")


def test_told_from_the_beginning_what_is_not_told_again_is_no_more(device: KnownDevice) -> None:
    device.pull(account_item("a"), account_item("b"), contract_item("c"), contract_item("d"))
    device.pull(account_item("a", account_id="acct-2"), restarted=True, more=True)
    assert waiting(device) == ids("a", "b", "c", "d")  # as long as more is to come
    device.pull(contract_item("d"), more=True)
    device.restart()
    device.pull(account_item("e"), more=False)
    assert waiting(device) == ids("a", "d", "e")


def test_a_beginning_that_is_cut_off_begins_once_more(device: KnownDevice) -> None:
    device.pull(account_item("a"), account_item("b"))
    device.pull(account_item("a"), restarted=True, more=True)
    device.pull(account_item("b"), restarted=True, more=True)  # the cloud was restored meanwhile
    device.pull(more=False)
    assert waiting(device) == ids("b")


def test_one_that_was_withdrawn_while_everything_is_told_stays_away(device: KnownDevice) -> None:
    device.pull(account_item("a"))
    device.pull(account_item("a"), account_item("b"), restarted=True, more=True)
    device.pull(removed_item("a"), more=False)
    assert waiting(device) == ids("b")


def test_what_is_not_told_yet_takes_no_room(device: KnownDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.state.pull.MAX_ITEMS", 2)
    device.pull(account_item("a"), account_item("b"))
    outcome = device.pull(account_item("c"), account_item("d"), restarted=True)
    assert (outcome.refused, waiting(device)) == ((), ids("c", "d"))


def test_removing_a_contract_leaves_the_account_of_its_id(device: KnownDevice) -> None:
    device.pull(account_item("a"), contract_item("a"))
    device.pull(removed_item("a", kind=sync.DOWN_ITEM_KIND_CONTRACT))
    assert device.state.count(ItemKind.ACCOUNT) == 1
    assert device.state.count(ItemKind.CONTRACT) == 0
    assert contract_task("a").task_id == account_task("a").task_id
