"""News from the cloud: believed only where signed, applied all or nothing, resumed where it stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edge.attest.clock import arrival_now
from edge.downstream import StateDownstream
from edge.errors import CloudError, SetupError, StorageError
from edge.policy import Policy
from edge.state import pull as pull_rules
from edge.state.database import DATA_KEY_SUFFIX
from edge.state.news import MAX_REFUSED
from edge.state.records import ItemKind, LockState, PullOutcome
from tests.support.authority import NOW, Authority
from tests.support.clocks import SteeredClock
from tests.support.known import (
    BOOT,
    KnownDevice,
    directive_item,
    policy_item,
)
from tests.support.tasks import account_item, bad_item, contract_item, removed_item, task_id
from verifield.v1 import policy_pb2 as pb
from verifield.v1 import sync_service_pb2 as sync

LOCK, UNLOCK, WIPE = pb.DIRECTIVE_ACTION_LOCK, pb.DIRECTIVE_ACTION_UNLOCK, pb.DIRECTIVE_ACTION_WIPE
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, authority)
    yield known
    known.state.close()


def policy_of(device: KnownDevice) -> Policy:
    return device.state.policy([device.authority.root])


def codes(device: KnownDevice) -> list[str]:
    return [item.code for item in device.state.refused()]


class Wiper:
    """Counts; fails the first ``failing`` times, as a power cut would."""

    def __init__(self, failing: int = 0) -> None:
        self.calls = 0
        self.failing = failing

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.failing:
            raise RuntimeError("the power failed")


def test_before_the_first_policy_the_built_in_one_holds(device: KnownDevice) -> None:
    assert policy_of(device) == Policy()
    assert device.state.pull_cursor() == ""
    assert device.state.lock() == LockState()


@pytest.mark.req("E042")
def test_a_policy_with_a_bad_signature_or_a_lower_version_is_refused(device: KnownDevice) -> None:
    authority = device.authority
    good = policy_item(authority, 5, live_chip_photo_threshold=0.5)
    outcome = device.pull(good, cursor="c1")
    assert outcome.policy is not None
    in_force = policy_of(device)
    assert in_force.version == 5
    assert in_force.match.live_chip_photo.threshold == 0.5

    stranger = Authority.create()
    forged = bytearray(policy_item(authority, 6).content)
    forged[len(forged) // 2] ^= 1
    bad = {
        "lower": (policy_item(authority, 4), None),
        "equal": (policy_item(authority, 5, live_chip_photo_threshold=0.6), None),
        "changed": (sync.DownItem(kind=good.kind, item_id="policy", content=bytes(forged)), None),
        "no envelope": (sync.DownItem(kind=good.kind, item_id="policy", content=b"x"), None),
        "another's key": (policy_item(stranger, 7), None),
        "another's root": (policy_item(stranger, 8), stranger.policy_chain),
        "a receipt's key": (policy_item(authority, 9), authority.receipt_chain),
        "below the floor": (policy_item(authority, 10, live_chip_photo_threshold=0.4), None),
    }
    for number, (what, (item, certificates)) in enumerate(bad.items()):
        outcome = device.pull(item, cursor=f"bad-{number}", certificates=certificates)
        assert outcome.policy is None, what
        assert len(outcome.refused) == 1, what
        assert policy_of(device) == in_force, what
        assert device.state.refused()[0] == outcome.refused[0], what  # visible
        assert device.state.pull_cursor() == f"bad-{number}", what  # and the news go on
    device.restart()
    assert policy_of(device) == in_force

    assert device.pull(policy_item(authority, 6)).policy is not None
    assert policy_of(device).version == 6
    assert codes(device) == []


def test_a_page_that_comes_twice_changes_nothing(device: KnownDevice) -> None:
    page = [policy_item(device.authority, 1), directive_item(device.authority, LOCK), account_item("a")]
    device.pull(*page)
    state = (policy_of(device), device.state.lock(), device.state.items(ItemKind.ACCOUNT))
    outcome = device.pull(*page)
    assert (outcome.policy, outcome.lock, outcome.refused) == (None, None, ())
    assert (policy_of(device), device.state.lock(), device.state.items(ItemKind.ACCOUNT)) == state


def test_a_policy_changed_on_the_disk_is_not_used_and_comes_again(device: KnownDevice) -> None:
    item = policy_item(device.authority, 3)
    device.pull(item)
    weaker = policy_item(Authority.create(), 3, live_chip_photo_threshold=0.42)
    connection = sqlite3.connect(device.path, isolation_level=None)
    connection.execute("UPDATE policy SET envelope = ?", (weaker.content,))
    connection.close()
    with pytest.raises(StorageError) as error:
        policy_of(device)
    assert error.value.code == "STATE_POLICY_DAMAGED"
    assert device.state.pull_cursor() == ""
    assert device.pull(policy_item(device.authority, 2)).policy is None  # nothing older in its place
    assert device.pull(item).policy is not None
    assert policy_of(device).version == 3


def test_one_bad_item_keeps_none_of_the_others_away(device: KnownDevice) -> None:
    authority = device.authority
    outcome = device.pull(
        account_item("a"),
        sync.DownItem(kind=sync.DOWN_ITEM_KIND_POLICY, item_id="policy", content=b"nonsense"),
        sync.DownItem(kind=77, item_id="odd", content=b"from a newer cloud"),  # type: ignore[arg-type]
        bad_item("x" * (pull_rules.MAX_ITEM_ID_BYTES + 1)),
        bad_item(""),
        account_item("b"),
        directive_item(authority, LOCK, device_id="device-2"),
        directive_item(authority, LOCK, number=2),
    )
    assert [item.code for item in outcome.refused] == [
        "NOT_PROTOBUF",
        "UNKNOWN_KIND",
        "BAD_ITEM_ID",
        "BAD_ITEM_ID",
        "DIRECTIVE_DEVICE",
    ]
    assert len(device.state.items(ItemKind.ACCOUNT)) == 2
    assert device.state.lock().locked


def test_items_are_kept_replaced_and_removed(device: KnownDevice) -> None:
    contract, newer = contract_item("a"), account_item("a", account_id="acct-2")
    device.pull(account_item("a"), account_item("b"), contract)
    device.pull(newer, removed_item("b"), cursor="c2")
    assert [one.content for one in device.state.items(ItemKind.ACCOUNT)] == [newer.content]
    found = device.state.item(ItemKind.CONTRACT, task_id("a"))
    assert found is not None
    assert found.content == contract.content
    assert device.state.item(ItemKind.ACCOUNT, task_id("b")) is None


def test_items_have_a_largest_number(device: KnownDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.pull(account_item("a")).stored == 1
    monkeypatch.setattr(pull_rules, "MAX_ITEMS", 2)
    outcome = device.pull(account_item("b"), account_item("c"), account_item("a", account_id="acct-2"))
    assert outcome.stored == 2
    assert [item.code for item in outcome.refused] == ["TOO_MANY_ITEMS"]
    assert device.pull(removed_item("a"), account_item("c")).stored == 1


def test_only_so_many_refusals_stay(device: KnownDevice) -> None:
    device.pull(*(bad_item(f"n{number}") for number in range(MAX_REFUSED + 5)))
    refused = device.state.refused()
    assert len(refused) == MAX_REFUSED
    assert refused[0].item_id == f"n{MAX_REFUSED + 4}"


def test_a_directive_acts_once_however_often_it_comes(device: KnownDevice) -> None:
    authority = device.authority
    lock = directive_item(authority, LOCK, number=1, issued=NOW)
    unlock = directive_item(authority, UNLOCK, number=2, issued=NOW + MINUTE)
    assert device.pull(lock).lock == LockState(locked=True, reason="Reported as lost")
    assert device.pull(unlock).lock == LockState()
    assert device.pull(lock).lock is None  # replayed
    device.restart()
    assert device.pull(lock, unlock, lock).lock is None
    assert device.state.lock() == LockState()


def test_locks_follow_the_times_of_issue_not_of_arrival(device: KnownDevice) -> None:
    authority = device.authority
    assert device.pull(directive_item(authority, UNLOCK, number=2, issued=NOW + MINUTE)).lock is not None
    assert device.pull(directive_item(authority, LOCK, number=1, issued=NOW)).lock is None  # overtaken
    assert not device.state.lock().locked
    same = NOW + MINUTE
    assert device.pull(directive_item(authority, LOCK, number=3, issued=same)).lock is not None
    assert device.pull(directive_item(authority, UNLOCK, number=4, issued=same)).lock is None
    assert device.state.lock().locked  # at one and the same time LOCK wins, in either order


@pytest.mark.req("E055")
def test_a_wipe_happens_once_and_for_ever(device: KnownDevice) -> None:
    authority, wiper = device.authority, Wiper()
    device.pull(account_item("a"), policy_item(authority, 1))
    wipe = directive_item(authority, WIPE, number=9, issued=NOW + MINUTE)
    outcome = device.pull(wipe, wipe=wiper)
    assert outcome.wiped
    assert device.state.lock() == LockState(locked=True, reason="Reported as lost", wiped=True)
    assert device.state.items(ItemKind.ACCOUNT) == []
    assert not device.path.with_name(device.path.name + DATA_KEY_SUFFIX).exists()
    device.restart()
    later = directive_item(authority, UNLOCK, number=10, issued=NOW + 2 * MINUTE)
    outcome = device.pull(wipe, later, account_item("b"), cursor="c9", wipe=wiper)
    assert not outcome.wiped
    assert device.state.lock().wiped
    assert [item.code for item in outcome.refused] == ["WIPED"]
    assert device.state.pull_cursor() == "c9"
    assert policy_of(device).version == 1
    assert wiper.calls == 1


def test_a_wipe_cut_off_by_a_power_failure_is_carried_out_at_the_next_start(device: KnownDevice) -> None:
    wiper = Wiper(failing=2)
    device.pull(account_item("a"))
    with pytest.raises(RuntimeError):
        device.pull(directive_item(device.authority, WIPE), cursor="c2", wipe=wiper)
    device.restart()
    assert device.state.lock().wiped  # the order was durable before it was begun
    assert device.state.pull_cursor() == "c2"
    with pytest.raises(RuntimeError):
        device.state.finish_wipe(wiper)
    assert device.state.finish_wipe(wiper)
    assert not device.state.finish_wipe(wiper)
    assert wiper.calls == 3
    assert device.state.items(ItemKind.ACCOUNT) == []


def test_an_order_counts_also_where_personal_data_cannot_be_sealed(device: KnownDevice) -> None:
    """Whoever takes the data key away escapes no lock; what could not be kept comes again."""
    authority = device.authority
    device.pull(account_item("a"))
    device.restart()
    key = device.path.with_name(device.path.name + DATA_KEY_SUFFIX)
    away = key.rename(key.with_name("elsewhere"))
    page = [
        account_item("b"),
        removed_item("a"),
        directive_item(authority, LOCK),
        policy_item(authority, 1),
    ]
    for _ in range(2):
        with pytest.raises(StorageError) as error:
            device.pull(*page, cursor="c2")
        assert error.value.code == "DATA_KEY_MISSING"
        assert device.state.lock().locked
        assert policy_of(device).version == 1
        assert (device.state.count(ItemKind.ACCOUNT), device.state.pull_cursor()) == (0, "c1")
    away.rename(key)
    device.pull(*page, cursor="c2")
    assert [one.item_id for one in device.state.items(ItemKind.ACCOUNT)] == [task_id("b")]
    assert device.state.pull_cursor() == "c2"
    assert device.state.lock().locked


def test_a_wipe_destroys_the_data_key_also_while_the_key_store_is_away(device: KnownDevice) -> None:
    device.pull(account_item("a"))

    def away() -> None:
        raise SetupError("KEY_STORE_AWAY", "The token is not there.")

    with pytest.raises(SetupError):
        device.pull(directive_item(device.authority, WIPE), wipe=away)
    assert not device.path.with_name(device.path.name + DATA_KEY_SUFFIX).exists()
    device.restart()
    assert device.state.lock().wiped
    with pytest.raises(SetupError):
        device.state.finish_wipe(away)  # it is not done before the key store has heard of it
    assert device.state.finish_wipe(Wiper())
    assert not device.state.finish_wipe(away)


def revocations(content: bytes) -> sync.DownItem:
    return sync.DownItem(kind=sync.DOWN_ITEM_KIND_REVOCATIONS, item_id="issuing", content=content)


def test_revocation_lists_are_checked_and_never_go_back(device: KnownDevice) -> None:
    authority = device.authority
    first = authority.revocation_list(issued=NOW + timedelta(days=1))
    newer = authority.revocation_list(issued=NOW + timedelta(days=2))
    assert device.pull(revocations(first)).stored == 1
    assert device.pull(revocations(newer)).stored == 1
    assert device.pull(revocations(newer)).stored == 1
    assert [item.code for item in device.pull(revocations(first)).refused] == ["REVOCATIONS_OLDER"]
    assert device.pull(revocations(Authority.create().revocation_list())).stored == 0
    assert device.pull(revocations(b"x")).stored == 0
    assert [one.content for one in device.state.items(ItemKind.REVOCATIONS)] == [newer]


class _Cut(Exception):
    """The power fails."""


def test_news_resume_where_they_stopped_after_a_cut_at_any_write(
    device: KnownDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages come in order; wherever the power fails, a page is there whole with its cursor, or not at all."""
    authority = device.authority
    pages = {
        "": ("c1", [policy_item(authority, 1), account_item("a"), account_item("b")]),
        "c1": ("c2", [directive_item(authority, LOCK), removed_item("a")]),
        "c2": (
            "c3",
            [policy_item(authority, 2), directive_item(authority, UNLOCK, number=2, issued=NOW + MINUTE)],
        ),
    }
    writes = type(device.state._db).run
    seen: list[str] = []
    for allowed in range(60):
        left = allowed

        def run(self: object, sql: str, *parameters: object) -> int:
            nonlocal left
            if left == 0:
                raise _Cut
            left -= 1
            return writes(self, sql, *parameters)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(type(device.state._db), "run", run)
            try:
                while (cursor := device.state.pull_cursor()) in pages:
                    following, items = pages[cursor]
                    device.pull(*items, cursor=following, arrival=BOOT)
            except _Cut:
                pass
        device.restart()
        cursor = device.state.pull_cursor()
        seen.append(cursor)
        expected = {
            "": (0, False, []),
            "c1": (1, False, sorted([task_id("a"), task_id("b")])),
            "c2": (1, True, [task_id("b")]),
            "c3": (2, False, [task_id("b")]),
        }[cursor]
        kept = [one.item_id for one in device.state.items(ItemKind.ACCOUNT)]
        assert (policy_of(device).version, device.state.lock().locked, kept) == expected
    assert seen == sorted(seen)
    assert set(seen) == {"", "c1", "c2", "c3"}


def test_a_policy_key_that_nobody_vouches_for_orders_nothing(device: KnownDevice) -> None:
    authority = device.authority
    thief = Authority.create()
    thief.policy_key = ec.generate_private_key(ec.SECP256R1())
    for chain in (authority.policy_chain, thief.policy_chain, []):
        outcome = device.pull(directive_item(thief, LOCK), certificates=chain)
        assert outcome.lock is None
        assert len(outcome.refused) == 1
    assert device.state.lock() == LockState()


def test_the_daemon_hands_pages_over_and_hears_what_came_of_them(device: KnownDevice) -> None:
    clock, wiper = SteeredClock(wall=NOW), Wiper(failing=1)
    told: list[PullOutcome] = []
    downstream = StateDownstream(
        device.state, roots=[device.authority.root], clock=clock, wipe=wiper, tell=told.append
    )
    assert downstream.cursor() == ""
    page = sync.PullResponse(
        items=[policy_item(device.authority, 1), bad_item("a")],
        next_cursor="c1",
        policy_certificates=device.authority.policy_chain,
    )
    page.server_time.FromDatetime(NOW)
    downstream.take(page, arrival=arrival_now(clock))
    assert downstream.cursor() == "c1"
    (outcome,) = told
    assert outcome.policy is not None
    assert [item.code for item in outcome.refused] == ["EMPTY"]
    downstream.note_word(NOW + MINUTE, arrival_now(clock))
    contact = device.state.contact()
    assert contact is not None
    assert contact.server_time == NOW + MINUTE

    order = sync.PullResponse(
        items=[directive_item(device.authority, WIPE)],
        next_cursor="c2",
        policy_certificates=device.authority.policy_chain,
        server_time=page.server_time,
    )
    with pytest.raises(RuntimeError):
        downstream.take(order, arrival=arrival_now(clock))
    assert downstream.cursor() == "c2"  # and the wipe was carried out on the way
    assert wiper.calls == 2
    assert not device.state.finish_wipe(wiper)


def test_news_without_the_clouds_time_change_nothing(device: KnownDevice) -> None:
    downstream = StateDownstream(
        device.state,
        roots=[device.authority.root],
        clock=SteeredClock(wall=NOW),
        wipe=Wiper(),
        tell=lambda _: None,
    )
    page = sync.PullResponse(
        items=[directive_item(device.authority, LOCK)],
        next_cursor="c1",
        policy_certificates=device.authority.policy_chain,
    )
    for seconds in (None, 10**15):
        if seconds:
            page.server_time.seconds = seconds
        with pytest.raises(CloudError) as error:
            downstream.take(page, arrival=BOOT)
        assert error.value.code == "PULL_ANSWER"
    assert device.state.contact() is None
    assert downstream.cursor() == ""


def test_a_device_whose_certificate_is_refused_is_locked_until_the_cloud_speaks_with_it(
    device: KnownDevice,
) -> None:
    device.state.note_revoked()
    device.restart()
    assert device.state.lock() == LockState(revoked=True)
    device.pull()
    assert device.state.lock() == LockState()
