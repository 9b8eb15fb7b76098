"""What happens to sessions by themselves: their time runs out, and what is personal in them is cleared."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from cloud.bank.sessions import AT_ONCE, KEPT_FOR, Sessions
from cloud.store import bank as rows
from cloud.store.database import Store
from cloud.upkeep import Job

EVERY_S = 30.0
"""A session is refused at its deadline whenever this runs: it frees the device's place, and the data."""


def jobs(store: Store, sessions: Sessions) -> list[Job]:
    """To be run by every server."""

    def run_out(connection: Connection) -> int:
        due = rows.due_sessions(connection, now_us=sessions.now_us, limit=AT_ONCE)
        for row in due:
            sessions.run_out(connection, row)
        return len(due)

    def clear(connection: Connection) -> int:
        before_us = sessions.now_us - KEPT_FOR // timedelta(microseconds=1)
        ended = rows.sessions_to_clear(connection, before_us=before_us, limit=AT_ONCE)
        for row in ended:
            sessions.clear(connection, row)
        return len(ended)

    return [
        Job("bank-sessions", lambda: store.run(run_out), EVERY_S, full=AT_ONCE),
        Job("bank-clear", lambda: store.run(clear), EVERY_S, full=AT_ONCE),
    ]
