"""The head-turn challenge: its derivation from the nonce, and each row of its transition table."""

import dataclasses
from collections import Counter

import pytest

from edge.liveness.challenge import (
    LONGEST_PAUSE_S,
    MAX_TURNS,
    SHORTEST_PAUSE_S,
    HeadTurnChallenge,
    State,
    new_challenge,
    new_pauses,
)
from edge.model import Prompt
from edge.policy import LivenessPolicy

POLICY = LivenessPolicy()
STEP = 1 / 15
TURNED = POLICY.turn_yaw_ratio + 0.05


def nonce(number: int) -> bytes:
    return number.to_bytes(16, "big")


def with_turns(*turns: Prompt) -> bytes:
    """A nonce whose challenge asks for these turns."""
    return next(n for n in map(nonce, range(1000)) if new_challenge(n, POLICY)[::2] == turns)


class Person:
    """Feeds a challenge with yaw ratios, frame by frame."""

    def __init__(self, challenge: HeadTurnChallenge) -> None:
        self.challenge = challenge
        self.now = 0.0

    def look(self, yaw: float | None, seconds: float) -> Prompt | None:
        """Hold ``yaw`` until a prompt comes or the time is over."""
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            prompt = self.challenge.handle(yaw, self.now)
            if prompt is not None:
                return prompt
        return None

    def answer(self, prompt: Prompt | None, *, after: float = 0.4) -> Prompt | None:
        assert prompt in (Prompt.TURN_LEFT, Prompt.TURN_RIGHT)
        self.look(0.0, after)
        return self.look(TURNED if prompt is Prompt.TURN_LEFT else -TURNED, 1.0)


def new_person(*turns: Prompt) -> Person:
    return Person(HeadTurnChallenge(with_turns(*turns) if turns else nonce(7), POLICY))


L, R = Prompt.TURN_LEFT, Prompt.TURN_RIGHT


def test_each_turn_is_followed_by_looking_straight() -> None:
    actions = new_challenge(nonce(1), POLICY)
    assert len(actions) == 2 * POLICY.challenge_turns
    assert set(actions[::2]) <= {L, R}
    assert set(actions[1::2]) == {Prompt.LOOK_STRAIGHT}
    assert actions == new_challenge(nonce(1), POLICY)


def test_all_sequences_are_equally_likely() -> None:
    counts = Counter(new_challenge(nonce(number), POLICY) for number in range(4000))
    assert len(counts) == 2**POLICY.challenge_turns
    assert all(400 < count < 600 for count in counts.values())


def test_pauses_are_as_unpredictable_as_the_turns() -> None:
    pauses = [pause for number in range(500) for pause in new_pauses(nonce(number), POLICY)]
    assert min(pauses) >= SHORTEST_PAUSE_S
    assert max(pauses) < LONGEST_PAUSE_S
    middle = (SHORTEST_PAUSE_S + LONGEST_PAUSE_S) / 2
    assert sum(pauses) / len(pauses) == pytest.approx(middle, abs=0.03)
    assert len(set(pauses)) > 1400


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_nonce_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        new_challenge(bytes(size), POLICY)


def test_the_number_of_turns_has_limits() -> None:
    for turns in (1, MAX_TURNS):
        policy = dataclasses.replace(POLICY, challenge_turns=turns)
        assert len(new_challenge(nonce(0), policy)) == 2 * turns
    for turns in (0, MAX_TURNS + 1):
        with pytest.raises(ValueError, match="turns"):
            new_challenge(nonce(0), dataclasses.replace(POLICY, challenge_turns=turns))


def test_a_person_who_follows_every_prompt_passes() -> None:
    person = new_person(L, R, R)
    for answered in range(POLICY.challenge_turns):
        prompt = person.look(0.02, 3.0)
        assert person.challenge.completed == 2 * answered
        assert person.answer(prompt) is Prompt.LOOK_STRAIGHT
    assert person.look(0.0, 1.0) is None
    assert person.challenge.state is State.PASSED
    assert person.challenge.completed == len(person.challenge.actions)
    assert person.challenge.weakest_turn == pytest.approx(TURNED, abs=0.03)


def test_a_turn_that_stays_just_under_the_threshold_does_not_count() -> None:
    for yaw, counts in ((POLICY.turn_yaw_ratio - 0.001, False), (POLICY.turn_yaw_ratio + 0.001, True)):
        person = new_person(L, L, L)
        assert person.look(0.0, 3.0) is L
        assert (person.look(0.0, 0.3) or person.look(yaw, 1.0) is Prompt.LOOK_STRAIGHT) is counts


def test_one_slipped_landmark_is_no_turn() -> None:
    person = new_person(L, L, L)
    person.look(0.0, 3.0)
    person.look(0.0, 0.4)
    assert person.look(TURNED, STEP) is None
    assert person.look(0.0, 1.0) is None
    assert person.challenge.completed == 0


def test_the_wrong_way_first_fails() -> None:
    person = new_person(L, L, L)
    person.look(0.0, 3.0)
    person.look(0.0, 0.4)
    person.look(-TURNED, 1.0)
    assert person.challenge.failure == "LIVENESS_WRONG_TURN"
    assert person.answer(L) is None
    assert person.challenge.state is State.FAILED


def test_turning_sooner_than_a_human_can_fails() -> None:
    policy = dataclasses.replace(POLICY, min_reaction_s=0.3)
    person = Person(HeadTurnChallenge(with_turns(L, L, L), policy))
    assert person.look(0.0, 3.0) is L
    person.look(TURNED, 0.29)
    assert person.challenge.failure == "LIVENESS_OUT_OF_STEP"


def test_turning_before_being_asked_again_fails() -> None:
    person = new_person(L, L, L)
    assert person.answer(person.look(0.0, 3.0)) is Prompt.LOOK_STRAIGHT
    person.look(0.0, 2 * STEP)
    person.look(TURNED, 1.0)
    assert person.challenge.failure == "LIVENESS_OUT_OF_STEP"


def test_the_first_turn_must_start_from_straight_ahead() -> None:
    person = new_person(L, L, L)
    assert person.look(TURNED, 5.0) is None, "nobody is asked who does not look straight"
    assert person.look(0.0, 3.0) is L


def test_the_next_turn_is_asked_for_only_after_coming_back() -> None:
    person = new_person(L, L, L)
    person.answer(person.look(0.0, 3.0))
    half_way = POLICY.turn_yaw_ratio * 0.6
    assert person.look(half_way, 4.0) is None
    assert person.look(0.0, 1.9) is L


@pytest.mark.parametrize("bias", [-0.1, 0.1])
def test_somebody_who_looks_slightly_past_the_camera_is_judged_by_the_change(bias: float) -> None:
    person = new_person(L, R, L)
    for turn in (L, R, L):
        assert person.look(bias, 3.0) is turn
        person.look(bias, 0.4)
        assert person.look(bias + (TURNED if turn is L else -TURNED), 1.0) is Prompt.LOOK_STRAIGHT
    person.look(bias, 1.0)
    assert person.challenge.state is State.PASSED


def test_no_answer_in_time_fails() -> None:
    limit = POLICY.turn_time_limit_s
    person = new_person(L, L, L)
    person.look(0.0, 3.0)
    person.look(0.0, limit - 2 * STEP)
    assert not person.challenge.done
    person.look(0.0, 4 * STEP)
    assert person.challenge.failure == "LIVENESS_TIMEOUT"


def test_not_coming_back_in_time_fails() -> None:
    person = new_person(L, L, L)
    person.answer(person.look(0.0, 3.0))
    person.look(TURNED, POLICY.turn_time_limit_s + 2 * STEP)
    assert person.challenge.failure == "LIVENESS_TIMEOUT"


def test_nobody_there_fails_with_its_own_reason() -> None:
    person = new_person()
    person.look(None, POLICY.first_look_time_limit_s - STEP)
    assert not person.challenge.done
    person.look(None, 3 * STEP)
    assert person.challenge.failure == "LIVENESS_NO_FACE"


def test_a_face_may_be_missed_for_a_moment_but_not_longer() -> None:
    for gap, failure in (
        (POLICY.max_face_gap_s - 2 * STEP, ""),
        (POLICY.max_face_gap_s + 2 * STEP, "LIVENESS_FACE_LOST"),
    ):
        person = new_person(L, L, L)
        person.look(0.0, 3.0)
        person.look(None, gap)
        assert person.challenge.failure == failure


def test_a_face_lost_before_the_first_turn_only_starts_again() -> None:
    person = new_person(L, L, L)
    person.look(0.0, 2 * STEP)
    person.look(None, 2.0)
    assert not person.challenge.done
    assert person.look(0.0, 3.0) is L


@pytest.mark.parametrize("yaw", [float("inf"), float("-inf"), float("nan")])
def test_a_yaw_that_is_no_number_counts_as_no_face(yaw: float) -> None:
    person = new_person(L, L, L)
    person.look(0.0, 3.0)
    person.look(yaw, POLICY.max_face_gap_s + 2 * STEP)
    assert person.challenge.failure == "LIVENESS_FACE_LOST"


def test_the_first_reason_stays() -> None:
    person = new_person()
    person.challenge.fail("FACE_SWITCHED")
    person.challenge.fail("LIVENESS_TIMEOUT")
    assert person.challenge.failure == "FACE_SWITCHED"
    assert person.look(0.0, 5.0) is None
