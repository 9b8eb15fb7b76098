"""Rows as the contract of this service has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.contracts.acts import unread
from cloud.contracts.core import Core, Seen, View, etag_of
from cloud.contracts.marks import document_of, place_of
from cloud.contracts.states import DRAFTS, State
from cloud.contracts.terms import methods_of
from cloud.contracts.vault import Details
from cloud.pdf.intake import Page
from cloud.privacy.masks import mask_email, mask_phone
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow, PartyRow, WidgetRow
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb


def moment(time_us: int | None) -> Timestamp | None:
    """A time; None for none."""
    if time_us is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


def contract(row: ContractRow) -> pb.Contract:
    """Without what is personal."""
    return pb.Contract(
        contract_id=row.contract_id,
        state=pb.ContractState.ValueType(row.state),
        flow=pb.ContractFlow.ValueType(row.flow),
        organisation_id=row.sender_organisation_id or "",
        deadline_time=moment(row.deadline_us),
        deadline_by_default=row.deadline_by_default,
        allowed_methods=sorted(map(signing_pb.SignMethod.ValueType, methods_of(row.allowed_methods))),
        review_required=row.review_required,
        page_count=row.page_count,
        upload_sha256=row.upload_sha256,
        document_sha256=row.document_sha256 or b"",
        revision_no=row.revision_no,
        revision_sha256=row.revision_sha256 or b"",
        timestamp_pending=row.stamp_waits_us is not None,
        send_time=moment(row.sent_us),
        complete_time=moment(row.completed_us),
        retention_time=moment(row.retention_until_us),
        create_time=moment(row.created_us),
        update_time=moment(row.updated_us),
        copied_from=row.copied_from or "",
        time_zone=row.time_zone,
        etag=etag_of(row),
    )


def details(row: ContractRow, found: Details, *, sends: bool) -> pb.ContractDetails:
    """What the sender told; where it is filed is shown to the sender's side alone (``sends``)."""
    amount = pb.ContractAmount(value=found.amount, currency=found.currency) if found.amount else None
    return pb.ContractDetails(
        title=found.title,
        number=found.number,
        amount=amount,
        category=row.category,
        folder=found.folder if sends else "",
        tags=found.tags if sends else (),
        note=found.note,
    )


def page_sizes(pages: Iterable[Page]) -> list[pb.PageSize]:
    """In points."""
    return [pb.PageSize(width=page.width, height=page.height) for page in pages]


def marks(found: Iterable[WidgetRow], parties: Iterable[PartyRow]) -> list[pb.ContractMark]:
    """Where they stand."""
    numbers = {party.party_id: party.number for party in parties}
    listed = []
    for one in found:
        box = place_of(one).box
        listed.append(
            pb.ContractMark(
                mark_id=one.widget_id,
                party_number=numbers[one.party_id],
                kind=signing_pb.MarkKind.ValueType(one.kind),
                state=pb.ContractMarkState.ValueType(one.state),
                page=one.page,
                box=pb.MarkBox(x=box.x, y=box.y, width=box.width, height=box.height),
                field_name=one.field_name,
                by_default=one.by_default,
            )
        )
    return listed


def whole(
    core: Core, connection: Connection, row: ContractRow, view: View, account_id: str
) -> pb.GetContractResponse:
    """All there is about a contract, for one who may see it."""
    found = rows.parties_of(connection, row.contract_id)
    numbers = {party.party_id: party.number for party in found}
    inside = view.seen is not Seen.PARTY
    told = core.vault.open_details(connection, row)
    return pb.GetContractResponse(
        contract=contract(row),
        details=details(row, told, sends=inside),
        pages=page_sizes(document_of(row).pages),
        parties=parties(core, connection, found, view, account_id),
        marks=marks(rows.widgets_of(connection, row.contract_id), found),
        reviews=reviews(core, connection, row) if inside else [],
        timeline=[
            one
            for one in timeline(connection, row, numbers)
            if inside or one.state not in (pb.CONTRACT_STATE_DRAFT, pb.CONTRACT_STATE_INTERNAL_REVIEW)
        ],
        revisions=revisions(connection, row, numbers),
        pages_to_read=unread(row, view.party) if view.party and State(row.state) not in DRAFTS else [],
    )


def parties(
    core: Core, connection: Connection, found: list[PartyRow], view: View, account_id: str
) -> list[pb.ContractParty]:
    """With names; addresses for the sender alone, masked."""
    names = core.vault.open_parties(connection, found, "name")
    reasons = core.vault.open_parties(connection, found, "decline_reason")
    addresses = core.vault.open_parties(connection, found, "address") if view.seen is Seen.SENDER else {}
    listed = []
    for one in found:
        party = bare_party(one)
        party.name = names[one.party_id]
        party.decline_reason = reasons[one.party_id]
        party.masked_contact = _mask(addresses.get(one.party_id, ""))
        known = one.opened_us is not None or one.is_sender or view.party is not None
        party.is_me = known and core.is_party(connection, one, account_id)
        listed.append(party)
    return listed


def bare_party(one: PartyRow) -> pb.ContractParty:
    """Without names and reasons."""
    return pb.ContractParty(
        party_id=one.party_id,
        number=one.number,
        kind=pb.ContractPartyKind.ValueType(one.kind),
        role=pb.ContractPartyRole.ValueType(one.role),
        order=one.group_no,
        state=pb.ContractPartyState.ValueType(one.state),
        is_sender=one.is_sender,
        awaited=one.turn_us is not None,
        notify_time=moment(one.notified_us),
        open_time=moment(one.opened_us),
        read_time=moment(one.read_us),
        act_time=moment(one.acted_us),
    )


def reviews(core: Core, connection: Connection, row: ContractRow) -> list[pb.ContractReview]:
    """For the sender's side."""
    return [
        pb.ContractReview(
            account_id=one.account_id,
            state=pb.ContractReviewState.ValueType(one.state),
            reason=core.vault.open_reason(connection, one),
            decide_time=moment(one.decided_us),
        )
        for one in rows.reviews_of(connection, row.contract_id)
    ]


def timeline(connection: Connection, row: ContractRow, numbers: Mapping[str, int]) -> list[pb.ContractEvent]:
    """Oldest first; ``numbers``: of parties, by their ids."""
    return [
        pb.ContractEvent(
            kind=pb.ContractEventKind.ValueType(one.event),
            state=pb.ContractState.ValueType(one.state),
            time=moment(one.at_us),
            party_number=numbers.get(one.party_id or "", 0),
        )
        for one in rows.events_of(connection, row.contract_id)
    ]


def revisions(
    connection: Connection, row: ContractRow, numbers: Mapping[str, int]
) -> list[pb.ContractRevision]:
    """Oldest first."""
    return [
        pb.ContractRevision(
            revision_no=one.revision_no,
            sha256=one.sha256,
            time=moment(one.at_us),
            party_number=numbers.get(one.party_id or "", 0),
        )
        for one in rows.revisions_of(connection, row.contract_id)
    ]


def _mask(address: str) -> str:
    if not address:
        return ""
    return mask_email(address) if "@" in address else mask_phone(address)
