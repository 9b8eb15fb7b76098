"""The first screens: signing in with name and PIN or one's own face, the menu, the language."""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route

from edge.answers import SignInFactor
from edge.errors import InputError
from edge.kiosk.answers import bad_request, check_controls, done, go, read_json, text_of
from edge.kiosk.face_sign_in import FaceSignIn
from edge.kiosk.menu import offered
from edge.kiosk.people import has_operators, sign_in, sign_out, to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.texts import LANGUAGES
from edge.texts import REFUSALS

MAX_PIN_CHARS = 64  # the PIN's own rules say what it may be
SESSION = "/session"


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Home(kiosk)
    return [
        Route("/", flow.home),
        Route("/sign-in", flow.ask_sign_in, methods=["GET"]),
        Route("/sign-in", flow.take_sign_in, methods=["POST"]),
        Route("/sign-out", flow.take_sign_out, methods=["POST"]),
        Route("/language", flow.take_language, methods=["POST"]),
    ]


class _Home:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._face = FaceSignIn(kiosk)

    async def home(self, request: Request) -> Response:
        kiosk = self._kiosk
        if kiosk.hub.view.busy:
            return RedirectResponse(SESSION, 303)
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        paths = request.app.routes

        def has_path(path: str) -> bool:
            scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
            return any(route.matches(scope)[0] is Match.FULL for route in paths)

        return kiosk.page(request, "home.html", modules=offered(has_path))

    async def ask_sign_in(self, request: Request) -> Response:
        kiosk = self._kiosk
        if kiosk.hub.view.busy:
            return RedirectResponse(SESSION, 303)
        people = await kiosk.at_desk(lambda office: office.operators.list())
        who, code, refused = self._face.refusal()
        return kiosk.page(
            request,
            "sign_in.html",
            names=[one.name for one in people],
            faces=any(SignInFactor.FACE in one.factors for one in people),
            chosen=who,
            code=code,
            refused=refused,
            to=_local(request.query_params.get("to", "/")),
        )

    async def take_sign_in(self, request: Request) -> Response:
        kiosk = self._kiosk
        given = await read_json(request)
        who = text_of(given, "who", default="")
        if not who:
            raise InputError("NOBODY_CHOSEN", "No name was chosen.", hint="Choose who signs in.")
        if given.get("how") == "face":
            check_controls(kiosk, request)
            return go(self._face.begin(who, _local(text_of(given, "to", default="/"))))
        pin = text_of(given, "pin", max_chars=MAX_PIN_CHARS)
        if not pin:
            raise bad_request("there is no PIN")
        refused = await sign_in(kiosk, who, pin)
        if refused is None:
            self._face.forget()
            return go(_local(text_of(given, "to", default="/")))
        text = REFUSALS[refused.refusal][kiosk.language]
        if refused.wait_s:
            text += " " + kiosk.texts()("signin.wait", seconds=math.ceil(refused.wait_s))
        return done(error={"code": f"SIGN_IN_{refused.refusal}", "text": text, "hint": ""})

    async def take_sign_out(self, request: Request) -> Response:
        await read_json(request)
        await sign_out(self._kiosk)
        return go("/sign-in" if await has_operators(self._kiosk) else "/")

    async def take_language(self, request: Request) -> Response:
        wanted = text_of(await read_json(request), "language")
        for language in LANGUAGES:
            if language == wanted:
                self._kiosk.hub.set_language(language)
                return done(language=language)
        raise bad_request("there is no such language")


def _local(path: str) -> str:
    """A path of this kiosk; anything else is the home screen."""
    parts = urlsplit(path)
    plain = not parts.scheme and not parts.netloc and path.startswith("/") and not path.startswith("//")
    return path if plain and "\\" not in path else "/"
