"""Verifying a person: what begins a session from the menu, and once more after one that failed.

For people who cannot turn the head or see the screen, and for the slow, there are other ways of the same
check (``Accommodation``). The operator chooses one before the first attempt or after any that failed; from
the second failure on the result screen itself offers them, and two people to decide (E014).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.answers import Accommodation, ChallengeVariant
from edge.kiosk.answers import bad_request, check_controls, go, read_json
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import PATH, SessionRequest, sessions_of


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Verify(kiosk)
    return [
        Route("/verify", flow.show, methods=["GET"]),
        Route("/verify", flow.begin, methods=["POST"]),
    ]


class _Verify:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._accommodation = Accommodation()  # of the person who is here now

    async def show(self, request: Request) -> Response:
        """What is going to happen; nothing has begun. ``again``: for the person of the last session."""
        if self._kiosk.hub.view.busy:
            return RedirectResponse(PATH, 303)
        if (first := await to_sign_in(self._kiosk, request)) is not None:
            return first
        again = "again" in request.query_params
        if not again:
            self._kiosk.failures = 0  # somebody new
            self._accommodation = Accommodation()
        return self._kiosk.page(
            request, "verify.html", variants=list(ChallengeVariant), chosen=self._accommodation, again=again
        )

    async def begin(self, request: Request) -> Response:
        given = await read_json(request)
        check_controls(self._kiosk, request)
        if given.get("again") is not True:
            self._accommodation = _accommodation(given)
        session = SessionRequest(kind="verify", back="/", accommodation=self._accommodation)
        return go(sessions_of(self._kiosk).begin(session))


def _accommodation(given: dict[str, object]) -> Accommodation:
    wanted = given.get("variant", ChallengeVariant.STANDARD.value)
    for variant in ChallengeVariant:
        if variant == wanted:
            return Accommodation(variant, more_time="more_time" in given)
    raise bad_request("there is no such variant")
