"""The lease: how long a device may work without word from its cloud, whatever its clock says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.attest.clock import BUILD_DATE, arrival_now, bounded_now
from edge.errors import SetupError, StorageError
from edge.lease import Lease, read_lease
from edge.model import Standing
from edge.policy import OfflinePolicy, Policy
from edge.state.records import ItemKind
from tests.support.authority import Authority, Device
from tests.support.clocks import SteeredClock
from tests.support.known import KnownDevice, directive_item, policy_item
from verifield.v1 import policy_pb2 as pb
from verifield.v1 import sync_service_pb2 as sync

WORD = BUILD_DATE + timedelta(days=10)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
POLICY = Policy()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def enrolled(authority: Authority) -> Device:
    return authority.enroll("device-1")


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, authority)
    yield known
    known.state.close()


@pytest.fixture
def clock() -> SteeredClock:
    return SteeredClock(wall=WORD)


def lease(device: KnownDevice, clock: SteeredClock, chain: list[bytes], policy: Policy = POLICY) -> Lease:
    return read_lease(device.state, clock, policy=policy, certificates=chain, roots=[device.authority.root])


def hear(device: KnownDevice, clock: SteeredClock) -> None:
    """The cloud's word, with the right time."""
    device.pull(at=clock.wall(), arrival=arrival_now(clock))


@pytest.mark.parametrize(
    ("silence", "standing"),
    [
        (timedelta(0), Standing.NORMAL),
        (7 * DAY, Standing.NORMAL),
        (7 * DAY + TICK, Standing.DEGRADED),
        (30 * DAY, Standing.DEGRADED),
        (30 * DAY + TICK, Standing.STOPPED),
    ],
)
def test_a_device_is_marked_after_seven_days_and_stopped_after_thirty(
    device: KnownDevice, clock: SteeredClock, enrolled: Device, silence: timedelta, standing: Standing
) -> None:
    hear(device, clock)
    clock.advance(silence)
    answer = lease(device, clock, enrolled.chain)
    assert answer.standing is standing
    assert answer.silence == silence
    assert answer.left == max(timedelta(0), 30 * DAY - silence)
    hear(device, clock)
    assert lease(device, clock, enrolled.chain).standing is Standing.NORMAL


def test_a_stopped_device_begins_nothing_and_says_how_to_mend_it(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    hear(device, clock)
    lease(device, clock, enrolled.chain).check_may_begin()
    clock.advance(8 * DAY)
    lease(device, clock, enrolled.chain).check_may_begin()  # marked, but it may
    clock.advance(23 * DAY)
    with pytest.raises(SetupError) as error:
        lease(device, clock, enrolled.chain).check_may_begin()
    assert error.value.code == "DEVICE_STOPPED"
    assert "sync" in error.value.hint


def test_the_durations_are_those_of_the_policy(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    strict = replace(POLICY, offline=OfflinePolicy(timedelta(hours=1), timedelta(hours=2)))
    hear(device, clock)
    for hours, standing in ((1, Standing.NORMAL), (2, Standing.DEGRADED), (3, Standing.STOPPED)):
        clock.advance(timedelta(minutes=50))
        assert lease(device, clock, enrolled.chain, strict).standing is standing, hours


def test_a_device_that_never_heard_anything_counts_from_its_first_day(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    assert lease(device, clock, enrolled.chain).standing is Standing.NORMAL
    clock.advance(8 * DAY)
    assert lease(device, clock, enrolled.chain).standing is Standing.DEGRADED
    clock.reboot(on_for=23 * DAY)
    assert lease(device, clock, enrolled.chain).standing is Standing.STOPPED


def test_days_switched_off_count_by_a_sound_clock(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    hear(device, clock)
    clock.reboot()
    clock.set_wall(WORD + 31 * DAY)
    assert bounded_now(clock, contact=device.state.contact()).wall == WORD + 31 * DAY
    assert lease(device, clock, enrolled.chain).standing is Standing.STOPPED


def test_turning_the_clock_back_gains_no_time(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    hear(device, clock)
    for _ in range(31):
        clock.advance(DAY)
        lease(device, clock, enrolled.chain)  # as each session and each sync does
        clock.set_wall(WORD)
        clock.reboot(on_for=timedelta(0))
    answer = lease(device, clock, enrolled.chain)
    assert answer.standing is Standing.STOPPED
    assert answer.silence == 31 * DAY


@pytest.mark.parametrize("wrong", [-365 * DAY, 3650 * DAY], ids=["a year back", "ten years on"])
@pytest.mark.parametrize("reboot", [False, True])
def test_a_clock_that_is_wrong_stops_nothing(
    device: KnownDevice, clock: SteeredClock, enrolled: Device, wrong: timedelta, reboot: bool
) -> None:
    hear(device, clock)
    clock.advance(DAY)
    clock.set_wall(clock.wall() + wrong)
    if reboot:
        clock.reboot()
    assert lease(device, clock, enrolled.chain).standing is Standing.NORMAL


def test_an_expired_policy_stays_in_force_and_marks_the_records(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    device.pull(policy_item(device.authority, 1), at=clock.wall(), arrival=arrival_now(clock))
    policy = device.state.policy([device.authority.root])
    assert policy.expire_time is not None
    policy = replace(policy, expire_time=WORD + DAY)
    clock.advance(DAY)
    answer = lease(device, clock, enrolled.chain, policy)
    assert (answer.standing, answer.policy_expired) == (Standing.NORMAL, False)
    clock.advance(TICK)
    answer = lease(device, clock, enrolled.chain, policy)
    assert (answer.standing, answer.reason, answer.policy_expired) == (
        Standing.DEGRADED,
        "POLICY_EXPIRED",
        True,
    )
    assert device.state.policy([device.authority.root]).version == 1
    answer.check_may_begin()


def test_a_lock_outranks_everything_until_it_is_lifted(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    authority = device.authority
    at = {"at": clock.wall(), "arrival": arrival_now(clock)}
    device.pull(directive_item(authority, pb.DIRECTIVE_ACTION_LOCK, issued=WORD), **at)  # type: ignore[arg-type]
    answer = lease(device, clock, enrolled.chain)
    assert (answer.standing, answer.reason) == (Standing.LOCKED, "LOCKED")
    with pytest.raises(SetupError) as error:
        answer.check_may_begin()
    assert error.value.code == "DEVICE_LOCKED"
    assert error.value.hint == "Reported as lost"
    unlock = directive_item(authority, pb.DIRECTIVE_ACTION_UNLOCK, number=2, issued=WORD + TICK)
    device.pull(unlock, **at)  # type: ignore[arg-type]
    assert lease(device, clock, enrolled.chain).standing is Standing.NORMAL


def revocations(content: bytes) -> sync.DownItem:
    return sync.DownItem(kind=sync.DOWN_ITEM_KIND_REVOCATIONS, item_id="issuing", content=content)


def test_a_revoked_device_is_locked(device: KnownDevice, clock: SteeredClock, enrolled: Device) -> None:
    authority = device.authority
    other = authority.enroll("device-2")
    word = {"at": clock.wall(), "arrival": arrival_now(clock)}
    listed = authority.revocation_list(other.certificate, at=WORD, issued=WORD)
    device.pull(revocations(listed), **word)  # type: ignore[arg-type]
    assert lease(device, clock, enrolled.chain).standing is Standing.NORMAL
    listed = authority.revocation_list(other.certificate, enrolled.certificate, at=WORD, issued=WORD + DAY)
    device.pull(revocations(listed), **word)  # type: ignore[arg-type]
    answer = lease(device, clock, enrolled.chain)
    assert (answer.standing, answer.reason) == (Standing.LOCKED, "REVOKED")


def test_a_revocation_list_changed_on_the_disk_is_a_fault(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    authority = device.authority
    device.pull(
        revocations(authority.revocation_list(enrolled.certificate, at=WORD, issued=WORD)),
        at=clock.wall(),
        arrival=arrival_now(clock),
    )
    stored = device.state.item(ItemKind.REVOCATIONS, "issuing")
    assert stored is not None
    flipped = stored.content[:-1] + bytes([stored.content[-1] ^ 1])
    with device.state._db.writing():
        device.state._db.run("UPDATE down_items SET content = ?", flipped)
    with pytest.raises(StorageError) as error:
        lease(device, clock, enrolled.chain)
    assert error.value.code == "STATE_REVOCATIONS_DAMAGED"


def test_a_device_that_the_cloud_turned_away_is_locked(
    device: KnownDevice, clock: SteeredClock, enrolled: Device
) -> None:
    device.state.note_revoked()
    answer = lease(device, clock, enrolled.chain)
    assert (answer.standing, answer.reason) == (Standing.LOCKED, "REVOKED")
    hear(device, clock)
    assert lease(device, clock, enrolled.chain).standing is Standing.NORMAL
