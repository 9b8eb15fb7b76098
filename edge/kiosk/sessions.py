"""The one session that a kiosk can hold: begun by a flow, carried out by the office, shown by /session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.answers import Accommodation, NotSignedIn, SignedIn, Stop
from edge.attempts import FAILED, offer_after
from edge.documents import Given
from edge.errors import EdgeError, InputError
from edge.kiosk.answers import bad_request, check_controls, done, go, posts, read_json, text_of
from edge.kiosk.desk import WebDesk, WebScreen
from edge.kiosk.office import Office
from edge.kiosk.preview import PreviewCamera
from edge.kiosk.replies import parse_reply
from edge.kiosk.server import Kiosk
from edge.kiosk.showing import screen_values
from edge.kiosk.state import Result, Stage
from edge.model import Decision, Outcome
from edge.pipeline import Pipeline, Verification
from edge.policy import Policy
from edge.recorder import Recorder
from edge.session.events import OPERATOR_IS_APPLICANT, SAID_NO
from edge.state.store import StateStore
from edge.station import Counter, open_pipeline
from edge.tasks import WaitingTask

PATH = "/session"

_log = logging.getLogger(__name__)


def _no_task(_recorder: Recorder, _state: StateStore) -> WaitingTask | None:
    return None


def _as_it_is(
    pipeline: Pipeline, _recorder: Recorder, _state: StateStore, _task: WaitingTask | None
) -> Pipeline:
    return pipeline


def _nothing_after(_office: Office, _verification: Verification) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What a flow wants of a session.

    ``kind``: the flow; its texts are ``session.<kind>``. ``back``: where the page goes afterwards.
    ``accommodation``: what the person needs to answer the challenge.
    ``find_task``: whom it is for; ``adapt``: the pipeline with something around it (the keeper of a
    contract's signature); ``after``: what follows the record, also where the outcome is no. All three are
    called on the office's thread, and may raise EdgeError: the first two before anybody is asked anything.
    """

    kind: str = "verify"
    back: str = "/"
    accommodation: Accommodation = field(default_factory=Accommodation)
    given: Given | None = None
    nonce: bytes = b""
    find_task: Callable[[Recorder, StateStore], WaitingTask | None] = _no_task
    adapt: Callable[[Pipeline, Recorder, StateStore, WaitingTask | None], Pipeline] = _as_it_is
    after: Callable[[Office, Verification], None] = _nothing_after


class Sessions:
    """Begins sessions for flows: ``sessions_of(kiosk).begin(request)``."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._desk: WebDesk | None = None

    def begin(self, request: SessionRequest) -> str:
        """Begin one; return where it is shown. Errors as ``Kiosk.hold``."""
        self._kiosk.hold(lambda office: self._hold(office, request))
        return PATH

    def stop(self, who: Stop) -> None:
        """End the session that is under way, as if ``who`` had pressed stop; it is attested."""
        if self._desk is not None:
            self._desk.stop(who)

    @contextmanager
    def stoppable(self, desk: WebDesk) -> Iterator[None]:
        """Let the page's stop button reach ``desk`` while the office does what is no session."""
        self._desk = desk
        try:
            yield
        finally:
            self._desk = None

    def take(self, number: int, given: dict[str, Any]) -> bool:
        """Hand over the page's answer; False where its question is over. Errors as ``parse_reply``."""
        question = self._kiosk.hub.view.question
        if self._desk is None or question is None or question.number != number:
            return False
        return self._desk.take(number, parse_reply(question.kind, given))

    def _hold(self, office: Office, request: SessionRequest) -> None:
        hub = self._kiosk.hub
        hub.update(
            session=hub.view.session + 1,
            kind=request.kind,
            back=request.back,
            stage=Stage.WORKING,
            prompt=None,
            light=None,
            question=None,
            result=None,
            fault=("", ""),
            stopping=False,
            still=False,
        )
        self._desk = desk = self._open_desk(office)
        try:
            result = self._run(office, desk, request)
        except EdgeError as error:
            _log.warning("no session: %s", error.code)
            self._end(stage=Stage.FAULT, fault=(error.code, error.hint))
        except BaseException:
            self._end(stage=Stage.FAULT, fault=("INTERNAL_FAULT", ""))
            raise
        else:
            self._end(stage=Stage.RESULT, result=result)
        finally:
            self._desk = None

    def _end(self, **changes: Any) -> None:
        self._kiosk.hub.forget_frame()
        self._kiosk.hub.update(prompt=None, light=None, question=None, **changes)

    def _run(self, office: Office, desk: WebDesk, request: SessionRequest) -> Result:
        kiosk = self._kiosk
        counter = Counter(
            desk=desk,
            screen=WebScreen(kiosk.hub),
            operators=office.operators,
            vision=office.vision,
            watch=lambda camera: PreviewCamera(camera, kiosk.hub.offer_frame, rest=kiosk.hub.rest),
        )
        with office.recorder() as recorder:
            task = request.find_task(recorder, office.state)
            with open_pipeline(
                kiosk.config,
                recorder,
                office.state,
                operator=self._asks_operator(office),
                given=request.given,
                task=task,
                nonce=request.nonce,
                counter=counter,
                accommodation=request.accommodation,
            ) as pipeline:
                verification = request.adapt(pipeline, recorder, office.state, task).run()
            result = self._result(verification, recorder.policy)
        request.after(office, verification)
        return result

    def _asks_operator(self, office: Office) -> str | None:
        """Where somebody works here, their name belongs into the record, whatever the policy asks."""
        return "" if office.operators.list() else None

    def _open_desk(self, office: Office) -> WebDesk:
        kiosk = self._kiosk

        def present() -> SignedIn | None:
            operator = kiosk.operator
            if operator is None or not office.operators.note_activity(operator.person):
                return None
            return operator.person

        def check(who: str, pin: str) -> SignedIn | NotSignedIn:
            return office.operators.try_sign_in(who, pin=pin)

        return WebDesk(
            kiosk.hub,
            present=present,
            names=lambda: [one.name for one in office.operators.list()],
            check_operator=check,
        )

    def _result(self, verification: Verification, policy: Policy) -> Result:
        outcome, liveness = verification.decision.outcome, verification.evidence.liveness
        kiosk = self._kiosk
        if outcome is Outcome.VERIFIED:
            kiosk.failures = 0
        elif outcome in FAILED:  # of this person here, or of this document in the last quarter of an hour
            kiosk.failures = max(kiosk.failures + 1, liveness.challenge.attempt if liveness else 0)
        offer = offer_after(kiosk.failures, policy.liveness)
        return Result(
            outcome=outcome,
            reasons=verification.decision.reasons,
            attestation_id=verification.record.attestation_id,
            seq=verification.record.seq,
            again=offer.again,
            other_ways=len(offer.accommodations) > 1,
            by_hand=offer.by_hand and _people_may_decide(verification.decision),
            fault=verification.fault.code if verification.fault is not None else "",
        )


def _people_may_decide(decision: Decision) -> bool:
    """As ``edge.manual.check_attempt``, which has the last word."""
    never = {*SAID_NO, OPERATOR_IS_APPLICANT}
    return decision.outcome is not Outcome.SPOOF and never.isdisjoint(decision.reasons)


def sessions_of(kiosk: Kiosk) -> Sessions:
    """The kiosk's sessions; one object for each kiosk."""
    if kiosk.sessions is None:
        kiosk.sessions = Sessions(kiosk)
    sessions: Sessions = kiosk.sessions
    return sessions


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of every session, whichever flow began it."""
    flow = _Pages(kiosk)
    return [
        Route(PATH, flow.show),
        Route(f"{PATH}/screen", flow.screen),
        *posts(PATH, {"answer": flow.answer, "stop": flow.stop, "leave": flow.leave}),
    ]


class _Pages:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._sessions = sessions_of(kiosk)

    async def show(self, request: Request) -> Response:
        if self._kiosk.hub.view.stage is Stage.NONE:
            return RedirectResponse("/", 303)
        return self._kiosk.page(request, "session.html")

    async def screen(self, request: Request) -> Response:  # noqa: ARG002 - the same for every request
        """The part of the page that changes, as it is to be drawn now."""
        kiosk = self._kiosk
        view, texts = kiosk.hub.view, kiosk.texts()
        body = kiosk.render(
            f"screens/{view.screen}.html",
            view=view,
            key=view.key(texts.language),
            **screen_values(view, texts),
        )
        return HTMLResponse(body)

    async def answer(self, request: Request) -> Response:
        given = await read_json(request)
        check_controls(self._kiosk, request)
        number = given.get("question")
        if type(number) is not int:
            raise bad_request("it names no question")
        if not self._sessions.take(number, given):
            raise InputError("QUESTION_OVER", "The question is over.", hint="Answer the newest one.")
        return done()

    async def stop(self, request: Request) -> Response:
        who = text_of(await read_json(request), "who")
        check_controls(self._kiosk, request)
        if who not in (Stop.PERSON, Stop.OPERATOR):
            raise bad_request("nobody of that name can stop")
        self._sessions.stop(Stop(who))
        return done()

    async def leave(self, request: Request) -> Response:
        """Leave the result: what is shown of a person goes with it."""
        await read_json(request)
        check_controls(self._kiosk, request)
        view = self._kiosk.hub.view
        if view.busy:
            raise InputError("SESSION_RUNNING", "The session is under way.", hint="Stop it first.")
        self._kiosk.hub.put_away()
        return go(view.back)
