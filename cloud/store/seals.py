"""Rows of seals, their versions, who may use them, and who did."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, true, update

from cloud.store.lists import Begin
from cloud.store.schema import seal_grants, seal_uses, seal_versions, seals
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class SealRow:
    """Names of columns. ``label`` is sealed."""

    seal_id: str
    organisation_id: str
    kind: int
    state: int
    label: bytes | None
    approved_version: int | None
    newest_version: int
    created_us: int
    updated_us: int
    state_us: int
    changes: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """``reasons`` are sealed; sizes on paper in tenths of a millimetre."""

    version_id: str
    seal_id: str
    organisation_id: str
    version: int
    state: int
    source: int
    object_id: str
    image_sha256: bytes
    width_px: int
    height_px: int
    width_dmm: int
    height_dmm: int
    colour: int
    policy_version: int
    reasons: bytes | None
    task_id: str | None
    submitted_by: str
    created_us: int
    decided_us: int | None


@dataclass(frozen=True, slots=True)
class GrantRow:
    """``max_uses`` 0: without a limit."""

    grant_id: str
    seal_id: str
    organisation_id: str
    account_id: str
    state: int
    scopes: int
    valid_from_us: int
    valid_until_us: int
    max_uses: int
    uses: int
    granted_by: str
    created_us: int
    ended_us: int | None
    version: int


@dataclass(frozen=True, slots=True)
class UseRow:
    """``place`` is sealed under the account's key."""

    use_id: str
    seal_id: str
    version: int
    organisation_id: str
    grant_id: str
    account_id: str
    scope: int
    subject: str
    document_sha256: bytes
    field_name: str
    place: bytes | None
    time_us: int


def add_seal(connection: Connection, row: SealRow) -> None:
    """Insert a seal."""
    connection.execute(insert(seals).values(**to_values(row)))


def get_seal(connection: Connection, seal_id: str, *, lock: bool = False) -> SealRow | None:
    """Read one; ``lock``: nobody else changes it until the transaction ends."""
    query = select(*seals.c).where(seals.c.seal_id == seal_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return SealRow(**row._mapping) if row else None


def change_seal(connection: Connection, row: SealRow) -> None:
    """Write a row that was read with a lock."""
    connection.execute(update(seals).where(seals.c.seal_id == row.seal_id).values(**to_values(row)))


def count_seals(connection: Connection, organisation_id: str, *, besides: int) -> int:
    """Of an organisation, without those in the state ``besides``."""
    at = seals.c
    query = select(func.count()).where(at.organisation_id == organisation_id, at.state != besides)
    return connection.execute(query).scalar_one()


def select_seals(begin: Begin, limit: int, *, organisation_id: str = "", state: int = 0) -> Select[Any]:
    """In order of id, which is that of time; empty filters do not filter."""
    at = seals.c
    columns = [at[field.name] for field in fields(SealRow)]
    query = select(*columns).where(*begin.cut(at.seal_id)).order_by(begin.order(at.seal_id))
    if organisation_id:
        query = query.where(at.organisation_id == organisation_id)
    if state:
        query = query.where(at.state == state)
    return query.limit(limit)


def add_version(connection: Connection, row: VersionRow) -> None:
    """Insert a version; an index refuses a second one that is being looked at."""
    connection.execute(insert(seal_versions).values(**to_values(row)))


def get_version(connection: Connection, version_id: str) -> VersionRow | None:
    """Read one by its id."""
    row = connection.execute(
        select(*seal_versions.c).where(seal_versions.c.version_id == version_id)
    ).one_or_none()
    return VersionRow(**row._mapping) if row else None


def find_version(connection: Connection, seal_id: str, version: int) -> VersionRow | None:
    """Read one by its number."""
    at = seal_versions.c
    query = select(*at).where(at.seal_id == seal_id, at.version == version)
    row = connection.execute(query).one_or_none()
    return VersionRow(**row._mapping) if row else None


def list_versions(connection: Connection, seal_id: str) -> list[VersionRow]:
    """Oldest first."""
    at = seal_versions.c
    query = select(*at).where(at.seal_id == seal_id).order_by(at.version)
    return [VersionRow(**row._mapping) for row in connection.execute(query)]


def change_version(connection: Connection, row: VersionRow) -> None:
    """Write a row whose seal was locked."""
    query = update(seal_versions).where(seal_versions.c.version_id == row.version_id)
    connection.execute(query.values(**to_values(row)))


def add_grant(connection: Connection, row: GrantRow) -> None:
    """Insert a grant."""
    connection.execute(insert(seal_grants).values(**to_values(row)))


def get_grant(connection: Connection, grant_id: str, *, lock: bool = False) -> GrantRow | None:
    """Read one; ``lock`` as for :func:`get_seal`."""
    query = select(*seal_grants.c).where(seal_grants.c.grant_id == grant_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return GrantRow(**row._mapping) if row else None


def change_grant(connection: Connection, row: GrantRow) -> None:
    """Write a row that was read with a lock."""
    query = update(seal_grants).where(seal_grants.c.grant_id == row.grant_id)
    connection.execute(query.values(**to_values(row)))


def grants_between(
    connection: Connection, seal_id: str, account_id: str, *, lock: bool = False
) -> list[GrantRow]:
    """What an account was ever given of a seal, newest first; ``lock`` as for :func:`get_seal`.

    Locked in the order in which :func:`lock_grants_of` does, so that nobody waits in a circle.
    """
    at = seal_grants.c
    query = select(*at).where(at.seal_id == seal_id, at.account_id == account_id).order_by(at.grant_id)
    found = connection.execute(query.with_for_update() if lock else query).all()
    return [GrantRow(**row._mapping) for row in reversed(found)]


def lock_grants_of(connection: Connection, account_id: str, *, state: int) -> list[GrantRow]:
    """What an account holds in a state, locked in the order of their ids."""
    at = seal_grants.c
    query = select(*at).where(at.account_id == account_id, at.state == state).order_by(at.grant_id)
    return [GrantRow(**row._mapping) for row in connection.execute(query.with_for_update())]


def count_grants(connection: Connection, seal_id: str, *, state: int, now_us: int) -> int:
    """How many of a seal are in a state and not over."""
    at = seal_grants.c
    query = select(func.count()).where(at.seal_id == seal_id, at.state == state, at.valid_until_us > now_us)
    return connection.execute(query).scalar_one()


def holders(connection: Connection, organisation_id: str, *, state: int, now_us: int) -> list[str]:
    """The accounts that hold a grant of any seal of an organisation that is in a state and not over."""
    at = seal_grants.c
    query = select(at.account_id).where(
        at.organisation_id == organisation_id, at.state == state, at.valid_until_us > now_us
    )
    return sorted(set(connection.execute(query).scalars()))


def holds_any(
    connection: Connection, organisation_id: str, account_id: str, *, state: int, now_us: int, scopes: int = 0
) -> bool:
    """Whether an account holds a grant of an organisation in a state that counts now, with uses left.

    ``scopes``: bits, one of which it must have; 0: any.
    """
    at = seal_grants.c
    query = select(at.grant_id).where(
        at.organisation_id == organisation_id,
        at.account_id == account_id,
        at.state == state,
        at.valid_from_us <= now_us,
        at.valid_until_us > now_us,
        or_(at.max_uses == 0, at.uses < at.max_uses),
        at.scopes.bitwise_and(scopes) != 0 if scopes else true(),
    )
    return connection.execute(query.limit(1)).first() is not None


def select_grants(
    begin: Begin, limit: int, *, seal_id: str = "", account_id: str = "", organisation_id: str = ""
) -> Select[Any]:
    """In order of id; empty filters do not filter."""
    at = seal_grants.c
    columns = [at[field.name] for field in fields(GrantRow)]
    query = select(*columns).where(*begin.cut(at.grant_id)).order_by(begin.order(at.grant_id))
    for column, value in (
        (at.seal_id, seal_id),
        (at.account_id, account_id),
        (at.organisation_id, organisation_id),
    ):
        if value:
            query = query.where(column == value)
    return query.limit(limit)


def add_use(connection: Connection, row: UseRow) -> None:
    """Append a use."""
    connection.execute(insert(seal_uses).values(**to_values(row)))


def select_uses(begin: Begin, limit: int, *, seal_id: str) -> Select[Any]:
    """Of a seal, in order of id."""
    at = seal_uses.c
    columns = [at[field.name] for field in fields(UseRow)]
    query = select(*columns).where(at.seal_id == seal_id, *begin.cut(at.use_id))
    return query.order_by(begin.order(at.use_id)).limit(limit)


def uses_of(connection: Connection, subject: str) -> list[UseRow]:
    """All of one document's subject, for example approvals/ID, oldest first."""
    at = seal_uses.c
    query = select(*at).where(at.subject == subject).order_by(at.use_id)
    return [UseRow(**row._mapping) for row in connection.execute(query)]
