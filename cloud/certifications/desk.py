"""What holders do with their applications, each within the transaction that it is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.certifications.core import Core
from cloud.certifications.forms import parse_form
from cloud.certifications.limiter import Limiter
from cloud.certifications.states import MACHINE, WAITS, Event, State
from cloud.errors import Reason, ServiceError
from cloud.messages.templates.certifications import SUBMITTED
from cloud.objects.store import Staged
from cloud.reviews.desk import Reviews
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant, ReviewKind
from cloud.rulebook.editions import pin
from cloud.rulebook.kinds import RuleKind
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow, MaterialRow
from verifield.v1 import certification_service_pb2 as pb

MAX_MATERIALS = 30
"""Of one application: more than any type asks for."""


@dataclass(frozen=True, slots=True)
class Desk:
    """``account_id``: who asks. Errors that are returned are to be committed with what led to them."""

    core: Core
    limiter: Limiter
    reviews: Reviews
    marker: Marker

    def create(
        self,
        connection: Connection,
        account_id: str,
        type_code: str,
        form: Iterable[pb.FormValue],
        *,
        previous: ApplicationRow | None = None,
    ) -> ApplicationRow | ServiceError:
        """Begin an application.

        Raises:
            ServiceError: ACCOUNT_NOT_ACTIVE, IDENTITY_REQUIRED, CERTIFICATION_TYPE_UNKNOWN, FORM_INVALID,
                APPLICATION_OPEN. FREQUENT_APPLICANT is returned.
        """
        core = self.core
        core.accounts.require_active(connection, account_id)
        core.identities.require_verified(connection, account_id)
        kind = core.catalogue.current(connection, type_code)
        values = parse_form(form, kind, whole=False)
        refusal = self.limiter.check(connection, account_id)
        if refusal is not None:
            return refusal
        application_id, now_us = core.sources.uuid7(), core.now_us
        row = ApplicationRow(
            application_id=application_id,
            account_id=account_id,
            type_code=kind.code,
            type_version=kind.version,
            process_version=pin(connection, RuleKind.PROCESS, now_us),
            state=int(State.DRAFT),
            form=core.vault.seal_form(connection, account_id, application_id, values),
            declaration_version=None,
            declaration_sha256=None,
            declared_us=None,
            previous_id=previous.application_id if previous else None,
            task_id=None,
            reviewer=None,
            supplement=None,
            supplement_due_us=None,
            result_id=None,
            created_us=now_us,
            updated_us=now_us,
            decided_us=None,
            superseded_us=None,
            version=1,
        )
        if not rows.add_application(connection, row):
            raise ServiceError(Reason.APPLICATION_OPEN, "There is an open application of this type.")
        rows.add_event(
            connection,
            application_id,
            event=int(Event.CREATE),
            state=row.state,
            at_us=now_us,
            reviewer=None,
            due_us=None,
        )
        return row

    def reapply(
        self, connection: Connection, account_id: str, application_id: str
    ) -> ApplicationRow | ServiceError:
        """Begin anew with the form of an earlier application; what its type no longer takes is left out.

        Raises:
            ServiceError: as :meth:`create`, and APPLICATION_NOT_FOUND, APPLICATION_OTHERS, APPLICATION_STATE.
        """
        core = self.core
        old = core.own(connection, application_id, account_id)
        MACHINE.after(State(old.state), Event.REAPPLY)
        kind = core.catalogue.current(connection, old.type_code)
        known = {field.name for field in kind.fields}
        form = core.vault.open_form(connection, old)
        values = [pb.FormValue(name=name, value=value) for name, value in form.items() if name in known]
        return self.create(connection, account_id, old.type_code, values, previous=old)

    def update(
        self,
        connection: Connection,
        account_id: str,
        application_id: str,
        form: Iterable[pb.FormValue],
        *,
        etag: str,
    ) -> ApplicationRow:
        """Replace the form.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND, APPLICATION_OTHERS, APPLICATION_STATE, ETAG_MISMATCH,
                FORM_INVALID.
        """
        row = self._editable(connection, account_id, application_id, etag=etag)
        kind = self.core.catalogue.edition(connection, row.type_code, row.type_version)
        values = parse_form(form, kind, whole=False)
        sealed = self.core.vault.seal_form(connection, account_id, application_id, values)
        return self.core.move(connection, row, Event.EDIT, form=sealed)

    def accept(
        self, connection: Connection, account_id: str, application_id: str, *, version: int, sha256: bytes
    ) -> ApplicationRow:
        """Note that the holder accepts the declaration, as it was read.

        Raises:
            ServiceError: as :meth:`update`; DECLARATION_OUTDATED.
        """
        row = self._editable(connection, account_id, application_id)
        current = self.core.catalogue.declaration(connection)
        if (version, sha256) != (current.version, current.sha256):
            raise _outdated(current.version)
        return self.core.move(
            connection,
            row,
            Event.EDIT,
            declaration_version=version,
            declaration_sha256=sha256,
            declared_us=self.core.now_us,
        )

    def check_upload(
        self, connection: Connection, account_id: str, application_id: str, kind: str
    ) -> pb.MaterialRule:
        """Whether material of this kind may be uploaded now.

        Raises:
            ServiceError: as :meth:`update`; MATERIAL_UNKNOWN, MATERIAL_TOO_MANY.
        """
        row = self.core.own(connection, application_id, account_id)
        MACHINE.after(State(row.state), Event.EDIT)
        for rule in self._rules(connection, row):
            if rule.kind == kind:
                if len(rows.materials_of(connection, application_id)) >= MAX_MATERIALS:
                    raise ServiceError(Reason.MATERIAL_TOO_MANY, "This application has enough material.")
                if self.core.objects.count_dropped(connection, account_id) >= MAX_MATERIALS:
                    raise ServiceError(Reason.MATERIAL_TOO_MANY, "Too many files were taken away again.")
                return rule
        raise ServiceError(Reason.MATERIAL_UNKNOWN, "The type takes no material of this kind.")

    def add_material(
        self, connection: Connection, account_id: str, application_id: str, kind: str, staged: Staged
    ) -> MaterialRow:
        """Keep a file that was received.

        Raises:
            ServiceError: as :meth:`check_upload`.
        """
        row = self._editable(connection, account_id, application_id)
        rule = self.check_upload(connection, account_id, application_id, kind)
        ref = self.core.objects.keep(connection, staged)
        material = MaterialRow(
            self.core.sources.uuid7(),
            application_id,
            rule.category,
            kind,
            ref.object_id,
            self.core.now_us,
        )
        rows.add_material(connection, material)
        self.core.move(connection, row, Event.EDIT)
        return material

    def remove_material(
        self, connection: Connection, account_id: str, application_id: str, material_id: str
    ) -> None:
        """Take a file away; of one that is gone already nothing is left to do.

        Raises:
            ServiceError: as :meth:`update`.
        """
        row = self._editable(connection, account_id, application_id)
        for one in rows.materials_of(connection, application_id):
            if one.material_id == material_id:
                rows.drop_material(connection, material_id)
                if row.result_id is None:  # else it belongs to what was archived
                    self.core.objects.drop(connection, one.object_id)
                self.core.move(connection, row, Event.EDIT)

    def submit(
        self, connection: Connection, account_id: str, application_id: str, *, etag: str
    ) -> ApplicationRow:
        """Hand it in: a review task begins, or goes on, in the same transaction.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND, APPLICATION_OTHERS, APPLICATION_STATE, ETAG_MISMATCH,
                ACCOUNT_NOT_ACTIVE, IDENTITY_REQUIRED, FORM_INVALID, DECLARATION_REQUIRED,
                DECLARATION_OUTDATED, MATERIAL_MISSING, SUPPLEMENT_LATE.
        """
        core = self.core
        row = core.own(connection, application_id, account_id, lock=True)
        again = row.state == State.SUPPLEMENT_REQUIRED
        event = Event.RESUBMIT if again else Event.SUBMIT
        MACHINE.after(State(row.state), event)
        _check_etag(row, etag)
        self._check_whole(connection, row)
        if again:
            core.move(
                connection,
                row,
                event,
                told_reviewer=row.reviewer,
                supplement=None,
                supplement_due_us=None,
            )
            care.settle_recerts_of(connection, application_id, now_us=core.now_us)
            applicant = self._applicant(connection, row)  # the form may name another organisation now
            self.reviews.resubmitted(connection, subject_of(application_id), applicant=applicant)
            return core.lock(connection, application_id)  # another reviewer may have been given it
        core.move(connection, row, event)
        kind = core.catalogue.edition(connection, row.type_code, row.type_version)
        task_id = self.reviews.open_task(
            connection,
            kind=ReviewKind.CERTIFICATION,
            subject=subject_of(application_id),
            applicant=self._applicant(connection, row),
            checks=list(kind.checks),
        )
        row = replace(core.lock(connection, application_id), task_id=task_id)  # it may be assigned by now
        rows.change_application(connection, row)
        core.tell(connection, row, SUBMITTED)
        return row

    def withdraw(self, connection: Connection, account_id: str, application_id: str) -> ApplicationRow:
        """End it before it is decided.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND, APPLICATION_OTHERS, APPLICATION_STATE.
        """
        row = self.core.own(connection, application_id, account_id, lock=True)
        return self.end(connection, row)

    def end(self, connection: Connection, row: ApplicationRow) -> ApplicationRow:
        """As :meth:`withdraw`, for a row that is locked."""
        MACHINE.after(State(row.state), Event.WITHDRAW)
        if row.state in WAITS:
            self.reviews.withdrawn(connection, subject_of(row.application_id))
        return self.core.move(connection, row, Event.WITHDRAW, supplement=None, supplement_due_us=None)

    def missing_kinds(self, connection: Connection, row: ApplicationRow) -> list[str]:
        """Kinds of material that are required and not there."""
        here = {one.kind for one in rows.materials_of(connection, row.application_id)}
        return [rule.kind for rule in self._rules(connection, row) if rule.required and rule.kind not in here]

    def _check_whole(self, connection: Connection, row: ApplicationRow) -> None:
        core = self.core
        core.accounts.require_active(connection, row.account_id)
        core.identities.require_verified(connection, row.account_id)
        kind = core.catalogue.edition(connection, row.type_code, row.type_version)
        form = core.vault.open_form(connection, row)
        parse_form((pb.FormValue(name=name, value=form[name]) for name in form), kind, whole=True)
        if row.declared_us is None:
            raise ServiceError(Reason.DECLARATION_REQUIRED, "The declaration was not accepted.")
        current = core.catalogue.declaration(connection)
        if row.declaration_version != current.version:
            raise _outdated(current.version)
        missing = self.missing_kinds(connection, row)
        if missing:
            raise ServiceError(
                Reason.MATERIAL_MISSING,
                f"Material is missing: {', '.join(missing)}.",
                {"kinds": ",".join(missing)},
            )

    def _applicant(self, connection: Connection, row: ApplicationRow) -> Applicant:
        """With what a reviewer could share with this person, or with the organisation of the form."""
        personal = self.core.accounts.personal(connection, row.account_id)
        form, mark = self.core.vault.open_form(connection, row), self.marker
        companies = {
            personal.organisation_name,
            personal.organisation_code,
            form.get("organisation_name", ""),
            form.get("credit_code", ""),
        }
        marks = [mark.id_number(personal.id_number)] if personal.id_number else []
        marks += [mark.phone(personal.phone)] if personal.phone else []
        marks += [mark.company(one) for one in sorted(companies) if one]
        return Applicant(row.account_id, tuple(marks))

    def _rules(self, connection: Connection, row: ApplicationRow) -> list[pb.MaterialRule]:
        return list(self.core.catalogue.edition(connection, row.type_code, row.type_version).materials)

    def _editable(
        self, connection: Connection, account_id: str, application_id: str, *, etag: str = ""
    ) -> ApplicationRow:
        row = self.core.own(connection, application_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.EDIT)
        _check_etag(row, etag)
        return row


def subject_of(application_id: str) -> str:
    """What the review task of an application is about."""
    return f"certifications/{application_id}"


def etag_of(row: ApplicationRow) -> str:
    """Changes with every change of the application."""
    return str(row.version)


def _check_etag(row: ApplicationRow, etag: str) -> None:
    if etag and etag != etag_of(row):
        raise ServiceError(Reason.ETAG_MISMATCH, "Somebody else changed this application meanwhile.")


def _outdated(version: int) -> ServiceError:
    return ServiceError(
        Reason.DECLARATION_OUTDATED, "Another edition of the declaration counts.", {"version": str(version)}
    )
