"""Rows of side records: what devices delivered that is in no chain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, and_, func, select
from sqlalchemy.sql.functions import coalesce

from cloud.store.lanes import first_of_all, lane_of
from cloud.store.schema import side_records
from cloud.store.values import insert_many, to_values


@dataclass(frozen=True, slots=True)
class SideRow:
    """``kind`` of SideRecordKind; ``sha256`` of the whole bytes, of which ``content`` may be cut.

    ``record_id`` is a UUID version 7, so that ids ascend with time; epoch and seq are 0 where unknown.
    """

    device_id: str
    sha256: bytes
    kind: int
    chain_epoch: int
    seq: int
    record_id: str
    reason: str
    received_us: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Fill:
    """How much of a kind is kept of a device."""

    records: int
    content_bytes: int


_NAMES = [field.name for field in fields(SideRow)]


def add_side_records(connection: Connection, rows: Sequence[SideRow]) -> None:
    """Keep records that are not kept yet: see :func:`known_side_records`."""
    insert_many(connection, side_records, [to_values(row) | {"lane": lane_of(row.device_id)} for row in rows])


def known_side_records(
    connection: Connection, device_id: str, *, kind: int, digests: Collection[bytes]
) -> set[tuple[bytes, tuple[int, int]]]:
    """Digest and place (epoch, seq) of those records of a kind with these digests that are kept."""
    if not digests:
        return set()
    query = select(side_records.c.sha256, side_records.c.chain_epoch, side_records.c.seq).where(
        side_records.c.device_id == device_id,
        side_records.c.sha256.in_(digests),
        side_records.c.kind == kind,
    )
    return {(digest, (epoch, seq)) for digest, epoch, seq in connection.execute(query)}


def known_digests(
    connection: Connection, device_id: str, *, kind: int, digests: Collection[bytes]
) -> set[bytes]:
    """Which of these digests are those of records of a kind that are kept."""
    return {digest for digest, _ in known_side_records(connection, device_id, kind=kind, digests=digests)}


def fill_of(connection: Connection, device_id: str, kind: int) -> Fill:
    """How much of a kind is kept of a device."""
    query = select(func.count(), coalesce(func.sum(func.length(side_records.c.content)), 0)).where(
        side_records.c.device_id == device_id, side_records.c.kind == kind
    )
    records, size = connection.execute(query).one()
    return Fill(records, int(size))


def list_side_records(
    connection: Connection, *, before: str, limit: int, device_id: str = ""
) -> list[SideRow]:
    """Records with ids below ``before`` (empty: all), newest first; an empty device does not filter."""
    conditions = [side_records.c.record_id < before] if before else []
    at = side_records.c.record_id
    if device_id:
        query = select(*side_records.c).where(side_records.c.device_id == device_id, *conditions)
    else:
        # The keys first: contents are large, and all lanes but one are read for nothing.
        keys = list(side_records.primary_key)
        merged = first_of_all(
            side_records, [*keys, at], conditions, order=[(at, True)], limit=limit
        ).subquery()
        same = and_(*(key == merged.c[key.name] for key in keys))
        query = select(*side_records.c).select_from(merged).join(side_records, same)
    rows = connection.execute(query.order_by(at.desc()).limit(limit))
    return [SideRow(**{name: row._mapping[name] for name in _NAMES}) for row in rows]
