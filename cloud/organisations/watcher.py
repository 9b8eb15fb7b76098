"""What becomes of organisations when something happens to the account that administers them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.organisations.registry import Registry


@dataclass(frozen=True, slots=True)
class OrganisationWatcher:
    """Told of changes of accounts (cloud.accounts.desk.Watcher), whose row is locked by then."""

    registry: Registry

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """A legal representative of another name is no more the one who was verified."""
        if "name" in fields:
            self.registry.outdate_all(connection, account_id, as_representative=True)

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """Nobody administers the organisation any more."""
        self.registry.outdate_all(connection, account_id, as_representative=False)
