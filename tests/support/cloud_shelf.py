"""What a cloud has of one device, read from its store past the service."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.model import Position
from verifield.chain import ChainHead, Excuse, cited_head, envelope_sha256, excuses_of, is_reset
from verifield.dsse import parse_envelope
from verifield.leaf import log_leaf
from verifield.merkle import MerkleTree, leaf_hash
from verifield.statement import parse_statement
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.attestation_pb2 import Statement


@dataclass(frozen=True)
class Side:
    """A record that is in no chain. ``kind``: REFUSED, BRANCH or DAMAGED."""

    kind: str
    position: Position
    sha256: bytes
    content: bytes
    reason: str


@dataclass(frozen=True)
class Alarm:
    """``kind`` without its prefix."""

    kind: str
    position: Position
    reason: str
    open: bool


@dataclass(frozen=True)
class Shelf:
    """``chain``: envelopes by place. ``attestation_ids``: of those records. ``media``: complete files."""

    device_id: str
    head: ChainHead
    state: str
    chain: dict[Position, bytes]
    attestation_ids: dict[Position, str]
    staged: dict[Position, bytes]
    side: list[Side]
    alarms: list[Alarm]
    media: set[bytes]

    def beside(self, kind: str) -> list[Position]:
        return sorted(one.position for one in self.side if one.kind == kind)

    def kinds(self, *, open_only: bool = True) -> set[str]:
        """Of alarms."""
        return {one.kind for one in self.alarms if one.open or not open_only}

    def excuses(self, epoch: int) -> list[Excuse]:
        """What records of the chain have given up."""
        found = (excuses_of(statement_of(self.chain[at])) for at in sorted(self.chain) if at.epoch == epoch)
        return [one for one in found if one is not None]

    def check_chain(self) -> None:
        """Check that the chain is one: epoch after epoch, each record behind the one that it names."""
        head: ChainHead | None = None
        for epoch in sorted({at.epoch for at in self.chain}):
            places = sorted(at for at in self.chain if at.epoch == epoch)
            first = statement_of(self.chain[places[0]])
            if head is None:
                assert epoch == 1
                assert first.previous_envelope_sha256 == b"" or places[0].seq > 1
            else:
                assert is_reset(first), f"epoch {epoch} does not begin with a RESET"
                assert cited_head(first) == head, f"the RESET of epoch {epoch} cites another head"
            head = self._check_epoch(epoch, places)
        assert (head or ChainHead(1, 0, b"")) == self.head

    def _check_epoch(self, epoch: int, places: list[Position]) -> ChainHead:
        excuses = self.excuses(epoch)
        head = ChainHead(epoch, 0, b"")
        for at in places:
            envelope = self.chain[at]
            previous = statement_of(envelope).previous_envelope_sha256
            for seq in range(head.seq + 1, at.seq):
                assert any(one.first_seq <= seq <= one.last_seq for one in excuses), (
                    f"{Position(epoch, seq)} is missing, and nothing says so"
                )
            if at.seq == head.seq + 1:
                assert previous == head.sha256, f"{at} names another predecessor"
            else:
                ends = {one.last_sha256 for one in excuses if one.last_seq == at.seq - 1}
                assert not ends or previous in ends, f"{at} does not continue what was given up"
            head = ChainHead(epoch, at.seq, envelope_sha256(envelope))
        return head


def statement_of(envelope: bytes) -> Statement:
    return parse_statement(parse_envelope(envelope).payload)


def read_shelf(data: Path, device_id: str) -> Shelf:
    """Read one consistent view of the store under ``data``, also while the service runs."""
    with closing(_open(data)) as database:
        database.execute("BEGIN")

        def ask(sql: str) -> list[Any]:
            return database.execute(f"{sql} WHERE device_id = ?", (device_id,)).fetchall()

        [(epoch, seq, sha256, state)] = ask("SELECT chain_epoch, seq, head_sha256, state FROM devices")
        records = ask("SELECT chain_epoch, seq, envelope, attestation_id FROM attestations")
        staged = ask("SELECT chain_epoch, seq, envelope FROM staged")
        side = ask("SELECT kind, chain_epoch, seq, sha256, content, reason FROM side_records")
        alarms = ask("SELECT kind, chain_epoch, seq, reason, acknowledged_us FROM alarms")
        media = ask("SELECT sha256, complete_us FROM media")
    return Shelf(
        device_id=device_id,
        head=ChainHead(epoch, seq, sha256),
        state=pb.DeviceState.Name(state).removeprefix("DEVICE_STATE_"),
        chain={Position(of, at): envelope for of, at, envelope, _ in records},
        attestation_ids={Position(of, at): name for of, at, _, name in records},
        staged={Position(of, at): envelope for of, at, envelope in staged},
        side=[
            Side(
                pb.SideRecordKind.Name(kind).removeprefix("SIDE_RECORD_KIND_"),
                Position(of, at),
                digest,
                content,
                reason,
            )
            for kind, of, at, digest, content, reason in side
        ],
        alarms=[
            Alarm(
                pb.AlarmKind.Name(kind).removeprefix("ALARM_KIND_"),
                Position(of, at),
                reason,
                open=acknowledged is None,
            )
            for kind, of, at, reason, acknowledged in alarms
        ],
        media={digest for digest, complete in media if complete is not None},
    )


def read_tree(data: Path) -> MerkleTree:
    """The log, computed anew from the records that it is made of; each leaf must be that of its record."""
    with closing(_open(data)) as database:
        rows = database.execute(
            "SELECT l.log_index, l.leaf_hash, a.envelope, c.der FROM log_leaves AS l "
            "LEFT JOIN attestations AS a ON a.log_index = l.log_index "
            "LEFT JOIN certificates AS c ON c.sha256 = a.certificate_sha256 ORDER BY l.log_index"
        ).fetchall()
    tree = MerkleTree()
    for index, stored, envelope, certificate in rows:
        assert envelope is not None, f"leaf {index} has no record"
        leaf = leaf_hash(log_leaf(parse_envelope(envelope), certificate))
        assert (index, stored) == (tree.size, leaf), f"leaf {index} is not that of its record"
        tree.append(leaf)
    return tree


def _open(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{data / 'verifield.db'}?mode=ro", uri=True, isolation_level=None)
