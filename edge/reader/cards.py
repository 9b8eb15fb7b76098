"""What a card says: the 256-byte text area of all four card types, decoded and cross-checked.

The checks cover what the link's weak checksum misses: swapped bytes and one error pattern in 256.
Whether a card has expired is not judged here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from edge.errors import EdgeError
from edge.model import DocumentType, IdDocument, Image, ReadMethod
from edge.reader.ethnicity import ethnicity_name
from edge.reader.faults import fault
from edge.reader.names import normalise_name
from edge.reader.numbers import HKMT_REGIONS, PROVINCES, is_citizen_number, is_permit_number, parse_day

TEXT_BYTES, PHOTO_BYTES, ADDRESS_BYTES = 256, 1024, 70
BASE_BYTES = 4 + TEXT_BYTES + PHOTO_BYTES
_BASE_LENGTHS = TEXT_BYTES.to_bytes(2, "big") + PHOTO_BYTES.to_bytes(2, "big")

_TYPE_AT = slice(248, 250)
_LONG_TERM = "长期"
_SEXES = {"1": "M", "2": "F", "0": "X", "9": "X"}  # 0 unknown, 9 not stated; letters after ICAO 9303

# Cc and Cf would let a card hide or reorder what a screen shows; Zl and Zp break lines.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, repr=False)
class CardText:
    """The fields of one card before the photo joins them. Personal data: no ``repr``."""

    type: DocumentType
    name: str
    number: str
    sex: str
    birth: date
    valid_from: date
    valid_to: date | None
    issuer: str = ""
    address: str = ""
    ethnicity: str = ""
    nationality: str = "CHN"

    def document(self, *, photo: Image | None, sam_id: str, newest_address: str = "") -> IdDocument:
        """Return the document as read from the chip; a newest address takes the place of the printed one."""
        return IdDocument(
            type=self.type,
            read_method=ReadMethod.CHIP,
            name=self.name,
            number=self.number,
            sex=self.sex,
            birth=self.birth,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            issuer=self.issuer,
            address=newest_address or self.address,
            ethnicity=self.ethnicity,
            nationality=self.nationality,
            photo=photo,
            reader_sam_id=sam_id,
        )


def split_base(data: bytes | bytearray) -> tuple[bytearray, bytearray]:
    """Split the data of a text-and-photo reply into text (256 bytes) and photo (1024 bytes).

    Raises:
        InputError: CARD_DATA_INVALID, the lengths are not those of a card.
    """
    if len(data) != BASE_BYTES or data[:4] != _BASE_LENGTHS:
        raise _invalid("the lengths of text and photo")
    return bytearray(data[4 : 4 + TEXT_BYTES]), bytearray(data[4 + TEXT_BYTES :])


def parse_text(text: bytes | bytearray) -> CardText:
    """Decode the text area.

    Raises:
        InputError: CARD_TYPE_UNKNOWN, or CARD_DATA_INVALID with the name of the first field at fault
            and never its value.
    """
    if len(text) != TEXT_BYTES:
        raise _invalid("the length of the text")
    parse = _PARSERS.get(bytes(text[_TYPE_AT]))
    if parse is None:
        raise fault("CARD_TYPE_UNKNOWN")
    card = parse(text)
    _check_text(card)
    return card


def parse_newest_address(data: bytes | bytearray) -> str:
    """Decode the address that was written to the card after it was made; empty where there is none.

    Raises:
        InputError: CARD_DATA_INVALID.
    """
    if len(data) not in (0, ADDRESS_BYTES):
        raise _invalid("the length of the newest address")
    return _field(data, 0, len(data), "newest address")


def _resident(text: bytes | bytearray) -> CardText:
    return CardText(
        type=DocumentType.RESIDENT_ID,
        name=normalise_name(_field(text, 0, 30, "name")),
        sex=_sex(text, 30),
        ethnicity=ethnicity_name(_field(text, 32, 4, "ethnicity")),
        birth=_date(text, 36, "birth"),
        address=_field(text, 52, 70, "address"),
        number=_field(text, 122, 36, "number"),
        issuer=_field(text, 158, 30, "issuer"),
        valid_from=_date(text, 188, "valid from"),
        valid_to=_end_date(text, 204),
    )


def _hkmt_permit(text: bytes | bytearray) -> CardText:
    """The permit for residents of Hong Kong, Macao and Taiwan: as resident, without ethnicity."""
    return CardText(
        type=DocumentType.HKMT_PERMIT,
        name=normalise_name(_field(text, 0, 30, "name")),
        sex=_sex(text, 30),
        birth=_date(text, 36, "birth"),
        address=_field(text, 52, 70, "address"),
        number=_field(text, 122, 36, "number"),
        issuer=_field(text, 158, 30, "issuer"),
        valid_from=_date(text, 188, "valid from"),
        valid_to=_end_date(text, 204),
    )


def _foreigner_2017(text: bytes | bytearray) -> CardText:
    return CardText(
        type=DocumentType.FOREIGNER_2017,
        name=_field(text, 0, 120, "name"),
        sex=_sex(text, 120),
        number=_field(text, 122, 30, "number"),
        nationality=_field(text, 152, 6, "nationality"),
        valid_from=_date(text, 188, "valid from"),
        valid_to=_end_date(text, 204),
        birth=_date(text, 220, "birth"),
        issuer=_field(text, 240, 8, "issuer"),
    )


def _foreigner_2023(text: bytes | bytearray) -> CardText:
    name = text[52:122] + text[220:242]  # one field of 46 characters, in two places
    return CardText(
        type=DocumentType.FOREIGNER_2023,
        name=_field(name, 0, len(name), "name"),
        sex=_sex(text, 30),
        birth=_date(text, 36, "birth"),
        number=_field(text, 122, 36, "number"),
        valid_from=_date(text, 188, "valid from"),
        valid_to=_end_date(text, 204),
        nationality=_field(text, 242, 6, "nationality"),
    )


_PARSERS: dict[bytes, Callable[[bytes | bytearray], CardText]] = {
    " ".encode("utf-16-le"): _resident,
    "J".encode("utf-16-le"): _hkmt_permit,
    "I".encode("utf-16-le"): _foreigner_2017,
    "Y".encode("utf-16-le"): _foreigner_2023,
}


def _check_text(card: CardText) -> None:
    """Check the fields against each other."""
    if not card.name:
        raise _invalid("name")
    if not _number_fits(card):
        raise _invalid("number")
    if card.valid_to is not None and card.valid_from >= card.valid_to:
        raise _invalid("validity")


def _number_fits(card: CardText) -> bool:
    """Shape, check digit, region or nationality, and the date of birth inside the number."""
    number, birth = card.number, card.birth.strftime("%Y%m%d")
    match card.type:
        case DocumentType.FOREIGNER_2017:
            return is_permit_number(number) and number[:3] == card.nationality and number[7:13] == birth[2:]
        case DocumentType.FOREIGNER_2023:
            prefix_fits = number.startswith("9")
        case DocumentType.HKMT_PERMIT:
            prefix_fits = number[:6] in HKMT_REGIONS
        case DocumentType.RESIDENT_ID:
            prefix_fits = number[:2] in PROVINCES
    return is_citizen_number(number) and prefix_fits and number[6:14] == birth


def _field(text: bytes | bytearray, start: int, size: int, name: str) -> str:
    """Decode one field strictly; padding is spaces, and NULs are tolerated as such at its end."""
    value: str | None
    try:
        value = text[start : start + size].decode("utf-16-le").rstrip(" \0")
    except UnicodeDecodeError:  # it holds the bytes, so it must not become the context of another error
        value = None
    if value is None or any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in value):
        raise _invalid(name)
    return value


def _sex(text: bytes | bytearray, start: int) -> str:
    sex = _SEXES.get(_field(text, start, 2, "sex"))
    if sex is None:
        raise _invalid("sex")
    return sex


def _date(text: bytes | bytearray, start: int, name: str) -> date:
    value = parse_day(_field(text, start, 16, name))
    if value is None:
        raise _invalid(name)
    return value


def _end_date(text: bytes | bytearray, start: int) -> date | None:
    if _field(text, start, 16, "valid to") == _LONG_TERM:
        return None
    return _date(text, start, "valid to")


def _invalid(what: str) -> EdgeError:
    return fault("CARD_DATA_INVALID", what)
