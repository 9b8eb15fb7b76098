"""Sealed values: AES-256-GCM, bound to the one place where they may stand.

    format (1 byte, 0x01) || key version (4 bytes, big endian) || nonce (12) || ciphertext and tag

Associated data are table, column, row and key version, each behind its length: a value that is moved to
another row, column or table, or that is given another version, is refused like one that was changed.
Lengths of values can be seen, contents cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32

NONCE_BYTES = 12
"""The length that GCM is made for. Random ones serve 2**32 values of one key (NIST SP 800-38D, 8.3)."""

MAX_VERSION = 2**31 - 1
"""Versions are stored as signed 32-bit integers."""

_FORMAT = b"\x01"
_VERSION_BYTES = 4
_TAG_BYTES = 16
_HEADER_BYTES = len(_FORMAT) + _VERSION_BYTES

RandomBytes = Callable[[int], bytes]


class SealBrokenError(Exception):
    """A value is damaged, was moved or changed, or is sealed with another key. It holds no content."""


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key of 32 bytes and its version, 1 or more."""

    version: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: names of table and column, and the row's key as text."""

    table: str
    column: str
    row: str


def seal(key: SealKey, place: Place, plain: bytes, *, random_bytes: RandomBytes) -> bytes:
    """Return ``plain`` sealed for ``place``."""
    nonce = random_bytes(NONCE_BYTES)
    content = AESGCM(key.secret).encrypt(nonce, plain, _associated(place, key.version))
    return _FORMAT + key.version.to_bytes(_VERSION_BYTES, "big") + nonce + content


def unseal(key: SealKey, place: Place, sealed: bytes) -> bytes:
    """Return what was sealed for ``place``.

    Raises:
        SealBrokenError: another key, another place, or changed bytes.
    """
    if sealed_version(sealed) != key.version:
        raise SealBrokenError("a value is sealed with another version of the key")
    nonce, content = sealed[_HEADER_BYTES:][:NONCE_BYTES], sealed[_HEADER_BYTES + NONCE_BYTES :]
    try:
        return AESGCM(key.secret).decrypt(nonce, content, _associated(place, key.version))
    except InvalidTag as error:
        raise SealBrokenError("a value was changed or moved, or another key sealed it") from error


def sealed_version(sealed: bytes) -> int:
    """Version of the key that sealed a value.

    Raises:
        SealBrokenError: not a sealed value.
    """
    if len(sealed) < _HEADER_BYTES + NONCE_BYTES + _TAG_BYTES or not sealed.startswith(_FORMAT):
        raise SealBrokenError("a value is not of the form of sealed ones")
    return int.from_bytes(sealed[len(_FORMAT) : _HEADER_BYTES], "big")


def seal_text(key: SealKey, place: Place, text: str, *, random_bytes: RandomBytes) -> bytes:
    """As :func:`seal`, for text."""
    return seal(key, place, text.encode(), random_bytes=random_bytes)


def unseal_text(key: SealKey | None, place: Place, sealed: bytes) -> str | None:
    """As :func:`unseal`, for text; None where the key was destroyed.

    Raises:
        SealBrokenError: another key, another place, or changed bytes.
    """
    return None if key is None else unseal(key, place, sealed).decode()


def _associated(place: Place, version: int) -> bytes:
    parts = (place.table, place.column, place.row, str(version))
    return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
