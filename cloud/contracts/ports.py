"""What contracts ask of other rooms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from cloud.pdf.fields import Place


class Standing(Protocol):
    """How far the identity of an account is verified, as cloud.verifications tells."""

    @property
    def verified(self) -> bool: ...


class Identities(Protocol):
    """Who knows whether an account's holder was verified."""

    def standing(self, connection: Connection, account_id: str) -> Standing: ...


class OrganisationIdentity(Protocol):
    """An organisation as it was verified."""

    @property
    def name(self) -> str: ...


class Organisations(Protocol):
    """Who acts for an organisation, and what it is called."""

    def require_verified(self, connection: Connection, organisation_id: str) -> object:
        """Raises ServiceError ORG_REAL_NAME_REQUIRED, or that there is none."""
        ...

    def may_act(self, connection: Connection, organisation_id: str, account_id: str) -> bool:
        """Whether a person manages an organisation, or has a grant for one of its seals that counts now."""
        ...

    def acting_for(self, connection: Connection, account_id: str) -> Sequence[str]:
        """The organisations that :meth:`may_act` is true for."""
        ...

    def identity(self, connection: Connection, organisation_id: str) -> OrganisationIdentity:
        """Its verified name."""
        ...


class Freezer(Protocol):
    """Makes the document that is sent. Called outside of transactions, in any thread."""

    def freeze(self, content: bytes, places: Sequence[Place]) -> bytes:
        """All fields made, certified by the platform and time-stamped.

        Raises:
            ServiceError: TIMESTAMP_UNAVAILABLE, CONTRACT_PDF_REFUSED.
        """
        ...
