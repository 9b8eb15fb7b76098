"""Check digits after GB 11643 and ICAO 9303-3, with published specimens and synthetic numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.reader.ethnicity import ETHNICITIES, ethnicity_name
from edge.reader.numbers import (
    PROVINCES,
    citizen_check_digit,
    icao_check_digit,
    is_citizen_number,
    is_permit_number,
)

VALID = ("11010519491231002X", "440524188001010014", "931586198001010028", "810000199408230013")
INVALID = (
    "110105194912310021",
    "82000019880111001X",
    "11010519491231002x",
    "1101051949123100",
    "",
    "１１010519491231002X",
)

first_17 = st.text("0123456789", min_size=17, max_size=17)


@pytest.mark.parametrize("number", VALID)
def test_valid_citizen_numbers(number: str) -> None:
    assert is_citizen_number(number)


@pytest.mark.parametrize("number", INVALID)
def test_invalid_citizen_numbers(number: str) -> None:
    assert not is_citizen_number(number)


@given(digits=first_17, position=st.integers(0, 16), other=st.integers(1, 9))
def test_every_wrong_digit_is_caught(digits: str, position: int, other: int) -> None:
    wrong = digits[:position] + str((int(digits[position]) + other) % 10) + digits[position + 1 :]
    assert not is_citizen_number(wrong + citizen_check_digit(digits))


@given(digits=first_17, position=st.integers(0, 15))
def test_every_swap_of_neighbours_is_caught(digits: str, position: int) -> None:
    first, second = digits[position : position + 2]
    swapped = digits[:position] + second + first + digits[position + 2 :]
    assert is_citizen_number(swapped + citizen_check_digit(digits)) == (first == second)


def test_the_published_permit_number_holds() -> None:
    assert is_permit_number("PAK310080010103")
    assert not is_permit_number("PAK310080010104")
    assert not is_permit_number("PA1310080010103")
    assert not is_permit_number("PAK31008001010")


def test_the_check_digit_of_the_standard_s_specimen() -> None:
    assert icao_check_digit("L898902C<".replace("<", "0")) == "3"  # the filler counts as zero


def test_provinces() -> None:
    assert len(PROVINCES) == 36
    assert {"11", "46", "50", "65", "71", "81", "82", "83", "91"} <= PROVINCES
    assert PROVINCES.isdisjoint({"00", "16", "38", "55", "66", "93"})


def test_ethnicities() -> None:
    assert len(ETHNICITIES) == 58
    expected = {"01": "汉", "10": "朝鲜", "20": "傈僳", "46": "德昂", "56": "基诺", "97": "其他"}
    assert {code: ethnicity_name(code) for code in expected} == expected
    assert ethnicity_name("57") == "57"  # an unknown code never fails a read
