"""EscalationService over TLS, and its commands: from a window to the information centre, by two people."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from cloud import rooms
from cloud.access.roles import Role
from cloud.cli import app as commands
from cloud.commands.common import to_pem
from cloud.escalations.port import TicketKind
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import Person, add_person, channel_of
from tests.unit.test_escalations_desk import Phones
from verifield.v1 import audit_service_pb2
from verifield.v1 import escalation_service_pb2 as pb
from verifield.v1.audit_service_pb2_grpc import AuditServiceStub
from verifield.v1.escalation_service_pb2_grpc import EscalationServiceStub

TIMEOUT_S = 20
PHONE = "+86 138 0013 8000"
DENIED, INVALID = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT


@dataclass
class Centre:
    cloud: RunningCloud
    phones: Phones
    window: Person
    both: Person
    centre: Person

    def call(self, person: Person, method: str, request: Any) -> Any:
        with channel_of(self.cloud, person) as channel:
            return getattr(EscalationServiceStub(channel), method)(request, timeout=TIMEOUT_S)

    def refused(self, person: Person, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(person, method, request)
        code, info, _hint = refusal(caught.value)
        return code, info.reason

    def open(self, person: Person | None = None, account: str = "") -> pb.Ticket:
        request = pb.OpenTicketRequest(
            request_id=str(uuid.uuid4()),
            kind=pb.TICKET_KIND_SMS_PHONE,
            account_id=account or str(uuid.uuid4()),
            payload=pb.TicketPayload(sms_phone=pb.PhoneTicket(phone=PHONE), note="No code arrives."),
        )
        ticket: pb.Ticket = self.call(person or self.window, "OpenTicket", request).ticket
        return ticket


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    phones = Phones()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "ticket_handlers", lambda *_: {TicketKind.SMS_PHONE: phones})
        with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as cloud:
            yield Centre(
                cloud,
                phones,
                window=add_person(cloud, "window", Role.WINDOW_STAFF),
                both=add_person(cloud, "both", Role.WINDOW_STAFF, Role.INFORMATION_CENTRE),
                centre=add_person(cloud, "centre", Role.INFORMATION_CENTRE),
            )


def test_a_ticket_is_decided_by_a_second_person_and_both_are_known(office: Centre) -> None:
    ticket = office.open(office.both)
    taken = pb.TakeTicketRequest(ticket_id=ticket.ticket_id)
    assert office.refused(office.both, "TakeTicket", taken) == (DENIED, "TICKET_OWN")
    assert office.refused(office.window, "TakeTicket", taken) == (DENIED, "PERMISSION_MISSING")
    resolve = pb.ResolveTicketRequest(ticket_id=ticket.ticket_id, note="Called back.")
    assert office.refused(office.centre, "ResolveTicket", resolve)[1] == "TICKET_STATE"
    assert office.call(office.centre, "TakeTicket", taken).ticket.state == pb.TICKET_STATE_IN_CENTRE
    assert office.refused(office.both, "ResolveTicket", resolve) == (DENIED, "TICKET_OWN")
    done = office.call(office.centre, "ResolveTicket", resolve).ticket
    assert done.state == pb.TICKET_STATE_RESOLVED
    people = {office.both.user.user_id, office.centre.user.user_id}
    assert {done.opened_by, done.closed_by} == {f"user/{user_id}" for user_id in people}
    seen = office.call(office.window, "GetTicket", pb.GetTicketRequest(ticket_id=ticket.ticket_id))
    assert seen.payload.sms_phone.phone == PHONE
    assert [one.kind for one in seen.events] == [1, 2, 3]
    assert seen.events[2].note == "Called back."
    assert office.phones.done[-1][2].resolved


def test_a_rejection_without_a_reason_is_refused(office: Centre) -> None:
    ticket = office.open()
    office.call(office.centre, "TakeTicket", pb.TakeTicketRequest(ticket_id=ticket.ticket_id))
    request = pb.RejectTicketRequest(ticket_id=ticket.ticket_id)
    assert office.refused(office.centre, "RejectTicket", request) == (INVALID, "TICKET_REASON_MISSING")
    request.reason = "The number belongs to somebody else."
    assert office.call(office.centre, "RejectTicket", request).ticket.state == pb.TICKET_STATE_REJECTED


def test_lists_show_what_waits_oldest_first_and_never_what_it_is_about(office: Centre) -> None:
    account = str(uuid.uuid4())
    tickets = [office.open(account=account)] + [office.open() for _ in range(4)]
    request = pb.ListTicketsRequest(state=pb.TICKET_STATE_OPEN, page_size=2)
    seen: list[str] = []
    while True:
        answer = office.call(office.centre, "ListTickets", request)
        assert PHONE not in str(answer)
        seen += [one.ticket_id for one in answer.tickets]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    assert seen == sorted(seen)
    assert {one.ticket_id for one in tickets} <= set(seen)
    mine = office.call(office.centre, "ListTickets", pb.ListTicketsRequest(account_id=account)).tickets
    assert [one.ticket_id for one in mine] == [tickets[0].ticket_id]
    request = pb.ListTicketsRequest(kind=pb.TICKET_KIND_OLD_CARD)
    assert not office.call(office.centre, "ListTickets", request).tickets


def test_reading_a_ticket_stands_in_the_audit_chain_without_what_it_says(office: Centre) -> None:
    ticket = office.open()
    office.call(office.centre, "GetTicket", pb.GetTicketRequest(ticket_id=ticket.ticket_id))
    auditor = add_person(office.cloud, "auditor", Role.AUDITOR)
    read = ("escalations.read", f"escalations/{ticket.ticket_id}")
    told: set[tuple[str, str]] = set()
    until = time.monotonic() + TIMEOUT_S
    while read not in told and time.monotonic() < until:  # reads are written in groups
        time.sleep(0.1)
        with channel_of(office.cloud, auditor) as channel:
            found = AuditServiceStub(channel).ListAuditEvents(
                audit_service_pb2.ListAuditEventsRequest(page_size=500), timeout=TIMEOUT_S
            )
        told = {(one.action, one.subject) for one in found.events}
    assert ("escalations.open", f"escalations/{ticket.ticket_id}") in told
    assert read in told
    assert "13800138000" not in str(found).replace(" ", "")


def run(office: Centre, person: Person, folder: Path, *arguments: str, status: int = 0) -> Any:
    chain, key = folder / "own.pem", folder / "own.key"
    chain.write_bytes(to_pem(person.chain))
    key.write_bytes(person.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    result = CliRunner().invoke(
        commands,
        [
            *("escalations", *arguments, "--certificate", str(chain), "--certificate-key", str(key)),
            *("--data", str(office.cloud.data), "--json"),
        ],
    )
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_windows_and_the_centre_work_with_the_commands_alone(office: Centre, tmp_path: Path) -> None:
    payload, account = tmp_path / "ticket.json", str(uuid.uuid4())
    payload.write_text(json.dumps({"sms_phone": {"phone": PHONE}}))
    opening = ("open", "sms-phone", account, "--payload", str(payload))
    opened = run(office, office.window, tmp_path, *opening)
    again = run(office, office.window, tmp_path, *opening, status=6)
    assert again["error"]["code"] == "TICKET_EXISTS"
    listed = run(office, office.centre, tmp_path, "list", "--state", "open", "--kind", "sms-phone")
    assert opened["ticket_id"] in {row["ticket_id"] for row in listed["tickets"]}
    run(office, office.centre, tmp_path, "take", opened["ticket_id"])
    shown = run(office, office.centre, tmp_path, "show", opened["ticket_id"])
    assert shown["payload"] == {"sms_phone": {"phone": PHONE}}
    assert [one["event"] for one in shown["events"]] == ["OPENED", "TAKEN"]
    done = run(office, office.centre, tmp_path, "resolve", opened["ticket_id"], "--note", "Called back.")
    assert done["state"] == "RESOLVED"
    other = run(office, office.window, tmp_path, *opening)
    run(office, office.centre, tmp_path, "take", other["ticket_id"])
    rejected = run(office, office.centre, tmp_path, "reject", other["ticket_id"], "--reason", "Not theirs.")
    assert rejected["state"] == "REJECTED"
    payload.write_text("{]")
    bad = run(office, office.window, tmp_path, *opening, status=3)
    assert bad["error"]["code"] == "PAYLOAD_UNREADABLE"
