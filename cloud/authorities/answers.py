"""Answers of gateways, read strictly: what is not exactly as agreed is refused, and never passes as a yes."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from cloud.authorities.port import MAX_OTHER, MAX_PICTURE_BYTES, MAX_TEXT_CHARS

MAX_PLAIN_BYTES = 64 * 1024
"""Of an answer without a picture."""

MAX_ANSWER_BYTES = MAX_PLAIN_BYTES + MAX_PICTURE_BYTES * 4 // 3 + 4
"""Of one with a picture, in base64."""

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)

E = TypeVar("E", bound=StrEnum)


class NonsenseError(ValueError):
    """An answer is not as agreed. The text names the rule, and nothing of the answer."""


class Answer:
    """One JSON object of an answer; every reader takes what is there or raises NonsenseError."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def has(self, key: str) -> bool:
        """Whether there is a value; null counts as none."""
        return self._values.get(key) is not None

    def text(self, key: str, *, longest: int = MAX_TEXT_CHARS, empty: bool = False) -> str:
        """A text of printable characters."""
        value = self._values.get(key)
        if not isinstance(value, str) or len(value) > longest or not (value or empty):
            raise NonsenseError(f"{key}: no text")
        if not value.isprintable():  # control characters, halves of surrogate pairs
            raise NonsenseError(f"{key}: not printable")
        return value

    def one_of(self, key: str, kind: type[E]) -> E:
        """A member of ``kind``, by its value, in exactly that writing."""
        value = self._values.get(key)
        if not isinstance(value, str) or value not in {member.value for member in kind}:
            raise NonsenseError(f"{key}: not one of {kind.__name__}")
        return kind(value)

    def share(self, key: str) -> float:
        """A number from 0 to 1."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NonsenseError(f"{key}: no number")
        if not (0 <= value <= 1 and math.isfinite(value)):
            raise NonsenseError(f"{key}: not from 0 to 1")
        return float(value)

    def whole(self, key: str, *, least: int, most: int) -> int:
        """A whole number of this range."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise NonsenseError(f"{key}: not a whole number of its range")
        return value

    def digest(self, key: str) -> bytes:
        """32 bytes in lower-case hexadecimal digits."""
        value = self._values.get(key)
        if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
            raise NonsenseError(f"{key}: no digest")
        return bytes.fromhex(value)

    def picture(self, key: str) -> bytes:
        """JPEG or PNG in base64."""
        value = self._values.get(key)
        if not isinstance(value, str):
            raise NonsenseError(f"{key}: no picture")
        try:
            content = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise NonsenseError(f"{key}: not base64") from error
        if len(content) > MAX_PICTURE_BYTES or not content.startswith(_PICTURES):
            raise NonsenseError(f"{key}: not a JPEG or PNG of at most {MAX_PICTURE_BYTES} bytes")
        return content

    def texts(self, key: str) -> dict[str, str]:
        """Few short texts by short names; none where the key is absent."""
        if not self.has(key):
            return {}
        value = self._values[key]
        if not isinstance(value, dict) or len(value) > MAX_OTHER:
            raise NonsenseError(f"{key}: no table, or too large a one")
        if not all(_KEY.fullmatch(name) for name in value):
            raise NonsenseError(f"{key}: a name that is none")
        table = Answer(value)
        return {name: table.text(name) for name in value}

    def table(self, key: str) -> Answer:
        """An object inside."""
        value = self._values.get(key)
        if not isinstance(value, dict):
            raise NonsenseError(f"{key}: no object")
        return Answer(value)

    def tables(self, key: str, *, count: int) -> list[Answer]:
        """Exactly so many objects."""
        value = self._values.get(key)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(isinstance(one, dict) for one in value)
        ):
            raise NonsenseError(f"{key}: not {count} objects")
        return [Answer(one) for one in value]


def parse_answer(content: bytes, *, request_id: str | None) -> Answer:
    """The object of an answer that names the request it belongs to; None for one that belongs to none.

    Raises:
        NonsenseError: it is not JSON, has a key twice, or is the answer to something else.
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NonsenseError("not JSON, or a key twice") from error
    if not isinstance(found, dict):
        raise NonsenseError("not an object")
    if request_id is not None and found.get("request_id") != request_id:
        raise NonsenseError("request_id: another one")
    return Answer(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def _refuse(_: str) -> Any:
    raise ValueError("no number")
