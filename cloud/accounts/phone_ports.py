"""What the room of codes needs of accounts: to whom a code goes, and that a number was proven."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.states import MACHINE, Event, State
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
