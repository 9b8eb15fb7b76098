"""The lives of organisations and seals: what their tables do not allow is refused, and changes nothing."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from cloud.commands.keys import sealed_tables
from cloud.errors import ServiceError
from cloud.organisations.handler import MAX_BY_OTHERS_A_DAY
from cloud.organisations.states import MACHINE, Event, State, state_of
from cloud.organisations.watcher import OrganisationWatcher
from cloud.seals.states import MACHINE as SEAL_MACHINE
from cloud.seals.states import Event as SealEvent
from cloud.seals.states import Scope, VersionState
from cloud.seals.states import State as SealState
from cloud.store import organisations as organisation_rows
from cloud.store import seals as seal_rows
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import identities, messages
from cloud.store.sealed import forget_person
from tests.support.organisation_desk import NO, YES, OrganisationDesk
from verifield.v1 import organisation_service_pb2 as pb

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
    admin, other = desk.account(), desk.account()
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
        Event.HAND_OVER: lambda: desk.run(there_and_back, desk, organisation_id, (admin, other)),
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


def there_and_back(
    connection: Connection, desk: OrganisationDesk, organisation_id: str, both: tuple[str, str]
) -> None:
    for one, other in (both, both[::-1]):
        desk.handover.offer(connection, organisation_id, caller=one, account_id=other)
        desk.handover.take_over(connection, organisation_id, caller=other)


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


def test_what_has_changed_since_it_was_handed_in_counts_at_the_decision(desk: OrganisationDesk) -> None:
    admin = desk.account()
    organisation_id = desk.registered(admin)
    desk.submit(organisation_id, admin)
    task = desk.organisation_task(organisation_id)

    def set_stale(connection: Connection, stale_us: int | None) -> None:
        query = update(identities).where(identities.c.account_id == admin)
        connection.execute(query.values(stale_us=stale_us))

    desk.run(set_stale, 1)
    attempt(
        desk,
        lambda: desk.run(desk.organisation_reviews.decided, task, YES),
        allowed=False,
        reason="IDENTITY_REQUIRED",
    )
    desk.run(set_stale, None)
    desk.run(desk.organisation_reviews.decided, task, YES)
    seal_id = desk.approved(organisation_id, admin)
    desk.run(desk.workshop.freeze, seal_id, caller=admin)
    desk.run(set_stale, 1)
    for call in (
        lambda: desk.run(desk.workshop.unfreeze, seal_id, caller=admin),
        lambda: desk.new_seal(organisation_id, admin),
        lambda: give(desk, seal_id, admin, desk.account()),
    ):
        attempt(desk, call, allowed=False, reason="IDENTITY_REQUIRED")
    desk.run(desk.workshop.revoke, seal_id, caller=admin)  # to stop one nobody has to be verified


def test_a_rejection_needs_no_administrator_who_is_verified(desk: OrganisationDesk) -> None:
    admin = desk.account()
    organisation_id = desk.registered(admin)
    desk.submit(organisation_id, admin)
    desk.run(
        lambda connection: connection.execute(
            update(identities).where(identities.c.account_id == admin).values(stale_us=1)
        )
    )
    desk.run(desk.organisation_reviews.decided, desk.organisation_task(organisation_id), NO)
    assert state_of(desk.read(desk.registry.organisations.find, organisation_id)) is State.REJECTED


def test_an_organisation_is_handed_over_to_whom_it_was_offered(desk: OrganisationDesk) -> None:
    admin, heir, other = desk.account(), desk.account(), desk.account()
    organisation_id = desk.registered(admin)
    letter = pb.ORGANISATION_DOCUMENT_KIND_AUTHORISATION_LETTER
    desk.add_document(organisation_id, admin, kind=letter)
    desk.submit(organisation_id, admin)
    desk.run(desk.organisation_reviews.decided, desk.organisation_task(organisation_id), YES)
    seal_id = desk.approved(organisation_id, admin)

    def offer(by: str, to: str) -> Callable[[], Any]:
        return lambda: desk.run(desk.handover.offer, organisation_id, caller=by, account_id=to)

    def take(by: str) -> Callable[[], Any]:
        return lambda: desk.run(desk.handover.take_over, organisation_id, caller=by)

    nobody = "ORGANISATION_NOT_FOUND"
    attempt(desk, offer(other, heir), allowed=False, reason=nobody)
    attempt(desk, take(heir), allowed=False, reason=nobody)
    attempt(desk, offer(admin, admin), allowed=False, reason="REQUEST_INVALID")
    attempt(desk, offer(admin, desk.account(verified=False)), allowed=False, reason="IDENTITY_REQUIRED")
    offer(admin, other)()
    offer(admin, "")()
    attempt(desk, take(other), allowed=False, reason=nobody)
    offer(admin, other)()
    offer(admin, heir)()
    attempt(desk, take(other), allowed=False, reason=nobody)
    attempt(desk, take(admin), allowed=False, reason=nobody)
    take(heir)()
    row = desk.read(desk.registry.organisations.find, organisation_id)
    assert (row.account_id, row.offered_to, row.is_representative) == (heir, None, False)
    assert (state_of(row), row.verified_us) == (State.STALE, None)
    kinds = {one.kind for one in desk.read(organisation_rows.list_documents, organisation_id)}
    assert letter not in kinds  # it names who administered it before
    attempt(desk, take(heir), allowed=False, reason=nobody)

    def freeze(by: str) -> Callable[[], Any]:
        return lambda: desk.run(desk.workshop.freeze, seal_id, caller=by)

    attempt(desk, freeze(admin), allowed=False, reason="SEAL_NOT_FOUND")
    freeze(heir)()
    attempt(desk, lambda: desk.submit(organisation_id, admin), allowed=False, reason=nobody)
    desk.submit(organisation_id, heir)
    assert state_of(desk.read(desk.registry.organisations.find, organisation_id)) is State.PENDING_REVIEW


def test_nobody_is_flooded_with_what_others_offer_and_grant(desk: OrganisationDesk) -> None:
    admin, victim = desk.account(), desk.account()
    organisation_id = desk.verified(admin)
    seal_id = desk.approved(organisation_id, admin)
    for _ in range(MAX_BY_OTHERS_A_DAY + 3):
        desk.run(desk.handover.offer, organisation_id, caller=admin, account_id=victim)
        desk.run(desk.handover.offer, organisation_id, caller=admin, account_id="")
        give(desk, seal_id, admin, victim)
    with desk.store.reading() as connection:
        sent = connection.execute(select(messages.c.template).where(messages.c.person_id == victim))
        assert Counter(sent.scalars()) == {
            "organisation_offered": MAX_BY_OTHERS_A_DAY,
            "seal_granted": MAX_BY_OTHERS_A_DAY,
        }


def test_an_organisation_that_was_erased_is_nobody_s_name(desk: OrganisationDesk) -> None:
    admin = desk.account()
    organisation_id = desk.verified(admin)
    uscc = desk.read(desk.registry.organisations.identity, organisation_id).uscc
    desk.run(forget_person, sealed_tables(), organisation_id, now_us=1)
    with pytest.raises(ServiceError) as caught:
        desk.read(desk.registry.organisations.identity, organisation_id)
    assert caught.value.reason.value == "ORGANISATION_NOT_FOUND"
    again = desk.account()
    second = desk.registered(again)  # and its numbers are free again
    desk.submit(second, again, uscc=uscc)
    desk.run(desk.organisation_reviews.decided, desk.organisation_task(second), YES)
    assert desk.read(desk.registry.organisations.identity, second).uscc == uscc
    assert state_of(desk.read(desk.registry.organisations.find, organisation_id)) is State.STALE


def give(desk: OrganisationDesk, seal_id: str, admin: str, account_id: str) -> None:
    until = Timestamp()
    until.FromDatetime(desk.now.replace(year=desk.now.year + 1, tzinfo=None))
    desk.run(
        desk.grants.give,
        seal_id,
        caller=admin,
        account_id=account_id,
        scopes=[Scope.APPROVALS],
        valid_from=None,
        valid_until=until,
        max_uses=0,
    )


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
