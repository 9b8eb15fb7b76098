"""What each stable code says to a person, and what helps, in zh, es and en; from texts.toml, read once.

The fault itself says more (which file, which port), in English; this is what a screen shows in its language.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from edge.texts import Language

LANGUAGES: tuple[Language, ...] = ("zh", "es", "en")


@dataclass(frozen=True, slots=True)
class Told:
    """``text``: what is the matter. ``remedy``: what to do."""

    text: Mapping[Language, str]
    remedy: Mapping[Language, str]


def told(code: str) -> Told | None:
    """The texts of a code; None where it is not known here."""
    return catalogue().get(code)


@cache
def catalogue() -> Mapping[str, Told]:
    """All codes with their texts."""
    data = tomllib.loads(files(__name__).joinpath("texts.toml").read_text(encoding="utf-8"))
    remedies = data["remedies"]
    return MappingProxyType(
        {
            code: Told(_by_language(entry), _by_language(remedies[entry["remedy"]]))
            for code, entry in data["codes"].items()
        }
    )


def _by_language(texts: Mapping[str, str]) -> Mapping[Language, str]:
    return MappingProxyType({language: texts[language] for language in LANGUAGES})
