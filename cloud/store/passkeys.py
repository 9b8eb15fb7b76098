"""Rows of what people sign with: pictures of their signatures, and passkeys."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from cloud.store.schema import passkey_registrations, passkeys, signature_assets, signings
from cloud.store.signatures import MAKING
from cloud.store.values import insert_new, to_values


@dataclass(frozen=True, slots=True)
class AssetRow:
    """``strokes`` and ``image`` are sealed."""

    asset_id: str
    account_id: str
    strokes: bytes | None
    image: bytes | None
    image_sha256: bytes
    created_us: int
    retired_us: int | None = None


@dataclass(frozen=True, slots=True)
class PasskeyRow:
    """``credential`` and ``name`` are sealed."""

    passkey_id: str
    account_id: str
    credential_sha256: bytes
    credential: bytes | None
    name: bytes | None
    sign_count: int
    synced: int
    created_us: int
    used_us: int | None = None
    removed_us: int | None = None


@dataclass(frozen=True, slots=True)
class RegistrationRow:
    """A passkey that is being registered."""

    account_id: str
    registration_id: str
    challenge: bytes
    expires_us: int


def add_asset(connection: Connection, row: AssetRow) -> None:
    """Insert a picture of a signature."""
    connection.execute(insert(signature_assets).values(**to_values(row)))


def get_asset(connection: Connection, asset_id: str) -> AssetRow | None:
    """One picture, also one that is out of use."""
    query = select(*signature_assets.c).where(signature_assets.c.asset_id == asset_id)
    row = connection.execute(query).one_or_none()
    return AssetRow(**row._mapping) if row else None


def assets_of(connection: Connection, account_id: str) -> list[AssetRow]:
    """Those of an account that are in use, oldest first."""
    query = (
        select(*signature_assets.c)
        .where(signature_assets.c.account_id == account_id, signature_assets.c.retired_us.is_(None))
        .order_by(signature_assets.c.asset_id)
    )
    return [AssetRow(**row._mapping) for row in connection.execute(query)]


def retire_asset(connection: Connection, asset_id: str, *, now_us: int) -> None:
    """Take a picture out of use."""
    statement = update(signature_assets).where(signature_assets.c.asset_id == asset_id)
    connection.execute(statement.values(retired_us=now_us))


def drop_assets(connection: Connection) -> int:
    """Forget the pictures that are out of use, once no signature is being made with them."""
    used = select(signings.c.asset_id).where(signings.c.state.in_(MAKING), signings.c.asset_id.is_not(None))
    table = signature_assets
    out = table.c.retired_us.is_not(None) & table.c.asset_id.not_in(used)
    return len(connection.execute(delete(table).where(out).returning(table.c.asset_id)).all())


def add_passkey(connection: Connection, row: PasskeyRow) -> bool:
    """Insert a passkey; False where its credential is known."""
    return insert_new(connection, passkeys, to_values(row))


def get_passkey(connection: Connection, passkey_id: str, *, lock: bool = False) -> PasskeyRow | None:
    """One passkey that was not removed."""
    query = select(*passkeys.c).where(passkeys.c.passkey_id == passkey_id, passkeys.c.removed_us.is_(None))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return PasskeyRow(**row._mapping) if row else None


def passkeys_of(connection: Connection, account_id: str, *, lock: bool = False) -> list[PasskeyRow]:
    """Those of an account that were not removed, oldest first."""
    query = (
        select(*passkeys.c)
        .where(passkeys.c.account_id == account_id, passkeys.c.removed_us.is_(None))
        .order_by(passkeys.c.passkey_id)
    )
    found = connection.execute(query.with_for_update() if lock else query)
    return [PasskeyRow(**row._mapping) for row in found]


def rename_passkey(connection: Connection, passkey_id: str, name: bytes | None) -> None:
    """Write the sealed name."""
    connection.execute(update(passkeys).where(passkeys.c.passkey_id == passkey_id).values(name=name))


def use_passkey(connection: Connection, passkey_id: str, *, sign_count: int, now_us: int) -> None:
    """Write that it was used."""
    statement = update(passkeys).where(passkeys.c.passkey_id == passkey_id)
    connection.execute(statement.values(sign_count=sign_count, used_us=now_us))


def remove_passkey(connection: Connection, passkey_id: str, *, now_us: int) -> None:
    """Let a passkey count no more; what it was is forgotten."""
    statement = update(passkeys).where(passkeys.c.passkey_id == passkey_id)
    connection.execute(statement.values(removed_us=now_us, credential=None, name=None))


def put_registration(connection: Connection, row: RegistrationRow) -> None:
    """Begin to register, in the place of what was begun before."""
    connection.execute(
        delete(passkey_registrations).where(passkey_registrations.c.account_id == row.account_id)
    )
    connection.execute(insert(passkey_registrations).values(**to_values(row)))


def take_registration(
    connection: Connection, account_id: str, registration_id: str
) -> RegistrationRow | None:
    """What was begun; it is over with that."""
    table = passkey_registrations
    mine = (table.c.account_id == account_id) & (table.c.registration_id == registration_id)
    row = connection.execute(delete(table).where(mine).returning(*table.c)).one_or_none()
    return RegistrationRow(**row._mapping) if row else None


def drop_registrations(connection: Connection, *, before_us: int) -> int:
    """Forget what nobody ended."""
    table = passkey_registrations
    gone = connection.execute(
        delete(table).where(table.c.expires_us < before_us).returning(table.c.account_id)
    )
    return len(gone.all())
