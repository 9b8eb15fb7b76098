"""Who may have business handled, for whom, and how often.

1  who acts for somebody else has a delegation that counts now, for this kind of business
2  the applicant's account is active
3  the identity of the applicant, and of who acts, was verified and is not stale
4  the applicant allows business to be handled, and now is within the time for it

Rule 1 is first: without a delegation nobody learns how another account stands. What let a request in is kept
with it as a snapshot, whatever changes later.

What a rule looks at is locked first, so that nothing of it ends before the row is there that it let in.
Rows are locked in one order everywhere: accounts by their ids, delegations by theirs, requests, and what the
review engine locks behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.filing import judge_filing
from cloud.business.states import DelegationState
from cloud.errors import Reason, ServiceError
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import accounts as account_rows
from cloud.store import business as rows
from cloud.store.business import BusinessRow, DelegationRow
from cloud.verifications.desk import Verifications
from verifield.v1 import business_service_pb2 as pb
from verifield.v1 import identity_service_pb2 as identity_pb


@dataclass(frozen=True, slots=True)
class Guard:
    """Reads, and locks what it has read for whoever writes next."""

    accounts: Accounts
    verifications: Verifications
    sources: Sources

    def admit(
        self, connection: Connection, *, principal: str, agent: str | None, service_code: str
    ) -> tuple[pb.PermissionSnapshot, str | None]:
        """Let a request in; return why, and the delegation under which the agent acts.

        Raises:
            ServiceError: DELEGATION_MISSING, IDENTITY_REQUIRED, FILING_NOT_ALLOWED, or why the account
                cannot be used.
        """
        if agent:  # before anything is locked: nobody holds up an account that is not theirs
            self.find_delegation(connection, principal, agent, service_code)
        return self._admit(connection, principal, agent, service_code)

    def admit_again(
        self, connection: Connection, row: BusinessRow, *, account_id: str
    ) -> pb.PermissionSnapshot:
        """As :meth:`admit`, when a request that was let in is handed in by one of its two sides."""
        agent = account_id if account_id != row.account_id else None
        return self._admit(connection, row.account_id, agent, row.service_code)[0]

    def hold_accounts(self, connection: Connection, *account_ids: str) -> None:
        """Lock accounts, and with them their permissions and verifications, until the transaction ends."""
        for account_id in sorted(set(account_ids)):
            account_rows.get_account(connection, account_id, lock=True)

    def check_side(
        self, connection: Connection, row: BusinessRow | None, account_id: str, *, hold: bool = False
    ) -> BusinessRow:
        """The request, for its applicant, or for its agent as long as a delegation for it counts.

        ``hold``: nobody ends that delegation until the transaction ends.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, also for everybody else; DELEGATION_MISSING.
        """
        if row is None or account_id not in (row.account_id, row.agent_account_id):
            raise not_found()
        if account_id != row.account_id:
            self.find_delegation(connection, row.account_id, account_id, row.service_code, hold=hold)
        return row

    def acting(self, connection: Connection, row: BusinessRow) -> list[str]:
        """Who began a request for its applicant, where that one may still act; else nobody."""
        if row.agent_account_id is None:
            return []
        try:
            self.check_side(connection, row, row.agent_account_id)
        except ServiceError:
            return []
        return [row.agent_account_id]

    def find_delegation(
        self, connection: Connection, principal: str, agent: str, service_code: str, *, hold: bool = False
    ) -> DelegationRow:
        """A delegation under which ``agent`` may act now; ``hold`` as for :meth:`check_side`.

        Raises:
            ServiceError: DELEGATION_MISSING.
        """
        active = DelegationState.ACTIVE
        found = rows.list_between(connection, principal, agent, state=active, lock=hold)
        now_us = to_us(self.sources.now())
        for delegation in found:
            if _counts(delegation, service_code, now_us):
                return delegation
        raise _no_delegation()

    def charge(self, connection: Connection, account_id: str) -> None:
        """Count one more request that an account begins; others that it begins wait.

        Raises:
            ServiceError: BUSINESS_TOO_OFTEN.
        """
        self.accounts.require_active(connection, account_id, lock=True)
        now_us = to_us(self.sources.now())
        limit = find(connection, RuleKind.APPLICATION_LIMITS, now_us).rules.business_requests
        within_us = limit.within.ToMicroseconds()
        begun = rows.newest_begun(connection, account_id, since_us=now_us - within_us, limit=limit.count)
        if len(begun) >= limit.count:
            free_us = begun[0] + within_us
            raise ServiceError(
                Reason.BUSINESS_TOO_OFTEN,
                "This account has begun many requests lately.",
                {"limit": str(limit.count)},
                retry_s=max(1.0, (free_us - now_us) / 1_000_000),
            )

    def _admit(
        self, connection: Connection, principal: str, agent: str | None, service_code: str
    ) -> tuple[pb.PermissionSnapshot, str | None]:
        self.hold_accounts(connection, principal, *filter(None, (agent,)))
        delegation = (  # rule 1
            self.find_delegation(connection, principal, agent, service_code, hold=True) if agent else None
        )
        delegation_id = delegation.delegation_id if delegation else None
        now_us = to_us(self.sources.now())  # one instant, at which nothing of it ends any more
        if delegation and not _counts(delegation, service_code, now_us):
            raise _no_delegation()
        account = self.accounts.require_active(connection, principal)  # rule 2
        identity = self.verifications.require_verified(connection, principal)  # rule 3
        if agent:
            self.verifications.require_verified(connection, agent)
        filing = judge_filing(account, now_us)  # rule 4
        if not filing.is_allowed:
            raise ServiceError(
                Reason.FILING_NOT_ALLOWED,
                "The applicant does not allow business to be handled now.",
                {"allowed": str(filing.allowed).lower()},
            )
        snapshot = pb.PermissionSnapshot(
            allowed=True,
            verification_id=identity.verification_id,
            method=identity_pb.VerificationMethod.Name(
                identity_pb.VerificationMethod.ValueType(identity.method)
            ).removeprefix("VERIFICATION_METHOD_"),
            delegation_id=delegation_id or "",
        )
        snapshot.check_time.FromMicroseconds(now_us)
        for field, moment in (("valid_from", filing.from_us), ("valid_until", filing.until_us)):
            if moment is not None:
                getattr(snapshot, field).FromMicroseconds(moment)
        return snapshot, delegation_id


def _counts(delegation: DelegationRow, service_code: str, now_us: int) -> bool:
    return (
        delegation.state == DelegationState.ACTIVE
        and delegation.valid_from_us <= now_us < delegation.valid_until_us
        and service_code in delegation.service_codes.split()
    )


def not_found() -> ServiceError:
    """There is none, or it is nobody's business who asks."""
    return ServiceError(Reason.BUSINESS_NOT_FOUND, "This account has no such request.")


def _no_delegation() -> ServiceError:
    return ServiceError(
        Reason.DELEGATION_MISSING, "No delegation for this kind of business counts between the two accounts."
    )
