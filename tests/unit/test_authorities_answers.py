"""Answers of gateways: a yes is read from nothing but a yes, and whatever else comes is a fault."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.authorities.answers import Answer, NonsenseError, parse_answer
from cloud.authorities.breaker import BreakerLimits
from cloud.authorities.http_bank import HttpBank
from cloud.authorities.http_carrier import HttpCarrier
from cloud.authorities.http_ctid import HttpCtid
from cloud.authorities.http_registry import HttpRegistry
from cloud.authorities.line import Limits, Line, Watch
from cloud.authorities.port import (
    MAX_OTHER,
    MAX_PICTURE_BYTES,
    Authority,
    AuthorityFault,
    BankQuery,
    Consistency,
    CtidState,
    Elements,
    FaceMatch,
    FaceResult,
    FaultKind,
    ItemName,
    ItemResult,
    identity_digest,
)
from cloud.authorities.retry import Budget
from cloud.authorities.transport import Reply
from cloud.elements import FourElements, Validity
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME, NUMBER = "测试甲", "110000199001010011"
NONCE = bytes(range(32))
JPEG = b"\xff\xd8\xff\xe0 a face"
QUERY = BankQuery(NAME, NUMBER, "模拟市公安局", JPEG, {"company": "模拟样本有限公司"})
ITEMS = [{"item": name.value, "result": "MATCH", "source": "x"} for name in ItemName]
RECORD = {
    "name": NAME,
    "id_number": NUMBER,
    "issuer": "x",
    "photo": base64.b64encode(JPEG).decode(),
    "other": {"company": "y"},
    "source": "z",
}

Ask = Callable[[Line], Awaitable[Any]]


@dataclass
class Canned:
    """A gateway that answers with what ``make`` gives for the key of a request."""

    make: Callable[[str], bytes]
    media_type: str = "application/json"
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        limit: int,
    ) -> Reply:
        self.bodies.append(json.loads(content))
        return Reply(200, self.media_type, self.make((headers or {})["Idempotency-Key"]))

    async def close(self) -> None:
        return


def a_line(gateway: Canned) -> Line:
    limits = Limits(Budget(1, 5.0, 5.0), BreakerLimits(10**6, 1.0), 4)
    return Line(Authority.BANK, gateway, limits, Watch(lambda: 0.5, lambda: NOW, lambda *_: None))


def sources() -> Sources:
    return Sources(now=lambda: NOW, random_bytes=lambda count: NONCE[:count])


ELEMENTS = FourElements(NAME, NUMBER, Validity(None, None))
CALLS: dict[str, Ask] = {
    "elements": lambda line: HttpRegistry(line).check_elements(ELEMENTS),
    "face": lambda line: HttpRegistry(line).compare_face(NUMBER, JPEG),
    "photo": lambda line: HttpRegistry(line).photo(NUMBER),
    "verify": lambda line: HttpBank(line).verify(QUERY),
    "query": lambda line: HttpBank(line).query(NUMBER),
    "start": lambda line: HttpCtid(line, sources()).start(NAME, NUMBER),
    "finish": lambda line: HttpCtid(line, sources()).finish(
        "t" * 8, nonce=NONCE, name=NAME, id_number=NUMBER
    ),
    "consistency": lambda line: HttpCarrier(line).check("+8613800000001", NUMBER),
}
GOOD: dict[str, dict[str, Any]] = {
    "elements": {"result": "MATCH"},
    "face": {"result": "MATCH", "score": 0.9},
    "photo": {"result": "FOUND", "photo": base64.b64encode(JPEG).decode()},
    "verify": {"items": ITEMS},
    "query": {"result": "FOUND", "record": RECORD},
    "start": {"transaction_id": "abcdefgh", "link": "https://ctid.example/x", "expires_in_s": 300},
    "finish": {"state": "VERIFIED", "identity_digest": identity_digest(NONCE, NAME, NUMBER).hex()},
    "consistency": {"result": "CONSISTENT"},
}


def is_yes(found: Any) -> bool:
    """Whether an answer of any call would let somebody pass."""
    match found:
        case Elements():
            return found is Elements.MATCH
        case Consistency():
            return found is Consistency.CONSISTENT
        case None:
            return False
        case bytes():
            return True
    for name, yes in (
        ("match", FaceMatch.MATCH),
        ("state", CtidState.VERIFIED),
        ("passed", True),
        ("found", True),
    ):
        if hasattr(found, name):
            return getattr(found, name) is yes
    return True  # a transaction that was begun


def asked(call: str, make: Callable[[str], bytes], media_type: str = "application/json") -> Any:
    """The answer, or the fault."""

    async def work() -> Any:
        try:
            return await CALLS[call](a_line(Canned(make, media_type)))
        except AuthorityFault as fault:
            return fault

    return asyncio.run(work())


def good(call: str, key: str, **changes: Any) -> dict[str, Any]:
    return {"request_id": key, **GOOD[call], **changes}


def plain(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("call", CALLS)
def test_what_is_as_agreed_is_a_yes_with_additions_too(call: str) -> None:
    assert is_yes(asked(call, lambda key: plain(good(call, key))))
    assert is_yes(asked(call, lambda key: plain(good(call, key, added_later={"a": [1, None]}))))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["MATCH", "match", "VERIFIED", "FOUND", "CONSISTENT", "MISSING", "UNAVAILABLE", "PENDING", NUMBER]
    ),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                [
                    "result",
                    "score",
                    "items",
                    "item",
                    "source",
                    "record",
                    "photo",
                    "state",
                    "link",
                    "name",
                    "other",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(call=st.sampled_from(sorted(CALLS)), data=st.data())
def test_one_field_that_is_anything_else_is_no_yes_unless_it_says_the_same(
    call: str, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from([*sorted(GOOD[call]), "request_id"]))
    value = data.draw(JSON | st.just(GOOD[call].get(key)))
    found = asked(call, lambda request_id: plain(good(call, request_id) | {key: value}))
    if isinstance(found, AuthorityFault):
        assert found.kind is FaultKind.NONSENSE
        assert found.reason is Reason.REALNAME_SYSTEM_ERROR
        return
    assert key != "request_id"
    if is_yes(found):
        decisive = {"result", "state", "items", "identity_digest"}
        assert key not in decisive or value == GOOD[call][key]


@settings(max_examples=400, deadline=None)
@given(call=st.sampled_from(sorted(CALLS)), content=st.binary(max_size=200) | JSON.map(plain))
def test_bytes_that_are_no_answer_to_this_request_are_nonsense(call: str, content: bytes) -> None:
    found = asked(call, lambda _: content)
    assert isinstance(found, AuthorityFault)
    assert found.kind is FaultKind.NONSENSE
    assert NUMBER not in repr(found)


@settings(max_examples=300, deadline=None)
@given(call=st.sampled_from(sorted(CALLS)), data=st.data())
def test_a_good_answer_that_is_cut_or_changed_in_one_byte_is_no_other_yes(
    call: str, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, 10**6))
    cut, byte = data.draw(st.booleans()), data.draw(st.integers(0, 255))

    def make(key: str) -> bytes:
        whole = bytearray(plain(good(call, key)))
        place = position % len(whole)
        if cut:
            return bytes(whole[:place])
        whole[place] = byte
        return bytes(whole)

    found = asked(call, make)
    if cut:
        assert isinstance(found, AuthorityFault)
    if isinstance(found, AuthorityFault):
        assert found.kind is FaultKind.NONSENSE


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("elements", {"result": "MATCH "}),
    ("elements", {"result": "match"}),
    ("elements", {"result": True}),
    ("elements", {"result": ["MATCH"]}),
    ("face", {"score": None}),
    ("face", {"score": "0.9"}),
    ("face", {"score": True}),
    ("face", {"score": -0.1}),
    ("face", {"score": 1.01}),
    ("face", {"score": 10**400}),
    ("face", {"result": "MISSING"}),  # with a score, of nothing
    ("photo", {"photo": "%%%"}),
    ("photo", {"photo": base64.b64encode(b"<html>").decode()}),
    ("photo", {"photo": base64.b64encode(JPEG + bytes(MAX_PICTURE_BYTES)).decode()}),
    ("photo", {"photo": None}),
    ("verify", {"items": ITEMS[:4]}),
    ("verify", {"items": [*ITEMS, ITEMS[0]]}),
    ("verify", {"items": [*ITEMS[:4], ITEMS[0]]}),
    ("verify", {"items": dict(enumerate(ITEMS))}),
    ("verify", {"items": [*ITEMS[:4], {"item": "OTHER", "result": "MATCH"}]}),
    ("verify", {"items": [*ITEMS[:4], {"item": "OTHER", "result": "MATCH", "source": "x" * 61}]}),
    ("query", {"record": {**RECORD, "id_number": "110000199001010038"}}),
    ("query", {"record": {**RECORD, "name": "x\u0000"}}),
    ("query", {"record": {**RECORD, "name": "\ud800"}}),
    ("query", {"record": {**RECORD, "name": "x" * 201}}),
    ("query", {"record": {**RECORD, "other": {f"k{number}": "x" for number in range(MAX_OTHER + 1)}}}),
    ("query", {"record": {**RECORD, "other": {"A": "x"}}}),
    ("query", {"record": {**RECORD, "other": {"a": 1}}}),
    ("query", {"record": None}),
    ("start", {"transaction_id": "../admin"}),
    ("start", {"transaction_id": "short"}),
    ("start", {"link": "http://ctid.example/x"}),
    ("start", {"link": "javascript:alert(1)"}),
    ("start", {"link": "https://user@ctid.example/x"}),
    ("start", {"link": "https://ctid.example/ x"}),
    ("start", {"link": "https://ctid.example:99999/x"}),
    ("start", {"expires_in_s": 0}),
    ("start", {"expires_in_s": 86_401}),
    ("start", {"expires_in_s": 3.5}),
    ("start", {"expires_in_s": True}),
    ("finish", {"identity_digest": "00"}),
    ("finish", {"identity_digest": None}),
    ("finish", {"state": "PENDING"}),  # with a digest, of nobody
    ("finish", {"state": "OTHER_PERSON"}),  # that is for us to see
    ("consistency", {"result": "YES"}),
]


@pytest.mark.parametrize(("call", "change"), WRONG)
def test_nonsense_of_a_kind(call: str, change: dict[str, Any]) -> None:
    found = asked(call, lambda key: plain(good(call, key) | change))
    assert isinstance(found, AuthorityFault)
    assert found.kind is FaultKind.NONSENSE


@pytest.mark.parametrize(
    "content",
    [
        b'{"request_id": "KEY", "result": "MISSING", "result": "MATCH"}',
        b'{"request_id": "KEY", "result": "MATCH"}{"result": "MISSING"}',
        b'\xef\xbb\xbf{"request_id": "KEY", "result": "MATCH"}',
        b'{"request_id": "KEY", "score": NaN, "result": "MATCH"}',
        b'{"request_id": "KEY", "score": -Infinity, "result": "MATCH"}',
        b"[" * 50_000,
        b'{"a":' * 20_000,
        b"1" * 10_000,
    ],
)
def test_json_that_readers_disagree_on_is_nonsense(content: bytes) -> None:
    found = asked("elements", lambda key: content.replace(b"KEY", key.encode()))
    assert isinstance(found, AuthorityFault)
    assert found.kind is FaultKind.NONSENSE


def test_an_answer_that_does_not_call_itself_json_is_nonsense() -> None:
    found = asked("elements", lambda key: plain(good("elements", key)), media_type="text/html")
    assert isinstance(found, AuthorityFault)
    assert found.kind is FaultKind.NONSENSE


def test_somebody_else_who_was_verified_is_not_the_one() -> None:
    digest = identity_digest(NONCE, "测试乙", NUMBER).hex()
    found = asked("finish", lambda key: plain(good("finish", key, identity_digest=digest)))
    assert (found.state, found.identity_digest) == (CtidState.OTHER_PERSON, b"")
    digest = identity_digest(bytes(32), NAME, NUMBER).hex()  # the answer to another transaction
    found = asked("finish", lambda key: plain(good("finish", key, identity_digest=digest)))
    assert found.state is CtidState.OTHER_PERSON


def test_what_was_not_given_cannot_match() -> None:
    async def work(result: str) -> Any:
        items = [{**item, "result": result if item["item"] == "PHOTO" else "MATCH"} for item in ITEMS]
        line = a_line(Canned(lambda key: plain({"request_id": key, "items": items})))
        return await HttpBank(line).verify(BankQuery(NAME, NUMBER, "x", b"", {"a": "b"}))

    with pytest.raises(AuthorityFault):
        asyncio.run(work("MATCH"))
    verdict = asyncio.run(work("UNAVAILABLE"))
    assert [item.result for item in verdict.items].count(ItemResult.UNAVAILABLE) == 1
    assert not verdict.passed


@pytest.mark.parametrize("picture", [b"", bytes(MAX_PICTURE_BYTES + 1)])
def test_pictures_beyond_the_bounds_are_not_sent(picture: bytes) -> None:
    gateway = Canned(lambda key: b"")

    async def work() -> None:
        with pytest.raises(ServiceError) as caught:
            await HttpRegistry(a_line(gateway)).compare_face(NUMBER, picture)
        assert caught.value.reason is Reason.REQUEST_INVALID

    asyncio.run(work())
    assert gateway.bodies == []


@pytest.mark.parametrize("with_days", [True, False])
def test_another_card_is_an_answer_only_to_who_asked_about_one(with_days: bool) -> None:
    gateway = Canned(lambda key: plain({"request_id": key, "result": "OTHER_CARD"}))
    validity = Validity(date(2020, 1, 1), None) if with_days else None

    async def work() -> FaceResult:
        return await HttpRegistry(a_line(gateway)).compare_face(NUMBER, JPEG, validity=validity)

    if with_days:
        assert asyncio.run(work()) == FaceResult(FaceMatch.OTHER_CARD, None)
        [body] = gateway.bodies
        assert (body["valid_from"], body["valid_to"]) == ("2020-01-01", None)
        return
    with pytest.raises(AuthorityFault) as caught:
        asyncio.run(work())
    assert caught.value.kind is FaultKind.NONSENSE
    [body] = gateway.bodies
    assert set(body) == {"id_number", "picture"}


def test_long_term_travels_as_null() -> None:
    gateway = Canned(lambda key: plain(good("elements", key)))
    asyncio.run(_ignoring(CALLS["elements"](a_line(gateway))))
    assert gateway.bodies == [{"name": NAME, "id_number": NUMBER, "valid_from": None, "valid_to": None}]


async def _ignoring(work: Awaitable[Any]) -> None:
    await work


def test_what_is_told_of_nonsense_names_the_rule_and_nothing_of_the_answer() -> None:
    with pytest.raises(NonsenseError, match=r"^name: not printable$"):
        Answer({"name": f"{NUMBER}\n"}).text("name")
    with pytest.raises(NonsenseError) as caught:
        parse_answer(f'{{"request_id": "{NUMBER}"}}'.encode(), request_id="x")
    assert NUMBER not in str(caught.value)
