"""Seals for those who sign with them: whether somebody may use one now, and the log of who did.

1  the organisation is verified                 ORG_REAL_NAME_REQUIRED
2  the seal has a version that signs, and is neither frozen nor revoked
                                                SEAL_NOT_APPROVED, SEAL_FROZEN, SEAL_REVOKED
3  the person holds a grant of it that counts: for this purpose, now, with uses left, not revoked
                                                SEAL_NOT_GRANTED
4  the person is still verified                 IDENTITY_REQUIRED

:meth:`Seals.check` looks at all of them before a document is signed, :meth:`Seals.use` once more within the
transaction of the signature, with the rows locked: organisation, seal, grants, in this order. Whoever revokes
a grant waits for a use that is being written, or is there first; there is nothing between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Objects
from cloud.organisations.desk import Organisations
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.seals.states import GRANTS, GrantEvent, GrantState, Scope, State
from cloud.signers.authority import Proven
from cloud.sources import Sources, to_us
from cloud.store import seals as rows
from cloud.store.seals import GrantRow, SealRow, UseRow, VersionRow
from cloud.verifications.desk import Verifications

__all__ = ["Scope", "SealProof", "Seals", "UsableSeal", "Used"]

MAX_FIELDS = 200
"""Marks of a seal in one act: more than a document has places."""


@dataclass(frozen=True, slots=True)
class UsableSeal:
    """A seal that somebody may use now. ``width_mm``, ``height_mm``: on paper."""

    seal_id: str
    version: int
    organisation_id: str
    image_png: bytes = field(repr=False)
    width_mm: float
    height_mm: float


@dataclass(frozen=True, slots=True)
class Used:
    """What was noted of a use: under which grant, and the ids of its lines in the log, as the fields came."""

    seal_id: str
    version: int
    organisation_id: str
    grant_id: str
    use_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _May:
    seal: SealRow
    version: VersionRow
    grant: GrantRow


class Seals:
    """In the caller's transaction; any thread may use it."""

    def __init__(
        self,
        organisations: Organisations,
        verifications: Verifications,
        objects: Objects,
        persons: Persons,
        sources: Sources,
    ) -> None:
        self.organisations = organisations
        self.verifications = verifications
        self._objects = objects
        self._persons = persons
        self._sources = sources

    def check(
        self,
        connection: Connection,
        *,
        seal_id: str,
        account_id: str,
        scope: Scope,
        document_sha256: bytes,
        marks: int = 1,
    ) -> UsableSeal:
        """Look whether an account may set so many marks of a seal under a document; nothing is locked.

        Raises:
            ServiceError: SEAL_NOT_FOUND, and those of the four rules.
        """
        _check_digest(document_sha256)
        may = self._may(connection, seal_id, account_id, scope, marks=marks, lock=False)
        image = self._objects.open(connection, may.version.object_id)
        return UsableSeal(
            seal_id,
            may.version.version,
            may.seal.organisation_id,
            image,
            may.version.width_dmm / 10,
            may.version.height_dmm / 10,
        )

    def use(
        self,
        connection: Connection,
        *,
        seal_id: str,
        account_id: str,
        scope: Scope,
        document_sha256: bytes,
        field_names: Sequence[str],
        place: str,
        subject: str,
        version: int | None = None,
    ) -> Used:
        """Check again with the rows locked, and append a line for each signature field that has the seal.

        ``place``: from where it is used, as ``CALL.get().source`` says. ``subject``: what is sealed, for
        example ``contracts/ID``. ``version``: the one whose picture was set, where that must still sign.

        Raises:
            ServiceError: as :meth:`check`; SEAL_STATE: another version signs by now.
        """
        _check_digest(document_sha256)
        if not field_names or len(set(field_names)) != len(field_names) or len(field_names) > MAX_FIELDS:
            raise ValueError("a use of a seal has its fields, each once")
        may = self._may(connection, seal_id, account_id, scope, marks=len(field_names), lock=True)
        if version is not None and version != may.version.version:
            raise ServiceError(Reason.SEAL_STATE, "Another version of the seal signs by now.")
        grant = may.grant
        GRANTS.after(GrantState(grant.state), GrantEvent.USE)
        rows.change_grant(
            connection, replace(grant, uses=grant.uses + len(field_names), version=grant.version + 1)
        )
        key, now_us = self._persons.key_of(connection, account_id), to_us(self._sources.now())
        use_ids = sorted(self._sources.uuid7() for _ in field_names)
        for use_id, name in zip(use_ids, field_names, strict=True):
            sealed = self._persons.seal_text(key, use_place(use_id), place)
            rows.add_use(
                connection,
                UseRow(
                    use_id=use_id,
                    seal_id=seal_id,
                    version=may.version.version,
                    organisation_id=may.seal.organisation_id,
                    grant_id=grant.grant_id,
                    account_id=account_id,
                    scope=int(scope),
                    subject=subject,
                    document_sha256=document_sha256,
                    field_name=name,
                    place=sealed,
                    time_us=now_us,
                ),
            )
        return Used(seal_id, may.version.version, may.seal.organisation_id, grant.grant_id, tuple(use_ids))

    def may_act(
        self, connection: Connection, organisation_id: str, account_id: str, *, scope: Scope | None = None
    ) -> bool:
        """Whether an account acts for an organisation: administers it, or holds a grant that counts now.

        ``scope``: what the grant has to be for; None: anything.
        """
        if self.organisations.is_admin(connection, organisation_id, account_id):
            return True
        return rows.holds_any(
            connection,
            organisation_id,
            account_id,
            state=GrantState.ACTIVE,
            now_us=to_us(self._sources.now()),
            scopes=scope.bit if scope else 0,
        )

    def proof(self, *, seal_id: str, scope: Scope) -> SealProof:
        """For SignerAuthority.issue: that somebody may sign with a seal, and for which organisation."""
        return SealProof(self, seal_id, scope)

    def proven(self, connection: Connection, *, seal_id: str, account_id: str, scope: Scope) -> Proven:
        """What a certificate says of who uses a seal.

        Raises:
            ServiceError: as :meth:`check`.
        """
        may = self._may(connection, seal_id, account_id, scope, marks=1, lock=False)
        name = self.accounts.elements(connection, account_id).name
        identity = self.organisations.identity(connection, may.seal.organisation_id)
        return Proven(name, identity.name, identity.uscc)

    @property
    def accounts(self) -> Accounts:
        return self.verifications.accounts

    def _may(
        self,
        connection: Connection,
        seal_id: str,
        account_id: str,
        scope: Scope,
        *,
        marks: int,
        lock: bool,
    ) -> _May:
        seal = rows.get_seal(connection, seal_id)
        if seal is None:
            raise not_found()
        self.organisations.require_verified(connection, seal.organisation_id, lock=lock)  # rule 1
        if lock:
            seal = rows.get_seal(connection, seal_id, lock=True) or seal
        version = self._version(connection, seal)  # rule 2
        found = rows.grants_between(connection, seal_id, account_id, lock=lock)  # rule 3
        now_us = to_us(self._sources.now())
        refusals = [why_not(grant, scope, now_us=now_us, marks=marks) for grant in found]
        grant = next((grant for grant, why in zip(found, refusals, strict=True) if not why), None)
        if grant is None:
            why = refusals[0] if refusals else "NONE"
            raise ServiceError(
                Reason.SEAL_NOT_GRANTED, "This account may not use the seal for this now.", {"why": why}
            )
        self.accounts.require_active(connection, account_id)  # rule 4
        self.verifications.require_verified(connection, account_id)
        return _May(seal, version, grant)

    def _version(self, connection: Connection, seal: SealRow) -> VersionRow:
        if seal.state == State.REVOKED:
            raise ServiceError(Reason.SEAL_REVOKED, "The seal was revoked.")
        if seal.state == State.FROZEN:
            raise ServiceError(Reason.SEAL_FROZEN, "The seal is frozen.")
        version = (
            rows.find_version(connection, seal.seal_id, seal.approved_version)
            if seal.approved_version is not None and seal.state == State.APPROVED
            else None
        )
        if version is None:
            raise ServiceError(
                Reason.SEAL_NOT_APPROVED, "The seal is not approved.", {"state": State(seal.state).name}
            )
        return version


@dataclass(frozen=True, slots=True)
class SealProof:
    """A Proof of cloud.signers.authority."""

    seals: Seals
    seal_id: str
    scope: Scope

    def proven(self, connection: Connection, account_id: str) -> Proven:
        """As :meth:`Seals.proven`."""
        return self.seals.proven(connection, seal_id=self.seal_id, account_id=account_id, scope=self.scope)


def why_not(grant: GrantRow, scope: Scope, *, now_us: int, marks: int = 1) -> str:
    """Why a grant does not let its holder set so many marks now; empty where it does."""
    if grant.state != GrantState.ACTIVE:
        return "REVOKED"
    if not grant.scopes & scope.bit:
        return "SCOPE"
    if not grant.valid_from_us <= now_us < grant.valid_until_us:
        return "PERIOD"
    if grant.max_uses and grant.uses + marks > grant.max_uses:
        return "USES"
    return ""


def use_place(use_id: str) -> Place:
    """Where the place of a use stands."""
    return Place("seal_uses", "place", use_id)


def not_found() -> ServiceError:
    """There is none, or it is nobody's business who asks."""
    return ServiceError(Reason.SEAL_NOT_FOUND, "This account has no such seal.")


def _check_digest(digest: bytes) -> None:
    if len(digest) != 32:
        raise ValueError("a document is named by its SHA-256")
