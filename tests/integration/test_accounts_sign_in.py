"""Signing in to accounts: three ways to say who one is, wrong passwords, sessions, and their history."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from cloud.accounts.states import State
from cloud.accounts.tries import FREE_TRIES
from cloud.commands.keys import sealed_tables
from cloud.store.schema import account_credentials, account_sessions, account_sign_ins, audit_events
from cloud.store.sealed import forget_person
from tests.support.accounts import (
    PASSWORD,
    SignedIn,
    as_account,
    in_database,
    new_citizen,
    registered,
    sign_in,
)
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import rulebook_pb2, rulebook_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub

CHEAP = {"password_memory_kib": 8, "password_passes": 1, "password_lanes": 1}


@pytest.fixture(scope="module")
def cloud(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url, open_calls_per_minute=100_000, **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


def allow_lookups(cloud: RunningCloud, count: int, *, tries: int = 10) -> None:
    rules = rulebook_pb2.LoginRules(tries_before_lock=tries, unknown_per_minute=count)
    rules.lock_for.FromTimedelta(timedelta(minutes=30))
    rules.session.FromTimedelta(timedelta(hours=12))
    request = rulebook_service_pb2.PublishRulesRequest(
        rules=rulebook_pb2.Rules(login=rules), note="for this test"
    )
    cloud.operator.call(cloud.operator.rules.PublishRules, request)


def login(cloud: RunningCloud, identifier: str, password: str = PASSWORD) -> pb.LoginResponse:
    with as_account(cloud, None) as stub:
        answer: pb.LoginResponse = stub(AccountServiceStub).Login(
            pb.LoginRequest(identifier=identifier, password=password), timeout=20
        )
    return answer


def refused(cloud: RunningCloud, identifier: str, password: str = PASSWORD) -> tuple[Any, Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        login(cloud, identifier, password)
    return refusal(caught.value)


def reason(cloud: RunningCloud, identifier: str, password: str = PASSWORD) -> str:
    return str(refused(cloud, identifier, password)[1].reason)


def profile(cloud: RunningCloud, token: str) -> pb.Account:
    signed_in = SignedIn("", token, new_citizen())
    with as_account(cloud, signed_in) as stub:
        found: pb.Account = stub(AccountServiceStub).GetProfile(pb.GetProfileRequest()).account
    return found


def ended(cloud: RunningCloud, signed_in: SignedIn) -> bool:
    with as_account(cloud, signed_in) as stub:
        try:
            stub(AccountServiceStub).GetAccountStatus(pb.GetAccountStatusRequest())
        except grpc.RpcError as error:
            code, info, _ = refusal(error)
            assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_REFUSED")
            return True
    return False


def failures_of(cloud: RunningCloud, account_id: str) -> int:
    with cloud.database() as connection:
        own = account_credentials.c.account_id == account_id
        return int(connection.execute(select(account_credentials.c.failures).where(own)).scalar_one())


@pytest.mark.req("R050")
def test_each_of_three_identifiers_signs_in_to_the_same_account(cloud: RunningCloud) -> None:
    made = registered(cloud, new_citizen(login_name="three-ways"))
    local = made.person.phone.removeprefix("+86")
    spellings = [
        made.person.id_number,
        made.person.id_number.lower(),
        f"{made.person.id_number[:6]} {made.person.id_number[6:14]} {made.person.id_number[14:]}",
        made.person.phone,
        local,
        f"{local[:3]} {local[3:7]} {local[7:]}",
        "three-ways",
        "Three-Ways",
    ]
    answers = [login(cloud, spelling) for spelling in spellings]
    assert {answer.account_id for answer in answers} == {made.account_id}
    assert {answer.state for answer in answers} == {pb.ACCOUNT_STATE_ACTIVE}
    assert {answer.next_step for answer in answers} == {pb.NEXT_STEP_NONE}
    assert len({answer.session.token for answer in answers}) == len(answers)
    assert profile(cloud, answers[0].session.token).account_id == made.account_id


@pytest.mark.req("R051")
def test_an_unknown_identifier_is_told_with_three_remedies_in_order(cloud: RunningCloud) -> None:
    stranger = new_citizen(login_name="never-registered")
    for identifier in (stranger.id_number, stranger.phone, stranger.login_name, "nonsense", "欧阳"):
        code, info, hint = refused(cloud, identifier)
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "LOGIN_USER_NOT_FOUND")
        assert info.metadata["remedies"].split(",") == [
            "CONFIRM_REGISTERED",
            "CHECK_IDENTIFIER_KIND",
            "USE_ID_NUMBER",
        ]
        assert "not accurate" in hint
        assert identifier not in hint


def test_a_wrong_password_says_what_to_check_and_how_many_tries_are_left(cloud: RunningCloud) -> None:
    made = registered(cloud)
    code, info, hint = refused(cloud, made.person.phone, PASSWORD + "x")
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "BAD_PASSWORD")
    assert info.metadata["tries_left"] == "9"
    assert "check what you typed" in hint
    assert login(cloud, made.person.phone).account_id == made.account_id
    assert failures_of(cloud, made.account_id) == 0


@pytest.mark.req("R055")
def test_ten_wrong_passwords_lock_and_the_right_one_is_refused_too(cloud: RunningCloud) -> None:
    made = registered(cloud)
    clock = cloud.clock
    try:
        for number in range(1, 11):
            assert reason(cloud, made.person.id_number, "wrong-wrong") == "BAD_PASSWORD"
            if FREE_TRIES < number < 10:  # the next try has to wait, whatever the password
                assert reason(cloud, made.person.id_number) == "PASSWORD_TOO_SOON"
                clock.offset += timedelta(seconds=31)
        code, info, _ = refused(cloud, made.person.id_number)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PASSWORD_LOCKED")
        clock.offset += timedelta(minutes=29)
        assert reason(cloud, made.person.id_number) == "PASSWORD_LOCKED"
        clock.offset += timedelta(minutes=2)
        assert login(cloud, made.person.id_number).account_id == made.account_id
    finally:
        clock.offset = timedelta()
    with cloud.database() as connection:
        kept = list(connection.execute(select(account_credentials.c.password)).scalars())
    assert kept
    assert all(one.startswith("$argon2id$") and PASSWORD not in one for one in kept)


@pytest.mark.req("R055")
def test_of_many_wrong_passwords_at_once_each_is_counted_and_none_is_forgotten(cloud: RunningCloud) -> None:
    made = registered(cloud)
    reasons: list[str] = []

    def guess() -> None:
        reasons.append(reason(cloud, made.person.phone, "wrong-wrong"))

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = reasons.count("BAD_PASSWORD")
    assert set(reasons) <= {"BAD_PASSWORD", "PASSWORD_TOO_SOON"}
    # Three cost no wait, the fourth one makes the others wait: nobody learns more than that.
    assert told == FREE_TRIES + 1 == failures_of(cloud, made.account_id)


@pytest.mark.req("R055")
def test_wrong_passwords_are_counted_over_a_restart(database_url: str, tmp_path: Any) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as first:
        made = registered(first)
        for _ in range(5):
            assert reason(first, made.person.phone, "wrong-wrong") == "BAD_PASSWORD"
            clock.offset += timedelta(seconds=31)
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as second:
        for _ in range(5):
            assert reason(second, made.person.phone, "wrong-wrong") == "BAD_PASSWORD"
            clock.offset += timedelta(seconds=31)
        assert reason(second, made.person.phone) == "PASSWORD_LOCKED"


@pytest.mark.req("R053")
def test_who_asks_for_strangers_hears_nothing_any_more_for_a_minute(database_url: str, tmp_path: Any) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        made = registered(cloud)
        for _ in range(10):  # the rule that the service comes with
            assert reason(cloud, new_citizen().phone) == "LOGIN_USER_NOT_FOUND"
        code, info, _ = refused(cloud, new_citizen().phone)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_LOOKUPS")
        assert reason(cloud, made.person.phone) == "TOO_MANY_LOOKUPS"  # nor of those who exist
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        assert reason(cloud, new_citizen().phone) == "TOO_MANY_LOOKUPS"
        clock.offset += timedelta(seconds=61)
        assert login(cloud, made.person.phone).account_id == made.account_id


@pytest.mark.req("R053")
def test_the_limit_of_look_ups_is_exact_for_many_at_once(database_url: str, tmp_path: Any) -> None:
    with running_cloud(tmp_path / "data", database=database_url, **CHEAP) as cloud:
        reasons: list[str] = []
        strangers = [new_citizen().phone for _ in range(30)]

        def ask(phone: str) -> None:
            reasons.append(reason(cloud, phone))

        threads = [threading.Thread(target=ask, args=(phone,)) for phone in strangers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert reasons.count("LOGIN_USER_NOT_FOUND") == 10
        assert reasons.count("TOO_MANY_LOOKUPS") == 20


def test_a_hash_of_another_cost_is_made_anew_at_the_next_sign_in(cloud: RunningCloud) -> None:
    made = registered(cloud)
    dear = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(PASSWORD)
    with cloud.database() as connection:
        own = account_credentials.c.account_id == made.account_id
        connection.execute(account_credentials.update().where(own).values(password=dear))
    login(cloud, made.person.phone)
    with cloud.database() as connection:
        kept = connection.execute(select(account_credentials.c.password).where(own)).scalar_one()
    assert "m=8,t=1,p=1" in kept
    assert login(cloud, made.person.phone).account_id == made.account_id


def test_full_width_letters_are_the_same_password(cloud: RunningCloud) -> None:
    made = registered(cloud, password="Kamele-sieben-7")
    assert login(cloud, made.person.phone, "Ｋａｍｅｌｅ-sieben-７").account_id == made.account_id


def test_a_session_ends_at_sign_out_at_once(cloud: RunningCloud) -> None:
    made = registered(cloud)
    other = sign_in(cloud, made)
    assert not ended(cloud, made)  # it is remembered now
    with as_account(cloud, made) as stub:
        stub(AccountServiceStub).SignOut(pb.SignOutRequest())
    assert ended(cloud, made)
    assert not ended(cloud, other)


def test_a_session_ends_unused_and_at_its_longest_life(database_url: str, tmp_path: Any) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        made = registered(cloud)
        unused = sign_in(cloud, made)
        for _ in range(24):
            assert not ended(cloud, made)
            clock.offset += timedelta(minutes=29)
        assert ended(cloud, unused)
        clock.offset += timedelta(minutes=25)
        assert ended(cloud, made)  # twelve hours


def test_the_holder_sees_and_ends_sessions(cloud: RunningCloud) -> None:
    made = registered(cloud)
    others = [sign_in(cloud, made) for _ in range(3)]
    stranger = registered(cloud)
    with as_account(cloud, made) as stub:
        accounts = stub(AccountServiceStub)
        listed = accounts.ListSessions(pb.ListSessionsRequest()).sessions
        assert [one.current for one in listed] == [False, False, False, True]
        assert {one.address for one in listed} == {"127.0.0.1"}
        newest = listed[0].session_id
        assert accounts.EndSession(pb.EndSessionRequest(session_id=newest)).ended == 1
        assert ended(cloud, others[2])
        with pytest.raises(grpc.RpcError) as caught:
            accounts.EndSession(pb.EndSessionRequest(session_id=newest))
        assert refusal(caught.value)[1].reason == "SESSION_NOT_FOUND"
        assert accounts.EndSession(pb.EndSessionRequest(all_others=True)).ended == 2
        assert len(accounts.ListSessions(pb.ListSessionsRequest()).sessions) == 1
    assert all(ended(cloud, one) for one in others)
    assert not ended(cloud, made)
    with as_account(cloud, stranger) as stub, pytest.raises(grpc.RpcError) as caught:
        stub(AccountServiceStub).EndSession(pb.EndSessionRequest(session_id=listed[3].session_id))
    assert refusal(caught.value)[1].reason == "SESSION_NOT_FOUND"


def test_the_history_tells_who_came_and_who_tried(cloud: RunningCloud) -> None:
    made = registered(cloud)
    refused(cloud, made.person.phone, "wrong-wrong")
    login(cloud, made.person.phone)
    with as_account(cloud, made) as stub:
        first = stub(AccountServiceStub).ListOwnSignIns(pb.ListOwnSignInsRequest(page_size=1))
        rest = stub(AccountServiceStub).ListOwnSignIns(
            pb.ListOwnSignInsRequest(page_size=1, page_token=first.next_page_token)
        )
    found = [*first.sign_ins, *rest.sign_ins]
    assert [one.outcome for one in found] == [
        pb.SIGN_IN_OUTCOME_DONE,
        pb.SIGN_IN_OUTCOME_BAD_PASSWORD,
    ]
    assert {one.address for one in found} == {"127.0.0.1"}
    assert not rest.next_page_token
    with cloud.database() as connection:
        sources = connection.execute(select(account_sign_ins.c.source)).scalars()
        assert all(b"127.0.0.1" not in bytes(source or b"") for source in sources)


def test_signing_in_writes_no_event_of_the_audit_chain(cloud: RunningCloud) -> None:
    made = registered(cloud)

    def events() -> int:
        with cloud.database() as connection:
            return len(connection.execute(select(audit_events.c.seq)).all())

    before = events()
    for _ in range(3):
        login(cloud, made.person.phone)
    assert events() == before


def test_tokens_and_passwords_are_in_no_log_and_not_in_the_database(cloud: RunningCloud) -> None:
    made = registered(cloud)
    token = login(cloud, made.person.phone).session.token
    assert PASSWORD not in str(cloud.log.calls)
    assert token not in str(cloud.log.calls)
    assert made.person.phone not in str(cloud.log.calls)
    with cloud.database() as connection:
        rows = connection.execute(select(account_sessions)).all()
    assert token.encode() not in b"".join(bytes(row.token_sha256) for row in rows)


def test_an_unfinished_registration_signs_in_and_is_told_what_comes_next(cloud: RunningCloud) -> None:
    for state, step in (
        (State.DRAFT, pb.NEXT_STEP_VERIFY_PHONE),
        (State.PHONE_VERIFIED, pb.NEXT_STEP_VERIFY_ELEMENTS),
        (State.ELEMENTS_VERIFIED, pb.NEXT_STEP_VERIFY_FACE),
    ):
        made = registered(cloud, state=state)
        answer = login(cloud, made.person.id_number)
        assert (answer.state, answer.next_step) == (state, step)


def test_a_forgotten_account_lets_nobody_in(cloud: RunningCloud) -> None:
    made = registered(cloud)
    in_database(
        cloud,
        lambda connection, _: forget_person(connection, sealed_tables(), made.account_id, now_us=1),
    )
    assert reason(cloud, made.person.phone) == "LOGIN_USER_NOT_FOUND"
    assert reason(cloud, made.person.id_number) == "LOGIN_USER_NOT_FOUND"
