"""What waits for people, from end to end: rooms of the service publish, replace and withdraw tasks in their
own transactions; the real device pulls them over networks that cut connections in the middle of a page.

At rest each device has exactly what is published for it and its site, byte for byte, and nothing else.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.feed.publish import Addressee, publish_activation, publish_contract, withdraw
from cloud.feed.vault import TaskVault
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources
from tests.integration.test_sync_transfer import round_trip
from tests.support.bad_days import Field, open_field
from tests.support.bad_network import ROUGH, bad_network
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from tests.support.tasks import account_task, contract_task, task_id
from verifield.tasks import Task, encode_task
from verifield.v1.task_pb2 import AccountTask

pytestmark = pytest.mark.req("E054")


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    make_haste(monkeypatch.setattr)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def field_(cloud: RunningCloud, tmp_path: Path) -> Iterator[Field]:
    with open_field(cloud, tmp_path / "device") as opened:
        yield opened


@dataclass
class Room:
    """A part of the service that hands tasks down. ``told``: what is in force, by addressee and id."""

    cloud: RunningCloud
    told: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def vault(self) -> TaskVault:
        return TaskVault(KeyRing(self.cloud.data / "keys"), Sources.system())

    def publish(self, to: Addressee, *tasks: Task) -> None:
        with self.cloud.database() as connection:
            for task in tasks:
                if isinstance(task, AccountTask):
                    publish_activation(connection, to, task, vault=self.vault)
                else:
                    publish_contract(connection, to, task, vault=self.vault)
        for task in tasks:
            self.told.setdefault(to.scope, {})[task.task_id] = encode_task(task)

    def withdraw(self, to: Addressee, *names: str) -> None:
        with self.cloud.database() as connection:
            for name in names:
                assert withdraw(connection, to, task_id(name))
        for name in names:
            del self.told[to.scope][task_id(name)]

    def all_for(self, office: FieldOffice) -> dict[str, bytes]:
        return self.told.get(own(office).scope, {}) | self.told.get(site_of(office).scope, {})


def own(office: FieldOffice) -> Addressee:
    return Addressee.device(office.device_id)


def site_of(office: FieldOffice) -> Addressee:
    return Addressee.site(office.site)


def account(name: str, *, version: int = 1) -> Task:
    return account_task(name, account_id=f"acct-{version}", issued=datetime.now(UTC))


def contract(name: str, *, version: int = 1) -> Task:
    return contract_task(name, title=f"Lease {version}", issued=datetime.now(UTC))


def test_tasks_arrive_as_they_were_published_whatever_the_network_does(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    """Published, replaced and withdrawn while two devices of one site and one of another pull."""
    chance, room = random.Random(7), Room(cloud)
    with bad_network(cloud.endpoint.device_listen, seed=3) as network:
        offices = [
            FieldOffice.open(cloud, tmp_path / name, site=site)
            for name, site in (("a", "north"), ("b", "north"), ("c", "south"))
        ]
        for office in offices:
            office.go_through(device=network.endpoint)
        network.weather = ROUGH
        scopes = [site_of(offices[0]), site_of(offices[2]), *(own(office) for office in offices)]
        with offices[0].daemon(), offices[1].daemon(), offices[2].daemon():
            weather = network.flap(5, turns=6, longest_s=0.3)
            for number in range(120):
                to = chance.choice(scopes)
                make = chance.choice([account, contract])
                known = list(room.told.get(to.scope, {}))
                names = {task_id(f"t{earlier}"): f"t{earlier}" for earlier in range(number)}
                if known and chance.random() < 0.4:
                    room.withdraw(to, names[chance.choice(known)])
                else:
                    room.publish(to, make(f"t{number}"))
            weather.join()
            wait_until(lambda: all(office.tasks() == room.all_for(office) for office in offices))
        assert all(room.all_for(office) for office in offices)  # that there was something to tell
        assert offices[0].tasks() != offices[1].tasks()
        assert not any(outcome.refused for office in offices for outcome in office.news)


def test_an_update_replaces_and_a_withdrawal_removes(field_: Field) -> None:
    room, office = Room(field_.cloud), field_.office
    to = own(office)
    room.publish(to, account("a"), contract("b"), contract("c"))
    field_.storm(until=lambda: office.tasks() == room.all_for(office))
    room.publish(to, contract("b", version=2))
    room.withdraw(to, "c")
    field_.storm(until=lambda: office.tasks() == room.all_for(office))
    assert set(office.tasks()) == {task_id("a"), task_id("b")}
    room.publish(to, contract("c", version=3))  # asked again after all
    field_.storm(until=lambda: office.tasks() == room.all_for(office))


def test_what_is_rolled_back_was_never_published(field_: Field) -> None:
    room, office = Room(field_.cloud), field_.office
    with suppress(LookupError), field_.cloud.database() as connection:
        publish_activation(connection, own(office), account_task("never"), vault=room.vault)
        raise LookupError("the room's own rows could not be written")
    room.publish(own(office), account("a"))
    office.sync()
    assert office.tasks() == room.all_for(office)


def test_a_device_that_was_away_for_long_goes_on_behind_its_cursor(field_: Field) -> None:
    room, office = Room(field_.cloud), field_.office
    to = own(office)
    room.publish(to, *(account(f"old-{number}") for number in range(20)))
    office.sync()
    pages = len(office.news)
    room.withdraw(to, *(f"old-{number}" for number in range(0, 20, 2)))
    room.publish(to, *(contract(f"new-{number}") for number in range(150)))
    room.publish(to, *(contract(f"new-{number}", version=2) for number in range(0, 150, 3)))
    field_.storm(until=lambda: office.tasks() == room.all_for(office))
    assert sum(outcome.stored for outcome in office.news[pages:]) == 150  # nothing old came once more


def test_a_device_that_moves_forgets_the_tasks_of_the_site_before(field_: Field) -> None:
    room, office = Room(field_.cloud), field_.office
    office.sync()
    elsewhere = Addressee.site("elsewhere")
    room.publish(site_of(office), account("here"))
    room.publish(elsewhere, account("there"))
    room.publish(own(office), contract("mine"))
    office.sync()
    assert set(office.tasks()) >= {task_id("here"), task_id("mine")}
    with field_.cloud.database() as connection:
        connection.exec_driver_sql(
            "UPDATE devices SET site_id = 'elsewhere' WHERE device_id = ?", (office.device_id,)
        )
    office.sync()
    assert set(office.tasks()) == {task_id("there"), task_id("mine")}


def test_a_service_that_was_restored_tells_everything_anew(tmp_path: Path) -> None:
    """What the backup does not know is forgotten by the device; what it knows comes again."""
    data, backup = tmp_path / "data", tmp_path / "backup"
    with running_cloud(data) as cloud:
        office, room = FieldOffice.open(cloud, tmp_path / "device"), Room(cloud)
        room.publish(own(office), account("a"), account("b"))
        office.sync()
    shutil.copytree(data, backup)
    with running_cloud(data) as cloud:
        office.cloud, room.cloud = cloud, cloud
        office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
        room.publish(own(office), contract("lost"))
        room.withdraw(own(office), "a")
        office.sync()
        assert set(office.tasks()) == {task_id("b"), task_id("lost")}
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    with running_cloud(data) as cloud:
        office.cloud = cloud
        office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
        room = Room(cloud)  # which goes on, past where the lost one had come
        room.publish(own(office), *(contract(f"new-{number}") for number in range(9)))
        office.sync()
        news = {task_id(f"new-{number}") for number in range(9)}
        assert set(office.tasks()) == {task_id("a"), task_id("b")} | news


def test_one_that_expires_while_the_device_is_away_never_shows(cloud: RunningCloud, tmp_path: Path) -> None:
    office, room = FieldOffice.open(cloud, tmp_path / "device", site="alone"), Room(cloud)
    ended = account_task("ended", issued=datetime.now(UTC) - timedelta(days=3), life=timedelta(days=2))
    room.publish(own(office), ended, account("a"))
    office.sync()
    assert set(office.tasks()) == {task_id("a")}


def test_a_stick_shows_nobody_and_loses_nothing(cloud: RunningCloud, tmp_path: Path) -> None:
    """Orders and policies come back on a stick; tasks wait for the next time on the network."""
    office, room = FieldOffice.open(cloud, tmp_path / "device"), Room(cloud)
    room.publish(own(office), account("a"))
    room.publish(site_of(office), contract("b"))
    stick = tmp_path / "stick"
    stick.mkdir()
    _, report = round_trip(office, stick)
    assert report.news
    [answer] = stick.glob("*.answer")
    assert "试".encode() not in answer.read_bytes()
    assert task_id("a") not in office.tasks()
    office.sync()
    assert {task_id("a"), task_id("b")} <= set(office.tasks())
