"""The rules PROCESS and certifications: what runs keeps its version, and is counted under it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.certifications.states import State
from cloud.rulebook.desk import RulebookDesk
from cloud.rulebook.kinds import RuleKind
from cloud.sources import to_us
from cloud.store import certifications as rows
from cloud.store import steps
from tests.support.certification_desk import Bench, open_bench
from verifield.v1 import rulebook_pb2


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(database_url, tmp_path) as opened:
        yield opened


def version_of(bench: Bench, application_id: str) -> int:
    row = bench.run(lambda connection: rows.get_application(connection, application_id))
    assert row is not None
    return row.process_version


@pytest.mark.req("R115")
def test_a_running_application_keeps_the_version_of_its_process(bench: Bench) -> None:
    began_us = to_us(bench.core.sources.now())
    before = bench.submitted(bench.account())
    effective = Timestamp()
    effective.FromDatetime(bench.core.sources.now() + timedelta(hours=1))
    rules = rulebook_pb2.Rules(process=RuleKind.PROCESS.default)
    published = bench.run(
        lambda connection: RulebookDesk(bench.core.sources).publish(
            connection, rules, effective=effective, author="user/the-department", note="after the feedback"
        )
    )
    assert (published.version, published.author) == (1, "user/the-department")
    assert published.effective_us == effective.ToMicroseconds()
    still = bench.submitted(bench.account())
    bench.wait(hours=1)
    holder = bench.account()
    after = bench.decided(holder)
    again = bench.run(lambda connection: bench.desk.reapply(connection, holder, after))
    assert isinstance(again, rows.ApplicationRow)
    found = [version_of(bench, one) for one in (before, still, after, again.application_id)]
    assert found == [0, 0, 1, 1]

    end_us = to_us(bench.core.sources.now()) + 1
    report = bench.run(
        lambda connection: steps.report_certifications(connection, start_us=began_us, end_us=end_us)
    )
    counts = {(State(row.left_state), row.process_version): row.count for row in report}
    assert counts == {
        (State.DRAFT, 0): 2,
        (State.DRAFT, 1): 1,
        (State.SUBMITTED, 1): 1,
        (State.IN_REVIEW, 1): 1,
    }
