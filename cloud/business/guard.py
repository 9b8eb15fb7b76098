"""Who may have business handled, for whom, and how often.

1  who acts for somebody else has a delegation that counts now, for this kind of business
2  the applicant's account is active
3  the identity of the applicant, and of who acts, was verified and is not stale
4  the applicant allows business to be handled, and now is within the time for it

Rule 1 is first: without a delegation nobody learns how another account stands. What let a request in is kept
with it as a snapshot, whatever changes later.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.business.states import DelegationState
from cloud.errors import Reason, ServiceError
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import business as rows
from cloud.store.business import BusinessRow, DelegationRow
from cloud.verifications.desk import Verifications
from verifield.v1 import business_service_pb2 as pb
from verifield.v1 import identity_service_pb2 as identity_pb


@dataclass(frozen=True, slots=True)
class Guard:
    """Reads, and locks the account whose requests it counts."""

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
        delegation_id = self.find_delegation(connection, principal, agent, service_code) if agent else None
        return self._snapshot(connection, principal, agent, delegation_id), delegation_id

    def admit_again(
        self, connection: Connection, row: BusinessRow, *, account_id: str
    ) -> pb.PermissionSnapshot:
        """As :meth:`admit`, when a request that was let in is handed in by one of its two sides."""
        agent = account_id if account_id != row.account_id else None
        return self._snapshot(connection, row.account_id, agent, row.delegation_id if agent else None)

    def check_side(self, connection: Connection, row: BusinessRow | None, account_id: str) -> BusinessRow:
        """The request, for its applicant, or for its agent as long as the delegation counts.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, also for everybody else; DELEGATION_MISSING.
        """
        if row is None or account_id not in (row.account_id, row.agent_account_id):
            raise not_found()
        if account_id != row.account_id:
            delegation = rows.get_delegation(connection, row.delegation_id or "")
            if delegation is None or not self._counts(delegation, row.service_code):
                raise _no_delegation()
        return row

    def find_delegation(self, connection: Connection, principal: str, agent: str, service_code: str) -> str:
        """The id of a delegation under which ``agent`` may act now.

        Raises:
            ServiceError: DELEGATION_MISSING.
        """
        for delegation in rows.list_between(connection, principal, agent, state=DelegationState.ACTIVE):
            if self._counts(delegation, service_code):
                return delegation.delegation_id
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
        begun = rows.begun_since(connection, account_id, since_us=now_us - within_us)
        if len(begun) >= limit.count:
            free_us = begun[len(begun) - limit.count] + within_us
            raise ServiceError(
                Reason.BUSINESS_TOO_OFTEN,
                "This account has begun many requests lately.",
                {"limit": str(limit.count)},
                retry_s=max(1.0, (free_us - now_us) / 1_000_000),
            )

    def _counts(self, delegation: DelegationRow, service_code: str) -> bool:
        now_us = to_us(self.sources.now())
        return (
            delegation.state == DelegationState.ACTIVE
            and delegation.valid_from_us <= now_us < delegation.valid_until_us
            and service_code in delegation.service_codes.split()
        )

    def _snapshot(
        self, connection: Connection, principal: str, agent: str | None, delegation_id: str | None
    ) -> pb.PermissionSnapshot:
        self.accounts.require_active(connection, principal)  # rule 2
        identity = self.verifications.require_verified(connection, principal)  # rule 3
        if agent:
            self.verifications.require_verified(connection, agent)
        filing = self.accounts.filing(connection, principal)  # rule 4
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
        snapshot.check_time.FromMicroseconds(to_us(self.sources.now()))
        for field, moment in (("valid_from", filing.from_us), ("valid_until", filing.until_us)):
            if moment is not None:
                getattr(snapshot, field).FromMicroseconds(moment)
        return snapshot


def not_found() -> ServiceError:
    """There is none, or it is nobody's business who asks."""
    return ServiceError(Reason.BUSINESS_NOT_FOUND, "This account has no such request.")


def _no_delegation() -> ServiceError:
    return ServiceError(
        Reason.DELEGATION_MISSING, "No delegation for this kind of business counts between the two accounts."
    )
