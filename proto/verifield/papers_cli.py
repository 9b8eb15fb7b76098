"""``verifield-verify badge`` and ``archive``: what a certification leaves, checked offline."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from verifield.archive import check_archive
from verifield.badge import MAX_BADGE_BYTES, check_badge
from verifield.certificates import MAX_ROOT_BYTES, load_roots
from verifield.documents.trust import Trust
from verifield.documents_cli import RevocationsOption, StampRootOption, document
from verifield.errors import Forged, Malformed, Untrusted, VerifieldError
from verifield.files import read_file
from verifield.reports_cli import examine
from verifield.terminal import visible, visible_json
from verifield.usage import UsageGroup

COMMANDS = ("badge", "archive", "document", "report")


class ExitCode(IntEnum):
    """As those of ``verifield-verify``."""

    OK = 0
    UNREADABLE = 2
    MALFORMED = 3
    FORGED = 4
    UNTRUSTED = 5
    UNKNOWN = 6


RootOption = Annotated[Path, typer.Option(help="PEM file of the root certificates that you trust.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def run(arguments: Sequence[str]) -> None:
    """Run one of the commands and exit with its status."""
    app = typer.Typer(cls=UsageGroup, add_completion=False, rich_markup_mode=None)
    app.command("badge")(badge)
    app.command("archive")(archive)
    app.command("document")(document)
    app.command("report")(report)
    app(args=list(arguments), prog_name="verifield-verify")


def badge(
    file: Annotated[Path, typer.Argument(help="File of a badge, as its holder shows it.")],
    root: RootOption,
    as_json: JsonOption = False,
) -> None:
    """Check a badge offline: who signed it, whether it counts now, and whether it was taken back.

    Exit status: 0 it counts, 2 the file cannot be read, 3 malformed, 4 forged, 5 it counts not, 6 unknown.

    Example: verifield-verify badge badge.bin --root root.pem
    """

    def check() -> dict[str, Any]:
        content = read_file(file, MAX_BADGE_BYTES)
        found = check_badge(content, roots=load_roots(read_file(root, MAX_ROOT_BYTES)), at=datetime.now(UTC))
        said = found.badge
        return {
            "badge_id": said.badge_id,
            "type": said.type_code,
            "level": said.level,
            "holder": said.holder,
            "issued": _time(said.issued_us),
            "expires": _time(said.expires_us),
            "status_checked": _time(found.status.checked_us),
        }

    _end(check, as_json=as_json)


def archive(
    file: Annotated[Path, typer.Argument(help="An archive: verifield-cloud archive export.")],
    root: RootOption,
    as_json: JsonOption = False,
) -> None:
    """Check an archive offline: who signed its list of files, and that each file is what was archived.

    Exit status: as for badges.

    Example: verifield-verify archive bundle.zip --root root.pem
    """

    def check() -> dict[str, Any]:
        with file.open("rb") as opened:
            manifest = check_archive(opened, roots=load_roots(read_file(root, MAX_ROOT_BYTES)))
        return {
            "result_id": manifest.result_id,
            "application_id": manifest.application_id,
            "decided": _time(manifest.decided_us),
            "files": {entry.name: entry.sha256.hex() for entry in manifest.files},
        }

    _end(check, as_json=as_json)


def report(
    file: Annotated[Path, typer.Argument(help="An evidence report of a contract: a ZIP file.")],
    *,
    root: RootOption,
    contract: Annotated[
        Path | None, typer.Option(help="The contract's PDF, with all its signatures, to be held against it.")
    ] = None,
    stamp_root: StampRootOption = None,
    revocations: RevocationsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check an evidence report offline: who signed it, each signature's evidence, and the contract's file.

    Exit status: as for badges; 4 also where the report is of another file than the contract that is given,
    5 also where a signer was revoked.

    Example: verifield-verify report report.zip --contract contract.pdf --root root.pem
    """

    def check() -> dict[str, Any]:
        trust = Trust.open(root, stamp_root=stamp_root, revocations=revocations)
        return examine(file, trust=trust, contract=contract)

    _end(check, as_json=as_json)


def _end(check: Callable[[], dict[str, Any]], *, as_json: bool) -> None:
    code, values = ExitCode.OK, {}
    try:
        values = {"ok": True, **check()}
    except OSError as error:
        code, values = ExitCode.UNREADABLE, _fault("FILE", f"A file cannot be read: {error.strerror}.", "")
    except VerifieldError as error:
        code, values = _code_of(error), _fault(error.code, error.message, error.hint)
    if as_json:
        typer.echo(visible_json(json.dumps(values, ensure_ascii=False)))
    elif values["ok"]:
        for name, value in values.items():
            for line in _lines(name, value):
                typer.echo(visible(line))
    else:
        fault = values["error"]
        typer.echo(f"{fault['code']}: {fault['message']} {fault['hint']}".rstrip(), err=True)
    raise typer.Exit(code)


def _lines(name: str, value: object) -> list[str]:
    if name == "files" and isinstance(value, dict):  # as sha256sum reads it
        return [f"{digest}  {entry}" for entry, digest in value.items()]
    if isinstance(value, dict):
        return [f"{name}: {entry}: {said}" for entry, said in value.items()]
    return [f"{name}: {'none' if value is None else value}"]


def _fault(code: str, message: str, hint: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message, "hint": hint}}


def _code_of(error: VerifieldError) -> ExitCode:
    for kind, code in (
        (Malformed, ExitCode.MALFORMED),
        (Forged, ExitCode.FORGED),
        (Untrusted, ExitCode.UNTRUSTED),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.UNKNOWN


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
