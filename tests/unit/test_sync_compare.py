from __future__ import annotations

import pytest

from edge.model import Hole, Position, ResetReason
from edge.sync.compare import Bury, Judgement, Mend, NewEpoch, Send, judge_chains
from edge.sync.events import CloudChain, LocalChain, Span
from verifield.chain import ChainHead

HASH = b"h" * 32
OTHER = b"o" * 32


def at(seq: int, epoch: int = 1) -> Position:
    return Position(epoch, seq)


def head(seq: int, epoch: int = 1, sha256: bytes = HASH) -> ChainHead:
    return ChainHead(epoch, seq, sha256)


def cloud(
    seq: int,
    *,
    epoch: int = 1,
    sha256: bytes = HASH,
    newest: int = 0,
    missing: tuple[tuple[int, int], ...] = (),
) -> CloudChain:
    return CloudChain(head(seq, epoch, sha256) if seq else None, max(seq, newest), missing)


def local(seq: int, *, epoch: int = 1, **more: object) -> LocalChain:
    values: dict[str, object] = {
        "sha256_at_cloud": HASH,
        "pending": at(seq, epoch),
        "pending_here": at(seq, epoch),
    }
    return LocalChain(head(seq, epoch), **(values | more))  # type: ignore[arg-type]


def judge(
    cloud_side: CloudChain, local_side: LocalChain, *, forked: bool = False, sweep: bool = False
) -> Judgement:
    return judge_chains(cloud_side, local_side, forked=forked, sweep=sweep)


def hole(first: int, last: int) -> Hole:
    return Hole(1, first, last, HASH, "LOST")


@pytest.mark.parametrize(
    ("cloud_side", "local_side", "spans"),
    [
        (cloud(0), LocalChain(None), ()),
        (cloud(0), local(5), (Span(at(0)),)),
        (cloud(2), local(5), (Span(at(1), at(2)), Span(at(2)))),  # its newest again, for the lost receipt
        (cloud(2), local(5, sha256_at_cloud=None), (Span(at(2)),)),  # which is broken here
        (cloud(2), local(5, confirmed=at(2)), (Span(at(2)),)),
        (cloud(5), local(5, confirmed=at(5)), (Span(at(5)),)),
        (
            cloud(2, newest=8, missing=((3, 4), (6, 6))),
            local(9, confirmed=at(2)),
            (Span(at(2), at(4)), Span(at(5), at(6)), Span(at(8))),
        ),
        (
            cloud(3, epoch=2),
            local(4, epoch=2, confirmed=at(3, 2), pending=at(7)),
            (Span(at(3, 2)), Span(at(6), at(0, 2))),  # at last what is left over from before the RESET
        ),
    ],
)
def test_what_is_sent_where_both_agree(
    cloud_side: CloudChain, local_side: LocalChain, spans: tuple[Span, ...]
) -> None:
    assert judge(cloud_side, local_side) == Send(spans)


def test_a_cloud_that_lost_what_its_receipts_cover_is_sent_it_again() -> None:
    assert judge(cloud(2), local(5, confirmed=at(4))) == Send((Span(at(2)),), lost=True)


def test_a_cloud_that_keeps_all_and_waits_for_none_keeps_back() -> None:
    assert judge(cloud(2, newest=5), local(5, confirmed=at(2))) == Send((Span(at(5)),), held_back=True)


@pytest.mark.parametrize(
    ("cloud_side", "local_side", "forked", "reason"),
    [
        (cloud(1), LocalChain(None), False, ResetReason.STORE_LOST),
        (cloud(6), local(5, sha256_at_cloud=None), False, ResetReason.STORE_BEHIND),
        (cloud(3, newest=6), local(5), False, ResetReason.STORE_BEHIND),
        (cloud(1, epoch=2), local(5, sha256_at_cloud=None), False, ResetReason.STORE_BEHIND),
        (cloud(5, sha256=OTHER), local(5), False, ResetReason.FORK),
        (cloud(3, sha256=OTHER), local(5), False, ResetReason.FORK),
        (cloud(3), local(5), True, ResetReason.FORK),  # it has said so of a record
        (cloud(3), local(5, reset_needed=ResetReason.COUNTER_AHEAD), False, ResetReason.COUNTER_AHEAD),
    ],
)
def test_chains_that_contradict_each_other_begin_a_new_epoch(
    cloud_side: CloudChain, local_side: LocalChain, forked: bool, reason: ResetReason
) -> None:
    assert judge(cloud_side, local_side, forked=forked) == NewEpoch(reason)


@pytest.mark.parametrize(
    ("cloud_side", "holes", "given_up"),
    [
        (cloud(0), (hole(1, 3),), (hole(1, 3),)),
        (cloud(2), (hole(4, 5),), (hole(4, 5),)),
        (cloud(4), (hole(2, 5),), (hole(5, 5),)),  # what it has in its chain needs no excuse
        (cloud(5), (hole(4, 5),), ()),
        (cloud(2, newest=8, missing=((6, 6),)), (hole(4, 4),), ()),  # it holds a copy of what broke here
        (cloud(2, newest=8, missing=((5, 6),)), (hole(4, 6),), (hole(5, 6),)),
        (cloud(2, newest=8, missing=((3, 3),)), (hole(3, 3), hole(9, 9)), (hole(3, 3), hole(9, 9))),
    ],
)
def test_what_the_cloud_waits_for_and_we_lack_is_given_up(
    cloud_side: CloudChain, holes: tuple[Hole, ...], given_up: tuple[Hole, ...]
) -> None:
    judgement = judge(cloud_side, local(10, confirmed=at(2), holes=holes))
    if given_up:
        assert judgement == Mend(given_up)
    else:
        assert isinstance(judgement, Send)


def test_a_refused_record_without_its_tombstone_gets_it() -> None:
    assert judge(cloud(2), local(5, refused=((at(3), "STATEMENT"),))) == Bury(at(3), "STATEMENT")


class TestResetOnItsWay:
    """We are in epoch 2, the cloud in 1; our RESET cites its record 10."""

    @staticmethod
    def after_reset(**more: object) -> LocalChain:
        return local(4, epoch=2, cited=head(10), **more)

    def test_it_is_sent_with_what_the_cloud_has_not_answered(self) -> None:
        chain = self.after_reset(pending_here=at(1, 2))
        assert judge(cloud(10), chain) == Send((Span(at(0, 2)),), held_back=True)

    def test_what_is_held_back_there_is_not_sent_again(self) -> None:
        assert judge(cloud(10), self.after_reset(pending_here=None)) == Send((), held_back=True)

    def test_what_is_left_of_epochs_that_are_closed_there_goes_in_any_case(self) -> None:
        chain = local(4, epoch=3, cited=head(10, 2), pending=at(7), pending_here=None)
        expected = Send((Span(at(6), at(0, 2)),), held_back=True)
        assert judge(cloud(10, epoch=2), chain) == expected

    def test_but_now_and_then_all_of_it_is(self) -> None:
        chain = self.after_reset(pending_here=None)
        assert judge(cloud(10), chain, sweep=True) == Send((Span(at(10)),), held_back=True)

    def test_its_holes_are_given_up(self) -> None:
        lost = Hole(2, 3, 3, HASH, "DAMAGED")
        assert judge(cloud(10), self.after_reset(holes=(lost,))) == Mend((lost,))

    def test_a_cloud_restored_to_before_is_given_the_way_to_it(self) -> None:
        assert judge(cloud(7), self.after_reset(reaches_cited=True)) == Send((Span(at(7)),), lost=True)
        assert judge(cloud(0), self.after_reset(reaches_cited=True)) == Send((Span(at(0)),), lost=True)

    @pytest.mark.parametrize(
        ("cloud_side", "more", "forked"),
        [
            (cloud(7), {}, False),  # what lies between is no longer here
            (cloud(12), {}, False),  # somebody else went on
            (cloud(10, sha256=OTHER), {}, False),
            (cloud(7, sha256=OTHER), {"reaches_cited": True}, False),
            (cloud(10), {"reset_here": False}, False),  # broken, or refused
            (cloud(10), {}, True),
        ],
    )
    def test_a_reset_that_can_never_be_taken_is_followed_by_another(
        self, cloud_side: CloudChain, more: dict[str, object], forked: bool
    ) -> None:
        assert judge(cloud_side, self.after_reset(**more), forked=forked) == NewEpoch(ResetReason.FORK)

    def test_a_reset_that_cites_nothing_suits_a_cloud_that_has_nothing(self) -> None:
        chain = local(4, epoch=2, cited=None, pending_here=at(1, 2))
        assert judge(cloud(0), chain) == Send((Span(at(0, 2)),), held_back=True)
