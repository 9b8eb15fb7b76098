"""Rows of attestations, of the certificates that signed them, and of receipts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Select, bindparam, insert, select

from cloud.store.lanes import first_of_all
from cloud.store.schema import attestations, certificates, purposes, receipts
from cloud.store.values import insert_many, insert_new, insert_rows

# Built once: it is asked for every batch.
_CERTIFICATE = select(certificates.c.sha256).where(certificates.c.sha256 == bindparam("sha256"))

_PLACE = ("device_id", "chain_epoch", "seq")

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


class NewRow(NamedTuple):
    """An accepted record as it is written: all columns. A tuple, because there are thousands a second."""

    device_id: str
    chain_epoch: int
    seq: int
    attestation_id: str
    log_index: int
    lane: int
    envelope: bytes
    envelope_sha256: bytes
    certificate_sha256: bytes
    site_id: str
    kind: int
    outcome: int
    reasons: str
    wall_us: int
    received_us: int
    cited_tree_size: int | None


class PurposeRow(NamedTuple):
    """A record that says what it was made for: waits for the room that asked for it. All columns."""

    attestation_id: str
    nonce: bytes
    task_id: str
    received_us: int
    judged_us: int | None


def add_attestations(connection: Connection, rows: Sequence[NewRow]) -> None:
    """Insert accepted records."""
    insert_rows(connection, attestations, NewRow._fields, rows)


def add_purposes(connection: Connection, rows: Sequence[PurposeRow]) -> None:
    """Note what accepted records were made for; most batches have none such."""
    if rows:
        insert_many(connection, purposes, [row._asdict() for row in rows])


def get_attestation(connection: Connection, attestation_id: str) -> AttestationRow | None:
    """Read one record: the first one of this id, where an engine could not keep ids unique."""
    query = _select(AttestationRow).where(attestations.c.attestation_id == attestation_id)
    row = connection.execute(query.order_by(attestations.c.log_index).limit(1)).one_or_none()
    return AttestationRow(**row._mapping) if row else None


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
            insert_new(connection, certificates, {"sha256": digest, "der": der, "issuer_sha256": issuer})
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


def newest_receipt(connection: Connection, device_id: str, *, since_us: int) -> ReceiptRow | None:
    """The last receipt that this device was given, if that was no longer ago than ``since_us``."""
    query = select(receipts.c.envelope, receipts.c.certificate_sha256).where(
        receipts.c.device_id == device_id, receipts.c.signed_us >= since_us
    )
    row = connection.execute(query.order_by(receipts.c.signed_us.desc()).limit(1)).one_or_none()
    return ReceiptRow(**row._mapping) if row else None


def find_witnesses(connection: Connection, log_index: int, *, but: str, limit: int) -> list[AttestationRow]:
    """Records of other devices than ``but`` that cite a tree with this leaf: one each, smallest trees first.

    Only the first MAX_WITNESSES_SEEN citations are looked at: where one device alone cites, no other is near.
    """
    cited = first_of_all(
        attestations,
        [attestations.c[name] for name in (*_PLACE, "cited_tree_size", "log_index")],
        [attestations.c.cited_tree_size > log_index],
        order=[(attestations.c.cited_tree_size, False), (attestations.c.log_index, False)],
        limit=MAX_WITNESSES_SEEN,
    )
    first: dict[str, tuple[str, int, int]] = {}
    for row in connection.execute(cited):
        first.setdefault(row.device_id, (row.device_id, row.chain_epoch, row.seq))
    first.pop(but, None)
    # One by one: SQLite reads the whole table for a list of places.
    return [_get_at(connection, place) for place in list(first.values())[:limit]]


def _get_at(connection: Connection, place: tuple[str, int, int]) -> AttestationRow:
    at = (attestations.c[name] == value for name, value in zip(_PLACE, place, strict=True))
    row = connection.execute(_select(AttestationRow).where(*at)).one()
    return AttestationRow(**row._mapping)


def _select(row: type[SummaryRow]) -> Select[Any]:
    return select(*_columns(row))


def _columns(row: type[SummaryRow]) -> list[Column[Any]]:
    return [attestations.c[field.name] for field in fields(row)]
