"""Where marks stand: checked by the rules of the document, or found where nobody placed any."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from cloud.errors import Reason, ServiceError
from cloud.pdf.fields import Box, Kind, Place, PlacesRefused, check_places
from cloud.pdf.intake import Document, Page
from cloud.store.contracts import ContractRow, PartyRow, WidgetRow
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb

KINDS: dict[int, Kind] = {
    signing_pb.MARK_KIND_SIGNATURE: Kind.SIGNATURE,
    signing_pb.MARK_KIND_SEAL: Kind.SEAL,
    signing_pb.MARK_KIND_SIGN_DATE: Kind.SIGN_DATE,
}
_MILLI = 1000

_EDGE = 36.0
_GAP = 8.0
_SIGNATURE = (150.0, 48.0)
_SEAL = (120.0, 120.0)
_DATE = (150.0, 16.0)
"""Default places: points; a seal has 42 mm, as round ones of organisations do."""


def encode_pages(pages: Iterable[Page]) -> bytes:
    """As a contract keeps them."""
    return json.dumps([[round(page.width, 3), round(page.height, 3)] for page in pages]).encode()


def document_of(row: ContractRow) -> Document:
    """The document of a contract, as far as places need it."""
    pages = tuple(Page(width, height) for width, height in json.loads(bytes(row.pages)))
    return Document(pages, bytes(row.upload_sha256))


def place_of(row: WidgetRow) -> Place:
    """As cloud.pdf wants it."""
    box = Box(row.x / _MILLI, row.y / _MILLI, row.width / _MILLI, row.height / _MILLI)
    return Place(row.field_name, KINDS[row.kind], row.page, box, row.party_id)


def make_widgets(
    contract: ContractRow,
    parties: Sequence[PartyRow],
    marks: Iterable[pb.NewMark],
    new_id: Iterator[str],
    *,
    by_default: bool = False,
) -> list[WidgetRow]:
    """Rows of marks that were asked for.

    Raises:
        ServiceError: MARKS_REFUSED.
    """
    by_number = {party.number: party for party in parties}
    found = []
    for index, mark in enumerate(marks):
        party = by_number.get(mark.party_number)
        if party is None or party.role != pb.CONTRACT_PARTY_ROLE_SIGNER:
            raise refused("PARTY", index, "no signer has this number")
        seals = mark.kind == signing_pb.MARK_KIND_SEAL
        if seals and party.kind != pb.CONTRACT_PARTY_KIND_ORGANISATION:
            raise refused("SEAL", index, "a person has no seal")
        box = mark.box
        found.append(
            WidgetRow(
                widget_id=next(new_id),
                contract_id=contract.contract_id,
                party_id=party.party_id,
                number=index + 1,
                kind=mark.kind,
                state=pb.CONTRACT_MARK_STATE_PLACED,
                field_name=f"p{party.number}_{KINDS[mark.kind].lower()}_{index + 1}",
                page=mark.page,
                x=round(box.x * _MILLI),
                y=round(box.y * _MILLI),
                width=round(box.width * _MILLI),
                height=round(box.height * _MILLI),
                by_default=by_default,
            )
        )
    check_widgets(contract, found)
    return found


def check_widgets(contract: ContractRow, widgets: Sequence[WidgetRow]) -> None:
    """Raises ServiceError MARKS_REFUSED."""
    try:
        check_places(document_of(contract), [place_of(one) for one in widgets])
    except PlacesRefused as error:
        raise refused(error.why.value, error.index, str(error)) from error


def default_marks(contract: ContractRow, parties: Sequence[PartyRow]) -> list[pb.NewMark]:
    """A signature (of an organisation: a seal) and the date for each signer, at the foot of the last page.

    Raises:
        ServiceError: MARKS_NO_ROOM.
    """
    document = document_of(contract)
    number, page = len(document.pages), document.pages[-1]
    signers = [one for one in parties if one.role == pb.CONTRACT_PARTY_ROLE_SIGNER]
    width = max(_SIGNATURE[0], _DATE[0])
    columns = max(1, int((page.width - 2 * _EDGE + _GAP) // (width + _GAP)))
    marks: list[pb.NewMark] = []
    bottom = page.height - _EDGE
    for at in range(0, len(signers), columns):
        row = signers[at : at + columns]
        height = max(_mark_size(one)[1] for one in row) + _GAP / 2 + _DATE[1]
        top = bottom - height
        if top < _EDGE or page.width < width + 2 * _EDGE:
            raise ServiceError(Reason.MARKS_NO_ROOM, "The last page has no room for all marks.")
        for column, party in enumerate(row):
            x = _EDGE + column * (width + _GAP)
            marks += _marks_of(party, number, x, top + height)
        bottom = top - _GAP
    return marks


def _mark_size(party: PartyRow) -> tuple[float, float]:
    return _SEAL if party.kind == pb.CONTRACT_PARTY_KIND_ORGANISATION else _SIGNATURE


def _marks_of(party: PartyRow, page: int, x: float, bottom: float) -> list[pb.NewMark]:
    width, height = _mark_size(party)
    seals = party.kind == pb.CONTRACT_PARTY_KIND_ORGANISATION
    kind = signing_pb.MARK_KIND_SEAL if seals else signing_pb.MARK_KIND_SIGNATURE
    date_y = bottom - _DATE[1]
    boxes = [
        (kind, pb.MarkBox(x=x, y=date_y - _GAP / 2 - height, width=width, height=height)),
        (signing_pb.MARK_KIND_SIGN_DATE, pb.MarkBox(x=x, y=date_y, width=_DATE[0], height=_DATE[1])),
    ]
    return [pb.NewMark(party_number=party.number, kind=kind, page=page, box=box) for kind, box in boxes]


def refused(why: str, index: int, told: str) -> ServiceError:
    """``index``: which of the marks, from 0."""
    return ServiceError(
        Reason.MARKS_REFUSED, f"Of mark {index + 1}: {told}.", {"why": why, "index": str(index)}
    )
