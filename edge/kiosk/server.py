"""The kiosk as flows see it: configuration, templates, texts, who is signed in, threads, and the one session.

    kiosk.page(request, "queue.html", rows=rows)       a page in the kiosk's language
    await kiosk.run(read_rows)                         blocking work that opens what it needs
    await kiosk.at_desk(lambda office: ...)            work with operators and state, between two sessions
    with kiosk.reader_alone(): ...                     work with the card reader, between two sessions
    sessions_of(kiosk).begin(request)                  hold a session; the page at /session shows it

Whoever signs in, signs in to the office: one thread, which alone holds the operators and their keys, and
which carries out the sessions, one after the other.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from edge.answers import SignedIn
from edge.app import open_identity, open_recorder, open_state
from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
from edge.config import EdgeConfig
from edge.errors import EdgeError, InputError
from edge.kiosk.office import Office
from edge.kiosk.security import Keys
from edge.kiosk.stream import Hub
from edge.kiosk.texts import LANGUAGES, Texts
from edge.recorder import Recorder
from edge.state.store import StateStore
from edge.texts import Language

T = TypeVar("T")

PAGES = Path(__file__).parent / "pages"
READERS = 4  # pieces of blocking work at once beside the office's; one of them may wait for a card

_log = logging.getLogger(__name__)


class KioskBusy(EdgeError):
    """A session is under way, so its people have the device."""

    def __init__(self) -> None:
        super().__init__("KIOSK_BUSY", "A session is under way.", hint="Wait for its end, or stop it.")


def step_running() -> InputError:
    """What is asked for has to wait until a step is done."""
    return InputError("STEP_RUNNING", "A step is under way.", hint="Wait for its end.")


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is signed in. ``name``: as colleagues know the person; shown, never logged."""

    person: SignedIn
    name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FlowState:
    """What the stream says of a flow, under its path, and its pages of themselves.

    ``visit``: the number of the visit that is shown, 0 for none; ``waits``: a step of it is under way.
    """

    path: str
    visit: int
    waits: bool


class Kiosk:
    """Given to every flow. Its methods may be called from any thread unless they are coroutines."""

    def __init__(self, config: EdgeConfig, *, keys: Keys, portable: bool = False) -> None:
        self.config = config
        self.keys = keys
        self.portable = portable
        self.hub = Hub(config.language)
        self.body_limits: dict[str, int] = {}
        self.on_presence: list[Callable[[], None]] = []  # called on the event loop: see edge.kiosk.people
        self.on_touch: list[Callable[[str], None]] = []  # the same: see edge.kiosk.idle
        self.failures = 0  # sessions in a row that did not end as wished, since somebody new began
        self.office = Office(config)
        self.sessions: Any = None  # see edge.kiosk.sessions, which knows the kiosk and not the reverse
        self._readers = ThreadPoolExecutor(READERS, "kiosk")
        self._templates = Environment(
            loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        self._templates.globals["kiosk"] = self
        self._lock = threading.Lock()
        self._holding = False  # a session has the office
        self._reading = False  # a flow that is no session has the card reader
        self._clock = SystemClock()
        self._touched_ns = self._clock.monotonic_ns()
        self._operator: Operator | None = None

    @property
    def operator(self) -> Operator | None:
        """Who is signed in. A page that was loaded for somebody else is loaded anew: the stream says it."""
        return self._operator

    @operator.setter
    def operator(self, operator: Operator | None) -> None:
        self._operator = operator
        self.hub.tell(operator=operator.person.operator_id if operator is not None else "")

    def touch(self) -> None:
        """Somebody is there."""
        self._touched_ns = self._clock.monotonic_ns()

    @property
    def idle_s(self) -> float:
        """For how long nobody has been there, by the clock that signs operators out."""
        return (self._clock.monotonic_ns() - self._touched_ns) / 1e9

    @property
    def language(self) -> Language:
        return self.hub.language

    def texts(self, language: Language | None = None) -> Texts:
        """The texts in the kiosk's language, or in another."""
        return Texts(language or self.language)

    def render(self, template: str, **values: Any) -> str:
        """A template in the kiosk's language: ``t`` is its texts, beside ``kiosk`` and ``values``."""
        texts = self.texts()
        return self._templates.get_template(template).render(
            t=texts, language=texts.language, languages=LANGUAGES, **values
        )

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        flow: FlowState | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """As :meth:`render`, as an answer; ``path`` is the page's own.

        ``flow``: the page is loaded anew when the stream says another visit, or that its step is done.
        """
        text = self.render(template, path=request.url.path, flow=flow, **values)
        return HTMLResponse(text, status_code=status)

    async def run(self, work: Callable[[], T]) -> T:
        """Do blocking work beside the event loop; it opens what it needs, and closes it.

        Stores belong to one thread: use :meth:`open_recorder` and :meth:`open_state` within ``work``.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def at_desk(self, work: Callable[[Office], T]) -> T:
        """Do short work with the operators and the device's state.

        Raises:
            KioskBusy: a session is under way.
        """
        with self._lock:
            if self._holding:
                raise KioskBusy
            future = self.office.submit(work)
        return await asyncio.wrap_future(future)

    def hold(self, work: Callable[[Office], None]) -> None:
        """Let the office do long work, a session; returns at once. Errors as :meth:`reader_alone`."""

        def whole(office: Office) -> None:
            try:
                work(office)
            except BaseException:
                _log.exception("a session ended by a bug")  # its record is stored: see Pipeline.run
            finally:
                with self._lock:
                    self._holding = False

        with self._lock:
            self._check_reader_free()
            self._holding = True
            self.office.submit(whole)

    @contextmanager
    def reader_alone(self) -> Iterator[None]:
        """Keep sessions, and all others who read cards, from the card reader.

        Raises:
            KioskBusy: a session is under way.
            InputError: STEP_RUNNING: a card is waited for already.
        """
        with self._lock:
            self._check_reader_free()
            self._reading = True
        try:
            yield
        finally:
            with self._lock:
                self._reading = False

    @contextmanager
    def open_recorder(self) -> Iterator[Recorder]:
        """A recorder for the calling thread; errors as ``edge.app.open_recorder``."""
        with open_recorder(self.config) as recorder:
            yield recorder

    @contextmanager
    def open_state(self, identity: DeviceIdentity | None = None) -> Iterator[StateStore]:
        """The device's state for the calling thread; errors as ``edge.app.open_state``."""
        with open_state(self.config, identity or open_identity(self.config)) as state:
            yield state

    def close(self) -> None:
        """Close everything, after the session that is under way: somebody has stopped it by now."""
        self.office.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _check_reader_free(self) -> None:
        """With the lock held."""
        if self._holding:
            raise KioskBusy
        if self._reading:
            raise step_running()
