"""One row by its key, with as little around it as can be: for what is asked with every call of somebody.

SQLite answers at once, out of memory as a rule and whatever others write: the event loop asks it by itself,
and a thread would cost more than the answer. PostgreSQL is asked over one connection of its own, without
transactions. What callers want while a question is under way goes into the next one, so that many of them
cost one round trip; each is answered by a statement that began after it was asked for.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import psycopg
from sqlalchemy import Boolean, Column, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)
else:
    Row = TypeVar("Row")

Key = str | bytes


class Glance(Generic[Row]):
    """The statements that read one row of a table, made once.

    ``kind``: a dataclass, whose fields are columns. ``key``: a column that no two rows share.
    """

    def __init__(self, kind: type[Row], key: Column[Any]) -> None:
        self._kind = kind
        self.key = key
        self.columns = tuple(key.table.c[field.name] for field in fields(kind))
        self._flags = tuple(at for at, one in enumerate(self.columns) if isinstance(one.type, Boolean))
        names = ", ".join(column.name for column in self.columns)
        self.one = f"SELECT {names} FROM {key.table.name} WHERE {key.name} = ?"  # noqa: S608 (names of ours)
        self.some = f"SELECT {key.name}, {names} FROM {key.table.name} WHERE {key.name} = ANY($1)"  # noqa: S608

    def row(self, values: tuple[Any, ...]) -> Row:
        """The row with these values, as a driver gives them; SQLite has numbers for truth."""
        if self._flags:
            values = tuple(bool(one) if at in self._flags else one for at, one in enumerate(values))
        return self._kind(*values)


class Glances(Protocol):
    """For one event loop at a time."""

    async def read(self, glance: Glance[Row], key: Key) -> Row | None:
        """The row with this key; None where there is none.

        Raises:
            DBAPIError: the database cannot be asked.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class NearGlances:
    """Of SQLite. ``engine``: makes the one connection, which is in no transaction, and pools none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None

    async def read(self, glance: Glance[Row], key: Key) -> Row | None:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        asked: Any = self._connection.driver_connection
        try:
            # To its end, with which the statement lets go of its view.
            found = asked.execute(glance.one, (key,)).fetchall()
        except sqlite3.Error as error:
            raise _told(glance.one, error) from error
        return glance.row(found[0]) if found else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Line(Protocol):
    """A connection to PostgreSQL; see ``cloud.store.glance_line``."""

    @property
    def closed(self) -> bool: ...

    async def ask(self, glance: Glance[Any], keys: Sequence[Key]) -> list[tuple[Any, ...]]: ...

    def close(self) -> None: ...


Connect = Callable[[], Awaitable[Line]]


class GroupedGlances:
    """Of PostgreSQL. ``connect``: makes a connection in which nothing can be written.

    It serves for ``recycle_s``. One that broke while nobody used it is made anew without a word.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        recycle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._recycle_s = recycle_s
        self._clock = clock
        self._line: Line | None = None
        self._until = 0.0
        # As many keys at most as calls are let in (cloud.server.MAX_CALLS).
        self._wanted: dict[Glance[Any], dict[Key, list[asyncio.Future[Any]]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def read(self, glance: Glance[Row], key: Key) -> Row | None:
        loop = asyncio.get_running_loop()
        if self._asking is not None and self._asking.get_loop() is not loop:  # that loop is over
            self._wanted, self._asking = {}, None
            self._drop()
        answer: asyncio.Future[Row | None] = loop.create_future()
        self._wanted.setdefault(glance, {}).setdefault(key, []).append(answer)
        if self._asking is None:
            # For everybody: what belongs to the call that happened to be first does not go with it.
            self._asking = loop.create_task(self._ask_all(), context=Context())
            self._asking.add_done_callback(self._ended)
        return await answer

    def close(self) -> None:
        """Called where no call runs any more. What is under way all the same ends without an answer."""
        asking = self._asking
        if asking is not None and not asking.get_loop().is_closed():
            asking.get_loop().call_soon_threadsafe(asking.cancel)
        else:
            self._drop()

    async def _ask_all(self) -> None:
        while self._wanted:
            glance = next(iter(self._wanted))  # the one that waits longest
            await self._answer(glance, self._wanted.pop(glance))
        self._asking = None

    def _ended(self, asking: asyncio.Task[None]) -> None:
        """Behind a task that was ended from outside, perhaps before it began: nobody waits any more."""
        if not asking.cancelled() and asking.exception() is None:
            return
        wanted, self._wanted = self._wanted, {}
        for one in wanted.values():
            for answer in _waiting(one):
                answer.cancel()
        self._asking = None
        self._drop()

    async def _answer(self, glance: Glance[Any], wanted: dict[Key, list[asyncio.Future[Any]]]) -> None:
        try:
            rows = await self._ask(glance, list(wanted))
            found = {values[0]: glance.row(values[1:]) for values in rows}
        except Exception as error:  # told to all who asked
            for answer in _waiting(wanted):
                answer.set_exception(_told(glance.some, error))
        except BaseException:
            for answer in _waiting(wanted):
                answer.cancel()
            raise
        else:
            for key, answers in wanted.items():
                for answer in answers:
                    if not answer.done():
                        answer.set_result(found.get(key))

    async def _ask(self, glance: Glance[Any], keys: list[Key]) -> list[tuple[Any, ...]]:
        known = self._line
        if known is not None and not known.closed and self._clock() < self._until:
            try:
                return await known.ask(glance, keys)
            except psycopg.OperationalError:
                if not known.closed:
                    raise
                # It was lost, perhaps long ago. What only reads may be asked once more.
        self._drop()
        self._line = line = await self._connect()
        self._until = self._clock() + self._recycle_s
        return await line.ask(glance, keys)

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _waiting(wanted: dict[Key, list[asyncio.Future[Any]]]) -> list[asyncio.Future[Any]]:
    """Those whose callers have not gone away."""
    return [answer for answers in wanted.values() for answer in answers if not answer.done()]


def _told(statement: str, error: Exception) -> Exception:
    """An error as SQLAlchemy tells it everywhere else; it holds no parameters."""
    base = next((one for one in (sqlite3.Error, psycopg.Error) if isinstance(error, one)), None)
    if base is None:
        return error
    told: Exception = DBAPIError.instance(statement, None, error, base, hide_parameters=True)
    told.__cause__ = error
    return told
