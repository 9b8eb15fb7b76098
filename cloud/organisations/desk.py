"""Organisations for those who build on them: who they are, who administers them, whether they may act."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.organisations.states import State
from cloud.organisations.vault import OrganisationVault, Profile
from cloud.persons import Persons
from cloud.store import organisations as rows
from cloud.store.organisations import OrganisationRow


@dataclass(frozen=True, slots=True)
class OrganisationIdentity:
    """Who a verified organisation is. ``uscc``: of older ones that have none, the organisation code."""

    name: str
    uscc: str


class Organisations:
    """Reads, in the caller's transaction. Any thread may use it."""

    def __init__(self, persons: Persons) -> None:
        self.vault = OrganisationVault(persons)

    def find(self, connection: Connection, organisation_id: str, *, lock: bool = False) -> OrganisationRow:
        """One organisation, in whatever state.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND.
        """
        row = rows.get_organisation(connection, organisation_id, lock=lock)
        if row is None:
            raise not_found()
        return row

    def require_admin(
        self, connection: Connection, organisation_id: str, account_id: str, *, lock: bool = False
    ) -> OrganisationRow:
        """An organisation, for who administers it.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, also for everybody else.
        """
        row = rows.get_organisation(connection, organisation_id, lock=lock)  # it may change hands meanwhile
        if row is None or row.account_id != account_id:
            raise not_found()
        return row

    def require_verified(
        self, connection: Connection, organisation_id: str, *, lock: bool = False
    ) -> OrganisationRow:
        """An organisation that may act; ``lock``: it stays so until the transaction ends.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORG_REAL_NAME_REQUIRED.
        """
        row = self.find(connection, organisation_id, lock=lock)
        check_verified(row)
        return row

    def require_known(self, connection: Connection, organisation_id: str) -> OrganisationRow:
        """An organisation that may act, or might once: what it has can be looked at.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORG_REAL_NAME_REQUIRED.
        """
        row = self.find(connection, organisation_id)
        if row.state != State.STALE:
            check_verified(row)
        return row

    def is_verified(self, connection: Connection, organisation_id: str) -> bool:
        """Whether an organisation may act."""
        row = rows.get_organisation(connection, organisation_id)
        return row is not None and row.state == State.VERIFIED

    def is_admin(
        self, connection: Connection, organisation_id: str, account_id: str, *, lock: bool = False
    ) -> bool:
        """Whether an account administers an organisation, in whatever state that is; ``lock``: as above."""
        row = rows.get_organisation(connection, organisation_id, lock=lock)
        return row is not None and row.account_id == account_id

    def administered_by(self, connection: Connection, account_id: str) -> list[str]:
        """The ids of the organisations that an account administers."""
        return rows.ids_of(connection, account_id)

    def identity(self, connection: Connection, organisation_id: str) -> OrganisationIdentity:
        """Who a verified organisation is, for its certificates and for those who deal with it.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND: also one that was erased; ORG_REAL_NAME_REQUIRED.
        """
        profile = self.profile(connection, self.require_verified(connection, organisation_id))
        if not profile.name:
            raise not_found()
        return OrganisationIdentity(profile.name, profile.uscc or profile.organisation_code)

    def profile(self, connection: Connection, row: OrganisationRow) -> Profile:
        """What an organisation handed in."""
        return self.vault.profile(connection, row)


def check_verified(row: OrganisationRow) -> None:
    """Check that an organisation may act.

    Raises:
        ServiceError: ORG_REAL_NAME_REQUIRED.
    """
    if row.state != State.VERIFIED:
        raise ServiceError(
            Reason.ORG_REAL_NAME_REQUIRED,
            "The organisation has to be verified first.",
            {"state": State(row.state).name, "organisation_id": row.organisation_id},
        )


def not_found() -> ServiceError:
    """There is none, or it is nobody's business who asks."""
    return ServiceError(Reason.ORGANISATION_NOT_FOUND, "This account has no such organisation.")
