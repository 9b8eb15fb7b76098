"""The key store in software: encrypted files under the device secret. Only where configured.

    folder/
      device-secret        32 bytes, encrypts the keys (unless systemd holds it)
      wrapping-secret      32 bytes; together with the device secret it gives the wrapping key
      keys/<name>.key      PKCS#8, encrypted

The wrapping key hangs on two secrets, so that it can be destroyed even where systemd holds the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edge.attest.keys import (
    SoftwareSigner,
    create_secret_file,
    destroy_key_file,
    is_there,
    open_or_create_secret,
    open_secret,
    read_secret_file,
)
from edge.attest.keystore_rules import (
    check_name,
    derive_key,
    key_exists,
    key_missing,
    key_unwritable,
    parse_head,
    seal_secret,
    unseal_secret,
    wrapped_unreadable,
)
from edge.errors import SetupError
from edge.files import make_private_folder, sync_folder
from edge.model import KeyProtection

KEYS_FOLDER = "keys"
KEY_SUFFIX = ".key"
WRAPPING_NAME = "wrapping-secret"
_MAGIC = b"VKS1"
_WRAPPING_INFO = "verifield software key store, wrapping, v1"


class SoftwareKeyStore:
    """Keys in ``folder``. Holds no secret in memory; any number of threads and processes may use it."""

    def __init__(self, folder: Path, *, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ

    @classmethod
    def open_store(cls, folder: Path, *, environ: Mapping[str, str] | None = None) -> SoftwareKeyStore:
        """Use the keys in ``folder``, which need not exist yet; ``environ`` tells of systemd's credential."""
        return cls(folder, environ=os.environ if environ is None else environ)

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.SOFTWARE

    def create(self, name: str) -> SoftwareSigner:
        path = self._path(name)
        self._make_folders()
        secret = open_or_create_secret(self._folder, environ=self._environ)
        return SoftwareSigner.create(path, secret=secret)

    def open(self, name: str) -> SoftwareSigner:
        path = self._path(name)
        if not is_there(path):
            raise key_missing(str(path))  # before the device secret, whose absence says less
        return SoftwareSigner.open(path, secret=open_secret(self._folder, environ=self._environ))

    def adopt(self, path: Path, *, name: str) -> SoftwareSigner:
        """Take the key file at ``path``, as the first version kept it, under ``name``; open it.

        The old name stays, so that a cut in between costs nothing; destroying the key empties both.

        Raises:
            SetupError: KEY_EXISTS (another key has the name), or as :meth:`open`.
        """
        target = self._path(name)
        self._make_folders()
        try:
            target.hardlink_to(path)
            sync_folder(target.parent)
        except FileExistsError:
            if not target.samefile(path):
                raise key_exists(str(target)) from None
        except FileNotFoundError:
            raise key_missing(str(path)) from None
        except OSError as error:
            raise key_unwritable(target, error) from None
        return self.open(name)

    def destroy(self, name: str) -> None:
        destroy_key_file(self._path(name))

    def wrap(self, secret: bytes, *, label: str) -> bytes:
        self._make_folders()
        open_or_create_secret(self._folder, environ=self._environ)
        create_secret_file(self._folder / WRAPPING_NAME)
        return seal_secret(secret, key=self._wrapping_key(), magic=_MAGIC, head=b"", label=label)

    def unwrap(self, wrapped: bytes, *, label: str) -> bytes:
        parse_head(wrapped, magic=_MAGIC, head_bytes=0)
        try:
            key = self._wrapping_key()
        except SetupError as error:
            if error.code == "KEY_MISSING":
                raise wrapped_unreadable() from None
            raise
        return unseal_secret(wrapped, key=key, magic=_MAGIC, head_bytes=0, label=label)

    def destroy_wrapping(self) -> None:
        destroy_key_file(self._folder / WRAPPING_NAME)

    def _wrapping_key(self) -> bytes:
        device = open_secret(self._folder, environ=self._environ)
        return derive_key(device + read_secret_file(self._folder / WRAPPING_NAME), info=_WRAPPING_INFO)

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._folder / KEYS_FOLDER / f"{name}{KEY_SUFFIX}"

    def _make_folders(self) -> None:
        try:
            make_private_folder(self._folder)
            make_private_folder(self._folder / KEYS_FOLDER)
        except OSError as error:
            raise key_unwritable(self._folder, error) from None
