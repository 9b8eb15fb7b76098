"""What every change of an application is made of: a lock, its machine, a line of the timeline, a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.certifications.badges import Badges
from cloud.certifications.catalogue import Catalogue
from cloud.certifications.states import MACHINE, Event, State
from cloud.certifications.vault import Vault
from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.templates import Template
from cloud.messages.templates.certifications import RECERT
from cloud.objects.store import Objects
from cloud.papers.render import Fonts
from cloud.sources import Sources, from_us, to_us
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow
from verifield.v1 import certification_service_pb2 as pb

DAY = "%Y-%m-%d %H:%M UTC"


class IdentityStanding(Protocol):
    """How far the identity of an account is verified, as cloud.verifications tells."""

    @property
    def verified(self) -> bool: ...
    @property
    def verified_us(self) -> int | None: ...
    @property
    def stale(self) -> bool: ...
    @property
    def verification_id(self) -> str: ...


class Identities(Protocol):
    """Who knows whether an account's holder was verified."""

    def standing(self, connection: Connection, account_id: str) -> IdentityStanding: ...

    def require_verified(self, connection: Connection, account_id: str) -> object:
        """Raises ServiceError IDENTITY_REQUIRED."""
        ...


@dataclass(frozen=True, slots=True)
class Core:
    """What the parts of this room share. Locks: the account's meter, applications by id, then reviews."""

    sources: Sources
    accounts: Accounts
    identities: Identities
    objects: Objects
    messages: Messages
    catalogue: Catalogue
    badges: Badges
    vault: Vault
    fonts: Fonts | None = None

    @property
    def now_us(self) -> int:
        return to_us(self.sources.now())

    def lock(self, connection: Connection, application_id: str) -> ApplicationRow:
        """One application, which nobody else changes meanwhile.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND.
        """
        return _found(rows.get_application(connection, application_id, lock=True))

    def find(self, connection: Connection, application_id: str) -> ApplicationRow:
        """As :meth:`lock`, to read."""
        return _found(rows.get_application(connection, application_id))

    def own(
        self, connection: Connection, application_id: str, account_id: str, *, lock: bool = False
    ) -> ApplicationRow:
        """An application of this account.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND; APPLICATION_OTHERS: it is another account's.
        """
        row = _found(rows.get_application(connection, application_id, lock=lock))
        if row.account_id != account_id:
            raise ServiceError(Reason.APPLICATION_OTHERS, "This application belongs to another account.")
        return row

    def move(
        self,
        connection: Connection,
        row: ApplicationRow,
        event: Event,
        *,
        told_reviewer: str | None = None,
        due_us: int | None = None,
        **changes: Any,
    ) -> ApplicationRow:
        """Let something happen to an application that is locked; write it, and tell the timeline.

        ``told_reviewer``, ``due_us``: for the timeline. ``changes``: columns of the application.

        Raises:
            ServiceError: APPLICATION_STATE.
        """
        state = MACHINE.after(State(row.state), event)
        moved = replace(row, **changes, state=int(state), updated_us=self.now_us, version=row.version + 1)
        rows.change_application(connection, moved)
        if event is not Event.EDIT:
            rows.add_event(
                connection,
                row.application_id,
                event=int(event),
                state=int(state),
                at_us=self.now_us,
                reviewer=told_reviewer,
                due_us=due_us,
            )
        return moved

    def tell(
        self,
        connection: Connection,
        row: ApplicationRow,
        template: Template,
        values: Mapping[str, str] | None = None,
    ) -> None:
        """Leave a message to the holder, the way that is preferred; it goes out once this is durable."""
        self.messages.notify(
            connection,
            template=template,
            person_id=row.account_id,
            contact=self.accounts.contact(connection, row.account_id),
            values={"number": number_of(row), **(values or {})},
        )

    def require_recert(
        self, connection: Connection, row: ApplicationRow, why: pb.RecertReason.ValueType, *, badge: int
    ) -> bool:
        """A passed application is to be made again; False where that was so already. The holder is told."""
        new = care.add_recert(
            connection, row.application_id, why=why, account_id=row.account_id, now_us=self.now_us
        )
        if not MACHINE.allows(State(row.state), Event.REQUIRE_RECERT):
            return False
        self.move(connection, row, Event.REQUIRE_RECERT)
        rows.revoke_badges(connection, row.application_id, now_us=self.now_us, why=badge)
        self.tell(connection, row, RECERT)
        return new


def number_of(row: ApplicationRow) -> str:
    """How people name an application: enough of its id to tell it from others."""
    return row.application_id[-12:].upper()


def show_time(time_us: int) -> str:
    """As messages and documents have it."""
    return from_us(time_us).strftime(DAY)


def _found(row: ApplicationRow | None) -> ApplicationRow:
    if row is None:
        raise ServiceError(Reason.APPLICATION_NOT_FOUND, "There is no such application.")
    return row
