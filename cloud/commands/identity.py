"""``verifield-cloud identity``: who holders are, verification by hand, offices, and conflicts."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
)
from cloud.commands.identity_views import (
    show_cell,
    show_conflict,
    show_entry,
    show_name,
    show_site,
    show_verification,
)
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.errors import SetupError
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1 import user_service_pb2

app = typer.Typer(help="Who the holders of accounts are, and how that was found out.", no_args_is_help=True)
sites_app = typer.Typer(help="People who are awaited at offices.", no_args_is_help=True)
app.add_typer(sites_app, name="sites")

MAX_NUMBER_FILE_BYTES = 256


class Method(StrEnum):
    """How somebody was verified."""

    FOUR_ELEMENTS = "four-elements"
    FACE = "face"
    CTID = "ctid"
    MANUAL = "manual"


class State(StrEnum):
    """How an attempt stands."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    ERROR_RETRYABLE = "error-retryable"
    STALE = "stale"


class Document(StrEnum):
    """What was shown at the window."""

    RESIDENT_ID = "resident-id"
    TEMPORARY_ID = "temporary-id"
    HOUSEHOLD_REGISTER = "household-register"
    PASSPORT = "passport"
    DRIVING_LICENCE = "driving-licence"
    POLICE_CERTIFICATE = "police-certificate"
    OTHER = "other"


class Because(StrEnum):
    """Why it could not be done online."""

    FACE_FAILED = "face-failed"
    DATA_MISSING = "data-missing"
    AUTHORITY_AWAY = "authority-away"
    PERSON_UNABLE = "person-unable"
    CONFLICT = "conflict"
    OTHER = "other"


AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")]
AccountOption = Annotated[str, typer.Option("--account", help="Only those of this account.")]


@app.command("list")
@operator_command
def list_verifications(
    connect: Connect,
    account: AccountOption = "",
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    method: Annotated[Method | None, typer.Option(help="Only those by this method.")] = None,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List attempts to verify somebody, the newest first.

    Example: verifield-cloud identity list --state failed --method face
    """
    request = pb.ListVerificationsRequest(account_id=account)
    if state is not None:
        request.state = pb.VerificationState.Value(f"VERIFICATION_STATE_{state.name}")
    if method is not None:
        request.method = pb.VerificationMethod.Value(f"VERIFICATION_METHOD_{method.name}")
    with connect() as client:
        found, more = fetch(
            client, client.identity.ListVerifications, request, items="verifications", page=page
        )
    rows = [show_verification(one) for one in found]
    if as_json:
        print_json(with_next({"verifications": rows}, page, more))
        return
    columns = ["verification_id", "account_id", "method", "state", "code", "create_time"]
    print_table([name.upper() for name in columns], [[row[name] or "-" for name in columns] for row in rows])
    tell_next(more)


@app.command()
@operator_command
def show(
    connect: Connect,
    verification: Annotated[str, typer.Argument(metavar="VERIFICATION", help="Its id.")],
    as_json: JsonOption = False,
) -> None:
    """Show one attempt.

    Example: verifield-cloud identity show 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        request = pb.GetVerificationRequest(verification_id=verification)
        found = client.call(client.identity.GetVerification, request).verification
    (print_json if as_json else print_values)(show_verification(found))


@app.command()
@operator_command
def account(connect: Connect, account_id: AccountArgument, as_json: JsonOption = False) -> None:
    """Show how an account stands, and what is possible next.

    Example: verifield-cloud identity account 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        request = pb.GetAccountIdentityRequest(account_id=account_id)
        found = client.call(client.identity.GetAccountIdentity, request).identity
    values = {
        "account_id": found.account_id,
        "state": show_name(pb.IdentityState, found.state, "IDENTITY_STATE_"),
        "method": show_name(pb.VerificationMethod, found.method, "VERIFICATION_METHOD_"),
        "mark": show_name(pb.VerificationMark, found.mark, "VERIFICATION_MARK_"),
        "verification_id": found.verification_id,
        "verify_time": show_maybe(found, "verify_time"),
        "stale_code": found.stale_code,
        "element_tries": found.element_tries,
        "face_tries": found.face_tries,
        "escalation_allowed": found.escalation_allowed,
        "window_advised": found.window_advised,
    }
    (print_json if as_json else print_values)(values)


@app.command("verify")
@operator_command
def verify_by_hand(
    connect: Connect,
    account_id: AccountArgument,
    place: Annotated[str, typer.Option(help="The office and its window.")],
    document: Annotated[list[Document], typer.Option(help="What was shown; may be given several times.")],
    reason: Annotated[Because, typer.Option(help="Why it could not be done online.")],
    note: Annotated[str, typer.Option(help="What else is to be known; nothing personal.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Confirm who the person at the window is. It stands in the ledger for ever.

    Example: verifield-cloud identity verify 019ca5a0-0000-7000-8000-000000000001 --place "Office 3, window 2"
    --document resident-id --reason face-failed
    """
    request = pb.RecordManualVerificationRequest(
        request_id=str(uuid.uuid4()),
        account_id=account_id,
        place=place,
        documents=[pb.SeenDocument.Value(f"SEEN_DOCUMENT_{one.name}") for one in document],
        reason=pb.ManualReason.Value(f"MANUAL_REASON_{reason.name}"),
        note=note,
    )
    with connect() as client:
        answer = client.call(client.identity.RecordManualVerification, request)
    (print_json if as_json else print_values)(show_entry(answer.entry))


@app.command()
@operator_command
def ledger(
    connect: Connect,
    day: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The day to list, YYYY-MM-DD.", show_default=False)
    ],
    utc_offset: Annotated[float, typer.Option(help="Hours that the day is ahead of UTC.")] = 8.0,
    as_json: JsonOption = False,
) -> None:
    """List the verifications by hand of one day, with their numbers in the ledger.

    Example: verifield-cloud identity ledger --day 2026-11-30
    """
    if not -14 <= utc_offset <= 14:
        raise typer.BadParameter("days are at most 14 hours ahead of UTC, or behind it")
    try:
        start = day.replace(tzinfo=timezone(timedelta(hours=utc_offset))).astimezone(UTC)
        end = start + timedelta(days=1)
    except OverflowError as error:
        raise typer.BadParameter("that day lies outside the calendar") from error
    request = pb.ExportManualVerificationsRequest()
    request.start_time.FromDatetime(start)
    request.end_time.FromDatetime(end)
    with connect() as client:
        answers = client.receive(client.identity.ExportManualVerifications, request)
        rows = [show_entry(entry) for answer in answers for entry in answer.entries]
    if as_json:
        print_json({"day": f"{day:%Y-%m-%d}", "entries": rows})
        return
    columns = ["number", "record_time", "operator", "place", "account_id", "documents", "reason", "note"]
    print_table(
        [name.upper() for name in columns], [[show_cell(row[name]) for name in columns] for row in rows]
    )


@app.command("declare-staff")
@operator_command
def declare_staff(
    connect: Connect,
    login: Annotated[str, typer.Argument(metavar="USER", help="The login.")],
    number_file: Annotated[
        Path | None,
        typer.Option(help="File with the user's own id number; without it, nobody knows it any more."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which person a user is, so that nobody verifies oneself by hand.

    Example: verifield-cloud identity declare-staff li-wei --number-file number.txt
    """
    number = _read_number(number_file) if number_file else ""
    with connect() as client:
        found = client.call(client.users.GetUser, user_service_pb2.GetUserRequest(login=login)).user
        request = pb.DeclareStaffIdentityRequest(
            request_id=str(uuid.uuid4()), user_id=found.user_id, id_number=number
        )
        client.call(client.identity.DeclareStaffIdentity, request)
    (print_json if as_json else print_values)({"user_id": found.user_id, "declared": bool(number)})


@app.command()
@operator_command
def conflicts(
    connect: Connect,
    account: AccountOption = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that nobody has settled.")] = False,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List records that contradict each other, the newest first. Both stay as they are.

    Example: verifield-cloud identity conflicts --open
    """
    state = pb.CONFLICT_STATE_OPEN if open_only else pb.CONFLICT_STATE_UNSPECIFIED
    request = pb.ListConflictsRequest(account_id=account, state=state)
    with connect() as client:
        found, more = fetch(client, client.identity.ListConflicts, request, items="conflicts", page=page)
    rows = [show_conflict(one) for one in found]
    if as_json:
        print_json(with_next({"conflicts": rows}, page, more))
        return
    columns = ["conflict_id", "account_id", "kind", "state", "open_time", "winner_attestation_id"]
    print_table([name.upper() for name in columns], [[row[name] or "-" for name in columns] for row in rows])
    tell_next(more)


@sites_app.command("request")
@operator_command
def request_site(
    connect: Connect,
    account_id: AccountArgument,
    site: Annotated[str, typer.Argument(metavar="SITE", help="Id of the site.")],
    days: Annotated[int, typer.Option(min=1, max=90, help="How long the person is awaited.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Have a person awaited at an office, whose devices may be offline.

    Example: verifield-cloud identity sites request 019ca5a0-0000-7000-8000-000000000001 bogota-3 --days 7
    """
    request = pb.RequestSiteVerificationRequest(
        request_id=str(uuid.uuid4()), account_id=account_id, site_id=site, days=days
    )
    with connect() as client:
        answer = client.call(client.identity.RequestSiteVerification, request)
    _print_site(answer.request, as_json=as_json)


@sites_app.command("withdraw")
@operator_command
def withdraw_site(
    connect: Connect,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Id of the request.")],
    as_json: JsonOption = False,
) -> None:
    """Have the person awaited no more.

    Example: verifield-cloud identity sites withdraw 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.WithdrawSiteVerificationRequest(request_id=str(uuid.uuid4()), task_id=task)
    with connect() as client:
        answer = client.call(client.identity.WithdrawSiteVerification, request)
    _print_site(answer.request, as_json=as_json)


@sites_app.command("list")
@operator_command
def list_sites(
    connect: Connect,
    account: AccountOption = "",
    site: Annotated[str, typer.Option(help="Only those at this site.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those who are still awaited.")] = False,
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is awaited where, and what came of it; the newest first.

    Example: verifield-cloud identity sites list --open
    """
    request = pb.ListSiteVerificationsRequest(account_id=account, site_id=site)
    if open_only:
        request.state = pb.SITE_VERIFICATION_STATE_OPEN
    with connect() as client:
        found, more = fetch(
            client, client.identity.ListSiteVerifications, request, items="requests", page=page
        )
    rows = [show_site(one) for one in found]
    if as_json:
        print_json(with_next({"requests": rows}, page, more))
        return
    columns = ["task_id", "account_id", "site_id", "state", "expire_time"]
    print_table(
        [*(name.upper() for name in columns), "RESULTS"],
        [
            [*(row[name] for name in columns), " ".join(one["code"] for one in row["results"]) or "-"]
            for row in rows
        ],
    )
    tell_next(more)


def _read_number(path: Path) -> str:
    try:
        content = path.read_bytes()
        return content.decode("ascii").strip() if len(content) <= MAX_NUMBER_FILE_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            "FILE_UNREADABLE", f"The file {path} cannot be read.", hint="Write the number alone into it."
        ) from error


def _print_site(message: pb.SiteVerification, *, as_json: bool) -> None:
    values = show_site(message)
    if as_json:
        print_json(values)
    else:
        print_values(values | {"results": " ".join(one["code"] for one in values["results"])})
