"""Second reviews: a part of all decisions is looked at by another person, who is not told the outcome.

The first decision counts at once. Behind it the second task runs by itself: applicants neither wait for it
nor hear of it. Where both agree, that is all. Where they do not, who manages reviews lets the decision stand
or has a third person review anew (docs/adr/0028-reviews-and-tickets.md).
"""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.access.call import Caller
from cloud.errors import Reason, ServiceError
from cloud.reviews.core import SERVICE, URGENT_US, Core
from cloud.reviews.sample import is_sampled
from cloud.store import reviews as rows
from cloud.store.reviews import SecondRow, TaskRow
from cloud.store.staff import same_persons
from verifield.v1 import review_service_pb2 as pb


def open_second(core: Core, connection: Connection, first: TaskRow) -> None:
    """Where the decision is one of the sample, make its second task. Upkeep assigns it."""
    per_mille = core.rules(connection).sampled_per_mille
    if not is_sampled(core.secret, first.task_id, per_mille=per_mille) or first.reviewer_id is None:
        return
    row = core.new_row(
        connection,
        kind=first.kind,
        subject=first.subject,
        account_id=first.account_id,
        first_task_id=first.task_id,
    )
    _add_like(core, connection, row, first, barred={first.reviewer_id})
    rows.add_second(
        connection,
        SecondRow(row.task_id, first.task_id, pb.SECOND_REVIEW_STATE_PENDING, opened_us=core.now_us),
    )


def conclude(core: Core, connection: Connection, second: TaskRow) -> None:
    """A second task was decided: compare it with the first one."""
    found = rows.get_second(connection, second.task_id, lock=True)
    first = rows.get_task(connection, found.first_task_id) if found else None
    if found is None or first is None:  # made with the task, and never deleted
        raise ServiceError(Reason.RECORD_DAMAGED, "A second review was removed from outside.")
    agreed = first.outcome == second.outcome
    state = pb.SECOND_REVIEW_STATE_AGREED if agreed else pb.SECOND_REVIEW_STATE_DISAGREED
    rows.change_second(connection, second.task_id, state=state, ended_us=core.now_us)
    event = pb.REVIEW_EVENT_KIND_CONFIRMED if agreed else pb.REVIEW_EVENT_KIND_DISPUTED
    core.tell(connection, second, event, SERVICE)


def settle(
    core: Core, connection: Connection, task_id: str, *, reopen: bool, reason: str, caller: Caller
) -> tuple[SecondRow, str]:
    """End a disagreement; return the second review and the id of the new task, empty where there is none.

    Raises:
        ServiceError: SECOND_REVIEW_NOT_FOUND, SECOND_REVIEW_STATE, REVIEWER_SELF, REVIEW_TASK_EXISTS, or what
            the room's handler says against a new review.
    """
    if rows.get_second(connection, task_id) is None:
        raise ServiceError(Reason.SECOND_REVIEW_NOT_FOUND, "There is no such second review.")
    second = core.hold(connection, task_id)
    found = rows.get_second(connection, task_id, lock=True)
    if found is None or found.state != pb.SECOND_REVIEW_STATE_DISAGREED:
        raise ServiceError(Reason.SECOND_REVIEW_STATE, "This second review has nothing to settle.")
    first = rows.get_task(connection, found.first_task_id)
    decided = {one.reviewer_id for one in (first, second) if one and one.reviewer_id}
    if caller.name in same_persons(connection, decided):
        raise ServiceError(Reason.REVIEWER_SELF, "Nobody settles a dispute about an own decision.")
    state = pb.SECOND_REVIEW_STATE_REOPENED if reopen else pb.SECOND_REVIEW_STATE_UPHELD
    event = pb.REVIEW_EVENT_KIND_REOPENED if reopen else pb.REVIEW_EVENT_KIND_UPHELD
    rows.change_second(connection, task_id, state=state, ended_us=core.now_us)
    core.tell(connection, second, event, caller.path, note=reason)
    new_id = _reopen(core, connection, second, barred=decided) if reopen else ""
    return SecondRow(found.task_id, found.first_task_id, state, found.opened_us, core.now_us), new_id


def _reopen(core: Core, connection: Connection, second: TaskRow, *, barred: set[str]) -> str:
    if rows.live_task(connection, second.subject) is not None:
        raise ServiceError(Reason.REVIEW_TASK_EXISTS, "This is being reviewed already.")
    row = core.new_row(
        connection,
        kind=second.kind,
        subject=second.subject,
        account_id=second.account_id,
        queue_us=URGENT_US,
    )
    _add_like(core, connection, row, second, barred=barred)
    core.handler(row.kind).reopened(connection, core.to_task(connection, row))
    return row.task_id


def _add_like(core: Core, connection: Connection, row: TaskRow, other: TaskRow, *, barred: set[str]) -> None:
    """Add a task with the applicant's marks and the check items of another one."""
    rows.add_task(
        connection,
        row,
        marks=rows.marks_of(connection, other.task_id),
        items=[check.item for check in rows.checks_of(connection, other.task_id)],
        barred=barred | rows.bars_of(connection, other.task_id),
    )
    core.tell(connection, row, pb.REVIEW_EVENT_KIND_OPENED, SERVICE)
