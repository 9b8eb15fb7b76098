"""Lives of things as tables: what may happen in which state, and which state follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from cloud.errors import Reason, ServiceError

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, E]):
    """``table``: the next state by state and event; what is not in it is refused.

    ``refusals``: why an event is refused, where that is the same in every state; else ``refusal``. Both are
    reasons that travel as FAILED_PRECONDITION.
    """

    table: Mapping[tuple[S, E], S]
    refusal: Reason
    refusals: Mapping[E, Reason]

    def after(self, state: S, event: E) -> S:
        """The state after ``event``.

        Raises:
            ServiceError: the reason of the table, with ``state`` and ``event`` as facts.
        """
        following = self.table.get((state, event))
        if following is None:
            raise ServiceError(
                self.refusals.get(event, self.refusal),
                f"In the state {state.name} this is not possible: {event.name}.",
                {"state": state.name, "event": event.name},
            )
        return following

    def allows(self, state: S, event: E) -> bool:
        """Whether ``event`` may happen in ``state``."""
        return (state, event) in self.table
