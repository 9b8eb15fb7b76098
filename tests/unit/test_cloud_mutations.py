"""A change that is asked for twice is done once, and answered twice with the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, delete, func, insert, select, update

from cloud.access.call import CALL, Call, Caller, Kind
from cloud.errors import Reason, ServiceError
from cloud.mutations import CLEANED_AT_ONCE, KEPT_FOR, Mutations
from cloud.sources import Sources, to_us
from cloud.store import requests as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import audit_events, join_tokens, kept_answers
from verifield.v1 import device_service_pb2 as pb

SECRET = bytes(range(32))
USER, OTHER = Caller(Kind.USER, "user-1"), Caller(Kind.USER, "user-2")


@dataclass
class Clock:
    now: datetime = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Desk:
    """Makes join tokens, one row and one audit event each, as DeviceService does."""

    store: Store
    secret: bytes = SECRET
    clock: Clock = field(default_factory=Clock)
    runs: int = 0
    before: Callable[[], None] = lambda: None

    def ask(
        self, *, request_id: str = "", site: str = "site-1", caller: Caller = USER
    ) -> pb.CreateJoinTokenResponse:
        request = pb.CreateJoinTokenRequest(site_id=site, request_id=request_id)
        CALL.set(Call(method="/verifield.v1.DeviceService/CreateJoinToken", peer="", caller=caller))
        sources = Sources(now=self.clock, random_bytes=secrets.token_bytes)
        mutations = Mutations(self.store, sources, secret=self.secret)
        run = mutations.run(
            request, action="devices.create_join_token", subject=f"sites/{site}", work=self._make(site)
        )
        return asyncio.run(run)

    def _make(self, site: str) -> Callable[[Connection], pb.CreateJoinTokenResponse]:
        def work(connection: Connection) -> pb.CreateJoinTokenResponse:
            self.runs += 1
            self.before()
            token = f"vfj_{secrets.token_hex(16)}"
            connection.execute(
                insert(join_tokens).values(
                    token_sha256=hashlib.sha256(token.encode()).digest(),
                    site_id=site,
                    created_us=1,
                    expires_us=2,
                )
            )
            return pb.CreateJoinTokenResponse(join_token=token)

        return work

    def count(self) -> tuple[int, int, int]:
        """Rows of tokens, of the audit chain, and of kept answers."""
        with self.store.reading() as connection:
            found = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (join_tokens, audit_events, kept_answers)
            ]
        return found[0], found[1], found[2]


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield Desk(store)
    store.close()


def new_id() -> str:
    return str(uuid.uuid4())


def test_a_repeated_request_is_done_once_and_answered_byte_for_byte(desk: Desk) -> None:
    request_id = new_id()
    first = desk.ask(request_id=request_id)
    again = desk.ask(request_id=request_id.upper())  # the same number, written otherwise
    assert again.SerializeToString() == first.SerializeToString()
    assert first.join_token
    assert desk.count() == (1, 1, 1)
    assert desk.runs == 1


def test_without_an_id_every_request_is_done(desk: Desk) -> None:
    assert desk.ask().join_token != desk.ask().join_token
    assert desk.count() == (2, 2, 0)


def test_an_id_with_another_request_is_refused_and_changes_nothing(desk: Desk) -> None:
    request_id = new_id()
    first = desk.ask(request_id=request_id)
    with pytest.raises(ServiceError) as caught:
        desk.ask(request_id=request_id, site="site-2")
    assert caught.value.reason is Reason.REQUEST_ID_REUSED
    assert desk.count() == (1, 1, 1)
    assert desk.ask(request_id=request_id) == first


def test_ids_of_two_callers_have_nothing_to_do_with_each_other(desk: Desk) -> None:
    request_id = new_id()
    mine = desk.ask(request_id=request_id)
    assert desk.ask(request_id=request_id, caller=OTHER).join_token != mine.join_token
    # A user and a device of one name are two callers too.
    desk.ask(request_id=request_id, caller=Caller(Kind.DEVICE, USER.name))
    assert desk.count() == (3, 3, 3)


def test_a_refusal_is_not_kept(desk: Desk) -> None:
    request_id = new_id()

    def refuse() -> None:
        raise ServiceError(Reason.DEVICE_NOT_FOUND, "There is no such device.")

    desk.before = refuse
    with pytest.raises(ServiceError):
        desk.ask(request_id=request_id)
    assert desk.count() == (0, 0, 0)
    desk.before = lambda: None
    assert desk.ask(request_id=request_id).join_token
    assert desk.count() == (1, 1, 1)


def test_of_many_at_once_exactly_one_runs(desk: Desk) -> None:
    request_id, many = new_id(), 6
    together = threading.Barrier(many)
    answers: list[bytes] = []

    def ask() -> None:
        together.wait()
        answers.append(desk.ask(request_id=request_id).SerializeToString())

    threads = [threading.Thread(target=ask) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == many
    assert len(set(answers)) == 1
    assert desk.count() == (1, 1, 1)


def test_who_comes_second_waits_for_the_end_of_the_first(desk: Desk) -> None:
    """The first one fails when the second is waiting: then the second one does the work."""
    request_id = new_id()
    started, second_waits = threading.Event(), threading.Event()

    def fail_first() -> None:
        if desk.runs == 1:
            started.set()
            second_waits.wait(30)
            raise ServiceError(Reason.DEVICE_NOT_FOUND, "There is no such device.")

    desk.before = fail_first
    outcomes: dict[str, object] = {}

    def ask(name: str) -> None:
        try:
            outcomes[name] = desk.ask(request_id=request_id)
        except ServiceError as error:
            outcomes[name] = error.reason

    first, second = (threading.Thread(target=ask, args=[name]) for name in ("first", "second"))
    first.start()
    assert started.wait(30)
    second.start()
    second_waits.set()  # it does so, or comes a little later: either way it must be the one that works
    first.join()
    second.join()
    assert outcomes["first"] is Reason.DEVICE_NOT_FOUND
    assert isinstance(outcomes["second"], pb.CreateJoinTokenResponse)
    assert desk.count() == (1, 1, 1)


def test_the_database_tells_nothing_of_answers_callers_and_ids(desk: Desk) -> None:
    request_id = new_id()
    token = desk.ask(request_id=request_id).join_token
    with desk.store.reading() as connection:
        [row] = connection.execute(select(*kept_answers.c))
    content = b"".join(bytes(value) for value in row if isinstance(value, bytes))
    for secret in (token, USER.name, "site-1", request_id):
        assert secret.encode() not in content
        assert hashlib.sha256(secret.encode()).digest() not in content
    # With the database and the request id, but another secret, it is as if it had never been asked.
    desk.secret = bytes(32)
    assert desk.ask(request_id=request_id).join_token != token


def test_a_changed_row_is_noticed(desk: Desk) -> None:
    request_id = new_id()
    desk.ask(request_id=request_id)
    with desk.store.writing() as connection:
        [answer] = connection.execute(select(kept_answers.c.answer)).scalars()
        connection.execute(update(kept_answers).values(answer=answer[:-1] + bytes([answer[-1] ^ 1])))
    with pytest.raises(ServiceError) as caught:
        desk.ask(request_id=request_id)
    assert caught.value.reason is Reason.RECORD_DAMAGED


def test_an_answer_is_kept_for_seven_days_and_no_longer(desk: Desk) -> None:
    assert timedelta(days=7) == KEPT_FOR
    request_id = new_id()
    first = desk.ask(request_id=request_id)
    desk.clock.now += KEPT_FOR
    assert desk.ask(request_id=request_id) == first
    desk.clock.now += timedelta(microseconds=1)
    assert desk.ask(request_id=request_id) != first
    assert desk.count() == (2, 2, 1)


def test_old_answers_go_in_small_pieces_until_none_is_left(desk: Desk) -> None:
    old_us = to_us(desk.clock.now - KEPT_FOR) - 1
    bucket, many = 3, CLEANED_AT_ONCE + 5
    key = bytes([bucket]) + bytes(31)
    with desk.store.writing() as connection:
        for number in range(many):
            old = bytes([bucket]) + number.to_bytes(31, "big")
            connection.execute(insert(kept_answers).values(_row(old, old_us)))
        connection.execute(insert(kept_answers).values(_row(bytes([bucket]) + b"\xff" * 31, old_us + 1)))
        connection.execute(insert(kept_answers).values(_row(bytes([bucket + 1]) + bytes(31), old_us)))
    gone = []
    for _ in range(3):
        with desk.store.writing() as connection:
            gone.append(
                rows.drop_old(
                    connection,
                    key[:-1] + b"\xfe",
                    before_us=to_us(desk.clock.now - KEPT_FOR),
                    limit=CLEANED_AT_ONCE,
                )
            )
    assert gone == [CLEANED_AT_ONCE, 5, 0]
    with desk.store.writing() as connection:  # what is not old, and what is in another part, stays
        assert connection.execute(delete(kept_answers)).rowcount == 2


def _row(key: bytes, kept_us: int) -> dict[str, object]:
    return {
        "request_key": key,
        "request_mac": bytes(32),
        "answer": b"sealed",
        "subject": "sites/site-1",
        "kept_us": kept_us,
        "bucket": rows.bucket_of(key),
    }


def test_the_audit_chain_names_caller_action_subject_and_request(desk: Desk) -> None:
    request_id = new_id()
    desk.ask(request_id=request_id)
    with desk.store.reading() as connection:
        [row] = connection.execute(select(*audit_events.c))
    assert (row.caller, row.action, row.subject) == (
        "user/user-1",
        "devices.create_join_token",
        "sites/site-1",
    )
    assert request_id.encode() in row.content
