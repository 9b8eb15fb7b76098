"""SyncService: takes a device's backlog over mutual TLS.

Each batch is verified in a thread, judged and written in the log's next transaction, and answered
once it is durable, with a receipt through the newest record.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.attestations.ingest import Enrolled, Record, Verdict, judge_batch, verify_record
from cloud.attestations.receipts import sign_receipt
from cloud.authority import Authority
from cloud.devices.peer import device_of_peer
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import LogWriter, Sequencer
from cloud.sources import Sources, to_us
from cloud.store import attestations as rows
from cloud.store import devices
from cloud.store.database import Store
from verifield.certificates import Purpose, check_chain, signing_key
from verifield.chain import ChainHead
from verifield.errors import VerifieldError
from verifield.profile import device_id_of
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceServicer
from verifield.wire import parse_time

MAX_BATCH_ENVELOPES = 256
"""Above this a batch costs the same per record, and only delays its answer."""

MAX_BATCH_BYTES = 2 * 1024 * 1024
"""Envelopes of a batch in all; the port's message limit leaves room for certificates beside them."""

MAX_STREAMS_PER_DEVICE = 4
"""A device uses one; the others are for those that broke and were not noticed yet (80 s, cloud.server).
Each may hold a batch in memory, and all devices share the port's calls."""

BATCH_WAIT_S = 1800.0
"""How long a stream may stay silent. A full batch over a link of 2 KiB/s takes 17 minutes."""

_CONFIRMING = {pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE}

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a batch; ``receipt`` is empty where nothing was confirmed."""

    verdicts: list[Verdict]
    receipt: bytes


class SyncService(SyncServiceServicer):
    def __init__(self, store: Store, sequencer: Sequencer, authority: Authority, sources: Sources) -> None:
        self._store = store
        self._sequencer = sequencer
        self._authority = authority
        self._sources = sources
        self._streams: Counter[str] = Counter()
        self._receipt_chain = authority.chain_of(authority.receipt.certificate)
        self._log_chain = authority.chain_of(authority.log.certificate)

    async def Deliver(
        self, request_iterator: AsyncIterator[pb.DeliverRequest], context: Context
    ) -> AsyncIterator[pb.DeliverResponse]:
        chain: tuple[bytes, ...] = ()
        with self._one_more_stream(device_of_peer(context.auth_context(), now=self._sources.now())):
            async for request in _in_time(request_iterator):
                device_id = device_of_peer(context.auth_context(), now=self._sources.now())
                check_batch(request.envelopes)
                chain = tuple(request.certificates) or chain
                records = await asyncio.to_thread(self._verify, request.envelopes, chain, device_id)
                delivery = await self._sequencer.transact(
                    partial(self._write, device_id=device_id, chain=chain, records=records)
                )
                yield self._answer(delivery)

    async def GetHead(self, request: pb.GetHeadRequest, context: Context) -> pb.GetHeadResponse:
        device_id = device_of_peer(context.auth_context(), now=self._sources.now())

        def read() -> devices.DeviceRow:
            with self._store.reading() as connection:
                return _known_device(connection, device_id)

        row = await asyncio.to_thread(read)
        return pb.GetHeadResponse(chain_epoch=row.chain_epoch, seq=row.seq, head_sha256=row.head_sha256)

    @contextmanager
    def _one_more_stream(self, device_id: str) -> Iterator[None]:
        if self._streams[device_id] >= MAX_STREAMS_PER_DEVICE:
            raise ServiceError(
                Reason.TOO_MANY_STREAMS, f"This device has {MAX_STREAMS_PER_DEVICE} streams open already."
            )
        self._streams[device_id] += 1
        try:
            yield
        finally:
            self._streams[device_id] -= 1
            if not self._streams[device_id]:
                del self._streams[device_id]

    def _verify(
        self, envelopes: Sequence[bytes], chain: tuple[bytes, ...], device_id: str
    ) -> list[Record | Verdict]:
        if not chain:
            raise ServiceError(Reason.CERTIFICATES_MISSING, "The stream came without certificates.")
        try:
            leaf = check_chain(
                chain, roots=[self._authority.root], at=self._sources.now(), purpose=Purpose.ATTESTATION
            )
            key = signing_key(leaf)
            owner = device_id_of(leaf)
        except VerifieldError as error:
            raise _refused_certificate(error.message, error.code) from error
        if owner != device_id:
            raise _refused_certificate("The certificate is that of another device.", "OTHER_DEVICE")
        return [
            verify_record(envelope, key=key, certificate_der=chain[0], device_id=device_id)
            for envelope in envelopes
        ]

    def _write(
        self,
        connection: Connection,
        log: LogWriter,
        *,
        device_id: str,
        chain: tuple[bytes, ...],
        records: Sequence[Record | Verdict],
    ) -> Delivery:
        device = _known_device(connection, device_id, lock=True)
        # Time never runs backwards for one device, whatever this machine's clock does.
        now_us = max(to_us(self._sources.now()), device.last_delivery_us or 0)
        judgement = judge_batch(
            records,
            device=Enrolled(device.chain_epoch, device.site_id, device.key_protection),
            head=ChainHead(device.chain_epoch, device.seq, device.head_sha256) if device.seq else None,
            stored=_stored_digests(connection, device, records),
            used_ids=rows.taken_ids(
                connection, [one.statement.attestation_id for one in records if isinstance(one, Record)]
            ),
        )
        if judgement.accepted and judgement.head:
            first = log.append([record.leaf for record in judgement.accepted])
            certificate = rows.add_chain(connection, chain)
            rows.add_attestations(
                connection,
                [
                    _to_row(
                        record, index, certificate=certificate, site_id=device.site_id, received_us=now_us
                    )
                    for index, record in enumerate(judgement.accepted, first)
                ],
            )
            devices.set_head(
                connection,
                device_id,
                chain_epoch=judgement.head.epoch,
                seq=judgement.head.seq,
                head_sha256=judgement.head.sha256,
                delivered_us=now_us,
            )
        receipt = b""
        if judgement.head and any(verdict.status in _CONFIRMING for verdict in judgement.verdicts):
            receipt = sign_receipt(
                self._authority.receipt_key,
                device_id=device_id,
                head=judgement.head,
                server_us=now_us,
                checkpoint=log.checkpoint.note,
            )
            rows.add_receipt(connection, device_id=device_id, envelope=receipt, signed_us=now_us)
        return Delivery(judgement.verdicts, receipt)

    def _answer(self, delivery: Delivery) -> pb.DeliverResponse:
        response = pb.DeliverResponse(
            results=[
                pb.DeliverResult(status=one.status, reason=one.reason, expected_seq=one.expected_seq)
                for one in delivery.verdicts
            ]
        )
        if delivery.receipt:
            response.receipt = delivery.receipt
            response.receipt_certificates.extend(self._receipt_chain)
            response.log_certificates.extend(self._log_chain)
        return response


async def _in_time(requests: AsyncIterator[pb.DeliverRequest]) -> AsyncIterator[pb.DeliverRequest]:
    """The requests of a stream, each within BATCH_WAIT_S."""
    while True:
        try:
            async with asyncio.timeout(BATCH_WAIT_S):
                request = await anext(requests, None)
        except TimeoutError as error:
            raise ServiceError(Reason.STREAM_IDLE, "The stream brought nothing for too long.") from error
        if request is None:
            return
        yield request


def check_batch(envelopes: Sequence[bytes]) -> None:
    """Check the limits of a batch.

    Raises:
        ServiceError: too many envelopes, or too many bytes.
    """
    size = sum(map(len, envelopes))
    if len(envelopes) > MAX_BATCH_ENVELOPES or size > MAX_BATCH_BYTES:
        raise ServiceError(
            Reason.BATCH_TOO_LARGE, f"A batch of {len(envelopes)} envelopes and {size} bytes is too large."
        )


def _known_device(connection: Connection, device_id: str, *, lock: bool = False) -> devices.DeviceRow:
    row = devices.get_device(connection, device_id, lock=lock)
    if row is None:
        raise ServiceError(Reason.DEVICE_UNKNOWN, "This device is not enrolled here.")
    return row


def _stored_digests(
    connection: Connection, device: devices.DeviceRow, records: Sequence[Record | Verdict]
) -> dict[int, bytes]:
    """Digests at the places of the batch that the chain has passed already."""
    seqs = [
        one.statement.seq for one in records if isinstance(one, Record) and one.statement.seq <= device.seq
    ]
    return rows.envelope_digests(connection, device.device_id, chain_epoch=device.chain_epoch, seqs=seqs)


def _to_row(
    record: Record, index: int, *, certificate: bytes, site_id: str, received_us: int
) -> rows.AttestationRow:
    statement = record.statement
    return rows.AttestationRow(
        log_index=index,
        attestation_id=statement.attestation_id,
        device_id=statement.device_id,
        chain_epoch=statement.chain_epoch,
        seq=statement.seq,
        envelope=record.envelope,
        envelope_sha256=record.sha256,
        certificate_sha256=certificate,
        site_id=site_id,
        kind=statement.kind,
        outcome=statement.outcome,
        reasons=json.dumps(list(statement.reasons)),
        wall_us=to_us(parse_time(statement.clock.wall_time, what="wall time")),
        received_us=received_us,
    )


def _refused_certificate(sentence: str, code: str) -> ServiceError:
    return ServiceError(Reason.CERTIFICATES_REFUSED, sentence, {"check": code})
