"""What must be true after a soak, checked from outside: the devices' ledgers against the service's database.

1  every record that a device acknowledged is in the service's chain, exactly once, with the same digest
2  records of the service that no device acknowledged are at most one for each kill of a writer
3  each chain is unbroken: seq after seq, each naming the digest of the one before
4  each envelope is signed by its device, and is the leaf that the log has at its place
5  the tree over all leaves has the root of the newest signed checkpoint
6  each device's newest receipt holds under the deployment's root and covers its whole chain
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from verifield.certificates import load_roots, parse_certificate, signing_key
from verifield.chain import ChainHead, check_link, envelope_sha256, next_head
from verifield.dsse import check_signature, parse_envelope
from verifield.leaf import log_leaf
from verifield.merkle import MerkleTree, leaf_hash
from verifield.note import parse_checkpoint
from verifield.receipt import check_receipt
from verifield.statement import parse_statement

Place = tuple[int, int]


@dataclass(slots=True)
class Finding:
    """What the oracle saw. ``lost``, ``doubled`` and ``broken`` must all be empty."""

    acknowledged: int = 0
    in_cloud: int = 0
    unacknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.broken)


def read_ledger(path: Path) -> dict[Place, str]:
    """Place to digest of every record that was acknowledged; a cut last line was not."""
    found: dict[Place, str] = {}
    for line in path.read_text("ascii").split("\n")[:-1]:
        parts = line.split(" ")
        if len(parts) == 3 and len(parts[2]) == 64:
            found[(int(parts[0]), int(parts[1]))] = parts[2]
    return found


def judge(
    database: Path,
    root_pem: bytes,
    ledgers: dict[str, Path],
    *,
    kills_of_writers: int,
    step: Callable[[int], None],
) -> Finding:
    """Check everything; ``ledgers`` by device id. ``step`` is told of each record for a progress bar."""
    finding = Finding()
    roots = load_roots(root_pem)
    tree = MerkleTree()
    acknowledged = {device: read_ledger(path) for device, path in ledgers.items()}
    finding.acknowledged = sum(map(len, acknowledged.values()))
    chains: dict[str, ChainHead | None] = dict.fromkeys(ledgers)
    seen: set[tuple[str, int, int]] = set()
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        certificates = {row["sha256"]: row["der"] for row in connection.execute("SELECT * FROM certificates")}
        for row in connection.execute(_RECORDS):
            step(1)
            finding.in_cloud += 1
            device, place = row["device_id"], (row["chain_epoch"], row["seq"])
            if (device, *place) in seen:
                finding.doubled.append(f"{device} {place}")
            seen.add((device, *place))
            chains[device] = _check_record(row, certificates, chains.get(device), finding)
            tree.append(row["leaf_hash"])
            expected = acknowledged.get(device, {}).pop(place, None)
            if expected is None:
                finding.unacknowledged += row["kind"] != _DEVICE_EVENT
            elif expected != row["envelope_sha256"].hex():
                finding.broken.append(f"{device} {place} has another digest than was acknowledged")
        _check_log(connection, tree, finding)
        _check_receipts(connection, chains, roots, finding)
    finding.lost = [f"{device} {place}" for device, left in acknowledged.items() for place in left]
    if finding.unacknowledged > kills_of_writers:
        finding.broken.append(f"{finding.unacknowledged} records that nobody recorded")
    return finding


_DEVICE_EVENT = 2
_RECORDS = """
    SELECT a.device_id, a.chain_epoch, a.seq, a.kind, a.envelope, a.envelope_sha256, a.certificate_sha256,
           l.leaf_hash
    FROM log_leaves l LEFT JOIN attestations a USING (log_index) ORDER BY l.log_index
"""


def _check_record(
    row: sqlite3.Row, certificates: dict[bytes, bytes], head: ChainHead | None, finding: Finding
) -> ChainHead:
    der = certificates[row["certificate_sha256"]]
    envelope = parse_envelope(row["envelope"])
    statement = parse_statement(check_signature(envelope, _key_of(der)))
    check_link(statement, head)
    if envelope_sha256(row["envelope"]) != row["envelope_sha256"]:
        finding.broken.append(f"{row['device_id']} {row['seq']}: digest")
    if leaf_hash(log_leaf(envelope, der)) != row["leaf_hash"]:
        finding.broken.append(f"{row['device_id']} {row['seq']}: leaf")
    return next_head(statement, row["envelope"])


@cache
def _key_of(der: bytes) -> ec.EllipticCurvePublicKey:
    return signing_key(parse_certificate(der))


def _check_log(connection: sqlite3.Connection, tree: MerkleTree, finding: Finding) -> None:
    [note] = connection.execute("SELECT note FROM checkpoints ORDER BY tree_size DESC LIMIT 1").fetchone()
    checkpoint = parse_checkpoint(note)
    if (checkpoint.size, checkpoint.root) != (tree.size, tree.root()):
        finding.broken.append("the tree is not that of the newest checkpoint")


def _check_receipts(
    connection: sqlite3.Connection,
    chains: dict[str, ChainHead | None],
    roots: list[x509.Certificate],
    finding: Finding,
) -> None:
    for device, head in chains.items():
        newest = connection.execute(
            "SELECT envelope, certificate_sha256 FROM receipts WHERE device_id = ? "
            "ORDER BY signed_us DESC, rowid DESC LIMIT 1",
            (device,),
        ).fetchone()
        if newest is None or head is None:
            finding.broken.append(f"{device} has no receipt")
            continue
        chain = list(_chain_of(connection, newest["certificate_sha256"]))
        receipt = check_receipt(newest["envelope"], certificates=chain, roots=roots)
        if (receipt.chain_epoch, receipt.through_seq, receipt.head_sha256) != (
            head.epoch,
            head.seq,
            head.sha256,
        ):
            finding.broken.append(f"{device}: the newest receipt does not cover the whole chain")


def _chain_of(connection: sqlite3.Connection, sha256: bytes | None) -> Iterator[bytes]:
    while sha256 is not None:
        row = connection.execute(
            "SELECT der, issuer_sha256 FROM certificates WHERE sha256 = ?", (sha256,)
        ).fetchone()
        yield row["der"]
        sha256 = row["issuer_sha256"]
