"""Rows of the customers of bank verification: versions that stay, and the organisations they act for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import customer_organisations, customer_versions, customers
from cloud.store.values import to_values


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """``id_number`` is sealed; ``version`` is the newest one."""

    customer_id: str
    id_number: bytes | None
    id_number_blind: bytes | None
    version: int
    created_us: int
    updated_us: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """``content`` is sealed."""

    version_id: str
    customer_id: str
    version: int
    content: bytes | None
    session_id: str
    created_us: int


@dataclass(frozen=True, slots=True)
class OrganisationRow:
    """``name`` is sealed; ``ended_us`` None while the customer is linked."""

    organisation_id: str
    customer_id: str
    name: bytes | None
    linked_us: int
    ended_us: int | None = None


def get_customer(connection: Connection, customer_id: str, *, lock: bool = False) -> CustomerRow | None:
    """Read one customer; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*customers.c).where(customers.c.customer_id == customer_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return CustomerRow(**row._mapping) if row else None


def find_customer(
    connection: Connection, blinds: Sequence[bytes], *, lock: bool = False
) -> CustomerRow | None:
    """The customer with one of these blind indexes of the card's number."""
    query = select(*customers.c).where(customers.c.id_number_blind.in_(blinds))
    row = connection.execute(query.with_for_update() if lock else query).first()
    return CustomerRow(**row._mapping) if row else None


def add_customer(connection: Connection, row: CustomerRow) -> None:
    """Insert a customer; two with one card make one of the transactions run again."""
    connection.execute(insert(customers).values(**to_values(row)))


def set_version(connection: Connection, customer_id: str, version: int, *, now_us: int) -> None:
    """Name the newest version of a customer that was read with a lock."""
    change = update(customers).where(customers.c.customer_id == customer_id)
    connection.execute(change.values(version=version, updated_us=now_us))


def add_version(connection: Connection, row: VersionRow) -> None:
    """Insert one version."""
    connection.execute(insert(customer_versions).values(**to_values(row)))


def get_version(connection: Connection, customer_id: str, version: int) -> VersionRow | None:
    """Read one version."""
    query = select(*customer_versions.c).where(
        customer_versions.c.customer_id == customer_id, customer_versions.c.version == version
    )
    row = connection.execute(query).one_or_none()
    return VersionRow(**row._mapping) if row else None


def organisations_of(connection: Connection, customer_id: str) -> list[OrganisationRow]:
    """Those that the customer is linked to, in the order of the links."""
    query = (
        select(*customer_organisations.c)
        .where(
            customer_organisations.c.customer_id == customer_id, customer_organisations.c.ended_us.is_(None)
        )
        .order_by(customer_organisations.c.organisation_id)
    )
    return [OrganisationRow(**row._mapping) for row in connection.execute(query)]


def add_organisation(connection: Connection, row: OrganisationRow) -> None:
    """Insert a link."""
    connection.execute(insert(customer_organisations).values(**to_values(row)))


def end_organisation(connection: Connection, customer_id: str, organisation_id: str, *, now_us: int) -> bool:
    """End a link; False where there is none."""
    change = (
        update(customer_organisations)
        .where(
            customer_organisations.c.customer_id == customer_id,
            customer_organisations.c.organisation_id == organisation_id,
            customer_organisations.c.ended_us.is_(None),
        )
        .values(ended_us=now_us)
    )
    return connection.execute(change).rowcount == 1
