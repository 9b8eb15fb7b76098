"""What the tests of the outbox share: good receipts for its records, and looks at what it holds."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

from edge.contact import Arrival
from edge.model import Position
from edge.outbox.records import RecordState
from tests.support.appliance import BOOT_ID, Appliance
from tests.support.authority import NOW, Authority
from verifield.chain import ChainHead
from verifield.receipt import check_receipt
from verifield.v1.bundle_pb2 import Receipt

ALL = {"limit_bytes": 1 << 30, "limit_count": 1 << 30}
ARRIVAL = Arrival(BOOT_ID, 7_000_000_000)

Received = tuple[bytes, Receipt]


def receipt_through(
    authority: Authority,
    device: Appliance,
    seq: int,
    *,
    epoch: int = 1,
    at: datetime = NOW,
    sha256: bytes | None = None,
) -> Received:
    """A good receipt, checked, for our record at that place (or for ``sha256``)."""
    ours = sha256 or device.outbox.digest_at(Position(epoch, seq))
    assert ours is not None
    envelope = authority.receipt(device.device_id, ChainHead(epoch, seq, ours), at=at)
    receipt = check_receipt(envelope, certificates=authority.receipt_chain, roots=[authority.root])
    return envelope, receipt


def apply(device: Appliance, received: Received, *, arrival: Arrival = ARRIVAL, tree_size: int = 1) -> int:
    return device.outbox.apply_receipt(*received, arrival=arrival, tree_size=tree_size)


def places(*seqs: int, epoch: int = 1) -> list[Position]:
    return [Position(epoch, seq) for seq in seqs]


def states(device: Appliance) -> list[RecordState]:
    """Oldest first."""
    return [record.state for record in reversed(device.outbox.newest(limit=1000))]


def raw(path: Path) -> sqlite3.Connection:
    """The database past the outbox, to damage it and to look at it."""
    return sqlite3.connect(path, isolation_level=None)
