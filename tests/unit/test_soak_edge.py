"""The soak of an appliance finds what grows, and nothing else."""

from __future__ import annotations

import pytest

from benchmarks.soak_edge import MAX_GROWTH_MIB, WARM_SESSIONS, Held, judge


def sessions(count: int, **growth: float) -> list[Held]:
    """Of 100 MiB and 7 of everything else, with so much more in each session."""

    def value(name: str, start: float, number: int) -> float:
        return start + growth.get(name, 0.0) * number

    return [
        Held(
            at_s=10.0 * number,
            outcome="VERIFIED",
            rss_mib=value("rss_mib", 100, number) + number % 3,
            threads=int(value("threads", 7, number)),
            files=int(value("files", 7, number)) + number % 2,
            sockets=int(value("sockets", 7, number)),
        )
        for number in range(count)
    ]


def failed(held: list[Held], hours: float = 1.0) -> set[str]:
    return {one.what for one in judge(held, hours=hours) if not one.holds}


def test_a_process_that_breathes_holds() -> None:
    assert failed(sessions(60)) == set()
    assert failed(sessions(WARM_SESSIONS + 1)) == set()


@pytest.mark.parametrize(
    ("growth", "what"),
    [
        ({"rss_mib": 1.0}, "resident MiB"),
        ({"threads": 0.1}, "threads"),
        ({"files": 0.1}, "open files"),
        ({"sockets": 0.1}, "sockets"),
    ],
)
def test_what_leaks_is_found(growth: dict[str, float], what: str) -> None:
    assert failed(sessions(60, **growth)) == {what}


def test_hours_allow_a_little_more() -> None:
    slow = sessions(60, rss_mib=(MAX_GROWTH_MIB + 4) / 50)
    assert failed(slow, hours=1) == {"resident MiB"}
    assert failed(slow, hours=8) == set()
