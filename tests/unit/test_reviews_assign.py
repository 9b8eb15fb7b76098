"""Who gets a task, and which decisions are looked at twice: pure functions, over anything."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.reviews.assign import Candidate, Wanted, choose, is_related, may_have
from cloud.reviews.blind import HIDDEN, masked
from cloud.reviews.marks import Marker
from cloud.reviews.sample import is_sampled
from cloud.reviews.states import MACHINE, TaskEvent, TaskState

KINDS, MARKS = (1, 2, 3), (b"a", b"b", b"c")

candidate = st.builds(
    Candidate,
    reviewer_id=st.uuids().map(str),
    skills=st.frozensets(st.sampled_from(KINDS)),
    load=st.integers(0, 8),
    capacity=st.integers(1, 6),
    last_us=st.integers(0, 3),
    marks=st.frozensets(st.sampled_from(MARKS), max_size=1),
    away=st.booleans(),
    suspended=st.booleans(),
)
crowd = st.lists(candidate, max_size=8, unique_by=lambda one: one.reviewer_id)


@given(crowd, st.sampled_from(KINDS), st.frozensets(st.sampled_from(MARKS)), st.data())
def test_whoever_is_chosen_may_have_it_and_nobody_suits_better(
    found: list[Candidate], kind: int, marks: frozenset[bytes], data: st.DataObject
) -> None:
    ids = [one.reviewer_id for one in found]
    barred = data.draw(st.frozensets(st.sampled_from(ids))) if ids else frozenset()
    wanted = Wanted(kind, marks, barred)
    able = {
        one.reviewer_id: one
        for one in found
        if kind in one.skills
        and not one.suspended
        and not one.away
        and one.load < one.capacity
        and not one.marks & marks
        and one.reviewer_id not in barred
    }
    chosen = choose(wanted, found)
    assert (chosen in able) if able else chosen is None
    if chosen is not None:
        best = able[chosen]
        assert may_have(wanted, best)
        assert not is_related(wanted, best)
        assert all(best.load * one.capacity <= one.load * best.capacity for one in able.values())
    # Who else stands there, and in which order, changes nothing.
    others = [one for one in found if one.reviewer_id in able]
    assert choose(wanted, reversed(others)) == chosen


@given(st.integers(2, 6), st.integers(0, 60))
def test_equal_reviewers_get_equal_shares(many: int, tasks: int) -> None:
    loads = dict.fromkeys((f"reviewer-{number}" for number in range(many)), 0)
    last = dict.fromkeys(loads, 0)
    for number in range(tasks):
        found = [
            Candidate(name, frozenset({1}), load, capacity=100, last_us=last[name])
            for name, load in loads.items()
        ]
        chosen = choose(Wanted(1), found)
        assert chosen is not None
        loads[chosen] += 1
        last[chosen] = number + 1
    assert max(loads.values()) - min(loads.values()) <= 1


@pytest.mark.parametrize("per_mille", [0, 1, 50, 333, 1000])
def test_over_many_tasks_the_share_of_second_reviews_is_the_one_that_is_set(per_mille: int) -> None:
    many = 40_000
    ids = [f"019c0000-0000-7000-8000-{number:012x}" for number in range(many)]
    chosen = {one for one in ids if is_sampled(b"k" * 32, one, per_mille=per_mille)}
    share = per_mille / 1000
    assert abs(len(chosen) - many * share) <= 4 * math.sqrt(many * share * (1 - share))
    # The same everywhere and ever, nested in higher rates, and unknown without the key.
    assert all(is_sampled(b"k" * 32, one, per_mille=min(1000, per_mille + 1)) for one in chosen)
    others = {one for one in ids if is_sampled(b"x" * 32, one, per_mille=per_mille)}
    assert (others == chosen) == (per_mille in (0, 1000))


def test_values_that_mean_the_same_have_the_same_mark_and_no_others() -> None:
    marker = Marker(b"s" * 32)
    assert marker.id_number("11010119900307123x") == marker.id_number(" 110101 19900307123Ｘ")
    assert marker.phone("138 0013 8000") == marker.phone("+86 13800138000") == marker.phone("008613800138000")
    assert marker.company("ACME (Beijing)  Ltd") == marker.company("acme （beijing） ltd")
    assert marker.phone("13800138000") != marker.id_number("13800138000")
    assert marker.phone("13800138000") != Marker(b"t" * 32).phone("13800138000")
    assert marker.phone("no number") == marker.phone("NO NUMBER") or marker.phone("no number")
    assert b"13800138000" not in marker.phone("13800138000")


def test_fields_on_the_list_are_masked_and_the_others_are_not() -> None:
    material = {
        "name": "欧阳小明",
        "id_number": "110101199003071233",
        "agent.phone": "13800138000",
        "email": "someone@example.org",
        "secret": "whatever",
        "empty": "",
        "company": "ACME",
    }
    shown = masked(material, {"name", "id_number", "phone", "email", "secret", "empty"})
    assert {one.name: one.value for one in shown} == {
        "name": "***明",
        "id_number": "110*************33",
        "agent.phone": "138****8000",
        "email": "s***@example.org",
        "secret": HIDDEN,
        "empty": "",
        "company": "ACME",
    }
    assert [one.name for one in shown if not one.masked] == ["company"]


def test_what_has_ended_stays_as_it_is_and_everything_ends() -> None:
    ended = {TaskState.DECIDED, TaskState.CLOSED}
    assert not any(state in ended for state, _ in MACHINE.table)
    reached = {TaskState.OPEN}
    for _ in TaskState:
        reached |= {after for (state, _), after in MACHINE.table.items() if state in reached}
    assert reached == set(TaskState)
    assert {event for _, event in MACHINE.table} == set(TaskEvent)
