"""The machine-readable zone of passports (TD3) and cards (TD1, TD2): ICAO 9303 parts 3 to 6. Pure.

What a camera read is repaired only where the format leaves one choice, such as a letter O where only a
digit can stand; all check digits must then hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from edge.reader.numbers import icao_check_digit

FORMS = {"TD1": (3, 30), "TD2": (2, 36), "TD3": (2, 44)}
"""Lines and characters of each."""

_FILLER = "<"
_SHORTEST = 12  # what is left of a row of names whose fillers are lost
_ALPHABET = re.compile(r"[A-Z0-9<]+", re.ASCII)
_TO_DIGIT = str.maketrans("ODQIZSBG", "00012586")
_TO_LETTER = str.maketrans("01258", "OIZSB")


@dataclass(frozen=True, slots=True, repr=False)
class Zone:
    """What a zone says. ``sex``: M, F or X. Personal data: no ``repr``."""

    form: str
    issuer: str
    name: str
    number: str
    nationality: str
    birth: date
    sex: str
    expires: date
    optional: str = field(default="")


def parse_zone(lines: Sequence[str], *, today: date) -> Zone | None:
    """Return what the zone in ``lines`` says, or None where there is none whose check digits hold.

    ``today`` tells to which century two digits of a year belong: nobody is born after it.
    """
    rows = [clean for line in lines if len(clean := _clean(line)) >= _SHORTEST]
    for form, (count, width) in FORMS.items():
        for start in range(len(rows) - count + 1):
            taken = rows[start : start + count]
            names = count - 1 if form == "TD1" else 0
            taken[names] = taken[names].ljust(width, _FILLER)  # cameras lose the fillers at its end
            if all(len(row) == width for row in taken):
                zone = _PARSERS[form](taken, today)
                if zone is not None:
                    return zone
    return None


def _clean(line: str) -> str:
    text = line.upper().replace(" ", "").replace("«", "<<").replace("‹", "<")
    return text if _ALPHABET.fullmatch(text) else ""


def _td3(rows: Sequence[str], today: date) -> Zone | None:
    """A passport's optional data have a check digit of their own, at 42."""
    if rows[0][0] != "P":
        return None
    return _two_rows("TD3", rows, optional=slice(28, 42), checked_to=43, digits={42}, today=today)


def _td2(rows: Sequence[str], today: date) -> Zone | None:
    return _two_rows("TD2", rows, optional=slice(28, 35), checked_to=35, digits=set(), today=today)


def _two_rows(
    form: str, rows: Sequence[str], *, optional: slice, checked_to: int, digits: set[int], today: date
) -> Zone | None:
    """TD2 and TD3 differ in the end of their second row; its digit at ``checked_to`` is over the whole."""
    names, data = rows
    places = {9, 19, 27, *range(13, 19), *range(21, 27)} | digits
    return _zone(
        form,
        issuer=names[2:5],
        names=names[5:],
        number=data[:10],
        nationality=data[10:13],
        birth=data[13:20],
        sex=data[20],
        expires=data[21:28],
        optional=data[optional],
        whole=(_digits_at(data, ((0, 10), (13, 20), (21, checked_to)), places), data[checked_to]),
        today=today,
    )


def _td1(rows: Sequence[str], today: date) -> Zone | None:
    first, second, names = rows
    joined = _digits(first, {14})[5:30] + _digits_at(
        second, ((0, 7), (8, 15), (18, 29)), {6, 14, *range(6), *range(8, 14)}
    )
    return _zone(
        "TD1",
        issuer=first[2:5],
        names=names,
        number=first[5:15],
        nationality=second[15:18],
        birth=second[:7],
        sex=second[7],
        expires=second[8:15],
        optional=first[15:30],
        whole=(joined, second[29]),
        today=today,
    )


_PARSERS = {"TD1": _td1, "TD2": _td2, "TD3": _td3}


def _zone(
    form: str,
    *,
    issuer: str,
    names: str,
    number: str,
    nationality: str,
    birth: str,
    sex: str,
    expires: str,
    optional: str,
    whole: tuple[str, str],
    today: date,
) -> Zone | None:
    born, ends = _checked(birth.translate(_TO_DIGIT)), _checked(expires.translate(_TO_DIGIT))
    document = _checked(number[:9] + number[9].translate(_TO_DIGIT))
    joined, check = whole
    if None in (born, ends, document) or icao_check_digit(_values(joined)) != check.translate(_TO_DIGIT):
        return None
    birth_date, end_date = _past(born or "", today), _future(ends or "", today)
    name = _name(names.translate(_TO_LETTER))
    if birth_date is None or end_date is None or not name or sex not in "MFX<":
        return None
    return Zone(
        form=form,
        issuer=_code(issuer),
        name=name,
        number=(document or "").rstrip(_FILLER),
        nationality=_code(nationality),
        birth=birth_date,
        sex="X" if sex == _FILLER else sex,
        expires=end_date,
        optional=optional.strip(_FILLER).replace(_FILLER, " "),
    )


def _checked(field_and_digit: str) -> str | None:
    """The field without its check digit, None where that is wrong."""
    value, digit = field_and_digit[:-1], field_and_digit[-1]
    return value if icao_check_digit(_values(value)) == digit else None


def _values(text: str) -> str:
    """Fillers count as zero."""
    return text.replace(_FILLER, "0")


def _digits(row: str, places: set[int]) -> str:
    return "".join(char.translate(_TO_DIGIT) if i in places else char for i, char in enumerate(row))


def _digits_at(row: str, parts: Sequence[tuple[int, int]], places: set[int]) -> str:
    repaired = _digits(row, places)
    return "".join(repaired[start:end] for start, end in parts)


def _code(text: str) -> str:
    return text.translate(_TO_LETTER).rstrip(_FILLER)


def _name(text: str) -> str:
    """SURNAME, GIVEN NAMES."""
    surname, _, given = text.rstrip(_FILLER).partition(2 * _FILLER)
    parts = [part.replace(_FILLER, " ").strip() for part in (surname, given)]
    return ", ".join(part for part in parts if part)


def _past(digits: str, today: date) -> date | None:
    for century in (today.year // 100, today.year // 100 - 1):
        found = _date(century, digits)
        if found is not None and found <= today:
            return found
    return None


def _future(digits: str, today: date) -> date | None:
    """Documents last ten years or so: the century that is nearest."""
    found = [_date(today.year // 100 + step, digits) for step in (-1, 0, 1)]
    known = [one for one in found if one is not None]
    return min(known, key=lambda one: abs(one - today), default=None)


def _date(century: int, digits: str) -> date | None:
    try:
        return date(century * 100 + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return None
