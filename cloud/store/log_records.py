"""Leaves of the log with the records behind them, for whoever checks one against the other."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import Connection, and_, func, select

from cloud.store.attestations import AttestationRow
from cloud.store.log import Place
from cloud.store.schema import attestations, certificates, log_leaves

_LEAF_PLACE = log_leaves.c.device_id, log_leaves.c.chain_epoch, log_leaves.c.seq
_SAME_PLACE = and_(
    attestations.c.device_id == log_leaves.c.device_id,
    attestations.c.chain_epoch == log_leaves.c.chain_epoch,
    attestations.c.seq == log_leaves.c.seq,
)


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A leaf, its record, and the certificate of the record's key (DER); None where they are missing.

    ``place`` is None for a leaf of something else than a record.
    """

    log_index: int
    leaf_hash: bytes
    place: Place | None
    record: AttestationRow | None
    certificate: bytes | None


def list_records(connection: Connection, first: int, last: int) -> list[RecordRow]:
    """Leaves first to last - 1, as far as they are there, with their records."""
    names = [field.name for field in fields(AttestationRow)]
    query = (
        select(
            log_leaves.c.log_index.label("leaf_index"),
            log_leaves.c.leaf_hash,
            *_LEAF_PLACE,
            certificates.c.der,
            *(attestations.c[name] for name in names),
        )
        .select_from(log_leaves)
        .outerjoin(attestations, _SAME_PLACE)
        .outerjoin(certificates, certificates.c.sha256 == attestations.c.certificate_sha256)
        .where(log_leaves.c.log_index >= first, log_leaves.c.log_index < last)
        .order_by(log_leaves.c.log_index)
    )
    found = []
    for row in connection.execute(query):
        values = {name: row._mapping[attestations.c[name]] for name in names}
        record = AttestationRow(**values) if row._mapping[attestations.c.attestation_id] is not None else None
        device, epoch, seq = (row._mapping[column] for column in _LEAF_PLACE)
        place = None if device is None else (device, epoch, seq)
        found.append(RecordRow(row.leaf_index, row.leaf_hash, place, record, row.der))
    return found


def count_records(connection: Connection, size: int) -> int:
    """How many records say that they stand among the first ``size`` leaves."""
    query = select(func.count()).select_from(attestations).where(attestations.c.log_index < size)
    return connection.execute(query).scalar_one()
