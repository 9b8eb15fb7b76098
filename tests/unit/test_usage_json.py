"""Wrong use of a command: told to a person, and as JSON to a program that asked for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from cloud.cli import app as cloud
from edge.cli import app as edge
from verifield.cli import main as verify


def of_verify(arguments: Sequence[str]) -> None:
    verify(list(arguments))


def ends(command: Callable[[Sequence[str]], object], *arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        command(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize(
    ("command", "arguments", "place"),
    [
        (edge, ("verfiy",), ""),
        (edge, ("--nothing",), ""),
        (edge, ("gallery", "remove", "nobody"), " gallery remove"),
        (edge, ("gallery", "search"), " gallery search"),
        (cloud, ("devices", "lsit"), " devices"),
        (cloud, ("attestations", "list", "--no-such"), " attestations list"),
        (of_verify, (), "verifield-verify"),
        (of_verify, ("badge", "a", "b"), "verifield-verify badge"),
    ],
)
def test_wrong_use_is_told_in_json_where_that_was_asked_for(
    command: Callable[[Sequence[str]], object],
    arguments: tuple[str, ...],
    place: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ends(command, *arguments, "--json") == 2
    told = capsys.readouterr()
    assert told.err
    error = json.loads(told.out)["error"]
    assert (error["code"], bool(error["message"])) == ("USAGE", True)
    assert error["hint"].startswith("See what it takes with: ")
    assert error["hint"].endswith(f"{place} --help")

    assert ends(command, *arguments) == 2
    told = capsys.readouterr()
    assert (told.out, bool(told.err)) == ("", True)


def test_help_and_answers_are_no_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(edge, "version", "--json") == 0
    assert json.loads(capsys.readouterr().out).keys() == {"version"}
    assert ends(edge, "gallery", "remove", "--json", "--help") == 0
    assert "Usage:" in capsys.readouterr().out
