"""Personal data at rest: AES-256-GCM (NIST SP 800-38D) under a data key that the device's key store wraps.

Each store has a data key of its own, in a file that holds it only wrapped: a copy of the disk without the
key store holds nothing that can be read. Destroying the file, or the store's wrapping, destroys what the
data key protects, on every copy.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge.errors import SetupError, StorageError
from edge.files import NotPrivateError, create_private, destroy_file, read_private
from edge.ports import KeyStore

KEY_BYTES = 32
NONCE_BYTES = 12
"""Random nonces of this size are safe for 2**32 blobs under one key."""
MAX_WRAPPED_BYTES = 4096
"""Key stores wrap 32 bytes into a few hundred at most."""

_PSEUDONYMS = b"verifield pseudonyms"


class Vault:
    """Seals blobs, each bound to a label that names its place (table, row, column).

    The data key in the file at ``path`` is unwrapped at its first use, and then kept. ``purpose``: what
    the key store wraps it for.
    """

    def __init__(self, path: Path, key_store: KeyStore, *, purpose: str) -> None:
        self._path = path
        self._key_store = key_store
        self._purpose = purpose
        self._key = b""

    def create(self) -> None:
        """Make the data key, where there is none.

        Raises:
            StorageError: DATA_KEY_UNREADABLE, the file cannot be written.
            SetupError: the key store is away or refuses.
        """
        try:
            if self._path.exists():
                return
            wrapped = self._key_store.wrap(secrets.token_bytes(KEY_BYTES), label=self._purpose)
            create_private(self._path, wrapped)
        except FileExistsError:
            return  # another process was faster
        except OSError as error:
            raise unreadable(self._path, error.strerror or str(error)) from None

    def unlock(self) -> None:
        """Unwrap the data key now.

        Raises:
            StorageError: DATA_KEY_MISSING, DATA_KEY_PERMISSIONS, DATA_KEY_UNREADABLE, or DATA_KEY_WRONG
                where this device's key store does not open it.
            SetupError: the key store is away or refuses.
        """
        self._open()

    def destroy(self) -> None:
        """Destroy the data key, and with it all that it protects; no fault where there is none.

        Raises:
            StorageError: DATA_KEY_UNREADABLE, the file cannot be overwritten.
        """
        self._key = b""
        try:
            destroy_file(self._path)
        except OSError as error:
            raise unreadable(self._path, error.strerror or str(error)) from None

    def seal(self, plaintext: bytes, *, label: str) -> bytes:
        """Return nonce and ciphertext, which open only under ``label``; errors as :meth:`unlock`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._open()).encrypt(nonce, plaintext, label.encode())

    def unseal(self, sealed: bytes, *, label: str) -> bytes:
        """Return the plaintext.

        Raises:
            StorageError: DATA_KEY_WRONG, also where the blob was damaged or moved; else as :meth:`unlock`.
        """
        key = self._open()
        try:
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label.encode())
        except (InvalidTag, ValueError):
            raise StorageError(
                "DATA_KEY_WRONG",
                "Personal data on this device cannot be decrypted.",
                hint="The data key is not the one it was stored with, or what was stored was changed.",
            ) from None

    def pseudonym(self, value: bytes) -> str:
        """Name ``value`` so that without the key nobody finds it by trying; equal values have equal names."""
        key = HKDF(SHA256(), length=KEY_BYTES, salt=None, info=_PSEUDONYMS).derive(self._open())
        return hmac.new(key, value, hashlib.sha256).hexdigest()

    def derive(self, purpose: bytes) -> bytes:
        """Return a key of 32 bytes for files that are sealed elsewhere; errors as :meth:`unlock`."""
        return HKDF(SHA256(), length=KEY_BYTES, salt=None, info=b"verifield derived " + purpose).derive(
            self._open()
        )

    def _open(self) -> bytes:
        if not self._key:
            self._key = self._unwrap(read_data_key(self._path))
        return self._key

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            key = self._key_store.unwrap(wrapped, label=self._purpose)
        except SetupError as error:
            if error.code != "KEY_UNREADABLE":
                raise  # the hardware is away: nothing is wrong with the data key
            raise StorageError(
                "DATA_KEY_WRONG",
                f"The data key {self._path} cannot be opened by this device's key store.",
                hint="It was made on another device, damaged or destroyed: restore the file and the key "
                "store together; personal data cannot be read without them.",
            ) from None
        if len(key) != KEY_BYTES:
            raise unreadable(self._path, f"a data key has {KEY_BYTES} bytes")
        return key


def read_data_key(path: Path) -> bytes:
    """Return what the file of a data key holds.

    Raises:
        StorageError: DATA_KEY_MISSING, DATA_KEY_PERMISSIONS or DATA_KEY_UNREADABLE.
    """
    try:
        return read_private(path, max_bytes=MAX_WRAPPED_BYTES)
    except FileNotFoundError:
        raise StorageError(
            "DATA_KEY_MISSING",
            f"The data key {path} is missing, and with it the personal data that it protects.",
            hint="If the device was wiped, enrol it anew; else restore the file from where it was.",
        ) from None
    except NotPrivateError:
        raise StorageError(
            "DATA_KEY_PERMISSIONS",
            f"The data key {path} can be read by others.",
            hint=f"Find out who read it; then run: chmod 600 {path}",
        ) from None
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from None


def unreadable(path: Path, why: str) -> StorageError:
    """``why``: the end of a sentence."""
    return StorageError(
        "DATA_KEY_UNREADABLE",
        f"The data key {path} cannot be used: {why}.",
        hint="Check that the folder belongs to you and has space, or restore the file from where it was.",
    )
