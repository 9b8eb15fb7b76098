"""Times and spans that are none: the protocol carries any number in them, what works with them does not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

TIMESTAMP, DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"

FIRST_S, LAST_S = -62_135_596_800, 253_402_300_799
"""Of a time: the years 1 to 9999, as timestamp.proto says."""

LONGEST_S = 315_576_000_000
"""Of a span: some 10,000 years, as duration.proto says."""

_NANOS = 1_000_000_000


def find_odd_moment(message: Message) -> str:
    """The path of the first time or span in a message that is outside of what there is; empty for none."""
    return next(_odd(message, ""), "")


def _odd(message: Any, path: str) -> Iterator[str]:
    for name, repeated in _ways(message.DESCRIPTOR):
        if repeated:
            for number, one in enumerate(getattr(message, name)):
                yield from _odd_within(one, f"{path}{name}[{number}]")
        elif message.HasField(name):
            yield from _odd_within(getattr(message, name), f"{path}{name}")


def _odd_within(value: Any, path: str) -> Iterator[str]:
    kind = value.DESCRIPTOR.full_name
    if kind == TIMESTAMP:
        good = FIRST_S <= value.seconds <= LAST_S and 0 <= value.nanos < _NANOS
    elif kind == DURATION:
        good = abs(value.seconds) <= LONGEST_S and abs(value.nanos) < _NANOS
    else:
        yield from _odd(value, f"{path}.")
        return
    if not good:
        yield path


@cache
def _ways(kind: Descriptor) -> tuple[tuple[str, bool], ...]:
    """Fields of a message that lead to times: name, and whether there are many. Maps hold none of ours."""
    return tuple(
        (field.name, field.is_repeated)
        for field, inner in _inner(kind)
        if not inner.GetOptions().map_entry and _holds_moment(inner, frozenset({kind.full_name}))
    )


def _inner(kind: Descriptor) -> list[tuple[FieldDescriptor, Descriptor]]:
    """Fields of a message that hold messages, and of which kind."""
    return [(field, field.message_type) for field in kind.fields if field.message_type is not None]


def _holds_moment(kind: Descriptor, above: frozenset[str]) -> bool:
    if kind.full_name in (TIMESTAMP, DURATION):
        return True
    if kind.full_name in above:  # it holds itself
        return False
    return any(_holds_moment(inner, above | {kind.full_name}) for _, inner in _inner(kind))
