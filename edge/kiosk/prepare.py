"""Preparing a contract at the device: a draft is chosen, its marks are laid on the pages, and it is sent.

Only before it is sent can a mark be moved; whoever signs finds it where it was laid
(``edge.kiosk.contracts``). The page drags, or lets people press arrows; where a mark stands is decided here,
by ``edge.contracts.placing``, after every change, so that a page that is reloaded has lost nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.contracts.pages import MOST_WIDTH, PictureShelf
from edge.contracts.placing import Kind
from edge.errors import EdgeError, InputError
from edge.kiosk import prepare_visit as steps
from edge.kiosk.accounts import MAX_PASSWORD_CHARS, refusal_words
from edge.kiosk.answers import bad_request, check_controls, done, go, read_json, text_of
from edge.kiosk.cloud_line import CloudLine, ask
from edge.kiosk.people import present, to_sign_in
from edge.kiosk.prepare_changes import board_values, changed, said, whole_of
from edge.kiosk.prepare_visit import Draft, Visit
from edge.kiosk.server import Kiosk

PATH = "/prepare"
WIDTHS = (640, 900, 1200, MOST_WIDTH)
IDLE_S = 300.0
"""As for everybody who has signed in at the device; what was laid down is kept by the service then."""

_log = logging.getLogger(__name__)

Values = dict[str, Any]


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Prepare(kiosk)
    posts: dict[str, Callable[[Request], Any]] = {
        "login": flow.login,
        "refresh": flow.refresh,
        "open": flow.open,
        "marks": flow.marks,
        "close": flow.close,
        "send": flow.send,
        "leave": flow.leave,
    }
    return [
        Route(PATH, flow.show, methods=["GET"]),
        Route(f"{PATH}/page/{{number:int}}", flow.page, methods=["GET"]),
        Route(f"{PATH}/picture/{{number:int}}", flow.picture, methods=["GET"]),
        Route(f"{PATH}/check", flow.check, methods=["GET"]),
        *(Route(f"{PATH}/{name}", take, methods=["POST"]) for name, take in posts.items()),
    ]


class _Prepare:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._visit: Visit | None = None
        self._shelf = PictureShelf()
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def show(self, request: Request) -> Response:
        """Signing in, or the drafts, or what was just sent."""
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        visit = await self._current()
        told = refusal_words(visit.refusal, kiosk.texts()) if visit and visit.refusal else None
        if visit is None or not visit.token:
            return kiosk.page(request, "prepare_login.html", told=told, visit=visit)
        self._touch()
        if visit.draft is not None and visit.refusal is None:
            return RedirectResponse(f"{PATH}/page/{visit.draft.page}", 303)
        return kiosk.page(request, "prepare.html", told=told, visit=visit)

    async def page(self, request: Request) -> Response:
        """One page of the draft, with its marks."""
        kiosk = self._kiosk
        draft = await self._drawn(request)
        if isinstance(draft, Response):
            return draft
        number = request.path_params["number"]
        if not 1 <= number <= len(draft.board.papers):
            return RedirectResponse(f"{PATH}/page/1", 303)
        draft.page = number
        paper = draft.board.papers[number - 1]
        return kiosk.page(
            request,
            "prepare_page.html",
            draft=draft,
            number=number,
            height=round(1000 * paper.height / paper.width),
            widths=WIDTHS,
            kinds=list(Kind),
            board=board_values(draft.board, number, kiosk.texts()),
        )

    async def picture(self, request: Request) -> Response:
        draft = await self._drawn(request)
        if isinstance(draft, Response):
            raise _nothing_open()
        wanted = request.query_params.get("w", "")
        if wanted not in [str(width) for width in WIDTHS]:
            raise bad_request("no picture is so wide")
        content = await self._kiosk.run(
            lambda: self._shelf.picture(
                draft.sha256,
                lambda: draft.document,
                request.path_params["number"],
                width_px=int(wanted),
            )
        )
        return Response(content, media_type="image/png")

    async def check(self, request: Request) -> Response:
        """Who signs where, before it is sent."""
        draft = await self._drawn(request)
        if isinstance(draft, Response):
            return draft
        kiosk, visit = self._kiosk, self._visit
        told = refusal_words(visit.refusal, kiosk.texts()) if visit and visit.refusal else None
        missing = {one.number for one in draft.board.without_place()}
        rows = [
            (signer, [one for one in draft.board.marks if one.party == signer.number])
            for signer in draft.board.signers
        ]
        return kiosk.page(
            request, "prepare_check.html", draft=draft, rows=rows, missing=missing, told=told, visit=visit
        )

    async def login(self, request: Request) -> Response:
        given = await self._given(request)
        identifier = text_of(given, "identifier", max_chars=60).strip()
        password = text_of(given, "password", max_chars=MAX_PASSWORD_CHARS)
        if not identifier or not password:
            raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
        worker = await present(self._kiosk)
        visit = self._visit = Visit(worker.person.operator_id if worker else "")
        work = partial(steps.sign_in, visit, identifier=identifier, password=password)
        return await self._do(visit, work)

    async def refresh(self, request: Request) -> Response:
        await self._given(request)
        visit = await self._signed_in()
        visit.sent = ""
        return await self._do(visit, partial(steps.list_drafts, visit))

    async def open(self, request: Request) -> Response:
        """Fetch a draft; also once more where somebody else has changed it meanwhile."""
        given = await self._given(request)
        visit, wanted = await self._signed_in(), text_of(given, "contract", max_chars=64)
        if wanted not in {one.contract_id for one in visit.drafts}:
            raise bad_request("there is no such draft")
        visit.draft, visit.sent = None, ""
        self._shelf.clear()
        return await self._do(visit, lambda line: steps.open_draft(visit, line, wanted))

    async def marks(self, request: Request) -> Response:
        """One change of the marks; the answer is how the page's stand then."""
        given = await self._given(request)
        visit, draft = await self._opened()
        number = whole_of(given, "page", 1, len(draft.board.papers))
        before = draft.board
        draft.board = changed(before, number, given)
        visit.refusal = None
        self._touch()
        texts = self._kiosk.texts()
        return done(board=board_values(draft.board, number, texts), said=said(before, draft.board, texts))

    async def close(self, request: Request) -> Response:
        """Let the service keep what was laid down, and go back to the drafts."""
        await self._given(request)
        visit, _ = await self._opened()
        answer = await self._do(visit, partial(steps.close, visit))
        if visit.draft is None:
            self._shelf.clear()
        return answer

    async def send(self, request: Request) -> Response:
        await self._given(request)
        visit, draft = await self._opened()
        answer = await self._do(visit, lambda line: steps.send(visit, line, draft), f"{PATH}/check")
        if visit.draft is None:
            self._shelf.clear()
            await self._do(visit, partial(steps.list_drafts, visit))
        return answer

    async def leave(self, request: Request) -> Response:
        """Keep what was done, sign out, and forget everything."""
        await self._given(request)
        await self._end()
        return go("/")

    async def _drawn(self, request: Request) -> Draft | Response:
        """The draft that is open, or where to go where none is."""
        if (first := await to_sign_in(self._kiosk, request)) is not None:
            return first
        visit = await self._current()
        if visit is None or visit.draft is None:
            return RedirectResponse(PATH, 303)
        self._touch()
        return visit.draft

    async def _signed_in(self) -> Visit:
        visit = await self._current()
        if visit is None or not visit.token:
            raise _nothing_open()
        return visit

    async def _opened(self) -> tuple[Visit, Draft]:
        visit = await self._signed_in()
        if visit.draft is None:
            raise _nothing_open()
        return visit, visit.draft

    async def _current(self) -> Visit | None:
        """The visit; one that began while somebody else worked here ends."""
        visit, operator = self._visit, self._kiosk.operator
        if visit is not None and visit.operator_id != (operator.person.operator_id if operator else ""):
            await self._end()
        return self._visit

    async def _do(self, visit: Visit, work: Callable[[CloudLine], Any], path: str = PATH) -> Response:
        """Do one step; what it refuses stands on the page at ``path``."""
        visit.refusal, visit.language = None, self._kiosk.language
        self._touch()
        try:
            await self._ask(work)
        except EdgeError as error:
            _log.info("a step of preparing a contract was refused: %s", error.code)
            visit.refusal = error
        self._touch()
        return go(PATH if visit.refusal is None else path)

    async def _ask(self, work: Callable[[CloudLine], Any]) -> None:
        kiosk, language = self._kiosk, self._kiosk.language
        await kiosk.run(lambda: ask(kiosk.config, language, work))

    async def _given(self, request: Request) -> Values:
        given = await read_json(request)
        check_controls(self._kiosk, request)
        if await to_sign_in(self._kiosk, request) is not None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        return given

    def _touch(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None
        if self._visit is not None:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._leave_alone)

    def _leave_alone(self) -> None:
        """Nobody is there any more."""
        task = asyncio.get_running_loop().create_task(_quietly(self._end()))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self) -> None:
        """Keep what was done, where the line allows it; then nothing of it stays here."""
        visit, self._visit = self._visit, None
        self._touch()
        self._shelf.clear()
        if visit is None or not visit.token:
            return
        draft = visit.draft
        last: list[Callable[[CloudLine], None]] = [partial(steps.sign_out, visit)]
        if draft is not None and draft.changed:
            last.insert(0, lambda line: steps.keep(visit, line, draft))
        for work in last:
            try:
                await self._ask(work)
            except EdgeError as error:  # the session ends by itself when it is not used
                _log.info("a sender has left, and a call failed: %s", error.code)


def _nothing_open() -> InputError:
    return InputError("VISIT_OVER", "No draft is open here any more.", hint="Go on with the newest page.")


async def _quietly(work: Awaitable[None]) -> None:
    """On nobody's behalf: a bug is told in the log, not to a page."""
    try:
        await work
    except Exception:
        _log.exception("a visit did not end as it should")
