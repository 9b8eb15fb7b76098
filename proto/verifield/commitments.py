"""Salted commitments: a field is disclosed by handing over its salt and value, or stays hidden for ever."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verifield.errors import Forged, Malformed
from verifield.evidence import MEDIA_PREFIX
from verifield.rules import FIELD, MAX_ITEMS
from verifield.v1.attestation_pb2 import Statement

SALT_BYTES = 32
"""As long as the digest: guessing the salt is no easier than guessing the digest."""

MAX_DISCLOSURES_BYTES = 32 * 1024 * 1024
"""A picture of 16 MiB in base64, and room."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What opens one commitment. Personal data: ``repr`` shows the field's name only."""

    field: str
    value: bytes
    salt: bytes

    def __repr__(self) -> str:
        return f"Disclosure({self.field})"


def commit(*, field: str, value: bytes, salt: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) with the salt as key over ``field`` || 0x00 || ``value``; 32 bytes.

    Raises:
        Malformed: the salt is not of 32 bytes, or the field name is empty or not printable (with a NUL in
            it two splits would fit).
    """
    if len(salt) != SALT_BYTES:
        raise Malformed("SALT_LENGTH", f"The salt must have {SALT_BYTES} bytes.")
    if not field or not field.isprintable():
        raise Malformed("FIELD_NAME", "The field name must be printable, and not empty.")
    return hmac.digest(salt, field.encode() + b"\0" + value, hashlib.sha256)


def check_disclosure(statement: Statement, *, field: str, value: bytes, salt: bytes) -> None:
    """Check that the statement committed to exactly this ``value`` of ``field``.

    The fields are those of the document, of the session, and ``media.<name>`` for a file.

    Raises:
        Forged: the statement has no commitment to the field, or one to another value.
        Malformed: as in :func:`commit`.
    """
    digest = commit(field=field, value=value, salt=salt)
    for name, committed in _commitments(statement):
        if name == field and hmac.compare_digest(committed, digest):
            return
    raise Forged(
        "DISCLOSURE",
        f"The attestation does not commit to the disclosed value of {field!r}.",
        hint="Do not believe the value, or ask for the disclosure of this very record.",
    )


def parse_disclosures(data: bytes) -> tuple[Disclosure, ...]:
    """Parse a JSON list of objects with field, value and salt (32 bytes), the last two in base64.

    Raises:
        Malformed: something else, a field twice, or a name that no field can have.
    """
    if len(data) > MAX_DISCLOSURES_BYTES:
        raise Malformed("DISCLOSURES", f"Disclosures must have at most {MAX_DISCLOSURES_BYTES} bytes.")
    try:
        disclosures = tuple(_parse_disclosure(item) for item in json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _malformed() from error
    fields = {item.field for item in disclosures}
    if not 1 <= len(disclosures) <= 3 * MAX_ITEMS or len(fields) < len(disclosures):
        raise _malformed()
    return disclosures


def encode_disclosures(disclosures: Sequence[Disclosure]) -> bytes:
    """Return the JSON that :func:`parse_disclosures` reads. Personal data."""
    return json.dumps(
        [
            {
                "field": item.field,
                "value": base64.b64encode(item.value).decode(),
                "salt": base64.b64encode(item.salt).decode(),
            }
            for item in disclosures
        ]
    ).encode()


def _commitments(statement: Statement) -> Iterator[tuple[str, bytes]]:
    for commitment in (*statement.document.fields, *statement.session.fields):
        yield commitment.field, commitment.digest
    for media in statement.media:
        yield MEDIA_PREFIX + media.name, media.content_commitment


def _parse_disclosure(item: object) -> Disclosure:
    if not isinstance(item, dict) or set(item) != {"field", "value", "salt"}:
        raise ValueError
    if not all(isinstance(value, str) for value in item.values()):
        raise ValueError
    opened = Disclosure(item["field"], _decode64(item["value"]), _decode64(item["salt"]))
    if not FIELD.fullmatch(opened.field) or len(opened.salt) != SALT_BYTES:
        raise ValueError
    return opened


def _decode64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error


def _malformed() -> Malformed:
    return Malformed(
        "DISCLOSURES",
        "The disclosures are not a JSON list of field, value and salt (both in base64), each field once.",
        hint="Ask whoever discloses for the file as the device wrote it.",
    )
