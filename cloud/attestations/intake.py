"""Takes what a device delivered, in one transaction of the log, and signs the receipt for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from cloud.attestations import chain_rows
from cloud.attestations.advance import missing_ranges
from cloud.attestations.chain_writer import ChainWriter, Damaged
from cloud.attestations.ingest import Record, Refused, Verdict
from cloud.attestations.limits import MAX_MISSING_RANGES
from cloud.attestations.receipts import sign_receipt
from cloud.attestations.signer import Signer, check_issued
from cloud.authority import Authority
from cloud.devices.certificates import record_attestation
from cloud.devices.peer import check_may_connect
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import LogWriter
from cloud.sources import Sources, to_us
from cloud.store import attestations, devices, staging
from verifield.bounds import earliest_time
from verifield.chain import ChainHead
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.bundle_pb2 import Envelope, Receipt
from verifield.v1.device_service_pb2 import DEVICE_STATE_REVOKED

MAX_CLOCK_STEP_US = 600_000_000
"""By how much this machine's clock may have been set back without a record contradicting its receipt: ten
minutes, far more than NTP ever steps a clock that it keeps. A device that counts wrongly gains no more."""

_CONFIRMING = {pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE}


@dataclass(frozen=True, slots=True)
class Batch:
    """What was delivered at once; ``signer`` may be absent where there are no records."""

    device_id: str
    signer: Signer | None = None
    records: Sequence[Record | Refused] = ()
    damaged: Sequence[Damaged] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a batch: a verdict for each record, in order.

    ``receipt`` is empty where nothing was confirmed; ``tree_size``: of its checkpoint. ``missing``:
    ranges of places that the cloud waits for. ``more``: the chain can go on in another transaction.
    """

    verdicts: list[Verdict]
    receipt: bytes
    tree_size: int
    missing: list[tuple[int, int]]
    more: bool


class Intake:
    """``take`` is for the log's transactions: ``Sequencer.transact(partial(intake.take, batch=batch))``."""

    def __init__(self, authority: Authority, sources: Sources, *, receipt_leaf_sha256: bytes) -> None:
        self._authority = authority
        self._sources = sources
        self._receipt_leaf_sha256 = receipt_leaf_sha256

    def take(self, connection: Connection, log: LogWriter, *, batch: Batch) -> Delivery:
        """Judge and write a batch; an empty one lets the chain go on where it can, and asks for a receipt.

        Raises:
            ServiceError: the device may not deliver, or with another certificate.
        """
        device = known_device(connection, batch.device_id, lock=True)
        clock_us = to_us(self._sources.now())
        # Time never runs backwards for one device, whatever this machine's clock does.
        now_us = max(
            clock_us, device.last_delivery_us or 0, _earliest_us(connection, batch, clock_us=clock_us)
        )
        if batch.signer:
            _keep_signer(connection, batch.signer, device)
        writer = ChainWriter(connection, device, now_us=now_us, sources=self._sources)
        writer.judge(batch.records, batch.damaged)
        writer.go_on()
        writer.settle()
        writer.write(log)
        if devices.needs_touch(device, now_us=now_us):
            devices.touch(connection, device.device_id, now_us=now_us)
        verdicts = writer.verdicts(batch.records)
        receipt = b""
        confirmed = not batch.records or any(one.status in _CONFIRMING for one in verdicts)
        if writer.head.seq and (confirmed or writer.appended):
            receipt = self._sign(connection, device.device_id, writer.head, log, now_us=now_us)
        missing: list[tuple[int, int]] = []
        if writer.has_waiting:
            _, missing = missing_places(connection, device.device_id, writer.head)
        return Delivery(verdicts, receipt, log.checkpoint.size, missing, writer.more)

    def _sign(
        self, connection: Connection, device_id: str, head: ChainHead, log: LogWriter, *, now_us: int
    ) -> bytes:
        receipt = sign_receipt(
            self._authority.receipt_key,
            device_id=device_id,
            head=head,
            server_us=now_us,
            checkpoint=log.checkpoint.note,
        )
        attestations.add_receipt(
            connection,
            device_id=device_id,
            envelope=receipt,
            signed_us=now_us,
            certificate_sha256=self._receipt_leaf_sha256,
        )
        return receipt


def known_device(
    connection: Connection, device_id: str, *, lock: bool = False, revoked_too: bool = False
) -> devices.DeviceRow:
    """Read a device that may talk to the service; with ``revoked_too`` also one that must not deliver.

    Raises:
        ServiceError: it is not enrolled, not admitted yet, or revoked.
    """
    row = devices.get_device(connection, device_id, lock=lock)
    if row is None:
        raise ServiceError(Reason.DEVICE_UNKNOWN, "This device is not enrolled here.")
    if not (revoked_too and row.state == DEVICE_STATE_REVOKED):
        check_may_connect(row.state)
    return row


def missing_places(
    connection: Connection, device_id: str, head: ChainHead
) -> tuple[int, list[tuple[int, int]]]:
    """The newest place of the head's epoch that is here, and ranges of those before it that are not."""
    waiting = staging.staged_seqs(connection, device_id, chain_epoch=head.epoch)
    if not waiting:
        return head.seq, []
    excuses = chain_rows.excuses_behind(connection, device_id, head)
    ranges = missing_ranges(waiting, excuses, head_seq=head.seq, limit=MAX_MISSING_RANGES)
    return max(head.seq, waiting[-1]), ranges


def _earliest_us(connection: Connection, batch: Batch, *, clock_us: int) -> int:
    """The earliest time at which all of ``batch`` can have been made, by what devices count; 0 for unknown.

    Where this machine's clock was set back, devices have counted on: a receipt of an earlier time than that
    would contradict its own record for ever.
    """
    said: dict[bytes, datetime | None] = {}
    earliest_us = 0
    for record in batch.records:
        if isinstance(record, Refused) or not record.statement.clock.HasField("since_receipt_ns"):
            continue
        cited = record.statement.last_receipt_sha256
        if cited not in said:
            said[cited] = _server_time(connection, cited, device_id=batch.device_id)
        server_time = said[cited]
        if server_time is not None:
            counted = earliest_time(server_time, since_receipt_ns=record.statement.clock.since_receipt_ns)
            if to_us(counted) <= clock_us + MAX_CLOCK_STEP_US:
                earliest_us = max(earliest_us, to_us(counted))
    return earliest_us


def _server_time(connection: Connection, receipt_sha256: bytes, *, device_id: str) -> datetime | None:
    row = attestations.get_receipt(connection, receipt_sha256, device_id=device_id)
    if row is None:
        return None
    receipt = Receipt.FromString(Envelope.FromString(row.envelope).payload)
    return receipt.server_time.ToDatetime(tzinfo=UTC)


def _keep_signer(connection: Connection, signer: Signer, device: devices.DeviceRow) -> None:
    check_issued(connection, signer, device)
    attestations.add_chain(connection, signer.chain)
    if device.attestation_key is None:  # of schema 0001, which kept neither
        devices.set_attestation_key(connection, device.device_id, signer.key_spki())
        record_attestation(connection, device.device_id, signer.chain)
