"""Verification at a window: who may, what stays for ever, and what it opens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from cloud.access.roles import Role
from cloud.accounts.states import State
from cloud.commands.keys import sealed_tables
from cloud.elements import to_message
from cloud.errors import ClientError, ServiceError
from cloud.store.schema import manual_ledger
from cloud.store.verifications import LedgerRow
from cloud.verifications.ledger import page_of_ledger
from tests.support.accounts import as_account
from tests.support.authorities import Somebody, somebody
from tests.support.identity import Holder, IdentityRoom, manual_request, running_identity
from tests.support.people import Person, channel_of, reason_of
from verifield.v1 import account_service_pb2, business_service_pb2
from verifield.v1 import escalation_service_pb2 as tickets
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.business_service_pb2_grpc import BusinessServiceStub
from verifield.v1.escalation_service_pb2_grpc import EscalationServiceStub

CLERK_NUMBER = somebody(77).id_number


@pytest.fixture
def room(tmp_path: Path, database_url: str) -> Iterator[IdentityRoom]:
    with running_identity(tmp_path, database=database_url) as opened:
        yield opened


def export(room: IdentityRoom, *, hours: int = 24) -> list[pb.ManualVerification]:
    request = pb.ExportManualVerificationsRequest()
    request.start_time.FromDatetime(room.cloud.clock.now() - timedelta(hours=hours))
    request.end_time.FromDatetime(room.cloud.clock.now() + timedelta(minutes=1))
    answers = room.cloud.operator.receive(room.cloud.operator.identity.ExportManualVerifications, request)
    return [entry for answer in answers for entry in answer.entries]


def whole_ledger(connection: Connection) -> list[LedgerRow]:
    return page_of_ledger(connection, start_us=0, end_us=2**63 - 1)


@pytest.mark.req("R028")
@pytest.mark.req("R078")
@pytest.mark.req("R079")
def test_a_window_verifies_a_person_and_the_ledger_says_who_when_where_what_and_why(
    room: IdentityRoom,
) -> None:
    clerk = room.staff("li.wei", id_number=CLERK_NUMBER)
    holder = room.holder(somebody(1))

    filing = account_service_pb2.FilingPermission(allowed=True)
    filing.valid_from.FromDatetime(room.cloud.clock.now() - timedelta(minutes=1))
    filing.valid_until.FromDatetime(room.cloud.clock.now() + timedelta(days=1))
    create = business_service_pb2.CreateBusinessRequestRequest(service_code="NAME_CHECK")
    with as_account(room.cloud, holder.signed_in) as stub:
        accounts, business = stub(AccountServiceStub), stub(BusinessServiceStub)
        with pytest.raises(grpc.RpcError) as caught:
            business.CreateBusinessRequest(create)
        assert reason_of(caught.value) == "ACCOUNT_NOT_ACTIVE"
        answer = room.as_staff(clerk, "RecordManualVerification", manual_request(holder.account_id))
        accounts.SetFilingPermission(
            account_service_pb2.SetFilingPermissionRequest(
                allowed=True, valid_from=filing.valid_from, valid_until=filing.valid_until
            )
        )
        assert business.CreateBusinessRequest(create).business.business_id  # unlocked at once
    verification, entry = answer.verification, answer.entry
    assert verification.state == pb.VERIFICATION_STATE_PASSED
    assert verification.mark == pb.VERIFICATION_MARK_MANUAL_VERIFIED
    identity = holder.identity()
    assert (identity.state, identity.method, identity.mark) == (
        pb.IDENTITY_STATE_VERIFIED,
        pb.VERIFICATION_METHOD_MANUAL,
        pb.VERIFICATION_MARK_MANUAL_VERIFIED,
    )
    assert entry.number == 1
    assert entry.operator == f"user/{clerk.user.user_id}"
    assert entry.place == "Office 3, window 2"
    assert list(entry.documents) == [pb.SEEN_DOCUMENT_RESIDENT_ID, pb.SEEN_DOCUMENT_HOUSEHOLD_REGISTER]
    assert entry.reason == pb.MANUAL_REASON_FACE_FAILED
    assert entry.record_time == verification.update_time
    assert room.authorities.asked("registry") == 0


@pytest.mark.req("R079")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE manual_ledger SET note = 'x'",
        "UPDATE manual_ledger SET operator = 'user/nobody' WHERE number = 1",
        "DELETE FROM manual_ledger",
        "DELETE FROM manual_ledger WHERE number = 1",
    ],
)
def test_no_session_of_the_database_changes_or_deletes_an_entry(room: IdentityRoom, statement: str) -> None:
    clerk = room.staff("li.wei", id_number=CLERK_NUMBER)
    room.as_staff(clerk, "RecordManualVerification", manual_request(room.holder().account_id))
    statements = [statement]
    if room.cloud.database_url.startswith("sqlite"):
        statements.append("INSERT OR REPLACE INTO manual_ledger SELECT * FROM manual_ledger")
    else:
        statements.append("TRUNCATE manual_ledger")
    for one in statements:
        with pytest.raises(DBAPIError, match="never changed"), room.cloud.database() as connection:
            connection.execute(text(one))
    with room.cloud.database() as connection:
        assert len(whole_ledger(connection)) == 1


def test_a_ledger_whose_triggers_were_dropped_does_not_add_up_any_more(tmp_path: Path) -> None:
    with running_identity(tmp_path) as room:
        clerk = room.staff("li.wei", id_number=CLERK_NUMBER)
        for _ in range(3):
            room.as_staff(clerk, "RecordManualVerification", manual_request(room.holder().account_id))
        with room.cloud.database() as connection:
            assert len(whole_ledger(connection)) == 3
            connection.execute(text("DROP TRIGGER manual_ledger_no_update"))
            connection.execute(manual_ledger.update().where(manual_ledger.c.number == 2).values(note="y"))
            with pytest.raises(ServiceError) as caught:
                whole_ledger(connection)
        assert caught.value.metadata == {"number": "2"}
        with pytest.raises(Exception, match="changed from outside"):
            export(room)  # the daily list shows no ledger that does not add up


@pytest.mark.req("R080")
def test_who_has_no_such_role_or_is_the_person_is_refused(room: IdentityRoom) -> None:
    number = somebody(78).id_number
    own = room.holder(somebody(78))
    other = room.holder()
    clerk = room.staff("li.wei", id_number=number)
    request = manual_request(own.account_id)
    with pytest.raises(grpc.RpcError) as caught:
        room.as_staff(clerk, "RecordManualVerification", request)
    assert (caught.value.code(), reason_of(caught.value)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "OWN_IDENTITY",
    )
    for role in (Role.VIEWER, Role.CLERK, Role.REVIEWER, Role.INFORMATION_CENTRE, Role.AUDITOR):
        person = room.staff(f"a.{role.value}"[:30], role, id_number=somebody(90).id_number)
        error = room.staff_refused(person, "RecordManualVerification", manual_request(other.account_id))
        assert error.reason == "PERMISSION_MISSING", role
    unknown = room.staff("no.body")
    error = room.staff_refused(unknown, "RecordManualVerification", manual_request(other.account_id))
    assert error.reason == "STAFF_IDENTITY_REQUIRED"
    with pytest.raises(Exception, match="signed in"):  # a token is nobody
        room.cloud.operator.call(
            room.cloud.operator.identity.RecordManualVerification, manual_request(other.account_id)
        )
    assert export(room) == []
    room.as_staff(clerk, "RecordManualVerification", manual_request(other.account_id))


def test_nobody_says_of_oneself_which_person_that_is(room: IdentityRoom) -> None:
    admin = room.staff("ad.min", Role.ORGANISATION_ADMIN, Role.WINDOW_STAFF)
    request = pb.DeclareStaffIdentityRequest(user_id=admin.user.user_id, id_number=somebody(5).id_number)
    assert room.staff_refused(admin, "DeclareStaffIdentity", request).reason == "OWN_IDENTITY"
    with room.cloud.database() as connection:
        assert connection.execute(text("SELECT count(*) FROM staff_identities")).scalar() == 0


@pytest.mark.req("R080")
def test_the_list_of_a_day_has_the_rows_and_nothing_else(room: IdentityRoom) -> None:
    clerk = room.staff("li.wei", id_number=CLERK_NUMBER)
    for _ in range(3):
        room.as_staff(clerk, "RecordManualVerification", manual_request(room.holder().account_id))
    with room.cloud.database() as connection:
        kept = whole_ledger(connection)
    told = export(room)
    assert [(one.number, one.account_id, one.verification_id, one.operator, one.note) for one in told] == [
        (row.number, row.account_id, row.verification_id, row.operator, row.note) for row in kept
    ]
    assert [one.entry_sha256 for one in told] == [bytes(row.entry_sha256) for row in kept]
    room.cloud.clock.offset = timedelta(days=2)
    assert export(room) == []


@pytest.mark.parametrize(("start", "end"), [(10**15, 10**15 + 60), (-(10**15), -(10**15) + 60), (60, 60)])
def test_a_list_of_days_that_are_none_is_refused(room: IdentityRoom, start: int, end: int) -> None:
    request = pb.ExportManualVerificationsRequest()
    request.start_time.seconds, request.end_time.seconds = start, end
    operator = room.cloud.operator
    with pytest.raises(ClientError, match="breaks a rule"):
        list(operator.receive(operator.identity.ExportManualVerifications, request))


def test_two_windows_at_the_same_moment_both_get_their_entries(room: IdentityRoom) -> None:
    clerks = [room.staff(f"li.wei{number}", id_number=somebody(80 + number).id_number) for number in range(4)]
    holders = [room.holder() for _ in clerks]

    def record(pair: tuple[Person, str]) -> int:
        answer = room.as_staff(pair[0], "RecordManualVerification", manual_request(pair[1]))
        return int(answer.entry.number)

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(record, zip(clerks, [one.account_id for one in holders], strict=True)))
    assert sorted(numbers) == [1, 2, 3, 4]
    with room.cloud.database() as connection:
        assert len(whole_ledger(connection)) == 4


def test_other_documents_and_reasons_are_explained_and_states_are_kept(room: IdentityRoom) -> None:
    clerk = room.staff("li.wei", id_number=CLERK_NUMBER)
    draft = room.holder(state=State.DRAFT)
    error = room.staff_refused(clerk, "RecordManualVerification", manual_request(draft.account_id))
    assert error.reason == "ACCOUNT_STATE"
    for changes in ({"reason": pb.MANUAL_REASON_OTHER}, {"documents": [pb.SEEN_DOCUMENT_OTHER]}):
        request = manual_request(draft.account_id, note="", **changes)
        assert room.staff_refused(clerk, "RecordManualVerification", request).reason == "REQUEST_INVALID"


def test_the_numbers_of_staff_are_sealed_and_go_with_the_person(room: IdentityRoom) -> None:
    room.staff("li.wei", id_number=CLERK_NUMBER)
    with room.cloud.database() as connection:
        [row] = connection.execute(text("SELECT id_number, id_mark FROM staff_identities")).all()
    assert CLERK_NUMBER.encode() not in bytes(row.id_number) + bytes(row.id_mark)
    assert hashlib.sha256(CLERK_NUMBER.encode()).digest() not in bytes(row.id_mark)
    assert {"staff_identities", "ctid_transactions"} <= {one.table.name for one in sealed_tables()}


@pytest.mark.req("R058")
def test_after_several_tries_the_centre_confirms_the_four_elements(room: IdentityRoom) -> None:
    person = somebody(1)
    holder = room.holder(replace(person, name="测试错"))
    clerk, centre = room.staff("li.wei"), room.staff("ce.ntre", Role.INFORMATION_CENTRE)
    payload = tickets.TicketPayload(
        four_elements=tickets.ElementsTicket(elements=to_message(person.elements))
    )
    open_request = tickets.OpenTicketRequest(
        kind=tickets.TICKET_KIND_FOUR_ELEMENTS, account_id=holder.account_id, payload=payload
    )
    assert holder.elements_refused().metadata["escalation_allowed"] == "false"
    assert _refused(room, clerk, "OpenTicket", open_request) == "VERIFICATION_STATE"
    holder.elements_refused()
    assert holder.elements_refused().metadata["escalation_allowed"] == "true"
    assert holder.identity().escalation_allowed
    ticket_id = _ticket(room, clerk, "OpenTicket", open_request).ticket.ticket_id
    _ticket(room, centre, "TakeTicket", tickets.TakeTicketRequest(ticket_id=ticket_id))
    _ticket(
        room,
        centre,
        "ResolveTicket",
        tickets.ResolveTicketRequest(ticket_id=ticket_id, note="seen in the register"),
    )
    identity = holder.identity()
    assert (identity.state, identity.mark) == (
        pb.IDENTITY_STATE_VERIFIED,
        pb.VERIFICATION_MARK_CENTRE_VERIFIED,
    )


@pytest.mark.req("R058")
def test_what_the_centre_does_not_confirm_is_refused_with_its_reason(room: IdentityRoom) -> None:
    person = somebody(1)
    holder = room.holder(person)
    for _ in range(3):
        holder.elements_refused()
    clerk, centre = room.staff("li.wei"), room.staff("ce.ntre", Role.INFORMATION_CENTRE)
    payload = tickets.TicketPayload(
        four_elements=tickets.ElementsTicket(elements=to_message(person.elements))
    )
    opened = _ticket(
        room,
        clerk,
        "OpenTicket",
        tickets.OpenTicketRequest(
            kind=tickets.TICKET_KIND_FOUR_ELEMENTS, account_id=holder.account_id, payload=payload
        ),
    )
    ticket_id = opened.ticket.ticket_id
    _ticket(room, centre, "TakeTicket", tickets.TakeTicketRequest(ticket_id=ticket_id))
    _ticket(
        room,
        centre,
        "RejectTicket",
        tickets.RejectTicketRequest(ticket_id=ticket_id, reason="not in the register"),
    )
    assert holder.identity().state == pb.IDENTITY_STATE_UNVERIFIED
    newest = holder.call("ListOwnVerifications", pb.ListOwnVerificationsRequest()).verifications[0]
    assert (newest.state, newest.code) == (pb.VERIFICATION_STATE_FAILED, "TICKET_REJECTED")
    shown = _ticket(room, centre, "GetTicket", tickets.GetTicketRequest(ticket_id=ticket_id))
    assert shown.events[-1].note == "not in the register"


def open_ticket(room: IdentityRoom, clerk: Person, holder: Holder, person: Somebody) -> str:
    """After three tries that failed."""
    for _ in range(3):
        holder.elements_refused()
    payload = tickets.TicketPayload(
        four_elements=tickets.ElementsTicket(elements=to_message(person.elements))
    )
    request = tickets.OpenTicketRequest(
        kind=tickets.TICKET_KIND_FOUR_ELEMENTS, account_id=holder.account_id, payload=payload
    )
    opened: str = _ticket(room, clerk, "OpenTicket", request).ticket.ticket_id
    return opened


def test_a_ticket_of_somebody_who_was_verified_meanwhile_can_be_ended(room: IdentityRoom) -> None:
    person = somebody(1)
    holder = room.holder(replace(person, name="测试错"))
    clerk, centre = room.staff("li.wei"), room.staff("ce.ntre", Role.INFORMATION_CENTRE)
    ticket_id = open_ticket(room, clerk, holder, person)
    room.authorities.add(person)
    holder.verify_elements(person.elements)
    _ticket(room, centre, "TakeTicket", tickets.TakeTicketRequest(ticket_id=ticket_id))
    resolve = tickets.ResolveTicketRequest(ticket_id=ticket_id, note="seen in the register")
    assert _refused(room, centre, "ResolveTicket", resolve) == "VERIFICATION_STATE"
    reject = tickets.RejectTicketRequest(ticket_id=ticket_id, reason="verified meanwhile")
    assert _ticket(room, centre, "RejectTicket", reject).ticket.state == tickets.TICKET_STATE_REJECTED
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED


@pytest.mark.parametrize("who", ["clerk", "centre"])
def test_nobody_has_a_part_in_the_ticket_about_oneself(room: IdentityRoom, who: str) -> None:
    person = somebody(1)
    holder = room.holder(person)
    clerk = room.staff("li.wei", id_number=person.id_number if who == "clerk" else CLERK_NUMBER)
    other = person.id_number if who == "centre" else somebody(78).id_number
    centre = room.staff("ce.ntre", Role.INFORMATION_CENTRE, id_number=other)
    ticket_id = open_ticket(room, clerk, holder, person)
    _ticket(room, centre, "TakeTicket", tickets.TakeTicketRequest(ticket_id=ticket_id))
    resolve = tickets.ResolveTicketRequest(ticket_id=ticket_id, note="it is me")
    assert _refused(room, centre, "ResolveTicket", resolve) == "OWN_IDENTITY"
    assert holder.identity().state == pb.IDENTITY_STATE_UNVERIFIED


def _ticket(room: IdentityRoom, who: Person, method: str, request: Any) -> Any:
    with channel_of(room.cloud, who) as channel:
        return getattr(EscalationServiceStub(channel), method)(request, timeout=20)


def _refused(room: IdentityRoom, who: Person, method: str, request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        _ticket(room, who, method, request)
    return reason_of(caught.value)
