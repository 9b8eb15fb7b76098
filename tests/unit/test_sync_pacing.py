from __future__ import annotations

import pytest

from edge.sync.pacing import (
    BACKOFF_CAP_S,
    BACKOFF_FIRST_S,
    FIRST_BATCH_BYTES,
    LARGEST_BATCH_BYTES,
    QUICK_S,
    SLOW_S,
    SMALLEST_BATCH_BYTES,
    BatchSize,
    backoff_s,
)
from edge.sync.uplink import MAX_BATCH_BYTES, SLOWEST_LINK_BYTES_PER_S


def test_delays_double_up_to_the_cap_and_never_vanish() -> None:
    for attempts in range(12):
        ceiling = min(BACKOFF_CAP_S, 2.0**attempts)
        assert backoff_s(attempts, 0.0) == BACKOFF_FIRST_S
        assert backoff_s(attempts, 1.0) == ceiling
        assert BACKOFF_FIRST_S <= backoff_s(attempts, 0.5) <= ceiling
    assert backoff_s(10**9, 1.0) == BACKOFF_CAP_S  # weeks offline overflow nothing


def test_on_a_fast_link_the_largest_batch_is_reached_within_ten_answers() -> None:
    size = BatchSize()
    for _ in range(10):
        size = size.after_answer(sent=size.limit, took_s=0.01)
    assert size.limit == LARGEST_BATCH_BYTES == MAX_BATCH_BYTES


def test_on_a_link_of_23_kbit_s_a_batch_settles_where_it_takes_seconds() -> None:
    size, took = BatchSize(), 0.0
    for _ in range(50):
        took = 1.5 + size.limit / (23_000 / 8)
        size = size.after_answer(sent=size.limit, took_s=took)
    assert QUICK_S <= took <= SLOW_S


def test_failures_shrink_it_down_to_a_batch_that_the_slowest_link_takes_in_a_second() -> None:
    size = BatchSize(LARGEST_BATCH_BYTES)
    for _ in range(30):
        size = size.after_failure()
    assert size.limit == SMALLEST_BATCH_BYTES <= SLOWEST_LINK_BYTES_PER_S


@pytest.mark.parametrize(
    ("sent", "took_s", "limit"),
    [
        (FIRST_BATCH_BYTES // 2, QUICK_S - 0.1, 2 * FIRST_BATCH_BYTES),
        (FIRST_BATCH_BYTES // 2 - 1, QUICK_S - 0.1, FIRST_BATCH_BYTES),  # says too little of the link
        (FIRST_BATCH_BYTES, QUICK_S, FIRST_BATCH_BYTES),
        (FIRST_BATCH_BYTES, SLOW_S, FIRST_BATCH_BYTES),
        (FIRST_BATCH_BYTES, SLOW_S + 0.1, FIRST_BATCH_BYTES // 2),
        (100, SLOW_S + 0.1, FIRST_BATCH_BYTES // 2),
    ],
)
def test_what_an_answer_says_of_the_link(sent: int, took_s: float, limit: int) -> None:
    assert BatchSize().after_answer(sent=sent, took_s=took_s).limit == limit
