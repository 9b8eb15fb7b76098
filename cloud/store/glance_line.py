"""A connection to PostgreSQL that asks one question again and again, by its client library's own calls.

The driver's cursors look for types, formats and prepared statements anew at each question, which takes five
times as long as the question itself. Here all of that is known: one parameter, an array of keys; columns of
four types; values in binary form (PostgreSQL documentation, "Frontend/Backend Protocol", and the ``send``
functions of its types).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from cloud.store.glances import Glance, Key

_TEXT_OID, _BYTEA_OID = 25, 17  # of PostgreSQL's own catalogue: the same everywhere

_READERS: tuple[tuple[type[TypeEngine[Any]], Callable[[bytes], Any]], ...] = (
    (Boolean, lambda value: value != b"\x00"),
    (BigInteger, lambda value: int.from_bytes(value, signed=True)),
    (Integer, lambda value: int.from_bytes(value, signed=True)),  # of two, four or eight bytes
    (LargeBinary, bytes),
    (String, lambda value: value.decode()),
)


class PostgresLine:
    """``connection``: one in autocommit that nobody else uses."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._raw = connection.pgconn
        self._prepared: dict[Glance[Any], _Prepared] = {}

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._raw.status != ConnStatus.OK

    def close(self) -> None:
        """What is under way ends without an answer."""
        self._raw.finish()  # as the driver's close(), which can only be awaited

    async def ask(self, glance: Glance[Any], keys: Sequence[Key]) -> list[tuple[Any, ...]]:
        """The rows with these keys: the key first, then the columns of the glance.

        Raises:
            psycopg.Error: there is no answer.
        """
        prepared = self._prepared.get(glance) or await self._prepare(glance)
        self._raw.send_query_prepared(
            prepared.name,
            [to_array(keys)],
            param_formats=[Format.BINARY],
            result_format=Format.BINARY,
        )
        while self._raw.flush():
            await self._ready(reading=False)
        return prepared.rows(await self._result())

    async def _prepare(self, glance: Glance[Any]) -> _Prepared:
        prepared = _Prepared(f"glance_{len(self._prepared)}", (glance.key, *glance.columns))
        kind = "bytea" if isinstance(glance.key.type, LargeBinary) else "text"
        statement = f"PREPARE {prepared.name.decode()} ({kind}[]) AS {glance.some}"
        await self._connection.execute(statement.encode())
        self._prepared[glance] = prepared
        return prepared

    async def _result(self) -> PGresult:
        found: PGresult | None = None
        while True:
            await self._ready(reading=True)
            self._raw.consume_input()
            while not self._raw.is_busy():
                result = self._raw.get_result()
                if result is not None:
                    found = result
                elif found is None:
                    raise psycopg.OperationalError("The server sent no answer.")
                elif found.status != ExecStatus.TUPLES_OK:
                    raise error_from_result(found)
                else:
                    return found

    async def _ready(self, *, reading: bool) -> None:
        """Wait until the connection can be read, or written."""
        loop, place = asyncio.get_running_loop(), self._raw.socket
        ready: asyncio.Future[None] = loop.create_future()
        (loop.add_reader if reading else loop.add_writer)(place, _wake, ready)
        try:
            await ready
        finally:
            (loop.remove_reader if reading else loop.remove_writer)(place)


class _Prepared:
    """A statement that the server knows by name, and how its columns are read."""

    def __init__(self, name: str, columns: Sequence[Column[Any]]) -> None:
        self.name = name.encode()
        self._readers = tuple(map(_reader_of, columns))

    def rows(self, result: PGresult) -> list[tuple[Any, ...]]:
        value_at = result.get_value
        return [
            tuple(
                None if (value := value_at(row, at)) is None else read(value)
                for at, read in enumerate(self._readers)
            )
            for row in range(result.ntuples)
        ]


def to_array(keys: Sequence[Key]) -> bytes:
    """Keys of one kind as the server takes an array in binary form."""
    kind = _BYTEA_OID if isinstance(keys[0], bytes) else _TEXT_OID
    parts = [struct.pack("!iiIii", 1, 0, kind, len(keys), 1)]  # dimensions, nulls, type, length, first index
    for key in keys:
        value = key if isinstance(key, bytes) else key.encode()
        parts += [struct.pack("!i", len(value)), value]
    return b"".join(parts)


def _reader_of(column: Column[Any]) -> Callable[[bytes], Any]:
    for kind, read in _READERS:
        if isinstance(column.type, kind):
            return read
    raise TypeError(f"Columns as {column} cannot be read at a glance.")


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
