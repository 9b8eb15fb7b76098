"""What becomes of grants when an account ends."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.seals.grants import Grants


@dataclass(frozen=True, slots=True)
class GrantWatcher:
    """Told of changes of accounts (cloud.accounts.desk.Watcher), whose row is locked by then."""

    grants: Grants

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """Nothing: whoever uses a seal is verified then."""

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """Nobody uses a seal by this account any more."""
        self.grants.end_all(connection, account_id)
