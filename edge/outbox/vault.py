"""Personal data at rest: AES-256-GCM (NIST SP 800-38D) under a data key in a file of its own.

Destroying the key file destroys what it protects, on every copy of the disk that lacks the key.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.errors import StorageError
from edge.files import NotPrivateError, create_private, read_private

KEY_BYTES = 32
NONCE_BYTES = 12
"""Random nonces of this size are safe for 2**32 records under one key."""


class Vault:
    """Encrypts blobs, each bound to the attestation that it belongs to."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Vault:
        """Open the data key at ``path``; make one where there is none only if ``create``.

        Raises:
            StorageError: DATA_KEY_MISSING, DATA_KEY_PERMISSIONS or DATA_KEY_UNREADABLE.
        """
        if create and not path.exists():
            _create(path)
        try:
            key = read_private(path, max_bytes=KEY_BYTES)
        except FileNotFoundError:
            raise StorageError(
                "DATA_KEY_MISSING",
                f"The data key {path} is missing, and with it all personal data of the records.",
                hint="Restore the file from where it was.",
            ) from None
        except NotPrivateError:
            raise StorageError(
                "DATA_KEY_PERMISSIONS",
                f"The data key {path} can be read by others.",
                hint=f"Find out who read it; then run: chmod 600 {path}",
            ) from None
        except OSError:
            raise _unreadable(path) from None
        if len(key) != KEY_BYTES:
            raise _unreadable(path)
        return cls(key)

    def seal(self, plaintext: bytes, *, attestation_id: str) -> bytes:
        """Return nonce and ciphertext, bound to ``attestation_id``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, attestation_id.encode())

    def unseal(self, sealed: bytes, *, attestation_id: str) -> bytes:
        """Return the plaintext.

        Raises:
            StorageError: DATA_KEY_WRONG, also where the blob was damaged or moved between records.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], attestation_id.encode())
        except (InvalidTag, ValueError):
            raise StorageError(
                "DATA_KEY_WRONG",
                "The personal data of a record cannot be decrypted.",
                hint="The data key is not the one it was stored with, or the record was changed.",
            ) from None


def _create(path: Path) -> None:
    try:
        create_private(path, secrets.token_bytes(KEY_BYTES))
    except FileExistsError:
        return  # another process was faster: its key is as good
    except OSError as error:
        raise StorageError(
            "DATA_KEY_UNREADABLE",
            f"The data key {path} cannot be written: {error.strerror or error}.",
            hint="Check that the folder belongs to you and has space.",
        ) from None


def _unreadable(path: Path) -> StorageError:
    return StorageError(
        "DATA_KEY_UNREADABLE",
        f"The data key {path} cannot be used: it is damaged or unreadable.",
        hint="Restore the file from where it was.",
    )
