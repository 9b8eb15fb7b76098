"""How the programs end where a person says no, or stop, or nobody foresaw the fault; and their streams."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from cloud.cli import app as cloud
from cloud.commands import common
from edge.cli import app as edge
from edge.commands.common import ends_with_exit_code
from verifield import cli as verifier
from verifield import papers_cli
from verifield.streams import OutputFull
from verifield.usage import DEBUG_VARIABLE

PROGRAMS = ("cloud", "edge", "verifield")
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")


def raising(error: BaseException) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


def of_cloud(*words: str) -> int:
    """Call a command of the cloud that asks the service."""
    with pytest.raises(SystemExit) as end:
        cloud(["users", "list", *words])
    return int(end.value.code or 0)


def of_verifier(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        verifier.main(["bundle", "--root", "root.pem", *words])
    return int(end.value.code or 0)


def of_papers(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        verifier.main(["badge", __file__, "--root", __file__, *words])
    return int(end.value.code or 0)


def break_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(common, "find_target", raising(error))
    monkeypatch.setattr(verifier, "read_file", raising(error))
    monkeypatch.setattr(papers_cli, "load_roots", raising(error))


@pytest.mark.parametrize("ended", [of_cloud, of_verifier, of_papers])
def test_a_bug_is_answered_like_every_fault_and_names_nobody(
    ended: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    break_with(monkeypatch, ZeroDivisionError("Zhang San"))
    assert ended("--json") == 70
    printed = capsys.readouterr()
    told = json.loads(printed.out)["error"]
    assert told.keys() == {"code", "message", "hint"}
    assert told["code"] == "INTERNAL_FAULT"
    assert "ZeroDivisionError" in told["message"]
    assert DEBUG_VARIABLE in told["hint"]
    assert printed.err.startswith("INTERNAL_FAULT: ")
    assert "Traceback" not in printed.err
    assert "Zhang San" not in printed.out + printed.err

    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    assert ended() == 70
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "ZeroDivisionError: Zhang San" in printed.err


@pytest.mark.parametrize("ended", [of_cloud, of_verifier, of_papers])
def test_ctrl_c_is_told_to_programs_too(
    ended: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_with(monkeypatch, KeyboardInterrupt())
    assert ended("--json") == 130
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "INTERRUPTED"
    assert ended() == 130
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("command", "answer", "status", "code"),
    [
        ("devices wipe device-1", "n\n", 1, "NOT_CONFIRMED"),
        ("devices wipe device-1", "certainly\n", 1, "NOT_CONFIRMED"),
        ("devices wipe device-1", "YES\n", 3, "TARGET_UNKNOWN"),
        ("devices revoke device-1 --why superseded", "", 1, "NOT_CONFIRMED"),
        ("accounts deregister account-1 --reason holder-asked", "y\n", 3, "TARGET_UNKNOWN"),
        ("storage remove disk", "n\n", 1, "NOT_CONFIRMED"),
        ("customers find", "", 1, "NOT_CONFIRMED"),
        ("customers find", "1\n", 3, "TARGET_UNKNOWN"),
    ],
)
def test_what_a_person_is_asked_is_no_part_of_the_answer(
    command: str, answer: str, status: int, code: str, tmp_path: Path
) -> None:
    words = [*command.split(), "--data", str(tmp_path), "--json"]
    ended, printed, errors = run("cloud", words, given=answer)
    assert (ended, json.loads(printed)["error"]["code"]) == (status, code)
    assert printed.startswith("{")
    assert errors


def test_what_is_asked_by_a_command_beside_the_service_ends_alike() -> None:
    with pytest.raises(typer.Abort):
        CliRunner().invoke(_asking(), input="n\n", standalone_mode=False, catch_exceptions=False)
    assert CliRunner().invoke(_asking(), input="y\n").exit_code == 0


def _asking() -> typer.Typer:
    app = typer.Typer()
    app.command()(lambda: common.confirm("Destroy it?", yes=False))
    return app


def commands_of(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Each command below this one, by its words."""
    if not hasattr(command, "list_commands"):
        yield " ".join(path), command
        return
    for name in command.list_commands(None):
        yield from commands_of(command.get_command(None, name), *path, name)


@pytest.mark.parametrize(
    ("program", "ends"),
    [(edge, ends_with_exit_code), (cloud, common.ends_with_exit_code)],
    ids=["edge", "cloud"],
)
def test_every_command_turns_its_faults_into_the_documented_status(
    program: typer.Typer, ends: Callable[..., Any]
) -> None:
    around = ends(lambda: None).__code__
    for words, command in commands_of(get_command(program)):
        layers = [command.callback]
        while inner := getattr(layers[-1], "__wrapped__", None):
            layers.append(inner)
        assert around in [layer.__code__ for layer in layers], words


class Full(io.StringIO):
    """What ``prepare_streams`` makes of a full standard output."""

    def write(self, _text: str) -> int:
        raise OutputFull(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("command", ["", *papers_cli.COMMANDS])
def test_every_check_says_where_its_verdict_finds_no_room(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(SystemExit) as end:
        verifier.main([*command.split(), __file__, "--root", __file__, "--json"])
    assert end.value.code == 74
    assert "FILE_NOT_WRITTEN: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ("identity", "ledger", "--day", "0001-01-01", "--utc-offset", "14"),
        ("identity", "ledger", "--day", "9999-12-31", "--utc-offset", "-12"),
        ("seals", "image", "x", "99999999999999999999", "--out", "x"),
        ("customers", "show", "x", "--version", "99999999999999999999"),
        ("bank", "notice", "--version", "99999999999999999999"),
        ("archive", "search", "--reviewer", "99999999999999999999"),
        ("certifications", "publish-declaration", "x", "--version", "99999999999999999999"),
    ],
    ids=" ".join,
)
def test_numbers_that_none_can_have_are_wrong_use(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cloud, [*command, "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "USAGE"


def run(
    program: str, words: list[str], *, redirect: str = "", given: str = "", **variables: str
) -> tuple[int, str, str]:
    """A program behind a shell that redirects its streams; status, standard output and error."""
    code = f"import sys; from {program}.cli import main; sys.argv = {['program', *words]!r}; main()"
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-c", code],
        capture_output=True,
        input=given,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": paths} | variables,
    )
    return done.returncode, done.stdout, done.stderr


@needs_full
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    ("program", "words", "status"),
    [
        ("cloud", ["backup", "keygen", "KEY", "--json"], 74),
        ("verifield", ["nothing", "--root", "nothing", "--json"], 74),
        ("edge", ["version"], 7),
        ("edge", ["version", "--json"], 7),
        ("cloud", ["nonsense", "--json"], 2),
    ],
)
def test_an_answer_that_finds_no_room_is_said(
    program: str, words: list[str], status: int, buffered: str, tmp_path: Path
) -> None:
    words = [str(tmp_path / word) if word == "KEY" else word for word in words]
    ended, _, errors = run(program, words, redirect=f">{FULL}", PYTHONUNBUFFERED=buffered)
    assert ended == status
    assert ("FILE_NOT_WRITTEN: " in errors) is (status != 2)
    assert ("No space left on device" in errors) is (status != 2)
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


@needs_full
@pytest.mark.parametrize(
    ("program", "words", "status"),
    [
        ("cloud", ["users", "list", "--data", "nothing", "--json"], 3),
        ("verifield", ["nothing", "--root", "nothing", "--json"], 2),
        ("edge", ["status", "--data", "nothing", "--json"], 3),
    ],
)
def test_progress_that_finds_no_room_changes_no_answer(
    program: str, words: list[str], status: int, tmp_path: Path
) -> None:
    words = [str(tmp_path / word) if word == "nothing" else word for word in words]
    ended, printed, _ = run(program, words, redirect=f"2>{FULL}")
    assert ended == status
    assert json.loads(printed)["error"]["code"] != "INTERNAL_FAULT"


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_file_takes_the_place_of_a_stream_that_was_left_out(program: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code = (
        "import atexit, os\n"
        "def keep():\n"
        "    told = [os.readlink(f'/proc/self/fd/{number}') for number in range(3)]\n"
        f"    open({str(kept)!r}, 'w').write(' '.join(told))\n"
        "atexit.register(keep)"
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    paths = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
    ended, _, _ = run(program, ["--help"], redirect="<&- >&- 2>&-", PYTHONPATH=paths)
    assert ended == 0
    assert kept.read_text() == "/dev/null /dev/null /dev/null"


def test_names_that_a_terminal_cannot_show_are_printed_as_escapes(tmp_path: Path) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}
    status, printed, _ = run("cloud", ["backup", "keygen", str(tmp_path / "密钥")], **ascii_only)
    assert status == 0
    assert "\\u5bc6\\u94a5" in printed
    assert (tmp_path / "密钥").exists()
