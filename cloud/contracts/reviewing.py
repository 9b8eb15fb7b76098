"""Approval of a contract within the organisation that sends it, before anybody else hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.contracts.core import Core, check_etag, others
from cloud.contracts.states import MACHINE, Event, State
from cloud.contracts.turns import tell_account
from cloud.contracts.vault import REVIEWS
from cloud.errors import Reason, ServiceError
from cloud.messages.templates.contracts import REVIEW, REVIEWED
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, ReviewRow
from verifield.v1 import contract_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Reviewing:
    """``account_id``: who asks."""

    core: Core

    def request(
        self, connection: Connection, account_id: str, contract_id: str, approvers: Sequence[str]
    ) -> ContractRow:
        """Ask people of the organisation; from now on the draft cannot be changed.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_REVIEWER_INVALID.
        """
        core = self.core
        row = core.own(connection, contract_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.REQUEST_REVIEW)
        organisation_id = row.sender_organisation_id
        for one in approvers:
            if (
                organisation_id is None
                or one in (row.sender_account_id, account_id)
                or not core.organisations.may_act(connection, organisation_id, one)
            ):
                raise ServiceError(
                    Reason.CONTRACT_REVIEWER_INVALID, "Somebody of them cannot approve this contract."
                )
        rows.put_reviews(
            connection,
            contract_id,
            [
                ReviewRow(core.sources.uuid7(), contract_id, one, pb.CONTRACT_REVIEW_STATE_OPEN, None, None)
                for one in approvers
            ],
        )
        for one in approvers:
            tell_account(core, connection, row, one, REVIEW)
        return core.move(connection, row, Event.REQUEST_REVIEW)

    def decide(
        self,
        connection: Connection,
        account_id: str,
        contract_id: str,
        *,
        approve: bool,
        reason: str,
        etag: str,
    ) -> ContractRow:
        """Approve what was looked at, or refuse it: then it is a draft again.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_REASON_REQUIRED, ETAG_MISMATCH.
        """
        core = self.core
        row = core.find(connection, contract_id, lock=True)
        mine = next(
            (one for one in rows.reviews_of(connection, contract_id) if one.account_id == account_id), None
        )
        organisation_id = row.sender_organisation_id
        if mine is None or organisation_id is None:
            raise others()
        if not core.organisations.may_act(connection, organisation_id, account_id):
            raise others()
        event = Event.REVIEW_APPROVE if approve else Event.REVIEW_REFUSE
        MACHINE.after(State(row.state), event)
        check_etag(row, etag)
        if mine.state != pb.CONTRACT_REVIEW_STATE_OPEN:
            raise ServiceError(Reason.CONTRACT_STATE, "You have decided already.", {"state": "DECIDED"})
        if not approve and not reason.strip():
            raise ServiceError(Reason.CONTRACT_REASON_REQUIRED, "A refusal needs a reason.")
        key = core.vault.key_of(connection, contract_id)
        rows.change_review(
            connection,
            replace(
                mine,
                state=pb.CONTRACT_REVIEW_STATE_APPROVED if approve else pb.CONTRACT_REVIEW_STATE_REFUSED,
                reason=core.vault.text(key, REVIEWS, "reason", mine.review_id, reason.strip()),
                decided_us=core.now_us,
            ),
        )
        moved = core.move(connection, row, event)
        # What the others look at has not changed: their tag of it still counts.
        if approve:
            moved = replace(moved, version=row.version)
            rows.change_contract(connection, moved)
        if not approve or is_approved(connection, contract_id):
            tell_account(core, connection, row, row.sender_account_id, REVIEWED)
        return moved

    def recall(self, connection: Connection, account_id: str, contract_id: str) -> ContractRow:
        """Make it a draft again; nothing is approved any more.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE.
        """
        row = self.core.own(connection, contract_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.REVIEW_RECALL)
        rows.put_reviews(connection, contract_id, [])
        return self.core.move(connection, row, Event.REVIEW_RECALL)


def is_approved(connection: Connection, contract_id: str) -> bool:
    """Whether all who were asked have approved."""
    found = rows.reviews_of(connection, contract_id)
    return bool(found) and all(one.state == pb.CONTRACT_REVIEW_STATE_APPROVED for one in found)


def check_approved(connection: Connection, row: ContractRow) -> None:
    """Raises ServiceError CONTRACT_REVIEW_REQUIRED where somebody has to approve before it is sent."""
    asked = row.review_required or row.state == State.INTERNAL_REVIEW
    if asked and not (row.state == State.INTERNAL_REVIEW and is_approved(connection, row.contract_id)):
        raise ServiceError(Reason.CONTRACT_REVIEW_REQUIRED, "It was not approved by all who were asked.")
