"""A sender at the device: their drafts, the one whose marks are laid down, and the calls of each step.

The sender signs in with their own account, over the device's connection: what may be done with a draft is
what the service lets this account do, and nothing else. Documents and names stand in one :class:`Visit` in
memory, and go with it.

Marks are laid down here alone, before it is sent. From then on they are fields of the document that never
move; who signs signs in those.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from edge.contracts.page_worker import MOST_INPUT_BYTES
from edge.contracts.placing import Board, Box, Kind, Mark, Paper, Signer
from edge.errors import CloudError, EdgeError, InputError
from edge.kiosk.cloud_line import CloudLine
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.contract_service_pb2_grpc import ContractServiceStub

MOST_DRAFTS = 100
"""As many as the service lets one sender have."""

_FRAMES = 64 * 1024
"""What messages around a file take beside it, at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """A draft in the list."""

    contract_id: str
    title: str = field(repr=False)
    pages: int


@dataclass(slots=True)
class Draft:
    """The one that is worked on. ``kept``: the marks that the service has; ``page``: the one shown last."""

    contract_id: str
    title: str = field(repr=False)
    etag: str
    sha256: bytes
    document: bytes = field(repr=False)
    board: Board = field(repr=False)
    kept: tuple[Mark, ...] = field(repr=False)
    page: int = 1

    @property
    def changed(self) -> bool:
        """Whether marks stand otherwise than the service knows."""
        return self.board.marks != self.kept


@dataclass(slots=True)
class Visit:
    """``sent``: the title of what was just sent. ``language``: of the newest call, and so of the service's
    words."""

    token: str = field(default="", repr=False)
    refusal: EdgeError | None = None
    drafts: tuple[Found, ...] = ()
    draft: Draft | None = None
    sent: str = field(default="", repr=False)
    language: str = ""
    namespace: uuid.UUID = field(default_factory=uuid.uuid4)


def sign_in(visit: Visit, line: CloudLine, *, identifier: str, password: str) -> None:
    """Sign in, and list the drafts. Errors of every step: CloudRefusal.

    Raises:
        InputError: ACCOUNT_UNFINISHED.
    """
    request = accounts.LoginRequest(identifier=identifier, password=password)
    answer = line.call(AccountServiceStub, "Login", request)
    visit.token = answer.session.token
    if answer.next_step != accounts.NEXT_STEP_NONE:
        sign_out(visit, line)
        raise InputError(
            "ACCOUNT_UNFINISHED", "The account is not finished.", hint="Finish it first, under Accounts."
        )
    list_drafts(visit, line)


def sign_out(visit: Visit, line: CloudLine) -> None:
    """End the sender's session at the service."""
    token, visit.token = visit.token, ""
    line.call(AccountServiceStub, "SignOut", accounts.SignOutRequest(), token=token)


def list_drafts(visit: Visit, line: CloudLine) -> None:
    """The newest first."""
    request = pb.SearchContractsRequest(states=[pb.CONTRACT_STATE_DRAFT], page_size=MOST_DRAFTS)
    answer = line.call(ContractServiceStub, "SearchContracts", request, token=visit.token)
    visit.drafts = tuple(
        Found(one.contract.contract_id, one.details.title, one.contract.page_count) for one in answer.entries
    )


def open_draft(visit: Visit, line: CloudLine, contract_id: str) -> None:
    """Fetch a draft with its document.

    Raises:
        InputError: NOT_A_DRAFT, or DRAFT_WITHOUT_SIGNERS.
        CloudError: CLOUD_ANSWER: the file is not the one that was uploaded.
    """
    whole = line.call(
        ContractServiceStub,
        "GetContract",
        pb.GetContractRequest(contract_id=contract_id),
        token=visit.token,
    )
    if whole.contract.state != pb.CONTRACT_STATE_DRAFT:
        raise InputError("NOT_A_DRAFT", "It is no draft any more.", hint="Look at the list of drafts again.")
    board = board_of(whole)
    if not board.signers:
        raise InputError(
            "DRAFT_WITHOUT_SIGNERS",
            "The draft does not say who signs.",
            hint="Name those who sign where the draft was uploaded.",
        )
    parts = line.collect(
        ContractServiceStub,
        "DownloadContract",
        pb.DownloadContractRequest(contract_id=contract_id, file=pb.CONTRACT_FILE_UPLOAD),
        most=MOST_INPUT_BYTES + _FRAMES,
        token=visit.token,
    )
    document = b"".join(part.chunk for part in parts)
    if hashlib.sha256(document).digest() != whole.contract.upload_sha256:
        raise CloudError("CLOUD_ANSWER", "The file is not the one that was uploaded.", hint="Try again.")
    visit.draft = Draft(
        contract_id=contract_id,
        title=whole.details.title,
        etag=whole.contract.etag,
        sha256=bytes(whole.contract.upload_sha256),
        document=document,
        board=board,
        kept=board.marks,
    )


def keep(visit: Visit, line: CloudLine, draft: Draft) -> None:
    """Let the service have the marks as they stand now."""
    if not draft.changed:
        return
    marks = draft.board.marks
    request = pb.PlaceMarksRequest(
        contract_id=draft.contract_id, marks=[new_mark(one) for one in marks], etag=draft.etag
    )
    answer = line.call(ContractServiceStub, "PlaceMarks", _once(visit, request), token=visit.token)
    draft.etag, draft.kept = answer.contract.etag, marks


def close(visit: Visit, line: CloudLine) -> None:
    """Keep what was done, and list the drafts anew."""
    if visit.draft is not None:
        keep(visit, line, visit.draft)
        visit.draft = None
    list_drafts(visit, line)


def send(visit: Visit, line: CloudLine, draft: Draft) -> None:
    """Keep the marks and send it: the service freezes them, and tells those whose turn it is.

    Raises:
        InputError: MARKS_MISSING.
    """
    if draft.board.without_place():
        raise InputError(
            "MARKS_MISSING", "Somebody has no place to sign.", hint="Lay down a signature or a seal for each."
        )
    keep(visit, line, draft)
    request = pb.SendContractRequest(contract_id=draft.contract_id, etag=draft.etag)
    line.call(ContractServiceStub, "SendContract", _once(visit, request), token=visit.token)
    visit.draft, visit.sent = None, draft.title


def board_of(whole: pb.GetContractResponse) -> Board:
    """Pages, signers and marks as the service has them."""
    return Board.of(
        (Paper(page.width, page.height) for page in whole.pages),
        (
            Signer(one.number, one.name, seals=one.kind == pb.CONTRACT_PARTY_KIND_ORGANISATION)
            for one in whole.parties
            if one.role == pb.CONTRACT_PARTY_ROLE_SIGNER
        ),
        (_mark(number, one) for number, one in enumerate(whole.marks, start=1)),
    )


def new_mark(mark: Mark) -> pb.NewMark:
    """As the service takes it."""
    box = mark.box
    return pb.NewMark(
        party_number=mark.party,
        kind=signing.MarkKind.Value(_KIND + mark.kind),
        page=mark.page,
        box=pb.MarkBox(x=box.x, y=box.y, width=box.width, height=box.height),
    )


_KIND = "MARK_KIND_"


def _mark(number: int, mark: pb.ContractMark) -> Mark:
    """Raises CloudError: CLOUD_ANSWER: a kind that this device does not know."""
    name, box = signing.MarkKind.Name(mark.kind).removeprefix(_KIND), mark.box
    if name not in Kind.__members__:
        raise CloudError("CLOUD_ANSWER", "A mark is of an unknown kind.", hint="Install a newer version.")
    return Mark(number, mark.party_number, Kind[name], mark.page, Box(box.x, box.y, box.width, box.height))


def _once(visit: Visit, request: Any) -> Message:
    """The same request has the same id: one whose answer was lost is answered as the first time."""
    said = request.SerializeToString(deterministic=True).hex()
    request.request_id = str(uuid.uuid5(visit.namespace, f"{type(request).__name__} {said}"))
    message: Message = request
    return message
