"""``verifield-cloud bank``: verification for banks, behind the counter."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.message import Message

from cloud.commands.common import (
    MAX_NUMBER,
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.files import check_free, write_new
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.errors import SetupError
from verifield.terminal import visible_lines
from verifield.v1 import bank_pb2
from verifield.v1 import bank_service_pb2 as pb

app = typer.Typer(help="Verification for banks: catalogue, notices, records.", no_args_is_help=True)

MAX_NOTICE_BYTES = 32 * 1024
"""A notice has at most 8,000 characters."""

RecordArgument = Annotated[str, typer.Argument(metavar="RECORD", help="The record's id, or the number.")]
CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]
REVOCATIONS = ("customer", "false-information", "bank", "other")


@app.command("list")
@operator_command
def list_banks(connect: Connect, page: PageOption = None, as_json: JsonOption = False) -> None:
    """List the banks in order of their codes, also those that are not offered.

    Example: verifield-cloud bank list
    """
    with connect() as client:
        found, more = fetch(
            client, client.bank.ListCatalogue, pb.ListCatalogueRequest(), items="banks", page=page
        )
    rows = [_bank(bank) for bank in found]
    if as_json:
        print_json(with_next({"banks": rows}, page, more))
        return
    print_table(
        ["CODE", "OFFERED", "PERIODS", "BANK", "NAME"],
        [
            [
                row["code"],
                "yes" if row["enabled"] else "no",
                " ".join(row["periods"]),
                row["bank_id"],
                row["name_en"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def put(
    connect: Connect,
    code: Annotated[str, typer.Argument(help="A short name that never changes.")],
    name_zh: Annotated[str | None, typer.Option("--name-zh", help="Its name in Chinese.")] = None,
    name_en: Annotated[str | None, typer.Option("--name-en", help="Its name in English.")] = None,
    name_es: Annotated[str | None, typer.Option("--name-es", help="Its name in Spanish.")] = None,
    period: Annotated[
        list[str] | None, typer.Option("--period", metavar="PERIOD", help="P90D, P6M, P1Y; for each.")
    ] = None,
    offer: Annotated[bool | None, typer.Option("--offer/--withdraw", help="May be chosen, or not.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a bank, or change the one with this code; what is not given stays as it is.

    Example: verifield-cloud bank put sample --name-en "Sample Bank" --period P6M --period P1Y
    """
    with connect() as client:
        known, _ = fetch(
            client, client.bank.ListCatalogue, pb.ListCatalogueRequest(), items="banks", page=None
        )
        bank = next((one for one in known if one.code == code), bank_pb2.Bank(code=code, enabled=True))
        for name, value in (("name_zh", name_zh), ("name_en", name_en), ("name_es", name_es)):
            if value is not None:
                setattr(bank, name, value)
        if period is not None:
            bank.periods[:] = period
        bank.enabled = bank.enabled if offer is None else offer
        request = pb.PutBankRequest(request_id=str(uuid.uuid4()), bank=bank)
        answer = client.call(client.bank.PutBank, request)
    show_row(_bank(answer.bank), as_json=as_json)


@app.command("publish-notice")
@operator_command
def publish_notice(
    connect: Connect,
    zh: Annotated[Path, typer.Option("--zh", help="The text in Chinese, UTF-8.")],
    en: Annotated[Path, typer.Option("--en", help="The text in English, UTF-8.")],
    es: Annotated[Path, typer.Option("--es", help="The text in Spanish, UTF-8.")],
    as_json: JsonOption = False,
) -> None:
    """Replace the notice that customers confirm before they sign.

    Example: verifield-cloud bank publish-notice --zh zh.txt --en en.txt --es es.txt
    """
    texts = {f"text_{name}": read_text(path) for name, path in (("zh", zh), ("en", en), ("es", es))}
    with connect() as client:
        answer = client.call(
            client.bank.PublishNotice, pb.PublishNoticeRequest(request_id=str(uuid.uuid4()), **texts)
        )
    show_row({"version": answer.version}, as_json=as_json)


@app.command()
@operator_command
def notice(
    connect: Connect,
    language: Annotated[str, typer.Option(help="zh, en or es.")] = "en",
    version: Annotated[int | None, typer.Option(min=0, max=MAX_NUMBER, help="An earlier one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the notice that customers confirm now, or an earlier version.

    Example: verifield-cloud bank notice --language es
    """
    with connect() as client:
        answer = client.call(client.bank.GetNotice, pb.GetNoticeRequest(language=language, version=version))
    row = {
        "version": answer.notice.version,
        "language": answer.notice.language,
        "sha256": answer.notice.sha256.hex(),
        "publish_time": show_maybe(answer, "publish_time"),
    }
    if as_json:
        print_json(row | {"text": answer.notice.text})
    else:
        print_values(row)
        typer.echo(visible_lines(answer.notice.text))


@app.command()
@operator_command
def check(connect: Connect, record: RecordArgument, as_json: JsonOption = False) -> None:
    """Say whether a record is good at this moment.

    Example: verifield-cloud bank check 2026-000012
    """
    with connect() as client:
        answer = client.call(client.bank.CheckRecord, pb.CheckRecordRequest(**_key(record)))
    show_row(_record(answer.record), as_json=as_json)


@app.command()
@operator_command
def records(
    connect: Connect, customer: CustomerArgument, page: PageOption = None, as_json: JsonOption = False
) -> None:
    """List the records of a customer, newest first.

    Example: verifield-cloud bank records 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.ListCustomerRecordsRequest(customer_id=customer)
    with connect() as client:
        found, more = fetch(client, client.bank.ListCustomerRecords, request, items="records", page=page)
    rows = [_record(one) for one in found]
    if as_json:
        print_json(with_next({"records": rows}, page, more))
        return
    print_table(
        ["NUMBER", "STATE", "EXPIRES", "BANK", "COMPANY", "RECORD"],
        [
            [
                row["number"],
                row["state"],
                row["expire_time"],
                row["bank_name"],
                row["organisation_name"],
                row["record_id"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def revoke(
    connect: Connect,
    record: RecordArgument,
    reason: Annotated[str, typer.Option("--reason", help=", ".join(REVOCATIONS) + ".")],
    explanation: Annotated[str, typer.Option("--explanation", help="In words; kept encrypted.")],
    as_json: JsonOption = False,
) -> None:
    """End a record before its time, for good.

    Example: verifield-cloud bank revoke 2026-000012 --reason customer --explanation "asked for it"
    """
    if reason not in REVOCATIONS:
        raise typer.BadParameter(f"reasons are {', '.join(REVOCATIONS)}")
    number = bank_pb2.CoopRevocation.Value(f"COOP_REVOCATION_{reason.upper().replace('-', '_')}")
    with connect() as client:
        found = client.call(client.bank.CheckRecord, pb.CheckRecordRequest(**_key(record))).record
        request = pb.RevokeRecordRequest(
            request_id=str(uuid.uuid4()),
            record_id=found.record_id,
            revocation=number,
            explanation=explanation,
        )
        answer = client.call(client.bank.RevokeRecord, request)
    show_row(_record(answer.record), as_json=as_json)


@app.command()
@operator_command
def paper(
    connect: Connect,
    record: RecordArgument,
    out: Annotated[Path, typer.Option("--out", help="Where to write the PDF; never over another.")],
    as_json: JsonOption = False,
) -> None:
    """Write the signed request of a record, which only you can read, and show what it rests on.

    Example: verifield-cloud bank paper 2026-000012 --out request.pdf
    """
    check_free(out)
    with connect() as client:
        found = client.call(client.bank.CheckRecord, pb.CheckRecordRequest(**_key(record))).record
        answer = client.call(client.bank.GetCoopRequest, pb.GetCoopRequestRequest(record_id=found.record_id))
    if not answer.pdf:
        raise SetupError(
            "PERSON_ERASED",
            "The customer was erased, and the paper with the customer.",
            hint="The record itself stays: verifield-cloud bank check.",
        )
    write_new(out, answer.pdf)
    row = {
        "file": str(out),
        "number": answer.number,
        "sha256": answer.sha256.hex(),
        "attestation_id": answer.evidence.attestation_id,
        "notice_version": answer.evidence.notice_version,
        "evidence_sha256": answer.evidence_sha256.hex(),
        "audit_subject": answer.evidence.audit_subject,
        "revocation_explanation": answer.revocation_explanation,
    }
    show_row(row, as_json=as_json)


def read_text(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        SetupError: TEXT_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_NOTICE_BYTES + 1)
        text = content.decode("utf-8").replace("\r\n", "\n").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, type(error).__name__) from error
    if not text or len(content) > MAX_NOTICE_BYTES:
        raise _unreadable(path, "empty, or too long")
    return text


def _unreadable(path: Path, why: str) -> SetupError:
    return SetupError(
        "TEXT_UNREADABLE",
        f"The file {path} is not a text that can be published ({why}).",
        hint="Give a file in UTF-8 with at most 8,000 characters.",
    )


def _key(record: str) -> dict[str, Any]:
    try:
        return {"record_id": str(uuid.UUID(record))}
    except ValueError:
        return {"number": record}


def show_row(row: dict[str, Any], *, as_json: bool) -> None:
    """One thing: as JSON, or a line for each value."""
    if as_json:
        print_json(row)
    else:
        told = {name: " ".join(value) if isinstance(value, list) else value for name, value in row.items()}
        print_values(told)


def _bank(bank: bank_pb2.Bank) -> dict[str, Any]:
    return {
        "bank_id": bank.bank_id,
        "code": bank.code,
        "name_zh": bank.name_zh,
        "name_en": bank.name_en,
        "name_es": bank.name_es,
        "periods": list(bank.periods),
        "enabled": bank.enabled,
        "update_time": show_time(bank.update_time),
        "etag": bank.etag,
    }


def _record(record: bank_pb2.CoopRecord) -> dict[str, Any]:
    return {
        "record_id": record.record_id,
        "number": record.number,
        "state": _word(record, "state", "COOP_RECORD_STATE_"),
        "bank_name": record.bank_name,
        "organisation_name": record.organisation_name,
        "organisation_id": record.organisation_id,
        "outcome": _word(record, "outcome", "COOP_OUTCOME_"),
        "period": record.period,
        "valid_from": show_time(record.valid_from),
        "expire_time": show_time(record.expire_time),
        "revoke_time": show_maybe(record, "revoke_time"),
        "revocation": _word(record, "revocation", "COOP_REVOCATION_") if record.revocation else None,
        "customer_id": record.customer_id,
    }


def _word(message: Message, field: str, prefix: str) -> str:
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    known = kind.values_by_number if kind else {}
    return str(known[getattr(message, field)].name).removeprefix(prefix)
