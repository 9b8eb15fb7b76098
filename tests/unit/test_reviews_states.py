"""Whatever is called in whatever state: what is not allowed is refused, and changes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cloud.access.call import Caller
from cloud.errors import Reason, ServiceError
from cloud.reviews.port import Outcome
from cloud.reviews.states import MACHINE, TaskEvent, TaskState
from cloud.store import reviews as rows
from tests.support.databases import KINDS, migrated
from tests.support.reviews import CHECKS, MANAGER, REASON, Office, marks, office
from verifield.v1 import review_service_pb2 as pb

SUBJECTS = ("papers/1", "papers/2", "papers/3")
# Refused whatever the state is: by what the caller may do, or what is missing.
OTHERS = frozenset(
    {
        Reason.REVIEW_TASK_EXISTS,
        Reason.REVIEW_NOT_YOURS,
        Reason.REVIEW_CONFLICT,
        Reason.REVIEW_NOBODY_FREE,
        Reason.REVIEW_CHECKS_MISSING,
        Reason.REVIEW_CHECKS_FAILED,
        Reason.REVIEWER_SUSPENDED,
        Reason.REVIEWER_FULL,
        Reason.SUPPLEMENT_LATE,
        Reason.SUPPLEMENT_TOO_OFTEN,
        Reason.DISCIPLINE_CASE_CLOSED,
    }
)
who = st.integers(0, 2)
which = st.integers(0, 20)


class Life(RuleBasedStateMachine):
    """Three reviewers, one of them related to every second applicant, and all that may be called."""

    kind: ClassVar[str] = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.exits = ExitStack()
        self.tasks: list[str] = []
        self.cases: list[str] = []

    @initialize()
    def begin(self) -> None:
        folder = Path(self.exits.enter_context(tempfile.TemporaryDirectory()))
        url = self.exits.enter_context(migrated(self.kind, folder))
        (folder / "ring").mkdir()
        self.desk: Office = self.exits.enter_context(office(url, folder / "ring"))
        self.staff = [
            self.desk.add_reviewer("wang", capacity=2),
            self.desk.add_reviewer("li", capacity=2),
            self.desk.add_reviewer("zhao", marks=marks(company="ACME")),
        ]

    def teardown(self) -> None:
        self.exits.close()

    def _task(self, number: int) -> str:
        return self.tasks[number % len(self.tasks)]

    def _try(self, event: TaskEvent | None, task_id: str, call: Callable[[], object]) -> None:
        """Make a call that stands for an event; ``None``: one that any state allows."""
        before = self.desk.dump()
        state = TaskState(self.desk.task(task_id).state) if task_id else None
        allowed = event is None or state is None or MACHINE.allows(state, event)
        refused: Reason | None = None
        try:
            call()
        except ServiceError as error:
            refused = error.reason
        if refused is None:
            assert allowed, f"{event} was possible in {state}"
        else:
            assert self.desk.dump() == before
            assert refused in (OTHERS if allowed else {Reason.REVIEW_STATE})

    @rule(number=st.integers(0, 2), related=st.booleans())
    def submit(self, number: int, related: bool) -> None:
        subject = SUBJECTS[number]
        taken = any(
            self.desk.task(one).subject == subject and self.desk.task(one).state < TaskState.DECIDED
            for one in self.tasks
        )
        if taken:
            return
        fresh = f"{subject}-{len(self.tasks)}"
        self.tasks.append(self.desk.submit(fresh, marks=marks(company="ACME") if related else ()))

    @rule(number=which, reviewer=who)
    def take(self, number: int, reviewer: int) -> None:
        if self.tasks:
            task_id, caller = self._task(number), self.staff[reviewer]
            self._try(
                TaskEvent.TAKE,
                task_id,
                lambda: self.desk.run(lambda one: self.desk.work.take(one, task_id, caller=caller)),
            )

    @rule(number=which, reviewer=who)
    def release(self, number: int, reviewer: int) -> None:
        if self.tasks:
            task_id, caller = self._task(number), self.staff[reviewer]
            self._try(
                TaskEvent.LEAVE,
                task_id,
                lambda: self.desk.run(
                    lambda one: self.desk.work.release(one, task_id, reason="why", caller=caller)
                ),
            )

    @rule(number=which, reviewer=st.one_of(st.none(), who))
    def assign(self, number: int, reviewer: int | None) -> None:
        if self.tasks:
            task_id = self._task(number)
            name = "" if reviewer is None else self.staff[reviewer].name
            self._try(
                TaskEvent.GIVE,
                task_id,
                lambda: self.desk.run(
                    lambda one: self.desk.management.assign(
                        one, task_id, reviewer_id=name, reason="why", caller=MANAGER
                    )
                ),
            )

    @rule(number=which, reviewer=who, item=st.sampled_from(CHECKS), result=st.sampled_from([1, 1, 1, 2]))
    def check(self, number: int, reviewer: int, item: str, result: int) -> None:
        if self.tasks:
            task_id, caller = self._task(number), self.staff[reviewer]
            self._try(TaskEvent.CHECK, task_id, lambda: self.desk.check(task_id, item, result, caller=caller))

    @rule(number=which, all_checks=st.booleans(), passed=st.booleans(), other=st.none() | who)
    def decide(self, number: int, all_checks: bool, passed: bool, other: int | None) -> None:
        if not self.tasks:
            return
        task_id = self._task(number)
        row = self.desk.task(task_id)
        caller = Caller(MANAGER.kind, row.reviewer_id) if row.reviewer_id else self.staff[0]
        if other is not None:
            caller = self.staff[other]
        if all_checks and row.state == TaskState.ASSIGNED:
            for item in CHECKS:
                self._try(
                    TaskEvent.CHECK, task_id, lambda item=item: self.desk.check(task_id, item, caller=caller)
                )
        outcome = Outcome.PASSED if passed else Outcome.NOT_PASSED
        self._try(
            TaskEvent.DECIDE,
            task_id,
            lambda: self.desk.decide(task_id, outcome, () if passed else (REASON,), caller=caller),
        )

    @rule(number=which, reviewer=st.none() | who)
    def ask(self, number: int, reviewer: int | None) -> None:
        if self.tasks:
            task_id = self._task(number)
            holder = self.desk.task(task_id).reviewer_id or self.staff[0].name
            caller = Caller(MANAGER.kind, holder) if reviewer is None else self.staff[reviewer]
            self._try(TaskEvent.ASK, task_id, lambda: self.desk.ask(task_id, caller=caller))

    @rule(number=which)
    def resubmit(self, number: int) -> None:
        if self.tasks:
            task_id = self._task(number)
            row = self.desk.task(task_id)
            self._try(TaskEvent.RESUBMIT, task_id, lambda: self.desk.resubmit(row.subject))

    @rule(number=which)
    def withdraw(self, number: int) -> None:
        if self.tasks:
            task_id = self._task(number)
            row = self.desk.task(task_id)
            self._try(TaskEvent.WITHDRAW, task_id, lambda: self.desk.withdraw(row.subject))

    @rule(reviewer=who)
    def open_case(self, reviewer: int) -> None:
        self.cases.append(self.desk.open_case(self.staff[reviewer])[0])

    @rule(number=which)
    def close_case(self, number: int) -> None:
        if self.cases:
            case_id = self.cases[number % len(self.cases)]
            self._try(
                None,
                "",
                lambda: self.desk.run(
                    lambda one: self.desk.management.close_case(
                        one,
                        case_id,
                        outcome=pb.DISCIPLINE_OUTCOME_WARNED,
                        note="Looked into.",
                        caller=MANAGER,
                    )
                ),
            )

    @rule(hours=st.sampled_from([1, 30, 100]))
    def time_passes(self, hours: int) -> None:
        self.desk.pass_time(hours=hours)
        for job in self.desk.upkeep.jobs():
            job.run()

    @invariant()
    def loads_are_what_they_say(self) -> None:
        if hasattr(self, "desk"):
            assert all(load == real for load, real in self.desk.loads().values())

    @invariant()
    def nobody_related_or_suspended_has_anything(self) -> None:
        if not hasattr(self, "desk"):
            return
        for task_id in self.tasks:
            row = self.desk.task(task_id)
            assert (row.reviewer_id is not None) or row.state != TaskState.ASSIGNED
            assert (row.outcome is not None) == (row.state == TaskState.DECIDED)
            with self.desk.store.reading() as connection:
                if row.reviewer_id == self.staff[2].name:
                    assert not rows.marks_of(connection, task_id)
            numbers = [one.number for one in self.desk.events(task_id)]
            assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_lives_as_its_table_says(kind: str) -> None:
    machine = type("LifeOn" + kind, (Life,), {"kind": kind})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=12, stateful_step_count=30, deadline=None)
    )
