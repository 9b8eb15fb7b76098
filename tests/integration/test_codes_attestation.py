"""A number that no code reaches: a window asks, the information centre vouches, the registration goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from cloud.access.roles import Role
from cloud.accounts.states import State
from tests.support.accounts import SignedIn, as_account, registered
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import Person, add_person, channel_of
from tests.support.spool import last_code
from verifield.v1 import account_service_pb2 as accounts_pb
from verifield.v1 import escalation_service_pb2 as tickets_pb
from verifield.v1 import otp_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.escalation_service_pb2_grpc import EscalationServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

TIMEOUT_S = 20.0


@dataclass
class Office:
    cloud: RunningCloud
    window: Person
    centre: Person
    both: Person


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Office]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), database=module_database_url) as cloud:
        yield Office(
            cloud,
            add_person(cloud, "window", Role.WINDOW_STAFF),
            add_person(cloud, "centre", Role.INFORMATION_CENTRE),
            add_person(cloud, "both", Role.WINDOW_STAFF, Role.INFORMATION_CENTRE),
        )


@pytest.fixture
def draft(office: Office) -> SignedIn:
    return registered(office.cloud, state=State.DRAFT)


@contextmanager
def tickets(office: Office, person: Person) -> Iterator[Any]:
    with channel_of(office.cloud, person) as channel:
        yield EscalationServiceStub(channel)


def open_ticket(
    office: Office, draft: SignedIn, phone: str = "", *, by: Person | None = None, **more: str
) -> str:
    payload = tickets_pb.TicketPayload(
        sms_phone=tickets_pb.PhoneTicket(phone=phone or draft.person.phone, **more)
    )
    request = tickets_pb.OpenTicketRequest(
        kind=tickets_pb.TICKET_KIND_SMS_PHONE, account_id=draft.account_id, payload=payload
    )
    with tickets(office, by or office.window) as stub:
        return str(stub.OpenTicket(request, timeout=TIMEOUT_S).ticket.ticket_id)


def resolve(office: Office, ticket_id: str, *, by: Person | None = None) -> None:
    with tickets(office, by or office.centre) as stub:
        stub.TakeTicket(tickets_pb.TakeTicketRequest(ticket_id=ticket_id), timeout=TIMEOUT_S)
        stub.ResolveTicket(tickets_pb.ResolveTicketRequest(ticket_id=ticket_id), timeout=TIMEOUT_S)


def state_of(office: Office, draft: SignedIn) -> int:
    with as_account(office.cloud, draft) as stubs:
        request = accounts_pb.GetProfileRequest()
        return int(stubs(AccountServiceStub).GetProfile(request).account.state)


def proofs_of(office: Office, draft: SignedIn) -> list[pb.PhoneProof]:
    request = pb.GetPhoneProofsRequest(account_id=draft.account_id)
    return list(office.cloud.operator.call(office.cloud.operator.phones.GetPhoneProofs, request).proofs)


def reason_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(refusal(error.value)[1].reason)


@pytest.mark.req("R037")
def test_two_persons_of_the_staff_vouch_for_a_number_and_the_registration_goes_on(
    office: Office, draft: SignedIn
) -> None:
    ticket_id = open_ticket(office, draft, draft.person.phone.removeprefix("+86"))
    assert state_of(office, draft) == accounts_pb.ACCOUNT_STATE_DRAFT
    resolve(office, ticket_id)
    assert state_of(office, draft) == accounts_pb.ACCOUNT_STATE_PHONE_VERIFIED
    [proof] = proofs_of(office, draft)
    assert (proof.method, proof.evidence_id) == (pb.PHONE_METHOD_MANUAL, ticket_id)
    assert proof.requested_by == f"user/{office.window.user.user_id}"
    assert proof.confirmed_by == f"user/{office.centre.user.user_id}"
    assert proof.masked_phone.endswith(draft.person.phone[-4:])
    with as_account(office.cloud, draft) as stubs:  # the holder sees how, not who
        [own] = stubs(OtpServiceStub).ListPhoneProofs(pb.ListPhoneProofsRequest()).proofs
        assert (own.method, own.requested_by, own.confirmed_by) == (pb.PHONE_METHOD_MANUAL, "", "")


def test_who_asked_never_vouches(office: Office, draft: SignedIn) -> None:
    ticket_id = open_ticket(office, draft, by=office.both)
    with pytest.raises(grpc.RpcError):
        resolve(office, ticket_id, by=office.both)
    assert state_of(office, draft) == accounts_pb.ACCOUNT_STATE_DRAFT
    assert proofs_of(office, draft) == []
    resolve(office, ticket_id)
    assert state_of(office, draft) == accounts_pb.ACCOUNT_STATE_PHONE_VERIFIED


def test_a_code_that_is_under_way_counts_no_more_once_the_staff_have_vouched(
    office: Office, draft: SignedIn
) -> None:
    with as_account(office.cloud, draft) as stubs:
        codes = stubs(OtpServiceStub)
        sent = codes.SendCode(pb.SendCodeRequest(purpose=pb.CODE_PURPOSE_REGISTER))
        code = last_code(office.cloud, draft.person.phone)
        resolve(office, open_ticket(office, draft))
        with pytest.raises(grpc.RpcError) as caught:
            codes.VerifyCode(pb.VerifyCodeRequest(challenge_id=sent.challenge_id, code=code))
        assert reason_of(caught) == "ACCOUNT_STATE"
    assert [proof.method for proof in proofs_of(office, draft)] == [pb.PHONE_METHOD_MANUAL]


@pytest.mark.parametrize(
    ("phone", "more", "reason"),
    [
        ("+8613911112222", {}, "PHONE_CHANGED"),
        ("12345", {}, "PHONE_INVALID"),
        ("+8619911112222", {}, "PHONE_SEGMENT_UNSUPPORTED"),
        ("", {"id_number": "110101197001010010"}, "REQUEST_INVALID"),
    ],
)
def test_a_ticket_that_makes_no_sense_is_not_opened(
    office: Office, draft: SignedIn, phone: str, more: dict[str, str], reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        open_ticket(office, draft, phone, **more)
    assert reason_of(caught) == reason


def test_the_number_that_was_vouched_for_must_still_be_the_drafts(office: Office, draft: SignedIn) -> None:
    ticket_id = open_ticket(office, draft)
    with as_account(office.cloud, draft) as stubs:
        changed = accounts_pb.ChangeDraftPhoneRequest(phone="+8613977776666")
        stubs(AccountServiceStub).ChangeDraftPhone(changed)
    with pytest.raises(grpc.RpcError) as caught:
        resolve(office, ticket_id)
    assert reason_of(caught) == "PHONE_CHANGED"
    assert state_of(office, draft) == accounts_pb.ACCOUNT_STATE_DRAFT


def test_a_rejected_ticket_leaves_the_draft_as_it_was(office: Office, draft: SignedIn) -> None:
    ticket_id = open_ticket(office, draft)
    with tickets(office, office.centre) as stub:
        stub.TakeTicket(tickets_pb.TakeTicketRequest(ticket_id=ticket_id), timeout=TIMEOUT_S)
        request = tickets_pb.RejectTicketRequest(ticket_id=ticket_id, reason="Nobody answers this number.")
        stub.RejectTicket(request, timeout=TIMEOUT_S)
    assert state_of(office, draft) == accounts_pb.ACCOUNT_STATE_DRAFT
    assert proofs_of(office, draft) == []
    # And a code still does it.
    with as_account(office.cloud, draft) as stubs:
        codes = stubs(OtpServiceStub)
        sent = codes.SendCode(pb.SendCodeRequest(purpose=pb.CODE_PURPOSE_REGISTER))
        code = last_code(office.cloud, draft.person.phone)
        codes.VerifyCode(pb.VerifyCodeRequest(challenge_id=sent.challenge_id, code=code))
    assert [proof.method for proof in proofs_of(office, draft)] == [pb.PHONE_METHOD_CODE]


def test_who_is_registered_already_needs_no_ticket(office: Office, tmp_path: Path) -> None:
    active = registered(office.cloud, state=State.ACTIVE)
    with pytest.raises(grpc.RpcError) as caught:
        open_ticket(office, active)
    assert reason_of(caught) == "ACCOUNT_STATE"
