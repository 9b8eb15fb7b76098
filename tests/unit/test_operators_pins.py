"""PINs with the parameters of the release."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from argon2 import Type, extract_parameters

from edge.errors import InputError
from edge.operators.pins import (
    KEY_BYTES,
    MAX_DIGITS,
    SALT_BYTES,
    check_pin,
    derive_key,
    hash_pin,
    pin_matches,
)

PIN, OTHER_PIN = "835062", "472910"


@pytest.mark.parametrize(
    ("pin", "code"),
    [
        ("83506", "PIN_FORM"),
        ("8" * 5 + "1234567" + "0", "PIN_FORM"),
        ("83506a", "PIN_FORM"),
        ("８３５０６２", "PIN_FORM"),
        (" 83506", "PIN_FORM"),
        ("", "PIN_FORM"),
        ("111111", "PIN_TOO_EASY"),
        ("121212", "PIN_TOO_EASY"),
        ("112233", "PIN_TOO_EASY"),
        ("123456", "PIN_TOO_EASY"),
        ("890123", "PIN_TOO_EASY"),
        ("987654", "PIN_TOO_EASY"),
    ],
)
def test_a_pin_that_anybody_would_try_is_refused(pin: str, code: str) -> None:
    assert code_of(lambda: check_pin(pin)) == code


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return error.value.code


def test_allowed_pins_have_six_to_twelve_digits() -> None:
    check_pin(PIN)
    check_pin("835062471908"[:MAX_DIGITS])
    assert code_of(lambda: check_pin("8350624719083")) == "PIN_FORM"


def test_a_pin_is_kept_as_argon2id_and_compared_without_an_error() -> None:
    kept = hash_pin(PIN)
    assert kept.startswith("$argon2id$v=19$")
    assert pin_matches(PIN, kept)
    assert not pin_matches(OTHER_PIN, kept)
    assert not pin_matches("", "")
    assert not pin_matches(PIN, "")
    assert not pin_matches(PIN, "no hash")
    assert not pin_matches("\ud800", kept)
    assert hash_pin(PIN) != kept


def test_a_guess_costs_time_and_memory() -> None:
    started = time.process_time()
    found = extract_parameters(hash_pin(PIN))
    assert time.process_time() - started > 0.02  # no guess comes cheaper on any machine of today
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (64 * 1024, 3, 4)


def test_the_key_of_a_pin_depends_on_pin_and_salt() -> None:
    salt, other = bytes(SALT_BYTES), b"x" * SALT_BYTES
    keys = {derive_key(PIN, salt=salt), derive_key(OTHER_PIN, salt=salt), derive_key(PIN, salt=other)}
    assert len(keys) == 3
    assert derive_key(PIN, salt=salt) in keys
    assert all(len(key) == KEY_BYTES for key in keys)
