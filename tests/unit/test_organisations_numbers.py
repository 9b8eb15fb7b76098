"""Numbers and names of organisations: check digits, forms, and their agreement."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.errors import ServiceError
from cloud.organisations.numbers import (
    parse_licence_number,
    parse_numbers,
    parse_organisation_code,
    parse_organisation_name,
    parse_uscc,
)
from tests.support.organisations import new_licence_number, new_organisation_code, new_uscc

USCC, CODE, LICENCE = "91110000600037341L", "600037341", "110108000000016"


def reason(call: object, *args: str, **kwargs: str) -> str:
    with pytest.raises(ServiceError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    for value in (*args, *kwargs.values()):
        assert not value or value not in str(caught.value)
    return caught.value.reason.value


@pytest.mark.req("R162")
def test_numbers_with_good_check_digits_are_taken_in_their_one_form() -> None:
    assert parse_uscc(" 9111 0000-600037341l ") == USCC
    assert parse_uscc("\uff19\uff11110000600037341L") == USCC
    assert parse_licence_number("1101 0800 0000 016") == LICENCE
    assert parse_organisation_code("60003734-1") == CODE
    found = parse_numbers(uscc=USCC, licence_number="", organisation_code="60003734-1")
    assert (found.uscc, found.licence_number, found.organisation_code) == (USCC, "", CODE)
    assert parse_numbers(uscc=USCC, licence_number="", organisation_code="").organisation_code == CODE
    old = parse_numbers(uscc="", licence_number=LICENCE, organisation_code=CODE)
    assert (old.uscc, old.licence_number, old.organisation_code) == ("", LICENCE, CODE)


@pytest.mark.req("R162")
@pytest.mark.parametrize("place", range(18))
def test_each_digit_of_a_unified_code_that_is_another_one_is_found(place: int) -> None:
    for other in "0123456789ABCDEFGHJKLMNPQRTUWXY":
        if other != USCC[place]:
            assert reason(parse_uscc, USCC[:place] + other + USCC[place + 1 :]) == "USCC_INVALID"


@pytest.mark.req("R162")
@pytest.mark.parametrize("place", range(15))
def test_each_digit_of_a_licence_number_that_is_another_one_is_found(place: int) -> None:
    for other in "0123456789":
        if other != LICENCE[place]:
            wrong = LICENCE[:place] + other + LICENCE[place + 1 :]
            assert reason(parse_licence_number, wrong) == "LICENCE_NUMBER_INVALID"


@pytest.mark.req("R162")
@pytest.mark.parametrize("place", range(9))
def test_each_digit_of_an_organisation_code_that_is_another_one_is_found(place: int) -> None:
    for other in "0123456789":
        if other != CODE[place]:
            wrong = CODE[:place] + other + CODE[place + 1 :]
            assert reason(parse_organisation_code, wrong) == "ORG_CODE_INVALID"


@pytest.mark.req("R162")
def test_the_organisation_code_is_the_one_within_the_unified_code() -> None:
    other = new_organisation_code()
    given_numbers = {"uscc": USCC, "licence_number": "", "organisation_code": other}
    assert reason(parse_numbers, **given_numbers) == "ORG_CODE_MISMATCH"
    assert other != USCC[8:17] == CODE


@pytest.mark.req("R162")
@pytest.mark.parametrize(
    ("licence", "code"), [("", ""), (LICENCE, ""), ("", CODE)], ids=["none", "no code", "no licence"]
)
def test_what_is_missing_is_asked_for(licence: str, code: str) -> None:
    asked = {"uscc": "", "licence_number": licence, "organisation_code": code}
    assert reason(parse_numbers, **asked) == "ORG_NUMBER_REQUIRED"


@pytest.mark.parametrize(
    "wrong", ["", "12345", "9111000060003734", "91110000600037341I", "x" * 18, "\x00" * 18]
)
def test_what_has_not_the_form_is_refused(wrong: str) -> None:
    for call in (parse_uscc, parse_licence_number, parse_organisation_code):
        with pytest.raises(ServiceError):
            call(wrong)


@given(st.text(max_size=24))
@settings(max_examples=60, deadline=None)
def test_no_text_does_anything_but_be_refused_or_be_a_number(text: str) -> None:
    for call in (parse_uscc, parse_licence_number, parse_organisation_code):
        try:
            found = call(text)
        except ServiceError:
            continue
        assert call(found) == found


@pytest.mark.parametrize("register", ["12", "51", "93", "A1", "N2", "Y1"])
def test_every_register_has_codes(register: str) -> None:
    """Villages and their co-operatives have N: a code of digits alone would leave them out."""
    number = new_uscc(register=register)
    assert number.startswith(register)
    assert parse_uscc(number.lower()) == number


@pytest.mark.parametrize("register", ["01", "B1", "N0", "1A", "O1"])
def test_what_no_register_gives_is_refused(register: str) -> None:
    assert reason(parse_uscc, new_uscc().replace("91", register, 1)) == "USCC_INVALID"


def test_a_sign_within_a_number_moves_none_of_its_characters() -> None:
    for sign in ("-", " ", "\u200b", "\u2013"):
        assert parse_uscc(sign.join(USCC)) == USCC
    assert reason(parse_uscc, USCC[:17] + "_" + USCC[17:]) == "USCC_INVALID"


def test_what_tests_are_made_with_is_valid() -> None:
    code = new_organisation_code()
    assert parse_organisation_code(code) == code
    assert parse_uscc(new_uscc(code))[8:17] == code
    for number in range(1, 30):
        parse_licence_number(new_licence_number(number))


@pytest.mark.parametrize(
    "name",
    [
        "杭州示例网络科技有限公司",
        "上海示例（中国）投资有限公司",
        "Example & Sons Ltd.",
        "库尔班·阿不都示例合作社",
        "Señales Ejemplo, S.A.",
    ],
)
def test_names_as_registers_write_them(name: str) -> None:
    assert parse_organisation_name(f"  {name} ") == name


@pytest.mark.parametrize(
    "name",
    ["\u0410cme Trading", "Acme Tr\u0430ding 公司", "\u0391cme 有限公司", "\uff21\u0441me"],
    ids=["capital", "within", "Greek", "wide"],
)
def test_letters_that_only_look_like_those_of_the_name_are_refused(name: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_organisation_name(name)
    assert caught.value.reason.value == "ORG_NAME_INVALID"


@pytest.mark.parametrize("name", ["", "A", "··", "12", "a\u202eb", "<b>name</b>", "甲" * 101, "名\x00字"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_organisation_name(name)
    assert caught.value.reason.value == "ORG_NAME_INVALID"
