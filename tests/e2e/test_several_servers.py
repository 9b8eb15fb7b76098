"""Two servers on one database: one is killed under load, and nothing is lost, doubled or told twice."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from sqlalchemy import text

from cloud.store.database import Store
from tests.support.cloud import CloudDevice, RunningCloud, next_envelopes
from tests.support.cloud_process import Served, begin, ready
from tests.support.postgres import NoPostgresError, fresh_database
from verifield.chain import envelope_sha256
from verifield.merkle import MerkleTree, check_consistency
from verifield.note import parse_checkpoint
from verifield.receipt import check_receipt
from verifield.v1 import log_service_pb2
from verifield.v1 import sync_service_pb2 as pb

DEVICES = 6
BATCHES = 24
BATCH = 12
"""Records in each: enough batches are on their way at any moment that a kill meets some."""

GIVE_UP = 60
"""Tries of one batch, with a pause between them: far longer than a server needs to start."""

_DONE = {pb.DELIVER_STATUS_ACCEPTED, pb.DELIVER_STATUS_ALREADY_HAVE}


@pytest.fixture
def database() -> Iterator[str]:
    try:
        with fresh_database(durable=True) as url:
            yield url
    except NoPostgresError as error:
        pytest.skip(str(error))


@dataclass
class Load:
    """What the devices sent and were answered. ``servers``: those that run, in order of preference."""

    servers: list[RunningCloud]
    answers: list[tuple[CloudDevice, pb.DeliverResponse]] = field(default_factory=list)
    sent: dict[str, list[bytes]] = field(default_factory=dict)
    moved: int = 0
    answered: Counter[int] = field(default_factory=Counter)  # by server
    faults: list[BaseException] = field(default_factory=list)
    progress: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, answers: int) -> None:
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.answers) >= answers or self.faults, 120)
        assert not self.faults

    def run(self, device: CloudDevice, home: int) -> None:
        """Deliver all batches of a device, each until it is answered, at home where that is possible."""
        try:
            at = home
            for _ in range(BATCHES):
                batch = next_envelopes(device, BATCH)
                self.sent.setdefault(device.device_id, []).extend(batch)
                at = self._deliver(device, batch, at)
        except BaseException as fault:
            with self.progress:
                self.faults.append(fault)
                self.progress.notify_all()

    def _deliver(self, device: CloudDevice, batch: Sequence[bytes], at: int) -> int:
        for _ in range(GIVE_UP):
            try:
                [answer] = self.servers[at].deliver(device, batch)
            except grpc.RpcError:
                at = 1 - at
                self.moved += 1
                threading.Event().wait(0.1)
                continue
            assert {one.status for one in answer.results} <= _DONE
            with self.progress:
                self.answers.append((device, answer))
                self.answered[at] += 1
                self.progress.notify_all()
            return at
        raise AssertionError("no server took the batch")


@contextmanager
def two_servers(folder: Path, database: str) -> Iterator[list[Served]]:
    """Both start at once on an empty database, with keys and media in common."""
    common = folder / "common"
    common.mkdir(mode=0o700)
    settings = settings_of(folder, database)
    places = [folder / "one", folder / "two"]
    started = [begin(place, settings) for place in places]
    with ExitStack() as stack:
        yield [
            stack.enter_context(ready(process, place, database=database))
            for process, place in zip(started, places, strict=True)
        ]


def settings_of(folder: Path, database: str) -> dict[str, str]:
    return {"database": database, "keys": str(folder / "common"), "media": str(folder / "common/media")}


def test_a_server_is_killed_and_nothing_is_lost(tmp_path: Path, database: str) -> None:
    with two_servers(tmp_path, database) as (one, two):
        assert one.cloud.root_pem == two.cloud.root_pem
        # A token of one server lets in at the other, and once.
        homes = [(one, two)[number % 2] for number in range(DEVICES)]
        devices = [home.cloud.enroll((two if home is one else one).cloud.join_token()) for home in homes]
        load = Load([one.cloud, two.cloud])
        threads = [
            threading.Thread(target=load.run, args=(device, number % 2))
            for number, device in enumerate(devices)
        ]
        for thread in threads:
            thread.start()
        load.wait_for(DEVICES * BATCHES // 4)
        assert min(load.answered[0], load.answered[1]) > 0
        one.kill()
        load.wait_for(DEVICES * BATCHES // 2)
        place = tmp_path / "one"
        with ready(begin(place, settings_of(tmp_path, database)), place, database=database) as again:
            load.servers[0] = again.cloud
            # Those who moved stay where they are; one comes back.
            for thread in threads:
                thread.join(120)
            assert not load.faults
            assert load.moved > 0, "the kill met no device"
            last = next_envelopes(devices[0], BATCH)
            load.sent[devices[0].device_id] += last
            load.answers += [(devices[0], answer) for answer in again.cloud.deliver(devices[0], last)]
            check_store(database, load)
            check_receipts(load, again.cloud)
            check_views(again.cloud, two.cloud)


def check_store(database: str, load: Load) -> None:
    """Each record is in its chain and in the log, once; all checkpoints are of the one tree."""
    store = Store.open(database)
    with store.reading() as connection:
        records = connection.execute(
            text("SELECT device_id, seq, envelope, log_index FROM attestations ORDER BY device_id, seq")
        ).all()
        leaves = connection.execute(
            text("SELECT log_index, leaf_hash, device_id, seq FROM log_leaves ORDER BY log_index")
        ).all()
        notes = connection.execute(text("SELECT note FROM checkpoints")).scalars().all()
    store.close()
    for device_id, sent in load.sent.items():
        kept = [(row.seq, row.envelope) for row in records if row.device_id == device_id]
        assert kept == list(enumerate(sent, 1)), "lost, doubled or out of order"
    assert len(records) == sum(map(len, load.sent.values()))
    assert [leaf.log_index for leaf in leaves] == list(range(len(records)))
    assert {(leaf.log_index, leaf.device_id, leaf.seq) for leaf in leaves} == {
        (row.log_index, row.device_id, row.seq) for row in records
    }
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf.leaf_hash)
    checkpoints = [parse_checkpoint(note) for note in notes]
    assert Counter(one.root == tree.root(one.size) for one in checkpoints).keys() == {True}
    assert max(one.size for one in checkpoints) == tree.size


def check_receipts(load: Load, cloud: RunningCloud) -> None:
    """Every answer's receipt holds, for what the device had sent by then, in trees of one history."""
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    digests = {
        device_id: [envelope_sha256(envelope) for envelope in sent] for device_id, sent in load.sent.items()
    }
    notes: dict[int, bytes] = {}
    for device, answer in load.answers:
        receipt = check_receipt(answer.receipt, certificates=answer.receipt_certificates, roots=roots)
        assert receipt.device_id == device.device_id
        assert receipt.head_sha256 == digests[device.device_id][receipt.through_seq - 1]
        checkpoint = parse_checkpoint(receipt.checkpoint)
        assert notes.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
    newest = max(notes)
    for size, root in notes.items():
        if size in (newest, 0):
            continue
        proof = cloud.operator.call(
            cloud.operator.log.GetConsistencyProof,
            log_service_pb2.GetConsistencyProofRequest(first_size=size, second_size=newest),
        )
        check_consistency(
            first_size=size,
            first_root=root,
            second_size=newest,
            second_root=notes[newest],
            proof=proof.hashes,
        )


def check_views(*clouds: RunningCloud) -> None:
    """Whoever is asked, the log is the same; what one has not heard of yet it learns."""
    heads = []
    for cloud in clouds:
        answer = cloud.operator.call(cloud.operator.log.GetCheckpoint, log_service_pb2.GetCheckpointRequest())
        checkpoint = parse_checkpoint(answer.checkpoint)
        heads.append((checkpoint.size, hashlib.sha256(checkpoint.root).hexdigest()))
    assert len(set(heads)) == 1
