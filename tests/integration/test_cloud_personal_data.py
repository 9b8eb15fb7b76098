"""What belongs to persons is readable nowhere but through the service, can be found, and can be destroyed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, insert, select, text, update
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from cloud.backup.postgres import conninfo, find_tool
from cloud.cli import app as commands
from cloud.errors import ClientError, SetupError
from cloud.feed.publish import Addressee, publish_activation, withdraw
from cloud.feed.vault import TaskVault
from cloud.privacy.blind import blind, candidates
from cloud.privacy.masks import mask_id_number
from cloud.privacy.normal import normal_id_number
from cloud.privacy.ring import INDEX, RETIRE_AFTER, KeyRing
from cloud.privacy.sealing import Place, SealBrokenError, seal_text, unseal_text
from cloud.sources import Sources
from cloud.store import feed, persons, requests
from cloud.store.database import Store, StoreOptions
from cloud.store.scrub import POSTGRES_TRIES, scrub
from cloud.store.sealed import BlindColumn, SealedTable, count_blinds, forget_person, renew_blinds
from tests.support.authority import NOW
from tests.support.cloud import running_cloud
from tests.support.tasks import account_task
from verifield.rules import MAX_COUNTER
from verifield.tasks import encode_task
from verifield.v1 import audit_service_pb2, user_service_pb2

NUMBER = "11010119900307123X"
NAME = "Zhāng Xiǎomíng the Well-Known"

PEOPLE = Table(
    "test_people",
    MetaData(),
    Column("person_id", String(36), primary_key=True),
    Column("country", String(2), nullable=False),
    Column("id_number", LargeBinary),
    Column("id_number_blind", LargeBinary(36), unique=True),
)
SEALED = SealedTable(
    PEOPLE,
    key="person_id",
    person="person_id",
    sealed=("id_number",),
    blinds=(
        BlindColumn("id_number_blind", lambda row: f"{row['country']} {normal_id_number(row['id_number'])}"),
    ),
    plain=("country",),
)


@dataclass
class Office:
    """A room of the service as later ones will be: a table with a sealed column and a blind index."""

    url: str
    store: Store
    ring: KeyRing

    def add(self, person_id: str, number: str) -> None:
        with self.store.writing() as connection:
            key = persons.add_person(connection, self.ring, person_id, now_us=1, random_bytes=os.urandom)
            place = Place("test_people", "id_number", person_id)
            connection.execute(
                insert(PEOPLE).values(
                    person_id=person_id,
                    country="CN",
                    id_number=seal_text(key, place, number, random_bytes=os.urandom),
                    id_number_blind=blind(
                        self.ring, "test_people", "id_number_blind", f"CN {normal_id_number(number)}"
                    ),
                )
            )

    def find(self, number: str) -> list[str]:
        """As typed by somebody: the person's id and the masked number."""
        wanted = candidates(self.ring, "test_people", "id_number_blind", f"CN {normal_id_number(number)}")
        with self.store.reading() as connection:
            rows = connection.execute(select(PEOPLE).where(PEOPLE.c.id_number_blind.in_(wanted))).all()
            keys = persons.get_keys(connection, self.ring, [row.person_id for row in rows])
        return [
            f"{row.person_id} {mask_id_number(self._open(keys[row.person_id], row) or '')}" for row in rows
        ]

    def read(self, person_id: str) -> str | None:
        with self.store.reading() as connection:
            row = connection.execute(select(PEOPLE).where(PEOPLE.c.person_id == person_id)).one()
            key = persons.get_key(connection, self.ring, person_id)
        return self._open(key, row) if row.id_number else None

    def forget(self, person_id: str) -> bool:
        return self.store.run(lambda connection: forget_person(connection, [SEALED], person_id, now_us=2))

    def _open(self, key: object, row: object) -> str | None:
        place = Place("test_people", "id_number", row.person_id)  # type: ignore[attr-defined]
        return unseal_text(key, place, bytes(row.id_number))  # type: ignore[arg-type, attr-defined]


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    (tmp_path / "keys").mkdir()
    ring = KeyRing.open(tmp_path / "keys", now_us=1, random_bytes=os.urandom)
    store = Store.open(database_url, StoreOptions(require_durable=False))
    with store.writing() as connection:
        PEOPLE.metadata.create_all(connection)
    yield Office(database_url, store, ring)
    store.close()


def dump(url: str) -> bytes:
    """Every byte of a SQLite database with its side files, or what pg_dump writes, binary columns decoded."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))
    written = subprocess.run(
        [find_tool("pg_dump"), "--dbname", conninfo(parsed)], capture_output=True, check=True
    ).stdout
    decoded = b"".join(
        bytes.fromhex(word[3:].decode())
        for word in written.split()
        if word.startswith(rb"\\x") and len(word) % 2 and word[3:].isalnum()
    )
    return written + decoded


def traces(content: bytes, value: str) -> bool:
    return any(value.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


@pytest.mark.req("R183")
def test_a_number_is_found_by_its_index_and_stands_nowhere(office: Office) -> None:
    office.add("person-1", NUMBER)
    office.add("person-2", "110101199003079999")
    assert office.find(" 110101 19900307-123x") == ["person-1 110*************3X"]
    assert office.find("110101199003070000") == []
    assert office.read("person-1") == NUMBER
    content = dump(office.url)
    assert b"person-1" in content  # the dump is one, and its ids are ours
    for value in (NUMBER, NUMBER.lower(), NUMBER[:-1], "19900307"):
        assert not traces(content, value)
    ring = json.loads(next(office.ring._keys.glob("*.json")).read_bytes())
    assert all(key["secret"].encode() not in content for family in ring.values() for key in family)


@pytest.mark.req("R183")
def test_what_was_erased_is_gone_from_the_database_and_from_its_files(office: Office) -> None:
    office.add("person-1", NUMBER)
    office.add("person-2", "110101199003079999")
    with office.store.reading() as connection:
        row = connection.execute(select(PEOPLE).where(PEOPLE.c.person_id == "person-1")).one()
        wrapped = connection.execute(
            text("SELECT wrapped FROM person_keys WHERE person_id = 'person-1'")
        ).scalar_one()
    assert bytes(row.id_number) in dump(office.url)
    assert office.forget("person-1")
    assert not office.forget("person-1")
    assert office.read("person-1") is None
    assert office.find(NUMBER) == []
    assert office.read("person-2") == "110101199003079999"
    assert scrub(office.url, ["person_keys", "test_people"])
    content = dump(office.url)
    for gone in (bytes(row.id_number), bytes(row.id_number_blind), bytes(wrapped)):
        assert gone not in content
    # Who kept the sealed value from an older backup of this table reads nothing with today's keys either.
    with office.store.writing() as connection:
        connection.execute(
            update(PEOPLE).where(PEOPLE.c.person_id == "person-1").values(id_number=row.id_number)
        )
    assert office.read("person-1") is None


def test_a_value_or_a_key_that_was_moved_to_another_person_is_refused(office: Office) -> None:
    office.add("person-1", NUMBER)
    office.add("person-2", "110101199003079999")
    steal = (
        "UPDATE {0} SET {1} = (SELECT {1} FROM {0} WHERE person_id = 'person-2') WHERE person_id = 'person-1'"
    )
    with office.store.writing() as connection:
        connection.execute(text(steal.format("test_people", "id_number")))
    with pytest.raises(SealBrokenError):
        office.read("person-1")
    with office.store.writing() as connection:
        connection.execute(text(steal.format("person_keys", "wrapped")))
    with pytest.raises(SealBrokenError):
        office.read("person-1")


def test_rotation_goes_in_pieces_and_on_where_it_was_broken_off(office: Office) -> None:
    numbers = {f"person-{number}": f"1101011990030712{number:02}" for number in range(10)}
    for person_id, number in numbers.items():
        office.add(person_id, number)
    office.forget("person-9")
    assert office.ring.rotate("seal", now_us=2, random_bytes=os.urandom) == 2
    assert office.ring.rotate("index", now_us=2, random_bytes=os.urandom) == 2
    office.add("person-new", NUMBER)  # sealed anew already

    def rewrap() -> int:
        return office.store.run(
            lambda connection: persons.rewrap(connection, office.ring, limit=4, random_bytes=os.urandom)
        )

    def renew() -> int:
        return office.store.run(lambda connection: renew_blinds(connection, SEALED, office.ring, limit=4))

    def uses() -> tuple[dict[int, int], dict[int, int]]:
        with office.store.reading() as connection:
            return persons.count_by_version(connection), count_blinds(connection, [SEALED])

    assert uses() == ({1: 9, 2: 1}, {1: 9, 2: 1})
    assert (rewrap(), renew()) == (4, 4)  # and here somebody pulls the plug
    assert uses() == ({1: 5, 2: 5}, {1: 5, 2: 5})
    assert all(office.find(number) for person, number in numbers.items() if person != "person-9")
    assert [(rewrap(), renew()) for _ in range(3)] == [(4, 4), (1, 1), (0, 0)]
    assert uses() == ({2: 10}, {2: 10})
    later_us = 2 + RETIRE_AFTER // timedelta(microseconds=1)
    office.ring.retire("seal", 1, now_us=later_us)
    office.ring.retire(INDEX, 1, now_us=later_us)
    del numbers["person-9"]
    for person_id, number in numbers.items():
        assert office.read(person_id) == number
        assert office.find(number) == [f"{person_id} {mask_id_number(number)}"]


def test_a_task_shows_nobody_and_comes_down_as_it_was(office: Office) -> None:
    """With digest and salt of a commitment anybody finds the number in an hour."""
    vault, to = TaskVault(office.ring, Sources.system()), Addressee.site("site-1")
    task = account_task("one")
    for life in (1, 2):  # published, and published again in its place
        task.expire_time.FromDatetime(NOW + timedelta(days=life))
        with office.store.writing() as connection:
            publish_activation(connection, to, task, vault=vault)
    with office.store.reading() as connection:
        [stored] = feed.read_behind(connection, to.scope, seq=0, through=MAX_COUNTER)
        [row] = vault.open_all(connection, [stored])
        assert row.content == encode_task(task)
        for moved in (replace(stored, item_id="other"), replace(stored, kind=stored.kind + 1)):
            with pytest.raises(SealBrokenError):
                vault.open_all(connection, [moved])
    content = dump(office.url)
    assert task.task_id.encode() in content
    for secret in (task.person.number_salt, task.person.number_digest, task.person.masked_name.encode()):
        assert secret not in content
    assert office.store.run(lambda connection: withdraw(connection, to, task.task_id))
    with office.store.reading() as connection:
        [gone] = feed.read_behind(connection, to.scope, seq=0, through=MAX_COUNTER)
        assert vault.open_all(connection, [gone]) == [gone]
        assert gone.content == b""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_view_from_before_keeps_what_was_erased_and_is_told_of(office: Office) -> None:
    """A backup, for example: as long as it sees the old rows they cannot go."""
    office.add("person-1", NUMBER)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)

    with office.store.reading() as connection:
        connection.execute(text("SELECT count(*) FROM person_keys")).scalar_one()  # a view begins with it
        assert office.forget("person-1")
        assert not scrub(office.url, ["person_keys", "test_people"], sleep=pause)
        assert len(pauses) == POSTGRES_TRIES
    assert scrub(office.url, ["person_keys", "test_people"], sleep=pause)
    assert len(pauses) == POSTGRES_TRIES


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_is_answered_while_a_person_is_erased_goes_too(office: Office) -> None:
    office.add("person-1", NUMBER)
    erasing = threading.Thread(target=office.forget, args=("person-1",))
    with office.store.writing() as connection:
        connection.execute(update(PEOPLE).values(country="CO"))
        key = os.urandom(32)
        requests.claim(connection, requests.KeptRow(key, bytes(32), b"", 1, requests.bucket_of(key)))
        requests.put_answer(connection, key, b"sealed", subject="test_people/person-1")
        erasing.start()
        for _ in range(3000):
            if connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
                break
            erasing.join(0.01)
        else:
            raise AssertionError("it does not wait")
    erasing.join(60)
    with office.store.reading() as connection:
        assert requests.get_kept(connection, key) is None
    assert office.read("person-1") is None


def test_an_older_ring_stops_the_start(office: Office) -> None:
    office.add("person-1", NUMBER)
    office.ring.rotate("seal", now_us=2, random_bytes=os.urandom)
    office.store.run(
        lambda connection: persons.rewrap(connection, office.ring, limit=4, random_bytes=os.urandom)
    )
    folder = office.ring._keys
    content = json.loads((folder / "privacy.json").read_bytes())
    content["seal"] = content["seal"][:1]
    (folder / "privacy.json").write_text(json.dumps(content))
    with office.store.reading() as connection, pytest.raises(SetupError) as caught:
        persons.check_ring(connection, office.ring)
    assert caught.value.code == "RING_VERSION_LOST"


@pytest.mark.req("R183")
def test_a_whole_service_leaves_nothing_personal_in_its_files_and_logs(tmp_path: Path) -> None:
    subject = "oidc-subject-8472913"
    data = tmp_path / "data"
    with running_cloud(data) as cloud:
        users, call = cloud.operator.users, cloud.operator.call
        wish = user_service_pb2.CreateUserRequest(
            request_id="0190f5c0-0000-7000-8000-000000000001",
            user=user_service_pb2.User(
                login="zhang",
                display_name=NAME,
                issuer="https://issuer.example",
                subject=subject,
                roles=[user_service_pb2.ROLE_VIEWER],
            ),
        )
        made = call(users.CreateUser, wish).user
        assert call(users.CreateUser, wish).user == made
        found = call(users.GetUser, user_service_pb2.GetUserRequest(user_id=made.user_id)).user
        assert (found.display_name, found.subject) == (NAME, subject)
        lines = repr(cloud.log.calls)
    content = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert made.user_id.encode() in content
    for value in (NAME, subject, "Xiǎomíng"):
        assert not traces(content, value)
        assert value not in lines
    with closing(sqlite3.connect(data / "verifield.db")) as raw:
        raw.execute("VACUUM")  # what a person with a copy would do
    with running_cloud(data) as cloud:
        users, call = cloud.operator.users, cloud.operator.call
        assert call(users.CreateUser, wish).user == made
        events = cloud.operator.call(
            cloud.operator.audit.ListAuditEvents, audit_service_pb2.ListAuditEventsRequest()
        ).events
        seen = {(event.action, event.subject) for event in events}
        assert (
            "users.read",
            f"users/{made.user_id}",
        ) in seen  # who read it is known, and was written before the end
        assert subject not in str(events)
        outcome = CliRunner().invoke(
            commands, ["persons", "erase", made.user_id, "--yes", "--data", str(data), "--json"]
        )
        assert outcome.exit_code == 0, outcome.output
        assert json.loads(outcome.stdout) == {
            "person_id": made.user_id,
            "erased": True,
            "scrubbed": True,
            "contracts": [],
        }
        found = cloud.operator.call(
            cloud.operator.users.GetUser, user_service_pb2.GetUserRequest(user_id=made.user_id)
        ).user
        assert (found.login, found.display_name, found.subject) == ("zhang", "", "")
        # Who asks again is not told again what was answered about the person before.
        with pytest.raises(ClientError) as caught:
            call(users.CreateUser, wish)
        assert NAME not in str(caught.value)
