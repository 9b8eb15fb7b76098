"""The four elements: name, number, and both ends of the validity of a resident's identity card.

What people type becomes one form here, or is refused with what to do about it. Whether it is true is for the
people's registry to say. Nothing of what was typed stands in an error.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from cloud.errors import FieldViolation, Reason, ServiceError
from cloud.privacy.normal import normal_id_number
from verifield.v1 import identity_pb2 as pb

MIDDLE_POINT = "\u00b7"
"""The one point that the registry has between the parts of a name."""

MAX_NAME_CHARS = 50
"""The longest names of the registry have some 30 characters."""

MAX_AGE_YEARS = 130

ID_NUMBER_CHARS = 18

_PROVINCES_BY_TENS = {
    1: "12345",
    2: "123",
    3: "1234567",
    4: "123456",
    5: "01234",
    6: "12345",
    7: "1",
    8: "123",
}
PROVINCES = frozenset(f"{tens}{one}" for tens, units in _PROVINCES_BY_TENS.items() for one in units)
"""GB/T 2260; 81 to 83 are residents from Hong Kong, Macao and Taiwan. Counties and cities come and go, and
people keep their numbers: those are not checked."""

_FOREIGNER = "9"  # in front of the province, in the numbers of foreigners with permanent residence (2023)

# What keyboards, fonts and forms give for U+00B7. NFKC joins only two of them with it, or with each other.
_POINTS = frozenset(
    "\u0387"  # Greek ano teleia
    "\u05bc"  # Hebrew point dagesh
    "\u119e"  # Hangul letter araea, as NFKC has it
    "\u16eb"  # runic single punctuation
    "\u2022"  # bullet
    "\u2024"  # one dot leader
    "\u2027"  # hyphenation point
    "\u2218"  # ring operator
    "\u2219"  # bullet operator
    "\u22c5"  # dot operator
    "\u25cf"  # black circle
    "\u25e6"  # white bullet
    "\u26ab"  # medium black circle
    "\u2981"  # Z notation spot
    "\u2e31"  # word separator middle dot
    "\u2e33"  # raised dot
    "\u30fb"  # katakana middle dot
    "\ua78f"  # sinological dot
    "\uff65"  # half-width katakana middle dot
    "\uff61"  # half-width ideographic full stop
    "\u3002"  # ideographic full stop
    "\ufe52"  # small full stop
    "\uff0e"  # full-width full stop
    "\U00010101"  # Aegean word separator dot
)
_FULL_STOP = "."  # in names in Latin letters it ends an abbreviation
_IN_LATIN = frozenset(" -'" + _FULL_STOP)
# They change how a character or a line looks, and nothing else; so do all characters of the category Cf.
_SELECTORS = re.compile(r"[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")  # letters by their category that show nothing
_APOSTROPHES = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u02bb": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-"}
)

_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_OLD_ID_NUMBER = re.compile(r"[0-9]{15}", re.ASCII)
_CHECKS = "10X98765432"

_DAY = re.compile(
    r"(?P<year>\d{4})(?:(?P<sep>[-./])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})"
    r"|年(?P<month_zh>\d{1,2})月(?P<day_zh>\d{1,2})日|(?P<month_8>\d{2})(?P<day_8>\d{2}))",
    re.ASCII,
)
_LONG_TERM_WORDS = frozenset({"长期", "長期", "长期有效", "長期有效", "longterm", "long"})
_LONG_TERM_DAYS = frozenset({(0, 0, 0), (2099, 12, 31), (9999, 12, 31)})
_FIRST_YEAR = 1900
_FARTHEST_EAST = timedelta(hours=14)  # UTC+14, Kiribati
_FARTHEST_WEST = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Validity:
    """None is long-term: ``valid_to`` of a card without end, ``valid_from`` where there is no day for it."""

    valid_from: date | None
    valid_to: date | None

    @property
    def is_long_term(self) -> bool:
        """Whether either end is long-term."""
        return self.valid_from is None or self.valid_to is None


@dataclass(frozen=True, slots=True)
class FourElements:
    """In the one form of each; not shown in ``repr``. Equal values are equal people's cards."""

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    validity: Validity = field(repr=False)


def parse_name(text: str, *, path: str = "name") -> str:
    """The name as the registry writes it: NFKC, U+00B7 between its parts, no spaces in Chinese names.

    A look-alike of the point counts as one between two Chinese characters, where it can be nothing else.
    NFKC alone does not join them. What shows nothing is left out. Letters are of one alphabet, so that none
    stands for a look-alike of another one. ``path``: what an error calls the field.

    Raises:
        ServiceError: NAME_INVALID; ``rule`` says whether it is the point (MIDDLE_POINT) or another character.
    """
    shown = "".join(char for char in _SELECTORS.sub("", text) if unicodedata.category(char) != "Cf")
    plain = unicodedata.normalize("NFKC", shown).translate(_APOSTROPHES)
    name = " ".join(plain.split())
    if any(map(_is_han, name)):
        name = _join_points(name.replace(" ", ""), path)
    elif not all(char in _IN_LATIN or char == MIDDLE_POINT or _is_letter(char) for char in name):
        is_point = any(char in _POINTS for char in name)
        raise _name_invalid(path, "MIDDLE_POINT" if is_point else "CHARACTER")
    elif len(_alphabets(name)) > 1:
        raise _name_invalid(path, "CHARACTER")
    if not name or len(name) > MAX_NAME_CHARS or not _alphabets(name):
        raise _name_invalid(path, "LENGTH")
    return name


def parse_id_number(text: str, *, today: date | None = None, path: str = "id_number") -> str:
    """18 characters: province, region, birth, order, check digit (GB 11643, ISO 7064 MOD 11-2).

    ``today``: where it is given, nobody may be born later, or more than 130 years before.

    Raises:
        ServiceError: ID_NUMBER_INVALID; ``rule`` says what is wrong, never which digit.
    """
    number = normal_id_number(text)
    if _OLD_ID_NUMBER.fullmatch(number):
        raise _id_invalid(
            path, "FIFTEEN_DIGITS", "Numbers of 15 digits ended in 2013: give the 18 characters."
        )
    if not _ID_NUMBER.fullmatch(number):
        raise _id_invalid(path, "FORM", "The number has 18 characters: 17 digits, and a digit or X.")
    if _check_digit(number[:17]) != number[17]:
        raise _id_invalid(
            path, "CHECK_DIGIT", "A character of the number is wrong, or two stand in each other's place."
        )
    province = number[1:3] if number[0] == _FOREIGNER else number[:2]
    if province not in PROVINCES:
        raise _id_invalid(path, "REGION", "No region has the number's first digits.")
    born = birth_of(number)
    if born is None or born.year < _FIRST_YEAR:
        raise _id_invalid(path, "BIRTH", "The number's day of birth is none.")
    if today is not None and not (born <= today and today.year - born.year <= MAX_AGE_YEARS):
        raise _id_invalid(path, "AGE", "Nobody alive was born on the number's day of birth.")
    return number


def last_today(now: datetime) -> date:
    """The latest day that it is anywhere: nothing that is dated later has happened."""
    return (now + _FARTHEST_EAST).date()


def first_today(now: datetime) -> date:
    """The earliest day that it is anywhere: all earlier ones are over."""
    return (now - _FARTHEST_WEST).date()


def birth_of(id_number: str) -> date | None:
    """The day of birth in a number of 18 characters; None where it is no day."""
    return _to_day(int(id_number[6:10]), int(id_number[10:12]), int(id_number[12:14]))


def parse_day(text: str, *, path: str) -> date | None:
    """A day of the validity; None for long-term, in any of its spellings.

    Raises:
        ServiceError: VALIDITY_INVALID.
    """
    plain = re.sub(r"\s", "", unicodedata.normalize("NFKC", text))
    if re.sub(r"[-_]", "", plain.casefold()) in _LONG_TERM_WORDS:
        return None
    match = _DAY.fullmatch(plain)
    if match is None:
        raise _validity_invalid(
            path, "FORM", "A day is written YYYY-MM-DD; a card without end has long_term."
        )
    month = match["month"] or match["month_zh"] or match["month_8"]
    day = match["day"] or match["day_zh"] or match["day_8"]
    parts = int(match["year"]), int(month), int(day)
    if parts in _LONG_TERM_DAYS:
        return None
    found = _to_day(*parts)
    if found is None or found.year < _FIRST_YEAR:
        raise _validity_invalid(path, "DAY", "There is no such day.")
    return found


def parse_validity(
    valid_from: str | None, valid_to: str | None, *, today: date | None = None, path: str = "validity"
) -> Validity:
    """Both ends; None is long-term, as are its spellings. ``today``: the card was issued by then.

    Raises:
        ServiceError: VALIDITY_INVALID.
    """
    start = None if valid_from is None else parse_day(valid_from, path=f"{path}.valid_from")
    end = None if valid_to is None else parse_day(valid_to, path=f"{path}.valid_to")
    if start is None and end is not None:
        raise _validity_invalid(f"{path}.valid_from", "START", "A card that ends also begins on a day.")
    if start is not None and end is not None and end <= start:
        raise _validity_invalid(f"{path}.valid_to", "ORDER", "The card ends before it begins.")
    if today is not None and start is not None and start > today:
        raise _validity_invalid(
            f"{path}.valid_from", "FUTURE", "The card begins on a day that is still to come."
        )
    return Validity(start, end)


def parse_elements(
    message: pb.FourElements, *, today: date | None = None, path: str = "elements"
) -> FourElements:
    """The elements of a request, whose fields have been checked to be there.

    Raises:
        ServiceError: NAME_INVALID, ID_NUMBER_INVALID, VALIDITY_INVALID.
    """
    validity = message.validity
    return FourElements(
        parse_name(message.name, path=f"{path}.name"),
        parse_id_number(message.id_number, today=today, path=f"{path}.id_number"),
        parse_validity(
            validity.valid_from if validity.WhichOneof("start") == "valid_from" else None,
            validity.valid_to if validity.WhichOneof("end") == "valid_to" else None,
            today=today,
            path=f"{path}.validity",
        ),
    )


def to_message(elements: FourElements) -> pb.FourElements:
    """As they travel, and as they may be sealed: :func:`parse_elements` gives the same again."""
    validity = pb.Validity()
    if elements.validity.valid_from is None:
        validity.from_long_term = True
    else:
        validity.valid_from = elements.validity.valid_from.isoformat()
    if elements.validity.valid_to is None:
        validity.long_term = True
    else:
        validity.valid_to = elements.validity.valid_to.isoformat()
    return pb.FourElements(name=elements.name, id_number=elements.id_number, validity=validity)


def _join_points(name: str, path: str) -> str:
    chars = list(name)
    for index, char in enumerate(chars):
        if _is_han(char):
            continue
        between = 0 < index < len(chars) - 1 and _is_han(chars[index - 1]) and _is_han(chars[index + 1])
        if char != MIDDLE_POINT and char not in _POINTS and char != _FULL_STOP:
            raise _name_invalid(path, "CHARACTER")
        if not between:
            raise _name_invalid(path, "MIDDLE_POINT")
        chars[index] = MIDDLE_POINT
    return "".join(chars)


def _is_han(char: str) -> bool:
    if "\U00020000" <= char <= "\U0003fffd":  # nothing else will be there, and cards have the newest of them
        return True
    # Some that are called compatible stand for themselves alone.
    known = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")
    return char == "\u3007" or unicodedata.name(char, "").startswith(known)


def _is_letter(char: str) -> bool:
    """A letter, or a mark on one."""
    return unicodedata.category(char)[0] in "LM" and char not in _FILLERS | _POINTS


def _alphabets(name: str) -> set[str]:
    """Of the letters of a name: LATIN, CYRILLIC, CJK."""
    letters = (char for char in name if _is_han(char) or unicodedata.category(char)[0] == "L")
    return {"CJK" if _is_han(char) else unicodedata.name(char, "").split(" ")[0] for char in letters}


def _check_digit(first_17: str) -> str:
    return _CHECKS[sum(int(digit) * (1 << (17 - index)) for index, digit in enumerate(first_17)) % 11]


def _to_day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _name_invalid(path: str, rule: str) -> ServiceError:
    told = {
        "MIDDLE_POINT": f"The point between two parts of a name is one {MIDDLE_POINT} (U+00B7).",
        "CHARACTER": f"A character is no letter; between parts of a name write {MIDDLE_POINT} (U+00B7).",
        "LENGTH": f"A name has 1 to {MAX_NAME_CHARS} characters.",
    }[rule]
    return _invalid(Reason.NAME_INVALID, path, rule, told)


def _id_invalid(path: str, rule: str, told: str) -> ServiceError:
    return _invalid(Reason.ID_NUMBER_INVALID, path, rule, told)


def _validity_invalid(path: str, rule: str, told: str) -> ServiceError:
    return _invalid(Reason.VALIDITY_INVALID, path, rule, told)


def _invalid(reason: Reason, path: str, rule: str, told: str) -> ServiceError:
    return ServiceError(reason, told, {"rule": rule}, violations=(FieldViolation(path, rule, told),))
