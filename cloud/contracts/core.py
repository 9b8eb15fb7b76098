"""What every change of a contract is made of: a lock, its machine, a line of the timeline; who sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.states import State as AccountState
from cloud.contracts.ports import Identities, Organisations
from cloud.contracts.states import DRAFTS, MACHINE, PARTY_MACHINE, Event, PartyState, State
from cloud.contracts.vault import Vault
from cloud.contracts.words import Words
from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.objects.store import Objects
from cloud.sources import Sources, to_us
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow
from verifield.v1 import contract_service_pb2 as pb


class Seen(IntEnum):
    """As what somebody sees a contract."""

    SENDER = 1
    PARTY = 2


@dataclass(frozen=True, slots=True)
class View:
    """``party``: the caller's, where there is one."""

    seen: Seen
    party: PartyRow | None = None


@dataclass(frozen=True, slots=True)
class Core:
    """What the parts of this room share. Locks: the contract, then accounts.

    ``links``: what the token of an invitation is put behind. ``zone``: in which dates are shown on documents,
    where the sender names none.
    """

    sources: Sources
    accounts: Accounts
    identities: Identities
    organisations: Organisations
    objects: Objects
    messages: Messages
    vault: Vault
    words: Words
    links: str
    zone: str

    @property
    def now_us(self) -> int:
        return to_us(self.sources.now())

    def find(self, connection: Connection, contract_id: str, *, lock: bool = False) -> ContractRow:
        """One contract; with ``lock`` nobody else changes it meanwhile.

        Raises:
            ServiceError: CONTRACT_OTHERS, as for one that is not the caller's.
        """
        row = rows.get_contract(connection, contract_id, lock=lock)
        if row is None or row.state == State.DELETED:
            raise others()
        return row

    def own(
        self, connection: Connection, contract_id: str, account_id: str, *, lock: bool = False
    ) -> ContractRow:
        """A contract that this account sends, or an organisation that it acts for.

        Raises:
            ServiceError: CONTRACT_OTHERS.
        """
        row = self.find(connection, contract_id, lock=lock)
        if not self.is_sender(connection, row, account_id):
            raise others()
        return row

    def is_sender(self, connection: Connection, row: ContractRow, account_id: str) -> bool:
        """Whether an account sends a contract; of an organisation's, whether it still acts for that."""
        if row.sender_organisation_id is None:
            return row.sender_account_id == account_id
        return self.organisations.may_act(connection, row.sender_organisation_id, account_id)

    def view(self, connection: Connection, row: ContractRow, account_id: str) -> View:
        """As what an account sees a contract; who approves it within an organisation acts for that.

        Raises:
            ServiceError: CONTRACT_OTHERS.
        """
        party = self.party_of(connection, row, account_id)
        if self.is_sender(connection, row, account_id):
            return View(Seen.SENDER, party)
        if party is not None:
            return View(Seen.PARTY, party)
        raise others()

    def party_of(self, connection: Connection, row: ContractRow, account_id: str) -> PartyRow | None:
        """The party that an account is, or acts for, once it was told; first the one whose turn it is.

        Who is a party twice (in the own name and for an organisation) is first one who signs.
        """
        if State(row.state) in DRAFTS:
            return None
        found = [
            one
            for one in rows.parties_of(connection, row.contract_id)
            if one.state != PartyState.INVITED and one.notified_us is not None
            if self.is_party(connection, one, account_id)
        ]
        cc = pb.CONTRACT_PARTY_ROLE_CC
        return min(found, key=lambda one: (one.turn_us is None, one.role == cc, one.number), default=None)

    def is_party(self, connection: Connection, party: PartyRow, account_id: str) -> bool:
        """Whether a party is this account, or one that it acts for."""
        if party.organisation_id is not None:
            return self.organisations.may_act(connection, party.organisation_id, account_id)
        return party.account_id == account_id

    def move(
        self,
        connection: Connection,
        row: ContractRow,
        event: Event,
        *,
        party_id: str | None = None,
        at_us: int | None = None,
        **changes: Any,
    ) -> ContractRow:
        """Let something happen to a contract that is locked; write it, and tell the timeline.

        ``at_us``: when, where that is written elsewhere too; None: now.

        Raises:
            ServiceError: CONTRACT_STATE.
        """
        state = MACHINE.after(State(row.state), event)
        at_us = self.now_us if at_us is None else at_us
        moved = replace(row, **changes, state=int(state), updated_us=at_us, version=row.version + 1)
        rows.change_contract(connection, moved)
        if event < Event.EDIT:
            rows.add_event(
                connection,
                row.contract_id,
                event=int(event),
                state=int(state),
                at_us=at_us,
                party_id=party_id,
            )
        return moved

    def move_party(self, connection: Connection, party: PartyRow, event: Event, **changes: Any) -> PartyRow:
        """Let something happen to a party of a contract that is locked.

        Raises:
            ServiceError: CONTRACT_STATE.
        """
        state = PARTY_MACHINE.after(PartyState(party.state), event)
        moved = replace(party, **changes, state=int(state))
        rows.change_party(connection, moved)
        return moved

    def require_real_name(self, connection: Connection, account_id: str) -> str:
        """The verified name of an account's holder, whose account is active.

        Raises:
            ServiceError: REAL_NAME_REQUIRED, ACCOUNT_LOCKED, ACCOUNT_NOT_ACTIVE.
        """
        self.accounts.require_active(connection, account_id)
        if not self.identities.standing(connection, account_id).verified:
            raise ServiceError(
                Reason.REAL_NAME_REQUIRED,
                "The identity is not verified.",
                {"remedies": "FACE,CTID,MANUAL"},
            )
        return self.accounts.personal(connection, account_id).name

    def verified_name(self, connection: Connection, account_id: str) -> str:
        """As :meth:`require_real_name`; empty where it would raise."""
        account = self.accounts.find(connection, account_id)
        if account.state != AccountState.ACTIVE:
            return ""
        if not self.identities.standing(connection, account_id).verified:
            return ""
        return self.accounts.personal(connection, account_id).name

    def index(self, connection: Connection, row: ContractRow) -> None:
        """Write what a contract is found by."""
        names = self.vault.open_parties(connection, rows.parties_of(connection, row.contract_id), "name")
        found = self.words.of(self.vault.open_details(connection, row), names.values())
        rows.put_words(connection, row.contract_id, found)


def others() -> ServiceError:
    """What everybody is told of a contract that is not theirs, whether it exists or not."""
    return ServiceError(Reason.CONTRACT_OTHERS, "This contract is none of yours.")


def etag_of(row: ContractRow) -> str:
    """Changes with every change of the contract."""
    return str(row.version)


def check_etag(row: ContractRow, etag: str) -> None:
    """Raises ServiceError ETAG_MISMATCH; an empty one is not checked."""
    if etag and etag != etag_of(row):
        raise ServiceError(Reason.ETAG_MISMATCH, "Somebody else changed this contract meanwhile.")


def subject_of(contract_id: str) -> str:
    """As the audit chain names it."""
    return f"contracts/{contract_id}"
