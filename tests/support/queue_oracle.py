"""What must be true of a device and its cloud when both have come to rest, whatever happened before.

    promised = Promises()
    promised.hear(office.verify(3))
    ... the bad day ...
    promised.look(office)
    assert_at_rest(cloud, office, promised)

1. The cloud's chain is one, and its log is made of exactly the records that it has.
2. Every record that the device was told is stored is in the cloud exactly once: in the chain, beside it
   as a branch, or refused; ``lost`` names those that are nowhere, and a GAP in the chain tells of each.
3. Both sides have the same head, and a receipt covers it.
4. Every record that is still on the device is CONFIRMED, or visible with its reason; every confirmed one,
   and every one that was purged, is in the cloud.
5. The receipt that the device keeps, and a bundle of each record, verify with the pinned root alone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge.app import outbox_path
from edge.model import Position
from edge.outbox.records import RecordState, StoredRecord
from tests.support.cloud import RunningCloud
from tests.support.cloud_shelf import Shelf, read_shelf, read_tree
from tests.support.field_office import FieldOffice
from verifield.certificates import load_roots, log_key, parse_certificate
from verifield.chain import envelope_sha256
from verifield.note import check_checkpoint
from verifield.receipt import check_receipt
from verifield.v1 import attestation_service_pb2, log_service_pb2
from verifield.v1.bundle_pb2 import Bundle
from verifield.verify import verify_bundle

ALL = 1 << 30


@dataclass
class Promises:
    """What the store said is durable: digests of envelopes, with their places."""

    records: dict[bytes, Position] = field(default_factory=dict)

    def hear(self, records: Iterable[StoredRecord]) -> None:
        for record in records:
            if record.state is not RecordState.DAMAGED:
                self.records[record.sha256] = record.position

    def look(self, *offices: FieldOffice) -> None:
        """Take in what is on the devices, notes that a daemon has recorded included."""
        for office in offices:
            with office.recorder() as recorder:
                self.hear(recorder.outbox.newest(limit=ALL))


def assert_at_rest(
    cloud: RunningCloud, office: FieldOffice, promised: Promises, *, lost: Iterable[Position] = ()
) -> Shelf:
    """Check all of the above; return what the cloud has."""
    shelf = read_shelf(cloud.data, office.device_id)
    shelf.check_chain()
    assert_everything_is_there_once(shelf, promised, lost=set(lost))
    _check_device(office, shelf)
    _check_proofs(cloud, office, shelf)
    return shelf


def assert_everything_is_there_once(shelf: Shelf, promised: Promises, *, lost: set[Position]) -> None:
    """Rules 2; also where a device does not rest."""
    assert shelf.staged == {}
    kept = Counter(map(envelope_sha256, shelf.chain.values()))
    kept.update({one.sha256 for one in shelf.side if one.kind == "BRANCH"})
    kept.update({one.sha256 for one in shelf.side if one.kind == "REFUSED"})
    twice = {digest for digest, count in kept.items() if count > 1}
    assert not twice, f"kept twice: {[promised.records.get(one) for one in twice]}"
    for one in shelf.side:
        if one.kind != "DAMAGED":
            assert envelope_sha256(one.content) == one.sha256
    nowhere = {at for digest, at in promised.records.items() if digest not in kept}
    assert nowhere == lost
    for at in lost:
        excuses = shelf.excuses(at.epoch)
        assert any(not one.refused and one.first_seq <= at.seq <= one.last_seq for one in excuses), at
    refused = [one for one in shelf.side if one.kind == "REFUSED"]
    for one in refused:
        assert one.reason
        if one.position.epoch == shelf.head.epoch:
            digests = {excuse.last_sha256 for excuse in shelf.excuses(one.position.epoch) if excuse.refused}
            assert one.sha256 in digests, f"no TOMBSTONE for {one.position}"


def _check_device(office: FieldOffice, shelf: Shelf) -> None:
    """Rules 3 and 4."""
    chain = {envelope_sha256(envelope) for envelope in shelf.chain.values()}
    branches = {one.sha256 for one in shelf.side if one.kind == "BRANCH"}
    refused = {one.sha256 for one in shelf.side if one.kind == "REFUSED"}
    with office.recorder() as recorder:
        outbox = recorder.outbox
        head = outbox.head()
        assert head == shelf.head
        assert outbox.confirmed() == Position(head.epoch, head.seq)
        assert outbox.reset_needed() is None
        assert outbox.media_pending() == []
        assert outbox.check().sound
        for record in outbox.newest(limit=ALL):
            match record.state:
                case RecordState.CONFIRMED if record.epoch == head.epoch:
                    assert record.sha256 in chain, record.position
                case RecordState.CONFIRMED | RecordState.BRANCH:
                    assert record.sha256 in chain | branches, record.position
                case RecordState.INVALID:
                    assert record.sha256 in refused, record.position
                    assert record.reason
                case RecordState.DAMAGED:
                    excuses = shelf.excuses(record.epoch)
                    assert record.position in shelf.chain or any(
                        one.first_seq <= record.seq <= one.last_seq for one in excuses
                    )
                case _:
                    raise AssertionError(f"{record.position} is {record.state}")


def _check_proofs(cloud: RunningCloud, office: FieldOffice, shelf: Shelf) -> None:
    """Rules 1 (the log) and 5."""
    roots = load_roots(cloud.root_pem)
    tree = read_tree(cloud.data)
    answer = cloud.operator.call(cloud.operator.log.GetCheckpoint, log_service_pb2.GetCheckpointRequest())
    key = log_key(parse_certificate(answer.certificates[0]))
    published = check_checkpoint(answer.checkpoint, key=key)
    assert (published.size, published.root) == (tree.size, tree.root())
    for attestation_id in shelf.attestation_ids.values():
        bundle = bundle_of(cloud, attestation_id)
        report = verify_bundle(bundle.SerializeToString(deterministic=True), roots=roots)
        assert report.ok, report.headline
    receipt = check_receipt(stored_receipt(office), certificates=bundle.receipt_certificates, roots=roots)
    head = shelf.head
    assert (receipt.device_id, receipt.chain_epoch) == (shelf.device_id, head.epoch)
    assert (receipt.through_seq, receipt.head_sha256) == (head.seq, head.sha256)
    seen = check_checkpoint(receipt.checkpoint, key=key)
    assert tree.root(seen.size) == seen.root, "the receipt names a tree that the log never was"


def bundle_of(cloud: RunningCloud, attestation_id: str) -> Bundle:
    request = attestation_service_pb2.GetBundleRequest(attestation_id=attestation_id)
    return cloud.operator.call(cloud.operator.attestations.GetBundle, request).bundle


def stored_receipt(office: FieldOffice) -> bytes:
    """The newest receipt on the device."""
    return _one(outbox_path(office.settings, office.device_id), "SELECT envelope FROM receipt")


def _one(path: Path, sql: str) -> bytes:
    with closing(sqlite3.connect(path)) as database:
        [(value,)] = database.execute(sql).fetchall()
    return bytes(value)
