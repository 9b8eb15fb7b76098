"""Rows of accounts and of what they are found by; ``cloud.accounts.personal`` opens what is sealed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, text, update

from cloud.store.glances import Glance
from cloud.store.schema import account_identifiers, account_rebinds, accounts, tickets
from cloud.store.values import insert_new, to_values
from verifield.v1.account_service_pb2 import ACCOUNT_STATE_DEREGISTERED


@dataclass(frozen=True, slots=True)
class AccountRow:
    """Names of columns. ``name`` to ``organisation_code`` are sealed, ``id_mark`` is a blind index."""

    account_id: str
    state: int
    subject_type: int
    source: int
    name: bytes | None
    id_number: bytes | None
    validity: bytes | None
    phone: bytes | None
    email: bytes | None
    login_name: bytes | None
    organisation_name: bytes | None
    organisation_code: bytes | None
    id_mark: bytes | None
    language: str
    prefers: int
    facial_image_id: str | None
    filing_allowed: bool
    filing_from_us: int | None
    filing_until_us: int | None
    end_reason: int
    created_us: int
    updated_us: int
    state_us: int
    version: int


@dataclass(frozen=True, slots=True)
class StatusRow:
    """State, filing permission and version of an account: nothing personal."""

    state: int
    filing_allowed: bool
    filing_from_us: int | None
    filing_until_us: int | None
    version: int


STATUS = Glance(StatusRow, accounts.c.account_id)


@dataclass(frozen=True, slots=True)
class IdentifierRow:
    """``value`` is sealed; ``key`` a blind index, one for all kinds and all accounts that live."""

    identifier_id: str
    account_id: str
    kind: int
    value: bytes | None
    key: bytes | None


@dataclass(frozen=True, slots=True)
class RebindRow:
    """A telephone number that one person proposed; ``phone`` is sealed."""

    account_id: str
    phone: bytes | None
    proposed_by: str
    proposed_us: int


# Built once: these are asked with every call of an account's holder.
_BY_ID = select(*accounts.c).where(accounts.c.account_id == bindparam("account_id"))
_LOCKED = _BY_ID.with_for_update()
# Said as the partial index says it: with a parameter in it, SQLite would not use that.
_LIVE = text(f"accounts.state <> {ACCOUNT_STATE_DEREGISTERED}")


_HOLD = text("SELECT pg_advisory_xact_lock(:lock)")


def get_account(connection: Connection, account_id: str, *, lock: bool = False) -> AccountRow | None:
    """Read one account; with ``lock`` no other transaction may change it meanwhile."""
    return _row(connection.execute(_LOCKED if lock else _BY_ID, {"account_id": account_id}).one_or_none())


def find_live(connection: Connection, id_marks: Sequence[bytes]) -> AccountRow | None:
    """The account that lives with one of these blind indexes (one for each version of the index key)."""
    query = select(*accounts.c).where(accounts.c.id_mark.in_(id_marks), _LIVE)
    return _row(connection.execute(query).first())


def list_accounts(
    connection: Connection, *, id_marks: Sequence[bytes] = (), state: int = 0, behind: str, limit: int
) -> list[AccountRow]:
    """Accounts in order of their ids, which is that of time.

    ``id_marks``: of one person, all that there are and were; without any, and with a state of 0, of all.
    """
    query = select(*accounts.c).where(accounts.c.account_id > behind)
    if id_marks:
        query = query.where(accounts.c.id_mark.in_(id_marks))
    if state:
        query = query.where(accounts.c.state == state)
    return _rows(connection.execute(query.order_by(accounts.c.account_id).limit(limit)).all())


def list_stale(
    connection: Connection, *, states: Collection[int], before_us: int, waiting: bool, limit: int
) -> list[AccountRow]:
    """Accounts that have had one of these states since before; locked, but for those that somebody has.

    ``waiting``: also those about which the information centre has a ticket.
    """
    query = select(*accounts.c).where(accounts.c.state.in_(states), accounts.c.state_us < before_us)
    if not waiting:
        open_ticket = tickets.c.account_id == accounts.c.account_id, text("tickets.state < 3")
        query = query.where(~exists().where(*open_ticket))
    query = query.order_by(accounts.c.state_us).limit(limit).with_for_update(skip_locked=True, of=accounts)
    return _rows(connection.execute(query).all())


def list_erased(connection: Connection, *, limit: int) -> list[AccountRow]:
    """Accounts that live, of persons who were erased; locked as :func:`list_stale` does."""
    query = select(*accounts.c).where(accounts.c.id_mark.is_(None), _LIVE).limit(limit)
    return _rows(connection.execute(query.with_for_update(skip_locked=True)).all())


def add_account(connection: Connection, row: AccountRow) -> bool:
    """Insert an account; False where one with its id number lives."""
    return insert_new(connection, accounts, to_values(row))


def change_account(connection: Connection, row: AccountRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    for name in ("account_id", "source", "created_us"):
        del values[name]
    connection.execute(update(accounts).where(accounts.c.account_id == row.account_id).values(**values))


def hold_keys(connection: Connection, keys: Iterable[bytes]) -> None:
    """Let nobody else who does the same come by these keys until the transaction ends.

    Taken in one order, so that two transactions never wait for each other. SQLite has one writer at a time.
    """
    if connection.dialect.name != "postgresql":
        return
    locks = sorted({int.from_bytes(sha256(key).digest()[:8], signed=True) for key in keys})
    for lock in locks:
        connection.execute(_HOLD, {"lock": lock})


def add_identifier(connection: Connection, row: IdentifierRow) -> bool:
    """Insert what an account is found by; False where another one has it."""
    return insert_new(connection, account_identifiers, to_values(row))


def find_identifier(connection: Connection, keys: Sequence[bytes]) -> IdentifierRow | None:
    """Who has an identifier with one of these blind indexes."""
    query = select(*account_identifiers.c).where(account_identifiers.c.key.in_(keys))
    found = connection.execute(query).first()
    return IdentifierRow(**found._mapping) if found else None


def drop_identifiers(connection: Connection, account_id: str, *, kind: int = 0) -> None:
    """Let go of what an account is found by; a kind of 0 means all."""
    gone = delete(account_identifiers).where(account_identifiers.c.account_id == account_id)
    connection.execute(gone.where(account_identifiers.c.kind == kind) if kind else gone)


def get_rebind(connection: Connection, account_id: str) -> RebindRow | None:
    """The telephone number that somebody proposed."""
    query = select(*account_rebinds.c).where(account_rebinds.c.account_id == account_id)
    found = connection.execute(query).one_or_none()
    return RebindRow(**found._mapping) if found else None


def put_rebind(connection: Connection, row: RebindRow) -> None:
    """Replace what was proposed; the account's row is locked."""
    drop_rebind(connection, row.account_id)
    connection.execute(insert(account_rebinds).values(**to_values(row)))


def drop_rebind(connection: Connection, account_id: str) -> None:
    """Forget what was proposed."""
    connection.execute(delete(account_rebinds).where(account_rebinds.c.account_id == account_id))


_NAMES = tuple(field.name for field in fields(AccountRow))


def _row(found: Row[Any] | None) -> AccountRow | None:
    return AccountRow(**found._mapping) if found else None


def _rows(found: Sequence[Row[Any]]) -> list[AccountRow]:
    return [AccountRow(**row._mapping) for row in found]
