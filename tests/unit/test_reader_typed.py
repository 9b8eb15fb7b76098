"""What a clerk types: every kind of number, and each slip of the pen by the name of its field."""

from __future__ import annotations

from datetime import date

import pytest

from edge.errors import InputError
from edge.model import DocumentType, IdDocument, ReadMethod
from edge.reader.names import LOOK_ALIKES, MIDDLE_DOT, normalise_name
from edge.reader.numbers import mask_number, upgrade_old_number
from edge.reader.typed import MAX_NAME_CHARS, typed_document

GOOD = {
    "name": "测试甲",
    "number": "11010519491231002X",
    "valid_from": "2020-01-01",
    "valid_to": "20400101",
}


def typed(**changed: str) -> IdDocument:
    return typed_document(**{**GOOD, **changed})


@pytest.mark.req("E036")
def test_four_elements_make_a_document_without_a_photo() -> None:
    document = typed()
    assert document.read_method is ReadMethod.TYPED
    assert (document.name, document.number, document.sex) == ("测试甲", "11010519491231002X", "F")
    assert document.birth == date(1949, 12, 31)
    assert (document.valid_from, document.valid_to) == (date(2020, 1, 1), date(2040, 1, 1))
    assert document.photo is None
    assert document.reader_sam_id == ""


@pytest.mark.parametrize(
    ("number", "kind", "birth"),
    [
        ("440524188001010014", DocumentType.RESIDENT_ID, date(1880, 1, 1)),
        ("11010519491231002x", DocumentType.RESIDENT_ID, date(1949, 12, 31)),
        ("810000199408230013", DocumentType.HKMT_PERMIT, date(1994, 8, 23)),
        ("931586198001010028", DocumentType.FOREIGNER_2023, date(1980, 1, 1)),
        ("PAK310080010103", DocumentType.FOREIGNER_2017, date(1980, 1, 1)),
        ("130503670401001", DocumentType.RESIDENT_ID, date(1967, 4, 1)),
    ],
)
def test_every_kind_of_number(number: str, kind: DocumentType, birth: date) -> None:
    document = typed(number=number)
    assert (document.type, document.birth) == (kind, birth)


def test_long_term_in_three_languages() -> None:
    assert all(typed(valid_to=word).valid_to is None for word in ("长期", "Long-term", "largo plazo"))


SLIPS = {
    "name": [("name", ""), ("name", "a\nb"), ("name", "a" * (MAX_NAME_CHARS + 1))],
    "number": [
        ("number", "110105194912310021"),
        ("number", "11010519491331002X"),
        ("number", "990105194912310021"),
        ("number", "1101051949123100"),
        ("number", "PAK310080010104"),
        ("number", "٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣"),
    ],
    "valid from": [("valid_from", "2020-13-01"), ("valid_from", "yesterday"), ("valid_from", "")],
    "valid to": [("valid_to", "2020"), ("valid_to", "2040-02-30")],
    "validity": [("valid_to", "20200101"), ("valid_from", "19491230")],
}


@pytest.mark.req("E036")
@pytest.mark.parametrize(
    ("what", "field", "value"), [(what, *slip) for what, slips in SLIPS.items() for slip in slips]
)
def test_a_slip_is_named_by_its_field_and_never_by_its_value(what: str, field: str, value: str) -> None:
    with pytest.raises(InputError) as caught:
        typed(**{field: value})
    assert caught.value.code == "TYPED_DATA_INVALID"
    assert f"({what})" in caught.value.message
    assert not value or value not in str(caught.value)


def test_a_name_may_have_so_many_characters() -> None:
    assert typed(name="a" * MAX_NAME_CHARS).name == "a" * MAX_NAME_CHARS


@pytest.mark.parametrize("dot", sorted(LOOK_ALIKES | {MIDDLE_DOT}))
def test_all_middle_dots_are_one(dot: str) -> None:
    assert normalise_name(f"样本{dot} 测试") == "样本·测试"


def test_full_stops_are_middle_dots_between_han_characters_only() -> None:
    assert normalise_name("样本.测试") == "样本·测试"
    assert normalise_name("SPECIMEN, J. P.") == "SPECIMEN, J. P."


def test_old_numbers_and_masks() -> None:
    assert upgrade_old_number("110105491231002") == "11010519491231002X"
    assert upgrade_old_number("110105491231002X") is None
    assert mask_number("11010519491231002X") == "1101************2X"
    assert mask_number("123456") == "******"
