"""Camera and card reader have identities too: another one than last time is an event of the chain. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge.model import PeripheralKind


@dataclass(frozen=True, slots=True)
class PeripheralChange:
    """``previous_id``: empty where there was none before."""

    kind: PeripheralKind
    previous_id: str
    current_id: str


def judge_peripheral(kind: PeripheralKind, *, previous_id: str, current_id: str) -> PeripheralChange | None:
    """Return the change to record, or None where it is the one seen last.

    The first one is recorded as well: what is not known from the start can be swapped unseen. A
    ``current_id`` that is empty says that the part was not there, which changes nothing.
    """
    if not current_id or current_id == previous_id:
        return None
    return PeripheralChange(kind, previous_id, current_id)
