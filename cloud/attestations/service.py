"""AttestationService: the operator's view of what devices delivered.

The receipt in a bundle is signed when the bundle is asked for, and carries the time at which the
record became durable. Signing it at delivery would cost every record a signature that few ever need;
the receipt key's certificate covers that time however often it was renewed (``cloud.authority``).
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.attestations.receipts import sign_receipt, to_timestamp
from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Sequencer
from cloud.paging import check_page_size, encode_page_token, parse_page_token
from cloud.sources import to_us
from cloud.store import attestations as rows
from cloud.store import log
from cloud.store.database import Store
from verifield.bundle import BUNDLE_TYPE
from verifield.chain import ChainHead, envelope_sha256
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.leaf import log_leaf
from verifield.merkle import leaf_hash
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2
from verifield.v1 import attestation_service_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.attestation_service_pb2_grpc import AttestationServiceServicer
from verifield.v1.bundle_pb2 import Bundle, LogEntry
from verifield.wire import parse_time

# Empty, or a log index: 18 digits fit every integer column.
_POSITION = re.compile(r"[0-9]{0,18}")

Context = grpc.aio.ServicerContext[Any, Any]


class AttestationService(AttestationServiceServicer):
    def __init__(self, store: Store, sequencer: Sequencer, authority: Authority) -> None:
        self._store = store
        self._sequencer = sequencer
        self._authority = authority

    async def ListAttestations(
        self, request: pb.ListAttestationsRequest, context: Context
    ) -> pb.ListAttestationsResponse:
        size = check_page_size(request.page_size)
        filters = f"attestations|{request.device_id}|{request.outcome}"
        position = parse_page_token(request.page_token, filters=filters)
        if not _POSITION.fullmatch(position):
            raise ServiceError(Reason.PAGE_TOKEN_INVALID, "The page token is damaged.")

        def read() -> list[rows.SummaryRow]:
            with self._store.reading() as connection:
                return rows.list_attestations(
                    connection,
                    before=int(position) if position else None,
                    limit=size + 1,
                    device_id=request.device_id,
                    outcome=request.outcome,
                )

        found = await asyncio.to_thread(read)
        page = found[:size]
        more = len(found) > size
        return pb.ListAttestationsResponse(
            attestations=[_to_summary(row) for row in page],
            next_page_token=encode_page_token(str(page[-1].log_index), filters=filters) if more else "",
        )

    async def GetAttestation(
        self, request: pb.GetAttestationRequest, context: Context
    ) -> pb.GetAttestationResponse:
        row, statement = await asyncio.to_thread(self._read, request.attestation_id)
        return pb.GetAttestationResponse(summary=_to_summary(row), statement=statement)

    async def GetBundle(self, request: pb.GetBundleRequest, context: Context) -> pb.GetBundleResponse:
        row, statement = await asyncio.to_thread(self._read, request.attestation_id)
        # The receipt and the log entry name the same tree: the newest one that is published.
        published = self._sequencer.published
        if row.log_index >= published.size:
            published = await self._sequencer.settled()
        size, hashes = self._sequencer.inclusion_proof(row.log_index, published.size)
        chain, cited = await asyncio.to_thread(self._read_evidence, row, statement)
        receipt = sign_receipt(
            self._authority.receipt_key,
            device_id=row.device_id,
            head=ChainHead(row.chain_epoch, row.seq, row.envelope_sha256),
            server_us=row.received_us,
            checkpoint=published.note,
        )
        bundle = Bundle(
            media_type=BUNDLE_TYPE,
            envelope=row.envelope,
            certificates=chain,
            receipt=receipt,
            cited_receipt=cited,
            log_entry=LogEntry(
                index=row.log_index, tree_size=size, inclusion_hashes=hashes, checkpoint=published.note
            ),
            receipt_certificates=self._authority.chain_of(self._authority.receipt.certificate),
            log_certificates=self._authority.chain_of(self._authority.log.certificate),
        )
        return pb.GetBundleResponse(bundle=bundle)

    def _read(self, attestation_id: str) -> tuple[rows.AttestationRow, Statement]:
        with self._store.reading() as connection:
            row = rows.get_attestation(connection, attestation_id)
            if row is None:
                raise ServiceError(Reason.ATTESTATION_NOT_FOUND, "There is no attestation with this id.")
            return row, check_row(connection, row)

    def _read_evidence(self, row: rows.AttestationRow, statement: Statement) -> tuple[list[bytes], bytes]:
        with self._store.reading() as connection:
            cited = rows.get_receipt(connection, statement.last_receipt_sha256, device_id=row.device_id)
            return rows.get_chain(connection, row.certificate_sha256), cited or b""


def check_row(connection: Connection, row: rows.AttestationRow) -> Statement:
    """Check a stored record against its digest and its leaf in the log; return its statement.

    Its signature was checked before the leaf was made, and the leaf is under a signed root: what
    agrees with the leaf is what was verified then.

    Raises:
        ServiceError: the row was changed from outside.
    """
    try:
        chain = rows.get_chain(connection, row.certificate_sha256)
        envelope = parse_envelope(row.envelope)
        statement = parse_statement(envelope.payload)
    except VerifieldError as error:
        raise _damaged(row) from error
    leaf = leaf_hash(log_leaf(envelope, chain[0]))
    place = (statement.attestation_id, statement.device_id, statement.chain_epoch, statement.seq)
    shown = (statement.kind, statement.outcome, list(statement.reasons))
    if (
        envelope_sha256(row.envelope) != row.envelope_sha256
        or leaf != log.get_leaf(connection, row.log_index)
        or place != (row.attestation_id, row.device_id, row.chain_epoch, row.seq)
        or shown != (row.kind, row.outcome, json.loads(row.reasons))
        or to_us(parse_time(statement.clock.wall_time, what="wall time")) != row.wall_us
    ):
        raise _damaged(row)
    return statement


def _damaged(row: rows.AttestationRow) -> ServiceError:
    return ServiceError(
        Reason.RECORD_DAMAGED,
        "The stored record does not agree with the log.",
        {"attestation_id": row.attestation_id, "log_index": str(row.log_index)},
    )


def _to_summary(row: rows.SummaryRow) -> pb.AttestationSummary:
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
