"""The simulated module: its phases, its order, its faults. The vectors say what its frames look like."""

from __future__ import annotations

import pytest

from tests.support.id_reader import frame
from verifield_sim.cards import Card
from verifield_sim.errors import SimError
from verifield_sim.reader import (
    STAGE_S,
    Bytes,
    Lift,
    Phase,
    Place,
    ReaderModule,
    Tick,
    encode_reply,
    encode_sam_id,
)
from verifield_sim.reader_faults import ALWAYS, Fault, FaultKind, FaultPlan, Target

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
