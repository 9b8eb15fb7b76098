"""The room of registration business on a database, over the real rooms below it.

room = BusinessRoom(store, tmp_path)
holder = room.account()                              # verified, and allows business
row = room.run(room.desk.create, caller=holder, principal=holder, service_code="NAME_CHECK", text="")
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, select

from cloud.accounts.creation import Wanted, create
from cloud.accounts.desk import Accounts
from cloud.accounts.personal import Personal
from cloud.accounts.states import State as AccountState
from cloud.business.delegations import DelegationDesk
from cloud.business.desk import BusinessDesk
from cloud.business.guard import Guard
from cloud.business.handler import BusinessReviews
from cloud.business.personal import BusinessVault
from cloud.business.serve import applicants
from cloud.messages.outbox import Messages
from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects, Staged
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.reviews.desk import Reviews
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant, ReviewKind, Task
from cloud.sources import Sources, to_us
from cloud.store import accounts as account_rows
from cloud.store import schema
from cloud.store import verifications as identity_rows
from cloud.store.database import Store
from cloud.verifications.desk import Verifications
from tests.support.accounts import Citizen, Room, SignedIn, in_database, new_citizen
from tests.support.cloud import RunningCloud
from tests.support.samples import pdf
from verifield.v1.identity_service_pb2 import VERIFICATION_METHOD_FACE

T = TypeVar("T")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
TABLES = (
    schema.business_requests,
    schema.business_documents,
    schema.business_events,
    schema.delegations,
    schema.objects,
    schema.messages,
)


@dataclass
class ToldReviews:
    """In the place of the review engine: notes what it is told, in the order in which it is."""

    told: list[str] = field(default_factory=list)

    def open_task(self, _: Connection, *, kind: ReviewKind, subject: str, **more: Any) -> str:
        assert isinstance(more["applicant"], Applicant)
        self.told.append(f"open {kind.name} {subject.partition('/')[0]} {len(more['checks'])}")
        return "task"

    def resubmitted(self, _: Connection, subject: str) -> None:
        self.told.append(f"resubmitted {subject.partition('/')[0]}")

    def withdrawn(self, _: Connection, subject: str) -> None:
        self.told.append(f"withdrawn {subject.partition('/')[0]}")


class BusinessRoom:
    """``now`` is where the clock stands. ``reviews`` None: those of :class:`ToldReviews`."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.now = store, NOON
        self.sources = Sources(now=lambda: self.now, random_bytes=secrets.token_bytes)
        for name in ("keys", "objects"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        ring = KeyRing.open(folder / "keys", now_us=to_us(NOON), random_bytes=self.sources.random_bytes)
        self.persons = Persons(ring, self.sources)
        self.accounts = Accounts(self.persons, self.sources)
        self.objects = Objects(ObjectFolder(folder / "objects"), self.persons, self.sources)
        self.reviews = ToldReviews()
        self.desk = BusinessDesk(
            guard=Guard(self.accounts, Verifications(self.accounts, self.sources), self.sources),
            vault=BusinessVault(self.persons),
            reviews=cast("Reviews", self.reviews),
            objects=self.objects,
            sources=self.sources,
            applicant_of=applicants(self.accounts, Marker(bytes(32))),
        )
        self.delegations = DelegationDesk(self.accounts, self.sources)
        self.handler = BusinessReviews(self.desk, self.accounts, Messages(self.persons, self.sources))

    def run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function of the room in a write transaction."""
        return self.store.run(lambda connection: work(connection, *args, **kwargs))

    def read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function of the room in a view."""
        with self.store.reading() as connection:
            return work(connection, *args, **kwargs)

    def account(self, *, verified: bool = True, allowed: bool = True, person: Citizen | None = None) -> str:
        """An active account; with ``allowed``, business may be handled for a day from an hour ago."""
        person, account_id = person or new_citizen(), self.sources.uuid7()
        personal = Personal(**{name: getattr(person, name) for name in Personal.__dataclass_fields__})

        def add(connection: Connection) -> None:
            create(connection, self.accounts, self.sources, Wanted(account_id, personal, AccountState.ACTIVE))

        self.run(add)
        if verified:
            self.verify(account_id)
        if allowed:
            self.allow(account_id, self.now - timedelta(hours=1), self.now + timedelta(days=1))
        return account_id

    def verify(self, account_id: str, *, stale: bool = False) -> None:
        """The identity was verified by face; ``stale``: and counts no more."""
        row = identity_rows.IdentityRow(
            account_id,
            verification_id=self.sources.uuid7(),
            method=VERIFICATION_METHOD_FACE,
            verified_us=to_us(self.now),
            stale_us=to_us(self.now) if stale else None,
        )
        self.run(identity_rows.put_identity, row)

    def allow(self, account_id: str, start: datetime | None, end: datetime | None) -> None:
        """Business may be handled in a time; None: it may not."""

        def change(connection: Connection) -> None:
            row = self.accounts.find(connection, account_id, lock=True)
            times = (to_us(start) if start else None, to_us(end) if end else None)
            account_rows.change_account(
                connection,
                replace(
                    row,
                    filing_allowed=start is not None,
                    filing_from_us=times[0],
                    filing_until_us=times[1],
                ),
            )

        self.run(change)

    def begin(self, holder: str, service_code: str = "NAME_CHECK", *, caller: str = "") -> str:
        """A draft; returns its id."""
        row = self.run(
            self.desk.create,
            caller=caller or holder,
            principal=holder,
            service_code=service_code,
            text="words",
        )
        return row.business_id

    def stage(self, holder: str) -> Staged:
        """A document that was received."""
        return self.objects.take(pdf(secrets.token_hex(8)), person_id=holder)

    def task(self, business_id: str, holder: str) -> Task:
        """As the review engine names the review of a request."""
        return Task("task", ReviewKind.BUSINESS, f"business/{business_id}", holder, 7)

    def get(self, business_id: str) -> Any:
        """The row of a request."""
        return self.read(self.desk.read, business_id)

    def dump(self) -> str:
        """A digest of all rows that this room may write."""
        with self.store.reading() as connection:
            rows = [sorted(map(repr, connection.execute(select(table)).all())) for table in TABLES]
        return hashlib.sha256(repr(rows).encode()).hexdigest()


def may_file(
    cloud: RunningCloud, signed_in: SignedIn, *, verified: bool = True, allowed: bool = True
) -> None:
    """The holder of an account of a running service is verified, and allows business for a day."""

    def change(connection: Connection, room: Room) -> None:
        now = room.sources.now()
        if verified:
            identity_rows.put_identity(
                connection,
                identity_rows.IdentityRow(
                    signed_in.account_id,
                    verification_id=room.sources.uuid7(),
                    method=VERIFICATION_METHOD_FACE,
                    verified_us=to_us(now),
                ),
            )
        row = room.accounts.find(connection, signed_in.account_id, lock=True)
        account_rows.change_account(
            connection,
            replace(
                row,
                filing_allowed=allowed,
                filing_from_us=to_us(now - timedelta(hours=1)) if allowed else None,
                filing_until_us=to_us(now + timedelta(days=1)) if allowed else None,
            ),
        )

    in_database(cloud, change)
