"""What happens to a request when something happens to its review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.states import State as AccountState
from cloud.business.desk import SUPPLEMENT_MISSED, BusinessDesk
from cloud.business.states import Event
from cloud.messages.outbox import Messages
from cloud.messages.templates.business import DECIDED, SUPPLEMENT
from cloud.messages.templates.template import Template
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement, Task
from cloud.sources import from_us
from cloud.store import business as rows
from cloud.store.business import BusinessRow
from verifield.v1 import business_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class BusinessReviews:
    """A ReviewHandler (cloud.reviews.port): each method is part of the transaction that it is told in."""

    desk: BusinessDesk
    accounts: Accounts
    messages: Messages

    def hold(self, connection: Connection, subject: str) -> None:
        """Lock the request's row."""
        self._row(connection, subject)

    def shown(self, connection: Connection, task: Task) -> Mapping[str, str]:
        """The material; documents are read with BusinessService.ReadBusinessDocument."""
        row = self._row(connection, task.subject, lock=False)
        permission = pb.PermissionSnapshot.FromString(bytes(row.permission))
        documents = rows.list_documents(connection, row.business_id)
        shown = {
            "service": row.service_code,
            "text": self.desk.vault.text(connection, row),
            "agent": "yes" if row.agent_account_id else "no",
            "permission_from": permission.valid_from.ToJsonString(),
            "permission_until": permission.valid_until.ToJsonString(),
            "verification": permission.method,
        }
        for number, document in enumerate(documents, start=1):
            kind = pb.BusinessDocumentKind.Name(pb.BusinessDocumentKind.ValueType(document.kind))
            shown[f"document_{number}"] = (
                f"{kind.removeprefix('BUSINESS_DOCUMENT_KIND_')} {document.document_id}"
            )
        return shown

    def assigned(self, connection: Connection, task: Task) -> None:
        """A reviewer has it now, the first or another one."""
        row = replace(self._row(connection, task.subject), task_id=task.task_id)
        self.desk.happened(connection, row, Event.ASSIGN, pb.BUSINESS_EVENT_ASSIGNED)

    def supplement_asked(self, connection: Connection, task: Task, supplement: Supplement) -> None:
        """The applicant, and the agent, may add documents until the deadline."""
        row = self._row(connection, task.subject)
        asked = [supplement.reason, *(ReasonText(supplement.reason.code, item) for item in supplement.items)]
        row = self.desk.with_reasons(connection, row, asked)
        self.desk.happened(
            connection,
            row,
            Event.ASK,
            pb.BUSINESS_EVENT_SUPPLEMENT_ASKED,
            supplement_us=supplement.deadline_us,
        )
        until = from_us(supplement.deadline_us).strftime("%Y-%m-%d %H:%M UTC")
        self._tell(connection, row, SUPPLEMENT, {"number": row.business_id, "until": until})

    def decided(self, connection: Connection, task: Task, decision: Decision) -> None:
        """The request has its end."""
        row = self.desk.with_reasons(connection, self._row(connection, task.subject), decision.reasons)
        if decision.outcome is Outcome.PASSED:
            row = self.desk.happened(connection, row, Event.ACCEPT, pb.BUSINESS_EVENT_ACCEPTED)
        else:
            row = self.desk.happened(connection, row, Event.REJECT, pb.BUSINESS_EVENT_REJECTED)
        self._tell(connection, row, DECIDED, {"number": row.business_id})

    def supplement_expired(self, connection: Connection, task: Task) -> None:
        """What was asked for did not come in time."""
        row = self._row(connection, task.subject)
        missed = ReasonText(SUPPLEMENT_MISSED, "")
        row = self.desk.with_reasons(connection, row, [missed, *self.desk.vault.reasons(connection, row)])
        row = self.desk.happened(connection, row, Event.MISS, pb.BUSINESS_EVENT_SUPPLEMENT_MISSED)
        self._tell(connection, row, DECIDED, {"number": row.business_id})

    def reopened(self, connection: Connection, task: Task) -> None:
        """A decision does not stand: it is reviewed once more."""
        row = self.desk.with_reasons(connection, self._row(connection, task.subject), [])
        self.desk.happened(
            connection, replace(row, task_id=task.task_id), Event.REOPEN, pb.BUSINESS_EVENT_REOPENED
        )

    def _row(self, connection: Connection, subject: str, *, lock: bool = True) -> BusinessRow:
        return self.desk.read(connection, subject.partition("/")[2], lock=lock)

    def _tell(
        self, connection: Connection, row: BusinessRow, template: Template, values: Mapping[str, str]
    ) -> None:
        """The applicant, and who still acts for the applicant."""
        for account_id in (row.account_id, *self.desk.guard.acting(connection, row)):
            if self.accounts.find(connection, account_id).state == AccountState.DEREGISTERED:
                continue  # the number may be another person's by now
            self.messages.notify(
                connection,
                template=template,
                person_id=account_id,
                contact=self.accounts.contact(connection, account_id),
                values=values,
            )
