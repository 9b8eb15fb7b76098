"""Accounts of an earlier system: brought over, found, and activated in three steps."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from sqlalchemy import func, select

from cloud.access.roles import Role
from cloud.accounts.states import State
from cloud.errors import ClientError
from cloud.store.schema import accounts, audit_events
from tests.integration.test_accounts_registration import centre, count, refused, register
from tests.integration.test_accounts_sign_in import CHEAP, allow_lookups, login, profile, reason
from tests.support.accounts import (
    Citizen,
    SignedIn,
    as_account,
    new_citizen,
    register_request,
    registered,
)
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import add_person, channel_of
from tests.support.spool import last_code, spooled
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import audit_pb2, escalation_service_pb2, otp_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.escalation_service_pb2_grpc import EscalationServiceStub

NEW_PASSWORD = "drei-Pinguine-3"


@pytest.fixture(scope="module")
def cloud(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url, open_calls_per_minute=100_000, **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


def synced(cloud: RunningCloud, person: Citizen | None = None) -> SignedIn:
    return registered(cloud, person, state=State.SYNCED_INACTIVE, source=pb.ACCOUNT_SOURCE_SYNCED)


def call(cloud: RunningCloud, name: str, request: Any) -> Any:
    with as_account(cloud, None) as stub:
        return getattr(stub(AccountServiceStub), name)(request, timeout=20)


def why(cloud: RunningCloud, name: str, request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(cloud, name, request)
    return str(refusal(caught.value)[1].reason)


def start(cloud: RunningCloud, person: Citizen) -> str:
    request = pb.StartActivationRequest(id_number=person.id_number)
    return str(call(cloud, "StartActivation", request).activation_token)


def verify(cloud: RunningCloud, token: str, phone: str) -> pb.VerifyActivationPhoneResponse:
    request = pb.VerifyActivationPhoneRequest(activation_token=token, phone=phone)
    answer: pb.VerifyActivationPhoneResponse = call(cloud, "VerifyActivationPhone", request)
    return answer


def confirm(cloud: RunningCloud, token: str, phone: str) -> None:
    code = last_code(cloud, phone)
    call(
        cloud,
        "ConfirmActivationPhone",
        pb.ConfirmActivationPhoneRequest(activation_token=token, code=code),
    )


def activate(cloud: RunningCloud, token: str) -> pb.ActivateResponse:
    answer: pb.ActivateResponse = call(
        cloud, "Activate", pb.ActivateRequest(activation_token=token, new_password=NEW_PASSWORD)
    )
    return answer


@pytest.mark.req("R066")
def test_who_registers_and_is_known_is_led_to_the_activation(cloud: RunningCloud) -> None:
    made = synced(cloud)
    before = count(cloud, accounts)
    error = refused(cloud, register_request(made.person))
    code, info, _ = refusal(error)
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACTIVATION_REQUIRED")
    assert info.metadata["next_step"] == "ACTIVATE"
    assert count(cloud, accounts) == before
    token = info.metadata["activation_token"]
    verify(cloud, token, made.person.phone)
    confirm(cloud, token, made.person.phone)
    assert activate(cloud, token).account.account_id == made.account_id


@pytest.mark.req("R067")
def test_each_identifier_of_an_inactive_account_leads_there_whatever_the_password(
    cloud: RunningCloud,
) -> None:
    made = synced(cloud, new_citizen(login_name="from-before"))
    for identifier in (made.person.id_number, made.person.phone, "from-before"):
        for password in ("anything-at-all", "x"):
            assert reason(cloud, identifier, password) == "ACTIVATION_REQUIRED"


@pytest.mark.req("R068", "R069", "R070", "R071")
def test_three_steps_activate_an_account_and_sign_its_holder_in(cloud: RunningCloud) -> None:
    made = synced(cloud)
    # Step 1: another number of identity is nobody's, or somebody's who is active: no token, no step 2.
    stranger = pb.StartActivationRequest(id_number=new_citizen().id_number)
    assert why(cloud, "StartActivation", stranger) == "LOGIN_USER_NOT_FOUND"
    active = pb.StartActivationRequest(id_number=registered(cloud).person.id_number)
    assert why(cloud, "StartActivation", active) == "ACCOUNT_EXISTS"
    last = "1" if made.person.id_number.endswith("0") else "0"
    mistyped = pb.StartActivationRequest(id_number=made.person.id_number[:-1] + last)
    assert why(cloud, "StartActivation", mistyped) in {"ID_NUMBER_INVALID", "LOGIN_USER_NOT_FOUND"}
    guessed = pb.VerifyActivationPhoneRequest(activation_token="vfa_" + "A" * 43, phone=made.person.phone)
    assert why(cloud, "VerifyActivationPhone", guessed) == "ACTIVATION_REFUSED"
    token = start(cloud, made.person)
    # Step 3 does not come before step 2.
    early = pb.ActivateRequest(activation_token=token, new_password=NEW_PASSWORD)
    assert why(cloud, "Activate", early) == "ACTIVATION_PHONE_UNVERIFIED"
    # Step 2: another telephone number is sent nothing.
    other = new_citizen().phone
    wrong = pb.VerifyActivationPhoneRequest(activation_token=token, phone=other)
    assert why(cloud, "VerifyActivationPhone", wrong) == "ACTIVATION_PHONE_MISMATCH"
    verify(cloud, token, made.person.phone)
    again = pb.VerifyActivationPhoneRequest(activation_token=token, phone=made.person.phone)
    assert why(cloud, "VerifyActivationPhone", again) == "SMS_TOO_OFTEN"
    assert why(cloud, "Activate", early) == "ACTIVATION_PHONE_UNVERIFIED"
    confirm(cloud, token, made.person.phone)
    assert not spooled(cloud, to=other)
    # Step 3.
    personal = pb.ActivateRequest(activation_token=token, new_password=made.person.id_number)
    assert why(cloud, "Activate", personal) == "PASSWORD_WEAK"
    answer = activate(cloud, token)
    assert answer.account.state == pb.ACCOUNT_STATE_ACTIVE
    assert profile(cloud, answer.session.token).account_id == made.account_id
    assert login(cloud, made.person.phone, NEW_PASSWORD).account_id == made.account_id
    assert why(cloud, "Activate", early) in {"ACTIVATION_PHONE_UNVERIFIED", "ACTIVATION_REFUSED"}


@pytest.mark.req("R069")
def test_after_five_numbers_that_are_not_the_one_the_token_is_of_no_use(cloud: RunningCloud) -> None:
    made = synced(cloud)
    token = start(cloud, made.person)
    for _ in range(5):
        wrong = pb.VerifyActivationPhoneRequest(activation_token=token, phone=new_citizen().phone)
        assert why(cloud, "VerifyActivationPhone", wrong) == "ACTIVATION_PHONE_MISMATCH"
    right = pb.VerifyActivationPhoneRequest(activation_token=token, phone=made.person.phone)
    assert why(cloud, "VerifyActivationPhone", right) == "ACTIVATION_REFUSED"
    assert not spooled(cloud, to=made.person.phone)


def to_synced(person: Citizen) -> pb.SyncedAccount:
    return pb.SyncedAccount(
        name=person.name,
        id_number=person.id_number,
        phone=person.phone,
        login_name=person.login_name,
    )


@pytest.mark.req("R072")
def test_a_thousand_accounts_brought_over_twice_are_a_thousand(cloud: RunningCloud) -> None:
    people = [new_citizen() for _ in range(1000)]
    staff = centre(cloud)
    before = count(cloud, accounts)
    for outcome in (pb.IMPORT_OUTCOME_CREATED, pb.IMPORT_OUTCOME_EXISTING):
        for first in range(0, 1000, 200):
            batch = map(to_synced, people[first : first + 200])
            answer = staff.ImportSynced(pb.ImportSyncedRequest(accounts=batch))
            assert {one.outcome for one in answer.results} == {outcome}
    assert count(cloud, accounts) == before + 1000
    with cloud.database() as connection:
        inactive = connection.execute(
            select(func.count()).where(accounts.c.state == State.SYNCED_INACTIVE)
        ).scalar_one()
    assert inactive >= 1000
    assert reason(cloud, people[999].phone) == "ACTIVATION_REQUIRED"


def test_what_cannot_be_brought_over_is_told_row_by_row(cloud: RunningCloud) -> None:
    held = registered(cloud)
    good = new_citizen()
    rows = [
        to_synced(good),
        to_synced(new_citizen(phone=held.person.phone)),
        pb.SyncedAccount(name="王芳", id_number="110101199003070000", phone=new_citizen().phone),
        to_synced(held.person),
    ]
    answer = centre(cloud).ImportSynced(pb.ImportSyncedRequest(accounts=rows))
    assert [(one.outcome, one.reason) for one in answer.results] == [
        (pb.IMPORT_OUTCOME_CREATED, ""),
        (pb.IMPORT_OUTCOME_REFUSED, "ACCOUNT_PHONE_TAKEN"),
        (pb.IMPORT_OUTCOME_REFUSED, "ID_NUMBER_INVALID"),
        (pb.IMPORT_OUTCOME_EXISTING, ""),
    ]


def facts_of(cloud: RunningCloud, action: str, account_id: str) -> list[dict[str, str]]:
    with cloud.database() as connection:
        found = connection.execute(
            select(audit_events.c.content)
            .where(audit_events.c.action == action, audit_events.c.subject == f"accounts/{account_id}")
            .order_by(audit_events.c.seq)
        ).scalars()
        events = [audit_pb2.AuditEvent.FromString(bytes(content)) for content in found]
    return [{fact.key: fact.value for fact in event.facts} for event in events]


def proven(cloud: RunningCloud, account_id: str, proof_id: str) -> str:
    """The number that was proven, masked."""
    request = otp_service_pb2.GetPhoneProofsRequest(account_id=account_id)
    proofs = cloud.operator.call(cloud.operator.phones.GetPhoneProofs, request).proofs
    return {one.proof_id: one.masked_phone for one in proofs}[proof_id]


@pytest.mark.req("R073")
def test_the_centre_binds_another_number_by_two_people_and_activation_passes(
    cloud: RunningCloud,
) -> None:
    made = synced(cloud)
    new_phone = new_citizen().phone
    spoiled = start(cloud, made.person)
    first, second = centre(cloud), centre(cloud)
    request = pb.RebindPhoneRequest(account_id=made.account_id, phone=new_phone)
    assert not first.RebindPhone(request).done
    with pytest.raises(grpc.RpcError) as caught:  # nobody is two people
        first.RebindPhone(request)
    assert refusal(caught.value)[1].reason == "SECOND_PERSON_NEEDED"
    with pytest.raises(ClientError) as told:  # a token of the service may be anybody's
        cloud.operator.call(cloud.operator.accounts.RebindPhone, request)
    assert told.value.code == "SECOND_PERSON_NEEDED"
    assert reason(cloud, new_phone) == "LOGIN_USER_NOT_FOUND"
    assert second.RebindPhone(request).done
    late = pb.VerifyActivationPhoneRequest(activation_token=spoiled, phone=new_phone)
    assert why(cloud, "VerifyActivationPhone", late) == "ACTIVATION_REFUSED"
    token = start(cloud, made.person)
    old = pb.VerifyActivationPhoneRequest(activation_token=token, phone=made.person.phone)
    assert why(cloud, "VerifyActivationPhone", old) == "ACTIVATION_PHONE_MISMATCH"
    verify(cloud, token, new_phone)
    confirm(cloud, token, new_phone)
    assert activate(cloud, token).account.state == pb.ACCOUNT_STATE_ACTIVE
    events = facts_of(cloud, "accounts.rebind_phone", made.account_id)
    assert [event["step"] for event in events if "step" in event] == ["proposed", "confirmed"]
    assert proven(cloud, made.account_id, events[-1]["proof"]).endswith(new_phone[-4:])
    for phone in (made.person.phone, new_phone):  # also not masked: events are never erased
        assert f"****{phone[-4:]}" not in str(events)


@pytest.mark.req("R073")
def test_a_window_asks_and_the_centre_binds_by_a_ticket(cloud: RunningCloud) -> None:
    made = synced(cloud)
    new_phone = new_citizen().phone
    window = add_person(cloud, f"window-{uuid.uuid4().hex[:8]}", Role.WINDOW_STAFF)
    staff = centre(cloud).person
    pbe = escalation_service_pb2
    payload = pbe.TicketPayload(
        activation_phone=pbe.PhoneTicket(phone=new_phone, id_number=made.person.id_number)
    )
    with channel_of(cloud, window) as channel:
        opened = EscalationServiceStub(channel).OpenTicket(
            pbe.OpenTicketRequest(
                kind=pbe.TICKET_KIND_ACTIVATION_PHONE, account_id=made.account_id, payload=payload
            )
        )
    ticket_id = opened.ticket.ticket_id
    with channel_of(cloud, staff) as channel:
        escalations = EscalationServiceStub(channel)
        escalations.TakeTicket(pbe.TakeTicketRequest(ticket_id=ticket_id))
        escalations.ResolveTicket(pbe.ResolveTicketRequest(ticket_id=ticket_id, note="seen at the window"))
    token = start(cloud, made.person)
    verify(cloud, token, new_phone)
    confirm(cloud, token, new_phone)
    assert activate(cloud, token).account.state == pb.ACCOUNT_STATE_ACTIVE
    [event] = facts_of(cloud, "accounts.rebind_phone", made.account_id)
    assert proven(cloud, made.account_id, event["proof"]).endswith(new_phone[-4:])
    for phone in (made.person.phone, new_phone):
        assert f"****{phone[-4:]}" not in str(event)
    assert event["proposed_by"] == f"user/{window.user.user_id}"


@pytest.mark.req("R064")
def test_an_old_card_goes_from_the_window_to_the_centre_and_the_account_ends(
    cloud: RunningCloud,
) -> None:
    made = registered(cloud, state=State.ELEMENTS_VERIFIED)
    window = add_person(cloud, f"window-{uuid.uuid4().hex[:8]}", Role.WINDOW_STAFF)
    staff = centre(cloud).person
    pbe = escalation_service_pb2
    shown = register_request(made.person)
    shown.validity.valid_from = "2024-05-06"
    elements = pbe.ElementsTicket()
    elements.elements.name, elements.elements.id_number = shown.name, shown.id_number
    elements.elements.validity.CopyFrom(shown.validity)
    with channel_of(cloud, window) as channel:
        opened = EscalationServiceStub(channel).OpenTicket(
            pbe.OpenTicketRequest(
                kind=pbe.TICKET_KIND_OLD_CARD,
                account_id=made.account_id,
                payload=pbe.TicketPayload(old_card=elements),
            )
        )
    with channel_of(cloud, staff) as channel:
        escalations = EscalationServiceStub(channel)
        ticket_id = opened.ticket.ticket_id
        escalations.TakeTicket(pbe.TakeTicketRequest(ticket_id=ticket_id))
        escalations.ResolveTicket(pbe.ResolveTicketRequest(ticket_id=ticket_id, note="two cards"))
        ended = AccountServiceStub(channel).GetAccount(pb.GetAccountRequest(account_id=made.account_id))
    assert ended.account.end_reason == pb.DEREGISTRATION_REASON_OLD_CARD_DATES
    again = register(cloud, shown)
    assert again.account.validity.valid_from == "2024-05-06"
