"""``verifield-cloud documents``: signed PDF checked by the service, and the certificates of who signed."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
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
from cloud.commands.files import write_output
from cloud.commands.listing import PageOption, fetch, tell_next, with_next
from cloud.errors import ExitCode, SetupError
from verifield.documents import Language
from verifield.terminal import visible
from verifield.v1 import document_service_pb2 as pb

app = typer.Typer(help="Signed documents: checked; certificates of signers.", no_args_is_help=True)
certificates_app = typer.Typer(help="Certificates of signers.", no_args_is_help=True)
app.add_typer(certificates_app, name="certificates")

PIECE_BYTES = 48 * 1024

CHECK_TIMEOUT_S = 120.0
"""A check waits for its turn, and may take the better part of a minute itself."""

_REASONS = {
    "wrong-identity": pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY,
    "privilege-withdrawn": pb.SIGNER_REVOCATION_REASON_PRIVILEGE_WITHDRAWN,
    "key-compromise": pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE,
}


@app.command()
@operator_command
def check(
    connect: Connect,
    file: Annotated[Path, typer.Argument(help="A signed PDF.")],
    language: Annotated[Language, typer.Option(help="Of the sentences.")] = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Have the service check a signed PDF; status 4 where it was altered or nothing can be said of it.

    Example: verifield-cloud documents check contract.pdf --language zh
    """
    with connect() as client:
        verify = client.documents.VerifyDocument

        def patiently(request: Any, *, timeout: float, metadata: Any) -> pb.VerifyDocumentResponse:
            return verify(request, timeout=max(timeout, CHECK_TIMEOUT_S), metadata=metadata)

        answer = client.call(patiently, _pieces(file, language))
    outcome = _word(pb.DocumentOutcome.Name(answer.outcome), "DOCUMENT_OUTCOME_")
    values = {
        "outcome": outcome,
        "text": answer.text,
        "complete": answer.complete,
        "sha256": answer.sha256.hex(),
        "signatures": [_signature(one) for one in answer.signatures],
        "findings": [_finding(one) for one in answer.findings],
        "notes": [_finding(one) for one in answer.notes],
    }
    if as_json:
        print_json(values)
    else:
        _tell(values)
    if answer.outcome != pb.DOCUMENT_OUTCOME_VALID:
        sys.exit(ExitCode.UNSOUND)


@app.command()
@operator_command
def crl(
    connect: Connect,
    output: Annotated[Path, typer.Option("--out", help="Where to write the list (DER).")],
    as_json: JsonOption = False,
) -> None:
    """Write the list of revoked signers, to be published where the setting signer_list_url says.

    Example: verifield-cloud documents crl --out signers.crl
    """
    with connect() as client:
        answer = client.call(client.documents.GetSignerRevocationList, pb.GetSignerRevocationListRequest())
    write_output(output, answer.revocation_list)
    values = {"list": str(output), "bytes": len(answer.revocation_list)}
    if as_json:
        print_json(values)
    else:
        print_values(values)


@certificates_app.command("list")
@operator_command
def list_certificates(
    connect: Connect,
    account: Annotated[str, typer.Option(help="Only those of this account.")] = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the certificates of signers, newest first.

    Example: verifield-cloud documents certificates list --account 019ca5a0-0000-7000-8000-000000000001
    """
    request = pb.ListSignerCertificatesRequest(account_id=account)
    with connect() as client:
        found, more = fetch(
            client, client.documents.ListSignerCertificates, request, items="certificates", page=page
        )
    rows = [_describe(one) for one in found]
    if as_json:
        print_json(with_next({"certificates": rows}, page, more))
        return
    columns = ("serial", "kind", "issued", "revoked", "reason", "account_id")
    print_table(
        [column.upper() for column in columns],
        [[str(row[column] or "") for column in columns] for row in rows],
    )
    tell_next(more)


@certificates_app.command()
@operator_command
def revoke(
    connect: Connect,
    serial: Annotated[str, typer.Argument(help="Serial number: documents certificates list.")],
    reason: Annotated[str, typer.Option(help="wrong-identity, privilege-withdrawn or key-compromise.")],
    as_json: JsonOption = False,
) -> None:
    """Take a certificate back; with wrong-identity and key-compromise what it signed counts for nothing.

    Example: verifield-cloud documents certificates revoke 5f3a91c27d04e8b6 --reason wrong-identity
    """
    if reason not in _REASONS:
        raise typer.BadParameter(f"a reason is one of {', '.join(_REASONS)}")
    request = pb.RevokeSignerCertificateRequest(
        request_id=str(uuid.uuid4()), serial=serial.lower(), reason=_REASONS[reason]
    )
    with connect() as client:
        answer = client.call(client.documents.RevokeSignerCertificate, request)
    values = _describe(answer.certificate)
    if as_json:
        print_json(values)
    else:
        print_values(values)


def _pieces(file: Path, language: Language) -> Iterator[pb.VerifyDocumentRequest]:
    wanted = pb.DocumentLanguage.Value(f"DOCUMENT_LANGUAGE_{language.value.upper()}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SetupError(
            "FILE_UNREADABLE",
            f"The file {file} cannot be read ({type(error).__name__}).",
            hint="Check its path.",
        ) from error
    pieces = [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]
    return (pb.VerifyDocumentRequest(language=wanted, content=piece) for piece in pieces)


def _signature(one: pb.DocumentSignature) -> dict[str, Any]:
    return {
        "field": one.field,
        "kind": _word(pb.DocumentSignatureKind.Name(one.kind), "DOCUMENT_SIGNATURE_KIND_"),
        "valid": one.valid,
        "signer": one.signer,
        "organisation": one.organisation,
        "uscc": one.uscc,
        "time": show_maybe(one, "time"),
        "time_source": _word(pb.DocumentTimeSource.Name(one.time_source), "DOCUMENT_TIME_SOURCE_"),
        "covers_file": one.covers_file,
        "serial": one.serial,
    }


def _finding(one: pb.DocumentFinding) -> dict[str, str]:
    return {"code": one.code, "field": one.field, "text": one.text}


def _tell(values: dict[str, Any]) -> None:
    lines = [f"{values['outcome']}: {values['text']}"]
    for one in values["signatures"]:
        who = ", ".join(part for part in (one["signer"], one["organisation"], one["uscc"]) if part)
        lines.append(f"{'+' if one['valid'] else '!'} {one['field']} ({one['kind']}): {who}, {one['time']}")
    lines += [f"- {one['text']}" for one in (*values["findings"], *values["notes"])]
    for line in lines:
        typer.echo(visible(line))


def _describe(one: pb.SignerCertificate) -> dict[str, Any]:
    revoked = one.HasField("revoke_time")
    reason = _word(pb.SignerRevocationReason.Name(one.reason), "SIGNER_REVOCATION_REASON_")
    return {
        "serial": one.serial,
        "kind": _word(pb.SignerKind.Name(one.kind), "SIGNER_KIND_"),
        "account_id": one.account_id,
        "certificate_sha256": one.certificate_sha256.hex(),
        "issued": show_time(one.issue_time),
        "expires": show_time(one.expire_time),
        "revoked": show_maybe(one, "revoke_time"),
        "reason": reason if revoked else None,
    }


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", "-")
