"""Who gets a task: a pure function over the task and the reviewers as they stand.

1  who lacks the skill, is away or suspended, or was told never to have this task, is left out
2  so is who shares a mark with the applicant
3  so is who has no room
4  of the others the one with the smallest share of the capacity in use gets it
5  among equals, whoever waited longest
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Wanted:
    """The task. ``barred``: reviewers who must not have it."""

    kind: int
    marks: frozenset[bytes] = frozenset()
    barred: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reviewer. ``capacity``: tasks at a time, 1 or more; ``last_us``: when something was last assigned."""

    reviewer_id: str
    skills: frozenset[int]
    load: int
    capacity: int
    last_us: int = 0
    marks: frozenset[bytes] = frozenset()
    away: bool = False
    suspended: bool = False


def is_related(wanted: Wanted, candidate: Candidate) -> bool:
    """Whether the reviewer has something in common with the applicant, or decided in this matter before."""
    return bool(wanted.marks & candidate.marks) or candidate.reviewer_id in wanted.barred


def may_have(wanted: Wanted, candidate: Candidate) -> bool:
    """Steps 1 and 2: whether this reviewer may have the task at all."""
    return wanted.kind in candidate.skills and not candidate.suspended and not is_related(wanted, candidate)


def choose(wanted: Wanted, candidates: Iterable[Candidate]) -> str | None:
    """The id of who gets it; None where nobody may have it, or has room."""
    suitable = [
        one for one in candidates if may_have(wanted, one) and not one.away and one.load < one.capacity
    ]
    if not suitable:
        return None
    best = min(suitable, key=lambda one: (Fraction(one.load, one.capacity), one.last_us, one.reviewer_id))
    return best.reviewer_id
