"""What people think of the process: a subject, their words, and a number to ask about it later (R113).

It goes to the service without a name, and is kept nowhere on the device: where the network is away, the words
stay on the page and can be sent once more.
"""

from __future__ import annotations

import uuid
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from edge.app import software_version
from edge.errors import InputError
from edge.kiosk.accounts import refusal_words
from edge.kiosk.answers import bad_request, check_controls, done, go, read_json, text_of
from edge.kiosk.cloud_line import CloudLine, CloudRefusal, ask
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from verifield.v1 import feedback_service_pb2 as pb
from verifield.v1.feedback_service_pb2_grpc import FeedbackServiceStub

PATH = "/feedback"
MAX_CHARS = 2000
"""Half of what the contract takes; a page of writing."""

SUBJECTS = ("PROCESS", "SIGN_IN", "SMS_CODE", "IDENTITY", "FACE", "MATERIAL", "DEVICE", "STAFF", "OTHER")
"""Categories of the contract that somebody at a device can have met."""


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Feedback(kiosk)
    return [Route(PATH, flow.show, methods=["GET"]), Route(PATH, flow.take, methods=["POST"])]


class _Feedback:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._ack = ""  # of the one who stands here

    async def show(self, request: Request) -> Response:
        if (first := await to_sign_in(self._kiosk, request)) is not None:
            return first
        if "given" not in request.query_params:
            self._ack = ""  # of somebody before
        return self._kiosk.page(
            request,
            "feedback.html",
            subjects=SUBJECTS,
            ack=self._ack,
            max_chars=MAX_CHARS,
            id=str(uuid.uuid4()),
        )

    async def take(self, request: Request) -> Response:
        kiosk = self._kiosk
        given = await read_json(request)
        check_controls(kiosk, request)
        subject = text_of(given, "subject", default="")
        text = text_of(given, "text", max_chars=MAX_CHARS).strip()
        if not subject or not text:
            raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
        if subject not in SUBJECTS:
            raise bad_request("there is no such subject")
        message = pb.SubmitAnonymousFeedbackRequest(
            request_id=_request_id(given),
            category=pb.FeedbackCategory.Value(f"FEEDBACK_CATEGORY_{subject}"),
            text=text,
            context=pb.FeedbackContext(
                screen="feedback", app="kiosk", app_version=software_version(), language=kiosk.language
            ),
        )
        send = partial(_send, message=message)
        language = kiosk.language
        try:
            self._ack = await kiosk.run(lambda: ask(kiosk.config, language, send))
        except CloudRefusal as refusal:
            words, texts = refusal_words(refusal, kiosk.texts()), kiosk.texts()
            told = texts("accounts.away") if refusal.away else words["text"]
            hint = texts("feedback.away") if refusal.away else words["hint"]
            return done(error={"code": refusal.code, "text": told, "hint": hint})
        return go(f"{PATH}?given")


def _request_id(given: dict[str, object]) -> str:
    """Of the page, so that words whose answer was lost are kept once."""
    try:
        return str(uuid.UUID(str(given.get("id", ""))))
    except ValueError:
        raise bad_request("it has no id") from None


def _send(line: CloudLine, *, message: pb.SubmitAnonymousFeedbackRequest) -> str:
    return str(line.call(FeedbackServiceStub, "SubmitAnonymousFeedback", message).ack_number)
