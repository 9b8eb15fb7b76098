"""What people type to say who they are: id number, telephone number or login name, each in one form.

The forms of two kinds never meet: an id number has 18 characters without a sign in front, a telephone
number begins with +, a login name with a letter, and is refused where it could be read as one of the others.
That they stay apart also where these rules change, the database sees to: they stand in one column.
"""

from __future__ import annotations

import re

from cloud.codes.phones import parse_phone
from cloud.elements import parse_id_number
from cloud.errors import FieldViolation, Reason, ServiceError

_LOGIN_NAME = re.compile(r"[a-z][a-z0-9._-]{3,31}")
_DOCUMENT = re.compile(r"[a-z]{1,2}[0-9]{6,}")
"""As passports and travel permits are numbered: somebody may type one for an id number."""


def parse_login_name(text: str, *, path: str = "login_name") -> str:
    """A login name, in lower case.

    Raises:
        ServiceError: LOGIN_NAME_INVALID.
    """
    name = text.strip().lower()
    if not _LOGIN_NAME.fullmatch(name) or _DOCUMENT.fullmatch(name) or _as_id_number(name) or _as_phone(name):
        told = "This cannot be a login name."
        raise ServiceError(
            Reason.LOGIN_NAME_INVALID, told, violations=(FieldViolation(path, "LOGIN_NAME", told),)
        )
    return name


def normal_identifier(text: str) -> str:
    """The one form of whatever somebody typed to sign in; of what is nothing of ours, the text folded.

    Nothing is refused here: what nobody has is not found.
    """
    return _as_id_number(text) or _as_phone(text) or text.strip().lower()


def _as_id_number(text: str) -> str:
    try:
        return parse_id_number(text)
    except ServiceError:
        return ""


def _as_phone(text: str) -> str:
    if any(char.isalpha() for char in text):  # the library reads letters as the keys of a telephone
        return ""
    try:
        return parse_phone(text)
    except ServiceError:
        return ""
