"""What the four card types say, and everything that a hostile or damaged card may try."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.model import DocumentType, ReadMethod
from edge.reader.cards import BASE_BYTES, CardText, parse_text, split_base
from tests.support.id_reader import CARDS, frame, put, text_of


def test_resident() -> None:
    assert parse_text(text_of("resident")) == CardText(
        type=DocumentType.RESIDENT_ID,
        name="张三",
        number="11010519491231002X",
        sex="F",
        birth=date(1949, 12, 31),
        valid_from=date(2020, 1, 1),
        valid_to=None,
        issuer="北京市公安局朝阳分局",
        address="北京市朝阳区测试路1号",
        ethnicity="汉",
        nationality="CHN",
    )


def test_permit_of_hong_kong_macao_and_taiwan_residents() -> None:
    card = parse_text(text_of("hkmt"))
    assert card.type is DocumentType.HKMT_PERMIT
    assert card.number == "810000199408230013"
    assert card.birth == date(1994, 8, 23)
    assert (card.sex, card.ethnicity, card.nationality) == ("M", "", "CHN")
    assert (card.valid_from, card.valid_to) == (date(2019, 1, 1), date(2024, 1, 1))


def test_foreigner_2017() -> None:
    card = parse_text(text_of("foreigner2017"))
    assert card.type is DocumentType.FOREIGNER_2017
    assert card.name == "ZHENGJIAN,YANGBEN"
    assert (card.number, card.nationality) == ("PAK310080010103", "PAK")
    assert card.birth == date(1980, 1, 1)
    assert card.issuer == "1500"


def test_foreigner_2023() -> None:
    card = parse_text(text_of("foreigner2023"))
    assert card.type is DocumentType.FOREIGNER_2023
    assert card.name == "ZHENGJIAN, YANGBEN"
    assert (card.number, card.nationality) == ("931586198001010028", "PAK")
    assert (card.ethnicity, card.address) == ("", "")  # the renewal count is no ethnicity


def test_a_long_name_of_2023_comes_from_two_places() -> None:
    text = put(text_of("foreigner2023"), 52, "A" * 35)
    assert parse_text(put(text, 220, "BCD")).name == "A" * 35 + "BCD"


def test_names_are_not_cut() -> None:
    for name in ("阿不都热合曼·买买提", "欧阳某某某", "AN NA MARIA"):
        assert parse_text(put(text_of("resident"), 0, name.ljust(15))).name == name


def test_a_name_outside_the_basic_plane() -> None:
    assert parse_text(put(text_of("resident"), 0, "𠮷𠮷".ljust(13))).name == "𠮷𠮷"


def test_nuls_as_padding_are_tolerated_and_elsewhere_not() -> None:
    assert parse_text(put(text_of("resident"), 0, "张三".ljust(15, "\0"))).name == "张三"
    with pytest.raises(InputError):
        parse_text(put(text_of("resident"), 0, "张\0三"))


def test_an_unknown_ethnicity_is_shown_as_its_code() -> None:
    assert parse_text(put(text_of("resident"), 32, "99")).ethnicity == "99"


@pytest.mark.parametrize("sign", ["Z", "j", "\0", "长"])
def test_an_unknown_type_is_an_error_and_not_a_resident(sign: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_text(put(text_of("resident"), 248, sign))
    assert caught.value.code == "CARD_TYPE_UNKNOWN"


HOSTILE = {
    "birth against number": ("resident", 36, "19491230"),
    "check digit": ("resident", 122, "110105194912310021"),
    "no such province": ("resident", 122, "99010519491231002X"),
    "number of the wrong shape": ("resident", 122, "11010519491231002 "),
    "full-width digits": ("resident", 36, "１９４９１２３１"),
    "the 30th of February": ("resident", 188, "20200230"),
    "blank date": ("resident", 188, " " * 8),
    "short date": ("resident", 188, "2020101 "),
    "unknown sex": ("resident", 30, "3"),
    "control character": ("resident", 0, "张\r三"),
    "reordering character": ("resident", 0, "张\u202e三"),
    "line separator": ("resident", 52, "北京\u2028市"),
    "no name": ("resident", 0, " " * 15),
    "ends as it begins": ("hkmt", 204, "20190101"),
    "ends before it begins": ("hkmt", 204, "20181231"),
    "a mainland region on a permit": ("hkmt", 122, "440524188001010014"),
    "another nationality than in the number": ("foreigner2017", 152, "USA"),
    "birth against permit number": ("foreigner2017", 220, "19800102"),
    "a number that does not start with 9": ("foreigner2023", 122, "440524188001010014"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_contradictions_are_refused_without_telling_the_value(case: str) -> None:
    card, offset, value = HOSTILE[case]
    with pytest.raises(InputError) as caught:
        parse_text(put(text_of(card), offset, value))
    assert caught.value.code == "CARD_DATA_INVALID"
    assert value not in caught.value.message + caught.value.hint
    assert caught.value.__context__ is None


def test_lone_surrogates_are_refused() -> None:
    text = text_of("resident")
    text[0:2] = b"\x00\xd8"
    with pytest.raises(InputError) as caught:
        parse_text(text)
    assert caught.value.code == "CARD_DATA_INVALID"
    assert caught.value.__context__ is None  # it would hold the bytes


def test_swapped_bytes_that_the_link_cannot_see_are_caught() -> None:
    text = text_of("resident")
    text[36:38], text[38:40] = text[38:40], text[36:38]  # 1949... becomes 9149...
    with pytest.raises(InputError):
        parse_text(text)


@given(position=st.integers(0, 127), char=st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))
def test_whatever_one_character_becomes_the_answer_is_a_card_or_an_input_error(
    position: int, char: str
) -> None:
    try:
        card = parse_text(put(text_of("resident"), 2 * position, char))
    except InputError:
        return
    assert card.birth == date(1949, 12, 31)


@given(st.binary(min_size=256, max_size=256))
def test_random_text_is_an_input_error(text: bytes) -> None:
    with pytest.raises(InputError):
        parse_text(text)


def test_the_base_record_is_split_by_its_lengths() -> None:
    data = frame(CARDS["resident"])[10:-1]
    text, photo = split_base(data)
    assert text == text_of("resident")
    assert photo.startswith(b"WL")
    assert len(photo) == 1024


@pytest.mark.parametrize(
    "data", [b"", bytes(BASE_BYTES), b"\x02\x00\x04\x00".ljust(BASE_BYTES, b" "), bytes(BASE_BYTES + 1)]
)
def test_other_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        split_base(data)


@pytest.mark.parametrize("size", [0, 255, 257])
def test_text_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(InputError):
        parse_text(bytes(size))


def test_the_document_says_how_it_was_read_and_shows_nothing() -> None:
    card = parse_text(text_of("resident"))
    document = card.document(photo=None, sam_id="05.03-20240115-0000123456-0987654321")
    assert document.read_method is ReadMethod.CHIP
    assert document.name == "张三"
    assert "张" not in repr(card) + repr(document)
    assert "1949" not in repr(card) + repr(document)
