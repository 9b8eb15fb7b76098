"""Organisations as they are registered, handed in, and changed, within the transaction that is given.

1  whoever hands in is verified
2  name and numbers are of their forms, and agree
3  nobody else is verified as this organisation
4  the licence is there
5  an administrator who is the legal representative is the person of that name and number; one who is not has
   the representative's authorisation letter

The account is locked first, then the organisation's row, then the task of its review.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Objects, Staged
from cloud.organisations.desk import Organisations
from cloud.organisations.forms import parse_profile
from cloud.organisations.numbers import parse_organisation_name
from cloud.organisations.states import MACHINE, UNDER_REVIEW, Event, State, state_of
from cloud.organisations.vault import Profile, reasons_place
from cloud.reviews.desk import Reviews
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant, ReasonText, ReviewKind
from cloud.sources import Sources, to_us
from cloud.store import organisations as rows
from cloud.store.organisations import DocumentRow, EventRow, OrganisationRow
from cloud.verifications.desk import Verifications
from verifield.v1 import organisation_service_pb2 as pb

MAX_OF_ONE = 20
"""Organisations that one account administers."""

MAX_DOCUMENTS = 20

CHECKS = ("licence", "name_and_numbers", "legal_representative", "administrator")
"""What a reviewer looks at."""

SUPPLEMENT_MISSED = "SUPPLEMENT_MISSED"
SERVICE = "service"
"""Who did it, where it happened by itself."""

_LICENCE = pb.ORGANISATION_DOCUMENT_KIND_LICENCE
_LETTER = pb.ORGANISATION_DOCUMENT_KIND_AUTHORISATION_LETTER


@dataclass(frozen=True, slots=True)
class Registry:
    """``secret``: 32 bytes or more that are never in the database, the same on all servers."""

    organisations: Organisations
    accounts: Accounts
    verifications: Verifications
    reviews: Reviews
    objects: Objects
    sources: Sources
    secret: bytes = field(repr=False)

    def register(self, connection: Connection, *, caller: str, name: str) -> OrganisationRow:
        """Begin an organisation that ``caller`` administers.

        Raises:
            ServiceError: ORG_NAME_INVALID, ORGANISATION_LIMIT, or why the account cannot be used.
        """
        profile = Profile(parse_organisation_name(name))
        self.accounts.require_active(connection, caller, lock=True)
        check_limit(connection, caller)
        organisation_id, now_us = self.sources.uuid7(), to_us(self.sources.now())
        row = OrganisationRow(
            organisation_id=organisation_id,
            account_id=caller,
            offered_to=None,
            state=State.REGISTERED,
            profile=self.organisations.vault.seal_profile(connection, organisation_id, profile),
            is_representative=False,
            number_key=None,
            task_id=None,
            supplement_us=None,
            reasons=None,
            verified_us=None,
            created_us=now_us,
            updated_us=now_us,
            state_us=now_us,
            version=1,
        )
        rows.add_organisation(connection, row)
        self._note(connection, row, pb.ORGANISATION_EVENT_REGISTERED, caller=caller)
        return row

    def check_may_add(
        self, connection: Connection, organisation_id: str, *, caller: str, again: bool = False
    ) -> OrganisationRow:
        """Before an upload is read: whether its document would be taken. Nothing is locked.

        ``again``: it may be one that was taken before, and is answered as then, whatever came since.

        Raises:
            ServiceError: as :meth:`add_document`.
        """
        row = self.organisations.require_admin(connection, organisation_id, caller)
        if not again:
            self._check_room(connection, row)
        return row

    def add_document(
        self,
        connection: Connection,
        organisation_id: str,
        staged: Staged,
        *,
        caller: str,
        kind: pb.OrganisationDocumentKind.ValueType,
    ) -> DocumentRow:
        """Keep a document.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORGANISATION_STATE, ORGANISATION_DOCUMENTS_TOO_MANY.
        """
        row = self.organisations.require_admin(connection, organisation_id, caller, lock=True)
        self._check_room(connection, row)
        ref = self.objects.keep(connection, staged)
        document = DocumentRow(organisation_id, ref.object_id, kind, to_us(self.sources.now()))
        rows.add_document(connection, document)
        self.write(connection, row)
        return document

    def remove_document(
        self, connection: Connection, organisation_id: str, document_id: str, *, caller: str
    ) -> None:
        """Take a document out.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, also for a document; ORGANISATION_STATE.
        """
        row = self.organisations.require_admin(connection, organisation_id, caller, lock=True)
        MACHINE.after(state_of(row), Event.CHANGE_DOCUMENTS)
        if not rows.drop_document(connection, organisation_id, document_id):
            raise ServiceError(Reason.ORGANISATION_NOT_FOUND, "The organisation has no such document.")
        self.objects.drop(connection, document_id)
        self.write(connection, row)

    def submit(
        self,
        connection: Connection,
        organisation_id: str,
        given: pb.OrganisationRealName,
        *,
        caller: str,
    ) -> OrganisationRow:
        """Hand in who it is, which makes its review task; or the supplement, with which its review goes on.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORGANISATION_STATE, IDENTITY_REQUIRED, ORGANISATION_EXISTS,
                ORG_LICENCE_REQUIRED, REPRESENTATIVE_MISMATCH, AUTHORISATION_LETTER_REQUIRED, why the account
                cannot be used, those of the forms of names and numbers, and those of the review engine.
        """
        self.organisations.require_admin(connection, organisation_id, caller)
        self.accounts.require_active(connection, caller, lock=True)
        row = self.organisations.require_admin(connection, organisation_id, caller, lock=True)
        state = state_of(row)
        MACHINE.after(state, Event.SUBMIT)
        self.verifications.require_verified(connection, caller)  # rule 1
        profile = parse_profile(given)  # rule 2
        number_key = self._number_key(profile)
        self.check_free(connection, number_key)  # rule 3; this one is not verified by now
        self._check_documents(connection, row, profile, is_representative=given.is_legal_representative)
        new = replace(
            row,
            profile=self.organisations.vault.seal_profile(connection, organisation_id, profile),
            is_representative=given.is_legal_representative,
            number_key=number_key,
            reasons=None,
        )
        applicant = Applicant(organisation_id, self.marks(connection, new, profile))
        if state is State.SUPPLEMENT:
            told = pb.ORGANISATION_EVENT_SUPPLEMENT_GIVEN
            self.advance(connection, new, Event.SUBMIT, told, caller=caller)
            self.reviews.resubmitted(connection, subject_of(organisation_id), applicant=applicant)
        else:
            self.advance(connection, new, Event.SUBMIT, pb.ORGANISATION_EVENT_SUBMITTED, caller=caller)
            task_id = self.reviews.open_task(
                connection,
                kind=ReviewKind.ORGANISATION_REAL_NAME,
                subject=subject_of(organisation_id),
                applicant=applicant,
                checks=CHECKS,
            )
            self.write(
                connection, replace(self.organisations.find(connection, organisation_id), task_id=task_id)
            )
        return self.organisations.find(connection, organisation_id)

    def check_administrator(self, connection: Connection, row: OrganisationRow, profile: Profile) -> None:
        """Check rules 1 and 5 once more: much may have happened between handing in and the decision.

        Raises:
            ServiceError: IDENTITY_REQUIRED, REPRESENTATIVE_MISMATCH, or why the account cannot be used.
        """
        self.accounts.require_active(connection, row.account_id)
        self.verifications.require_verified(connection, row.account_id)
        if row.is_representative:
            self._check_representative(connection, row, profile)

    def withdraw(self, connection: Connection, organisation_id: str, *, caller: str) -> OrganisationRow:
        """Take back what is being reviewed.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORGANISATION_STATE.
        """
        row = self.organisations.require_admin(connection, organisation_id, caller, lock=True)
        new = self.advance(connection, row, Event.WITHDRAW, pb.ORGANISATION_EVENT_WITHDRAWN, caller=caller)
        self.reviews.withdrawn(connection, subject_of(organisation_id))
        return new

    def declare_change(self, connection: Connection, organisation_id: str, *, caller: str) -> OrganisationRow:
        """Its name or representative is another one now: it is verified no more.

        Raises:
            ServiceError: ORGANISATION_NOT_FOUND, ORGANISATION_STATE.
        """
        row = self.organisations.require_admin(connection, organisation_id, caller, lock=True)
        return self.advance(connection, row, Event.OUTDATE, pb.ORGANISATION_EVENT_CHANGED, caller=caller)

    def outdate_all(self, connection: Connection, account_id: str, *, as_representative: bool) -> None:
        """The administrator is somebody else by name now, or nobody: what was verified counts no more.

        ``as_representative``: only of those whose legal representative the administrator is.
        """
        for organisation_id in rows.ids_of(connection, account_id):
            row = self.organisations.find(connection, organisation_id, lock=True)
            if as_representative and not row.is_representative:
                continue
            if state_of(row) is State.VERIFIED:
                self.advance(connection, row, Event.OUTDATE, pb.ORGANISATION_EVENT_CHANGED, caller=SERVICE)
            elif state_of(row) in UNDER_REVIEW:
                told = pb.ORGANISATION_EVENT_WITHDRAWN
                self.advance(connection, row, Event.WITHDRAW, told, caller=SERVICE)
                self.reviews.withdrawn(connection, subject_of(organisation_id))

    def advance(
        self,
        connection: Connection,
        row: OrganisationRow,
        event: Event,
        told: pb.OrganisationEvent.ValueType,
        *,
        caller: str,
        supplement_us: int | None = None,
    ) -> OrganisationRow:
        """Let something happen to an organisation whose row is locked.

        Raises:
            ServiceError: ORGANISATION_STATE.
        """
        before = state_of(row)
        after = MACHINE.after(before, event)
        now_us = to_us(self.sources.now())
        new = replace(
            row,
            state=int(after.told),
            state_us=now_us if after.told != before.told else row.state_us,
            supplement_us=(supplement_us or row.supplement_us) if after is State.SUPPLEMENT else None,
            verified_us=(row.verified_us or now_us) if after is State.VERIFIED else None,
        )
        if told:
            self._note(connection, new, told, caller=caller)
        return self.write(connection, new)

    def with_reasons(
        self, connection: Connection, row: OrganisationRow, reasons: Sequence[ReasonText]
    ) -> OrganisationRow:
        """The row with other reasons, not yet written."""
        place = reasons_place(row.organisation_id)
        sealed = self.organisations.vault.seal_reasons(connection, row.organisation_id, place, reasons)
        return replace(row, reasons=sealed)

    def marks(self, connection: Connection, row: OrganisationRow, profile: Profile) -> tuple[bytes, ...]:
        """What a reviewer must not share: the organisation itself, its representative, its administrator."""
        marker = Marker(self.secret)
        companies = (profile.name, profile.uscc, profile.licence_number, profile.organisation_code)
        found = [marker.company(value) for value in companies if value]
        if profile.representative_id_number:
            found.append(marker.id_number(profile.representative_id_number))
        return tuple(dict.fromkeys((*found, *self.person_marks(connection, row.account_id))))

    def person_marks(self, connection: Connection, account_id: str) -> tuple[bytes, ...]:
        """Of one person: the numbers of identity card and telephone."""
        marker, personal = Marker(self.secret), self.accounts.personal(connection, account_id)
        return (
            *((marker.id_number(personal.id_number),) if personal.id_number else ()),
            *((marker.phone(personal.phone),) if personal.phone else ()),
        )

    def _check_documents(
        self, connection: Connection, row: OrganisationRow, profile: Profile, *, is_representative: bool
    ) -> None:
        kinds = {one.kind for one in rows.list_documents(connection, row.organisation_id)}
        if _LICENCE not in kinds:  # rule 4
            raise ServiceError(Reason.ORG_LICENCE_REQUIRED, "The business licence is missing.")
        if is_representative:  # rule 5
            self._check_representative(connection, row, profile)
        elif _LETTER not in kinds:
            raise ServiceError(
                Reason.AUTHORISATION_LETTER_REQUIRED, "The representative's authorisation letter is missing."
            )

    def check_free(self, connection: Connection, number_key: bytes | None, *, taking: bool = False) -> None:
        """Check rule 3. One that was erased is nobody any more: ``taking`` its numbers ends it.

        Raises:
            ServiceError: ORGANISATION_EXISTS.
        """
        found = rows.find_verified(connection, number_key) if number_key else None
        if found is not None and found.profile is not None:
            raise ServiceError(Reason.ORGANISATION_EXISTS, "This organisation is verified here already.")
        if found is not None and taking:
            row = self.organisations.find(connection, found.organisation_id, lock=True)
            self.advance(connection, row, Event.OUTDATE, pb.ORGANISATION_EVENT_CHANGED, caller=SERVICE)

    def _check_representative(self, connection: Connection, row: OrganisationRow, profile: Profile) -> None:
        elements = self.accounts.elements(connection, row.account_id)
        given = (profile.representative_name, profile.representative_id_number)
        if (elements.name, elements.id_number) != given:
            raise ServiceError(
                Reason.REPRESENTATIVE_MISMATCH,
                "The account's holder is not the legal representative that was given.",
            )

    def _check_room(self, connection: Connection, row: OrganisationRow) -> None:
        MACHINE.after(state_of(row), Event.CHANGE_DOCUMENTS)
        if len(rows.list_documents(connection, row.organisation_id)) >= MAX_DOCUMENTS:
            raise ServiceError(
                Reason.ORGANISATION_DOCUMENTS_TOO_MANY,
                f"An organisation has at most {MAX_DOCUMENTS} documents.",
                {"limit": str(MAX_DOCUMENTS)},
            )

    def _number_key(self, profile: Profile) -> bytes:
        """Of the organisation code, which a unified code holds too: old and new numbers are one."""
        key = hmac.digest(self.secret, b"verifield numbers of organisations", sha256)
        return hmac.digest(key, profile.organisation_code.encode(), sha256)

    def write(self, connection: Connection, row: OrganisationRow) -> OrganisationRow:
        """Write a row that was read with a lock, as it is now."""
        new = replace(row, updated_us=to_us(self.sources.now()), version=row.version + 1)
        rows.change_organisation(connection, new)
        return new

    def _note(
        self,
        connection: Connection,
        row: OrganisationRow,
        event: pb.OrganisationEvent.ValueType,
        *,
        caller: str,
    ) -> None:
        seq = rows.newest_seq(connection, row.organisation_id) + 1
        now_us = to_us(self.sources.now())
        rows.add_event(connection, EventRow(row.organisation_id, seq, event, now_us, row.state, caller))


def check_limit(connection: Connection, account_id: str) -> None:
    """Check that an account, whose row is locked, may administer one more.

    Raises:
        ServiceError: ORGANISATION_LIMIT.
    """
    if len(rows.ids_of(connection, account_id)) >= MAX_OF_ONE:
        raise ServiceError(
            Reason.ORGANISATION_LIMIT,
            f"An account administers at most {MAX_OF_ONE} organisations.",
            {"limit": str(MAX_OF_ONE)},
        )


def subject_of(organisation_id: str) -> str:
    """What the review engine and the audit chain call an organisation."""
    return f"organisations/{organisation_id}"
