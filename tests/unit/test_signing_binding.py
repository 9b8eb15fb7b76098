"""What authentications are bound to, what previews are a digest of, and how acts of signing go on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cloud.errors import Reason, ServiceError
from cloud.pdf.fields import Kind
from cloud.pdf.marks import name_mark
from cloud.signatures.assets import Look, draw_picture, read_strokes
from cloud.signatures.binding import bind
from cloud.signatures.marks import Field, Plan, Signer, Stamp, show_time
from cloud.signatures.states import MACHINE, MAKING, OPEN, Event, State
from tests.support.signing import strokes
from verifield.v1 import coop_service_pb2

CONTRACT, PARTY = "0190a0a0-0000-7000-8000-000000000001", "0190a0a0-0000-7000-8000-000000000002"
DOCUMENT, CHALLENGE = hashlib.sha256(b"a document").digest(), bytes(range(16))


def test_anybody_with_the_document_can_work_out_what_was_signed() -> None:
    told = b"verifield sign v1\0" + CONTRACT.encode() + b"\0" + PARTY.encode() + b"\0" + DOCUMENT + CHALLENGE
    assert bind(CONTRACT, PARTY, DOCUMENT, CHALLENGE) == hashlib.sha256(told).digest()


def test_everything_that_is_bound_changes_what_is_signed() -> None:
    others = {
        bind(CONTRACT, PARTY, DOCUMENT, CHALLENGE),
        bind(PARTY, CONTRACT, DOCUMENT, CHALLENGE),
        bind(CONTRACT, CONTRACT, DOCUMENT, CHALLENGE),
        bind(CONTRACT, PARTY, bytes(32), CHALLENGE),
        bind(CONTRACT, PARTY, DOCUMENT, bytes(16)),
    }
    assert len(others) == 5


@pytest.mark.parametrize(
    ("document", "challenge"), [(b"", CHALLENGE), (DOCUMENT, b""), (DOCUMENT, bytes(32))]
)
def test_what_has_another_length_is_not_bound(document: bytes, challenge: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        bind(CONTRACT, PARTY, document, challenge)


def a_plan() -> Plan:
    return Plan(
        contract_id=CONTRACT,
        party_id=PARTY,
        document_sha256=DOCUMENT,
        signer=Signer("account", "欧阳·明"),
        fields=(
            Field("a", Kind.SIGNATURE, 1, 10.0, 10.0, 100.0, 40.0),
            Field("b", Kind.SEAL, 2, 10.0, 10.0, 100.0, 100.0),
            Field("c", Kind.SIGN_DATE, 2, 200.0, 10.0, 150.0, 20.0),
        ),
        look=Look("", b"look", name_mark("欧阳·明")),
        stamp=Stamp("seal", 1, b"png"),
        zone=ZoneInfo("Asia/Shanghai"),
    )


def test_a_preview_changes_with_everything_that_is_seen() -> None:
    plan = a_plan()
    changed = [
        replace(plan, document_sha256=bytes(32)),
        replace(plan, signer=replace(plan.signer, name="欧阳·月")),
        replace(plan, signer=replace(plan.signer, organisation="一家公司")),
        replace(plan, fields=plan.fields[:2]),
        replace(plan, fields=(replace(plan.fields[0], x=11.0), *plan.fields[1:])),
        replace(plan, look=replace(plan.look, digest=b"another")),
        replace(plan, stamp=Stamp("seal", 2, b"png")),
        replace(plan, stamp=Stamp("seal", 1, b"another png")),
        replace(plan, zone=ZoneInfo("Europe/Madrid")),
    ]
    assert len({one.preview_hash for one in [plan, *changed]}) == len(changed) + 1
    assert a_plan().preview_hash == plan.preview_hash
    assert plan.pages == [1, 2]


def test_a_date_is_shown_in_its_zone() -> None:
    at = datetime(2026, 3, 1, 16, 30, 5, tzinfo=UTC)
    assert show_time(at, ZoneInfo("Asia/Shanghai")) == "2026-03-02 00:30:05 +08:00"
    assert show_time(at, ZoneInfo("America/Lima")) == "2026-03-01 11:30:05 -05:00"


def test_a_drawing_of_nothing_is_refused() -> None:
    empty = coop_service_pb2.SignatureStrokes(width=300, height=100)
    dot = coop_service_pb2.SignatureStrokes(width=300, height=100)
    dot.strokes.add().points.add(x=10, y=10)
    again = coop_service_pb2.SignatureStrokes(width=300, height=100)
    again.strokes.add().points.extend(coop_service_pb2.SignaturePoint(x=10, y=10) for _ in range(50))
    for drawn in (empty, dot, again):
        with pytest.raises(ServiceError) as caught:
            read_strokes(drawn)
        assert caught.value.reason is Reason.SIGNATURE_EMPTY


def test_a_drawing_outside_of_its_pad_is_refused() -> None:
    drawn = strokes()
    drawn.width = 16
    with pytest.raises(ServiceError) as caught:
        read_strokes(drawn)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_the_same_strokes_make_the_same_picture() -> None:
    picture = draw_picture(read_strokes(strokes()))
    assert picture == draw_picture(read_strokes(strokes()))
    assert picture.startswith(b"\x89PNG")


def test_what_has_ended_stays_so() -> None:
    for state in set(State) - OPEN:
        assert not any(MACHINE.allows(state, event) for event in Event), state


def test_who_has_authenticated_has_nothing_more_to_do() -> None:
    persons = {Event.CHOOSE, Event.ASK_CODE, Event.MISS, Event.HAND_OUT, Event.AUTHENTICATE, Event.REPLACE}
    for state in MAKING:
        assert not any(MACHINE.allows(state, event) for event in persons | {Event.EXPIRE}), state
