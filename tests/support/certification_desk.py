"""The room of certifications over a database, without a server: its own functions, and a clock to turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.personal import Personal
from cloud.accounts.states import State as AccountState
from cloud.authority import Authority
from cloud.certifications import serve
from cloud.certifications.core import Core
from cloud.certifications.desk import Desk, subject_of
from cloud.certifications.handler import CertificationHandler
from cloud.errors import ServiceError
from cloud.mutations import Mutations
from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.reviews import serve as reviews
from cloud.reviews.port import Decision, Outcome, ReasonText, ReviewHandler, ReviewKind, Task
from cloud.serving import Base
from cloud.sources import Sources, to_us
from cloud.store import schema
from cloud.store import verifications as identity_rows
from cloud.store.certifications import ApplicationRow
from cloud.store.database import Store, StoreOptions
from cloud.store.verifications import IdentityRow
from cloud.verifications.desk import Verifications
from tests.support.accounts import new_citizen
from tests.support.certifications import FORM, form
from tests.support.samples import jpeg

T = TypeVar("T")
START = datetime(2026, 11, 2, 8, tzinfo=UTC)
TABLES = [one for one in schema.metadata.sorted_tables if one.name.startswith(("certification", "objects"))]


@dataclass
class Bench:
    """``at``: what time it is."""

    store: Store
    base: Base
    core: Core
    room: serve.Room
    handler: CertificationHandler
    clock: dict[str, datetime] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        return self.room.desk

    def wait(self, **span: float) -> None:
        self.clock["at"] += timedelta(**span)

    def run(self, work: Callable[[Connection], T]) -> T:
        return self.store.run(work)

    def account(self, *, valid_to: date | None = date(2040, 1, 2), **identity: Any) -> str:
        """An active account of somebody new; ``identity``: changes of how its verification stands."""
        account_id, person = self.base.sources.uuid7(), new_citizen()
        personal = Personal(
            name=person.name,
            id_number=person.id_number,
            phone=person.phone,
            validity=type(person.validity)(date(2020, 1, 2), valid_to),
        )
        now_us = to_us(self.clock["at"])
        values: dict[str, Any] = {"elements_us": now_us, "verification_id": "v", "method": 2} | {
            "verified_us": now_us
        }

        def work(connection: Connection) -> None:
            wanted = Wanted(account_id, personal, AccountState.ACTIVE)
            create(connection, self.core.accounts, self.base.sources, wanted)
            identity_rows.put_identity(connection, IdentityRow(account_id, **(values | identity)))

        self.run(work)
        return account_id

    def begin(self, account_id: str, type_code: str = "PERSONAL") -> ApplicationRow | ServiceError:
        return self.run(lambda connection: self.desk.create(connection, account_id, type_code, form(FORM)))

    def upload(self, account_id: str, application_id: str, kind: str) -> None:
        staged = self.core.objects.take(jpeg(), person_id=account_id)
        self.run(
            lambda connection: self.desk.add_material(connection, account_id, application_id, kind, staged)
        )

    def declare(self, account_id: str, application_id: str) -> None:
        def work(connection: Connection) -> None:
            found = self.core.catalogue.declaration(connection)
            self.desk.accept(
                connection, account_id, application_id, version=found.version, sha256=found.sha256
            )

        self.run(work)

    def submitted(self, account_id: str) -> str:
        row = self.begin(account_id)
        assert isinstance(row, ApplicationRow)
        for kind in ("id_card_front", "id_card_back"):
            self.upload(account_id, row.application_id, kind)
        self.declare(account_id, row.application_id)
        self.run(lambda connection: self.desk.submit(connection, account_id, row.application_id, etag=""))
        return row.application_id

    def task(self, application_id: str, account_id: str, reviewer: int | None = 7) -> Task:
        return Task("task", ReviewKind.CERTIFICATION, subject_of(application_id), account_id, reviewer)

    def decided(self, account_id: str, outcome: Outcome = Outcome.PASSED) -> str:
        """An application that was decided, without the review engine."""
        application_id = self.submitted(account_id)
        task = self.task(application_id, account_id)
        reasons = () if outcome is Outcome.PASSED else (ReasonText("UNREADABLE", "The picture."),)
        self.run(lambda connection: self.handler.assigned(connection, task))
        self.run(lambda connection: self.handler.decided(connection, task, Decision(outcome, reasons)))
        return application_id

    def state_of(self, application_id: str) -> int:
        with self.store.reading() as connection:
            return self.core.find(connection, application_id).state

    def dump(self) -> dict[str, list[Any]]:
        """Every row of the room."""
        with self.store.reading() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in TABLES
            }


@contextmanager
def open_bench(url: str, folder: Path) -> Iterator[Bench]:
    """Over a migrated database; keys and files in ``folder``."""
    clock = {"at": START}
    sources = Sources(now=lambda: clock["at"], random_bytes=os.urandom)
    authority = Authority.open(folder, server_names=(), now=START)
    store = Store.open(url, StoreOptions(require_durable=False))
    try:
        ring = KeyRing.open(folder / "keys", now_us=1, random_bytes=os.urandom)
        persons = Persons(ring, sources)
        mutations = Mutations(store, sources, secret=authority.renewal_secret)
        base = Base(store, sources, authority, persons, mutations)
        holders = Accounts(persons, sources)
        core = serve.make_core(
            base,
            accounts=holders,
            identities=Verifications(holders, sources),
            objects=Objects(ObjectFolder(folder / "objects", min_free_bytes=0), persons, sources),
        )
        handler = serve.make_handler(core)
        handlers: dict[ReviewKind, ReviewHandler] = {ReviewKind.CERTIFICATION: handler}
        room = serve.make_room(base, core, reviews.make_core(base, handlers))
        yield Bench(store, base, core, room, handler, clock)
    finally:
        store.close()
