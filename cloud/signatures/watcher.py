"""What becomes of acts of signing when an account ends, or its holder is erased."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.errors import Reason
from cloud.signatures.desk import Desk, retract
from cloud.signatures.states import Event
from cloud.store import signatures as rows


class SigningWatcher:
    """Told of changes of accounts (cloud.accounts.desk.Watcher), whose row is locked by then."""

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """Nothing: whoever signs is verified then."""

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """Nobody is awaited for a signature any more."""
        end_waiting(connection, account_id)


def end_waiting(connection: Connection, account_id: str) -> None:
    """End what awaits this person, and take it off the devices; who has authenticated is the maker's to end.

    In one order of sites, for each has a row that its writers wait for.
    """
    for row in sorted(rows.waiting_of(connection, account_id), key=lambda one: one.site_id):
        retract(connection, row)
        Desk.move(connection, row, Event.FAIL, reason=Reason.ACCOUNT_NOT_ACTIVE.value)
