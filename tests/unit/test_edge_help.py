"""Every command of the appliance is there, and its page and the README tell the truth about it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import COMMANDS, app
from edge.errors import ExitCode

WANTED = {
    "run",
    "verify",
    "compare",
    "evaluate",
    "enroll",
    "gallery",
    "outbox",
    "sync",
    "export",
    "import",
    "models",
}
WANTED |= {"doctor", "bench", "wipe", "version"}


@pytest.mark.req("E060")
def test_every_command_that_is_asked_for_is_there() -> None:
    assert set(COMMANDS) >= WANTED


@pytest.mark.req("E060")
def test_exit_statuses_are_in_the_help_and_on_the_page() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    page = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")
    table = page.split("## Exit statuses")[1].split("## ")[0]
    for code in ExitCode:
        assert re.search(rf"\b{int(code)}\b", shown)
        assert f"| {int(code)} |" in table


SHOWN = re.compile(
    r"^\$ (verifield-edge [^\n]*)\n((?:[^$`\n][^\n]*\n)*)(?:\$ echo \$\?\n(\d+)\n)?", re.MULTILINE
)


@pytest.mark.req("E060")
def test_the_readme_shows_what_the_commands_say(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = SHOWN.findall(readme)
    assert len(shown) >= 3
    for call, output, status in shown:
        done = CliRunner().invoke(
            app, shlex.split(call)[1:], env={"VERIFIELD_EDGE_DATA_DIR": str(tmp_path), "COLUMNS": "160"}
        )
        assert done.output == output, call
        assert done.exit_code == int(status or 0), call
