"""Marks: what a reviewer and an applicant could have in common, as keyed digests that can only be compared.

    HMAC-SHA256(key of the field, normal form of the value)

The key is made of a secret that is never in the database, the same on all servers, and does not change when
blind indexes are renewed: marks of years ago still equal those of today. Equal values of two fields give
different marks.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType

import phonenumbers

from cloud.privacy.normal import normal_id_number, normal_name, normal_phone

HOME_REGION = "CN"
"""Of telephone numbers without a country's code."""

_PURPOSE = b"verifield marks of interest"

_BETWEEN_WORDS = re.compile(r"[\W_]+")
# One legal form under its long and its short name.
_SHORT_FORMS = MappingProxyType(
    {"limited": "ltd", "company": "co", "corporation": "corp", "incorporated": "inc"}
)
_SHORT_ENDINGS = (("有限责任公司", "有限公司"), ("股份有限公司", "股份公司"))


@dataclass(frozen=True, slots=True)
class Marker:
    """``secret``: 32 bytes or more (``Authority.renewal_secret``)."""

    secret: bytes = field(repr=False)

    def id_number(self, number: str) -> bytes:
        """Of the number of an identity document."""
        return self._mark("id_number", normal_id_number(number))

    def phone(self, number: str) -> bytes:
        """Of a telephone number; written with its country's code or without, it gives the same mark."""
        return self._mark("phone", _international(normal_phone(number)))

    def company(self, name_or_code: str) -> bytes:
        """Of a company's name, or its unified social credit code: two marks for two ways to name it.

        Spaces, dots, dashes, brackets and the short name of a legal form make no other company.
        """
        return self._mark("company", _company(name_or_code))

    def _mark(self, kind: str, value: str) -> bytes:
        key = hmac.digest(self.secret, _PURPOSE + b"\0" + kind.encode(), sha256)
        return hmac.digest(key, value.encode(), sha256)


def _company(name_or_code: str) -> str:
    name = normal_name(name_or_code)
    words = [_SHORT_FORMS.get(word, word) for word in _BETWEEN_WORDS.split(name)]
    joined = "".join(words) or name  # of signs alone: as it is
    for long, short in _SHORT_ENDINGS:
        joined = joined.replace(long, short)
    return joined


def _international(number: str) -> str:
    try:
        parsed = phonenumbers.parse(number, HOME_REGION)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
