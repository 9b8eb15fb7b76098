"""Rows of acts of signing, and of the signatures that were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select, update

from cloud.store.schema import contracts, signature_records, signings
from cloud.store.values import insert_many, insert_new, to_values
from verifield.v1 import contract_service_pb2
from verifield.v1 import signing_service_pb2 as pb

# As numbers, so that the partial indexes are used.
_OPEN = (
    pb.SIGNING_STATE_STARTED,
    pb.SIGNING_STATE_AT_SITE,
    pb.SIGNING_STATE_AUTHENTICATED,
    pb.SIGNING_STATE_TIMESTAMP_PENDING,
)
MAKING = _OPEN[2:]
"""States of those whose person has authenticated."""
_WAITING = _OPEN[:2]
_SIGNABLE = (contract_service_pb2.CONTRACT_STATE_SENT, contract_service_pb2.CONTRACT_STATE_PARTIALLY_SIGNED)


@dataclass(frozen=True, slots=True)
class SigningRow:
    """An act of signing. ``site_id`` and ``task_id``: of one at a site. ``source`` is sealed."""

    signing_id: str
    contract_id: str
    party_id: str
    account_id: str
    organisation_id: str | None
    state: int
    challenge: bytes
    document_sha256: bytes
    started_us: int
    expires_us: int
    opened_us: int
    preview_sha256: bytes | None = None
    asset_id: str | None = None
    seal_id: str | None = None
    method: int = 0
    evidence_id: str = ""
    evidence_sha256: bytes | None = None
    evidence: bytes | None = None
    device_id: str = ""
    source: bytes | None = None
    authenticated_us: int | None = None
    signed_us: int | None = None
    reason: str = ""
    site_id: str = ""
    task_id: str | None = None
    due_us: int = 0
    tries: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A signature. ``place``: digest of its contract and field."""

    record_id: str
    contract_id: str
    party_id: str
    signing_id: str
    account_id: str
    organisation_id: str | None
    kind: int
    field: str
    serial: str
    method: int
    evidence_id: str
    evidence_sha256: bytes | None
    evidence: bytes | None
    device_id: str
    document_sha256: bytes
    challenge: bytes
    preview_sha256: bytes
    before_sha256: bytes
    after_sha256: bytes
    seal_id: str | None
    seal_version: int
    authenticated_us: int
    signed_us: int
    place: bytes


def add_signing(connection: Connection, row: SigningRow) -> bool:
    """Insert an act of signing; False where this person has one of this party that is not over."""
    return insert_new(connection, signings, to_values(row))


def get_signing(connection: Connection, signing_id: str, *, lock: bool = False) -> SigningRow | None:
    """Read one; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*signings.c).where(signings.c.signing_id == signing_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return SigningRow(**row._mapping) if row else None


def find_by_task(connection: Connection, task_id: str) -> SigningRow | None:
    """The one that was handed to a site as this task."""
    row = connection.execute(select(*signings.c).where(signings.c.task_id == task_id)).one_or_none()
    return SigningRow(**row._mapping) if row else None


def open_of_party(connection: Connection, party_id: str) -> list[SigningRow]:
    """Those of a party that are not over, locked, in one order."""
    query = (
        select(*signings.c)
        .where(signings.c.party_id == party_id, signings.c.state.in_(_OPEN))
        .order_by(signings.c.signing_id)
        .with_for_update()
    )
    return [SigningRow(**row._mapping) for row in connection.execute(query)]


def waiting_of(connection: Connection, account_id: str) -> list[SigningRow]:
    """Those that wait for a person, locked, in one order."""
    query = (
        select(*signings.c)
        .where(signings.c.account_id == account_id, signings.c.state.in_(_WAITING))
        .order_by(signings.c.signing_id)
        .with_for_update()
    )
    return [SigningRow(**row._mapping) for row in connection.execute(query)]


def change_signing(connection: Connection, row: SigningRow) -> SigningRow:
    """Write all of a row that was read with a lock, as its next version; return that."""
    written = replace(row, version=row.version + 1)
    connection.execute(
        update(signings).where(signings.c.signing_id == row.signing_id).values(**to_values(written))
    )
    return written


def due_signings(connection: Connection, *, now_us: int, limit: int) -> list[tuple[str, str]]:
    """Those whose signature is to be made, with their contracts; the ones that wait longest first."""
    query = (
        select(signings.c.signing_id, signings.c.contract_id)
        .where(signings.c.state.in_(MAKING), signings.c.due_us <= now_us)
        .order_by(signings.c.due_us)
        .limit(limit)
    )
    return [(row.signing_id, row.contract_id) for row in connection.execute(query)]


def others_waiting(connection: Connection, row: SigningRow) -> bool:
    """Whether another signature of the same contract waits for its time-stamp."""
    query = select(signings.c.signing_id).where(
        signings.c.contract_id == row.contract_id,
        signings.c.signing_id != row.signing_id,
        signings.c.state == pb.SIGNING_STATE_TIMESTAMP_PENDING,
    )
    return connection.execute(query.limit(1)).first() is not None


def expired_signings(connection: Connection, *, now_us: int, limit: int) -> list[str]:
    """Those that wait for the person, whose time is over."""
    query = (
        select(signings.c.signing_id)
        .where(signings.c.state.in_(_WAITING), signings.c.expires_us <= now_us)
        .order_by(signings.c.expires_us)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def stranded_signings(connection: Connection, *, limit: int) -> list[str]:
    """Those that devices of a site have, of contracts that nobody signs any more."""
    query = (
        select(signings.c.signing_id)
        .join(contracts, contracts.c.contract_id == signings.c.contract_id)
        .where(signings.c.state == pb.SIGNING_STATE_AT_SITE, contracts.c.state.not_in(_SIGNABLE))
        .order_by(signings.c.signing_id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def add_records(connection: Connection, rows: Sequence[RecordRow]) -> None:
    """Append signatures; a field of a contract that has one breaks the transaction."""
    insert_many(connection, signature_records, [to_values(row) for row in rows])


def records_of(
    connection: Connection, contract_id: str, *, after: str = "", limit: int = 1000
) -> list[RecordRow]:
    """The signatures of a contract, as they were made."""
    query = (
        select(*signature_records.c)
        .where(signature_records.c.contract_id == contract_id, signature_records.c.record_id > after)
        .order_by(signature_records.c.record_id)
        .limit(limit)
    )
    return [RecordRow(**row._mapping) for row in connection.execute(query)]
