"""One person's visit to their account at the device: what was given so far, and the calls of each step.

Everything personal stands in one :class:`Visit` in memory, and nowhere else on the device: it goes with the
end of the visit, and when nobody has touched the page for ``visits.IDLE_S``. A password is never kept at all.

No code is ever sent because one did not come: each is asked for by a person, after the wait that the service
told.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edge.errors import EdgeError
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import identity_service_pb2 as identity
from verifield.v1 import otp_service_pb2 as otp
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.identity_pb2 import FaceEvidence, FourElements, Validity
from verifield.v1.identity_service_pb2_grpc import IdentityServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

CODE_WAIT_S = 60.0
"""Between two codes to one number (the service's own rule), where an answer does not say it."""


class Step(StrEnum):
    """What is asked now."""

    LOGIN = "login"
    ELEMENTS = "elements"
    PORTRAIT = "portrait"
    CONTACT = "contact"
    CODE = "code"
    FACE = "face"
    NUMBER = "number"
    OLD_PHONE = "old_phone"
    PASSWORD = "password"  # noqa: S105 (the name of a step)
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Elements:
    """As on the card, or as typed. ``valid_to`` is empty for a card without end."""

    name: str = field(default="", repr=False)
    number: str = field(default="", repr=False)
    valid_from: str = field(default="", repr=False)
    valid_to: str = field(default="", repr=False)

    def to_message(self) -> FourElements:
        return FourElements(name=self.name, id_number=self.number, validity=self.validity())

    def validity(self) -> Validity:
        if self.valid_to:
            return Validity(valid_from=self.valid_from, valid_to=self.valid_to)
        return Validity(valid_from=self.valid_from, long_term=True)


@dataclass(slots=True)
class Visit:
    """``again``: the elements are asked for an account that exists. ``code_at``: when the next code may be
    asked for, in monotonic seconds; ``hint``: what to do where none comes, as the service tells it.
    ``language``: of the newest call, and so of the service's words.
    """

    step: Step
    refusal: EdgeError | None = None
    elements: Elements = field(default_factory=Elements, repr=False)
    picture: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    activation: str = field(default="", repr=False)
    challenge_id: str = ""
    masked_phone: str = ""
    hint: str = ""
    code_at: float = 0.0
    again: bool = False
    active: bool = False
    language: str = ""
    namespace: uuid.UUID = field(default_factory=uuid.uuid4)

    def wait_s(self) -> float:
        """Seconds until the next code may be asked for."""
        return max(0.0, self.code_at - time.monotonic())


def sign_in(visit: Visit, line: CloudLine, *, identifier: str, password: str) -> None:
    """Sign in, and go on where the account stopped. Errors of every step: CloudRefusal."""
    request = accounts.LoginRequest(identifier=identifier, password=password)
    try:
        answer = line.call(AccountServiceStub, "Login", request)
    except CloudRefusal as refusal:
        if refusal.code == "ACTIVATION_REQUIRED":
            visit.step = Step.NUMBER
        raise
    visit.token = answer.session.token
    _go_on(visit, line, answer.next_step)


def register(visit: Visit, line: CloudLine, *, phone: str, password: str) -> None:
    """Begin the account with what was given, and have a code sent; a known person is led to activation."""
    request = accounts.RegisterRequest(
        name=visit.elements.name,
        id_number=visit.elements.number,
        validity=visit.elements.validity(),
        phone=phone,
        facial_image=visit.picture,
        password=password,
        language=line.language,
    )
    said = request.SerializeToString(deterministic=True).hex()
    request.request_id = str(uuid.uuid5(visit.namespace, said))  # a lost answer is asked for once more
    try:
        answer = line.call(AccountServiceStub, "Register", request)
    except CloudRefusal as refusal:
        if refusal.code == "ACTIVATION_REQUIRED" and refusal.facts.get("activation_token"):
            visit.activation = refusal.facts.pop("activation_token")
            visit.step = Step.OLD_PHONE
        elif refusal.fields and not {"phone", "password"} & set(refusal.fields):
            visit.step = Step.ELEMENTS
        raise
    visit.token, visit.picture = answer.session.token, b""
    _go_on(visit, line, answer.account.next_step)


def change_phone(visit: Visit, line: CloudLine, *, phone: str) -> None:
    """Another number for the same account; all else stays."""
    request = accounts.ChangeDraftPhoneRequest(phone=phone)
    line.call(AccountServiceStub, "ChangeDraftPhone", request, token=visit.token)
    visit.code_at = 0.0
    send_code(visit, line)


def send_code(visit: Visit, line: CloudLine) -> None:
    """Have a code sent to the account's number, because somebody asked for it."""
    visit.step = Step.CODE
    request = otp.SendCodeRequest(purpose=otp.CODE_PURPOSE_REGISTER)
    try:
        answer = line.call(OtpServiceStub, "SendCode", request, token=visit.token)
    except CloudRefusal as refusal:
        if refusal.wait_s:
            visit.code_at, visit.hint = time.monotonic() + refusal.wait_s, refusal.told
        raise
    visit.challenge_id, visit.masked_phone, visit.hint = (
        answer.challenge_id,
        answer.masked_phone,
        answer.hint,
    )
    visit.code_at = time.monotonic() + answer.retry_after.ToNanoseconds() / 1e9


def take_code(visit: Visit, line: CloudLine, *, code: str) -> None:
    """Give the code to what it was sent for."""
    if visit.activation:
        request = accounts.ConfirmActivationPhoneRequest(activation_token=visit.activation, code=code)
        line.call(AccountServiceStub, "ConfirmActivationPhone", request)
        visit.step = Step.PASSWORD
        return
    line.call(
        OtpServiceStub,
        "VerifyCode",
        otp.VerifyCodeRequest(challenge_id=visit.challenge_id, code=code),
        token=visit.token,
    )
    _go_on(visit, line, accounts.NEXT_STEP_VERIFY_ELEMENTS)


def check_elements(visit: Visit, line: CloudLine, *, given: Elements | None = None) -> None:
    """Ask the people's registry; None: those that the account was registered with."""
    visit.step, visit.again = Step.ELEMENTS, True
    elements = given.to_message() if given is not None else None
    request = identity.VerifyFourElementsRequest(elements=elements)
    line.call(IdentityServiceStub, "VerifyFourElements", request, token=visit.token)
    visit.step = Step.FACE


def start_face(visit: Visit, line: CloudLine) -> tuple[str, bytes]:
    """Id and nonce of a face check, for which a session is then held."""
    request = identity.StartFaceCheckRequest()
    answer = line.call(IdentityServiceStub, "StartFaceCheck", request, token=visit.token)
    return str(answer.face_check_id), bytes(answer.nonce)


def submit_face(visit: Visit, line: CloudLine, *, check_id: str, evidence: FaceEvidence) -> None:
    """Hand in what the device has signed; the account is active then."""
    request = identity.SubmitFaceEvidenceRequest(face_check_id=check_id, evidence=evidence)
    line.call(IdentityServiceStub, "SubmitFaceEvidence", request, token=visit.token)
    visit.step, visit.active = Step.DONE, True


def start_activation(visit: Visit, line: CloudLine, *, number: str) -> None:
    """The first step for an account of an earlier system."""
    request = accounts.StartActivationRequest(id_number=number)
    visit.activation = line.call(AccountServiceStub, "StartActivation", request).activation_token
    visit.step = Step.OLD_PHONE


def send_activation_code(visit: Visit, line: CloudLine, *, phone: str) -> None:
    """The number that the earlier system knew is sent a code; another one is sent nothing."""
    request = accounts.VerifyActivationPhoneRequest(activation_token=visit.activation, phone=phone)
    try:
        answer = line.call(AccountServiceStub, "VerifyActivationPhone", request)
    except CloudRefusal as refusal:
        visit.code_at = time.monotonic() + refusal.wait_s
        raise
    visit.step, visit.challenge_id = Step.CODE, answer.challenge_id
    visit.masked_phone, visit.hint = "", ""
    visit.code_at = time.monotonic() + CODE_WAIT_S


def activate(visit: Visit, line: CloudLine, *, password: str) -> None:
    """The last step: a new password; the holder is signed in."""
    request = accounts.ActivateRequest(activation_token=visit.activation, new_password=password)
    answer = line.call(AccountServiceStub, "Activate", request)
    visit.token, visit.activation = answer.session.token, ""
    visit.step, visit.active = Step.DONE, True


def sign_out(visit: Visit, line: CloudLine) -> None:
    """End the person's session at the service."""
    line.call(AccountServiceStub, "SignOut", accounts.SignOutRequest(), token=visit.token)


def _go_on(visit: Visit, line: CloudLine, next_step: Any) -> None:
    """Where the account stopped."""
    if next_step == accounts.NEXT_STEP_VERIFY_PHONE:
        send_code(visit, line)
    elif next_step == accounts.NEXT_STEP_VERIFY_ELEMENTS:
        check_elements(visit, line)
    elif next_step == accounts.NEXT_STEP_VERIFY_FACE:
        visit.step = Step.FACE
    else:
        visit.step, visit.active = Step.DONE, next_step == accounts.NEXT_STEP_NONE
