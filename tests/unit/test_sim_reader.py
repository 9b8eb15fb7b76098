"""The simulated module: its phases, its order, its faults. The vectors say what its frames look like."""

from __future__ import annotations

import pytest

from tests.support.id_reader import frame
from verifield_sim.cards import Card
from verifield_sim.errors import SimError
from verifield_sim.frames import checksum, encode_reply
from verifield_sim.reader import (
    STAGE_S,
    Bytes,
    Lift,
    Phase,
    Place,
    ReaderModule,
    Tick,
    encode_sam_id,
)
from verifield_sim.reader_faults import ALWAYS, Content, Fault, FaultKind, FaultPlan, Target

SAM_ID = "05.03-20240115-0000123456-0987654321"
BASE = frame("rep_base_resident")
CARD = Card("resident", BASE[14:270], BASE[270:-1])
FIND, SELECT, READ = frame("req_find"), frame("req_select"), frame("req_read_base")


def module(*faults: Fault, card: bool = True) -> ReaderModule:
    made = ReaderModule(sam_id=SAM_ID, faults=faults, seed=3)
    if card:
        made.handle(Place(CARD), 0.0)
    return made


def ask(of: ReaderModule, request: bytes, now: float = 0.0) -> bytes:
    return b"".join(of.handle(Bytes(request), now))


def test_the_frames_of_a_whole_exchange_equal_the_vectors() -> None:
    device = module()
    exchange = {
        "req_status": "rep_ok",
        "req_maxrf_80": "rep_ok",
        "req_sam_id": "rep_sam_id",
        "req_find": "rep_find_ok",
        "req_select": "rep_select_ok",
        "req_read_base": "rep_base_resident",
    }
    assert {name: ask(device, frame(name)) for name in exchange} == {
        name: frame(answer) for name, answer in exchange.items()
    }
    assert device.phase is Phase.MUST_LIFT


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_requests_come_in_any_pieces_and_several_at_once(chunk: int) -> None:
    device, stream, replies = module(), b"\x00\xaa" + FIND + SELECT + READ, b""
    for start in range(0, len(stream), chunk):
        replies += ask(device, stream[start : start + chunk])
    assert replies == frame("rep_find_ok") + frame("rep_select_ok") + BASE


def test_after_a_read_the_card_is_found_again_only_when_it_was_lifted() -> None:
    device = module()
    for request in (FIND, SELECT, READ):
        ask(device, request)
    assert ask(device, FIND) == frame("rep_80")
    assert ask(device, frame("req_reset")) == frame("rep_ok")
    assert ask(device, FIND) == frame("rep_80")
    device.handle(Lift(), 1.0)
    assert ask(device, FIND) == frame("rep_80")
    device.handle(Place(CARD), 2.0)
    assert ask(device, FIND) == frame("rep_find_ok")


def test_out_of_sequence() -> None:
    device = module()
    assert ask(device, SELECT) == frame("rep_24")
    assert ask(device, READ) == frame("rep_24")
    ask(device, FIND)
    assert ask(device, READ) == frame("rep_24")


@pytest.mark.parametrize(("wait", "answer"), [(STAGE_S, "rep_select_ok"), (STAGE_S + 0.01, "rep_24")])
def test_a_stage_lasts_three_seconds(wait: float, answer: str) -> None:
    device = module()
    ask(device, FIND, 10.0)
    assert ask(device, SELECT, 10.0 + wait) == frame(answer)


def test_a_card_that_goes_away_in_between() -> None:
    device = module()
    assert ask(module(card=False), FIND) == frame("rep_80")
    ask(device, FIND)
    device.handle(Lift(), 0.0)
    assert ask(device, SELECT) == frame("rep_81")
    device.handle(Place(CARD), 0.0)
    ask(device, FIND)
    ask(device, SELECT)
    device.handle(Lift(), 0.0)
    assert ask(device, READ) == frame("rep_41")
    assert ask(device, FIND) == frame("rep_80")


def test_a_card_that_is_swapped_after_select_is_not_read() -> None:
    device = module()
    ask(device, FIND)
    ask(device, SELECT)
    device.handle(Place(Card("resident", bytes(256), bytes(1024))), 0.0)
    assert ask(device, READ) == frame("rep_24")


def test_bad_requests() -> None:
    device = module()
    assert ask(device, FIND[:-1] + b"\x23") == frame("rep_10")
    assert ask(device, FIND[:5] + b"\x00\x01\x01") == frame("rep_11")
    assert ask(device, frame("req_read_base_fp")) == frame("rep_21")
    assert ask(device, FIND[:5] + b"\x7f\xff" + FIND) == frame("rep_find_ok")


def test_a_delayed_reply_keeps_the_next_command_waiting() -> None:
    device = module(Fault(FaultKind.LATE, on=Target.FIND, delay_s=2.0))
    assert device.handle(Bytes(FIND), 0.0) == []
    assert device.handle(Bytes(frame("req_status")), 1.0) == []
    assert device.handle(Place(CARD), 1.5) == []
    assert device.handle(Tick(), 1.99) == []
    assert device.handle(Tick(), 2.0) == [frame("rep_find_ok"), frame("rep_ok")]


def read_with(fault: Fault) -> bytes:
    device = module(fault)
    assert ask(device, FIND) + ask(device, SELECT) == frame("rep_find_ok") + frame("rep_select_ok")
    return ask(device, READ)


def test_faults_do_what_they_say() -> None:
    assert read_with(Fault(FaultKind.SILENT)) == b""
    assert read_with(Fault(FaultKind.TRUNCATED, keep=20)) == BASE[:20]
    assert read_with(Fault(FaultKind.TRUNCATED, keep=9999)) == BASE[:-1]
    assert read_with(Fault(FaultKind.REMOVED)) == frame("rep_41")
    noisy = read_with(Fault(FaultKind.NOISE, noise_bytes=5))
    assert noisy[5:] == b"\xaa\xaa" + BASE
    wrong = read_with(Fault(FaultKind.CHECKSUM))
    assert wrong[:-1] == BASE[:-1]
    assert wrong[-1] != BASE[-1]
    assert read_with(Fault(FaultKind.NOISE)) == read_with(Fault(FaultKind.NOISE))  # seeded


def test_faults_strike_as_often_as_they_are_told() -> None:
    plan = FaultPlan(
        (
            Fault(FaultKind.SILENT, on=Target.FIND, times=2),
            Fault(FaultKind.NOISE, on=Target.ANY, times=ALWAYS),
        )
    )
    struck = [plan.strike(target) for target in (Target.FIND, Target.READ, Target.FIND, Target.FIND, None)]
    kinds = [fault.kind for fault in struck if fault]
    assert kinds == ["silent", "noise", "silent", "noise", "noise"]


def test_sam_id() -> None:
    assert encode_reply(0x90, encode_sam_id(SAM_ID)) == frame("rep_sam_id")
    for wrong in ("", "05.03", "05.03-1-2-x", "05.03-99999999999-1-1"):
        with pytest.raises(SimError):
            encode_sam_id(wrong)


def test_spoilt_replies() -> None:
    flipped = read_with(Fault(FaultKind.FLIP, offset=300, mask=0x10))
    assert [i for i in range(len(BASE)) if flipped[i] != BASE[i]] == [300]
    even = read_with(Fault(FaultKind.EVEN_FLIPS, offset=300, other=-2, mask=0x10))
    assert [i for i in range(len(BASE)) if even[i] != BASE[i]] == [300, len(BASE) - 2]
    assert checksum(even[5:]) == 0
    swapped = read_with(Fault(FaultKind.BYTES_SWAPPED, offset=14, other=15))
    assert (swapped[14], swapped[15], checksum(swapped[5:])) == (BASE[15], BASE[14], 0)
    assert read_with(Fault(FaultKind.LENGTH, length=3))[5:7] == b"\x00\x03"
    assert read_with(Fault(FaultKind.FALSE_PREAMBLE, length=0x090A)) == BASE[:5] + b"\x09\x0a" + BASE
    assert read_with(Fault(FaultKind.STATUS, status=0x33)) == frame("rep_33")
    assert read_with(Fault(FaultKind.DUPLICATE, copies=3)) == BASE * 3
    assert read_with(Fault(FaultKind.MISHEARD)) == frame("rep_10")
    assert read_with(Fault(FaultKind.DIALECT, offset=0))[0] == 0x02


@pytest.mark.parametrize("content", Content)
def test_wrong_content_has_a_right_checksum(content: Content) -> None:
    spoilt = read_with(Fault(FaultKind.CONTENT, content=content))
    assert len(spoilt) == len(BASE)
    assert checksum(spoilt[5:]) == 0
    assert spoilt != BASE


def test_a_reply_in_fragments() -> None:
    device = module(Fault(FaultKind.FRAGMENTED, chunk=500, gap_s=0.1))
    ask(device, FIND)
    ask(device, SELECT)
    assert ask(device, READ, 0.0) == BASE[:500]
    assert b"".join(device.handle(Tick(), 0.09)) == b""
    assert b"".join(device.handle(Tick(), 0.2)) == BASE[500:]


def test_a_busy_module_hears_a_reset_and_a_stuck_one_does_not() -> None:
    busy, stuck = module(Fault(FaultKind.BUSY)), module(Fault(FaultKind.STUCK))
    for device in (busy, stuck):
        assert ask(device, READ) == ask(device, FIND) == b""
    assert ask(busy, frame("req_reset")) == ask(busy, frame("req_status")) == frame("rep_ok")
    assert ask(stuck, frame("req_reset")) == b""
    stuck.power_on(1.0)
    assert ask(stuck, frame("req_status"), 1.0) == frame("rep_ok")


def test_cards_that_change_places() -> None:
    other = Card("resident", bytes(256), bytes(1024))
    for kind, answer in ((FaultKind.SWAPPED, frame("rep_24")), (FaultKind.SWAPPED_UNSEEN, None)):
        device = ReaderModule(sam_id=SAM_ID, faults=(Fault(kind),), spare=other)
        device.handle(Place(CARD), 0.0)
        ask(device, FIND)
        ask(device, SELECT)
        said = ask(device, READ)
        assert said == answer if answer else said[14:270] == other.text


def test_a_card_that_goes_away_while_it_is_read() -> None:
    device = module(Fault(FaultKind.REMOVED_HALFWAY, keep=600))
    ask(device, FIND)
    ask(device, SELECT)
    assert ask(device, READ) == BASE[:600]
    assert not device.card_present
    assert ask(device, FIND) == frame("rep_80")


def test_the_cable_comes_out_behind_so_many_bytes() -> None:
    device = module(Fault(FaultKind.UNPLUG, on=Target.FIND, keep=3, delay_s=2.0))
    assert ask(device, FIND) == frame("rep_find_ok")[:3]
    assert device.unplugged_s == 2.0
    assert ask(device, FIND) == b""
    device.power_on(2.0)
    assert device.unplugged_s is None
    assert ask(device, FIND, 2.0) == frame("rep_find_ok")


def test_every_so_manieth_command() -> None:
    plan = FaultPlan((Fault(FaultKind.SILENT, on=Target.FIND, times=ALWAYS, every=3),))
    struck = [plan.strike(Target.FIND) is not None for _ in range(7)]
    assert struck == [False, False, True, False, False, True, False]


def test_the_newest_address() -> None:
    newest = frame("rep_newaddr")[10:-1]
    moved = ReaderModule(sam_id=SAM_ID)
    moved.handle(Place(Card("resident", CARD.text, CARD.photo, newest)), 0.0)
    stayed = module()
    ask_address = frame("req_read_newaddr")
    assert ask(moved, ask_address) == frame("rep_24")
    for device in (moved, stayed):
        for request in (FIND, SELECT, READ):
            ask(device, request)
    assert ask(moved, ask_address) == frame("rep_newaddr")
    assert ask(stayed, ask_address) == frame("rep_91")
    moved.handle(Lift(), 0.0)
    assert ask(moved, ask_address) == frame("rep_41")
