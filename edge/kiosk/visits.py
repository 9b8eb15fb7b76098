"""One person's visit to a flow that talks with the service: held in memory alone, forgotten when it is over.

    visits = Visits(kiosk, path="/coop", forgotten=...)
    visits.begin(visit)
    await visits.do(visit, visits.ask(visit, partial(steps.start, visit)))

What the service refuses stands on the flow's page; what was given is still there then, and nothing of it was
written anywhere.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from edge.errors import EdgeError, InputError
from edge.kiosk.answers import check_controls, go, read_json
from edge.kiosk.cloud_line import CloudLine, ask
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk

IDLE_S = 300.0
"""As the operators' own: a person who walked away leaves nothing on the screen for longer."""

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


class Visits(Generic[V]):
    """The one visit of a flow, on the event loop. ``forgotten``: called with each that is over."""

    def __init__(
        self, kiosk: Kiosk, *, path: str, forgotten: Callable[[V], None] = lambda _visit: None
    ) -> None:
        self._kiosk = kiosk
        self._path = path
        self._forgotten = forgotten
        self._idle: asyncio.TimerHandle | None = None
        self.visit: V | None = None

    async def given(self, request: Request) -> dict[str, Any]:
        """What was posted by the page that has the controls, while an operator is signed in.

        Raises:
            InputError: BAD_REQUEST, OTHER_PAGE, NOT_SIGNED_IN.
        """
        given = await read_json(request)
        check_controls(self._kiosk, request)
        if await to_sign_in(self._kiosk, request) is not None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        return given

    def begin(self, visit: V) -> None:
        """Somebody new: whoever was here before is forgotten."""
        self.forget()
        self.visit = visit
        self.touch()

    async def do(self, visit: V, work: Awaitable[Any]) -> Response:
        """Do one step; what it refuses stands on the page that comes then."""
        visit.refusal = None
        try:
            await work
        except EdgeError as error:
            _log.info("a step at %s was refused: %s", self._path, error.code)
            visit.refusal = error
        else:
            visit.namespace = uuid.uuid4()
        self.touch()
        return go(self._path)

    async def ask(self, visit: V, work: Callable[[CloudLine], T]) -> T:
        """Let ``work`` talk with the service; errors as ``cloud_line.ask``."""
        kiosk, language = self._kiosk, self._kiosk.language
        visit.language = language
        return await kiosk.run(lambda: ask(kiosk.config, language, work))

    def touch(self) -> None:
        """Somebody is there: what they gave is forgotten later."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None
        if self.visit is not None:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._run_out)

    def forget(self) -> V | None:
        """End the visit; who was here."""
        visit, self.visit = self.visit, None
        self.touch()
        if visit is not None:
            self._forgotten(visit)
        return visit

    def _run_out(self) -> None:
        if self._kiosk.hub.view.busy:  # the person stands before the camera
            self.touch()
        else:
            self.forget()


def once(namespace: uuid.UUID, request: M) -> M:
    """Name a request by step and content: one whose answer was lost is asked for again, and done once."""
    said = type(request).__name__ + request.SerializeToString(deterministic=True).hex()
    request.request_id = str(uuid.uuid5(namespace, said))  # type: ignore[attr-defined]
    return request
