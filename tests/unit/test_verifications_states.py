"""Verifications as a machine: what a state does not allow is refused, and nothing is changed then."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.personal import Personal
from cloud.accounts.states import MACHINE as ACCOUNT_MACHINE
from cloud.accounts.states import Event as AccountEvent
from cloud.accounts.states import State as AccountState
from cloud.authorities.port import Authority, AuthorityFault, Elements, FaultKind
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources, to_us
from cloud.store import verifications as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import metadata
from cloud.upkeep import Job
from cloud.verifications.desk import Verifications
from cloud.verifications.judge import Judge
from cloud.verifications.online import CLAIM_LIFE_US, Asked, Online
from cloud.verifications.sites import Sites
from cloud.verifications.states import MACHINE, Event, State
from cloud.verifications.upkeep import jobs
from tests.support.accounts import new_citizen
from verifield.v1 import identity_service_pb2 as pb

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
BUSY = AuthorityFault(Authority.REGISTRY, FaultKind.BUSY, tries=3)


class Room:
    """The room on a database, without a server; ``now`` is where the clock stands."""

    def __init__(self, url: str, folder: Path) -> None:
        self.now = NOON
        self.store = Store.open(url, StoreOptions(require_durable=False))
        self.sources = Sources(now=lambda: self.now, random_bytes=secrets.token_bytes)
        (folder / "keys").mkdir(mode=0o700, exist_ok=True)
        ring = KeyRing.open(folder / "keys", now_us=to_us(NOON), random_bytes=secrets.token_bytes)
        self.persons = Persons(ring, self.sources)
        self.accounts = Accounts(self.persons, self.sources)
        self.desk = Verifications(self.accounts, self.sources)
        evidence: Any = None
        self.online = Online(self.desk, evidence)
        vault: Any = None
        self.jobs = {
            one.name: one for one in jobs(self.store, self.desk, Sites(self.sources, vault), Judge(self.desk))
        }

    def account(self, state: AccountState = AccountState.PHONE_VERIFIED) -> str:
        person, account_id = new_citizen(), self.sources.uuid7()
        personal = Personal(**{name: getattr(person, name) for name in Personal.__dataclass_fields__})
        wanted = Wanted(account_id, personal, state)
        self.store.run(lambda connection: create(connection, self.accounts, self.sources, wanted))
        return account_id

    def begin(self, account_id: str) -> Asked:
        return self.store.run(
            lambda connection: self.online.begin_elements(connection, account_id, None, request_id="")
        )

    def conclude(self, asked: Asked, answer: Elements | AuthorityFault) -> Any:
        return self.store.run(lambda connection: self.online.conclude_elements(connection, asked, answer))

    def dump(self) -> dict[str, list[Any]]:
        """All rows of all tables."""
        with self.store.reading() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(table.select()).all()))
                for table in metadata.sorted_tables
            }

    def refused(self, work: Callable[[Connection], Any]) -> ServiceError:
        """Why; and that no row is another one than before."""
        before = self.dump()
        with pytest.raises(ServiceError) as caught:
            self.store.run(work)
        assert self.dump() == before
        return caught.value

    def row(self, asked: Asked) -> rows.VerificationRow:
        with self.store.reading() as connection:
            found = rows.get_verification(connection, asked.row.verification_id)
        assert found is not None
        return found


@pytest.fixture
def room(database_url: str, tmp_path: Path) -> Any:
    made = Room(database_url, tmp_path)
    yield made
    made.store.close()


EVENTS = st.lists(st.sampled_from(Event), max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_an_attempt_goes_by_its_table_and_what_is_refused_changes_nothing(
    room: Room, events: list[Event]
) -> None:
    asked = room.begin(room.account())
    state = State.PENDING
    for event in events:

        def happen(connection: Connection, event: Event = event) -> None:
            row = rows.get_verification(connection, asked.row.verification_id, lock=True)
            assert row is not None
            room.desk.end(connection, row, event, code="X")

        if MACHINE.allows(state, event):
            room.store.run(happen)
            state = MACHINE.after(state, event)
        else:
            error = room.refused(happen)
            assert error.reason is Reason.VERIFICATION_STATE
            assert error.metadata == {"state": state.name, "event": event.name}
        assert room.row(asked).state == state


@pytest.mark.parametrize("state", AccountState)
def test_only_accounts_that_may_be_verified_are(room: Room, state: AccountState) -> None:
    account_id = room.account(state)
    if ACCOUNT_MACHINE.allows(state, AccountEvent.VERIFY_ELEMENTS):
        room.begin(account_id)
        return
    error = room.refused(
        lambda connection: room.online.begin_elements(connection, account_id, None, request_id="")
    )
    assert error.status == 9  # FAILED_PRECONDITION
    error = room.refused(
        lambda connection: room.online.start_face_check(connection, account_id, nonce=bytes(32))
    )
    assert error.status == 9


def test_an_answer_that_comes_after_the_end_changes_nothing(room: Room) -> None:
    account_id = room.account()
    asked = room.begin(account_id)
    for answer in (BUSY, Elements.MATCH, Elements.MISSING):
        if answer is BUSY:
            assert room.conclude(asked, BUSY) is BUSY
        error = room.refused(
            lambda connection, one=answer: room.online.conclude_elements(connection, asked, one)
        )
        assert error.reason is Reason.VERIFICATION_STATE
    assert room.row(asked).state == State.ERROR_RETRYABLE


def test_a_server_that_dies_while_it_asks_verifies_nobody(room: Room) -> None:
    account_id = room.account()
    asked = room.begin(account_id)  # and then nothing more is heard of it
    error = room.refused(
        lambda connection: room.online.begin_elements(connection, account_id, None, request_id="")
    )
    assert error.reason is Reason.VERIFICATION_RUNNING
    overdue: Job = room.jobs["identity.overdue"]
    assert overdue.run() == 0
    room.now += timedelta(microseconds=CLAIM_LIFE_US)
    assert overdue.run() == 1
    assert overdue.run() == 0
    row = room.row(asked)
    assert (row.state, row.code) == (State.ERROR_RETRYABLE, "NO_ANSWER")
    error = room.refused(lambda connection: room.online.conclude_elements(connection, asked, Elements.MATCH))
    assert error.reason is Reason.VERIFICATION_STATE
    again = room.begin(account_id)
    assert room.conclude(again, Elements.MATCH).state == State.PASSED


def test_what_was_left_behind_is_ended_by_the_next_attempt_too(room: Room) -> None:
    account_id = room.account()
    left = room.begin(account_id)
    room.now += timedelta(microseconds=CLAIM_LIFE_US)
    again = room.begin(account_id)
    assert (room.row(left).state, room.row(left).code) == (State.ERROR_RETRYABLE, "INTERRUPTED")
    assert room.row(again).state == State.PENDING


def test_an_answer_about_elements_that_were_changed_meanwhile_does_not_count(room: Room) -> None:
    account_id = room.account()
    asked = room.begin(account_id)
    stale = replace(asked, known=replace(asked.known, name="测试错"))
    error = room.conclude(stale, Elements.MATCH)
    assert error.reason is Reason.VERIFICATION_STATE
    assert room.row(asked).code == "CHANGED_MEANWHILE"


def test_a_verification_grows_old_and_stale_ones_are_verified_again(room: Room) -> None:
    account_id = room.account()
    room.conclude(room.begin(account_id), Elements.MATCH)

    def confirm(connection: Connection) -> None:
        held = room.desk.hold(connection, account_id)
        row = room.desk.begin(
            connection, held, pb.VERIFICATION_METHOD_FACE, request_id="", life_us=CLAIM_LIFE_US
        )
        room.desk.confirm_person(connection, held, row)

    room.store.run(confirm)
    recheck = room.jobs["identity.recheck"]
    assert recheck.run() == 0
    room.now += timedelta(days=366)
    assert recheck.run() == 1
    with room.store.reading() as connection:
        standing = room.desk.standing(connection, account_id)
    assert (standing.verified, standing.stale) == (False, True)
    error = room.refused(lambda connection: room.desk.require_verified(connection, account_id))
    assert (error.reason, error.metadata["stale"]) == (Reason.IDENTITY_REQUIRED, "true")
    room.store.run(confirm)
    with room.store.reading() as connection:
        assert room.desk.require_verified(connection, account_id).verified


def test_who_was_verified_anew_while_the_job_waited_does_not_become_stale(room: Room) -> None:
    account_id = room.account()

    def confirm(connection: Connection) -> None:
        held = room.desk.hold(connection, account_id)
        row = room.desk.begin(connection, held, pb.VERIFICATION_METHOD_CTID, request_id="", life_us=1)
        room.desk.confirm_person(connection, held, row)

    room.store.run(confirm)
    room.now += timedelta(days=366)
    before_us = room.desk.now_us - 1
    room.store.run(confirm)  # after the job has looked for what is due
    marked = room.store.run(
        lambda connection: room.desk.mark_stale(connection, account_id, "RECHECK_DUE", before_us=before_us)
    )
    assert not marked
    with room.store.reading() as connection:
        assert room.desk.standing(connection, account_id).verified


@pytest.mark.parametrize(
    ("fields", "stale"),
    [
        ({"name"}, True),
        ({"validity"}, True),
        ({"phone"}, False),
        ({"email"}, False),
        ({"phone", "name"}, True),
    ],
)
def test_a_new_card_or_name_makes_stale_and_a_new_telephone_does_not(
    room: Room, fields: set[str], stale: bool
) -> None:
    account_id = room.account()
    room.conclude(room.begin(account_id), Elements.MATCH)

    def confirm(connection: Connection) -> None:
        held = room.desk.hold(connection, account_id)
        row = room.desk.begin(connection, held, pb.VERIFICATION_METHOD_CTID, request_id="", life_us=1)
        room.desk.confirm_person(connection, held, row)
        room.desk.identity_changed(connection, account_id, frozenset(fields))

    room.store.run(confirm)
    with room.store.reading() as connection:
        assert room.desk.standing(connection, account_id).stale is stale
