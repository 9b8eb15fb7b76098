"""Answers that no gateway should give: each must be noticed, and none may pass as a yes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

HUGE_BYTES = 4 * 1024 * 1024

Answer = Mapping[str, Any]


def _plain(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _doubled(answer: Answer) -> bytes:
    return _plain(dict(answer))[:-1] + b', "result": "MATCH", "state": "VERIFIED", "request_id": ""}'


_KINDS: tuple[Callable[[Answer], bytes], ...] = (
    lambda _: b"",
    lambda _: b"<html><body>MATCH</body></html>",
    lambda answer: _plain(dict(answer))[:-2],
    lambda answer: _plain([answer]),
    lambda _: b"null",
    lambda _: b'"MATCH"',
    lambda answer: _plain({**answer, "request_id": "00000000-0000-0000-0000-000000000000"}),
    lambda answer: _plain({key: value for key, value in answer.items() if key != "request_id"}),
    lambda answer: _plain({"request_id": answer["request_id"]}),
    lambda answer: _plain(
        {**answer, "result": "match", "state": "verified", "items": [], "transaction_id": "?"}
    ),
    lambda answer: _plain({**answer, "result": True, "state": True, "items": {}, "transaction_id": 1}),
    lambda answer: _plain(
        {**answer, "result": ["MATCH"], "state": None, "items": [{}] * 5, "link": "javascript:"}
    ),
    _doubled,
    lambda _: b"\xff\xfe" + "MATCH".encode("utf-16-le"),
    lambda _: b"[" * 100_000,
    lambda answer: _plain({**answer, "filler": "x" * HUGE_BYTES}),
)

COUNT = len(_KINDS)


def garbage_of(number: int, answer: Answer) -> bytes:
    """Another kind for each number; ``answer`` is what would have been right."""
    return _KINDS[number % COUNT](answer)
