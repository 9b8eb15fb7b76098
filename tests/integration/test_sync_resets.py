"""A RESET that the service never took: the device begins anew once more, by the real rules of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud.attestations.deliverer import Deliverer
from cloud.attestations.intake import missing_places
from cloud.sources import Sources
from edge.model import Position
from edge.outbox.records import RecordState
from edge.rpc import FailureKind, RpcFailure
from edge.sync.events import CloudChain, Event, RecordResult, Timer, Wake
from edge.sync.machine import State
from edge.sync.ports import Damaged, Media, Outgoing, UplinkError
from edge.sync.pump import Pump
from edge.sync.uplink import deliver_request, parse_results
from tests.support.appliance import MemorySigner
from tests.support.authority import Device
from tests.support.chains import Chain
from tests.support.clocks import ManualClock
from tests.support.intake import Desk, open_desk
from tests.support.sync_device import FieldDevice
from verifield.chain import ChainHead, is_reset
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.device_service_pb2 import (
    ALARM_KIND_CLONE,
    ALARM_KIND_FORK,
    ALARM_KIND_RESET,
    DEVICE_STATE_ACTIVE,
    DEVICE_STATE_SUSPENDED,
)

PATIENCE = 300
"""Steps until both sides must agree; each step in WAITING or HALTED lets its time pass."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("intake")) as opened:
        yield opened


@dataclass
class DirectUplink:
    """The service without a network. ``before_reset``: happens while the next RESET is under way."""

    desk: Desk
    device: Device
    before_reset: list[Callable[[], None]] = field(default_factory=list)

    def get_head(self) -> CloudChain:
        row = self.desk.row(self.device)
        head = ChainHead(row.chain_epoch, row.seq, row.head_sha256)
        with self.desk.store.reading() as connection:
            newest, missing = missing_places(connection, row.device_id, head)
        return CloudChain(head if head.seq else None, newest, tuple(missing))

    def deliver(
        self, records: Sequence[Outgoing], *, damaged: Sequence[Damaged], witnessed_tree_size: int
    ) -> tuple[tuple[RecordResult, ...], pb.DeliverResponse]:
        if any(statement_is_reset(record.envelope) for record in records):
            for happen in self.before_reset[:1]:
                del self.before_reset[:1]
                happen()
        request = deliver_request(
            records, damaged, certificates=self.device.chain, witnessed_tree_size=witnessed_tree_size
        )
        desk = self.desk
        deliverer = Deliverer(desk.sequencer, desk.authority, Sources.system(), desk.intake)
        work = deliverer.deliver(request, device_id=self.device.device_id, certificates=request.certificates)
        answer = desk.loop.run_until_complete(work)
        return parse_results(answer, records), answer

    def pull(self, *, cursor: str, page_size: int) -> pb.PullResponse:
        return pb.PullResponse(next_cursor=cursor)

    def get_media(self, sha256: bytes) -> frozenset[int] | None:
        raise AssertionError(sha256)

    def put_media_chunk(self, media: Media, *, index: int, content: bytes) -> bool:
        raise AssertionError(media)

    def close(self) -> None:
        """Nothing to close."""


def statement_is_reset(envelope: bytes) -> bool:
    return is_reset(parse_statement(parse_envelope(envelope).payload))


def away() -> None:
    raise UplinkError(RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached."))


class Office:
    """A device with a real outbox, and a cloud that knows it."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        self.desk = desk
        self.known = desk.enroll()
        self.field = FieldDevice(
            folder / "main", signer=MemorySigner(self.known.key), device_id=self.known.device_id, sync=False
        )
        self.uplink = DirectUplink(desk, self.known)
        self.clock = ManualClock()
        self.start()

    def start(self) -> None:
        root_pem = self.desk.authority.root_pem()
        self.pump = Pump(self.field.parts(lambda: self.uplink, root_pem), self.clock, lambda: 0.5)
        self.event: Event | None = Wake()

    def step(self) -> None:
        machine = self.pump.machine
        if self.event is None:
            self.clock.advance(max(0.0, machine.until - self.pump.now()))
            self.event = Timer()
        self.event = self.pump.handle(self.event)

    def sync(self) -> None:
        """Go on until the pump rests with nothing left to deliver."""
        for _ in range(PATIENCE):
            self.step()
            quiet = self.event is None and self.pump.machine.state is State.IDLE
            if quiet and self.field.outbox.first_pending() is None:
                return
        raise AssertionError(self.pump.machine)

    def sync_until(self, reached: Callable[[], bool]) -> None:
        for _ in range(PATIENCE):
            if reached():
                return
            self.step()
        raise AssertionError(self.pump.machine)

    def restore(self, backup: Path) -> None:
        self.field.restore(backup)
        self.start()

    def acknowledge(self) -> None:
        """A person looks into all alarms."""
        self.desk.acknowledge(self.known)
        self.desk.set_state(self.known, DEVICE_STATE_ACTIVE)
        self.desk.resume(self.known)

    def alarms(self) -> set[int]:
        return {kind for kind, *_ in self.desk.alarms(self.known)}

    def check_settled(self, *, epoch: int) -> None:
        """Both sides have one head, and every record here is in the chain or beside it."""
        head = self.desk.head(self.known)
        assert head == self.field.outbox.head()
        assert head.epoch == epoch
        assert self.field.outbox.confirmed() == Position(head.epoch, head.seq)
        assert not {RecordState.PENDING, RecordState.INVALID} & set(self.field.states())


@pytest.fixture
def office(tmp_path: Path, desk: Desk) -> Iterator[Office]:
    office = Office(tmp_path, desk)
    yield office
    office.field.close()


def fork(office: Office, tmp_path: Path) -> Chain:
    """The store is restored from a backup, and makes a record where the service has another one.

    Returns the chain of the old disk, which somebody may still use.
    """
    for _ in range(3):
        office.field.verify()
    office.sync()
    backup = office.field.backup(tmp_path / "backup")
    office.start()
    for _ in range(2):
        office.field.verify()
    office.sync()
    office.restore(backup)
    office.field.verify()
    known = office.known
    return Chain(Device(known.device_id, known.key, known.chain, office.desk.head(known)))


@pytest.mark.req("E051")
def test_a_reset_that_came_too_late_is_followed_by_one_that_helps(office: Office, tmp_path: Path) -> None:
    old_disk = fork(office, tmp_path)

    def the_old_disk_goes_on() -> None:
        office.desk.take(office.known, [old_disk.add()])

    office.uplink.before_reset.append(the_old_disk_goes_on)
    office.sync()
    office.check_settled(epoch=3)
    # The device's own records of both epochs before are branches, and nobody is taken for a clone.
    assert office.alarms() == {ALARM_KIND_FORK, ALARM_KIND_RESET}
    assert office.desk.row(office.known).state == DEVICE_STATE_ACTIVE
    assert branches(office) == [(1, 4), (2, 1)]
    office.field.verify()
    office.sync()
    office.check_settled(epoch=3)


def test_several_resets_may_come_too_late(office: Office, tmp_path: Path) -> None:
    old_disk = fork(office, tmp_path)

    def both_go_on() -> None:
        office.field.verify()
        office.desk.take(office.known, [old_disk.add()])

    office.uplink.before_reset += [both_go_on] * 3
    office.sync()
    office.check_settled(epoch=5)
    assert ALARM_KIND_CLONE not in office.alarms()
    assert office.desk.row(office.known).state == DEVICE_STATE_ACTIVE


def test_a_reset_that_is_lost_before_it_arrives_is_followed_by_one_that_helps(
    office: Office, tmp_path: Path
) -> None:
    fork(office, tmp_path)
    office.uplink.before_reset.append(away)
    office.sync_until(lambda: office.pump.machine.state is State.WAITING)
    reset = Position(2, 1)
    assert office.field.outbox.head() is not None
    assert office.desk.head(office.known).epoch == 1
    office.field.damage(reset)
    office.sync()
    office.check_settled(epoch=3)
    assert ALARM_KIND_CLONE not in office.alarms()
    assert office.desk.row(office.known).state == DEVICE_STATE_ACTIVE


def test_a_reset_that_the_device_has_given_up_does_not_go_before_its_newest(
    office: Office, tmp_path: Path
) -> None:
    """The second RESET waits for a person; meanwhile its record breaks, and the device makes a third."""
    fork(office, tmp_path)
    office.sync()
    office.check_settled(epoch=2)
    office.field.backup(tmp_path / "second")
    office.start()
    office.field.verify()
    office.sync()
    office.restore(tmp_path / "second")
    office.field.verify()
    office.sync_until(lambda: office.desk.row(office.known).state == DEVICE_STATE_SUSPENDED)
    office.sync_until(lambda: office.pump.machine.state is State.WAITING)
    office.field.damage(Position(3, 1))
    office.sync_until(lambda: (4, 1) in office.desk.waiting(office.known))
    office.acknowledge()
    office.sync()
    office.check_settled(epoch=4)
    assert ALARM_KIND_CLONE not in office.alarms()


def test_a_clone_that_goes_on_in_an_epoch_that_was_left_is_still_found(
    office: Office, tmp_path: Path
) -> None:
    """The old disk goes on in the epoch that the device's RESET has closed."""
    fork(office, tmp_path)
    office.sync()
    office.check_settled(epoch=2)
    old_disk = Chain(Device(office.known.device_id, office.known.key, office.known.chain))
    old_disk.device.head = ChainHead(1, 5, bytes(32))
    office.desk.take(office.known, [old_disk.add()])
    assert ALARM_KIND_CLONE in office.alarms()
    assert office.desk.row(office.known).state == DEVICE_STATE_SUSPENDED


def branches(office: Office) -> list[tuple[int, int]]:
    query = "SELECT chain_epoch, seq FROM side_records WHERE device_id = :device ORDER BY 1, 2"
    return office.desk.ask(query, office.known)
