"""An enrolment that is under way, on disk, so that a power cut or a lost answer costs nothing.

    identity/enrolling/
      application.json   where, with which token, which key of which store
      root.pem           the pinned roots
      tls.key            the mutual-TLS key, wrapped by the key store

The token is kept because it is bound to the key from the first answer on: asking again with both tells
how far it has come. It opens nothing else.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.attest.identity import (
    KEY_PREFIX,
    TLS_KEY,
    attestation_key_of,
    check_protection,
    folders_of_identities,
    stage_folder,
)
from edge.attest.keys import SoftwareSigner
from edge.attest.tls_key import create_tls_key, open_tls_key
from edge.errors import SetupError
from edge.files import locked, make_private_folder, sync_folder, write_private
from edge.model import KeyProtection
from edge.ports import KeyStore, Signer

FOLDER = "enrolling"
STAGING_PREFIX = ".enrolling-"
LOCK = ".enrolling.lock"

_APPLICATION = "application.json"
_ROOT = "root.pem"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Application:
    """What a person gives: ``endpoint`` is the cloud's public address, host:port."""

    endpoint: str
    root_pem: bytes = field(repr=False)
    join_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """An application with its keys; ``attestation_key``: the name in the key store."""

    application: Application
    key_protection: KeyProtection
    attestation_key: str
    folder: Path

    def open_attestation_key(self, key_store: KeyStore) -> Signer:
        """Open the key, or make it where that was not reached; errors as ``KeyStore.open``."""
        check_protection(self.key_protection, key_store)
        try:
            return key_store.open(self.attestation_key)
        except SetupError as error:
            if error.code != "KEY_MISSING":
                raise
        return key_store.create(self.attestation_key)

    def open_tls_key(self, key_store: KeyStore) -> SoftwareSigner:
        """The same for the mutual-TLS key."""
        path = self.folder / TLS_KEY
        if not path.exists():
            return SoftwareSigner(create_tls_key(path, key_store=key_store))
        return SoftwareSigner(open_tls_key(path, key_store=key_store, secret_folder=self.folder.parent))

    def drop(self, key_store: KeyStore) -> None:
        """Give the enrolment up. Its key is destroyed, unless a complete identity has it by now."""
        identities = folders_of_identities(self.folder.parent)
        taken = any(attestation_key_of(path) == self.attestation_key for path in identities)
        if not taken and key_store.protection is self.key_protection:
            key_store.destroy(self.attestation_key)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def only_enrolment(folder: Path) -> Iterator[None]:
    """Keep other enrolments on this device out while the block runs.

    Raises:
        SetupError: ENROLMENT_RUNNING.
    """
    make_private_folder(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK, wait=False))
        except BlockingIOError:
            raise SetupError(
                "ENROLMENT_RUNNING",
                "Another enrolment runs on this device.",
                hint="Wait until it ends, or stop it; then run the command again.",
            ) from None
        yield


def find_pending(folder: Path) -> Pending | None:
    """The enrolment under way in ``folder``, if there is one that can be gone on with."""
    pending = folder / FOLDER
    try:
        values = json.loads((pending / _APPLICATION).read_bytes())
        if values["format"] != _FORMAT:
            return None
        return Pending(
            application=Application(
                endpoint=str(values["endpoint"]),
                root_pem=(pending / _ROOT).read_bytes(),
                join_token=str(values["join_token"]),
            ),
            key_protection=KeyProtection(values["key_protection"]),
            attestation_key=str(values["attestation_key"]),
            folder=pending,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # never complete, or damaged: its token is asked for again


def begin(folder: Path, application: Application, *, protection: KeyProtection) -> Pending:
    """Put a new enrolment on disk, in one step; the keys follow."""
    staged = stage_folder(folder, prefix=STAGING_PREFIX)
    name = f"{KEY_PREFIX}{secrets.token_hex(8)}"
    values = {
        "format": _FORMAT,
        "endpoint": application.endpoint,
        "join_token": application.join_token,
        "key_protection": protection.value,
        "attestation_key": name,
    }
    write_private(staged / _ROOT, application.root_pem)
    write_private(staged / _APPLICATION, json.dumps(values, indent=2).encode() + b"\n")
    final = folder / FOLDER
    shutil.rmtree(final, ignore_errors=True)
    staged.rename(final)
    sync_folder(folder)
    return Pending(application, protection, name, final)


def change_address(pending: Pending, application: Application) -> Pending:
    """Go on with the same token and keys at another address, or with another root."""
    values = json.loads((pending.folder / _APPLICATION).read_bytes())
    values["endpoint"] = application.endpoint
    write_private(pending.folder / _ROOT, application.root_pem)
    write_private(pending.folder / _APPLICATION, json.dumps(values, indent=2).encode() + b"\n")
    return Pending(application, pending.key_protection, pending.attestation_key, pending.folder)
