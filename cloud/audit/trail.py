"""Events that change nothing themselves: refused calls, and reads of personal data.

They do not get a transaction each. Equal ones are counted in memory and written together, at most
FLUSH_S after the first of them, and once more when the service ends. What is lost by a crash is therefore
at most what was read within that second; while events cannot be written, nothing personal can be read.
Where it is not known whether they were written, because the connection broke, they are written again.
A caller who is refused again and again costs one event in REPEAT_S, with the count.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection
from structlog.typing import FilteringBoundLogger

from cloud.audit import chain
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store.database import Store
from verifield.v1 import audit_pb2 as pb

FLUSH_S = 1.0
"""Longest time between a read and its event, beside that of the commit."""

REPEAT_S = 60.0
"""Between two events about the same refusal: a guesser must not fill the disk."""

_REPEAT_US = int(REPEAT_S * 1e6)

MAX_GROUPS = 1000
"""Different events that wait: a page of the chain. More callers at once than this have to wait."""

REFUSED = "calls.refused"
OTHERS = "others"
"""Who is refused beyond MAX_GROUPS is counted under this name."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is counted together."""

    outcome: pb.AuditOutcome.ValueType
    action: str
    subject: str
    caller: str
    reason: str = ""


@dataclass(slots=True)
class _Group:
    """``due_us`` 0: at once, whatever the clock says."""

    count: int
    request_id: str
    due_us: int


@dataclass(slots=True)
class Trail:
    """Gathers notes; any thread may add some. :meth:`run` writes them."""

    store: Store
    sources: Sources
    _mutex: threading.Lock = field(default_factory=threading.Lock)
    _groups: dict[Note, _Group] = field(default_factory=dict)
    # When a refusal was written last.
    _written: dict[Note, int] = field(default_factory=dict)
    # Name of the fault for which the last notes could not be written.
    _fault: str = ""

    def record_read(self, *, action: str, subject: str, caller: str, request_id: str) -> None:
        """Note that personal data is about to be read; call it before the data is handed out.

        Raises:
            ServiceError: STORE_UNAVAILABLE while the last events could not be written, or too many wait.
        """
        note = Note(pb.AUDIT_OUTCOME_READ, action, subject, caller)
        if self._fault or not self._add(note, request_id):
            raise ServiceError(
                Reason.STORE_UNAVAILABLE, "Nothing personal is read while the audit trail cannot be written."
            )

    def record_refusal(self, *, method: str, reason: str, caller: str, request_id: str) -> None:
        """Note that a call was refused."""
        note = Note(pb.AUDIT_OUTCOME_REFUSED, REFUSED, method, caller, reason)
        now_us = to_us(self.sources.now())
        due_us = self._written.get(note, -_REPEAT_US) + _REPEAT_US
        if not self._add(note, request_id, due_us=max(now_us, due_us)):
            others = Note(pb.AUDIT_OUTCOME_REFUSED, REFUSED, OTHERS, OTHERS)
            self._add(others, request_id, beyond=True)

    async def run(self, stop: asyncio.Event, log: FilteringBoundLogger) -> None:
        """Write what is due until ``stop`` is set, and then the rest."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), FLUSH_S)
            await self._flush_and_tell(log, everything=False)
        await self._flush_and_tell(log, everything=True)

    async def flush(self, *, everything: bool = False) -> int:
        """Write what is due, or everything, in one transaction; return how many events that made.

        Where the database is away they are kept for the next time, and reads are refused until then.
        """
        taken = self._take(everything=everything)
        if not taken:
            return 0
        try:
            await asyncio.to_thread(self.store.run, self._writer(taken))
        except Exception as error:  # whatever it is, the notes must not be lost
            self._fault = type(error).__name__
            self._put_back(taken)
            return 0
        self._fault = ""
        self._remember(taken)
        return len(taken)

    async def _flush_and_tell(self, log: FilteringBoundLogger, *, everything: bool) -> None:
        await self.flush(everything=everything)
        if self._fault:
            log.warning("audit_trail", error=self._fault, waiting=len(self._groups))

    def _add(self, note: Note, request_id: str, *, due_us: int = 0, beyond: bool = False) -> bool:
        with self._mutex:
            group = self._groups.get(note)
            if group is not None:
                group.count += 1
                return True
            if len(self._groups) >= MAX_GROUPS and not beyond:
                return False
            self._groups[note] = _Group(1, request_id, due_us)
            return True

    def _take(self, *, everything: bool) -> dict[Note, _Group]:
        now_us = to_us(self.sources.now())
        with self._mutex:
            # What is due later than anything can be: the clock was set back meanwhile.
            taken = {
                note: one
                for note, one in self._groups.items()
                if everything or not now_us < one.due_us <= now_us + _REPEAT_US
            }
            for note in taken:
                del self._groups[note]
        return taken

    def _put_back(self, taken: dict[Note, _Group]) -> None:
        with self._mutex:
            for note, group in taken.items():
                newer = self._groups.get(note)
                group.count += newer.count if newer else 0
                self._groups[note] = group

    def _remember(self, taken: dict[Note, _Group]) -> None:
        now_us = to_us(self.sources.now())
        oldest = now_us - _REPEAT_US
        self._written = {note: at for note, at in self._written.items() if oldest < at <= now_us} | {
            note: now_us for note in taken if note.outcome == pb.AUDIT_OUTCOME_REFUSED
        }

    def _writer(self, taken: dict[Note, _Group]) -> Callable[[Connection], None]:
        now_us = to_us(self.sources.now())

        def write(connection: Connection) -> None:
            for note, group in taken.items():
                facts = {"count": str(group.count)} if group.count > 1 else {}
                chain.record(
                    connection,
                    action=note.action,
                    subject=note.subject[: chain.MAX_SUBJECT_CHARS],
                    caller=note.caller[: chain.MAX_CALLER_CHARS],
                    request_id=group.request_id,
                    now_us=now_us,
                    facts=facts | ({"reason": note.reason} if note.reason else {}),
                    outcome=note.outcome,
                )

        return write
