"""Salted commitments: a field is disclosed by handing over its salt and value, or stays hidden for ever."""

from __future__ import annotations

import hashlib
import hmac

from verifield.errors import Forged, Malformed
from verifield.v1.attestation_pb2 import Statement

SALT_BYTES = 32
"""As long as the digest: guessing the salt is no easier than guessing the digest."""


def commit(*, field: str, value: bytes, salt: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) with the salt as key over ``field`` || 0x00 || ``value``; 32 bytes.

    Raises:
        Malformed: the salt is not of 32 bytes, or the field name has a NUL (two splits would fit).
    """
    if len(salt) != SALT_BYTES:
        raise Malformed("SALT_LENGTH", f"The salt must have {SALT_BYTES} bytes.")
    if not field or "\0" in field:
        raise Malformed("FIELD_NAME", "The field name must not be empty nor contain a NUL.")
    return hmac.digest(salt, field.encode() + b"\0" + value, hashlib.sha256)


def check_disclosure(statement: Statement, *, field: str, value: bytes, salt: bytes) -> None:
    """Check that the statement committed to exactly this ``value`` of ``field``.

    Raises:
        Forged: the statement has no commitment to the field, or one to another value.
        Malformed: as in :func:`commit`.
    """
    digest = commit(field=field, value=value, salt=salt)
    for commitment in statement.document.fields:
        if commitment.field == field and hmac.compare_digest(commitment.digest, digest):
            return
    raise Forged("DISCLOSURE", f"The attestation does not commit to this value of {field}.")
