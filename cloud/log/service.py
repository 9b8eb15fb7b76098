"""LogService: checkpoints, proofs and tiles of the transparency log."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from cloud.log.sequencer import Sequencer
from verifield.v1 import log_service_pb2 as pb
from verifield.v1.log_service_pb2_grpc import LogServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class LogService(LogServiceServicer):
    """Answers from the published tree; ``certificates``: DER, of the log key, leaf first."""

    def __init__(self, sequencer: Sequencer, *, certificates: Sequence[bytes]) -> None:
        self._sequencer = sequencer
        self._certificates = certificates

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Context
    ) -> pb.GetCheckpointResponse:
        return pb.GetCheckpointResponse(
            checkpoint=self._sequencer.published.note, certificates=self._certificates
        )

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        size, hashes = self._sequencer.inclusion_proof(request.index, request.tree_size)
        return pb.GetInclusionProofResponse(tree_size=size, hashes=hashes)

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        size, hashes = self._sequencer.consistency_proof(request.first_size, request.second_size)
        return pb.GetConsistencyProofResponse(second_size=size, hashes=hashes)

    async def GetTile(self, request: pb.GetTileRequest, context: Context) -> pb.GetTileResponse:
        hashes = self._sequencer.tile(request.level, request.index, request.width)
        return pb.GetTileResponse(hashes=b"".join(hashes))
