"""Secrets that callers show: join tokens of devices and the operator's token. Only digests are kept."""

from __future__ import annotations

import hashlib
import hmac

from cloud.errors import Reason, ServiceError
from verifield.tokens import JOIN_PREFIX, SECRET_BYTES, encode_token, is_token

__all__ = [
    "JOIN_PREFIX",
    "OPERATOR_PREFIX",
    "SECRET_BYTES",
    "check_operator_token",
    "encode_token",
    "is_token",
    "parse_join_token",
    "token_sha256",
]

OPERATOR_PREFIX = "vfo_"


def token_sha256(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def parse_join_token(text: str) -> bytes:
    """Return the digest to look a join token up by; the database compares digests, never secrets.

    Raises:
        ServiceError: this was never a join token.
    """
    if not is_token(JOIN_PREFIX, text):
        raise ServiceError(Reason.JOIN_TOKEN_UNKNOWN, "There is no such join token.")
    return token_sha256(text)


def check_operator_token(authorization: str | None, *, expected_sha256: bytes) -> None:
    """Check the ``authorization`` metadata, in constant time.

    Raises:
        ServiceError: it is missing, or not the operator's token.
    """
    if not authorization:
        raise ServiceError(Reason.OPERATOR_TOKEN_MISSING, "This call needs the operator token.")
    scheme, _, token = authorization.partition(" ")
    same = hmac.compare_digest(token_sha256(token.strip()), expected_sha256)
    if scheme.lower() != "bearer" or not same:
        raise ServiceError(Reason.OPERATOR_TOKEN_REFUSED, "This is not the operator token.")
