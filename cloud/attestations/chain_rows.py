"""Between the rules of delivery and the rows: what a batch asks of the store, and what it leaves there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from sqlalchemy import Connection

from cloud.attestations.ingest import Books
from cloud.attestations.record import Place, Record, Refused, record_of
from cloud.store import attestations, log, media, side, staging
from cloud.store.devices import DeviceRow, has_attestation_key
from cloud.store.lanes import lane_of
from verifield.chain import ChainHead, Excuse
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Envelope
from verifield.v1.device_service_pb2 import SIDE_RECORD_KIND_BRANCH, SIDE_RECORD_KIND_REFUSED

_CHUNK = 256
"""Staged records read at once: half a megabyte."""


def load_books(
    connection: Connection,
    device: DeviceRow,
    records: Sequence[Record | Refused],
    *,
    fill: staging.StageFill,
) -> Books:
    """What the rules need to know for these records; what no record asks for is not read."""
    genuine = [one for one in records if isinstance(one, Record)]
    head = device.chain_epoch, device.seq
    passed = [one for one in genuine if one.place <= head]
    closed = [one.sha256 for one in passed if one.place[0] < device.chain_epoch]
    reopened = [one.place for one in passed if one.place[0] == device.chain_epoch]
    excuses = _excuses_at(connection, device, reopened)
    epochs = staging.list_epochs(connection, device.device_id) if closed else []
    cosigners = {one.cosigner_key for one in genuine if one.cosigner_key}
    return Books(
        site_id=device.site_id,
        key_protection=device.key_protection,
        epoch=device.chain_epoch,
        seq=device.seq,
        stored=_stored(connection, device.device_id, [one.place for one in passed]),
        staged=staging.staged_digests(connection, device.device_id, [one.place for one in genuine])
        if fill.records or fill.excusing
        else {},
        lost={
            place
            for place in reopened
            if any(not one.refused and one.first_seq <= place[1] <= one.last_seq for one in excuses)
        },
        tombstones={(device.chain_epoch, one.last_seq, one.last_sha256) for one in excuses if one.refused},
        branches=side.known_digests(
            connection, device.device_id, kind=SIDE_RECORD_KIND_BRANCH, digests=closed
        ),
        told=_told(epochs),
        left={one.place[0] for one in passed if any(_is_left(one.place[0], by=epoch) for epoch in epochs)},
        used_ids=taken_ids(connection, genuine),
        device_keys={key for key in cosigners if has_attestation_key(connection, sha256(key).digest())},
    )


def counting_excuses(connection: Connection, device_id: str, excuses: Sequence[Excuse]) -> list[Excuse]:
    """Those that count: a TOMBSTONE does only where bytes of its digest were refused here."""
    named = {one.last_sha256 for one in excuses if one.refused}
    refused = side.known_digests(connection, device_id, kind=SIDE_RECORD_KIND_REFUSED, digests=named)
    return [one for one in excuses if not one.refused or one.last_sha256 in refused]


def excuses_behind(connection: Connection, device_id: str, head: ChainHead) -> list[Excuse]:
    """What was given up behind the head in its epoch, by records that are here, as far as it counts."""
    rows = staging.excuses_from(connection, device_id, chain_epoch=head.epoch, from_seq=head.seq + 1)
    return counting_excuses(
        connection,
        device_id,
        [Excuse(row.first_seq, row.last_seq, row.last_sha256, row.refused) for row in rows],
    )


def staged_before(connection: Connection, device_id: str, *, epoch: int) -> Iterator[list[staging.StagedRow]]:
    """What waits in epochs before ``epoch``, in pieces, each of which the caller takes out of staging."""
    while rows := staging.staged_before(connection, device_id, epoch=epoch, limit=_CHUNK):
        yield rows


def waiting_records(
    connection: Connection, device_id: str, head: ChainHead, used_ids: set[str]
) -> Iterator[Record]:
    """Staged records of the head's epoch behind it, in order; their ids join ``used_ids`` where taken."""
    after, limit = head.seq, 1  # most often the first one tells that there is a hole before it
    while True:
        rows = staging.next_staged(
            connection, device_id, chain_epoch=head.epoch, from_seq=after + 1, limit=limit
        )
        records = [to_record(row) for row in rows]
        used_ids |= taken_ids(connection, records)
        yield from records
        if len(rows) < limit:
            return
        after, limit = rows[-1].seq, _CHUNK


def taken_ids(connection: Connection, records: Sequence[Record]) -> set[str]:
    """Attestation ids of these records that are in the store already."""
    return attestations.taken_ids(connection, [one.attestation_id for one in records])


def to_record(row: staging.StagedRow) -> Record:
    """The record that was staged. Its signature and rules were checked before, and are not again."""
    statement = Statement.FromString(Envelope.FromString(row.envelope).payload)
    return record_of(
        statement,
        envelope=row.envelope,
        digest=row.envelope_sha256,
        leaf=row.leaf_hash,
        certificate_sha256=row.certificate_sha256,
    )


def to_staged(record: Record, *, received_us: int) -> staging.StagedRow:
    """The row of a record that waits."""
    epoch, seq = record.place
    return staging.StagedRow(
        device_id=record.device_id,
        chain_epoch=epoch,
        seq=seq,
        envelope=record.envelope,
        envelope_sha256=record.sha256,
        leaf_hash=record.leaf,
        certificate_sha256=record.certificate_sha256,
        excusing=record.excuse is not None,
        received_us=received_us,
    )


def add_appended(
    connection: Connection, records: Sequence[Record], *, first_index: int, received_us: int
) -> None:
    """Write records of one device that are in the log from ``first_index`` on."""
    cited = log.sizes_of_notes(connection, {one.cited_checkpoint for one in records} - {b""})
    lane = lane_of(records[0].device_id)
    rows = [
        attestations.NewRow(
            one.device_id,
            *one.place,
            one.attestation_id,
            index,
            lane,
            one.envelope,
            one.sha256,
            one.certificate_sha256,
            one.site_id,
            one.kind,
            one.outcome,
            one.reasons,
            one.wall_us,
            received_us,
            cited.get(one.cited_checkpoint),
        )
        for index, one in enumerate(records, first_index)
    ]
    attestations.add_attestations(connection, rows)
    attestations.add_purposes(
        connection,
        [
            attestations.PurposeRow(one.attestation_id, one.purpose[1], one.purpose[0], received_us, None)
            for one in records
            if one.purpose is not None
        ],
    )


def add_excuses(connection: Connection, records: Iterable[Record]) -> None:
    """Keep which places these records have given up."""
    rows = []
    for record in records:
        excuse = record.excuse
        if excuse:
            epoch, seq = record.place
            rows.append(
                staging.ExcuseRow(
                    device_id=record.device_id,
                    chain_epoch=epoch,
                    by_seq=seq,
                    first_seq=excuse.first_seq,
                    last_seq=excuse.last_seq,
                    last_sha256=excuse.last_sha256,
                    refused=excuse.refused,
                )
            )
    staging.add_excuses(connection, rows)


def add_media(connection: Connection, records: Iterable[Record], *, named_us: int) -> None:
    """Keep which files these records name, so that the device may send them."""
    media.add_media(
        connection,
        [
            media.MediaRow(
                device_id=record.device_id,
                sha256=one.sha256,
                size_bytes=one.size_bytes,
                attestation_id=record.attestation_id,
                name=one.name,
                named_us=named_us,
            )
            for record in records
            for one in record.media
        ],
    )


def open_epoch(connection: Connection, reset: Record, *, closed: ChainHead, opened_us: int) -> None:
    """Keep the two heads that a RESET cites."""
    cited = reset.statement.device_event.reset
    known = cited.HasField("device_head")
    staging.add_epoch(
        connection,
        staging.EpochRow(
            device_id=reset.device_id,
            chain_epoch=reset.place[0],
            opened_us=opened_us,
            closed_epoch=closed.epoch,
            closed_seq=closed.seq,
            closed_sha256=closed.sha256,
            device_epoch=cited.device_head.chain_epoch if known else None,
            device_seq=cited.device_head.seq if known else None,
            device_sha256=cited.device_head.envelope_sha256 if known else None,
        ),
    )


def _excuses_at(
    connection: Connection, device: DeviceRow, places: Sequence[Place]
) -> list[staging.ExcuseRow]:
    if not places:
        return []
    lowest, highest = min(places)[1], max(places)[1]
    found = staging.excuses_from(
        connection, device.device_id, chain_epoch=device.chain_epoch, from_seq=lowest
    )
    return [one for one in found if one.first_seq <= highest]


def _stored(connection: Connection, device_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
    found: dict[Place, bytes] = {}
    for epoch in sorted({epoch for epoch, _ in places}):
        seqs = [seq for of, seq in places if of == epoch]
        digests = attestations.envelope_digests(connection, device_id, chain_epoch=epoch, seqs=seqs)
        found |= {(epoch, seq): digest for seq, digest in digests.items()}
    return found


def _told(epochs: Sequence[staging.EpochRow]) -> dict[int, int]:
    """By epoch, the newest place that a RESET names as the device's own."""
    told: dict[int, int] = {}
    for row in epochs:
        if row.device_epoch is not None and row.device_seq is not None:
            told[row.device_epoch] = max(told.get(row.device_epoch, 0), row.device_seq)
    return told


def _is_left(epoch: int, *, by: staging.EpochRow) -> bool:
    """Whether the device went through ``epoch``, and left it with a RESET that never came into the chain."""
    return by.device_epoch is not None and by.closed_epoch <= epoch < by.device_epoch
