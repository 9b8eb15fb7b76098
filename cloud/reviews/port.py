"""What other rooms see of reviews: what they hand in, what they are told, and how they are told it.

A room that has something reviewed gives a :class:`ReviewHandler` at wiring and calls ``Reviews.open_task``.
A kind without a handler is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from sqlalchemy import Connection

from verifield.v1 import review_service_pb2 as pb


class ReviewKind(IntEnum):
    """What is reviewed. Numbers equal those of verifield.v1.ReviewKind."""

    CERTIFICATION = pb.REVIEW_KIND_CERTIFICATION
    ORGANISATION_REAL_NAME = pb.REVIEW_KIND_ORGANISATION_REAL_NAME
    SEAL = pb.REVIEW_KIND_SEAL
    BUSINESS = pb.REVIEW_KIND_BUSINESS
    CONTRACT = pb.REVIEW_KIND_CONTRACT


class Outcome(IntEnum):
    """There is no third one. Numbers equal those of verifield.v1.ReviewOutcome."""

    PASSED = pb.REVIEW_OUTCOME_PASSED
    NOT_PASSED = pb.REVIEW_OUTCOME_NOT_PASSED


@dataclass(frozen=True, slots=True)
class Applicant:
    """``marks``: keyed digests (``cloud.reviews.marks``) of what a reviewer could share with the applicant.

    ``account_id`` is also the id of the person under whose key texts are sealed.
    """

    account_id: str
    marks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasonText:
    """``code``: for machines; ``text``: for the applicant, may be personal and is never logged."""

    code: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """``reasons`` are never empty where the outcome is NOT_PASSED."""

    outcome: Outcome
    reasons: tuple[ReasonText, ...] = ()


@dataclass(frozen=True, slots=True)
class Supplement:
    """What the applicant is asked for. ``deadline_us``: what comes later does not count."""

    reason: ReasonText
    items: tuple[str, ...] = field(repr=False)
    deadline_us: int


@dataclass(frozen=True, slots=True)
class Task:
    """``reviewer_number``: how the applicant may see who has it; None where nobody has."""

    task_id: str
    kind: ReviewKind
    subject: str
    account_id: str
    reviewer_number: int | None


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline that applicants see: ``kind`` is a ReviewEventKind; no person is named."""

    kind: int
    time_us: int
    reviewer_number: int | None


class ReviewHandler(Protocol):
    """What a room does when something happens to the review of a subject of its own.

    Each method runs in the transaction of what it is told of, and may run again with it: rows only. What it
    raises undoes everything. Rows are locked in one order everywhere: the subject, its task, reviewers. So
    :meth:`hold` is called before the task is locked, with everything but ``open_task``, ``resubmitted`` and
    ``withdrawn``: whoever calls those has locked the subject already.
    """

    def hold(self, connection: Connection, subject: str) -> None:
        """Lock the subject's row."""
        ...

    def shown(self, connection: Connection, task: Task) -> Mapping[str, str]:
        """The material, by names of fields; personal ones are masked before a reviewer sees them."""
        ...

    def assigned(self, connection: Connection, task: Task) -> None:
        """A reviewer has it now, the first or another one. May be called before ``open_task`` returns."""
        ...

    def supplement_asked(self, connection: Connection, task: Task, supplement: Supplement) -> None:
        """The applicant is to be told, and may hand in until the deadline."""
        ...

    def decided(self, connection: Connection, task: Task, decision: Decision) -> None:
        """Make the result."""
        ...

    def supplement_expired(self, connection: Connection, task: Task) -> None:
        """The deadline has passed, and the task has ended with it."""
        ...

    def reopened(self, connection: Connection, task: Task) -> None:
        """A decision does not stand: ``task`` is the new review of the same subject."""
        ...


Handlers = Mapping[ReviewKind, ReviewHandler]
