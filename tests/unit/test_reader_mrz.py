"""Machine-readable zones: the specimens that ICAO publishes, and each way in which one is not whole."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.reader.scan.mrz import parse_zone

TODAY = date(2026, 1, 1)
TD3 = ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")
TD2 = ("I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6")
TD1 = ("I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<")


@pytest.mark.parametrize(
    ("rows", "form", "number"),
    [(TD3, "TD3", "L898902C3"), (TD2, "TD2", "D23145890"), (TD1, "TD1", "D23145890")],
)
def test_the_published_specimens(rows: tuple[str, ...], form: str, number: str) -> None:
    zone = parse_zone(["some other text", *rows], today=TODAY)
    assert zone is not None
    assert (zone.form, zone.number, zone.name) == (form, number, "ERIKSSON, ANNA MARIA")
    assert (zone.issuer, zone.nationality, zone.sex) == ("UTO", "UTO", "F")
    assert (zone.birth, zone.expires) == (date(1974, 8, 12), date(2012, 4, 15))


def test_what_a_camera_confuses_is_repaired_where_there_is_no_choice() -> None:
    slips = (TD3[0].replace("ERIKSSON", "ERIK5SON"), TD3[1].replace("7408122", "74O8I22").replace(" ", ""))
    zone = parse_zone([slips[0].lower(), slips[1][:20] + " " + slips[1][20:]], today=TODAY)
    assert zone is not None
    assert (zone.name, zone.birth) == ("ERIKSSON, ANNA MARIA", date(1974, 8, 12))


def test_fillers_that_a_camera_lost_behind_the_names() -> None:
    zone = parse_zone((TD3[0].rstrip("<"), TD3[1]), today=TODAY)
    assert zone is not None
    assert zone.name == "ERIKSSON, ANNA MARIA"


@pytest.mark.parametrize("place", [0, 5, 9, 14, 19, 22, 27, 30, 42, 43])
def test_one_wrong_character_of_the_data_is_noticed(place: int) -> None:
    row = TD3[1]
    other = "7" if row[place] != "7" else "3"
    assert parse_zone((TD3[0], row[:place] + other + row[place + 1 :]), today=TODAY) is None


@pytest.mark.parametrize(
    "rows",
    [
        (),
        TD3[:1],
        TD3[::-1],
        (TD3[0], TD3[1][:-1]),
        (TD3[0] + "<", TD3[1]),
        ("V" + TD3[0][1:], TD3[1]),
        (TD3[0], TD3[1].replace("<", "*")),
    ],
)
def test_what_is_no_zone(rows: tuple[str, ...]) -> None:
    assert parse_zone(rows, today=TODAY) is None


def test_years_of_two_digits() -> None:
    zone = parse_zone(TD3, today=date(1980, 1, 1))
    assert zone is not None
    assert (zone.birth.year, zone.expires.year) == (1974, 2012)


@given(st.lists(st.text(alphabet="ABCXYZ0123456789<« ", min_size=25, max_size=50), max_size=4))
def test_hostile_text_never_crashes(rows: list[str]) -> None:
    parse_zone(rows, today=TODAY)
