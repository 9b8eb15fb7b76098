"""Pages of lists: sizes, and tokens that only this service understands.

A token holds the position behind which the next page begins, and a digest of what was asked for. Whoever
makes one up reads what could be asked for anyway: nothing has to be signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from cloud.errors import Reason, ServiceError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
"""About 150 KiB of summaries: well under the size limit of a message. The contract says the same."""

MAX_POSITION = 10**18 - 1
"""Of columns of 64 bits."""

MAX_SMALL_POSITION = 2**31 - 1
"""Of ``Integer`` columns, which PostgreSQL keeps in 32 bits."""

_MAX_TOKEN_CHARS = 256
_FILTER_BYTES = 8
_NUMBER = re.compile(r"[0-9]{1,18}")
_POSITION = re.compile(r"[A-Za-z0-9@._:-]{1,128}")  # ids and logins: what databases take as text


def page_size(size: int) -> int:
    """The page size to use for the one asked for, which the contract limits."""
    return size or DEFAULT_PAGE_SIZE


def encode_page_token(position: str, *, filters: str) -> str:
    """A token for the page behind ``position``, bound to the filters of the list."""
    return base64.urlsafe_b64encode(_fingerprint(filters) + position.encode()).decode()


def parse_page_token(token: str, *, filters: str) -> str:
    """Return the position in a token; empty for no token.

    Raises:
        ServiceError: not a token of ours, or one of a list with other filters.
    """
    if not token:
        return ""
    try:
        data = (
            base64.b64decode(token, altchars=b"-_", validate=True) if len(token) <= _MAX_TOKEN_CHARS else b""
        )
        position = data[_FILTER_BYTES:].decode()
    except (binascii.Error, ValueError) as error:
        raise _damaged() from error
    if not _POSITION.fullmatch(position) or data[:_FILTER_BYTES] != _fingerprint(filters):
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "The page token does not belong to this list.")
    return position


def parse_position(token: str, *, filters: str, most: int = MAX_POSITION) -> int | None:
    """As :func:`parse_page_token`, for positions that are numbers up to ``most``; None for no token."""
    position = parse_page_token(token, filters=filters)
    if not position:
        return None
    if not _NUMBER.fullmatch(position) or int(position) > most:
        raise _damaged()
    return int(position)


def parse_digest(token: str, *, filters: str) -> bytes:
    """As :func:`parse_page_token`, for positions that are digests."""
    try:
        return bytes.fromhex(parse_page_token(token, filters=filters))
    except ValueError as error:
        raise _damaged() from error


def _damaged() -> ServiceError:
    return ServiceError(Reason.PAGE_TOKEN_INVALID, "The page token is damaged.")


def _fingerprint(filters: str) -> bytes:
    return hashlib.sha256(filters.encode()).digest()[:_FILTER_BYTES]
