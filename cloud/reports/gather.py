"""What a report says of a contract, from the rows of one moment, held against the file itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.contracts.core import subject_of
from cloud.contracts.desk import Contracts
from cloud.contracts.states import State
from cloud.errors import Reason, ServiceError
from cloud.privacy.masks import mask_id_number
from cloud.reports.inside import Inside, signatures_in
from cloud.signatures.binding import bind
from cloud.signers.authority import counts_until
from cloud.sources import from_us
from cloud.store import contracts as contract_rows
from cloud.store import seals as seal_rows
from cloud.store import signatures as rows
from cloud.store import signers as signer_rows
from cloud.store.contracts import ContractRow, PartyRow
from cloud.store.signatures import RecordRow
from cloud.verifications.desk import Verifications
from verifield import report_facts as facts
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import identity_service_pb2 as identity_pb
from verifield.v1 import signing_service_pb2 as pb

EVENTS_OF_EACH_END = 1_000
"""Of a longer timeline the middle is left out, and the numbers show it: nobody makes a report too long to be
checked by opening or archiving a contract again and again."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """All but the evidence itself, whose files have no names yet. ``records``: the signatures as rows."""

    contract: facts.ContractFacts
    parties: tuple[facts.PartyFacts, ...]
    signatures: tuple[facts.SignatureFacts, ...]
    seal_uses: tuple[facts.SealUseFacts, ...]
    revisions: tuple[facts.RevisionFacts, ...]
    timeline: tuple[facts.EventFacts, ...]
    records: tuple[RecordRow, ...]


class Gatherer:
    """Reads, in the caller's transaction."""

    def __init__(self, contracts: Contracts, accounts: Accounts, verifications: Verifications) -> None:
        self._contracts = contracts
        self._accounts = accounts
        self._verifications = verifications

    def gather(self, connection: Connection, contract_id: str, account_id: str) -> Gathered:
        """A contract as this account may see it.

        Raises:
            ServiceError: CONTRACT_OTHERS; CONTRACT_STATE: it was not sent; RECORD_DAMAGED: what was recorded
                is not what stands in the file; OBJECT_NOT_FOUND, OBJECT_DAMAGED.
        """
        contract = self._contracts.get(connection, contract_id)
        self._contracts.view(connection, contract, account_id)
        content = self._contracts.open_current(connection, contract)
        parties = self._contracts.parties(connection, contract)
        numbers = {one.party_id: one.number for one in parties}
        records = rows.records_of(connection, contract_id)
        inside = signatures_in(content)
        revoked = signer_rows.revoked_among(connection, {one.serial for one in records})
        codes = {one.party_id: inside[one.field].uscc for one in records if one.field in inside}
        pages = {one.field_name: one.page for one in contract_rows.widgets_of(connection, contract_id)}
        return Gathered(
            contract=self._contract(connection, contract),
            parties=tuple(self._party(connection, one, codes.get(one.party_id, "")) for one in parties),
            signatures=tuple(
                _signature(
                    one,
                    inside,
                    number=numbers[one.party_id],
                    page=pages[one.field],
                    revoked=counts_until(revoked[one.serial]) if one.serial in revoked else None,
                )
                for one in records
            ),
            seal_uses=_seal_uses(connection, contract_id),
            revisions=_revisions(connection, contract_id, numbers),
            timeline=_timeline(connection, contract_id, numbers),
            records=tuple(records),
        )

    def _contract(self, connection: Connection, row: ContractRow) -> facts.ContractFacts:
        details = self._contracts.core.vault.open_details(connection, row)
        return facts.ContractFacts(
            contract_id=row.contract_id,
            state=State(row.state).name,
            flow=_short(contract_pb.ContractFlow.Name, row.flow, "CONTRACT_FLOW_"),
            title=details.title,
            number=details.number,
            category=row.category,
            allowed_methods=tuple(_method(one) for one in sorted(self._contracts.allowed_methods(row))),
            page_count=row.page_count,
            created=from_us(row.created_us),
            sent=from_us(row.sent_us or 0),
            deadline=_time(row.deadline_us),
            completed=_time(row.completed_us),
            upload_sha256=row.upload_sha256,
            document_sha256=row.document_sha256 or b"",
            revision_number=row.revision_no,
            revision_sha256=row.revision_sha256 or b"",
        )

    def _party(self, connection: Connection, row: PartyRow, uscc: str) -> facts.PartyFacts:
        return facts.PartyFacts(
            number=row.number,
            party_id=row.party_id,
            kind=_short(contract_pb.ContractPartyKind.Name, row.kind, "CONTRACT_PARTY_KIND_"),
            role=_short(contract_pb.ContractPartyRole.Name, row.role, "CONTRACT_PARTY_ROLE_"),
            state=_short(contract_pb.ContractPartyState.Name, row.state, "CONTRACT_PARTY_STATE_"),
            sender=row.is_sender,
            name=self._contracts.name_of(connection, row),
            uscc=uscc,
            identity=self._identity(connection, row),
            notified=_time(row.notified_us),
            opened=_time(row.opened_us),
            read=_time(row.read_us),
            read_sha256=row.read_sha256 or b"",
            authenticated=_time(row.authenticated_us),
            acted=_time(row.acted_us),
        )

    def _identity(self, connection: Connection, row: PartyRow) -> facts.Identity | None:
        """Of the person who acted, and of nobody else: who was found by a number that the sender wrote down
        has told them nothing yet. A number that was erased is empty."""
        if row.acted_by is None:
            return None
        try:
            person = self._accounts.personal(connection, row.acted_by)
        except ServiceError as error:
            if error.reason is not Reason.ACCOUNT_NOT_FOUND:
                raise
            return None
        standing = self._verifications.standing(connection, row.acted_by)
        return facts.Identity(
            name=person.name,
            id_number=mask_id_number(person.id_number) if person.id_number else "",
            method=_short(identity_pb.VerificationMethod.Name, standing.method, "VERIFICATION_METHOD_"),
            verified=_time(standing.verified_us or None),
        )


def _signature(
    row: RecordRow, inside: Mapping[str, Inside], *, number: int, page: int, revoked: datetime | None
) -> facts.SignatureFacts:
    there = inside.get(row.field)
    if there is None or there.serial != row.serial:
        raise ServiceError(Reason.RECORD_DAMAGED, "A signature that was recorded is not in the file.")
    return facts.SignatureFacts(
        record_id=row.record_id,
        party_number=number,
        signer=there.signer,
        kind=_short(pb.SignatureKind.Name, row.kind, "SIGNATURE_KIND_"),
        field=row.field,
        page=page,
        certificate=row.serial,
        certificate_sha256=there.certificate_sha256,
        revoked=revoked,
        method=_method(row.method),
        evidence_id=row.evidence_id,
        evidence_sha256=row.evidence_sha256 or b"",
        device_id=row.device_id,
        task_id="",
        file="",
        document_sha256=row.document_sha256,
        challenge=row.challenge,
        nonce=bind(row.contract_id, row.party_id, row.document_sha256, row.challenge),
        preview_sha256=row.preview_sha256,
        before_sha256=row.before_sha256,
        after_sha256=row.after_sha256,
        authenticated=from_us(row.authenticated_us),
        signed=from_us(row.signed_us),
        stamp=there.stamp,
        seal_id=row.seal_id or "",
        seal_version=row.seal_version,
    )


def _seal_uses(connection: Connection, contract_id: str) -> tuple[facts.SealUseFacts, ...]:
    return tuple(
        facts.SealUseFacts(
            use_id=one.use_id,
            seal_id=one.seal_id,
            version=one.version,
            organisation_id=one.organisation_id,
            grant_id=one.grant_id,
            field=one.field_name,
            document_sha256=one.document_sha256,
            time=from_us(one.time_us),
        )
        for one in seal_rows.uses_of(connection, subject_of(contract_id))
    )


def _revisions(
    connection: Connection, contract_id: str, numbers: Mapping[str, int]
) -> tuple[facts.RevisionFacts, ...]:
    return tuple(
        facts.RevisionFacts(
            number=one.revision_no,
            sha256=one.sha256,
            time=from_us(one.at_us),
            party_number=numbers.get(one.party_id or "", 0),
        )
        for one in sorted(
            contract_rows.revisions_of(connection, contract_id), key=lambda one: one.revision_no
        )
    )


def _timeline(
    connection: Connection, contract_id: str, numbers: Mapping[str, int]
) -> tuple[facts.EventFacts, ...]:
    found = contract_rows.events_of(connection, contract_id)
    if len(found) > 2 * EVENTS_OF_EACH_END:
        found = found[:EVENTS_OF_EACH_END] + found[-EVENTS_OF_EACH_END:]
    return tuple(
        facts.EventFacts(
            number=one.number,
            event=_short(contract_pb.ContractEventKind.Name, one.event, "CONTRACT_EVENT_KIND_"),
            state=State(one.state).name,
            time=from_us(one.at_us),
            party_number=numbers.get(one.party_id or "", 0),
        )
        for one in found
    )


def _method(number: int) -> str:
    return _short(pb.SignMethod.Name, number, "SIGN_METHOD_")


def _short(name: Callable[[Any], str], number: int, prefix: str) -> str:
    """A name of the contract without what all of its names begin with."""
    return name(number).removeprefix(prefix)


def _time(moment_us: int | None) -> datetime | None:
    return None if moment_us is None else from_us(moment_us)
