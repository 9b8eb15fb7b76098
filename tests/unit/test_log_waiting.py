"""The list of works that wait: bounded, one of each key in a group, nobody overtaken."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.log.entry import Entry, Waiting, WaitingList


def work(key: str, *, apart: bool = False) -> Waiting[None]:
    return Waiting(lambda _: Entry([], lambda *_: None), key, 0.0, apart=apart)


def keys(group: list[Waiting[None]]) -> list[str]:
    return [one.key for one in group]


def test_a_group_has_the_oldest_works_in_order_of_keys() -> None:
    waiting = WaitingList(10)
    for key in "dcba":
        assert waiting.add(work(key))
    assert keys(waiting.take_group(3)) == ["b", "c", "d"]
    assert keys(waiting.take_group(3)) == ["a"]
    assert waiting.take_group(3) == []


def test_works_of_one_key_have_groups_of_their_own_in_order() -> None:
    waiting = WaitingList(10)
    works = [work(key) for key in ("a", "b", "a", "a", "c")]
    for one in works:
        waiting.add(one)
    assert waiting.take_group(9) == [works[0], works[1], works[4]]
    assert waiting.take_group(9) == [works[2]]
    assert waiting.take_group(9) == [works[3]]


def test_it_takes_so_many_and_no_more() -> None:
    waiting = WaitingList(2)
    assert waiting.add(work("a"))
    assert waiting.add(work("b"))
    assert not waiting.add(work("c"))
    waiting.take_group(1)
    assert waiting.add(work("c"))
    assert len(waiting) == 2


def test_works_whose_callers_have_gone_are_dropped() -> None:
    waiting = WaitingList(5)
    gone, stays = work("a"), work("a")
    waiting.add(gone)
    waiting.add(stays)
    assert gone.answer.cancel()
    assert waiting.take_group(5) == [stays]
    assert not stays.answer.cancel(), "its answer will be given"


def test_what_a_group_left_over_comes_before_all_others() -> None:
    waiting = WaitingList(9)
    first = [work(key) for key in "xyz"]
    for one in first:
        waiting.add(one)
    group = waiting.take_group(9)
    for key in "abx":
        waiting.add(work(key))
    waiting.put_back(group[1:])
    assert keys(waiting.take_group(9)) == ["y", "z"]
    assert keys(waiting.take_group(9)) == ["a", "b", "x"]


def test_a_work_apart_is_alone() -> None:
    waiting = WaitingList(9)
    works = [work("a"), work("b", apart=True), work("c"), work("d")]
    waiting.put_back(works)
    assert waiting.take_group(9) == works[:1]
    assert waiting.take_group(9) == works[1:2]
    assert waiting.take_group(9) == works[2:]


def test_everything_is_handed_over_at_the_end() -> None:
    waiting = WaitingList(9)
    works = [work("a"), work("b")]
    waiting.add(works[1])
    waiting.put_back(works[:1])
    assert waiting.take_all() == works
    assert len(waiting) == 0


@settings(suppress_health_check=[HealthCheck.too_slow])  # so it is where other programs run beside
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40),
    st.integers(1, 7),
    st.data(),
)
def test_every_work_has_its_turn_and_keys_keep_their_order(
    given_works: list[tuple[str, bool]], most: int, data: st.DataObject
) -> None:
    waiting = WaitingList(1000)
    works = [work(key, apart=apart) for key, apart in given_works]
    coming, done = list(works), []
    while coming or len(waiting):
        for _ in range(data.draw(st.integers(0, 5))):
            if coming:
                waiting.add(coming.pop(0))
        group = waiting.take_group(most)
        assert len(group) <= most
        assert keys(group) == sorted(set(keys(group)))
        assert len(group) == 1 or not any(one.apart for one in group)
        ran = data.draw(st.integers(1, len(group))) if group else 0
        done += group[:ran]
        waiting.put_back(group[ran:])
    assert set(done) == set(works)
    assert len(done) == len(works)
    for key in "abcdef":
        assert [one for one in done if one.key == key] == [one for one in works if one.key == key]
