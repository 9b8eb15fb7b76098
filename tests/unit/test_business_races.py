"""Requests while their ground goes: permissions, verifications, delegations, accounts that end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.business.describe import describe, outline
from cloud.business.states import DelegationState, State
from cloud.business.watcher import BusinessWatcher
from cloud.errors import Reason, ServiceError
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement
from cloud.sources import Sources, to_us
from cloud.store import business as rows
from cloud.store import schema
from cloud.store.database import Store, StoreOptions
from cloud.verifications.desk import Verifications
from tests.support.business import NOON, BusinessRoom
from verifield.v1 import account_service_pb2 as account_pb
from verifield.v1 import business_service_pb2 as pb


@pytest.fixture
def room(database_url: str, tmp_path: Path) -> Iterator[BusinessRoom]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield BusinessRoom(store, tmp_path)
    store.close()


def stamp(room: BusinessRoom, after: timedelta) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(room.now + after)
    return found


def offer(room: BusinessRoom, principal: str, agent: str) -> str:
    row = room.run(
        room.delegations.offer,
        principal=principal,
        agent=agent,
        service_codes=["NAME_CHECK"],
        valid_from=stamp(room, timedelta()),
        valid_until=stamp(room, timedelta(days=30)),
    )
    return row.delegation_id


def delegate(room: BusinessRoom, principal: str, agent: str) -> str:
    delegation_id = offer(room, principal, agent)
    room.run(room.delegations.answer, delegation_id, caller=agent, accept=True)
    return delegation_id


def ender(room: BusinessRoom) -> Accounts:
    """Accounts that tell this room what ends."""
    watcher = BusinessWatcher(room.desk, room.delegations)
    return Accounts(room.persons, room.sources, (watcher,))


def deregister(room: BusinessRoom, account_id: str) -> None:
    reason = account_pb.DEREGISTRATION_REASON_HOLDER_ASKED
    room.run(ender(room).deregister, account_id, reason)


class Meanwhile:
    """A change that has done its work and is not committed yet, and another that begins then."""

    def __init__(self, room: BusinessRoom, first: Callable[[Connection], Any]) -> None:
        self._done, self._go = threading.Event(), threading.Event()
        self._room = room

        def work(connection: Connection) -> None:
            first(connection)
            self._done.set()
            assert self._go.wait(20)

        self._first = threading.Thread(target=lambda: room.store.run(work))

    def run(self, second: Callable[[], Any]) -> bool:
        """Whether the second one waited for the end of the first."""
        self._first.start()
        assert self._done.wait(20)
        other = threading.Thread(target=second)
        other.start()
        other.join(0.4)
        waited = other.is_alive()
        self._go.set()
        self._first.join(20)
        other.join(20)
        return waited


WITHDRAWN = ["permission", "verification", "agent's verification", "delegation", "account", "agent's account"]


@pytest.mark.parametrize("step", ["create", "submit"])
@pytest.mark.parametrize("what", WITHDRAWN)
def test_nothing_that_lets_a_request_in_ends_between_the_look_and_the_row(
    room: BusinessRoom, step: str, what: str
) -> None:
    principal, agent = room.account(), room.account(allowed=False)
    given = delegate(room, principal, agent)
    business_id = room.begin(principal, caller=agent)
    verifications = Verifications(room.accounts, room.sources)

    def first(connection: Connection) -> None:
        if step == "submit":
            room.desk.submit(connection, business_id, caller=agent)
            return
        wanted = {"principal": principal, "service_code": "NAME_CHECK", "text": ""}
        room.desk.create(connection, caller=agent, **wanted)

    ends: dict[str, Callable[[], Any]] = {
        "permission": lambda: room.allow(principal, None, None),
        "verification": lambda: room.run(verifications.mark_stale, principal, "TEST"),
        "agent's verification": lambda: room.run(verifications.mark_stale, agent, "TEST"),
        "delegation": lambda: room.run(room.delegations.revoke, given, caller=principal),
        "account": lambda: deregister(room, principal),
        "agent's account": lambda: deregister(room, agent),
    }
    assert Meanwhile(room, first).run(ends[what])
    wanted = {"caller": agent, "principal": principal, "service_code": "NAME_CHECK", "text": ""}
    with pytest.raises(ServiceError):
        room.run(room.desk.create, **wanted)


def test_a_delegation_is_not_revoked_while_its_agent_changes_a_request(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account(allowed=False)
    given = delegate(room, principal, agent)
    business_id = room.begin(principal, caller=agent)
    first = lambda connection: room.desk.edit(  # noqa: E731
        connection, business_id, caller=agent, text="more", etag=""
    )
    assert Meanwhile(room, first).run(lambda: room.run(room.delegations.revoke, given, caller=principal))


def test_nobody_is_offered_a_delegation_while_the_account_ends(room: BusinessRoom) -> None:
    for ends_first in (True, False):
        principal, agent = room.account(), room.account()
        result: list[Any] = []

        def attempt(principal: str = principal, agent: str = agent, result: list[Any] = result) -> None:
            try:
                result.append(offer(room, principal, agent))
            except ServiceError as error:
                result.append(error.reason)

        def end(connection: Connection, agent: str = agent) -> None:
            ender(room).deregister(connection, agent, account_pb.DEREGISTRATION_REASON_HOLDER_ASKED)

        if ends_first:
            assert Meanwhile(room, end).run(attempt)
            assert result == [Reason.ACCOUNT_NOT_ACTIVE]
        else:
            attempt()
            deregister(room, agent)
            row = room.read(rows.get_delegation, result[0])
            assert row is not None
            assert row.state == DelegationState.REVOKED


def test_what_an_ended_account_had_open_is_closed(room: BusinessRoom) -> None:
    holder, agent, other = room.account(), room.account(), room.account()
    given, taken = delegate(room, holder, agent), delegate(room, other, holder)
    offered = offer(room, other, holder)
    room.now += timedelta(seconds=1)
    draft, submitted, reviewed, asked, decided = (room.begin(holder, caller=agent) for _ in range(5))
    for business_id in (submitted, reviewed, asked, decided):
        room.run(room.desk.submit, business_id, caller=holder)
    for business_id in (reviewed, asked, decided):
        room.run(room.handler.assigned, room.task(business_id, holder))
    supplement = Supplement(ReasonText("PAGE", "page two"), ("articles",), to_us(NOON + timedelta(days=1)))
    room.run(room.handler.supplement_asked, room.task(asked, holder), supplement)
    room.run(room.handler.decided, room.task(decided, holder), Decision(Outcome.PASSED))
    of_other = room.begin(other, caller=holder)
    untouched = room.get(decided)
    room.reviews.told.clear()

    deregister(room, holder)

    for business_id in (draft, submitted, reviewed, asked):
        shown = room.read(describe, room.desk, room.get(business_id))
        assert shown.state == pb.BUSINESS_STATE_WITHDRAWN
        assert [one.code for one in shown.reasons] == ["ACCOUNT_ENDED"]
        assert shown.timeline[-1].event == pb.BUSINESS_EVENT_CLOSED
        assert not shown.HasField("supplement_until")
    assert room.reviews.told == ["withdrawn business"] * 3
    assert room.get(decided) == untouched
    assert room.get(of_other).state == State.DRAFT
    for delegation_id in (given, taken, offered):
        row = room.read(rows.get_delegation, delegation_id)
        assert row is not None
        assert (row.state, row.ended_us) == (DelegationState.REVOKED, to_us(room.now))
    with pytest.raises(ServiceError) as caught:
        room.run(room.desk.edit, of_other, caller=holder, text="more", etag="")
    assert caught.value.reason is Reason.DELEGATION_MISSING
    room.run(room.desk.edit, of_other, caller=other, text="my own words", etag="")


def test_what_is_over_by_itself_stays_as_it_is_when_an_account_ends(room: BusinessRoom) -> None:
    holder, agent = room.account(), room.account()
    given = delegate(room, holder, agent)
    room.now += timedelta(days=31)
    deregister(room, holder)
    row = room.read(rows.get_delegation, given)
    assert row is not None
    assert (room.delegations.state_of(row), row.ended_us) == (DelegationState.EXPIRED, None)


def test_a_snapshot_is_of_one_instant(room: BusinessRoom) -> None:
    """The clock goes on while rules are looked at: what is kept was true at the time that is kept."""
    holder = room.account(allowed=False)
    room.allow(holder, NOON, NOON + timedelta(seconds=1))

    def tick() -> Any:
        room.now += timedelta(microseconds=1)
        return room.now

    ticking = Sources(now=tick, random_bytes=room.sources.random_bytes)
    object.__setattr__(room.desk.guard, "sources", ticking)
    object.__setattr__(room.accounts, "_sources", ticking)
    let_in = 0
    for before in range(1, 9):
        room.now = NOON + timedelta(seconds=1, microseconds=-before)
        try:
            row = room.get(room.begin(holder))
        except ServiceError:  # FILING_NOT_ALLOWED: the time ran out meanwhile
            continue
        let_in += 1
        kept = outline(row).permission
        moment = kept.check_time.ToMicroseconds()
        assert kept.valid_from.ToMicroseconds() <= moment < kept.valid_until.ToMicroseconds()
    assert let_in


def test_nobody_acts_through_a_chain_of_delegations(room: BusinessRoom) -> None:
    first, second, third = room.account(), room.account(), room.account()
    delegate(room, first, second)
    delegate(room, second, third)
    delegate(room, third, first)
    for caller in (second, third, first):
        principal = {second: first, third: second, first: third}[caller]
        assert room.begin(principal, caller=caller)
    for caller, principal in ((third, first), (first, second), (second, third)):
        with pytest.raises(ServiceError) as caught:
            room.begin(principal, caller=caller)
        assert caught.value.reason is Reason.DELEGATION_MISSING


def test_an_agent_goes_on_under_a_delegation_that_follows(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account(allowed=False)
    first = delegate(room, principal, agent)
    business_id = room.begin(principal, caller=agent)
    room.run(room.delegations.revoke, first, caller=agent)
    with pytest.raises(ServiceError) as caught:
        room.run(room.desk.submit, business_id, caller=agent)
    assert caught.value.reason is Reason.DELEGATION_MISSING
    second = delegate(room, principal, agent)
    row = room.run(room.desk.submit, business_id, caller=agent)
    assert outline(row).permission.delegation_id == first
    assert outline(row).submit_permission.delegation_id == second


def test_who_acts_no_more_is_told_no_more(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account(allowed=False)
    given = delegate(room, principal, agent)
    business_id = room.begin(principal, caller=agent)
    room.run(room.desk.submit, business_id, caller=agent)
    room.run(room.handler.assigned, room.task(business_id, principal))
    room.run(room.delegations.revoke, given, caller=principal)
    room.run(room.handler.decided, room.task(business_id, principal), Decision(Outcome.PASSED))
    with room.store.reading() as connection:
        persons = connection.execute(schema.messages.select()).mappings().all()
    assert [row["person_id"] for row in persons] == [principal]


def test_a_decision_after_a_second_look_is_told_to_no_account_that_ended(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    task = room.task(business_id, holder)
    room.run(room.desk.submit, business_id, caller=holder)
    room.run(room.handler.assigned, task)
    room.run(room.handler.decided, task, Decision(Outcome.PASSED))
    deregister(room, holder)
    room.run(room.handler.reopened, task)
    room.run(room.handler.assigned, task)
    room.run(room.handler.decided, task, Decision(Outcome.NOT_PASSED, (ReasonText("NOT_CLEAR", "words"),)))
    assert room.get(business_id).state == State.REJECTED
    with room.store.reading() as connection:
        assert len(connection.execute(schema.messages.select()).all()) == 1


def test_delegations_are_not_offered_without_end(room: BusinessRoom) -> None:
    """Also where each is revoked at once: what is offered stays in the table for ever."""
    principal, agent = room.account(), room.account()
    for _ in range(100):
        room.run(room.delegations.revoke, offer(room, principal, agent), caller=principal)
    with pytest.raises(ServiceError) as caught:
        offer(room, principal, agent)
    assert caught.value.reason is Reason.DELEGATION_TOO_MANY
    room.now += timedelta(days=1)
    assert offer(room, principal, agent)


def test_a_delegation_ends_within_two_years_from_now(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account()
    with pytest.raises(ServiceError) as caught:
        room.run(
            room.delegations.offer,
            principal=principal,
            agent=agent,
            service_codes=["NAME_CHECK"],
            valid_from=stamp(room, timedelta(days=730)),
            valid_until=stamp(room, timedelta(days=732)),
        )
    assert caught.value.violations[0].rule == "delegation.longest"


def test_a_supplement_has_room_for_documents_where_the_draft_was_full(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    task = room.task(business_id, holder)

    def add() -> rows.DocumentRow:
        return room.run(room.desk.add_document, business_id, room.stage(holder), caller=holder, kind=2)

    for _ in range(30):
        add()
    room.run(room.desk.submit, business_id, caller=holder)
    room.run(room.handler.assigned, task)
    supplement = Supplement(ReasonText("PAGE", "page two"), ("articles",), to_us(NOON + timedelta(days=1)))
    room.run(room.handler.supplement_asked, task, supplement)
    assert add().document_id
