"""What people read on the kiosk, in zh, es and en: one table for each flow, one key for each sentence.

Each flow has a module here with ``TEXTS``; its keys begin with the flow's name, ``home.title``. A key that
is missing in a language is a bug that the tests find, so looking one up raises KeyError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from edge.kiosk.texts import (
    accounts,
    certifications,
    contracts,
    counter,
    device,
    feedback,
    home,
    liveness,
    manual,
    prepare,
    reasons,
    records,
    shell,
    verify,
)
from edge.texts import Language

Table = Mapping[str, Mapping[Language, str]]

TABLES: tuple[Table, ...] = (
    shell.TEXTS,
    home.TEXTS,
    verify.TEXTS,
    reasons.TEXTS,
    liveness.TEXTS,
    device.TEXTS,
    records.TEXTS,
    manual.TEXTS,
    contracts.TEXTS,
    prepare.TEXTS,
    counter.TEXTS,
    certifications.TEXTS,
    accounts.TEXTS,
    feedback.TEXTS,
)
"""Every flow adds its table."""

LANGUAGES: tuple[Language, ...] = get_args(Language)

_ALL: dict[str, Mapping[Language, str]] = {key: text for table in TABLES for key, text in table.items()}


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts in one language."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """The text of ``key`` with ``values`` in the places named in it.

        Raises:
            KeyError: there is no such text, or a place has no value.
        """
        text = _ALL[key][self.language]
        return text.format(**values) if values else text

    def find(self, key: str) -> str | None:
        """As a call, for keys that are made from codes: None where there is no such text."""
        text = _ALL.get(key)
        return None if text is None else text[self.language]


def all_texts() -> Mapping[str, Mapping[Language, str]]:
    """Every text by key."""
    return _ALL
