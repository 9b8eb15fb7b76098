"""A grant that is revoked, a seal that is frozen, uses that are limited: at one moment, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from cloud.errors import ServiceError
from cloud.reviews.port import Task
from cloud.seals.desk import Scope
from cloud.store import seals as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import seal_uses
from tests.support.organisation_desk import YES, OrganisationDesk
from tests.support.organisations import new_uscc

DOCUMENT = bytes(32)


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Any:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    try:
        yield OrganisationDesk(store, tmp_path)
    finally:
        store.close()


class Case:
    """A seal that signs, and somebody with a grant of it."""

    def __init__(self, desk: OrganisationDesk, *, max_uses: int = 0, grants: int = 1) -> None:
        self.desk, self.admin, self.clerk = desk, desk.account(), desk.account()
        self.organisation_id = desk.verified(self.admin)
        self.seal_id = desk.approved(self.organisation_id, self.admin)
        until = Timestamp()
        until.FromDatetime(desk.now.replace(year=desk.now.year + 1, tzinfo=None))
        for _ in range(grants):
            self.grant_id = desk.run(
                desk.grants.give,
                self.seal_id,
                caller=self.admin,
                account_id=self.clerk,
                scopes=[Scope.APPROVALS],
                valid_from=None,
                valid_until=until,
                max_uses=max_uses,
            ).grant_id

    def use(self, number: int, marks: int = 1) -> str:
        """What it is refused for; empty where it is noted."""
        try:
            self.desk.run(
                self.desk.seals.use,
                seal_id=self.seal_id,
                account_id=self.clerk,
                scope=Scope.APPROVALS,
                document_sha256=DOCUMENT,
                field_names=[f"Seal{one}" for one in range(marks)],
                place="device/1",
                subject=f"approvals/{number}",
            )
        except ServiceError as error:
            return error.reason.value
        return ""

    def count(self) -> int:
        with self.desk.store.reading() as connection:
            found = connection.execute(select(seal_uses).where(seal_uses.c.seal_id == self.seal_id)).all()
        return len(found)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """All at once."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result(60) for one in [pool.submit(run, call) for call in calls]]


@pytest.mark.req("R170")
def test_behind_the_revocation_there_is_no_use(desk: OrganisationDesk) -> None:
    case = Case(desk)
    noted: list[int] = []

    def revoke() -> str:
        desk.run(desk.grants.revoke, case.grant_id, caller=case.admin)
        noted.append(case.count())  # behind its commit
        return "revoked"

    ends = together(revoke, *(lambda number=number: case.use(number) for number in range(6)))
    assert set(ends[1:]) <= {"", "SEAL_NOT_GRANTED"}
    assert noted == [case.count()] == [ends[1:].count("")]
    assert case.use(99) == "SEAL_NOT_GRANTED"


def test_an_account_that_ends_while_it_seals_ends_all_its_grants(desk: OrganisationDesk) -> None:
    """Both lock several grants: in one order, or they would wait for each other."""
    case = Case(desk, grants=4)

    def end() -> str:
        desk.run(desk.grants.end_all, case.clerk)
        return "ended"

    ends = together(end, *(lambda number=number: case.use(number) for number in range(6)))
    assert set(ends[1:]) <= {"", "SEAL_NOT_GRANTED"}
    assert case.count() == ends[1:].count("")
    assert case.use(99) == "SEAL_NOT_GRANTED"


def test_two_claims_of_one_organisation_end_as_one(desk: OrganisationDesk) -> None:
    uscc, claims = new_uscc(), []
    for _ in range(3):
        admin = desk.account()
        organisation_id = desk.registered(admin)
        desk.submit(organisation_id, admin, uscc=uscc)
        claims.append(desk.organisation_task(organisation_id))

    def decide(task: Task) -> str:
        try:
            desk.run(desk.organisation_reviews.decided, task, YES)
        except ServiceError as error:
            return error.reason.value
        return ""

    ends = together(*(lambda task=task: decide(task) for task in claims))
    assert sorted(ends) == ["", "ORGANISATION_EXISTS", "ORGANISATION_EXISTS"]


@pytest.mark.req("R168")
def test_behind_freezing_and_revoking_there_is_no_use(desk: OrganisationDesk) -> None:
    case = Case(desk)
    noted: list[int] = []

    def freeze() -> str:
        desk.run(desk.workshop.freeze, case.seal_id, caller=case.admin)
        noted.append(case.count())
        return "frozen"

    ends = together(freeze, *(lambda number=number: case.use(number) for number in range(4)))
    assert set(ends[1:]) <= {"", "SEAL_FROZEN"}
    assert noted == [case.count()]
    desk.run(desk.workshop.revoke, case.seal_id, caller=case.admin)
    assert case.use(99) == "SEAL_REVOKED"
    assert noted == [case.count()]  # what was sealed stays in the log


def test_uses_are_counted_once_each_whoever_comes_first(desk: OrganisationDesk) -> None:
    case = Case(desk, max_uses=5)
    ends = together(*(lambda number=number: case.use(number, marks=2) for number in range(5)))
    assert sorted(ends) == ["", "", "SEAL_NOT_GRANTED", "SEAL_NOT_GRANTED", "SEAL_NOT_GRANTED"]
    grant = desk.read(rows.get_grant, case.grant_id)
    assert grant is not None
    assert (grant.uses, case.count()) == (4, 4)


@pytest.mark.req("R172")
def test_the_database_itself_keeps_the_log(desk: OrganisationDesk) -> None:
    case = Case(desk)
    assert case.use(1) == ""
    for statement in (seal_uses.delete(), seal_uses.update().values(account_id="somebody else")):
        with pytest.raises(DatabaseError):
            desk.run(lambda connection, one=statement: connection.execute(one))
    assert case.count() == 1


def test_two_pictures_at_once_are_one_review(desk: OrganisationDesk) -> None:
    case = Case(desk)

    def hand_in() -> str:
        try:
            return desk.new_seal(case.organisation_id, case.admin, case.seal_id)
        except ServiceError as error:
            return error.reason.value

    ends = together(hand_in, hand_in, hand_in)
    assert sorted(ends) == sorted([case.seal_id, "SEAL_STATE", "SEAL_STATE"])
