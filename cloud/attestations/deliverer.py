"""Delivers batches, however they came: checks, verifies in a thread, takes in, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from cloud.attestations.chain_writer import Damaged
from cloud.attestations.ingest import Record, Refused, verify_record
from cloud.attestations.intake import Batch, Delivery, Intake
from cloud.attestations.limits import (
    MAX_BATCH_BYTES,
    MAX_BATCH_DAMAGED,
    MAX_BATCH_ENVELOPES,
    MAX_DAMAGED_BYTES,
)
from cloud.attestations.signer import Signer, check_owner, check_signer
from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Sequencer
from cloud.sources import Sources
from verifield.rules import MAX_COUNTER
from verifield.v1 import sync_service_pb2 as pb


class Deliverer:
    """One for all ways in, so that each record meets the same rules."""

    def __init__(self, sequencer: Sequencer, authority: Authority, sources: Sources, intake: Intake) -> None:
        self._sequencer = sequencer
        self._authority = authority
        self._sources = sources
        self._intake = intake
        self._receipt_chain = authority.chain_of(authority.receipt.certificate)
        self._log_chain = authority.chain_of(authority.log.certificate)

    async def deliver(
        self, request: pb.DeliverRequest, *, device_id: str, certificates: Sequence[bytes]
    ) -> pb.DeliverResponse:
        """Take one batch of a device, whose attestation ``certificates`` are; return once it is durable.

        A batch without records is answered with a receipt through the newest record.

        Raises:
            ServiceError: the batch passes a limit, or the device may not deliver it.
        """
        check_batch(request)
        signer, records = await asyncio.to_thread(self._verify, request.envelopes, certificates, device_id)
        damaged = [Damaged(one.chain_epoch, one.seq, one.content) for one in request.damaged]
        first = await self._take(Batch(device_id, signer, records, damaged))
        last = first
        while last.more:
            last = await self._take(Batch(device_id))
        return self._answer(first, last, witnessed=request.witnessed_tree_size)

    async def resume(self, device_id: str) -> None:
        """Let a device's chain go on where it can; that of a revoked one never does."""
        try:
            while (await self._take(Batch(device_id))).more:
                pass
        except ServiceError as error:
            if error.reason is not Reason.DEVICE_REVOKED:
                raise

    async def _take(self, batch: Batch) -> Delivery:
        return await self._sequencer.transact(partial(self._intake.take, batch=batch))

    def _verify(
        self, envelopes: Sequence[bytes], certificates: Sequence[bytes], device_id: str
    ) -> tuple[Signer, list[Record | Refused]]:
        signer = check_signer(certificates, root=self._authority.root, at=self._sources.now())
        check_owner(signer, device_id=device_id)
        records = [
            verify_record(envelope, key=signer.key, certificate_der=signer.chain[0], device_id=device_id)
            for envelope in envelopes
        ]
        return signer, records

    def _answer(self, first: Delivery, last: Delivery, *, witnessed: int) -> pb.DeliverResponse:
        response = pb.DeliverResponse(
            results=[
                pb.DeliverResult(status=one.status, reason=one.reason, expected_seq=one.expected_seq)
                for one in first.verdicts
            ],
            missing=to_ranges(last.missing),
        )
        if last.receipt:
            response.receipt = last.receipt
            response.receipt_certificates.extend(self._receipt_chain)
            response.log_certificates.extend(self._log_chain)
            if 0 < witnessed < last.tree_size:
                # A device that has seen a larger tree than ours gets no proof, because there is none.
                _, hashes = self._sequencer.consistency_proof(witnessed, last.tree_size)
                response.consistency_hashes.extend(hashes)
        return response


def check_batch(request: pb.DeliverRequest) -> None:
    """Check the limits of a batch.

    Raises:
        ServiceError: too many envelopes or damaged records, or too many bytes.
    """
    count, size = len(request.envelopes), sum(map(len, request.envelopes))
    if count > MAX_BATCH_ENVELOPES or size > MAX_BATCH_BYTES:
        raise ServiceError(
            Reason.BATCH_TOO_LARGE, f"A batch of {count} envelopes and {size} bytes is too large."
        )
    damaged = request.damaged
    if len(damaged) > MAX_BATCH_DAMAGED or any(len(one.content) > MAX_DAMAGED_BYTES for one in damaged):
        raise ServiceError(Reason.BATCH_TOO_LARGE, "The batch has too many or too large damaged records.")
    if any(max(one.chain_epoch, one.seq) > MAX_COUNTER for one in damaged):
        raise ServiceError(Reason.DAMAGED_INVALID, "A damaged record has a place that no record can have.")


def to_ranges(ranges: Sequence[tuple[int, int]]) -> list[pb.SeqRange]:
    """Ranges as the contract has them."""
    return [pb.SeqRange(first_seq=first, last_seq=last) for first, last in ranges]
