"""One group: the works of several devices in one database transaction, under one new checkpoint.

    1  each work runs in a savepoint: one that raises is undone alone, and only its caller hears of it
    2  the head is locked: until the commit no other server extends the log
    3  what other servers appended is caught up with, and must fit what they signed
    4  all leaves are appended, the tiles that they fill are kept, and one checkpoint is signed
    5  the head moves on from the size that was extended: where it does not stand there, nothing counts
    6  each seal writes what depends on places in the log, and makes the answer

Works lock the rows of their devices in the order of their keys, and the head behind all of them: two servers
never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cloud.log.entry import Entry, Place, Waiting
from cloud.log.view import LogSigner, View, advance_view, sign_edge
from cloud.store import log as rows
from cloud.store.faults import may_run_again

MAX_GROUP_WORKS = 128
"""In one transaction: with single records, a quarter of a second of work."""

MAX_GROUP_LEAVES = 4096
"""No further work begins beyond this: at 8,000 records a second, half a second until the commit."""

MAX_GROUP_S = 0.25
"""No further work begins after this, so that one slow device delays the answers of others by its own time
only, and a lock on another server's devices is not held for long."""

MAX_CATCH_UP = 20_000
"""Leaves of other servers that a group reads while it holds the head: a few dozen milliseconds. With more,
it lets go, catches up, and begins again."""


class SpoiledError(Exception):
    """The work cannot stay in this group: ``cause`` would take the others with it."""

    def __init__(self, waiting: Waiting[Any], cause: Exception) -> None:
        super().__init__("a work spoiled its group")
        self.waiting = waiting
        self.cause = cause


class FenceError(Exception):
    """The head was moved meanwhile."""


class BehindError(Exception):
    """Other servers have appended too much to catch up with under the lock."""


@dataclass(frozen=True, slots=True)
class Terms:
    """``clock``: seconds that only go forward; ``now_us``: the time in the checkpoint's row."""

    signer: LogSigner
    clock: Callable[[], float]
    now_us: Callable[[], int]


@dataclass(slots=True)
class Group:
    """What became of the works; it counts once the transaction is committed. ``left`` had no turn yet."""

    view: View
    entries: list[tuple[Waiting[Any], Entry[Any]]] = field(default_factory=list)
    answers: list[tuple[Waiting[Any], Any]] = field(default_factory=list)
    failed: list[tuple[Waiting[Any], Exception]] = field(default_factory=list)
    left: list[Waiting[Any]] = field(default_factory=list)
    leaves: int = 0


def run_group(connection: Connection, works: Sequence[Waiting[Any]], *, view: View, terms: Terms) -> Group:
    """Steps 1 to 6 in the transaction of ``connection``, from the published ``view`` on.

    Raises:
        SpoiledError, FenceError, BehindError: roll back, see there.
        LogInconsistentError: roll back, and append nothing any more.
        DBAPIError: roll back.
    """
    group = Group(view)
    _run_works(connection, works, group, terms)
    if not group.entries:
        return group
    head = rows.get_head(connection, lock=group.leaves > 0)
    if head is not None and head.tree_size - view.size > MAX_CATCH_UP:
        raise BehindError
    group.view = advance_view(connection, view, head, terms.signer)
    first = group.view.size
    if group.leaves:
        _append(connection, group, terms)
    _seal(connection, group, first)
    return group


def _run_works(connection: Connection, works: Sequence[Waiting[Any]], group: Group, terms: Terms) -> None:
    begun = terms.clock()
    for number, waiting in enumerate(works):
        late = number and terms.clock() - begun >= MAX_GROUP_S
        if late or group.leaves >= MAX_GROUP_LEAVES:
            group.left = list(works[number:])
            return
        try:
            with connection.begin_nested():
                entry = waiting.work(connection)
        except DBAPIError as error:
            # Such a fault may have ended the whole transaction: what went before cannot be relied on.
            raise _judge(waiting, error) from error
        except Exception as error:
            group.failed.append((waiting, error))
        else:
            group.entries.append((waiting, entry))
            group.leaves += len(entry.leaves)


def _append(connection: Connection, group: Group, terms: Terms) -> None:
    before = group.view
    edge = before.edge.copy()
    leaves = [leaf for _, entry in group.entries for leaf in entry.leaves]
    places: list[Place | None] = []
    for _, entry in group.entries:
        places += entry.places or [None] * len(entry.leaves)
    rows.add_leaves(connection, before.size, leaves, places)
    rows.add_tiles(connection, edge.extend(leaves))
    group.view = sign_edge(connection, edge, terms.signer, signed_us=terms.now_us())
    head = rows.HeadRow(group.view.size, group.view.checkpoint.note)
    if not rows.move_head(connection, head, from_size=before.size):
        raise FenceError


def _seal(connection: Connection, group: Group, first: int) -> None:
    for waiting, entry in group.entries:
        try:
            answer = entry.seal(connection, first, group.view.checkpoint)
        except DBAPIError as error:
            raise _judge(waiting, error) from error
        except Exception as error:
            # Its leaves are in the tree already: the others begin again without it.
            raise SpoiledError(waiting, error) from error
        group.answers.append((waiting, answer))
        first += len(entry.leaves)


def _judge(waiting: Waiting[Any], error: DBAPIError) -> Exception:
    """A meeting with others concerns the whole group; what the database refuses, this work."""
    refused = error.orig is not None and getattr(error.orig, "sqlstate", None) == _UNIQUE
    if may_run_again(error, committing=False) and not refused:
        return error
    return SpoiledError(waiting, error)


_UNIQUE = "23505"  # maybe it met another one of its own group
