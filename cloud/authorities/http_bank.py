"""The central bank's verification of corporate accounts behind a gateway (docs/authorities.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cloud.authorities.answers import MAX_ANSWER_BYTES, Answer, NonsenseError
from cloud.authorities.http_registry import Found, to_base64
from cloud.authorities.line import Line
from cloud.authorities.port import (
    MAX_OTHER,
    MAX_TEXT_CHARS,
    BankQuery,
    BankRecord,
    BankVerdict,
    Item,
    ItemName,
    ItemResult,
)
from cloud.errors import Reason, ServiceError

MAX_SOURCE_CHARS = 60


class HttpBank:
    """``Bank`` of the port."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def verify(self, query: BankQuery, *, request_id: str = "") -> BankVerdict:
        """As the port says."""
        _check_other(query.other)
        given = _given(query)
        body = {
            "name": query.name,
            "id_number": query.id_number,
            "issuer": query.issuer or None,
            "photo": to_base64(query.photo) if query.photo else None,
            "other": dict(query.other),
        }
        asked = await self._line.ask(
            "verify",
            body,
            lambda answer: _read_items(answer, given),
            outcome=_outcome,
            request_id=request_id,
        )
        return BankVerdict(asked.value, asked.seconds, asked.tries)

    async def query(self, id_number: str, *, name: str = "", request_id: str = "") -> BankRecord:
        """As the port says."""
        asked = await self._line.ask(
            "query",
            {"id_number": id_number, "name": name or None},
            lambda answer: _read_record(answer, id_number),
            outcome=lambda record: "found" if record.found else "missing",
            request_id=request_id,
            limit=MAX_ANSWER_BYTES,
        )
        return replace(asked.value, seconds=asked.seconds, tries=asked.tries)


def _check_other(other: Mapping[str, str]) -> None:
    if len(other) > MAX_OTHER or any(len(value) > MAX_TEXT_CHARS for value in other.values()):
        raise ServiceError(
            Reason.REQUEST_INVALID, f"At most {MAX_OTHER} texts of {MAX_TEXT_CHARS} characters are verified."
        )


def _given(query: BankQuery) -> frozenset[ItemName]:
    values = {
        ItemName.NAME: query.name,
        ItemName.ID_NUMBER: query.id_number,
        ItemName.PHOTO: query.photo,
        ItemName.ISSUER: query.issuer,
        ItemName.OTHER: query.other,
    }
    return frozenset(name for name, value in values.items() if value)


def _read_items(answer: Answer, given: frozenset[ItemName]) -> tuple[Item, ...]:
    """Every item once; what was not given cannot match."""
    found: dict[ItemName, Item] = {}
    for one in answer.tables("items", count=len(ItemName)):
        name = one.one_of("item", ItemName)
        result = one.one_of("result", ItemResult)
        if name in found:
            raise NonsenseError("items: one twice")
        if name not in given and result is not ItemResult.UNAVAILABLE:
            raise NonsenseError("items: one that was not given was compared")
        found[name] = Item(name, result, one.text("source", longest=MAX_SOURCE_CHARS))
    return tuple(found[name] for name in ItemName)


def _read_record(answer: Answer, id_number: str) -> BankRecord:
    if answer.one_of("result", Found) is Found.MISSING:
        return BankRecord(found=False, seconds=0.0, tries=0)
    record = answer.table("record")
    if record.text("id_number") != id_number:
        raise NonsenseError("record: of somebody else")
    return BankRecord(
        found=True,
        seconds=0.0,
        tries=0,
        name=record.text("name"),
        id_number=id_number,
        issuer=record.text("issuer") if record.has("issuer") else "",
        photo=record.picture("photo") if record.has("photo") else b"",
        other=record.texts("other"),
        source=record.text("source", longest=MAX_SOURCE_CHARS),
    )


def _outcome(items: tuple[Item, ...]) -> str:
    results = {item.result for item in items}
    if ItemResult.MISMATCH in results:
        return "mismatch"
    return "match" if results == {ItemResult.MATCH} else "unavailable"
