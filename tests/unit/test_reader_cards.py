"""What the four card types say, and everything that a hostile or damaged card may try."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.model import DocumentType, ReadMethod
from edge.reader.cards import BASE_BYTES, CardText, parse_newest_address, parse_text, split_base
from tests.support.id_reader import CARDS, frame, put, text_of


@pytest.mark.req("E031")
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


@pytest.mark.req("E031")
def test_permit_of_hong_kong_macao_and_taiwan_residents() -> None:
    card = parse_text(text_of("hkmt"))
    assert card.type is DocumentType.HKMT_PERMIT
    assert card.number == "810000199408230013"
    assert card.birth == date(1994, 8, 23)
    assert (card.sex, card.ethnicity, card.nationality) == ("M", "", "CHN")
    assert (card.valid_from, card.valid_to) == (date(2019, 1, 1), date(2024, 1, 1))


@pytest.mark.req("E031")
def test_foreigner_2017() -> None:
    card = parse_text(text_of("foreigner2017"))
    assert card.type is DocumentType.FOREIGNER_2017
    assert card.name == "ZHENGJIAN,YANGBEN"
    assert (card.number, card.nationality) == ("PAK310080010103", "PAK")
    assert card.birth == date(1980, 1, 1)
    assert card.issuer == "1500"


@pytest.mark.req("E031")
def test_foreigner_2023() -> None:
    card = parse_text(text_of("foreigner2023"))
    assert card.type is DocumentType.FOREIGNER_2023
    assert card.name == "ZHENGJIAN, YANGBEN"
    assert (card.number, card.nationality) == ("931586198001010028", "PAK")
    assert (card.ethnicity, card.address) == ("", "")  # the renewal count is no ethnicity


def test_a_long_name_of_2023_comes_from_two_places() -> None:
    text = put(text_of("foreigner2023"), 52, "A" * 35)
    assert parse_text(put(text, 220, "BCD")).name == "A" * 35 + "BCD"


@pytest.mark.req("E031")
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


@pytest.mark.req("E031")
@pytest.mark.parametrize("sign", ["Z", "j", "\0", "长"])
def test_an_unknown_type_is_an_error_and_not_a_resident(sign: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_text(put(text_of("resident"), 248, sign))
    assert caught.value.code == "CARD_TYPE_UNKNOWN"


@pytest.mark.req("E031")
def test_the_address_that_was_written_later_takes_the_place_of_the_first() -> None:
    newest = parse_newest_address(frame("rep_newaddr")[10:-1])
    assert newest == "北京市海淀区测试路3号"
    card = parse_text(text_of("resident"))
    assert card.document(photo=None, sam_id="", newest_address=newest).address == newest
    none_written = parse_newest_address(b"")
    assert card.document(photo=None, sam_id="", newest_address=none_written).address == card.address


@pytest.mark.parametrize("data", [bytes(69), bytes(71), b"\x00\xd8" * 35, "\u202e".encode("utf-16-le") * 35])
def test_an_address_that_cannot_be_one(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_newest_address(data)
    assert caught.value.code == "CARD_DATA_INVALID"


@given(st.binary(min_size=70, max_size=70))
def test_any_address_is_text_or_an_input_error(data: bytes) -> None:
    try:
        address = parse_newest_address(data)
    except InputError:
        return
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} for char in address)


# GB/T 3304, written down here once more by hand.
ETHNICITIES = """
    01 汉 02 蒙古 03 回 04 藏 05 维吾尔 06 苗 07 彝 08 壮 09 布依 10 朝鲜 11 满 12 侗 13 瑶 14 白 15 土家
    16 哈尼 17 哈萨克 18 傣 19 黎 20 傈僳 21 佤 22 畲 23 高山 24 拉祜 25 水 26 东乡 27 纳西 28 景颇
    29 柯尔克孜 30 土 31 达斡尔 32 仫佬 33 羌 34 布朗 35 撒拉 36 毛南 37 仡佬 38 锡伯 39 阿昌 40 普米
    41 塔吉克 42 怒 43 乌孜别克 44 俄罗斯 45 鄂温克 46 德昂 47 保安 48 裕固 49 京 50 塔塔尔 51 独龙
    52 鄂伦春 53 赫哲 54 门巴 55 珞巴 56 基诺 97 其他 98 外国血统中国籍人士
"""


@pytest.mark.req("E031")
def test_every_ethnicity() -> None:
    words = ETHNICITIES.split()
    codes, names = words[::2], words[1::2]
    assert len(codes) == 58  # 56, and two for those of none of them
    assert [parse_text(put(text_of("resident"), 32, code)).ethnicity for code in codes] == names


@pytest.mark.req("E031")
@pytest.mark.parametrize("dot", ["·", "\u2022", "\u30fb", "\u2027", "\uff0e"])
def test_a_name_with_a_middle_dot_is_one_name_however_it_is_written(dot: str) -> None:
    card = parse_text(put(text_of("resident"), 0, f"阿不都{dot}买买提".ljust(15)))
    assert card.name == "阿不都·买买提"


@pytest.mark.req("E031")
@pytest.mark.parametrize("card", ["resident", "hkmt", "foreigner2017", "foreigner2023"])
def test_long_term_on_every_type(card: str) -> None:
    assert parse_text(put(text_of(card), 204, "长期".ljust(8))).valid_to is None
    assert parse_text(put(text_of(card), 204, "20990101")).valid_to == date(2099, 1, 1)
    with pytest.raises(InputError):
        parse_text(put(text_of(card), 204, "长久".ljust(8)))


@given(
    card=st.sampled_from(sorted(CARDS)),
    edits=st.lists(
        st.tuples(st.integers(0, 127), st.characters(max_codepoint=0xFFFF)), min_size=1, max_size=12
    ),
)
def test_cards_with_any_characters_anywhere_are_read_or_refused(
    card: str, edits: list[tuple[int, str]]
) -> None:
    text = text_of(card)
    for position, char in edits:
        text[2 * position : 2 * position + 2] = char.encode("utf-16-le", "surrogatepass")
    with suppress(InputError):
        assert parse_text(text).number.isascii()


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


@pytest.mark.req("E031")
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
