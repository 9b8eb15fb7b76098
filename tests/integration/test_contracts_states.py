"""Whatever happens in whichever order: what a state does not allow is refused, and changes nothing.

Each thing happens through the room's own functions on a database; what it may do is worked out by a table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from google.rpc import code_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from cloud.contracts.acts import Acts
from cloud.contracts.states import MACHINE, PARTY_MACHINE, Event, PartyState, State
from cloud.contracts.upkeep import Upkeep
from cloud.errors import Reason, ServiceError
from cloud.store.contracts import ContractRow
from tests.support.contract_desk import Bench, open_bench
from verifield.v1 import contract_service_pb2 as pb

EXAMPLES = 15 * int(os.environ.get("VERIFIELD_SOAK", "1"))


@pytest.fixture(scope="module")
def bench(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(module_database_url, tmp_path_factory.mktemp("service")) as opened:
        yield opened


def actions(bench: Bench, sender: str, other: str, contract_id: str) -> dict[Event, Callable[[Any], object]]:
    """What a test does, by what happens to the contract."""
    revision = bench.core.objects.stage(os.urandom(16), person_id=contract_id, media_type="application/pdf")
    later = bench.core.objects.stage(os.urandom(16), person_id=contract_id, media_type="application/pdf")
    details = pb.ContractDetails(title="Other")

    def both(connection: Any) -> None:
        for account_id, staged in ((other, revision), (sender, later)):
            row = bench.desk.hold(connection, contract_id)
            party = bench.desk.party_of(connection, row, account_id)
            if account_id == other and party.state == PartyState.SIGNED:
                continue
            bench.read(connection, account_id, contract_id)
            bench.sign(connection, account_id, contract_id, staged)

    return {
        Event.EDIT: lambda connection: bench.drafts.update(
            connection, sender, pb.UpdateContractRequest(contract_id=contract_id, details=details)
        ),
        Event.READ: lambda connection: bench.read(connection, other, contract_id),
        Event.COMPLETE: both,
        Event.DECLINE: lambda connection: bench.acts.decline(connection, sender, contract_id, "no"),
        Event.WITHDRAW: lambda connection: bench.acts.withdraw(connection, sender, contract_id),
        Event.CLASSIFY: lambda connection: bench.shelf.classify(
            connection, sender, pb.ClassifyContractRequest(contract_id=contract_id, category="OTHER")
        ),
        Event.ARCHIVE: lambda connection: bench.shelf.archive(
            connection, sender, contract_id, retention_us=None
        ),
        Event.UNARCHIVE: lambda connection: bench.shelf.unarchive(connection, sender, contract_id),
        Event.EXPIRE: lambda connection: bench.acts.expire(
            connection, bench.core.find(connection, contract_id, lock=True)
        ),
    }


LIVELY = [
    Event.EDIT,
    Event.SEND,
    Event.READ,
    Event.COMPLETE,
    Event.DECLINE,
    Event.WITHDRAW,
    Event.CLASSIFY,
    Event.ARCHIVE,
    Event.UNARCHIVE,
    Event.EXPIRE,
]
WAYS = [
    [],
    [Event.SEND],
    [Event.SEND, Event.READ],
    [Event.SEND, Event.COMPLETE],
    [Event.SEND, Event.COMPLETE, Event.ARCHIVE],
    [Event.SEND, Event.EXPIRE],
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(WAYS), st.lists(st.sampled_from(LIVELY), min_size=1, max_size=6))
def test_any_order_of_events(bench: Bench, way: list[Event], wanted: list[Event]) -> None:
    sender, _ = bench.account()
    other, person = bench.account()
    contract_id = bench.begin(sender, person)
    doable, state = actions(bench, sender, other, contract_id), State.DRAFT
    for event in (*way, *wanted):

        def do(event: Event = event) -> None:
            if event is Event.SEND:
                bench.send(sender, contract_id)
            else:
                bench.run(doable[event])

        if MACHINE.allows(state, event):
            do()
            state = MACHINE.after(state, event)
        else:
            before = bench.dump()
            with pytest.raises(ServiceError) as refused:
                do()
            drafts_are_hidden = state is State.DRAFT and event in (Event.READ, Event.COMPLETE, Event.DECLINE)
            if drafts_are_hidden:
                assert refused.value.reason in (Reason.CONTRACT_OTHERS, Reason.CONTRACT_NOT_YOUR_TURN)
            else:
                assert refused.value.reason in (Reason.CONTRACT_STATE, Reason.CONTRACT_EXPIRED)
                assert refused.value.status == code_pb2.FAILED_PRECONDITION
            assert bench.dump() == before
        assert bench.row(contract_id).state == state


def test_a_lost_race_writes_nothing(bench: Bench) -> None:
    sender, _ = bench.account()
    other, person = bench.account()
    contract_id = bench.begin(sender, person)
    bench.send(sender, contract_id)
    bench.run(lambda connection: bench.read(connection, other, contract_id))
    staged = bench.core.objects.stage(b"%", person_id=contract_id, media_type="application/pdf")

    def late(connection: Any, sha256: bytes, final: bool) -> None:
        contract = bench.desk.hold(connection, contract_id)
        found = bench.desk.party_of(connection, contract, other)
        found = bench.desk.authenticated(connection, contract, found, account_id=other)
        bench.desk.signed(
            connection,
            bench.desk.hold(connection, contract_id),
            found,
            account_id=other,
            before_sha256=sha256,
            revision=staged,
            field_names=[one.field_name for one in bench.desk.marks(connection, contract, found)],
            final=final,
        )

    before, current = bench.dump(), bench.row(contract_id).revision_sha256 or b""
    for sha256, final in ((bytes(32), False), (current, True)):
        with pytest.raises(ServiceError) as refused:
            bench.run(partial(late, sha256=sha256, final=final))
        assert refused.value.reason is Reason.REVISION_MOVED
        assert bench.dump() == before
    bench.run(partial(late, sha256=current, final=False))
    assert bench.row(contract_id).revision_no == 1


def test_what_was_sent_and_when_never_changes(bench: Bench) -> None:
    sender, _ = bench.account()
    _, person = bench.account()
    contract_id = bench.begin(sender, person)
    bench.send(sender, contract_id)
    row = bench.row(contract_id)
    assert row.sent_us is not None
    assert row.sent_us % 1000 == 0
    before = bench.dump()
    for statement in (
        "UPDATE contracts SET sent_us = sent_us + 1000 WHERE contract_id = :id",
        "UPDATE contracts SET sent_us = NULL WHERE contract_id = :id",
        "UPDATE contracts SET document_sha256 = revision_sha256, document_id = NULL, sent_us = 1 "
        "WHERE contract_id = :id",
        "UPDATE contract_revisions SET at_us = 1 WHERE contract_id = :id",
        "DELETE FROM contract_revisions WHERE contract_id = :id",
    ):
        with pytest.raises((DBAPIError, ServiceError)):
            bench.run(lambda connection, sql=statement: connection.execute(text(sql), {"id": contract_id}))
    assert bench.dump() == before


def test_every_state_is_reached() -> None:
    assert set(MACHINE.table.values()) >= set(State)
    assert set(PARTY_MACHINE.table.values()) == set(PartyState) - {PartyState.INVITED}


def test_ends_are_ends() -> None:
    for state in (State.DECLINED, State.WITHDRAWN, State.EXPIRED):
        following = {after for (before, _), after in MACHINE.table.items() if before is state}
        assert following == {state, State.DELETED}
    assert not any(before is State.DELETED for before, _ in MACHINE.table)


def test_one_contract_with_a_fault_keeps_no_other_waiting(bench: Bench) -> None:
    sender, _ = bench.account()
    _, other = bench.account()
    broken, sound = (bench.begin(sender, other) for _ in range(2))
    for one in (broken, sound):
        bench.send(sender, one)

    class Faulty(Acts):
        def expire(self, connection: Connection, row: ContractRow) -> ContractRow:
            if row.contract_id == broken:
                raise ServiceError(Reason.RECORD_DAMAGED, "Its address cannot be opened.")
            return Acts.expire(self, connection, row)

    began = bench.clock["at"]
    bench.clock["at"] += timedelta(days=31)
    try:
        with pytest.raises(ServiceError):  # told in the log, and tried again
            Upkeep(bench.core, Faulty(bench.core), bench.shelf, bench.store).expire()
    finally:
        bench.clock["at"] = began
    assert [bench.row(one).state for one in (broken, sound)] == [State.SENT, State.EXPIRED]
