"""Which places need a GAP: the rule against a slow and obvious one, and its corners."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.model import Hole
from edge.outbox.holes import Places, find_holes
from edge.outbox.records import HoleReason
from verifield.chain import ChainHead

TOP = 12
HEAD = ChainHead(3, TOP, b"h" * 32)


def digest(seq: int) -> bytes:
    """Of the record at ``seq``."""
    return HEAD.sha256 if seq == TOP else bytes([seq]) * 32


def holes_of(
    intact: set[int],
    *,
    damaged: frozenset[int] = frozenset(),
    excused: tuple[tuple[int, int], ...] = (),
    after: int = 0,
    confirmed: int = 0,
) -> list[Hole]:
    places = Places(HEAD, sorted(intact), damaged, excused, confirmed)
    return list(find_holes(places, after_seq=after, previous_of=lambda seq: digest(seq - 1)))


def test_a_whole_chain_has_none() -> None:
    assert holes_of(set(range(1, TOP + 1))) == []
    assert holes_of(set(range(5, TOP + 1)), after=4) == []


def test_reasons_and_digests() -> None:
    rest = set(range(1, TOP + 1))
    assert holes_of(rest - {3, 4}) == [Hole(3, 3, 4, digest(4), HoleReason.LOST)]
    assert holes_of(rest - {3, 4}, confirmed=4) == [Hole(3, 3, 4, digest(4), HoleReason.PURGED)]
    assert holes_of(rest - {3, 4}, confirmed=3) == [Hole(3, 3, 4, digest(4), HoleReason.LOST)]
    assert holes_of(rest, damaged=frozenset({5})) == [Hole(3, 5, 5, digest(5), HoleReason.DAMAGED)]
    assert holes_of(rest - {6}, damaged=frozenset({5})) == [Hole(3, 5, 6, digest(6), HoleReason.DAMAGED)]


def test_the_newest_places_may_be_lost_too() -> None:
    assert holes_of({1, 2}) == [Hole(3, 3, TOP, HEAD.sha256, HoleReason.LOST)]
    assert holes_of(set()) == [Hole(3, 1, TOP, HEAD.sha256, HoleReason.LOST)]


def test_a_hole_before_an_excused_one_covers_it_as_well() -> None:
    """The digest at 4 is lost with its successor: only that at 6 is still known."""
    rest = set(range(1, TOP + 1)) - {4, 5, 6}
    assert holes_of(rest, excused=((5, 6),)) == [Hole(3, 4, 6, digest(6), HoleReason.LOST)]
    assert holes_of(rest, excused=((4, 6),)) == []
    assert holes_of(rest, excused=((4, 5),)) == [Hole(3, 6, 6, digest(6), HoleReason.LOST)]


def test_a_hole_whose_end_nobody_knows_waits() -> None:
    places = Places(HEAD, [1, 2, 5], frozenset(), (), 0)
    found = list(find_holes(places, after_seq=0, previous_of=lambda _seq: None))
    assert found == [Hole(3, 6, TOP, HEAD.sha256, HoleReason.LOST)]


seqs = st.sets(st.integers(1, TOP))
spans = st.tuples(st.integers(1, TOP), st.integers(1, TOP)).map(lambda pair: (min(pair), max(pair)))


@given(seqs, seqs, st.lists(spans, max_size=3), st.integers(0, TOP))
def test_giving_up_the_holes_leaves_none(
    intact: set[int], damaged: set[int], excused: list[tuple[int, int]], after: int
) -> None:
    found = holes_of(intact, damaged=frozenset(damaged), excused=tuple(excused), after=after)
    given_up = [*excused, *((hole.first_seq, hole.last_seq) for hole in found)]
    assert holes_of(intact, damaged=frozenset(damaged), excused=tuple(given_up), after=after) == []
    missing = set(range(after + 1, TOP + 1)) - (intact - damaged)
    covered = {seq for first, last in given_up for seq in range(first, last + 1)}
    assert missing <= covered
    for hole in found:
        assert set(range(hole.first_seq, hole.last_seq + 1)) <= missing
        assert hole.last_sha256 == digest(hole.last_seq)
        assert hole.last_seq == TOP or hole.last_seq + 1 in intact - damaged
