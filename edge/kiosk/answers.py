"""What pages post, and what they get back. A fault has a code, a sentence in the page's language and a hint.

A page posts one JSON object, and gets one back: ``{"go": "/queue"}`` lets it go there, ``{"error": {"code",
"text", "hint"}}`` is shown in its alert.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from edge.errors import EdgeError, ExitCode, InputError
from edge.kiosk.server import Kiosk
from edge.kiosk.showing import fault_text

_STATUS = {ExitCode.INPUT: 400, ExitCode.CLOUD: 502, ExitCode.STORAGE: 507}
PAGE_HEADER = "x-kiosk-page"


Take = Callable[[Request], Awaitable[Response]]
"""Takes what a page has posted."""


def posts(path: str, takes: Mapping[str, Take]) -> list[BaseRoute]:
    """The routes of what a flow's pages post: ``path/name`` for each name."""
    return [Route(f"{path}/{name}", take, methods=["POST"]) for name, take in takes.items()]


def bad_request(what: str) -> InputError:
    """What a page of ours never sends."""
    return InputError("BAD_REQUEST", f"The request is not usable: {what}.", hint="Reload the page.")


async def read_json(request: Request) -> dict[str, Any]:
    """The object that was posted.

    Raises:
        InputError: BAD_REQUEST.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise bad_request("it is not JSON")
    try:
        value = json.loads(await request.body())
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise bad_request("it is not JSON") from None
    if not isinstance(value, dict):
        raise bad_request("it is not an object")
    return value


def text_of(values: dict[str, Any], name: str, *, max_chars: int = 200, default: str | None = None) -> str:
    """One text among ``values``; InputError BAD_REQUEST where it is none, or too long."""
    value = values.get(name, default)
    if not isinstance(value, str) or len(value) > max_chars:
        raise bad_request(f"{name} is no text, or too long")
    return value


def check_controls(kiosk: Kiosk, request: Request) -> None:
    """Check that the page which asks is the newest; InputError OTHER_PAGE otherwise."""
    number = request.headers.get(PAGE_HEADER, "")
    if not (number.isascii() and number.isdecimal() and kiosk.hub.in_control(int(number[:18]))):
        raise InputError("OTHER_PAGE", "Another page has the controls.", hint="Use the newest page.")


def go(path: str) -> JSONResponse:
    """Let the page go there."""
    return JSONResponse({"go": path})


def done(**values: Any) -> JSONResponse:
    """Let the page stay; ``values`` are for its script."""
    return JSONResponse(values)


def fault_answer(kiosk: Kiosk, request: Request, error: EdgeError | None) -> Response:
    """Tell a fault in the kiosk's language, as a page or as JSON; None: a bug, of which nothing is told."""
    code = error.code if error is not None else "INTERNAL_FAULT"
    status = 500 if error is None else _STATUS.get(error.exit_code, 503)
    if code == "KIOSK_BUSY":
        status = 409
    text, hint = fault_text(code, kiosk.texts())
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return kiosk.page(request, "fault.html", status=status, code=code, text=text, hint=hint)
    return JSONResponse({"error": {"code": code, "text": text, "hint": hint}}, status)


def missing() -> HTTPException:
    """There is no such thing here."""
    return HTTPException(404)
