"""The light challenge as a machine: its sequences, its beat, how it fails, and what an answer is worth."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from edge.liveness.light import (
    COLOURS,
    DIM,
    FULL,
    OTHERS,
    PALETTE,
    SEQUENCES,
    STALL_S,
    TAKE_S,
    LightChallenge,
    LightState,
    new_durations,
    new_sequence,
)
from edge.liveness.light_response import (
    CELLS,
    MAX_LAG_S,
    MIN_SAMPLES,
    LightReading,
    LightSample,
    ShownColour,
    judge_response,
)
from edge.model import Colour
from edge.policy import LivenessPolicy

POLICY = LivenessPolicy()
FRAME_S = 1 / 15


def nonce(number: int) -> bytes:
    return number.to_bytes(16, "big")


def linear(part: int) -> float:
    share = part / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


@pytest.mark.req("E013")
def test_light_alone_is_more_than_a_million_equally_likely_challenges() -> None:
    assert SEQUENCES == 8 * 7**7
    assert SEQUENCES >= 2**22, "whether or not the head is turned as well"
    assert len(set(PALETTE)) == 8
    first, second = Counter[Colour](), Counter[tuple[Colour, Colour]]()
    for number in range(4000):
        sequence = new_sequence(nonce(number))
        assert len(sequence) == COLOURS
        assert all(before != after for before, after in itertools.pairwise(sequence))
        first[sequence[0]] += 1
        second[sequence[-2], sequence[-1]] += 1
    assert len(first) == 8
    assert len(second) == 8 * 7
    # 500 and 71 expected; five standard deviations
    assert all(abs(count - 500) < 5 * math.sqrt(500) for count in first.values())
    assert all(abs(count - 4000 / 56) < 5 * math.sqrt(4000 / 56) for count in second.values())
    assert len({new_sequence(nonce(number)) for number in range(4000)}) > 3990
    with pytest.raises(ValueError, match="16 bytes"):
        new_sequence(bytes(15))


def luminance(colour: Colour) -> float:
    """Relative luminance, WCAG 2.2."""
    red, green, blue = map(linear, colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_no_sequence_flashes_more_than_wcag_allows() -> None:
    """Criterion 2.3.1: at most three flashes, pairs of opposing changes, a second; and no saturated red.

    Four changes are two flashes.
    """
    for number in range(500):
        durations = new_durations(nonce(number))
        starts = [sum(durations[:index]) for index in range(COLOURS)]
        for start in starts:
            changes = [at for at in starts if start <= at < start + 1.0]
            assert len(changes) <= 4
        assert 2.1 < sum(durations) < 2.3
    for colour in PALETTE:
        red, green, blue = map(linear, colour)
        assert red / (red + green + blue) < 0.8
        assert luminance(colour) > 0.1  # no dark screen between bright ones
    assert {part for colour in PALETTE for part in colour} == {DIM, FULL}


def sample(cells: np.ndarray | None = None) -> LightSample:
    return LightSample(np.zeros((len(CELLS), 3)) if cells is None else cells, np.zeros((8, 3)), np.zeros(5))


def run(
    challenge: LightChallenge, *, seconds: float = 6.0, screen: bool = True
) -> list[tuple[float, Colour]]:
    """A face that is always there; returns when the screen showed what."""
    shown: list[tuple[float, Colour]] = []
    now, last = 0.0, None
    while not challenge.done and now < seconds:
        challenge.handle(sample(), now, seen=True)
        if challenge.colour != last and screen:
            last = challenge.colour
            if last is not None:
                challenge.lit(now)
                shown.append((now, last))
        now += FRAME_S
    return shown


def test_the_colours_come_in_order_and_stay_for_their_time() -> None:
    for number in range(20):
        challenge = LightChallenge(nonce(number), POLICY)
        shown = run(challenge)
        assert challenge.state is LightState.WATCHED
        assert tuple(colour for _, colour in shown) == challenge.colours == new_sequence(nonce(number))
        gaps = [after - before for (before, _), (after, _) in itertools.pairwise(shown)]
        assert min(gaps) >= min(new_durations(nonce(number))) - 1e-9
        assert challenge.colour is None


@pytest.mark.req("E010")
def test_each_way_to_fail_has_its_reason() -> None:
    nobody = LightChallenge(nonce(0), POLICY)
    for step in range(400):
        nobody.handle(None, step * FRAME_S, seen=False)
    assert nobody.failure == "LIVENESS_NO_FACE"

    turned = LightChallenge(nonce(0), POLICY)
    for step in range(400):
        turned.handle(None, step * FRAME_S, seen=True)
    assert turned.failure == "LIVENESS_TIMEOUT"

    slower = LightChallenge(nonce(0), POLICY, time_factor=2.0)
    for step in range(round(1.5 * POLICY.first_look_time_limit_s / FRAME_S)):
        slower.handle(None, step * FRAME_S, seen=True)
    assert slower.state is LightState.WAITING

    away = LightChallenge(nonce(0), POLICY)
    run(away, screen=False, seconds=TAKE_S + 2)
    assert away.failure == "LIVENESS_LIGHT_UNAVAILABLE"

    gone, stalled = LightChallenge(nonce(0), POLICY), LightChallenge(nonce(0), POLICY)
    for challenge in (gone, stalled):
        run(challenge, seconds=1.0)
        assert challenge.begun
    for step in range(30):
        gone.handle(None, 1.0 + step * FRAME_S, seen=False)
    assert gone.failure == "LIVENESS_FACE_LOST"
    stalled.handle(sample(), 1.0 + STALL_S + 0.1, seen=True)
    assert stalled.failure == "LIVENESS_LIGHT_STALLED"
    for challenge in (nobody, turned, away, gone, stalled):
        assert challenge.judge() is None
        before = challenge.failure
        challenge.fail("OTHER")
        assert challenge.failure == before


def answer(
    sequence: tuple[Colour, ...],
    *,
    seed: int,
    gain: float = 0.08,
    lag: float = 0.1,
    fps: float = 15,
    noise: float = 0.008,
    sides: float = 0.75,
    flicker: float = 0.0,
    mirror: bool = False,
) -> list[tuple[float, LightSample]]:
    """What a camera sees of a face lit by ``sequence`` (with the times of nonce 0), by the law of the module.

    ``sides``: their answer over the front's. ``flicker``: of exposure, over all the picture. ``mirror``: the
    light comes on top instead, as on glass.
    """
    rng = np.random.default_rng(seed)
    durations = new_durations(nonce(0))
    starts = np.cumsum([0.0, *durations[:-1]])
    albedo = rng.uniform(0.15, 0.5, (len(CELLS), 3))
    weight = np.where(np.abs(CELLS[:, 0]) > 0.7, sides, 1.0)[:, None]
    samples = []
    for step in range(int(sum(durations) * fps)):
        at = step / fps
        index = int(np.searchsorted(starts, at - lag, side="right")) - 1
        light = np.array([linear(part) for part in sequence[index]]) if index >= 0 else np.full(3, 0.15)
        exposure = 1.0 + flicker * np.sin(5.0 * at + np.arange(3))
        lit = albedo + gain * 0.3 * light if mirror else albedo * (1.0 + gain * weight * light)
        cells = np.log(lit * exposure) + rng.normal(0, noise, (len(CELLS), 3))
        backdrop = np.log(np.full((8, 3), 0.4) * exposure) + rng.normal(0, noise, (8, 3))
        samples.append((at, LightSample(cells, backdrop, rng.normal(0, 0.01, 5))))
    return samples


def judge(asked: tuple[Colour, ...], samples: list[tuple[float, LightSample]]) -> LightReading:
    starts = np.cumsum([0.0, *new_durations(nonce(0))[:-1]])
    shown = [ShownColour(colour, float(at)) for colour, at in zip(asked, starts, strict=True)]
    return judge_response(shown, samples, palette=PALETTE, others=OTHERS, seed=5)


def test_an_answer_in_time_and_colour_is_told_from_thousands_of_sequences() -> None:
    for seed in range(6):
        sequence = new_sequence(nonce(seed))
        reading = judge(sequence, answer(sequence, seed=seed))
        assert reading.bits >= POLICY.min_light_bits
        assert reading.strength > POLICY.min_light_strength
        assert reading.fall > 0.1
        assert reading.shape > POLICY.min_light_shape
        assert abs(reading.lag_s - 0.1) < 0.1
        assert len(reading.response) == COLOURS
        assert reading == judge(sequence, answer(sequence, seed=seed)), "and always by the same numbers"


@pytest.mark.req("E013")
def test_the_answer_to_another_sequence_is_none() -> None:
    bits = []
    for seed in range(60):
        asked, answered = new_sequence(nonce(seed)), new_sequence(nonce(1000 + seed))
        bits.append(judge(asked, answer(answered, seed=seed, gain=0.3)).bits)
    assert max(bits) < POLICY.min_light_bits
    assert float(np.median(bits)) < 3


def test_no_answer_and_one_that_is_late_are_none() -> None:
    sequence = new_sequence(nonce(3))
    assert judge(sequence, answer(sequence, seed=1, gain=0.0)).strength < POLICY.min_light_strength
    late = judge(sequence, answer(sequence, seed=1, lag=MAX_LAG_S + 0.5))
    assert late.bits < POLICY.min_light_bits


def test_what_exposure_and_white_balance_do_is_taken_out() -> None:
    sequence = new_sequence(nonce(4))
    steady, wild = (judge(sequence, answer(sequence, seed=2, flicker=share)) for share in (0.0, 0.2))
    assert wild.bits >= POLICY.min_light_bits
    assert abs(wild.strength - steady.strength) < 0.01


def test_a_sheet_answers_evenly_and_a_mirror_on_top_of_what_it_shows() -> None:
    sequence = new_sequence(nonce(5))
    head = judge(sequence, answer(sequence, seed=3))
    sheet = judge(sequence, answer(sequence, seed=3, sides=1.0))
    mirror = judge(sequence, answer(sequence, seed=3, mirror=True))
    assert abs(sheet.fall) < 0.1 < head.fall
    assert abs(head.tie) < 0.25
    assert mirror.tie < -0.5
    assert mirror.shape < POLICY.min_light_shape


@pytest.mark.req("E010")
def test_too_few_frames_no_backdrop_and_numbers_that_are_none_are_no_answer() -> None:
    sequence = new_sequence(nonce(6))
    samples = answer(sequence, seed=4)
    few = judge(sequence, samples[: MIN_SAMPLES - 1])
    assert few == LightReading(reason="LIVENESS_LIGHT_TOO_FEW_FRAMES")
    half = judge(sequence, samples[: len(samples) // 2])
    assert half.reason == "LIVENESS_LIGHT_TOO_FEW_FRAMES"
    bare = [(at, LightSample(one.cells, np.zeros((0, 3)), one.pose)) for at, one in samples]
    assert judge(sequence, bare).reason == "LIVENESS_LIGHT_NO_BACKDROP"
    broken = [(at, LightSample(one.cells * np.nan, one.backdrop, one.pose)) for at, one in samples]
    assert judge(sequence, broken).reason == "LIVENESS_LIGHT_TOO_FEW_FRAMES"
