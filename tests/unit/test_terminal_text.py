"""What strangers wrote, on the terminal of who reads it: nothing of it steers the terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable

import pytest
import typer
from rich.table import Table

from cloud.commands import common as cloud
from edge.commands import common as edge
from verifield.papers_cli import _end
from verifield.terminal import visible, visible_json
from verifield.usage import tell_fault

HOSTILE = "nice\x1b]0;owned\x07\x1b[2J\r\x9b1m \u202elive\u2066 [bold]x[/] a\u2028b\x7f"
SHOWN = r"nice\x1b]0;owned\x07\x1b[2J\x0d\x9b1m \u202elive\u2066 [bold]x[/] a\u2028b\x7f"
HARMLESS = "José 张伟 ñ 👍🏽 👩‍⚕️ क्‍ष می‌خواهم \\x1b"
EFFECTS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def edge_table(text: str) -> None:
    table = Table("NAME")
    table.add_row(text)
    edge.out().print(table)


def steers(character: str) -> bool:
    marks = "\u061c\u200e\u200f"
    named = unicodedata.category(character) in {"Cc", "Zl", "Zp"}
    return named or unicodedata.bidirectional(character) in EFFECTS or character in marks


def test_every_character_that_steers_is_shown_and_no_other() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert [one for one in characters if visible(one) != one] == [one for one in characters if steers(one)]
    assert visible(HARMLESS) == HARMLESS
    assert not any(map(steers, visible("".join(characters))))


@pytest.mark.parametrize(
    "show",
    [
        lambda text: cloud.print_table(["ID", "TEXT"], [["1", text]]),
        lambda text: cloud.print_values({"text": text}),
        lambda text: cloud.out().print(text, markup=False),
        lambda text: cloud.err().print(text, markup=False),
        lambda text: edge.print_values({"people": [{"name": text}]}, width=8),
        lambda text: edge.out().print(text),
        lambda text: edge.err().print(text, soft_wrap=True),
        lambda text: tell_fault("CODE", text, "", as_json=False),
        edge_table,
    ],
)
def test_a_terminal_is_not_steered(show: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    show(HOSTILE)
    printed = "".join(capsys.readouterr())
    assert SHOWN in printed
    assert not any(map(steers, printed.replace("\n", "")))


@pytest.mark.parametrize("show", [cloud.print_json, edge.print_json])
def test_json_says_the_same_and_steers_nothing(
    show: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    show({"text": HOSTILE, "name": HARMLESS})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"text": HOSTILE, "name": HARMLESS}
    assert "张伟" in printed
    assert not any(map(steers, printed.rstrip("\n")))
    assert visible_json('{\n "a": 1\n}') == '{\n "a": 1\n}'


def test_a_cell_is_one_line_as_wide_as_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    cloud.print_table(["NAME", "STATE"], [["Eve\nroot  ACTIVE", "DISABLED"], ["x", "ACTIVE"]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1] == r"Eve\x0aroot  ACTIVE  DISABLED"
    assert lines[2].index("ACTIVE") == lines[1].index("DISABLED")


@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_badge_says_steers_nothing(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        _end(lambda: {"holder": HOSTILE}, as_json=as_json)
    assert not any(map(steers, capsys.readouterr().out.replace("\n", "")))
