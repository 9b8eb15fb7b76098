"""Who may act for whom: offered by the one, accepted by the other, ended by either.

1  nobody acts for oneself by a delegation, and both accounts are active
2  it names its kinds of business, and a time of at most two years
3  it counts once the agent has accepted, within its time, until either side ends it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.api.rules import refuse_field
from cloud.business.catalogue import find_service
from cloud.business.states import DELEGATIONS, DelegationEvent, DelegationState
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import business as rows
from cloud.store.business import DelegationRow
from verifield.v1 import business_service_pb2 as pb

LONGEST = timedelta(days=731)
"""Two years: who has somebody act for longer says so again."""

MAX_DELEGATIONS = 100
"""That one account has given, and that are not over."""


@dataclass(frozen=True, slots=True)
class DelegationDesk:
    """Each change is made within the transaction that it is given."""

    accounts: Accounts
    sources: Sources

    def offer(
        self,
        connection: Connection,
        *,
        principal: str,
        agent: str,
        service_codes: list[str],
        valid_from: Timestamp,
        valid_until: Timestamp,
    ) -> DelegationRow:
        """Offer a delegation.

        Raises:
            ServiceError: REQUEST_INVALID, SERVICE_UNKNOWN, DELEGATION_TOO_MANY, or why an account cannot be
                used.
        """
        now_us = to_us(self.sources.now())
        if principal == agent:  # rule 1
            refuse_field("agent_account_id", rule="delegation.self", why="is the account itself")
        if valid_until.ToMicroseconds() <= now_us:  # rule 2
            refuse_field("valid_until", rule="delegation.past", why="is over")
        if valid_until.ToMicroseconds() - valid_from.ToMicroseconds() > LONGEST // timedelta(microseconds=1):
            refuse_field("valid_until", rule="delegation.longest", why="is more than two years later")
        for code in service_codes:
            find_service(code)
        self.accounts.require_active(connection, principal, lock=True)
        self.accounts.require_active(connection, agent)
        counted = (DelegationState.OFFERED, DelegationState.ACTIVE)
        if rows.count_delegations(connection, principal, states=counted, now_us=now_us) >= MAX_DELEGATIONS:
            raise ServiceError(
                Reason.DELEGATION_TOO_MANY,
                f"An account gives at most {MAX_DELEGATIONS} delegations at a time.",
                {"limit": str(MAX_DELEGATIONS)},
            )
        row = DelegationRow(
            delegation_id=self.sources.uuid7(),
            account_id=principal,
            agent_account_id=agent,
            state=DelegationState.OFFERED,
            service_codes=" ".join(service_codes),
            valid_from_us=valid_from.ToMicroseconds(),
            valid_until_us=valid_until.ToMicroseconds(),
            created_us=now_us,
            answered_us=None,
            ended_us=None,
            version=1,
        )
        rows.add_delegation(connection, row)
        return row

    def answer(
        self, connection: Connection, delegation_id: str, *, caller: str, accept: bool
    ) -> DelegationRow:
        """Accept or decline what the caller was offered.

        Raises:
            ServiceError: DELEGATION_NOT_FOUND, DELEGATION_STATE.
        """
        row = self._locked(connection, delegation_id)
        if caller != row.agent_account_id:
            raise _not_found()
        event = DelegationEvent.ACCEPT if accept else DelegationEvent.DECLINE
        now_us = to_us(self.sources.now())
        new = replace(self._after(row, event), answered_us=now_us, ended_us=None if accept else now_us)
        rows.change_delegation(connection, new)
        return new

    def revoke(self, connection: Connection, delegation_id: str, *, caller: str) -> DelegationRow:
        """End a delegation, from now on; either side may.

        Raises:
            ServiceError: DELEGATION_NOT_FOUND, DELEGATION_STATE.
        """
        row = self._locked(connection, delegation_id)
        if caller not in (row.account_id, row.agent_account_id):
            raise _not_found()
        new = replace(self._after(row, DelegationEvent.REVOKE), ended_us=to_us(self.sources.now()))
        rows.change_delegation(connection, new)
        return new

    def describe(self, row: DelegationRow) -> pb.Delegation:
        """As the contract shows it, at this moment."""
        shown = pb.Delegation(
            delegation_id=row.delegation_id,
            account_id=row.account_id,
            agent_account_id=row.agent_account_id,
            state=pb.DelegationState.ValueType(self.state_of(row)),
            service_codes=row.service_codes.split(),
        )
        shown.valid_from.FromMicroseconds(row.valid_from_us)
        shown.valid_until.FromMicroseconds(row.valid_until_us)
        shown.create_time.FromMicroseconds(row.created_us)
        for field, moment in (("answer_time", row.answered_us), ("end_time", row.ended_us)):
            if moment is not None:
                getattr(shown, field).FromMicroseconds(moment)
        return shown

    def state_of(self, row: DelegationRow) -> DelegationState:
        """EXPIRED where its time is over and nobody ended it before."""
        state = DelegationState(row.state)
        lives = state in (DelegationState.OFFERED, DelegationState.ACTIVE)
        if lives and to_us(self.sources.now()) >= row.valid_until_us:
            return DelegationState.EXPIRED
        return state

    def _after(self, row: DelegationRow, event: DelegationEvent) -> DelegationRow:
        return replace(row, state=int(DELEGATIONS.after(self.state_of(row), event)), version=row.version + 1)

    def _locked(self, connection: Connection, delegation_id: str) -> DelegationRow:
        row = rows.get_delegation(connection, delegation_id, lock=True)
        if row is None:
            raise _not_found()
        return row


def _not_found() -> ServiceError:
    return ServiceError(Reason.DELEGATION_NOT_FOUND, "This account has no such delegation.")
