"""What runs every second or for every code reads a piece of an index, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from cloud.messages.delivery import LANES
from cloud.store import codes, messages
from tests.support.codes import Office, open_office

METER = bytes(32)
ASKED: dict[str, Callable[[Connection], object]] = {
    "ix_code_challenges_expires": lambda c: codes.expired_challenges(c, now_us=5, limit=500),
    "ix_sms_sends_phone": lambda c: codes.phone_nth_newest(c, METER, 5),
    "ix_sms_sends_source": lambda c: codes.source_nth_newest(c, METER, 1000),
    "ix_sms_sends_person": lambda c: codes.person_nth_newest(c, METER, 10),
    "ix_phone_proofs_account": lambda c: codes.proofs_of(c, "a", limit=20),
    "ix_messages_due_brief": lambda c: messages.lock_due(c, LANES[0], now_us=5, limit=8),
    "ix_messages_due ": lambda c: messages.lock_due(c, LANES[1], now_us=5, limit=8),
    "ix_messages_state": lambda c: messages.page_of_messages(c, behind="m", limit=5, state=4),
    "ix_messages_person": lambda c: messages.page_of_messages(c, behind="m", limit=5, person_id="p"),
}


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path) as opened:
        yield opened


def plan_of(connection: Connection, ask: Callable[[Connection], object]) -> str:
    """How the engine runs what ``ask`` asks; PostgreSQL without its liking for reading small tables whole."""
    said: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        said.append((statement, values))

    event.listen(connection, "before_cursor_execute", note)
    ask(connection)
    event.remove(connection, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN "
    if connection.dialect.name == "postgresql":
        explain = "EXPLAIN "
        for way in ("seqscan", "bitmapscan"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    [(statement, values)] = said
    found = connection.exec_driver_sql(explain + statement, values)  # type: ignore[arg-type]
    return "\n".join(f"{row[-1]} " for row in found)


@pytest.mark.parametrize("index", ASKED)
def test_each_question_has_its_index(office: Office, index: str) -> None:
    def work(connection: Connection) -> str:
        return plan_of(connection, ASKED[index])

    plan = office.store.run(work)
    assert index in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_indexes_of_what_waits_hold_nothing_else(office: Office) -> None:
    """Looked at each second or minute: they must not grow with what is over."""
    with office.store.reading() as connection:
        if connection.dialect.name == "postgresql":
            rows = connection.exec_driver_sql("SELECT indexname, indexdef FROM pg_indexes")
        else:
            rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
        made = {name: text for name, text in rows if text}
    for name in ("ix_code_challenges_expires", "ix_messages_due", "ix_messages_due_brief"):
        assert " WHERE " in made[name]
