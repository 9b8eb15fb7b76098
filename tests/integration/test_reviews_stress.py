"""Everything at once on the same tasks, from two servers: whatever comes first, nothing is double or lost."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from cloud.access.call import Caller
from cloud.errors import ServiceError
from cloud.reviews.manage import Profile
from cloud.reviews.port import Applicant, Outcome, ReviewKind
from cloud.reviews.states import LIVE, TaskState
from cloud.store.schema import review_events, review_tasks, second_reviews
from tests.support.reviews import MANAGER, REASON, Office, marks, office, papers
from verifield.v1 import review_service_pb2 as pb

THREADS = 6
STEPS = 60
PAPERS = 8
"""Few, so that all meet on the same ones."""

ENDS = {
    TaskState.DECIDED: pb.REVIEW_EVENT_KIND_DECIDED,
    TaskState.CLOSED: pb.REVIEW_EVENT_KIND_WITHDRAWN,
}


@pytest.fixture
def servers(database_url: str, tmp_path: Path) -> Iterator[tuple[Office, Office]]:
    folder = tmp_path / "ring"
    folder.mkdir()
    with ExitStack() as stack:
        first = stack.enter_context(office(database_url, folder, sampled=400))
        yield first, stack.enter_context(office(database_url, folder, fresh=False))


class Person:
    """One thread: does whatever comes to mind, and is refused half of the time."""

    def __init__(self, number: int, desk: Office, reviewers: list[Caller], related: Caller) -> None:
        self.chance = random.Random(number)
        self.desk = desk
        self.reviewers = reviewers
        self.related = related
        self.done: Counter[str] = Counter()
        self.decided: list[str] = []

    def run(self) -> None:
        acts: list[Callable[[], object]] = [
            self.submit,
            self.decide,
            self.decide,
            self.decide,
            self.assign,
            self.take,
            self.release,
            self.withdraw,
            self.ask,
            self.resubmit,
            self.discipline,
            self.profile,
            self.desk.upkeep.assign,
            self.desk.upkeep.move_stranded,
            self.desk.upkeep.find_overdue,
        ]
        for _ in range(STEPS):
            act = self.chance.choice(acts)
            try:
                act()
            except ServiceError as error:
                self.done[error.reason.value] += 1
            else:
                self.done[act.__name__] += 1

    def task(self) -> str:
        with self.desk.store.reading() as connection:
            live = review_tasks.c.state.in_(LIVE)
            found = list(connection.execute(select(review_tasks.c.task_id).where(live)).scalars())
        return self.chance.choice(found) if found else "none"

    def holder_of(self, task_id: str) -> Caller:
        with self.desk.store.reading() as connection:
            query = select(review_tasks.c.reviewer_id).where(review_tasks.c.task_id == task_id)
            reviewer_id = connection.execute(query).scalar()
        return next((one for one in self.reviewers if one.name == reviewer_id), self.reviewers[0])

    def subject(self) -> str:
        return f"papers/{self.chance.randrange(PAPERS)}"

    def submit(self) -> None:
        subject = self.subject()
        if self.chance.random() < 0.3:
            with self.desk.store.reading() as connection:
                there = connection.execute(
                    select(papers.c.subject).where(papers.c.subject == subject)
                ).first()
            if there is None:
                self.desk.submit(subject, marks=marks(company="ACME"))
                return
        self.desk.run(lambda one: self._submit_again(one, subject))

    def _submit_again(self, connection: Connection, subject: str) -> None:
        found = connection.execute(
            select(papers).where(papers.c.subject == subject).with_for_update()
        ).first()
        if found is not None:
            self.desk.reviews.open_task(
                connection,
                kind=ReviewKind.CERTIFICATION,
                subject=subject,
                applicant=Applicant("0198aaaa-0000-7000-8000-000000000001", marks(company="ACME")),
                checks=("identity_matches",),
            )

    def decide(self) -> None:
        task_id = self.task()
        who = self.holder_of(task_id)
        self.desk.check_all(task_id, caller=who)
        passed = self.chance.random() < 0.5
        outcome = Outcome.PASSED if passed else Outcome.NOT_PASSED
        self.desk.decide(task_id, outcome, [] if passed else [REASON], caller=who)
        self.decided.append(task_id)

    def assign(self) -> None:
        task_id, to = self.task(), self.chance.choice(["", *(one.name for one in self.reviewers)])
        self.desk.run(
            lambda one: self.desk.management.assign(
                one, task_id, reviewer_id=to, reason="Now.", caller=MANAGER
            )
        )

    def take(self) -> None:
        who = self.chance.choice(self.reviewers)
        self.desk.run(lambda one: self.desk.work.take_next(one, caller=who))

    def release(self) -> None:
        task_id = self.task()
        who = self.holder_of(task_id)
        self.desk.run(lambda one: self.desk.work.release(one, task_id, reason="No.", caller=who))

    def withdraw(self) -> None:
        self.desk.withdraw(self.subject())

    def ask(self) -> None:
        task_id = self.task()
        self.desk.ask(task_id, caller=self.holder_of(task_id))

    def resubmit(self) -> None:
        self.desk.resubmit(self.subject())

    def discipline(self) -> None:
        who = self.chance.choice(self.reviewers)
        case_id, _ = self.desk.open_case(who)
        self.desk.run(
            lambda one: self.desk.management.close_case(
                one, case_id, outcome=pb.DISCIPLINE_OUTCOME_UNFOUNDED, note="Nothing.", caller=MANAGER
            )
        )

    def profile(self) -> None:
        who = self.chance.choice(self.reviewers)
        shared = marks(company="ACME") if who == self.related else ()
        profile = Profile(frozenset(ReviewKind), 3, self.chance.random() < 0.2, frozenset(shared))
        self.desk.run(lambda one: self.desk.management.set_profile(one, who.name, profile, caller=MANAGER))


def test_whatever_meets_whatever_nothing_is_double_or_lost(servers: tuple[Office, Office]) -> None:
    one, _ = servers
    related = one.add_reviewer("qian", capacity=3, marks=marks(company="ACME"))
    reviewers = [*(one.add_reviewer(name, capacity=3) for name in ("wang", "li", "zhao")), related]
    for number in range(PAPERS):
        one.submit(f"papers/{number}", marks=marks(company="ACME"))
    people = [Person(number, servers[number % 2], reviewers, related) for number in range(THREADS)]
    gate = threading.Barrier(THREADS)

    def begin(person: Person) -> None:
        gate.wait()
        person.run()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(begin, people))
    done = sum((person.done for person in people), Counter[str]())
    assert all(done[name] for name in ("decide", "withdraw", "discipline")), done
    assert not done["STORE_UNAVAILABLE"], done
    _check(one, related, [task_id for person in people for task_id in person.decided])


def _check(desk: Office, related: Caller, decided: list[str]) -> None:
    with desk.store.reading() as connection:
        tasks = connection.execute(select(review_tasks)).all()
        events = connection.execute(select(review_events)).all()
        seconds = connection.execute(select(second_reviews)).all()
    assert all(load == real for load, real in desk.loads().values())
    live = Counter(one.subject for one in tasks if one.state in LIVE and one.first_task_id is None)
    assert not live or set(live.values()) == {1}
    assert all(one.reviewer_id != related.name for one in tasks)
    kinds = {one.task_id: Counter[int]() for one in tasks}
    for event in events:
        kinds[event.task_id][event.kind] += 1
    numbers = {one.task_id: sorted(e.number for e in events if e.task_id == one.task_id) for one in tasks}
    for task in tasks:
        told = kinds[task.task_id]
        for state, end in ENDS.items():
            assert told[end] == (task.state == state), (task.task_id, told)
        assert numbers[task.task_id] == list(range(1, len(numbers[task.task_id]) + 1))
    assert sorted(decided) == sorted(one.task_id for one in tasks if one.state == TaskState.DECIDED)
    by_id = {one.task_id: one for one in tasks}
    assert {one.task_id for one in seconds} == {one.task_id for one in tasks if one.first_task_id}
    for second in seconds:
        first_by, second_by = by_id[second.first_task_id].reviewer_id, by_id[second.task_id].reviewer_id
        assert first_by != second_by
