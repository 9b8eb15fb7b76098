"""People who are expected at this device: accounts to be activated and contracts to be signed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.attest.clock import SystemClock, bounded_now
from edge.contracts.reading import refuse_contract
from edge.errors import InputError
from edge.kiosk.answers import check_controls, go, read_json
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import SessionRequest, sessions_of
from edge.kiosk.shown import moment
from edge.recorder import Recorder
from edge.state.store import StateStore
from edge.tasks import WaitingTask, find_task, waiting_tasks

MAX_ROWS = 100
"""People that a list on a screen can hold; the first to expire come first."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One task as the list shows it."""

    task: WaitingTask
    until: str


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Tasks(kiosk)
    return [
        Route("/tasks", flow.listing, methods=["GET"]),
        Route("/tasks/{task_id}", flow.ask, methods=["GET"]),
        Route("/tasks/{task_id}", flow.begin, methods=["POST"]),
    ]


class _Tasks:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk

    async def listing(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        found = await kiosk.run(lambda: list_tasks(kiosk))
        return kiosk.page(
            request, "tasks.html", rows=found[:MAX_ROWS], cut=len(found) > MAX_ROWS, most=MAX_ROWS
        )

    async def ask(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        wanted = request.path_params["task_id"]
        task = await kiosk.run(lambda: one_task(kiosk, wanted))
        if task.contract is not None:
            return RedirectResponse(f"/contracts/{task.task_id}", 303)
        return kiosk.page(request, "task.html", one=Expected(task, moment(task.expires)))

    async def begin(self, request: Request) -> Response:
        kiosk = self._kiosk
        await read_json(request)
        check_controls(kiosk, request)
        if await to_sign_in(kiosk, request) is not None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        wanted = request.path_params["task_id"]
        refuse_contract(await kiosk.run(lambda: one_task(kiosk, wanted)))
        return go(
            sessions_of(kiosk).begin(
                SessionRequest(kind="task", back="/tasks", find_task=partial(_find, wanted))
            )
        )


def list_tasks(kiosk: Kiosk) -> list[Expected]:
    """Everybody who is expected, the first to expire first."""
    with kiosk.open_state() as state:
        tasks = waiting_tasks(state, bounded_now(SystemClock(), contact=state.contact()))
    return [Expected(task, moment(task.expires)) for task in tasks]


def one_task(kiosk: Kiosk, task_id: str) -> WaitingTask:
    """One task; InputError TASK_UNKNOWN where it does not wait."""
    with kiosk.open_state() as state:
        return find_task(state, task_id, bounded_now(SystemClock(), contact=state.contact()))


def _find(task_id: str, _recorder: Recorder, state: StateStore) -> WaitingTask:
    return find_task(state, task_id, bounded_now(SystemClock(), contact=state.contact()))
