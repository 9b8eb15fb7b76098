"""Feedback on a database: limits that hold under concurrency, words that nobody reads in the table."""

from __future__ import annotations

import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cloud.errors import Reason, ServiceError
from cloud.feedback.desk import LONGEST_WINDOW, FeedbackDesk, Sender
from cloud.feedback.personal import SEALED
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.rulebook.desk import RulebookDesk
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import feedback as rows
from cloud.store import schema
from cloud.store.database import Store, StoreOptions
from cloud.store.sealed import forget_person
from verifield.v1 import feedback_service_pb2 as pb
from verifield.v1 import rulebook_pb2

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR_S = 3600


class Room:
    """A desk on a database, under limits that are reached soon."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.now = store, NOON
        self.sources = Sources(now=lambda: self.now, random_bytes=secrets.token_bytes)
        (folder / "keys").mkdir(mode=0o700)
        ring = KeyRing.open(folder / "keys", now_us=to_us(NOON), random_bytes=secrets.token_bytes)
        self.desk = FeedbackDesk(Persons(ring, self.sources), self.sources)
        limits = rulebook_pb2.ApplicationLimitRules()
        limits.CopyFrom(RuleKind.APPLICATION_LIMITS.default)
        for limit, count in ((limits.feedback_of_account, 3), (limits.feedback_of_source, 5)):
            limit.count = count
            limit.within.FromTimedelta(timedelta(hours=1))
        rules = rulebook_pb2.Rules(application_limits=limits)
        store.run(
            lambda connection: RulebookDesk(self.sources).publish(
                connection, rules, effective=None, author="user/a", note="soon reached"
            )
        )

    def send(self, account_id: str | None = "a", *, source: str = "address/192.0.2.1", **more: Any) -> str:
        given = {"category": pb.FEEDBACK_CATEGORY_FACE, "text": "words", "context": pb.FeedbackContext()}

        def take(connection: Connection) -> rows.FeedbackRow:
            return self.desk.take(connection, Sender(source, account_id), **(given | more))

        return self.store.run(take).ack_number

    def count(self) -> int:
        with self.store.reading() as connection:
            return connection.execute(select(func.count()).select_from(schema.feedback)).scalar_one()


@pytest.fixture
def room(database_url: str, tmp_path: Path) -> Iterator[Room]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield Room(store, tmp_path)
    store.close()


def test_a_number_can_be_read_out_and_is_no_count(room: Room) -> None:
    numbers = {room.send() for _ in range(3)}
    assert len(numbers) == 3
    for number in numbers:
        assert re.fullmatch(r"F-[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", number)


def test_an_account_sends_so_much_in_any_hour_wherever_it_stands(room: Room) -> None:
    for number in range(3):
        room.send(source=f"device/{number}")
        room.now += timedelta(minutes=1)
    with pytest.raises(ServiceError) as caught:
        room.send(source="device/9")
    assert caught.value.reason is Reason.FEEDBACK_TOO_OFTEN
    assert caught.value.retry_s == pytest.approx(HOUR_S - 180)
    room.now = NOON + timedelta(hours=1, microseconds=-1)
    with pytest.raises(ServiceError):
        room.send(source="device/9")
    room.now = NOON + timedelta(hours=1)
    room.send(source="device/9")
    assert room.count() == 4


def test_a_place_sends_so_much_whoever_stands_there_and_refusals_are_not_charged(room: Room) -> None:
    for number in range(5):
        room.send(f"account-{number}")
    for _ in range(3):
        with pytest.raises(ServiceError) as caught:
            room.send(None)
        assert caught.value.reason is Reason.FEEDBACK_TOO_OFTEN
    room.send(None, source="device/other")
    room.now += timedelta(hours=1)
    for _ in range(5):
        room.send(None)


def test_limits_hold_when_many_send_at_once(room: Room) -> None:
    refused: list[Reason] = []

    def send(number: int) -> None:
        try:
            room.send("the-same", source=f"device/{number % 4}")
        except ServiceError as error:
            refused.append(error.reason)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert room.count() == 3
    assert Counter(refused) == {Reason.FEEDBACK_TOO_OFTEN: 9}


def test_words_are_sealed_and_go_with_the_account(room: Room) -> None:
    room.send("a", text="what-i-really-think")
    room.now += timedelta(seconds=1)  # ids are in the order of time
    room.send(None, text="said-by-nobody")
    with room.store.reading() as connection:
        kept = connection.execute(select(schema.feedback).order_by(schema.feedback.c.feedback_id)).all()
        senders = connection.execute(select(schema.feedback_senders)).all()
    assert "what-i-really-think" not in repr(kept)
    assert "192.0.2.1" not in repr(kept) + repr(senders)
    found = [rows.FeedbackRow(**row._mapping) for row in kept]

    def texts() -> list[str]:
        with room.store.reading() as connection:
            opened = room.desk.vault.open_all(connection, found)
        return [opened[row.feedback_id] for row in found]

    assert texts() == ["what-i-really-think", "said-by-nobody"]
    room.store.run(lambda connection: forget_person(connection, [SEALED], "a", now_us=to_us(room.now)))
    assert texts() == ["", "said-by-nobody"]


def test_senders_are_forgotten_once_no_limit_looks_back_so_far(room: Room) -> None:
    room.send("a")
    assert room.desk.sweep(room.store) == 0
    room.now += LONGEST_WINDOW + timedelta(seconds=1)
    room.send("b", source="device/2")
    assert room.desk.sweep(room.store) == 2
    with room.store.reading() as connection:
        assert len(connection.execute(select(schema.feedback_senders)).all()) == 2


def test_who_waits_is_told_how_long_also_where_clocks_differ(room: Room) -> None:
    room.now = NOON + timedelta(minutes=10)  # on a server whose clock is ahead
    room.send()
    room.now = NOON
    room.send()
    room.now = NOON + timedelta(minutes=11)
    room.send()
    with pytest.raises(ServiceError) as caught:
        room.send()
    assert caught.value.retry_s == pytest.approx(HOUR_S - 11 * 60)


def test_a_summary_counts_what_came_from_its_first_instant_up_to_its_last(room: Room) -> None:
    for offset_us in (-1, 0, 9_999_999, 10_000_000):
        room.now = NOON + timedelta(microseconds=offset_us)
        room.send(None, source=f"device/{offset_us}")
    with room.store.reading() as connection:
        for start, end, count in ((0, 10_000_000, 2), (-1, 0, 1), (-1, 10_000_001, 4), (1, 2, 0)):
            period = {"start_us": to_us(NOON) + start, "end_us": to_us(NOON) + end}
            assert sum(one.count for one in rows.count_by_category(connection, **period)) == count
