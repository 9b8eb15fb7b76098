"""Who may act for whom: offered by the one, accepted by the other, ended by either.

1  nobody acts for oneself by a delegation, and both accounts are active
2  it names its kinds of business, and a time that ends within two years, from now and from its beginning
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
"""That one account has given, and that are not over, or were given within the last day."""

_DAY_US = timedelta(days=1) // timedelta(microseconds=1)
_LIVES = (DelegationState.OFFERED, DelegationState.ACTIVE)


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
        if principal == agent:  # rule 1
            refuse_field("agent_account_id", rule="delegation.self", why="is the account itself")
        for code in service_codes:
            find_service(code)
        for account_id in sorted((principal, agent)):  # in the order of cloud.business.guard
            self.accounts.require_active(connection, account_id, lock=True)
        now_us = to_us(self.sources.now())
        _check_time(valid_from.ToMicroseconds(), valid_until.ToMicroseconds(), now_us)  # rule 2
        given = rows.count_delegations(
            connection, principal, states=_LIVES, now_us=now_us, since_us=now_us - _DAY_US
        )
        if given >= MAX_DELEGATIONS:
            raise ServiceError(
                Reason.DELEGATION_TOO_MANY,
                f"An account gives at most {MAX_DELEGATIONS} delegations at a time, and in a day.",
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
        return self._revoke(connection, row)

    def end_all(self, connection: Connection, account_id: str) -> None:
        """Revoke all that an account gave or was given, because the account has ended."""
        for row in rows.lock_delegations(connection, account_id, states=_LIVES):
            if DELEGATIONS.allows(self.state_of(row), DelegationEvent.REVOKE):  # else its time is over
                self._revoke(connection, row)

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
        if state in _LIVES and to_us(self.sources.now()) >= row.valid_until_us:
            return DelegationState.EXPIRED
        return state

    def _revoke(self, connection: Connection, row: DelegationRow) -> DelegationRow:
        new = replace(self._after(row, DelegationEvent.REVOKE), ended_us=to_us(self.sources.now()))
        rows.change_delegation(connection, new)
        return new

    def _after(self, row: DelegationRow, event: DelegationEvent) -> DelegationRow:
        return replace(row, state=int(DELEGATIONS.after(self.state_of(row), event)), version=row.version + 1)

    def _locked(self, connection: Connection, delegation_id: str) -> DelegationRow:
        row = rows.get_delegation(connection, delegation_id, lock=True)
        if row is None:
            raise _not_found()
        return row


def _check_time(from_us: int, until_us: int, now_us: int) -> None:
    if until_us <= now_us:
        refuse_field("valid_until", rule="delegation.past", why="is over")
    if until_us - min(from_us, now_us) > LONGEST // timedelta(microseconds=1):
        refuse_field("valid_until", rule="delegation.longest", why="is more than two years later")


def _not_found() -> ServiceError:
    return ServiceError(Reason.DELEGATION_NOT_FOUND, "This account has no such delegation.")
