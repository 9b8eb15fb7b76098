"""The one stream to the page: the whole state as JSON text, preview pictures as binary messages.

Latest wins in both: a page that is slow misses states and pictures in between, never the newest. The page
says back what it has drawn: ``{"painted": n}`` for a light, ``{"frame": n}`` for a picture, which paces
them; and ``{"touched": path}`` when somebody touches it, which keeps them signed in (:mod:`edge.kiosk.idle`).
Nothing else that it says here decides anything. The newest page has the controls; an older one is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from edge.kiosk.state import Light, Stage, View, snapshot
from edge.kiosk.texts import Texts
from edge.model import Colour
from edge.texts import Language

MAX_MESSAGE_CHARS = 256  # of what the page says back: two numbers, the path of a flow
MAX_PAGES = 8  # open at once: somebody has left tabs behind
FRAMES_AHEAD = 2  # pictures that a page may have been sent without having drawn them
HEARTBEAT_S = 5.0  # the time left is said anew, and a page that is gone is noticed
PAINT_S = 1.5  # a page that has not drawn a colour by then is away; the challenge waits little longer


@dataclass(eq=False, slots=True)
class Page:
    """One open page. ``changed``: there may be something new for it."""

    number: int
    loop: asyncio.AbstractEventLoop
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    drawn: int = 0  # number of the newest picture it has drawn
    sent: int = 0  # how many it was sent since it began to draw

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended, and so has the page
            self.loop.call_soon_threadsafe(self.changed.set)


class Hub:
    """Holds the newest state and picture, for every thread; wakes the pages when they change.

    ``on_touch``: called on the event loop when the page that has the controls was touched, with the path of
    the flow that it shows.
    """

    def __init__(self, language: Language, *, now: Callable[[], float] = time.monotonic) -> None:
        self.on_touch: Callable[[str], None] = lambda _flow: None
        self._now = now
        self._lock = threading.Condition()
        self._view = View()
        self._language: Language = language
        self._revision = 0
        self._frame: tuple[int, bytes] = (0, b"")
        self._lights = itertools.count(1)
        self._painted = 0
        self._paints = True  # the newest colour was painted in time
        self._pages: dict[int, Page] = {}
        self._numbers = itertools.count(1)
        self._newest = 0
        self._extra: dict[str, Any] = {}

    @property
    def view(self) -> View:
        with self._lock:
            return self._view

    @property
    def language(self) -> Language:
        with self._lock:
            return self._language

    @property
    def now(self) -> float:
        """The seconds by which deadlines are kept."""
        return self._now()

    def set_language(self, language: Language) -> None:
        with self._lock:
            self._language = language
            self._changed()

    def update(self, **changes: Any) -> View:
        """Replace these fields of the view, and tell the pages."""
        with self._lock:
            self._view = replace(self._view, **changes)
            self._changed()
            return self._view

    def put_away(self) -> None:
        """Leave the result or the fault that is shown, and what it shows of a person; a session goes on."""
        with self._lock:
            if not self._view.busy:
                self.update(stage=Stage.NONE, result=None, fault=("", ""))

    def tell(self, **values: Any) -> None:
        """Say something beside the session to every page: JSON values by name (the queue's length)."""
        with self._lock:
            if any(self._extra.get(name) != value for name, value in values.items()):
                self._extra = {**self._extra, **values}
                self._changed()

    def offer_frame(self, jpeg: bytes) -> None:
        """Give the newest preview picture."""
        with self._lock:
            self._frame = (self._frame[0] + 1, jpeg)
            page = self._pages.get(self._newest)
        if page is not None:
            page.wake()

    def rest(self, resting: bool) -> None:
        """Say whether the camera is not looked at just now."""
        self.update(still=resting)

    def forget_frame(self) -> None:
        """No picture of a person stays behind when the camera is done."""
        with self._lock:
            self._frame = (self._frame[0], b"")

    def light(self, colour: Colour | None) -> bool:
        """Fill the page with a colour; return whether the page that has the controls says it is painted."""
        with self._lock:
            number = next(self._lights)
            self._view = replace(self._view, light=Light(number, colour))
            self._changed()
            self._paints = self._lock.wait_for(lambda: self._painted >= number, PAINT_S)
            return self._paints

    @property
    def can_light(self) -> bool:
        """Whether a page is open, and has painted the newest colour in time."""
        with self._lock:
            return bool(self._pages) and self._paints

    @property
    def watched(self) -> bool:
        """Whether any page is open."""
        with self._lock:
            return bool(self._pages)

    def in_control(self, page: int) -> bool:
        """Whether this page is the newest."""
        with self._lock:
            return page == self._newest

    def message(self, page: Page) -> tuple[int, str]:
        """The whole state for one page, with its revision."""
        with self._lock:
            view, language, revision = self._view, self._language, self._revision
            controls, extra = page.number == self._newest, self._extra
        said = snapshot(view, Texts(language), now=self._now())
        return revision, json.dumps(
            {**extra, **said, "page": page.number, "controls": controls, "revision": revision}
        )

    def next_frame(self, page: Page) -> bytes:
        """The newest picture that this page may be sent now: its number (32 bits, big-endian), a JPEG."""
        with self._lock:
            number, jpeg = self._frame
            ahead = page.sent - page.drawn
            if page.number != self._newest or not jpeg or number <= page.sent or ahead >= FRAMES_AHEAD:
                return b""
            page.sent = number
        return struct.pack(">I", number) + jpeg

    def add_page(self) -> Page | None:
        """A page opens, on its event loop; None where too many are open."""
        with self._lock:
            if len(self._pages) >= MAX_PAGES:
                return None
            page = Page(next(self._numbers), asyncio.get_running_loop())
            page.drawn = page.sent = self._frame[0] - (1 if self._frame[1] else 0)
            self._pages[page.number] = page
            self._newest = page.number
            self._paints = True  # until it fails to
            self._changed()
            return page

    def remove_page(self, page: Page) -> None:
        """A page is gone; the newest of those left has the controls."""
        with self._lock:
            self._pages.pop(page.number, None)
            self._newest = max(self._pages, default=0)
            self._changed()

    def hear(self, page: Page, text: str) -> None:
        """Take what a page says it has drawn, and that it was touched; anything else is nothing."""
        try:
            said = json.loads(text) if len(text) <= MAX_MESSAGE_CHARS else {}
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        with self._lock:
            painted, drawn = said.get("painted"), said.get("frame")
            if type(painted) is int and page.number == self._newest:
                newest = self._view.light.number if self._view.light else 0
                self._painted = max(self._painted, min(painted, newest))
                self._paints = self._painted >= newest
                self._lock.notify_all()
            if type(drawn) is int:
                page.drawn = max(page.drawn, min(drawn, page.sent))
                page.wake()
        touched = said.get("touched")
        if isinstance(touched, str) and self.in_control(page.number):
            self.on_touch(touched)

    def _changed(self) -> None:
        """With the lock held."""
        self._revision += 1
        for page in self._pages.values():
            page.wake()


async def serve_stream(hub: Hub, socket: WebSocket) -> None:
    """Be the other end of one page until it is gone."""
    page = hub.add_page()
    if page is None:
        await socket.close(1013)
        return
    try:
        await socket.accept()
        listening = asyncio.create_task(_listen(hub, page, socket))
        sending = asyncio.create_task(_send(hub, page, socket))
        done, left = await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        results = await asyncio.gather(*done, *left, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, (WebSocketDisconnect, RuntimeError)):
                raise result
    finally:
        hub.remove_page(page)


async def _listen(hub: Hub, page: Page, socket: WebSocket) -> None:
    while True:
        hub.hear(page, await socket.receive_text())


async def _send(hub: Hub, page: Page, socket: WebSocket) -> None:
    told = -1
    while True:
        page.changed.clear()
        revision, message = hub.message(page)
        if revision != told:
            await socket.send_text(message)
            told = revision
        if frame := hub.next_frame(page):
            await socket.send_bytes(frame)
        try:
            await asyncio.wait_for(page.changed.wait(), HEARTBEAT_S)
        except TimeoutError:
            told = -1
