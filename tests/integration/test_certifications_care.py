"""What watches over certifications: limits, changes of identity, the periodic review, the audit chain."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from cloud.certifications.periodic import PeriodicReview
from cloud.certifications.states import State
from cloud.commands.keys import sealed_tables
from cloud.errors import Reason, ServiceError
from cloud.store.certifications import ApplicationRow, get_result, materials_of
from cloud.store.sealed import forget_person
from tests.support.accounts import as_account
from tests.support.certification_desk import Bench, open_bench
from tests.support.certifications import certifying, form, refused
from tests.support.cloud import running_cloud
from tests.support.spool import wait_for
from verifield.v1 import account_service_pb2, identity_pb2
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(database_url, tmp_path) as opened:
        yield opened


def extra_type(code: str) -> pb.CertificationType:
    return pb.CertificationType(code=code, version=1, level=1, checks=["material"])


@pytest.mark.req("R106")
def test_the_periodic_review_flags_what_is_no_longer_so_once_a_day(bench: Bench) -> None:
    """100 accounts, 10 with an expired card, 10 stale, 10 verified too long ago; two servers at once."""
    now = bench.clock["at"]
    expected: dict[str, int] = {}
    for number in range(100):
        valid_to = date(2027, 1, 1) if number % 10 == 3 else date(2040, 1, 2)
        account_id = bench.account(valid_to=valid_to)
        application_id = bench.decided(account_id)
        if number % 10 == 3:
            expected[application_id] = pb.RECERT_REASON_ID_EXPIRED
        elif number % 10 in (5, 7):
            stale = {"stale_us": 1} if number % 10 == 5 else {"verified_us": 1}
            with bench.store.writing() as connection:
                column, value = next(iter(stale.items()))
                connection.execute(
                    text(f"UPDATE identities SET {column} = :value WHERE account_id = :id"),
                    {"value": value, "id": account_id},
                )
            expected[application_id] = pb.RECERT_REASON_CHECK_STALE
    bench.wait(days=(date(2027, 3, 1) - now.date()).days)
    servers = [PeriodicReview(bench.core, bench.store) for _ in range(2)]
    threads = [threading.Thread(target=server.run) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with bench.store.reading() as connection:
        [done] = connection.execute(text("SELECT checked, flagged FROM certification_rounds")).all()
        tasks = connection.execute(text("SELECT application_id, why FROM certification_recerts")).all()
        told = connection.execute(
            text("SELECT count(*) FROM messages WHERE template = 'certification_recert'")
        ).scalar_one()
    assert tuple(done) == (100, 30)
    assert {row.application_id: row.why for row in tasks} == expected
    assert len(tasks) == told == 30
    for application_id in expected:
        assert bench.state_of(application_id) == State.RECERT_REQUIRED
    before = bench.dump()
    assert [server.job() for server in servers] == [0, 0]
    assert servers[0].run().flagged == 30
    assert bench.dump() == before
    bench.wait(days=1)
    assert (servers[1].job(), servers[0].job()) == (0, 0)


def test_an_expired_badge_is_flagged_and_a_new_pass_settles_it(bench: Bench) -> None:
    account_id = bench.account()
    first = bench.decided(account_id)
    with bench.store.reading() as connection:
        [one] = bench.room.standings.require_certified(connection, account_id)
    assert one.application_id == first
    bench.wait(days=366)
    with bench.store.reading() as connection, pytest.raises(ServiceError) as refusal:
        bench.room.standings.require_certified(connection, account_id)
    assert refusal.value.reason is Reason.CERTIFICATION_REQUIRED
    assert bench.room.periodic.run().flagged == 1
    second = bench.decided(account_id)
    with bench.store.reading() as connection:
        [one] = bench.room.standings.require_certified(connection, account_id)
        assert one.application_id == second
        settled = connection.execute(text("SELECT settled_us FROM certification_recerts")).scalars().all()
    assert None not in settled


@pytest.mark.req("R110")
def test_who_applies_too_often_waits(database_url: str, tmp_path: Path) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant, other = office.applicant(), office.applicant()
        for _ in range(5):
            application_id = applicant.create()
            applicant.stub.WithdrawApplication(pb.WithdrawApplicationRequest(application_id=application_id))
        request = pb.CreateApplicationRequest(type_code="PERSONAL", form=form({}))
        code, info = refused(applicant.stub.CreateApplication, request)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.FREQUENT_APPLICANT)
        until = datetime.fromisoformat(info.metadata["until"])
        assert timedelta(days=6, hours=23) < until - datetime.now(UTC) <= timedelta(days=7)
        assert (
            refused(applicant.stub.CreateApplication, request)[1].metadata["until"] == info.metadata["until"]
        )
        other.create()
        lift = pb.LiftApplicationLimitRequest(account_id=applicant.account_id)
        assert refused(office.staff.LiftApplicationLimit, lift)[0] is grpc.StatusCode.INVALID_ARGUMENT
        lift.reason = "The form was at fault, not the applicant."
        office.staff.LiftApplicationLimit(lift)
        applicant.create()


@pytest.mark.req("R110")
def test_the_limit_is_exact_where_many_apply_at_once(bench: Bench) -> None:
    account_id = bench.account()
    codes = [f"TYPE_{number}" for number in range(9)]
    for code in codes:
        bench.run(
            lambda connection, code=code: bench.core.catalogue.publish_type(
                connection, extra_type(code), effective_us=None, author="service-token/operator"
            )
        )
    made: list[ApplicationRow | ServiceError] = []

    def begin(code: str) -> None:
        made.append(bench.run(lambda connection: bench.desk.create(connection, account_id, code, form({}))))

    threads = [threading.Thread(target=begin, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 9
    assert sum(isinstance(one, ApplicationRow) for one in made) == 5
    refusals = {str(one.metadata) for one in made if isinstance(one, ServiceError)}
    assert len(refusals) == 1  # trying does not make it longer
    bench.wait(days=7, seconds=-1)
    assert isinstance(bench.begin(account_id), ServiceError)
    bench.wait(seconds=1)
    assert isinstance(bench.begin(account_id), ApplicationRow)


def test_a_changed_identity_has_to_be_certified_again(database_url: str, tmp_path: Path) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        office.decide(application_id)
        with as_account(cloud, applicant.signed_in) as stubs:
            request = account_service_pb2.UpdateIdentityRequest(
                validity=identity_pb2.Validity(valid_from="2025-01-01", valid_to="2045-01-01")
            )
            stubs(AccountServiceStub).UpdateIdentity(request)
        status = applicant.status(application_id)
        assert status.application.state == pb.APPLICATION_STATE_RECERT_REQUIRED
        assert status.next_action == pb.APPLICANT_ACTION_REAPPLY
        assert list(status.recert_reasons) == [pb.RECERT_REASON_IDENTITY_CHANGED]
        badge = applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge
        check = office.staff.CheckBadge(pb.CheckBadgeRequest(file=badge))
        assert check.state == 3  # revoked
        wait_for(cloud, 1, to=applicant.signed_in.person.phone, template="certification_recert")
        request_again = pb.ReapplyRequest(application_id=application_id)
        assert refused(applicant.stub.Reapply, request_again)[1].reason == Reason.IDENTITY_REQUIRED
        office.verify(applicant.account_id)
        second = applicant.stub.Reapply(request_again).application.application_id
        applicant.complete(second)
        applicant.submit(second)
        office.decide(second)
        assert applicant.status(second).application.state == pb.APPLICATION_STATE_PASSED


def test_who_is_erased_leaves_nothing_that_can_be_read(bench: Bench) -> None:
    account_id = bench.account()
    application_id = bench.decided(account_id)
    with bench.store.reading() as connection:
        row = bench.core.find(connection, application_id)
        form_before = bench.core.vault.open_form(connection, row)
        materials = materials_of(connection, application_id)
        document = get_result(connection, row.result_id or "")
    assert form_before
    assert document is not None
    tables = sealed_tables()
    bench.run(lambda connection: forget_person(connection, tables, account_id, now_us=1))
    with bench.store.reading() as connection:
        row = bench.core.find(connection, application_id)
        assert bench.core.vault.open_form(connection, row) == {}
        for object_id in (document.document_id, *(one.object_id for one in materials)):
            with pytest.raises(ServiceError) as gone:
                bench.core.objects.open(connection, object_id)
            assert gone.value.reason is Reason.OBJECT_NOT_FOUND
        with pytest.raises(ServiceError) as gone:
            bench.core.badges.file_of(connection, application_id)
        assert gone.value.reason is Reason.BADGE_NOT_FOUND
    assert bench.core.objects.sweep(bench.store) == 6  # two pictures, three papers and their list


@pytest.mark.req("R107")
def test_an_event_that_was_edited_in_the_database_is_found(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        office.reject(application_id)
        subject = f"certifications/{application_id}"
        events = [
            (event.seq, event.action)
            for page in cloud.operator.pages(cloud.operator.audit.ListAuditEvents, _events_of(subject))
            for event in page.events
        ]
        actions = {action for _, action in events}
        assert {"certifications.create", "certifications.declare", "certifications.submit"} <= actions
        seq = next(seq for seq, action in events if action == "certifications.submit")
    assert _verify(tmp_path)[0] == 0
    import sqlite3  # noqa: PLC0415

    with sqlite3.connect(tmp_path / "verifield.db") as connection:
        [(content,)] = connection.execute("SELECT content FROM audit_events WHERE seq = ?", (seq,)).fetchall()
        changed = bytes(content).replace(b"certifications.submit", b"certifications.xubmit")
        assert changed != content
        connection.execute("UPDATE audit_events SET content = ? WHERE seq = ?", (changed, seq))
    status, output = _verify(tmp_path)
    assert status == 4
    assert str(seq) in output


def _events_of(subject: str) -> object:
    from verifield.v1 import audit_service_pb2  # noqa: PLC0415

    return audit_service_pb2.ListAuditEventsRequest(subject=subject, page_size=500)


def _verify(data: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("verifield-cloud")),
            "audit",
            "verify",
            "--data",
            str(data),
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout
