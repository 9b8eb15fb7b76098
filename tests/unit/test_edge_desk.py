"""The terminal as a desk: lines with a limit to the wait, PINs without an echo; and customer data."""

from __future__ import annotations

import json
import os
import pty
import termios
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

import pytest

from edge.answers import EarlierRecord, NotSignedIn, Refusal, SessionText, SignedIn, Stop
from edge.desk import MAX_LINE_BYTES, STOP_WORD, Lines, TerminalDesk
from edge.errors import HardwareError, InputError
from edge.policy import NumberSegment, Policy
from edge.session.customer import MAX_FIELD_CHARS, judge_field
from edge.texts import ASKS, FIELDS, Ask

TEXT = SessionText("consent-1", {"en": "May we look at your face?", "es": "¿Podemos ver su cara?"})
CLERK = SignedIn("op-1", "clerk")


@pytest.fixture
def typed() -> Iterator[tuple[TextIO, int]]:
    """What the desk reads from, and where the test types."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as source:
        yield source, writing
        os.close(writing)


def only_clerk(who: str, pin: str) -> SignedIn | NotSignedIn:
    if who != "Li Wei":
        raise InputError("NO_OPERATOR", "There is no such operator on this device.")
    if not pin:
        raise HardwareError("CAMERA_LOST", "The camera went away.")
    if pin == "000000":
        return NotSignedIn(Refusal.BLOCKED, 12.3)
    return CLERK if pin == "835062" else NotSignedIn(Refusal.WRONG, 0.0)


def desk_for(source: TextIO, *, language: str = "en", operator: str = "") -> TerminalDesk:
    assert language in ("zh", "es", "en")
    return TerminalDesk(language, Lines(source), check_operator=only_clerk, operator=operator)  # type: ignore[arg-type]


def type_lines(descriptor: int, *lines: str) -> None:
    os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())


def test_a_line_is_waited_for_no_longer_than_asked(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    lines = Lines(source)
    started = time.monotonic()
    assert lines.next(0.05) is Stop.TIMEOUT
    assert 0.04 <= time.monotonic() - started < 2.0
    os.write(keys, b"half a ")
    assert lines.next(0.02) is Stop.TIMEOUT
    os.write(keys, b"line\nand one more\n")
    assert lines.next(1.0) == "half a line"
    assert lines.next(0.0) == "and one more"  # it has come already


def test_several_lines_at_once_are_taken_one_by_one(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    lines = Lines(source)
    type_lines(keys, "one", "two", "三")
    assert [lines.next(1.0) for _ in range(3)] == ["one", "two", "三"]


@pytest.mark.parametrize("what", ["stop word", "end of input", "nobody there", "no end of line"])
def test_what_ends_the_session_at_the_terminal(typed: tuple[TextIO, int], what: str) -> None:
    source, keys = typed
    lines = Lines(source)
    if what == "stop word":
        type_lines(keys, STOP_WORD)
    elif what == "nobody there":
        lines = Lines(None)
    elif what == "no end of line":
        os.write(keys, b"x" * (MAX_LINE_BYTES + 1))
    else:
        reading, writing = os.pipe()
        os.close(writing)
        with os.fdopen(reading) as ended:
            assert Lines(ended).next(1.0) is Stop.OPERATOR
        return
    assert lines.next(1.0) is Stop.OPERATOR


def test_a_line_of_the_greatest_length_is_still_an_answer(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    os.write(keys, b"x" * (MAX_LINE_BYTES - 1) + b"\n")
    assert Lines(source).next(1.0) == "x" * (MAX_LINE_BYTES - 1)


def test_a_pin_is_not_echoed_and_the_echo_comes_back() -> None:
    terminal, keys = pty.openpty()
    with os.fdopen(keys, "r", encoding="utf-8") as source:
        lines = Lines(source)
        answers: list[str | Stop] = []
        thread = threading.Thread(target=lambda: answers.append(lines.next(10.0, hidden=True)))
        thread.start()
        while termios.tcgetattr(keys)[3] & termios.ECHO:
            time.sleep(0.001)
        os.write(terminal, b"835062\n")
        thread.join()
        answered = threading.Event()

        def type_on() -> None:  # what is typed before the question stands there is thrown away
            while not answered.wait(0.1):
                os.write(terminal, b"Li Wei\n")

        typing = threading.Thread(target=type_on)
        typing.start()
        answers.append(lines.next(10.0))
        answered.set()
        typing.join()
        seen = os.read(terminal, 4096)
    os.close(terminal)
    assert answers == ["835062", "Li Wei"]
    assert b"835062" not in seen
    assert b"Li Wei" in seen


def test_what_was_typed_before_the_question_does_not_answer_it() -> None:
    terminal, keys = pty.openpty()
    with os.fdopen(keys, "r", encoding="utf-8") as source:
        os.write(terminal, b"yes\nyes\n")
        lines = Lines(source)
        assert lines.next(0.05) is Stop.TIMEOUT
        assert lines.next(0.05, hidden=True) is Stop.TIMEOUT
    os.close(terminal)


def test_a_long_script_is_read_to_its_end(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    script = [f"line {number}" for number in range(1500)]  # several times what is read at once
    type_lines(keys, *script)
    lines = Lines(source)
    assert [lines.next(1.0) for _ in script] == script


def test_an_operator_may_mistype(typed: tuple[TextIO, int], capsys: pytest.CaptureFixture[str]) -> None:
    source, keys = typed
    type_lines(keys, "Li Wei", "111222", "Li Wei", "835062")
    assert desk_for(source).identify(5.0) == CLERK
    said = capsys.readouterr()
    assert "The sign-in failed; try again." in said.err
    assert "Wait" not in said.err
    assert "835062" not in said.err
    assert said.out == ""  # which stays machine readable


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Too many failed attempts", "Wait 13 s.", "no such operator", "checked (CAMERA_LOST)"]),
        ("es", ["Demasiados intentos", "Espere 13 s.", "No hay tal operador", "identidad (CAMERA_LOST)"]),
        ("zh", ["失败次数过多", "请等待 13 秒", "没有这位操作员", "（CAMERA_LOST）"]),
    ],
)
def test_a_refused_sign_in_is_told_in_the_devices_language(
    typed: tuple[TextIO, int], capsys: pytest.CaptureFixture[str], language: str, words: list[str]
) -> None:
    source, keys = typed
    tries = ("Li Wei", "000000", "Nobody", "835062", "Li Wei", "", "Li Wei", "835062")
    type_lines(keys, *tries)
    assert desk_for(source, language=language).identify(5.0) == CLERK
    said = capsys.readouterr().err
    assert [word for word in words if word not in said] == []


def test_a_known_operator_types_the_pin_alone(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    type_lines(keys, "835062")
    assert desk_for(source, operator="Li Wei").identify(5.0) == CLERK


def test_a_sign_in_ends_with_its_time(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    type_lines(keys, "Li Wei", "000000")
    assert desk_for(source).identify(0.05) is Stop.TIMEOUT


@pytest.mark.parametrize(
    ("language", "answer", "accepted"),
    [
        ("en", "yes", True),
        ("en", "Yes", True),
        ("en", "y", False),
        ("en", "", False),
        ("es", "sí", True),
        ("es", "yes", False),
        ("zh", "是", True),
        ("zh", "不", False),
    ],
)
def test_only_the_whole_word_agrees_and_the_language_shown_is_kept(
    typed: tuple[TextIO, int],
    capsys: pytest.CaptureFixture[str],
    language: str,
    answer: str,
    accepted: bool,
) -> None:
    source, keys = typed
    type_lines(keys, answer, answer)
    desk = desk_for(source, language=language)
    shown = desk.ask_consent(TEXT, 5.0)
    assert shown == TEXT.answered(language, accepted=accepted)
    assert desk.show_notice(TEXT, 5.0) == shown
    assert capsys.readouterr().err.count(TEXT.in_language(language)) == 2


def test_earlier_records_are_shown_before_the_question(
    typed: tuple[TextIO, int], capsys: pytest.CaptureFixture[str]
) -> None:
    source, keys = typed
    type_lines(keys, "no", "yes")
    records = [EarlierRecord("id", "NOT_MATCHED", datetime(2026, 11, 3, 9, 5, tzinfo=UTC))]
    desk = desk_for(source)
    assert desk.show_earlier(records, 5.0) is False
    assert desk.show_earlier(records, 5.0) is True
    assert "2026-11-03 09:05  NOT_MATCHED" in capsys.readouterr().err


def test_a_name_that_is_typed_stands_for_a_signature(typed: tuple[TextIO, int]) -> None:
    source, keys = typed
    type_lines(keys, "试验·样本", "")
    desk = desk_for(source)
    signature = desk.ask_signature(5.0)
    assert isinstance(signature, bytes)
    assert json.loads(signature) == {"kind": "typed", "name": "试验·样本"}
    assert desk.ask_signature(5.0) == b""
    assert desk.stop_requested() is None


def test_a_field_is_asked_for_by_its_label_or_its_name(
    typed: tuple[TextIO, int], capsys: pytest.CaptureFixture[str]
) -> None:
    source, keys = typed
    type_lines(keys, "138", "x")
    desk = desk_for(source)
    assert desk.ask_field("phone", 5.0, again=False) == "138"
    assert desk.ask_field("shoe_size", 5.0, again=True) == "x"
    said = capsys.readouterr().err
    assert "Mobile phone number" in said
    assert said.index(ASKS[Ask.AGAIN]["en"]) < said.index("shoe_size")


@pytest.mark.parametrize("question", ["identify", "consent", "notice", "earlier", "field", "signature"])
def test_a_stop_ends_every_question(typed: tuple[TextIO, int], question: str) -> None:
    source, keys = typed
    type_lines(keys, STOP_WORD)
    desk = desk_for(source)
    answers = {
        "identify": lambda: desk.identify(5.0),
        "consent": lambda: desk.ask_consent(TEXT, 5.0),
        "notice": lambda: desk.show_notice(TEXT, 5.0),
        "earlier": lambda: desk.show_earlier([], 5.0),
        "field": lambda: desk.ask_field("phone", 5.0, again=False),
        "signature": lambda: desk.ask_signature(5.0),
    }
    assert answers[question]() is Stop.OPERATOR


def test_every_question_has_a_text_in_three_languages() -> None:
    assert set(ASKS) == set(Ask)
    for texts in [*ASKS.values(), *FIELDS.values()]:
        assert set(texts) == {"zh", "es", "en"}
        assert all(texts.values())


SEGMENTED = Policy(number_segments=(NumberSegment("138", 11), NumberSegment("6", 9)))


@pytest.mark.parametrize(
    ("policy", "text", "value"),
    [
        (SEGMENTED, "13800000000", b"13800000000"),
        (SEGMENTED, " +86 138-0000-0000 ", b"13800000000"),
        (SEGMENTED, "0086 (138) 00000000", b"13800000000"),
        (SEGMENTED, "600 000 000", b"600000000"),
        (SEGMENTED, "13900000000", None),  # no segment of the policy
        (SEGMENTED, "1380000000", None),  # a digit short
        (SEGMENTED, "+34600000000", None),
        (Policy(), "+34 600 000 000", b"+34600000000"),
        (Policy(), "12345", b"12345"),
        (Policy(), "1234", None),
        (Policy(), "1" * 15, b"1" * 15),
        (Policy(), "1" * 16, None),
        (Policy(), "١٢٣٤٥٦٧", None),  # digits, but not those of a telephone
        (Policy(), "", None),
    ],
)
def test_a_number_has_one_form_and_must_be_one_the_policy_knows(
    policy: Policy, text: str, value: bytes | None
) -> None:
    field = judge_field("phone", text, policy)
    assert (field.value if field else None) == value


@pytest.mark.parametrize(
    ("name", "text", "good"),
    [
        ("email", "a@example.org", True),
        ("email", "a.example.org", False),
        ("email", "a@b", False),
        ("email", "a b@example.org", False),
        ("address", "样本路1号", True),
        ("address", "x" * MAX_FIELD_CHARS, True),
        ("address", "x" * (MAX_FIELD_CHARS + 1), False),
        ("address", "a\x1b[31mb", False),
        ("address", "   ", False),
    ],
)
def test_other_fields_are_short_and_printable(name: str, text: str, good: bool) -> None:
    field = judge_field(name, text, Policy())
    assert (field is not None) == good
    assert field is None or (field.name, field.value) == (name, text.encode())
