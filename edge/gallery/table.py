"""What is in memory: codes to search in, and who each row is. The templates themselves stay on the disk.

Rows of the segment are in the order of their ids, and are found by halving. Rows of the journal follow in
the order in which they came; these are few, and are sorted when somebody asks for many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge.gallery.codes import Codes, RowCodes, first_blocks, put_rows, remove_rows, untouched_codes
from edge.gallery.layout import CHUNK_ROWS, NO_DAY, Records
from edge.gallery.vector_ir import ROWS

Ids = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.int64]

NOBODY = -1
"""The last day of a row that counts no more."""

_LOOK_THROUGH = 16
"""Up to so many ids, looking through the journal's rows is faster than sorting these."""


class Table:
    """``first``: rows of the segment, ``count`` of which are filled; ``room``: rows that may follow.

    ``hidden``: bool, rows that are not found, but have not been removed.
    """

    def __init__(self, first: int, count: int, *, room: int) -> None:
        self._first, self._count = first, count
        self.rows = first
        self.live = count
        self._blocks = 0
        self._make_room(first + room)
        self._extend(first)
        self.last_days[count:first] = NOBODY

    def _make_room(self, rows: int) -> None:
        blocks = -(-rows // ROWS)
        self._codes = untouched_codes(blocks)
        self.ids: Ids = np.zeros(blocks * ROWS, "S16")
        self.last_days = np.zeros(blocks * ROWS, np.int32)
        self.kinds = np.zeros(blocks * ROWS, np.uint8)
        self.hidden = np.zeros(blocks * ROWS, np.bool_)

    @property
    def codes(self) -> Codes:
        """Of all rows that there are."""
        return first_blocks(self._codes, self._blocks)

    @property
    def nbytes(self) -> int:
        """Memory that rows take, the codes' and the directory's."""
        codes = first_blocks(self._codes, self._blocks)
        directory = self.ids, self.last_days, self.kinds, self.hidden
        return codes.nbytes + sum(one[: self.rows].nbytes for one in directory)

    def chunk(self, index: int) -> tuple[npt.NDArray[Any], ...]:
        """The arrays that a chunk of the segment fills; see edge.gallery.layout.open_chunk."""
        rows = slice(index * CHUNK_ROWS, min(self._first, (index + 1) * CHUNK_ROWS))
        blocks = slice(rows.start // ROWS, rows.stop // ROWS)
        codes = self._codes
        return (
            codes.blocks[blocks],
            codes.error8[blocks],
            codes.low[rows],
            self.ids[rows],
            self.last_days[rows],
            self.kinds[rows],
        )

    def find(self, ids: Ids) -> Rows:
        """The row of each id, or -1."""
        found = np.full(len(ids), -1, np.int64)
        if self._count:
            _find_sorted(self.ids[: self._count], ids, found)
        recent = self.ids[self._first : self.rows]
        if not len(recent):
            return self._that_count(found)
        if len(ids) <= _LOOK_THROUGH:
            for place, wanted in enumerate(ids):
                same = np.flatnonzero(recent == wanted)
                if len(same):
                    found[place] = self._first + same[-1]
        else:
            order = np.argsort(recent, kind="stable")
            newest = np.full(len(ids), -1, np.int64)
            _find_sorted(recent[order], ids, newest)
            there = newest >= 0
            found[there] = self._first + order[newest[there]]
        return self._that_count(found)

    def put(self, records: Records) -> Rows:
        """Add records behind all others, and drop the rows that they replace; return these, or -1."""
        replaced = self.find(records["candidate"])
        self.drop(replaced[replaced >= 0])
        first, last = self.rows, self.rows + len(records)
        if last > len(self.ids):
            self._grow(last)
        self._extend(last)
        codes = RowCodes(*(records[name] for name in ("high", "low", "scale", "error4", "error8")))
        put_rows(self._codes, first, codes)
        self.ids[first:last] = records["candidate"]
        self.last_days[first:last] = records["last_day"]
        self.kinds[first:last] = records["kind"]
        self.live += len(records)
        return replaced

    def drop(self, rows: Rows) -> None:
        """Let rows that count be found no more, for ever."""
        remove_rows(self._codes, rows)
        self.live -= int((~self.hidden[rows]).sum())
        self.last_days[rows], self.hidden[rows] = NOBODY, False

    def hide(self, rows: Rows) -> None:
        """Let rows be found no more, as long as this is in memory: the file has them still."""
        remove_rows(self._codes, rows)
        self.live -= len(rows)
        self.hidden[rows] = True

    def counting(self) -> Rows:
        """All rows that count, also hidden ones, in the order of their ids."""
        rows = np.flatnonzero(self.last_days[: self.rows] != NOBODY)
        return rows[np.argsort(self.ids[rows], kind="stable")] if self.rows > self._first else rows

    def expired(self, today: int) -> Rows:
        """Rows whose last day is over by then, whether they are hidden or not."""
        days = self.last_days[: self.rows]
        return np.flatnonzero((days > NO_DAY) & (days < today))

    def _that_count(self, rows: Rows) -> Rows:
        rows[(rows >= 0) & (self.last_days[rows] == NOBODY)] = -1
        return rows

    def _extend(self, rows: int) -> None:
        """Let there be so many rows, the new ones empty."""
        blocks = -(-rows // ROWS)
        self._codes.scales[self._blocks : blocks] = np.nan
        self._blocks, self.rows = blocks, rows

    def _grow(self, rows: int) -> None:
        """Where compaction could not make room in time."""
        old, directory = self.codes, (self.ids, self.last_days, self.kinds, self.hidden)
        self._make_room(rows + rows // 4)
        new = first_blocks(self._codes, self._blocks)
        for target, source in ((new.blocks, old.blocks), (new.low, old.low), (new.error8, old.error8)):
            target[...] = source
        for whole, part in zip((self.ids, self.last_days, self.kinds, self.hidden), directory, strict=True):
            whole[: self.rows] = part[: self.rows]


def _find_sorted(ordered: Ids, ids: Ids, found: Rows) -> None:
    """The place of each id's last copy among ``ordered``."""
    places = np.searchsorted(ordered, ids, side="right") - 1
    same = (places >= 0) & (ordered[places] == ids)
    found[same] = places[same]
