"""Numbers and names of organisations: one form for each, or refused with what is wrong.

    unified social credit code    18 characters, GB 32100; characters 9 to 17 are the organisation code
    licence number                15 digits, the last one by ISO 7064 mod 11,10 (GS 15)
    organisation code             9 characters, the last one by GB 11714

Whether such an organisation exists is for a reviewer to say. Nothing of what was typed stands in an error.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from stdnum.cn.uscc import calc_check_digit
from stdnum.iso7064 import mod_11_10

from cloud.errors import FieldViolation, Reason, ServiceError
from cloud.privacy.normal import normal_id_number

MAX_NAME_CHARS = 100
"""The longest names of registers have some 60 characters."""

_ORG_CODE = re.compile(r"[0-9A-Z]{8}[0-9X]", re.ASCII)
_ORG_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_ORG_CODE_IN_USCC = slice(8, 17)
# The first character names the register: A the army's, N that of villages and farming, Y others.
_USCC = re.compile(r"[1-9ANY][1-9][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}", re.ASCII)
_LICENCE = re.compile(r"[0-9]{15}", re.ASCII)
_ALIKE = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "COPTIC", "CHEROKEE", "LISU"})
_SIGNS = frozenset(" ()[]\uff08\uff09\u3010\u3011\u300a\u300b\u00b7.,&'-/\u3001\u201c\u201d\u2014+\uff0c")


@dataclass(frozen=True, slots=True, repr=False)
class Numbers:
    """``uscc`` or ``licence_number`` is empty, never both; the organisation code is always known."""

    uscc: str
    licence_number: str
    organisation_code: str


def parse_numbers(*, uscc: str, licence_number: str, organisation_code: str) -> Numbers:
    """The numbers of one organisation, each in its one form, and in agreement.

    Raises:
        ServiceError: ORG_NUMBER_REQUIRED, USCC_INVALID, LICENCE_NUMBER_INVALID, ORG_CODE_INVALID,
            ORG_CODE_MISMATCH.
    """
    code = parse_organisation_code(organisation_code) if organisation_code.strip() else ""
    licence = parse_licence_number(licence_number) if licence_number.strip() else ""
    if uscc.strip():
        number = parse_uscc(uscc)
        if code and code != number[_ORG_CODE_IN_USCC]:
            raise _refused(Reason.ORG_CODE_MISMATCH, "organisation_code", "The two numbers do not agree.")
        return Numbers(number, licence, number[_ORG_CODE_IN_USCC])
    if not licence or not code:
        raise _refused(Reason.ORG_NUMBER_REQUIRED, "uscc", "A number of the organisation is missing.")
    return Numbers("", licence, code)


def parse_uscc(text: str) -> str:
    """18 characters.

    Raises:
        ServiceError: USCC_INVALID.
    """
    number = normal_id_number(text)
    if not _USCC.fullmatch(number) or calc_check_digit(number[:-1]) != number[-1]:
        raise _refused(Reason.USCC_INVALID, "uscc", "This is no unified social credit code.")
    if not _is_organisation_code(number[_ORG_CODE_IN_USCC]):
        raise _refused(Reason.USCC_INVALID, "uscc", "The organisation code within the code is none.")
    return number


def parse_licence_number(text: str) -> str:
    """15 digits.

    Raises:
        ServiceError: LICENCE_NUMBER_INVALID.
    """
    number = normal_id_number(text)
    if not _LICENCE.fullmatch(number) or not mod_11_10.is_valid(number):
        raise _refused(
            Reason.LICENCE_NUMBER_INVALID, "licence_number", "This is no registration number of a licence."
        )
    return number


def parse_organisation_code(text: str) -> str:
    """9 characters.

    Raises:
        ServiceError: ORG_CODE_INVALID.
    """
    code = normal_id_number(text)
    if not _is_organisation_code(code):
        raise _refused(Reason.ORG_CODE_INVALID, "organisation_code", "This is no organisation code.")
    return code


def parse_organisation_name(text: str) -> str:
    """The name as it is shown: NFC, one space between words, the brackets that were typed.

    Letters of one alphabet beside those of another that look alike are refused: no reader could tell.

    Raises:
        ServiceError: ORG_NAME_INVALID.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    letters = sum(char.isalpha() for char in name)
    known = all(char.isalnum() or char in _SIGNS or unicodedata.category(char) == "Mn" for char in name)
    if not 2 <= len(name) <= MAX_NAME_CHARS or letters < 2 or not known or len(_alphabets(name)) > 1:
        raise _refused(Reason.ORG_NAME_INVALID, "name", "This is no name of an organisation.")
    return name


def _alphabets(name: str) -> set[str]:
    plain = unicodedata.normalize("NFKC", name)
    return {unicodedata.name(char, "").partition(" ")[0] for char in plain if char.isalpha()} & _ALIKE


def _is_organisation_code(code: str) -> bool:
    if not _ORG_CODE.fullmatch(code):
        return False
    total = sum(int(char, 36) * weight for char, weight in zip(code, _ORG_WEIGHTS, strict=False))
    return code[-1] == "0123456789X0"[11 - total % 11]


def _refused(reason: Reason, field: str, message: str) -> ServiceError:
    return ServiceError(
        reason, message, violations=(FieldViolation(f"real_name.{field}", reason.value, message),)
    )
