"""The four elements: one form of each, or a clear refusal that holds nothing of what was typed."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.elements import (
    FourElements,
    Validity,
    birth_of,
    first_today,
    last_today,
    parse_elements,
    parse_id_number,
    parse_name,
    parse_validity,
    to_message,
)
from cloud.errors import ServiceError
from verifield.v1 import identity_pb2 as pb

NUMBER = "11010519491231002X"  # the example of GB 11643

LOOK_ALIKES = {
    "katakana middle dot": "\u30fb",
    "bullet": "\u2022",
    "hyphenation point": "\u2027",
    "dot operator": "\u22c5",
    "bullet operator": "\u2219",
    "half-width katakana middle dot": "\uff65",
    "full-width full stop": "\uff0e",
    "full stop": ".",
    "one dot leader": "\u2024",
    "Greek ano teleia": "\u0387",
    "ideographic full stop": "\u3002",
    "raised dot": "\u2e33",
    "sinological dot": "\ua78f",
    "Hangul letter araea": "\u318d",
}


def check_digit(first_17: str) -> str:
    """By ISO 7064 itself, not by weights: (product + digit) times 2, modulo 11."""
    product = 0
    for digit in first_17:
        product = (product + int(digit)) * 2 % 11
    return "0123456789X"[(12 - product) % 11]


def rule_of(error: ServiceError) -> tuple[str, str]:
    return error.reason.value, error.metadata["rule"]


@pytest.mark.parametrize("point", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_what_looks_like_the_point_between_two_chinese_characters_is_taken_for_it(point: str) -> None:
    assert parse_name(f"欧阳{point}明") == "欧阳\u00b7明"
    assert parse_name(f" 欧阳 {point} 明\u200b") == "欧阳\u00b7明"


def test_compatible_forms_alone_do_not_join_the_points() -> None:
    joined = [one for one in LOOK_ALIKES.values() if unicodedata.normalize("NFKC", one) == "\u00b7"]
    assert len(joined) == 1  # the Greek one
    assert parse_name("欧阳\u00b7明") == "欧阳\u00b7明"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("\u30fb欧阳明", "MIDDLE_POINT"),
        ("欧阳明\u2022", "MIDDLE_POINT"),
        ("欧阳\u30fb\u30fb明", "MIDDLE_POINT"),
        ("欧阳.m", "MIDDLE_POINT"),
        ("Anna\u2022Maria", "MIDDLE_POINT"),
        ("欧阳*明", "CHARACTER"),
        ("欧阳-明", "CHARACTER"),
        ("欧阳1明", "CHARACTER"),
        ("Anna 2", "CHARACTER"),
        ("王Anna", "CHARACTER"),
        ("\u0410nna", "CHARACTER"),  # the first letter is Cyrillic
        ("\u0391nna", "CHARACTER"),  # and here it is Greek
        ("Anna\u3164", "CHARACTER"),  # a letter that shows nothing
        ("王\U0001f600", "CHARACTER"),
        ("王\x00明", "CHARACTER"),
        ("欧阳\u0301\u00b7明", "CHARACTER"),
        ("欧阳\u00b7\u00b7明", "MIDDLE_POINT"),
        ("\u0301", "LENGTH"),  # a mark on nothing
        ("\u200b\u2066\ufe0f", "LENGTH"),
        ("", "LENGTH"),
        ("...", "LENGTH"),
        ("王" * 51, "LENGTH"),
    ],
)
def test_names_that_can_be_read_in_two_ways_are_refused_with_what_to_write(text: str, rule: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_name(text)
    assert rule_of(caught.value) == ("NAME_INVALID", rule)
    assert "\u00b7" in caught.value.hint
    assert not text or text not in caught.value.message
    assert caught.value.violations[0].field == "name"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("王 小 明", "王小明"),
        ("王\u3000明", "王明"),
        ("〇〇", "〇〇"),
        ("\uf900", "\u8c48"),  # a compatibility ideograph
        ("𠮷野", "𠮷野"),
        ("ＡＮＮＡ  Maria O\u2019Neil-Smith Jr.", "ANNA Maria O'Neil-Smith Jr."),
        ("José Núñez", "José Núñez"),
        ("Jose\u0301 Nu\u0301n\u0303ez", "José Núñez"),
        ("Анна", "Анна"),
        ("买买提\u2022艾则孜.吐尔逊", "买买提\u00b7艾则孜\u00b7吐尔逊"),
        ("\u2067王\u061c明\u2069", "王明"),  # marks of direction
        ("葛\U000e0100明\ufe00", "葛明"),  # variants of shape
        ("\ufa0e明", "\ufa0e明"),
        ("\U00031350明", "\U00031350明"),  # newer than this Python
    ],
)
def test_names_have_one_form(text: str, name: str) -> None:
    assert parse_name(text) == name
    assert parse_name(parse_name(text)) == name


@pytest.mark.parametrize(
    "text", [NUMBER, NUMBER.lower(), " 110105 19491231 002x", "１１０１０５19491231002Ｘ"]
)
def test_numbers_have_one_form(text: str) -> None:
    assert parse_id_number(text) == NUMBER


@pytest.mark.parametrize("region", ["110103", "320502", "433124", "810000", "820000", "830000", "932000"])
def test_residents_of_all_regions_count_also_of_those_that_are_no_more(region: str) -> None:
    """110103, 320502 and 433124 were abolished; 932000 is a foreigner's with permanent residence."""
    first = f"{region}19900101001"
    assert parse_id_number(first + check_digit(first)) == first + check_digit(first)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("110105194912310020", "CHECK_DIGIT"),
        ("11010519491231020X", "CHECK_DIGIT"),  # two digits in each other's place
        ("110105491231002", "FIFTEEN_DIGITS"),
        ("1101051949123100", "FORM"),
        ("X1010519491231002X", "FORM"),
        ("", "FORM"),
    ],
)
def test_numbers_that_are_none_are_refused(text: str, rule: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_id_number(text)
    assert rule_of(caught.value) == ("ID_NUMBER_INVALID", rule)
    assert not text or text not in caught.value.message


@pytest.mark.parametrize(
    ("first", "rule"),
    [
        ("99010519491231002", "REGION"),
        ("00010519491231002", "REGION"),
        ("11010519490231002", "BIRTH"),
        ("11010518991231002", "BIRTH"),
        ("11010520300101002", "AGE"),
    ],
)
def test_numbers_of_nobody_are_refused(first: str, rule: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_id_number(first + check_digit(first), today=date(2026, 11, 22))
    assert rule_of(caught.value) == ("ID_NUMBER_INVALID", rule)


@pytest.mark.parametrize(
    ("born", "found"),
    [
        ("20261122", ""),  # today
        ("20261123", "AGE"),
        ("18961122", "BIRTH"),
        ("19000229", "BIRTH"),
        ("20000229", ""),
        ("20230229", "BIRTH"),
        ("18760101", "BIRTH"),
    ],
)
def test_who_can_have_been_born_then(born: str, found: str) -> None:
    first = f"110105{born}002"
    try:
        rule = "" if parse_id_number(first + check_digit(first), today=date(2026, 11, 22)) else "?"
    except ServiceError as error:
        rule = error.metadata["rule"]
    assert rule == found


def test_a_day_has_begun_or_is_over_only_where_it_has_everywhere() -> None:
    """In China a child that is born at one in the morning has a day of birth that London has not seen yet."""
    before_dawn = datetime(2026, 11, 21, 17, tzinfo=UTC)
    first = "11010520261122002"
    assert parse_id_number(first + check_digit(first), today=last_today(before_dawn))
    assert parse_validity("2026-11-22", "2036-11-22", today=last_today(before_dawn))
    assert first_today(before_dawn) == date(2026, 11, 21)
    assert first_today(datetime(2026, 11, 21, 11, tzinfo=UTC)) == date(2026, 11, 20)


@given(st.integers(0, 16), st.integers(1, 9))
def test_no_number_survives_a_changed_digit(place: int, step: int) -> None:
    wrong = NUMBER[:place] + str((int(NUMBER[place]) + step) % 10) + NUMBER[place + 1 :]
    with pytest.raises(ServiceError):
        parse_id_number(wrong)


def test_the_day_of_birth_is_read() -> None:
    assert birth_of(NUMBER) == date(1949, 12, 31)


DAYS = [
    "0000-00-00",
    "9999-12-31",
    "99991231",
    "2099-12-31",
    "2099.12.31",
    "2099年12月31日",
    "９９９９-12-31",
]
LONG_TERM = ["长期", "長期", "长期有效", "00000000", "long-term", "Long_Term", *DAYS]


@pytest.mark.parametrize("text", LONG_TERM)
def test_all_spellings_of_long_term_are_one(text: str) -> None:
    assert parse_validity("2020-01-02", text) == Validity(date(2020, 1, 2), None)
    assert parse_validity(text, text) == Validity(None, None)
    assert parse_validity(text, text).is_long_term


@pytest.mark.parametrize(
    "text", ["2020-01-02", "20200102", "2020.1.2", "2020/01/02", "2020年1月2日", "２０２０-01-02"]
)
def test_days_have_one_form(text: str) -> None:
    assert parse_validity(text, "2040-01-02") == Validity(date(2020, 1, 2), date(2040, 1, 2))


@pytest.mark.parametrize(
    ("start", "end", "rule"),
    [
        ("2020-02-30", "2040-01-02", "DAY"),
        ("2020-01", "2040-01-02", "FORM"),
        ("02.01.2020", "2040-01-02", "FORM"),
        ("2020-01.02", "2040-01-02", "FORM"),
        ("2040-01-02", "2020-01-02", "ORDER"),
        ("2020-01-02", "2020-01-02", "ORDER"),
        ("长期", "2040-01-02", "START"),
        ("2027-01-01", "2040-01-02", "FUTURE"),
        ("1850-01-01", "2040-01-02", "DAY"),
    ],
)
def test_validities_that_no_card_has_are_refused(start: str, end: str, rule: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_validity(start, end, today=date(2026, 11, 22))
    assert rule_of(caught.value) == ("VALIDITY_INVALID", rule)


@pytest.mark.parametrize(
    "validity",
    [Validity(date(2020, 1, 2), date(2040, 1, 2)), Validity(date(2020, 1, 2), None), Validity(None, None)],
)
def test_elements_travel_and_come_back(validity: Validity) -> None:
    elements = FourElements("欧阳\u00b7明", NUMBER, validity)
    message = pb.FourElements.FromString(to_message(elements).SerializeToString())
    assert parse_elements(message) == elements
    assert "欧阳" not in repr(elements)
    assert NUMBER not in repr(elements)


@given(st.text(max_size=60))
def test_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    for parse in (parse_name, parse_id_number, lambda one: parse_validity(one, one)):
        with suppress(ServiceError):
            assert parse(text)
