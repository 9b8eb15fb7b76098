"""Where the device could not decide, two people do: which attempt, what they found, who agrees and signs.

The rules are those of ``edge.manual``; this flow shows what they allow, and asks one thing at a time. The
second person signs in for this one signature and is forgotten right after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.answers import NotSignedIn, SignedIn
from edge.errors import EdgeError, InputError
from edge.kiosk.answers import bad_request, check_controls, done, go, read_json, text_of
from edge.kiosk.office import Office
from edge.kiosk.people import SIGN_IN, present, to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.showing import reason_text
from edge.kiosk.shown import hour, moment
from edge.kiosk.texts import Texts
from edge.manual import LOOK_BACK, causes_of, check_attempt, decide_by_hand, find_attempt
from edge.model import Role
from edge.outbox.records import StoredRecord
from edge.outbox.rows import statement_of
from edge.readiness import check_ready
from edge.state.records import ManualEntry
from edge.texts import REFUSALS
from verifield.v1 import attestation_pb2 as pb

MAX_OFFERED = 20
"""A decision is made while the person is there: the newest attempts are the ones."""

MAX_ENTRIES = 200
"""Rows of the ledger that are shown; all of it is checked."""

MAX_PIN_CHARS = 64
_CHOICES = {"accept": True, "refuse": False}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that people may decide about. ``causes``: the outcome, then the reasons, as stable codes."""

    attestation_id: str
    at: datetime
    causes: tuple[str, ...]

    @property
    def time(self) -> str:
        return hour(self.at)

    def words(self, texts: Texts) -> list[str]:
        """The causes as sentences: how it ended, then why."""
        outcome, *reasons = self.causes
        return [texts(f"records.outcome.{outcome}"), *(reason_text(code, texts) for code in reasons)]


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Manual(kiosk)
    return [
        Route("/manual", flow.which, methods=["GET"]),
        Route("/manual/ledger", flow.ledger, methods=["GET"]),
        Route("/manual/{attempt_id}", flow.question, methods=["GET"]),
        Route("/manual/{attempt_id}", flow.decide, methods=["POST"]),
        Route("/manual/{attempt_id}/{choice}", flow.second, methods=["GET"]),
    ]


class _Manual:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk

    async def which(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        if wanted := request.query_params.get("attempt"):
            return RedirectResponse(f"/manual/{quote(wanted, safe='')}", 303)
        attempts = [(one, one.words(kiosk.texts())) for one in await kiosk.at_desk(open_attempts)]
        supervisor = kiosk.operator is not None and kiosk.operator.person.role == Role.SUPERVISOR
        return kiosk.page(request, "manual.html", attempts=attempts, supervisor=supervisor)

    async def question(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        attempt = await self._attempt(request)
        return kiosk.page(
            request, "manual_question.html", attempt=attempt, words=attempt.words(kiosk.texts())
        )

    async def second(self, request: Request) -> Response:
        kiosk = self._kiosk
        choice = request.path_params["choice"]
        if choice not in _CHOICES:
            return RedirectResponse("/manual", 303)
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        attempt = await self._attempt(request)
        own = kiosk.operator.person.operator_id if kiosk.operator is not None else ""
        people = await kiosk.at_desk(lambda office: office.operators.list())
        names = [one.name for one in people if one.role is Role.SUPERVISOR and one.operator_id != own]
        return kiosk.page(request, "manual_second.html", attempt=attempt, choice=choice, names=names)

    async def decide(self, request: Request) -> Response:
        kiosk = self._kiosk
        given = await read_json(request)
        check_controls(kiosk, request)
        choice = text_of(given, "choice", max_chars=10)
        who, pin = text_of(given, "who"), text_of(given, "pin", max_chars=MAX_PIN_CHARS)
        if choice not in _CHOICES or not pin:
            raise bad_request("the choice or the PIN is missing")
        first = await present(kiosk)
        if first is None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        attempt_id = request.path_params["attempt_id"]
        answer = await kiosk.at_desk(
            lambda office: decide(
                office, attempt_id, decided_by=first.person, second=who, pin=pin, accepted=_CHOICES[choice]
            )
        )
        if isinstance(answer, NotSignedIn):
            text = REFUSALS[answer.refusal][kiosk.language]
            if answer.wait_s:
                text += " " + kiosk.texts()("signin.wait", seconds=math.ceil(answer.wait_s))
            return done(error={"code": f"SIGN_IN_{answer.refusal}", "text": text, "hint": ""})
        return go(f"/receipt/{answer.attestation_id}")

    async def ledger(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        operator = kiosk.operator
        if operator is None:
            return RedirectResponse(f"{SIGN_IN}?to=/manual/ledger", 303)
        if operator.person.role != Role.SUPERVISOR:
            raise role_needed()
        entries, names = await kiosk.at_desk(read_ledger)
        rows = [
            (moment(one.wall), one, names.get(one.decided_by), names.get(one.agreed_by)) for one in entries
        ]
        return kiosk.page(request, "manual_ledger.html", rows=rows, most=MAX_ENTRIES)

    async def _attempt(self, request: Request) -> Attempt:
        wanted = request.path_params["attempt_id"]
        return await self._kiosk.at_desk(lambda office: one_attempt(office, wanted))


def open_attempts(office: Office) -> list[Attempt]:
    """The newest attempts that two people may decide about now, newest first."""
    with office.recorder() as recorder:
        records = recorder.outbox.newest(limit=LOOK_BACK)
    return attempts_among(records)[:MAX_OFFERED]


def attempts_among(records: list[StoredRecord]) -> list[Attempt]:
    """Which of the device's newest records leave room for people, and were not decided yet. Pure."""
    statements = [(record, statement_of(record)) for record in records if record.envelope]
    decided = {statement.manual.attempt_id for _, statement in statements if statement.HasField("manual")}
    return [
        Attempt(record.attestation_id, record.created_at, causes_of(statement))
        for record, statement in statements
        if record.created_at is not None and record.attestation_id not in decided and _leaves_room(statement)
    ]


def one_attempt(office: Office, attempt_id: str) -> Attempt:
    """The attempt; errors as ``find_attempt`` and ``check_attempt``."""
    with office.recorder() as recorder:
        statement = find_attempt(recorder, attempt_id)
        check_attempt(statement)
        record = recorder.outbox.get(attempt_id)
    if record is None or record.created_at is None:
        raise InputError("ATTEMPT_UNKNOWN", "The attempt is gone.", hint="Let the person try again.")
    return Attempt(attempt_id, record.created_at, causes_of(statement))


def decide(
    office: Office, attempt_id: str, *, decided_by: SignedIn, second: str, pin: str, accepted: bool
) -> StoredRecord | NotSignedIn:
    """Let the second person sign in, record what both decided, and forget the second person's key.

    Raises:
        InputError: as ``edge.manual`` says.
        SetupError, StorageError: the device may not record anything now.
    """
    operators = office.operators
    if any(
        one.operator_id == decided_by.operator_id
        for one in operators.list()
        if second in (one.name, one.operator_id)
    ):
        raise InputError("SAME_PERSON", "Both are the same person.", hint="Let another supervisor sign in.")
    with office.recorder() as recorder:
        standing = check_ready(recorder, office.state)
        attempt = find_attempt(recorder, attempt_id)
        check_attempt(attempt)
        agreed_by = operators.try_sign_in(second, pin=pin)
        if isinstance(agreed_by, NotSignedIn):
            return agreed_by
        try:
            return decide_by_hand(
                recorder,
                office.state,
                operators,
                attempt=attempt,
                decided_by=decided_by,
                agreed_by=agreed_by,
                accepted=accepted,
                standing=standing,
            )
        finally:
            operators.sign_out(agreed_by)


def read_ledger(office: Office) -> tuple[list[ManualEntry], dict[str, str]]:
    """The newest rows of the ledger, once all of it is found whole, and who is who by pseudonym."""
    names = {one.operator_id: one.name for one in office.operators.list()}
    return list(reversed(office.state.ledger.entries()))[:MAX_ENTRIES], names


def role_needed() -> InputError:
    """This takes a supervisor."""
    return InputError(
        "ROLE_NEEDED", "The operator's role does not allow this.", hint="Let a supervisor sign in."
    )


def _leaves_room(statement: pb.Statement) -> bool:
    try:
        check_attempt(statement)
    except EdgeError:
        return False
    return True
