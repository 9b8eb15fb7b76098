"""Codes: for one purpose, number and thing, once, for five minutes, with five wrong guesses forgiven."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import update

from cloud.codes.desk import FORGIVEN, LIFETIME, Challenge, Purpose
from cloud.codes.ledger import PERSON_WINDOWS
from cloud.codes.values import MACHINE, OVER, Event, State
from cloud.errors import Reason, ServiceError
from cloud.messages.delivery import LANES, Delivery
from cloud.messages.spool import FileSpool
from cloud.messages.values import Channel
from cloud.store.schema import code_challenges, messages, sms_sends
from tests.support.codes import BEGIN, OTHER_PHONE, PERSON, PHONE, Office, open_office
from tests.support.databases import migrated

MICRO = timedelta(microseconds=1)


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path) as opened:
        yield opened


def wrong_of(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def reason_of(error: ServiceError | None) -> Reason | None:
    return error.reason if error else None


def state_of(office: Office, challenge: Challenge) -> tuple[State, int]:
    with office.store.reading() as connection:
        query = code_challenges.select().where(code_challenges.c.challenge_id == challenge.challenge_id)
        row = connection.execute(query).one()
    return State(row.state), row.wrong


def test_the_right_code_counts_once(office: Office) -> None:
    sent = office.send()
    assert sent.masked_phone == "+86 138****1234"
    code = office.code()
    assert office.verify(sent, f" {code[:3]}-{code[3:]} ") is None
    assert reason_of(office.verify(sent, code)) is Reason.CODE_USED
    assert state_of(office, sent) == (State.VERIFIED, 0)


def test_full_width_digits_are_digits(office: Office) -> None:
    sent = office.send()
    assert office.verify(sent, office.code().translate({ord("0") + n: 0xFF10 + n for n in range(10)})) is None


@pytest.mark.req("R042")
def test_the_sixth_wrong_guess_locks_and_then_the_right_code_is_refused(office: Office) -> None:
    sent = office.send()
    code = office.code()
    for left in range(FORGIVEN - 1, -1, -1):
        error = office.verify(sent, wrong_of(code))
        assert error is not None
        assert (error.reason, error.metadata) == (Reason.CODE_WRONG, {"forgiven_left": str(left)})
    assert state_of(office, sent) == (State.SENT, 5)
    assert reason_of(office.verify(sent, wrong_of(code))) is Reason.CODE_LOCKED
    assert state_of(office, sent) == (State.LOCKED, 6)
    before = office.rows()
    assert reason_of(office.verify(sent, code)) is Reason.CODE_LOCKED
    assert office.rows() == before


def test_five_wrong_guesses_are_forgiven(office: Office) -> None:
    sent = office.send()
    code = office.code()
    for _ in range(FORGIVEN):
        office.verify(sent, wrong_of(code))
    assert office.verify(sent, code) is None


@pytest.mark.req("R042")
@pytest.mark.parametrize(
    "other",
    [
        {"purpose": Purpose.LOGIN},
        {"bound": b"another contract"},
        {"phone": OTHER_PHONE},
    ],
    ids=["purpose", "thing", "number"],
)
def test_the_right_code_for_anything_else_is_wrong(office: Office, other: dict[str, object]) -> None:
    sent = office.send(bound=b"this contract")
    asked = {"bound": b"this contract", "phone": PHONE} | other
    assert reason_of(office.verify(sent, office.code(), **asked)) is Reason.CODE_WRONG
    assert office.verify(sent, office.code(), bound=b"this contract", phone=PHONE) is None


def test_another_persons_challenge_is_not_to_be_found(office: Office) -> None:
    sent = office.send()
    before = office.rows()
    assert reason_of(office.verify(sent, office.code(), person_id="other")) is Reason.CODE_NOT_FOUND
    assert reason_of(office.verify(PERSON, office.code())) is Reason.CODE_NOT_FOUND
    assert office.rows() == before


def test_a_code_of_one_challenge_does_not_open_another(office: Office) -> None:
    first = office.send()
    code = office.code()
    second = office.send(OTHER_PHONE, purpose=Purpose.LOGIN)
    assert reason_of(office.verify(second, code, purpose=Purpose.LOGIN)) is (
        None if code == office.code(OTHER_PHONE) else Reason.CODE_WRONG
    )
    assert office.verify(first, code) is None


@pytest.mark.req("R042")
def test_a_code_lives_five_minutes(office: Office) -> None:
    sent = office.send()
    code = office.code()
    assert sent.expire_time == BEGIN + LIFETIME == BEGIN + timedelta(minutes=5)
    office.clock.now = sent.expire_time
    assert reason_of(office.verify(sent, code)) is Reason.CODE_EXPIRED
    office.clock.now = sent.expire_time - MICRO  # it was found expired, and stays so
    assert reason_of(office.verify(sent, code)) is Reason.CODE_EXPIRED
    office.clock.pass_(minutes=2)
    again = office.send()
    code = office.code()
    office.clock.now = again.expire_time - MICRO
    assert office.verify(again, code) is None


def test_a_new_code_replaces_the_one_before_of_its_purpose_alone(office: Office) -> None:
    first = office.send()
    first_code = office.code()
    office.clock.pass_(minutes=1)
    login = office.send(purpose=Purpose.LOGIN)
    login_code = office.code()
    assert state_of(office, first)[0] is State.SENT
    office.clock.pass_(minutes=1)
    second = office.send()
    assert state_of(office, first)[0] is State.REPLACED
    assert reason_of(office.verify(first, first_code)) is Reason.CODE_REPLACED
    assert office.verify(login, login_code, purpose=Purpose.LOGIN) is None
    assert office.verify(second, office.code()) is None
    # The message of the one that was replaced is not sent any more.
    assert len(office.waiting()) == 2


def test_of_many_right_answers_at_once_one_counts(office: Office) -> None:
    sent = office.send()
    code, many = office.code(), 12
    together = threading.Barrier(many)
    outcomes: list[Reason | None] = []

    def answer() -> None:
        together.wait()
        outcomes.append(reason_of(office.verify(sent, code)))

    threads = [threading.Thread(target=answer) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(None) == 1
    assert outcomes.count(Reason.CODE_USED) == many - 1


def test_of_many_wrong_guesses_at_once_five_are_forgiven(office: Office) -> None:
    sent = office.send()
    wrong, many = wrong_of(office.code()), 20
    together = threading.Barrier(many)
    outcomes: list[Reason | None] = []

    def guess() -> None:
        together.wait()
        outcomes.append(reason_of(office.verify(sent, wrong)))

    threads = [threading.Thread(target=guess) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(Reason.CODE_WRONG) == FORGIVEN
    assert outcomes.count(Reason.CODE_LOCKED) == many - FORGIVEN


@pytest.mark.req("R042")
def test_a_code_stands_nowhere_in_clear(
    office: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In no row of any table, in no file of the database, and in nothing that is logged or printed."""
    caplog.set_level(logging.DEBUG)
    secrets_seen: list[str] = []
    spool = FileSpool(tmp_path / "spool")
    delivery = Delivery(office.store, office.messages, {Channel.SMS: spool}, office.sources, longest_s=1.0)
    for purpose in (Purpose.REGISTER, Purpose.LOGIN, Purpose.SIGN_CONTRACT):
        sent = office.send(purpose=purpose)
        code = office.code()
        secrets_seen += [code, PHONE, PHONE[1:], PHONE[3:]]
        assert not any(secret.encode() in office.dump() for secret in secrets_seen)
        office.verify(sent, wrong_of(code), purpose=purpose)
        assert sum(delivery.run(lane) for lane in LANES) == 1
        assert not any(secret.encode() in office.dump() for secret in secrets_seen)
        office.verify(sent, code, purpose=purpose)
        repr_of = f"{sent!r} {office.codes!r} {office.waiting()!r}"
        assert not any(secret in repr_of for secret in secrets_seen)
        office.clock.pass_(minutes=25)
    # Delivered: what was said is gone, sealed or not.
    assert office.waiting() == []
    files = [path for path in tmp_path.glob("verifield.db*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets_seen if len(secret) > 6)
    printed = "".join(capfd.readouterr()) + caplog.text
    assert not any(secret in printed for secret in secrets_seen)


def test_an_undelivered_code_is_emptied_once_it_has_expired(office: Office, tmp_path: Path) -> None:
    office.send()
    office.clock.now = BEGIN + LIFETIME
    spool = FileSpool(tmp_path / "spool")
    delivery = Delivery(office.store, office.messages, {Channel.SMS: spool}, office.sources, longest_s=1.0)
    assert sum(delivery.run(lane) for lane in LANES) == 1  # looked at, and ended
    assert office.waiting() == []
    assert list((tmp_path).glob("spool/*")) == []  # a code that expired is never sent late
    [row] = office.rows("messages")["messages"]
    assert "EXPIRED" in row


def test_sweeping_ends_what_nobody_answered(office: Office) -> None:
    sent = office.send()
    office.clock.now = BEGIN + LIFETIME
    office.store.run(lambda connection: office.codes.sweep(connection, limit=10))
    assert state_of(office, sent)[0] is State.EXPIRED


@pytest.mark.parametrize("state", [state for state in State if state is not State.SENT])
def test_what_is_over_answers_with_its_reason_and_changes_nothing(office: Office, state: State) -> None:
    sent = office.send()
    code = office.code()
    with office.store.writing() as connection:
        connection.execute(update(code_challenges).values(state=int(state)))
    before = office.rows()
    for guess in (code, wrong_of(code)):
        assert reason_of(office.verify(sent, guess)) is OVER[state]
    assert office.rows() == before


class Challenges(RuleBasedStateMachine):
    """One person's challenges of one purpose, against a model of what may happen to each."""

    url: str
    folder: Path

    @initialize()
    def begin(self) -> None:
        self.scope = open_office(self.url, self.folder)
        self.office = self.scope.__enter__()
        with self.office.store.writing() as connection:
            for table in (code_challenges, messages, sms_sends):
                connection.execute(table.delete())
        self.sent: list[tuple[Challenge, str]] = []
        self.model: list[State] = []
        self.wrong: list[int] = []
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "scope"):
            self.scope.__exit__(None, None, None)

    @precondition(lambda self: len(self.sent) < PERSON_WINDOWS[0].count)
    @rule()
    def send(self) -> None:
        self.number += 1
        phone = f"+861380{self.number:07}"
        sent = self.office.send(phone, source=f"device/{self.number}")
        if self.model and self.model[-1] is State.SENT:
            self.model[-1] = MACHINE.after(State.SENT, Event.REPLACE)
        self.sent.append((sent, self.office.code(phone)))
        self.model.append(State.SENT)
        self.wrong.append(0)

    @rule(seconds=st.sampled_from([1, 150, 299, 300]))
    def wait(self, seconds: int) -> None:
        self.office.clock.pass_(seconds=seconds)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 10**6), right=st.booleans())
    def answer(self, which: int, right: bool) -> None:
        at = which % len(self.sent)
        sent, code = self.sent[at]
        before = self.office.rows("code_challenges")
        error = self.office.verify(sent, code if right else wrong_of(code))
        if self.model[at] is not State.SENT:
            assert reason_of(error) is OVER[self.model[at]]
            assert self.office.rows("code_challenges") == before
        elif self.office.clock.now >= sent.expire_time:
            assert reason_of(error) is Reason.CODE_EXPIRED
            self.model[at] = State.EXPIRED
        elif right:
            assert error is None
            self.model[at] = State.VERIFIED
        elif self.wrong[at] == FORGIVEN:
            assert reason_of(error) is Reason.CODE_LOCKED
            self.model[at] = State.LOCKED
        else:
            assert reason_of(error) is Reason.CODE_WRONG
            self.wrong[at] += 1

    @invariant()
    def the_database_says_the_same(self) -> None:
        for (sent, _), state in zip(getattr(self, "sent", []), getattr(self, "model", []), strict=True):
            assert state_of(self.office, sent)[0] is state


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_any_sequence_keeps_the_rules(kind: str, tmp_path: Path) -> None:
    with migrated(kind, tmp_path) as url:
        Challenges.url, Challenges.folder = url, tmp_path
        case = Challenges.TestCase
        case.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
        case("runTest").runTest()
