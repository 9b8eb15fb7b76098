"""How a command ends where nobody foresaw the fault, and where its answer finds no room."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from edge.commands.common import ends_with_exit_code
from edge.errors import ExitCode
from edge.remedies import catalogue
from verifield.usage import DEBUG_VARIABLE

FULL = Path("/dev/full")
ANSWERS = (
    "from edge.commands.common import ends_with_exit_code, out, print_json\n"
    "@ends_with_exit_code\ndef command(as_json):\n"
    "    print_json({'a': 1}) if as_json else out().print('a')\n"
)


@ends_with_exit_code
def broken(as_json: bool) -> None:
    raise ZeroDivisionError("Zhang San")


def ended() -> int:
    with pytest.raises(SystemExit) as end:
        broken(as_json=True)
    return int(end.value.code or 0)


def test_a_bug_is_answered_like_every_fault_and_names_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    assert ended() == ExitCode.SOFTWARE
    printed = capsys.readouterr()
    told = json.loads(printed.out)["error"]
    assert told.keys() == {"code", "message", "hint"}
    assert told["code"] == "INTERNAL_FAULT"
    assert told["code"] in catalogue()
    assert "ZeroDivisionError" in told["message"]
    assert DEBUG_VARIABLE in told["hint"]
    assert "Traceback" not in printed.err
    assert "Zhang San" not in printed.out + printed.err


def test_the_traceback_of_a_bug_goes_where_somebody_asked_for_it(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with caplog.at_level(logging.DEBUG, "edge.commands.common"):
        ended()
    assert "ZeroDivisionError: Zhang San" in capsys.readouterr().err
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "end", [typer.Exit(1), typer.Abort(), typer.BadParameter("no"), BrokenPipeError(), SystemExit(4)]
)
def test_other_ways_to_end_are_left_alone(end: BaseException) -> None:
    @ends_with_exit_code
    def command() -> None:
        raise end

    with pytest.raises(type(end)) as caught:
        command()
    assert caught.value is end


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize("as_json", [True, False])
def test_an_answer_that_finds_no_room_is_said(as_json: bool) -> None:
    ended = run_with_full(f"command(as_json={as_json})", errors=subprocess.PIPE)
    assert ended.returncode == ExitCode.STORAGE
    assert ended.stderr.startswith("FILE_NOT_WRITTEN: ")
    assert "No space left on device" in ended.stderr
    assert "What to do: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_fault_that_finds_no_room_at_all_keeps_its_status() -> None:
    with FULL.open("w") as full:
        assert run_with_full("command(as_json=True)", errors=full).returncode == ExitCode.STORAGE


def run_with_full(call: str, *, errors: object) -> subprocess.CompletedProcess[str]:
    """A program whose standard output is a full disk."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with FULL.open("w") as full:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [sys.executable, "-c", ANSWERS + call],
            stdout=full,
            stderr=errors,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
