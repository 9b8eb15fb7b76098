"""Customer data: what of it can be used. Pure."""

from __future__ import annotations

import re

from edge.answers import PrivateField
from edge.policy import Policy

PHONE = "phone"
EMAIL = "email"

MAX_FIELD_CHARS = 200
"""A long postal address; beyond that somebody has pasted something else."""

_SEPARATORS = str.maketrans("", "", " -().")
_COUNTRY_CODE = re.compile(r"^(\+|00)86")
_PHONE = re.compile(r"\+?[0-9]{5,15}")
"""E.164 has at most 15 digits; the shortest subscriber numbers have 5."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def judge_field(name: str, text: str, policy: Policy) -> PrivateField | None:
    """Return the field as it is committed to, UTF-8; None where the text cannot be used.

    A phone's number loses separators and the country's code, so that one number has one form.
    """
    value = text.strip()
    if name == PHONE:
        digits = value.translate(_SEPARATORS)
        value = _COUNTRY_CODE.sub("", digits)
        if _PHONE.fullmatch(value) is None or not policy.accepts_number(value):
            return None
    elif name == EMAIL and _EMAIL.fullmatch(value) is None:
        return None
    if not 0 < len(value) <= MAX_FIELD_CHARS or not value.isprintable():
        return None
    return PrivateField(name, value.encode())
