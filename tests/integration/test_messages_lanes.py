"""Who waits for whom in the outbox: nobody who needs a code for a mail server; and what happens under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.authority import Authority
from cloud.messages import serve
from cloud.messages.delivery import AT_ONCE, LANES, UNSURE_PAUSE_S, Delivery
from cloud.messages.outbox import SEALED
from cloud.messages.ports import DeliveryError, Fault, Outgoing
from cloud.messages.spool import FileSpool
from cloud.messages.templates import Template, Text
from cloud.messages.values import Channel, State
from cloud.messages.ways import Ways
from cloud.mutations import Mutations
from cloud.serving import Base
from cloud.sources import to_us
from cloud.store import messages as rows
from cloud.store.sealed import forget_person
from cloud.upkeep import Job
from tests.support.codes import PERSON, PHONE, SECRET, Office, open_office

NEWS = Template("test_news", zh=Text("x", "{title}"), en=Text("x", "{title}"), es=Text("x", "{title}"))
LEASE = b"x" * 16


class Hanging:
    """A server that takes a message and says nothing, until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def send(self, message: Outgoing) -> None:
        self.begun.release()
        assert self.go.wait(30)


class Taking:
    def __init__(self) -> None:
        self.taken: list[Outgoing] = []

    def send(self, message: Outgoing) -> None:
        self.taken.append(message)


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path) as opened:
        yield opened


def post(office: Office, channel: Channel = Channel.SMS, to: str = PHONE, **given: Any) -> str:
    wanted: dict[str, Any] = {
        "template": NEWS,
        "person_id": PERSON,
        "values": {"title": "A"},
        "language": "en",
    }
    wanted |= {"channel": channel, "to": to} | given
    return office.store.run(lambda connection: office.messages.post(connection, **wanted))


def row_of(office: Office, message_id: str) -> rows.MessageRow:
    with office.store.reading() as connection:
        row = rows.get_message(connection, message_id)
    assert row is not None
    return row


def delivery_of(office: Office, way: Any, *, longest_s: float = 2.0) -> Delivery:
    ways = {Channel.SMS: way, Channel.EMAIL: way}
    return Delivery(office.store, office.messages, ways, office.sources, longest_s=longest_s)


def claim(office: Office, delivery: Delivery) -> list[tuple[rows.MessageRow, Outgoing]]:
    """What all lanes have, as one that dies behind it would leave it."""
    return [
        one
        for lane in LANES
        for one in office.store.run(lambda connection, lane=lane: delivery._claim(connection, lane, LEASE))[1]
    ]


def settle(office: Office, delivery: Delivery, row: rows.MessageRow, error: DeliveryError | None) -> None:
    office.store.run(lambda connection: delivery._settle(connection, [row], [error]))


def jobs_of(office: Office, folder: Path, sms: Any, mail: Any) -> list[Job]:
    (folder / "data").mkdir()
    authority = Authority.open(folder / "data", server_names=["localhost"], now=office.clock.now)
    mutations = Mutations(office.store, office.sources, secret=SECRET)
    base = Base(office.store, office.sources, authority, office.persons, mutations)
    ways = Ways({Channel.SMS: sms, Channel.EMAIL: mail}, FileSpool(folder / "spool"), longest_s=30.0)
    return [job for job in serve.jobs(base, ways) if not job.name.endswith("sweep")]


@contextmanager
def turning(jobs: list[Job]) -> Iterator[None]:
    """Each job once, all beside each other."""
    threads = [threading.Thread(target=job.run) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def test_no_code_waits_for_a_mail_server(office: Office, tmp_path: Path) -> None:
    for _ in range(3 * AT_ONCE):
        post(office, Channel.EMAIL, "zhang@example.org")
    sent = office.send()
    sms, mail = Taking(), Hanging()
    with turning(jobs_of(office, tmp_path, sms, mail)):
        try:
            assert mail.begun.acquire(timeout=10)
            for _ in range(500):
                if sms.taken:
                    break
                threading.Event().wait(0.01)
            assert [one.address for one in sms.taken] == [PHONE]
        finally:
            mail.go.set()
    assert office.verify(sent, sms.taken[0].values["code"]) is None


def test_no_code_waits_behind_a_flood_of_news(office: Office, tmp_path: Path) -> None:
    for _ in range(3 * AT_ONCE):
        post(office)
    office.send()
    sms = Taking()
    with turning(jobs_of(office, tmp_path, sms, Taking())):
        pass
    assert "code_register" in {one.template for one in sms.taken}


def test_what_expired_while_nobody_was_there_holds_up_nobody(office: Office, tmp_path: Path) -> None:
    """Ended ones count as work: the job goes on at once, and does not pause after each handful of them."""
    for number in range(AT_ONCE):
        office.send(f"+861380000{number:04}", person_id=f"person-{number}", source=f"address/{number}")
    office.clock.pass_(minutes=6)
    sms = Taking()
    jobs = jobs_of(office, tmp_path, sms, Taking())
    assert max(job.run() - job.full for job in jobs) == 0
    assert sms.taken == []


def test_a_code_that_was_replaced_under_way_is_not_tried_again(office: Office) -> None:
    """Else the old one arrives behind the new one, and is what its receiver types."""
    first = office.send()
    delivery = delivery_of(office, Taking())
    [(row, _)] = claim(office, delivery)
    office.clock.pass_(seconds=60)
    office.send()
    settle(office, delivery, row, DeliveryError(Fault.BUSY))
    after = row_of(office, row.message_id)
    assert (State(after.state), after.content, after.fault) == (State.FAILED, None, "BUSY")
    assert first.challenge_id


def test_a_code_that_was_replaced_under_way_and_arrived_has_arrived(office: Office) -> None:
    office.send()
    delivery = delivery_of(office, Taking())
    [(row, _)] = claim(office, delivery)
    office.clock.pass_(seconds=60)
    office.send()
    settle(office, delivery, row, None)
    assert State(row_of(office, row.message_id).state) is State.DELIVERED


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.REFUSED])
def test_erasing_a_person_empties_also_what_is_under_way(office: Office, fault: Fault) -> None:
    post(office)
    delivery = delivery_of(office, Taking())
    [(row, _)] = claim(office, delivery)
    now_us = to_us(office.clock.now)
    office.store.run(lambda connection: forget_person(connection, [SEALED], PERSON, now_us=now_us))
    settle(office, delivery, row, DeliveryError(fault, final=fault is Fault.REFUSED))
    after = row_of(office, row.message_id)
    assert (after.address, after.content) == (None, None)
    office.clock.pass_(hours=2)
    way = Taking()
    for lane in LANES:
        delivery_of(office, way).run(lane)
    assert way.taken == []


def test_an_attempt_that_cannot_end_within_its_lease_is_not_begun(office: Office) -> None:
    """A machine that slept between claim and attempt: by its end another server has the message."""
    post(office)
    way = Taking()
    delivery = delivery_of(office, way)
    [(row, outgoing)] = claim(office, delivery)
    office.clock.now += timedelta(microseconds=row.due_us - to_us(office.clock.now)) - timedelta(seconds=1)
    error = delivery._attempt(row, outgoing)
    assert error is not None
    assert way.taken == []
    settle(office, delivery, row, error)
    assert State(row_of(office, row.message_id).state) is State.QUEUED


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.NONSENSE])
def test_a_code_of_which_nobody_knows_is_not_sent_twice_in_a_minute(office: Office, fault: Fault) -> None:
    """A gateway that has it, said so too late, and heeds no keys: one text a minute all the same."""
    office.send()
    delivery = delivery_of(office, Taking())
    [(row, _)] = claim(office, delivery)
    settle(office, delivery, row, DeliveryError(fault))
    after = row_of(office, row.message_id)
    assert State(after.state) is State.QUEUED
    assert after.due_us - to_us(office.clock.now) >= UNSURE_PAUSE_S * 1_000_000
    assert UNSURE_PAUSE_S == 60


def test_values_that_gateways_fill_in_are_in_one_line_too(office: Office) -> None:
    post(office, values={"title": "one\r\n\u202etwo\u2028three"})
    [message] = office.waiting()
    assert (message.body, dict(message.values)) == ("one two three", {"title": "one two three"})
