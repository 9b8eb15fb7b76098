"""What this room's lists and jobs ask of a database is answered from indexes, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Select

from cloud.store import identity_conflicts as conflicts
from cloud.store import site_verifications as sites
from cloud.store import verifications as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.lists import Begin
from tests.support.plans import plans

BEGIN = Begin("f", descending=True)


@pytest.fixture(scope="module")
def store(module_database_url: str) -> Iterator[Store]:
    opened = Store.open(module_database_url, StoreOptions(require_durable=False))
    yield opened
    opened.close()


def read(connection: Connection, query: Select[Any]) -> object:
    return connection.execute(query).all()


ASKED: dict[str, tuple[Callable[[Connection], object], str]] = {
    "verifications": (lambda it: read(it, rows.select_verifications(BEGIN, 5)), "verifications"),
    "of an account": (
        lambda it: read(it, rows.select_verifications(BEGIN, 5, account_id="a")),
        "ix_verifications_account",
    ),
    "in a state": (
        lambda it: read(it, rows.select_verifications(BEGIN, 5, state=3)),
        "ix_verifications_state",
    ),
    "by a method": (
        lambda it: read(it, rows.select_verifications(BEGIN, 5, method=4)),
        "ix_verifications_method",
    ),
    "pending": (lambda it: rows.find_pending(it, "a", 1), "uq_verifications_pending"),
    "overdue": (lambda it: rows.overdue(it, now_us=5), "ix_verifications_"),  # of time, or of state
    "tries": (lambda it: rows.count_since(it, "a", 1, since_us=5), "ix_verifications_tries"),
    "of a request": (
        lambda it: rows.newest_of_request(it, "a", 1, request_id="r"),
        "ix_verifications_tries",
    ),
    "grown old": (lambda it: rows.identities_older(it, before_us=5, limit=5), "ix_identities_verified"),
    "requests": (lambda it: read(it, sites.select_tasks(BEGIN, 5)), "site_tasks"),
    "requests about an account": (
        lambda it: read(it, sites.select_tasks(BEGIN, 5, account_id="a")),
        "ix_site_tasks_account",
    ),
    "requests to a site": (
        lambda it: read(it, sites.select_tasks(BEGIN, 5, site_id="s")),
        "ix_site_tasks_site",
    ),
    "requests in a state": (
        lambda it: read(it, sites.select_tasks(BEGIN, 5, state=1)),
        "ix_site_tasks_state",
    ),
    "expired requests": (
        lambda it: sites.expired_tasks(it, now_us=5, limit=5),
        "ix_site_tasks_",  # of time, or of state
    ),
    "results of requests": (lambda it: sites.results_of_tasks(it, ["t"]), "ix_site_results_task"),
    "results of an account": (lambda it: sites.results_of_account(it, "a"), "ix_site_results_account"),
    "to be judged": (lambda it: sites.waiting_purposes(it, limit=5), "ix_purposes_waiting"),
    "conflicts": (lambda it: read(it, conflicts.select_conflicts(BEGIN, 5)), "identity_conflicts"),
    "conflicts of an account": (
        lambda it: read(it, conflicts.select_conflicts(BEGIN, 5, account_id="a")),
        "ix_identity_conflicts_account",
    ),
    "open conflicts": (
        lambda it: read(it, conflicts.select_conflicts(BEGIN, 5, state=1)),
        "ix_identity_conflicts_state",
    ),
    "a day of the ledger": (
        lambda it: rows.entries_between(it, start_us=1, end_us=2),
        "ix_manual_ledger_recorded",
    ),
    "nonces that expired": (lambda it: rows.drop_face_checks(it, before_us=5), "ix_face_checks_expires"),
}


@pytest.mark.parametrize("name", ASKED)
def test_no_list_and_no_job_reads_a_whole_table(store: Store, name: str) -> None:
    ask, index = ASKED[name]
    with store.writing() as connection:
        found = plans(connection, lambda: ask(connection))
    for plan in found:
        assert "Seq Scan" not in plan, plan
        whole = [line for line in plan.splitlines() if line.startswith("SCAN ") and " USING " not in line]
        assert not whole, plan
        assert index in plan, plan


def test_a_conflict_is_settled_without_reading_all_of_them(store: Store) -> None:
    with store.writing() as connection:
        found = plans(connection, lambda: conflicts.settle(connection, "a", settled_by="v", now_us=5))
    assert not [plan for plan in found if "Seq Scan" in plan or "SCAN " in plan], found
