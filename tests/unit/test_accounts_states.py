"""The life of an account: what its state does not allow is refused by its reason, and nothing is written."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.personal import Personal
from cloud.accounts.states import (
    ACTIVATION,
    MACHINE,
    NEXT_STEPS,
    ActivationEvent,
    ActivationState,
    Event,
    State,
)
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import metadata
from tests.support.accounts import new_citizen
from verifield.v1 import account_service_pb2 as pb

EVENTS = st.lists(st.sampled_from(list(Event)), max_size=12)


class Room:
    def __init__(self, url: str, folder: Path) -> None:
        self.store = Store.open(url, StoreOptions(require_durable=False))
        self.sources = Sources(now=lambda: datetime.now(UTC), random_bytes=secrets.token_bytes)
        keys = folder / "keys"
        keys.mkdir()
        ring = KeyRing.open(keys, now_us=0, random_bytes=secrets.token_bytes)
        self.accounts = Accounts(Persons(ring, self.sources), self.sources)

    def make(self, state: State) -> str:
        person = new_citizen(login_name="")
        personal = Personal(**{name: getattr(person, name) for name in Personal.__dataclass_fields__})
        account_id = self.sources.uuid7()

        def work(connection: Connection) -> None:
            create(connection, self.accounts, self.sources, Wanted(account_id, personal, state))

        self.store.run(work)
        return account_id

    def dump(self) -> dict[str, list[Any]]:
        with self.store.reading() as connection:
            return {
                name: sorted(map(repr, connection.execute(select(table)).all()))
                for name, table in metadata.tables.items()
                if name.startswith("account") or name == "audit_events"
            }

    def do(self, account_id: str, event: Event) -> int:
        """By the function that the service calls for it."""

        def work(connection: Connection) -> int:
            if event is Event.REBIND_PHONE:
                return self.accounts.rebind(connection, account_id, new_citizen().phone).state
            if event is Event.DEREGISTER:
                reason = pb.DEREGISTRATION_REASON_HOLDER_ASKED
                return self.accounts.deregister(connection, account_id, reason).state
            if event is Event.EXPIRE:
                reason = pb.DEREGISTRATION_REASON_NOT_FINISHED
                return self.accounts.deregister(connection, account_id, reason).state
            return self.accounts.advance(connection, account_id, event).state

        return self.store.run(work)


@pytest.fixture(scope="module")
def room(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    made = Room(module_database_url, tmp_path_factory.mktemp("room"))
    yield made
    made.store.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(begin=st.sampled_from([State.DRAFT, State.SYNCED_INACTIVE, State.ACTIVE]), events=EVENTS)
def test_every_walk_follows_the_table_and_a_refusal_changes_nothing(
    room: Room, begin: State, events: list[Event]
) -> None:
    account_id, state = room.make(begin), begin
    for event in events:
        if MACHINE.allows(state, event):
            expected = MACHINE.after(state, event)
            assert room.do(account_id, event) == expected
            state = expected
            continue
        before = room.dump()
        with pytest.raises(ServiceError) as caught:
            room.do(account_id, event)
        assert caught.value.status == code_pb2.FAILED_PRECONDITION
        assert caught.value.metadata == {"state": state.name, "event": event.name}
        assert room.dump() == before
    with room.store.reading() as connection:
        assert room.accounts.find(connection, account_id).state == state


@pytest.mark.parametrize("state", list(State))
def test_ending_is_allowed_from_every_state_but_the_last(state: State) -> None:
    assert MACHINE.allows(state, Event.DEREGISTER) is (state is not State.DEREGISTERED)


def test_nothing_leaves_the_last_state() -> None:
    assert not any(MACHINE.allows(State.DEREGISTERED, event) for event in Event)


def test_what_comes_next_is_possible() -> None:
    possible = {
        pb.NEXT_STEP_VERIFY_PHONE: Event.VERIFY_PHONE,
        pb.NEXT_STEP_VERIFY_ELEMENTS: Event.VERIFY_ELEMENTS,
        pb.NEXT_STEP_VERIFY_FACE: Event.VERIFY_IDENTITY,
        pb.NEXT_STEP_ACTIVATE: Event.ACTIVATE,
    }
    assert all(MACHINE.allows(state, possible[step]) for state, step in NEXT_STEPS.items())


@pytest.mark.parametrize("state", list(ActivationState))
def test_a_password_is_set_only_behind_a_verified_number(state: ActivationState) -> None:
    allowed = ACTIVATION.allows(state, ActivationEvent.ACTIVATE)
    assert allowed is (state is ActivationState.PHONE_VERIFIED)
    if not allowed:
        with pytest.raises(ServiceError) as caught:
            ACTIVATION.after(state, ActivationEvent.ACTIVATE)
        assert caught.value.reason is Reason.ACTIVATION_PHONE_UNVERIFIED
