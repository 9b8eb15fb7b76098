"""What happens beside a review: changed identities, ended and erased accounts, later decisions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from cloud.accounts.desk import Accounts
from cloud.accounts.personal import AccountVault
from cloud.certifications.badges import ACCOUNT_ENDED
from cloud.certifications.states import State
from cloud.commands.keys import sealed_tables
from cloud.elements import Validity
from cloud.errors import Reason, ServiceError
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement
from cloud.reviews.states import TaskState
from cloud.store import accounts as account_rows
from cloud.store.certifications import badge_of
from cloud.store.sealed import forget_person
from cloud.verifications.desk import Verifications
from tests.support.certification_desk import Bench, open_bench
from verifield.v1 import account_service_pb2
from verifield.v1 import certification_service_pb2 as pb

PASSED = Decision(Outcome.PASSED)
FAILED = Decision(Outcome.NOT_PASSED, (ReasonText("UNREADABLE", "The picture."),))


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(database_url, tmp_path) as opened:
        yield opened


def assigned(bench: Bench, account_id: str) -> str:
    """An application that a reviewer has."""
    application_id = bench.submitted(account_id)
    task = bench.task(application_id, account_id)
    bench.run(lambda connection: bench.handler.assigned(connection, task))
    return application_id


def decide(bench: Bench, account_id: str, application_id: str, decision: Decision = PASSED) -> None:
    task = bench.task(application_id, account_id)
    bench.run(lambda connection: bench.handler.decided(connection, task, decision))


def watched(bench: Bench) -> Accounts:
    """Accounts as they are wired: both rooms hear of what changes."""
    persons, sources = bench.base.persons, bench.base.sources
    watchers = (Verifications(Accounts(persons, sources), sources), bench.room.watcher)
    return Accounts(persons, sources, watchers)


def change_card(bench: Bench, account_id: str) -> None:
    accounts = watched(bench)

    def work(connection: Connection) -> None:
        row = accounts.find(connection, account_id, lock=True)
        vault: AccountVault = accounts.vault
        key = vault.key_of(connection, account_id)
        sealed = vault.validity(key, account_id, Validity(date(2025, 1, 2), date(2045, 1, 2)))
        connection.execute(
            text("UPDATE accounts SET validity = :sealed WHERE account_id = :id"),
            {"sealed": sealed, "id": row.account_id},
        )
        accounts.tell_changed(connection, account_id, frozenset({"validity"}))

    bench.run(work)


def verify(bench: Bench, account_id: str) -> None:
    bench.run(
        lambda connection: connection.execute(
            text("UPDATE identities SET stale_us = NULL WHERE account_id = :id"), {"id": account_id}
        )
    )


def told(bench: Bench, template: str) -> int:
    query = "SELECT count(*) FROM messages WHERE template = :name"
    with bench.store.reading() as connection:
        return int(connection.execute(text(query), {"name": template}).scalar_one())


def test_a_card_that_changes_during_the_review_is_not_passed_with_the_old_papers(bench: Bench) -> None:
    account_id = bench.account()
    application_id = assigned(bench, account_id)
    change_card(bench, account_id)
    for again in (False, True):
        if again:  # verified anew: the papers in the application are still those of the old card
            verify(bench, account_id)
        before = bench.dump()
        with pytest.raises(ServiceError) as refused:
            decide(bench, account_id, application_id)
        assert refused.value.reason is Reason.APPLICANT_CHANGED
        assert bench.dump() == before
    decide(bench, account_id, application_id, FAILED)
    assert bench.state_of(application_id) == State.NOT_PASSED


def test_who_hands_in_again_after_a_change_can_be_passed(bench: Bench) -> None:
    account_id = bench.account()
    application_id = bench.submitted(account_id)
    with bench.store.reading() as connection:
        assert bench.core.find(connection, application_id).state == State.SUBMITTED
    change_card(bench, account_id)
    task = bench.task(application_id, account_id)
    bench.run(lambda connection: bench.handler.assigned(connection, task))
    deadline_us = bench.core.now_us + 10**12
    wanted = Supplement(ReasonText("OLD_CARD", "Of the new card."), ("card",), deadline_us)
    bench.run(lambda connection: bench.handler.supplement_asked(connection, task, wanted))
    with pytest.raises(ServiceError) as refused:
        bench.run(lambda connection: bench.desk.submit(connection, account_id, application_id, etag=""))
    assert refused.value.reason is Reason.IDENTITY_REQUIRED
    verify(bench, account_id)
    bench.run(
        lambda connection: connection.execute(
            text("UPDATE review_tasks SET state = :state, at_us = :at"),
            {"state": int(TaskState.WAITING_SUPPLEMENT), "at": deadline_us},
        )
    )
    bench.run(lambda connection: bench.desk.submit(connection, account_id, application_id, etag=""))
    decide(bench, account_id, application_id)
    assert bench.state_of(application_id) == State.PASSED
    with bench.store.reading() as connection:
        assert bench.room.standings.require_certified(connection, account_id)


def test_a_change_and_a_decision_at_once_never_leave_a_pass_with_an_old_card(bench: Bench) -> None:
    for _ in range(6):
        account_id = bench.account()
        application_id = assigned(bench, account_id)
        barrier, faults = threading.Barrier(2), []

        def one(work: object, barrier: threading.Barrier = barrier, faults: list[Reason] = faults) -> None:
            barrier.wait()
            try:
                work()  # type: ignore[operator]
            except ServiceError as error:
                faults.append(error.reason)

        threads = [
            threading.Thread(target=one, args=(lambda: decide(bench, account_id, application_id),)),  # noqa: B023
            threading.Thread(target=one, args=(lambda: change_card(bench, account_id),)),  # noqa: B023
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = bench.state_of(application_id)
        assert (state, faults) in (
            (State.RECERT_REQUIRED, []),
            (State.IN_REVIEW, [Reason.APPLICANT_CHANGED]),
        )


def test_a_decision_waits_for_a_change_that_came_first_and_sees_it(bench: Bench) -> None:
    """And the other way round: what is passed in the same moment is seen by the change."""
    if bench.base.store._engines.is_sqlite:
        pytest.skip("one writer at a time")
    account_id = bench.account()
    application_id = assigned(bench, account_id)
    accounts, done = watched(bench), threading.Event()

    def change() -> None:
        def work(connection: Connection) -> None:
            accounts.find(connection, account_id, lock=True)
            accounts.tell_changed(connection, account_id, frozenset({"validity"}))

        bench.run(work)
        done.set()

    with bench.store.writing() as connection:
        task = bench.task(application_id, account_id)
        bench.handler.hold(connection, task.subject)
        bench.handler.decided(connection, task, PASSED)
        thread = threading.Thread(target=change)
        thread.start()
        assert not done.wait(1.0)
    thread.join()
    assert bench.state_of(application_id) == State.RECERT_REQUIRED


def test_what_is_passed_again_after_it_was_reopened_counts(bench: Bench) -> None:
    account_id = bench.account()
    first = bench.decided(account_id)
    second = bench.decided(account_id)
    bench.wait(seconds=1)
    task = bench.task(first, account_id)
    bench.run(lambda connection: bench.handler.reopened(connection, task))
    bench.run(lambda connection: bench.handler.assigned(connection, task))
    decide(bench, account_id, first)
    with bench.store.reading() as connection:
        [one] = bench.room.standings.require_certified(connection, account_id)
        assert one.application_id == first
        badge = badge_of(connection, second)
        assert badge is not None
        assert badge.revoked_us is not None


def test_a_pass_of_one_type_settles_nothing_of_another(bench: Bench) -> None:
    account_id = bench.account()
    personal = bench.decided(account_id)
    extra = pb.CertificationType(code="EXTRA", version=1, level=1, checks=["material"])
    bench.run(
        lambda connection: bench.core.catalogue.publish_type(
            connection, extra, effective_us=None, author="service-token/operator"
        )
    )
    change_card(bench, account_id)
    verify(bench, account_id)
    row = bench.run(lambda connection: bench.desk.create(connection, account_id, "EXTRA", []))
    assert not isinstance(row, ServiceError)
    bench.declare(account_id, row.application_id)
    bench.run(lambda connection: bench.desk.submit(connection, account_id, row.application_id, etag=""))
    task = bench.task(row.application_id, account_id)
    bench.run(lambda connection: bench.handler.assigned(connection, task))
    decide(bench, account_id, row.application_id)
    query = text("SELECT settled_us FROM certification_recerts WHERE application_id = :id")
    with bench.store.reading() as connection:
        assert connection.execute(query, {"id": personal}).scalar_one() is None
    assert bench.state_of(personal) == State.RECERT_REQUIRED


@pytest.mark.parametrize("how", ["erased", "ended"])
def test_the_periodic_review_goes_past_who_is_gone(bench: Bench, how: str) -> None:
    gone, other = bench.account(), bench.account(valid_to=date(2027, 1, 1))
    first, second = bench.decided(gone), bench.decided(other)
    if how == "erased":
        bench.run(lambda connection: forget_person(connection, sealed_tables(), gone, now_us=1))
    else:
        reason = account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
        bench.run(lambda connection: watched(bench).deregister(connection, gone, reason))
        with bench.store.reading() as connection:
            badge = badge_of(connection, first)
            assert badge is not None
            assert (badge.revoked_us is not None, badge.revoked_why) == (True, ACCOUNT_ENDED)
    bench.wait(days=200)
    done = bench.room.periodic.run()
    assert (done.checked, done.flagged) == (2, 1)
    assert bench.state_of(second) == State.RECERT_REQUIRED
    assert bench.state_of(first) == State.PASSED
    assert told(bench, "certification_recert") == 1  # nobody asks who is gone to certify again


def test_the_badge_of_an_erased_person_counts_no_more(bench: Bench) -> None:
    account_id = bench.account()
    application_id = bench.decided(account_id)
    with bench.store.reading() as connection:
        badge = badge_of(connection, application_id)
        assert badge is not None
        assert bench.core.badges.check(connection, badge.badge_id)[0].state == 1
    bench.run(lambda connection: forget_person(connection, sealed_tables(), account_id, now_us=1))
    with bench.store.reading() as connection, pytest.raises(ServiceError) as gone:
        bench.core.badges.check(connection, badge.badge_id)
    assert gone.value.reason is Reason.BADGE_NOT_FOUND


def test_the_end_of_an_account_ends_what_is_open(bench: Bench) -> None:
    account_id = bench.account()
    application_id = bench.submitted(account_id)
    reason = account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
    bench.run(lambda connection: watched(bench).deregister(connection, account_id, reason))
    assert bench.state_of(application_id) == State.WITHDRAWN
    with bench.store.reading() as connection:
        row = account_rows.get_account(connection, account_id)
        states = connection.execute(text("SELECT state FROM review_tasks")).scalars().all()
    assert row is not None
    assert len(states) == 1
