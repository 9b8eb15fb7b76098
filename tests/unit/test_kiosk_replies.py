"""What a page may answer: each kind of question on both sides of its limits."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.kiosk.replies import MAX_POINTS, MAX_STROKES, MIN_POINTS, parse_reply, parse_signature
from edge.session.customer import MAX_FIELD_CHARS

PAD = {"width": 900, "height": 250}


def wave(points: int = 60) -> list[list[int]]:
    return [[100 + i * 10, 100 + (i % 2) * 30, i * 8] for i in range(points)]


def code_of(kind: str, given: dict[str, Any]) -> str:
    with pytest.raises(InputError) as refused:
        parse_reply(kind, given)
    return refused.value.code


def test_strokes_become_json() -> None:
    signature = parse_signature({**PAD, "strokes": [wave(30), wave(20)]})
    value = json.loads(signature)
    assert value["kind"] == "strokes"
    assert (value["width"], value["height"]) == (900, 250)
    assert value["strokes"] == [wave(30), wave(20)]


def test_a_name_stands_for_a_signature() -> None:
    assert json.loads(parse_signature({"name": " 李 伟 "})) == {"kind": "typed", "name": "李 伟"}
    assert code_of("signature", {"name": "  "}) == "SIGNATURE_EMPTY"
    assert code_of("signature", {"name": "a\nb"}) == "SIGNATURE_EMPTY"
    assert code_of("signature", {"name": "x" * 101}) == "BAD_REQUEST"


def test_who_will_not_sign_gives_nothing() -> None:
    assert parse_signature({"refused": True}) == b""
    assert parse_reply("signature", {"refused": True}) == {"signature": b""}


@pytest.mark.parametrize(
    "strokes",
    [
        [],
        [[]],
        [wave(MIN_POINTS - 1)],
        [[[5, 5, i] for i in range(200)]],  # a finger that rests
        [[[100 + i, 100, i] for i in range(100)]],  # too short a line
    ],
)
def test_a_dot_is_no_signature(strokes: Any) -> None:
    assert code_of("signature", {**PAD, "strokes": strokes}) == "SIGNATURE_EMPTY"


@pytest.mark.parametrize(
    "changes",
    [
        {"strokes": None},
        {"strokes": "wave"},
        {"strokes": [5]},
        {"strokes": [[[1, 2]]]},
        {"strokes": [[[1, 2, 3.5]]]},
        {"strokes": [[[True, 2, 3]]]},
        {"strokes": [[[901, 2, 3]]]},
        {"strokes": [[[1, -1, 3]]]},
        {"strokes": [[[1, 1, -1]]]},
        {"strokes": [[]] * (MAX_STROKES + 1)},
        {"strokes": [[[1, 1, 1]] * (MAX_POINTS + 1)]},
        {"width": 0},
        {"height": 10**9},
        {"width": "900"},
    ],
)
def test_what_our_page_never_sends_is_refused(changes: dict[str, Any]) -> None:
    assert code_of("signature", {**PAD, "strokes": [wave()], **changes}) == "BAD_REQUEST"


def test_as_many_points_as_allowed_are_taken() -> None:
    points = [[i % 900, 100 + (i % 50), i] for i in range(MAX_POINTS)]
    assert parse_signature({**PAD, "strokes": [points]})


@pytest.mark.parametrize("kind", ["consent", "notice"])
def test_consent_says_in_which_language(kind: str) -> None:
    assert parse_reply(kind, {"yes": True, "language": "zh"}) == {"yes": True, "language": "zh"}
    for wrong in ({"yes": True}, {"yes": "true", "language": "zh"}, {"yes": 1, "language": "zh"}):
        assert code_of(kind, dict(wrong)) == "BAD_REQUEST"
    assert code_of(kind, {"yes": True, "language": "fr"}) == "BAD_REQUEST"


def test_other_kinds() -> None:
    assert parse_reply("earlier", {"yes": False}) == {"yes": False}
    assert parse_reply("field", {"text": ""}) == {"text": ""}
    assert code_of("field", {"text": "x" * (MAX_FIELD_CHARS + 2)}) == "BAD_REQUEST"
    assert parse_reply("identify", {"who": "Li", "pin": "1"}) == {"who": "Li", "pin": "1"}
    assert code_of("identify", {"who": "Li", "pin": ""}) == "BAD_REQUEST"
    assert code_of("no-such-kind", {}) == "BAD_REQUEST"


@given(
    st.sampled_from(["consent", "notice", "earlier", "field", "signature", "identify", ""]),
    st.dictionaries(
        st.sampled_from(
            ["yes", "language", "text", "strokes", "width", "height", "name", "who", "pin", "refused"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=5),
            max_leaves=20,
        ),
    ),
)
def test_whatever_comes_is_an_answer_or_an_input_error(kind: str, values: dict[str, Any]) -> None:
    with contextlib.suppress(InputError):
        parse_reply(kind, values)
