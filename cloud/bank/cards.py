"""What a device read from an identity card, in one form."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from cloud.elements import FourElements, Validity, parse_id_number, parse_name, parse_validity
from cloud.errors import FieldViolation, Reason, ServiceError
from cloud.papers.pictures import PictureError, PictureTooLargeError, open_picture
from verifield.v1 import coop_service_pb2 as pb

LONG_TERM = "long-term"
"""How a validity without end is kept, and told to the authority."""

MAX_PHOTO_PIXELS = 2_000_000
"""Of a card's photo: readers give 102 by 126."""

_SPACES = re.compile(r"\s+")


def parse_card(given: pb.CoopCard, *, today: date) -> pb.CoopCard:
    """A card in the one form of each value.

    Raises:
        ServiceError: NAME_INVALID, ID_NUMBER_INVALID, VALIDITY_INVALID, REQUEST_INVALID, CARD_EXPIRED.
    """
    validity = parse_validity(given.valid_from, given.valid_to, today=today, path="card.validity")
    if validity.valid_to is not None and validity.valid_to < today:
        raise ServiceError(Reason.CARD_EXPIRED, "The card's validity is over.")
    issuer = _SPACES.sub(" ", unicodedata.normalize("NFC", given.issuer)).strip()
    if not issuer or not issuer.isprintable():
        raise _invalid("card.issuer", "TEXT", "The issuing authority is a text that can be printed.")
    _check_photo(given.photo)
    return pb.CoopCard(
        number=parse_id_number(given.number, today=today, path="card.number"),
        name=parse_name(given.name, path="card.name"),
        issuer=issuer,
        valid_from=_show(validity.valid_from),
        valid_to=_show(validity.valid_to),
        photo=given.photo,
    )


def elements_of(card: pb.CoopCard) -> FourElements:
    """The four elements of a parsed card."""
    return FourElements(card.name, card.number, Validity(_read(card.valid_from), _read(card.valid_to)))


def other_of(card: pb.CoopCard) -> dict[str, str]:
    """What the authority compares as "other registered information": both ends of the validity."""
    return {"valid_from": card.valid_from, "valid_to": card.valid_to}


def _show(day: date | None) -> str:
    return day.isoformat() if day else LONG_TERM


def _read(day: str) -> date | None:
    return None if day == LONG_TERM else date.fromisoformat(day)


def _check_photo(photo: bytes) -> None:
    try:
        open_picture(photo, formats=("JPEG", "PNG"), most_pixels=MAX_PHOTO_PIXELS)
    except PictureTooLargeError as error:
        raise _invalid("card.photo", "PIXELS", f"The photo has at most {MAX_PHOTO_PIXELS} pixels.") from error
    except PictureError as error:
        raise _invalid("card.photo", "PICTURE", "The photo is a JPEG or PNG picture.") from error


def _invalid(path: str, rule: str, told: str) -> ServiceError:
    return ServiceError(Reason.REQUEST_INVALID, told, violations=(FieldViolation(path, rule, told),))
