"""LogService: checkpoints, proofs and tiles of the transparency log."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from cloud.log.sequencer import Sequencer, tile_end
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
        newest = await self._sequencer.catch_up()
        return pb.GetCheckpointResponse(checkpoint=newest.note, certificates=self._certificates)

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        await self._reach(max(request.tree_size, request.index + 1))
        size, hashes = await asyncio.to_thread(
            self._sequencer.inclusion_proof, request.index, request.tree_size
        )
        return pb.GetInclusionProofResponse(tree_size=size, hashes=hashes)

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        await self._reach(max(request.first_size, request.second_size))
        size, hashes = await asyncio.to_thread(
            self._sequencer.consistency_proof, request.first_size, request.second_size
        )
        return pb.GetConsistencyProofResponse(second_size=size, hashes=hashes)

    async def GetTile(self, request: pb.GetTileRequest, context: Context) -> pb.GetTileResponse:
        await self._reach(tile_end(request.level, request.index, request.width))
        hashes = await asyncio.to_thread(self._sequencer.tile, request.level, request.index, request.width)
        return pb.GetTileResponse(hashes=b"".join(hashes))

    async def _reach(self, size: int) -> None:
        """Look whether another server has appended, where what is asked for lies behind what is known."""
        if size > self._sequencer.published.size:
            await self._sequencer.catch_up()
