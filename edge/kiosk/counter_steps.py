"""The super counter's collaborative verification, step by step: what the device holds of it, and its calls.

    CARD, FACE, RECORDS, CUSTOMER, CONFIRM, BANK, COMPANY, PERIOD, NOTICE, SIGN, ISSUE, DONE

The service keeps the session and has the last word on its order (``CoopService``); the device refuses the
same by itself, with the same codes, before anything leaves it: without a card that was read, every step but
the reading is CARD_REQUIRED. A step is over once all that the next one shows is here; done again after an
answer was lost, it is done once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from edge.errors import EdgeError, InputError
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from edge.kiosk.visits import once
from verifield.v1 import bank_pb2
from verifield.v1 import coop_service_pb2 as pb
from verifield.v1.coop_service_pb2_grpc import CoopServiceStub
from verifield.v1.customer_service_pb2 import (
    Customer,
    CustomerInfo,
    GetSessionCustomerRequest,
    UpsertCustomerRequest,
)
from verifield.v1.customer_service_pb2_grpc import CustomerServiceStub
from verifield.v1.identity_pb2 import FaceEvidence

FUNCTION = "COOP_VERIFY"
LONG_TERM = "长期"
"""How a card without end is told (``CoopCard.valid_to``)."""

MAX_BANKS = 500
MAX_RECORDS = 20
"""Earlier records that the screen shows, the newest first; more are with the bank."""


class Step(StrEnum):
    """What is done now, in the order of the flow."""

    CARD = "card"
    FACE = "face"
    RECORDS = "records"
    CUSTOMER = "customer"
    CONFIRM = "confirm"
    BANK = "bank"
    COMPANY = "company"
    PERIOD = "period"
    NOTICE = "notice"
    SIGN = "sign"
    ISSUE = "issue"
    DONE = "done"
    ENDED = "ended"


ORDER = tuple(Step)

MISSING: Mapping[Step, str] = MappingProxyType(
    {
        Step.CARD: "CARD_REQUIRED",
        Step.FACE: "FACE_REQUIRED",
        Step.RECORDS: "DECISION_REQUIRED",
        Step.CUSTOMER: "CUSTOMER_UNCONFIRMED",
        Step.CONFIRM: "CUSTOMER_UNCONFIRMED",
        Step.BANK: "COMPLETION_REQUIRED",
        Step.COMPANY: "COMPLETION_REQUIRED",
        Step.PERIOD: "COMPLETION_REQUIRED",
        Step.NOTICE: "NOTICES_UNCONFIRMED",
        Step.SIGN: "SIGNATURE_REQUIRED",
        Step.ISSUE: "REQUEST_REQUIRED",
    }
)
"""What has to happen before anything later can; the service's own reasons."""


@dataclass(frozen=True, slots=True, repr=False)
class EdgeCard:
    """What was read. ``valid_from``, ``valid_to``: YYYY-MM-DD or LONG_TERM. ``photo``: of the chip, JPEG."""

    number: str
    name: str
    issuer: str
    valid_from: str
    valid_to: str
    photo: bytes

    def to_message(self) -> pb.CoopCard:
        return pb.CoopCard(
            number=self.number,
            name=self.name,
            issuer=self.issuer,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            photo=self.photo,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """What the request is for, as the service was told."""

    bank: bank_pb2.Bank
    company: str = field(repr=False)
    period: str


@dataclass(slots=True)
class EdgeSession:
    """One session of the counter at this device. ``session_id``, ``nonce``: the service's; ``language``: of
    the newest call, and so of the service's words; ``prompt``: what it says when a session begins.
    """

    session_id: str
    prompt: str
    language: str
    step: Step = Step.CARD
    refusal: EdgeError | None = None
    card: EdgeCard | None = field(default=None, repr=False)
    nonce: bytes = field(default=b"", repr=False)
    tries_left: int = 0
    items: tuple[tuple[str, str], ...] = ()
    records: tuple[bank_pb2.CoopRecord, ...] | None = field(default=None, repr=False)
    customer: Customer | None = field(default=None, repr=False)
    banks: tuple[bank_pb2.Bank, ...] = ()
    bank: bank_pb2.Bank | None = None
    organisation_id: str = ""
    organisation_name: str = field(default="", repr=False)
    completion: Completion | None = None
    linked: bool = False
    notice: bank_pb2.Notice | None = None
    number: str = ""
    expires: Timestamp | None = None
    end: str = ""
    namespace: uuid.UUID = field(default_factory=uuid.uuid4)

    def check_step(self, *steps: Step) -> None:
        """Check that one of ``steps`` may be done now.

        Raises:
            InputError: what is missing, the card before all else; STEP_OVER for what was done.
        """
        if self.card is None and Step.CARD not in steps:
            raise card_required()
        if self.step in steps:
            return
        if self.step in MISSING and min(map(ORDER.index, steps)) > ORDER.index(self.step):
            raise InputError(MISSING[self.step], "An earlier step is missing.", hint="Follow the screen.")
        raise InputError("STEP_OVER", "This step is over.", hint="Go on with the newest page.")


def card_required() -> InputError:
    """No card was read: nothing else can be done (FAILED_PRECONDITION at the service)."""
    return InputError("CARD_REQUIRED", "The identity card has not been read.", hint="Read the card first.")


def start(line: CloudLine) -> EdgeSession:
    """Begin a session, in the state CARD_READ. Errors of every step: CloudRefusal."""
    request = pb.StartSessionRequest(
        request_id=str(uuid.uuid4()), function_code=FUNCTION, language=line.language
    )
    answer = line.call(CoopServiceStub, "StartSession", request)
    return EdgeSession(answer.session.session_id, answer.prompt, line.language)


def submit_card(at: EdgeSession, line: CloudLine, *, card: EdgeCard) -> None:
    """Hand in what was read; the authority is asked about it. A card that does not agree ends the session."""
    request = pb.SubmitCardRequest(session_id=at.session_id, card=card.to_message())
    session = _call(at, line, "SubmitCard", request).session
    at.card = card
    _follow(at, session)


def authority_photo(at: EdgeSession, line: CloudLine) -> bytes:
    """What the authority holds, for the device to compare; empty where there is none."""
    request = pb.GetAuthorityPhotoRequest(session_id=at.session_id)
    return bytes(_call(at, line, "GetAuthorityPhoto", request).photo)


def submit_face(at: EdgeSession, line: CloudLine, *, evidence: FaceEvidence, matched: bool) -> None:
    """Hand in what the device has signed; the earlier records are shown then."""
    found = pb.COOP_LOCAL_MATCH_MATCHED if matched else pb.COOP_LOCAL_MATCH_NOT_MATCHED
    request = pb.SubmitFaceRequest(session_id=at.session_id, evidence=evidence, local_match=found)
    _follow(at, _call(at, line, "SubmitFace", request).session)
    if at.step is Step.RECORDS:
        show_records(at, line)


def show_records(at: EdgeSession, line: CloudLine) -> None:
    """The earlier records of the card's holder, newest first."""
    request = pb.ListRecordsRequest(session_id=at.session_id, page_size=MAX_RECORDS)
    at.records = tuple(_call(at, line, "ListRecords", request).records)


def decide(at: EdgeSession, line: CloudLine, *, go_on: bool) -> None:
    """Leave, or go on to the customer's information."""
    decision = pb.COOP_DECISION_CONTINUE if go_on else pb.COOP_DECISION_EXIT
    request = pb.DecideRequest(session_id=at.session_id, decision=decision)
    _call(at, line, "Decide", request)
    if not go_on:
        at.step, at.end = Step.ENDED, "CLOSED_BY_USER"
        return
    show_customer(at, line)
    at.step = Step.CUSTOMER


def show_customer(at: EdgeSession, line: CloudLine) -> None:
    """What is known of the customer."""
    request = GetSessionCustomerRequest(session_id=at.session_id)
    answer = line.call(CustomerServiceStub, "GetSessionCustomer", request)
    at.customer = answer.customer if answer.HasField("customer") else None


def change_customer(at: EdgeSession, line: CloudLine, *, info: CustomerInfo) -> None:
    """A new version of the information, unless it is the one that is known."""
    known = at.customer
    if known is None or known.info != info:
        version = known.version if known is not None else 0
        request = UpsertCustomerRequest(session_id=at.session_id, info=info, version=version)
        call = once(at.namespace, request)
        try:
            at.customer = line.call(CustomerServiceStub, "UpsertCustomer", call).customer
        except CloudRefusal as refusal:
            if refusal.code == "ETAG_MISMATCH":  # somebody else was faster: what they wrote is shown
                show_customer(at, line)
            raise _ended(at, refusal) from None
    at.step = Step.CONFIRM


def confirm_customer(at: EdgeSession, line: CloudLine) -> None:
    """The customer says that the information is right."""
    if at.customer is None:
        raise AssertionError("nothing is confirmed that was not shown")
    request = pb.ConfirmCustomerRequest(session_id=at.session_id, version=at.customer.version)
    _call(at, line, "ConfirmCustomer", request)
    show_banks(at, line)
    at.step = Step.BANK


def show_banks(at: EdgeSession, line: CloudLine) -> None:
    """The banks that may be chosen."""
    at.banks = tuple(_call(at, line, "ListBanks", pb.ListBanksRequest(page_size=MAX_BANKS)).banks)


def complete(at: EdgeSession, line: CloudLine, *, period: str) -> None:
    """Say for which bank and company it is, and for how long; the notice is shown then."""
    if at.bank is None:
        raise AssertionError("the bank is chosen before the period")
    request = pb.CompleteInfoRequest(session_id=at.session_id, bank_id=at.bank.bank_id, period=period)
    if at.organisation_id:
        request.organisation_id = at.organisation_id
    else:
        request.organisation_name = at.organisation_name
    try:
        linked = _call(at, line, "CompleteInfo", request).linked
    except CloudRefusal as refusal:
        if refusal.code == "BANK_NOT_OFFERED":
            at.step, at.bank = Step.BANK, None
        raise
    at.completion, at.linked = Completion(at.bank, at.organisation_name, period), linked
    show_notice(at, line)
    at.step = Step.NOTICE


def show_notice(at: EdgeSession, line: CloudLine) -> None:
    """The notice that counts now, in the session's language."""
    at.notice = _call(at, line, "GetNotices", pb.GetNoticesRequest(session_id=at.session_id)).notice


def confirm_notice(at: EdgeSession, line: CloudLine) -> None:
    """The customer confirms the notice that was shown; where a newer one counts, that is shown."""
    if at.notice is None:
        raise AssertionError("nothing is confirmed that was not shown")
    request = pb.ConfirmNoticesRequest(
        session_id=at.session_id, notice_version=at.notice.version, notice_sha256=at.notice.sha256
    )
    try:
        _call(at, line, "ConfirmNotices", request)
    except CloudRefusal as refusal:
        if refusal.code == "NOTICE_OUTDATED":
            show_notice(at, line)
        raise
    at.step = Step.SIGN


def sign(at: EdgeSession, line: CloudLine, *, strokes: pb.SignatureStrokes, image: bytes) -> None:
    """Hand in the signature, and have the request made."""
    request = pb.ConfirmSignatureRequest(session_id=at.session_id, strokes=strokes, image=image)
    _call(at, line, "ConfirmSignature", request)
    at.step = Step.ISSUE
    issue(at, line)


def issue(at: EdgeSession, line: CloudLine) -> None:
    """The numbered request; asked for again, it is the same one."""
    answer = _call(at, line, "IssueRequest", pb.IssueRequestRequest(session_id=at.session_id))
    at.number, at.expires, at.step = answer.number, answer.expire_time, Step.DONE


def cancel(at: EdgeSession, line: CloudLine) -> None:
    """The customer went away."""
    _call(at, line, "CancelSession", pb.CancelSessionRequest(session_id=at.session_id))


def _call(at: EdgeSession, line: CloudLine, method: str, request: Any) -> Any:
    """A call of the session, done once however often it is sent."""
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        request = once(at.namespace, request)
    try:
        return line.call(CoopServiceStub, method, request)
    except CloudRefusal as refusal:
        raise _ended(at, refusal) from None


def _ended(at: EdgeSession, refusal: CloudRefusal) -> CloudRefusal:
    """A session that is over at the service is over here."""
    if refusal.code in ("COOP_SESSION_ENDED", "COOP_SESSION_NOT_FOUND"):
        at.step, at.end = Step.ENDED, "TIME_LIMIT"
    return refusal


def _follow(at: EdgeSession, session: pb.CoopSession) -> None:
    """Go where the service says that the session stands, after card and face."""
    at.nonce, at.tries_left = bytes(session.nonce), session.face_tries_left
    at.items = tuple(_items(session.items))
    match session.state:
        case pb.COOP_STATE_CARD_ACCEPTED:
            at.step = Step.FACE
        case pb.COOP_STATE_FACE_PASSED:
            at.step = Step.RECORDS
        case _:
            at.step, at.end = Step.ENDED, pb.CoopEnd.Name(session.end).removeprefix("COOP_END_")


def _items(items: Iterable[bank_pb2.CoopItem]) -> Iterable[tuple[str, str]]:
    for one in items:
        name = bank_pb2.CoopItemName.Name(one.item).removeprefix("COOP_ITEM_NAME_")
        yield name, bank_pb2.CoopItemResult.Name(one.result).removeprefix("COOP_ITEM_RESULT_")
