"""What a signed policy means on the device, and how far it may loosen what is built in."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta

import pytest

from edge.answers import ChallengeKind, SessionText, Step, TurnsWhen
from edge.policy import (
    LivenessPolicy,
    MatchPolicy,
    MatchThreshold,
    NumberSegment,
    Policy,
    from_signed,
)
from tests.support.authority import NOW
from tests.support.policies import sample_policy
from verifield.errors import Malformed
from verifield.policy import (
    FLOOR_EARLY_PASSIVE,
    FLOOR_LIVENESS_SCORE,
    FLOOR_MATCH_THRESHOLD,
    FLOOR_PASSIVE_SCORE,
    FLOOR_RELIEF,
    MAX_FALSE_MATCH_RATE,
    check_policy_rules,
    encode_policy,
)
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import policy_pb2 as pb


def read(message: pb.Policy) -> Policy:
    return from_signed(message, payload=encode_policy(message))


def test_every_part_of_a_signed_policy_reaches_the_device() -> None:
    message = sample_policy(version=7)
    policy = read(message)
    assert policy.version == 7
    assert policy.match.live_chip_photo == MatchThreshold(0.466, 1e-5)
    assert policy.match.live_live == MatchThreshold(0.415, 1e-4)
    assert policy.liveness.min_planar_relief == 0.035
    assert policy.liveness.challenge_turns == 2
    assert policy.session.steps == (Step.CONSENT, Step.CUSTOMER_DATA, Step.NOTICE)  # in the session's order
    assert policy.session.consent == SessionText("consent", {"zh": "您同意吗？", "en": "Do you agree?"})
    assert [text.in_language("zh") for text in policy.session.notices] == ["Free of charge."]
    assert policy.session.customer_fields == ("phone",)
    assert policy.session.step_timeout == timedelta(minutes=2)
    assert policy.offline.degraded_after == timedelta(days=7)
    assert policy.offline.stopped_after == timedelta(days=30)
    assert policy.retention.confirmed_records == timedelta(days=30)
    assert policy.number_segments == (NumberSegment("138", 11),)
    assert policy.media.keep == ("best_shot",)
    assert policy.media.recipient_key == bytes(range(32))
    assert policy.issue_time == NOW
    assert policy.expire_time == NOW + timedelta(days=90)


def test_what_a_policy_says_of_challenges_reaches_the_device_and_what_it_leaves_out_stays() -> None:
    built_in = LivenessPolicy()
    assert (built_in.passive_floor, built_in.early_passive, built_in.min_light_bits) == (0.5, 0.5, 10.0)
    plain = read(sample_policy()).liveness
    assert plain == dataclasses.replace(built_in, challenge_turns=2)
    message = sample_policy()
    asked = message.liveness
    asked.score_threshold, asked.passive_threshold, asked.max_attempts = 0.7, 0.4, 3
    asked.more_time_factor, asked.require_light, asked.refuse_variants = 3.0, True, True
    asked.turns_when, asked.early_passive_threshold = pb.TURNS_WHEN_ALWAYS, 0.8
    asked.challenges.extend([att.CHALLENGE_KIND_TURNS, att.CHALLENGE_KIND_LIGHT])
    strict = read(message).liveness
    assert (strict.min_score, strict.passive_floor, strict.max_attempts) == (0.7, 0.4, 3)
    assert (strict.more_time_factor, strict.require_light, strict.refuse_variants) == (3.0, True, True)
    assert set(strict.challenges) == set(ChallengeKind)
    assert (strict.turns_when, strict.early_passive) == (TurnsWhen.ALWAYS, 0.8)
    asked.turns_when = pb.TURNS_WHEN_NEEDED
    assert read(message).liveness.turns_when is TurnsWhen.NEEDED
    asked.ClearField("early_passive_threshold")
    asked.passive_threshold = 0.6
    assert read(message).liveness.early_passive == 0.6, "never less than what turns do not make up for"


def test_light_may_be_left_out_but_turns_may_not() -> None:
    without_light, without_turns = sample_policy(), sample_policy()
    without_light.liveness.challenges.append(att.CHALLENGE_KIND_TURNS)
    assert read(without_light).liveness.challenges == (ChallengeKind.TURNS,)
    without_turns.liveness.challenges.append(att.CHALLENGE_KIND_LIGHT)
    with pytest.raises(Malformed) as caught:
        read(without_turns)
    assert caught.value.code == "POLICY_BELOW_FLOOR"
    assert "liveness.challenges" in caught.value.message


def test_steps_have_the_same_names_on_both_sides() -> None:
    names = {name.removeprefix("SESSION_STEP_") for name in pb.SessionStep.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert names == {step.value for step in Step}


def test_the_digest_is_that_of_the_signed_bytes() -> None:
    message = sample_policy()
    assert read(message).sha256() == hashlib.sha256(encode_policy(message)).digest()


def test_the_digest_of_the_built_in_policy_tells_every_change() -> None:
    policy = Policy()
    assert policy.sha256() == Policy().sha256()
    changed = [
        dataclasses.replace(policy, version=1),
        dataclasses.replace(policy, match=MatchPolicy(live_live=MatchThreshold(0.5, 1e-5))),
        dataclasses.replace(policy, liveness=LivenessPolicy(challenge_turns=4)),
        dataclasses.replace(policy, offline=dataclasses.replace(policy.offline, stopped_after=timedelta(1))),
        dataclasses.replace(policy, media=dataclasses.replace(policy.media, recipient_key=b"k")),
        dataclasses.replace(policy, expire_time=NOW),
    ]
    assert len({one.sha256() for one in [policy, *changed]}) == len(changed) + 1


def test_the_built_in_policy_keeps_its_own_floors() -> None:
    policy = Policy()
    for point in (policy.match.live_live, policy.match.live_chip_photo):
        assert point.threshold >= FLOOR_MATCH_THRESHOLD
        assert point.false_match_rate <= MAX_FALSE_MATCH_RATE
    assert policy.liveness.min_planar_relief > FLOOR_RELIEF
    assert policy.liveness.max_flat_relief <= FLOOR_RELIEF  # what accuses cannot vouch


@pytest.mark.parametrize("accepted", [True, False])
def test_a_printed_photo_is_accepted_only_where_a_signed_policy_says_so(accepted: bool) -> None:
    message = sample_policy()
    message.match.accept_printed_photo = accepted
    assert read(message).match.accept_printed_photo is accepted
    assert not Policy().match.accept_printed_photo
    assert not read(sample_policy()).match.accept_printed_photo


@pytest.mark.parametrize(
    ("part", "name", "allowed", "refused"),
    [
        ("match", "live_chip_photo_threshold", FLOOR_MATCH_THRESHOLD, FLOOR_MATCH_THRESHOLD - 1e-9),
        ("match", "live_live_threshold", FLOOR_MATCH_THRESHOLD, FLOOR_MATCH_THRESHOLD - 1e-9),
        ("match", "live_chip_photo_false_match_rate", MAX_FALSE_MATCH_RATE, MAX_FALSE_MATCH_RATE * 1.01),
        ("match", "live_live_false_match_rate", MAX_FALSE_MATCH_RATE, MAX_FALSE_MATCH_RATE * 1.01),
        ("liveness", "relief_threshold", FLOOR_RELIEF + 1e-9, FLOOR_RELIEF),
        ("liveness", "score_threshold", FLOOR_LIVENESS_SCORE, FLOOR_LIVENESS_SCORE - 1e-9),
        ("liveness", "passive_threshold", FLOOR_PASSIVE_SCORE, FLOOR_PASSIVE_SCORE - 1e-9),
        ("liveness", "early_passive_threshold", FLOOR_EARLY_PASSIVE, FLOOR_EARLY_PASSIVE - 1e-9),
    ],
)
def test_a_policy_may_be_stricter_but_not_below_a_floor(
    part: str, name: str, allowed: float, refused: float
) -> None:
    message = sample_policy()
    strict = 0.9 if "threshold" in name else 1e-9
    for value in (allowed, strict):
        setattr(getattr(message, part), name, value)
        check_policy_rules(message)
        read(message)
    setattr(getattr(message, part), name, refused)
    check_policy_rules(message)  # it is a policy, but not one for us
    with pytest.raises(Malformed) as error:
        read(message)
    assert error.value.code == "POLICY_BELOW_FLOOR"
    assert f"{part}.{name}" in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("number", "accepted"),
    [
        ("13812345678", True),
        ("1381234567", False),
        ("138123456789", False),
        ("13912345678", False),
        ("1381234567x", False),
        ("138１2345678", False),
        ("", False),
    ],
)
def test_only_numbers_of_a_segment_are_accepted(number: str, accepted: bool) -> None:
    assert read(sample_policy()).accepts_number(number) is accepted


def test_without_segments_every_number_is_accepted() -> None:
    assert Policy().accepts_number("12345")
