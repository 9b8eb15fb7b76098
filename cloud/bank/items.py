"""Items of a verification as values: what the authority said, put together, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cloud.authorities.port import Item, ItemName, ItemResult
from verifield.v1 import bank_pb2
from verifield.v1 import coop_service_pb2 as pb

_NAMES = {name: bank_pb2.CoopItemName.Value(f"COOP_ITEM_NAME_{name.value}") for name in ItemName}
_RESULTS = {
    result: bank_pb2.CoopItemResult.Value(f"COOP_ITEM_RESULT_{result.value}") for result in ItemResult
}
_WORST_LAST = (
    bank_pb2.COOP_ITEM_RESULT_MATCH,
    bank_pb2.COOP_ITEM_RESULT_UNAVAILABLE,
    bank_pb2.COOP_ITEM_RESULT_MISMATCH,
)


def to_items(found: Iterable[Item]) -> list[bank_pb2.CoopItem]:
    """Items as the contract has them."""
    return [
        bank_pb2.CoopItem(item=_NAMES[one.name], result=_RESULTS[one.result], source=one.source)
        for one in found
    ]


def combine(
    first: Sequence[bank_pb2.CoopItem], second: Sequence[bank_pb2.CoopItem]
) -> list[bank_pb2.CoopItem]:
    """Of each item the worse result, with all sources: what was seen twice must be right twice."""
    others = {one.item: one for one in second}
    combined = []
    for one in first:
        other = others.get(one.item, one)
        sources = dict.fromkeys((*one.source.split("; "), *other.source.split("; ")))
        combined.append(
            bank_pb2.CoopItem(
                item=one.item,
                result=max(one.result, other.result, key=_WORST_LAST.index),
                source="; ".join(source for source in sources if source),
            )
        )
    return combined


def passed(items: Sequence[bank_pb2.CoopItem]) -> bool:
    """Whether all five match: what could not be compared has not been verified."""
    matching = {one.item for one in items if one.result == bank_pb2.COOP_ITEM_RESULT_MATCH}
    return matching == set(_NAMES.values())


def photo_of(source: str, result: bank_pb2.CoopItemResult.ValueType) -> list[bank_pb2.CoopItem]:
    """The item PHOTO alone, as somebody else than the authority's comparison has it."""
    return [bank_pb2.CoopItem(item=bank_pb2.COOP_ITEM_NAME_PHOTO, result=result, source=source)]


def pack(items: Sequence[bank_pb2.CoopItem], outcome: bank_pb2.CoopOutcome.ValueType) -> bytes:
    """As they are stored with a session."""
    return pb.CoopSession(items=items, outcome=outcome).SerializeToString(deterministic=True)


def unpack(content: bytes | None) -> pb.CoopSession:
    """Items and outcome of a session; none where nothing was asked."""
    return pb.CoopSession.FromString(content or b"")
