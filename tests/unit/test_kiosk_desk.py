"""Questions that one thread asks and another answers: each counts once, in time, and for itself only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from edge.answers import EarlierRecord, NotSignedIn, Refusal, SessionText, SignedIn, Stop
from edge.errors import InputError
from edge.kiosk.desk import WebDesk, WebScreen
from edge.kiosk.showing import screen_values
from edge.kiosk.state import Stage, snapshot
from edge.kiosk.stream import Hub
from edge.kiosk.texts import Texts
from edge.model import Prompt

T = TypeVar("T")

WAIT_S = 60.0
TEXT = SessionText("consent", {"zh": "同意吗？", "es": "¿De acuerdo?", "en": "Do you agree?"})
CLERK = SignedIn("op-1", "clerk")


class Counter:
    """A desk with somebody before the page. ``checks``: answers to names and PINs."""

    def __init__(self, *, present: SignedIn | None = None, checks: dict[str, Any] | None = None) -> None:
        self.hub = Hub("es")
        self.checked: list[str] = []

        def check(who: str, pin: str) -> SignedIn | NotSignedIn:
            self.checked.append(pin)
            answer = (checks or {})[pin]
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, SignedIn | NotSignedIn)
            return answer

        self.desk = WebDesk(
            self.hub, present=lambda: present, names=lambda: ["Li Wei", "Ana"], check_operator=check
        )

    def asking(self, ask: Callable[[], T], *answers: dict[str, Any]) -> T:
        """Ask on another thread, and answer each question as it comes."""
        with ThreadPoolExecutor(1) as session:
            asked = session.submit(ask)
            seen = 0
            for answer in answers:
                number = self.next_question(after=seen)
                seen = number
                assert self.desk.take(number, answer)
            return asked.result(WAIT_S)

    def next_question(self, *, after: int = 0) -> int:
        """Wait for the next question; its number."""
        ended = threading.Event()
        for _ in range(int(WAIT_S * 200)):
            question = self.hub.view.question
            if question is not None and question.number > after:
                return question.number
            ended.wait(0.005)
        raise AssertionError("no question came")


def test_an_answer_is_for_its_own_question_and_counts_once() -> None:
    counter = Counter()
    with ThreadPoolExecutor(1) as session:
        asked = session.submit(lambda: counter.desk.show_earlier([], WAIT_S))
        number = counter.next_question()
        assert not counter.desk.take(number + 1, {"yes": False})
        assert not counter.desk.take(number - 1, {"yes": False})
        assert counter.desk.take(number, {"yes": True})
        assert not counter.desk.take(number, {"yes": False})  # a second finger
        assert asked.result(WAIT_S) is True
    assert not counter.desk.take(number, {"yes": True})  # it is over
    assert counter.hub.view.question is None
    assert counter.hub.view.stage is Stage.WORKING


def test_consent_is_to_the_text_in_the_language_that_was_shown() -> None:
    counter = Counter()
    shown = counter.asking(lambda: counter.desk.ask_consent(TEXT, WAIT_S), {"yes": True, "language": "zh"})
    assert shown == TEXT.answered("zh", accepted=True)
    refused = counter.asking(lambda: counter.desk.show_notice(TEXT, WAIT_S), {"yes": False, "language": "en"})
    assert refused == TEXT.answered("en", accepted=False)


def test_fields_and_signature_come_as_they_were_given() -> None:
    counter = Counter()
    assert (
        counter.asking(lambda: counter.desk.ask_field("phone", WAIT_S, again=True), {"text": "138"}) == "138"
    )
    assert counter.asking(lambda: counter.desk.ask_signature(WAIT_S), {"signature": b"{}"}) == b"{}"


def test_a_question_without_an_answer_ends_by_its_time() -> None:
    assert Counter().desk.ask_field("phone", 0.01, again=False) is Stop.TIMEOUT
    assert Counter().desk.ask_signature(-1.0) is Stop.TIMEOUT


@pytest.mark.parametrize("who", [Stop.PERSON, Stop.OPERATOR])
def test_stop_ends_the_question_that_waits_and_all_that_follow(who: Stop) -> None:
    counter = Counter()
    assert counter.desk.stop_requested() is None
    with ThreadPoolExecutor(1) as session:
        asked = session.submit(lambda: counter.desk.ask_field("phone", WAIT_S, again=False))
        counter.next_question()
        counter.desk.stop(who)
        counter.desk.stop(Stop.OPERATOR if who is Stop.PERSON else Stop.PERSON)  # the first counts
        assert asked.result(WAIT_S) is who
    assert counter.desk.ask_consent(TEXT, WAIT_S) is who
    assert counter.desk.stop_requested() is who
    assert counter.hub.view.stopping


def test_who_is_signed_in_is_not_asked() -> None:
    counter = Counter(present=CLERK)
    assert counter.desk.identify(WAIT_S) == CLERK
    assert counter.checked == []


def test_signing_in_is_asked_until_it_passes_and_the_page_is_told_why() -> None:
    checks = {
        "1": NotSignedIn(Refusal.WRONG, 0.0),
        "2": NotSignedIn(Refusal.BLOCKED, 29.2),
        "3": InputError("NO_OPERATOR", "There is no such operator."),
        "4": CLERK,
    }
    counter = Counter(checks=checks)
    told = []

    with ThreadPoolExecutor(1) as session:
        asked = session.submit(lambda: counter.desk.identify(WAIT_S))
        number = 0
        for pin in checks:
            number = counter.next_question(after=number)
            told.append(screen_values(counter.hub.view, Texts("en"))["refused"])
            assert counter.desk.take(number, {"who": "Li Wei", "pin": pin})
        assert asked.result(WAIT_S) == CLERK
    assert told[0] == ""
    assert "failed" in told[1]
    assert "30" in told[2]
    assert "no such operator" in told[3]


def test_what_is_asked_can_be_drawn_again_from_the_state() -> None:
    """A page that was reloaded gets the same question, with the time that is left."""
    counter = Counter()
    record = EarlierRecord("id-1", "SPOOF", datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    with ThreadPoolExecutor(1) as session:
        asked = session.submit(lambda: counter.desk.show_earlier([record] * 7, WAIT_S))
        number = counter.next_question()
        view = counter.hub.view
        first = snapshot(view, Texts("es"), now=counter.hub.now)
        assert first["question"]["number"] == number
        assert 0 < first["question"]["left_s"] <= WAIT_S
        assert snapshot(view, Texts("es"), now=counter.hub.now + 1000)["question"]["left_s"] == 0.0
        assert first["screen"]["key"] != snapshot(view, Texts("zh"), now=0.0)["screen"]["key"]
        values = screen_values(view, Texts("es"))
        assert len(values["records"]) + values["more"] == 7
        assert values["records"][0]["at"] == "2026-01-02 03:04 UTC"
        assert counter.desk.take(number, {"yes": False})
        assert asked.result(WAIT_S) is False


def test_prompts_set_the_stage() -> None:
    hub = Hub("zh")
    screen = WebScreen(hub)
    for prompt, stage, symbol in (
        (Prompt.PLACE_CARD, Stage.CARD, "card"),
        (Prompt.LIFT_CARD, Stage.CARD, "lift"),
        (Prompt.LOOK_AT_CAMERA, Stage.CAPTURE, "oval"),
        (Prompt.TURN_LEFT, Stage.CAPTURE, "left"),
        (Prompt.CAMERA_LOST, Stage.CAPTURE, "plug"),
    ):
        screen.show(prompt)
        said = snapshot(hub.view, Texts("zh"), now=0.0)
        assert (said["stage"], said["prompt"]["symbol"]) == (stage, symbol)
        assert said["prompt"]["code"] == prompt
    screen.show(Prompt.DONE)
    assert hub.view.stage is Stage.WORKING
    assert hub.view.prompt is None
