"""The command ``verifield-verify``: check attestation bundles offline."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from rich.console import Console
from rich.markup import escape

from verifield import papers_cli
from verifield.bundle import MAX_BUNDLE_BYTES
from verifield.certificates import MAX_ROOT_BYTES, load_chain, load_roots
from verifield.commitments import MAX_DISCLOSURES_BYTES, Disclosure, parse_disclosures
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.errors import VerifieldError
from verifield.files import read_file
from verifield.report import Fault, Report
from verifield.revocation import MAX_REVOCATION_LIST_BYTES
from verifield.streams import prepare_streams
from verifield.terminal import VisibleConsole
from verifield.usage import UsageCommand
from verifield.verify import verify_bundle

MAX_SHOWN_CHARS = 400
"""Longer disclosed values, such as photos, are shown by their size and digest."""


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
    prepare_streams()
    # libraries warn of damaged certificates, which the checks refuse with a sentence of their own
    warnings.simplefilter("ignore")
    given = list(arguments) if arguments is not None else sys.argv[1:]
    if given[:1] and given[0] in papers_cli.COMMANDS:  # a bundle of such a name: ./badge
        papers_cli.run(given)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name="verifield-verify", cls=UsageCommand)(verify)
    app(args=given, prog_name="verifield-verify")


def verify(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Attestation bundles.")],
    *,
    root: Annotated[Path, typer.Option(help="PEM file of the root certificates that you trust.")],
    revocations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Newer revocation list (DER) than the one in the bundle."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Signed policy that the record is said to name."),
    ] = None,
    policy_certificates: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM chain of the key that signed the policy, leaf first."),
    ] = None,
    disclose: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON list of field, value and salt (base64) to prove."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per bundle and line.")] = False,
) -> None:
    """Check attestation bundles offline: who signed what, when, and whether it was published.

    Exit status: 0 every required check passed, 2 a file cannot be read, 3 malformed, 4 forged,
    5 untrusted, 6 unknown or incomplete. Of several bundles the worst counts: forged, untrusted,
    malformed, unknown, unreadable. Status 0 means that the record is genuine; its outcome may
    still be a refusal. Badges and archives of certifications: verifield-verify badge FILE, and
    verifield-verify archive FILE. Signed PDF documents: verifield-verify document FILE.

    Example: verifield-verify record.bundle --root root.pem --json
    """
    out = _console()
    try:
        given = _read_given(
            root,
            revocations=revocations,
            policy=policy,
            policy_certificates=policy_certificates,
            disclose=disclose,
        )
        _check_one_record(given, bundles)
    except _Unusable as error:
        _print_unusable(error, as_json=as_json)
        raise typer.Exit(ExitCode.UNREADABLE) from error
    codes = set()
    for path in bundles:
        result = _verify_file(path, given)
        codes.add(_EXIT_CODES[result.verdict])
        if as_json:
            typer.echo(json.dumps(_as_record(path, result)))
        else:
            _print(out, path, result)
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


@dataclass(frozen=True, slots=True)
class _Given:
    """What the options brought, read and parsed."""

    roots: Sequence[x509.Certificate]
    revocations: bytes | None
    policy: bytes | None
    policy_certificates: Sequence[bytes]
    disclosures: Sequence[Disclosure]


class _Unusable(Exception):
    """A file that an option names cannot be used."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def _read_given(
    root: Path,
    *,
    revocations: Path | None,
    policy: Path | None,
    policy_certificates: Path | None,
    disclose: Path | None,
) -> _Given:
    """Read the options' files. What the checks themselves judge (list, policy) stays bytes."""
    with _usable("ROOT_FILE", "The trust root", "Give the PEM file of your deployment's root with --root."):
        roots = load_roots(read_file(root, MAX_ROOT_BYTES))
    with _usable("REVOCATIONS_FILE", "The revocation list", "Give the DER file with --revocations."):
        revoked = read_file(revocations, MAX_REVOCATION_LIST_BYTES) if revocations else None
    with _usable("POLICY_FILE", "The policy", "Give the signed policy with --policy."):
        signed = read_file(policy, MAX_ENVELOPE_BYTES) if policy else None
    hint = "Give the PEM file of the policy key's certificates, leaf first, with --policy-certificates."
    with _usable("POLICY_CERTIFICATES_FILE", "The policy's chain", hint):
        chain = load_chain(read_file(policy_certificates, MAX_ROOT_BYTES)) if policy_certificates else ()
    if chain and signed is None:
        hint = "Give the signed policy with --policy."
        raise _Unusable("POLICY_FILE", "There is no policy for the chain of --policy-certificates.", hint)
    hint = "Give the JSON file that whoever discloses handed over with --disclose."
    with _usable("DISCLOSE_FILE", "The disclosures", hint):
        opened = parse_disclosures(read_file(disclose, MAX_DISCLOSURES_BYTES)) if disclose else ()
    return _Given(roots, revoked, signed, chain, opened)


def _check_one_record(given: _Given, bundles: Sequence[Path]) -> None:
    if given.disclosures and len(bundles) > 1:
        raise _Unusable("DISCLOSE_FILE", "Disclosures belong to one record.", "Give that bundle alone.")


@contextmanager
def _usable(code: str, what: str, hint: str) -> Iterator[None]:
    try:
        yield
    except (OSError, VerifieldError) as error:
        raise _Unusable(code, f"{what} cannot be used: {_explain(error)}", hint) from error


def _print_unusable(error: _Unusable, *, as_json: bool) -> None:
    err = _console(stderr=True)
    err.print(f"[bold red]{escape(error.message)}[/]")
    err.print(escape(error.hint))
    if as_json:
        fault = {"code": error.code, "message": error.message, "hint": error.hint}
        typer.echo(json.dumps({"error": fault}))


def _console(*, stderr: bool = False) -> Console:
    """Long lines stay whole for pipes, and names with colons must not turn into emoji."""
    return VisibleConsole(stderr=stderr, highlight=False, emoji=False, soft_wrap=True)


def _name(path: Path) -> str:
    """Return the path as text that can be printed, whatever its bytes are."""
    text = os.fsencode(path).decode(errors="replace")
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _verify_file(path: Path, given: _Given) -> Report:
    try:
        data = read_file(path, MAX_BUNDLE_BYTES)
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
    return verify_bundle(
        data,
        roots=given.roots,
        disclosures=given.disclosures,
        revocation_list=given.revocations,
        policy=given.policy,
        policy_certificates=given.policy_certificates,
    )


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
        "read_method": facts.read_method or None if facts else None,
        "printed_photo": facts.printed_photo if facts else None,
        "log_index": facts.log_index if facts else None,
        "event": facts.event or None if facts else None,
        "witnesses": facts.witnesses if facts else None,
        "revocation_checked": facts.revocation_checked if facts else None,
        "policy_version": facts.policy_version if facts else None,
        "disclosed": [item.field for item in facts.disclosed] if facts else [],
        "proved": list(report.proved),
        "not_proved": list(report.not_proved),
        "checks": [{"name": c.name, "status": c.status, "detail": c.detail} for c in report.checks],
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error else None,
    }


def _show(value: bytes) -> str:
    """Return a disclosed value as text that can be printed, or its size and digest."""
    text = value.decode(errors="replace")
    if len(text) <= MAX_SHOWN_CHARS and text.isprintable() and text.encode() == value:
        return text
    return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"


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
        for item in facts.disclosed:
            out.print(f"  Disclosed {item.field}: {escape(_show(item.value))}")
    for check in report.checks:
        out.print(f"  [{_STYLES[check.status]}]{check.status:8}[/] {check.name:12} {escape(check.detail)}")
    _print_list(out, "Proved:", report.proved)
    _print_list(out, "Not proved:", report.not_proved)


def _print_list(out: Console, title: str, sentences: Sequence[str]) -> None:
    if sentences:
        out.print(f"  {title}")
    for sentence in sentences:
        out.print(f"    - {escape(sentence)}")
