"""What each file written by hand had in it, so that the answer, which comes days later, can be read.

One small file for each export, in a folder beside the outbox. Without it an answer means nothing: the
cloud names no places, only one result after the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge.files import make_private_folder, write_private
from edge.model import Position

MAX_EXPORTS = 32
"""Answers to older files than that are not waited for any more."""

MAX_ENTRY_BYTES = 64 * 1024 * 1024
"""A million records."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``batches``: the places in each deliver frame; ``damaged``: places of broken records, all together.

    ``tree_size``: of the log that the device had seen then. ``cursor``: where its news began.
    """

    transfer_id: str
    tree_size: int
    cursor: str
    batches: tuple[tuple[Position, ...], ...]
    damaged: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    folder: Path

    def keep(self, entry: Entry) -> None:
        """Store an entry durably, and forget the oldest."""
        make_private_folder(self.folder)
        values = {
            "tree_size": entry.tree_size,
            "cursor": entry.cursor,
            "batches": [[(at.epoch, at.seq) for at in batch] for batch in entry.batches],
            "damaged": [(at.epoch, at.seq) for at in entry.damaged],
        }
        kept = self._entries()
        path = self.folder / f"{kept[-1][0] + 1 if kept else 1}_{entry.transfer_id}.json"
        write_private(path, json.dumps(values).encode())
        for _, old in kept[: max(0, len(kept) + 1 - MAX_EXPORTS)]:
            old.unlink(missing_ok=True)

    def find(self, transfer_id: str) -> Entry | None:
        """Return the entry; None where there is none, or it cannot be read."""
        try:
            path = next(path for _, path in self._entries() if path.stem.endswith(f"_{transfer_id}"))
            with path.open("rb") as file:
                values = json.loads(file.read(MAX_ENTRY_BYTES))
            return Entry(
                transfer_id=transfer_id,
                tree_size=int(values["tree_size"]),
                cursor=str(values["cursor"]),
                batches=tuple(tuple(Position(*at) for at in batch) for batch in values["batches"]),
                damaged=tuple(Position(*at) for at in values["damaged"]),
            )
        except (StopIteration, OSError, ValueError, KeyError, TypeError):
            return None

    def _entries(self) -> list[tuple[int, Path]]:
        """Numbered as they were written: no clock of a device is good enough for that."""
        numbered = ((path.name.partition("_")[0], path) for path in self.folder.glob("*_*.json"))
        return sorted((int(number), path) for number, path in numbered if number.isdecimal())
