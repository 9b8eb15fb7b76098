"""``verifield-verify document``: whether a signed PDF is good, found out offline."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from verifield.certificates import MAX_ROOT_BYTES, load_roots
from verifield.documents import (
    MAX_DOCUMENT_BYTES,
    Language,
    Limits,
    Outcome,
    Signature,
    Verdict,
    encode_verdict,
    judge_apart,
    say_finding,
    say_kind,
    say_verdict,
)
from verifield.errors import Malformed, VerifieldError
from verifield.revocation import MAX_REVOCATION_LIST_BYTES


class ExitCode(IntEnum):
    """As those of ``verifield-verify``."""

    OK = 0
    UNREADABLE = 2
    MALFORMED = 3
    FORGED = 4
    UNKNOWN = 6


_EXIT_CODES = {
    Outcome.VALID: ExitCode.OK,
    Outcome.ALTERED: ExitCode.FORGED,
    Outcome.UNKNOWN: ExitCode.UNKNOWN,
}


def document(
    file: Annotated[Path, typer.Argument(help="A signed PDF.")],
    *,
    root: Annotated[Path, typer.Option(help="PEM file of the root certificates that you trust.")],
    stamp_root: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file of the roots of other time-stamping authorities."),
    ] = None,
    revocations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Newer list of revoked signers (DER) than the one in the file."),
    ] = None,
    language: Annotated[Language, typer.Option(help="Of the sentences.")] = Language.EN,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Time that the check may take.")] = 60.0,
    memory: Annotated[int, typer.Option(min=256, help="Memory that it may take, in MiB.")] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check a signed PDF offline: who signed it, when, and whether anything was changed since.

    Exit status: 0 it is genuine, 2 a file cannot be read, 3 malformed root or list, 4 it was altered,
    6 nothing can be said of it.
    """
    try:
        verdict = judge_apart(
            _read(file, MAX_DOCUMENT_BYTES),
            roots=load_roots(_read(root, MAX_ROOT_BYTES)),
            at=datetime.now(UTC),
            stamp_roots=load_roots(_read(stamp_root, MAX_ROOT_BYTES)) if stamp_root else (),
            revocations=[_read(revocations, MAX_REVOCATION_LIST_BYTES)] if revocations else (),
            limits=Limits(seconds, memory * 1024 * 1024),
        )
    except OSError as error:
        _refuse("FILE", f"A file cannot be read: {error.strerror}.", "", as_json=as_json)
        raise typer.Exit(ExitCode.UNREADABLE) from error
    except VerifieldError as error:
        _refuse(error.code, error.message, error.hint, as_json=as_json)
        malformed = isinstance(error, Malformed)
        raise typer.Exit(ExitCode.MALFORMED if malformed else ExitCode.UNKNOWN) from error
    if as_json:
        typer.echo(json.dumps(in_words(verdict, language), ensure_ascii=False))
    else:
        for line in lines_of(verdict, language):
            typer.echo(line)
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


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)


def _refuse(code: str, message: str, hint: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": message, "hint": hint}}))
    else:
        typer.echo(f"{code}: {message} {hint}".rstrip(), err=True)
