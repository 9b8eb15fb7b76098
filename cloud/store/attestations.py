"""Rows of attestations, of the certificates that signed them, and of receipts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, Select, bindparam, insert, select

from cloud.store.schema import attestations, certificates, receipts
from cloud.store.values import to_values

# Built once: it is asked for every batch.
_CERTIFICATE = select(certificates.c.sha256).where(certificates.c.sha256 == bindparam("sha256"))

MAX_WITNESSES_SEEN = 1000
"""Of the rows that cite a tree: a few milliseconds."""


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
    cited_tree_size: int | None


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A receipt envelope; ``certificate_sha256`` of its key's leaf, None in rows of schema 0001."""

    envelope: bytes
    certificate_sha256: bytes | None


def add_attestations(connection: Connection, rows: Sequence[AttestationRow]) -> None:
    """Insert accepted records."""
    connection.execute(insert(attestations), [to_values(row) for row in rows])


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
        if connection.execute(_CERTIFICATE, {"sha256": digest}).first() is None:
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


def add_receipt(
    connection: Connection, *, device_id: str, envelope: bytes, signed_us: int, certificate_sha256: bytes
) -> None:
    """Keep a receipt, which later statements of the device may cite."""
    digest = hashlib.sha256(envelope).digest()
    row = {
        "sha256": digest,
        "device_id": device_id,
        "envelope": envelope,
        "signed_us": signed_us,
        "certificate_sha256": certificate_sha256,
    }
    connection.execute(insert(receipts), row)


def get_receipt(connection: Connection, sha256: bytes, *, device_id: str) -> ReceiptRow | None:
    """Read a receipt that was given to this device."""
    query = select(receipts.c.envelope, receipts.c.certificate_sha256).where(
        receipts.c.sha256 == sha256, receipts.c.device_id == device_id
    )
    row = connection.execute(query).one_or_none()
    return ReceiptRow(**row._mapping) if row else None


def find_witnesses(connection: Connection, log_index: int, *, but: str, limit: int) -> list[AttestationRow]:
    """Records of other devices than ``but`` that cite a tree with this leaf: one each, smallest trees first.

    Only the first MAX_WITNESSES_SEEN citations are looked at: where one device alone cites, no other is near.
    """
    cited = (
        select(attestations.c.log_index, attestations.c.device_id)
        .where(attestations.c.cited_tree_size > log_index)
        .order_by(attestations.c.cited_tree_size, attestations.c.log_index)
        .limit(MAX_WITNESSES_SEEN)
    )
    first: dict[str, int] = {}
    for row in connection.execute(cited):
        first.setdefault(row.device_id, row.log_index)
    first.pop(but, None)
    found = _select(AttestationRow).where(attestations.c.log_index.in_(list(first.values())[:limit]))
    rows = [AttestationRow(**row._mapping) for row in connection.execute(found)]
    return sorted(rows, key=lambda row: (row.cited_tree_size or 0, row.log_index))


def _select(row: type[SummaryRow]) -> Select[tuple[object, ...]]:
    return select(*(attestations.c[field.name] for field in fields(row)))
