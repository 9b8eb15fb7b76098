"""The form of tokens that callers show: a device must know what it may show to a service, and what not."""

from __future__ import annotations

import base64

JOIN_PREFIX = "vfj_"

SECRET_BYTES = 32
"""256 bits: beyond guessing, so that no limit on tries is needed, and a plain digest is enough."""


def encode_token(prefix: str, secret: bytes) -> str:
    """A token as people copy it: a prefix that says what it opens, and base64url."""
    return prefix + base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def is_token(prefix: str, text: str) -> bool:
    """Whether ``text`` has the form of a token: a cut one must never become one that can be guessed."""
    return (
        text.isascii()
        and text.startswith(prefix)
        and len(text) == len(encode_token(prefix, bytes(SECRET_BYTES)))
    )
