"""What is over is over: sessions that end, accounts that end, people who are erased, numbers that change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cloud.accounts.serve import jobs
from cloud.accounts.sessions import Sessions
from cloud.accounts.states import Event, State
from cloud.cli import app as commands
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import (
    account_activations,
    account_credentials,
    account_identifiers,
    account_sessions,
    accounts,
    code_challenges,
)
from tests.integration.test_accounts_registration import _base, centre, move, register
from tests.integration.test_accounts_sign_in import CHEAP, allow_lookups, ended, login, reason
from tests.support.accounts import (
    PASSWORD,
    SignedIn,
    as_account,
    in_database,
    new_citizen,
    open_room,
    register_request,
    registered,
    sign_in,
)
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.spool import last_code
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import otp_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

NEW_PASSWORD = "neun-Giraffen-9"


@pytest.fixture(scope="module")
def cloud(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url, open_calls_per_minute=100_000, **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


def call(cloud: RunningCloud, signed_in: SignedIn | None, name: str, request: Any) -> Any:
    with as_account(cloud, signed_in) as stub:
        return getattr(stub(AccountServiceStub), name)(request, timeout=20)


def why(cloud: RunningCloud, signed_in: SignedIn | None, name: str, request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(cloud, signed_in, name, request)
    return str(refusal(caught.value)[1].reason)


def erase(cloud: RunningCloud, account_id: str) -> None:
    done = CliRunner().invoke(
        commands,
        [
            "persons",
            "erase",
            account_id,
            "--yes",
            "--data",
            str(cloud.data),
            "--database",
            cloud.database_url,
        ],
        env={"VERIFIELD_CLOUD_REQUIRE_DURABLE_DATABASE": "false"},  # the tests' PostgreSQL forgets
    )
    assert done.exit_code == 0, done.output


def row_of(cloud: RunningCloud, account_id: str) -> Any:
    with cloud.database() as connection:
        return connection.execute(select(accounts).where(accounts.c.account_id == account_id)).one()


def count_of(cloud: RunningCloud, table: Any, account_id: str, *which: Any) -> int:
    with cloud.database() as connection:
        return len(connection.execute(select(table).where(table.c.account_id == account_id, *which)).all())


def run_job(cloud: RunningCloud, name: str) -> int:
    """One turn of a job, beside those of the service."""
    store = Store.open(cloud.database_url, StoreOptions(require_durable=False))
    try:
        room = open_room(store, cloud)
        [job] = [one for one in jobs(_base(store, room), room.accounts) if one.name == name]
        return job.run()
    finally:
        store.close()


def test_who_is_erased_is_signed_out_at_once_and_the_account_ends(cloud: RunningCloud) -> None:
    made = registered(cloud)
    other = sign_in(cloud, made)
    assert not ended(cloud, made)
    erase(cloud, made.account_id)
    threading.Event().wait(1.1)  # what a server remembers of a session
    assert ended(cloud, made)
    assert ended(cloud, other)
    assert reason(cloud, made.person.phone) == "LOGIN_USER_NOT_FOUND"
    assert not count_of(cloud, account_sessions, made.account_id, account_sessions.c.ended_us.is_(None))
    assert not count_of(cloud, account_credentials, made.account_id)
    run_job(cloud, "erased_accounts")
    row = row_of(cloud, made.account_id)
    assert (row.state, row.end_reason) == (State.DEREGISTERED, pb.DEREGISTRATION_REASON_ERASED)
    assert not count_of(cloud, account_identifiers, made.account_id)
    assert run_job(cloud, "erased_accounts") == 0
    again = register(cloud, register_request(made.person))
    assert again.account.account_id != made.account_id


def test_an_erased_account_of_an_earlier_system_is_not_activated_by_who_had_begun(
    cloud: RunningCloud,
) -> None:
    made = registered(cloud, state=State.SYNCED_INACTIVE)
    request = pb.StartActivationRequest(id_number=made.person.id_number)
    token = call(cloud, None, "StartActivation", request).activation_token
    erase(cloud, made.account_id)
    late = pb.VerifyActivationPhoneRequest(activation_token=token, phone=made.person.phone)
    assert why(cloud, None, "VerifyActivationPhone", late) == "ACTIVATION_REFUSED"


def test_what_an_account_leaves_open_ends_with_it(cloud: RunningCloud) -> None:
    made = registered(cloud)
    sent = call(cloud, None, "StartPasswordReset", pb.StartPasswordResetRequest(identifier=made.person.phone))
    request = pb.DeregisterRequest(account_id=made.account_id, reason=pb.DEREGISTRATION_REASON_HOLDER_ASKED)
    centre(cloud).Deregister(request)
    assert ended(cloud, made)
    for table in (account_identifiers, account_credentials):
        assert not count_of(cloud, table, made.account_id)
    open_ones = account_activations.c.state.in_([1, 2, 3])
    assert not count_of(cloud, account_activations, made.account_id, open_ones)
    with cloud.database() as connection:
        own = code_challenges.c.challenge_id == sent.challenge_id
        state = connection.execute(select(code_challenges.c.state).where(own)).scalar_one()
    assert state == otp_service_pb2.CHALLENGE_STATE_REPLACED
    assert why(cloud, made, "GetProfile", pb.GetProfileRequest()) == "SESSION_REFUSED"
    with pytest.raises(grpc.RpcError) as caught:
        centre(cloud).RebindPhone(
            pb.RebindPhoneRequest(account_id=made.account_id, phone=new_citizen().phone)
        )
    assert refusal(caught.value)[1].reason == "ACCOUNT_STATE"


@pytest.mark.req("R054")
def test_a_code_that_reached_the_former_number_resets_nothing(cloud: RunningCloud) -> None:
    """Somebody has the telephone that was lost: the centre has bound another number meanwhile."""
    made = registered(cloud)
    request = pb.StartPasswordResetRequest(identifier=made.person.id_number)
    sent = call(cloud, None, "StartPasswordReset", request)
    code = last_code(cloud, made.person.phone)
    in_database(
        cloud,
        lambda connection, room: room.accounts.rebind(connection, made.account_id, new_citizen().phone),
    )
    reset = pb.ResetPasswordRequest(
        identifier=made.person.id_number,
        challenge_id=sent.challenge_id,
        code=code,
        new_password=NEW_PASSWORD,
    )
    assert why(cloud, None, "ResetPassword", reset) in {"CODE_WRONG", "CODE_REPLACED"}
    assert login(cloud, made.person.id_number).account_id == made.account_id


def test_the_centre_rebinds_and_codes_to_the_former_number_count_no_more(cloud: RunningCloud) -> None:
    made = registered(cloud)
    with as_account(cloud, made) as stub:
        sent = stub(OtpServiceStub).SendCode(
            otp_service_pb2.SendCodeRequest(
                purpose=otp_service_pb2.CODE_PURPOSE_SIGN_CONTRACT, bound=b"x" * 32
            )
        )
    rebind = pb.RebindPhoneRequest(account_id=made.account_id, phone=new_citizen().phone)
    assert not centre(cloud).RebindPhone(rebind).done
    assert centre(cloud).RebindPhone(rebind).done
    with cloud.database() as connection:
        own = code_challenges.c.challenge_id == sent.challenge_id
        state = connection.execute(select(code_challenges.c.state).where(own)).scalar_one()
    assert state == otp_service_pb2.CHALLENGE_STATE_REPLACED


CHANGES = {
    "SetFilingPermission": pb.SetFilingPermissionRequest(),
    "UpdateIdentity": pb.UpdateIdentityRequest(email="neu@example.org"),
    "ChangePassword": pb.ChangePasswordRequest(old_password=PASSWORD, new_password=NEW_PASSWORD),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_session_that_ended_on_another_server_changes_nothing_here(cloud: RunningCloud, name: str) -> None:
    """This server remembers the session for a moment; what does harm looks into its row."""
    made = registered(cloud)
    assert not ended(cloud, made)  # it is remembered now

    def end(connection: Any, room: Any) -> None:
        room.accounts.end_sessions(connection, made.account_id)

    in_database(cloud, end)
    before = row_of(cloud, made.account_id)
    assert why(cloud, made, name, CHANGES[name]) == "SESSION_REFUSED"
    assert row_of(cloud, made.account_id) == before
    assert login(cloud, made.person.phone).account_id == made.account_id


def test_accounts_that_end_at_the_same_time_are_all_remembered_as_such(tmp_path: Any) -> None:
    """Whoever ends sessions runs in one of many threads."""
    sessions = Sessions(None, None, None)  # type: ignore[arg-type]
    faults: list[BaseException] = []
    barrier = threading.Barrier(8)

    def forget(number: int) -> None:
        try:
            barrier.wait()
            for one in range(400):
                sessions.forget(f"{number}-{one}")
        except BaseException as error:
            faults.append(error)

    import sys  # noqa: PLC0415

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=forget, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not faults
    assert all(sessions.is_ending(f"{number}-{one}") for number in range(8) for one in range(400))


def test_a_draft_that_waits_for_the_centre_does_not_end_after_a_day(database_url: str, tmp_path: Any) -> None:
    """No code reaches the number: a window has asked the centre to vouch, and people go home at night."""
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        from cloud.access.roles import Role  # noqa: PLC0415
        from tests.integration.test_accounts_activation import add_person  # noqa: PLC0415
        from tests.support.people import channel_of  # noqa: PLC0415
        from verifield.v1 import escalation_service_pb2 as pbe  # noqa: PLC0415
        from verifield.v1.escalation_service_pb2_grpc import EscalationServiceStub  # noqa: PLC0415

        waits, alone = registered(cloud, state=State.DRAFT), registered(cloud, state=State.DRAFT)
        window = add_person(cloud, "window", Role.WINDOW_STAFF)
        payload = pbe.TicketPayload(
            sms_phone=pbe.PhoneTicket(phone=waits.person.phone, id_number=waits.person.id_number)
        )
        with channel_of(cloud, window) as channel:
            EscalationServiceStub(channel).OpenTicket(
                pbe.OpenTicketRequest(
                    kind=pbe.TICKET_KIND_SMS_PHONE, account_id=waits.account_id, payload=payload
                )
            )
        clock.offset += timedelta(hours=25)
        run_job(cloud, "unfinished_accounts")
        assert row_of(cloud, alone.account_id).state == State.DEREGISTERED
        assert row_of(cloud, waits.account_id).state == State.DRAFT
        clock.offset += timedelta(days=30)
        run_job(cloud, "unfinished_accounts")
        assert row_of(cloud, waits.account_id).state == State.DEREGISTERED


def test_who_finishes_while_the_job_looks_is_not_ended(database_url: str, tmp_path: Any) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        drafts = [registered(cloud, state=State.DRAFT) for _ in range(12)]
        clock.offset += timedelta(hours=25)
        failures: list[str] = []

        def finish(account_id: str) -> None:
            try:
                move(cloud, account_id, Event.VERIFY_PHONE)
            except Exception as error:
                failures.append(str(getattr(error, "reason", error)))

        threads = [threading.Thread(target=finish, args=(one.account_id,)) for one in drafts]
        threads.append(threading.Thread(target=run_job, args=(cloud, "unfinished_accounts")))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        states = [row_of(cloud, one.account_id).state for one in drafts]
        assert set(states) <= {State.PHONE_VERIFIED, State.DEREGISTERED}
        assert states.count(State.DEREGISTERED) == len(failures)
        assert set(failures) <= {"ACCOUNT_STATE"}
