"""What is personal in the tables of reviews: of applicants, and of reviewers."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.store.reviewers import CaseRow
from cloud.store.reviews import CheckRow, EventRow, TaskRow
from cloud.store.schema import (
    discipline_cases,
    review_checks,
    review_events,
    review_task_marks,
    review_tasks,
    reviewer_marks,
)
from cloud.store.sealed import SealedTable
from verifield.v1 import review_service_pb2 as pb

SEALED = (
    SealedTable(review_tasks, key="task_id", person="account_id", sealed=("supplement", "reasons")),
    SealedTable(review_checks, key="task_id", person="account_id", sealed=("remark",)),
    SealedTable(review_events, key="task_id", person="account_id", sealed=("note",)),
    SealedTable(review_task_marks, key="task_id", person="account_id", sealed=("mark",)),
    SealedTable(reviewer_marks, key="reviewer_id", person="reviewer_id", sealed=("mark",)),
    SealedTable(discipline_cases, key="case_id", person="reviewer_id", sealed=("facts", "note")),
)
"""For forgetting a person. Marks are digests that nothing can be read from, and go with the person too."""


def open_supplement(persons: Persons, connection: Connection, row: TaskRow) -> pb.ReviewSupplement | None:
    """What the applicant was last asked for; None for nothing, and where the key was destroyed."""
    content = _open(persons, connection, row, "supplement", row.supplement)
    return None if content is None else pb.ReviewSupplement.FromString(content)


def open_reasons(persons: Persons, connection: Connection, row: TaskRow) -> list[pb.ReviewReason]:
    """The reasons of a decision; none where the key was destroyed."""
    content = _open(persons, connection, row, "reasons", row.reasons)
    return [] if content is None else list(pb.GetTaskResponse.FromString(content).reasons)


def open_remark(persons: Persons, connection: Connection, row: CheckRow) -> str:
    """What was said with a check item."""
    key = persons.keys_of(connection, [row.account_id]).get(row.account_id)
    return persons.open_text(
        key, Place("review_checks", "remark", f"{row.task_id}.{row.position}"), row.remark
    )


def open_note(persons: Persons, connection: Connection, row: EventRow) -> str:
    """What was said with an event."""
    key = persons.keys_of(connection, [row.account_id]).get(row.account_id)
    return persons.open_text(key, Place("review_events", "note", f"{row.task_id}.{row.number}"), row.note)


def open_case_texts(persons: Persons, connection: Connection, row: CaseRow) -> tuple[str, str]:
    """Facts and note of a discipline case."""
    key = persons.keys_of(connection, [row.reviewer_id]).get(row.reviewer_id)
    facts = persons.open_text(key, Place("discipline_cases", "facts", row.case_id), row.facts)
    return facts, persons.open_text(key, Place("discipline_cases", "note", row.case_id), row.note)


def _open(
    persons: Persons, connection: Connection, row: TaskRow, column: str, sealed: bytes | None
) -> bytes | None:
    key = persons.keys_of(connection, [row.account_id]).get(row.account_id)
    return persons.open_bytes(key, Place("review_tasks", column, row.task_id), sealed)
