"""What offices find out beside everything else: other ways, other requests, accounts that end, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.store import site_verifications
from cloud.verifications.judge import Judge
from tests.support.cloud import FakeClock
from tests.support.identity import Holder, running_identity
from tests.support.offices import Offices, cites, wait_for
from verifield.v1 import account_service_pb2
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb

NOT_MATCHED = att.OUTCOME_NOT_MATCHED


@pytest.fixture
def office(tmp_path: Path, database_url: str) -> Iterator[Offices]:
    clock = FakeClock()
    with running_identity(tmp_path, clock=clock, database=database_url) as room:
        yield Offices(room, clock)


def awaited(office: Offices, holder: Holder, site: str = "north") -> tuple[pb.SiteVerification, bytes]:
    """A request, and a good record for it that has not been delivered."""
    device = {"north": office.north, "south": office.south}[site]
    asked = office.request(holder, site)
    return asked, office.record(device, office.task(device, asked.task_id), holder.seen())


def deregister(office: Offices, holder: Holder) -> None:
    operator = office.room.cloud.operator
    operator.call(
        operator.accounts.Deregister,
        account_service_pb2.DeregisterRequest(
            account_id=holder.account_id, reason=account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
        ),
    )


@pytest.mark.parametrize("way", ["face", "window", "other office"])
def test_who_was_verified_is_awaited_nowhere_any_more(office: Offices, way: str) -> None:
    holder = office.holder()
    south, _ = awaited(office, holder, "south")
    if way == "face":
        holder.verify_face()
    elif way == "window":
        office.settle(holder)
    else:
        asked, envelope = awaited(office, holder)
        office.deliver(office.north, envelope)
        assert office.results(asked.task_id).results[0].code == "PASSED"
    assert office.tasks(office.south) == []
    shown = office.results(south.task_id, count=0)
    assert (shown.state, list(shown.results)) == (pb.SITE_VERIFICATION_STATE_DONE, [])


def test_what_an_office_has_recorded_still_counts_against_who_was_verified_elsewhere(office: Offices) -> None:
    holder = office.holder()
    south = office.request(holder, "south")
    spoof = office.record(
        office.south, office.task(office.south, south.task_id), holder.seen(outcome=att.OUTCOME_SPOOF)
    )
    north, envelope = awaited(office, holder)
    office.deliver(office.north, envelope)
    assert office.results(north.task_id).results[0].code == "PASSED"
    office.deliver(office.south, spoof)
    assert office.results(south.task_id).results[0].code == "SPOOF"
    assert [one.state for one in office.conflicts(holder.account_id)] == [pb.CONFLICT_STATE_OPEN]
    assert holder.identity().state == pb.IDENTITY_STATE_STALE


def test_while_two_records_contradict_each_other_no_other_way_verifies(office: Offices) -> None:
    holder = office.holder()
    started = holder.call("StartCtid", pb.StartCtidRequest())
    evidence = holder.face_request()
    south = office.request(holder, "south")
    spoof = office.record(
        office.south, office.task(office.south, south.task_id), holder.seen(outcome=att.OUTCOME_SPOOF)
    )
    north, envelope = awaited(office, holder)
    office.deliver(office.south, spoof)
    office.results(south.task_id)
    office.deliver(office.north, envelope)
    assert office.results(north.task_id).results[0].code == "CONFLICT"
    office.room.authorities.act(started.link.rpartition("/")[2])
    finish = pb.FinishCtidRequest(verification_id=started.verification.verification_id)
    for method, request in (
        ("SubmitFaceEvidence", evidence),
        ("StartFaceCheck", pb.StartFaceCheckRequest()),
        ("FinishCtid", finish),
        ("StartCtid", pb.StartCtidRequest()),
    ):
        error = holder.refused(method, request)
        assert (error.reason, error.metadata["remedies"]) == ("IDENTITY_DISPUTED", "MANUAL"), method
    again = pb.RequestSiteVerificationRequest(account_id=holder.account_id, site_id="north")
    refused = office.room.staff_refused(office.clerk, "RequestSiteVerification", again)
    assert refused.reason == "IDENTITY_DISPUTED"
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
    office.settle(holder)
    assert holder.identity().state == pb.IDENTITY_STATE_VERIFIED
    assert holder.verify_face().state == pb.VERIFICATION_STATE_PASSED


def test_a_no_that_was_known_when_somebody_asked_anew_does_not_stand_for_ever(office: Offices) -> None:
    holder = office.holder()
    first = office.request(holder, "south")
    glare = holder.seen(outcome=NOT_MATCHED)
    office.deliver(office.south, office.record(office.south, office.task(office.south, first.task_id), glare))
    assert office.results(first.task_id).results[0].code == "NOT_MATCHED"
    office.clock.offset += timedelta(minutes=10)
    second = office.request(holder, "north")
    task = office.task(office.north, second.task_id)
    receipt = office.receipt_now(office.north, task, holder)
    office.deliver(office.north, office.record(office.north, task, holder.seen(change=cites(receipt))))
    assert office.results(second.task_id, count=2).results[1].code == "PASSED"
    assert office.conflicts(holder.account_id) == []


def test_a_conflict_of_two_accounts_is_settled_by_who_sees_the_person_of_the_newer_one(
    office: Offices,
) -> None:
    holder = office.holder()
    asked, envelope = awaited(office, holder)
    deregister(office, holder)
    again = office.room.holder(office.people[holder.account_id])
    office.deliver(office.north, envelope)
    assert office.results(asked.task_id).results[0].code == "OTHER_ACCOUNT"
    office.settle(again)
    [conflict] = office.conflicts(holder.account_id)
    assert conflict.state == pb.CONFLICT_STATE_SETTLED
    assert conflict.settled_by == again.identity().verification_id


@pytest.mark.parametrize("registered_again", [True, False])
def test_a_record_for_an_account_that_ended_after_the_request_had_expired(
    office: Offices, registered_again: bool
) -> None:
    holder = office.holder()
    asked = office.request(holder, "north", days=1)
    task = office.task(office.north, asked.task_id)
    at = office.clock.now() + timedelta(hours=1)
    envelope = office.record(office.north, task, holder.seen(quality=att.TIME_QUALITY_TRUSTED, wall=at))
    office.clock.offset += timedelta(days=2)
    deregister(office, holder)
    if registered_again:
        office.room.holder(office.people[holder.account_id])
    office.deliver(office.north, envelope)
    code = office.results(asked.task_id).results[0].code
    assert code == ("OTHER_ACCOUNT" if registered_again else "WITHDRAWN")


def test_a_record_that_cannot_be_judged_holds_up_no_other(
    office: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = office.holder(), office.holder()
    (poison, envelope), (asked, good) = awaited(office, first), awaited(office, second)
    genuine = Judge.judge

    def judge(self: Judge, connection: object, attestation_id: str, task_id: str) -> bool:
        if task_id == poison.task_id:
            raise KeyError(attestation_id)
        return genuine(self, connection, attestation_id, task_id)  # type: ignore[arg-type]

    monkeypatch.setattr(Judge, "judge", judge)
    office.deliver(office.north, envelope, good)
    assert office.results(asked.task_id).results[0].code == "PASSED"
    with office.room.cloud.database() as connection:
        assert [one.task_id for one in site_verifications.waiting_purposes(connection, limit=9)] == [
            poison.task_id
        ]
    monkeypatch.undo()
    assert office.results(poison.task_id).results[0].code == "PASSED"


def test_a_record_for_a_task_that_nobody_gave_out_is_taken_in_and_means_nothing(office: Offices) -> None:
    holder = office.holder()
    asked = office.request(holder, "north")
    task = office.task(office.north, asked.task_id)
    task.task_id = "019ca5a0-0000-7000-8000-000000000001"
    office.deliver(office.north, office.record(office.north, task, holder.seen()))

    def judged() -> bool | None:
        with office.room.cloud.database() as connection:
            return None if site_verifications.waiting_purposes(connection, limit=9) else True

    assert wait_for(judged)
    assert office.results(asked.task_id, count=0).state == pb.SITE_VERIFICATION_STATE_OPEN
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
