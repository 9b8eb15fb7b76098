"""From lines of text to the four elements of a resident's card. Pure.

The layout of both sides is fixed, but a camera sees it askew and a text reader joins and splits lines. So
fields are found by their labels and forms, and what has a check digit must keep it. What is not found is
left empty: a person types it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge.reader.names import normalise_name
from edge.reader.numbers import is_citizen_number
from edge.reader.scan.text import Line

LEAST_SCORE = 0.6
"""Below this the text reader guesses."""

LONG_TERM = "长期"

_NUMBER = re.compile(r"[0-9]{17}[0-9X]")
_DATES = re.compile(
    r"(\d{4})[.\-/年](\d{2})[.\-/月](\d{2})日?[-—–~至一]*(?:(\d{4})[.\-/年](\d{2})[.\-/月](\d{2})|长期)"
)
_NAME_LABEL = re.compile(r"^姓\s*名\s*[:\uff1a]?")
_OTHER_LABELS = ("性别", "民族", "出生", "住址", "公民", "身份", "号码")
_LATIN_SLIPS = str.maketrans("OoIlZS", "001125")


@dataclass(frozen=True, slots=True, repr=False)
class ScannedFields:
    """What was read of either side; empty where it was not. Personal data: no ``repr``."""

    name: str = ""
    number: str = ""
    valid_from: str = ""
    valid_to: str = ""
    lines_seen: int = field(default=0)

    @property
    def complete(self) -> bool:
        return all((self.name, self.number, self.valid_from, self.valid_to))

    def joined(self, other: ScannedFields) -> ScannedFields:
        """Both sides together; what this one has stays."""
        return replace(
            self,
            name=self.name or other.name,
            number=self.number or other.number,
            valid_from=self.valid_from or other.valid_from,
            valid_to=self.valid_to or other.valid_to,
            lines_seen=self.lines_seen + other.lines_seen,
        )


def read_fields(lines: Sequence[Line]) -> ScannedFields:
    """Find what one side of the card says."""
    sure = [line for line in lines if line.score >= LEAST_SCORE]
    valid_from, valid_to = _validity(sure)
    return ScannedFields(_name(sure), _number(sure), valid_from, valid_to, len(sure))


def _number(lines: Sequence[Line]) -> str:
    """The first run of 18 characters whose check digit holds; letters that look like digits are digits."""
    for line in lines:
        compact = re.sub(r"\s", "", line.text)
        for text in (compact, compact.translate(_LATIN_SLIPS)):
            for match in re.finditer(r"(?=([0-9]{17}[0-9Xx]))", text):
                number = match.group(1).upper()
                if _NUMBER.fullmatch(number) and is_citizen_number(number):
                    return number
    return ""


def _validity(lines: Sequence[Line]) -> tuple[str, str]:
    for line in lines:
        match = _DATES.search(re.sub(r"\s", "", line.text))
        if match:
            ends = "".join(match.group(4, 5, 6)) if match.group(4) else LONG_TERM
            return "".join(match.group(1, 2, 3)), ends
    return "", ""


def _name(lines: Sequence[Line]) -> str:
    """Behind its label, on the same line or in the box to the right of it."""
    for line in lines:
        label = _NAME_LABEL.match(line.text.strip())
        if label is None:
            continue
        name = line.text.strip()[label.end() :].strip()
        if not name:
            height = line.bottom - line.top
            beside = [
                one
                for one in lines
                if one is not line and one.left >= line.left and abs(one.middle - line.middle) < height
            ]
            name = min(beside, key=lambda one: one.left).text.strip() if beside else ""
        if name and not name.startswith(_OTHER_LABELS):
            return normalise_name(name)
    return ""
