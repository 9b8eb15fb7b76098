"""``verifield-cloud certifications``: types, false information, limits of applicants, the periodic review."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from cloud.commands.common import (
    MAX_NUMBER,
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    print_values,
)
from cloud.commands.times import FORMATS, to_stamp
from cloud.errors import SetupError
from verifield.badge import MAX_BADGE_BYTES
from verifield.v1 import badge_pb2
from verifield.v1 import certification_service_pb2 as pb

app = typer.Typer(help="Certifications: their rules, and what is done about them.", no_args_is_help=True)

MAX_RULES_FILE_BYTES = 256 * 1024
"""Fifty fields with their texts have a tenth of that."""

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept encrypted, shown in the archive.")]
FileArgument = Annotated[Path, typer.Argument(help="JSON, as docs/certifications.md shows it.")]
FromOption = Annotated[
    datetime | None, typer.Option("--from", help="When it takes effect, UTC; default: now.", formats=FORMATS)
]


@app.command()
@operator_command
def types(connect: Connect, as_json: JsonOption = False) -> None:
    """List what can be applied for now, and what each type asks for.

    Example: verifield-cloud certifications types --json
    """
    with connect() as client:
        found = client.call(
            client.certifications.ListCertificationTypes, pb.ListCertificationTypesRequest()
        ).types
    if as_json:
        print_json({"types": [_as_dict(one) for one in found]})
        return
    print_table(
        ["CODE", "VERSION", "LEVEL", "TITLE", "REQUIRED FIELDS", "REQUIRED MATERIAL"],
        [
            [
                one.code,
                str(one.version),
                str(one.level),
                one.title.en,
                " ".join(field.name for field in one.fields if field.required),
                " ".join(rule.kind for rule in one.materials if rule.required),
            ]
            for one in found
        ],
    )


@app.command("publish-type")
@operator_command
def publish_type(
    connect: Connect, file: FileArgument, effective: FromOption = None, as_json: JsonOption = False
) -> None:
    """Add a type, or a new edition of one. What has begun keeps its edition.

    Example: verifield-cloud certifications publish-type notary.json
    """
    request = pb.PublishCertificationTypeRequest(
        request_id=str(uuid.uuid4()),
        type=_read(file, pb.CertificationType()),
        effective_time=to_stamp(effective),
    )
    with connect() as client:
        made = client.call(client.certifications.PublishCertificationType, request).type
    _tell({"code": made.code, "version": made.version}, as_json=as_json)


@app.command("publish-declaration")
@operator_command
def publish_declaration(
    connect: Connect,
    file: FileArgument,
    version: Annotated[
        int, typer.Option("--version", min=2, max=MAX_NUMBER, help="The one after the newest.")
    ],
    effective: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an edition of the declaration: the file has the texts zh, en and es.

    Example: verifield-cloud certifications publish-declaration texts.json --version 2
    """
    request = pb.PublishDeclarationRequest(
        request_id=str(uuid.uuid4()),
        version=version,
        text=_read(file, pb.CertificationText()),
        effective_time=to_stamp(effective),
    )
    with connect() as client:
        made = client.call(client.certifications.PublishDeclaration, request).declaration
    _tell({"version": made.version, "sha256": made.sha256.hex()}, as_json=as_json)


@app.command("mark-false")
@operator_command
def mark_false(
    connect: Connect,
    application: Annotated[str, typer.Argument(help="Id of the application that was passed.")],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """End a certification for false information: its badge counts no more, and the holder is told.

    Example: verifield-cloud certifications mark-false 019ca5a0-0000-7000-8000-000000000001
    --reason "the licence is forged"
    """
    request = pb.MarkFalseInformationRequest(
        request_id=str(uuid.uuid4()), application_id=application, reason=reason
    )
    with connect() as client:
        row = client.call(client.certifications.MarkFalseInformation, request).application
    state = pb.ApplicationState.Name(row.state).removeprefix("APPLICATION_STATE_").lower()
    _tell({"application_id": row.application_id, "state": state}, as_json=as_json)


@app.command("lift-limit")
@operator_command
def lift_limit(
    connect: Connect,
    account: Annotated[str, typer.Argument(help="Id of the account.")],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Let an account apply again that applied too often. Counting begins anew.

    Example: verifield-cloud certifications lift-limit 019ca5a0-0000-7000-8000-000000000001
    --reason "asked at the office"
    """
    request = pb.LiftApplicationLimitRequest(request_id=str(uuid.uuid4()), account_id=account, reason=reason)
    with connect() as client:
        client.call(client.certifications.LiftApplicationLimit, request)
    _tell({"account_id": account, "lifted": True}, as_json=as_json)


@app.command("review-now")
@operator_command
def review_now(connect: Connect, as_json: JsonOption = False) -> None:
    """Run the periodic review of today, where it was not run yet.

    Example: verifield-cloud certifications review-now
    """
    with connect() as client:
        found = client.call(
            client.certifications.RunPeriodicReview,
            pb.RunPeriodicReviewRequest(request_id=str(uuid.uuid4())),
        )
    values = {"day": found.day, "checked": found.checked, "flagged": found.flagged, "done": found.done}
    _tell(values, as_json=as_json)


@app.command("check-badge")
@operator_command
def check_badge(
    connect: Connect,
    file: Annotated[Path, typer.Argument(help="File of a badge, as its holder shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Ask the service whether a badge counts now; verifield-verify badge checks one without it.

    Example: verifield-cloud certifications check-badge badge.bin
    """
    with connect() as client:
        found = client.call(
            client.certifications.CheckBadge, pb.CheckBadgeRequest(file=_content(file, MAX_BADGE_BYTES))
        )
    values = {
        "badge_id": found.badge.badge_id,
        "state": badge_pb2.BadgeState.Name(found.state).removeprefix("BADGE_STATE_").lower(),
        "type": found.badge.type_code,
        "level": found.badge.level,
        "holder": found.badge.holder,
    }
    _tell(values, as_json=as_json)


def _read(file: Path, message: Any) -> Any:
    try:
        return json_format.Parse(_content(file, MAX_RULES_FILE_BYTES), message)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise SetupError(
            "RULES_FILE",
            f"The file {file} is not of the form that is asked for.",
            hint="docs/certifications.md has an example.",
        ) from error


def _content(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise SetupError(
            "FILE_UNREADABLE",
            f"The file {file} cannot be read ({type(error).__name__}).",
            hint="Check its path.",
        ) from error
    if len(content) > most:
        raise SetupError(
            "FILE_TOO_LARGE", f"The file {file} has more than {most} bytes.", hint="Check its path."
        )
    return content


def _as_dict(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _tell(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        print_values(values)
