"""An application for certification at the device: what was given so far, and the calls of each step.

    LOGIN, LIST, FORM (one field after the other), DOCUMENTS, CAMERA, LOOK, DECLARATION, CHECK, STATUS

What is typed and photographed stands in one :class:`Visit` in memory, and nowhere else on the device. Each
step that is finished lies at the service, as a draft of the person's own: whoever has to stop goes on later,
here or elsewhere.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edge.errors import EdgeError, InputError
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from edge.kiosk.visits import once
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub

CHUNK_BYTES = 32 * 1024
"""Of an upload; a limit of the contract (certification_service.proto)."""

MAX_VALUE_CHARS = 200
"""Of a field that says nothing."""

MAX_HISTORY = 20
"""Applications that are listed, the newest first."""

EDITABLE = (pb.APPLICATION_STATE_DRAFT, pb.APPLICATION_STATE_SUPPLEMENT_REQUIRED)
OPEN = (*EDITABLE, pb.APPLICATION_STATE_SUBMITTED, pb.APPLICATION_STATE_IN_REVIEW)
"""Of one type an account has one of these at most."""


class Step(StrEnum):
    """What is asked now."""

    LOGIN = "login"
    LIST = "list"
    FORM = "form"
    DOCUMENTS = "documents"
    CAMERA = "camera"
    LOOK = "look"
    DECLARATION = "declaration"
    CHECK = "check"
    STATUS = "status"


@dataclass(slots=True)
class Visit:
    """``token``: of the account's session. ``index``: of the field that is asked; ``wrong``: the one that the
    service did not take. ``rule``: the document before the camera; ``shot``: its picture until it is kept,
    ``shot_number`` names it for the page. ``language``: of the newest call, and so of the service's words.
    """

    step: Step = Step.LOGIN
    refusal: EdgeError | None = None
    language: str = ""
    token: str = field(default="", repr=False)
    types: tuple[pb.CertificationType, ...] = ()
    history: tuple[pb.HistoryEntry, ...] = ()
    kind: pb.CertificationType | None = None
    application: pb.Application | None = None
    values: dict[str, str] = field(default_factory=dict, repr=False)
    index: int = 0
    wrong: str = ""
    materials: tuple[pb.Material, ...] = ()
    rule: pb.MaterialRule | None = None
    shot: bytes = field(default=b"", repr=False)
    shot_number: int = 0
    declaration: pb.Declaration | None = None
    status: pb.GetApplicationStatusResponse | None = None
    namespace: uuid.UUID = field(default_factory=uuid.uuid4)

    def count(self, kind: str) -> int:
        """How many files of this kind there are."""
        return sum(one.kind == kind for one in self.materials)

    @property
    def missing(self) -> tuple[pb.MaterialRule, ...]:
        """What is required and not there."""
        rules = self.kind.materials if self.kind is not None else ()
        return tuple(rule for rule in rules if rule.required and not self.count(rule.kind))


def sign_in(visit: Visit, line: CloudLine, *, identifier: str, password: str) -> None:
    """Sign in to an account that is active, and see what can be applied for.

    Raises:
        CloudRefusal: as every step.
        InputError: ACCOUNT_UNFINISHED: the account has steps left, which are done under Accounts.
    """
    request = accounts.LoginRequest(identifier=identifier, password=password)
    answer = line.call(AccountServiceStub, "Login", request)
    visit.token = answer.session.token
    if answer.next_step != accounts.NEXT_STEP_NONE:
        sign_out(visit, line)
        raise InputError("ACCOUNT_UNFINISHED", "The account is not active yet.", hint="Finish it first.")
    show_list(visit, line)


def sign_out(visit: Visit, line: CloudLine) -> None:
    """End the person's session at the service."""
    token, visit.token = visit.token, ""
    line.call(AccountServiceStub, "SignOut", accounts.SignOutRequest(), token=token)


def show_list(visit: Visit, line: CloudLine) -> None:
    """What can be applied for, and what was."""
    types = _call(visit, line, "ListCertificationTypes", pb.ListCertificationTypesRequest()).types
    history = _call(visit, line, "ListHistory", pb.ListHistoryRequest(page_size=MAX_HISTORY)).entries
    visit.types, visit.history, visit.step = tuple(types), tuple(history), Step.LIST
    _begin_anew(visit)


def choose_type(visit: Visit, line: CloudLine, *, code: str) -> None:
    """Fill the form of a type; one that is open already is shown, or goes on. ``code``: that is listed."""
    open_one = next(
        (one.application for one in visit.history if _is_open(one.application, code)),
        None,
    )
    if open_one is not None:
        open_application(visit, line, application_id=open_one.application_id)
        return
    _begin_anew(visit)
    visit.kind = next(one for one in visit.types if one.code == code)
    _ask_form(visit, line)


def open_application(visit: Visit, line: CloudLine, *, application_id: str) -> None:
    """Go on with an application that can be changed; of any other, show how far it has come."""
    answer = _call(visit, line, "GetApplication", pb.GetApplicationRequest(application_id=application_id))
    _begin_anew(visit)
    visit.application, visit.materials = answer.application, tuple(answer.materials)
    visit.values = {one.name: one.value for one in answer.form}
    visit.kind = next((one for one in visit.types if one.code == answer.application.type_code), None)
    if answer.application.state == pb.APPLICATION_STATE_DRAFT and visit.kind is not None:
        _ask_form(visit, line)
    else:
        show_status(visit, line)


def take_value(visit: Visit, line: CloudLine, *, value: str) -> None:
    """The value of the field that is asked; behind the last one the form goes to the service.

    Raises:
        InputError: FIELD_EMPTY, FIELD_TOO_LONG.
    """
    fields = _kind(visit).fields
    asked = fields[visit.index]
    if asked.required and not value:
        raise InputError("FIELD_EMPTY", "A field is empty.", hint="Fill in every field.")
    if len(value) > (asked.max_length or MAX_VALUE_CHARS):
        raise InputError("FIELD_TOO_LONG", "What was typed is too long.", hint="Make it shorter.")
    visit.values[asked.name] = value
    if visit.index + 1 < len(fields):
        visit.index, visit.wrong = visit.index + 1, ""
        return
    send_form(visit, line)


def send_form(visit: Visit, line: CloudLine) -> None:
    """Create the draft, or change it; what the form's rules refuse is asked again."""
    kind = _kind(visit)
    form = [
        pb.FormValue(name=one.name, value=visit.values[one.name])
        for one in kind.fields
        if visit.values.get(one.name)
    ]
    known = visit.application
    request: Any = (
        pb.CreateApplicationRequest(type_code=kind.code, form=form)
        if known is None
        else pb.UpdateApplicationRequest(application_id=known.application_id, form=form)
    )
    method = "CreateApplication" if known is None else "UpdateApplication"
    try:
        visit.application = _call(visit, line, method, request).application
    except CloudRefusal as refusal:
        _ask_again(visit, refusal)
        raise
    visit.step, visit.wrong, visit.index = Step.DOCUMENTS, "", 0


def keep_picture(visit: Visit, line: CloudLine) -> None:
    """Upload the picture; it leaves the device's memory once the service has it."""
    if visit.rule is None or visit.application is None:
        raise AssertionError("a picture is taken for a document of an application")
    digest = hashlib.sha256(visit.shot).digest()
    header = pb.MaterialHeader(
        application_id=visit.application.application_id, kind=visit.rule.kind, sha256=digest
    )
    parts = _parts(once(visit.namespace, header), visit.shot)
    answer = line.send(
        CertificationServiceStub, "UploadMaterial", parts, size=len(visit.shot), token=visit.token
    )
    visit.materials = (*visit.materials, answer.material)
    visit.shot, visit.rule, visit.step = b"", None, Step.DOCUMENTS


def remove(visit: Visit, line: CloudLine, *, material_id: str) -> None:
    """Take a file away again."""
    request = pb.RemoveMaterialRequest(application_id=_id(visit), material_id=material_id)
    _call(visit, line, "RemoveMaterial", request)
    visit.materials = tuple(one for one in visit.materials if one.material_id != material_id)


def show_declaration(visit: Visit, line: CloudLine) -> None:
    """What who applies stands in for."""
    visit.declaration = _call(visit, line, "GetDeclaration", pb.GetDeclarationRequest()).declaration
    visit.step = Step.DECLARATION


def accept(visit: Visit, line: CloudLine) -> None:
    """The person accepts the declaration that was shown; where a newer one counts, that is shown."""
    shown = visit.declaration
    if shown is None:
        raise AssertionError("nothing is accepted that was not shown")
    request = pb.AcceptDeclarationRequest(
        application_id=_id(visit), version=shown.version, sha256=shown.sha256
    )
    try:
        visit.application = _call(visit, line, "AcceptDeclaration", request).application
    except CloudRefusal as refusal:
        if refusal.code == "DECLARATION_OUTDATED":
            show_declaration(visit, line)
        raise
    visit.step = Step.CHECK


def submit(visit: Visit, line: CloudLine) -> None:
    """Hand it in, and show how far it has come; what is missing is asked for again."""
    request = pb.SubmitApplicationRequest(application_id=_id(visit))
    try:
        visit.application = _call(visit, line, "SubmitApplication", request).application
    except CloudRefusal as refusal:
        _ask_again(visit, refusal)
        raise
    show_status(visit, line)


def show_status(visit: Visit, line: CloudLine) -> None:
    """How far the application has come, and what comes next."""
    request = pb.GetApplicationStatusRequest(application_id=_id(visit))
    visit.status = _call(visit, line, "GetApplicationStatus", request)
    visit.application, visit.step = visit.status.application, Step.STATUS


def _ask_form(visit: Visit, line: CloudLine) -> None:
    """The first field; a type that has none is applied for at once."""
    if _kind(visit).fields:
        visit.step = Step.FORM
    elif visit.application is None:
        send_form(visit, line)
    else:
        visit.step = Step.DOCUMENTS


def _ask_again(visit: Visit, refusal: CloudRefusal) -> None:
    """Go to what the service did not take."""
    names = [one.name for one in _kind(visit).fields]
    wrong = next((name for name in refusal.facts.get("fields", "").split(",") if name in names), "")
    if refusal.code == "FORM_INVALID" and wrong:
        visit.step, visit.index, visit.wrong = Step.FORM, names.index(wrong), wrong
    elif refusal.code == "MATERIAL_MISSING":
        visit.step = Step.DOCUMENTS
    elif refusal.code in ("DECLARATION_REQUIRED", "DECLARATION_OUTDATED"):
        visit.step, visit.declaration = Step.DECLARATION, None


def _begin_anew(visit: Visit) -> None:
    visit.kind = visit.application = visit.rule = visit.status = visit.declaration = None
    visit.values, visit.materials, visit.index, visit.wrong, visit.shot = {}, (), 0, "", b""


def _is_open(application: pb.Application, code: str) -> bool:
    return application.type_code == code and application.state in OPEN


def _kind(visit: Visit) -> pb.CertificationType:
    if visit.kind is None:
        raise AssertionError("a form belongs to a type")
    return visit.kind


def _id(visit: Visit) -> str:
    if visit.application is None:
        raise AssertionError("there is an application by now")
    return visit.application.application_id


def _call(visit: Visit, line: CloudLine, method: str, request: Any) -> Any:
    """A call in the person's name, done once however often it is sent."""
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        request = once(visit.namespace, request)
    return line.call(CertificationServiceStub, method, request, token=visit.token)


def _parts(header: pb.MaterialHeader, content: bytes) -> Iterator[pb.UploadMaterialRequest]:
    yield pb.UploadMaterialRequest(header=header)
    for at in range(0, len(content), CHUNK_BYTES):
        yield pb.UploadMaterialRequest(chunk=content[at : at + CHUNK_BYTES])
