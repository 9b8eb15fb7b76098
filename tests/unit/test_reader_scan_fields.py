"""From lines of text to elements: labels and values joined, split, doubtful, contradictory."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.model import DocumentType, IdDocument, ReadMethod
from edge.reader.scan.fields import LEAST_SCORE, read_fields
from edge.reader.scan.scanner import Scan, document_of, lend_portrait
from edge.reader.scan.text import Line
from edge.reader.typed import typed_document

NUMBER = "11010519491231002X"


def line(text: str, *, score: float = 0.99, left: float = 0, top: float = 0) -> Line:
    return Line(text, score, left, top, left + 20 * len(text), top + 30)


@pytest.mark.parametrize(
    "lines",
    [
        [line("姓名 测试甲")],
        [line("姓 名：测试甲")],
        [line("姓名"), line("测试甲", left=120, top=4)],
        [line("姓名"), line("性别", top=80), line("测试甲", left=120, top=-6), line("女", left=120, top=80)],
    ],
)
def test_a_name_behind_its_label(lines: list[Line]) -> None:
    assert read_fields(lines).name == "测试甲"


@pytest.mark.parametrize("lines", [[line("姓名")], [line("姓名 性别")], [line("测试甲")], []])
def test_no_name(lines: list[Line]) -> None:
    assert read_fields(lines).name == ""


def test_a_number_must_keep_its_check_digit() -> None:
    assert read_fields([line(f"公民身份号码{NUMBER}")]).number == NUMBER
    assert read_fields([line("11O1O5 19491231OO2x")]).number == NUMBER
    assert read_fields([line("110105194912310021")]).number == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2020.01.01-2040.01.01", ("20200101", "20400101")),
        ("有效期限 2020.01.01 — 长期", ("20200101", "长期")),
        ("2020年01月01日至2040年01月01日", ("20200101", "20400101")),
        ("2020.01.01", ("", "")),
    ],
)
def test_validity(text: str, wanted: tuple[str, str]) -> None:
    found = read_fields([line(text)])
    assert (found.valid_from, found.valid_to) == wanted


def test_what_the_reader_guesses_does_not_count() -> None:
    assert read_fields([line(NUMBER, score=LEAST_SCORE)]).number == NUMBER
    assert read_fields([line(NUMBER, score=LEAST_SCORE - 0.01)]).number == ""


def test_a_document_needs_all_four_elements() -> None:
    front = read_fields([line("姓名 测试甲"), line(NUMBER)])
    back = read_fields([line("2020.01.01-2040.01.01")])
    document = document_of(Scan(back.joined(front), None, None))
    assert (document.read_method, document.type) == (ReadMethod.SCANNED, DocumentType.RESIDENT_ID)
    with pytest.raises(InputError) as caught:
        document_of(Scan(front, None, None))
    assert caught.value.code == "SCAN_INCOMPLETE"
    assert "valid_from, valid_to" in caught.value.message
    assert NUMBER not in caught.value.message


def chip_document(number: str) -> IdDocument:
    return typed_document(name="测试甲", number=number, valid_from="20200101", valid_to="长期")


def test_a_portrait_is_lent_to_the_same_card_only() -> None:
    fields = read_fields([line(NUMBER)])
    portrait = np.zeros((126, 102, 3), np.uint8)
    lent = lend_portrait(chip_document(NUMBER), Scan(fields, portrait, None))
    assert lent.photo is portrait
    for scan, number, code in (
        (Scan(fields, portrait, None), "440524188001010014", "SCAN_OTHER_CARD"),
        (Scan(fields, None, None), NUMBER, "SCAN_INCOMPLETE"),
        (Scan(read_fields([]), portrait, None), NUMBER, "SCAN_INCOMPLETE"),
    ):
        with pytest.raises(InputError) as caught:
            lend_portrait(chip_document(number), scan)
        assert caught.value.code == code
