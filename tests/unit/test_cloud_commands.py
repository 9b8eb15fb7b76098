"""What the operator's commands share: where the service is, and how a command ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.client import OperatorClient
from cloud.commands import common
from cloud.commands.common import Connect, JsonOption, operator_command
from cloud.commands.offline import progress_bars
from cloud.errors import ClientError

LOCAL = (
    "alarms acknowledge",
    "alarms list",
    "alarms side-records",
    "attestations bundle",
    "attestations list",
    "attestations show",
    "audit head",
    "audit list",
    "authorities check",
    "authorities status",
    "bank check",
    "bank list",
    "bank notice",
    "bank paper",
    "bank publish-notice",
    "bank put",
    "bank records",
    "bank revoke",
    "customers find",
    "customers link",
    "customers show",
    "customers unlink",
    "devices approve",
    "devices list",
    "devices lock",
    "devices revocation-list",
    "devices revoke",
    "devices show",
    "devices unlock",
    "devices wipe",
    "import",
    "join-token create",
    "log checkpoint",
    "media get",
    "media list",
    "messages list",
    "messages retry",
    "messages show",
    "phones show",
    "policies export",
    "policies list",
    "policies publish",
    "policies template",
    "users add",
    "users certificate",
    "users disable",
    "users enable",
    "users list",
    "users roles",
    "users show",
    "users update",
)


@pytest.mark.parametrize("command", LOCAL)
def test_every_command_that_calls_the_service_says_where_it_is(command: str) -> None:
    result = CliRunner().invoke(commands, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for option in ("--data", "--endpoint", "--root", "--token-file", "--certificate", "--certificate-key"):
        assert option in result.stdout, option
    assert "connect" not in result.stdout.lower().replace("connection", "")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Where commands would have called; nobody answers."""
    places: list[tuple[Any, ...]] = []

    @contextmanager
    def nowhere(*_: object) -> Iterator[OperatorClient]:
        raise ClientError("UNAVAILABLE", "The cloud does not answer.", hint="Check that it runs.")
        yield

    def find(data: Path, **where: Any) -> None:
        places.append((data, *where.values()))

    monkeypatch.setattr(common, "find_target", find)
    monkeypatch.setattr(common, "open_client", nowhere)
    return places


def app_of(*, with_json: bool = True) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @operator_command
    def plain(connect: Connect, name: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
        """Call somebody."""
        assert as_json is with_json
        assert name == "device-1"
        with connect():
            raise AssertionError("nobody answers")

    return app


def test_the_options_reach_the_client_and_a_fault_ends_the_command(asked: list[tuple[Any, ...]]) -> None:
    words = ["device-1", "--json", "--data", "d", "--endpoint", "h:1", "--root", "r", "--token-file", "t"]
    words += ["--certificate", "c", "--certificate-key", "k"]
    result = CliRunner().invoke(app_of(), words)
    assert result.exit_code == 6
    assert asked == [(Path("d"), "h:1", Path("r"), Path("t"), Path("c"), Path("k"))]
    assert json.loads(result.stdout)["error"]["code"] == "UNAVAILABLE"


def test_without_options_the_service_is_where_it_is_by_default(asked: list[tuple[Any, ...]]) -> None:
    app = app_of(with_json=False)
    assert CliRunner().invoke(app, ["device-1"], env={"VERIFIELD_CLOUD_DATA": None}).exit_code == 6
    assert CliRunner().invoke(app, ["device-1"], env={"VERIFIELD_CLOUD_DATA": "there"}).exit_code == 6
    nothing = (None,) * 5
    assert asked == [(Path("verifield-cloud-data"), *nothing), (Path("there"), *nothing)]
    assert CliRunner().invoke(app, []).exit_code == 2


@pytest.mark.parametrize("answer", ["n\n", ""])
@pytest.mark.parametrize("command", [["revoke", "device-1", "--why", "superseded"], ["wipe", "device-1"]])
def test_what_is_for_ever_is_asked_first(
    asked: list[tuple[Any, ...]], command: list[str], answer: str
) -> None:
    result = CliRunner().invoke(commands, ["devices", *command], input=answer)
    assert result.exit_code == 1
    assert asked == []
    assert CliRunner().invoke(commands, ["devices", *command], input="y\n").exit_code == 6
    assert len(asked) == 1


def test_progress_leaves_no_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as bars:
        bars("leaves", 1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("version", ["0", str(2**63)])
def test_a_version_that_none_can_have_is_wrong_use(asked: list[tuple[Any, ...]], version: str) -> None:
    words = ["policies", "export", version, "--out", "a", "--certificates", "b"]
    assert CliRunner().invoke(commands, words).exit_code == 2
    assert asked == []


@pytest.mark.parametrize("text", ["0A1B" * 16, "0a:1b:" * 15 + "0a:1b", "  ".join(["0A1B"] * 16)])
def test_a_fingerprint_may_be_in_groups(asked: list[tuple[Any, ...]], text: str) -> None:
    words = ["devices", "approve", "device-1", "--fingerprint"]
    assert CliRunner().invoke(commands, [*words, text]).exit_code == 6
    assert len(asked) == 1
    for wrong in (text[:-2], text + "00", text.replace("1", "x")):
        assert CliRunner().invoke(commands, [*words, wrong]).exit_code == 2
