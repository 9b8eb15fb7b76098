"""Rows of records that contradict each other. The records themselves stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, or_, select, update

from cloud.store.lists import Begin
from cloud.store.schema import identity_conflicts
from cloud.store.values import insert_new, to_values
from verifield.v1.identity_service_pb2 import CONFLICT_STATE_OPEN, CONFLICT_STATE_SETTLED


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """``first_id`` and ``second_id``: attestation ids, in the order in which they were judged.

    ``winner_id``: empty while it is open. ``settled_by``: the verification at a window.
    """

    conflict_id: str
    account_id: str
    kind: int
    state: int
    first_id: str
    second_id: str
    winner_id: str
    other_account_id: str
    opened_us: int
    settled_us: int | None = None
    settled_by: str = ""


def add_conflict(connection: Connection, row: ConflictRow) -> bool:
    """Insert a conflict; False where the two are known to contradict each other."""
    return insert_new(connection, identity_conflicts, to_values(row))


def has_open(connection: Connection, account_id: str) -> bool:
    """Whether an account has a conflict that nobody has settled."""
    query = select(identity_conflicts.c.conflict_id).where(
        identity_conflicts.c.account_id == account_id,
        identity_conflicts.c.state == CONFLICT_STATE_OPEN,
    )
    return connection.execute(query.limit(1)).first() is not None


def settle(connection: Connection, account_id: str, *, settled_by: str, now_us: int) -> int:
    """Note that somebody has seen the person since; return how many conflicts that settles.

    Those of the account itself, and of one that the person had before and that has ended.
    """
    mine, earlier = identity_conflicts.c.account_id, identity_conflicts.c.other_account_id
    return connection.execute(
        update(identity_conflicts)
        .where(
            or_(mine == account_id, earlier == account_id),
            identity_conflicts.c.state == CONFLICT_STATE_OPEN,
        )
        .values(state=CONFLICT_STATE_SETTLED, settled_us=now_us, settled_by=settled_by)
    ).rowcount


def select_conflicts(begin: Begin, limit: int, *, account_id: str = "", state: int = 0) -> Select[Any]:
    """Conflicts in order of id, which is that of time; empty and zero filters do not filter."""
    at = identity_conflicts.c.conflict_id
    query = select(*identity_conflicts.c).where(*begin.cut(at)).order_by(begin.order(at)).limit(limit)
    if account_id:
        query = query.where(identity_conflicts.c.account_id == account_id)
    return query.where(identity_conflicts.c.state == state) if state else query
