"""What the information centre does about accounts when a window asks: two people, the ticket sees to that.

ACTIVATION_PHONE   the number of the earlier system is no longer the holder's: another one is bound
OLD_CARD           registered with the dates of an older card: the account ends, the holder registers anew
"""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.accounts.base import path_of
from cloud.accounts.desk import Accounts, taken
from cloud.accounts.states import MACHINE, Event, State
from cloud.api.rules import refuse_field
from cloud.audit import chain
from cloud.codes.phones import parse_phone
from cloud.codes.proofs import Proofs
from cloud.codes.values import Method
from cloud.elements import parse_elements, parse_id_number
from cloud.errors import ServiceError
from cloud.escalations.port import Ticket, TicketDecision, TicketHandler, TicketKind
from cloud.sources import Sources, to_us
from cloud.store import accounts as rows
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb
from verifield.v1.escalation_service_pb2 import TicketPayload


def handlers(accounts: Accounts, proofs: Proofs, sources: Sources) -> dict[TicketKind, TicketHandler]:
    """Both, by their kinds."""
    return {
        TicketKind.ACTIVATION_PHONE: ActivationPhone(accounts, proofs, sources),
        TicketKind.OLD_CARD: OldCard(accounts),
    }


class ActivationPhone:
    """Binds another number to an account that is to be activated."""

    def __init__(self, accounts: Accounts, proofs: Proofs, sources: Sources) -> None:
        self._accounts = accounts
        self._proofs = proofs
        self._sources = sources

    def check(self, connection: Connection, account_id: str, payload: TicketPayload) -> None:
        """Before a ticket is opened.

        Raises:
            ServiceError: PHONE_INVALID, ID_NUMBER_INVALID, ACCOUNT_PHONE_TAKEN; REQUEST_INVALID where the
                card is another person's; or why the account's state does not allow it.
        """
        self._open(connection, account_id, payload)

    def resolve(
        self, connection: Connection, ticket: Ticket, payload: TicketPayload, decision: TicketDecision
    ) -> ServiceError | None:
        """Bind the number; the audit chain names the proof that has it.

        Raises:
            ServiceError: as :meth:`check`.
        """
        if not decision.resolved:
            return None
        row, phone = self._open(connection, ticket.account_id, payload)
        self._accounts.rebind(connection, row.account_id, phone)
        proof = self._proofs.add(
            connection,
            row.account_id,
            phone,
            method=Method.MANUAL,
            evidence_id=ticket.ticket_id,
            requested_by=ticket.opened_by,
            confirmed_by=decision.decided_by,
        )
        chain.record(
            connection,
            action="accounts.rebind_phone",
            subject=path_of(row.account_id),
            caller=decision.decided_by,
            request_id=CALL.get().request_id,
            now_us=to_us(self._sources.now()),
            facts={
                "proof": proof.proof_id,
                "step": "confirmed",
                "proposed_by": ticket.opened_by,
                "ticket": ticket.ticket_id,
            },
        )
        return None

    def _open(
        self, connection: Connection, account_id: str, payload: TicketPayload
    ) -> tuple[AccountRow, str]:
        row = self._accounts.find(connection, account_id, lock=True)
        if row.state != State.SYNCED_INACTIVE:
            MACHINE.after(State(row.state), Event.ACTIVATE)  # raises
        asked = payload.activation_phone
        path = "payload.activation_phone"
        _check_person(self._accounts, connection, row, asked.id_number, path=f"{path}.id_number")
        phone = parse_phone(asked.phone)
        holder = rows.find_identifier(connection, self._accounts.vault.identifier_keys(phone))
        if holder is not None and holder.account_id != account_id:
            raise taken(pb.IDENTIFIER_KIND_PHONE)
        return row, phone


class OldCard:
    """Ends an account, so that its holder can register with the dates of the new card."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def check(self, connection: Connection, account_id: str, payload: TicketPayload) -> None:
        """Before a ticket is opened.

        Raises:
            ServiceError: NAME_INVALID and the like; REQUEST_INVALID where the card is another person's, or
                has the dates that the account has; or why the account's state does not allow it.
        """
        row = self._accounts.find(connection, account_id, lock=True)
        MACHINE.after(State(row.state), Event.DEREGISTER)
        path = "payload.old_card.elements"
        shown = parse_elements(payload.old_card.elements, path=path)
        _check_person(self._accounts, connection, row, shown.id_number, path=f"{path}.id_number")
        if shown.validity == self._accounts.vault.open(connection, row).validity:
            refuse_field(f"{path}.validity", rule="ticket.same_card", why="is what the account has already")

    def resolve(
        self, connection: Connection, ticket: Ticket, payload: TicketPayload, decision: TicketDecision
    ) -> ServiceError | None:
        """End the account.

        Raises:
            ServiceError: as :meth:`check`.
        """
        if decision.resolved:
            self.check(connection, ticket.account_id, payload)
            self._accounts.deregister(connection, ticket.account_id, pb.DEREGISTRATION_REASON_OLD_CARD_DATES)
        return None


def _check_person(
    accounts: Accounts, connection: Connection, row: AccountRow, id_number: str, *, path: str
) -> None:
    if parse_id_number(id_number, path=path) != accounts.vault.open(connection, row).id_number:
        refuse_field(path, rule="ticket.person", why="is not that of the account's holder")
