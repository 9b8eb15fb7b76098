"""Telephone numbers: which are ones, their one form (E.164), and which segments are served.

Whether a number is of a segment that exists is the library's knowledge; whether we serve it is not in code
but in rules with a date (``cloud.rulebook``).
"""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumberType

from cloud.errors import Reason, ServiceError
from cloud.privacy.masks import mask_phone
from cloud.privacy.normal import normal_phone
from cloud.rulebook.segments import judge_number
from verifield.v1.rulebook_pb2 import NumberSegmentRules

DEFAULT_REGION = "CN"

MAX_PHONE_CHARS = 40
"""What people type: 15 digits, and what they put between them."""

_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

REMEDIES = "CHANGE_PHONE,WAIT_FOR_SEGMENT"
"""What can be done about a segment that is not served, for machines."""


def parse_phone(text: str) -> str:
    """A mobile number in E.164, +8613800001234; without a country's code it is a Chinese one.

    Raises:
        ServiceError: PHONE_INVALID.
    """
    if len(text) > MAX_PHONE_CHARS:
        raise _invalid()
    try:
        number = phonenumbers.parse(normal_phone(text), DEFAULT_REGION)
    except phonenumbers.NumberParseException as error:
        raise _invalid() from error
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise _invalid()
    if phonenumbers.number_type(number) not in _MOBILE:
        raise _invalid()
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def check_segment(rules: NumberSegmentRules, phone: str) -> None:
    """Check that a number (E.164) is of a segment that is served.

    Raises:
        ServiceError: PHONE_SEGMENT_UNSUPPORTED, with ``segment`` and ``remedies`` as facts.
    """
    segment = judge_number(rules, *split(phone))
    if not segment.supported:
        raise ServiceError(
            Reason.PHONE_SEGMENT_UNSUPPORTED,
            f"Numbers of the segment {segment.prefix} are not served for now.",
            {"segment": segment.prefix, "remedies": REMEDIES},
        )


def mask(phone: str) -> str:
    """A number (E.164) with its middle hidden: +86 138****1234."""
    country, number = split(phone)
    return mask_phone(f"+{country} {number}")


def split(phone: str) -> tuple[int, str]:
    """The country's code of a number (E.164), and its digits within the country."""
    number = phonenumbers.parse(phone)
    return number.country_code or 0, phonenumbers.national_significant_number(number)


def _invalid() -> ServiceError:
    return ServiceError(Reason.PHONE_INVALID, "This is no number that can receive text messages.")
