"""Whom the simulated authorities know: synthetic people in a file, TOML or JSON, of the same shape.

    [[people]]
    name = "测试甲"
    id_number = "11000019900101001X"
    valid_from = "2020-01-01"            # or "long-term"
    valid_to = "2040-01-01"              # or "long-term"
    issuer = "模拟市公安局样本分局"
    portrait = "astronaut"               # a name, or a picture file beside this one; leave it out for none
    phones = ["+8613800000001"]          # numbers that this person holds
    ctid = "asks"                        # approves, refuses; "asks" waits for the person to act
    other = { company = "模拟样本有限公司", account = "6200000000000001" }
    old_cards = [{ valid_from = "2010-01-01", valid_to = "2020-01-01" }]

Unknown keys are refused, so that a slip of the pen does not pass as a default.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import cv2

from verifield_sim import portraits
from verifield_sim.errors import SimError
from verifield_sim.portraits import Image

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Some ten thousand people."""

MAX_PEOPLE = 20_000
LONG_TERM = "long-term"
WILLS = ("asks", "approves", "refuses")
PHOTO_SIDE_PX = 360
"""The longer side of a photograph that is served where no face was found to cut out."""

_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Card:
    """None is long-term."""

    valid_from: date | None
    valid_to: date | None


@dataclass(slots=True)
class Person:
    """One person of the registers. ``picture``: uint8 [height, width, 3] BGR."""

    name: str
    id_number: str
    cards: tuple[Card, ...]
    issuer: str = ""
    picture: Image | None = None
    phones: tuple[str, ...] = ()
    ctid: str = "asks"
    other: Mapping[str, str] = field(default_factory=dict)
    _photo: bytes | None = None

    def photo(self) -> bytes | None:
        """The photograph as a register has it, JPEG: the face as on a card, or the whole picture."""
        if self._photo is None and self.picture is not None:
            self._photo = cv2.imencode(
                ".jpg", as_photo(self.picture), (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)
            )[1].tobytes()
        return self._photo


def as_photo(picture: Image) -> Image:
    """Cut out the face as on a card; where none is found, the whole picture made small."""
    try:
        return portraits.id_photo(picture)
    except SimError:
        scale = min(1.0, PHOTO_SIDE_PX / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return small.astype("uint8", copy=False)


def open_people(file: Path) -> list[Person]:
    """Read a file; portraits that are files are sought beside it.

    Raises:
        SimError: it cannot be read, or something in it is wrong.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise SimError(f"{file.name} is larger than {MAX_FILE_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SimError(f"{file.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SimError(f"{file.name} is not UTF-8 text") from error
    try:
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SimError(f"{file.name} is neither TOML nor JSON (a name that ends in .json)") from error
    return parse_people(values, folder=file.parent)


def parse_people(values: Any, *, folder: Path) -> list[Person]:
    """Parse and check.

    Raises:
        SimError: names the key that is wrong, and whose number it is, counted from 1.
    """
    if not isinstance(values, dict) or set(values) - {"people"} or not isinstance(values.get("people"), list):
        raise SimError("a people file has one list: people")
    if len(values["people"]) > MAX_PEOPLE:
        raise SimError(f"at most {MAX_PEOPLE} people")
    people = [
        parse_person(one, folder=folder, where=f"people[{number}]")
        for number, one in enumerate(values["people"], start=1)
    ]
    if len({person.id_number for person in people}) != len(people):
        raise SimError("two people have the same id_number")
    return people


def parse_person(values: Any, *, folder: Path, where: str = "person") -> Person:
    """One person.

    Raises:
        SimError: names the key that is wrong.
    """
    if not isinstance(values, dict):
        raise SimError(f"{where}: not a table")
    rest = dict(values)
    name, id_number = _text(rest, "name", where), _text(rest, "id_number", where)
    if not _ID_NUMBER.fullmatch(id_number):
        raise SimError(f"{where}: id_number has 17 digits, and a digit or X")
    old = rest.pop("old_cards", [])
    if not isinstance(old, list) or not all(isinstance(card, dict) for card in old):
        raise SimError(f"{where}: old_cards is a list of tables")
    cards = (_card(rest, where), *(_card(dict(card), f"{where}, old_cards") for card in old))
    phones, ctid = rest.pop("phones", []), rest.pop("ctid", "asks")
    if not isinstance(phones, list) or not all(
        isinstance(one, str) and _PHONE.fullmatch(one) for one in phones
    ):
        raise SimError(f"{where}: phones is a list of numbers like +8613800000001")
    if ctid not in WILLS:
        raise SimError(f"{where}: ctid is one of {', '.join(WILLS)}")
    other = rest.pop("other", {})
    if not isinstance(other, dict) or not all(isinstance(one, str) for one in other.values()):
        raise SimError(f"{where}: other is a table of texts")
    issuer, portrait = _text(rest, "issuer", where, ""), _text(rest, "portrait", where, "")
    if rest:
        raise SimError(f"{where}: unknown key {', '.join(sorted(map(str, rest)))}")
    picture = None
    if portrait:
        picture = portraits.load(portrait if portrait in portraits.NAMED else str(folder / portrait))
    return Person(name, id_number, cards, issuer, picture, tuple(phones), ctid, other)


def _card(values: dict[str, Any], where: str) -> Card:
    return Card(
        parse_day(values.pop("valid_from", None), where), parse_day(values.pop("valid_to", None), where)
    )


def parse_day(value: Any, where: str) -> date | None:
    """``YYYY-MM-DD``, a day of TOML, or ``long-term`` (None).

    Raises:
        SimError: it is none of them.
    """
    if value == LONG_TERM:
        return None
    try:
        return value if type(value) is date else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise SimError(f"{where}: a day is YYYY-MM-DD, or {LONG_TERM}") from None


def _text(values: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = values.pop(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise SimError(f"{where}: {key} is missing, or no text")
    return value
