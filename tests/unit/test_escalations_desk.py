"""Tickets over a real database, of both kinds: two people, sealed content, a life by its table."""

from __future__ import annotations

import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, insert, select

from cloud.access.call import Caller, Kind
from cloud.errors import REMEDIES, Reason, ServiceError
from cloud.escalations.desk import SEALED, Escalations
from cloud.escalations.port import Ticket, TicketDecision, TicketKind
from cloud.escalations.states import MACHINE, TicketEvent, TicketState
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources, to_us
from cloud.store import escalations as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.escalations import TicketRow
from cloud.store.schema import audit_events, staff_identities, ticket_events, tickets, users
from cloud.store.sealed import forget_person
from tests.support.databases import KINDS, migrated
from tests.support.reviews import refused
from verifield.v1 import escalation_service_pb2 as pb

PHONE = "+86 138 0013 8000"
PAYLOAD = pb.TicketPayload(sms_phone=pb.PhoneTicket(phone=PHONE), note="The codes do not arrive.")
WINDOW, CENTRE, COLLEAGUE = (Caller(Kind.USER, f"user-{number}") for number in range(3))


@dataclass
class Phones:
    """Notes in memory what it was asked to do; refuses, or returns a refusal, where that is wanted."""

    done: list[tuple[Ticket, pb.TicketPayload, TicketDecision]] = field(default_factory=list)
    returned: ServiceError | None = None
    raised: ServiceError | None = None
    wrong_accounts: set[str] = field(default_factory=set)

    def check(self, _connection: Connection, account_id: str, _payload: pb.TicketPayload) -> None:
        if account_id in self.wrong_accounts:
            raise ServiceError(Reason.ACCOUNT_STATE, "not for this account")

    def resolve(
        self, _connection: Connection, ticket: Ticket, payload: pb.TicketPayload, decision: TicketDecision
    ) -> ServiceError | None:
        self.done.append((ticket, payload, decision))
        if self.raised:
            raise self.raised
        return self.returned


@dataclass
class Centre:
    store: Store
    desk: Escalations
    phones: Phones

    def open(
        self,
        *,
        account_id: str = "",
        kind: TicketKind = TicketKind.SMS_PHONE,
        payload: pb.TicketPayload = PAYLOAD,
        caller: Caller = WINDOW,
    ) -> str:
        return self.store.run(
            lambda one: self.desk.open_ticket(
                one,
                kind=kind,
                account_id=account_id or str(uuid.uuid4()),
                payload=payload,
                opened_by=caller,
            )
        )

    def take(self, ticket_id: str, caller: Caller = CENTRE) -> TicketRow:
        return self.store.run(lambda one: self.desk.take(one, ticket_id, caller=caller))

    def resolve(self, ticket_id: str, caller: Caller = CENTRE) -> TicketRow | ServiceError:
        return self.store.run(
            lambda one: self.desk.resolve(one, ticket_id, note="Called the holder.", caller=caller)
        )

    def reject(self, ticket_id: str, reason: str = "Not the holder.", caller: Caller = CENTRE) -> Any:
        return self.store.run(lambda one: self.desk.reject(one, ticket_id, reason=reason, caller=caller))

    def row(self, ticket_id: str) -> TicketRow:
        with self.store.reading() as connection:
            found = rows.get_ticket(connection, ticket_id)
        assert found is not None
        return found

    def dump(self) -> list[str]:
        with self.store.reading() as connection:
            return [
                repr(row) for table in (tickets, ticket_events) for row in connection.execute(select(table))
            ]


@contextmanager
def centre(url: str, folder: Path) -> Iterator[Centre]:
    store = Store.open(url, StoreOptions(require_durable=False))
    try:
        start = datetime(2026, 6, 1, tzinfo=UTC)
        sources = Sources(now=lambda: start, random_bytes=secrets.token_bytes)
        ring = KeyRing.open(folder, now_us=to_us(start), random_bytes=secrets.token_bytes)
        phones = Phones()
        desk = Escalations(Persons(ring, sources), sources, {TicketKind.SMS_PHONE: phones})
        yield Centre(store, desk, phones)
    finally:
        store.close()


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Centre]:
    (tmp_path / "ring").mkdir()
    with centre(database_url, tmp_path / "ring") as opened:
        yield opened


def test_two_people_see_a_ticket_to_its_end(office: Centre) -> None:
    account = str(uuid.uuid4())
    ticket_id = office.open(account_id=account)
    assert office.take(ticket_id).state == TicketState.IN_CENTRE
    done = office.resolve(ticket_id)
    assert isinstance(done, TicketRow)
    assert (done.state, done.opened_by, done.closed_by) == (TicketState.RESOLVED, WINDOW.path, CENTRE.path)
    assert office.phones.done == [
        (
            Ticket(ticket_id, TicketKind.SMS_PHONE, account, WINDOW.path),
            PAYLOAD,
            TicketDecision(resolved=True, decided_by=CENTRE.path, note="Called the holder."),
        )
    ]
    with office.store.reading() as connection:
        events = rows.events_of(connection, ticket_id, limit=10)
        assert [one.kind for one in events] == [1, 2, 3]
        assert office.desk.notes_of(connection, done, events) == ["", "", "Called the holder."]
    office.open(account_id=account)  # the next one may come


def test_a_rejection_needs_a_reason_and_is_told_to_the_room(office: Centre) -> None:
    ticket_id = office.open()
    office.take(ticket_id)
    before = office.dump()
    assert refused(lambda: office.reject(ticket_id, " ")) == "TICKET_REASON_MISSING"
    assert REMEDIES[Reason.TICKET_REASON_MISSING].status == 3  # INVALID_ARGUMENT
    assert office.dump() == before
    assert office.reject(ticket_id).state == TicketState.REJECTED
    assert not office.phones.done[-1][2].resolved


def test_who_opened_a_ticket_has_nothing_to_do_with_its_end(office: Centre) -> None:
    ticket_id = office.open()
    assert refused(lambda: office.take(ticket_id, WINDOW)) == "TICKET_OWN"
    office.take(ticket_id)
    assert refused(lambda: office.resolve(ticket_id, WINDOW)) == "TICKET_OWN"
    assert refused(lambda: office.reject(ticket_id, caller=WINDOW)) == "TICKET_OWN"
    assert refused(lambda: office.resolve(ticket_id, COLLEAGUE)) == "TICKET_NOT_YOURS"
    office.take(ticket_id, COLLEAGUE)
    assert refused(lambda: office.resolve(ticket_id)) == "TICKET_NOT_YOURS"
    office.resolve(ticket_id, COLLEAGUE)
    assert REMEDIES[Reason.TICKET_OWN].status == 7  # PERMISSION_DENIED


def test_a_token_is_nobody_and_the_holder_of_an_account_is_somebody(office: Centre) -> None:
    token = Caller(Kind.SERVICE_TOKEN, "operator")
    assert refused(lambda: office.open(caller=token)) == "TICKET_NEEDS_PERSON"
    ticket_id = office.open(caller=Caller(Kind.ACCOUNT, str(uuid.uuid4())))
    assert refused(lambda: office.take(ticket_id, token)) == "TICKET_NEEDS_PERSON"
    office.take(ticket_id)


def test_what_makes_no_sense_is_refused_and_leaves_nothing(office: Centre) -> None:
    account = str(uuid.uuid4())
    wrong = pb.TicketPayload(activation_phone=pb.PhoneTicket(phone=PHONE))
    assert refused(lambda: office.open(payload=wrong)) == "TICKET_PAYLOAD"
    assert refused(lambda: office.open(payload=pb.TicketPayload(note="?"))) == "TICKET_PAYLOAD"
    assert refused(lambda: office.open(kind=TicketKind.OLD_CARD)) == "TICKET_KIND_CLOSED"
    office.phones.wrong_accounts.add(account)
    assert refused(lambda: office.open(account_id=account)) == "ACCOUNT_STATE"
    assert refused(lambda: office.take(str(uuid.uuid4()))) == "TICKET_NOT_FOUND"
    assert office.dump() == []
    office.phones.wrong_accounts.clear()
    first = office.open(account_id=account)
    with pytest.raises(ServiceError) as caught:
        office.open(account_id=account)
    assert caught.value.reason is Reason.TICKET_EXISTS
    assert caught.value.metadata == {"ticket_id": first}


def test_a_refusal_that_counts_leaves_the_ticket_as_it_is(office: Centre) -> None:
    ticket_id = office.open()
    office.take(ticket_id)
    office.phones.returned = ServiceError(Reason.ACCOUNT_STATE, "no longer")
    before = office.dump()
    assert office.resolve(ticket_id) is office.phones.returned
    assert office.dump() == before
    office.phones.returned = None
    assert isinstance(office.resolve(ticket_id), TicketRow)


def test_what_a_ticket_is_about_cannot_be_read_without_the_key(office: Centre) -> None:
    account = str(uuid.uuid4())
    ticket_id = office.open(account_id=account)
    office.take(ticket_id)
    everything = repr(office.dump())
    with office.store.reading() as connection:
        everything += repr(connection.execute(select(audit_events)).all())
    assert "138 0013 8000" not in everything
    assert "arrive" not in everything
    assert office.store.run(lambda one: forget_person(one, SEALED, account, now_us=1))
    with office.store.reading() as connection:
        assert office.desk.payload_of(connection, office.row(ticket_id)) is None
    assert refused(lambda: office.resolve(ticket_id)) == "PERSON_ERASED"
    assert refused(lambda: office.open(account_id=account, kind=TicketKind.SMS_PHONE)) == "TICKET_EXISTS"
    assert office.reject(ticket_id).state == TicketState.REJECTED  # it does not stand there for ever
    assert office.phones.done == []
    assert "Not the holder." not in repr(office.dump())


@pytest.mark.parametrize("way", ["raised", "returned"])
def test_no_room_keeps_a_ticket_from_being_rejected(office: Centre, way: str) -> None:
    """The account may have ended, or gone on without the ticket."""
    ticket_id = office.open()
    office.take(ticket_id)
    setattr(office.phones, way, ServiceError(Reason.ACCOUNT_STATE, "no longer"))
    if way == "raised":
        before = office.dump()
        assert refused(lambda: office.resolve(ticket_id)) == "ACCOUNT_STATE"
        assert office.dump() == before
    assert office.reject(ticket_id).state == TicketState.REJECTED
    assert not office.phones.done[-1][2].resolved


def _declare(office: Centre, caller: Caller, mark: bytes | None) -> None:
    def work(connection: Connection) -> None:
        connection.execute(
            insert(users).values(
                user_id=caller.name, login=caller.name, state=1, created_us=1, updated_us=1, version=1
            )
        )
        connection.execute(
            insert(staff_identities).values(
                user_id=caller.name, id_mark=mark, declared_by=WINDOW.path, declared_us=1
            )
        )

    office.store.run(work)


def test_another_login_of_the_same_person_is_no_second_person(office: Centre) -> None:
    _declare(office, WINDOW, b"1" * 36)
    _declare(office, CENTRE, b"1" * 36)
    _declare(office, COLLEAGUE, b"2" * 36)
    ticket_id = office.open()
    assert refused(lambda: office.take(ticket_id, CENTRE)) == "TICKET_OWN"
    office.take(ticket_id, COLLEAGUE)
    assert isinstance(office.resolve(ticket_id, COLLEAGUE), TicketRow)


def test_of_whom_it_is_not_known_who_they_are_two_logins_are_two_people(office: Centre) -> None:
    _declare(office, WINDOW, None)
    _declare(office, CENTRE, None)
    office.take(office.open(), CENTRE)


def test_a_colleague_who_turns_out_to_be_the_opener_does_not_end_it(office: Centre) -> None:
    ticket_id = office.open()
    office.take(ticket_id)
    _declare(office, WINDOW, b"1" * 36)
    _declare(office, CENTRE, b"1" * 36)
    assert refused(lambda: office.resolve(ticket_id)) == "TICKET_OWN"
    assert refused(lambda: office.reject(ticket_id)) == "TICKET_OWN"


class Life(RuleBasedStateMachine):
    """Three people and all that may be called, in any order."""

    kind: ClassVar[str] = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.exits = ExitStack()
        self.tickets: list[str] = []

    @initialize()
    def begin(self) -> None:
        folder = Path(self.exits.enter_context(tempfile.TemporaryDirectory()))
        url = self.exits.enter_context(migrated(self.kind, folder))
        (folder / "ring").mkdir()
        self.office = self.exits.enter_context(centre(url, folder / "ring"))

    def teardown(self) -> None:
        self.exits.close()

    def _try(self, event: TicketEvent, number: int, call: Callable[[str], object]) -> None:
        if not self.tickets:
            return
        ticket_id = self.tickets[number % len(self.tickets)]
        before, state = self.office.dump(), TicketState(self.office.row(ticket_id).state)
        reason: Reason | None = None
        try:
            call(ticket_id)
        except ServiceError as error:
            reason = error.reason
        allowed = MACHINE.allows(state, event)
        if reason is None:
            assert allowed
            assert self.office.row(ticket_id).state == MACHINE.after(state, event)
        else:
            assert self.office.dump() == before
            others = {Reason.TICKET_OWN, Reason.TICKET_NOT_YOURS, Reason.TICKET_REASON_MISSING}
            assert reason in (others if allowed else {Reason.TICKET_STATE})

    people = st.sampled_from([WINDOW, CENTRE, COLLEAGUE])
    numbers = st.integers(0, 5)

    @rule(who=people)
    def open(self, who: Caller) -> None:
        self.tickets.append(self.office.open(caller=who))

    @rule(number=numbers, who=people)
    def take(self, number: int, who: Caller) -> None:
        self._try(TicketEvent.TAKE, number, lambda one: self.office.take(one, who))

    @rule(number=numbers, who=people)
    def resolve(self, number: int, who: Caller) -> None:
        self._try(TicketEvent.RESOLVE, number, lambda one: self.office.resolve(one, who))

    @rule(number=numbers, who=people, reason=st.sampled_from(["", "Not the holder."]))
    def reject(self, number: int, who: Caller, reason: str) -> None:
        self._try(TicketEvent.REJECT, number, lambda one: self.office.reject(one, reason, who))

    @invariant()
    def two_people_are_two(self) -> None:
        for ticket_id in self.tickets:
            row = self.office.row(ticket_id)
            assert row.opened_by not in {row.taken_by, row.closed_by}
            assert (row.closed_us is not None) == (row.state > TicketState.IN_CENTRE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ticket_lives_as_its_table_says(kind: str) -> None:
    machine = type("LifeOn" + kind, (Life,), {"kind": kind})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=10, stateful_step_count=20, deadline=timedelta(seconds=60))
    )
