"""The documents name every command there is, and no command or option that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cloud.cli import app as commands
from edge.cli import app as edge_app
from verifield_sim.cli import app as sim_app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/adr").glob("*.md"))]
COMMANDS = {
    "verifield-edge": get_command(edge_app),
    "verifield-cloud": get_command(commands),
    "verifield-sim": get_command(sim_app),
}
FENCE = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(verifield-(?:edge|cloud|sim) [^`]+)`")
CALL = re.compile(r"(?<![\w/-])(verifield-(?:edge|cloud|sim)) +([^|;<>#&\n]*)")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command below this one, as the words that call it."""
    if not hasattr(command, "list_commands"):
        yield path
        return
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), (*path, name))


def calls(page: Path) -> Iterator[tuple[str, str]]:
    """Program and arguments of every call that the page shows, options that belong to the shell left out."""
    text = page.read_text(encoding="utf-8")
    shown = [block.replace("\\\n", " ") for block in FENCE.findall(text)] + INLINE.findall(text)
    for part in shown:
        yield from CALL.findall(part)


def wrong(program: str, arguments: str) -> str | None:
    """What is not there, of a call."""
    command = COMMANDS[program]
    words = shlex.split(arguments.replace("...", ""))
    while hasattr(command, "list_commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        command = command.get_command(None, name)
        if command is None:
            return name
    known = {
        "--help",
        *(name for option in command.params for name in (*option.opts, *option.secondary_opts)),
    }
    return next(
        (word for word in words if word.startswith("--") and word.partition("=")[0] not in known), None
    )


@pytest.mark.parametrize("program", COMMANDS)
def test_every_command_is_documented(program: str) -> None:
    shown = [f"{name} {arguments.strip()} " for name, arguments in calls(ROOT / "docs/commands.md")]
    for words in leaves(COMMANDS[program]):
        wanted = " ".join((program, *words, ""))
        assert any(one.startswith(wanted) for one in shown), wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_shows_a_command_or_an_option_that_is_gone(page: Path) -> None:
    assert [(call, gone) for call in calls(page) if (gone := wrong(*call))] == []


def test_a_call_that_is_gone_is_found() -> None:
    assert wrong("verifield-edge", "outbox retry ID") == "retry"
    assert wrong("verifield-cloud", "devices list --sorted") == "--sorted"
    assert wrong("verifield-edge", "manual ATTEMPT --refuse --clerk NAME") is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
