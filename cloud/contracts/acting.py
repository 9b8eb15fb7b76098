"""Who acts for organisations, as the rooms of organisations and of seals know it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.organisations.desk import OrganisationIdentity
from cloud.seals.desk import Seals
from cloud.store import contract_lists as lists


@dataclass(frozen=True, slots=True)
class Acting:
    """Any thread may use it."""

    seals: Seals

    def require_verified(self, connection: Connection, organisation_id: str) -> object:
        """Raises ServiceError ORGANISATION_NOT_FOUND, ORG_REAL_NAME_REQUIRED."""
        return self.seals.organisations.require_verified(connection, organisation_id)

    def may_act(self, connection: Connection, organisation_id: str, account_id: str) -> bool:
        """Whether somebody administers an organisation, or holds a grant that counts now."""
        return self.seals.may_act(connection, organisation_id, account_id)

    def acting_for(self, connection: Connection, account_id: str) -> list[str]:
        """The organisations that :meth:`may_act` is true for."""
        administered = self.seals.organisations.administered_by(connection, account_id)
        granted = [
            one
            for one in lists.granted_by(connection, account_id)
            if self.seals.may_act(connection, one, account_id)
        ]
        return sorted({*administered, *granted})

    def identity(self, connection: Connection, organisation_id: str) -> OrganisationIdentity:
        """Its verified name.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORG_REAL_NAME_REQUIRED.
        """
        return self.seals.organisations.identity(connection, organisation_id)
