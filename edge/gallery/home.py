"""Where a device has its gallery, and the key that it is sealed under."""

from __future__ import annotations

from pathlib import Path

from edge.files import make_private_folder
from edge.gallery.faults import STORE
from edge.ports import KeyStore
from edge.sqlite import storage_errors
from edge.vault import Vault

_KEY_SUFFIX = ".key"
_PURPOSE = "verifield gallery data key"


def gallery_path(data_dir: Path) -> Path:
    """The people that are enrolled here stay when the device is enrolled anew."""
    return data_dir / "gallery" / "people.gallery"


def gallery_key(data_dir: Path, key_store: KeyStore, *, create: bool = False) -> bytes:
    """Return 32 bytes out of the data key beside the file; to ``create``: make that where there is none.

    Raises:
        StorageError, SetupError: as ``Vault.unlock``.
    """
    path = gallery_path(data_dir)
    vault = Vault(path.with_name(path.name + _KEY_SUFFIX), key_store, purpose=_PURPOSE)
    if create:
        with storage_errors(STORE):
            make_private_folder(path.parent)
        vault.create()
    return vault.derive(b"gallery")
