"""Between accounts and codes: to whom a code goes, that a number was proven, and what ends codes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.states import MACHINE, Event, State
from cloud.codes.desk import Codes
from cloud.codes.ports import Holder
from cloud.codes.service import Ports
from cloud.codes.values import Purpose


def phone_ports(accounts: Accounts) -> Ports:
    """A registration proves its number; who is active signs, or changes to another number."""

    def holder_of(connection: Connection, account_id: str, purpose: Purpose, *, lock: bool = False) -> Holder:
        row = accounts.find(connection, account_id, lock=lock)
        if purpose is Purpose.REGISTER:
            MACHINE.after(State(row.state), Event.VERIFY_PHONE)
        else:
            accounts.require_active(connection, account_id)
        personal = accounts.vault.open(connection, row)
        return Holder(personal.phone, personal.id_number, row.language)

    def phone_verified(connection: Connection, account_id: str) -> None:
        accounts.advance(connection, account_id, Event.VERIFY_PHONE)

    return Ports(holder_of, phone_verified)


@dataclass(frozen=True, slots=True)
class PendingCodes:
    """Lets no code count that was sent to a number which is the account's no more. A watcher of accounts."""

    codes: Codes

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """Whoever has the former telephone opens nothing with it."""
        if "phone" in fields:
            self._retire(connection, account_id)

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """What was not sent yet is not sent."""
        self._retire(connection, account_id)

    def _retire(self, connection: Connection, account_id: str) -> None:
        for purpose in Purpose:
            self.codes.retire(connection, account_id, purpose)
