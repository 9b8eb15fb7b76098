"""A text in all languages, with places for what differs from message to message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

LANGUAGES = ("zh", "en", "es")

MAX_VALUE_CHARS = 300
"""Of one value: a title or a name, never a text of its own."""

_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,63}")


@dataclass(frozen=True, slots=True)
class Text:
    """``subject``: of an e-mail. ``body``: of both; places are ``{name}``."""

    subject: str
    body: str

    @property
    def places(self) -> frozenset[str]:
        return frozenset(_PLACE.findall(self.subject + self.body))


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a person reads; never logged. ``values``: as they stand in it."""

    subject: str = field(repr=False)
    body: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Template:
    """One kind of message. ``name``: stable, for staff and for gateways that have texts of their own.

    ``lives``: how long the message is of use after it was posted; None: without end. It is not sent later.
    """

    name: str
    zh: Text
    en: Text
    es: Text
    lives: timedelta | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name} is no name of a template")
        if not self.zh.places == self.en.places == self.es.places:
            raise ValueError(f"the template {self.name} has not the same places in all languages")

    @property
    def places(self) -> frozenset[str]:
        return self.en.places

    def render(self, language: str, values: Mapping[str, str]) -> Rendered:
        """Fill in ``values``, one for each place; English where ``language`` is none of ours.

        Raises:
            ValueError: a value is missing, too long, or belongs to no place.
        """
        if set(values) != self.places:
            raise ValueError(f"the template {self.name} wants the values {sorted(self.places)}")
        if any(len(value) > MAX_VALUE_CHARS for value in values.values()):
            raise ValueError(f"a value for the template {self.name} is too long")
        text: Text = getattr(self, language) if language in LANGUAGES else self.en
        clean = {name: _in_one_line(value) for name, value in values.items()}
        return Rendered(_fill(text.subject, clean), _fill(text.body, clean), clean)


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)


def _in_one_line(value: str) -> str:
    """Without what ends lines or hides: a value is never a header, nor a message of its own."""
    return " ".join("".join(one if one.isprintable() else " " for one in value).split())
