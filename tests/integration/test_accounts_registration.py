"""Registering an account, until it is active; what is refused, and what an account is found by."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from sqlalchemy import func, select

from cloud.access.roles import Role
from cloud.accounts.states import Event, State
from cloud.elements import Validity
from cloud.errors import ServiceError
from cloud.store.schema import account_identifiers, accounts, objects
from tests.integration.test_accounts_sign_in import CHEAP, allow_lookups, ended, login, reason
from tests.support.accounts import (
    Citizen,
    SignedIn,
    as_account,
    in_database,
    new_citizen,
    register_request,
    registered,
)
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.identity import verified
from tests.support.people import add_person, channel_of
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import certification_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub

CREDIT_CODE = "91110000600037341L"


@pytest.fixture(scope="module")
def cloud(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url, open_calls_per_minute=100_000, **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


def register(cloud: RunningCloud, request: pb.RegisterRequest) -> pb.RegisterResponse:
    with as_account(cloud, None) as stub:
        answer: pb.RegisterResponse = stub(AccountServiceStub).Register(request, timeout=20)
    return answer


def refused(cloud: RunningCloud, request: pb.RegisterRequest) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        register(cloud, request)
    return caught.value


def why(cloud: RunningCloud, request: pb.RegisterRequest) -> str:
    return str(refusal(refused(cloud, request))[1].reason)


def fields_of(error: Any) -> list[str]:
    status = rpc_status.from_call(error)
    found = BadRequest()
    assert status is not None
    [detail] = [detail for detail in status.details if detail.Is(BadRequest.DESCRIPTOR)]
    detail.Unpack(found)
    return [violation.field for violation in found.field_violations]


def count(cloud: RunningCloud, table: Any) -> int:
    with cloud.database() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def move(cloud: RunningCloud, account_id: str, *events: Event) -> None:
    def work(connection: Any, room: Any) -> None:
        for event in events:
            room.accounts.advance(connection, account_id, event)

    in_database(cloud, work)


@pytest.mark.req("R022")
def test_persons_and_organisations_register_and_act_once_their_person_is_verified(
    cloud: RunningCloud,
) -> None:
    person = register(cloud, register_request(new_citizen()))
    assert person.account.subject_type == pb.SUBJECT_TYPE_PERSON
    citizen = new_citizen(organisation_name="京师测试有限公司", organisation_code=CREDIT_CODE)
    made = register(cloud, register_request(citizen, subject_type=pb.SUBJECT_TYPE_ORGANISATION))
    assert made.account.subject_type == pb.SUBJECT_TYPE_ORGANISATION
    assert (made.account.organisation_name, made.account.organisation_code) == (
        "京师测试有限公司",
        CREDIT_CODE,
    )
    signed_in = SignedIn(made.account.account_id, made.session.token, citizen)
    with as_account(cloud, signed_in) as stub:
        accounts = stub(AccountServiceStub)
        for event in (Event.VERIFY_PHONE, Event.VERIFY_ELEMENTS, Event.VERIFY_IDENTITY):
            with pytest.raises(grpc.RpcError) as caught:
                accounts.SetFilingPermission(pb.SetFilingPermissionRequest())
            assert refusal(caught.value)[1].reason == "ACCOUNT_NOT_ACTIVE"
            move(cloud, signed_in.account_id, event)
        accounts.SetFilingPermission(pb.SetFilingPermissionRequest())
    # Without its natural person there is no organisation.
    assert fields_of(refused(cloud, register_request(citizen, id_number="", subject_type=2))) == ["id_number"]


@pytest.mark.parametrize(
    ("field", "empty"),
    [("name", ""), ("id_number", ""), ("validity", None), ("phone", ""), ("facial_image", b"")],
)
@pytest.mark.req("R024")
def test_each_of_the_five_is_asked_for_by_its_name(cloud: RunningCloud, field: str, empty: Any) -> None:
    request = register_request(new_citizen())
    if empty is None:
        request.ClearField("validity")
    else:
        setattr(request, field, empty)
    before = count(cloud, accounts)
    error = refused(cloud, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(error) == [field]
    assert count(cloud, accounts) == before


@pytest.mark.parametrize("end", ["valid_from", "valid_to"])
@pytest.mark.req("R024")
def test_both_ends_of_the_validity_are_asked_for(cloud: RunningCloud, end: str) -> None:
    request = register_request(new_citizen())
    request.validity.ClearField(end)
    error = refused(cloud, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    [field] = fields_of(error)
    assert field.startswith("validity")


def test_a_registration_is_a_draft_whose_holder_is_signed_in(cloud: RunningCloud) -> None:
    citizen = new_citizen(email="Li@Example.org", login_name="Draft.Person")
    made = register(cloud, register_request(citizen))
    account = made.account
    assert (account.state, account.next_step) == (pb.ACCOUNT_STATE_DRAFT, pb.NEXT_STEP_VERIFY_PHONE)
    assert account.source == pb.ACCOUNT_SOURCE_NEW
    assert account.login_name == "draft.person"
    assert citizen.id_number not in str(account)
    assert citizen.phone.removeprefix("+86") not in str(account)
    assert account.id_number == f"110{'*' * 13}{citizen.id_number[-2:]}"
    assert account.email == "l***@example.org"
    with cloud.database() as connection:
        row = connection.execute(select(accounts).where(accounts.c.account_id == account.account_id)).one()
        kinds = connection.execute(
            select(account_identifiers.c.kind).where(account_identifiers.c.account_id == account.account_id)
        ).scalars()
        assert sorted(kinds) == [1, 2, 3]
        known = connection.execute(
            select(objects.c.person_id).where(objects.c.object_id == row.facial_image_id)
        ).scalar_one()
    assert known == account.account_id
    assert all(citizen.id_number.encode() not in bytes(value) for value in row if isinstance(value, bytes))


def test_a_picture_that_is_none_is_refused(cloud: RunningCloud) -> None:
    request = register_request(new_citizen(), facial_image=b"%PDF-1.7 not a face")
    assert why(cloud, request) == "OBJECT_TYPE_REFUSED"


def test_a_repeated_request_makes_one_account(cloud: RunningCloud) -> None:
    request = register_request(new_citizen(), request_id=str(uuid.uuid4()))
    first = register(cloud, request)
    assert register(cloud, request) == first


@pytest.mark.req("R065")
def test_a_person_has_one_account_that_lives(cloud: RunningCloud) -> None:
    citizen = new_citizen()
    made = register(cloud, register_request(citizen))
    again = register_request(replace(new_citizen(), id_number=citizen.id_number))
    error = refused(cloud, again)
    assert (error.code(), refusal(error)[1].reason) == (grpc.StatusCode.ALREADY_EXISTS, "ACCOUNT_EXISTS")
    centre(cloud).Deregister(
        pb.DeregisterRequest(account_id=made.account.account_id, reason=pb.DEREGISTRATION_REASON_HOLDER_ASKED)
    )
    assert register(cloud, again).account.account_id != made.account.account_id


@pytest.mark.req("R065")
def test_of_many_who_register_one_person_at_once_one_succeeds(cloud: RunningCloud) -> None:
    citizen = new_citizen()
    outcomes: list[str] = []

    def try_it() -> None:
        request = register_request(replace(new_citizen(), id_number=citizen.id_number))
        try:
            register(cloud, request)
            outcomes.append("")
        except grpc.RpcError as error:
            outcomes.append(refusal(error)[1].reason)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [""] + ["ACCOUNT_EXISTS"] * 7


@pytest.mark.req("R050")
def test_no_identifier_of_one_account_is_any_identifier_of_another(cloud: RunningCloud) -> None:
    first = register(cloud, register_request(new_citizen(login_name="taken-name")))
    taken_phone = register_request(new_citizen(), phone=new_phone_of(cloud, first.account.account_id))
    assert why(cloud, taken_phone) == "ACCOUNT_PHONE_TAKEN"
    assert why(cloud, register_request(new_citizen(login_name="Taken-Name"))) == "LOGIN_NAME_TAKEN"
    # What looks like a number is no login name, so that nobody takes that of somebody who comes later.
    for name in ("13800138000", "110101199003070134", "h1234567890"):
        assert why(cloud, register_request(new_citizen(), login_name=name)) in {
            "REQUEST_INVALID",
            "LOGIN_NAME_INVALID",
        }


@pytest.mark.req("R050")
def test_the_database_itself_keeps_the_kinds_apart(cloud: RunningCloud) -> None:
    """Where the rules for login names were others, the constraint still holds, whichever came first."""
    held = registered(cloud)
    other = registered(cloud)

    def put(kind: pb.IdentifierKind.ValueType, value: str) -> None:
        def work(connection: Any, room: Any) -> None:
            key = room.accounts.vault.key_of(connection, other.account_id)
            room.accounts.put_identifier(connection, key, other.account_id, kind, value)

        in_database(cloud, work)

    with pytest.raises(ServiceError) as caught:
        put(pb.IDENTIFIER_KIND_LOGIN_NAME, held.person.phone)
    assert caught.value.reason == "LOGIN_NAME_TAKEN"
    with pytest.raises(ServiceError):
        put(pb.IDENTIFIER_KIND_LOGIN_NAME, held.person.id_number)
    later = new_citizen()
    put(pb.IDENTIFIER_KIND_LOGIN_NAME, later.phone)
    assert why(cloud, register_request(later)) == "ACCOUNT_PHONE_TAKEN"
    assert login(cloud, later.phone).account_id == other.account_id


def new_phone_of(cloud: RunningCloud, account_id: str) -> str:
    return str(
        in_database(cloud, lambda connection, room: room.accounts.contact(connection, account_id).phone)
    )


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("aaaaaaaa", "REPEATED"),
        ("12345678", "COMMON"),
        ("password1", "COMMON"),
        ("Qwertyuiop", "COMMON"),
        ("ID", "PERSONAL"),
        ("BIRTH", "PERSONAL"),
        ("PHONE", "PERSONAL"),
        ("LOGIN", "PERSONAL"),
    ],
)
def test_a_password_that_others_guess_is_refused(cloud: RunningCloud, password: str, rule: str) -> None:
    citizen = new_citizen(login_name="guess-me")
    chosen = {
        "ID": citizen.id_number,
        "BIRTH": f"xy{citizen.id_number[6:14]}zw",
        "PHONE": f"x{citizen.phone[3:]}",
        "LOGIN": "My-Guess-Me-7",
    }.get(password, password)
    error = refused(cloud, register_request(citizen, password=chosen))
    code, info, _ = refusal(error)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PASSWORD_WEAK")
    assert info.metadata["rule"] == rule
    assert fields_of(error) == ["password"]
    assert chosen not in str(error)


def test_a_draft_that_nobody_goes_on_with_ends_after_a_day(database_url: str, tmp_path: Any) -> None:
    from cloud.accounts.serve import jobs  # noqa: PLC0415
    from cloud.store.database import Store, StoreOptions  # noqa: PLC0415
    from tests.support.accounts import open_room  # noqa: PLC0415

    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        draft = registered(cloud, state=State.DRAFT)
        going_on = registered(cloud, state=State.PHONE_VERIFIED)
        active = registered(cloud)
        clock.offset += timedelta(hours=25)
        store = Store.open(cloud.database_url, StoreOptions(require_durable=False))
        try:
            room = open_room(store, cloud)
            [expire, _, sweep] = jobs(_base(store, room), room.accounts)
            assert (expire.run(), expire.run()) == (1, 0)
            sweep.run()
        finally:
            store.close()
        assert reason(cloud, draft.person.phone) == "LOGIN_USER_NOT_FOUND"
        assert login(cloud, going_on.person.phone).state == pb.ACCOUNT_STATE_PHONE_VERIFIED
        assert login(cloud, active.person.phone).state == pb.ACCOUNT_STATE_ACTIVE
        register(cloud, register_request(draft.person))


def _base(store: Any, room: Any) -> Any:
    from cloud.serving import Base  # noqa: PLC0415

    return Base(store, room.sources, None, room.persons, None)  # type: ignore[arg-type]


class Centre:
    """Calls of somebody in the information centre."""

    def __init__(self, cloud: RunningCloud, login: str) -> None:
        self.cloud = cloud
        self.person = add_person(cloud, login, Role.INFORMATION_CENTRE)

    def __getattr__(self, name: str) -> Any:
        def call(request: Any) -> Any:
            with channel_of(self.cloud, self.person) as channel:
                return getattr(AccountServiceStub(channel), name)(request, timeout=60)

        return call


def centre(cloud: RunningCloud) -> Centre:
    return Centre(cloud, f"centre-{uuid.uuid4().hex[:12]}")


@pytest.mark.req("R064")
def test_a_holder_of_an_old_card_is_ended_and_registers_anew(cloud: RunningCloud) -> None:
    old_card = Validity(date(2010, 1, 2), date(2020, 1, 2))
    citizen: Citizen = new_citizen(validity=old_card)
    made = register(cloud, register_request(citizen))
    signed_in = SignedIn(made.account.account_id, made.session.token, citizen)
    move(cloud, signed_in.account_id, Event.VERIFY_PHONE, Event.VERIFY_ELEMENTS)
    # Stuck before the face: no call takes other dates.
    with as_account(cloud, signed_in) as stub, pytest.raises(grpc.RpcError) as caught:
        stub(AccountServiceStub).UpdateIdentity(
            pb.UpdateIdentityRequest(validity=register_request(new_citizen()).validity)
        )
    assert refusal(caught.value)[1].reason == "ACCOUNT_NOT_ACTIVE"
    staff = centre(cloud)
    answer = staff.Deregister(
        pb.DeregisterRequest(account_id=signed_in.account_id, reason=pb.DEREGISTRATION_REASON_OLD_CARD_DATES)
    )
    assert answer.account.state == pb.ACCOUNT_STATE_DEREGISTERED
    assert ended(cloud, signed_in)
    for identifier in (citizen.id_number, citizen.phone):
        assert reason(cloud, identifier) == "LOGIN_USER_NOT_FOUND"
    new_card = replace(citizen, validity=Validity(date(2020, 1, 3), None))
    again = register(cloud, register_request(new_card))
    assert again.account.account_id != signed_in.account_id
    assert again.account.validity.long_term
    assert login(cloud, citizen.id_number).account_id == again.account.account_id
    auditor = add_person(cloud, f"auditor-{uuid.uuid4().hex[:8]}", Role.AUDITOR)
    with channel_of(cloud, auditor) as channel:
        accounts = AccountServiceStub(channel)
        listed = accounts.ListAccounts(pb.ListAccountsRequest(id_number=citizen.id_number)).accounts
        old = accounts.GetAccount(pb.GetAccountRequest(account_id=signed_in.account_id)).account
        tries = accounts.ListSignIns(pb.ListSignInsRequest(account_id=signed_in.account_id)).sign_ins
    assert [one.account_id for one in listed] == [signed_in.account_id, again.account.account_id]
    assert old.end_reason == pb.DEREGISTRATION_REASON_OLD_CARD_DATES
    assert old.validity.valid_from == "2010-01-02"
    assert [one.method for one in tries] == [pb.SIGN_IN_METHOD_REGISTRATION]
    with pytest.raises(grpc.RpcError) as caught:
        staff.Deregister(
            pb.DeregisterRequest(
                account_id=signed_in.account_id, reason=pb.DEREGISTRATION_REASON_HOLDER_ASKED
            )
        )
    assert refusal(caught.value)[1].reason == "ACCOUNT_STATE"


@pytest.mark.req("R084")
def test_certification_needs_an_account_that_is_active(cloud: RunningCloud) -> None:
    made = register(cloud, register_request(new_citizen()))
    signed_in = SignedIn(made.account.account_id, made.session.token, new_citizen())
    request = certification_service_pb2.CreateApplicationRequest(type_code="PERSONAL")
    with as_account(cloud, signed_in) as stub:
        certifications = stub(CertificationServiceStub)
        for event in (Event.VERIFY_PHONE, Event.VERIFY_ELEMENTS, Event.VERIFY_IDENTITY):
            with pytest.raises(grpc.RpcError) as caught:
                certifications.CreateApplication(request)
            code, info, _ = refusal(caught.value)
            assert (code, info.reason) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "ACCOUNT_NOT_ACTIVE",
            )
            move(cloud, signed_in.account_id, event)
        verified(cloud, signed_in)
        assert certifications.CreateApplication(request).application.application_id
