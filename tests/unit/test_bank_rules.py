"""The pure rules of bank verification: steps, signatures, periods, items, cards, names."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cloud.authorities.port import Item, ItemName, ItemResult
from cloud.bank import items
from cloud.bank.cards import elements_of, other_of, parse_card
from cloud.bank.customers import parse_organisation
from cloud.bank.notices import NOTICE, PROMPT
from cloud.bank.periods import end_of, is_period
from cloud.bank.signature import check_image, check_strokes, strokes_sha256
from cloud.bank.states import MACHINE, MISSING, OPEN, Event, State, after
from cloud.bank.views import state_of
from cloud.bank.words import WORDS, show_period
from cloud.errors import Reason, ServiceError
from cloud.sources import from_us, to_us
from cloud.store import bank as rows
from tests.support.bank import card_of, customer_person, picture_of, strokes
from verifield.v1 import bank_pb2
from verifield.v1 import coop_service_pb2 as pb

TODAY = date(2026, 11, 22)


def test_states_and_texts_are_those_of_the_contract() -> None:
    names = {value.name.removeprefix("COOP_STATE_") for value in pb.CoopState.DESCRIPTOR.values}
    assert {state.name for state in State} == names - {"UNSPECIFIED"}
    assert set(MISSING) == set(OPEN)
    assert tuple(state.value for state in OPEN) == rows.OPEN
    assert {state.value for state in State} - set(rows.OPEN) == set(rows.ENDED)
    assert set(NOTICE) == set(PROMPT) == set(WORDS) == {"zh", "en", "es"}
    assert len({frozenset(words) for words in WORDS.values()}) == 1


@pytest.mark.parametrize(
    ("state", "event", "reason"),
    [
        (State.CARD_READ, Event.ACCEPT_FACE, Reason.CARD_REQUIRED),
        (State.CARD_READ, Event.ISSUE, Reason.CARD_REQUIRED),
        (State.CARD_ACCEPTED, Event.SHOW_DETAILS, Reason.FACE_REQUIRED),
        (State.CARD_ACCEPTED, Event.ACCEPT_CARD, Reason.STEP_DONE),
        (State.RECORDS_SHOWN, Event.COMPLETE_INFO, Reason.DECISION_REQUIRED),
        (State.CUSTOMER_INFO, Event.COMPLETE_INFO, Reason.CUSTOMER_UNCONFIRMED),
        (State.CUSTOMER_INFO, Event.EXIT, Reason.STEP_DONE),
        (State.COMPLETION, Event.SIGN, Reason.NOTICES_UNCONFIRMED),
        (State.SIGNED, Event.SIGN, Reason.STEP_DONE),
        (State.SIGNED, Event.DOWNLOAD, Reason.REQUEST_REQUIRED),
        (State.EXITED, Event.CONTINUE, Reason.COOP_SESSION_ENDED),
        (State.NOT_PASSED, Event.ACCEPT_FACE, Reason.COOP_SESSION_ENDED),
        (State.REQUEST_ISSUED, Event.ISSUE, Reason.COOP_SESSION_ENDED),
    ],
)
def test_a_refusal_says_what_is_missing(state: State, event: Event, reason: Reason) -> None:
    with pytest.raises(ServiceError) as refused:
        after(state, event)
    assert refused.value.reason is reason
    assert refused.value.metadata == {"state": state.name, "event": event.name}


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_no_order_of_events_skips_a_step(events: list[Event]) -> None:
    """A request is issued only behind every step, each once, in their order."""
    state, done = State.CARD_READ, []
    for event in events:
        if MACHINE.allows(state, event):
            moved = after(state, event)
            if moved is not state:
                done.append(moved)
            state = moved
    if State.REQUEST_ISSUED in done:
        assert done == [*OPEN[1:], State.REQUEST_ISSUED]


def _one_dot() -> pb.SignatureStrokes:
    made = pb.SignatureStrokes(width=600, height=200)
    made.strokes.add().points.add(x=300, y=100)
    return made


def _scribble() -> pb.SignatureStrokes:
    """Long enough, but all in one place."""
    made = pb.SignatureStrokes(width=600, height=200)
    points = made.strokes.add().points
    for index in range(200):
        points.add(x=300 + index % 2, y=100 + index // 2 % 2, time_ms=index)
    return made


def _changed(change: Callable[[pb.SignatureStrokes], object]) -> pb.SignatureStrokes:
    made = strokes()
    change(made)
    return made


def _resting_pen() -> pb.SignatureStrokes:
    made = pb.SignatureStrokes(width=600, height=200)
    points = made.strokes.add().points
    for index in range(50):
        points.add(x=300, y=100, time_ms=index)
    return made


@pytest.mark.parametrize(
    ("given_strokes", "reason"),
    [
        (pb.SignatureStrokes(width=600, height=200), Reason.SIGNATURE_EMPTY),
        (_one_dot(), Reason.SIGNATURE_EMPTY),
        (_resting_pen(), Reason.SIGNATURE_EMPTY),
        (_scribble(), Reason.SIGNATURE_EMPTY),
        (
            _changed(lambda made: made.strokes[0].points.add(x=601, y=1, time_ms=999)),
            Reason.SIGNATURE_INVALID,
        ),
        (_changed(lambda made: made.strokes[1].points.add(x=1, y=1, time_ms=0)), Reason.SIGNATURE_INVALID),
        (
            _changed(lambda made: [made.strokes[1].points.add(x=1, y=1, time_ms=999) for _ in range(20_001)]),
            Reason.SIGNATURE_INVALID,
        ),
    ],
)
def test_what_is_no_signature_is_refused(given_strokes: pb.SignatureStrokes, reason: Reason) -> None:
    with pytest.raises(ServiceError) as refused:
        check_strokes(given_strokes)
    assert refused.value.reason is reason


def test_a_signature_is_taken_on_clear_and_white_ground_and_at_another_size() -> None:
    written = strokes()
    check_strokes(written)
    for clear in (True, False):
        check_image(picture_of(written, clear=clear), written)
    check_image(picture_of(strokes(width=300, height=100)), written)
    assert len(strokes_sha256(written)) == 32
    assert strokes_sha256(written) != strokes_sha256(_one_dot())


def _plain(colour: str, size: tuple[int, int] = (600, 200), kind: str = "PNG") -> bytes:
    output = io.BytesIO()
    Image.new("RGB", size, colour).save(output, kind)
    return output.getvalue()


def _mirrored() -> bytes:
    output = io.BytesIO()
    picture = Image.open(io.BytesIO(picture_of(strokes())))
    picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        output, "PNG"
    )
    return output.getvalue()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (_plain("white"), Reason.SIGNATURE_EMPTY),
        (_plain("black"), Reason.SIGNATURE_INVALID),
        (_plain("white", kind="JPEG"), Reason.SIGNATURE_INVALID),
        (_plain("white", size=(20, 20)), Reason.SIGNATURE_INVALID),
        (_plain("white", size=(2000, 1001)), Reason.SIGNATURE_INVALID),
        (picture_of(strokes())[:300], Reason.SIGNATURE_INVALID),
        (b"", Reason.SIGNATURE_INVALID),
        (_mirrored(), Reason.SIGNATURE_INVALID),  # ink, but not of these strokes
    ],
)
def test_a_blank_or_foreign_picture_is_refused(image: bytes, reason: Reason) -> None:
    with pytest.raises(ServiceError) as refused:
        check_image(image, strokes())
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("begin", "period", "end"),
    [
        (datetime(2026, 11, 22, 9, 30, 1, 5, UTC), "P90D", datetime(2027, 2, 20, 9, 30, 1, 5, UTC)),
        (datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC), "P6M", datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC)),
        (datetime(2027, 8, 31, tzinfo=UTC), "P6M", datetime(2028, 2, 29, tzinfo=UTC)),
        (datetime(2028, 2, 29, tzinfo=UTC), "P1Y", datetime(2029, 2, 28, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), "P1M", datetime(2027, 1, 31, tzinfo=UTC)),
        (datetime(2026, 1, 1, tzinfo=UTC), "P10Y", datetime(2036, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_period_ends_at_one_instant(begin: datetime, period: str, end: datetime) -> None:
    assert end_of(begin, period) == end


@given(st.integers(0, 60 * 366 * 86_400), st.integers(1, 120))
def test_months_end_in_the_right_month(seconds: int, months: int) -> None:
    begin = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    end = end_of(begin, f"P{months}M")
    assert (end.year * 12 + end.month) - (begin.year * 12 + begin.month) == months
    assert end.time() == begin.time()
    assert end.day == begin.day or (end.day < begin.day and (end + timedelta(days=1)).day == 1)


@pytest.mark.req("R016")
def test_at_the_instant_of_its_end_a_record_is_expired() -> None:
    end_us = to_us(end_of(datetime(2027, 8, 31, 23, 59, 59, 999_999, UTC), "P6M"))
    row = rows.RecordRow(
        "r", "2027-000001", "s", "c", "b", b"", None, None, 1, "P6M", end_us - 1, expires_us=end_us
    )
    assert state_of(row, now_us=end_us - 1) == bank_pb2.COOP_RECORD_STATE_VALID
    assert state_of(row, now_us=end_us) == bank_pb2.COOP_RECORD_STATE_EXPIRED
    revoked = replace(row, revoked_us=end_us - 5)
    assert state_of(revoked, now_us=end_us + 1) == bank_pb2.COOP_RECORD_STATE_REVOKED
    # Whatever zone a clock tells, the instant is the same.
    there = datetime(2027, 9, 1, 7, 59, 59, 999_999, timezone(timedelta(hours=8)))
    assert to_us(end_of(from_us(to_us(there)), "P6M")) == end_us


@pytest.mark.parametrize(
    "text", ["P0D", "P11Y", "P121M", "P3661D", "PT1H", "P1W", "P-1D", "P1.5Y", "", "P1Y "]
)
def test_other_periods_are_none(text: str) -> None:
    assert not is_period(text)
    with pytest.raises(ValueError, match="P90D"):
        end_of(datetime(2026, 1, 1, tzinfo=UTC), text)


def test_periods_are_told_in_each_language() -> None:
    assert [show_period("P6M", language) for language in ("zh", "en", "es")] == [
        "6个月",
        "6 months",
        "6 meses",
    ]
    assert [show_period("P1Y", language) for language in ("zh", "en", "es")] == ["1年", "1 year", "1 año"]


def test_what_was_compared_twice_must_be_right_twice() -> None:
    match, other = ItemResult.MATCH, ItemResult.MISMATCH

    def seen(photo: ItemResult, source: str) -> list[bank_pb2.CoopItem]:
        return items.to_items(
            Item(name, photo if name is ItemName.PHOTO else match, source) for name in ItemName
        )

    assert items.passed(items.combine(seen(match, "a"), seen(match, "b")))
    for first, second in ((match, other), (other, match), (match, ItemResult.UNAVAILABLE)):
        combined = items.combine(seen(first, "a"), seen(second, "b"))
        assert not items.passed(combined)
        assert {one.source for one in combined} == {"a; b"}
    assert not items.passed(seen(match, "a")[:4])
    assert not items.passed([])


def test_a_card_gets_one_form() -> None:
    person = customer_person(3, valid_to=None)
    card = parse_card(
        card_of(
            person, number=person.id_number.lower(), valid_from="2020.01.01", issuer="  模拟\u3000公安局 "
        ),
        today=TODAY,
    )
    assert (card.number, card.valid_from, card.valid_to) == (person.id_number, "2020-01-01", "long-term")
    assert card.issuer == "模拟 公安局"
    assert elements_of(card) == person.elements
    assert other_of(card) == {"valid_from": "2020-01-01", "valid_to": "long-term"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": "110101199001011234"}, Reason.ID_NUMBER_INVALID),
        ({"name": "1"}, Reason.NAME_INVALID),
        ({"valid_to": "2019-01-01"}, Reason.VALIDITY_INVALID),
        ({"valid_from": "2010-01-01", "valid_to": "2026-11-21"}, Reason.CARD_EXPIRED),
        ({"issuer": " \u3000 "}, Reason.REQUEST_INVALID),
        ({"issuer": "a\x00b"}, Reason.REQUEST_INVALID),
        ({"photo": b"no picture"}, Reason.REQUEST_INVALID),
        ({"photo": _plain("white", size=(2000, 1001))}, Reason.REQUEST_INVALID),
    ],
)
def test_what_is_no_card_is_refused(changes: dict[str, object], reason: Reason) -> None:
    person = customer_person(3)
    with pytest.raises(ServiceError) as refused:
        parse_card(card_of(person, **changes), today=TODAY)
    assert refused.value.reason is reason
    assert person.id_number not in str(refused.value)


def test_a_card_is_good_on_its_last_day() -> None:
    person = customer_person(3, valid_to=TODAY)
    assert parse_card(card_of(person), today=TODAY).valid_to == TODAY.isoformat()


@pytest.mark.parametrize("name", ["", " ", "\u3000", "·", "a", "公司\u202e", "a\x00bc", "--"])
def test_what_is_no_name_of_an_organisation(name: str) -> None:
    with pytest.raises(ServiceError) as refused:
        parse_organisation(name)
    assert refused.value.reason is Reason.ORGANISATION_NAME_INVALID


def test_names_of_organisations_keep_their_letters() -> None:
    assert parse_organisation("  模拟样本（测试）有限公司 ") == "模拟样本（测试）有限公司"
    assert parse_organisation("Muestra \t y  Compañía, S.A.") == "Muestra y Compañía, S.A."
