"""``verifield-verify document``: whether a signed PDF is good, found out offline."""

from __future__ import annotations

import json
from datetime import UTC
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from verifield.documents import (
    MAX_DOCUMENT_BYTES,
    Language,
    Limits,
    Outcome,
    Signature,
    Verdict,
    encode_verdict,
    say_finding,
    say_kind,
    say_verdict,
)
from verifield.documents.trust import Trust
from verifield.errors import Malformed, Untrusted, VerifieldError
from verifield.files import read_file
from verifield.terminal import visible, visible_json


class ExitCode(IntEnum):
    """As those of ``verifield-verify``."""

    OK = 0
    UNREADABLE = 2
    MALFORMED = 3
    FORGED = 4
    UNTRUSTED = 5
    UNKNOWN = 6


_EXIT_CODES = {
    Outcome.VALID: ExitCode.OK,
    Outcome.ALTERED: ExitCode.FORGED,
    Outcome.UNKNOWN: ExitCode.UNKNOWN,
}
_REFUSALS = {Malformed: ExitCode.MALFORMED, Untrusted: ExitCode.UNTRUSTED}


StampRootOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM file of the roots of other time-stamping authorities."),
]
RevocationsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Newer list of revoked signers (DER or PEM) than in the document."),
]


def document(
    file: Annotated[Path, typer.Argument(help="A signed PDF.")],
    *,
    root: Annotated[Path, typer.Option(help="PEM file of the root certificates that you trust.")],
    stamp_root: StampRootOption = None,
    revocations: RevocationsOption = None,
    language: Annotated[Language, typer.Option(help="Of the sentences.")] = Language.EN,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Time that the check may take.")] = 60.0,
    memory: Annotated[int, typer.Option(min=256, help="Memory that it may take, in MiB.")] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check a signed PDF offline: who signed it, when, and whether anything was changed since.

    Exit status: 0 it is genuine, 2 a file cannot be read, 3 malformed root or list, 4 it was altered,
    5 the list is of another deployment, 6 nothing can be said of it.

    Example: verifield-verify document contract.pdf --root root.pem --revocations signers.crl
    """
    try:
        trust = Trust.open(root, stamp_root=stamp_root, revocations=revocations)
        limits = Limits(seconds, memory * 1024 * 1024)
        verdict = trust.judge(read_file(file, MAX_DOCUMENT_BYTES), limits=limits)
    except OSError as error:
        _refuse("FILE", f"A file cannot be read: {error.strerror}.", "", as_json=as_json)
        raise typer.Exit(ExitCode.UNREADABLE) from error
    except VerifieldError as error:
        _refuse(error.code, error.message, error.hint, as_json=as_json)
        raise typer.Exit(_REFUSALS.get(type(error), ExitCode.UNKNOWN)) from error
    if as_json:
        typer.echo(visible_json(json.dumps(in_words(verdict, language), ensure_ascii=False)))
    else:
        for line in lines_of(verdict, language):
            typer.echo(visible(line))
    raise typer.Exit(_EXIT_CODES[verdict.outcome])


def in_words(verdict: Verdict, language: Language) -> dict[str, Any]:
    """The verdict as JSON, with its sentences."""
    values = encode_verdict(verdict) | {"text": say_verdict(verdict, language)}
    for name, found in (("findings", verdict.findings), ("notes", verdict.notes)):
        for value, one in zip(values[name], found, strict=True):
            value["text"] = say_finding(one, language)
    return values


def lines_of(verdict: Verdict, language: Language) -> list[str]:
    """The verdict for people."""
    lines = [f"{verdict.outcome}: {say_verdict(verdict, language)}"]
    lines += (_line(one, language) for one in verdict.signatures)
    lines += (f"- {say_finding(one, language)}" for one in (*verdict.findings, *verdict.notes))
    return lines


def _line(one: Signature, language: Language) -> str:
    who = ", ".join(part for part in (one.signer, one.organisation, one.uscc) if part) or "?"
    when = one.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if one.time else "?"
    return f"{'+' if one.valid else '!'} {one.field} ({say_kind(one.kind, language)}): {who}, {when}"


def _refuse(code: str, message: str, hint: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": message, "hint": hint}}))
    else:
        typer.echo(f"{code}: {message} {hint}".rstrip(), err=True)
