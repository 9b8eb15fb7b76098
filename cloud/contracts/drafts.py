"""What a sender does with a draft, each within the transaction that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from cloud.contracts.core import Core, check_etag
from cloud.contracts.marks import default_marks, encode_pages, make_widgets
from cloud.contracts.states import DRAFTS, MACHINE, Event, PartyState, State
from cloud.contracts.terms import MAX_DRAFTS, bits_of, check_deadline, check_zone
from cloud.contracts.vault import PARTIES, Details
from cloud.contracts.who import Named, check_whole, parse_parties
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Staged
from cloud.pdf.intake import Document
from cloud.sources import from_us
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow, WidgetRow
from verifield.v1 import contract_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Drafts:
    """``account_id``: who asks."""

    core: Core

    def check_upload(self, connection: Connection, account_id: str, header: pb.ContractHeader) -> None:
        """Check whether somebody may upload a contract, before its file is taken.

        Raises:
            ServiceError: REAL_NAME_REQUIRED, ACCOUNT_NOT_ACTIVE, ACCOUNT_LOCKED, CONTRACT_TOO_MANY,
                CONTRACT_DEADLINE, CONTRACT_OTHERS, ORG_REAL_NAME_REQUIRED, and what the parties are refused
                for.
        """
        core = self.core
        core.require_real_name(connection, account_id)
        if header.organisation_id:
            core.organisations.require_verified(connection, header.organisation_id)
            if not core.organisations.may_act(connection, header.organisation_id, account_id):
                raise ServiceError(Reason.CONTRACT_OTHERS, "You do not act for this organisation.")
        if rows.count_drafts(connection, account_id, DRAFTS) >= MAX_DRAFTS:
            raise ServiceError(
                Reason.CONTRACT_TOO_MANY, "There are too many drafts.", {"limit": str(MAX_DRAFTS)}
            )
        self._terms(header.terms)
        if header.parties:
            check_whole(
                parse_parties(header.parties, organisation_id=header.organisation_id or None),
                flow=header.flow,
            )

    def create(
        self,
        connection: Connection,
        account_id: str,
        contract_id: str,
        header: pb.ContractHeader,
        *,
        document: Document,
        staged: Staged,
    ) -> ContractRow:
        """Keep a file that was received as a draft.

        Raises:
            ServiceError: as :meth:`check_upload`; MARKS_NO_ROOM.
        """
        self.check_upload(connection, account_id, header)
        details = details_of(header.details)
        if header.flow == pb.CONTRACT_FLOW_SHORT and not details.title:
            details = replace(details, title=f"{from_us(self.core.now_us):%Y-%m-%d}")
        row = self._new(
            connection, account_id, contract_id, header, document=document, staged=staged, details=details
        )
        if header.parties:
            row = self._put_parties(
                connection, row, parse_parties(header.parties, organisation_id=row.sender_organisation_id)
            )
        self.core.index(connection, row)
        return row

    def update(
        self, connection: Connection, account_id: str, request: pb.UpdateContractRequest
    ) -> ContractRow:
        """Replace what is told about a draft, and, where it is given, how it is to be signed.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, ETAG_MISMATCH, CONTRACT_DEADLINE.
        """
        row = self._editable(connection, account_id, request.contract_id, request.etag)
        row = self.core.move(
            connection,
            row,
            Event.EDIT,
            details=self.core.vault.details(connection, row.contract_id, details_of(request.details)),
            category=request.details.category,
            **(self._terms(request.terms) if request.HasField("terms") else {}),
        )
        self.core.index(connection, row)
        return row

    def set_parties(
        self,
        connection: Connection,
        account_id: str,
        contract_id: str,
        parties: Iterable[pb.NewParty],
        *,
        etag: str,
    ) -> ContractRow:
        """Replace the parties, and with them all marks.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, ETAG_MISMATCH, PARTY_INVALID, PARTY_DUPLICATE,
                PARTIES_TOO_FEW, PARTIES_ORDER, MARKS_NO_ROOM.
        """
        row = self._editable(connection, account_id, contract_id, etag)
        named = parse_parties(parties, organisation_id=row.sender_organisation_id)
        check_whole(named, flow=row.flow)
        row = self._put_parties(connection, self.core.move(connection, row, Event.EDIT), named)
        self.core.index(connection, row)
        return row

    def place_marks(
        self,
        connection: Connection,
        account_id: str,
        contract_id: str,
        marks: Iterable[pb.NewMark],
        *,
        etag: str,
    ) -> tuple[ContractRow, list[WidgetRow]]:
        """Replace the places of marks.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, ETAG_MISMATCH, MARKS_REFUSED.
        """
        row = self._editable(connection, account_id, contract_id, etag)
        parties = rows.parties_of(connection, contract_id)
        widgets = make_widgets(row, parties, marks, self._ids())
        rows.put_widgets(connection, contract_id, widgets)
        return self.core.move(connection, row, Event.EDIT), widgets

    def copy(
        self, connection: Connection, account_id: str, old: ContractRow, contract_id: str, staged: Staged
    ) -> ContractRow:
        """Begin a draft with the file, the parties and the marks of a contract that came to nothing.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, REAL_NAME_REQUIRED, CONTRACT_TOO_MANY.
        """
        core = self.core
        old = core.own(connection, old.contract_id, account_id)
        MACHINE.after(State(old.state), Event.COPY)
        header = pb.ContractHeader(
            flow=pb.ContractFlow.ValueType(old.flow), organisation_id=old.sender_organisation_id or ""
        )
        self.check_upload(connection, account_id, header)
        ref, now_us = core.objects.keep(connection, staged), core.now_us
        row = replace(
            old,
            contract_id=contract_id,
            sender_account_id=account_id,
            state=int(State.DRAFT),
            details=core.vault.details(connection, contract_id, core.vault.open_details(connection, old)),
            deadline_us=None,
            deadline_by_default=True,
            upload_id=ref.object_id,
            document_id=None,
            document_sha256=None,
            revision_id=None,
            revision_no=0,
            revision_sha256=None,
            stamp_waits_us=None,
            copied_from=old.contract_id,
            sent_us=None,
            completed_us=None,
            ended_us=None,
            retention_until_us=None,
            created_us=now_us,
            updated_us=now_us,
            version=1,
        )
        self._add(connection, row)
        self._copy_parties(connection, old, row)
        core.index(connection, row)
        return row

    def _new(
        self,
        connection: Connection,
        account_id: str,
        contract_id: str,
        header: pb.ContractHeader,
        *,
        document: Document,
        staged: Staged,
        details: Details,
    ) -> ContractRow:
        core, now_us = self.core, self.core.now_us
        ref = core.objects.keep(connection, staged)
        row = ContractRow(
            contract_id=contract_id,
            sender_account_id=account_id,
            sender_organisation_id=header.organisation_id or None,
            state=int(State.DRAFT),
            flow=header.flow,
            details=core.vault.details(connection, contract_id, details),
            category=header.details.category,
            **self._terms(header.terms),
            upload_id=ref.object_id,
            upload_sha256=ref.sha256,
            pages=encode_pages(document.pages),
            page_count=len(document.pages),
            document_id=None,
            document_sha256=None,
            revision_id=None,
            revision_no=0,
            revision_sha256=None,
            stamp_waits_us=None,
            copied_from=None,
            sent_us=None,
            completed_us=None,
            ended_us=None,
            retention_until_us=None,
            created_us=now_us,
            updated_us=now_us,
            version=1,
        )
        self._add(connection, row)
        return row

    def _add(self, connection: Connection, row: ContractRow) -> None:
        rows.add_contract(connection, row)
        rows.add_event(
            connection,
            row.contract_id,
            event=int(Event.CREATE),
            state=row.state,
            at_us=row.created_us,
            party_id=None,
        )

    def _put_parties(self, connection: Connection, row: ContractRow, named: list[Named]) -> ContractRow:
        """In the short flow the marks get their places at once, where the sender can move them."""
        self._check_self(connection, row, named)
        rows.drop_parties(connection, row.contract_id)
        found = []
        for number, one in enumerate(named, start=1):
            party = self._party(connection, row, number, one)
            rows.add_party(connection, party)
            found.append(party)
        if row.flow == pb.CONTRACT_FLOW_SHORT:
            marks = default_marks(row, found)
            rows.put_widgets(
                connection, row.contract_id, make_widgets(row, found, marks, self._ids(), by_default=True)
            )
        return row

    def _check_self(self, connection: Connection, row: ContractRow, named: Iterable[Named]) -> None:
        """Check that a sender who is a party is not another one too, by account or by name and number."""
        person = pb.CONTRACT_PARTY_KIND_PERSON
        if not any(one.is_sender and one.kind == person for one in named):
            return
        me = self.core.accounts.personal(connection, row.sender_account_id)
        for number, one in enumerate(named, start=1):
            same = one.kind == person and one.name == me.name and one.address in {me.phone, me.email} - {""}
            if same or one.asked.account_id == row.sender_account_id:
                raise ServiceError(
                    Reason.PARTY_DUPLICATE, "The sender is named twice.", {"number": str(number)}
                )

    def _party(self, connection: Connection, row: ContractRow, number: int, one: Named) -> PartyRow:
        core, party_id = self.core, self.core.sources.uuid7()
        key = core.vault.key_of(connection, row.contract_id)
        name, account_id, organisation_id = one.name, None, None
        if one.is_sender:
            account_id = row.sender_account_id
            name = core.accounts.personal(connection, account_id).name
            if one.kind == pb.CONTRACT_PARTY_KIND_ORGANISATION and row.sender_organisation_id is not None:
                account_id, organisation_id = None, row.sender_organisation_id
                name = core.organisations.identity(connection, organisation_id).name
        return PartyRow(
            party_id=party_id,
            contract_id=row.contract_id,
            number=number,
            kind=one.kind,
            role=one.role,
            group_no=one.group,
            state=int(PartyState.INVITED),
            is_sender=one.is_sender,
            account_id=account_id,
            organisation_id=organisation_id,
            name=core.vault.text(key, PARTIES, "name", party_id, name),
            address=core.vault.text(key, PARTIES, "address", party_id, one.address),
            asked=core.vault.asked(key, party_id, one.asked),
            decline_reason=None,
            link_digest=None,
            link_tries=0,
            pages_seen=b"",
            turn_us=None,
            notified_us=None,
            opened_us=None,
            read_us=None,
            read_sha256=None,
            authenticated_us=None,
            acted_us=None,
            acted_by=None,
            reminders=0,
            reminded_us=None,
        )

    def _copy_parties(self, connection: Connection, old: ContractRow, row: ContractRow) -> None:
        vault = self.core.vault
        ids = {}
        for party in rows.parties_of(connection, old.contract_id):
            named = Named(
                party.kind,
                party.role,
                party.group_no,
                is_sender=party.is_sender,
                name=vault.open_party(connection, party, "name"),
                address=vault.open_party(connection, party, "address"),
                asked=vault.open_asked(connection, party),
            )
            made = self._party(connection, row, party.number, named)
            rows.add_party(connection, made)
            ids[party.party_id] = made.party_id
        widgets = rows.widgets_of(connection, old.contract_id)
        rows.put_widgets(
            connection,
            row.contract_id,
            [
                replace(
                    one,
                    widget_id=self.core.sources.uuid7(),
                    contract_id=row.contract_id,
                    party_id=ids[one.party_id],
                    state=pb.CONTRACT_MARK_STATE_PLACED,
                )
                for one in widgets
            ],
        )

    def _editable(self, connection: Connection, account_id: str, contract_id: str, etag: str) -> ContractRow:
        row = self.core.own(connection, contract_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.EDIT)
        check_etag(row, etag)
        return row

    def _deadline(self, terms: pb.ContractTerms) -> int | None:
        if not terms.HasField("deadline_time"):
            return None
        deadline_us = terms.deadline_time.ToMicroseconds()
        check_deadline(deadline_us, now_us=self.core.now_us)
        return deadline_us

    def _terms(self, terms: pb.ContractTerms) -> dict[str, Any]:
        """The columns of a contract that these fill."""
        deadline_us = self._deadline(terms)
        check_zone(terms.time_zone)
        return {
            "deadline_us": deadline_us,
            "deadline_by_default": deadline_us is None,
            "allowed_methods": bits_of(terms.allowed_methods),
            "review_required": terms.review_required,
            "time_zone": terms.time_zone or self.core.zone,
        }

    def _ids(self) -> Iterator[str]:
        while True:
            yield self.core.sources.uuid7()


def details_of(given: pb.ContractDetails) -> Details:
    """What is sealed of it."""
    return Details(
        title=given.title.strip(),
        number=given.number.strip(),
        amount=given.amount.value,
        currency=given.amount.currency,
        folder=given.folder.strip(),
        tags=tuple(given.tags),
        note=given.note,
    )
