"""Who may use a seal: given by the administrator of its organisation to persons who are verified.

A grant counts from its first instant on, and from its last one on no more; nothing is stored when it ends.
The account is locked first, then the seal's row, then the grant's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.templates.organisations import SEAL_GRANTED
from cloud.organisations.handler import tell_account
from cloud.seals.desk import not_found
from cloud.seals.states import GRANTS, GrantEvent, GrantState, Scope, State
from cloud.seals.workshop import Workshop
from cloud.sources import to_us
from cloud.store import seals as rows
from cloud.store.seals import GrantRow, SealRow
from verifield.v1 import seal_service_pb2 as pb

MAX_GRANTS = 200
"""Of one seal, that count."""

MAX_PERIOD = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Grants:
    """In the caller's transaction; any thread may use it."""

    workshop: Workshop
    messages: Messages

    def give(
        self,
        connection: Connection,
        seal_id: str,
        *,
        caller: str,
        account_id: str,
        scopes: Collection[Scope],
        valid_from: Timestamp | None,
        valid_until: Timestamp,
        max_uses: int,
    ) -> GrantRow:
        """Let somebody use a seal; ``max_uses`` 0: as often as needed.

        Raises:
            ServiceError: SEAL_NOT_FOUND, ORG_REAL_NAME_REQUIRED, SEAL_REVOKED, SEAL_GRANT_PERIOD,
                SEAL_GRANTS_TOO_MANY, IDENTITY_REQUIRED of either, or why the person's account cannot be used.
        """
        registry = self.workshop.registry
        self.workshop.own(connection, seal_id, caller)
        registry.verifications.require_verified(connection, caller)
        registry.accounts.require_active(connection, account_id, lock=True)
        row = self.workshop.own(connection, seal_id, caller, lock=True)
        registry.organisations.require_verified(connection, row.organisation_id)
        if row.state == State.REVOKED:
            raise ServiceError(Reason.SEAL_REVOKED, "The seal was revoked.")
        registry.verifications.require_verified(connection, account_id)
        now_us = to_us(registry.sources.now())
        start_us = valid_from.ToMicroseconds() if valid_from else now_us
        end_us = valid_until.ToMicroseconds()
        longest_us = int(MAX_PERIOD.total_seconds()) * 1_000_000
        if not max(start_us, now_us) < end_us <= max(start_us, now_us) + longest_us:
            raise ServiceError(Reason.SEAL_GRANT_PERIOD, "This is no period in which a grant can count.")
        _check_room(connection, seal_id, now_us=now_us)
        grant = GrantRow(
            grant_id=registry.sources.uuid7(),
            seal_id=seal_id,
            organisation_id=row.organisation_id,
            account_id=account_id,
            state=GrantState.ACTIVE,
            scopes=sum(scope.bit for scope in set(scopes)),
            valid_from_us=start_us,
            valid_until_us=end_us,
            max_uses=max_uses,
            uses=0,
            granted_by=caller,
            created_us=now_us,
            ended_us=None,
            version=1,
        )
        rows.add_grant(connection, grant)
        if account_id != caller:
            self._tell(connection, account_id)
        return grant

    def revoke(self, connection: Connection, grant_id: str, *, caller: str) -> GrantRow:
        """End a grant: the next use is refused. A use that is being written comes before, or not at all.

        Raises:
            ServiceError: SEAL_GRANT_NOT_FOUND, also for everybody but the administrator; SEAL_GRANT_STATE.
        """
        seen = rows.get_grant(connection, grant_id)
        organisations = self.workshop.registry.organisations
        if seen is None or not organisations.is_admin(connection, seen.organisation_id, caller):
            raise ServiceError(Reason.SEAL_GRANT_NOT_FOUND, "This account has given no such grant.")
        return self._end(connection, rows.get_grant(connection, grant_id, lock=True) or seen)

    def end_all(self, connection: Connection, account_id: str) -> None:
        """What the holder of an account that has ended may use: nothing any more."""
        for grant in rows.lock_grants_of(connection, account_id, state=GrantState.ACTIVE):
            self._end(connection, grant)

    def visible(self, connection: Connection, seal_id: str, caller: str) -> tuple[SealRow, bool]:
        """A seal, for the administrator, and for who holds a grant of it; whether it is the administrator.

        Raises:
            ServiceError: SEAL_NOT_FOUND, also for everybody else.
        """
        row = self.workshop.find(connection, seal_id)
        if self.workshop.registry.organisations.is_admin(connection, row.organisation_id, caller):
            return row, True
        now_us = to_us(self.workshop.registry.sources.now())
        held = rows.grants_between(connection, seal_id, caller)
        if not any(one.state == GrantState.ACTIVE and now_us < one.valid_until_us for one in held):
            raise not_found()
        return row, False

    def describe(self, row: GrantRow) -> pb.SealGrant:
        """As the contract shows it."""
        now_us = to_us(self.workshop.registry.sources.now())
        over = row.valid_until_us <= now_us or (row.max_uses and row.uses >= row.max_uses)
        state = GrantState.EXPIRED if row.state == GrantState.ACTIVE and over else GrantState(row.state)
        shown = pb.SealGrant(
            grant_id=row.grant_id,
            seal_id=row.seal_id,
            organisation_id=row.organisation_id,
            account_id=row.account_id,
            state=pb.SealGrantState.ValueType(int(state)),
            scopes=[pb.SealScope.ValueType(scope) for scope in Scope if row.scopes & scope.bit],
            max_uses=row.max_uses,
            uses=row.uses,
        )
        shown.valid_from.FromMicroseconds(row.valid_from_us)
        shown.valid_until.FromMicroseconds(row.valid_until_us)
        shown.create_time.FromMicroseconds(row.created_us)
        if row.ended_us is not None:
            shown.end_time.FromMicroseconds(row.ended_us)
        return shown

    def _tell(self, connection: Connection, account_id: str) -> None:
        tell_account(
            connection,
            account_id,
            SEAL_GRANTED,
            accounts=self.workshop.registry.accounts,
            messages=self.messages,
            by_others=True,
        )

    def _end(self, connection: Connection, grant: GrantRow) -> GrantRow:
        state = GRANTS.after(GrantState(grant.state), GrantEvent.REVOKE)
        now_us = to_us(self.workshop.registry.sources.now())
        new = replace(grant, state=int(state), ended_us=now_us, version=grant.version + 1)
        rows.change_grant(connection, new)
        return new


def _check_room(connection: Connection, seal_id: str, *, now_us: int) -> None:
    counting = rows.count_grants(connection, seal_id, state=GrantState.ACTIVE, now_us=now_us)
    if counting >= MAX_GRANTS:
        raise ServiceError(
            Reason.SEAL_GRANTS_TOO_MANY,
            f"A seal has at most {MAX_GRANTS} grants that count.",
            {"limit": str(MAX_GRANTS)},
        )
