"""A document from what a clerk types: name, number, valid from, valid to. No chip, and no photo.

Everything else that the statement needs stands in the number: kind, date of birth, sex.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from edge.errors import EdgeError, InputError
from edge.model import DocumentType, IdDocument, ReadMethod
from edge.reader.faults import fault
from edge.reader.names import normalise_name
from edge.reader.numbers import (
    HKMT_REGIONS,
    PROVINCES,
    is_citizen_number,
    is_permit_number,
    parse_day,
    upgrade_old_number,
)

MAX_NAME_CHARS = 60
"""The longest name field of any card."""

LONG_TERM = frozenset({"长期", "long-term", "largo plazo", "permanente"})

ELEMENTS = ("name", "number", "valid_from", "valid_to")
"""In the order in which a clerk finds them on a card: the names of :func:`typed_document`'s arguments."""


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """What a number says of its holder."""

    type: DocumentType
    number: str
    birth: date
    sex: str
    nationality: str


def typed_document(*, name: str, number: str, valid_from: str, valid_to: str) -> IdDocument:
    """Check the four elements against each other; dates as YYYYMMDD or YYYY-MM-DD, or a word for long-term.

    Raises:
        InputError: TYPED_DATA_INVALID with the name of the first field at fault, and never its value.
    """
    clean, facts = _name(name), number_facts(number.strip().upper())
    begins, ends = _date(valid_from, "valid from"), _end(valid_to)
    if begins < facts.birth or (ends is not None and ends <= begins):
        raise _invalid("validity")
    return IdDocument(
        type=facts.type,
        read_method=ReadMethod.TYPED,
        name=clean,
        number=facts.number,
        sex=facts.sex,
        birth=facts.birth,
        valid_from=begins,
        valid_to=ends,
        issuer="",
        address="",
        ethnicity="",
        nationality=facts.nationality,
        photo=None,
        reader_sam_id="",
    )


def element_fits(element: str, text: str) -> bool:
    """Whether ``text`` can be that one of :data:`ELEMENTS`, seen by itself."""
    try:
        match element:
            case "name":
                _name(text)
            case "number":
                number_facts(text.strip().upper())
            case "valid_from":
                _date(text, "valid from")
            case "valid_to":
                _end(text)
    except InputError:
        return False
    return True


def number_facts(number: str) -> NumberFacts:
    """Read a number of any of the four cards; an old one of 15 digits is brought to 18.

    Raises:
        InputError: TYPED_DATA_INVALID, its form, check digit, region or date of birth is wrong.
    """
    if is_permit_number(number):
        birth = _birth(_century(number[7:9]) + number[7:13])
        return NumberFacts(DocumentType.FOREIGNER_2017, number, birth, "X", number[:3])
    full = upgrade_old_number(number) or number
    kind = _kind(full)
    if not is_citizen_number(full) or kind is None:
        raise _invalid("number")
    sex = "M" if int(full[16]) % 2 else "F"
    # The country stands in a foreigner's number as three digits, which nothing else here needs.
    nationality = "" if kind is DocumentType.FOREIGNER_2023 else "CHN"
    return NumberFacts(kind, full, _birth(full[6:14]), sex, nationality)


def _name(text: str) -> str:
    clean = normalise_name(text.strip())
    if not 0 < len(clean) <= MAX_NAME_CHARS or not clean.isprintable():
        raise _invalid("name")
    return clean


def _end(text: str) -> date | None:
    return None if text.strip().lower() in LONG_TERM else _date(text, "valid to")


def _kind(number: str) -> DocumentType | None:
    if number[:6] in HKMT_REGIONS:
        return DocumentType.HKMT_PERMIT
    if number[:1] == "9":  # also before a province: 911 is a foreigner who was registered in Peking
        return DocumentType.FOREIGNER_2023
    return DocumentType.RESIDENT_ID if number[:2] in PROVINCES else None


def _century(years: str) -> str:
    """A 2017 permit has two digits of the year: who would not be born yet was born in the century before."""
    return "19" if int(years) > _LAST_PERMIT_YEAR else "20"


_LAST_PERMIT_YEAR = 23
"""Permits of this form were given out until 2023."""


def _birth(digits: str) -> date:
    return _date(digits, "number")


def _date(text: str, what: str) -> date:
    value = parse_day(text.strip().replace("-", "").replace(".", ""))
    if value is None:
        raise _invalid(what)
    return value


def _invalid(what: str) -> EdgeError:
    return fault("TYPED_DATA_INVALID", what)
