"""How often somebody may try with one document, through the whole pipeline and in virtual time."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from edge.answers import EarlierRecord
from edge.attempts import ATTEMPTS_USED_UP, WINDOW, count_failed
from edge.contact import Arrival
from edge.model import Decision, Outcome
from edge.models.store import ModelStore
from edge.pipeline import Verification
from edge.policy import Policy
from edge.vision import Vision
from tests.integration.test_pipeline_outcomes import OWNER, WHEN, Room, pipeline_of, room_with
from tests.support.liveness import QUICK

MOST = 2
SET = WHEN + timedelta(days=3650)
"""What the wall clock shows once somebody has set it ahead."""

POLICY = Policy(liveness=dataclasses.replace(QUICK, max_attempts=MOST))


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


class Office:
    """A device that remembers what came of each attempt; its own clock stands until it is moved."""

    def __init__(self, vision: Vision) -> None:
        self.vision = vision
        self.mark = Arrival("this boot", 0)
        self.records: list[EarlierRecord] = []

    def try_with(self, kind: str, person: str | None) -> tuple[Room, Verification]:
        room = room_with(kind, person, OWNER)
        pipeline = pipeline_of(room, self.vision, policy=POLICY)
        guard = dataclasses.replace(
            pipeline.guard,
            failed_lately=lambda _document: count_failed(self.records, wall=SET, mark=self.mark),
            mark=lambda: self.mark,
        )
        verification = dataclasses.replace(pipeline, guard=guard).run()
        assert room.attested == [verification.decision]  # each attempt is a signed record of its own
        for noted in room.remembered.values():
            self.records += noted
        return room, verification


@pytest.mark.req("E015")
def test_retries_end_for_a_while_and_each_one_is_attested(vision: Vision) -> None:
    """Also for the person whose card it is: somebody else tried with it a moment ago.

    And for whoever sets the wall clock ahead.
    """
    office = Office(vision)
    for number in range(MOST):
        _, failed = office.try_with("print", OWNER)
        assert failed.decision.outcome is Outcome.SPOOF
        assert failed.evidence.liveness is not None
        assert failed.evidence.liveness.challenge.attempt == number + 1
        assert failed.evidence.liveness.threshold == POLICY.liveness.min_score
    room, refused = office.try_with("live", OWNER)
    assert refused.decision == Decision(Outcome.ABORTED, (ATTEMPTS_USED_UP,))
    assert refused.evidence.liveness is None
    assert room.number == 0  # nobody was looked at
    office.mark = Arrival("this boot", round(WINDOW.total_seconds() * 1e9))
    _, passed = office.try_with("live", OWNER)
    assert passed.decision.outcome is Outcome.VERIFIED
    assert passed.evidence.liveness is not None
    assert passed.evidence.liveness.challenge.attempt == 1
