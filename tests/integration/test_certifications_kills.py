"""A process that is killed at steps of a submission, or of a decision: all of it is there, or nothing.

Among the steps is always the last moment before the commit. VERIFIELD_SOAK=10 kills it at every step.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.certifications.states import State
from cloud.store.certifications import ApplicationRow
from tests.support.certification_desk import Bench, open_bench

ROOT = Path(__file__).resolve().parents[2]
PLACES = 5 * int(os.environ.get("VERIFIELD_SOAK", "1"))

pytestmark = pytest.mark.timeout(300)


def killed_at_steps(
    url: str, folder: Path, action: str, account_id: str, application_id: str, look: Callable[[], None]
) -> int:
    """How many steps there are; it was killed at some of them, and came through."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    arguments = [url, str(folder), action, account_id, application_id, str(PLACES)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.certification_worker", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        steps: list[int] = []
        for line in process.stdout:
            if line.startswith("through"):
                assert line.split() == ["through", "0"]
                assert len(steps) >= min(PLACES, steps[0])
                return steps[0]
            steps.append(int(line))
            look()
            process.stdin.write("\n")
            process.stdin.flush()
    raise AssertionError("the worker ended before it came through")


def counts(bench: Bench, *queries: str) -> list[int]:
    with bench.store.reading() as connection:
        return [connection.execute(text(query)).scalar_one() for query in queries]


TASKS = "SELECT count(*) FROM review_tasks"
TOLD = "SELECT count(*) FROM messages"
RESULTS = "SELECT count(*) FROM certification_results"
BADGES = "SELECT count(*) FROM certification_badges"


def test_a_submission_that_is_killed_has_one_task_or_none(database_url: str, tmp_path: Path) -> None:
    with open_bench(database_url, tmp_path) as bench:
        account_id = bench.account()
        row = bench.begin(account_id)
        assert isinstance(row, ApplicationRow)
        for kind in ("id_card_front", "id_card_back"):
            bench.upload(account_id, row.application_id, kind)
        bench.declare(account_id, row.application_id)
        before = bench.dump()

        def look() -> None:
            state, found = bench.state_of(row.application_id), counts(bench, TASKS, TOLD)
            assert (state, found) == (State.DRAFT, [0, 0])
            assert bench.dump() == before

        steps = killed_at_steps(database_url, tmp_path, "submit", account_id, row.application_id, look)
        assert steps > 10
        assert bench.state_of(row.application_id) == State.SUBMITTED
        assert counts(bench, TASKS, TOLD) == [1, 1]


@pytest.mark.req("R097")
def test_a_decision_that_is_killed_left_everything_or_nothing(database_url: str, tmp_path: Path) -> None:
    with open_bench(database_url, tmp_path) as bench:
        account_id = bench.account()
        application_id = bench.submitted(account_id)
        task = bench.task(application_id, account_id)
        bench.run(lambda connection: bench.handler.assigned(connection, task))
        before = bench.dump()

        def look() -> None:
            assert bench.state_of(application_id) == State.IN_REVIEW
            assert bench.dump() == before

        steps = killed_at_steps(database_url, tmp_path, "decide", account_id, application_id, look)
        assert steps > 15
        assert bench.state_of(application_id) == State.PASSED
        assert counts(bench, RESULTS, BADGES, TOLD) == [1, 1, 2]
        with bench.store.reading() as connection:
            row = bench.core.find(connection, application_id)
            document = connection.execute(text("SELECT document_id FROM certification_results")).scalar_one()
            assert row.result_id
            assert bench.core.objects.open(connection, document).startswith(b"%PDF")
        for path in (tmp_path / "objects").rglob("*"):
            if path.is_file():
                os.utime(path, (0, 0))
        assert bench.core.objects.sweep(bench.store) > 0  # what the killed ones had written
        with bench.store.reading() as connection:
            assert bench.core.objects.open(connection, document).startswith(b"%PDF")
