"""Clocks that lie: captures go on, labels say so, and nothing expires that has not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from edge.attest.clock import BUILD_DATE, arrival_now, bounded_now, judge_validity
from edge.lease import Lease, read_lease
from edge.model import Decision, Outcome, Standing, Validity
from edge.recorder import Recorder
from tests.support.appliance import Appliance, MemorySigner, verified_evidence
from tests.support.authority import Authority, Device
from tests.support.clocks import SteeredClock
from tests.support.known import DEVICE_ID, KnownDevice, policy_item
from verifield.dsse import parse_envelope
from verifield.receipt import check_receipt
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb

START = BUILD_DATE + timedelta(days=10)
DAY, HOUR, YEAR = timedelta(days=1), timedelta(hours=1), timedelta(days=365)
RETENTION = timedelta(days=30)
TRUSTED, BOUNDED, SUSPECT = pb.TIME_QUALITY_TRUSTED, pb.TIME_QUALITY_BOUNDED, pb.TIME_QUALITY_SUSPECT


class Office:
    """A device that records, hears its cloud, and looks at the time, with a clock that is steered."""

    def __init__(self, folder: Path, authority: Authority, enrolled: Device) -> None:
        self.authority = authority
        self.enrolled = enrolled
        self.clock = SteeredClock(wall=START)
        self.appliance = Appliance(folder / "outbox" / "outbox.db", MemorySigner(), device_id=DEVICE_ID)
        self.known = KnownDevice(folder, authority)
        self.true_time = START
        self.hear()

    @property
    def recorder(self) -> Recorder:
        return dataclasses.replace(self.appliance.recorder(), clock=self.clock)

    def pass_time(self, duration: timedelta) -> None:
        self.true_time += duration
        self.clock.advance(duration)

    def capture(self) -> pb.Clock:
        """Verify a person; return what the signed statement says of the time."""
        record = self.recorder.record(verified_evidence(), Decision(Outcome.VERIFIED, ()))
        return parse_statement(parse_envelope(record.envelope).payload).clock

    def hear(self) -> None:
        """A pull, and a receipt for all records, with the cloud's time, which is right."""
        arrival = arrival_now(self.clock)
        self.known.pull(policy_item(self.authority, 1), at=self.true_time, arrival=arrival)
        head = self.appliance.outbox.head()
        if head is not None:
            envelope = self.authority.receipt(DEVICE_ID, head, at=self.true_time)
            receipt = check_receipt(
                envelope, certificates=self.authority.receipt_chain, roots=[self.authority.root]
            )
            self.appliance.outbox.apply_receipt(envelope, receipt, arrival=arrival, tree_size=0)

    def lease(self) -> Lease:
        policy = self.known.state.policy([self.authority.root])
        return read_lease(
            self.known.state,
            self.clock,
            policy=dataclasses.replace(policy, expire_time=START + 90 * DAY),
            certificates=self.enrolled.chain,
            roots=[self.authority.root],
        )

    def check_nothing_expires_wrongly(self) -> None:
        """Judge what does expire by the true time."""
        lease = self.lease()
        assert lease.standing is Standing.NORMAL
        assert not lease.policy_expired
        bounds = bounded_now(self.clock, contact=self.known.state.contact())
        assert bounds.not_before <= self.true_time
        assert self.appliance.outbox.purge(now=bounds.not_before, retention=RETENTION) == 0
        today = self.true_time.date()
        valid = judge_validity(date(2020, 1, 1), today + 2 * DAY, bounds)
        assert valid in (Validity.VALID, Validity.UNCERTAIN)
        not_yet = judge_validity(today + 400 * DAY, today + 800 * DAY, bounds)
        assert not_yet in (Validity.NOT_YET, Validity.UNCERTAIN)
        assert judge_validity(date(2020, 1, 1), START.date() - 2 * DAY, bounds) is Validity.EXPIRED

    def close(self) -> None:
        self.appliance.outbox.close()
        self.known.state.close()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def office(tmp_path: Path, authority: Authority) -> Iterator[Office]:
    made = Office(tmp_path, authority, authority.enroll(DEVICE_ID))
    yield made
    made.close()


def back_a_year(clock: SteeredClock) -> None:
    clock.set_wall(clock.wall() - YEAR)


def forward_ten_years(clock: SteeredClock) -> None:
    clock.set_wall(clock.wall() + 10 * YEAR)


def stop(clock: SteeredClock) -> None:
    clock.stopped = True


def test_a_sound_clock_is_trusted_after_a_word_and_bounded_after_a_reboot(office: Office) -> None:
    assert office.capture().quality == SUSPECT  # no receipt yet, and so no bound
    office.hear()
    office.pass_time(HOUR)
    clock = office.capture()
    assert clock.quality == TRUSTED
    assert clock.since_receipt_ns == 3600 * 10**9
    office.clock.reboot(on_for=timedelta(0))
    clock = office.capture()
    assert clock.quality == BOUNDED
    assert not clock.HasField("since_receipt_ns")
    office.check_nothing_expires_wrongly()


@pytest.mark.req("E045")
@pytest.mark.parametrize("fault", [back_a_year, forward_ten_years, stop])
@pytest.mark.parametrize("moment", ["after a word", "after a reboot", "before a reboot"])
def test_captures_go_on_with_right_labels_and_nothing_expires_wrongly(
    office: Office, fault: Callable[[SteeredClock], None], moment: str
) -> None:
    office.capture()
    office.hear()
    if moment == "after a reboot":
        office.clock.reboot(on_for=timedelta(0))
    office.pass_time(HOUR)
    assert office.capture().quality == (BOUNDED if moment == "after a reboot" else TRUSTED)

    fault(office.clock)
    if moment == "before a reboot":
        office.clock.reboot(on_for=timedelta(0))
    for number in range(1, 4):
        office.pass_time(DAY)
        clock = office.capture()
        assert clock.wall_time.ToDatetime(tzinfo=BUILD_DATE.tzinfo) == office.clock.wall()  # as it showed
        # A clock that stands still since before this boot began contradicts nothing that is known.
        unnoticed = fault is stop and moment == "before a reboot" and number == 1
        assert clock.quality == (BOUNDED if unnoticed else SUSPECT)
        office.check_nothing_expires_wrongly()
    assert office.appliance.outbox.stats().pending == 4

    office.clock.stopped = False
    office.hear()
    assert office.capture().quality == SUSPECT  # the word shows by how much it is wrong
    office.clock.set_wall(office.true_time)  # which is how it is mended
    office.pass_time(HOUR)
    assert office.capture().quality == TRUSTED
    office.check_nothing_expires_wrongly()


@pytest.mark.parametrize("fault", [back_a_year, forward_ten_years, stop])
def test_what_has_expired_does_so_under_a_wrong_clock_too(
    office: Office, fault: Callable[[SteeredClock], None]
) -> None:
    office.capture()
    office.hear()
    fault(office.clock)
    office.pass_time(RETENTION + HOUR)
    assert office.lease().standing is Standing.STOPPED
    bounds = bounded_now(office.clock, contact=office.known.state.contact())
    assert office.appliance.outbox.purge(now=bounds.not_before, retention=RETENTION) == 1
    assert judge_validity(date(2020, 1, 1), START.date() + 25 * DAY, bounds) is Validity.EXPIRED
    assert office.capture().quality == SUSPECT
