"""Rows of users, their roles and their certificates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from cloud.store.schema import user_certificates, user_roles, users
from cloud.store.values import to_values
from verifield.v1.user_service_pb2 import ROLE_SUPERUSER, USER_STATE_ACTIVE


@dataclass(frozen=True, slots=True)
class UserRow:
    """``display_name`` and ``subject`` are sealed; ``identity`` is a blind index of issuer and subject."""

    user_id: str
    login: str
    state: int
    display_name: bytes | None
    issuer: str | None
    subject: bytes | None
    identity: bytes | None
    created_us: int
    updated_us: int
    version: int


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """``serial``: hexadecimal. ``revoked_us``: None while it counts."""

    user_id: str
    serial: str
    issued_us: int
    not_after_us: int
    revoked_us: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the way in needs to know of a user."""

    user_id: str
    state: int
    roles: frozenset[int]


# Built once: these are asked with every call of a user.
_BY_ID = select(*users.c).where(users.c.user_id == bindparam("user_id"))
_LOCKED = _BY_ID.with_for_update()
_STATE_BY_CERTIFICATE = (
    select(users.c.user_id, users.c.state)
    .join(user_certificates, user_certificates.c.user_id == users.c.user_id)
    .where(
        users.c.user_id == bindparam("user_id"),
        user_certificates.c.serial == bindparam("serial"),
        user_certificates.c.revoked_us.is_(None),
    )
)
_ROLES_OF = select(user_roles.c.role).where(user_roles.c.user_id == bindparam("user_id"))


def get_user(connection: Connection, user_id: str, *, lock: bool = False) -> UserRow | None:
    """Read one user; with ``lock`` no other transaction may change it meanwhile."""
    return _row(connection.execute(_LOCKED if lock else _BY_ID, {"user_id": user_id}).one_or_none())


def get_by_login(connection: Connection, login: str) -> UserRow | None:
    """Read one user by the short name."""
    return _row(connection.execute(select(*users.c).where(users.c.login == login)).one_or_none())


def has_identity(connection: Connection, identities: Sequence[bytes], *, besides: str = "") -> bool:
    """Whether a user other than ``besides`` has one of these blind indexes."""
    query = select(users.c.user_id).where(users.c.identity.in_(identities), users.c.user_id != besides)
    return connection.execute(query).first() is not None


def standing_by_identity(connection: Connection, identities: Sequence[bytes]) -> Standing | None:
    """The user with one of these blind indexes (one for each version of the index key)."""
    query = select(users.c.user_id, users.c.state).where(users.c.identity.in_(identities))
    return _standing(connection, connection.execute(query).first())


def standing_by_certificate(connection: Connection, user_id: str, serial: str) -> Standing | None:
    """The user, where this certificate was issued to that user and not revoked."""
    found = connection.execute(_STATE_BY_CERTIFICATE, {"user_id": user_id, "serial": serial}).one_or_none()
    return _standing(connection, found)


def roles_of(connection: Connection, user_ids: Collection[str]) -> dict[str, frozenset[int]]:
    """Roles (numbers of the contract) by user; who has none is left out."""
    query = select(user_roles.c.user_id, user_roles.c.role).where(user_roles.c.user_id.in_(user_ids))
    found: dict[str, set[int]] = {}
    for user_id, role in connection.execute(query):
        found.setdefault(user_id, set()).add(role)
    return {user_id: frozenset(roles) for user_id, roles in found.items()}


def add_user(connection: Connection, row: UserRow, *, roles: Iterable[int]) -> None:
    """Insert a user with roles."""
    connection.execute(insert(users).values(**to_values(row)))
    _add_roles(connection, row.user_id, roles)


def change_user(connection: Connection, row: UserRow) -> None:
    """Write all of a row that was read with a lock."""
    values = to_values(row)
    del values["user_id"], values["login"], values["created_us"]
    connection.execute(update(users).where(users.c.user_id == row.user_id).values(**values))


def set_roles(connection: Connection, user_id: str, roles: Iterable[int]) -> None:
    """Replace the roles."""
    connection.execute(delete(user_roles).where(user_roles.c.user_id == user_id))
    _add_roles(connection, user_id, roles)


def active_superusers(connection: Connection) -> list[str]:
    """Ids of those who may do everything. They stay so until this transaction ends: their rows are locked.

    Locked in the order of their ids, so that two transactions that end one superuser each wait for each
    other instead of both leaving the other one.
    """
    having = select(user_roles.c.user_id).where(user_roles.c.role == ROLE_SUPERUSER)
    query = (
        select(users.c.user_id)
        .where(users.c.user_id.in_(having), users.c.state == USER_STATE_ACTIVE)
        .order_by(users.c.user_id)
    )
    connection.execute(query.with_for_update()).all()
    # Read once more: what another transaction changed before it let the rows go counts now.
    return list(connection.execute(query).scalars())


def add_certificate(connection: Connection, row: CertificateRow) -> None:
    """Record a certificate that is given out."""
    connection.execute(insert(user_certificates).values(**to_values(row)))


def revoke_certificates(connection: Connection, user_id: str, *, revoked_us: int) -> int:
    """End all certificates of a user; return how many there were."""
    change = (
        update(user_certificates)
        .where(user_certificates.c.user_id == user_id, user_certificates.c.revoked_us.is_(None))
        .values(revoked_us=revoked_us)
    )
    return connection.execute(change).rowcount


def certificate_ends(connection: Connection, user_ids: Collection[str]) -> dict[str, int]:
    """When the newest certificate that was not revoked ends (microseconds), by user."""
    query = (
        select(user_certificates.c.user_id, func.max(user_certificates.c.not_after_us))
        .where(user_certificates.c.user_id.in_(user_ids), user_certificates.c.revoked_us.is_(None))
        .group_by(user_certificates.c.user_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _row(found: Row[*tuple[Any, ...]] | None) -> UserRow | None:
    return UserRow(**found._mapping) if found else None


def _standing(connection: Connection, found: Row[*tuple[Any, ...]] | None) -> Standing | None:
    if found is None:
        return None
    roles = connection.execute(_ROLES_OF, {"user_id": found.user_id}).scalars()
    return Standing(found.user_id, found.state, frozenset(roles))


def _add_roles(connection: Connection, user_id: str, roles: Iterable[int]) -> None:
    wanted = [{"user_id": user_id, "role": role} for role in sorted(set(roles))]
    if wanted:
        connection.execute(insert(user_roles), wanted)
