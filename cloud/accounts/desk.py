"""Accounts for those who build on them: found, opened and moved on, in a transaction that is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import Connection

from cloud.accounts.filing import Filing, judge_filing
from cloud.accounts.identifiers import normal_identifier
from cloud.accounts.personal import AccountVault, Marks, Personal
from cloud.accounts.sessions import Sessions
from cloud.accounts.states import MACHINE, Event, State
from cloud.elements import FourElements
from cloud.errors import Reason, ServiceError
from cloud.messages.values import Channel
from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealKey
from cloud.reviews.marks import Marker
from cloud.serving import Base
from cloud.sources import Sources, to_us
from cloud.store import account_sessions as session_rows
from cloud.store import accounts as rows
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb


@dataclass(frozen=True, slots=True, repr=False)
class Contact:
    """How the holder can be reached: ``phone`` in E.164, ``language`` zh, en or es."""

    phone: str
    email: str
    language: str
    prefers: Channel | None


class Watcher(Protocol):
    """Who is told in the transaction of a change, for example because a verification became stale."""

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """``fields``: of name, validity, phone, email."""
        ...

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """The account has ended for ever."""
        ...


def _nothing(_account_id: str) -> None:
    """Where nobody remembers sessions."""


class Accounts:
    """``watchers``: told of changes, in their order. ``forget``: that of cloud.accounts.sessions.Sessions.

    ``marker``: needed for :meth:`marks` alone.
    """

    def __init__(
        self,
        persons: Persons,
        sources: Sources,
        watchers: Iterable[Watcher] = (),
        *,
        forget: Callable[[str], None] = _nothing,
        marker: Marker | None = None,
    ) -> None:
        self.vault = AccountVault(persons)
        self._sources = sources
        self._watchers = tuple(watchers)
        self._forget = forget
        self._marker = marker

    @classmethod
    def of(cls, base: Base, sessions: Sessions, watchers: Iterable[Watcher] = ()) -> Accounts:
        """From what every room is given; ``sessions``: of this server, which remembers for a moment."""
        return cls(
            base.persons,
            base.sources,
            watchers,
            forget=sessions.forget,
            marker=Marker(base.authority.renewal_secret),
        )

    def find(self, connection: Connection, account_id: str, *, lock: bool = False) -> AccountRow:
        """One account, also one that has ended.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND.
        """
        row = rows.get_account(connection, account_id, lock=lock)
        if row is None:
            raise ServiceError(Reason.ACCOUNT_NOT_FOUND, "There is no such account.")
        return row

    def find_live(self, connection: Connection, id_number: str) -> AccountRow | None:
        """The account of the person with this number (cloud.elements.parse_id_number) that has not ended."""
        return rows.find_live(connection, self.vault.id_marks(id_number))

    def find_by_identifier(self, connection: Connection, identifier: str) -> AccountRow | None:
        """The account that an id number, a telephone number or a login name signs in to."""
        found = rows.find_identifier(connection, self.vault.identifier_keys(normal_identifier(identifier)))
        return rows.get_account(connection, found.account_id) if found else None

    def personal(self, connection: Connection, account_id: str) -> Personal:
        """All that is personal of an account.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND.
        """
        return self.vault.open(connection, self.find(connection, account_id))

    def elements(self, connection: Connection, account_id: str) -> FourElements:
        """Name, number and validity.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND, ELEMENTS_UNKNOWN.
        """
        return self.personal(connection, account_id).elements

    def contact(self, connection: Connection, account_id: str) -> Contact:
        """How the holder is reached.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND.
        """
        row = self.find(connection, account_id)
        personal = self.vault.open(connection, row)
        prefers = Channel.EMAIL if row.prefers == pb.CONTACT_CHANNEL_EMAIL else Channel.SMS
        return Contact(personal.phone, personal.email, row.language, prefers)

    def marks(self, connection: Connection, account_id: str) -> Marks:
        """For finding conflicts of interest.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND.
        """
        if self._marker is None:
            raise ValueError("these accounts were made without a marker")
        return Marks.of(self._marker, self.personal(connection, account_id))

    def filing(self, connection: Connection, account_id: str) -> Filing:
        """Whether business may be filed for this account now.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND.
        """
        return judge_filing(self.find(connection, account_id), to_us(self._sources.now()))

    def require_active(self, connection: Connection, account_id: str, *, lock: bool = False) -> AccountRow:
        """An account that is active.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND, ACCOUNT_LOCKED, ACCOUNT_NOT_ACTIVE.
        """
        row = self.find(connection, account_id, lock=lock)
        if row.state == State.LOCKED:
            raise ServiceError(Reason.ACCOUNT_LOCKED, "The account is locked.")
        if row.state != State.ACTIVE:
            raise ServiceError(
                Reason.ACCOUNT_NOT_ACTIVE, "The account is not active.", {"state": State(row.state).name}
            )
        return row

    def advance(self, connection: Connection, account_id: str, event: Event) -> AccountRow:
        """Let something happen to an account, and return it as it is then.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND, or why its state does not allow it.
        """
        row = self.find(connection, account_id, lock=True)
        return self.change(connection, row, event)

    def change(self, connection: Connection, row: AccountRow, event: Event) -> AccountRow:
        """As :meth:`advance`, for a row that was read with a lock, with values that are to be written too.

        Raises:
            ServiceError: why its state does not allow it.
        """
        before = State(row.state)
        after = MACHINE.after(before, event)
        now_us = to_us(self._sources.now())
        changed = replace(
            row,
            state=int(after),
            state_us=row.state_us if after is before else now_us,
            updated_us=now_us,
            version=row.version + 1,
        )
        rows.change_account(connection, changed)
        if after in (State.LOCKED, State.DEREGISTERED) and after is not before:
            self.end_sessions(connection, row.account_id)
        if after is State.DEREGISTERED:
            self._let_go(connection, row.account_id)
        return changed

    def deregister(
        self, connection: Connection, account_id: str, reason: pb.DeregistrationReason.ValueType
    ) -> AccountRow:
        """End an account for ever; what was kept stays readable to staff.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND, ACCOUNT_STATE.
        """
        row = replace(self.find(connection, account_id, lock=True), end_reason=int(reason))
        expired = reason == pb.DEREGISTRATION_REASON_NOT_FINISHED
        return self.change(connection, row, Event.EXPIRE if expired else Event.DEREGISTER)

    def rebind(self, connection: Connection, account_id: str, phone: str) -> AccountRow:
        """Give an account another number (E.164) that two persons vouched for, or a code reached.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND, ACCOUNT_PHONE_TAKEN, or why its state does not allow it.
        """
        row = self.change(connection, self.find(connection, account_id, lock=True), Event.REBIND_PHONE)
        row = self.put_phone(connection, row, phone)
        rows.change_account(connection, row)
        rows.drop_rebind(connection, account_id)
        session_rows.end_activations(connection, account_id)
        self.tell_changed(connection, account_id, frozenset({"phone"}))
        return row

    def put_phone(self, connection: Connection, row: AccountRow, phone: str) -> AccountRow:
        """The row with another number, which is what the account is found by from now on.

        Raises:
            ServiceError: ACCOUNT_PHONE_TAKEN.
        """
        key = self.vault.key_of(connection, row.account_id)
        self.put_identifier(connection, key, row.account_id, pb.IDENTIFIER_KIND_PHONE, phone)
        return replace(row, phone=self.vault.text(key, row.account_id, "phone", phone))

    def put_identifier(
        self,
        connection: Connection,
        key: SealKey,
        account_id: str,
        kind: pb.IdentifierKind.ValueType,
        value: str,
    ) -> None:
        """Let an account be found by ``value`` (in its one form), in the place of another one of its kind.

        Raises:
            ServiceError: ACCOUNT_EXISTS, ACCOUNT_PHONE_TAKEN, LOGIN_NAME_TAKEN.
        """
        self.claim(connection, [value])
        holder = rows.find_identifier(connection, self.vault.identifier_keys(value))
        if holder is not None and (holder.account_id, holder.kind) == (account_id, kind):
            return
        rows.drop_identifiers(connection, account_id, kind=kind)
        identifier_id = self._sources.uuid7()
        row = rows.IdentifierRow(
            identifier_id,
            account_id,
            kind,
            self.vault.seal_at(key, Place("account_identifiers", "value", identifier_id), value),
            self.vault.identifier_key(value),
        )
        if holder is not None or not rows.add_identifier(connection, row):
            raise taken(kind)

    def claim(self, connection: Connection, identifiers: Collection[str]) -> None:
        """Come by these identifiers alone until the transaction ends, whichever index keys there are.

        Two versions of a key give one value two entries, which no constraint keeps apart while the key is
        being renewed. Whoever writes one holds those of all versions; where a version came while this one
        waited, it is held too. What is looked up then is what is.
        """
        held: set[bytes] = set()
        while missing := {key for one in identifiers for key in self.vault.identifier_keys(one)} - held:
            rows.hold_keys(connection, missing)
            held |= missing

    def end_sessions(self, connection: Connection, account_id: str, *, besides: str = "") -> int:
        """Sign everybody out, but one session; return how many there were."""
        self._forget(account_id)
        now_us = to_us(self._sources.now())
        return session_rows.end_sessions(connection, account_id, now_us=now_us, besides=besides)

    def end_session(self, connection: Connection, account_id: str, session_id: str) -> bool:
        """End one session; False where there is none that has not ended."""
        self._forget(account_id)
        now_us = to_us(self._sources.now())
        return session_rows.end_session(connection, account_id, session_id, now_us=now_us)

    def tell_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """Tell the watchers what the holder, or the centre, changed."""
        for watcher in self._watchers:
            watcher.identity_changed(connection, account_id, fields)

    def _let_go(self, connection: Connection, account_id: str) -> None:
        rows.drop_identifiers(connection, account_id)
        rows.drop_rebind(connection, account_id)
        session_rows.drop_credential(connection, account_id)
        session_rows.end_activations(connection, account_id)
        for watcher in self._watchers:
            watcher.deregistered(connection, account_id)


def taken(kind: pb.IdentifierKind.ValueType) -> ServiceError:
    """Another account that lives has this identifier."""
    return {
        pb.IDENTIFIER_KIND_ID_NUMBER: ServiceError(Reason.ACCOUNT_EXISTS, "This person has an account."),
        pb.IDENTIFIER_KIND_PHONE: ServiceError(
            Reason.ACCOUNT_PHONE_TAKEN, "Another account has this number."
        ),
        pb.IDENTIFIER_KIND_LOGIN_NAME: ServiceError(
            Reason.LOGIN_NAME_TAKEN, "Another account is found by this name."
        ),
    }[kind]
