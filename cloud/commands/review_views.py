"""How ``verifield-cloud reviews`` prints, for people and for programs, and reads what they write."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import typer

from cloud.client import OperatorClient
from cloud.commands.common import err, out, print_json, print_values, show_maybe, show_time
from verifield.v1 import review_service_pb2 as pb
from verifield.v1 import user_service_pb2

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")  # as the contract has it


def describe_task(task: pb.ReviewTask) -> dict[str, Any]:
    """A task as it is printed."""
    return {
        "task_id": task.task_id,
        "kind": pb.ReviewKind.Name(task.kind).removeprefix("REVIEW_KIND_"),
        "subject": task.subject,
        "state": pb.ReviewTaskState.Name(task.state).removeprefix("REVIEW_TASK_STATE_"),
        "reviewer": task.reviewer_number or None,
        "reviewer_id": task.reviewer_id or None,
        "create_time": show_time(task.create_time),
        "due_time": show_maybe(task, "due_time"),
        "supplement_deadline": show_maybe(task, "supplement_deadline"),
        "end_time": show_maybe(task, "end_time"),
        "overdue_count": task.overdue_count,
        "supplement_count": task.supplement_count,
        "outcome": pb.ReviewOutcome.Name(task.outcome).removeprefix("REVIEW_OUTCOME_")
        if task.outcome
        else None,
        "second": task.second,
    }


def id_of(client: OperatorClient, user: str) -> str:
    """The id of a reviewer who is named by login or id; whoever names a login may read users."""
    try:
        return str(uuid.UUID(user))
    except ValueError:
        request = user_service_pb2.GetUserRequest(login=user)
        return client.call(client.users.GetUser, request).user.user_id


def show_span(until: str | None, now: datetime) -> str:
    """How long it is until a time: ``2d 4h``, ``35m``, with a minus where it has passed; ``-`` for none."""
    if until is None:
        return "-"
    seconds = int((datetime.fromisoformat(until) - now).total_seconds())
    minutes, sign = abs(seconds) // 60, "-" if seconds < 0 else ""
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{sign}{days}d {hours}h"
    return f"{sign}{hours}h {minutes % 60}m" if hours else f"{sign}{minutes}m"


def print_tasks(rows: list[dict[str, Any]]) -> None:
    """One line each; on a terminal, what is late stands in red and what waits for an applicant is dim."""
    now = datetime.now(UTC)
    columns = ["TASK", "KIND", "STATE", "DUE IN", "REVIEWER", "LATE", "SUBJECT"]
    cells = [
        [
            row["task_id"],
            row["kind"] + (" (second)" if row["second"] else ""),
            row["outcome"] or row["state"],
            show_span(row["due_time"] or row["supplement_deadline"], now),
            str(row["reviewer"] or "-"),
            str(row["overdue_count"] or "-"),
            row["subject"],
        ]
        for row in rows
    ]
    if not cells:
        err().print("There are none.")
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    console = out()
    styles = ["bold", *map(_style, rows)]
    for line, style in zip([columns, *cells], styles, strict=True):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        console.print(text, style=style, markup=False, emoji=False, soft_wrap=True)


def _style(row: dict[str, Any]) -> str:
    if row["overdue_count"] and row["due_time"]:
        return "red"
    return "dim" if row["state"] == "WAITING_SUPPLEMENT" else "none"


def print_task(task: pb.ReviewTask, *, as_json: bool) -> None:
    """One task, value by value."""
    row = describe_task(task)
    if as_json:
        print_json(row)
    else:
        print_values(row)


def describe_check(one: pb.ReviewCheck) -> dict[str, Any]:
    """A check item as it is printed."""
    return {"item": one.item, "result": result_name(one.result), "remark": one.remark}


def describe_reason(one: pb.ReviewReason) -> dict[str, str]:
    """A reason as it is printed."""
    return {"code": one.code, "text": one.text}


def describe_second(one: pb.SecondReview) -> dict[str, Any]:
    """A second review as it is printed."""

    def side(number: int, outcome: pb.ReviewOutcome.ValueType) -> str:
        name = pb.ReviewOutcome.Name(outcome).removeprefix("REVIEW_OUTCOME_")
        return f"{name} by {number}" if outcome else "-"

    return {
        "task_id": one.task_id,
        "first_task_id": one.first_task_id,
        "subject": one.subject,
        "kind": pb.ReviewKind.Name(one.kind).removeprefix("REVIEW_KIND_"),
        "state": pb.SecondReviewState.Name(one.state).removeprefix("SECOND_REVIEW_STATE_"),
        "first": side(one.first_reviewer_number, one.first_outcome),
        "second": side(one.second_reviewer_number, one.second_outcome),
        "create_time": show_time(one.create_time),
        "end_time": show_maybe(one, "end_time"),
    }


def result_name(result: pb.CheckResult.ValueType) -> str | None:
    """The name of a result; None for one that is to be recorded."""
    return pb.CheckResult.Name(result).removeprefix("CHECK_RESULT_") if result else None


def words(value: object) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parse_reason(text: str) -> pb.ReviewReason:
    """CODE=TEXT; typer turns the error into a usage error."""
    code, equals, told = text.partition("=")
    code = code.strip().upper()
    if not equals or not _CODE.fullmatch(code) or not told.strip():
        raise typer.BadParameter("a reason is CODE=TEXT, for example BLURRED='Page 2 cannot be read.'")
    return pb.ReviewReason(code=code, text=told.strip())
