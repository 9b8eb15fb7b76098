"""The outbox is delivered: at least once, by any number of servers, later if it must be, never too late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloud.errors import Reason, ServiceError
from cloud.messages.delivery import (
    AT_ONCE,
    CONTENT_KEPT_US,
    FIRST_PAUSE_S,
    KEPT_US,
    LANES,
    LEASE_MARGIN_S,
    LONGEST_PAUSE_S,
    MAX_ATTEMPTS,
    Delivery,
    pause_s,
    sweep,
)
from cloud.messages.outbox import SEALED
from cloud.messages.ports import DeliveryError, Fault, Outgoing
from cloud.messages.templates import Template, Text, all_templates, by_name
from cloud.messages.templates.codes import TEMPLATES
from cloud.messages.values import MACHINE, Channel, Event, State, choose
from cloud.sources import to_us
from cloud.store import messages as rows
from cloud.store.schema import messages as table
from cloud.store.sealed import forget_person
from tests.support.codes import PERSON, PHONE, Office, SetClock, open_office
from tests.support.databases import migrated

NEWS = Template(
    "test_news",
    zh=Text("关于 {title}", "您好，{title} 已通过。"),
    en=Text("About {title}", "{title} has passed."),
    es=Text("Sobre {title}", "{title} ha sido aprobado."),
)
BRIEF = Template(
    "test_brief",
    zh=Text("x", "{title}"),
    en=Text("x", "{title}"),
    es=Text("x", "{title}"),
    lives=timedelta(minutes=5),
)
LONGEST_S = 2.0
LATER = timedelta(seconds=LONGEST_S + LEASE_MARGIN_S)


@dataclass
class Way:
    """Takes messages in memory; ``faults``: what the next attempts end with."""

    taken: list[Outgoing] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)
    always: BaseException | None = None
    attempts: list[str] = field(default_factory=list)
    pause: threading.Event | None = None

    def send(self, message: Outgoing) -> None:
        self.attempts.append(message.message_id)
        if self.pause is not None:
            assert self.pause.wait(30)
        fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None:
            raise fault
        self.taken.append(message)


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path) as opened:
        yield opened


class Turn:
    """A server's delivery: all its lanes, one after the other."""

    def __init__(self, office: Office, way: Way) -> None:
        self.office = office
        ways = {Channel.SMS: way, Channel.EMAIL: way}
        self.delivery = Delivery(office.store, office.messages, ways, office.sources, longest_s=LONGEST_S)

    def run(self) -> int:
        return sum(self.delivery.run(lane) for lane in LANES)

    def claim(self) -> list[tuple[rows.MessageRow, Outgoing]]:
        """Step 1 alone."""
        found = [
            self.office.store.run(
                lambda connection, lane=lane: self.delivery._claim(connection, lane, b"x" * 16)
            )
            for lane in LANES
        ]
        return [one for _, claimed in found for one in claimed]

    def settle(self, row: rows.MessageRow, error: DeliveryError | None) -> None:
        """Step 3 alone."""
        self.office.store.run(lambda connection: self.delivery._settle(connection, [row], [error]))


def delivery_of(office: Office, way: Way) -> Turn:
    return Turn(office, way)


def post(office: Office, template: Template = NEWS, **given: Any) -> str:
    wanted: dict[str, Any] = {
        "person_id": PERSON,
        "channel": Channel.SMS,
        "to": PHONE,
        "values": {"title": "A"},
        "language": "en",
    } | given
    return office.store.run(lambda connection: office.messages.post(connection, template=template, **wanted))


def row_of(office: Office, message_id: str) -> rows.MessageRow:
    with office.store.reading() as connection:
        row = rows.get_message(connection, message_id)
    assert row is not None
    return row


def busy() -> DeliveryError:
    return DeliveryError(Fault.BUSY)


def test_a_message_is_taken_once_and_then_holds_nothing_any_more(office: Office) -> None:
    way = Way()
    message_id = post(office, values={"title": "申请 1"}, language="zh")
    assert row_of(office, message_id).state == State.QUEUED
    delivery = delivery_of(office, way)
    assert (delivery.run(), delivery.run()) == (1, 0)
    [message] = way.taken
    assert (message.message_id, message.address, message.body) == (
        message_id,
        PHONE,
        "您好，申请 1 已通过。",
    )
    row = row_of(office, message_id)
    assert (row.state, row.content, row.fault, row.lease) == (State.DELIVERED, None, "", None)
    assert row.address is not None  # for the question where it went


def test_a_transaction_that_is_undone_sends_nothing(office: Office) -> None:
    def work(connection: Any) -> None:
        office.messages.post(
            connection,
            template=NEWS,
            person_id=PERSON,
            channel=Channel.SMS,
            to=PHONE,
            values={"title": "A"},
            language="en",
        )
        raise ServiceError(Reason.MESSAGE_STATE, "Something else was refused.")

    with pytest.raises(ServiceError):
        office.store.run(work)
    way = Way()
    assert delivery_of(office, way).run() == 0
    assert way.attempts == []


def test_a_failed_attempt_is_repeated_later_with_the_same_id(office: Office) -> None:
    way = Way(faults=[busy(), DeliveryError(Fault.TIMEOUT), RuntimeError("a fault of ours")])
    message_id = post(office)
    delivery = delivery_of(office, way)
    for attempt, fault in enumerate(("BUSY", "TIMEOUT", "NONSENSE"), start=1):
        assert delivery.run() == 1
        row = row_of(office, message_id)
        assert (row.state, row.attempts, row.fault) == (State.QUEUED, attempt, fault)
        wait_us = row.due_us - to_us(office.clock.now)
        whole_us = FIRST_PAUSE_S * 2 ** (attempt - 1) * 1_000_000
        assert whole_us / 2 <= wait_us <= whole_us
        office.clock.now += timedelta(microseconds=wait_us - 1)
        assert delivery.run() == 0
        office.clock.now += timedelta(microseconds=1)
    assert delivery.run() == 1
    assert way.attempts == [message_id] * 4
    assert row_of(office, message_id).state == State.DELIVERED


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_pauses_grow_to_a_cap_and_differ(attempts: int, chance: float) -> None:
    pause = pause_s(attempts, chance=chance)
    assert FIRST_PAUSE_S / 2 <= pause <= LONGEST_PAUSE_S
    assert pause_s(attempts, chance=0) * 2 == pause_s(attempts, chance=1)
    assert pause_s(attempts + 1, chance=0) >= pause_s(attempts, chance=0)


def test_after_many_attempts_a_message_is_given_up_and_can_be_taken_up_again(office: Office) -> None:
    way = Way(always=busy())
    message_id = post(office)
    delivery = delivery_of(office, way)
    for _ in range(MAX_ATTEMPTS):
        assert delivery.run() == 1
        office.clock.pass_(seconds=LONGEST_PAUSE_S)
    assert delivery.run() == 0
    row = row_of(office, message_id)
    assert (row.state, row.fault, row.attempts) == (State.FAILED, "BUSY", MAX_ATTEMPTS)
    way.always = None
    office.store.run(lambda connection: office.messages.take_up(connection, message_id))
    assert delivery.run() == 1
    assert row_of(office, message_id).state == State.DELIVERED
    assert [one.message_id for one in way.taken] == [message_id]


def test_what_is_refused_for_good_is_not_repeated(office: Office) -> None:
    way = Way(faults=[DeliveryError(Fault.REFUSED, final=True)])
    message_id = post(office)
    delivery = delivery_of(office, way)
    delivery.run()
    row = row_of(office, message_id)
    assert (row.state, row.fault, row.attempts) == (State.FAILED, "REFUSED", 1)
    office.clock.pass_(days=1)
    assert delivery.run() == 0


def test_what_expired_is_never_sent(office: Office) -> None:
    way = Way(always=busy())
    message_id = post(office, BRIEF)
    delivery = delivery_of(office, way)
    runs = 0
    while row_of(office, message_id).state == State.QUEUED:
        runs += delivery.run()
        office.clock.pass_(seconds=1)
        assert office.clock.now < office.clock.now + timedelta(minutes=6)
    row = row_of(office, message_id)
    assert (row.state, row.fault, row.content) == (State.FAILED, "BUSY", None)
    assert 3 <= runs <= 8
    with pytest.raises(ServiceError) as caught:
        office.store.run(lambda connection: office.messages.take_up(connection, message_id))
    assert caught.value.reason is Reason.MESSAGE_EXPIRED
    way.always = None
    second = post(office, BRIEF)
    office.clock.pass_(minutes=5)
    delivery.run()
    assert row_of(office, second).fault == "EXPIRED"
    assert way.taken == []


def test_a_message_that_expires_while_its_attempt_waits_is_not_sent(office: Office) -> None:
    """Between the claim and the attempt lies time: a thread that was held up, a machine that slept."""
    way = Way()
    message_id = post(office, BRIEF)
    delivery = delivery_of(office, way)
    [(row, outgoing)] = delivery.claim()
    office.clock.pass_(minutes=5)
    error = delivery.delivery._attempt(row, outgoing)
    assert error is not None
    delivery.settle(row, error)
    assert way.attempts == []
    assert row_of(office, message_id).fault == "EXPIRED"


def test_two_servers_share_the_work_and_send_nothing_twice(database_url: str, tmp_path: Path) -> None:
    clock = SetClock()
    way = Way()
    with ExitStack() as stack:
        servers = [stack.enter_context(open_office(database_url, tmp_path, clock=clock)) for _ in range(2)]
        ids = [post(servers[0], values={"title": str(number)}) for number in range(60)]
        together = threading.Barrier(4)

        def work(office: Office) -> None:
            delivery = delivery_of(office, way)
            together.wait()
            while delivery.run():
                pass

        threads = [threading.Thread(target=work, args=[servers[n % 2]]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # One that found all of the rest locked by another has gone home early: look once more.
        for server in servers:
            while delivery_of(server, way).run():
                pass
        assert sorted(way.attempts) == sorted(ids)
        assert {row_of(servers[0], one).state for one in ids} == {State.DELIVERED}


def test_a_server_that_died_in_between_leaves_a_message_that_is_sent_again(office: Office) -> None:
    way = Way()
    message_id = post(office)
    dying = delivery_of(office, way)
    [(row, outgoing)] = dying.claim()
    dying.delivery._attempt(row, outgoing)  # it was taken; then the power fails
    assert row_of(office, message_id).state == State.SENDING
    other = delivery_of(office, way)
    assert other.run() == 0  # until the lease ends
    office.clock.now += LATER
    assert other.run() == 1
    assert way.attempts == [message_id] * 2  # the receiver tells the repeat by the id
    assert row_of(office, message_id).state == State.DELIVERED


def test_who_comes_back_after_the_end_of_the_lease_changes_nothing(office: Office) -> None:
    way = Way()
    message_id = post(office)
    slow = delivery_of(office, way)
    [(row, _)] = slow.claim()
    office.clock.now += LATER
    assert delivery_of(office, way).run() == 1
    before = office.rows("messages")
    slow.settle(row, busy())
    assert office.rows("messages") == before
    assert row_of(office, message_id).state == State.DELIVERED


def test_one_that_is_never_settled_is_given_up_in_the_end(office: Office) -> None:
    message_id = post(office)
    dying = delivery_of(office, Way())
    for _ in range(MAX_ATTEMPTS):
        assert dying.claim()
        office.clock.now += LATER
    dying.run()
    assert (row_of(office, message_id).state, row_of(office, message_id).fault) == (
        State.FAILED,
        "GIVEN_UP",
    )


def test_slow_messages_do_not_hold_up_those_beside_them(office: Office) -> None:
    way = Way(pause=threading.Event())
    ids = [post(office, values={"title": str(number)}) for number in range(AT_ONCE)]
    thread = threading.Thread(target=delivery_of(office, way).run)
    thread.start()
    try:
        for _ in range(1000):
            if len(way.attempts) == AT_ONCE:
                break
            threading.Event().wait(0.01)
        assert sorted(way.attempts) == sorted(ids)
    finally:
        way.pause.set()  # type: ignore[union-attr]
        thread.join()


def test_a_person_who_is_erased_is_told_nothing_any_more(office: Office) -> None:
    way = Way()
    message_id = post(office)
    now_us = to_us(office.clock.now)
    office.store.run(lambda connection: forget_person(connection, [SEALED], PERSON, now_us=now_us))
    delivery_of(office, way).run()
    row = row_of(office, message_id)
    assert (row.state, row.fault, row.address, row.content) == (State.FAILED, "ERASED", None, None)
    assert way.attempts == []
    with pytest.raises(ServiceError) as caught:
        post(office)
    assert caught.value.reason is Reason.PERSON_ERASED


def test_what_was_changed_from_outside_is_not_sent(office: Office) -> None:
    way = Way()
    first, second = post(office), post(office, to="+8613900001111", person_id="other")
    with office.store.writing() as connection:  # the content of one under the other
        content = row_of(office, first).content
        connection.execute(table.update().where(table.c.message_id == second).values(content=content))
    delivery_of(office, way).run()
    assert [one.message_id for one in way.taken] == [first]
    assert row_of(office, second).fault == "DAMAGED"


def test_the_database_holds_neither_texts_nor_addresses_in_clear(office: Office) -> None:
    post(office, values={"title": "geheime Sache"})
    post(office, to="Zhang.Wei@example.org", channel=Channel.EMAIL)
    dump = office.dump().lower()
    for secret in ("geheim", PHONE, PHONE[3:], "zhang", "example.org", "has passed"):
        assert secret.lower().encode() not in dump


def test_old_messages_go_and_contents_before_them(office: Office) -> None:
    way = Way(faults=[DeliveryError(Fault.REFUSED, final=True)])
    message_id = post(office)
    delivery_of(office, way).run()
    waiting = post(office)

    def swept(after_us: int) -> int:
        now_us = to_us(office.clock.now) + after_us
        return office.store.run(lambda connection: sweep(connection, now_us=now_us, limit=100))

    assert swept(CONTENT_KEPT_US) == 0
    assert row_of(office, message_id).content is not None
    assert swept(CONTENT_KEPT_US + 1000) == 1
    assert row_of(office, message_id).content is None
    assert swept(KEPT_US + 1000) == 1
    with office.store.reading() as connection:
        assert rows.get_message(connection, message_id) is None
    assert row_of(office, waiting).state == State.QUEUED  # what is not over stays


# Templates


def test_every_template_has_the_same_places_in_all_languages_and_fits_a_text_message() -> None:
    assert set(all_templates()) >= {template.name for template in TEMPLATES}
    for template in all_templates().values():
        values = dict.fromkeys(template.places, "x" * 20)
        for language in ("zh", "en", "es"):
            rendered = template.render(language, values)
            assert 0 < len(rendered.body) <= 500, template.name
            assert 0 < len(rendered.subject) <= 100, template.name
            assert "{" not in rendered.body + rendered.subject, template.name


def test_templates_are_strict() -> None:
    text = Text("s", "{a}")
    with pytest.raises(ValueError, match="places"):
        Template("broken", zh=text, en=Text("s", "{b}"), es=text)
    with pytest.raises(ValueError, match="name"):
        Template("Not a name", zh=text, en=text, es=text)
    with pytest.raises(ValueError, match="two"):
        by_name([NEWS, Template("test_news", zh=text, en=text, es=text)])
    with pytest.raises(ValueError, match="values"):
        NEWS.render("en", {})
    with pytest.raises(ValueError, match="long"):
        NEWS.render("en", {"title": "x" * 301})


def test_a_value_is_never_a_line_of_its_own() -> None:
    rendered = NEWS.render("fr", {"title": "A\r\nBcc: x@example.org\u202e {title}"})
    assert rendered.subject == "About A Bcc: x@example.org {title}"
    assert rendered.body.startswith("A Bcc")


@dataclass(frozen=True)
class Reached:
    phone: str = ""
    email: str = ""
    language: str = "es"
    prefers: Channel | None = None


def test_the_preferred_way_is_taken_where_there_is_an_address() -> None:
    both = {"phone": PHONE, "email": "a@example.org"}
    assert choose(Reached(**both)) == (Channel.SMS, PHONE)
    assert choose(Reached(**both, prefers=Channel.EMAIL)) == (Channel.EMAIL, "a@example.org")
    assert choose(Reached(phone=PHONE, prefers=Channel.EMAIL)) == (Channel.SMS, PHONE)
    assert choose(Reached(email="a@example.org", prefers=Channel.SMS)) == (Channel.EMAIL, "a@example.org")
    assert choose(Reached()) is None


def test_who_has_no_address_is_not_told_and_that_is_known(office: Office) -> None:
    def notify(contact: Reached) -> str | None:
        return office.store.run(
            lambda connection: office.messages.notify(
                connection, template=NEWS, person_id=PERSON, contact=contact, values={"title": "A"}
            )
        )

    assert notify(Reached()) is None
    message_id = notify(Reached(email="a@example.org"))
    assert message_id is not None
    assert (row_of(office, message_id).channel, row_of(office, message_id).language) == (
        Channel.EMAIL,
        "es",
    )


@pytest.mark.parametrize("to", ["", "a b", "x" * 255, "a\nb"])
def test_an_address_that_is_none_is_the_callers_fault(office: Office, to: str) -> None:
    with pytest.raises(ValueError, match="address"):
        post(office, to=to)


# The life of a message, through the room's own functions


class Lives(RuleBasedStateMachine):
    """A few messages; what the table does not allow is refused and changes nothing."""

    url: str
    folder: Path

    @initialize()
    def begin(self) -> None:
        self.scope = open_office(self.url, self.folder)
        self.office = self.scope.__enter__()
        with self.office.store.writing() as connection:
            connection.execute(table.delete())
        self.way = Way()
        self.delivery = delivery_of(self.office, self.way)
        self.model: dict[str, State] = {}

    def teardown(self) -> None:
        if hasattr(self, "scope"):
            self.scope.__exit__(None, None, None)

    @precondition(lambda self: len(self.model) < 4)
    @rule()
    def post(self) -> None:
        self.model[post(self.office)] = State.QUEUED

    @precondition(lambda self: self.model)
    @rule(fault=st.sampled_from([None, "later", "final"]))
    def deliver(self, fault: str | None) -> None:
        self.way.always = DeliveryError(Fault.REFUSED, final=fault == "final") if fault else None
        after = {None: State.DELIVERED, "later": State.QUEUED, "final": State.FAILED}[fault]
        self.office.clock.pass_(seconds=LONGEST_PAUSE_S)
        self.delivery.run()
        for message_id, state in self.model.items():
            if state in (State.QUEUED, State.SENDING):
                exhausted = row_of(self.office, message_id).attempts >= MAX_ATTEMPTS
                self.model[message_id] = State.FAILED if exhausted and fault else after

    @precondition(lambda self: self.model)
    @rule(which=st.integers(0, 3))
    def take_up(self, which: int) -> None:
        message_id = list(self.model)[which % len(self.model)]
        state = self.model[message_id]
        before = self.office.rows("messages")

        def work(connection: Any) -> None:
            self.office.messages.take_up(connection, message_id)

        if MACHINE.allows(state, Event.TAKE_UP):
            self.office.store.run(work)
            self.model[message_id] = State.QUEUED
            return
        with pytest.raises(ServiceError) as caught:
            self.office.store.run(work)
        assert caught.value.reason is Reason.MESSAGE_STATE
        assert self.office.rows("messages") == before

    @precondition(lambda self: self.model)
    @rule(which=st.integers(0, 3))
    def withdraw(self, which: int) -> None:
        message_id = list(self.model)[which % len(self.model)]
        before = self.office.rows("messages")
        done = self.office.store.run(lambda connection: self.office.messages.withdraw(connection, message_id))
        state = self.model[message_id]
        assert done is (state in {State.QUEUED, State.SENDING})
        if not done:
            assert self.office.rows("messages") == before
            return
        self.model.pop(message_id)
        # One that is under way ends with its attempt, or its lease.
        assert row_of(self.office, message_id).state == (
            State.SENDING if state is State.SENDING else State.FAILED
        )

    @invariant()
    def the_database_says_the_same(self) -> None:
        for message_id, state in getattr(self, "model", {}).items():
            assert row_of(self.office, message_id).state == state


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_any_sequence_keeps_the_rules(kind: str, tmp_path: Path) -> None:
    with migrated(kind, tmp_path) as url:
        Lives.url, Lives.folder = url, tmp_path
        case = Lives.TestCase
        case.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
        case("runTest").runTest()
