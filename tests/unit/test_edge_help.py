"""Every command of the appliance explains itself: an example that parses, JSON, exit statuses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from edge.cli import COMMANDS, app
from edge.errors import ExitCode

PROGRAM = "verifield-edge"
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
WITHOUT_JSON = {("run",)}
"""A supervisor of two programs, which speak for themselves."""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), (*path, name))


LEAVES = dict(leaves(get_command(app)))


@pytest.mark.req("E060")
def test_every_command_that_is_asked_for_is_there() -> None:
    assert set(COMMANDS) >= WANTED


@pytest.mark.req("E060")
@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_help_has_an_example_of_this_command_with_options_that_exist(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    text = " ".join(command.help.split())
    found = re.findall(rf"Examples?: (.*?)$|; ({PROGRAM}.*?)$", text)
    assert found, "no example"
    examples = re.findall(rf"{PROGRAM} [^;]*", text.split("Example", 1)[1])
    assert examples
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    for example in examples:
        words = shlex.split(example)[1:]
        assert tuple(words[: len(path)]) == path, example
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, example


@pytest.mark.req("E060")
@pytest.mark.parametrize("path", [path for path in LEAVES if path not in WITHOUT_JSON], ids=" ".join)
def test_every_command_can_answer_in_json(path: tuple[str, ...]) -> None:
    assert "--json" in {name for one in LEAVES[path].params for name in one.opts}


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
