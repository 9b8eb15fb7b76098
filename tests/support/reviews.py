"""Reviews over a real database, with something small to review: a table of papers and its handler.

with office(url, tmp_path) as desk:
    desk.add_reviewer("wang")
    task_id = desk.submit("papers/1")
    desk.pass_all(task_id)
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, func, insert, select, update

from cloud.access.call import Caller, Kind
from cloud.access.roles import Role
from cloud.errors import ServiceError
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.reviews.core import Core
from cloud.reviews.desk import Reviews
from cloud.reviews.manage import Management, Profile
from cloud.reviews.marks import Marker
from cloud.reviews.port import (
    Applicant,
    Decision,
    Outcome,
    ReasonText,
    ReviewHandler,
    ReviewKind,
    Supplement,
    Task,
)
from cloud.reviews.states import TaskState
from cloud.reviews.upkeep import Upkeep
from cloud.reviews.work import Work
from cloud.rulebook.desk import RulebookDesk
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import reviews as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.reviews import CheckRow, EventRow, TaskRow
from cloud.store.schema import metadata, review_tasks, reviewers, user_roles, users
from verifield.v1 import review_service_pb2 as pb
from verifield.v1 import rulebook_pb2
from verifield.v1.user_service_pb2 import ROLE_REVIEWER, USER_STATE_ACTIVE

T = TypeVar("T")

SECRET = bytes(range(32))
CHECKS = ("identity_matches", "material_complete")
REASON = ReasonText("BLURRED", "The photograph of the document cannot be read.")
MANAGER = Caller(Kind.USER, "manager-1", frozenset({Role.ORGANISATION_ADMIN}))

_own = MetaData()
papers = Table(
    "test_papers",
    _own,
    Column("subject", String(128), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("told", Integer, nullable=False),  # how often something was told
)


@dataclass
class Papers:
    """A room that has papers reviewed: keeps their states in a table, and what it was told in memory."""

    heard: list[tuple[str, Any]] = field(default_factory=list)
    on: Callable[[str, Connection], None] = lambda _what, _connection: None

    def hold(self, connection: Connection, subject: str) -> None:
        connection.execute(select(papers).where(papers.c.subject == subject).with_for_update()).one()

    def shown(self, connection: Connection, task: Task) -> Mapping[str, str]:
        state = connection.execute(
            select(papers.c.state).where(papers.c.subject == task.subject)
        ).scalar_one()
        return {
            "name": "王小明",
            "id_number": "110101199003071233",
            "agent.phone": "13800138000",
            "state": state,
        }

    def assigned(self, connection: Connection, task: Task) -> None:
        self._tell(connection, task, "IN_REVIEW", task.reviewer_number)

    def supplement_asked(self, connection: Connection, task: Task, supplement: Supplement) -> None:
        self._tell(connection, task, "SUPPLEMENT_REQUIRED", supplement)

    def decided(self, connection: Connection, task: Task, decision: Decision) -> None:
        self._tell(connection, task, decision.outcome.name, decision)

    def supplement_expired(self, connection: Connection, task: Task) -> None:
        self._tell(connection, task, "CLOSED_NO_SUPPLEMENT", None)

    def reopened(self, connection: Connection, task: Task) -> None:
        self._tell(connection, task, "REOPENED", task)

    def _tell(self, connection: Connection, task: Task, state: str, what: Any) -> None:
        changed = connection.execute(
            update(papers).where(papers.c.subject == task.subject).values(state=state, told=papers.c.told + 1)
        )
        assert changed.rowcount == 1
        self.heard.append((state, what))
        self.on(state, connection)


@dataclass
class Office:
    """All of the room, on one database."""

    store: Store
    core: Core
    handler: Papers
    rulebook: RulebookDesk
    clock: Callable[[], datetime]
    offset: timedelta = timedelta()
    overdue: list[str] = field(default_factory=list)

    @property
    def reviews(self) -> Reviews:
        return Reviews(self.core)

    @property
    def work(self) -> Work:
        return Work(self.core)

    @property
    def management(self) -> Management:
        return Management(self.core)

    @property
    def upkeep(self) -> Upkeep:
        return Upkeep(self.core, self.store, self.overdue.append)

    def run(self, work: Callable[[Connection], T]) -> T:
        return self.store.run(work)

    def pass_time(self, **span: float) -> None:
        self.offset += timedelta(**span)

    def set_rules(self, **changes: Any) -> None:
        """A new edition of the rules; times in hours."""
        rules = rulebook_pb2.ReviewRules()
        rules.CopyFrom(RuleKind.REVIEW.default)
        rules.sampled_per_mille = 0
        for name, value in changes.items():
            if name.endswith("_within"):
                getattr(rules, name).FromTimedelta(timedelta(hours=value))
            else:
                setattr(rules, name, value)
        wrapped = RuleKind.REVIEW.wrap(rules)
        self.run(
            lambda connection: self.rulebook.publish(
                connection, wrapped, effective=None, author="user/test", note="for a test"
            )
        )
        self.offset += timedelta(microseconds=1)

    def add_reviewer(
        self,
        login: str,
        *,
        kinds: Collection[ReviewKind] = tuple(ReviewKind),
        capacity: int = 0,
        marks: Collection[bytes] = (),
        away: bool = False,
    ) -> Caller:
        user_id, now_us = str(uuid.uuid4()), self.core.now_us

        def add(connection: Connection) -> None:
            add_user(connection, user_id, login, now_us=now_us)
            profile = Profile(frozenset(kinds), capacity, away, frozenset(marks))
            self.management.set_profile(connection, user_id, profile, caller=MANAGER)

        self.run(add)
        return Caller(Kind.USER, user_id, frozenset({Role.REVIEWER}))

    def submit(
        self,
        subject: str,
        *,
        kind: ReviewKind = ReviewKind.CERTIFICATION,
        account_id: str = "",
        marks: Sequence[bytes] = (),
        checks: Sequence[str] = CHECKS,
    ) -> str:
        applicant = Applicant(account_id or str(uuid.uuid4()), tuple(marks))
        return self.run(
            lambda connection: submit(
                connection, self.reviews, subject, applicant=applicant, kind=kind, checks=checks
            )
        )

    def task(self, task_id: str) -> TaskRow:
        with self.store.reading() as connection:
            found = rows.get_task(connection, task_id)
        assert found is not None
        return found

    def tasks_of(self, reviewer: Caller) -> list[str]:
        with self.store.reading() as connection:
            return rows.held_by(connection, reviewer.name, list(TaskState), limit=10_000)

    def holder(self, task_id: str) -> Caller:
        held_by = self.task(task_id).reviewer_id
        assert held_by is not None
        return Caller(Kind.USER, held_by, frozenset({Role.REVIEWER}))

    def events(self, task_id: str) -> list[EventRow]:
        with self.store.reading() as connection:
            return rows.events_of(connection, task_id, limit=500)

    def kinds_of_events(self, task_id: str) -> list[str]:
        return [
            pb.ReviewEventKind.Name(pb.ReviewEventKind.ValueType(one.kind)).removeprefix("REVIEW_EVENT_KIND_")
            for one in self.events(task_id)
        ]

    def paper(self, subject: str) -> str:
        with self.store.reading() as connection:
            state: str = connection.execute(
                select(papers.c.state).where(papers.c.subject == subject)
            ).scalar_one()
        return state

    def check(self, task_id: str, item: str, result: int = pb.CHECK_RESULT_PASSED, *, caller: Caller) -> None:
        wanted = CheckRow(task_id, 0, "", item, result)
        self.run(
            lambda connection: self.work.record_check(connection, task_id, wanted, remark="", caller=caller)
        )

    def check_all(self, task_id: str, *, caller: Caller | None = None) -> None:
        who = caller or self.holder(task_id)
        with self.store.reading() as connection:
            items = [one.item for one in rows.checks_of(connection, task_id)]
        for item in items:
            self.check(task_id, item, caller=who)

    def decide(
        self,
        task_id: str,
        outcome: Outcome = Outcome.PASSED,
        reasons: Sequence[ReasonText] = (),
        *,
        caller: Caller | None = None,
    ) -> TaskRow:
        who = caller or self.holder(task_id)
        decision = Decision(outcome, tuple(reasons))
        return self.run(lambda connection: self.work.decide(connection, task_id, decision, caller=who))

    def pass_all(self, task_id: str) -> TaskRow:
        self.check_all(task_id)
        return self.decide(task_id)

    def ask(self, task_id: str, *, hours: float | None = 48, caller: Caller | None = None) -> TaskRow:
        who = caller or self.holder(task_id)
        deadline_us = None if hours is None else self.core.now_us + int(hours * 3_600_000_000)
        return self.run(
            lambda connection: self.work.request_supplement(
                connection, task_id, reason=REASON, items=["page 2"], deadline_us=deadline_us, caller=who
            )
        )

    def resubmit(self, subject: str) -> None:
        def work(connection: Connection) -> None:
            self.handler.hold(connection, subject)
            self.reviews.resubmitted(connection, subject)

        self.run(work)

    def withdraw(self, subject: str) -> None:
        def work(connection: Connection) -> None:
            self.handler.hold(connection, subject)
            self.reviews.withdrawn(connection, subject)

        self.run(work)

    def open_case(self, reviewer: Caller, *, caller: Caller = MANAGER) -> tuple[str, int]:
        case, moved = self.run(
            lambda connection: self.management.open_case(
                connection, reviewer.name, facts="Took a watch from an applicant.", caller=caller
            )
        )
        return case.case_id, moved

    def loads(self) -> dict[str, tuple[int, int]]:
        """By reviewer: the load that is kept, and the tasks that there are."""
        with self.store.reading() as connection:
            kept = dict(connection.execute(select(reviewers.c.reviewer_id, reviewers.c.load)).all())  # type: ignore[arg-type]
            assigned = review_tasks.c.state == TaskState.ASSIGNED
            query = select(review_tasks.c.reviewer_id, func.count()).where(assigned)
            real = dict(connection.execute(query.group_by(review_tasks.c.reviewer_id)).all())  # type: ignore[arg-type]
        return {one: (load, real.get(one, 0)) for one, load in kept.items()}

    def dump(self) -> dict[str, list[Any]]:
        """All rows of all tables that this room writes, and the papers."""
        names = [name for name in metadata.tables if "review" in name or name == "discipline_cases"]
        with self.store.reading() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table))))
                for table in (*(metadata.tables[name] for name in names), papers)
            }


def submit(
    connection: Connection,
    reviews: Reviews,
    subject: str,
    *,
    applicant: Applicant,
    kind: ReviewKind = ReviewKind.CERTIFICATION,
    checks: Sequence[str] = CHECKS,
) -> str:
    """A submission: the paper and its task, in one transaction."""
    connection.execute(insert(papers).values(subject=subject, state="SUBMITTED", told=0))
    return reviews.open_task(connection, kind=kind, subject=subject, applicant=applicant, checks=checks)


def add_user(connection: Connection, user_id: str, login: str, *, now_us: int) -> None:
    """A user with the role of a reviewer."""
    connection.execute(
        insert(users).values(
            user_id=user_id,
            login=login,
            state=USER_STATE_ACTIVE,
            created_us=now_us,
            updated_us=now_us,
            version=1,
        )
    )
    connection.execute(insert(user_roles).values(user_id=user_id, role=ROLE_REVIEWER))


@contextmanager
def office(
    url: str,
    folder: Path,
    *,
    kinds: Collection[ReviewKind] = tuple(ReviewKind),
    sampled: int = 0,
    fresh: bool = True,
) -> Iterator[Office]:
    """The room on a migrated database; ``folder`` holds its keys. ``sampled``: per mille. Not
    ``fresh``: another process has opened the same one before."""
    store = Store.open(url, StoreOptions(require_durable=False))
    try:
        with store.writing() as connection:
            _own.create_all(connection, checkfirst=True)
        offices: list[Office] = []
        start = datetime(2026, 6, 1, 8, tzinfo=UTC)

        def now() -> datetime:
            return start + (offices[0].offset if offices else timedelta())

        sources = Sources(now=now, random_bytes=secrets.token_bytes)
        ring = KeyRing.open(folder, now_us=to_us(start), random_bytes=secrets.token_bytes)
        handler = Papers()
        handlers: dict[ReviewKind, ReviewHandler] = dict.fromkeys(kinds, handler)
        core = Core(Persons(ring, sources), sources, handlers, SECRET)
        offices.append(Office(store, core, handler, RulebookDesk(sources), now))
        if fresh:
            offices[0].set_rules(sampled_per_mille=sampled)
        yield offices[0]
    finally:
        store.close()


def refused(work: Callable[[], object]) -> str:
    """The reason for which a call is refused."""
    try:
        work()
    except ServiceError as error:
        return error.reason.value
    raise AssertionError("it was not refused")


def marks(**values: str) -> tuple[bytes, ...]:
    """Of an applicant: ``marks(id_number=..., phone=..., company=...)``."""
    marker = Marker(SECRET)
    return tuple(getattr(marker, name)(value) for name, value in values.items())
