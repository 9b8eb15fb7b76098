"""Seals as they are handed in, reviewed, frozen, revoked, within the transaction that is given.

The organisation's row is locked first, then the seal's; its versions stand under the seal's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.objects.store import Staged
from cloud.organisations.desk import check_verified
from cloud.organisations.registry import Registry
from cloud.privacy.sealing import Place
from cloud.reviews.desk import MAX_MARKS
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant, ReasonText, ReviewKind
from cloud.seals.desk import not_found
from cloud.seals.policy import POLICY, Checked
from cloud.seals.states import MACHINE, VERSIONS, Event, GrantState, State, VersionEvent, VersionState
from cloud.sources import to_us
from cloud.store import seals as rows
from cloud.store.organisations import OrganisationRow
from cloud.store.schema import seal_versions, seals
from cloud.store.sealed import SealedTable
from cloud.store.seals import SealRow, VersionRow
from verifield.v1 import seal_service_pb2 as pb

SEALED = (
    SealedTable(seals, key="seal_id", person="organisation_id", sealed=("label",)),
    SealedTable(seal_versions, key="version_id", person="organisation_id", sealed=("reasons",)),
)
"""For erasing an organisation."""

MAX_SEALS = 50
"""Of one organisation, without those that were revoked."""

MAX_VERSIONS = 1000

CHECKS = ("text_matches_name", "image_is_genuine", "shape_and_colour")
"""What a reviewer looks at."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that met the policy; sizes on paper in tenths of a millimetre."""

    checked: Checked
    width_dmm: int
    height_dmm: int
    source: pb.SealSource.ValueType


@dataclass(frozen=True, slots=True)
class Wanted:
    """``seal_id`` empty: a new seal, of that kind and label."""

    organisation_id: str
    seal_id: str
    kind: pb.SealKind.ValueType
    label: str


@dataclass(frozen=True, slots=True)
class Workshop:
    """``registry``: of organisations, with the rooms that it stands on."""

    registry: Registry

    def check_may_submit(
        self, connection: Connection, wanted: Wanted, *, caller: str, again: bool = False
    ) -> OrganisationRow:
        """Before a picture is read: whether it would be taken. Nothing is locked.

        ``again``: it may be one that was taken before, and is answered as then, whatever came since.

        Raises:
            ServiceError: as :meth:`submit`.
        """
        organisation = self.registry.organisations.require_admin(connection, wanted.organisation_id, caller)
        if again:
            return organisation
        self._check_may_change(connection, organisation)
        if wanted.seal_id:
            self._check_version(connection, self.of(connection, wanted.seal_id, wanted.organisation_id))
        else:
            self._check_new(connection, wanted)
        return organisation

    def submit(
        self, connection: Connection, wanted: Wanted, picture: Picture, staged: Staged, *, caller: str
    ) -> SealRow:
        """Hand in a picture for review.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORG_REAL_NAME_REQUIRED, IDENTITY_REQUIRED, SEAL_NOT_FOUND,
                SEAL_STATE, SEALS_TOO_MANY, REQUEST_INVALID, and those of the review engine.
        """
        organisation = self.registry.organisations.require_admin(
            connection, wanted.organisation_id, caller, lock=True
        )
        self._check_may_change(connection, organisation)
        now_us = self._now_us
        if wanted.seal_id:
            row = self.of(connection, wanted.seal_id, wanted.organisation_id, lock=True)
            self._check_version(connection, row)
            row = replace(row, newest_version=row.newest_version + 1)
            row = self._advance(connection, row, Event.SUBMIT)
        else:
            self._check_new(connection, wanted)
            row = self._add(connection, wanted, now_us)
        ref = self.registry.objects.keep(connection, staged)
        version = VersionRow(
            version_id=self.registry.sources.uuid7(),
            seal_id=row.seal_id,
            organisation_id=row.organisation_id,
            version=row.newest_version,
            state=VersionState.PENDING_REVIEW,
            source=picture.source,
            object_id=ref.object_id,
            image_sha256=ref.sha256,
            width_px=picture.checked.width_px,
            height_px=picture.checked.height_px,
            width_dmm=picture.width_dmm,
            height_dmm=picture.height_dmm,
            colour=picture.checked.colour,
            policy_version=POLICY.version,
            reasons=None,
            task_id=None,
            submitted_by=caller,
            created_us=now_us,
            decided_us=None,
        )
        rows.add_version(connection, version)
        self.registry.reviews.open_task(
            connection,
            kind=ReviewKind.SEAL,
            subject=version_subject(version.version_id),
            applicant=Applicant(row.organisation_id, self.marks(connection, organisation)[:MAX_MARKS]),
            checks=CHECKS,
        )
        return self.find(connection, row.seal_id)

    def freeze(self, connection: Connection, seal_id: str, *, caller: str) -> SealRow:
        """Stop a seal for a while.

        Raises:
            ServiceError: SEAL_NOT_FOUND, SEAL_STATE.
        """
        return self._advance(connection, self.own(connection, seal_id, caller, lock=True), Event.FREEZE)

    def unfreeze(self, connection: Connection, seal_id: str, *, caller: str) -> SealRow:
        """Let it sign again.

        Raises:
            ServiceError: SEAL_NOT_FOUND, SEAL_STATE, ORG_REAL_NAME_REQUIRED, IDENTITY_REQUIRED.
        """
        row = self.own(connection, seal_id, caller, lock=True)
        organisation = self.registry.organisations.find(connection, row.organisation_id)
        self._check_may_change(connection, organisation)
        event = Event.UNFREEZE if row.approved_version is not None else Event.UNFREEZE_LAST
        return self._advance(connection, row, event)

    def revoke(self, connection: Connection, seal_id: str, *, caller: str) -> SealRow:
        """Stop it for ever; what is looked at is withdrawn.

        Raises:
            ServiceError: SEAL_NOT_FOUND, SEAL_STATE.
        """
        row = self.own(connection, seal_id, caller, lock=True)
        new = self._advance(connection, row, Event.REVOKE)
        looked_at = (
            one for one in rows.list_versions(connection, seal_id) if one.state == VersionState.PENDING_REVIEW
        )
        for pending in looked_at:  # one at most
            self._change_version(connection, pending, VersionEvent.WITHDRAW)
            self.registry.reviews.withdrawn(connection, version_subject(pending.version_id))
        return new

    def assigned(self, connection: Connection, version_id: str, task_id: str) -> None:
        """A reviewer has a version, whose seal is locked."""
        version, row = self._held(connection, version_id)
        self._advance(connection, row, Event.ASSIGN)
        rows.change_version(connection, replace(version, task_id=task_id))

    def approve(self, connection: Connection, version_id: str) -> SealRow:
        """A version signs from now on, in the place of the one before.

        Raises:
            ServiceError: SEAL_STATE.
        """
        version, row = self._held(connection, version_id)
        self._change_version(connection, version, VersionEvent.APPROVE, decided=True)
        former = row.approved_version
        if former is not None and former != version.version:
            old = rows.find_version(connection, row.seal_id, former)
            if old is not None:
                self._change_version(connection, old, VersionEvent.REPLACE)
        return self._advance(connection, replace(row, approved_version=version.version), Event.APPROVE)

    def reject(self, connection: Connection, version_id: str, reasons: Sequence[ReasonText]) -> SealRow:
        """A version does not sign; where another one does, that goes on.

        Raises:
            ServiceError: SEAL_STATE.
        """
        version, row = self._held(connection, version_id)
        sealed = self.registry.organisations.vault.seal_reasons(
            connection, row.organisation_id, reasons_place(version_id), reasons
        )
        version = replace(version, reasons=sealed)
        self._change_version(connection, version, VersionEvent.REJECT, decided=True)
        event = Event.REJECT if row.approved_version is not None else Event.REJECT_LAST
        return self._advance(connection, row, event)

    def reopen(self, connection: Connection, version_id: str, task_id: str) -> SealRow:
        """A decision about a version does not stand.

        Raises:
            ServiceError: SEAL_STATE, also where another version is looked at, or took its place.
        """
        version, row = self._held(connection, version_id)
        VERSIONS.after(VersionState(version.state), VersionEvent.REOPEN)
        self._check_none_pending(connection, row.seal_id)
        last = row.approved_version in (None, version.version)
        row = self._advance(
            connection,
            replace(row, approved_version=None if last else row.approved_version),
            Event.REOPEN_LAST if last else Event.REOPEN,
        )
        self._change_version(connection, replace(version, task_id=task_id, reasons=None), VersionEvent.REOPEN)
        return row

    def find(self, connection: Connection, seal_id: str, *, lock: bool = False) -> SealRow:
        """One seal.

        Raises:
            ServiceError: SEAL_NOT_FOUND.
        """
        row = rows.get_seal(connection, seal_id, lock=lock)
        if row is None:
            raise not_found()
        return row

    def own(self, connection: Connection, seal_id: str, caller: str, *, lock: bool = False) -> SealRow:
        """A seal, for who administers its organisation.

        Raises:
            ServiceError: SEAL_NOT_FOUND, also for everybody else.
        """
        row = self.find(connection, seal_id)
        if not self.registry.organisations.is_admin(connection, row.organisation_id, caller, lock=lock):
            raise not_found()
        return self.find(connection, seal_id, lock=True) if lock else row

    def of(
        self, connection: Connection, seal_id: str, organisation_id: str, *, lock: bool = False
    ) -> SealRow:
        """A seal of this organisation.

        Raises:
            ServiceError: SEAL_NOT_FOUND.
        """
        row = self.find(connection, seal_id, lock=lock)
        if row.organisation_id != organisation_id:
            raise not_found()
        return row

    def marks(self, connection: Connection, organisation: OrganisationRow) -> tuple[bytes, ...]:
        """What a reviewer must not share: that of the organisation, and who its members are."""
        profile = self.registry.organisations.profile(connection, organisation)
        found = list(self.registry.marks(connection, organisation, profile))
        marker = Marker(self.registry.secret)
        holders = rows.holders(
            connection, organisation.organisation_id, state=GrantState.ACTIVE, now_us=self._now_us
        )
        for account_id in holders:
            personal = self.registry.accounts.personal(connection, account_id)
            if personal.id_number:
                found.append(marker.id_number(personal.id_number))
        return tuple(dict.fromkeys(found))

    def label(self, connection: Connection, row: SealRow) -> str:
        """How the organisation calls a seal."""
        vault = self.registry.organisations.vault
        return vault.open(connection, row.organisation_id, _label_place(row.seal_id), row.label)

    def _add(self, connection: Connection, wanted: Wanted, now_us: int) -> SealRow:
        seal_id, vault = self.registry.sources.uuid7(), self.registry.organisations.vault
        row = SealRow(
            seal_id=seal_id,
            organisation_id=wanted.organisation_id,
            kind=wanted.kind,
            state=State.PENDING_REVIEW,
            label=vault.seal(connection, wanted.organisation_id, _label_place(seal_id), wanted.label.strip()),
            approved_version=None,
            newest_version=1,
            created_us=now_us,
            updated_us=now_us,
            state_us=now_us,
            changes=1,
        )
        rows.add_seal(connection, row)
        return row

    def _check_may_change(self, connection: Connection, organisation: OrganisationRow) -> None:
        """Whoever lets a seal sign is verified, as the organisation is. To stop one, nobody has to be."""
        check_verified(organisation)
        self.registry.verifications.require_verified(connection, organisation.account_id)

    def _check_new(self, connection: Connection, wanted: Wanted) -> None:
        if rows.count_seals(connection, wanted.organisation_id, besides=State.REVOKED) >= MAX_SEALS:
            raise ServiceError(
                Reason.SEALS_TOO_MANY,
                f"An organisation has at most {MAX_SEALS} seals.",
                {"limit": str(MAX_SEALS)},
            )

    def _check_version(self, connection: Connection, row: SealRow) -> None:
        MACHINE.after(State(row.state), Event.SUBMIT)
        self._check_none_pending(connection, row.seal_id)
        if row.newest_version >= MAX_VERSIONS:
            raise ServiceError(Reason.SEALS_TOO_MANY, "The seal has too many versions: make a new seal.")

    def _check_none_pending(self, connection: Connection, seal_id: str) -> None:
        versions = rows.list_versions(connection, seal_id)
        if any(one.state == VersionState.PENDING_REVIEW for one in versions):
            raise ServiceError(
                Reason.SEAL_STATE, "A version of the seal is being reviewed.", {"state": "PENDING_REVIEW"}
            )

    def _held(self, connection: Connection, version_id: str) -> tuple[VersionRow, SealRow]:
        version = rows.get_version(connection, version_id)
        if version is None:
            raise not_found()
        row = self.find(connection, version.seal_id, lock=True)
        return rows.get_version(connection, version_id) or version, row

    def _change_version(
        self, connection: Connection, version: VersionRow, event: VersionEvent, *, decided: bool = False
    ) -> None:
        state = VERSIONS.after(VersionState(version.state), event)
        decided_us = self._now_us if decided else version.decided_us
        rows.change_version(connection, replace(version, state=int(state), decided_us=decided_us))

    def _advance(self, connection: Connection, row: SealRow, event: Event) -> SealRow:
        before = State(row.state)
        after, now_us = MACHINE.after(before, event), self._now_us
        new = replace(
            row,
            state=int(after),
            state_us=row.state_us if after is before else now_us,
            updated_us=now_us,
            changes=row.changes + 1,
        )
        rows.change_seal(connection, new)
        return new

    @property
    def _now_us(self) -> int:
        return to_us(self.registry.sources.now())


def version_subject(version_id: str) -> str:
    """What the review engine calls a version."""
    return f"seal_versions/{version_id}"


def seal_subject(seal_id: str) -> str:
    """What the audit chain calls a seal."""
    return f"seals/{seal_id}"


def reasons_place(version_id: str) -> Place:
    """Where the reasons of a version stand."""
    return Place("seal_versions", "reasons", version_id)


def _label_place(seal_id: str) -> Place:
    return Place("seals", "label", seal_id)
