"""``verifield-cloud reviews``: the daily tool of reviewers, and of those who manage reviews."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    out,
    print_json,
    print_table,
    print_values,
    show_time,
)
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.commands.review_views import (
    describe_check,
    describe_reason,
    describe_second,
    describe_task,
    id_of,
    parse_reason,
    print_task,
    print_tasks,
    result_name,
    words,
)
from verifield.terminal import visible
from verifield.v1 import review_service_pb2 as pb

app = typer.Typer(help="Review tasks: take, check, decide.", no_args_is_help=True)

FEW = 100
"""Tasks that a list shows at once: a queue may hold many thousands."""


class KindName(StrEnum):
    """Names of ReviewKind."""

    CERTIFICATION = "certification"
    ORGANISATION_REAL_NAME = "organisation-real-name"
    SEAL = "seal"
    BUSINESS = "business"
    CONTRACT = "contract"

    @property
    def number(self) -> pb.ReviewKind.ValueType:
        return pb.ReviewKind.Value(f"REVIEW_KIND_{self.name}")


class StateName(StrEnum):
    """Names of ReviewTaskState."""

    OPEN = "open"
    ASSIGNED = "assigned"
    WAITING_SUPPLEMENT = "waiting-supplement"
    DECIDED = "decided"
    CLOSED = "closed"

    @property
    def number(self) -> pb.ReviewTaskState.ValueType:
        return pb.ReviewTaskState.Value(f"REVIEW_TASK_STATE_{self.name}")


class ResultName(StrEnum):
    """Names of CheckResult."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not-applicable"


class SettleName(StrEnum):
    """How a disagreement may end."""

    UPHELD = "upheld"
    REOPENED = "reopened"


class SecondName(StrEnum):
    """Names of SecondReviewState."""

    PENDING = "pending"
    AGREED = "agreed"
    DISAGREED = "disagreed"
    UPHELD = "upheld"
    REOPENED = "reopened"


TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.")]
KindOption = Annotated[KindName | None, typer.Option("--kind", help="Only of this kind.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; kept encrypted with the task.")]


@app.command("list", epilog="Example: verifield-cloud reviews list --mine")
@operator_command
def list_tasks(
    connect: Connect,
    state: Annotated[StateName | None, typer.Option(help="Default: all that have not ended.")] = None,
    kind: KindOption = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you have, or had.")] = False,
    reviewer: Annotated[str, typer.Option(help="Only those of this reviewer: a login or an id.")] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose time limit passed.")] = False,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tasks, what is due first at the top; the first hundred, or one page after the other."""
    if mine and reviewer:
        raise typer.BadParameter("give --mine or --reviewer, not both")
    request = pb.ListTasksRequest(
        page_size=FEW,
        state=state.number if state else pb.REVIEW_TASK_STATE_UNSPECIFIED,
        kind=kind.number if kind else pb.REVIEW_KIND_UNSPECIFIED,
        mine=mine,
        overdue=overdue,
        page_token="" if page in {None, "first"} else page,
    )
    with connect() as client:
        if reviewer:
            request.reviewer_id = id_of(client, reviewer)
        answer = client.call(client.reviews.ListTasks, request)
    rows, more = [describe_task(one) for one in answer.tasks], answer.next_page_token
    if as_json:
        print_json({"tasks": rows, "next_page": more})
        return
    print_tasks(rows)
    tell_next(more)


@app.command(epilog="Example: verifield-cloud reviews show TASK")
@operator_command
def show(connect: Connect, task: TaskArgument, as_json: JsonOption = False) -> None:
    """Show a task: what is reviewed, its check items, what was asked for, reasons."""
    with connect() as client:
        answer = client.call(client.reviews.GetTask, pb.GetTaskRequest(task_id=task))
    checks = [describe_check(one) for one in answer.checks]
    material: list[dict[str, Any]] = [
        {"name": one.name, "value": one.value, "masked": one.masked} for one in answer.material
    ]
    supplement = None
    if answer.HasField("supplement"):
        asked = answer.supplement
        supplement = {
            "code": asked.reason.code,
            "text": asked.reason.text,
            "items": list(asked.items),
            "deadline": show_time(asked.deadline),
        }
    row = describe_task(answer.task)
    if as_json:
        reasons = [describe_reason(one) for one in answer.reasons]
        print_json(
            row | {"checks": checks, "material": material, "supplement": supplement, "reasons": reasons}
        )
        return
    print_values(row)
    print_table(
        ["CHECK", "RESULT", "REMARK"],
        [[one["item"], one["result"] or "to do", one["remark"]] for one in checks],
    )
    if material:
        print_table(["FIELD", "VALUE"], [[one["name"], one["value"]] for one in material])
    if supplement is not None:
        print_values({f"supplement {name}": words(value) for name, value in supplement.items()})
    for reason in answer.reasons:
        out().print(visible(f"{reason.code}: {reason.text}"), markup=False)


@app.command(epilog="Example: verifield-cloud reviews events TASK")
@operator_command
def events(connect: Connect, task: TaskArgument, as_json: JsonOption = False) -> None:
    """Show what happened to a task, oldest first."""
    request = pb.ListTaskEventsRequest(task_id=task)
    with connect() as client:
        found, _ = fetch(client, client.reviews.ListTaskEvents, request, items="events", page=None)
    rows: list[dict[str, Any]] = [
        {
            "number": one.number,
            "time": show_time(one.time),
            "event": pb.ReviewEventKind.Name(one.kind).removeprefix("REVIEW_EVENT_KIND_"),
            "actor": one.actor,
            "reviewer": one.reviewer_number or None,
            "item": one.item,
            "result": result_name(one.result),
            "note": one.note,
        }
        for one in found
    ]
    if as_json:
        print_json({"events": rows})
        return
    print_table(
        ["NO", "TIME", "EVENT", "REVIEWER", "ITEM", "RESULT", "NOTE"],
        [
            [
                str(row["number"]),
                row["time"],
                row["event"],
                str(row["reviewer"] or "-"),
                row["item"] or "-",
                row["result"] or "-",
                row["note"],
            ]
            for row in rows
        ],
    )


@app.command("next", epilog="Example: verifield-cloud reviews next")
@operator_command
def take_next(connect: Connect, kind: KindOption = None, as_json: JsonOption = False) -> None:
    """Take the next task that you may have."""
    request = pb.TakeTaskRequest(
        request_id=str(uuid.uuid4()), kind=kind.number if kind else pb.REVIEW_KIND_UNSPECIFIED
    )
    with connect() as client:
        answer = client.call(client.reviews.TakeTask, request)
    print_task(answer.task, as_json=as_json)


@app.command(epilog="Example: verifield-cloud reviews take TASK")
@operator_command
def take(connect: Connect, task: TaskArgument, as_json: JsonOption = False) -> None:
    """Take a task that nobody has."""
    request = pb.TakeTaskRequest(request_id=str(uuid.uuid4()), task_id=task)
    with connect() as client:
        answer = client.call(client.reviews.TakeTask, request)
    print_task(answer.task, as_json=as_json)


@app.command(epilog='Example: verifield-cloud reviews release TASK --reason "My neighbour."')
@operator_command
def release(connect: Connect, task: TaskArgument, reason: WhyOption, as_json: JsonOption = False) -> None:
    """Give a task back, for example because you know the applicant; it goes to somebody else."""
    request = pb.ReleaseTaskRequest(request_id=str(uuid.uuid4()), task_id=task, reason=reason)
    with connect() as client:
        answer = client.call(client.reviews.ReleaseTask, request)
    print_task(answer.task, as_json=as_json)


@app.command(epilog='Example: verifield-cloud reviews assign TASK --to li-wei --reason "Knows the matter."')
@operator_command
def assign(
    connect: Connect,
    task: TaskArgument,
    reason: WhyOption,
    to: Annotated[
        str, typer.Option(help="Login or id of the reviewer; without it, whoever suits best.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Give a task to a reviewer, from nobody or from another one."""
    request = pb.AssignTaskRequest(request_id=str(uuid.uuid4()), task_id=task, reason=reason)
    with connect() as client:
        if to:
            request.reviewer_id = id_of(client, to)
        answer = client.call(client.reviews.AssignTask, request)
    print_task(answer.task, as_json=as_json)


@app.command(epilog="Example: verifield-cloud reviews check TASK identity_matches passed")
@operator_command
def check(
    connect: Connect,
    task: TaskArgument,
    item: Annotated[str, typer.Argument(help="The check item; see reviews show.")],
    result: Annotated[ResultName, typer.Argument(help="What was found.")],
    remark: Annotated[str, typer.Option(help="For those who look later; kept encrypted.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Record the result of a check item."""
    request = pb.RecordCheckRequest(
        request_id=str(uuid.uuid4()),
        task_id=task,
        item=item,
        result=pb.CheckResult.Value(f"CHECK_RESULT_{result.name}"),
        remark=remark,
    )
    with connect() as client:
        answer = client.call(client.reviews.RecordCheck, request)
    rows = [describe_check(one) for one in answer.checks]
    if as_json:
        print_json({"checks": rows})
    else:
        print_table(["CHECK", "RESULT"], [[row["item"], row["result"] or "to do"] for row in rows])


@app.command(
    epilog='Example: verifield-cloud reviews supplement TASK --reason "BLURRED=Page 2" --item "page 2"'
)
@operator_command
def supplement(
    connect: Connect,
    task: TaskArgument,
    reason: Annotated[str, typer.Option(metavar="CODE=TEXT", help="Why; the applicant reads it.")],
    item: Annotated[list[str], typer.Option(help="What is to be handed in; may be given several times.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=90, help="Until when; default: as the rules say.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the applicant for what is missing; the time limit stands still until it comes."""
    request = pb.RequestSupplementRequest(
        request_id=str(uuid.uuid4()), task_id=task, reason=parse_reason(reason), items=item
    )
    if days is not None:
        request.deadline.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    with connect() as client:
        answer = client.call(client.reviews.RequestSupplement, request)
    print_task(answer.task, as_json=as_json)


@app.command(epilog="Example: verifield-cloud reviews decide TASK --passed")
@operator_command
def decide(
    connect: Connect,
    task: TaskArgument,
    passed: Annotated[bool | None, typer.Option("--passed/--not-passed", help="The outcome.")] = None,
    reason: Annotated[
        list[str], typer.Option(metavar="CODE=TEXT", help="Why not; may be given several times.")
    ] = [],  # noqa: B006 (typer copies it)
    as_json: JsonOption = False,
) -> None:
    """Decide a task whose check items all have a result."""
    if passed is None:
        raise typer.BadParameter("give --passed, or --not-passed with --reason")
    request = pb.DecideTaskRequest(
        request_id=str(uuid.uuid4()),
        task_id=task,
        outcome=pb.REVIEW_OUTCOME_PASSED if passed else pb.REVIEW_OUTCOME_NOT_PASSED,
        reasons=map(parse_reason, reason),
    )
    with connect() as client:
        answer = client.call(client.reviews.DecideTask, request)
    print_task(answer.task, as_json=as_json)


@app.command(epilog="Example: verifield-cloud reviews second --state disagreed")
@operator_command
def second(
    connect: Connect,
    state: Annotated[SecondName | None, typer.Option(help="Only those in this state.")] = None,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List decisions that a second person looks at, newest first."""
    number = pb.SecondReviewState.Value(f"SECOND_REVIEW_STATE_{state.name if state else 'UNSPECIFIED'}")
    request = pb.ListSecondReviewsRequest(state=number)
    with connect() as client:
        found, more = fetch(
            client, client.reviews.ListSecondReviews, request, items="second_reviews", page=page
        )
    rows = [describe_second(one) for one in found]
    if as_json:
        print_json(with_next({"second_reviews": rows}, page, more))
        return
    print_table(
        ["TASK", "SUBJECT", "STATE", "FIRST", "SECOND"],
        [[row["task_id"], row["subject"], row["state"], row["first"], row["second"]] for row in rows],
    )
    tell_next(more)


@app.command(epilog='Example: verifield-cloud reviews settle TASK reopened --reason "Other evidence."')
@operator_command
def settle(
    connect: Connect,
    task: TaskArgument,
    settlement: Annotated[SettleName, typer.Argument(help="Whether the first decision stands.")],
    reason: WhyOption,
    as_json: JsonOption = False,
) -> None:
    """End a disagreement: the decision stands, or a third person reviews anew."""
    request = pb.SettleSecondReviewRequest(
        request_id=str(uuid.uuid4()),
        task_id=task,
        settlement=pb.SecondReviewState.Value(f"SECOND_REVIEW_STATE_{settlement.name}"),
        reason=reason,
    )
    with connect() as client:
        answer = client.call(client.reviews.SettleSecondReview, request)
    row = describe_second(answer.second_review) | {"reopened_task_id": answer.reopened_task_id or None}
    if as_json:
        print_json(row)
    else:
        print_values(row)
