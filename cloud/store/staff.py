"""Which users are one person, as was declared of them: two names of one person are not two people."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from cloud.store.schema import staff_identities

_USER = "user/"


def same_persons(connection: Connection, user_ids: Collection[str]) -> frozenset[str]:
    """These users, and all who were declared to be the same persons."""
    one, other = staff_identities.alias(), staff_identities.alias()
    query = (
        select(other.c.user_id).join(one, other.c.id_mark == one.c.id_mark).where(one.c.user_id.in_(user_ids))
    )
    return frozenset({*user_ids, *connection.execute(query).scalars()})


def is_same_person(connection: Connection, one: str, other: str) -> bool:
    """Whether two callers (KIND/NAME) are one, or users who were declared to be the same person."""
    users = [path.removeprefix(_USER) for path in (one, other) if path.startswith(_USER)]
    return one == other or (len(users) == 2 and users[1] in same_persons(connection, users[:1]))
