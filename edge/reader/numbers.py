"""Check digits of the numbers on a card: GB 11643-1999 and ICAO 9303-3.

Own code because the libraries at hand refuse valid numbers: their tables lack the regions of
foreigners' cards and of the permits for Hong Kong, Macao and Taiwan residents.
"""

from __future__ import annotations

import re
from datetime import date

# The first two digits, GB/T 2260. Counties come and go, and cards outlive them: only provinces are checked.
PROVINCES = frozenset(
    str(tens * 10 + units)
    for tens, units_known in {
        1: range(1, 6),
        2: range(1, 4),
        3: range(1, 8),
        4: range(1, 7),
        5: range(5),
        6: range(1, 6),
        7: (1,),
        8: range(1, 4),
        9: (1,),
    }.items()
    for units in units_known
)
HKMT_REGIONS = frozenset({"810000", "820000", "830000"})

_CITIZEN = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_CITIZEN_CHECKS = "10X98765432"
_OLD = re.compile(r"[0-9]{15}", re.ASCII)
_SHOWN_FIRST, _SHOWN_LAST = 4, 2
_PERMIT = re.compile(r"[A-Z]{3}[0-9]{12}", re.ASCII)


def citizen_check_digit(first_17: str) -> str:
    """Return the 18th character: ISO 7064 MOD 11-2 over weights 2^(17-i)."""
    return _CITIZEN_CHECKS[sum(int(digit) * (1 << (17 - i)) for i, digit in enumerate(first_17)) % 11]


def is_citizen_number(number: str) -> bool:
    """18 characters with a right check digit; also the shape of 2023 foreigners' numbers."""
    return _CITIZEN.fullmatch(number) is not None and citizen_check_digit(number[:17]) == number[17]


def icao_check_digit(text: str) -> str:
    """Return the check digit of ICAO 9303-3 section 4.9: weights 7, 3, 1."""
    return str(sum(int(char, 36) * (7, 3, 1)[i % 3] for i, char in enumerate(text)) % 10)


def is_permit_number(number: str) -> bool:
    """The 15 characters of a 2017 foreigner's permit with a right check digit."""
    return _PERMIT.fullmatch(number) is not None and icao_check_digit(number[:14]) == number[14]


def upgrade_old_number(number: str) -> str | None:
    """Return the 18 characters of an old number of 15 digits, or None where it is none.

    They carried no check digit, and two digits of the year: all their holders were born before 2000.
    """
    if _OLD.fullmatch(number) is None:
        return None
    first_17 = f"{number[:6]}19{number[6:]}"
    return first_17 + citizen_check_digit(first_17)


def mask_number(number: str) -> str:
    """A number for a screen that others may see: the region and the last two characters."""
    if len(number) < _SHOWN_FIRST + _SHOWN_LAST + 1:
        return "*" * len(number)
    hidden = len(number) - _SHOWN_FIRST - _SHOWN_LAST
    return number[:_SHOWN_FIRST] + "*" * hidden + number[-_SHOWN_LAST:]


def parse_day(digits: str) -> date | None:
    """The day that eight digits YYYYMMDD name, or None where they name none."""
    if len(digits) != 8 or not (digits.isascii() and digits.isdecimal()):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
