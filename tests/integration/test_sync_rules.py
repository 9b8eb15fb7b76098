"""Whatever bad networks, failing disks, backups and clones do: nothing is lost, and both sides agree at last.

The real pump, machine, outbox and recorder against a model of the cloud: requests and answers dropped,
batches cut short, deliveries doubled, old ones repeated, receipts lost, processes restarted, records purged,
broken or refused for good, either side restored from a backup, the device cloned, chains held back for a
person. When the faults end, every record ever signed is in the cloud (in the chain or beside it) or given
up by a signed note of the device, and nothing is anywhere twice.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.model import Position
from edge.outbox.records import RecordState
from edge.rpc import FailureKind, RpcFailure
from edge.sync.events import CloudChain, Event, RecordResult, Timer, Wake
from edge.sync.machine import State
from edge.sync.ports import Damaged, Media, Outgoing, UplinkError
from edge.sync.pump import Pump
from edge.sync.uplink import deliver_request, parse_results
from tests.support.appliance import MemorySigner
from tests.support.authority import NOW, Authority
from tests.support.clocks import ManualClock
from tests.support.model_chain import DeviceModel, statement_of
from tests.support.model_cloud import ModelCloud
from tests.support.sync_device import FieldDevice
from verifield.certificates import Purpose
from verifield.chain import ChainHead, envelope_sha256, excuses_of
from verifield.v1 import sync_service_pb2 as pb

AUTHORITY = Authority.create()
BATCH_RECORDS = 3
"""So that a handful of records makes several batches."""

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
PATIENCE = 400
"""Steps after the last fault; each step in WAITING or HALTED lets its time pass."""


class Fault(Enum):
    NONE = auto()
    REQUEST_LOST = auto()
    ANSWER_LOST = auto()
    CUT_SHORT = auto()  # the cloud takes the first record of a batch and dies
    TWICE = auto()  # a delayed copy of the request arrives as well
    OLD = auto()  # one of an earlier day arrives again
    RECEIPT_LOST = auto()


class BadUplink:
    """The cloud behind a network that does what ``fault`` says, once; most faults hit a delivery."""

    def __init__(self, cloud: ModelCloud, device_id: str, certificates: Sequence[bytes]) -> None:
        self._cloud = cloud
        self._device_id = device_id
        self._certificates = certificates
        self._sent: list[pb.DeliverRequest] = []
        self.fault = Fault.NONE

    def get_head(self) -> CloudChain:
        if self.fault is Fault.REQUEST_LOST:
            self._take_fault()
            raise away()
        answer = self._cloud.get_head(self._device_id)
        head = ChainHead(answer.chain_epoch, answer.seq, answer.head_sha256) if answer.seq else None
        missing = tuple((one.first_seq, one.last_seq) for one in answer.missing)
        return CloudChain(head, answer.newest_seq, missing)

    def deliver(
        self, records: Sequence[Outgoing], *, damaged: Sequence[Damaged], witnessed_tree_size: int
    ) -> tuple[tuple[RecordResult, ...], pb.DeliverResponse]:
        fault = self._take_fault()
        request = deliver_request(
            records, damaged, certificates=self._certificates, witnessed_tree_size=witnessed_tree_size
        )
        if fault is Fault.REQUEST_LOST:
            raise away()
        if fault is Fault.OLD and self._sent:
            self._cloud.deliver(self._device_id, self._sent[len(self._sent) // 2])
        self._sent.append(request)
        if fault is Fault.CUT_SHORT:
            short = deliver_request(
                records[:1], (), certificates=self._certificates, witnessed_tree_size=witnessed_tree_size
            )
            self._cloud.deliver(self._device_id, short)
            raise away()
        answer = self._cloud.deliver(self._device_id, request)
        if fault is Fault.TWICE:
            answer = self._cloud.deliver(self._device_id, request)
        if fault is Fault.ANSWER_LOST:
            raise away()
        if fault is Fault.RECEIPT_LOST:
            answer.receipt = b""
        return parse_results(answer, records), answer

    def pull(self, *, cursor: str, page_size: int) -> pb.PullResponse:
        return self._cloud.pull(pb.PullRequest(cursor=cursor, page_size=page_size))

    def get_media(self, sha256: bytes) -> frozenset[int] | None:
        raise AssertionError(sha256)

    def put_media_chunk(self, media: Media, *, index: int, content: bytes) -> bool:
        raise AssertionError(media)

    def close(self) -> None:
        """Nothing to close."""

    def _take_fault(self) -> Fault:
        fault, self.fault = self.fault, Fault.NONE
        return fault


def away() -> UplinkError:
    return UplinkError(RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached."))


class Driven:
    """A device, its pump, and time that passes only where the pump waits."""

    def __init__(
        self, folder: Path, cloud: ModelCloud, signer: MemorySigner, certificates: Sequence[bytes]
    ) -> None:
        self.device = FieldDevice(folder, signer=signer, sync=False)
        self.uplink = BadUplink(cloud, "device-1", certificates)
        self.clock = ManualClock()
        self.start()

    def start(self) -> None:
        parts = self.device.parts(lambda: self.uplink, AUTHORITY.root_pem)
        self.pump = Pump(parts, self.clock, lambda: 0.5)
        self.event: Event | None = Wake()

    def restart(self) -> None:
        self.device.note_signed()
        self.device.restart()
        self.start()

    def step(self) -> None:
        """One event; where the pump waits, time passes until it need not."""
        machine = self.pump.machine
        if (
            self.event is None
            and machine.state is State.IDLE
            and self.device.outbox.first_pending() is not None
        ):
            self.event = Wake()
        elif self.event is None:
            self.clock.advance(max(0.0, machine.until - self.pump.now()))
            self.event = Timer()
        self.event = self.pump.handle(self.event)

    def settle(self, *, person: Callable[[], None]) -> None:
        """Go on until all is confirmed; ``person`` looks into the alarms now and then."""
        self.uplink.fault = Fault.NONE
        for number in range(PATIENCE * 4):
            quiet = self.event is None and self.pump.machine.state is State.IDLE and number > 20
            if quiet and self.device.outbox.first_pending() is None:
                return
            if number % 50 == 49:
                person()
            self.step()
        raise AssertionError(self.pump.machine)


class SyncRules(RuleBasedStateMachine):
    @initialize()
    def set_up(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("edge.sync.pump.MAX_BATCH_RECORDS", BATCH_RECORDS)
        self.signer = MemorySigner()
        self.certificates = AUTHORITY.issue(
            self.signer.key.public_key(), name="device-1", purpose=Purpose.ATTESTATION
        )
        self.cloud = ModelCloud(AUTHORITY, at=NOW)
        self.main = Driven(self.root / "main", self.cloud, self.signer, self.certificates)
        self.all = [self.main]
        self.backups: list[Path] = []
        self.cloud_backups: list[dict[str, Any]] = []
        self.cloud_restores = 0
        self.broken: set[bytes] = set()
        self.clean = True  # only the network has failed so far

    @property
    def device(self) -> FieldDevice:
        return self.main.device

    @property
    def model(self) -> DeviceModel:
        return self.cloud.device("device-1")

    @rule(count=st.integers(1, 5))
    def verify(self, count: int) -> None:
        for _ in range(count):
            record = self.device.verify()
            self.device.signed[record.position] = record.envelope

    @rule(faults=st.lists(st.sampled_from(Fault), min_size=1, max_size=12))
    def sync(self, faults: list[Fault]) -> None:
        for fault in faults:
            self.main.uplink.fault = fault
            self.main.step()

    @rule()
    def restart(self) -> None:
        self.main.restart()

    @rule(seconds=st.integers(1, 100))
    def time_passes_in_the_cloud(self, seconds: int) -> None:
        self.cloud.at += timedelta(seconds=seconds)

    @rule()
    def purge(self) -> None:
        self.device.note_signed()
        self.device.outbox.purge(now=self.cloud.at + timedelta(seconds=1), retention=timedelta(0))

    @rule(back=st.integers(0, 6))
    def a_record_breaks(self, back: int) -> None:
        self.device.note_signed()
        newest = self.device.outbox.newest(limit=10)
        if back < len(newest) and newest[back].state is not RecordState.DAMAGED:
            self.clean = False
            self.broken.add(envelope_sha256(newest[back].envelope))
            self.device.damage(newest[back].position)

    @rule(ahead=st.integers(1, 3))
    def one_to_come_is_refused_for_good(self, ahead: int) -> None:
        head = self.device.outbox.head()
        self.clean = False
        self.cloud.refuse[(head.seq if head else 0) + ahead] = "STATEMENT"

    @rule()
    def the_device_is_backed_up(self) -> None:
        to = self.root / f"backup-{len(self.backups)}"
        self.device.note_signed()
        self.backups.append(self.device.backup(to))
        self.main.start()

    @rule(which=st.integers(0, 9))
    def the_device_is_restored(self, which: int) -> None:
        if self.backups:
            self.clean = False
            self.device.note_signed()
            self.device.restore(self.backups[which % len(self.backups)])
            self.forget_what_is_nowhere()
            self.main.start()

    def forget_what_is_nowhere(self) -> None:
        """What was only on a disk that is gone, there or here."""
        kept = self.model.kept()
        for driven in self.all:
            device = driven.device
            here = {record.envelope for record in device.outbox.newest(limit=100_000)}
            device.signed = {
                at: envelope
                for at, envelope in device.signed.items()
                if envelope in here or envelope_sha256(envelope) in kept
            }

    @rule()
    def the_cloud_is_backed_up(self) -> None:
        self.cloud_backups.append(self.cloud.backup())

    @rule(which=st.integers(0, 9))
    def the_cloud_is_restored(self, which: int) -> None:
        if self.cloud_backups:
            self.clean = False
            self.cloud_restores += 1
            self.cloud.restore(self.cloud_backups[which % len(self.cloud_backups)])
            self.forget_what_is_nowhere()

    @rule(which=st.integers(0, 9), count=st.integers(1, 3))
    def a_clone_works(self, which: int, count: int) -> None:
        """A copy of the disk in another machine."""
        if not self.backups:
            return
        self.clean = False
        folder = self.root / f"clone-{len(self.all)}"
        source = self.backups[which % len(self.backups)]
        clone = Driven(folder, self.cloud, self.signer, self.certificates)
        clone.device.restore(source)
        clone.start()
        self.all.append(clone)
        for _ in range(count):
            record = clone.device.verify()
            clone.device.signed[record.position] = record.envelope
        for _ in range(12):
            clone.step()

    @rule()
    def a_person_looks_into_the_alarms(self) -> None:
        self.model.acknowledge()

    @invariant()
    def only_trouble_that_needs_a_person_halts(self) -> None:
        machine = self.main.pump.machine
        assert machine.state is not State.HALTED or not self.clean, machine.trouble
        if machine.state is State.HALTED:
            assert machine.trouble is not None
            assert machine.trouble.message

    @invariant()
    def the_clouds_chain_is_one(self) -> None:
        places = sorted(self.model.accepted)
        assert len(set(map(envelope_sha256, self.model.chain))) == len(places)
        if self.clean:
            assert places == [Position(1, seq) for seq in range(1, len(places) + 1)]

    @invariant()
    def what_no_receipt_covers_is_still_here(self) -> None:
        if not self.clean:
            return
        confirmed = self.device.outbox.confirmed() or Position(1, 0)
        assert confirmed.seq <= len(self.model.accepted)
        held = self.device.outbox.pending(after=confirmed, limit_bytes=1 << 30, limit_count=1 << 30)
        signed = [self.device.signed[at] for at in sorted(self.device.signed) if at > confirmed]
        assert [record.envelope for record in held] == signed

    def teardown(self) -> None:
        """With the network back and people at work, all comes to rest, and nothing is missing."""
        try:
            self.come_to_rest()
        finally:
            for driven in self.all:
                driven.device.close()
            shutil.rmtree(self.root)
            self.patch.undo()

    def come_to_rest(self) -> None:
        self.cloud.refuse.clear()
        for driven in self.all:
            driven.settle(person=self.model.acknowledge)
        self.main.settle(person=self.model.acknowledge)
        for driven in self.all:
            driven.device.note_signed()
            assert driven.device.outbox.first_pending() is None
            self.assert_nothing_is_lost(driven.device)

    def assert_nothing_is_lost(self, device: FieldDevice) -> None:
        kept = self.model.kept()
        notes = [excuses_of(statement_of(one)) for one in (*self.model.chain, *device.signed.values())]
        given_up = {
            seq for note in notes if note is not None for seq in range(note.first_seq, note.last_seq + 1)
        }
        here = {record.position: record.state for record in device.outbox.newest(limit=100_000)}
        purged = set(device.signed) - set(here)
        for at, envelope in device.signed.items():
            sha256 = envelope_sha256(envelope)
            if sha256 in kept or here.get(at) is RecordState.INVALID:
                continue
            # A cloud that forgets again while it is given again what it forgot may look as it did before.
            if at in here and self.cloud_restores > 1:
                continue
            # the cloud forgot what it had promised to keep, or our disk what it held: a note says so
            assert sha256 in self.broken or at in purged or at.seq in given_up, at


@pytest.mark.parametrize("seed", range(4 * SOAK))
def test_a_long_bad_day_on_the_network(seed: int) -> None:
    """Many more faults in a row than the search below tends to draw."""
    chance = random.Random(seed)
    rules = SyncRules()
    rules.set_up()
    for _ in range(80):
        chance.choice([rules.restart, rules.purge, lambda: rules.verify(chance.randint(1, 5))])()
        rules.time_passes_in_the_cloud(chance.randint(1, 100))
        rules.sync(chance.choices(list(Fault), k=chance.randint(1, 12)))
        check(rules)
    assert rules.clean
    chain = [rules.device.signed[at] for at in sorted(rules.device.signed)]
    rules.main.settle(person=lambda: None)
    assert rules.model.chain == chain
    assert len(chain) > BATCH_RECORDS
    rules.teardown()


@pytest.mark.parametrize("seed", range(6 * SOAK))
def test_a_year_of_everything(seed: int) -> None:
    chance = random.Random(1000 + seed)
    rules = SyncRules()
    rules.set_up()
    rare: list[Callable[[], None]] = [
        rules.restart,
        rules.purge,
        rules.the_device_is_backed_up,
        lambda: rules.the_device_is_restored(chance.randint(0, 9)),
        rules.the_cloud_is_backed_up,
        lambda: rules.the_cloud_is_restored(chance.randint(0, 9)),
        lambda: rules.a_clone_works(chance.randint(0, 9), chance.randint(1, 3)),
        lambda: rules.a_record_breaks(chance.randint(0, 6)),
        lambda: rules.one_to_come_is_refused_for_good(chance.randint(1, 3)),
        rules.a_person_looks_into_the_alarms,
    ]
    for _ in range(40):
        if chance.random() < 0.3:
            chance.choice(rare)()
        if chance.random() < 0.5:
            rules.verify(chance.randint(1, 5))
        rules.sync(chance.choices(list(Fault), k=chance.randint(1, 12)))
        check(rules)
    rules.teardown()


def check(rules: SyncRules) -> None:
    rules.only_trouble_that_needs_a_person_halts()
    rules.the_clouds_chain_is_one()
    rules.what_no_receipt_covers_is_still_here()


TestSyncRules = SyncRules.TestCase
TestSyncRules.settings = settings(
    max_examples=25 * SOAK,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
