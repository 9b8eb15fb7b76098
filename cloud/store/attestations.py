"""Rows of attestations, of the certificates that signed them, and of receipts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import Connection, Select, insert, select

from cloud.store.schema import attestations, certificates, receipts


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What a list shows of an accepted record; ``reasons`` is a JSON list of codes."""

    log_index: int
    attestation_id: str
    device_id: str
    chain_epoch: int
    seq: int
    envelope_sha256: bytes
    site_id: str
    kind: int
    outcome: int
    reasons: str
    wall_us: int
    received_us: int


@dataclass(frozen=True, slots=True)
class AttestationRow(SummaryRow):
    """One accepted record with its bytes."""

    envelope: bytes
    certificate_sha256: bytes


def add_attestations(connection: Connection, rows: Sequence[AttestationRow]) -> None:
    """Insert accepted records."""
    connection.execute(insert(attestations), [asdict(row) for row in rows])


def get_attestation(connection: Connection, attestation_id: str) -> AttestationRow | None:
    """Read one record."""
    row = connection.execute(
        _select(AttestationRow).where(attestations.c.attestation_id == attestation_id)
    ).one_or_none()
    return AttestationRow(**row._mapping) if row else None


def list_attestations(
    connection: Connection, *, before: int | None, limit: int, device_id: str, outcome: int
) -> list[SummaryRow]:
    """Records with log indexes below ``before``, newest first; empty or zero filters do not filter."""
    query = _select(SummaryRow).order_by(attestations.c.log_index.desc()).limit(limit)
    if before is not None:
        query = query.where(attestations.c.log_index < before)
    if device_id:
        query = query.where(attestations.c.device_id == device_id)
    if outcome:
        query = query.where(attestations.c.outcome == outcome)
    return [SummaryRow(**row._mapping) for row in connection.execute(query)]


def envelope_digests(
    connection: Connection, device_id: str, *, chain_epoch: int, seqs: Sequence[int]
) -> dict[int, bytes]:
    """Digests of the stored envelopes at these places of a chain, by seq."""
    if not seqs:
        return {}
    query = select(attestations.c.seq, attestations.c.envelope_sha256).where(
        attestations.c.device_id == device_id,
        attestations.c.chain_epoch == chain_epoch,
        attestations.c.seq.in_(seqs),
    )
    return {row.seq: row.envelope_sha256 for row in connection.execute(query)}


def taken_ids(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these attestation ids are stored already."""
    if not ids:
        return set()
    query = select(attestations.c.attestation_id).where(attestations.c.attestation_id.in_(ids))
    return set(connection.execute(query).scalars())


def add_chain(connection: Connection, chain: Sequence[bytes]) -> bytes:
    """Store a certificate chain (DER, leaf first) where it is new; return the leaf's digest."""
    issuer: bytes | None = None
    for der in reversed(chain):
        digest = hashlib.sha256(der).digest()
        query = select(certificates.c.sha256).where(certificates.c.sha256 == digest)
        if connection.execute(query).first() is None:
            connection.execute(insert(certificates).values(sha256=digest, der=der, issuer_sha256=issuer))
        issuer = digest
    if issuer is None:
        raise ValueError("a chain has at least its leaf")
    return issuer


def get_chain(connection: Connection, leaf_sha256: bytes) -> list[bytes]:
    """Read a certificate chain, DER, leaf first."""
    chain: list[bytes] = []
    digest: bytes | None = leaf_sha256
    while digest is not None:
        row = connection.execute(select(certificates).where(certificates.c.sha256 == digest)).one()
        chain.append(row.der)
        digest = row.issuer_sha256
    return chain


def add_receipt(connection: Connection, *, device_id: str, envelope: bytes, signed_us: int) -> None:
    """Keep a receipt, which later statements of the device may cite."""
    digest = hashlib.sha256(envelope).digest()
    connection.execute(
        insert(receipts).values(sha256=digest, device_id=device_id, envelope=envelope, signed_us=signed_us)
    )


def get_receipt(connection: Connection, sha256: bytes, *, device_id: str) -> bytes | None:
    """Read a receipt that was given to this device."""
    query = select(receipts.c.envelope).where(receipts.c.sha256 == sha256, receipts.c.device_id == device_id)
    found: bytes | None = connection.execute(query).scalar_one_or_none()
    return found


def _select(row: type[SummaryRow]) -> Select[tuple[object, ...]]:
    return select(*(attestations.c[field.name] for field in fields(row)))
