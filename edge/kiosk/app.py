"""The web application: every flow's pages behind one guard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from edge.errors import EdgeError
from edge.kiosk import (
    accounts,
    certifications,
    contracts,
    counter,
    expected,
    feedback,
    health,
    home,
    manual,
    prepare,
    records,
    sessions,
    stick,
    verify,
)
from edge.kiosk.answers import fault_answer
from edge.kiosk.security import HEADERS, Guard
from edge.kiosk.server import Kiosk
from edge.kiosk.stream import serve_stream

STATIC_FILES = Path(__file__).parent / "static"

FLOWS: tuple[Callable[[Kiosk], list[BaseRoute]], ...] = (
    home.routes,
    sessions.routes,
    verify.routes,
    expected.routes,
    manual.routes,
    contracts.routes,
    prepare.routes,
    records.routes,
    health.routes,
    stick.routes,
    counter.routes,
    certifications.routes,
    accounts.routes,
    feedback.routes,
)
"""Every flow adds its ``routes``."""


def make_app(kiosk: Kiosk) -> Starlette:
    """Return the application; ``kiosk.keys`` guard it."""

    async def stream(socket: WebSocket) -> None:
        await serve_stream(kiosk.hub, socket)

    routes: list[BaseRoute] = [
        WebSocketRoute("/stream", stream),
        Mount("/static", StaticFiles(directory=STATIC_FILES)),
    ]
    for flow in FLOWS:
        routes += flow(kiosk)

    async def on_fault(request: Request, error: Exception) -> Response:
        return fault_answer(kiosk, request, error if isinstance(error, EdgeError) else None)

    async def on_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if "text/html" in request.headers.get("accept", ""):
            return kiosk.page(request, "missing.html", status=status)
        return JSONResponse({"error": {"code": f"HTTP_{status}", "text": str(status)}}, status)

    async def on_bug(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
        answer = fault_answer(kiosk, request, None)
        answer.headers.update(HEADERS)  # Starlette answers outside the guard
        return answer

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, keys=kiosk.keys, body_limits=kiosk.body_limits)],
        exception_handlers={EdgeError: on_fault, HTTPException: on_http, Exception: on_bug},
    )
