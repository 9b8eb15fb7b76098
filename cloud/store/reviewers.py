"""Rows of reviewers: what they may have and what they have; their marks; discipline cases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from cloud.store.schema import (
    discipline_cases,
    reviewer_marks,
    reviewer_skills,
    reviewers,
    user_roles,
    users,
)
from cloud.store.values import insert_many, to_values
from verifield.v1.review_service_pb2 import REVIEW_KIND_ORGANISATION_REAL_NAME, REVIEW_KIND_SEAL
from verifield.v1.user_service_pb2 import ROLE_REVIEWER, ROLE_SEAL_REVIEWER, USER_STATE_ACTIVE

KINDS_OF_SEAL_REVIEWERS = (REVIEW_KIND_ORGANISATION_REAL_NAME, REVIEW_KIND_SEAL)
"""The other role of those who review may have all kinds."""


@dataclass(frozen=True, slots=True)
class ReviewerRow:
    """``capacity`` 0: as many as the rules allow."""

    reviewer_id: str
    number: int
    capacity: int
    load: int
    last_us: int
    away: bool
    open_cases: int
    removed: bool
    created_us: int
    updated_us: int

    @property
    def suspended(self) -> bool:
        """Whether this reviewer may not decide."""
        return self.removed or self.open_cases > 0


@dataclass(frozen=True, slots=True)
class CaseRow:
    """``facts`` and ``note`` are sealed."""

    case_id: str
    reviewer_id: str
    state: int
    facts: bytes | None
    note: bytes | None
    opened_by: str
    opened_us: int
    closed_by: str
    closed_us: int | None
    outcome: int


REVIEWER_COLUMNS = [reviewers.c[field.name] for field in fields(ReviewerRow)]
CASE_COLUMNS = [discipline_cases.c[field.name] for field in fields(CaseRow)]


def may_review(connection: Connection, user_id: str, *kinds: int) -> bool:
    """Whether a user is active, with a role whose holders review: all of ``kinds``, where some are given."""
    query = select(users.c.user_id).where(
        users.c.user_id == user_id,
        users.c.state == USER_STATE_ACTIVE,
        _has_role(users.c.user_id, true() if set(kinds) <= set(KINDS_OF_SEAL_REVIEWERS) else false()),
    )
    return connection.execute(query).first() is not None


def _has_role(user_id: ColumnElement[str], for_seals: ColumnElement[bool]) -> ColumnElement[bool]:
    """Somebody with a role that reviews; that of seals is one where ``for_seals``."""
    of_seals = and_(user_roles.c.role == ROLE_SEAL_REVIEWER, for_seals)
    return exists().where(user_roles.c.user_id == user_id, or_(user_roles.c.role == ROLE_REVIEWER, of_seals))


def _kind_is_for_seals() -> ColumnElement[bool]:
    return reviewer_skills.c.kind.in_(KINDS_OF_SEAL_REVIEWERS)


def get_reviewer(connection: Connection, reviewer_id: str, *, lock: bool = False) -> ReviewerRow | None:
    """Read one reviewer; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*REVIEWER_COLUMNS).where(reviewers.c.reviewer_id == reviewer_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return ReviewerRow(**row._mapping) if row else None


def lock_reviewers(connection: Connection, reviewer_ids: Collection[str]) -> dict[str, ReviewerRow]:
    """Read and lock several, always in the order of their ids, so that nobody waits in a circle."""
    query = (
        select(*REVIEWER_COLUMNS)
        .where(reviewers.c.reviewer_id.in_(reviewer_ids))
        .order_by(reviewers.c.reviewer_id)
        .with_for_update()
    )
    return {row.reviewer_id: ReviewerRow(**row._mapping) for row in connection.execute(query)}


def lock_all(connection: Connection) -> None:
    """Lock every reviewer, in the same order: for changes that reach many of them."""
    connection.execute(
        select(reviewers.c.reviewer_id).order_by(reviewers.c.reviewer_id).with_for_update()
    ).all()


def suitable(connection: Connection, kind: int, *, full_at: int) -> list[str]:
    """Ids of reviewers with the skill and with room, who are here and not suspended.

    ``full_at``: the capacity of those that have none of their own, and the most that anybody has.
    """
    query = (
        select(reviewers.c.reviewer_id)
        .join(reviewer_skills, reviewer_skills.c.reviewer_id == reviewers.c.reviewer_id)
        .join(users, users.c.user_id == reviewers.c.reviewer_id)
        .where(
            reviewer_skills.c.kind == kind,
            _has_room(full_at),
            reviewers.c.away.is_(False),
            reviewers.c.open_cases == 0,
            reviewers.c.removed.is_(False),
            users.c.state == USER_STATE_ACTIVE,
            _has_role(reviewers.c.reviewer_id, _kind_is_for_seals()),
        )
    )
    return list(connection.execute(query).scalars())


def _has_room(full_at: int) -> ColumnElement[bool]:
    own = reviewers.c.capacity
    return and_(reviewers.c.load < full_at, (own == 0) | (reviewers.c.load < own))


def marks_of(connection: Connection, reviewer_ids: Collection[str]) -> dict[str, frozenset[bytes]]:
    """Marks by reviewer; who has none is left out."""
    query = select(reviewer_marks.c.reviewer_id, reviewer_marks.c.mark).where(
        reviewer_marks.c.reviewer_id.in_(reviewer_ids), reviewer_marks.c.mark.is_not(None)
    )
    found: dict[str, set[bytes]] = {}
    for reviewer_id, mark in connection.execute(query):
        found.setdefault(reviewer_id, set()).add(bytes(mark))
    return {reviewer_id: frozenset(marks) for reviewer_id, marks in found.items()}


def skills_of(connection: Connection, reviewer_ids: Collection[str]) -> dict[str, frozenset[int]]:
    """Kinds by reviewer, as far as the role goes; who has none is left out."""
    query = select(reviewer_skills.c.reviewer_id, reviewer_skills.c.kind).where(
        reviewer_skills.c.reviewer_id.in_(reviewer_ids),
        _has_role(reviewer_skills.c.reviewer_id, _kind_is_for_seals()),
    )
    found: dict[str, set[int]] = {}
    for reviewer_id, kind in connection.execute(query):
        found.setdefault(reviewer_id, set()).add(kind)
    return {reviewer_id: frozenset(kinds) for reviewer_id, kinds in found.items()}


def numbers_of(connection: Connection, reviewer_ids: Collection[str]) -> dict[str, int]:
    """Their numbers, by id."""
    query = select(reviewers.c.reviewer_id, reviewers.c.number).where(
        reviewers.c.reviewer_id.in_(reviewer_ids)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def logins_of(connection: Connection, reviewer_ids: Collection[str]) -> dict[str, str]:
    """Their logins, by id."""
    query = select(users.c.user_id, users.c.login).where(users.c.user_id.in_(reviewer_ids))
    return {row[0]: row[1] for row in connection.execute(query)}


def add_reviewer(connection: Connection, reviewer_id: str, *, now_us: int) -> ReviewerRow:
    """Insert a reviewer under the next number; two at the same moment take turns (the number is unique)."""
    last = connection.execute(select(func.max(reviewers.c.number))).scalar() or 0
    row = ReviewerRow(
        reviewer_id=reviewer_id,
        number=last + 1,
        capacity=0,
        load=0,
        last_us=0,
        away=False,
        open_cases=0,
        removed=False,
        created_us=now_us,
        updated_us=now_us,
    )
    connection.execute(insert(reviewers).values(**to_values(row)))
    return row


def change_reviewer(connection: Connection, reviewer_id: str, **values: Any) -> None:
    """Write columns of a row that was read with a lock."""
    connection.execute(update(reviewers).where(reviewers.c.reviewer_id == reviewer_id).values(**values))


def shift_load(connection: Connection, reviewer_id: str, by: int, *, last_us: int | None = None) -> None:
    """Count a task more or less; ``last_us`` where it was just assigned."""
    values: dict[str, Any] = {"load": reviewers.c.load + by}
    if last_us is not None:
        values["last_us"] = last_us
    change_reviewer(connection, reviewer_id, **values)


def set_skills(connection: Connection, reviewer_id: str, kinds: Collection[int]) -> None:
    """Replace the skills."""
    connection.execute(delete(reviewer_skills).where(reviewer_skills.c.reviewer_id == reviewer_id))
    rows = [{"reviewer_id": reviewer_id, "kind": kind} for kind in sorted(set(kinds))]
    insert_many(connection, reviewer_skills, rows)


def set_marks(connection: Connection, reviewer_id: str, marks: Collection[bytes]) -> None:
    """Replace the marks."""
    connection.execute(delete(reviewer_marks).where(reviewer_marks.c.reviewer_id == reviewer_id))
    insert_many(
        connection,
        reviewer_marks,
        [
            {"reviewer_id": reviewer_id, "position": place, "mark": mark}
            for place, mark in enumerate(sorted(set(marks)))
        ],
    )


def list_reviewers(connection: Connection, *, behind: int, limit: int) -> list[ReviewerRow]:
    """In order of their numbers."""
    query = (
        select(*REVIEWER_COLUMNS).where(reviewers.c.number > behind).order_by(reviewers.c.number).limit(limit)
    )
    return [ReviewerRow(**row._mapping) for row in connection.execute(query)]


def stranded(connection: Connection, *, limit: int) -> list[str]:
    """Ids of reviewers who have tasks and may not, or cannot, decide them any more."""
    gone = (users.c.state != USER_STATE_ACTIVE) | ~_has_role(users.c.user_id, true())
    query = (
        select(reviewers.c.reviewer_id)
        .join(users, users.c.user_id == reviewers.c.reviewer_id)
        .where(reviewers.c.load > 0, gone | (reviewers.c.open_cases > 0) | reviewers.c.removed.is_(True))
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def add_case(connection: Connection, row: CaseRow) -> None:
    """Insert a discipline case."""
    connection.execute(insert(discipline_cases).values(**to_values(row)))


def get_case(connection: Connection, case_id: str, *, lock: bool = False) -> CaseRow | None:
    """Read one case; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*CASE_COLUMNS).where(discipline_cases.c.case_id == case_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return CaseRow(**row._mapping) if row else None


def change_case(connection: Connection, row: CaseRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    del values["case_id"], values["reviewer_id"]
    connection.execute(
        update(discipline_cases).where(discipline_cases.c.case_id == row.case_id).values(**values)
    )
