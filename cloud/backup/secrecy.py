"""Backups that only their recipient can read: the service itself holds no key for them.

One key for a backup, encrypted to the recipient (HPKE, RFC 9180: X25519, HKDF-SHA-256, AES-256-GCM). Each
file has a key of its own made from it and the file's name, and is sealed in pieces: see
``cloud.privacy.streams``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cloud.errors import SetupError
from cloud.privacy.sealing import SealBrokenError
from cloud.privacy.streams import PIECE_BYTES, seal_pieces, unseal_pieces

KEY_BYTES = 32

_MAGIC = b"vfbak1"
_INFO = b"verifield-backup-v1"


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
    return seal_pieces(source, key=_file_key(key, name), magic=_MAGIC)


def unseal_stream(source: IO[bytes], *, key: bytes, name: str) -> Iterator[bytes]:
    """The content of a sealed file called ``name``; each piece was checked when it is handed out.

    Raises:
        SetupError: BACKUP_DAMAGED: changed, cut short, or another file's.
    """
    try:
        yield from unseal_pieces(source, key=_file_key(key, name), magic=_MAGIC)
    except SealBrokenError as error:
        raise damaged(name) from error


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


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
