"""Codes and messages without a network: on a database, in a time that the test sets.

office = open_office(database_url, tmp_path)
sent = office.send("+8613800001234")
assert office.verify(sent, office.code("+8613800001234")) is None
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cloud.codes.desk import Challenge, Codes, Purpose
from cloud.codes.ledger import SourceLimits
from cloud.errors import ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.ports import Outgoing
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources
from cloud.store import messages as message_rows
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import messages as message_table
from cloud.store.schema import metadata

SECRET = bytes(range(32))
PHONE = "+8613800001234"
OTHER_PHONE = "+8613900005678"
PERSON = "01980000-0000-7000-8000-000000000001"
SOURCE = "address/203.0.113.7"
BEGIN = datetime(2026, 6, 1, tzinfo=UTC)

_CODE = re.compile(r"\d{6}")


@dataclass
class SetClock:
    """A time that stands still until it is moved."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Office:
    """One server's codes and messages."""

    store: Store
    clock: SetClock
    sources: Sources
    persons: Persons
    messages: Messages
    codes: Codes

    def send(self, phone: str = PHONE, **given: Any) -> Challenge:
        wanted: dict[str, Any] = {
            "purpose": Purpose.REGISTER,
            "bound": b"",
            "person_id": PERSON,
            "source": SOURCE,
            "language": "en",
        } | given
        return self.store.run(lambda connection: self.codes.send(connection, phone=phone, **wanted))

    def verify(self, challenge: Challenge | str, code: str, **given: Any) -> ServiceError | None:
        wanted: dict[str, Any] = {"purpose": Purpose.REGISTER, "bound": b""} | given
        challenge_id = challenge if isinstance(challenge, str) else challenge.challenge_id
        return self.store.run(lambda connection: self.codes.verify(connection, challenge_id, code, **wanted))

    def code(self, phone: str = PHONE) -> str:
        """The newest code to a number that is still in the outbox, opened as delivery opens it."""
        newest = [one.body for one in self.waiting() if one.address == phone][-1]
        found = _CODE.search(newest)
        assert found is not None
        return found[0]

    def waiting(self) -> list[Outgoing]:
        """Messages whose content is there, oldest first."""
        with self.store.reading() as connection:
            query = select(*message_table.c).where(message_table.c.content.is_not(None))
            found = [
                message_rows.MessageRow(**row._mapping)
                for row in connection.execute(query.order_by(message_table.c.message_id))
            ]
            return [one for one in self.messages.open(connection, found) if isinstance(one, Outgoing)]

    def rows(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of these tables; none given: of all tables."""
        with self.store.reading() as connection:
            return {
                name: sorted((tuple(row) for row in connection.execute(select(*table.c))), key=repr)
                for name, table in metadata.tables.items()
                if not tables or name in tables
            }

    def dump(self) -> bytes:
        """Everything that the database holds, as text and as bytes."""
        parts = []
        for table in self.rows().values():
            for row in table:
                parts += [one if isinstance(one, bytes) else str(one).encode() for one in row]
        return b"\n".join(parts)


@contextmanager
def open_office(
    database_url: str,
    folder: Path,
    *,
    clock: SetClock | None = None,
    limits: SourceLimits | None = None,
    **options: Any,
) -> Iterator[Office]:
    """Keys in ``folder``: two offices of the same database and folder are two servers."""
    clock = clock or SetClock()
    sources = Sources(now=clock, random_bytes=secrets.token_bytes)
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    ring = KeyRing.open(keys, now_us=0, random_bytes=secrets.token_bytes)
    store = Store.open(database_url, StoreOptions(require_durable=False, **options))
    persons = Persons(ring, sources)
    messages = Messages(persons, sources)
    codes = Codes(messages, sources, secret=SECRET, limits=limits)
    try:
        yield Office(store, clock, sources, persons, messages, codes)
    finally:
        store.close()
