"""Secrets that callers show: join tokens of devices and the operator's token. Only digests are kept."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cloud.errors import Reason, ServiceError

SECRET_BYTES = 32
"""256 bits: beyond guessing, so that no limit on tries is needed, and a plain digest is enough."""

JOIN_PREFIX = "vfj_"
OPERATOR_PREFIX = "vfo_"


def encode_token(prefix: str, secret: bytes) -> str:
    """A token as people copy it: a prefix that says what it opens, and base64url."""
    return prefix + base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def token_sha256(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def is_token(prefix: str, text: str) -> bool:
    """Whether ``text`` has the form of a token: a cut one must never become one that can be guessed."""
    return (
        text.isascii()
        and text.startswith(prefix)
        and len(text) == len(encode_token(prefix, bytes(SECRET_BYTES)))
    )


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
