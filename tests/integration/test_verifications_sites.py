"""Offices that may be offline: a person is awaited, a device records, and the record is judged later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.access.roles import Role
from tests.support.authorities import somebody
from tests.support.cloud import FakeClock
from tests.support.identity import Holder, Seen, running_identity
from tests.support.offices import Offices, wait_for
from tests.support.people import channel_of
from verifield.tasks import awaits
from verifield.v1 import account_service_pb2
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.device_service_pb2 import RevokeDeviceRequest
from verifield.v1.task_pb2 import AccountTask


@pytest.fixture
def offices(tmp_path: Path, database_url: str) -> Iterator[Offices]:
    clock = FakeClock()
    with running_identity(tmp_path, clock=clock, database=database_url) as room:
        yield Offices(room, clock)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Offices]:
    clock = FakeClock()
    with running_identity(tmp_path, clock=clock) as room:
        yield Offices(room, clock)


def seen(holder: Holder, **changes: Any) -> Seen:
    return holder.seen(**changes)


def test_a_record_that_was_made_offline_verifies_when_it_comes(offices: Offices) -> None:
    holder = offices.holder()
    asked = offices.request(holder, "north", days=3)
    assert offices.tasks(offices.south) == []
    task = offices.task(offices.north, asked.task_id)
    assert awaits(task.person, holder.person.id_number)
    assert holder.person.name not in task.person.masked_name
    envelope = offices.record(offices.north, task, seen(holder))
    offices.clock.offset = timedelta(days=2)
    offices.deliver(offices.north, envelope)
    found = offices.results(asked.task_id)
    [result] = found.results
    assert (found.state, result.code, result.outcome) == (
        pb.SITE_VERIFICATION_STATE_DONE,
        "PASSED",
        "VERIFIED",
    )
    assert result.device_id == offices.north.device_id
    identity = offices.room.cloud.operator.call(
        offices.room.cloud.operator.identity.GetAccountIdentity,
        pb.GetAccountIdentityRequest(account_id=holder.account_id),
    ).identity
    assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_FACE)
    assert identity.verification_id == result.verification_id
    assert offices.tasks(offices.north) == []  # nobody is awaited any more
    offices.deliver(offices.north, offices.record(offices.north, task, seen(holder)))
    again = offices.results(asked.task_id, count=2)
    assert [one.code for one in again.results] == ["PASSED", "ALREADY_VERIFIED"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outcome": att.OUTCOME_NOT_MATCHED}, "NOT_MATCHED"),
        ({"outcome": att.OUTCOME_SPOOF}, "SPOOF"),
        ({"outcome": att.OUTCOME_ABORTED}, "ABORTED"),
        ({"camera": att.CAMERA_ASSURANCE_SIMULATED}, "CAMERA_SIMULATED"),
        ({"card": somebody(99).elements}, "OTHER_PERSON"),
        ({"change": lambda one: setattr(one.purpose, "nonce", bytes(32))}, "OTHER_NONCE"),
    ],
)
def test_what_is_no_good_record_for_the_task_verifies_nobody_and_the_person_stays_awaited(
    office: Offices, changes: dict[str, Any], code: str
) -> None:
    holder = office.holder()
    asked = office.request(holder, "north")
    task = office.task(office.north, asked.task_id)
    office.deliver(office.north, office.record(office.north, task, seen(holder, **changes)))
    found = office.results(asked.task_id)
    assert [one.code for one in found.results] == [code]
    assert found.state == pb.SITE_VERIFICATION_STATE_OPEN
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
    office.deliver(office.north, office.record(office.north, task, seen(holder)))
    assert office.results(asked.task_id, count=2).results[1].code == "PASSED"


def test_a_device_of_another_site_does_not_count(office: Offices) -> None:
    holder = office.holder()
    asked = office.request(holder, "north")
    task = office.task(office.north, asked.task_id)
    office.deliver(office.south, office.record(office.south, task, seen(holder)))
    assert office.results(asked.task_id).results[0].code == "OTHER_SITE"


def test_a_device_that_was_revoked_since_it_delivered_counts_and_one_that_cannot_deliver_does_not(
    office: Offices,
) -> None:
    holder = office.holder()
    asked = office.request(holder, "north")
    envelope = office.record(office.north, office.task(office.north, asked.task_id), seen(holder))
    operator = office.room.cloud.operator
    operator.call(
        operator.devices.RevokeDevice, RevokeDeviceRequest(device_id=office.north.device_id, reason=1)
    )
    with pytest.raises(Exception, match="revoked"):
        office.deliver(office.north, envelope)
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED


def test_a_record_counts_by_when_it_was_made_and_not_by_when_it_came(office: Offices) -> None:
    late, trusted = office.holder(), office.holder()
    asked = [office.request(one, "north", days=1) for one in (late, trusted)]
    tasks = [office.task(office.north, one.task_id) for one in asked]
    at = office.clock.now() + timedelta(hours=3)
    uncertain = office.record(office.north, tasks[0], seen(late))
    certain = office.record(office.north, tasks[1], seen(trusted, quality=att.TIME_QUALITY_TRUSTED, wall=at))
    office.clock.offset = timedelta(days=2)
    wait_for(lambda: None if office.tasks(office.north) else True)  # what has expired was taken away
    office.deliver(office.north, uncertain, certain)
    assert office.results(asked[0].task_id).results[0].code == "TIME_UNCERTAIN"
    found = office.results(asked[1].task_id)
    assert found.results[0].code == "PASSED"
    assert found.state == pb.SITE_VERIFICATION_STATE_DONE


def test_a_record_that_was_surely_made_after_the_task_is_too_late(office: Offices) -> None:
    holder = office.holder()
    asked = office.request(holder, "north", days=1)
    task = office.task(office.north, asked.task_id)
    office.clock.offset = timedelta(days=2)
    [answer] = office.room.cloud.deliver(
        office.north, [office.record(office.north, task, seen(holder, outcome=att.OUTCOME_ABORTED))]
    )

    def cite(statement: att.Statement) -> None:
        statement.last_receipt_sha256 = hashlib.sha256(answer.receipt).digest()

    office.deliver(office.north, office.record(office.north, task, seen(holder, change=cite)))
    assert office.results(asked.task_id, count=2).results[1].code == "TOO_LATE"


def test_what_was_withdrawn_does_not_count(office: Offices) -> None:
    holder = office.holder()
    asked = office.request(holder, "north")
    task = office.task(office.north, asked.task_id)
    withdraw = pb.WithdrawSiteVerificationRequest(task_id=asked.task_id)
    answer = office.room.as_staff(office.clerk, "WithdrawSiteVerification", withdraw)
    assert answer.request.state == pb.SITE_VERIFICATION_STATE_WITHDRAWN
    assert office.tasks(office.north) == []
    assert (
        office.room.staff_refused(office.clerk, "WithdrawSiteVerification", withdraw).reason
        == "SITE_TASK_STATE"
    )
    office.deliver(office.north, office.record(office.north, task, seen(holder)))
    assert office.results(asked.task_id).results[0].code == "WITHDRAWN"


def test_who_cannot_be_awaited_is_told_why(office: Offices) -> None:
    holder = office.holder()

    def refused(site: str, account_id: str = holder.account_id) -> str:
        request = pb.RequestSiteVerificationRequest(account_id=account_id, site_id=site)
        return office.room.staff_refused(office.clerk, "RequestSiteVerification", request).reason

    assert refused("nowhere") == "SITE_UNKNOWN"
    assert refused("north", office.room.holder().account_id) == "ELEMENTS_REQUIRED"
    office.request(holder, "north")
    assert refused("north") == "VERIFICATION_RUNNING"


def two_offices(offices: Offices) -> tuple[Holder, list[pb.SiteVerification], list[AccountTask]]:
    """One person who is awaited at two offices, neither of which has a line."""
    holder = offices.holder()
    asked = [offices.request(holder, site, days=30) for site in ("north", "south")]
    tasks = [
        offices.task(device, one.task_id)
        for device, one in zip((offices.north, offices.south), asked, strict=True)
    ]
    return holder, asked, tasks


def test_of_two_offices_that_contradict_each_other_the_surely_earlier_one_counts(offices: Offices) -> None:
    holder, asked, tasks = two_offices(offices)
    good = offices.record(offices.north, tasks[0], seen(holder))
    offices.deliver(offices.north, good)
    assert offices.results(asked[0].task_id).results[0].code == "PASSED"
    offices.clock.offset = timedelta(minutes=10)
    [answer] = offices.room.cloud.deliver(
        offices.south, [offices.record(offices.south, tasks[1], seen(holder, outcome=att.OUTCOME_ABORTED))]
    )

    def cite(statement: att.Statement) -> None:  # so it was surely made ten minutes later
        statement.last_receipt_sha256 = hashlib.sha256(answer.receipt).digest()

    bad = offices.record(offices.south, tasks[1], seen(holder, outcome=att.OUTCOME_SPOOF, change=cite))
    offices.deliver(offices.south, bad)
    found = offices.results(asked[1].task_id, count=2)
    assert found.results[1].code == "SPOOF"
    [conflict] = offices.conflicts(holder.account_id)
    assert conflict.state == pb.CONFLICT_STATE_DECIDED_BY_TIME
    assert conflict.kind == pb.CONFLICT_KIND_OUTCOMES
    first = offices.results(asked[0].task_id).results[0]
    assert conflict.winner_attestation_id == first.attestation_id
    assert (conflict.first.code, conflict.second.code) == ("PASSED", "SPOOF")
    assert holder.identity().state == pb.IDENTITY_STATE_VERIFIED


@pytest.mark.parametrize("good_first", [True, False])
def test_where_both_offices_can_have_been_first_nobody_decides_and_nothing_is_overwritten(
    offices: Offices, good_first: bool
) -> None:
    holder, asked, tasks = two_offices(offices)
    good = (offices.north, offices.record(offices.north, tasks[0], seen(holder)), asked[0])
    bad = (
        offices.south,
        offices.record(offices.south, tasks[1], seen(holder, outcome=att.OUTCOME_SPOOF)),
        asked[1],
    )
    judged = []
    for device, envelope, request in (good, bad) if good_first else (bad, good):
        offices.deliver(device, envelope)
        judged.append(offices.results(request.task_id).results[0])
    [conflict] = offices.conflicts(holder.account_id)
    assert conflict.state == pb.CONFLICT_STATE_OPEN
    assert conflict.winner_attestation_id == ""
    assert {conflict.first.attestation_id, conflict.second.attestation_id} == {
        one.attestation_id for one in judged
    }
    assert [one.code for one in judged] == (["PASSED", "SPOOF"] if good_first else ["SPOOF", "CONFLICT"])
    state = holder.identity().state
    assert state == (pb.IDENTITY_STATE_STALE if good_first else pb.IDENTITY_STATE_ELEMENTS_VERIFIED)
    for one, request in zip(judged, (asked if good_first else asked[::-1]), strict=True):
        assert list(offices.results(request.task_id).results) == [one]  # both stand as they were written
    offices.settle(holder)
    [conflict] = offices.conflicts(holder.account_id)
    assert conflict.state == pb.CONFLICT_STATE_SETTLED
    identity = holder.identity()
    assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_MANUAL)
    assert conflict.settled_by == identity.verification_id


def test_a_yes_that_was_surely_made_later_does_not_undo_a_no(office: Offices) -> None:
    holder, asked, tasks = two_offices(office)
    bad = office.record(office.south, tasks[1], seen(holder, outcome=att.OUTCOME_NOT_MATCHED))
    office.deliver(office.south, bad)
    assert office.results(asked[1].task_id).results[0].code == "NOT_MATCHED"
    office.clock.offset = timedelta(minutes=10)
    [answer] = office.room.cloud.deliver(
        office.north, [office.record(office.north, tasks[0], seen(holder, outcome=att.OUTCOME_ABORTED))]
    )

    def cite(statement: att.Statement) -> None:
        statement.last_receipt_sha256 = hashlib.sha256(answer.receipt).digest()

    office.deliver(office.north, office.record(office.north, tasks[0], seen(holder, change=cite)))
    found = office.results(asked[0].task_id, count=2)
    assert found.results[1].code == "LOST_TO_EARLIER"
    [conflict] = office.conflicts(holder.account_id)
    assert conflict.state == pb.CONFLICT_STATE_DECIDED_BY_TIME
    assert conflict.winner_attestation_id == office.results(asked[1].task_id).results[0].attestation_id
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED


def test_a_record_for_a_person_who_has_another_account_by_now_goes_to_the_centre(office: Offices) -> None:
    holder = office.holder()
    asked = office.request(holder, "north")
    task = office.task(office.north, asked.task_id)
    envelope = office.record(office.north, task, seen(holder))
    centre = office.room.staff("ce.ntre", Role.INFORMATION_CENTRE)
    with channel_of(office.room.cloud, centre) as channel:
        AccountServiceStub(channel).Deregister(
            account_service_pb2.DeregisterRequest(
                account_id=holder.account_id, reason=account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
            ),
            timeout=20,
        )
    assert office.tasks(office.north) == []  # nobody is awaited for an account that has ended
    again = office.room.holder(office.people[holder.account_id])
    office.deliver(office.north, envelope)
    assert office.results(asked.task_id).results[0].code == "OTHER_ACCOUNT"
    [conflict] = office.conflicts(holder.account_id)
    assert (conflict.kind, conflict.state) == (pb.CONFLICT_KIND_ACCOUNTS, pb.CONFLICT_STATE_OPEN)
    assert conflict.other_account_id == again.account_id
    assert again.identity().state == pb.IDENTITY_STATE_UNVERIFIED
