"""Rows of stores, and of which store has what: the journal of what each one lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    update,
)

from cloud.store.schema import object_replicas as replicas
from cloud.store.schema import object_stores as stores
from cloud.store.schema import objects
from cloud.store.values import insert_many, to_values


class ReplicaState(IntEnum):
    """Of one file at one store. Numbers equal those of verifield.v1.ReplicaState."""

    OK = 1
    LAGGING = 2  # it is to be there, and nobody knows that it is
    CORRUPT = 3  # it was found missing or changed
    REPAIRED = 4  # it was CORRUPT, and is well again
    DROPPED = 5  # it is to go


HERE = (ReplicaState.OK, ReplicaState.REPAIRED)
BEHIND = (ReplicaState.LAGGING, ReplicaState.CORRUPT)


@dataclass(frozen=True, slots=True)
class StoreRow:
    """``marked``: without its mark the store is away. ``listed_us``: all older objects were entered."""

    name: str
    role: int
    kind: str
    provider: str
    marked: bool
    added_us: int
    seen_us: int | None = None
    fault: str = ""
    fault_us: int | None = None
    listed_us: int | None = None


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """``since_us``: of one that is behind, from when on; ``checked_us``: when it was read last, or 0."""

    store: str
    sealed_sha256: bytes
    state: int
    since_us: int
    checked_us: int = 0
    due_us: int = 0
    tries: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one store: how many files are in which state, and since when the oldest lags."""

    counts: Mapping[int, int]
    lagging_since_us: int | None


def list_stores(connection: Connection) -> list[StoreRow]:
    """All stores that were ever taken up, by name."""
    rows = connection.execute(select(*stores.c).order_by(stores.c.name))
    return [StoreRow(**row._mapping) for row in rows]


def get_store(connection: Connection, name: str) -> StoreRow | None:
    """One of them."""
    row = connection.execute(select(*stores.c).where(stores.c.name == name)).one_or_none()
    return StoreRow(**row._mapping) if row else None


def add_store(connection: Connection, row: StoreRow) -> None:
    """Insert one, or say anew what it is; another server may have done the same."""
    if get_store(connection, row.name) is None:
        connection.execute(insert(stores).values(**to_values(row)))
        return
    connection.execute(
        update(stores)
        .where(stores.c.name == row.name)
        .values(
            role=row.role,
            kind=row.kind,
            provider=row.provider,
            marked=true() if row.marked else stores.c.marked,
        )
    )


def forget_stores(connection: Connection) -> None:
    """Of a database that came to another place: what stands where is found out anew."""
    connection.execute(delete(replicas))
    connection.execute(delete(stores))


def forget_store(connection: Connection, name: str) -> int:
    """Of a store that is used no more; return how many rows it had."""
    gone = connection.execute(delete(replicas).where(replicas.c.store == name)).rowcount
    connection.execute(delete(stores).where(stores.c.name == name))
    return int(gone)


def told(connection: Connection, name: str, fault: str, *, now_us: int) -> None:
    """Note how a store is: ``fault`` empty for well."""
    change = update(stores).where(stores.c.name == name)
    if not fault:
        connection.execute(change.values(seen_us=now_us, fault="", fault_us=None))
        return
    since = case((stores.c.fault == "", now_us), else_=stores.c.fault_us)
    connection.execute(change.values(fault=fault, fault_us=since))


def set_listed(connection: Connection, name: str, *, at_us: int | None) -> None:
    """Note that all objects are entered, or (None) that they are to be entered anew."""
    connection.execute(update(stores).where(stores.c.name == name).values(listed_us=at_us))


def note_kept(connection: Connection, digest: bytes, there: Collection[str], *, now_us: int) -> None:
    """Enter a new file for all stores: those in ``there`` have it, the others lack it."""
    names = connection.execute(select(stores.c.name)).scalars()
    rows = [
        ReplicaRow(
            name,
            digest,
            ReplicaState.OK if name in there else ReplicaState.LAGGING,
            now_us,
            checked_us=now_us if name in there else 0,
            due_us=now_us,
        )
        for name in names
    ]
    insert_many(connection, replicas, [to_values(row) for row in rows])


def enter_missing(connection: Connection, store: str, *, now_us: int, limit: int) -> int:
    """Enter objects of which nothing is known at a store: it lacks them until somebody has looked."""
    known = select(replicas.c.sealed_sha256).where(
        replicas.c.store == store, replicas.c.sealed_sha256 == objects.c.sealed_sha256
    )
    columns = ["store", "sealed_sha256", "state", "since_us", "checked_us", "due_us", "tries", "fault"]
    found = (
        select(
            literal(store),
            objects.c.sealed_sha256,
            literal(int(ReplicaState.LAGGING)),
            objects.c.created_us,
            literal(0),
            literal(now_us),
            literal(0),
            literal(""),
        )
        .where(~known.exists(), objects.c.dropped_us.is_(None), objects.c.opener.is_not(None))
        .limit(limit)
    )
    # PostgreSQL's driver tells the count of an INSERT only where it is asked to keep it.
    change = insert(replicas).from_select(columns, found).execution_options(preserve_rowcount=True)
    return int(connection.execute(change).rowcount)


def renew(connection: Connection, store: str, *, now_us: int) -> int:
    """A store that was emptied lacks everything that it had; return how much that is."""
    connection.execute(
        delete(replicas).where(replicas.c.store == store, replicas.c.state == ReplicaState.DROPPED)
    )
    change = (
        update(replicas)
        .where(replicas.c.store == store, replicas.c.state != ReplicaState.LAGGING)
        .values(state=ReplicaState.LAGGING, since_us=now_us, due_us=now_us, tries=0, fault="", checked_us=0)
    )
    return int(connection.execute(change).rowcount)


def claim(
    connection: Connection, store: str, states: Collection[int], *, now_us: int, until_us: int, limit: int
) -> list[ReplicaRow]:
    """Take what is due in these states until ``until_us``: no other server takes it meanwhile."""
    query = (
        select(*replicas.c)
        .where(
            replicas.c.store == store,
            replicas.c.state.in_(states),
            replicas.c.due_us <= now_us,
            # Said as the index says it, so that it is used.
            replicas.c.state.in_((2, 3, 5)),
        )
        .order_by(replicas.c.due_us)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [_replica(row._mapping) for row in connection.execute(query)]
    put_off(connection, store, [row.sealed_sha256 for row in found], until_us=until_us)
    return found


def put_off(connection: Connection, store: str, digests: Collection[bytes], *, until_us: int) -> None:
    """Nobody takes these before that time."""
    if digests:
        connection.execute(update(replicas).where(*_these(store, digests)).values(due_us=until_us))


def to_check(connection: Connection, store: str, *, before_us: int, limit: int) -> list[ReplicaRow]:
    """Files that a store has and that were not read since ``before_us``, those of longest ago first."""
    query = (
        select(*replicas.c)
        .where(replicas.c.store == store, replicas.c.checked_us < before_us, replicas.c.state.in_(HERE))
        .order_by(replicas.c.checked_us)
        .limit(limit)
    )
    return [_replica(row._mapping) for row in connection.execute(query)]


def count_to_check(connection: Connection, store: str, *, before_us: int) -> int:
    """How many of them there are."""
    query = select(func.count()).where(
        replicas.c.store == store, replicas.c.checked_us < before_us, replicas.c.state.in_(HERE)
    )
    return int(connection.execute(query).scalar_one())


def found_well(connection: Connection, store: str, digests: Collection[bytes], *, now_us: int) -> None:
    """They were read and are what was put there; one that was to go still is."""
    if digests:
        was_corrupt = replicas.c.state == ReplicaState.CORRUPT
        connection.execute(
            update(replicas)
            .where(*_these(store, digests), replicas.c.state != ReplicaState.DROPPED)
            .values(
                state=case(
                    (was_corrupt, int(ReplicaState.REPAIRED)),
                    (replicas.c.state == ReplicaState.REPAIRED, int(ReplicaState.REPAIRED)),
                    else_=int(ReplicaState.OK),
                ),
                since_us=case((replicas.c.state.in_(BEHIND), now_us), else_=replicas.c.since_us),
                checked_us=now_us,
                tries=0,
                fault="",
            )
        )


def found_bad(connection: Connection, store: str, digest: bytes, fault: str, *, now_us: int) -> bool:
    """One is missing or changed; False where nothing of it was to be there."""
    change = (
        update(replicas)
        .where(*_these(store, [digest]), replicas.c.state.in_(HERE))
        .values(state=ReplicaState.CORRUPT, since_us=now_us, due_us=now_us, tries=0, fault=fault)
    )
    return bool(connection.execute(change).rowcount)


def failed(connection: Connection, store: str, digest: bytes, fault: str, *, due_us: int) -> None:
    """What somebody had to do could not be done; it is tried again."""
    connection.execute(
        update(replicas)
        .where(*_these(store, [digest]))
        .values(tries=replicas.c.tries + 1, fault=fault, due_us=due_us)
    )


def drop(connection: Connection, digests: Collection[bytes], *, due_us: Mapping[int, int]) -> None:
    """They are to go from every store; ``due_us``: from when on, by the role of a store."""
    for role, due in due_us.items():
        of_role = select(stores.c.name).where(stores.c.role == role)
        connection.execute(
            update(replicas)
            .where(replicas.c.sealed_sha256.in_(digests), replicas.c.store.in_(of_role))
            .values(state=ReplicaState.DROPPED, due_us=due, tries=0, fault="")
        )


def forget(connection: Connection, store: str, digests: Collection[bytes]) -> None:
    """They are gone from a store."""
    if digests:
        connection.execute(delete(replicas).where(*_these(store, digests)))


def named(connection: Connection, digests: Collection[bytes]) -> set[bytes]:
    """Which of these files an object names."""
    query = select(objects.c.sealed_sha256).where(objects.c.sealed_sha256.in_(digests))
    return {bytes(found) for found in connection.execute(query).scalars()}


def all_digests(connection: Connection, *, after: bytes, limit: int) -> list[bytes]:
    """Files of objects that can be opened, ascending."""
    query = (
        select(objects.c.sealed_sha256)
        .where(objects.c.sealed_sha256 > after, objects.c.dropped_us.is_(None), objects.c.opener.is_not(None))
        .order_by(objects.c.sealed_sha256)
        .limit(limit)
    )
    return [bytes(found) for found in connection.execute(query).scalars()]


def count_digests(connection: Connection) -> int:
    """How many of them there are."""
    query = select(func.count()).where(objects.c.dropped_us.is_(None), objects.c.opener.is_not(None))
    return int(connection.execute(query).scalar_one())


def tallies(connection: Connection) -> dict[str, Tally]:
    """How the stores stand, by name; those without files too."""
    counts: dict[str, dict[int, int]] = {row.name: {} for row in list_stores(connection)}
    grouped = select(replicas.c.store, replicas.c.state, func.count()).group_by(
        replicas.c.store, replicas.c.state
    )
    for store, state, many in connection.execute(grouped):
        counts[store][state] = many
    since = (
        select(replicas.c.store, func.min(replicas.c.since_us).label("since_us"))
        .where(replicas.c.state == ReplicaState.LAGGING)
        .group_by(replicas.c.store)
    )
    oldest = {row.store: row.since_us for row in connection.execute(since)}
    return {name: Tally(found, oldest.get(name)) for name, found in counts.items()}


def page_of_replicas(
    connection: Connection, *, store: str, state: int, behind: bytes, limit: int
) -> list[ReplicaRow]:
    """Files of a store in the order of their digests, behind ``behind``; state 0 does not filter."""
    query = select(*replicas.c).where(replicas.c.store == store, replicas.c.sealed_sha256 > behind)
    if state:
        query = query.where(replicas.c.state == state)
    rows = connection.execute(query.order_by(replicas.c.sealed_sha256).limit(limit))
    return [_replica(row._mapping) for row in rows]


def states_of(connection: Connection, digest: bytes) -> dict[str, int]:
    """The state of one file at each store that knows of it."""
    query = select(replicas.c.store, replicas.c.state).where(replicas.c.sealed_sha256 == digest)
    return {row.store: row.state for row in connection.execute(query)}


def _these(store: str, digests: Iterable[bytes]) -> tuple[ColumnElement[bool], ...]:
    return replicas.c.store == store, replicas.c.sealed_sha256.in_(list(digests))


def _replica(row: RowMapping) -> ReplicaRow:
    return ReplicaRow(**row)
