"""Sending: the document is frozen outside of transactions, then everything else happens in one.

1  what is to be sent is checked, and read, at one version of the contract
2  the document is frozen: its fields are made, the platform certifies it, an authority stamps the time
3  its file is written durably
4  in one transaction, at the same version: the contract is SENT, with the time; messages to those whose turn
   it is lie in the outbox

Where the service dies before 4 is durable, nothing was sent, and the sweep takes the file. Afterwards nothing
is lost: messages go out when a server looks at the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.contracts import views
from cloud.contracts.core import Core, check_etag, etag_of, subject_of
from cloud.contracts.desk import add_revision
from cloud.contracts.marks import check_widgets, place_of
from cloud.contracts.ports import Freezer
from cloud.contracts.reviewing import check_approved
from cloud.contracts.states import MACHINE, Event, State
from cloud.contracts.terms import DEFAULT_DEADLINE_US, MAX_SENT, SENT_WITHIN_US, check_deadline
from cloud.contracts.turns import begin_turns, tell_copies
from cloud.contracts.who import Named, check_whole
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.objects.kinds import MediaType
from cloud.objects.store import Staged
from cloud.pdf.fields import Place
from cloud.privacy.normal import normal_name
from cloud.sources import from_us
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow
from cloud.store.database import Store
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb

_MILLI = 1000

_SHOWS = frozenset({signing_pb.MARK_KIND_SIGNATURE, signing_pb.MARK_KIND_SEAL})
"""Marks of which each who signs has one at least."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A contract as it is to be sent. ``content``: the file as it was uploaded."""

    row: ContractRow
    content: bytes
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Sending:
    """``account_id``: who asks."""

    core: Core
    freezer: Freezer
    store: Store
    mutations: Mutations

    async def send(self, request: pb.SendContractRequest, account_id: str) -> pb.SendContractResponse:
        """Send a draft.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, ETAG_MISMATCH, REAL_NAME_REQUIRED,
                ORG_REAL_NAME_REQUIRED, CONTRACT_SENT_TOO_MANY, CONTRACT_REVIEW_REQUIRED,
                CONTRACT_INCOMPLETE, CONTRACT_DEADLINE, TIMESTAMP_UNAVAILABLE, OBJECT_NO_ROOM.
        """
        prepared: Prepared | None = None
        refusal: ServiceError | None = None
        staged: Staged | None = None
        told: dict[str, str] = {}
        try:
            prepared = await self.store.look(
                lambda connection: self.prepare(
                    connection, account_id, request.contract_id, etag=request.etag
                )
            )
            staged = await asyncio.to_thread(self._freeze, prepared)
        except ServiceError as error:
            refusal = error  # the same request may have been done before: then it is answered as then

        def work(connection: Connection) -> pb.SendContractResponse:
            if prepared is None or staged is None:
                raise refusal or ServiceError(Reason.INTERNAL, "Nothing was prepared.")
            row = self.commit(connection, account_id, prepared, staged)
            told["sent"] = from_us(row.sent_us or 0).isoformat(timespec="milliseconds")
            told["sha256"] = (row.document_sha256 or b"").hex()
            return pb.SendContractResponse(contract=views.contract(row))

        try:
            return await self.mutations.run(
                request,
                action="contracts.send",
                subject=subject_of(request.contract_id),
                work=work,
                facts=told,
            )
        finally:
            if staged is not None:
                await asyncio.to_thread(self.core.objects.settle, self.store, staged)

    def prepare(
        self, connection: Connection, account_id: str, contract_id: str, *, etag: str = ""
    ) -> Prepared:
        """Step 1."""
        row = self.core.own(connection, contract_id, account_id)
        MACHINE.after(State(row.state), Event.SEND)
        check_etag(row, etag)
        self._check(connection, account_id, row)
        widgets = rows.widgets_of(connection, contract_id)
        check_widgets(row, widgets)
        content = self.core.objects.open(connection, row.upload_id)
        return Prepared(row, content, [place_of(one) for one in widgets])

    def commit(
        self, connection: Connection, account_id: str, prepared: Prepared, staged: Staged
    ) -> ContractRow:
        """Step 4; all that step 1 found has to be so still."""
        core = self.core
        row = core.own(connection, prepared.row.contract_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.SEND)
        check_etag(row, etag_of(prepared.row))
        self._check(connection, account_id, row)
        ref = core.objects.keep(connection, staged)
        sent_us = core.now_us // _MILLI * _MILLI
        details = replace(core.vault.open_details(connection, row), sender=self._sender(connection, row))
        add_revision(connection, row, 0, ref.object_id, ref.sha256, at_us=sent_us, party_id=None)
        row = core.move(
            connection,
            row,
            Event.SEND,
            at_us=sent_us,
            details=core.vault.details(connection, row.contract_id, details),
            sent_us=sent_us,
            deadline_us=row.deadline_us or sent_us + DEFAULT_DEADLINE_US,
            document_id=ref.object_id,
            document_sha256=ref.sha256,
            revision_id=ref.object_id,
            revision_sha256=ref.sha256,
            revision_no=0,
        )
        rows.set_widget_state(connection, row.contract_id, pb.CONTRACT_MARK_STATE_FROZEN)
        self._resolve(connection, row)
        begin_turns(core, connection, row)
        tell_copies(core, connection, row)
        core.index(connection, row)
        return row

    def _freeze(self, prepared: Prepared) -> Staged:
        content = self.freezer.freeze(prepared.content, prepared.places)
        return self.core.objects.stage(content, person_id=prepared.row.contract_id, media_type=MediaType.PDF)

    def _check(self, connection: Connection, account_id: str, row: ContractRow) -> None:
        core = self.core
        core.require_real_name(connection, account_id)
        if row.sender_organisation_id is not None:
            core.organisations.require_verified(connection, row.sender_organisation_id)
        since_us = core.now_us - SENT_WITHIN_US
        if rows.count_sent(connection, row.sender_account_id, since_us=since_us) >= MAX_SENT:
            raise ServiceError(
                Reason.CONTRACT_SENT_TOO_MANY, "Too many contracts were sent today.", {"limit": str(MAX_SENT)}
            )
        check_approved(connection, row)
        if row.deadline_us is not None:
            check_deadline(row.deadline_us, now_us=core.now_us)
        missing = [] if core.vault.open_details(connection, row).title else ["TITLE"]
        parties = rows.parties_of(connection, row.contract_id)
        if not parties:
            missing.append("PARTIES")
        widgets = rows.widgets_of(connection, row.contract_id)
        marked = {one.party_id for one in widgets if one.kind in _SHOWS}
        signers = {one.party_id for one in parties if one.role == pb.CONTRACT_PARTY_ROLE_SIGNER}
        if signers - marked:
            missing.append("MARKS")
        if missing:
            told = ",".join(missing)
            raise ServiceError(Reason.CONTRACT_INCOMPLETE, f"There is missing: {told}.", {"missing": told})
        check_whole([_as_named(one) for one in parties], flow=row.flow)

    def _sender(self, connection: Connection, row: ContractRow) -> str:
        if row.sender_organisation_id is not None:
            return self.core.organisations.identity(connection, row.sender_organisation_id).name
        return self.core.accounts.personal(connection, row.sender_account_id).name

    def _resolve(self, connection: Connection, row: ContractRow) -> None:
        """Find those parties that can be nobody else: the contract waits in their accounts.

        What is found changes no answer to the sender. Everybody else becomes a party by the link.
        """
        parties = rows.parties_of(connection, row.contract_id)
        taken = {one.organisation_id or one.account_id for one in parties}
        for party in parties:
            if party.is_sender:
                continue
            found = self._find(connection, party)
            if found is None or (found.organisation_id or found.account_id) in taken:
                continue
            taken.add(found.organisation_id or found.account_id)
            rows.change_party(connection, found)

    def _find(self, connection: Connection, party: PartyRow) -> PartyRow | None:
        core = self.core
        name = core.vault.open_party(connection, party, "name")
        asked = core.vault.open_asked(connection, party)
        if party.kind == pb.CONTRACT_PARTY_KIND_ORGANISATION:
            if not asked.organisation_id:
                return None
            try:
                known = core.organisations.identity(connection, asked.organisation_id).name
            except ServiceError:
                return None  # none, or none that may act: whoever opens the link will be told
            same = normal_name(known) == normal_name(name)
            return replace(party, organisation_id=asked.organisation_id) if same else None
        account_id = asked.account_id or self._account_at(connection, party)
        try:
            same = bool(account_id) and core.verified_name(connection, account_id) == name
        except ServiceError:
            return None  # no such account
        return replace(party, account_id=account_id) if same else None

    def _account_at(self, connection: Connection, party: PartyRow) -> str:
        address = self.core.vault.open_party(connection, party, "address")
        if not address or "@" in address:
            return ""  # accounts are found by telephone numbers, which were proven, not by e-mail
        found = self.core.accounts.find_by_identifier(connection, address)
        return found.account_id if found else ""


def _as_named(party: PartyRow) -> Named:
    return Named(party.kind, party.role, party.group_no, is_sender=party.is_sender)
