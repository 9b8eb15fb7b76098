"""Preparing a contract at the device: a draft is chosen, its marks are laid on the pages, and it is sent.

Only before it is sent can a mark be moved; whoever signs finds it where it was laid
(``edge.kiosk.contracts``). The page drags, or lets people press arrows; where a mark stands is decided here,
by ``edge.contracts.placing``, after every change, so that a page that is reloaded has lost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.contracts.pages import MOST_WIDTH, PictureShelf
from edge.contracts.placing import Kind
from edge.errors import InputError
from edge.kiosk import prepare_visit as steps
from edge.kiosk.accounts import MAX_PASSWORD_CHARS, refusal_words
from edge.kiosk.answers import Take, bad_request, done, go, posts, text_of
from edge.kiosk.cloud_line import CloudLine
from edge.kiosk.people import to_sign_in
from edge.kiosk.prepare_changes import board_values, changed, said, whole_of
from edge.kiosk.prepare_visit import Draft, Visit
from edge.kiosk.server import Kiosk
from edge.kiosk.visits import Visits

PATH = "/prepare"
WIDTHS = (640, 900, 1200, MOST_WIDTH)


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Prepare(kiosk)
    takes: dict[str, Take] = {
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
        *posts(PATH, takes),
    ]


class _Prepare:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._visits: Visits[Visit] = Visits(kiosk, path=PATH, last=self._last)
        self._shelf = PictureShelf()

    async def show(self, request: Request) -> Response:
        """Signing in, or the drafts, or what was just sent."""
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        visit = self._visits.visit
        told = refusal_words(visit.refusal, kiosk.texts()) if visit and visit.refusal else None
        if visit is None or not visit.token:
            return self._visits.page(request, "prepare_login.html", told=told, visit=visit)
        self._visits.touch()
        if visit.draft is not None and visit.refusal is None:
            return RedirectResponse(f"{PATH}/page/{visit.draft.page}", 303)
        return self._visits.page(request, "prepare.html", told=told, visit=visit)

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
        return self._visits.page(
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
        kiosk, visit = self._kiosk, self._visits.visit
        told = refusal_words(visit.refusal, kiosk.texts()) if visit and visit.refusal else None
        missing = {one.number for one in draft.board.without_place()}
        rows = [
            (signer, [one for one in draft.board.marks if one.party == signer.number])
            for signer in draft.board.signers
        ]
        return self._visits.page(
            request,
            "prepare_check.html",
            draft=draft,
            rows=rows,
            missing=missing,
            told=told,
            visit=visit,
        )

    async def login(self, request: Request) -> Response:
        given = await self._visits.given(request)
        identifier = text_of(given, "identifier", max_chars=60).strip()
        password = text_of(given, "password", max_chars=MAX_PASSWORD_CHARS)
        if not identifier or not password:
            raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
        visit = Visit()
        self._visits.begin(visit)
        work = partial(steps.sign_in, visit, identifier=identifier, password=password)
        return await self._do(request, visit, work)

    async def refresh(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._signed_in()
        visit.sent = ""
        return await self._do(request, visit, partial(steps.list_drafts, visit))

    async def open(self, request: Request) -> Response:
        """Fetch a draft; also once more where somebody else has changed it meanwhile."""
        given = await self._visits.given(request)
        visit, wanted = self._signed_in(), text_of(given, "contract", max_chars=64)
        if wanted not in {one.contract_id for one in visit.drafts}:
            raise bad_request("there is no such draft")
        visit.draft, visit.sent = None, ""
        self._shelf.clear()
        return await self._do(request, visit, lambda line: steps.open_draft(visit, line, wanted))

    async def marks(self, request: Request) -> Response:
        """One change of the marks; the answer is how the page's stand then."""
        given = await self._visits.given(request)
        visit, draft = self._opened()
        number = whole_of(given, "page", 1, len(draft.board.papers))
        before = draft.board
        draft.board = changed(before, number, given)
        visit.refusal = None
        self._visits.touch()
        texts = self._kiosk.texts()
        return done(board=board_values(draft.board, number, texts), said=said(before, draft.board, texts))

    async def close(self, request: Request) -> Response:
        """Let the service keep what was laid down, and go back to the drafts."""
        await self._visits.given(request)
        visit, _ = self._opened()
        answer = await self._do(request, visit, partial(steps.close, visit))
        if visit.draft is None:
            self._shelf.clear()
        return answer

    async def send(self, request: Request) -> Response:
        await self._visits.given(request)
        visit, draft = self._opened()
        answer = await self._do(request, visit, lambda line: steps.send(visit, line, draft), f"{PATH}/check")
        if visit.draft is None:
            self._shelf.clear()
            await self._do(request, visit, partial(steps.list_drafts, visit))
        return answer

    async def leave(self, request: Request) -> Response:
        """Keep what was done, sign out, and forget everything."""
        await self._visits.given(request, ends=True)
        await self._visits.forget()
        return go("/")

    async def _drawn(self, request: Request) -> Draft | Response:
        """The draft that is open, or where to go where none is."""
        if (first := await to_sign_in(self._kiosk, request)) is not None:
            return first
        visit = self._visits.visit
        if visit is None or visit.draft is None:
            return RedirectResponse(PATH, 303)
        self._visits.touch()
        return visit.draft

    def _signed_in(self) -> Visit:
        visit = self._visits.visit
        if visit is None or not visit.token:
            raise _nothing_open()
        return visit

    def _opened(self) -> tuple[Visit, Draft]:
        visit = self._signed_in()
        if visit.draft is None:
            raise _nothing_open()
        return visit, visit.draft

    async def _do(
        self, request: Request, visit: Visit, work: Callable[[CloudLine], Any], path: str = PATH
    ) -> Response:
        """Do one step; what it refuses stands on the page at ``path``."""
        return await self._visits.do(request, visit, self._visits.ask(visit, work), refused=path)

    def _last(self, visit: Visit) -> list[Callable[[CloudLine], None]]:
        """Keep what was done, and sign out; the document is not here any more."""
        self._shelf.clear()
        if not visit.token:
            return []
        draft = visit.draft
        keeping = [lambda line: steps.keep(visit, line, draft)] if draft is not None and draft.changed else []
        return [*keeping, partial(steps.sign_out, visit)]


def _nothing_open() -> InputError:
    return InputError("VISIT_OVER", "No draft is open here any more.", hint="Go on with the newest page.")
