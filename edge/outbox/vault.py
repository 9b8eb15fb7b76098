"""The outbox's data key. The first version kept its 32 bytes as they are: they are wrapped when it is opened.


1. the old file gets a second name, ``<name>.old``;
2. the wrapped key replaces the old one in one step;
3. the old bytes are overwritten and their second name is removed; a cut before this is made good at the
   next opening.
"""

from __future__ import annotations

from pathlib import Path

from edge.files import destroy_file, locked, sync_folder, write_private
from edge.ports import KeyStore
from edge.vault import KEY_BYTES, Vault, read_data_key, unreadable

PURPOSE = "verifield outbox data key"

_OLD_SUFFIX = ".old"
_LOCK_SUFFIX = ".lock"


def open_vault(path: Path, *, key_store: KeyStore, create: bool) -> Vault:
    """Open the data key at ``path``; make one where there is none only if ``create``.

    Raises:
        StorageError, SetupError: as ``Vault.unlock``.
    """
    vault = Vault(path, key_store, purpose=PURPOSE)
    try:
        with locked(_beside(path, _LOCK_SUFFIX)):
            if create:
                vault.create()
            content = read_data_key(path)
            if len(content) == KEY_BYTES:
                _wrap_in_place(path, content, key_store)
            destroy_file(_beside(path, _OLD_SUFFIX))
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from None
    vault.unlock()
    return vault


def _wrap_in_place(path: Path, key: bytes, key_store: KeyStore) -> None:
    """Steps 1 and 2 of the module's text."""
    wrapped = key_store.wrap(key, label=PURPOSE)
    if key_store.unwrap(wrapped, label=PURPOSE) != key:
        raise unreadable(path, "the key store does not give back what it wrapped")
    old = _beside(path, _OLD_SUFFIX)
    old.unlink(missing_ok=True)  # left by a cut between the steps: another name of the same file
    old.hardlink_to(path)
    sync_folder(path.parent)
    write_private(path, wrapped)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
