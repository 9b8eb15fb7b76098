"""The super counter: a bank's collaborative verification of a business customer, one question per screen.

Menu, card, face, earlier records, the customer's information, bank, company, period, notice, signature, and
the numbered request (R004 to R019). The order is kept by ``counter_steps``, and by the service again; no
step is possible before the card was read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.attest.package import face_evidence, picture_not_kept
from edge.errors import EdgeError, InputError
from edge.kiosk import counter_steps as steps
from edge.kiosk.accounts import refusal_words
from edge.kiosk.answers import Take, bad_request, go, posts, text_of
from edge.kiosk.cloud_line import CloudLine, ask
from edge.kiosk.counter_device import is_same_face, read_card, written_signature
from edge.kiosk.counter_steps import EdgeSession, Step
from edge.kiosk.office import Office
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import SessionRequest, sessions_of
from edge.kiosk.shown import moment
from edge.kiosk.texts import Texts
from edge.kiosk.visits import Visits
from edge.model import Outcome, Prompt
from edge.pipeline import BEST_SHOT, Pipeline, Verification
from edge.texts import PROMPTS
from verifield.v1.customer_service_pb2 import CustomerInfo

PATH = "/coop"
CARD_PROMPTS_BESIDE = (Prompt.LIFT_CARD, Prompt.PLUG_IN_READER)
"""What the reader wants beside the card, for which the service has a prompt of its own."""

UNKNOWN_CHARS = 300
"""Longer than any field: the service says which one is too long."""

_log = logging.getLogger(__name__)


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Counter(kiosk)
    takes: dict[str, Take] = {
        "begin": flow.begin,
        "leave": flow.leave,
        "refresh": flow.refresh,
        "card": flow.card,
        "face": flow.face,
        "decide": flow.decide,
        "customer": flow.customer,
        "change": flow.change,
        "confirm": flow.confirm,
        "bank": flow.bank,
        "company": flow.company,
        "period": flow.period,
        "notice": flow.notice,
        "sign": flow.sign,
        "issue": flow.issue,
    }
    return [
        Route(PATH, flow.show, methods=["GET"]),
        *posts(PATH, takes),
    ]


class _Counter:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._visits: Visits[EdgeSession] = Visits(kiosk, path=PATH, last=_cancel)
        self._refused: EdgeError | None = None  # a session that could not begin

    async def show(self, request: Request) -> Response:
        kiosk = self._kiosk
        if kiosk.hub.view.busy:
            return RedirectResponse("/session", 303)
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        at, texts = self._visits.visit, kiosk.texts()
        refused = at.refusal if at is not None else self._refused
        told = refusal_words(refused, texts) if refused is not None else None
        if at is None:
            self._refused = None
            return kiosk.page(request, "counter.html", told=told)
        self._visits.touch()
        own_words = at.language == kiosk.language  # else the service spoke another language
        return self._visits.page(
            request,
            f"counter_{at.step}.html",
            at=at,
            told=told,
            own_words=own_words,
            prompt=at.prompt if own_words else texts("counter.prompt"),
            card_prompts={one.value: PROMPTS[one][kiosk.language] for one in CARD_PROMPTS_BESIDE},
            moment=lambda stamp: moment(stamp.ToDatetime(UTC)),
            period=partial(_period, texts),
            bank_name=lambda bank: getattr(bank, f"name_{kiosk.language}"),
        )

    async def begin(self, request: Request) -> Response:
        await self._visits.given(request, ends=True)
        kiosk, language = self._kiosk, self._kiosk.language
        self._visits.forget()
        try:
            session = await kiosk.run(lambda: ask(kiosk.config, language, steps.start))
        except EdgeError as error:
            _log.info("no session of the counter: %s", error.code)
            self._refused = error
        else:
            self._visits.begin(session)
        return go(PATH)

    async def leave(self, request: Request) -> Response:
        await self._visits.given(request, ends=True)
        self._visits.forget()
        return go("/")

    async def refresh(self, request: Request) -> Response:
        """Show once more what could not be shown."""
        await self._visits.given(request)
        at = self._at(Step.RECORDS)
        return await self._ask(request, at, partial(steps.show_records, at))

    async def card(self, request: Request) -> Response:
        await self._visits.given(request)
        at = self._at(Step.CARD)

        async def read() -> None:
            card = await read_card(self._kiosk)
            self._visits.check_current(at)
            await self._visits.ask(at, partial(steps.submit_card, at, card=card))

        return await self._visits.do(request, at, read())

    async def face(self, request: Request) -> Response:
        """Hold a session for the service's nonce; what it signs is handed in afterwards."""
        await self._visits.given(request)
        at = self._at(Step.FACE)
        at.refusal = None
        session = SessionRequest(
            kind="coop",
            back=PATH,
            nonce=at.nonce,
            adapt=lambda pipeline, *_: _with_picture(pipeline),
            after=partial(self._hand_in, at),
        )
        return go(sessions_of(self._kiosk).begin(session))

    def _hand_in(self, at: EdgeSession, office: Office, verification: Verification) -> None:
        """On the office's thread. What the service refuses is shown by the flow's own page."""
        capture = verification.evidence.capture
        if verification.decision.outcome is not Outcome.VERIFIED or capture is None:
            return
        best = capture.best_shot
        with office.recorder() as recorder:
            threshold = recorder.policy.match.live_chip_photo
            evidence = face_evidence(
                verification.record.envelope,
                certificates=recorder.identity.attestation_certificates,
                private=recorder.outbox.private(verification.record.attestation_id),
                media=verification.evidence.media,
                picture=BEST_SHOT,
            )
        config, language = self._kiosk.config, self._kiosk.language
        at.language = language
        try:
            photo = ask(config, language, partial(steps.authority_photo, at))
            matched = best is not None and is_same_face(
                office.vision, best.pixels, photo, threshold=threshold
            )
            ask(config, language, partial(steps.submit_face, at, evidence=evidence, matched=matched))
        except EdgeError as error:
            at.refusal = error

    async def decide(self, request: Request) -> Response:
        given = await self._visits.given(request)
        at = self._at(Step.RECORDS)
        choice = text_of(given, "choice")
        if choice not in ("EXIT", "CONTINUE"):
            raise bad_request("there is no such choice")
        return await self._ask(request, at, partial(steps.decide, at, go_on=choice == "CONTINUE"))

    async def customer(self, request: Request) -> Response:
        given = await self._visits.given(request)
        at = self._at(Step.CUSTOMER)
        info = CustomerInfo(
            address=_filled(given, "address"),
            phone=_text(given, "phone"),
            email=_text(given, "email"),
            occupation=_text(given, "occupation"),
        )
        return await self._ask(request, at, partial(steps.change_customer, at, info=info))

    async def change(self, request: Request) -> Response:
        """One step back, to something that was not yet confirmed."""
        await self._visits.given(request)
        at = self._at(Step.CONFIRM, Step.COMPANY, Step.PERIOD)
        back = {Step.CONFIRM: Step.CUSTOMER, Step.COMPANY: Step.BANK, Step.PERIOD: Step.COMPANY}
        at.step, at.refusal = back[at.step], None
        return go(PATH)

    async def confirm(self, request: Request) -> Response:
        await self._visits.given(request)
        at = self._at(Step.CONFIRM)
        return await self._ask(request, at, partial(steps.confirm_customer, at))

    async def bank(self, request: Request) -> Response:
        given = await self._visits.given(request)
        at = self._at(Step.BANK)
        wanted = text_of(given, "bank")
        at.bank = next((one for one in at.banks if one.bank_id == wanted), None)
        if at.bank is None:
            raise bad_request("there is no such bank")
        at.step, at.refusal = Step.COMPANY, None
        return go(PATH)

    async def company(self, request: Request) -> Response:
        """One that the customer is linked to, or the name of another."""
        given = await self._visits.given(request)
        at = self._at(Step.COMPANY)
        chosen = text_of(given, "organisation", default="")
        linked = {one.organisation_id: one.name for one in at.customer.organisations} if at.customer else {}
        if chosen and chosen not in linked:
            raise bad_request("the customer is not linked to it")
        at.organisation_id = chosen
        at.organisation_name = linked[chosen] if chosen else _filled(given, "name")
        at.step, at.refusal = Step.PERIOD, None
        return go(PATH)

    async def period(self, request: Request) -> Response:
        given = await self._visits.given(request)
        at = self._at(Step.PERIOD)
        period = text_of(given, "period")
        if at.bank is None or period not in at.bank.periods:
            raise bad_request("the bank offers no such period")
        return await self._ask(request, at, partial(steps.complete, at, period=period))

    async def notice(self, request: Request) -> Response:
        await self._visits.given(request)
        at = self._at(Step.NOTICE)
        return await self._ask(request, at, partial(steps.confirm_notice, at))

    async def sign(self, request: Request) -> Response:
        given = await self._visits.given(request)
        at = self._at(Step.SIGN)
        strokes, image = written_signature(given)
        return await self._ask(request, at, partial(steps.sign, at, strokes=strokes, image=image))

    async def issue(self, request: Request) -> Response:
        await self._visits.given(request)
        at = self._at(Step.ISSUE)
        return await self._ask(request, at, partial(steps.issue, at))

    def _at(self, *wanted: Step) -> EdgeSession:
        """The session, where one of these steps may be done now; errors as ``EdgeSession.check_step``."""
        at = self._visits.visit
        if at is None:
            raise steps.card_required()
        at.check_step(*wanted)
        return at

    async def _ask(self, request: Request, at: EdgeSession, work: Callable[[Any], Any]) -> Response:
        return await self._visits.do(request, at, self._visits.ask(at, work))


def _cancel(at: EdgeSession) -> list[Callable[[CloudLine], None]]:
    """The service's session ends too, where it has not; else it ends by its limit."""
    return [] if at.step in (Step.DONE, Step.ENDED) else [partial(steps.cancel, at)]


def _period(texts: Texts, period: str) -> str:
    count, unit = period[1:-1], period[-1]
    return texts(f"counter.period.one.{unit}") if count == "1" else texts(f"counter.period.{unit}", n=count)


def _text(given: dict[str, Any], name: str) -> str:
    return text_of(given, name, max_chars=UNKNOWN_CHARS, default="").strip()


def _filled(given: dict[str, Any], name: str) -> str:
    value = _text(given, name)
    if not value:
        raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
    return value


def _with_picture(pipeline: Pipeline) -> Pipeline:
    if BEST_SHOT not in pipeline.plan.media:
        raise picture_not_kept()
    return pipeline
