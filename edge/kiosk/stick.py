"""Delivery by hand at the screen: records out to a USB stick, the cloud's answer in from one.

The work runs on a thread of its own and outlives the page: whoever comes back, or wakes the device, sees
how far it is or what came of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from edge.app import open_identity
from edge.config import EdgeConfig
from edge.delivery import export_records, import_answer
from edge.errors import EdgeError, InputError, Interrupted
from edge.kiosk.answers import check_controls, done, go, posts, read_json, text_of
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.showing import fault_text
from edge.kiosk.shown import size
from edge.kiosk.sticks import Stick, StickFile, find_sticks, transfer_files
from edge.sync.answer import ImportReport
from edge.sync.export import ExportReport

PATH = "/stick"
MAX_NAME_CHARS = 255  # of a file

Kind = Literal["export", "import"]
Work = Callable[[threading.Event, Callable[[int], None]], ExportReport | ImportReport]
"""Gets what says that somebody pressed stop, and whom to tell how many records are done."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One delivery by hand. ``count``: records so far. ``running`` until there is a report or a fault."""

    kind: Kind
    running: bool = True
    count: int = 0
    report: ExportReport | ImportReport | None = None
    fault: EdgeError | None = None

    @property
    def stopped(self) -> bool:
        return isinstance(self.fault, Interrupted)


class Courier:
    """At most one transfer at a time. ``tell`` is called whenever something has changed."""

    def __init__(self, tell: Callable[[Transfer | None], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._transfer: Transfer | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def transfer(self) -> Transfer | None:
        """The one that runs, or that ended and was not closed yet."""
        with self._lock:
            return self._transfer

    def begin(self, kind: Kind, work: Work) -> None:
        """Begin; returns at once.

        Raises:
            InputError: TRANSFER_RUNNING.
        """
        with self._lock:
            if self._transfer is not None and self._transfer.running:
                raise InputError("TRANSFER_RUNNING", "A transfer is under way.", hint="Wait for its end.")
            self._transfer, self._stop = Transfer(kind), threading.Event()
            self._thread = threading.Thread(target=self._run, args=(work, self._stop), name="stick")
            self._thread.start()
        self._tell(self.transfer)

    def stop(self) -> None:
        """Let it end as soon as nothing is lost by it."""
        self._stop.set()

    def close(self) -> None:
        """Put away the report of one that ended; one that runs goes on."""
        with self._lock:
            if self._transfer is not None and not self._transfer.running:
                self._transfer = None
        self._tell(self.transfer)

    def join(self) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, work: Work, stop: threading.Event) -> None:
        try:
            report = work(stop, lambda count: self._note(count, stop))
        except EdgeError as error:
            self._end(fault=error)
        except BaseException:
            self._end(fault=EdgeError("INTERNAL_FAULT", "The transfer ended by a fault of the program."))
            raise
        else:
            self._end(report=report)

    def _note(self, count: int, stop: threading.Event) -> None:
        if stop.is_set():
            raise Interrupted
        with self._lock:
            if self._transfer is not None:
                self._transfer = replace(self._transfer, count=count)
        self._tell(self.transfer)

    def _end(
        self, *, report: ExportReport | ImportReport | None = None, fault: EdgeError | None = None
    ) -> None:
        with self._lock:
            if self._transfer is not None:
                self._transfer = replace(self._transfer, running=False, report=report, fault=fault)
        self._tell(self.transfer)


def routes(kiosk: Kiosk, find: Callable[[], list[Stick]] = find_sticks) -> list[BaseRoute]:
    """The pages of this flow. ``find``: which sticks are in."""
    flow = _Stick(kiosk, find)
    takes = {"export": flow.export, "import": flow.import_, "stop": flow.stop, "close": flow.close}
    return [Route(PATH, flow.show, methods=["GET"]), *posts(PATH, takes)]


class _Stick:
    def __init__(self, kiosk: Kiosk, find: Callable[[], list[Stick]]) -> None:
        self._kiosk = kiosk
        self._find = find
        self._courier = Courier(self._tell)

    async def show(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        transfer = self._courier.transfer
        if transfer is not None:
            return kiosk.page(request, "stick_work.html", transfer=transfer, **self._words(transfer))
        sticks = await kiosk.run(lambda: look_at_sticks(kiosk.config, self._find))
        return kiosk.page(request, "stick.html", sticks=sticks, size=size)

    async def export(self, request: Request) -> Response:
        stick = await self._chosen(request)
        if stick.free_bytes is None:
            raise InputError("STICK_READ_ONLY", "The stick cannot be written.", hint="Use another stick.")
        config = self._kiosk.config
        self._courier.begin(
            "export", lambda stop, note: export_records(config, stick.path, stop=stop, progress=note)
        )
        return go(PATH)

    async def import_(self, request: Request) -> Response:
        given = await read_json(request)
        name = text_of(given, "file", max_chars=MAX_NAME_CHARS)
        stick = await self._chosen(request)
        files = await self._kiosk.run(lambda: _files(stick))
        chosen = next((file.path for file in files if file.name == name), None)
        if chosen is None:
            raise _gone()
        config = self._kiosk.config
        self._courier.begin("import", lambda stop, _note: import_answer(config, chosen, stop=stop))
        return go(PATH)

    async def stop(self, request: Request) -> Response:
        await read_json(request)
        check_controls(self._kiosk, request)
        self._courier.stop()
        return done()

    async def close(self, request: Request) -> Response:
        await read_json(request)
        check_controls(self._kiosk, request)
        self._courier.close()
        return go("/")

    async def _chosen(self, request: Request) -> Stick:
        """The stick that was chosen, which must still be in; only who is signed in chooses one."""
        given = await read_json(request)
        check_controls(self._kiosk, request)
        if await to_sign_in(self._kiosk, request) is not None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        wanted = Path(text_of(given, "stick", max_chars=4096))
        for stick in await self._kiosk.run(self._find):
            if stick.path == wanted:
                return stick
        raise _gone()

    def _tell(self, transfer: Transfer | None) -> None:
        said = None if transfer is None else {"running": transfer.running, "count": transfer.count}
        self._kiosk.hub.tell(stick=said)

    def _words(self, transfer: Transfer) -> dict[str, Any]:
        """The sentences about a transfer, in the order in which they are read."""
        texts = self._kiosk.texts()
        report, lines = transfer.report, []
        if isinstance(report, ExportReport):
            lines.append(
                texts(
                    "stick.done.export",
                    records=report.records,
                    files=report.files,
                    size=size(report.size_bytes),
                )
            )
            lines.append(texts("stick.not_all") if not report.complete else texts("stick.next.export"))
        elif isinstance(report, ImportReport):
            lines.append(texts("stick.done.import", delivered=report.delivered, confirmed=report.confirmed))
            if report.stale:
                lines.append(texts("stick.stale"))
            if report.notes:
                lines.append(texts("stick.notes", n=report.notes))
        return {"lines": lines, "told": fault_text(transfer.fault.code, texts) if transfer.fault else None}


@dataclass(frozen=True, slots=True)
class Offered:
    """A stick with the transfer files on it. ``own``: written by this device, so no answer."""

    stick: Stick
    answers: tuple[StickFile, ...]


def look_at_sticks(config: EdgeConfig, find: Callable[[], list[Stick]]) -> list[Offered]:
    """What is in and what is on it; what this device wrote itself is no answer and not offered."""
    own = f"{open_identity(config).device_id}-"
    offered = []
    for stick in find():
        try:
            files = transfer_files(stick)
        except OSError:
            continue  # it was pulled out at this moment
        offered.append(Offered(stick, tuple(file for file in files if not file.name.startswith(own))))
    return offered


def _files(stick: Stick) -> list[StickFile]:
    try:
        return transfer_files(stick)
    except OSError:
        raise _gone() from None


def _gone() -> InputError:
    return InputError("STICK_GONE", "The stick is no longer in.", hint="Put it in again and choose anew.")
