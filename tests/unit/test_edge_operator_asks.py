"""When a command of operators asks for a PIN: at a terminal, and on a device that is enrolled."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from edge.cli import app
from edge.commands import operator
from edge.errors import ExitCode, SetupError

ASKING = (
    ("add", "Ana", "--role", "clerk"),
    ("login-test", "Ana"),
    ("change-pin", "Ana"),
    ("change-pin", "Ana", "--old-file", "-"),
)


def stops(*_: object, **__: object) -> str:
    """Who is asked presses Ctrl-C."""
    raise typer.Abort


def answer_of(capsys: pytest.CaptureFixture[str], data: Path, *args: str) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as end:
        app(["operator", *args, "--data", str(data), "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    return int(end.value.code or 0), json.loads(line)["error"]


@pytest.fixture(autouse=True)
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, buffer=io.BytesIO(b"835062")))
    monkeypatch.setattr("typer.prompt", stops)
    monkeypatch.setattr(operator, "open_identity", lambda _config: None)


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_whoever_stops_there_has_stopped_the_command(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, error = answer_of(capsys, tmp_path, *command)
    assert (status, error["code"]) == (ExitCode.INTERRUPTED, "INTERRUPTED")


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_a_terminal_nothing_is_asked_or_read(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    piped = io.TextIOWrapper(io.BytesIO(b"835062\n"))
    monkeypatch.setattr("sys.stdin", piped)
    status, error = answer_of(capsys, tmp_path, *command)
    assert (status, error["code"]) == (ExitCode.INPUT, "NO_TERMINAL")
    assert "--pin-file" in error["hint"]
    assert piped.read() == "835062\n"


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_nobody_is_asked_on_a_device_that_is_not_enrolled(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def none(_config: object) -> None:
        raise SetupError("NOT_ENROLLED", "This device is not enrolled.")

    monkeypatch.setattr(operator, "open_identity", none)
    status, error = answer_of(capsys, tmp_path, *command)
    assert (status, error["code"]) == (ExitCode.SETUP, "NOT_ENROLLED")
