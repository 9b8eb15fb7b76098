"""An organisation's administration goes to another account: offered by the one, taken over by the other.

What was verified was the organisation with its administrator, so it is verified no more: whoever took over
hands in anew, with a letter that names the new administrator. Where the old account ended without an offer,
the organisation is registered anew (rule 3 of cloud.organisations.registry does not stand against it).

The account is locked first, then the organisation's row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.messages.outbox import Messages
from cloud.messages.templates.organisations import OFFERED
from cloud.organisations.desk import not_found
from cloud.organisations.handler import tell_account
from cloud.organisations.registry import Registry, check_limit
from cloud.organisations.states import Event
from cloud.store import organisations as rows
from cloud.store.organisations import OrganisationRow
from verifield.v1 import organisation_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Handover:
    """In the caller's transaction; any thread may use it."""

    registry: Registry
    messages: Messages

    def offer(
        self, connection: Connection, organisation_id: str, *, caller: str, account_id: str
    ) -> OrganisationRow:
        """Let another account take over; an empty id: nobody any more.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, IDENTITY_REQUIRED of either, REQUEST_INVALID, or why the
                other account cannot be used.
        """
        registry = self.registry
        row = registry.organisations.require_admin(connection, organisation_id, caller, lock=True)
        if account_id:
            if account_id == caller:
                refuse_field("account_id", rule="organisation.other_account", why="is another account")
            registry.verifications.require_verified(connection, caller)
            registry.accounts.require_active(connection, account_id)
            registry.verifications.require_verified(connection, account_id)
            tell_account(
                connection,
                account_id,
                OFFERED,
                accounts=registry.accounts,
                messages=self.messages,
                by_others=True,
            )
        return registry.write(connection, replace(row, offered_to=account_id or None))

    def take_over(self, connection: Connection, organisation_id: str, *, caller: str) -> OrganisationRow:
        """Administer it from now on.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND: it is not offered to the caller; ORGANISATION_STATE: it is
                being reviewed; ORGANISATION_LIMIT, IDENTITY_REQUIRED, or why the account cannot be used.
        """
        registry = self.registry
        registry.accounts.require_active(connection, caller, lock=True)
        row = rows.get_organisation(connection, organisation_id, lock=True)
        if row is None or row.offered_to != caller:
            raise not_found()
        registry.verifications.require_verified(connection, caller)
        check_limit(connection, caller)
        new = replace(row, account_id=caller, offered_to=None, is_representative=False)
        told = pb.ORGANISATION_EVENT_HANDED_OVER
        new = registry.advance(connection, new, Event.HAND_OVER, told, caller=caller)
        rows.rename_documents(  # it names the one before
            connection,
            organisation_id,
            pb.ORGANISATION_DOCUMENT_KIND_AUTHORISATION_LETTER,
            pb.ORGANISATION_DOCUMENT_KIND_OTHER,
        )
        return new
