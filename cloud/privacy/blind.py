"""Blind indexes: rows are found by a personal value without the value standing in the database.

    index version (4 bytes, big endian) || HMAC-SHA256(key of the column, normalised value)

Each column has a key of its own, so that equal values in two columns do not look alike. Who has the
database but not the ring can tell that two rows of one column have the same value, and no more. The version
stands first: what a rotation leaves behind is a range of the index.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cloud.privacy.ring import INDEX, KeyRing
from cloud.privacy.sealing import KEY_BYTES, SealKey

VERSION_BYTES = 4
BLIND_BYTES = VERSION_BYTES + sha256().digest_size


def blind(ring: KeyRing, table: str, column: str, value: str) -> bytes:
    """What to store for a normalised ``value``."""
    return _blind(ring.current(INDEX), table, column, value)


def candidates(ring: KeyRing, table: str, column: str, value: str) -> list[bytes]:
    """What a normalised ``value`` may be stored as: one for each version of the index key, newest first."""
    keys = reversed(ring.versions(INDEX))
    return [_blind(SealKey(key.version, key.secret), table, column, value) for key in keys]


def first_of_version(version: int) -> bytes:
    """Blind values of older versions are less than this, those of this version are not."""
    return version.to_bytes(VERSION_BYTES, "big")


def version_of(value: bytes) -> int:
    """Version of the index key that made a blind value."""
    return int.from_bytes(value[:VERSION_BYTES], "big")


def _blind(key: SealKey, table: str, column: str, value: str) -> bytes:
    info = b"\0".join((b"verifield blind index", table.encode(), column.encode()))
    column_key = HKDFExpand(SHA256(), KEY_BYTES, info).derive(key.secret)
    return first_of_version(key.version) + hmac.digest(column_key, value.encode(), sha256)
