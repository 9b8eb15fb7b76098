"""A device whose every way to its cloud is a bad network, and what people do to both of them.

with open_field(cloud, tmp_path) as field:
    field.hear(field.office.verify(3))
    field.storm()                         the daemon works while the network fails; then all comes to rest
    shelf = field.assert_at_rest()
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.app import outbox_path
from edge.model import Position
from edge.outbox.records import StoredRecord
from tests.support.bad_network import ROUGH, BadNetwork, bad_network
from tests.support.cloud import RunningCloud
from tests.support.cloud_shelf import Shelf, read_shelf
from tests.support.field_office import FieldOffice, wait_until
from tests.support.queue_oracle import Promises, assert_at_rest
from verifield.v1 import device_service_pb2 as devices_pb

TURNS = 4
LONGEST_S = 0.2


@dataclass
class Field:
    """``device`` and ``public``: the two ways to the cloud. ``promised``: by all disks with this key."""

    cloud: RunningCloud
    office: FieldOffice
    device: BadNetwork
    public: BadNetwork
    promised: Promises = field(default_factory=Promises)
    storms: int = 0

    def hear(self, records: Iterable[StoredRecord]) -> None:
        self.promised.hear(records)

    def storm(
        self,
        office: FieldOffice | None = None,
        *,
        until: Callable[[], bool] | None = None,
        turns: int = TURNS,
    ) -> None:
        """Let the daemon of ``office`` work while both ways fail, then until all is settled."""
        office = office or self.office
        self.storms += 1
        self.device.weather = self.public.weather = ROUGH
        with office.daemon():
            weather = [
                one.flap(self.storms * 10 + number, turns=turns, longest_s=LONGEST_S)
                for number, one in enumerate((self.device, self.public))
            ]
            for one in weather:
                one.join()
            wait_until(until or office.all_settled)
        self.promised.look(office)

    def copy(self, folder: Path, office: FieldOffice | None = None) -> FieldOffice:
        """The disk as it is now, in another machine."""
        office = office or self.office
        shutil.copytree(office.settings.data_dir, folder, symlinks=True)
        return FieldOffice(self.cloud, office.settings.model_copy(update={"data_dir": folder}))

    def shelf(self) -> Shelf:
        return read_shelf(self.cloud.data, self.office.device_id)

    def acknowledge(self) -> int:
        """A person looks into all open alarms; returns how many there were."""
        request = devices_pb.ListAlarmsRequest(device_id=self.office.device_id, open_only=True, page_size=100)
        devices = self.cloud.operator.devices
        alarms = self.cloud.operator.call(devices.ListAlarms, request).alarms
        for alarm in alarms:
            self.cloud.operator.call(
                devices.AcknowledgeAlarm, devices_pb.AcknowledgeAlarmRequest(alarm_id=alarm.alarm_id)
            )
        return len(alarms)

    def assert_at_rest(self, office: FieldOffice | None = None, *, lost: Iterable[Position] = ()) -> Shelf:
        return assert_at_rest(self.cloud, office or self.office, self.promised, lost=lost)

    def move(self, cloud: RunningCloud) -> None:
        """The service was started anew, on other ports."""
        self.cloud = self.office.cloud = cloud
        self.device.target, self.public.target = cloud.endpoint.device_listen, cloud.endpoint.listen
        self.device.cut_all()
        self.public.cut_all()


@contextmanager
def open_field(cloud: RunningCloud, folder: Path) -> Iterator[Field]:
    """Enrol a device whose data lies in ``folder``, and put it behind two bad networks."""
    office = FieldOffice.open(cloud, folder)
    with (
        bad_network(cloud.endpoint.device_listen, seed=1) as device,
        bad_network(cloud.endpoint.listen, seed=2) as public,
    ):
        office.go_through(device=device.endpoint, public=public.endpoint)
        yield Field(cloud, office, device, public)


@contextmanager
def open_disk(office: FieldOffice) -> Iterator[sqlite3.Connection]:
    """The store past the outbox: what a failing disk may do to it."""
    path = outbox_path(office.settings, office.device_id)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def damage(office: FieldOffice, *seqs: int, epoch: int = 1) -> None:
    """Change bytes of these records."""
    with open_disk(office) as disk:
        for seq in seqs:
            disk.execute(
                "UPDATE records SET envelope = CAST(substr(envelope, 2) AS BLOB) WHERE epoch = ? AND seq = ?",
                (epoch, seq),
            )


def lose(office: FieldOffice, *seqs: int, epoch: int = 1) -> None:
    """Take these records away without a trace."""
    with open_disk(office) as disk:
        for seq in seqs:
            for table in ("records", "delivery"):
                disk.execute(f"DELETE FROM {table} WHERE epoch = ? AND seq = ?", (epoch, seq))


def places(*seqs: int, epoch: int = 1) -> list[Position]:
    return [Position(epoch, seq) for seq in seqs]
