"""``verifield-cloud accounts``: the accounts of people and organisations, for the staff."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from cloud.client import OperatorClient
from cloud.commands.common import (
    Connect,
    JsonOption,
    confirm,
    err,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.commands.offline import progress_bars
from cloud.errors import SetupError
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import diagnostics_service_pb2

app = typer.Typer(help="Accounts of people and organisations.", no_args_is_help=True)
diagnostics_app = typer.Typer(help="What clients found out about lines that failed.", no_args_is_help=True)
app.add_typer(diagnostics_app, name="diagnostics")

AT_ONCE = 200
"""Accounts in one request: a second or two of the service."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""A million accounts have some 80 MiB."""

COLUMNS = ("name", "id_number", "phone")
OPTIONAL = ("login_name", "valid_from", "valid_to", "organisation_name", "organisation_code")
LONG_TERM = "long-term"

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.")]


class State(StrEnum):
    """States as options name them."""

    DRAFT = "draft"
    PHONE_VERIFIED = "phone-verified"
    ELEMENTS_VERIFIED = "elements-verified"
    ACTIVE = "active"
    SYNCED_INACTIVE = "synced-inactive"
    LOCKED = "locked"
    DEREGISTERED = "deregistered"


class Why(StrEnum):
    """Why an account ends."""

    OLD_CARD_DATES = "old-card-dates"
    HOLDER_ASKED = "holder-asked"
    FALSE_DATA = "false-data"
    HOLDER_DIED = "holder-died"


@app.command("list", epilog="Example: verifield-cloud accounts list --state synced-inactive")
@operator_command
def list_accounts(
    connect: Connect,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    id_number: Annotated[str, typer.Option(help="All that this person has and had.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts in the order in which they were made; personal values are masked."""
    wanted = pb.AccountState.Value(f"ACCOUNT_STATE_{state.name}") if state else pb.ACCOUNT_STATE_UNSPECIFIED
    request = pb.ListAccountsRequest(state=wanted, id_number=id_number)
    with connect() as client:
        found, more = fetch(client, client.accounts.ListAccounts, request, items="accounts", page=page)
    rows = [_describe(account) for account in found]
    if as_json:
        print_json(with_next({"accounts": rows}, page, more))
        return
    print_table(
        ["ACCOUNT", "STATE", "TYPE", "NAME", "ID NUMBER", "PHONE", "CREATED"],
        [
            [
                row["account_id"],
                row["state"],
                row["subject_type"],
                row["name"],
                row["id_number"],
                row["phone"],
                row["create_time"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command(epilog="Example: verifield-cloud accounts show ACCOUNT")
@operator_command
def show(connect: Connect, account: AccountArgument, as_json: JsonOption = False) -> None:
    """Show one account, also one that has ended; personal values are masked."""
    with connect() as client:
        request = pb.GetAccountRequest(account_id=account)
        found = client.call(client.accounts.GetAccount, request).account
    _print_account(found, as_json=as_json)


@app.command(epilog="Example: verifield-cloud accounts lock ACCOUNT")
@operator_command
def lock(connect: Connect, account: AccountArgument, as_json: JsonOption = False) -> None:
    """Let nobody sign in, and end all sessions."""
    request = pb.LockAccountRequest(request_id=_new_id(), account_id=account)
    with connect() as client:
        _print_account(client.call(client.accounts.LockAccount, request).account, as_json=as_json)


@app.command(epilog="Example: verifield-cloud accounts unlock ACCOUNT")
@operator_command
def unlock(connect: Connect, account: AccountArgument, as_json: JsonOption = False) -> None:
    """Let the holder sign in again."""
    request = pb.UnlockAccountRequest(request_id=_new_id(), account_id=account)
    with connect() as client:
        _print_account(client.call(client.accounts.UnlockAccount, request).account, as_json=as_json)


@app.command(epilog="Example: verifield-cloud accounts deregister ACCOUNT --reason old-card-dates")
@operator_command
def deregister(
    connect: Connect,
    account: AccountArgument,
    reason: Annotated[Why, typer.Option(help="Why it ends.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End an account for ever; its holder can register anew."""
    confirm(f"End the account {account} for ever?", yes=yes)
    request = pb.DeregisterRequest(
        request_id=_new_id(),
        account_id=account,
        reason=pb.DeregistrationReason.Value(f"DEREGISTRATION_REASON_{reason.name}"),
    )
    with connect() as client:
        _print_account(client.call(client.accounts.Deregister, request).account, as_json=as_json)


@app.command(epilog='Example: verifield-cloud accounts rebind ACCOUNT "138 0000 0000"')
@operator_command
def rebind(
    connect: Connect,
    account: AccountArgument,
    phone: Annotated[str, typer.Argument(help="The new telephone number.")],
    as_json: JsonOption = False,
) -> None:
    """Propose another telephone number; a second person confirms it by the same command within a day.

    Each as themselves, with --certificate or an own token in --token-file: the service's may be anybody's.
    """
    request = pb.RebindPhoneRequest(request_id=_new_id(), account_id=account, phone=phone)
    with connect() as client:
        answer = client.call(client.accounts.RebindPhone, request)
    if as_json:
        print_json({"done": answer.done, "account": _describe(answer.account)})
        return
    _print_account(answer.account, as_json=False)
    told = "The number is bound." if answer.done else "Proposed: another person has to confirm it."
    err().print(told, markup=False)


@app.command("sign-ins", epilog="Example: verifield-cloud accounts sign-ins ACCOUNT")
@operator_command
def sign_ins(
    connect: Connect, account: AccountArgument, page: PageOption = None, as_json: JsonOption = False
) -> None:
    """List who signed in to an account, and who tried, the newest first."""
    request = pb.ListSignInsRequest(account_id=account)
    with connect() as client:
        found, more = fetch(client, client.accounts.ListSignIns, request, items="sign_ins", page=page)
    rows = [
        {
            "time": show_time(one.time),
            "method": pb.SignInMethod.Name(one.method).removeprefix("SIGN_IN_METHOD_"),
            "outcome": pb.SignInOutcome.Name(one.outcome).removeprefix("SIGN_IN_OUTCOME_"),
            "from": f"device {one.device_id}" if one.device_id else one.address,
        }
        for one in found
    ]
    if as_json:
        print_json(with_next({"sign_ins": rows}, page, more))
        return
    print_table(["TIME", "METHOD", "OUTCOME", "FROM"], [list(row.values()) for row in rows])
    tell_next(more)


@app.command("import", epilog="Example: verifield-cloud accounts import accounts.csv")
@operator_command
def import_accounts(
    connect: Connect,
    file: Annotated[Path, typer.Argument(help="CSV, UTF-8, with a line of column names.")],
    as_json: JsonOption = False,
) -> None:
    """Bring over accounts of an earlier system, not activated. Run again, it changes nothing.

    Columns: name, id_number, phone; and login_name, valid_from, valid_to (days, or long-term),
    organisation_name, organisation_code where they are known.
    """
    counts = {"created": 0, "existing": 0, "refused": 0}
    refused: list[dict[str, Any]] = []
    total = sum(len(batch) for _, batch in _batches(file))  # nothing is sent of a file that is damaged
    with connect() as client, progress_bars() as bars:
        for first, batch in _batches(file):
            answer = _send(client, batch)
            for number, result in enumerate(answer.results, first):
                outcome = pb.ImportOutcome.Name(result.outcome).removeprefix("IMPORT_OUTCOME_").lower()
                counts[outcome] += 1
                if result.outcome == pb.IMPORT_OUTCOME_REFUSED:
                    refused.append({"line": number, "reason": result.reason})
            bars("accounts", sum(counts.values()), total)
    if as_json:
        print_json(counts | {"refusals": refused})
        return
    print_values(counts)
    for one in refused:
        err().print(f"line {one['line']}: {one['reason']}", markup=False)


@diagnostics_app.command("list", epilog="Example: verifield-cloud accounts diagnostics list --json")
@operator_command
def list_diagnostics(
    connect: Connect,
    sender: Annotated[str, typer.Option(help="Only of this one: device/ID or account/ID.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what clients found out about lines that failed."""
    request = diagnostics_service_pb2.ListDiagnosticsRequest(sender=sender)
    with connect() as client:
        found, more = fetch(
            client, client.diagnostics.ListDiagnostics, request, items="diagnostics", page=page
        )
    if as_json:
        print_json(with_next({"diagnostics": [_plain(one) for one in found]}, page, more))
        return
    print_table(
        ["ID", "FROM", "TIME", "ERROR", "NAME", "CONNECTION", "TLS"],
        [
            [
                one.diagnostics.diagnostic_id,
                one.sender,
                show_time(one.diagnostics.occur_time),
                one.diagnostics.error_code,
                *(
                    "ok" if step.ok else step.fault or "-"
                    for step in (one.diagnostics.dns, one.diagnostics.connect, one.diagnostics.tls)
                ),
            ]
            for one in found
        ],
    )
    tell_next(more)


@diagnostics_app.command("show", epilog="Example: verifield-cloud accounts diagnostics show ID")
@operator_command
def show_diagnostics(
    connect: Connect,
    diagnostic_id: Annotated[str, typer.Argument(help="As the client showed it.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a client found out, by the id that its user was shown."""
    request = diagnostics_service_pb2.GetDiagnosticsRequest(diagnostic_id=diagnostic_id)
    with connect() as client:
        found = client.call(client.diagnostics.GetDiagnostics, request).diagnostics
    plain = _plain(found)
    if as_json:
        print_json(plain)
    else:
        print_values({name: value for name, value in plain.items() if name != "diagnostics"})
        print_values(plain["diagnostics"])


def _batches(file: Path) -> Iterator[tuple[int, list[pb.SyncedAccount]]]:
    """Lines of the file, AT_ONCE at a time, each with the number of its first line.

    Raises:
        SetupError: ACCOUNTS_UNREADABLE.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise _unreadable(file, f"it has more than {MAX_FILE_BYTES} bytes")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.DictReader(stream, strict=True)
            columns = frozenset(lines.fieldnames or ())
            if not columns >= frozenset(COLUMNS) or columns - {*COLUMNS, *OPTIONAL}:
                raise _unreadable(file, f"its columns are not {', '.join((*COLUMNS, *OPTIONAL))}")
            first, batch = 2, list[pb.SyncedAccount]()
            for line in lines:
                if None in line or None in line.values():  # as DictReader has cells that are too many or few
                    raise _unreadable(file, f"line {lines.line_num} has not one cell for each column")
                batch.append(_to_account(line))
                if len(batch) == AT_ONCE:
                    yield first, batch
                    first, batch = first + AT_ONCE, []
            if batch:
                yield first, batch
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(file, type(error).__name__) from error


def _to_account(line: dict[str, str]) -> pb.SyncedAccount:
    given = {name: value.strip() for name, value in line.items()}
    account = pb.SyncedAccount()
    for name in (*COLUMNS, "login_name", "organisation_name", "organisation_code"):
        setattr(account, name, given.get(name, ""))
    if account.organisation_code:
        account.subject_type = pb.SUBJECT_TYPE_ORGANISATION
    start, end = given.get("valid_from", ""), given.get("valid_to", "")
    if start and end:
        account.validity.valid_from = start
        if end == LONG_TERM:
            account.validity.long_term = True
        else:
            account.validity.valid_to = end
    return account


def _send(client: OperatorClient, batch: list[pb.SyncedAccount]) -> pb.ImportSyncedResponse:
    request = pb.ImportSyncedRequest(request_id=_new_id(), accounts=batch)
    return client.call(client.accounts.ImportSynced, request)


def _unreadable(file: Path, why: str) -> SetupError:
    return SetupError(
        "ACCOUNTS_UNREADABLE",
        f"The file {file} cannot be used: {why}.",
        hint="Give a CSV file in UTF-8 whose first line names the columns; see --help.",
    )


def _new_id() -> str:
    return str(uuid.uuid4())


def _print_account(account: pb.Account, *, as_json: bool) -> None:
    row = _describe(account)
    if as_json:
        print_json(row)
    else:
        print_values(row)


def _describe(account: pb.Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "state": pb.AccountState.Name(account.state).removeprefix("ACCOUNT_STATE_"),
        "next_step": pb.NextStep.Name(account.next_step).removeprefix("NEXT_STEP_"),
        "subject_type": pb.SubjectType.Name(account.subject_type).removeprefix("SUBJECT_TYPE_"),
        "source": pb.AccountSource.Name(account.source).removeprefix("ACCOUNT_SOURCE_"),
        "name": account.name,
        "id_number": account.id_number,
        "phone": account.phone,
        "email": account.email,
        "login_name": account.login_name,
        "organisation_name": account.organisation_name,
        "organisation_code": account.organisation_code,
        "filing": pb.FilingState.Name(account.filing.state).removeprefix("FILING_STATE_"),
        "end_reason": pb.DeregistrationReason.Name(account.end_reason).removeprefix("DEREGISTRATION_REASON_")
        if account.end_reason
        else None,
        "locked_until": show_maybe(account, "locked_until"),
        "create_time": show_time(account.create_time),
        "update_time": show_time(account.update_time),
        "etag": account.etag,
    }


def _plain(found: diagnostics_service_pb2.ReceivedDiagnostics) -> dict[str, Any]:
    return MessageToDict(found, preserving_proto_field_name=True)
