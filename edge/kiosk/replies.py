"""What a page may answer to each kind of question: parsed and bounded. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from edge.desk import encode_typed_signature
from edge.errors import InputError
from edge.kiosk.answers import bad_request, text_of
from edge.kiosk.texts import LANGUAGES
from edge.session.customer import MAX_FIELD_CHARS

MAX_STROKES = 200
MAX_POINTS = 4000  # half a minute of a stylus at 120 a second; their JSON is below the limit of a body
MAX_SIDE = 4096  # of the pad, in its own units
MAX_STROKE_MS = 600_000
MIN_POINTS = 8
MIN_LENGTH = 0.25
"""Of the pad's diagonal: a dot or a slip of the finger is no signature. As the cloud's rule has it."""
MIN_SPREAD = 0.05
"""Of the pad's shorter side, wide or high."""

MAX_NAME_CHARS = 100
MAX_PIN_CHARS = 64
MAX_WHO_CHARS = 128


def parse_reply(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer as its asker takes it.

    Raises:
        InputError: BAD_REQUEST, or SIGNATURE_EMPTY.
    """
    parse = _PARSERS.get(kind)
    if parse is None:
        raise bad_request("there is no such question")
    return parse(dict(given))


def parse_signature(given: Mapping[str, Any]) -> bytes:
    """Return a drawn or a typed signature as JSON: ``{"kind": "strokes", "width", "height", "strokes"}``,
    each stroke a list of [x, y, milliseconds], or ``{"kind": "typed", "name"}``; empty where it was refused.

    Raises:
        InputError: BAD_REQUEST, or SIGNATURE_EMPTY: a dot, or nothing at all.
    """
    if given.get("refused") is True:
        return b""
    if "name" in given:
        name = text_of(dict(given), "name", max_chars=MAX_NAME_CHARS).strip()
        if not name or not name.isprintable():
            raise signature_empty()
        return encode_typed_signature(name)
    width, height = (_whole(given.get(side), 1, MAX_SIDE) for side in ("width", "height"))
    strokes = given.get("strokes")
    if not isinstance(strokes, list) or len(strokes) > MAX_STROKES:
        raise bad_request("there are no strokes, or too many")
    if not all(isinstance(stroke, list) for stroke in strokes):
        raise bad_request("a stroke is no list")
    if sum(len(stroke) for stroke in strokes) > MAX_POINTS:
        raise bad_request("there are too many points")
    drawn = [[_point(point, width, height) for point in stroke] for stroke in strokes]
    _check_drawn(drawn, width, height)
    value = {"kind": "strokes", "width": width, "height": height, "strokes": drawn}
    return json.dumps(value, separators=(",", ":")).encode()


def signature_empty() -> InputError:
    """Nothing that could be a signature."""
    return InputError("SIGNATURE_EMPTY", "Nothing was signed.", hint="Sign with the whole name.")


def _check_drawn(strokes: list[list[tuple[int, int, int]]], width: int, height: int) -> None:
    points = [point for stroke in strokes for point in stroke]
    if len(points) < MIN_POINTS:
        raise signature_empty()
    length = sum(math.dist(a[:2], b[:2]) for stroke in strokes for a, b in pairwise(stroke))
    wide, high = (
        max(point[axis] for point in points) - min(point[axis] for point in points) for axis in (0, 1)
    )
    if length < MIN_LENGTH * math.hypot(width, height) or max(wide, high) < MIN_SPREAD * min(width, height):
        raise signature_empty()


def _point(value: object, width: int, height: int) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        raise bad_request("a point is not three numbers")
    return _whole(value[0], 0, width), _whole(value[1], 0, height), _whole(value[2], 0, MAX_STROKE_MS)


def _whole(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise bad_request("a number is missing or out of range")
    return value


def _yes(given: dict[str, Any]) -> dict[str, Any]:
    if type(given.get("yes")) is not bool:
        raise bad_request("yes is neither true nor false")
    return {"yes": given["yes"]}


def _agree(given: dict[str, Any]) -> dict[str, Any]:
    language = given.get("language")
    if language not in LANGUAGES:
        raise bad_request("there is no such language")
    return {**_yes(given), "language": language}


def _identify(given: dict[str, Any]) -> dict[str, Any]:
    pin = text_of(given, "pin", max_chars=MAX_PIN_CHARS)
    if not pin:
        raise bad_request("there is no PIN")
    return {"who": text_of(given, "who", max_chars=MAX_WHO_CHARS), "pin": pin}


_PARSERS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "identify": _identify,
    "consent": _agree,
    "notice": _agree,
    "earlier": _yes,
    "field": lambda given: {"text": text_of(given, "text", max_chars=MAX_FIELD_CHARS + 1)},
    "signature": lambda given: {"signature": parse_signature(given)},
}
"""By the kind of question. A flow that asks more adds its kinds."""
