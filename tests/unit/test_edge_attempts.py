"""Which challenge somebody is given, how often, and what is offered when it does not work."""

from __future__ import annotations

import dataclasses
import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import edge
from edge.advice import ADVICE, advice_on
from edge.answers import Accommodation, ChallengeKind, ChallengeVariant, EarlierRecord
from edge.attempts import WINDOW, count_failed, offer_after
from edge.contact import Arrival
from edge.liveness.plan import plan_challenge
from edge.model import Outcome
from edge.policy import LivenessPolicy

POLICY = LivenessPolicy()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MARK = Arrival("this boot", 10**12)
LIGHT, TURNS = ChallengeKind.LIGHT, ChallengeKind.TURNS
NO_SCREEN, NO_TURN = (
    Accommodation(variant) for variant in (ChallengeVariant.NO_SCREEN, ChallengeVariant.NO_TURN)
)


@pytest.mark.parametrize(
    ("changes", "wanted", "can_light", "kinds", "refusal"),
    [
        ({}, None, True, (LIGHT, TURNS), ""),
        ({"challenges": (TURNS, LIGHT)}, None, True, (LIGHT, TURNS), ""),
        ({}, None, False, (TURNS,), ""),
        ({"require_light": True}, None, False, (), "LIVENESS_LIGHT_UNAVAILABLE"),
        ({"challenges": (TURNS,)}, None, False, (TURNS,), ""),
        ({}, NO_SCREEN, True, (TURNS,), ""),
        ({"require_light": True}, NO_SCREEN, False, (TURNS,), ""),
        ({}, NO_TURN, True, (LIGHT,), ""),
        ({}, NO_TURN, False, (), "LIVENESS_LIGHT_UNAVAILABLE"),
        ({"refuse_variants": True}, NO_SCREEN, True, (), "LIVENESS_VARIANT_REFUSED"),
        ({"refuse_variants": True}, NO_TURN, True, (), "LIVENESS_VARIANT_REFUSED"),
        ({"refuse_variants": True}, None, True, (LIGHT, TURNS), ""),
    ],
)
def test_the_plan_follows_policy_person_and_screen(
    changes: dict[str, object],
    wanted: Accommodation | None,
    can_light: bool,
    kinds: tuple[ChallengeKind, ...],
    refusal: str,
) -> None:
    plan = plan_challenge(dataclasses.replace(POLICY, **changes), wanted, can_light=can_light)
    assert (plan.kinds, plan.refusal) == (kinds, refusal)
    assert plan.variant is (wanted or Accommodation()).variant
    assert plan.light_missing == (not changes and wanted is None and not can_light)


def test_more_time_is_the_policy_s_factor() -> None:
    plan = plan_challenge(POLICY, Accommodation(more_time=True), can_light=True)
    assert plan.time_factor == POLICY.more_time_factor == 2.0
    assert plan_challenge(POLICY, can_light=True).time_factor == 1.0


def test_other_ways_and_a_decision_by_people_are_offered_from_the_second_failure_on() -> None:
    for failed in range(POLICY.max_attempts):
        offer = offer_after(failed, POLICY)
        assert offer.again
        assert offer.accommodations[0] == Accommodation()
        assert offer.by_hand == (failed >= 2)
        assert {way.variant for way in offer.accommodations} == (
            set(ChallengeVariant) if failed >= 2 else {ChallengeVariant.STANDARD}
        )
    last = offer_after(POLICY.max_attempts, POLICY)
    assert (last.again, last.accommodations, last.by_hand) == (False, (), True)
    strict = offer_after(2, dataclasses.replace(POLICY, refuse_variants=True))
    assert {way.variant for way in strict.accommodations} == {ChallengeVariant.STANDARD}
    assert any(way.more_time for way in strict.accommodations)


def test_only_failures_of_late_count_and_a_clock_that_was_set_back_forgives_nothing() -> None:
    ages = [
        timedelta(minutes=-5),
        timedelta(minutes=1),
        WINDOW - timedelta(seconds=1),
        WINDOW,
        timedelta(hours=2),
    ]
    records = [
        EarlierRecord("id", outcome.value, NOW - age) for outcome, age in itertools.product(Outcome, ages)
    ]
    assert count_failed(records, wall=NOW, mark=MARK) == 3 * 3  # of INCONCLUSIVE, SPOOF and NOT_MATCHED each
    assert count_failed([], wall=NOW, mark=MARK) == 0


@pytest.mark.parametrize("wall", [NOW - timedelta(days=3650), NOW + timedelta(days=3650)])
def test_within_one_boot_the_wall_clock_has_no_say(wall: datetime) -> None:
    for age, failed in ((timedelta(0), 1), (WINDOW - timedelta(seconds=1), 1), (WINDOW, 0)):
        then_ns = MARK.monotonic_ns - age // timedelta(microseconds=1) * 1000
        record = EarlierRecord("id", Outcome.SPOOF.value, NOW, MARK.boot_id, then_ns)
        assert count_failed([record], wall=wall, mark=MARK) == failed


@pytest.mark.parametrize(("age", "failed"), [(timedelta(minutes=1), 1), (WINDOW, 0)])
def test_beyond_it_the_wall_clock_is_all_there_is(age: timedelta, failed: int) -> None:
    for boot_id in ("", "another boot"):
        record = EarlierRecord("id", Outcome.SPOOF.value, NOW - age, boot_id, MARK.monotonic_ns)
        assert count_failed([record], wall=NOW, mark=MARK) == failed


def test_every_reason_of_liveness_has_advice_in_three_languages() -> None:
    folder = Path(edge.__file__).parent
    names = ["challenge", "fusion", "injection", "light", "light_response", "lit", "plan", "session", "turns"]
    sources = [*(folder / "liveness" / f"{name}.py" for name in names), folder / "attempts.py"]
    code = re.compile(r'"((?:LIVENESS|INJECTION|SPOOF|FACE|ATTEMPTS)_[A-Z_]*[A-Z])"')
    found = {name for source in sources for name in code.findall(source.read_text("utf-8"))}
    assert found <= set(ADVICE)
    assert len(found) > 25
    for reason in ADVICE:
        assert all(advice_on(reason, language) for language in ("zh", "es", "en"))
    assert advice_on("SOMETHING_ELSE", "en") == ""


@pytest.mark.req("E014")
def test_the_guide_names_every_reason_and_every_way() -> None:
    guide = (Path(edge.__file__).parents[1] / "docs" / "liveness.md").read_text("utf-8")
    assert [reason for reason in ADVICE if f"`{reason}`" not in guide] == []
    for variant in ChallengeVariant:
        assert f"`{variant.value}`" in guide
