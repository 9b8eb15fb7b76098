"""Delivers batches, however they came: checks, has them verified, takes them in, and answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

from cloud.attestations.chain_writer import Damaged
from cloud.attestations.intake import Batch, Delivery, Intake
from cloud.attestations.limits import MAX_BATCH_BYTES, MAX_BATCH_ENVELOPES
from cloud.attestations.verifiers import Verifiers, VerifierThread
from cloud.attestations.verifying import Job
from cloud.attestations.window import Window
from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Sequencer
from cloud.sources import Sources
from cloud.telemetry.metrics import Metrics
from cloud.telemetry.tracing import Tracing
from verifield.v1 import sync_service_pb2 as pb


class Deliverer:
    """One for all ways in, so that each record meets the same rules, and all share one window."""

    def __init__(
        self,
        sequencer: Sequencer,
        authority: Authority,
        sources: Sources,
        intake: Intake,
        *,
        verifiers: Verifiers | None = None,
        window: Window | None = None,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._sequencer = sequencer
        self._sources = sources
        self._intake = intake
        self._verifiers = verifiers or VerifierThread(root=authority.root)
        self._window = window or Window()
        self._metrics = metrics
        self._tracing = tracing or Tracing()
        self._receipt_chain = authority.chain_of(authority.receipt.certificate)
        self._log_chain = authority.chain_of(authority.log.certificate)
        self._running: set[asyncio.Task[pb.DeliverResponse]] = set()

    async def deliver(
        self, request: pb.DeliverRequest, *, device_id: str, certificates: Sequence[bytes]
    ) -> pb.DeliverResponse:
        """Take one batch of a device, whose attestation ``certificates`` are; return once it is durable.

        A batch without records is answered with a receipt through the newest record. A batch that was let
        in is taken to its end even where its sender goes away, so that what is in work stays counted.

        Raises:
            ServiceError: the batch passes a limit, the device may not deliver it, or too much is in work.
        """
        check_batch(request)
        size = request.ByteSize()
        await self._window.enter(device_id, size)
        work = asyncio.create_task(self._admitted(request, device_id, tuple(certificates), size))
        self._running.add(work)
        work.add_done_callback(self._ended)
        return await asyncio.shield(work)

    async def resume(self, device_id: str) -> None:
        """Let a device's chain go on where it can; that of a revoked one never does."""
        try:
            while (await self._take(Batch(device_id))).more:
                pass
        except ServiceError as error:
            if error.reason is not Reason.DEVICE_REVOKED:
                raise

    async def close(self) -> None:
        """Let go of the verifiers; what is still verified is refused."""
        await self._verifiers.close()

    async def _admitted(
        self, request: pb.DeliverRequest, device_id: str, certificates: tuple[bytes, ...], size: int
    ) -> pb.DeliverResponse:
        try:
            began = time.monotonic()
            job = Job(device_id, certificates, self._sources.now(), tuple(request.envelopes))
            with self._tracing.stage("ingest.verify", records=len(job.envelopes)):
                signer, records = await self._verifiers.verify(job)
            if self._metrics:
                self._metrics.verified(records=len(records), seconds=time.monotonic() - began)
            damaged = [Damaged(one.chain_epoch, one.seq, one.content) for one in request.damaged]
            witnessed = request.witnessed_tree_size
            first = await self._take(Batch(device_id, signer, records, damaged, witnessed))
            last = first
            while last.more:
                last = await self._take(Batch(device_id, witnessed=witnessed))
            return await self._answer(first, last, witnessed=witnessed)
        finally:
            self._window.leave(device_id, size)

    def _ended(self, work: asyncio.Task[pb.DeliverResponse]) -> None:
        self._running.discard(work)
        if not work.cancelled():
            work.exception()  # its sender may be gone: nobody else asks for it

    async def _take(self, batch: Batch) -> Delivery:
        return await self._sequencer.transact(partial(self._intake.take, batch=batch), key=batch.device_id)

    async def _answer(self, first: Delivery, last: Delivery, *, witnessed: int) -> pb.DeliverResponse:
        response = pb.DeliverResponse(missing=to_ranges(last.missing))
        for one in first.verdicts:
            response.results.add(status=one.status, reason=one.reason, expected_seq=one.expected_seq)
        if self._metrics:
            counts = Counter(one.status for one in first.verdicts)
            self._metrics.delivered({pb.DeliverStatus.Name(one): count for one, count in counts.items()})
        if last.receipt:
            response.receipt = last.receipt
            response.receipt_certificates.extend(self._receipt_chain)
            response.log_certificates.extend(self._log_chain)
            if 0 < witnessed < last.tree_size:
                # A device that has seen a larger tree than ours gets no proof, because there is none.
                proof = self._sequencer.consistency_proof
                _, hashes = await asyncio.to_thread(proof, witnessed, last.tree_size)
                response.consistency_hashes.extend(hashes)
        return response


def check_batch(request: pb.DeliverRequest) -> None:
    """Check the size of a batch; its other limits stand in the contract.

    Raises:
        ServiceError: too many envelopes, or too many bytes.
    """
    count, size = len(request.envelopes), sum(map(len, request.envelopes))
    if count > MAX_BATCH_ENVELOPES or size > MAX_BATCH_BYTES:
        raise ServiceError(
            Reason.BATCH_TOO_LARGE, f"A batch of {count} envelopes and {size} bytes is too large."
        )


def to_ranges(ranges: Sequence[tuple[int, int]]) -> list[pb.SeqRange]:
    """Ranges as the contract has them."""
    return [pb.SeqRange(first_seq=first, last_seq=last) for first, last in ranges]
