"""Synthetic cards of all four types. Nobody's: the names say so, and the regions are not given to people.

The text area is 256 bytes of UTF-16LE, padded with spaces; the type stands at offset 248.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from verifield_sim import portraits
from verifield_sim.errors import SimError

TEXT_BYTES = 256
_TYPE_AT = 248

_FAMILY_NAMES = "甲乙丙丁戊己庚辛壬癸"
_FEMALE = "2"
_VALID_FROM, _VALID_TO = "20200101", "20400101"
_UTOPIA = "UTO"  # the state that ICAO's specimens come from


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """What the chip holds. ``text``: 256 bytes. ``photo``: 1024. ``newest_address``: 70, or none."""

    type: str
    text: bytes
    photo: bytes
    newest_address: bytes = b""


def card_for(portrait: str, *, card_type: str = "resident", seed: int = 0) -> Card:
    """Make the card of the person in ``portrait`` (a name or a path); the same again for the same seed.

    Raises:
        SimError: unknown type, or no usable portrait.
    """
    encode = _ENCODERS.get(card_type)
    if encode is None:
        raise SimError(f"no card type {card_type!r}: it is one of {', '.join(_ENCODERS)}")
    photo = portraits.encode_chip_photo(portraits.id_photo(portraits.load(portrait)))
    rng = random.Random(f"{seed} {portrait} {card_type}")  # noqa: S311 - repeatable, not secret
    return Card(card_type, encode(rng), photo)


def citizen_number(region: str, birth: str, order: int) -> str:
    """18 characters after GB 11643: region, YYYYMMDD, order and check digit."""
    digits = f"{region}{birth}{order:03d}"
    remainder = 0
    for digit in digits:  # ISO 7064: the weighted sum, by Horner's rule
        remainder = (remainder + int(digit)) * 2 % 11
    return digits + "0123456789X"[(12 - remainder) % 11]


def permit_number(nation: str, area: str, birth: str, order: int) -> str:
    """15 characters of a 2017 foreigner's permit, with the check digit of machine-readable documents."""
    body = f"{nation}{area}{birth[2:]}{order}"
    values = (ord(char) - ord("A") + 10 if char.isalpha() else int(char) for char in body)
    weighted = (value * (7, 3, 1)[index % 3] for index, value in enumerate(values))
    return f"{body}{sum(weighted) % 10}"


def text_area(card_type: str, fields: dict[int, tuple[int, str]]) -> bytes:
    """Lay ``fields`` (offset: size in bytes, value) into an area of spaces.

    Raises:
        SimError: a value is longer than its field.
    """
    area = bytearray(" ".encode("utf-16-le") * (TEXT_BYTES // 2))
    for offset, (size, value) in {**fields, _TYPE_AT: (2, card_type)}.items():
        encoded = value.encode("utf-16-le")
        if len(encoded) > size:
            raise SimError(f"the field at offset {offset} holds {size} bytes, not {len(encoded)}")
        area[offset : offset + len(encoded)] = encoded
    return bytes(area)


def _birth(rng: random.Random) -> str:
    return f"{rng.randint(1950, 1999)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"


def _order(rng: random.Random) -> int:
    return rng.randrange(0, 1000, 2)  # even: female


def _resident(rng: random.Random) -> bytes:
    birth = _birth(rng)
    return text_area(
        " ",
        {
            0: (30, f"测试{rng.choice(_FAMILY_NAMES)}"),
            30: (2, _FEMALE),
            32: (4, "01"),
            36: (16, birth),
            52: (70, f"模拟市样本区虚构路{rng.randint(1, 99)}号"),
            122: (36, citizen_number("110000", birth, _order(rng))),
            158: (30, "模拟市公安局样本分局"),
            188: (16, _VALID_FROM),
            204: (16, _VALID_TO),
        },
    )


def _hkmt(rng: random.Random) -> bytes:
    birth = _birth(rng)
    return text_area(
        "J",
        {
            0: (30, f"测试{rng.choice(_FAMILY_NAMES)}"),
            30: (2, _FEMALE),
            36: (16, birth),
            52: (70, f"模拟市样本区虚构路{rng.randint(1, 99)}号"),
            122: (36, citizen_number("810000", birth, _order(rng))),
            158: (30, "模拟市公安局"),
            188: (16, _VALID_FROM),
            204: (16, _VALID_TO),
            220: (18, f"H{rng.randint(0, 99_999_999):08d}"),
            238: (4, "01"),
        },
    )


def _foreigner_2017(rng: random.Random) -> bytes:
    birth = _birth(rng)
    return text_area(
        "I",
        {
            0: (120, f"SPECIMEN, PERSON {rng.choice('ABCDEFGH')}"),
            120: (2, _FEMALE),
            122: (30, permit_number(_UTOPIA, "3100", birth, rng.randint(0, 9))),
            152: (6, _UTOPIA),
            158: (30, f"测试{rng.choice(_FAMILY_NAMES)}"),
            188: (16, _VALID_FROM),
            204: (16, _VALID_TO),
            220: (16, birth),
            236: (4, "01"),
            240: (8, "1500"),
        },
    )


def _foreigner_2023(rng: random.Random) -> bytes:
    birth = _birth(rng)
    return text_area(
        "Y",
        {
            0: (30, f"测试{rng.choice(_FAMILY_NAMES)}"),
            30: (2, _FEMALE),
            32: (4, "00"),
            36: (16, birth),
            52: (70, f"SPECIMEN, PERSON {rng.choice('ABCDEFGH')}"),
            122: (36, citizen_number("931999", birth, _order(rng))),
            188: (16, _VALID_FROM),
            204: (16, _VALID_TO),
            242: (6, _UTOPIA),
        },
    )


_ENCODERS: dict[str, Callable[[random.Random], bytes]] = {
    "resident": _resident,
    "hkmt": _hkmt,
    "foreigner2017": _foreigner_2017,
    "foreigner2023": _foreigner_2023,
}
CARD_TYPES = tuple(_ENCODERS)
