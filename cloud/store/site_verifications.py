"""Rows of what offices are asked to find out, and of what their devices' records said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from cloud.store.lists import Begin
from cloud.store.schema import devices, issued_certificates, purposes, site_results, site_tasks
from cloud.store.values import to_values
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE
from verifield.v1.identity_service_pb2 import SITE_VERIFICATION_STATE_OPEN


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A request. ``number_digest``: the commitment to the person's number that the devices have."""

    task_id: str
    account_id: str
    site_id: str
    state: int
    nonce: bytes
    number_digest: bytes
    issued_us: int
    expires_us: int
    requested_by: str


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What became of one record, which was made between the two times. ``code``: PASSED, or why not."""

    attestation_id: str
    task_id: str
    account_id: str
    device_id: str
    site_id: str
    outcome: int
    not_before_us: int
    not_after_us: int
    code: str
    verification_id: str
    judged_us: int


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A record that was made for something, and has not been judged."""

    attestation_id: str
    task_id: str


def add_task(connection: Connection, row: TaskRow) -> None:
    """Insert a request."""
    connection.execute(insert(site_tasks).values(**to_values(row)))


def get_task(connection: Connection, task_id: str, *, lock: bool = False) -> TaskRow | None:
    """Read one request; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*site_tasks.c).where(site_tasks.c.task_id == task_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return TaskRow(**row._mapping) if row else None


def open_tasks(connection: Connection, account_id: str) -> list[TaskRow]:
    """The requests about an account that wait for the person."""
    query = select(*site_tasks.c).where(
        site_tasks.c.account_id == account_id, site_tasks.c.state == SITE_VERIFICATION_STATE_OPEN
    )
    return [TaskRow(**row._mapping) for row in connection.execute(query)]


def set_task_state(connection: Connection, task_id: str, state: int) -> None:
    """Write how a request stands."""
    connection.execute(update(site_tasks).where(site_tasks.c.task_id == task_id).values(state=state))


def expired_tasks(connection: Connection, *, now_us: int, limit: int) -> list[TaskRow]:
    """Open requests whose time is over, locked; those that another server sees to are left out."""
    query = (
        select(*site_tasks.c)
        .where(site_tasks.c.state == SITE_VERIFICATION_STATE_OPEN, site_tasks.c.expires_us <= now_us)
        .order_by(site_tasks.c.expires_us)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [TaskRow(**row._mapping) for row in connection.execute(query)]


def select_tasks(
    begin: Begin, limit: int, *, account_id: str = "", site_id: str = "", state: int = 0
) -> Select[Any]:
    """Requests in order of id, which is that of time; empty and zero filters do not filter."""
    at = site_tasks.c.task_id
    query = select(*site_tasks.c).where(*begin.cut(at)).order_by(begin.order(at)).limit(limit)
    if account_id:
        query = query.where(site_tasks.c.account_id == account_id)
    if site_id:
        query = query.where(site_tasks.c.site_id == site_id)
    return query.where(site_tasks.c.state == state) if state else query


def has_device(connection: Connection, site_id: str) -> bool:
    """Whether a device at this site is let in."""
    query = select(devices.c.device_id).where(
        devices.c.site_id == site_id, devices.c.state == DEVICE_STATE_ACTIVE
    )
    return connection.execute(query.limit(1)).first() is not None


def revoked_us(connection: Connection, device_id: str, certificate_sha256: bytes) -> int | None:
    """When the certificate that signed was revoked, or any of the device's attestation certificates."""
    query = select(func.min(issued_certificates.c.revoked_us)).where(
        issued_certificates.c.device_id == device_id,
        issued_certificates.c.certificate_sha256 == certificate_sha256,
    )
    found: int | None = connection.execute(query).scalar_one()
    return found


def waiting_purposes(connection: Connection, *, limit: int) -> list[WaitingRow]:
    """Records that were made for something, the first to come first."""
    query = (
        select(purposes.c.attestation_id, purposes.c.task_id)
        .where(purposes.c.judged_us.is_(None))
        .order_by(purposes.c.received_us, purposes.c.attestation_id)
        .limit(limit)
    )
    return [WaitingRow(**row._mapping) for row in connection.execute(query)]


def claim_purpose(connection: Connection, attestation_id: str, *, now_us: int) -> bool:
    """Take one on; False where it was judged, or is being, by another server."""
    query = (
        select(purposes.c.attestation_id)
        .where(purposes.c.attestation_id == attestation_id, purposes.c.judged_us.is_(None))
        .with_for_update(skip_locked=True)
    )
    if connection.execute(query).first() is None:
        return False
    connection.execute(
        update(purposes).where(purposes.c.attestation_id == attestation_id).values(judged_us=now_us)
    )
    return True


def add_result(connection: Connection, row: ResultRow) -> None:
    """Insert what became of a record: once."""
    connection.execute(insert(site_results).values(**to_values(row)))


def get_results(connection: Connection, attestation_ids: Sequence[str]) -> dict[str, ResultRow]:
    """What became of these records, by id."""
    query = select(*site_results.c).where(site_results.c.attestation_id.in_(attestation_ids))
    return {row.attestation_id: ResultRow(**row._mapping) for row in connection.execute(query)}


def results_of_account(connection: Connection, account_id: str) -> list[ResultRow]:
    """All that records said about an account, in the order in which they were judged."""
    query = select(*site_results.c).where(site_results.c.account_id == account_id)
    ordered = query.order_by(site_results.c.judged_us, site_results.c.attestation_id)
    return [ResultRow(**row._mapping) for row in connection.execute(ordered)]


def results_of_tasks(connection: Connection, task_ids: Sequence[str]) -> list[ResultRow]:
    """What came for these requests, in the order in which it was judged."""
    query = select(*site_results.c).where(site_results.c.task_id.in_(task_ids))
    ordered = query.order_by(site_results.c.judged_us, site_results.c.attestation_id)
    return [ResultRow(**row._mapping) for row in connection.execute(ordered)]
