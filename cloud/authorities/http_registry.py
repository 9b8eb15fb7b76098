"""The people's registry behind a gateway (docs/authorities.md)."""

from __future__ import annotations

import base64
from enum import StrEnum
from functools import partial

from cloud.authorities.answers import MAX_ANSWER_BYTES, Answer, NonsenseError
from cloud.authorities.line import Line
from cloud.authorities.port import MAX_PICTURE_BYTES, Elements, FaceMatch, FaceResult
from cloud.elements import FourElements, Validity
from cloud.errors import Reason, ServiceError


class Found(StrEnum):
    FOUND = "FOUND"
    MISSING = "MISSING"


class HttpRegistry:
    """``Registry`` of the port."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def check_elements(self, elements: FourElements, *, request_id: str = "") -> Elements:
        """As the port says."""
        body = {"name": elements.name, "id_number": elements.id_number, **_days(elements.validity)}
        asked = await self._line.ask(
            "elements",
            body,
            lambda answer: answer.one_of("result", Elements),
            outcome=lambda found: found.value.lower(),
            request_id=request_id,
        )
        return asked.value

    async def compare_face(
        self, id_number: str, picture: bytes, *, validity: Validity | None = None, request_id: str = ""
    ) -> FaceResult:
        """As the port says."""
        days = {} if validity is None else _days(validity)
        asked = await self._line.ask(
            "face",
            {"id_number": id_number, "picture": to_base64(picture), **days},
            partial(_read_face, with_days=validity is not None),
            outcome=lambda found: found.match.value.lower(),
            request_id=request_id,
        )
        return asked.value

    async def photo(self, id_number: str, *, request_id: str = "") -> bytes | None:
        """As the port says."""
        asked = await self._line.ask(
            "photo",
            {"id_number": id_number},
            _read_photo,
            outcome=lambda found: "missing" if found is None else "found",
            request_id=request_id,
            limit=MAX_ANSWER_BYTES,
        )
        return asked.value


def to_base64(picture: bytes) -> str:
    """As pictures travel in JSON.

    Raises:
        ServiceError: REQUEST_INVALID, it is empty or too large.
    """
    if not 0 < len(picture) <= MAX_PICTURE_BYTES:
        raise ServiceError(
            Reason.REQUEST_INVALID, f"A picture for an authority has 1 to {MAX_PICTURE_BYTES} bytes."
        )
    return base64.b64encode(picture).decode()


def _days(validity: Validity) -> dict[str, str | None]:
    ends = {"valid_from": validity.valid_from, "valid_to": validity.valid_to}
    return {name: day.isoformat() if day else None for name, day in ends.items()}


def _read_face(answer: Answer, *, with_days: bool) -> FaceResult:
    match = answer.one_of("result", FaceMatch)
    if match is FaceMatch.OTHER_CARD and not with_days:
        raise NonsenseError("result: about no card")
    compared = match in {FaceMatch.MATCH, FaceMatch.MISMATCH}
    if not compared and answer.has("score"):
        raise NonsenseError("score: of nothing")
    return FaceResult(match, answer.share("score") if compared else None)


def _read_photo(answer: Answer) -> bytes | None:
    return answer.picture("photo") if answer.one_of("result", Found) is Found.FOUND else None
