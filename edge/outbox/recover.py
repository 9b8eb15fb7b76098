"""Saving what a broken store still holds: only when a person asks for it.

1. the broken database gets another name, in its folder; it is read, and never changed or deleted;
2. a new database is filled with every row that can be read and believed;
3. the new one takes the old name, whole.

A cut in between leaves a store that is missing, which says so; running the command again goes on. What
the newest record was is known from the store or from the mark beside it: then the places in between
show as holes, and the chain goes on. Where neither tells, only a RESET may follow.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import InputError, StorageError
from edge.files import locked, sync_folder
from edge.model import Hole, ResetReason
from edge.outbox.database import Store
from edge.outbox.faults import storage_errors
from edge.outbox.layout import (
    BROKEN_INFIX,
    LOCK_SUFFIX,
    MARK_SUFFIX,
    RESERVE_SUFFIX,
    beside,
    newest_broken,
)
from edge.outbox.refill import Refill
from edge.outbox.rollback import HeadMark
from edge.outbox.salvage import Salvaged, salvage
from edge.outbox.space import Reserve
from verifield.chain import ChainHead

NEW_SUFFIX = ".recovering"

_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


@dataclass(frozen=True, slots=True)
class Recovery:
    """``kept``: the broken file under its new name; None where there was none. ``records``: saved whole.

    ``damaged``: rows of which only some bytes are left. ``lost``: places of the newest epoch with nothing.
    ``head``: the newest record that is known of. ``reset_needed``: the end of the chain is not known.
    """

    kept: Path | None
    records: int
    damaged: int
    lost: tuple[Hole, ...]
    head: ChainHead | None
    reset_needed: bool


def recover(
    path: Path,
    *,
    device_id: str,
    now: datetime,
    progress: Callable[[int], None] = lambda _count: None,
) -> Recovery:
    """Put what can be saved of the store at ``path`` into a new one; ``progress`` is told how many rows.

    ``now`` only names the broken file. No key is needed: what is encrypted is carried over as it is.

    Raises:
        InputError: NOTHING_TO_RECOVER, there is no store and there never was one.
        StorageError: OUTBOX_BUSY while another process has it open; OUTBOX_OTHER_DEVICE; or the disk
            refuses. The broken file is still there, if under its new name: run it again.
    """
    with storage_errors(), locked(beside(path, LOCK_SUFFIX)):
        mark = HeadMark(beside(path, MARK_SUFFIX)).read()
        _check_alone(path)
        kept = _set_aside(path, now)
        if kept is None and mark is None:
            raise InputError(
                "NOTHING_TO_RECOVER",
                f"There is no store of records at {path}, and there never was one.",
                hint="Look whether --data names the right folder.",
            )
        salvaged = _read(kept, device_id, progress) if kept else Salvaged()
        return _refill(path, kept, salvaged, device_id=device_id, mark=mark)


def _read(kept: Path, device_id: str, progress: Callable[[int], None]) -> Salvaged:
    try:
        return salvage(kept, device_id=device_id, progress=progress)
    finally:  # what SQLite makes beside a file that it only reads
        beside(kept, "-shm").unlink(missing_ok=True)
        log = beside(kept, "-wal")
        if log.exists() and log.stat().st_size == 0:
            log.unlink()


def _refill(
    path: Path, kept: Path | None, salvaged: Salvaged, *, device_id: str, mark: ChainHead | None
) -> Recovery:
    new = beside(path, NEW_SUFFIX)
    for leftover in (new, *(beside(new, suffix) for suffix in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)  # of a run that was cut short
    with closing(Store.open(new, Reserve(beside(path, RESERVE_SUFFIX)))) as store:
        store.claim(device_id)
        refill = Refill(store)
        store.write(lambda: refill.put(salvaged))
        refill.chain.settle(mark)
        head = refill.chain.head()
        if not salvaged.head_known and (mark is None or head != mark):
            store.write(lambda: refill.chain.need_reset(ResetReason.STORE_LOST))
        recovery = Recovery(
            kept=kept,
            records=len(salvaged.records),
            damaged=len(salvaged.damaged),
            lost=tuple(refill.lost()),
            head=head,
            reset_needed=refill.chain.reset_needed() is not None,
        )
        store.checkpoint()
    new.replace(path)
    sync_folder(path.parent)
    return recovery


def _check_alone(path: Path) -> None:
    """Refuse while another process has the database open: it would write into a file that is set aside.

    Who has it open in write-ahead mode holds a shared lock on these bytes (SQLite, os.h).
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except BlockingIOError:
            raise StorageError(
                "OUTBOX_BUSY",
                "Another process has the store of records open.",
                hint="Stop it (verifield-edge sync, a session), then run the command again.",
            ) from None


def _set_aside(path: Path, now: datetime) -> Path | None:
    """Give the database another name, then its write-ahead log; return where it is, None if there is none.

    In between there is no store at ``path``, so nobody can take the log of one database for another's.
    """
    if path.exists():
        kept = path.with_name(f"{path.name}{BROKEN_INFIX}{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}")
        path.rename(kept)
        sync_folder(path.parent)
    elif (found := newest_broken(path)) is not None:
        kept = found
    else:
        return None
    with suppress(FileNotFoundError):
        beside(path, "-wal").rename(beside(kept, "-wal"))
    beside(path, "-shm").unlink(missing_ok=True)  # only an index, made anew by whoever opens the file
    sync_folder(path.parent)
    return kept
