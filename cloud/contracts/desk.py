"""Contracts for those who build on them: who may act, on which document, and what became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.contracts.core import Core, others
from cloud.contracts.states import MACHINE, WAITING, Event, PartyState, State
from cloud.contracts.terms import KEEP_CONCLUDED_US, methods_of
from cloud.contracts.turns import ACTING, begin_turns, end_turns, tell_all
from cloud.errors import Reason, ServiceError
from cloud.messages.templates.contracts import COMPLETED
from cloud.objects.store import Staged
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow, WidgetRow
from verifield.v1 import contract_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Current:
    """The file as it is now: a revision, and the object that has its bytes."""

    object_id: str
    revision_sha256: bytes
    revision_no: int


class Contracts:
    """All within the transaction that is given. Lock the contract (:meth:`hold`) before any change."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def get(self, connection: Connection, contract_id: str) -> ContractRow:
        """One contract.

        Raises:
            ServiceError: CONTRACT_OTHERS: there is none, or none that anybody should hear of.
        """
        return self.core.find(connection, contract_id)

    def hold(self, connection: Connection, contract_id: str) -> ContractRow:
        """As :meth:`get`, locked until the transaction ends."""
        return self.core.find(connection, contract_id, lock=True)

    def view(self, connection: Connection, contract: ContractRow, account_id: str) -> None:
        """Check that an account may see a contract: its sender, a party, or an approver of its organisation.

        Raises:
            ServiceError: CONTRACT_OTHERS.
        """
        self.core.view(connection, contract, account_id)

    def party_of(
        self, connection: Connection, contract: ContractRow, account_id: str, *, party_id: str = ""
    ) -> PartyRow:
        """The party that an account is, also through an organisation; the one whose turn it is before others.

        Raises:
            ServiceError: CONTRACT_OTHERS.
        """
        if party_id:
            party = rows.get_party(connection, party_id)
            if (
                party is not None
                and party.contract_id == contract.contract_id
                and party.notified_us is not None
                and self.core.is_party(connection, party, account_id)
            ):
                return party
            raise others()
        found = self.core.party_of(connection, contract, account_id)
        if found is None:
            raise others()
        return found

    def parties(self, connection: Connection, contract: ContractRow) -> list[PartyRow]:
        """All, in the order in which the sender listed them."""
        return rows.parties_of(connection, contract.contract_id)

    def require_turn(self, connection: Connection, contract: ContractRow, party: PartyRow) -> None:
        """Check that a party may sign now.

        Raises:
            ServiceError: CONTRACT_STATE, CONTRACT_EXPIRED, CONTRACT_NOT_YOUR_TURN.
        """
        require_open(self.core, contract)
        party = rows.get_party(connection, party.party_id) or party  # as it is now
        if party.role != pb.CONTRACT_PARTY_ROLE_SIGNER or party.turn_us is None:
            raise ServiceError(Reason.CONTRACT_NOT_YOUR_TURN, "It is not this party's turn to sign.")

    def require_read(self, contract: ContractRow, party: PartyRow) -> None:
        """Check that a party has confirmed to have read this document.

        Raises:
            ServiceError: CONTRACT_NOT_READ.
        """
        if not self.read_proof(contract, party):
            raise ServiceError(Reason.CONTRACT_NOT_READ, "The party has not confirmed to have read it.")

    def read_proof(self, contract: ContractRow, party: PartyRow) -> bool:
        """Whether MarkRead was done with the document's digest; when: ``party.read_us``."""
        return party.read_us is not None and party.read_sha256 == contract.document_sha256

    def allowed_methods(self, contract: ContractRow) -> frozenset[int]:
        """Numbers of SignMethod, one of which each who signs takes."""
        return methods_of(contract.allowed_methods)

    def name_of(self, connection: Connection, party: PartyRow) -> str:
        """As it was invited, which the verified name equals once the party has opened it."""
        return self.core.vault.open_party(connection, party, "name")

    def title_of(self, connection: Connection, contract: ContractRow) -> str:
        """For the person, and for the operator of a device; never for logs."""
        return self.core.vault.open_details(connection, contract).title

    def marks(self, connection: Connection, contract: ContractRow, party: PartyRow) -> list[WidgetRow]:
        """Where this party's marks stand; ``field_name`` is that of the document."""
        return rows.widgets_of(connection, contract.contract_id, party_id=party.party_id)

    def document(self, connection: Connection, contract: ContractRow) -> bytes:
        """The document as it was sent.

        Raises:
            ServiceError: CONTRACT_STATE, OBJECT_NOT_FOUND, OBJECT_DAMAGED.
        """
        return self._open(connection, contract, contract.document_id)

    def current(self, connection: Connection, contract_id: str) -> Current:
        """Which revision there is now.

        Raises:
            ServiceError: CONTRACT_STATE: nothing was sent yet.
        """
        row = self.get(connection, contract_id)
        if row.revision_id is None or row.revision_sha256 is None:
            raise _not_sent(row)
        return Current(row.revision_id, row.revision_sha256, row.revision_no)

    def open_current(self, connection: Connection, contract: ContractRow) -> bytes:
        """Its bytes, checked against the digest.

        Raises:
            ServiceError: as :meth:`document`.
        """
        return self._open(connection, contract, contract.revision_id)

    def authenticated(
        self, connection: Connection, contract: ContractRow, party: PartyRow, *, account_id: str
    ) -> PartyRow:
        """Note that whoever acts for a party has shown who they are. The contract is locked.

        Raises:
            ServiceError: as :meth:`require_turn` and :meth:`require_read`; CONTRACT_STATE.
        """
        self.require_turn(connection, contract, party)
        self.require_read(contract, party)
        now_us = max(self.core.now_us, party.read_us or 0)  # as in Acts.mark_read
        party = self.core.move_party(
            connection, party, Event.AUTHENTICATE, authenticated_us=now_us, acted_by=account_id
        )
        self.core.move(connection, contract, Event.AUTHENTICATE, party_id=party.party_id, at_us=now_us)
        return party

    def await_stamp(self, connection: Connection, contract: ContractRow, party: PartyRow) -> ContractRow:
        """Note that a signature waits for its time-stamp: the deadline does not end a contract meanwhile.

        Raises:
            ServiceError: CONTRACT_STATE.
        """
        self.core.move_party(connection, party, Event.AWAIT_STAMP)
        waits_us = contract.stamp_waits_us or self.core.now_us
        return self.core.move(
            connection, contract, Event.AWAIT_STAMP, party_id=party.party_id, stamp_waits_us=waits_us
        )

    def stop_awaiting(self, connection: Connection, contract: ContractRow) -> ContractRow:
        """No signature waits for a time-stamp any more: it was given up."""
        row = replace(contract, stamp_waits_us=None, version=contract.version + 1)
        rows.change_contract(connection, row)
        return row

    def is_last(self, connection: Connection, contract: ContractRow, party: PartyRow) -> bool:
        """Whether all others have acted: the signature of this one completes the contract."""
        return all(
            one.party_id == party.party_id or PartyState(one.state) not in WAITING
            for one in rows.parties_of(connection, contract.contract_id)
            if one.role in ACTING
        )

    def signed(
        self,
        connection: Connection,
        contract: ContractRow,
        party: PartyRow,
        *,
        account_id: str,
        before_sha256: bytes,
        revision: Staged,
        field_names: Collection[str],
        final: bool,
    ) -> ContractRow:
        """Put a signed revision in the place of the one it was made from. The contract is locked.

        ``revision``: of the person ``contract.contract_id``; ``final``: it was finished, as the last one is.

        Raises:
            ServiceError: REVISION_MOVED: another revision is there, or another party acted, meanwhile.
                CONTRACT_STATE, CONTRACT_NOT_YOUR_TURN. Nothing was written then.
        """
        core = self.core
        event = Event.COMPLETE if final else Event.SIGN
        MACHINE.after(State(contract.state), event)
        if party.turn_us is None:
            raise ServiceError(Reason.CONTRACT_NOT_YOUR_TURN, "It is not this party's turn to sign.")
        if contract.revision_sha256 != before_sha256 or self.is_last(connection, contract, party) != final:
            raise ServiceError(Reason.REVISION_MOVED, "Somebody else signed meanwhile.")
        self._check_revision(connection, contract, party, revision, field_names=field_names)
        now_us, ref = core.now_us, core.objects.keep(connection, revision)
        core.move_party(
            connection,
            party,
            Event.SIGN,
            acted_us=now_us,
            acted_by=account_id,
            turn_us=None,
            link_digest=None,
        )
        rows.set_widget_state(
            connection, contract.contract_id, pb.CONTRACT_MARK_STATE_FILLED, field_names=field_names
        )
        number = contract.revision_no + 1
        add_revision(
            connection, contract, number, ref.object_id, ref.sha256, at_us=now_us, party_id=party.party_id
        )
        moved = core.move(
            connection,
            contract,
            Event.SIGN,
            party_id=party.party_id,
            at_us=now_us,
            revision_id=ref.object_id,
            revision_sha256=ref.sha256,
            revision_no=number,
            stamp_waits_us=None,
        )
        if not final:
            begin_turns(core, connection, moved)
            return moved
        return self._complete(connection, moved, account_id)

    def _check_revision(
        self,
        connection: Connection,
        contract: ContractRow,
        party: PartyRow,
        revision: Staged,
        *,
        field_names: Collection[str],
    ) -> None:
        """What no caller may get wrong."""
        if revision.person_id != contract.contract_id:
            raise ValueError("a revision belongs to its contract")
        marks = {one.field_name for one in self.marks(connection, contract, party)}
        if marks != set(field_names):
            raise ValueError("a party fills all of its marks, and no others")

    def _complete(self, connection: Connection, row: ContractRow, account_id: str) -> ContractRow:
        now_us = self.core.now_us
        end_turns(self.core, connection, row, None)
        row = self.core.move(
            connection,
            row,
            Event.COMPLETE,
            at_us=now_us,
            completed_us=now_us,
            ended_us=now_us,
            retention_until_us=now_us + KEEP_CONCLUDED_US,
        )
        tell_all(self.core, connection, row, COMPLETED, besides=account_id)
        return row

    def _open(self, connection: Connection, contract: ContractRow, object_id: str | None) -> bytes:
        if object_id is None:
            raise _not_sent(contract)
        return self.core.objects.open(connection, object_id)


def require_open(core: Core, row: ContractRow) -> None:
    """Check that parties may act on a contract now.

    Raises:
        ServiceError: CONTRACT_EXPIRED, CONTRACT_STATE.
    """
    if row.state == State.EXPIRED:
        raise _expired()
    MACHINE.after(State(row.state), Event.READ)
    if row.deadline_us is not None and row.deadline_us <= core.now_us and row.stamp_waits_us is None:
        raise _expired()


def add_revision(
    connection: Connection,
    row: ContractRow,
    number: int,
    object_id: str,
    sha256: bytes,
    *,
    at_us: int,
    party_id: str | None,
) -> None:
    """Append a revision; each number is there once."""
    rows.add_revision(
        connection,
        rows.RevisionRow(
            f"{row.contract_id}/{number}", row.contract_id, number, object_id, sha256, party_id, at_us
        ),
    )


def _expired() -> ServiceError:
    return ServiceError(Reason.CONTRACT_EXPIRED, "The deadline of this contract has passed.")


def _not_sent(row: ContractRow) -> ServiceError:
    return ServiceError(
        Reason.CONTRACT_STATE, "This contract was not sent.", {"state": State(row.state).name}
    )
