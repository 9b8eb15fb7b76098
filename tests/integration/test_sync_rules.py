"""Whatever a bad network does to the sync daemon: nothing is lost, nothing is doubled, the order stays.

The real pump, machine and outbox against a model of the cloud, with requests and answers dropped,
batches cut short, deliveries doubled, receipts lost, processes restarted and records purged.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum, auto
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.rpc import FailureKind, RpcFailure
from edge.sync.daemon import Pump
from edge.sync.machine import Event, State, Timer, Wake
from edge.sync.uplink import Delivery, Outgoing, UplinkError, parse_delivery
from tests.support.appliance import Appliance, MemorySigner
from tests.support.authority import NOW, Authority
from tests.support.model_cloud import ModelCloud
from verifield.certificates import Purpose
from verifield.chain import ChainHead
from verifield.v1.sync_service_pb2 import DeliverRequest, DeliverResponse

AUTHORITY = Authority.create()
BATCH_RECORDS = 3
"""So that a handful of records makes several batches."""


class Fault(Enum):
    NONE = auto()
    REQUEST_LOST = auto()
    ANSWER_LOST = auto()
    CUT_SHORT = auto()  # the cloud takes the first record of a batch and dies
    TWICE = auto()  # a delayed copy of the request arrives as well
    RECEIPT_LOST = auto()


class BadUplink:
    """The cloud behind a network that does what ``fault`` says, once; all but one fault hit a delivery."""

    def __init__(self, cloud: ModelCloud, device_id: str, certificates: Sequence[bytes]) -> None:
        self._cloud = cloud
        self._device_id = device_id
        self._certificates = certificates
        self.fault = Fault.NONE

    def get_head(self) -> ChainHead | None:
        if self.fault is Fault.REQUEST_LOST:
            self._take_fault()
            raise away()
        return self._cloud.head(self._device_id)

    def deliver(self, records: Sequence[Outgoing]) -> Delivery:
        fault = self._take_fault()
        envelopes = [record.envelope for record in records]
        if fault is Fault.REQUEST_LOST:
            raise away()
        if fault is Fault.CUT_SHORT:
            self._send(envelopes[:1])
            raise away()
        answer = self._send(envelopes)
        if fault is Fault.TWICE:
            answer = self._send(envelopes)
        if fault is Fault.ANSWER_LOST:
            raise away()
        if fault is Fault.RECEIPT_LOST:
            answer.receipt = b""
        return parse_delivery(answer, seqs=[record.seq for record in records])

    def close(self) -> None:
        """Nothing to close."""

    def _send(self, envelopes: Sequence[bytes]) -> DeliverResponse:
        request = DeliverRequest(envelopes=envelopes, certificates=self._certificates)
        return self._cloud.deliver(self._device_id, request)

    def _take_fault(self) -> Fault:
        fault, self.fault = self.fault, Fault.NONE
        return fault


def away() -> UplinkError:
    return UplinkError(RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached."))


class SyncRules(RuleBasedStateMachine):
    @initialize()
    def set_up(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.patch = mock.patch("edge.sync.daemon.MAX_BATCH_RECORDS", BATCH_RECORDS)
        self.patch.start()
        signer = MemorySigner()
        certificates = AUTHORITY.issue(signer.key.public_key(), name="device-1", purpose=Purpose.ATTESTATION)
        self.device = Appliance(Path(self.folder.name) / "outbox.db", signer)
        self.device.outbox._db.conn.execute("PRAGMA synchronous=OFF")  # no power cuts in this test
        self.cloud = ModelCloud(AUTHORITY, at=NOW)
        self.uplink = BadUplink(self.cloud, "device-1", certificates)
        self.signed: list[bytes] = []
        self.now = 0.0
        self.start()

    def start(self) -> None:
        self.pump = Pump(
            backlog=self.device.outbox,
            open_uplink=lambda: self.uplink,
            roots=[AUTHORITY.root],
            retention=timedelta(days=1),
            monotonic=lambda: self.now,
            jitter=lambda: 0.5,
        )
        self.event: Event | None = Wake()

    def step(self) -> None:
        """One event; where the pump waits, time passes until it need not."""
        machine = self.pump.machine
        if self.event is None and machine.state is State.IDLE:
            if (machine.cursor or 0) == len(self.signed):
                return
            self.event = Wake()
        elif self.event is None:
            self.now = machine.until
            self.event = Timer()
        assert self.event is not None
        self.event = self.pump.handle(self.event)

    @rule(count=st.integers(1, 5))
    def verify(self, count: int) -> None:
        self.signed.extend(self.device.verify().envelope for _ in range(count))

    @rule(faults=st.lists(st.sampled_from(Fault), min_size=1, max_size=8))
    def sync(self, faults: list[Fault]) -> None:
        for fault in faults:
            self.uplink.fault = fault
            self.step()

    @rule()
    def restart(self) -> None:
        self.device.restart()
        self.device.outbox._db.conn.execute("PRAGMA synchronous=OFF")
        self.start()

    @rule(seconds=st.integers(1, 100))
    def time_passes_in_the_cloud(self, seconds: int) -> None:
        self.cloud.at += timedelta(seconds=seconds)

    @rule()
    def purge(self) -> None:
        self.device.outbox.purge(now=self.cloud.at, retention=timedelta(0))

    @invariant()
    def the_cloud_has_a_prefix_of_what_was_signed(self) -> None:
        chain = self.cloud.chains.get("device-1", [])
        assert chain == self.signed[: len(chain)]

    @invariant()
    def what_no_receipt_covers_is_still_here(self) -> None:
        confirmed = self.device.outbox.confirmed_seq()
        assert confirmed <= len(self.cloud.chains.get("device-1", []))
        held = self.device.outbox.pending(after_seq=confirmed, limit_bytes=1 << 30, limit_count=1 << 30)
        assert [record.envelope for record in held] == self.signed[confirmed:]

    @invariant()
    def nothing_halts_because_of_a_network(self) -> None:
        assert self.pump.machine.state is not State.HALTED

    def teardown(self) -> None:
        """With the network back, all arrives within few steps."""
        self.uplink.fault = Fault.NONE
        for _ in range(20 + 2 * len(self.signed)):
            self.step()
        assert self.pump.machine.state is State.IDLE
        assert self.cloud.chains.get("device-1", []) == self.signed
        assert not self.device.outbox.has_unconfirmed()
        self.device.outbox.close()
        self.folder.cleanup()
        self.patch.stop()


@pytest.mark.parametrize("seed", range(6))
def test_a_long_bad_day(seed: int) -> None:
    """Many more faults in a row than the search above tends to draw."""
    chance = random.Random(seed)
    rules = SyncRules()
    rules.set_up()
    for _ in range(120):
        chance.choice([rules.restart, rules.purge, lambda: rules.verify(chance.randint(1, 5))])()
        rules.time_passes_in_the_cloud(chance.randint(1, 100))
        rules.sync(chance.choices(list(Fault), k=chance.randint(1, 8)))
        rules.the_cloud_has_a_prefix_of_what_was_signed()
        rules.what_no_receipt_covers_is_still_here()
        rules.nothing_halts_because_of_a_network()
    assert len(rules.signed) > BATCH_RECORDS
    rules.teardown()


TestSyncRules = SyncRules.TestCase
TestSyncRules.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
