"""Takes what a device delivered, in one transaction of the log, and signs the receipt for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection

from cloud.attestations import chain_rows
from cloud.attestations.advance import missing_ranges
from cloud.attestations.chain_writer import ChainWriter, Damaged
from cloud.attestations.ingest import Verdict
from cloud.attestations.limits import MAX_MISSING_RANGES
from cloud.attestations.receipts import sign_receipt
from cloud.attestations.record import Record, Refused
from cloud.attestations.signer import Signer, refused
from cloud.authority import Authority
from cloud.devices.certificates import record_attestation
from cloud.devices.peer import check_may_connect
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Entry, SignedCheckpoint
from cloud.sources import Sources, to_us
from cloud.store import attestations, devices, issued, staging
from verifield.bounds import earliest_time
from verifield.chain import ChainHead
from verifield.note import parse_checkpoint
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.bundle_pb2 import Envelope, Receipt
from verifield.v1.device_service_pb2 import DEVICE_STATE_REVOKED

MAX_CLOCK_STEP_US = 600_000_000
"""By how much this machine's clock may have been set back without a record contradicting its receipt: ten
minutes, far more than NTP ever steps a clock that it keeps. A device that counts wrongly gains no more."""

RECEIPT_AGAIN_US = 10_000_000
"""How long a batch that brought nothing new is answered with the receipt of the last one: its time is taken
for that of the answer, and a device finds a minute between two clocks wrong."""

_CONFIRMING = {pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE}


@dataclass(frozen=True, slots=True)
class Batch:
    """What was delivered at once; ``signer`` may be absent where there are no records."""

    device_id: str
    signer: Signer | None = None
    records: Sequence[Record | Refused] = ()
    damaged: Sequence[Damaged] = ()
    witnessed: int = 0  # size of the newest tree that the device has seen


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
    """``take`` is a work for the log's groups, with the device as its key."""

    def __init__(self, authority: Authority, sources: Sources, *, receipt_leaf_sha256: bytes) -> None:
        self._authority = authority
        self._sources = sources
        self._receipt_leaf_sha256 = receipt_leaf_sha256

    def take(self, connection: Connection, *, batch: Batch) -> Entry[Delivery]:
        """Judge and write a batch; an empty one lets the chain go on where it can, and asks for a receipt.

        What follows the records' places in the log is written by the entry's seal.

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
        if devices.needs_touch(device, now_us=now_us):
            devices.touch(connection, device.device_id, now_us=now_us)
        verdicts = writer.verdicts(batch.records)
        missing: list[tuple[int, int]] = []
        if writer.has_waiting:
            _, missing = missing_places(connection, device.device_id, writer.head)

        def seal(connection: Connection, first: int, checkpoint: SignedCheckpoint) -> Delivery:
            writer.write(connection, first_index=first)
            receipt, size = b"", checkpoint.size
            if writer.head.seq and writer.appended:
                receipt = self._sign(connection, batch, writer.head, checkpoint, now_us=now_us)
            elif writer.head.seq and _confirms(batch, verdicts):
                receipt, size = self._confirm(connection, batch, writer.head, checkpoint, now_us=now_us)
            return Delivery(verdicts, receipt, size, missing, writer.more)

        return Entry(
            [record.leaf for record in writer.appended],
            seal,
            [(record.device_id, *record.place) for record in writer.appended],
        )

    def _sign(
        self,
        connection: Connection,
        batch: Batch,
        head: ChainHead,
        checkpoint: SignedCheckpoint,
        *,
        now_us: int,
    ) -> bytes:
        receipt = sign_receipt(
            self._authority.receipt_key,
            device_id=batch.device_id,
            head=head,
            server_us=now_us,
            checkpoint=checkpoint.note,
        )
        attestations.add_receipt(
            connection,
            device_id=batch.device_id,
            envelope=receipt,
            signed_us=now_us,
            certificate_sha256=self._receipt_leaf_sha256,
        )
        return receipt

    def _confirm(
        self,
        connection: Connection,
        batch: Batch,
        head: ChainHead,
        checkpoint: SignedCheckpoint,
        *,
        now_us: int,
    ) -> tuple[bytes, int]:
        """A receipt for what was confirmed before, and its tree's size: the last one while it is young."""
        row = attestations.newest_receipt(connection, batch.device_id, since_us=now_us - RECEIPT_AGAIN_US)
        if row is not None and row.certificate_sha256 == self._receipt_leaf_sha256:
            last = _parse_receipt(row.envelope)
            size = parse_checkpoint(last.checkpoint).size
            told = ChainHead(last.chain_epoch, last.through_seq, last.head_sha256)
            if told == head and size >= batch.witnessed:
                return row.envelope, size
        return self._sign(connection, batch, head, checkpoint, now_us=now_us), checkpoint.size


def _confirms(batch: Batch, verdicts: Sequence[Verdict]) -> bool:
    """Whether a batch that brought the chain no further asks for a receipt, or repeats what has one."""
    return not batch.records or any(one.status in _CONFIRMING for one in verdicts)


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
    counted: dict[bytes, set[int]] = {}
    for record in batch.records:
        if isinstance(record, Record) and record.since_receipt_ns is not None:
            counted.setdefault(record.cited_receipt, set()).add(record.since_receipt_ns)
    earliest_us = 0
    for cited, spans_ns in counted.items():
        server_time = _server_time(connection, cited, device_id=batch.device_id)
        if server_time is None:
            continue
        for span_ns in sorted(spans_ns, reverse=True):  # the longest one that can be true decides
            made_us = to_us(earliest_time(server_time, since_receipt_ns=span_ns))
            if made_us <= clock_us + MAX_CLOCK_STEP_US:
                earliest_us = max(earliest_us, made_us)
                break
    return earliest_us


def _server_time(connection: Connection, receipt_sha256: bytes, *, device_id: str) -> datetime | None:
    row = attestations.get_receipt(connection, receipt_sha256, device_id=device_id)
    if row is None:
        return None
    return _parse_receipt(row.envelope).server_time.ToDatetime(tzinfo=UTC)


def _parse_receipt(envelope: bytes) -> Receipt:
    """One of our own, out of the store."""
    return Receipt.FromString(Envelope.FromString(envelope).payload)


def _keep_signer(connection: Connection, signer: Signer, device: devices.DeviceRow) -> None:
    _check_issued(connection, signer, device)
    attestations.add_chain(connection, signer.chain)
    if device.attestation_key is None:  # of schema 0001, which kept neither
        devices.set_attestation_key(connection, device.device_id, signer.key_spki)
        record_attestation(connection, device.device_id, signer.chain)


def _check_issued(connection: Connection, signer: Signer, device: devices.DeviceRow) -> None:
    """Check that the certificate is for the key with which the device was enrolled, and not revoked."""
    if sha256(signer.key_spki).digest() != device.attestation_key_sha256:
        raise refused("The certificate is for another key than the device's own.", "OTHER_KEY")
    if issued.is_revoked(connection, device.device_id, signer.serial):
        raise refused("The certificate was revoked.", "REVOKED")
