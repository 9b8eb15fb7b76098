"""Accounts at the device: registering, activating and signing in, with a telephone that only gets messages.

One question per screen: the four elements (card or typed), a picture, telephone and password, the code that
came, and the person before the camera. What is refused is told with the service's own words and remedies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.attest.package import face_evidence, picture_not_kept
from edge.errors import EdgeError, InputError
from edge.kiosk import account_visit as steps
from edge.kiosk.account_device import read_elements, take_portrait
from edge.kiosk.account_visit import Elements, Step, Visit
from edge.kiosk.answers import Take, bad_request, go, posts, text_of
from edge.kiosk.cloud_line import CloudLine, CloudRefusal, ask
from edge.kiosk.office import Office
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import SessionRequest, sessions_of
from edge.kiosk.showing import fault_text
from edge.kiosk.state import CARD_PROMPTS
from edge.kiosk.texts import Texts
from edge.kiosk.visits import Visits, visit_over
from edge.model import Outcome
from edge.pipeline import BEST_SHOT, Pipeline, Verification
from edge.texts import PROMPTS

PATH = "/accounts"
BEGINNINGS = {"register": Step.ELEMENTS, "activate": Step.NUMBER, "login": Step.LOGIN}
MAX_PASSWORD_CHARS = 128

Values = dict[str, Any]


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Accounts(kiosk)
    takes: dict[str, Take] = {
        "begin": flow.begin,
        "leave": flow.leave,
        "card": flow.card,
        "elements": flow.elements,
        "portrait": flow.portrait,
        "register": flow.register,
        "login": flow.login,
        "resend": flow.resend,
        "code": flow.code,
        "phone": flow.phone,
        "face": flow.face,
        "number": flow.number,
        "old-phone": flow.old_phone,
        "password": flow.password,
    }
    return [
        Route(PATH, flow.show, methods=["GET"]),
        *posts(PATH, takes),
    ]


class _Accounts:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._visits: Visits[Visit] = Visits(kiosk, path=PATH, last=_sign_out)

    async def show(self, request: Request) -> Response:
        kiosk = self._kiosk
        if kiosk.hub.view.busy:
            return RedirectResponse("/session", 303)
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        visit = self._visits.visit
        if visit is None:
            return kiosk.page(request, "accounts.html")
        self._visits.touch()
        told = refusal_words(visit.refusal, kiosk.texts()) if visit.refusal else None
        wait = math.ceil(visit.wait_s())
        return self._visits.page(
            request,
            f"accounts_{visit.step}.html",
            visit=visit,
            told=told,
            wait=wait,
            minutes=f"{wait // 60}:{wait % 60:02d}",
            prompt="",
            card_prompts={one.value: PROMPTS[one][kiosk.language] for one in sorted(CARD_PROMPTS)},
        )

    async def begin(self, request: Request) -> Response:
        given = await self._visits.given(request, ends=True)
        step = BEGINNINGS.get(text_of(given, "what"))
        if step is None:
            raise bad_request("there is no such beginning")
        self._visits.begin(Visit(step))
        return go(PATH)

    async def leave(self, request: Request) -> Response:
        """Forget everything."""
        await self._visits.given(request, ends=True)
        await self._visits.forget()
        return go("/")

    async def card(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._at(Step.ELEMENTS)
        return await self._visits.do(request, visit, self._read_card(visit))

    async def elements(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.ELEMENTS)
        end = "" if "long_term" in given else _text(given, "valid_to")
        typed = Elements(_text(given, "name"), _text(given, "number"), _text(given, "valid_from"), end)
        return await self._visits.do(request, visit, self._take_elements(visit, typed))

    async def portrait(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._at(Step.PORTRAIT)

        async def take() -> None:
            visit.picture = await self._kiosk.at_desk(take_portrait)
            visit.step = Step.CONTACT

        return await self._visits.do(request, visit, take())

    async def register(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.CONTACT)
        password = text_of(given, "password", max_chars=MAX_PASSWORD_CHARS)
        work = partial(steps.register, visit, phone=_text(given, "phone"), password=password)
        return await self._ask(request, visit, work)

    async def login(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.LOGIN)
        password = text_of(given, "password", max_chars=MAX_PASSWORD_CHARS)
        work = partial(steps.sign_in, visit, identifier=_text(given, "identifier"), password=password)
        return await self._ask(request, visit, work)

    async def resend(self, request: Request) -> Response:
        """Only because somebody pressed, and not before the wait is over. Activation asks the number anew."""
        await self._visits.given(request)
        visit = self._at(Step.CODE)
        if visit.wait_s() > 0:
            return go(PATH)
        if visit.activation:
            visit.step, visit.refusal = Step.OLD_PHONE, None
            return go(PATH)
        return await self._ask(request, visit, partial(steps.send_code, visit))

    async def code(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.CODE)
        return await self._ask(request, visit, partial(steps.take_code, visit, code=_text(given, "code")))

    async def phone(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.CODE)
        if visit.activation:
            raise bad_request("the number of an earlier system is not changed here")
        work = partial(steps.change_phone, visit, phone=_text(given, "phone"))
        return await self._ask(request, visit, work)

    async def number(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.NUMBER)
        work = partial(steps.start_activation, visit, number=_text(given, "number"))
        return await self._ask(request, visit, work)

    async def old_phone(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.OLD_PHONE)
        work = partial(steps.send_activation_code, visit, phone=_text(given, "phone"))
        return await self._ask(request, visit, work)

    async def password(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.PASSWORD)
        password = text_of(given, "password", max_chars=MAX_PASSWORD_CHARS)
        return await self._ask(request, visit, partial(steps.activate, visit, password=password))

    async def face(self, request: Request) -> Response:
        """Hold a session for the service's nonce; what it signs is handed in afterwards."""
        await self._visits.given(request)
        visit = self._at(Step.FACE)
        began: list[tuple[str, bytes]] = []

        async def start() -> None:
            began.append(await self._visits.ask(visit, partial(steps.start_face, visit)))

        answer = await self._visits.do(request, visit, start())
        if not began:
            return answer
        [(check_id, nonce)] = began
        session = SessionRequest(
            kind="account",
            back=PATH,
            nonce=nonce,
            adapt=lambda pipeline, *_: _with_picture(pipeline),
            after=partial(self._hand_in, visit, check_id),
        )
        return go(sessions_of(self._kiosk).begin(session))

    def _hand_in(self, visit: Visit, check_id: str, office: Office, verification: Verification) -> None:
        """On the office's thread. What the service refuses is shown by the flow's own page."""
        if verification.decision.outcome is not Outcome.VERIFIED:
            return
        with office.recorder() as recorder:
            evidence = face_evidence(
                verification.record.envelope,
                certificates=recorder.identity.attestation_certificates,
                private=recorder.outbox.private(verification.record.attestation_id),
                media=verification.evidence.media,
                picture=BEST_SHOT,
            )
        work = partial(steps.submit_face, visit, check_id=check_id, evidence=evidence)
        try:
            ask(self._kiosk.config, self._kiosk.language, work)
        except EdgeError as error:
            visit.refusal = error

    async def _read_card(self, visit: Visit) -> None:
        elements = await read_elements(self._kiosk)
        self._visits.check_current(visit)
        await self._take_elements(visit, elements)

    async def _take_elements(self, visit: Visit, given: Elements) -> None:
        visit.elements = given
        if visit.again:
            await self._visits.ask(visit, partial(steps.check_elements, visit, given=given))
        else:
            visit.step = Step.PORTRAIT

    async def _ask(self, request: Request, visit: Visit, work: Callable[[CloudLine], Any]) -> Response:
        return await self._visits.do(request, visit, self._visits.ask(visit, work))

    def _at(self, step: Step) -> Visit:
        visit = self._visits.visit
        if visit is None or visit.step is not step:
            raise visit_over()
        return visit


def _sign_out(visit: Visit) -> list[Callable[[CloudLine], None]]:
    """The session at the service ends too; else it ends by itself."""
    return [partial(steps.sign_out, visit)] if visit.token else []


def refusal_words(error: EdgeError, texts: Texts) -> Values:
    """What the page shows of a refusal: the service's words, its remedies and check-list in their order."""
    if isinstance(error, CloudRefusal) and not error.away:
        own = texts.find(f"accounts.refused.{error.code}")
        return {
            "code": error.code,
            "text": own or texts("accounts.refused"),
            "hint": error.told,
            "remedies": [(code, _known(texts, "remedy", code)) for code in error.remedies],
            "check": [(code, _known(texts, "element", code)) for code in error.check_list],
            "away": False,
        }
    away = isinstance(error, CloudRefusal)
    text, hint = ("", "") if away else fault_text(error.code, texts)
    return {"code": error.code, "text": text, "hint": hint, "remedies": [], "check": [], "away": away}


def _known(texts: Texts, kind: str, code: str) -> str:
    """A newer service may know more codes than this device."""
    return texts.find(f"accounts.{kind}.{code}") or code


def _text(given: Values, name: str) -> str:
    value = text_of(given, name, max_chars=60).strip()
    if not value:
        raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
    return value


def _with_picture(pipeline: Pipeline) -> Pipeline:
    if BEST_SHOT not in pipeline.plan.media:
        raise picture_not_kept()
    return pipeline
