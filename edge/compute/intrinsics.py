"""Functions for compiled code that write their own instructions: a network's inner loops, and how threads
share its work out.

Each layer is cut into tasks. A thread takes the next one that nobody has, and waits at the end of a layer
until all are done; a thread that comes late finds little left, and nobody waits for it to begin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.compute.compiling import RequireLiteralValue, compiled, intrinsic, types
from edge.compute.vectors import Kind, emit_look, emit_take, emit_yield

COUNTER_STEP = 16
"""Counters of 8 bytes lie so far apart that no two share a line of the cache."""

PATIENCE = 200
"""Looks at a counter (some microseconds) before a waiting thread offers its processor to another."""


def emitting(emit: Callable[[Any, Kind, list[Any]], None]) -> Any:
    """A function of a constant kind and a row of whole numbers, for which ``emit`` writes the code."""

    def written(typing_context: Any, kind: Any, arguments: Any) -> Any:
        if not isinstance(kind, types.IntegerLiteral):
            raise RequireLiteralValue("the kind is a constant")
        chosen = Kind(kind.literal_value)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            places = range(arguments.count)
            emit(builder, chosen, [builder.extract_value(values[1], place) for place in places])
            return context.get_dummy_value()

        return types.void(kind, arguments), generate

    return intrinsic(written)


@intrinsic
def take(typing_context: Any, address: Any) -> Any:
    """Add one to a counter that threads share, and return what it was."""
    signature = types.int64(types.int64)
    return signature, lambda context, builder, _signature, values: emit_take(builder, values[0])


@intrinsic
def look(typing_context: Any, address: Any) -> Any:
    """What such a counter shows."""
    signature = types.int64(types.int64)
    return signature, lambda context, builder, _signature, values: emit_look(builder, values[0])


@intrinsic
def yield_processor(typing_context: Any) -> Any:
    """Let another thread have the processor."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        emit_yield(builder)
        return context.get_dummy_value()

    return types.void(), generate


@compiled
def wait_for(counter: int, tasks: int) -> None:
    """Wait until a counter shows so many."""
    looks = 0
    while look(counter) < tasks:
        looks += 1
        if looks > PATIENCE:
            yield_processor()
