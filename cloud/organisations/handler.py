"""What happens to an organisation when something happens to its review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.states import State as AccountState
from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.templates.organisations import DECIDED, SUPPLEMENT
from cloud.messages.templates.template import Template
from cloud.organisations.registry import SERVICE, SUPPLEMENT_MISSED, Registry
from cloud.organisations.states import Event
from cloud.organisations.vault import reasons_place
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement, Task
from cloud.sources import from_us
from cloud.store import organisations as rows
from cloud.store import reviewers as staff
from cloud.store import reviews as review_rows
from cloud.store.organisations import OrganisationRow
from verifield.v1 import organisation_service_pb2 as pb

MAX_BY_OTHERS_A_DAY = 5
"""Messages of one kind that other people's acts send to a person."""

_QUIET = pb.ORGANISATION_EVENT_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class OrganisationReviews:
    """A ReviewHandler (cloud.reviews.port): each method is part of the transaction that it is told in."""

    registry: Registry
    messages: Messages

    def hold(self, connection: Connection, subject: str) -> None:
        """Lock the organisation's row."""
        self._row(connection, subject)

    def shown(self, connection: Connection, task: Task) -> Mapping[str, str]:
        """The material; documents are read with OrganisationService.ReadOrganisationDocument."""
        row = self._row(connection, task.subject, lock=False)
        profile = self.registry.organisations.profile(connection, row)
        personal = self.registry.accounts.personal(connection, row.account_id)
        shown = {
            "organisation_name": profile.name,
            "uscc": profile.uscc,
            "licence_number": profile.licence_number,
            "organisation_code": profile.organisation_code,
            "representative.name": profile.representative_name,
            "representative.id_number": profile.representative_id_number,
            "administrator.name": personal.name,
            "administrator.id_number": personal.id_number,
            "administrator_is_representative": "yes" if row.is_representative else "no",
        }
        for number, document in enumerate(rows.list_documents(connection, row.organisation_id), start=1):
            kind = pb.OrganisationDocumentKind.Name(pb.OrganisationDocumentKind.ValueType(document.kind))
            name = kind.removeprefix("ORGANISATION_DOCUMENT_KIND_")
            shown[f"document_{number:02}"] = f"{name} {document.document_id}"
        return shown

    def assigned(self, connection: Connection, task: Task) -> None:
        """A reviewer has it now, the first or another one."""
        row = replace(self._row(connection, task.subject), task_id=task.task_id)
        self.registry.advance(connection, row, Event.ASSIGN, _QUIET, caller=SERVICE)

    def supplement_asked(self, connection: Connection, task: Task, supplement: Supplement) -> None:
        """The administrator may hand in anew until the deadline."""
        row = self._row(connection, task.subject)
        asked = [supplement.reason, *(ReasonText(supplement.reason.code, item) for item in supplement.items)]
        row = self.registry.advance(
            connection,
            self.registry.with_reasons(connection, row, asked),
            Event.ASK,
            pb.ORGANISATION_EVENT_SUPPLEMENT_ASKED,
            caller=SERVICE,
            supplement_us=supplement.deadline_us,
        )
        until = from_us(supplement.deadline_us).strftime("%Y-%m-%d %H:%M UTC")
        self._tell(connection, row, SUPPLEMENT, {"until": until})

    def decided(self, connection: Connection, task: Task, decision: Decision) -> None:
        """The organisation is verified, or is not.

        Raises:
            ServiceError: REVIEW_CONFLICT; ORGANISATION_EXISTS: another one was verified meanwhile; those of
                Registry.check_administrator.
        """
        row = self._row(connection, task.subject)
        profile = self.registry.organisations.profile(connection, row)
        check_no_conflict(connection, task, frozenset(self.registry.marks(connection, row, profile)))
        row = self.registry.with_reasons(connection, row, decision.reasons)
        if decision.outcome is Outcome.PASSED:
            self.registry.check_administrator(connection, row, profile)
            self.registry.check_free(connection, row.number_key, taking=True)
            told, event = pb.ORGANISATION_EVENT_VERIFIED, Event.VERIFY
        else:
            told, event = pb.ORGANISATION_EVENT_REJECTED, Event.REJECT
        self._tell(connection, self.registry.advance(connection, row, event, told, caller=SERVICE), DECIDED)

    def supplement_expired(self, connection: Connection, task: Task) -> None:
        """What was asked for did not come in time."""
        row, registry = self._row(connection, task.subject), self.registry
        place = reasons_place(row.organisation_id)
        asked = registry.organisations.vault.reasons(connection, row.organisation_id, place, row.reasons)
        row = registry.with_reasons(connection, row, [ReasonText(SUPPLEMENT_MISSED, ""), *asked])
        told = pb.ORGANISATION_EVENT_SUPPLEMENT_MISSED
        self._tell(connection, registry.advance(connection, row, Event.MISS, told, caller=SERVICE), DECIDED)

    def reopened(self, connection: Connection, task: Task) -> None:
        """A decision does not stand: it is reviewed once more."""
        row = self.registry.with_reasons(connection, self._row(connection, task.subject), [])
        told = pb.ORGANISATION_EVENT_REOPENED
        self.registry.advance(
            connection, replace(row, task_id=task.task_id), Event.REOPEN, told, caller=SERVICE
        )

    def _row(self, connection: Connection, subject: str, *, lock: bool = True) -> OrganisationRow:
        return self.registry.organisations.find(connection, subject.partition("/")[2], lock=lock)

    def _tell(
        self,
        connection: Connection,
        row: OrganisationRow,
        template: Template,
        values: Mapping[str, str] | None = None,
    ) -> None:
        tell_account(
            connection,
            row.account_id,
            template,
            values,
            accounts=self.registry.accounts,
            messages=self.messages,
        )


def tell_account(
    connection: Connection,
    account_id: str,
    template: Template,
    values: Mapping[str, str] | None = None,
    *,
    accounts: Accounts,
    messages: Messages,
    by_others: bool = False,
) -> None:
    """A message to the holder of an account that has not ended.

    ``by_others``: another account causes it, as often as it likes; a few of a day tell enough.
    """
    if accounts.find(connection, account_id).state == AccountState.DEREGISTERED:
        return  # the number may be another person's by now
    if by_others:
        told = messages.count_of_a_day(connection, template=template, person_id=account_id)
        if told >= MAX_BY_OTHERS_A_DAY:
            return
    messages.notify(
        connection,
        template=template,
        person_id=account_id,
        contact=accounts.contact(connection, account_id),
        values=values or {},
    )


def check_no_conflict(connection: Connection, task: Task, marks: frozenset[bytes]) -> None:
    """Check that who decides shares nothing with those behind the subject as they are now.

    The review engine leaves such reviewers out when it assigns; members may have come since.

    Raises:
        ServiceError: REVIEW_CONFLICT.
    """
    found = review_rows.get_task(connection, task.task_id)
    reviewer_id = found.reviewer_id if found else None
    if reviewer_id is None:
        return
    shared = staff.marks_of(connection, [reviewer_id]).get(reviewer_id, frozenset()) & marks
    if shared:
        raise ServiceError(
            Reason.REVIEW_CONFLICT, "The reviewer has something in common with those who are reviewed."
        )
