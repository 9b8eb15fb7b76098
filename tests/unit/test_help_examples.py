"""Every command of the four programs shows, in its help, how it is called; and can answer in JSON."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from cloud.cli import app as cloud
from edge.cli import app as edge
from verifield import papers_cli
from verifield.cli import verify
from verifield_sim.cli import app as sim

Words = tuple[str, ...]
COMMANDS_PAGE = Path(__file__).parents[2] / "docs/commands.md"
SERVE_UNTIL_STOPPED = {
    ("verifield-edge", "run"),
    ("verifield-cloud", "serve"),
    ("verifield-sim",),
    ("verifield-sim", "authorities"),
}


def of_function(function: Callable[..., None]) -> Any:
    alone = typer.Typer(add_completion=False)
    alone.command()(function)
    return get_command(alone)


def leaves(command: Any, path: Words) -> Iterator[tuple[Words, Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), (*path, name))


ALL = {
    **dict(leaves(get_command(edge), ("verifield-edge",))),
    **dict(leaves(get_command(cloud), ("verifield-cloud",))),
    **dict(leaves(get_command(sim), ("verifield-sim",))),
    ("verifield-verify",): of_function(verify),
    **{("verifield-verify", name): of_function(getattr(papers_cli, name)) for name in papers_cli.COMMANDS},
}


def examples(path: Words, command: Any) -> list[list[str]]:
    """The words behind the command, of each of its examples; without what a shell does."""
    text = " ".join(f"{command.help} {command.epilog or ''}".split())
    calls = text.partition("Example: ")[2].split("; ")
    found = []
    for call in filter(None, calls):
        words = shlex.split(re.sub(r"^[A-Z_]+=\S+ ", "", call).partition(" > ")[0])
        assert tuple(words[: len(path)]) == path, call
        found.append(words[len(path) :])
    return found


@pytest.mark.req("E060")
@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_an_example_that_can_be_called_as_it_stands(path: Words) -> None:
    found = examples(path, ALL[path])
    assert found, "no example"
    for words in found:
        ALL[path].make_context(path[-1], words)  # raises where an option, a value or a number is wrong


@pytest.mark.req("E060")
@pytest.mark.parametrize("path", sorted(ALL.keys() - SERVE_UNTIL_STOPPED), ids=" ".join)
def test_every_command_that_ends_by_itself_can_answer_in_json(path: Words) -> None:
    assert "--json" in {name for one in ALL[path].params for name in one.opts}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_stands_on_the_page_of_commands(path: Words) -> None:
    shown = re.findall(r"verifield-[a-z]+[^`\n#]*", COMMANDS_PAGE.read_text(encoding="utf-8"))
    assert any(tuple(one.split()[: len(path)]) == path for one in shown)
