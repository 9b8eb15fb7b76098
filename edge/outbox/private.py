"""What opens a record's commitments: personal data, stored encrypted under the data key.

Once the keys of personal data are destroyed (a wipe), what was signed is still there and is still
delivered; only what opened it is gone.
"""

from __future__ import annotations

from typing import Self

from edge.errors import StorageError
from edge.outbox.database import Store
from edge.outbox.layout import DATA_KEY_SUFFIX, beside
from edge.outbox.vault import open_vault
from edge.ports import KeyStore
from edge.vault import Vault

_GONE = frozenset({"DATA_KEY_MISSING", "DATA_KEY_WRONG"})


class PrivateParts:
    """The table ``private``. Every method may raise StorageError."""

    def __init__(self, store: Store, vault: Vault | StorageError) -> None:
        self._store = store
        self._vault = vault

    @classmethod
    def open(cls, store: Store, key_store: KeyStore, *, create: bool) -> Self:
        """Open the data key beside the store; one that is gone is said when it is needed.

        Raises:
            StorageError: DATA_KEY_PERMISSIONS or DATA_KEY_UNREADABLE.
            SetupError: the key store is away.
        """
        path = beside(store.path, DATA_KEY_SUFFIX)
        try:
            return cls(store, open_vault(path, key_store=key_store, create=create))
        except StorageError as error:
            if error.code not in _GONE:
                raise
            return cls(store, error)

    def check_key(self) -> None:
        """Raise DATA_KEY_MISSING or DATA_KEY_WRONG where no personal data can be stored."""
        self._key()

    def put(self, attestation_id: str, data: bytes) -> None:
        """Store ``data`` encrypted, bound to its record."""
        sealed = self._key().seal(data, label=attestation_id)
        self._store.execute(
            "INSERT INTO private (attestation_id, sealed) VALUES (?, ?)", attestation_id, sealed
        )

    def get(self, attestation_id: str) -> bytes:
        """Return what was stored; empty where nothing was."""
        row = self._store.one("SELECT sealed FROM private WHERE attestation_id = ?", attestation_id)
        return self._key().unseal(row["sealed"], label=attestation_id) if row else b""

    def _key(self) -> Vault:
        if isinstance(self._vault, StorageError):
            fault = self._vault
            raise StorageError(fault.code, fault.message, hint=fault.hint)
        return self._vault
