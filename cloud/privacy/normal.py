"""One form for each value, so that what a person types finds what another person typed.

Widths, cases, spaces and dashes differ between people; none of them makes another value. Whether a value
is a valid one is for its own room to say.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = r"\u200b-\u200d\ufeff"  # spaces and joiners without width
_SPACES = re.compile(rf"[\s{_INVISIBLE}]+")
# NFKC leaves these apart from U+00B7.
_DOTS = re.compile(r"[\u2022\u30fb\u2027\u22c5\u2219\uff65]")
_BESIDE_DIGITS = re.compile(rf"[\s{_INVISIBLE}()\[\].\-\u2010-\u2015/\u00b7]+")


def normal_id_number(number: str) -> str:
    """Compatible forms folded (NFKC), upper case (a check digit may be x), without spaces and dashes."""
    return _BESIDE_DIGITS.sub("", _compatible(_compatible(number).upper()))


def normal_phone(phone: str) -> str:
    """Digits, behind a + where the number has its country's code; 00 in front stands for +."""
    digits = _BESIDE_DIGITS.sub("", _compatible(phone))
    return f"+{digits[2:]}" if digits.startswith("00") else digits


def normal_email(address: str) -> str:
    """Compatible forms folded, case folded, without spaces; the domain in its ASCII form.

    The part before the @ may differ by case in theory, and does not in practice (RFC 5321, 2.4).
    """
    text = _SPACES.sub("", _compatible(_compatible(address).casefold()))
    name, at, domain = text.rpartition("@")
    try:
        return name + at + domain.encode("idna").decode() if at else text
    except UnicodeError:
        return text


def normal_name(name: str) -> str:
    """Compatible forms folded, case folded, one space between words, every middle dot the same."""
    text = _DOTS.sub("\u00b7", _compatible(_compatible(name).casefold()))
    return _SPACES.sub(" ", text).strip()


def _compatible(text: str) -> str:
    # Changing the case can leave this form, so it is taken before and after.
    return unicodedata.normalize("NFKC", text)
