"""Contracts that are signed over a running service: uploaded, sent, opened, read, and signed with a code.

with running_cloud(tmp_path) as cloud:
    sender, other = signer_of(cloud), signer_of(cloud)
    contract = sent_contract(cloud, sender, [other])
    sign_with_code(cloud, other, contract)
"""

from __future__ import annotations

import io
import math
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pypdfium2
from cryptography import x509
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from sqlalchemy import Connection

from cloud.codes.values import Purpose
from cloud.messages.templates.codes import OF_PURPOSE
from cloud.verifications.desk import Verifications
from tests.support import pdf_samples
from tests.support.accounts import Room, SignedIn, as_account, in_database, registered
from tests.support.cloud import RunningCloud, refusal
from tests.support.identity import verified
from tests.support.spool import spooled, wait_for
from verifield.documents.judging import judge
from verifield.documents.verdict import Verdict
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import coop_service_pb2
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.contract_service_pb2_grpc import ContractServiceStub
from verifield.v1.signing_service_pb2_grpc import SigningServiceStub

TIMEOUT_S = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])")
_CHUNK = 64 * 1024
SIGNATURE, SEAL, DATE = pb.MARK_KIND_SIGNATURE, pb.MARK_KIND_SEAL, pb.MARK_KIND_SIGN_DATE


@dataclass(frozen=True)
class Sent:
    """A contract that was sent."""

    contract_id: str
    document_sha256: bytes
    page_count: int


@dataclass(frozen=True)
class Started:
    """A signing, and what its person has confirmed."""

    signing: pb.Signing
    preview_hash: bytes
    pages: dict[int, bytes]


def signer_of(cloud: RunningCloud, person: Any = None) -> SignedIn:
    """Somebody verified, with an account and a session."""
    signed_in = registered(cloud, person)
    verified(cloud, signed_in)
    return signed_in


def contracts(cloud: RunningCloud, who: SignedIn, method: str, request: Message) -> Any:
    """Call ContractService."""
    with as_account(cloud, who) as stub:
        return getattr(stub(ContractServiceStub), method)(request, timeout=TIMEOUT_S)


def signing(cloud: RunningCloud, who: SignedIn, method: str, request: Message) -> Any:
    """Call SigningService."""
    with as_account(cloud, who) as stub:
        return getattr(stub(SigningServiceStub), method)(request, timeout=TIMEOUT_S)


def signing_refused(cloud: RunningCloud, who: SignedIn, method: str, request: Message) -> ErrorInfo:
    """Why SigningService refuses a call."""
    return refused_of(cloud, who, method, request)[1]


def refused_of(
    cloud: RunningCloud, who: SignedIn, method: str, request: Message
) -> tuple[grpc.StatusCode, ErrorInfo]:
    """As :func:`signing_refused`, with the status."""
    try:
        with as_account(cloud, who) as stub:
            answer = getattr(stub(SigningServiceStub), method)(request, timeout=TIMEOUT_S)
            if method == "PreviewSigned":
                answer = list(answer)
    except grpc.RpcError as error:
        code, info, _ = refusal(error)
        return code, info
    raise AssertionError(f"not refused: {answer}")


def mark(
    party: int, kind: pb.MarkKind.ValueType = SIGNATURE, *, page: int = 1, row: int = 0, column: int = 0
) -> contract_pb.NewMark:
    """A mark in a grid on a page: 4 columns."""
    width, height = (170 if kind == DATE else 120), (60 if kind == SEAL else 24)
    box = contract_pb.MarkBox(x=40 + column * 130, y=40 + row * 34, width=width, height=height)
    return contract_pb.NewMark(party_number=party, kind=kind, page=page, box=box)


def marks_for(count: int) -> list[contract_pb.NewMark]:
    """A signature and a date for each of so many parties."""
    return [
        one
        for party in range(1, count + 1)
        for one in (
            mark(party, row=party - 1, column=0),
            mark(party, DATE, row=party - 1, column=1),
        )
    ]


def person_of(who: SignedIn, *, order: int = 1, name: str = "") -> contract_pb.NewParty:
    """A party that the sender knows by name and telephone."""
    person = contract_pb.PartyPerson(name=name or who.person.name, phone=who.person.phone)
    return contract_pb.NewParty(person=person, role=contract_pb.CONTRACT_PARTY_ROLE_SIGNER, order=order)


def self_party(*, order: int = 1, as_organisation: bool = False) -> contract_pb.NewParty:
    """The sender, as a party."""
    return contract_pb.NewParty(
        self=contract_pb.PartySelf(as_organisation=as_organisation),
        role=contract_pb.CONTRACT_PARTY_ROLE_SIGNER,
        order=order,
    )


def upload(cloud: RunningCloud, sender: SignedIn, content: bytes, **header: Any) -> contract_pb.Contract:
    """A draft."""
    values: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "flow": contract_pb.CONTRACT_FLOW_STANDARD,
        "details": contract_pb.ContractDetails(title="A lease"),
    }

    def parts() -> Iterator[contract_pb.UploadContractRequest]:
        yield contract_pb.UploadContractRequest(header=contract_pb.ContractHeader(**values | header))
        for start in range(0, len(content), _CHUNK):
            yield contract_pb.UploadContractRequest(chunk=content[start : start + _CHUNK])

    with as_account(cloud, sender) as stub:
        return stub(ContractServiceStub).UploadContract(parts(), timeout=TIMEOUT_S).contract


def send(
    cloud: RunningCloud,
    sender: SignedIn,
    parties: Sequence[contract_pb.NewParty],
    marks: Sequence[contract_pb.NewMark],
    *,
    content: bytes | None = None,
    **header: Any,
) -> Sent:
    """A contract that waits for these parties."""
    draft = upload(cloud, sender, content or pdf_samples.plain(), **header)
    contract_id = draft.contract_id
    contracts(
        cloud, sender, "SetParties", contract_pb.SetPartiesRequest(contract_id=contract_id, parties=parties)
    )
    contracts(
        cloud, sender, "PlaceMarks", contract_pb.PlaceMarksRequest(contract_id=contract_id, marks=marks)
    )
    request = contract_pb.SendContractRequest(contract_id=contract_id)
    contract = contracts(cloud, sender, "SendContract", request).contract
    return Sent(contract_id, contract.document_sha256, contract.page_count)


def sent_contract(cloud: RunningCloud, sender: SignedIn, others: Sequence[SignedIn], **more: Any) -> Sent:
    """A contract of the sender and others; each has a signature and a date on the first page."""
    parties = [self_party(), *(person_of(one) for one in others)]
    return send(cloud, sender, parties, marks_for(len(parties)), **more)


def open_invitation(cloud: RunningCloud, who: SignedIn, *, organisation_id: str = "") -> None:
    """Follow the newest link that was sent to somebody's telephone."""
    messages = wait_for(cloud, to=who.person.phone, template="contract_invitation")
    found = _TOKEN.search(messages[-1]["text"])
    assert found is not None
    request = contract_pb.OpenInvitationRequest(token=found[0], organisation_id=organisation_id)
    contracts(cloud, who, "OpenInvitation", request)


def read_all(cloud: RunningCloud, who: SignedIn, sent: Sent) -> None:
    """Look at all pages, and confirm to have read them."""
    with as_account(cloud, who) as stub:
        for page in range(1, sent.page_count + 1):
            request = contract_pb.GetPageRequest(contract_id=sent.contract_id, page=page, width_px=200)
            list(stub(ContractServiceStub).GetPage(request, timeout=TIMEOUT_S))
    request = contract_pb.MarkReadRequest(contract_id=sent.contract_id, document_sha256=sent.document_sha256)
    contracts(cloud, who, "MarkRead", request)


def start(cloud: RunningCloud, who: SignedIn, sent: Sent) -> pb.Signing:
    """Press "sign now"."""
    request = pb.StartSigningRequest(contract_id=sent.contract_id)
    return signing(cloud, who, "StartSigning", request).signing


def look(
    cloud: RunningCloud, who: SignedIn, signing_id: str, **chosen: Any
) -> tuple[bytes, dict[int, bytes]]:
    """The preview: what is to be confirmed, and the pages as PNG."""
    request = pb.PreviewSignedRequest(signing_id=signing_id, **{"width_px": 300, **chosen})
    preview_hash, pages = b"", {}
    with as_account(cloud, who) as stub:
        for part in stub(SigningServiceStub).PreviewSigned(request, timeout=TIMEOUT_S):
            if part.HasField("header"):
                preview_hash = part.header.preview_hash
                pages = dict.fromkeys(part.header.pages, b"")
            else:
                pages[part.page.page] += part.page.chunk
    return preview_hash, pages


def begin(cloud: RunningCloud, who: SignedIn, sent: Sent, **chosen: Any) -> Started:
    """Read, start and preview."""
    read_all(cloud, who, sent)
    started = start(cloud, who, sent)
    return Started(started, *look(cloud, who, started.signing_id, **chosen))


def ask_code(cloud: RunningCloud, who: SignedIn, signing_id: str) -> pb.SmsCode:
    """The code that reached the telephone."""
    phone, template = who.person.phone, OF_PURPOSE[Purpose.SIGN_CONTRACT].name
    before = len(spooled(cloud, to=phone, template=template))
    request = pb.RequestSignCodeRequest(signing_id=signing_id)
    asked = signing(cloud, who, "RequestSignCode", request)
    messages = wait_for(cloud, before + 1, to=phone, template=template)
    found = re.search(r"(?<!\d)\d{6}(?!\d)", messages[-1]["text"])
    assert found is not None
    return pb.SmsCode(challenge_id=asked.challenge_id, code=found[0])


def sign_request(started: Started, **given: Any) -> pb.SignRequest:
    """Confirm what was previewed."""
    return pb.SignRequest(
        request_id=str(uuid.uuid4()),
        signing_id=started.signing.signing_id,
        preview_hash=started.preview_hash,
        **given,
    )


def sign_with_code(cloud: RunningCloud, who: SignedIn, sent: Sent, **chosen: Any) -> pb.Signing:
    """All that a party does who has opened a contract: read it, preview, ask for a code, and sign."""
    started = begin(cloud, who, sent, **chosen)
    code = ask_code(cloud, who, started.signing.signing_id)
    return signing(cloud, who, "Sign", sign_request(started, sms_code=code)).signing


def download(cloud: RunningCloud, who: SignedIn, contract_id: str) -> bytes:
    """The file as it is now, with all signatures that there are."""
    request = contract_pb.DownloadContractRequest(
        contract_id=contract_id, file=contract_pb.CONTRACT_FILE_CURRENT
    )
    with as_account(cloud, who) as stub:
        return b"".join(
            part.chunk for part in stub(ContractServiceStub).DownloadContract(request, timeout=TIMEOUT_S)
        )


def contract_of(cloud: RunningCloud, who: SignedIn, contract_id: str) -> contract_pb.GetContractResponse:
    """All there is about a contract."""
    request = contract_pb.GetContractRequest(contract_id=contract_id)
    return contracts(cloud, who, "GetContract", request)


def judged(cloud: RunningCloud, content: bytes) -> Verdict:
    """What a third party finds who has the file and the deployment's root, and nothing else."""
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    return judge(content, roots=roots, at=cloud.clock.now() + timedelta(minutes=1))


def text_of(content: bytes, page: int = 1) -> str:
    """What a person reads on a page, marks and all."""
    with pypdfium2.PdfDocument(content) as document:
        document.init_forms()
        shown = document[page - 1]
        shown.flatten()
        return str(document[page - 1].get_textpage().get_text_range())


def rewritten(content: bytes, field: str, looks: str) -> bytes:
    """The file with an update behind it, in which one signature field looks like another one."""
    writer = IncrementalPdfFileWriter(io.BytesIO(content))
    fields = [one.get_object() for one in writer.root["/AcroForm"]["/Fields"]]
    found = {str(one["/T"]): one for one in fields}
    found[field]["/AP"] = generic.DictionaryObject(
        {generic.pdf_name("/N"): found[looks]["/AP"].raw_get("/N")}
    )
    writer.update_container(found[field])
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def strokes(points: int = 40) -> coop_service_pb2.SignatureStrokes:
    """A wave that a pen drew."""
    drawn = coop_service_pb2.SignatureStrokes(width=600, height=200)
    line = drawn.strokes.add()
    for number in range(points):
        y = 100 + 60 * math.sin(number / 4)
        line.points.add(x=20 + number * 540 // points, y=round(y), time_ms=number * 12, pressure=30_000)
    return drawn


def unverify(cloud: RunningCloud, who: SignedIn) -> None:
    """What the person was verified with has changed."""

    def work(connection: Connection, room: Room) -> None:
        Verifications(room.accounts, room.sources).mark_stale(connection, who.account_id, "RECHECK_DUE")

    in_database(cloud, work)
