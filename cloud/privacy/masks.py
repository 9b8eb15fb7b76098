"""How personal values are shown where the whole value is not needed: lists, logs of calls, messages.

A mask shows enough for a person to recognise what they know, and not enough to learn what they do not.
What is too short to leave anything hidden is hidden whole.
"""

from __future__ import annotations

_HIDDEN = "*"
_SHORT = 4
"""Values of up to four characters show nothing."""


def mask_id_number(number: str) -> str:
    """The first three and the last two characters: 110***********12."""
    return _mask(number, head=3, tail=2)


def mask_phone(phone: str) -> str:
    """The first three and the last four digits of a number: 138****5678; a country's code stays in front."""
    code, space, number = phone.partition(" ")
    if phone.startswith("+") and space:
        return f"{code} {_mask(number, head=3, tail=4)}"
    return _mask(phone, head=3, tail=4)


def mask_email(address: str) -> str:
    """The first character, and the domain: a***@example.org."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}{_HIDDEN * 3}@{domain}" if at and name else _HIDDEN * 3


def mask_name(name: str) -> str:
    """The first character of each word; of one short word, as Chinese names are, the last one."""
    words = name.split()
    if len(words) == 1 and len(name) <= _SHORT:
        return _HIDDEN * (len(name) - 1) + name[-1:] if len(name) > 1 else _HIDDEN
    return " ".join(word[:1] + _HIDDEN * 2 for word in words) or _HIDDEN


def _mask(text: str, *, head: int, tail: int) -> str:
    hidden = len(text) - head - tail
    if hidden < _SHORT:
        return _HIDDEN * len(text)
    return text[:head] + _HIDDEN * hidden + text[-tail:]
