"""AttestationService: the operator's view of what devices delivered."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from cloud.attestations.bundles import Bundles, check_row
from cloud.attestations.lists import list_attestations, to_summary
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Sequencer
from cloud.store import attestations as rows
from cloud.store.database import Store
from verifield.v1 import attestation_service_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.attestation_service_pb2_grpc import AttestationServiceServicer
from verifield.v1.bundle_pb2 import Bundle

Context = grpc.aio.ServicerContext[Any, Any]


class AttestationService(AttestationServiceServicer):
    def __init__(self, store: Store, sequencer: Sequencer, bundles: Bundles) -> None:
        self._store = store
        self._sequencer = sequencer
        self._bundles = bundles

    async def ListAttestations(
        self, request: pb.ListAttestationsRequest, context: Context
    ) -> pb.ListAttestationsResponse:
        def read() -> pb.ListAttestationsResponse:
            with self._store.reading() as connection:
                return list_attestations(connection, request)

        return await asyncio.to_thread(read)

    async def GetAttestation(
        self, request: pb.GetAttestationRequest, context: Context
    ) -> pb.GetAttestationResponse:
        row, statement = await asyncio.to_thread(self._read, request.attestation_id)
        return pb.GetAttestationResponse(summary=to_summary(row), statement=statement)

    async def GetBundle(self, request: pb.GetBundleRequest, context: Context) -> pb.GetBundleResponse:
        row, statement = await asyncio.to_thread(self._read, request.attestation_id)
        # The receipt and the log entry name the same tree: the newest one that is published.
        published = self._sequencer.published
        if row.log_index >= published.size:
            published = await self._sequencer.settled()

        def build() -> Bundle:
            with self._store.reading() as connection:
                return self._bundles.build(connection, row, statement, published=published)

        return pb.GetBundleResponse(bundle=await asyncio.to_thread(build))

    def _read(self, attestation_id: str) -> tuple[rows.AttestationRow, Statement]:
        with self._store.reading() as connection:
            row = rows.get_attestation(connection, attestation_id)
            if row is None:
                raise ServiceError(Reason.ATTESTATION_NOT_FOUND, "There is no attestation with this id.")
            return row, check_row(connection, row)
