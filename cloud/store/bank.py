"""Rows of bank verification: sessions, signatures, numbers, records, requests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import coop_numbers, coop_records, coop_requests, coop_sessions, coop_signatures
from cloud.store.values import insert_new, to_values
from verifield.v1 import coop_service_pb2 as pb

OPEN = tuple(range(pb.COOP_STATE_CARD_READ, pb.COOP_STATE_SIGNED + 1))
ENDED = (pb.COOP_STATE_REQUEST_ISSUED, pb.COOP_STATE_EXITED, pb.COOP_STATE_NOT_PASSED, pb.COOP_STATE_ENDED)
"""States, by name so that the indexes, which they lead, are used."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """``card``, ``authority_photo`` and ``organisation_name`` are sealed with the key of ``person_id``."""

    session_id: str
    device_id: str
    slot: int
    state: int
    language: str
    person_id: str
    steps: bytes
    started_us: int
    deadline_us: int
    face_tries: int
    end: int = 0
    customer_id: str | None = None
    check_id: str | None = None
    check_input: bytes | None = None
    check_until_us: int = 0
    card: bytes | None = None
    authority_photo: bytes | None = None
    items: bytes | None = None
    nonce: bytes | None = None
    nonce_us: int | None = None
    attestation_id: str | None = None
    envelope_sha256: bytes | None = None
    picture_sha256: bytes | None = None
    customer_version: int = 0
    bank_id: str | None = None
    period: str | None = None
    organisation_id: str | None = None
    organisation_name: bytes | None = None
    notice_version: int | None = None
    notice_sha256: bytes | None = None
    number: str | None = None
    ended_us: int | None = None
    cleared_us: int | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """``strokes`` and ``image`` are sealed."""

    session_id: str
    customer_id: str
    strokes: bytes | None
    image: bytes | None
    strokes_sha256: bytes
    image_sha256: bytes
    signed_us: int


@dataclass(frozen=True, slots=True)
class RecordRow:
    """``organisation_name`` and ``explanation`` are sealed; ``bank_names`` is a Bank with its names then."""

    record_id: str
    number: str
    session_id: str
    customer_id: str
    bank_id: str
    bank_names: bytes
    organisation_id: str | None
    organisation_name: bytes | None
    outcome: int
    period: str
    valid_from_us: int
    expires_us: int
    revoked_us: int | None = None
    revocation: int = 0
    explanation: bytes | None = None


@dataclass(frozen=True, slots=True)
class RequestRow:
    """``pdf`` is sealed; ``evidence`` is a CoopEvidence."""

    record_id: str
    customer_id: str
    pdf: bytes | None
    pdf_sha256: bytes
    evidence: bytes
    evidence_sha256: bytes


def add_session(connection: Connection, row: SessionRow) -> bool:
    """Insert a session; False where its device has an open one in this slot."""
    return insert_new(connection, coop_sessions, to_values(row))


def get_session(connection: Connection, session_id: str, *, lock: bool = False) -> SessionRow | None:
    """Read one session; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*coop_sessions.c).where(coop_sessions.c.session_id == session_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return SessionRow(**row._mapping) if row else None


def change_session(connection: Connection, row: SessionRow) -> SessionRow:
    """Write all of a row that was read with a lock, as its next version; return that."""
    written = replace(row, version=row.version + 1)
    values = to_values(written)
    for name in ("session_id", "device_id", "slot", "started_us"):
        del values[name]
    connection.execute(
        update(coop_sessions).where(coop_sessions.c.session_id == row.session_id).values(**values)
    )
    return written


def due_sessions(connection: Connection, *, now_us: int, limit: int, device_id: str = "") -> list[SessionRow]:
    """Open sessions whose time is over, locked; those that another transaction holds are left to it."""
    query = select(*coop_sessions.c).where(
        coop_sessions.c.ended_us.is_(None),
        coop_sessions.c.state.in_(OPEN),
        coop_sessions.c.deadline_us <= now_us,
    )
    if device_id:
        query = query.where(coop_sessions.c.device_id == device_id)
    query = query.order_by(coop_sessions.c.deadline_us).limit(limit).with_for_update(skip_locked=True)
    return [SessionRow(**row._mapping) for row in connection.execute(query)]


def sessions_to_clear(connection: Connection, *, before_us: int, limit: int) -> list[SessionRow]:
    """Sessions that ended before and still hold what is personal, locked as :func:`due_sessions`."""
    query = (
        select(*coop_sessions.c)
        .where(
            coop_sessions.c.cleared_us.is_(None),
            coop_sessions.c.state.in_(ENDED),
            coop_sessions.c.ended_us < before_us,
        )
        .order_by(coop_sessions.c.ended_us)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [SessionRow(**row._mapping) for row in connection.execute(query)]


def add_signature(connection: Connection, row: SignatureRow) -> None:
    """Insert the signature of a session."""
    connection.execute(insert(coop_signatures).values(**to_values(row)))


def get_signature(connection: Connection, session_id: str) -> SignatureRow | None:
    """The signature of a session."""
    query = select(*coop_signatures.c).where(coop_signatures.c.session_id == session_id)
    row = connection.execute(query).one_or_none()
    return SignatureRow(**row._mapping) if row else None


def empty_signature(connection: Connection, session_id: str) -> None:
    """Take away what was written; the digests stay."""
    at = coop_signatures.c.session_id == session_id
    connection.execute(update(coop_signatures).where(at).values(strokes=None, image=None))


def next_number(connection: Connection, year: int) -> int:
    """The next number of a year, from 1; the year's row stays locked until the transaction ends.

    Where the transaction is undone, so is the number: none is left out.
    """
    insert_new(connection, coop_numbers, {"year": year, "last": 0})
    at = coop_numbers.c.year == year
    last = connection.execute(select(coop_numbers.c.last).where(at).with_for_update()).scalar_one()
    connection.execute(update(coop_numbers).where(at).values(last=last + 1))
    return int(last) + 1


def add_record(connection: Connection, row: RecordRow, request: RequestRow) -> None:
    """Insert a record and the request that it comes from."""
    connection.execute(insert(coop_records).values(**to_values(row)))
    connection.execute(insert(coop_requests).values(**to_values(request)))


def get_record(connection: Connection, record_id: str, *, lock: bool = False) -> RecordRow | None:
    """Read one record; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*coop_records.c).where(coop_records.c.record_id == record_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return RecordRow(**row._mapping) if row else None


def record_by_number(connection: Connection, number: str) -> RecordRow | None:
    """Read one record by the number of its request."""
    query = select(*coop_records.c).where(coop_records.c.number == number)
    row = connection.execute(query).one_or_none()
    return RecordRow(**row._mapping) if row else None


def record_of_session(connection: Connection, session_id: str) -> RecordRow | None:
    """The record that a session ended with."""
    query = select(*coop_records.c).where(coop_records.c.session_id == session_id)
    row = connection.execute(query).one_or_none()
    return RecordRow(**row._mapping) if row else None


def list_records(connection: Connection, customer_id: str, *, behind: str, limit: int) -> list[RecordRow]:
    """Records of a customer, newest first; those behind the id ``behind``, all for an empty one."""
    query = select(*coop_records.c).where(coop_records.c.customer_id == customer_id)
    if behind:
        query = query.where(coop_records.c.record_id < behind)
    query = query.order_by(coop_records.c.record_id.desc()).limit(limit)
    return [RecordRow(**row._mapping) for row in connection.execute(query)]


def revoke_record(
    connection: Connection, record_id: str, *, now_us: int, revocation: int, explanation: bytes | None
) -> None:
    """End a record that was read with a lock."""
    connection.execute(
        update(coop_records)
        .where(coop_records.c.record_id == record_id)
        .values(revoked_us=now_us, revocation=revocation, explanation=explanation)
    )


def get_request(connection: Connection, record_id: str) -> RequestRow | None:
    """The request that a record comes from."""
    query = select(*coop_requests.c).where(coop_requests.c.record_id == record_id)
    row = connection.execute(query).one_or_none()
    return RequestRow(**row._mapping) if row else None
