"""PINs: which are allowed, how they are kept, and the key that one gives. Argon2id (RFC 9106)."""

from __future__ import annotations

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import hash_secret_raw

from edge.errors import InputError

MIN_DIGITS, MAX_DIGITS = 6, 12
"""A million PINs against an hour's wait for each guess in the end; nobody keeps more than twelve digits."""

MIN_DIFFERENT = 4
"""Digits that differ: 112233 and 121212 are among the first that anybody tries."""

TIME_COST, MEMORY_KIB, LANES = 3, 64 * 1024, 4
"""RFC 9106, section 4, second choice: for machines that cannot spare 2 GiB. A sixth of a second of processor
time: nobody notices it at sign-in, and a million guesses cost two days, each with 64 MiB."""

KEY_BYTES = 32
SALT_BYTES = 16

_HASHER = PasswordHasher(
    time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=LANES, salt_len=SALT_BYTES, type=Type.ID
)
_RUNS = ("01234567890123456789", "98765432109876543210")


def check_pin(pin: str) -> None:
    """Check a PIN that somebody wants to have.

    Raises:
        InputError: PIN_FORM, or PIN_TOO_EASY.
    """
    if not (pin.isascii() and pin.isdigit() and MIN_DIGITS <= len(pin) <= MAX_DIGITS):
        raise InputError(
            "PIN_FORM",
            f"A PIN has {MIN_DIGITS} to {MAX_DIGITS} digits and nothing else.",
            hint="Choose digits that others do not know of you.",
        )
    if len(set(pin)) < MIN_DIFFERENT or any(pin in run for run in _RUNS):
        raise InputError(
            "PIN_TOO_EASY",
            "This PIN is among the first that anybody would try.",
            hint=f"Use at least {MIN_DIFFERENT} different digits, not in counting order.",
        )


def hash_pin(pin: str) -> str:
    """Return what to keep of an allowed PIN (PHC string); errors as :func:`check_pin`."""
    check_pin(pin)
    return _HASHER.hash(pin)


def pin_matches(pin: str, pin_hash: str) -> bool:
    """Whether ``pin`` is the one; False too where there is none, so that nothing passes by being absent."""
    try:
        return _HASHER.verify(pin_hash, pin)
    except (VerificationError, InvalidHashError, UnicodeError):
        return False


def derive_key(pin: str, *, salt: bytes) -> bytes:
    """Return the key (32 bytes) that this PIN gives under ``salt`` (16 bytes); as slow as checking it."""
    return hash_secret_raw(
        secret=pin.encode(),
        salt=salt,
        time_cost=TIME_COST,
        memory_cost=MEMORY_KIB,
        parallelism=LANES,
        hash_len=KEY_BYTES,
        type=Type.ID,
    )
