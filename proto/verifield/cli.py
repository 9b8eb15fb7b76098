"""The command ``verifield-verify``: check attestation bundles offline."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from rich.console import Console
from rich.markup import escape

from verifield.bundle import MAX_BUNDLE_BYTES
from verifield.certificates import MAX_ROOT_BYTES, load_roots
from verifield.errors import VerifieldError
from verifield.report import Fault, Report
from verifield.verify import verify_bundle


class ExitCode(IntEnum):
    """Exit statuses of ``verifield-verify``."""

    OK = 0
    UNREADABLE = 2  # wrong options, or a file that cannot be read; also what Typer uses
    MALFORMED = 3
    FORGED = 4
    UNTRUSTED = 5
    UNKNOWN = 6


_WORST_FIRST = (
    ExitCode.FORGED,
    ExitCode.UNTRUSTED,
    ExitCode.MALFORMED,
    ExitCode.UNKNOWN,
    ExitCode.UNREADABLE,
    ExitCode.OK,
)
_EXIT_CODES = {
    "verified": ExitCode.OK,
    "malformed": ExitCode.MALFORMED,
    "forged": ExitCode.FORGED,
    "untrusted": ExitCode.UNTRUSTED,
    "unknown": ExitCode.UNKNOWN,
    "unreadable": ExitCode.UNREADABLE,
}
_STYLES = {"passed": "green", "failed": "bold red", "missing": "yellow"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    # the library warns on a damaged certificate before the checks refuse it with a sentence of their own
    warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name="verifield-verify")(verify)
    app(args=list(arguments) if arguments is not None else None, prog_name="verifield-verify")


def verify(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Attestation bundles.")],
    root: Annotated[Path, typer.Option(help="PEM file of the root certificates that you trust.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per bundle and line.")] = False,
) -> None:
    """Check attestation bundles offline: who signed what, when, and whether it was published.

    Exit status: 0 every required check passed, 2 a file cannot be read, 3 malformed, 4 forged,
    5 untrusted, 6 unknown or incomplete. Of several bundles the worst counts: forged, untrusted,
    malformed, unknown, unreadable. Status 0 means that the record is genuine; its outcome may
    still be a refusal.
    """
    out, err = _console(), _console(stderr=True)
    try:
        roots = load_roots(_read(root, MAX_ROOT_BYTES))
    except (OSError, VerifieldError) as error:
        reason, hint = _explain(error), "Give the PEM file of your deployment's root certificate with --root."
        err.print(f"[bold red]The trust root cannot be used:[/] {escape(reason)}")
        err.print(hint)
        if as_json:
            fault = {"code": "ROOT_FILE", "message": f"The trust root cannot be used: {reason}", "hint": hint}
            typer.echo(json.dumps({"error": fault}))
        raise typer.Exit(ExitCode.UNREADABLE) from error
    codes = set()
    for path in bundles:
        result = _verify_file(path, roots)
        codes.add(_EXIT_CODES[result.verdict])
        if as_json:
            typer.echo(json.dumps(_as_record(path, result)))
        else:
            _print(out, path, result)
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _console(*, stderr: bool = False) -> Console:
    """Long lines stay whole for pipes, and names with colons must not turn into emoji."""
    return Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=True)


def _name(path: Path) -> str:
    """Return the path as text that can be printed, whatever its bytes are."""
    text = os.fsencode(path).decode(errors="replace")
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _verify_file(path: Path, roots: Sequence[x509.Certificate]) -> Report:
    try:
        data = _read(path, MAX_BUNDLE_BYTES)
    except OSError as error:
        return Report(
            verdict="unreadable",
            headline="NOT checked: the file cannot be read.",
            checks=(),
            facts=None,
            proved=(),
            not_proved=(),
            error=Fault("FILE", f"The file cannot be read: {_explain(error)}", "Check path and permissions."),
        )
    return verify_bundle(data, roots=roots)


def _read(path: Path, limit: int) -> bytes:
    """Read at most one byte more than ``limit``, so that the parser sees that it was passed."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _explain(error: OSError | VerifieldError) -> str:
    return error.message if isinstance(error, VerifieldError) else f"{error.strerror or 'it cannot be read'}."


def _as_record(path: Path, report: Report) -> dict[str, object]:
    """Return the JSON object of one bundle; facts are null where the bundle was refused."""
    facts, error = report.facts, report.error
    return {
        "file": _name(path),
        "verdict": report.verdict,
        "ok": report.ok,
        "headline": report.headline,
        "attestation_id": facts.attestation_id if facts else None,
        "device_id": facts.device_id if facts else None,
        "chain_epoch": facts.chain_epoch if facts else None,
        "seq": facts.seq if facts else None,
        "kind": facts.kind if facts else None,
        "outcome": facts.outcome or None if facts else None,
        "reasons": list(facts.reasons) if facts else [],
        "not_before": _iso(facts.not_before) if facts else None,
        "not_after": _iso(facts.not_after) if facts else None,
        "key_protection": facts.key_protection if facts else None,
        "camera": facts.camera or None if facts else None,
        "log_index": facts.log_index if facts else None,
        "proved": list(report.proved),
        "not_proved": list(report.not_proved),
        "checks": [{"name": c.name, "status": c.status, "detail": c.detail} for c in report.checks],
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat().replace("+00:00", "Z") if time else None


def _print(out: Console, path: Path, report: Report) -> None:
    facts, error = report.facts, report.error
    positive = report.ok and facts is not None and facts.outcome in {"VERIFIED", ""}
    out.print(f"[bold]{escape(_name(path))}[/]")
    out.print(f"  [{'bold green' if positive else 'bold red'}]{escape(report.headline)}[/]")
    if error:
        out.print(f"  {escape(error.message)} {escape(error.hint)}".rstrip())
    if facts:
        reasons = f" ({', '.join(facts.reasons)})" if facts.reasons else ""
        out.print(f"  Attestation {facts.attestation_id}")
        claim = "Outcome" if report.ok else "Outcome claimed, not established:"
        out.print(f"  {claim} {facts.outcome or 'none, a device event'}{escape(reasons)}")
    for check in report.checks:
        out.print(f"  [{_STYLES[check.status]}]{check.status:8}[/] {check.name:12} {escape(check.detail)}")
    _print_list(out, "Proved:", report.proved)
    _print_list(out, "Not proved:", report.not_proved)


def _print_list(out: Console, title: str, sentences: Sequence[str]) -> None:
    if sentences:
        out.print(f"  {title}")
    for sentence in sentences:
        out.print(f"    - {escape(sentence)}")
