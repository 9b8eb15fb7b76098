"""An archive of many decisions is never read whole: whatever is looked for begins in an index, and ends soon.

VERIFIELD_SOAK=10 and more looks at a hundred thousand.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import time
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from cloud.sources import Sources, from_us
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow, ResultRow
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import certification_applications, certification_results
from cloud.store.values import insert_many, to_values
from tests.support.databases import KINDS, migrated
from tests.support.plans import plans
from tests.unit.test_reviews_plans import sorted_whole, whole

RESULTS = 10_000 * min(10, int(os.environ.get("VERIFIELD_SOAK", "1")))
FIRST_US = 1_780_300_800_000_000
STEP_US = 60_000_000
ACCOUNT = str(uuid.UUID(int=7))


@pytest.fixture(scope="module", params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated(request.param, tmp_path_factory.mktemp("plans")) as url:
        opened = Store.open(url, StoreOptions(require_durable=False))
        try:
            _fill(opened)
            yield opened
        finally:
            opened.close()


def _fill(store: Store) -> None:
    """Decisions of a minute each, of a thousand accounts and twenty reviewers."""
    clock, chance = {"at": from_us(FIRST_US)}, random.Random(1)
    sources = Sources(now=lambda: clock["at"], random_bytes=os.urandom)
    applications, results = [], []
    for number in range(RESULTS):
        now_us = FIRST_US + number * STEP_US
        clock["at"] = from_us(now_us)
        account = str(uuid.UUID(int=chance.randrange(1000)))
        application_id, result_id = sources.uuid7(), sources.uuid7()
        nothing = dict.fromkeys(ApplicationRow.__annotations__)
        known = {
            "application_id": application_id,
            "account_id": account,
            "type_code": "PERSONAL",
            "type_version": 1,
            "process_version": 0,
            "state": chance.choice([5, 6]),
            "result_id": result_id,
            "created_us": now_us,
            "updated_us": now_us,
            "version": 1,
        }
        applications.append(to_values(ApplicationRow(**(nothing | known))))
        reviewer, outcome = str(chance.randrange(1, 21)), chance.choice([1, 1, 1, 2])
        row = ResultRow(
            result_id,
            application_id,
            account,
            "PERSONAL",
            outcome,
            reviewer,
            b"x" * 200,
            "d",
            "{}",
            "m",
            now_us,
        )
        results.append(to_values(row))
    with store.writing() as connection:
        for table, values in ((certification_applications, applications), (certification_results, results)):
            for at in range(0, len(values), 2000):
                insert_many(connection, table, values[at : at + 2000])
        connection.execute(text("ANALYZE"))


FILTERS = list(itertools.product((False, True), (0, 2), (False, True), (False, True), (False, True)))


@pytest.mark.req("R108")
@pytest.mark.parametrize(("account", "outcome", "reviewer", "times", "behind"), FILTERS)
def test_every_search_begins_in_an_index_and_reads_little(
    store: Store, account: bool, outcome: int, reviewer: bool, times: bool, behind: bool
) -> None:
    """``times``: long ago; what was decided since is not read through."""
    early, late = FIRST_US + 100 * STEP_US, FIRST_US + 900 * STEP_US
    with store.reading() as connection:
        middle = connection.execute(text("SELECT max(result_id) FROM certification_results")).scalar_one()

        def search() -> list[tuple[ResultRow, int]]:
            return rows.page_of_results(
                connection,
                before=middle if behind else "",
                limit=51,
                account_id=ACCOUNT if account else "",
                outcome=outcome,
                reviewer="7" if reviewer else "",
                from_us=early if times else None,
                until_us=late if times else None,
            )

        [plan] = plans(connection, search)
        begun = time.perf_counter()
        found = search()
        took_s = time.perf_counter() - begun
    # Along an index from its end, until the page is full, is no reading of the whole.
    assert not [line for line in whole(plan) if behind or account or "USING INDEX" not in line], plan
    assert "certification_results" in plan
    assert not sorted_whole(plan), plan
    assert took_s < 0.5
    assert [one.result_id for one, _ in found] == sorted((one.result_id for one, _ in found), reverse=True)
    if times:
        assert all(early <= one.decided_us < late for one, _ in found)
        if not (account or outcome or reviewer or behind):
            assert len(found) == 51
            assert found[0][0].decided_us == late - STEP_US


def test_the_ends_of_a_time_are_ends_in_the_index(store: Store) -> None:
    with store.reading() as connection:
        [plan] = plans(
            connection,
            lambda: rows.page_of_results(
                connection, before="", limit=51, from_us=FIRST_US, until_us=FIRST_US + STEP_US
            ),
        )
    bounds = re.compile(r"(SEARCH|Index Cond).*result_id\b.*>.*result_id\b.*<")
    assert any(map(bounds.search, plan.splitlines())), plan


def test_nothing_else_reads_whole_tables(store: Store) -> None:
    one = str(uuid.uuid4())
    with store.reading() as connection:
        asked = {
            "history": lambda: rows.page_of_applications(connection, ACCOUNT, before="", limit=51),
            "of one": lambda: rows.applications_of(connection, ACCOUNT, [5, 6]),
            "created": lambda: rows.count_created(connection, ACCOUNT, since_us=FIRST_US),
            "materials": lambda: rows.materials_of(connection, one),
            "events": lambda: rows.events_of(connection, one),
            "results": lambda: rows.results_of(connection, [one]),
            "badge": lambda: rows.badge_of(connection, one),
            "measures": lambda: care.measures_of(connection, one),
            "recerts": lambda: care.recerts_of(connection, one),
        }
        for name, ask in asked.items():
            for plan in plans(connection, ask):
                assert "Seq Scan on certification_applications" not in plan, f"{name}: {plan}"
                assert "SCAN certification_" not in plan, f"{name}: {plan}"
