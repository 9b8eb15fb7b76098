"""The framing: the computed frames, any chunking, noise, false preambles, every kind of damage."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.reader.link import (
    LEGAL_LENGTHS,
    MAX_FRAME_BYTES,
    PREAMBLE,
    QUIET_GAP_S,
    LinkParser,
    Reply,
    encode_command,
)
from edge.reader.status import FAILURES, SUCCESSES
from tests.support.id_reader import frame, vectors

REPLIES = sorted(name for name in vectors() if name.startswith("rep_"))
REQUESTS = sorted(name for name in vectors() if name.startswith("req_"))


def parse(data: bytes, *, chunk: int) -> list[Reply]:
    parser = LinkParser()
    replies = []
    for start in range(0, len(data), chunk):
        replies += parser.feed(data[start : start + chunk], 0.0)
    return replies + parser.tick(QUIET_GAP_S)


@pytest.mark.req("E030")
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_equal_the_vectors(name: str) -> None:
    expected = frame(name)
    assert encode_command(expected[7], expected[8], expected[9:-1]) == expected


@pytest.mark.req("E030")
@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("chunk", [1, 2, 16, 5000])
def test_replies_of_the_vectors_are_found_whole_and_byte_by_byte(name: str, chunk: int) -> None:
    data = frame(name)
    (reply,) = parse(data, chunk=chunk)
    assert (reply.sw1, reply.sw2, reply.status) == (data[7], data[8], data[9])
    assert reply.data == data[10:-1]


def test_every_status_of_the_vectors_has_a_meaning() -> None:
    codes = {int(name[4:], 16) for name in REPLIES if re.fullmatch("rep_[0-9A-F]{2}", name)}
    assert codes <= set(FAILURES) | SUCCESSES


@given(
    names=st.lists(st.sampled_from(REPLIES), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=12),
)
def test_chunking_changes_nothing(names: list[str], cuts: list[int]) -> None:
    stream = b"".join(frame(name) for name in names)
    parser, replies, start = LinkParser(), [], 0
    while start < len(stream):
        size = cuts[(start * 7 + len(replies)) % len(cuts)]
        replies += parser.feed(stream[start : start + size], 0.0)
        start += size
    assert replies == parse(stream, chunk=len(stream))
    assert [reply.data for reply in replies] == [frame(name)[10:-1] for name in names]
    assert parser.dropped == 0


noise = st.binary(max_size=60) | st.sampled_from(
    [PREAMBLE, PREAMBLE + b"\x05", PREAMBLE + b"\x09\x0a", b"\xaa\xaa", PREAMBLE + b"\xff\xff", b"\xaa" * 9]
)


@given(before=noise, name=st.sampled_from(REPLIES), chunk=st.integers(1, 3000))
def test_a_frame_after_noise_is_found_at_the_latest_after_the_quiet_gap(
    before: bytes, name: str, chunk: int
) -> None:
    replies = parse(before + frame(name), chunk=chunk)
    assert replies
    assert replies[-1].data == frame(name)[10:-1]


@pytest.mark.req("E030")
@given(data=st.binary(max_size=3000), chunk=st.integers(1, 700))
def test_any_bytes_in_any_pieces_give_equal_results_and_leave_nothing_behind(data: bytes, chunk: int) -> None:
    parser, pieces = LinkParser(), []
    for start in range(0, len(data), chunk):
        pieces += parser.feed(data[start : start + chunk], 0.0)
    pieces += parser.tick(QUIET_GAP_S)
    assert pieces == parse(data, chunk=max(1, len(data)))
    assert parser.dropped == len(data) - sum(11 + len(reply.data) for reply in pieces)


def test_a_false_preamble_with_a_longer_legal_length_costs_one_quiet_gap() -> None:
    parser = LinkParser()
    good = frame("rep_base_resident")
    assert parser.feed(PREAMBLE + b"\x09\x0a" + good, 0.0) == []
    assert parser.tick(QUIET_GAP_S - 0.001) == []
    (reply,) = parser.tick(QUIET_GAP_S)
    assert reply.data == good[10:-1]


@pytest.mark.parametrize("length", sorted({0, 3, 5, 1287, 1289, 2315, 0xFFFF} - LEGAL_LENGTHS))
def test_an_illegal_length_is_rejected_at_once(length: int) -> None:
    parser = LinkParser()
    (reply,) = parser.feed(PREAMBLE + length.to_bytes(2, "big") + frame("rep_ok"), 0.0)
    assert reply.status == 0x90
    assert parser.dropped == len(PREAMBLE) + 2


@given(position=st.integers(5, 1294), flip=st.integers(1, 255))
def test_one_damaged_byte_never_gives_that_frame(position: int, flip: int) -> None:
    data = bytearray(frame("rep_base_resident"))
    data[position] ^= flip
    assert parse(bytes(data), chunk=5000) == []


def test_a_truncated_frame_is_forgotten_after_the_gap() -> None:
    parser = LinkParser()
    assert parser.feed(frame("rep_base_resident")[:700], 0.0) == []
    assert parser.tick(QUIET_GAP_S) == []
    assert parser.dropped == 700
    assert len(parser.feed(frame("rep_ok"), 1.0)) == 1


def test_clear_forgets_half_a_frame() -> None:
    parser = LinkParser()
    parser.feed(frame("rep_base_resident")[:1294], 0.0)
    parser.clear()
    assert parser.feed(frame("rep_base_resident")[1294:], 0.0) == []


def test_what_waits_for_the_rest_of_a_frame_is_bounded() -> None:
    parser = LinkParser()
    for _ in range(20):
        parser.feed(PREAMBLE * 50, 0.0)
        assert len(parser._pending) <= MAX_FRAME_BYTES


def test_repr_tells_no_data_and_wipe_leaves_none() -> None:
    (reply,) = LinkParser().feed(frame("rep_base_resident"), 0.0)
    assert repr(reply) == "Reply(00 00 90 + 1284 bytes)"
    reply.wipe()
    assert not any(reply.data)
