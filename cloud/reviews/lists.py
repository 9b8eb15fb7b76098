"""Pages of reviews, as their requests ask for them."""

from __future__ import annotations

import re

from sqlalchemy import Connection, Row, Select

from cloud.errors import Reason, ServiceError
from cloud.paging import (
    MAX_SMALL_POSITION,
    encode_page_token,
    page_size,
    parse_page_token,
    parse_position,
)
from cloud.reviews.port import ReviewKind
from cloud.reviews.states import ENDED, LIVE, TaskState
from cloud.store import review_lists, reviewers, reviews
from cloud.store.review_lists import Behind, TaskFilter
from cloud.store.reviewers import CaseRow, ReviewerRow
from cloud.store.reviews import EventRow, SecondRow, TaskRow
from verifield.v1 import review_service_pb2 as pb

_TIME = re.compile(r"[0-9]{1,18}")  # fits the column
_KINDS = tuple(int(kind) for kind in ReviewKind)
_ALL_SECONDS = tuple(value for value in pb.SecondReviewState.values() if value)
_ALL_CASES = tuple(value for value in pb.DisciplineCaseState.values() if value)


def page_of_tasks(
    connection: Connection, request: pb.ListTasksRequest, *, caller: str
) -> tuple[list[TaskRow], str]:
    """The rows of one page, and the token of the next.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    reviewer_id = caller if request.mine else request.reviewer_id
    asked = f"reviews {request.state} {request.kind} {reviewer_id} {request.overdue}"
    wanted = TaskFilter(
        states=(request.state,) if request.state else tuple(map(int, LIVE)),
        kind=request.kind or None,
        all_kinds=_KINDS,
        reviewer_id=reviewer_id,
        overdue=request.overdue,
    )
    size = page_size(request.page_size)
    found = review_lists.read_tasks(
        connection,
        wanted,
        size + 1,
        behind=_behind(parse_page_token(request.page_token, filters=asked)),
        descending=bool(request.state) and TaskState(request.state) in ENDED,
    )
    if len(found) <= size:
        return found, ""
    last = found[size - 1]
    return found[:size], encode_page_token(f"{last.at_us}:{last.task_id}", filters=asked)


def page_of_events(connection: Connection, request: pb.ListTaskEventsRequest) -> tuple[list[EventRow], str]:
    """As :func:`page_of_tasks`.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked = f"review events {request.task_id}"
    size = page_size(request.page_size)
    behind = parse_position(request.page_token, filters=asked, most=MAX_SMALL_POSITION) or 0
    found = reviews.events_of(connection, request.task_id, behind=behind, limit=size + 1)
    token = encode_page_token(str(found[size - 1].number), filters=asked) if len(found) > size else ""
    return found[:size], token


def page_of_reviewers(
    connection: Connection, request: pb.ListReviewersRequest
) -> tuple[list[ReviewerRow], str]:
    """As :func:`page_of_tasks`.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    size = page_size(request.page_size)
    behind = parse_position(request.page_token, filters="reviewers", most=MAX_SMALL_POSITION) or 0
    found = reviewers.list_reviewers(connection, behind=behind, limit=size + 1)
    token = encode_page_token(str(found[size - 1].number), filters="reviewers") if len(found) > size else ""
    return found[:size], token


def page_of_seconds(
    connection: Connection, request: pb.ListSecondReviewsRequest
) -> tuple[list[SecondRow], str]:
    """As :func:`page_of_tasks`.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked, size = f"second reviews {request.state}", page_size(request.page_size)
    states = (request.state,) if request.state else _ALL_SECONDS
    behind = parse_page_token(request.page_token, filters=asked)
    found, token = _cut(
        connection, review_lists.select_seconds(states, size + 1, behind=behind), size, "task_id", asked=asked
    )
    return [SecondRow(**row._mapping) for row in found], token


def page_of_cases(
    connection: Connection, request: pb.ListDisciplineCasesRequest
) -> tuple[list[CaseRow], str]:
    """As :func:`page_of_tasks`.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked = f"discipline cases {request.state} {request.reviewer_id}"
    size = page_size(request.page_size)
    query = review_lists.select_cases(
        (request.state,) if request.state else _ALL_CASES,
        size + 1,
        behind=parse_page_token(request.page_token, filters=asked),
        reviewer_id=request.reviewer_id,
    )
    found, token = _cut(connection, query, size, "case_id", asked=asked)
    return [CaseRow(**row._mapping) for row in found], token


def _cut(
    connection: Connection, query: Select[tuple[object, ...]], size: int, key: str, *, asked: str
) -> tuple[list[Row[tuple[object, ...]]], str]:
    found = list(connection.execute(query))
    if len(found) <= size:
        return found, ""
    return found[:size], encode_page_token(str(found[size - 1]._mapping[key]), filters=asked)


def _behind(position: str) -> Behind | None:
    if not position:
        return None
    at, _, task_id = position.partition(":")
    if not _TIME.fullmatch(at) or not task_id:
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "The page token is damaged.")
    return Behind(int(at), task_id)
