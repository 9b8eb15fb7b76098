"""``verifield-cloud reviewers``: who reviews, what they may be given, and what happens to who did wrong."""

from __future__ import annotations

import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.given import read_given
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.commands.review_views import id_of
from cloud.commands.reviews import KindName
from verifield.v1 import review_service_pb2 as pb

app = typer.Typer(help="Reviewers, and discipline cases.", no_args_is_help=True)


class OutcomeName(StrEnum):
    """Names of DisciplineOutcome."""

    UNFOUNDED = "unfounded"
    WARNED = "warned"
    REMOVED = "removed"


UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The login or the id.")]


@app.command("list")
@operator_command
def list_reviewers(connect: Connect, page: PageOption = None, as_json: JsonOption = False) -> None:
    """List the reviewers with what they have now.

    Example: verifield-cloud reviewers list
    """
    request = pb.ListReviewersRequest()
    with connect() as client:
        found, more = fetch(client, client.reviews.ListReviewers, request, items="reviewers", page=page)
    rows = [_describe(one) for one in found]
    if as_json:
        print_json(with_next({"reviewers": rows}, page, more))
        return
    print_table(
        ["NO", "LOGIN", "LOAD", "CAPACITY", "STANDING", "MARKS", "SKILLS"],
        [
            [
                str(row["number"]),
                row["login"],
                str(row["load"]),
                str(row["capacity"]),
                row["standing"],
                str(row["mark_count"]),
                " ".join(row["skills"]) or "none",
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command("set")
@operator_command
def set_profile(
    connect: Connect,
    user: UserArgument,
    kind: Annotated[
        list[KindName], typer.Option("--kind", help="May be given this; may be given several times.")
    ] = [],  # noqa: B006 (typer copies it)
    no_kinds: Annotated[bool, typer.Option("--no-kinds", help="May be given nothing at all.")] = False,
    capacity: Annotated[
        int, typer.Option(min=0, max=10_000, help="Tasks at a time; 0: as the rules say.")
    ] = 0,
    away: Annotated[bool, typer.Option("--away/--here", help="Gets nothing new for now.")] = False,
    marks: Annotated[
        Path | None,
        typer.Option(
            help="JSON with own id_numbers, phones and companies, or - for standard input; it is not kept."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a reviewer may be given. What is given here replaces what was there, but for marks.

    Tasks that the reviewer may not have any more go to others at once.

    Example: verifield-cloud reviewers set li-wei --kind certification --capacity 20 --marks marks.json
    """
    if bool(kind) is no_kinds:  # else --away alone would take all kinds away
        raise typer.BadParameter("give every --kind that stays, or --no-kinds")
    given = _read_marks(marks) if marks else None
    with connect() as client:
        request = pb.SetReviewerProfileRequest(
            request_id=str(uuid.uuid4()),
            reviewer_id=id_of(client, user),
            skills=sorted({one.number for one in kind}),
            capacity=capacity,
            away=away,
            marks=given,
        )
        answer = client.call(client.reviews.SetReviewerProfile, request)
    row = _describe(answer.reviewer)
    if as_json:
        print_json(row)
    else:
        print_values(row | {"skills": " ".join(row["skills"]) or "none"})


@app.command()
@operator_command
def cases(
    connect: Connect,
    user: Annotated[str, typer.Option("--of", metavar="USER", help="Only those of this reviewer.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the discipline cases, newest first.

    Example: verifield-cloud reviewers cases --open
    """
    with connect() as client:
        request = pb.ListDisciplineCasesRequest(
            state=pb.DISCIPLINE_CASE_STATE_OPEN if open_only else pb.DISCIPLINE_CASE_STATE_UNSPECIFIED,
            reviewer_id=id_of(client, user) if user else "",
        )
        found, more = fetch(
            client, client.reviews.ListDisciplineCases, request, items="discipline_cases", page=page
        )
    rows = [_describe_case(one) for one in found]
    if as_json:
        print_json(with_next({"discipline_cases": rows}, page, more))
        return
    print_table(
        ["CASE", "REVIEWER", "STATE", "OUTCOME", "OPENED", "FACTS"],
        [
            [
                row["case_id"],
                str(row["reviewer"]),
                row["state"],
                row["outcome"] or "-",
                row["open_time"],
                row["facts"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command("open-case")
@operator_command
def open_case(
    connect: Connect,
    user: UserArgument,
    facts: Annotated[str, typer.Option(help="What is said to have happened; kept encrypted.")],
    as_json: JsonOption = False,
) -> None:
    """Suspend a reviewer from this moment on, and give the reviewer's tasks to others.

    Example: verifield-cloud reviewers open-case li-wei --facts "Decided about a relative."
    """
    with connect() as client:
        request = pb.OpenDisciplineCaseRequest(
            request_id=str(uuid.uuid4()), reviewer_id=id_of(client, user), facts=facts
        )
        answer = client.call(client.reviews.OpenDisciplineCase, request)
    _print_case(_describe_case(answer.discipline_case) | {"moved_tasks": answer.moved_tasks}, as_json=as_json)


@app.command("close-case")
@operator_command
def close_case(
    connect: Connect,
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")],
    outcome: Annotated[OutcomeName, typer.Argument(help="How it ended.")],
    note: Annotated[str, typer.Option(help="Why; kept encrypted.")],
    as_json: JsonOption = False,
) -> None:
    """End a case; a reviewer who was not removed may decide again once no case is open.

    Example: verifield-cloud reviewers close-case 019ca5a0-0000-7000-8000-000000000001 warned
    --note "It was the first time."
    """
    request = pb.CloseDisciplineCaseRequest(
        request_id=str(uuid.uuid4()),
        case_id=case,
        outcome=pb.DisciplineOutcome.Value(f"DISCIPLINE_OUTCOME_{outcome.name}"),
        note=note,
    )
    with connect() as client:
        answer = client.call(client.reviews.CloseDisciplineCase, request)
    _print_case(_describe_case(answer.discipline_case), as_json=as_json)


def _read_marks(path: Path) -> pb.ReviewerMarks:
    return read_given(
        path,
        pb.ReviewerMarks(),
        code="MARKS_UNREADABLE",
        what="What is known of the reviewer",
        hint='Write {"id_numbers": [...], "phones": [...], "companies": [...]}.',
    )


def _describe(one: pb.Reviewer) -> dict[str, Any]:
    standing = "suspended" if one.suspended else "away" if one.away else "here"
    return {
        "reviewer_id": one.reviewer_id,
        "number": one.number,
        "login": one.login,
        "skills": [pb.ReviewKind.Name(kind).removeprefix("REVIEW_KIND_") for kind in one.skills],
        "capacity": one.capacity,
        "load": one.load,
        "standing": standing,
        "mark_count": one.mark_count,
    }


def _describe_case(one: pb.DisciplineCase) -> dict[str, Any]:
    outcome = pb.DisciplineOutcome.Name(one.outcome).removeprefix("DISCIPLINE_OUTCOME_")
    return {
        "case_id": one.case_id,
        "reviewer": one.reviewer_number,
        "reviewer_id": one.reviewer_id,
        "state": pb.DisciplineCaseState.Name(one.state).removeprefix("DISCIPLINE_CASE_STATE_"),
        "outcome": outcome if one.outcome else None,
        "facts": one.facts,
        "note": one.note,
        "opened_by": one.opened_by,
        "open_time": show_time(one.open_time),
        "closed_by": one.closed_by or None,
        "close_time": show_maybe(one, "close_time"),
    }


def _print_case(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        print_values(row)
