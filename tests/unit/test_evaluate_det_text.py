"""The curve in characters shows what was measured, where it was measured."""

from __future__ import annotations

import numpy as np
import pytest

from edge.evaluation.det_text import HEIGHT, MEASURED, POLICY, WIDTH, det_lines
from edge.evaluation.statistics import Curve


def curve_of(fmr: list[float], fnmr: list[float]) -> Curve:
    return Curve(np.linspace(0.1, 0.9, len(fmr)), np.array(fmr), np.array(fnmr))


def body(lines: list[str]) -> list[str]:
    return [line.partition("|")[2].ljust(WIDTH) for line in lines[1 : 1 + HEIGHT]]


def test_a_curve_falls_from_the_upper_left_and_the_policy_stands_on_it() -> None:
    rates = list(np.logspace(-4, 0, 200))
    lines = det_lines(curve_of(rates[::-1], rates), 0.5)
    drawn = body(lines)
    assert len(lines) == HEIGHT + 3
    assert max(map(len, lines)) <= 80
    assert drawn[0][0] == drawn[-1][-1] == MEASURED
    columns = [line.index(mark) for line in drawn if (mark := MEASURED if MEASURED in line else POLICY)]
    assert columns == sorted(columns)
    (middle,) = [(row, line.index(POLICY)) for row, line in enumerate(drawn) if POLICY in line]
    assert middle[0] == pytest.approx(HEIGHT / 2, abs=1)
    assert middle[1] == pytest.approx(WIDTH / 2, abs=1)
    assert lines[1].strip().startswith("1e0")
    assert {"1e-4", "1e-2", "1e0"} <= set(lines[-1].split())


def test_rates_that_were_never_seen_are_not_drawn() -> None:
    assert len(det_lines(curve_of([1.0, 0.0], [0.0, 1.0]), 0.5)) == 1
    lines = det_lines(curve_of([1.0, 0.5, 0.0], [0.0, 0.5, 1.0]), 0.5)
    assert sum(line.count(POLICY) for line in body(lines)) == 1
    assert MEASURED not in "".join(body(lines))
