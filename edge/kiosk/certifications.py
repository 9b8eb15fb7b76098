"""Applications for certification at the device, with the documents photographed by its camera (R085 to R090).

One question per screen: the account, what is applied for, each field, each document, the declaration. What
comes back is the application's number and how far it is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.errors import InputError
from edge.kiosk import application as steps
from edge.kiosk.accounts import refusal_words
from edge.kiosk.answers import PAGE_HEADER, Take, bad_request, done, go, missing, posts, text_of
from edge.kiosk.application import Step, Visit
from edge.kiosk.cloud_line import CloudLine
from edge.kiosk.document_camera import DocumentCamera, encode_document, judge_document
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.showing import fault_text
from edge.kiosk.shown import moment
from edge.kiosk.visits import Visits
from edge.texts import Language
from verifield.v1 import certification_service_pb2 as pb

PATH = "/certifications"
MAX_IDENTIFIER_CHARS = 60
MAX_PASSWORD_CHARS = 128
MAX_VALUE_CHARS = 4000
MAX_FILES = 30
"""Of one application; the service's rule."""

_CAMERA_FAULTS = ("CAMERA_LOST", "CAMERA_BUSY", "CAMERA_BLACK", "CAMERA_FROZEN", "CAMERA_ENDED")


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Certifications(kiosk)
    takes: dict[str, Take] = {
        "login": flow.login,
        "leave": flow.leave,
        "list": flow.listing,
        "type": flow.choose,
        "open": flow.open,
        "field": flow.field,
        "back": flow.back,
        "change": flow.change,
        "document": flow.document,
        "camera": flow.camera,
        "take": flow.take,
        "again": flow.again,
        "keep": flow.keep,
        "remove": flow.remove,
        "go-on": flow.go_on,
        "declare": flow.declare,
        "submit": flow.submit,
        "status": flow.status,
    }
    return [
        Route(PATH, flow.show, methods=["GET"]),
        Route(f"{PATH}/picture/{{number:int}}", flow.picture, methods=["GET"]),
        *posts(PATH, takes),
    ]


class _Certifications:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._visits: Visits[Visit] = Visits(kiosk, path=PATH, last=_sign_out)
        self._camera = DocumentCamera(kiosk.config, kiosk.hub)

    async def show(self, request: Request) -> Response:
        kiosk = self._kiosk
        if kiosk.hub.view.busy:
            return RedirectResponse("/session", 303)
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        if self._visits.visit is None:
            self._visits.begin(Visit())
        visit, texts = self._visits.visit, kiosk.texts()
        if visit is None:
            raise AssertionError("it was just begun")
        self._visits.touch()
        told = refusal_words(visit.refusal, texts) if visit.refusal is not None else None
        return self._visits.page(
            request,
            f"certification_{visit.step}.html",
            visit=visit,
            told=told,
            own_words=visit.language in ("", kiosk.language),
            words=partial(words, kiosk.language),
            moment=lambda stamp: moment(stamp.ToDatetime(UTC)),
            state=state_name,
            event=event_name,
            kinds={one.code: one for one in visit.types},
            camera_faults={code: fault_text(code, texts) for code in _CAMERA_FAULTS},
        )

    async def picture(self, request: Request) -> Response:
        """The picture that is looked at, to the page that has the cookie."""
        if await to_sign_in(self._kiosk, request) is not None:
            raise missing()
        visit = self._visits.visit
        if visit is None or not visit.shot or request.path_params["number"] != visit.shot_number:
            raise missing()
        return Response(visit.shot, media_type="image/jpeg")

    async def login(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.LOGIN)
        identifier = text_of(given, "identifier", max_chars=MAX_IDENTIFIER_CHARS).strip()
        password = text_of(given, "password", max_chars=MAX_PASSWORD_CHARS)
        if not identifier or not password:
            raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
        return await self._ask(
            request, visit, partial(steps.sign_in, visit, identifier=identifier, password=password)
        )

    async def leave(self, request: Request) -> Response:
        """Forget everything; what lies at the service stays there, as the person's draft."""
        await self._visits.given(request, ends=True)
        self._visits.forget()
        return go("/")

    async def listing(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._signed_in()
        return await self._ask(request, visit, partial(steps.show_list, visit))

    async def choose(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.LIST)
        code = text_of(given, "code")
        if code not in [one.code for one in visit.types]:
            raise bad_request("there is no such type")
        return await self._ask(request, visit, partial(steps.choose_type, visit, code=code))

    async def open(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.LIST)
        wanted = text_of(given, "application")
        if wanted not in [one.application.application_id for one in visit.history]:
            raise bad_request("there is no such application")
        return await self._ask(request, visit, partial(steps.open_application, visit, application_id=wanted))

    async def field(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.FORM)
        value = text_of(given, "value", max_chars=MAX_VALUE_CHARS).strip()
        return await self._ask(request, visit, partial(steps.take_value, visit, value=value))

    async def back(self, request: Request) -> Response:
        """To the field before this one; from the first one to the list, from a document to all of them."""
        await self._visits.given(request)
        visit = self._at(Step.FORM, Step.CAMERA, Step.LOOK)
        visit.refusal = None
        if visit.step is not Step.FORM:
            visit.step, visit.rule, visit.shot = Step.DOCUMENTS, None, b""
        elif visit.index:
            visit.index, visit.wrong = visit.index - 1, ""
        else:
            return await self._ask(request, visit, partial(steps.show_list, visit))
        return go(PATH)

    async def change(self, request: Request) -> Response:
        """The form, or the documents, once more before it is handed in."""
        given = await self._visits.given(request)
        visit = self._at(Step.DOCUMENTS, Step.CHECK, Step.STATUS)
        what = text_of(given, "what")
        if what not in ("form", "documents"):
            raise bad_request("there is no such thing to change")
        if visit.kind is None or visit.application is None or visit.application.state not in steps.EDITABLE:
            raise InputError("STEP_OVER", "This step is over.", hint="Go on with the newest page.")
        visit.step = Step.FORM if what == "form" else Step.DOCUMENTS
        visit.index, visit.refusal = 0, None
        return go(PATH)

    async def document(self, request: Request) -> Response:
        """Choose what is photographed next."""
        given = await self._visits.given(request)
        visit = self._at(Step.DOCUMENTS)
        wanted = text_of(given, "kind")
        rules = visit.kind.materials if visit.kind is not None else ()
        visit.rule = next((one for one in rules if one.kind == wanted), None)
        if visit.rule is None:
            raise bad_request("there is no such document")
        if len(visit.materials) >= MAX_FILES:
            raise InputError("DOCUMENTS_ENOUGH", "There are enough documents.", hint="Remove one first.")
        visit.step, visit.refusal = Step.CAMERA, None
        return go(PATH)

    async def camera(self, request: Request) -> Response:
        """Open the camera for the page that asks; its faults are shown by that page."""
        await self._visits.given(request)
        visit, hub, page = self._at(Step.CAMERA), self._kiosk.hub, int(request.headers[PAGE_HEADER])

        def wanted() -> bool:
            here = self._visits.visit is visit and visit.step is Step.CAMERA
            return here and hub.in_control(page) and not hub.view.busy

        await self._kiosk.run(lambda: self._camera.open(wanted))
        return done()

    async def take(self, request: Request) -> Response:
        """Take the picture; one that cannot be read is refused at once, and the camera stays open."""
        await self._visits.given(request)
        visit = self._at(Step.CAMERA)

        def shoot() -> bytes:
            pixels = self._camera.take()
            judge_document(pixels)
            return encode_document(pixels)

        shot = await self._kiosk.run(shoot)
        if visit.step is Step.CAMERA:  # nobody has left meanwhile
            visit.shot, visit.shot_number, visit.step = shot, visit.shot_number + 1, Step.LOOK
        self._visits.touch()
        return go(PATH)

    async def again(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._at(Step.LOOK)
        visit.shot, visit.step, visit.refusal = b"", Step.CAMERA, None
        return go(PATH)

    async def keep(self, request: Request) -> Response:
        """Upload the picture; where the network is away it stays here, and can be kept once more."""
        await self._visits.given(request)
        visit = self._at(Step.LOOK)
        return await self._ask(request, visit, partial(steps.keep_picture, visit))

    async def remove(self, request: Request) -> Response:
        given = await self._visits.given(request)
        visit = self._at(Step.DOCUMENTS)
        wanted = text_of(given, "material")
        if wanted not in [one.material_id for one in visit.materials]:
            raise bad_request("there is no such document")
        return await self._ask(request, visit, partial(steps.remove, visit, material_id=wanted))

    async def go_on(self, request: Request) -> Response:
        """From the documents to the declaration, once all that is required is there."""
        await self._visits.given(request)
        visit = self._at(Step.DOCUMENTS, Step.DECLARATION)
        if visit.missing:
            raise InputError("DOCUMENT_MISSING", "A document is missing.", hint="Photograph it first.")
        return await self._ask(request, visit, partial(steps.show_declaration, visit))

    async def declare(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._at(Step.DECLARATION)
        if visit.declaration is None:
            return await self._ask(request, visit, partial(steps.show_declaration, visit))
        return await self._ask(request, visit, partial(steps.accept, visit))

    async def submit(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._at(Step.CHECK)
        return await self._ask(request, visit, partial(steps.submit, visit))

    async def status(self, request: Request) -> Response:
        await self._visits.given(request)
        visit = self._at(Step.STATUS)
        return await self._ask(request, visit, partial(steps.show_status, visit))

    def _at(self, *wanted: Step) -> Visit:
        visit = self._visits.visit
        if visit is None or visit.step not in wanted:
            raise InputError("STEP_OVER", "This step is over.", hint="Go on with the newest page.")
        return visit

    def _signed_in(self) -> Visit:
        visit = self._visits.visit
        if visit is None or not visit.token:
            raise InputError("STEP_OVER", "This step is over.", hint="Go on with the newest page.")
        return visit

    async def _ask(self, request: Request, visit: Visit, work: Callable[[Any], Any]) -> Response:
        return await self._visits.do(request, visit, self._visits.ask(visit, work))


def _sign_out(visit: Visit) -> list[Callable[[CloudLine], None]]:
    """The session at the service ends too; else it ends by itself."""
    visit.shot, visit.values = b"", {}
    return [partial(steps.sign_out, visit)] if visit.token else []


def words(language: Language, text: pb.CertificationText, fallback: str = "") -> str:
    """A text of the service in the kiosk's language, else in one that it has, else the code it is for."""
    return getattr(text, language) or text.en or text.zh or text.es or fallback


def state_name(value: int) -> str:
    """``DRAFT``, ``IN_REVIEW``; a newer service may have more of them."""
    try:
        return pb.ApplicationState.Name(pb.ApplicationState.ValueType(value)).removeprefix(
            "APPLICATION_STATE_"
        )
    except ValueError:
        return "UNSPECIFIED"


def event_name(value: int) -> str:
    """As :func:`state_name`, of an event."""
    try:
        name = pb.ApplicationEventKind.Name(pb.ApplicationEventKind.ValueType(value))
    except ValueError:
        return "UNSPECIFIED"
    return name.removeprefix("APPLICATION_EVENT_KIND_")
