"""What parties do: open, read, approve, decline; and what the sender does about a contract that is out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.contracts.core import Core, View, others
from cloud.contracts.desk import require_open
from cloud.contracts.states import (
    MACHINE,
    OPEN_STATES,
    PARTY_MACHINE,
    WAITING,
    Event,
    PartyState,
    State,
)
from cloud.contracts.terms import KEEP_ENDED_US, REMIND_AGAIN_US
from cloud.contracts.turns import MAX_LINK_TRIES, begin_turns, digest_of, end_turns, invite, tell_all
from cloud.contracts.vault import PARTIES
from cloud.errors import Reason, ServiceError
from cloud.messages.templates.contracts import DECLINED, EXPIRED, REMINDER, WITHDRAWN
from cloud.privacy.normal import normal_name
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow
from verifield.v1 import contract_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Acts:
    """``account_id``: who asks. Errors that are returned are to be committed with what led to them."""

    core: Core

    def open(
        self, connection: Connection, account_id: str, token: str, *, organisation_id: str
    ) -> ContractRow | ServiceError:
        """Become the party that a link was sent to.

        Raises:
            ServiceError: INVITATION_INVALID, REAL_NAME_REQUIRED, ACCOUNT_NOT_ACTIVE, ACCOUNT_LOCKED,
                PARTY_DUPLICATE, CONTRACT_EXPIRED, CONTRACT_STATE. PARTY_IDENTITY_MISMATCH is returned.
        """
        core = self.core
        known = rows.find_link(connection, digest_of(token))
        if known is None:
            raise _no_invitation()
        row = core.find(connection, known.contract_id, lock=True)
        party = rows.find_link(connection, digest_of(token))  # somebody may have been faster
        if party is None or party.link_tries >= MAX_LINK_TRIES:
            raise _no_invitation()
        MACHINE.after(State(row.state), Event.OPEN)
        if State(row.state) in OPEN_STATES:
            require_open(core, row)
        name = core.require_real_name(connection, account_id)
        found = self._match(connection, party, account_id, name, organisation_id)
        if found is None:
            rows.change_party(connection, replace(party, link_tries=party.link_tries + 1))
            return ServiceError(
                Reason.PARTY_IDENTITY_MISMATCH, "The verified name is not the one that was invited."
            )
        for other in rows.parties_of(connection, row.contract_id):
            same = (other.organisation_id, other.account_id) == (found.organisation_id, found.account_id)
            if other.party_id != party.party_id and same:
                raise ServiceError(Reason.PARTY_DUPLICATE, "You are another party of this contract.")
        opened = PARTY_MACHINE.allows(PartyState(party.state), Event.OPEN)
        found = replace(found, link_digest=None, opened_us=found.opened_us or core.now_us)
        if opened:
            found = replace(found, state=int(PARTY_MACHINE.after(PartyState(party.state), Event.OPEN)))
        rows.change_party(connection, found)
        return core.move(connection, row, Event.OPEN, party_id=party.party_id)

    def seen(self, connection: Connection, row: ContractRow, party: PartyRow, page: int) -> None:
        """Note that a page was delivered to a party, where that still matters. The contract is locked."""
        if not MACHINE.allows(State(row.state), Event.OPEN):
            return
        seen = int.from_bytes(bytes(party.pages_seen), "little") | 1 << (page - 1)
        changed = replace(party, pages_seen=seen.to_bytes((row.page_count + 7) // 8, "little"))
        if party.state == PartyState.NOTIFIED:
            state = PARTY_MACHINE.after(PartyState.NOTIFIED, Event.OPEN)
            changed = replace(changed, state=int(state), opened_us=self.core.now_us)
            self.core.move(connection, row, Event.OPEN, party_id=party.party_id)
        rows.change_party(connection, changed)

    def mark_read(
        self, connection: Connection, account_id: str, contract_id: str, sha256: bytes
    ) -> ContractRow:
        """Note that a party has read the document.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_EXPIRED, CONTRACT_DOCUMENT_OTHER,
                CONTRACT_NOT_READ.
        """
        core = self.core
        row, party = self._acting(connection, account_id, contract_id)
        _check_document(row, sha256)
        missing = unread(row, party)
        if missing:
            raise ServiceError(
                Reason.CONTRACT_NOT_READ,
                f"{len(missing)} pages were not delivered yet.",
                {"pages": str(len(missing))},
            )
        now_us = max(core.now_us, row.sent_us or 0)  # a clock that was set right must not undo the order
        core.move_party(connection, party, Event.READ, read_us=now_us, read_sha256=sha256)
        return core.move(connection, row, Event.READ, party_id=party.party_id, at_us=now_us)

    def approve(
        self, connection: Connection, account_id: str, contract_id: str, sha256: bytes
    ) -> ContractRow:
        """What an approver does in the place of signing.

        Raises:
            ServiceError: as :meth:`mark_read`; CONTRACT_NOT_YOUR_TURN.
        """
        core = self.core
        row, party = self._acting(connection, account_id, contract_id)
        if party.role != pb.CONTRACT_PARTY_ROLE_APPROVER or party.turn_us is None:
            raise ServiceError(Reason.CONTRACT_NOT_YOUR_TURN, "It is not this party's turn to approve.")
        _check_document(row, sha256)
        if party.read_sha256 != sha256:
            raise ServiceError(Reason.CONTRACT_NOT_READ, "The document was not read.")
        now_us = core.now_us
        core.move_party(connection, party, Event.APPROVE, acted_us=now_us, acted_by=account_id, turn_us=None)
        row = core.move(connection, row, Event.APPROVE, party_id=party.party_id, at_us=now_us)
        begin_turns(core, connection, row)
        return row

    def decline(self, connection: Connection, account_id: str, contract_id: str, reason: str) -> ContractRow:
        """End a contract: for those alone whom it waits for.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_EXPIRED, CONTRACT_NOT_YOUR_TURN,
                CONTRACT_REASON_REQUIRED.
        """
        core = self.core
        row, party = self._acting(connection, account_id, contract_id)
        PARTY_MACHINE.after(PartyState(party.state), Event.DECLINE)
        if party.turn_us is None:
            raise ServiceError(Reason.CONTRACT_NOT_YOUR_TURN, "The contract does not wait for this party.")
        if not reason.strip():
            raise ServiceError(Reason.CONTRACT_REASON_REQUIRED, "Who declines says why.")
        key = core.vault.key_of(connection, contract_id)
        core.move_party(
            connection,
            party,
            Event.DECLINE,
            acted_us=core.now_us,
            acted_by=account_id,
            decline_reason=core.vault.text(key, PARTIES, "decline_reason", party.party_id, reason.strip()),
        )
        row = self._end(connection, row, Event.DECLINE, party_id=party.party_id)
        tell_all(core, connection, row, DECLINED, besides=account_id)
        return row

    def withdraw(self, connection: Connection, account_id: str, contract_id: str) -> ContractRow:
        """Take a contract back before all have signed.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE.
        """
        row = self.core.own(connection, contract_id, account_id, lock=True)
        return self.end_by_sender(connection, row, account_id)

    def end_by_sender(self, connection: Connection, row: ContractRow, account_id: str) -> ContractRow:
        """As :meth:`withdraw`, for a row that is locked."""
        row = self._end(connection, row, Event.WITHDRAW)
        tell_all(self.core, connection, row, WITHDRAWN, besides=account_id)
        return row

    def expire(self, connection: Connection, row: ContractRow) -> ContractRow:
        """End a contract whose deadline has passed; the row is locked."""
        end_turns(self.core, connection, row, Event.EXPIRE)
        row = self._end(connection, row, Event.EXPIRE)
        tell_all(self.core, connection, row, EXPIRED)
        return row

    def remind(self, connection: Connection, account_id: str, contract_id: str) -> int:
        """Tell those whose turn it is once more; return how many there were.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_EXPIRED, CONTRACT_REMINDED.
        """
        core = self.core
        row = core.own(connection, contract_id, account_id, lock=True)
        require_open(core, row)
        waiting = awaited(connection, row)
        due = [one for one in waiting if last_told(one) <= core.now_us - REMIND_AGAIN_US]
        if waiting and not due:
            raise ServiceError(Reason.CONTRACT_REMINDED, "They were told a short time ago.")
        for party in due:
            self.remind_one(connection, row, party)
        return len(due)

    def remind_one(
        self, connection: Connection, row: ContractRow, party: PartyRow, *, by_itself: bool = False
    ) -> None:
        """Send a party another link; the row is locked."""
        party = replace(party, reminders=party.reminders + int(by_itself), reminded_us=self.core.now_us)
        turn_us = party.turn_us
        invite(self.core, connection, row, party, REMINDER, turn_us=turn_us, event=Event.REMIND)

    def _acting(
        self, connection: Connection, account_id: str, contract_id: str
    ) -> tuple[ContractRow, PartyRow]:
        """A contract that is locked, and the caller's part in it."""
        row = self.core.find(connection, contract_id, lock=True)
        party = self.core.party_of(connection, row, account_id)
        if party is None:
            if self.core.is_sender(connection, row, account_id):
                raise ServiceError(Reason.CONTRACT_NOT_YOUR_TURN, "You are no party of this contract.")
            raise others()
        require_open(self.core, row)
        return row, party

    def _match(
        self,
        connection: Connection,
        party: PartyRow,
        account_id: str,
        name: str,
        organisation_id: str,
    ) -> PartyRow | None:
        """The party with who opens it; None where the invitation is for somebody else."""
        core = self.core
        invited = core.vault.open_party(connection, party, "name")
        named = core.vault.open_asked(connection, party)
        if party.kind == pb.CONTRACT_PARTY_KIND_PERSON:
            # Of two people with one name, whoever the sender named by account, or who opened it first.
            if name != invited or (party.account_id or named.account_id or account_id) != account_id:
                return None
            return replace(party, account_id=account_id)
        asked = party.organisation_id or named.organisation_id
        if not organisation_id or (asked or organisation_id) != organisation_id:
            return None
        if not core.organisations.may_act(connection, organisation_id, account_id):
            return None
        known = core.organisations.identity(connection, organisation_id).name
        if normal_name(known) != normal_name(invited):
            return None
        return replace(party, organisation_id=organisation_id)

    def _end(
        self, connection: Connection, row: ContractRow, event: Event, *, party_id: str | None = None
    ) -> ContractRow:
        now_us = self.core.now_us
        moved = self.core.move(
            connection,
            row,
            event,
            party_id=party_id,
            at_us=now_us,
            ended_us=now_us,
            retention_until_us=now_us + KEEP_ENDED_US,
            stamp_waits_us=None,
        )
        if event is not Event.EXPIRE:
            end_turns(self.core, connection, moved, event)
        return moved


def unread(row: ContractRow, party: PartyRow) -> list[int]:
    """The pages that were not delivered to a party yet."""
    seen = int.from_bytes(bytes(party.pages_seen), "little")
    return [page for page in range(1, row.page_count + 1) if not seen >> (page - 1) & 1]


def awaited(connection: Connection, row: ContractRow) -> list[PartyRow]:
    """Those whose turn it is, but for the sender."""
    return [
        one
        for one in rows.parties_of(connection, row.contract_id)
        if one.turn_us is not None and PartyState(one.state) in WAITING and not one.is_sender
    ]


def last_told(party: PartyRow) -> int:
    """When a party was told last."""
    return party.reminded_us or party.notified_us or 0


def may_read(view: View, row: ContractRow) -> bool:
    """Whether somebody may have what not all have signed: not who is only told of a contract."""
    signs = view.party is None or view.party.role != pb.CONTRACT_PARTY_ROLE_CC or view.party.is_sender
    return signs or row.completed_us is not None


def _check_document(row: ContractRow, sha256: bytes) -> None:
    if sha256 != row.document_sha256:
        raise ServiceError(Reason.CONTRACT_DOCUMENT_OTHER, "This is not the digest of the document.")


def _no_invitation() -> ServiceError:
    return ServiceError(Reason.INVITATION_INVALID, "There is no such invitation, or no more.")
