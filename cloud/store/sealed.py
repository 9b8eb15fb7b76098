"""What every table with sealed columns needs, whichever room owns it: forgetting people, renewing indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select, update

from cloud.privacy.blind import VERSION_BYTES, blind, first_of_version, version_of
from cloud.privacy.ring import INDEX, KeyRing
from cloud.privacy.sealing import Place, unseal_text
from cloud.store import persons
from cloud.store.requests import forget_subject


@dataclass(frozen=True, slots=True)
class BlindColumn:
    """``value``: the normalised value of a row, whose sealed columns are given as text."""

    column: str
    value: Callable[[Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table whose rows each belong to one person.

    ``key``: the column of the row's own key, which is part of each seal. ``person``: that of the person's id.
    ``sealed`` columns can be null; ``plain`` ones are needed for the values of ``blinds``.
    """

    table: Table
    key: str
    person: str
    sealed: tuple[str, ...]
    blinds: tuple[BlindColumn, ...] = ()
    plain: tuple[str, ...] = ()


def forget_person(
    connection: Connection, tables: Iterable[SealedTable], person_id: str, *, now_us: int
) -> bool:
    """Destroy a person's key, empty what was sealed with it or found by, and forget answers about the person.

    False where there was no key. Answers are found by their subject, which is TABLE/ID.
    """
    destroyed = persons.destroy_key(connection, person_id, now_us=now_us)
    for one in tables:
        emptied = dict.fromkeys((*one.sealed, *(index.column for index in one.blinds)), None)
        connection.execute(update(one.table).where(one.table.c[one.person] == person_id).values(emptied))
        # Behind the row's lock: what another transaction has just answered about it is there by now.
        forget_subject(connection, f"{one.table.name}/{person_id}")
    return destroyed


def renew_blinds(connection: Connection, one: SealedTable, ring: KeyRing, *, limit: int) -> int:
    """Work out up to ``limit`` blind values of older versions anew; return how many there were.

    What was done is committed with the caller's transaction: called again, it goes on.

    Raises:
        SealBrokenError: a row was changed or moved.
    """
    done = 0
    for column in one.blinds:
        index = one.table.c[column.column]
        columns = [one.table.c[name] for name in {one.key, one.person, *one.sealed, *one.plain}]
        rows = connection.execute(
            select(*columns)
            .where(index < first_of_version(ring.current(INDEX).version))
            .order_by(index)
            .limit(limit - done)
            .with_for_update()
        ).all()
        keys = persons.get_keys(connection, ring, {getattr(row, one.person) for row in rows})
        for row in rows:
            person = keys.get(getattr(row, one.person))
            row_key = str(getattr(row, one.key))
            text = {name: str(getattr(row, name) or "") for name in one.plain}
            for name in one.sealed:
                sealed = getattr(row, name)
                place = Place(one.table.name, name, row_key)
                text[name] = (unseal_text(person, place, bytes(sealed)) or "") if sealed else ""
            value = blind(ring, one.table.name, column.column, column.value(text)) if person else None
            connection.execute(
                update(one.table)
                .where(one.table.c[one.key] == getattr(row, one.key))
                .values({column.column: value})
            )
        done += len(rows)
        if done >= limit:
            break
    return done


def count_blinds(connection: Connection, tables: Iterable[SealedTable]) -> dict[int, int]:
    """How many blind values each version of the index key has made; versions that are lost are among them."""
    counts: dict[int, int] = {}
    for one in tables:
        for column in one.blinds:
            index = one.table.c[column.column]
            prefix = func.substr(index, 1, VERSION_BYTES)
            query = select(prefix, func.count()).where(index.is_not(None)).group_by(prefix)
            rows = connection.execute(query)
            for first, count in rows:
                version = version_of(bytes(first))
                counts[version] = counts.get(version, 0) + count
    return counts
