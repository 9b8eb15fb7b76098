"""Rows of verifications: how accounts stand, attempts, face checks, used evidence, and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Row, Select, delete, exists, func, insert, select, update

from cloud.store.lists import Begin
from cloud.store.schema import (
    ctid_transactions,
    face_checks,
    identities,
    manual_ledger,
    staff_identities,
    used_evidence,
    verifications,
)
from cloud.store.values import insert_new, to_values
from verifield.v1.identity_service_pb2 import VERIFICATION_STATE_PENDING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

_LEDGER_PAGE = 500
_EXPIRED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """How an account stands; None where there is no such time. Without a row nothing was ever tried."""

    account_id: str
    elements_us: int | None = None
    elements_id: str | None = None
    verification_id: str | None = None
    method: int = 0
    mark: int = 0
    verified_us: int | None = None
    stale_us: int | None = None
    stale_code: str = ""
    conflict_us: int | None = None
    element_tries: int = 0
    face_tries: int = 0


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """One attempt. ``request_id``, ``attestation_id`` and ``device_id`` are empty where there is none."""

    verification_id: str
    account_id: str
    method: int
    state: int
    code: str
    mark: int
    request_id: str
    attestation_id: str
    device_id: str
    created_us: int
    updated_us: int
    expires_us: int


@dataclass(frozen=True, slots=True)
class FaceCheckRow:
    """A nonce that was given out. ``ended_us``: it counts no more; ``verification_id``: used for that."""

    face_check_id: str
    account_id: str
    nonce: bytes
    created_us: int
    expires_us: int
    ended_us: int | None = None
    verification_id: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A record of a device that was used. ``subject``: for what, TABLE/ID."""

    envelope_sha256: bytes
    attestation_id: str
    subject: str
    used_us: int


@dataclass(frozen=True, slots=True)
class CtidRow:
    """``nonce`` is sealed."""

    verification_id: str
    account_id: str
    transaction_id: str
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One entry of the ledger; ``documents`` is a JSON list of numbers."""

    number: int
    account_id: str
    verification_id: str
    operator: str
    recorded_us: int
    place: str
    documents: str
    reason: int
    note: str
    previous_sha256: bytes
    entry_sha256: bytes


@dataclass(frozen=True, slots=True)
class StaffRow:
    """``id_number`` is sealed, ``id_mark`` a blind index of it."""

    user_id: str
    id_number: bytes | None
    id_mark: bytes | None
    declared_by: str
    declared_us: int


def get_identity(connection: Connection, account_id: str) -> IdentityRow:
    """How an account stands; a blank row where nothing was ever tried."""
    query = select(*identities.c).where(identities.c.account_id == account_id)
    return _one(IdentityRow, connection.execute(query).one_or_none()) or IdentityRow(account_id)


def put_identity(connection: Connection, row: IdentityRow) -> None:
    """Write how an account stands. The caller holds the account's lock, under which the row was read."""
    values = to_values(row)
    key = values.pop("account_id")
    done = connection.execute(update(identities).where(identities.c.account_id == key).values(values))
    if not done.rowcount:
        connection.execute(insert(identities).values(**to_values(row)))


def identities_older(connection: Connection, *, before_us: int, limit: int) -> list[str]:
    """Accounts that were verified before then and still count, oldest first."""
    query = (
        select(identities.c.account_id)
        .where(identities.c.verified_us < before_us, identities.c.stale_us.is_(None))
        .order_by(identities.c.verified_us)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def add_verification(connection: Connection, row: VerificationRow) -> None:
    """Insert an attempt.

    Raises:
        IntegrityError: one of this method is PENDING.
    """
    connection.execute(insert(verifications).values(**to_values(row)))


def get_verification(
    connection: Connection, verification_id: str, *, lock: bool = False
) -> VerificationRow | None:
    """Read one attempt; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*verifications.c).where(verifications.c.verification_id == verification_id)
    return _one(VerificationRow, connection.execute(query.with_for_update() if lock else query).one_or_none())


def find_pending(connection: Connection, account_id: str, method: int) -> VerificationRow | None:
    """The attempt of a method that has not ended yet."""
    query = select(*verifications.c).where(
        verifications.c.account_id == account_id,
        verifications.c.method == method,
        verifications.c.state == VERIFICATION_STATE_PENDING,
    )
    return _one(VerificationRow, connection.execute(query.with_for_update()).one_or_none())


def newest_of_request(
    connection: Connection, account_id: str, method: int, *, request_id: str
) -> VerificationRow | None:
    """The newest attempt of a method that a request began; other calls may have the same id."""
    query = (
        select(*verifications.c)
        .where(
            verifications.c.account_id == account_id,
            verifications.c.method == method,
            verifications.c.request_id == request_id,
        )
        .order_by(verifications.c.created_us.desc(), verifications.c.verification_id.desc())
        .limit(1)
    )
    return _one(VerificationRow, connection.execute(query).one_or_none())


def change_verification(connection: Connection, row: VerificationRow) -> None:
    """Write an attempt that was read with a lock."""
    values = to_values(row)
    key = values.pop("verification_id")
    connection.execute(update(verifications).where(verifications.c.verification_id == key).values(values))


def count_since(connection: Connection, account_id: str, method: int, *, since_us: int) -> int:
    """How many attempts of a method an account has made since then."""
    query = select(func.count()).where(
        verifications.c.account_id == account_id,
        verifications.c.method == method,
        verifications.c.created_us >= since_us,
    )
    return connection.execute(query).scalar_one()


def overdue(connection: Connection, *, now_us: int) -> list[VerificationRow]:
    """Attempts that are PENDING for too long, locked; those that another server works on are left out."""
    query = (
        select(*verifications.c)
        .where(
            verifications.c.state == VERIFICATION_STATE_PENDING,
            verifications.c.expires_us <= now_us,
        )
        .order_by(verifications.c.expires_us)
        .limit(_EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return [VerificationRow(**row._mapping) for row in connection.execute(query)]


def select_verifications(
    begin: Begin, limit: int, *, account_id: str = "", state: int = 0, method: int = 0
) -> Select[Any]:
    """Attempts in order of id, which is that of time; empty and zero filters do not filter."""
    at = verifications.c.verification_id
    query = select(*verifications.c).where(*begin.cut(at)).order_by(begin.order(at)).limit(limit)
    if account_id:
        query = query.where(verifications.c.account_id == account_id)
    if state:
        query = query.where(verifications.c.state == state)
    return query.where(verifications.c.method == method) if method else query


def begin_face_check(connection: Connection, row: FaceCheckRow) -> None:
    """Insert a nonce; those that the account had before count no more."""
    connection.execute(
        update(face_checks)
        .where(face_checks.c.account_id == row.account_id, face_checks.c.ended_us.is_(None))
        .values(ended_us=row.created_us)
    )
    connection.execute(insert(face_checks).values(**to_values(row)))


def get_face_check(connection: Connection, face_check_id: str) -> FaceCheckRow | None:
    """Read one, locked."""
    query = select(*face_checks.c).where(face_checks.c.face_check_id == face_check_id)
    return _one(FaceCheckRow, connection.execute(query.with_for_update()).one_or_none())


def end_face_check(connection: Connection, face_check_id: str, *, verification_id: str, now_us: int) -> None:
    """Let a nonce count no more: it was used."""
    connection.execute(
        update(face_checks)
        .where(face_checks.c.face_check_id == face_check_id)
        .values(ended_us=now_us, verification_id=verification_id)
    )


def free_evidence(connection: Connection, verification_id: str, *, subject: str) -> None:
    """Let nonce and record of an attempt that got no answer be used once more.

    A nonce behind which the account was given another one stays at its end: the newest counts alone.
    """
    newer = face_checks.alias()
    overtaken = exists().where(
        newer.c.account_id == face_checks.c.account_id, newer.c.face_check_id > face_checks.c.face_check_id
    )
    connection.execute(
        update(face_checks)
        .where(face_checks.c.verification_id == verification_id, ~overtaken)
        .values(ended_us=None, verification_id="")
    )
    connection.execute(delete(used_evidence).where(used_evidence.c.subject == subject))


def drop_face_checks(connection: Connection, *, before_us: int) -> int:
    """Delete those that expired before then; return how many."""
    return connection.execute(delete(face_checks).where(face_checks.c.expires_us < before_us)).rowcount


def use_evidence(connection: Connection, row: EvidenceRow) -> bool:
    """Note that a record was used as evidence; False where it was used before."""
    return insert_new(connection, used_evidence, to_values(row))


def is_used(connection: Connection, envelope_sha256: bytes) -> bool:
    """Whether a record was used as evidence."""
    query = select(used_evidence.c.subject).where(used_evidence.c.envelope_sha256 == envelope_sha256)
    return connection.execute(query).first() is not None


def add_ctid(connection: Connection, row: CtidRow) -> None:
    """Keep what belongs to a transaction of CTID."""
    connection.execute(insert(ctid_transactions).values(**to_values(row)))


def get_ctid(connection: Connection, verification_id: str) -> CtidRow | None:
    """Read it."""
    query = select(*ctid_transactions.c).where(ctid_transactions.c.verification_id == verification_id)
    return _one(CtidRow, connection.execute(query).one_or_none())


def last_entry(connection: Connection) -> LedgerRow | None:
    """The newest entry of the ledger."""
    query = select(*manual_ledger.c).order_by(manual_ledger.c.number.desc()).limit(1)
    return _one(LedgerRow, connection.execute(query).one_or_none())


def add_entry(connection: Connection, row: LedgerRow) -> None:
    """Insert an entry.

    Raises:
        IntegrityError: another transaction has just added one of this number.
    """
    connection.execute(insert(manual_ledger).values(**to_values(row)))


def entry_of(connection: Connection, verification_id: str) -> LedgerRow | None:
    """The entry of a verification by hand."""
    query = select(*manual_ledger.c).where(manual_ledger.c.verification_id == verification_id)
    return _one(LedgerRow, connection.execute(query).one_or_none())


def entries_between(connection: Connection, *, start_us: int, end_us: int, after: int = 0) -> list[LedgerRow]:
    """Some entries of a span of time behind the number ``after``, in order; empty at the end."""
    query = (
        select(*manual_ledger.c)
        .where(
            manual_ledger.c.recorded_us >= start_us,
            manual_ledger.c.recorded_us < end_us,
            manual_ledger.c.number > after,
        )
        .order_by(manual_ledger.c.number)
        .limit(_LEDGER_PAGE)
    )
    return [LedgerRow(**row._mapping) for row in connection.execute(query)]


def entry_digests(connection: Connection, numbers: Sequence[int]) -> dict[int, bytes]:
    """Digests of the entries with these numbers; without those that there are none of."""
    query = select(manual_ledger.c.number, manual_ledger.c.entry_sha256).where(
        manual_ledger.c.number.in_(numbers)
    )
    return {row.number: bytes(row.entry_sha256) for row in connection.execute(query)}


def put_staff(connection: Connection, row: StaffRow) -> None:
    """Write which person a user is."""
    values = to_values(row)
    key = values.pop("user_id")
    done = connection.execute(
        update(staff_identities).where(staff_identities.c.user_id == key).values(values)
    )
    if not done.rowcount:
        connection.execute(insert(staff_identities).values(**to_values(row)))


def get_staff(connection: Connection, user_id: str) -> StaffRow | None:
    """Which person a user is; None where nobody has said."""
    query = select(*staff_identities.c).where(staff_identities.c.user_id == user_id)
    return _one(StaffRow, connection.execute(query).one_or_none())


def _one(made: type[R], row: Row[Any] | None) -> R | None:
    return made(**row._mapping) if row is not None else None
