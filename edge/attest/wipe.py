"""The end of a device's keys. Nothing here can be undone, and nothing here needs the cloud."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge.attest.identity import CHANGING_LOCK, CURRENT, attestation_key_of, folders_of_identities
from edge.attest.keys import SECRET_NAME, destroy_key_file
from edge.attest.pending import FOLDER, find_pending
from edge.errors import SetupError
from edge.files import locked, sync_folder
from edge.ports import KeyStore


def wipe_personal_keys(key_store: KeyStore) -> None:
    """Make unreadable what the store has wrapped: the keys of personal data, and the mutual-TLS key.

    The attestation key stays: with it the device can renew its certificates and deliver what it signed.

    Raises:
        SetupError: the key store is away or refuses.
    """
    key_store.destroy_wrapping()


def wipe_identity(folder: Path, *, key_store: KeyStore) -> list[str]:
    """Destroy every key under ``folder``; return the names of the attestation keys.

    Personal data goes first. Certificates stay: they say whose records lie here. Afterwards the device
    is not enrolled.

    Raises:
        SetupError: the key store is away or refuses; IDENTITY_UNWRITABLE. Run again, it goes on.
    """
    wipe_personal_keys(key_store)
    if not folder.is_dir():
        return []
    try:
        with locked(folder / CHANGING_LOCK):
            return _wipe_identity(folder, key_store)
    except OSError as error:
        raise SetupError(
            "IDENTITY_UNWRITABLE",
            f"The folder {folder} cannot be written: {error.strerror or error}.",
            hint="Check that it belongs to you, then run the command again.",
        ) from None


def _wipe_identity(folder: Path, key_store: KeyStore) -> list[str]:
    names = [attestation_key_of(path) for path in folders_of_identities(folder)]
    pending = find_pending(folder)
    if pending is not None:
        names.append(pending.attestation_key)
    destroyed = sorted({name for name in names if name is not None})
    for name in destroyed:
        key_store.destroy(name)
    for path in folder.rglob("*.key"):  # wrapped ones, and those of the first version
        destroy_key_file(path)
    destroy_key_file(folder / SECRET_NAME)  # opens copies of key files that may be elsewhere
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    (folder / CURRENT).unlink(missing_ok=True)
    sync_folder(folder)
    return destroyed
