"""Requests for registration business, each change within the transaction that it is given.

The row of a request is locked first, then the task of its review: the order of cloud.reviews.port. What
stands before them in that order is told in cloud.business.guard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.business.catalogue import find_service
from cloud.business.etags import check_etag
from cloud.business.guard import Guard, not_found
from cloud.business.personal import BusinessVault
from cloud.business.states import MACHINE, UNDER_REVIEW, Event, State, state_of
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Objects, Staged
from cloud.reviews.desk import Reviews
from cloud.reviews.port import Applicant, ReasonText, ReviewKind
from cloud.rulebook.editions import pin
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import business as rows
from cloud.store.business import BusinessRow, DocumentRow, EventRow
from verifield.v1 import business_service_pb2 as pb

MAX_DOCUMENTS = 30
"""Of one draft: more than any of these kinds of business asks for."""

MAX_WITH_SUPPLEMENTS = 60
"""What a reviewer asks for has room beside a draft that was full: nothing of that can be removed any more."""

CHECKS = ("identity", "permission", "documents", "content")
"""What a reviewer looks at."""

CLOSED_BY_STAFF = "CLOSED_BY_STAFF"
ACCOUNT_ENDED = "ACCOUNT_ENDED"
SUPPLEMENT_MISSED = "SUPPLEMENT_MISSED"

_OPEN = tuple({int(state.told) for state in State if MACHINE.allows(state, Event.CLOSE)})

SERVICE = "service"
"""Who did it, where it happened by itself."""


@dataclass(frozen=True, slots=True)
class BusinessDesk:
    """``applicant_of``: what the review engine needs to know of an account to find conflicts of interest."""

    guard: Guard
    vault: BusinessVault
    reviews: Reviews
    objects: Objects
    sources: Sources
    applicant_of: Callable[[Connection, str], Applicant]

    def create(
        self,
        connection: Connection,
        *,
        caller: str,
        principal: str,
        service_code: str,
        text: str,
    ) -> BusinessRow:
        """Begin a request of ``principal``; ``caller`` acts for that one where it is another account.

        Raises:
            ServiceError: SERVICE_UNKNOWN, REQUEST_INVALID, BUSINESS_TOO_OFTEN, and those of Guard.admit.
        """
        service = find_service(service_code)
        agent = caller if caller != principal else None
        permission, delegation_id = self.guard.admit(
            connection, principal=principal, agent=agent, service_code=service.code
        )
        if service.needs_reason:
            _check_text(text)
        self.guard.charge(connection, caller)
        business_id, now_us = self.sources.uuid7(), to_us(self.sources.now())
        row = BusinessRow(
            business_id=business_id,
            account_id=principal,
            agent_account_id=agent,
            delegation_id=delegation_id,
            service_code=service.code,
            state=State.DRAFT,
            text=self.vault.seal_text(connection, principal, business_id, text),
            permission=permission.SerializeToString(deterministic=True),
            submit_permission=None,
            process_version=pin(connection, RuleKind.PROCESS, now_us),
            task_id=None,
            supplement_us=None,
            reasons=None,
            created_us=now_us,
            updated_us=now_us,
            state_us=now_us,
            version=1,
        )
        rows.add_request(connection, row)
        self._note(connection, row, pb.BUSINESS_EVENT_CREATED, caller=caller)
        return row

    def edit(
        self, connection: Connection, business_id: str, *, caller: str, text: str, etag: str
    ) -> BusinessRow:
        """Replace the words of a draft.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, BUSINESS_STATE, ETAG_MISMATCH, REQUEST_INVALID.
        """
        row = self._own(connection, business_id, caller)
        check_etag(row, etag)
        MACHINE.after(state_of(row), Event.EDIT)
        if find_service(row.service_code).needs_reason:
            _check_text(text)
        sealed = self.vault.seal_text(connection, row.account_id, row.business_id, text)
        return self._write(connection, replace(row, text=sealed))

    def check_may_add(
        self, connection: Connection, business_id: str, *, caller: str, again: bool = False
    ) -> BusinessRow:
        """Before an upload is read: whether its document would be taken. Nothing is locked.

        ``again``: it may be one that was taken before, and is answered as then, whatever came since.

        Raises:
            ServiceError: as :meth:`add_document`.
        """
        row = self.guard.check_side(connection, rows.get_request(connection, business_id), caller)
        if not again:
            self._check_room(connection, row)
        return row

    def add_document(
        self,
        connection: Connection,
        business_id: str,
        staged: Staged,
        *,
        caller: str,
        kind: pb.BusinessDocumentKind.ValueType,
    ) -> DocumentRow:
        """Keep a document of a draft, or of a supplement.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, BUSINESS_STATE, BUSINESS_TOO_MANY_DOCUMENTS.
        """
        row = self._own(connection, business_id, caller)
        self._check_room(connection, row)
        ref = self.objects.keep(connection, staged)
        document = DocumentRow(
            business_id, ref.object_id, kind, to_us(self.sources.now()), f"account/{caller}"
        )
        rows.add_document(connection, document)
        self._write(connection, row)
        return document

    def remove_document(
        self, connection: Connection, business_id: str, document_id: str, *, caller: str
    ) -> None:
        """Take a document out of a draft.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, also for a document; BUSINESS_STATE.
        """
        row = self._own(connection, business_id, caller)
        MACHINE.after(state_of(row), Event.REMOVE_DOCUMENT)
        if not rows.drop_document(connection, business_id, document_id):
            raise ServiceError(Reason.BUSINESS_NOT_FOUND, "The request has no such document.")
        self.objects.drop(connection, document_id)
        self._write(connection, row)

    def submit(self, connection: Connection, business_id: str, *, caller: str, etag: str = "") -> BusinessRow:
        """Hand in a draft, which makes its review task; or the supplement, with which its review goes on.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, BUSINESS_STATE, ETAG_MISMATCH, those of Guard.admit, and those
                of the review engine.
        """
        seen = self.guard.check_side(connection, rows.get_request(connection, business_id), caller)
        if state_of(seen) is State.DRAFT:
            self.guard.hold_accounts(connection, seen.account_id, caller)
        row = self._own(connection, business_id, caller)
        check_etag(row, etag)
        state = state_of(row)
        MACHINE.after(state, Event.SUBMIT)
        if state is State.SUPPLEMENT:
            given = pb.BUSINESS_EVENT_SUPPLEMENT_GIVEN
            row = self._advance(connection, replace(row, reasons=None), Event.SUBMIT, given, caller=caller)
            self.reviews.resubmitted(connection, subject_of(row.business_id))
            return self.read(connection, business_id)
        permission = self.guard.admit_again(connection, row, account_id=caller)
        row = replace(row, submit_permission=permission.SerializeToString(deterministic=True))
        self._advance(connection, row, Event.SUBMIT, pb.BUSINESS_EVENT_SUBMITTED, caller=caller)
        self.reviews.open_task(
            connection,
            kind=ReviewKind.BUSINESS,
            subject=subject_of(row.business_id),
            applicant=self._applicant(connection, row),
            checks=CHECKS,
        )
        return self.read(connection, business_id)

    def _applicant(self, connection: Connection, row: BusinessRow) -> Applicant:
        """With what a reviewer could share with the applicant, or with the agent who acts."""
        applicant = self.applicant_of(connection, row.account_id)
        if row.agent_account_id is None:
            return applicant
        agent = self.applicant_of(connection, row.agent_account_id)
        return replace(applicant, marks=tuple(dict.fromkeys((*applicant.marks, *agent.marks))))

    def withdraw(self, connection: Connection, business_id: str, *, caller: str) -> BusinessRow:
        """End a request that is not decided.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, BUSINESS_STATE.
        """
        row = self._own(connection, business_id, caller)
        return self._end(connection, row, Event.WITHDRAW, pb.BUSINESS_EVENT_WITHDRAWN, caller=caller)

    def close(self, connection: Connection, business_id: str, *, caller: str, why: str) -> BusinessRow:
        """As :meth:`withdraw`, by staff, with the reason that the applicant reads.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND, BUSINESS_STATE.
        """
        row = self.read(connection, business_id, lock=True)
        MACHINE.after(state_of(row), Event.CLOSE)
        row = self.with_reasons(connection, row, [ReasonText(CLOSED_BY_STAFF, why)])
        return self._end(connection, row, Event.CLOSE, pb.BUSINESS_EVENT_CLOSED, caller=caller)

    def close_all(self, connection: Connection, account_id: str) -> None:
        """Close what is open of an applicant whose account has ended."""
        for row in rows.lock_open(connection, account_id, states=_OPEN):
            ended = self.with_reasons(connection, row, [ReasonText(ACCOUNT_ENDED, "")])
            self._end(connection, ended, Event.CLOSE, pb.BUSINESS_EVENT_CLOSED, caller=SERVICE)

    def happened(
        self,
        connection: Connection,
        row: BusinessRow,
        event: Event,
        told: pb.BusinessEvent.ValueType,
        *,
        supplement_us: int | None = None,
    ) -> BusinessRow:
        """What the review engine does to a request whose row is locked.

        Raises:
            ServiceError: BUSINESS_STATE.
        """
        return self._advance(connection, row, event, told, caller=SERVICE, supplement_us=supplement_us)

    def read(self, connection: Connection, business_id: str, *, lock: bool = False) -> BusinessRow:
        """A request; ``lock``: nobody else changes its row until the transaction ends.

        Raises:
            ServiceError: BUSINESS_NOT_FOUND.
        """
        row = rows.get_request(connection, business_id, lock=lock)
        if row is None:
            raise not_found()
        return row

    def with_reasons(
        self, connection: Connection, row: BusinessRow, reasons: Sequence[ReasonText]
    ) -> BusinessRow:
        """The row with other reasons, not yet written."""
        sealed = self.vault.seal_reasons(connection, row.account_id, row.business_id, reasons)
        return replace(row, reasons=sealed)

    def _own(self, connection: Connection, business_id: str, caller: str) -> BusinessRow:
        # Its two sides never change: what lets the caller in is locked before the request.
        self.guard.check_side(connection, rows.get_request(connection, business_id), caller, hold=True)
        return self.read(connection, business_id, lock=True)

    def _check_room(self, connection: Connection, row: BusinessRow) -> None:
        state = state_of(row)
        MACHINE.after(state, Event.ADD_DOCUMENT)
        limit = MAX_DOCUMENTS if state is State.DRAFT else MAX_WITH_SUPPLEMENTS
        if len(rows.list_documents(connection, row.business_id)) >= limit:
            raise ServiceError(
                Reason.BUSINESS_TOO_MANY_DOCUMENTS,
                f"A request in this state has at most {limit} documents.",
                {"limit": str(limit)},
            )

    def _end(
        self,
        connection: Connection,
        row: BusinessRow,
        event: Event,
        told: pb.BusinessEvent.ValueType,
        *,
        caller: str,
    ) -> BusinessRow:
        reviewed = state_of(row) in UNDER_REVIEW
        ended = self._advance(connection, row, event, told, caller=caller)
        if reviewed:
            self.reviews.withdrawn(connection, subject_of(row.business_id))
        return ended

    def _advance(
        self,
        connection: Connection,
        row: BusinessRow,
        event: Event,
        told: pb.BusinessEvent.ValueType,
        *,
        caller: str,
        supplement_us: int | None = None,
    ) -> BusinessRow:
        before = state_of(row)
        after = MACHINE.after(before, event)
        moved = after.told != before.told
        awaited = (supplement_us or row.supplement_us) if after is State.SUPPLEMENT else None
        new = replace(
            row,
            state=int(after.told),
            state_us=to_us(self.sources.now()) if moved else row.state_us,
            supplement_us=awaited,
        )
        self._note(connection, new, told, caller=caller, left=row if moved else None)
        return self._write(connection, new)

    def _write(self, connection: Connection, row: BusinessRow) -> BusinessRow:
        new = replace(row, updated_us=to_us(self.sources.now()), version=row.version + 1)
        rows.change_request(connection, new)
        return new

    def _note(
        self,
        connection: Connection,
        row: BusinessRow,
        event: pb.BusinessEvent.ValueType,
        *,
        caller: str,
        left: BusinessRow | None = None,
    ) -> None:
        now_us = to_us(self.sources.now())
        rows.add_event(
            connection,
            EventRow(
                business_id=row.business_id,
                seq=rows.newest_seq(connection, row.business_id) + 1,
                event=event,
                time_us=now_us,
                state=row.state,
                left_state=left.state if left else None,
                lasted_us=max(0, now_us - left.state_us) if left else None,
                process_version=row.process_version,
                caller=caller,
            ),
        )


def subject_of(business_id: str) -> str:
    """What the review engine and the audit chain call a request."""
    return f"business/{business_id}"


def _check_text(text: str) -> None:
    if not text.strip():
        refuse_field("text", rule="service.needs_reason", why="says what this kind of business is about")
