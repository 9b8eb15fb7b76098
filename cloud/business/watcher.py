"""What becomes of requests and delegations when an account ends."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.business.delegations import DelegationDesk
from cloud.business.desk import BusinessDesk


@dataclass(frozen=True, slots=True)
class BusinessWatcher:
    """Told of changes of accounts (cloud.accounts.desk.Watcher), whose row is locked by then."""

    desk: BusinessDesk
    delegations: DelegationDesk

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """Nothing: who hands a draft in is verified then, and what is handed in goes to its end."""

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """Nobody acts for the account or in its name any more, and nothing of its own is open.

        Drafts that it began for others are theirs, and stay.
        """
        self.delegations.end_all(connection, account_id)
        self.desk.close_all(connection, account_id)
