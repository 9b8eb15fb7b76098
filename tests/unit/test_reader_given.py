"""What stands in a card reader's place: asked at a terminal in three languages, again where it cannot be."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from edge.answers import SignedIn, Stop
from edge.desk import Lines, ScriptedDesk, TerminalDesk
from edge.errors import InputError
from edge.model import IdDocument, Image, PhotoOrigin, Prompt, ReadMethod
from edge.ports import Desk, Screen
from edge.reader.given import PicturedDocument, TypedDocument, WithPrintedPhoto
from edge.reader.scan.fields import ScannedFields
from edge.reader.scan.scanner import Scan
from edge.reader.typed import ELEMENTS, typed_document
from edge.session.events import OPERATOR_STOPPED, PERSON_STOPPED
from edge.texts import FIELDS, Language
from tests.support.id_reader import RecordingScreen

NUMBER = "11010519491231002X"
PORTRAIT = np.full((126, 102, 3), 7, np.uint8)


def read(desk: Desk, *, timeout_s: float = 60.0) -> IdDocument:
    return TypedDocument(desk, clock=lambda: 0.0).read_document(timeout_s, RecordingScreen())


@contextmanager
def terminal(language: Language, typed: str) -> Iterator[TerminalDesk]:
    source, sink = os.pipe()
    os.write(sink, typed.encode())
    os.close(sink)

    def nobody(_who: str, _pin: str) -> SignedIn:
        raise AssertionError("nobody signs in")

    with os.fdopen(source) as lines:
        yield TerminalDesk(language, Lines(lines), check_operator=nobody)


@pytest.mark.req("E036")
@pytest.mark.parametrize(
    ("language", "words", "long_term"),
    [
        ("zh", ("证件上的姓名", "证件号码", "有效期起", "有效期止"), "长期"),
        ("es", ("Nombre", "Número", "Válido desde", "Válido hasta"), "largo plazo"),
        ("en", ("Name", "Number", "Valid from", "Valid to"), "long-term"),
    ],
)
def test_a_terminal_asks_for_the_four_elements_in_three_languages(
    language: Language, words: tuple[str, ...], long_term: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(language, f"测试甲\n{NUMBER}\n2020-01-01\n{long_term}\n") as desk:
        document = read(desk)
    asked = capsys.readouterr().err
    assert [word for word in words if word not in asked] == []
    assert document.read_method is ReadMethod.TYPED
    assert (document.number, document.valid_to, document.photo) == (NUMBER, None, None)


def test_each_element_is_asked_again_until_it_can_be() -> None:
    answers = {
        "document_name": ["\x07", "测试甲"],
        "document_number": ["123", NUMBER[:-1] + "1", NUMBER],
        "document_valid_from": ["2020-13-01", "2020-01-01"],
        "document_valid_to": ["never", "2040-01-01"],
    }
    desk = ScriptedDesk(customer=answers)
    assert read(desk).number == NUMBER
    assert desk.asked == [f"field {name}" for name, given in answers.items() for _ in given]


def test_dates_that_contradict_each_other_are_asked_again_and_the_rest_is_not() -> None:
    answers = {
        "document_name": ["测试甲"],
        "document_number": [NUMBER],
        "document_valid_from": ["2020-01-01", "2020-01-01"],
        "document_valid_to": ["2019-01-01", "2040-01-01"],
    }
    desk = ScriptedDesk(customer=answers)
    assert read(desk).valid_to is not None
    assert desk.asked.count("field document_number") == 1


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (Stop.PERSON, PERSON_STOPPED),
        (Stop.OPERATOR, OPERATOR_STOPPED),
        (Stop.TIMEOUT, "NO_DOCUMENT_TYPED"),
    ],
)
def test_who_stops_is_told(stop: Stop, code: str) -> None:
    desk = ScriptedDesk(customer={"document_name": ["测试甲"]}, stop_at={"field document_number": stop})
    with pytest.raises(InputError) as caught:
        read(desk)
    assert caught.value.code == code


def test_an_empty_answer_and_a_time_that_is_up_end_it() -> None:
    for desk, timeout_s in ((ScriptedDesk(), 60.0), (ScriptedDesk(customer={"document_name": ["甲"]}), 0.0)):
        with pytest.raises(InputError) as caught:
            read(desk, timeout_s=timeout_s)
        assert caught.value.code == "NO_DOCUMENT_TYPED"


def test_every_element_has_a_label() -> None:
    assert {f"document_{element}" for element in ELEMENTS} <= FIELDS.keys()


# --- pictures


def fields(number: str = NUMBER) -> ScannedFields:
    return ScannedFields("测试甲", number, "20200101", "长期")


class Reader:
    """A card reader with one card."""

    sam_id = "05.03-1"

    def __init__(self, photo: Image | None) -> None:
        self.photo = photo
        self.closed = False

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        screen.show(Prompt.PLACE_CARD)
        typed = typed_document(name="测试甲", number=NUMBER, valid_from="20200101", valid_to="长期")
        return dataclasses.replace(typed, read_method=ReadMethod.CHIP, photo=self.photo)

    def close(self) -> None:
        self.closed = True


def test_pictures_are_looked_at_only_when_the_document_is_asked_for() -> None:
    looks: list[int] = []

    def look() -> Scan:
        looks.append(1)
        return Scan(fields(), PORTRAIT, None)

    pictured = PicturedDocument(look)
    assert (pictured.sam_id, looks) == ("", [])
    document = pictured.read_document(1.0, RecordingScreen())
    assert (document.read_method, looks) == (ReadMethod.SCANNED, [1])
    assert document.photo_origin is PhotoOrigin.SAME


def test_a_printed_portrait_is_lent_only_to_a_card_without_a_photo() -> None:
    reader = Reader(None)
    lender = WithPrintedPhoto(reader, lambda: Scan(fields(), PORTRAIT, None))
    document = lender.read_document(1.0, RecordingScreen())
    assert (document.read_method, document.photo_origin) == (ReadMethod.CHIP, PhotoOrigin.PRINTED)
    assert document.photo is PORTRAIT
    assert lender.sam_id == reader.sam_id
    lender.close()
    assert reader.closed

    def never() -> Scan:
        raise AssertionError("the picture is not needed")

    own = np.zeros((126, 102, 3), np.uint8)
    document = WithPrintedPhoto(Reader(own), never).read_document(1.0, RecordingScreen())
    assert document.photo is own
    assert document.photo_origin is PhotoOrigin.SAME


@pytest.mark.parametrize(
    ("scan", "code"),
    [
        (Scan(fields("110101199003070011"), PORTRAIT, None), "SCAN_OTHER_CARD"),
        (Scan(fields(""), PORTRAIT, None), "SCAN_INCOMPLETE"),
        (Scan(fields(), None, None), "SCAN_INCOMPLETE"),
    ],
)
def test_a_portrait_of_who_knows_which_card_is_not_lent(scan: Scan, code: str) -> None:
    with pytest.raises(InputError) as caught:
        WithPrintedPhoto(Reader(None), lambda: scan).read_document(1.0, RecordingScreen())
    assert caught.value.code == code
