"""Backups that only their recipient can read: the service itself holds no key for them.

One key for a backup, encrypted to the recipient (HPKE, RFC 9180: X25519, HKDF-SHA-256, AES-256-GCM). Each
file has a key of its own made from it and the file's name, and is sealed in pieces (the STREAM construction
of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): a piece is bound to its place, and the last one says that it
is.

    magic (6 bytes) || pieces of 64 KiB, the last one shorter, each with 16 bytes of tag
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cloud.errors import SetupError

PIECE_BYTES = 64 * 1024
"""What is held in memory at once, and known to be good before it is written."""

KEY_BYTES = 32

_MAGIC = b"vfbak1"
_TAG_BYTES = 16
_INFO = b"verifield-backup-v1"
_COUNTER_BYTES = 11


def wrap_key(key: bytes, recipient: X25519PublicKey) -> bytes:
    """Encrypt a backup's key to its recipient."""
    return _suite().encrypt(key, recipient, info=_INFO)


def unwrap_key(wrapped: bytes, identity: X25519PrivateKey) -> bytes:
    """Return a backup's key.

    Raises:
        SetupError: BACKUP_IDENTITY: it was encrypted to somebody else.
    """
    try:
        return _suite().decrypt(wrapped, identity, info=_INFO)
    except (InvalidTag, ValueError) as error:
        raise SetupError(
            "BACKUP_IDENTITY",
            "The backup is encrypted to another recipient.",
            hint="Give the private key of its recipient with --identity.",
        ) from error


def seal_stream(source: IO[bytes], *, key: bytes, name: str) -> Iterator[bytes]:
    """The sealed form of a file called ``name``, piece by piece."""
    cipher = AESGCM(_file_key(key, name))
    yield _MAGIC
    number, piece = 0, source.read(PIECE_BYTES)
    while True:
        following = source.read(PIECE_BYTES) if len(piece) == PIECE_BYTES else b""
        yield cipher.encrypt(_nonce(number, last=not following), piece, None)
        if not following:
            return
        number, piece = number + 1, following


def unseal_stream(source: IO[bytes], *, key: bytes, name: str) -> Iterator[bytes]:
    """The content of a sealed file called ``name``; each piece was checked when it is handed out.

    Raises:
        SetupError: BACKUP_DAMAGED: changed, cut short, or another file's.
    """
    cipher = AESGCM(_file_key(key, name))
    if source.read(len(_MAGIC)) != _MAGIC:
        raise damaged(name)
    number, piece = 0, source.read(PIECE_BYTES + _TAG_BYTES)
    while True:
        following = source.read(PIECE_BYTES + _TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), piece, None)
        except (InvalidTag, ValueError) as error:
            raise damaged(name) from error
        if not following:
            return
        number, piece = number + 1, following


def plain_stream(source: IO[bytes]) -> Iterator[bytes]:
    """A file as it is, in pieces."""
    return iter(lambda: source.read(PIECE_BYTES), b"")


def write_pieces(target: IO[bytes], pieces: Iterable[bytes]) -> int:
    """Write them all; return how many bytes there were."""
    return sum(target.write(piece) for piece in pieces)


def damaged(name: str) -> SetupError:
    """A file of a backup is not what was put there."""
    return SetupError(
        "BACKUP_DAMAGED",
        f"The file {name} of the backup is not what was put there.",
        hint="Take another copy of this backup, or an older backup.",
    )


def _file_key(key: bytes, name: str) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, _INFO + b"\0" + name.encode()).derive(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_BYTES, "big") + bytes([last])


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
