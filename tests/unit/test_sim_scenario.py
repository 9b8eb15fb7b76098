"""Scenarios: those that ship, everything that a file may say, and everything that it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from verifield_sim.errors import SimError
from verifield_sim.reader_faults import Fault, FaultKind, Target
from verifield_sim.scenario import (
    MAX_SCENARIO_BYTES,
    CardSpec,
    PersonSpec,
    ReaderSpec,
    Scenario,
    open_scenario,
    parse_scenario,
    scenario_names,
)


def parse(text: str) -> Scenario:
    return parse_scenario(text, name="test", folder=Path("/pictures"))


@pytest.mark.parametrize(
    ("name", "card", "person"),
    [
        ("happy", "astronaut", PersonSpec("live", "astronaut")),
        ("happy-hopper", "grace_hopper", PersonSpec("live", "grace_hopper")),
        ("impostor", "astronaut", PersonSpec("live", "grace_hopper")),
        ("print", "astronaut", PersonSpec("print", "astronaut")),
        ("empty", "astronaut", PersonSpec("none", "")),
    ],
)
def test_shipped_scenarios(name: str, card: str, person: PersonSpec) -> None:
    assert name in scenario_names()
    scenario = open_scenario(name)
    assert scenario.name == name
    assert scenario.card == CardSpec(card)
    assert scenario.person == person
    assert scenario.reader == ReaderSpec()


def test_everything_that_can_be_said() -> None:
    scenario = parse(
        """
        seed = 9
        [card]
        portrait = "face.png"
        type = "hkmt"
        placed = false
        [person]
        kind = "print"
        portrait = "grace_hopper"
        [reader]
        baud = 9600
        sam_id = "05.03-20240115-0000000001-0000000002"
        faults = [
            { kind = "late", on = "find", times = 0, delay_s = 4 },
            { kind = "truncated", keep = 3 },
            { kind = "noise", noise_bytes = 7 },
        ]
        """
    )
    assert scenario == Scenario(
        "test",
        9,
        CardSpec("/pictures/face.png", "hkmt", placed=False),
        PersonSpec("print", "grace_hopper"),
        ReaderSpec(
            9600,
            "05.03-20240115-0000000001-0000000002",
            (
                Fault(FaultKind.LATE, on=Target.FIND, times=0, delay_s=4.0),
                Fault(FaultKind.TRUNCATED, keep=3),
                Fault(FaultKind.NOISE, noise_bytes=7),
            ),
        ),
    )


def test_nothing_said_is_an_empty_room() -> None:
    assert parse("") == Scenario("test")


WRONG = {
    "speed = 1": "unknown key speed",
    "[card]\ntype = 'resident'": "portrait is missing",
    "[card]\nportrait = 'a.png'\ncolour = 'red'": "unknown key colour",
    "[card]\nportrait = 3": "portrait is of the wrong kind",
    "[card]\nportrait = 'a.png'\ntype = 'passport'": "type is one of resident",
    "[card]\nportrait = 'a.png'\nplaced = 1": "placed is of the wrong kind",
    "card = 1": "card is of the wrong kind",
    "seed = true": "seed is of the wrong kind",
    "seed = 1.5": "seed is of the wrong kind",
    "[person]\nkind = 'ghost'": "kind is one of live",
    "[person]\nkind = 'live'": "nobody has neither",
    "[person]\nportrait = 'astronaut'": "nobody has neither",
    "[reader]\nbaud = 14400": "baud is one of 115200",
    "[reader]\nfaults = ['noise']": "faults is a list of tables",
    "[reader]\nfaults = [{ on = 'read' }]": "kind is one of noise",
    "[reader]\nfaults = [{ kind = 'noise', on = 'lunch' }]": "on is one of any",
    "[reader]\nfaults = [{ kind = 'noise', often = 2 }]": "unknown key often",
    "[reader]\nfaults = [{ kind = 'slow', delay_s = -1 }]": "a negative number",
    "[reader": "test: ",
    "a = " + "[" * 30_000: "nested too deeply",
}


@pytest.mark.parametrize("text", sorted(WRONG))
def test_slips_are_refused_by_name(text: str) -> None:
    with pytest.raises(SimError) as caught:
        parse(text)
    assert WRONG[text] in str(caught.value)


def test_an_unknown_scenario_is_answered_with_those_there_are() -> None:
    with pytest.raises(SimError, match=r"cutout, empty, happy, happy-hopper, impostor, injection"):
        open_scenario("nope")


def test_a_file_may_have_so_many_bytes_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text("#" * MAX_SCENARIO_BYTES)
    assert open_scenario(str(path)).name == "long"
    path.write_text("#" * (MAX_SCENARIO_BYTES + 1))
    with pytest.raises(SimError, match="larger"):
        open_scenario(str(path))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SimError, match="UTF-8"):
        open_scenario(str(path))
