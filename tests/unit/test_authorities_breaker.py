"""The circuit breaker against a model, and the pauses between tries."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud.authorities.breaker import Breaker, BreakerLimits, Circuit
from cloud.authorities.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, Budget

OPEN_AFTER, OPEN_S = 3, 10.0


class BreakerLife(RuleBasedStateMachine):
    """Any number of questions under way, ending in any order, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(BreakerLimits(OPEN_AFTER, OPEN_S))
        self.now = 0.0
        self.under_way = 0
        self.in_a_row = 0
        self.opened_at: float | None = None
        self.probing = False

    @rule(seconds=st.sampled_from([0.125, 1.0, 9.875, 10.0, 30.0]))  # which add up without rounding
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        wait = self.breaker.admit(self.now)
        may = self.opened_at is None or (not self.probing and self.now - self.opened_at >= OPEN_S)
        assert (wait is None) == may
        if wait is not None:
            assert 0 < wait <= OPEN_S
            return
        self.probing = self.opened_at is not None
        self.under_way += 1

    @precondition(lambda self: self.under_way)
    @rule()
    def answer(self) -> None:
        self.breaker.answered()
        self.under_way -= 1
        self.in_a_row, self.opened_at, self.probing = 0, None, False

    @precondition(lambda self: self.under_way)
    @rule()
    def fail(self) -> None:
        self.breaker.failed(self.now)
        self.under_way -= 1
        self.in_a_row += 1
        if self.probing or self.in_a_row >= OPEN_AFTER:
            self.opened_at = self.now
        self.probing = False

    @precondition(lambda self: self.under_way)
    @rule()
    def abandon(self) -> None:
        self.breaker.abandoned()
        self.under_way -= 1
        self.probing = False

    @invariant()
    def shows_what_a_question_would_meet(self) -> None:
        circuit = self.breaker.circuit(self.now)
        assert (circuit is Circuit.CLOSED) == (self.opened_at is None)
        if self.opened_at is not None:
            waits = self.now - self.opened_at < OPEN_S and not self.probing
            assert (circuit is Circuit.OPEN) == waits
        assert self.breaker.failed_in_a_row == self.in_a_row


TestBreakerLife = BreakerLife.TestCase
TestBreakerLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(
    tries=st.integers(1, 10),
    tried=st.integers(1, 1000),
    elapsed=st.floats(0, 100),
    chance=st.floats(0, 1),
    told=st.none() | st.floats(0, 1e6),
)
def test_a_pause_has_its_bounds_and_leaves_time_for_a_try(
    tries: int, tried: int, elapsed: float, chance: float, told: float | None
) -> None:
    budget = Budget(tries, 20.0, 8.0)
    pause = budget.pause(tried=tried, elapsed_s=elapsed, chance=chance, told_s=told)
    if tried >= tries:
        assert pause is None
    if pause is not None:
        assert FIRST_PAUSE_S / 2 <= pause <= max(LONGEST_PAUSE_S, told or 0)
        assert elapsed + pause < 20.0
        assert budget.time_for_try(elapsed + pause) > 0
        assert pause >= (told or 0)
