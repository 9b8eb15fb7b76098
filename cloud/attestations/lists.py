"""Pages of attestations, as their requests ask for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection

from cloud.api.filter_sql import Field, Keyed, choice, moment, number, read_filter, text
from cloud.attestations.receipts import to_timestamp
from cloud.paging import encode_page_token, page_size, parse_position
from cloud.store import lists, scans
from cloud.store.attestations import SummaryRow
from cloud.store.schema import attestations
from verifield.v1 import attestation_pb2
from verifield.v1 import attestation_service_pb2 as pb

FIELDS: Mapping[str, Field | Keyed] = {
    "attestation_id": text(attestations.c.attestation_id),
    "device_id": text(attestations.c.device_id),
    "site_id": text(attestations.c.site_id),
    "chain_epoch": number(attestations.c.chain_epoch),
    "seq": number(attestations.c.seq),
    "kind": choice(attestations.c.kind, attestation_pb2.RecordKind),
    "outcome": choice(attestations.c.outcome, attestation_pb2.Outcome),
    "wall_time": moment(attestations.c.wall_us),
    "received_time": moment(attestations.c.received_us),
    "log_index": number(attestations.c.log_index),
}


def list_attestations(
    connection: Connection, request: pb.ListAttestationsRequest
) -> pb.ListAttestationsResponse:
    """One page of records.

    Raises:
        ServiceError: FILTER_INVALID or PAGE_TOKEN_INVALID.
    """
    wanted = read_filter(request.filter, FIELDS)
    device_id = request.device_id or (wanted and wanted.pinned("device_id")) or ""
    asked = f"attestations {request.device_id} {request.outcome} {request.order_by} {request.filter}"
    behind = parse_position(request.page_token, filters=asked)
    begin = lists.Begin(behind, descending=request.order_by != "log_index")
    page = scans.read_page(
        connection,
        partial(lists.select_attestations, connection, begin, device_id=device_id, outcome=request.outcome),
        size=page_size(request.page_size),
        position="log_index",
        descending=begin.descending,
        condition=wanted.condition if wanted else None,
    )
    return pb.ListAttestationsResponse(
        attestations=[to_summary(SummaryRow(**row._mapping)) for row in page.rows],
        next_page_token="" if page.end is None else encode_page_token(str(page.end), filters=asked),
    )


def to_summary(row: SummaryRow) -> pb.AttestationSummary:
    """What a list shows of a record."""
    return pb.AttestationSummary(
        attestation_id=row.attestation_id,
        device_id=row.device_id,
        site_id=row.site_id,
        chain_epoch=row.chain_epoch,
        seq=row.seq,
        kind=attestation_pb2.RecordKind.ValueType(row.kind),
        outcome=attestation_pb2.Outcome.ValueType(row.outcome),
        reasons=json.loads(row.reasons),
        wall_time=to_timestamp(row.wall_us),
        received_time=to_timestamp(row.received_us),
        log_index=row.log_index,
        envelope_sha256=row.envelope_sha256,
    )
