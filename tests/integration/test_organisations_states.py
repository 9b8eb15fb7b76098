"""The lives of organisations and seals: what their tables do not allow is refused, and changes nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.errors import ServiceError
from cloud.organisations.states import MACHINE, Event, State, state_of
from cloud.organisations.watcher import OrganisationWatcher
from cloud.seals.states import MACHINE as SEAL_MACHINE
from cloud.seals.states import Event as SealEvent
from cloud.seals.states import State as SealState
from cloud.seals.states import VersionState
from cloud.store import seals as seal_rows
from cloud.store.database import Store, StoreOptions
from tests.support.organisation_desk import NO, YES, OrganisationDesk

SOAK = bool(os.environ.get("VERIFIELD_SOAK"))
EXAMPLES = settings(
    max_examples=200 if SOAK else 8,
    stateful_step_count=20,
    deadline=None,
    derandomize=not SOAK,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def desk() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/test.db", StoreOptions(require_durable=False))
        try:
            yield OrganisationDesk(store, Path(folder))
        finally:
            store.close()


def attempt(desk: OrganisationDesk, call: Callable[[], Any], *, allowed: bool, reason: str) -> None:
    before = desk.dump()
    if allowed:
        call()
        return
    with pytest.raises(ServiceError) as caught:
        call()
    assert caught.value.reason.value == reason
    assert desk.dump() == before


@given(st.lists(st.sampled_from(list(Event)), min_size=1, max_size=14))
@EXAMPLES
def test_an_organisation_goes_where_its_table_says(desk: OrganisationDesk, events: list[Event]) -> None:
    admin = desk.account()
    organisation_id = desk.registered(admin)
    task, reviews = desk.organisation_task(organisation_id), desk.organisation_reviews
    calls: dict[Event, Callable[[], Any]] = {
        Event.CHANGE_DOCUMENTS: lambda: desk.add_document(organisation_id, admin),
        Event.SUBMIT: lambda: desk.submit(organisation_id, admin),
        Event.ASSIGN: lambda task=task: desk.run(reviews.assigned, task),
        Event.ASK: lambda: desk.run(reviews.supplement_asked, task, desk.supplement()),
        Event.MISS: lambda: desk.run(reviews.supplement_expired, task),
        Event.VERIFY: lambda: desk.run(reviews.decided, task, YES),
        Event.REJECT: lambda: desk.run(reviews.decided, task, NO),
        Event.WITHDRAW: lambda: desk.run(desk.registry.withdraw, organisation_id, caller=admin),
        Event.OUTDATE: lambda: desk.run(desk.registry.declare_change, organisation_id, caller=admin),
        Event.REOPEN: lambda: desk.run(reviews.reopened, task),
    }
    assert calls.keys() == set(Event)
    state = State.REGISTERED
    for event in events:
        allowed = MACHINE.allows(state, event)
        attempt(desk, calls[event], allowed=allowed, reason="ORGANISATION_STATE")
        state = MACHINE.after(state, event) if allowed else state
        row = desk.read(desk.registry.organisations.find, organisation_id)
        assert state_of(row) is state
        assert (row.verified_us is not None) == (state is State.VERIFIED)
        assert desk.read(desk.registry.organisations.is_verified, organisation_id) == (
            state is State.VERIFIED
        )


ACTS = ("submit", "assign", "approve", "reject", "reopen", "freeze", "unfreeze", "revoke")


@given(st.lists(st.sampled_from(ACTS), min_size=1, max_size=14))
@EXAMPLES
def test_a_seal_goes_where_its_table_says(desk: OrganisationDesk, acts: list[str]) -> None:
    """The oracle knows the states of versions from what it did itself."""
    admin = desk.account()
    organisation_id = desk.verified(admin)
    seal_id = desk.new_seal(organisation_id, admin)
    reviews = desk.seal_reviews
    state, signs, pending = SealState.PENDING_REVIEW, False, True
    for act in acts:
        task = desk.seal_task(desk.newest(seal_id))
        newest = desk.read(seal_rows.list_versions, seal_id)[-1]
        was_decided = newest.state in (VersionState.APPROVED, VersionState.REJECTED)
        is_signing = newest.state == VersionState.APPROVED
        event, call, possible = {
            "submit": (SealEvent.SUBMIT, lambda: desk.new_seal(organisation_id, admin, seal_id), not pending),
            "assign": (SealEvent.ASSIGN, lambda task=task: desk.run(reviews.assigned, task), True),
            "approve": (SealEvent.APPROVE, lambda task=task: desk.run(reviews.decided, task, YES), pending),
            "reject": (
                SealEvent.REJECT if signs else SealEvent.REJECT_LAST,
                lambda task=task: desk.run(reviews.decided, task, NO),
                pending,
            ),
            "reopen": (
                SealEvent.REOPEN_LAST if is_signing or not signs else SealEvent.REOPEN,
                lambda task=task: desk.run(reviews.reopened, task),
                was_decided,
            ),
            "freeze": (SealEvent.FREEZE, lambda: desk.run(desk.workshop.freeze, seal_id, caller=admin), True),
            "unfreeze": (
                SealEvent.UNFREEZE if signs else SealEvent.UNFREEZE_LAST,
                lambda: desk.run(desk.workshop.unfreeze, seal_id, caller=admin),
                True,
            ),
            "revoke": (SealEvent.REVOKE, lambda: desk.run(desk.workshop.revoke, seal_id, caller=admin), True),
        }[act]
        allowed = possible and SEAL_MACHINE.allows(state, event)
        attempt(desk, call, allowed=allowed, reason="SEAL_STATE")
        if allowed:
            state = SEAL_MACHINE.after(state, event)
            signs = {"approve": True, "reopen": signs and not is_signing}.get(act, signs)
            pending = {
                "submit": True,
                "reopen": True,
                "approve": False,
                "reject": False,
                "revoke": False,
            }.get(act, pending)
        row = desk.read(desk.workshop.find, seal_id)
        assert SealState(row.state) is state
        assert (row.approved_version is not None) == signs


def test_a_representative_of_another_name_is_no_more_who_was_verified(desk: OrganisationDesk) -> None:
    admin = desk.account()
    organisation_id, watcher = desk.verified(admin), OrganisationWatcher(desk.registry)
    desk.run(watcher.identity_changed, admin, frozenset({"phone", "email", "validity"}))
    assert desk.read(desk.registry.organisations.is_verified, organisation_id)
    desk.run(watcher.identity_changed, admin, frozenset({"name"}))
    assert state_of(desk.read(desk.registry.organisations.find, organisation_id)) is State.STALE
    waiting = desk.registered(admin)
    desk.submit(waiting, admin)
    desk.run(watcher.deregistered, admin)
    assert state_of(desk.read(desk.registry.organisations.find, waiting)) is State.REGISTERED
    assert desk.told.told[-1] == "withdrawn organisations"
