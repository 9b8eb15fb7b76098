"""Rows of what waits for its turn in a device's chain: staged records, excused places, opened epochs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, tuple_
from sqlalchemy.sql.functions import coalesce

from cloud.store.schema import epochs, excuses, staged
from cloud.store.values import insert_many, to_values

# Built once: it is asked for every batch.
_FILL = (
    select(staged.c.excusing, func.count(), coalesce(func.sum(func.length(staged.c.envelope)), 0))
    .where(staged.c.device_id == bindparam("device_id"))
    .group_by(staged.c.excusing)
)


@dataclass(frozen=True, slots=True)
class StagedRow:
    """A record that is durable and waits; ``excusing`` where it is a GAP or a TOMBSTONE."""

    device_id: str
    chain_epoch: int
    seq: int
    envelope: bytes
    envelope_sha256: bytes
    leaf_hash: bytes
    certificate_sha256: bytes
    excusing: bool
    received_us: int


@dataclass(frozen=True, slots=True)
class ExcuseRow:
    """Places that the record at ``by_seq`` has given up; see ``verifield.chain.Excuse``."""

    device_id: str
    chain_epoch: int
    by_seq: int
    first_seq: int
    last_seq: int
    last_sha256: bytes
    refused: bool


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch that a RESET opened, the head that it closed here, and the head that the device cites."""

    device_id: str
    chain_epoch: int
    opened_us: int
    closed_epoch: int
    closed_seq: int
    closed_sha256: bytes
    device_epoch: int | None
    device_seq: int | None
    device_sha256: bytes | None


@dataclass(frozen=True, slots=True)
class StageFill:
    """How much waits of a device: records that excuse no others, and those that do."""

    records: int
    content_bytes: int
    excusing: int
    excusing_bytes: int


def add_staged(connection: Connection, rows: Sequence[StagedRow]) -> None:
    """Keep records until their turn comes."""
    insert_many(connection, staged, [to_values(row) for row in rows])


def staged_fill(connection: Connection, device_id: str) -> StageFill:
    """How much waits of a device."""
    rows = connection.execute(_FILL, {"device_id": device_id})
    found = {excusing: (count, int(size)) for excusing, count, size in rows}
    return StageFill(*found.get(False, (0, 0)), *found.get(True, (0, 0)))


def staged_digests(
    connection: Connection, device_id: str, places: Collection[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Digests of the staged envelopes at these places (epoch, seq)."""
    if not places:
        return {}
    query = select(staged.c.chain_epoch, staged.c.seq, staged.c.envelope_sha256).where(
        staged.c.device_id == device_id, tuple_(staged.c.chain_epoch, staged.c.seq).in_(list(places))
    )
    return {(epoch, seq): bytes(digest) for epoch, seq, digest in connection.execute(query)}


def next_staged(
    connection: Connection, device_id: str, *, chain_epoch: int, from_seq: int, limit: int
) -> list[StagedRow]:
    """Staged records of an epoch from a seq on, in order."""
    query = _select_staged().where(
        staged.c.device_id == device_id, staged.c.chain_epoch == chain_epoch, staged.c.seq >= from_seq
    )
    rows = connection.execute(query.order_by(staged.c.seq).limit(limit))
    return [StagedRow(**row._mapping) for row in rows]


def staged_resets(connection: Connection, device_id: str, *, behind_epoch: int) -> list[StagedRow]:
    """First records of later epochs, lowest epoch first."""
    query = _select_staged().where(
        staged.c.device_id == device_id, staged.c.chain_epoch > behind_epoch, staged.c.seq == 1
    )
    rows = connection.execute(query.order_by(staged.c.chain_epoch))
    return [StagedRow(**row._mapping) for row in rows]


def staged_before(connection: Connection, device_id: str, *, epoch: int, limit: int) -> list[StagedRow]:
    """Staged records of epochs before ``epoch``, in order."""
    query = _select_staged().where(staged.c.device_id == device_id, staged.c.chain_epoch < epoch)
    rows = connection.execute(query.order_by(staged.c.chain_epoch, staged.c.seq).limit(limit))
    return [StagedRow(**row._mapping) for row in rows]


def staged_seqs(connection: Connection, device_id: str, *, chain_epoch: int) -> list[int]:
    """Places of an epoch at which a record waits, in order."""
    query = select(staged.c.seq).where(staged.c.device_id == device_id, staged.c.chain_epoch == chain_epoch)
    return list(connection.execute(query.order_by(staged.c.seq)).scalars())


def drop_staged(connection: Connection, device_id: str, places: Collection[tuple[int, int]]) -> None:
    """Take records out of staging: they have found their place."""
    if places:
        connection.execute(
            delete(staged).where(
                staged.c.device_id == device_id, tuple_(staged.c.chain_epoch, staged.c.seq).in_(list(places))
            )
        )


def count_staged(connection: Connection, device_ids: Sequence[str]) -> dict[str, int]:
    """How many records wait, for those of these devices that have any."""
    query = (
        select(staged.c.device_id, func.count().label("waiting"))
        .where(staged.c.device_id.in_(device_ids))
        .group_by(staged.c.device_id)
    )
    return {row.device_id: row.waiting for row in connection.execute(query)}


def add_excuses(connection: Connection, rows: Sequence[ExcuseRow]) -> None:
    """Keep which places were given up."""
    if rows:
        connection.execute(insert(excuses), [to_values(row) for row in rows])


def drop_excuses(connection: Connection, device_id: str, places: Collection[tuple[int, int]]) -> None:
    """Forget what records at these places gave up: they are in no chain."""
    if places:
        connection.execute(
            delete(excuses).where(
                excuses.c.device_id == device_id,
                tuple_(excuses.c.chain_epoch, excuses.c.by_seq).in_(list(places)),
            )
        )


def excuses_from(
    connection: Connection, device_id: str, *, chain_epoch: int, from_seq: int
) -> list[ExcuseRow]:
    """Excuses of an epoch that reach ``from_seq`` or beyond, in order of their first places."""
    query = select(*excuses.c).where(
        excuses.c.device_id == device_id,
        excuses.c.chain_epoch == chain_epoch,
        excuses.c.last_seq >= from_seq,
    )
    rows = connection.execute(query.order_by(excuses.c.first_seq, excuses.c.by_seq))
    return [ExcuseRow(**row._mapping) for row in rows]


def add_epoch(connection: Connection, row: EpochRow) -> None:
    """Keep that a RESET opened an epoch."""
    connection.execute(insert(epochs).values(**to_values(row)))


def list_epochs(connection: Connection, device_id: str) -> list[EpochRow]:
    """The epochs of a device that a RESET opened, in order."""
    query = select(*epochs.c).where(epochs.c.device_id == device_id).order_by(epochs.c.chain_epoch)
    return [EpochRow(**row._mapping) for row in connection.execute(query)]


def _select_staged() -> Select[tuple[object, ...]]:
    return select(*(staged.c[field.name] for field in fields(StagedRow)))
