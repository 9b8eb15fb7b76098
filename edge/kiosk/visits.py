"""One person's visit to a flow that talks with the service: held in memory alone, forgotten when it is over.

    visits = Visits(kiosk, path="/coop", last=...)
    visits.begin(visit)
    await visits.do(visit, visits.ask(visit, partial(steps.start, visit)))

What the service refuses stands on the flow's page; what was given is still there then, and nothing of it was
written anywhere.

A visit does one step at a time, and nothing else changes it meanwhile. A page that is loaded while one is
under way, because somebody has switched the language, says ``data-waits``, and is loaded once more when the
step is done.

A visit belongs to the operator with whom it began. What a page shows of it is loaded anew, and so leaves the
screen, when the stream says the number of another visit, or of none.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from edge.errors import EdgeError, InputError
from edge.kiosk.answers import check_controls, go, read_json
from edge.kiosk.cloud_line import CloudLine, ask
from edge.kiosk.idle import IDLE_S
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import FlowState, Kiosk, step_running

_log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class AnyVisit(Protocol):
    """``refusal``: what the newest step was refused for. ``language``: of the newest call to the service.

    ``namespace``: of the ids of a step's calls, see :func:`once`; a step that was done has a new one.
    """

    refusal: EdgeError | None
    language: str
    namespace: uuid.UUID


V = TypeVar("V", bound=AnyVisit)


@dataclass(frozen=True, slots=True)
class _Step:
    """One that is under way. ``asked``: path and body of the request for it."""

    asked: tuple[str, bytes] = field(repr=False)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Visits(Generic[V]):
    """The one visit of a flow, on the event loop.

    ``last``: asked about each visit that is over for the calls that end it at the service too, where the line
    allows them; what is left there ends by itself.
    """

    def __init__(
        self, kiosk: Kiosk, *, path: str, last: Callable[[V], Sequence[Callable[[CloudLine], Any]]]
    ) -> None:
        self._kiosk = kiosk
        self._path = path
        self._last = last
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._steps: dict[int, _Step] = {}  # by the visit's id()
        self._number = 0  # of the newest visit
        self._operator_id = ""  # who worked here when it began; empty where nobody is registered
        self.visit: V | None = None
        kiosk.on_presence.append(self._look)
        kiosk.on_touch.append(self._hear)

    @property
    def _state(self) -> FlowState:
        visit = self._number if self.visit is not None else 0
        return FlowState(self._path, visit, waits=id(self.visit) in self._steps)

    def page(self, request: Request, template: str, **values: Any) -> Response:
        """A page of the flow; it says which visit it shows, and whether a step is under way."""
        return self._kiosk.page(request, template, flow=self._state, **values)

    async def given(self, request: Request, *, ends: bool = False) -> dict[str, Any]:
        """What was posted by the page that has the controls, while an operator is signed in.

        While a step is under way nothing may change the visit: all is refused but the same request once more,
        and what ``ends`` the visit.

        Raises:
            InputError: BAD_REQUEST, OTHER_PAGE, NOT_SIGNED_IN, STEP_RUNNING.
        """
        given = await read_json(request)
        check_controls(self._kiosk, request)
        if await to_sign_in(self._kiosk, request) is not None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        step = self._steps.get(id(self.visit))
        if step is not None and not ends and step.asked != await _asked(request):
            raise step_running()
        return given

    def begin(self, visit: V) -> None:
        """Somebody new: whoever was here before is forgotten."""
        self.forget()
        self.visit, self._number, self._operator_id = visit, self._number + 1, self._present_id()
        self.touch()

    async def do(
        self, request: Request, visit: V, work: Coroutine[Any, Any, Any], *, refused: str = ""
    ) -> Response:
        """Do one step; what it refuses stands on the page that comes then, at ``refused`` or the flow's.

        Whoever asks while one is under way asks for the same (:meth:`given`), and waits for its end: nothing
        is done twice at once.
        """
        if (same := self._steps.get(id(visit))) is not None:
            work.close()
            await same.done.wait()
            return go(self._path)
        step = self._steps[id(visit)] = _Step(await _asked(request))
        self.touch()
        visit.refusal = None
        try:
            await work
        except EdgeError as error:
            _log.info("a step at %s was refused: %s", self._path, error.code)
            visit.refusal = error
        else:
            visit.namespace = uuid.uuid4()
        finally:
            del self._steps[id(visit)]
            step.done.set()
            self.touch()
            if self.visit is not visit:  # forgotten meanwhile, and its last calls had to wait for this one
                self._finish(visit)
        return go(refused or self._path if visit.refusal is not None else self._path)

    def check_current(self, visit: V) -> None:
        """Check that the visit was not left while the device read what is to go into it.

        Raises:
            InputError: VISIT_OVER.
        """
        if self.visit is not visit:
            raise visit_over()

    async def ask(self, visit: V, work: Callable[[CloudLine], T]) -> T:
        """Let ``work`` talk with the service; errors as ``cloud_line.ask``."""
        kiosk, language = self._kiosk, self._kiosk.language
        visit.language = language
        return await kiosk.run(lambda: ask(kiosk.config, language, work))

    def touch(self) -> None:
        """Somebody is there: what they gave is forgotten later, and never while a step is under way."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None
        state = self._state
        self._kiosk.hub.tell(**{state.path: {"visit": state.visit, "waits": state.waits}})
        if self.visit is not None and not state.waits:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._run_out)

    def forget(self) -> asyncio.Task[None]:
        """End the visit. Nothing of it is here then; the task is done after its last calls.

        Where a step is under way, they come behind it: what it brings, as a session, has to be ended too.
        """
        visit, self.visit = self.visit, None
        self.touch()
        return self._finish(visit if id(visit) not in self._steps else None)

    def _finish(self, visit: V | None) -> asyncio.Task[None]:
        calls = [partial(self.ask, visit, work) for work in self._last(visit)] if visit is not None else []
        ending = asyncio.get_running_loop().create_task(self._end(calls))
        self._ending.add(ending)  # a task that nobody holds may vanish
        ending.add_done_callback(self._ending.discard)
        return ending

    async def _end(self, calls: Sequence[Callable[[], Awaitable[Any]]]) -> None:
        for call in calls:
            try:
                await call()
            except EdgeError as error:
                _log.info("a visit at %s is over, and a call failed: %s", self._path, error.code)

    def _present_id(self) -> str:
        operator = self._kiosk.operator
        return operator.person.operator_id if operator is not None else ""

    def _look(self) -> None:
        """A visit that began with somebody else, or with somebody who has left, is over."""
        if self.visit is not None and self._operator_id != self._present_id():
            self.forget()

    def _hear(self, flow: str) -> None:
        """A page was touched: this visit goes on only where the page shows it."""
        if flow == self._path:
            self.touch()

    def _run_out(self) -> None:
        if self._kiosk.hub.view.busy:  # the person stands before the camera
            self.touch()
        else:
            self.forget()


def visit_over() -> InputError:
    """What was asked for belongs to a visit, or to a step of it, that is not there any more."""
    return InputError("VISIT_OVER", "This step is over.", hint="Go on with the newest page.")


async def _asked(request: Request) -> tuple[str, bytes]:
    return request.url.path, await request.body()


def once(namespace: uuid.UUID, request: M) -> M:
    """Name a request by step and content: one whose answer was lost is asked for again, and done once."""
    said = type(request).__name__ + request.SerializeToString(deterministic=True).hex()
    request.request_id = str(uuid.uuid5(namespace, said))  # type: ignore[attr-defined]
    return request
