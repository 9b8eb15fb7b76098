"""Contracts of a running service, and the people who send and read them.

with contracting(cloud) as office:
    sender, other = office.person(), office.person()
    contract_id = draft(sender, [other])
    sent = sent_contract(cloud, sender, [other])
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from sqlalchemy import Connection

from cloud.contracts.acts import Acts
from cloud.contracts.core import Core
from cloud.contracts.desk import Contracts
from cloud.contracts.shelf import Shelf
from cloud.contracts.upkeep import Upkeep
from cloud.contracts.vault import Vault
from cloud.contracts.words import Words
from cloud.messages.outbox import Messages
from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects
from cloud.store.database import Store, StoreOptions
from cloud.verifications.desk import Verifications
from tests.support import pdf_samples
from tests.support.accounts import SignedIn, as_account, in_database, registered
from tests.support.cloud import RunningCloud, refusal
from tests.support.identity import verified
from tests.support.people import bearer
from tests.support.spool import wait_for
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb
from verifield.v1.contract_service_pb2_grpc import ContractServiceStub

TIMEOUT_S = 60.0
SIGNER, APPROVER, CC = (
    pb.CONTRACT_PARTY_ROLE_SIGNER,
    pb.CONTRACT_PARTY_ROLE_APPROVER,
    pb.CONTRACT_PARTY_ROLE_CC,
)
TITLE = "房屋租赁合同 Lease 2026"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])")
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Somebody:
    """Signed in, with what they call. ``call``: ContractService."""

    signed_in: SignedIn
    call: Any

    @property
    def account_id(self) -> str:
        return self.signed_in.account_id

    @property
    def name(self) -> str:
        return self.signed_in.person.name

    @property
    def phone(self) -> str:
        return self.signed_in.person.phone

    def get(self, contract_id: str) -> pb.GetContractResponse:
        return self.call.GetContract(pb.GetContractRequest(contract_id=contract_id))  # type: ignore[no-any-return]

    def found(self, **filters: Any) -> list[str]:
        """The ids that a search finds."""
        found = self.call.SearchContracts(pb.SearchContractsRequest(**filters))
        return [one.contract.contract_id for one in found.entries]

    def read(self, contract_id: str) -> bytes:
        """Look at all pages, and confirm it; return the digest of the document."""
        whole = self.get(contract_id)
        for number in range(1, len(whole.pages) + 1):
            self.page(contract_id, number)
        sha256 = whole.contract.document_sha256
        self.call.MarkRead(pb.MarkReadRequest(contract_id=contract_id, document_sha256=sha256))
        return sha256

    def page(self, contract_id: str, number: int) -> tuple[bytes, pb.GetPageResponse]:
        """A page as a picture, and what came with its first piece."""
        request = pb.GetPageRequest(contract_id=contract_id, page=number, width_px=120)
        found = list(self.call.GetPage(request))
        return b"".join(one.chunk for one in found), found[0]

    def download(
        self, contract_id: str, file: pb.ContractFile.ValueType = pb.CONTRACT_FILE_CURRENT
    ) -> tuple[bytes, pb.DownloadContractResponse]:
        request = pb.DownloadContractRequest(contract_id=contract_id, file=file)
        found = list(self.call.DownloadContract(request))
        return b"".join(one.chunk for one in found), found[0]


@dataclass
class Office:
    """``cloud`` with people."""

    cloud: RunningCloud
    stack: ExitStack

    def person(self, *, real: bool = True, **wanted: Any) -> Somebody:
        """Somebody with an account; ``real``: verified."""
        signed_in = registered(self.cloud, **wanted)
        if real:
            verified(self.cloud, signed_in)
        return self.as_somebody(signed_in)

    def as_somebody(self, signed_in: SignedIn) -> Somebody:
        stubs = self.stack.enter_context(as_account(self.cloud, signed_in))
        return Somebody(signed_in, stubs(ContractServiceStub))

    def operator(self, method: str, request: Message) -> Any:
        """A call of the operator's token."""
        token = (self.cloud.data / "operator.token").read_text().strip()
        with self.cloud.public_channel() as channel:
            return getattr(ContractServiceStub(channel), method)(
                request, metadata=bearer(token), timeout=TIMEOUT_S
            )


@contextmanager
def contracting(cloud: RunningCloud) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(cloud, stack)


def refused(call: Any, request: Any) -> tuple[grpc.StatusCode, ErrorInfo]:
    """Why a call is refused, also one that answers or asks in a stream."""
    try:
        answer = call(request)
        if hasattr(answer, "__next__"):
            answer = list(answer)
    except grpc.RpcError as error:
        code, info, _hint = refusal(error)
        return code, info
    raise AssertionError(f"not refused: {answer}")


def party(
    who: Somebody | SignedIn,
    *,
    order: int = 0,
    role: pb.ContractPartyRole.ValueType = SIGNER,
    name: str = "",
    by: str = "phone",
) -> pb.NewParty:
    """Somebody whom the sender knows by name and one of phone, email, account_id."""
    signed_in = who.signed_in if isinstance(who, Somebody) else who
    known = {
        "phone": signed_in.person.phone,
        "email": signed_in.person.email or "nobody@example.org",
        "account_id": signed_in.account_id,
    }
    person = pb.PartyPerson(name=name or signed_in.person.name, **{by: known[by]})
    return pb.NewParty(person=person, role=role, order=order)


def stranger(name: str, phone: str = "", *, email: str = "", order: int = 0, **more: Any) -> pb.NewParty:
    """Somebody whom this service has never heard of."""
    contact = {"email": email} if email else {"phone": phone}
    return pb.NewParty(
        person=pb.PartyPerson(name=name, **contact), role=more.get("role", SIGNER), order=order
    )


def myself(*, order: int = 0, role: pb.ContractPartyRole.ValueType = SIGNER) -> pb.NewParty:
    """The sender as a party."""
    return pb.NewParty(self=pb.PartySelf(), role=role, order=order)


def mark(
    number: int,
    *,
    kind: signing_pb.MarkKind.ValueType = signing_pb.MARK_KIND_SIGNATURE,
    page: int = 1,
    x: float = 40,
    y: float | None = None,
    width: float = 120,
    height: float = 24,
) -> pb.NewMark:
    """A mark of a party; one row for each party where no other place is asked for."""
    top = 40 + 30 * number if y is None else y
    box = pb.MarkBox(x=x, y=top, width=width, height=height)
    return pb.NewMark(party_number=number, kind=kind, page=page, box=box)


def upload_of(
    content: bytes | None = None, *, flow: Any = pb.CONTRACT_FLOW_STANDARD, **header: Any
) -> Iterator[pb.UploadContractRequest]:
    """The messages of an upload."""
    content = pdf_samples.plain() if content is None else content
    yield pb.UploadContractRequest(header=pb.ContractHeader(flow=flow, **header))
    for at in range(0, len(content), _CHUNK):
        yield pb.UploadContractRequest(chunk=content[at : at + _CHUNK])


def draft(
    sender: Somebody,
    parties: Sequence[Somebody | pb.NewParty],
    *,
    content: bytes | None = None,
    title: str = TITLE,
    marks: Sequence[pb.NewMark] | None = None,
    terms: pb.ContractTerms | None = None,
    **details: Any,
) -> str:
    """A draft that can be sent: a signature for each signer on the first page; return its id."""
    named = [one if isinstance(one, pb.NewParty) else party(one) for one in parties]
    header = {"details": pb.ContractDetails(title=title, **details), "terms": terms, "parties": named}
    answer = sender.call.UploadContract(upload_of(content, **header))
    contract_id = str(answer.contract.contract_id)
    if marks is None:
        marks = [mark(number) for number, one in enumerate(named, start=1) if one.role == SIGNER]
    sender.call.PlaceMarks(pb.PlaceMarksRequest(contract_id=contract_id, marks=marks))
    return contract_id


def sent_contract(
    cloud: RunningCloud,
    sender: Somebody | SignedIn,
    parties: Sequence[Somebody | pb.NewParty],
    **more: Any,
) -> str:
    """As :func:`draft`, sent; a session of ``sender`` is enough."""
    if isinstance(sender, Somebody):
        return send(sender, draft(sender, parties, **more))
    with as_account(cloud, sender) as stubs:
        somebody = Somebody(sender, stubs(ContractServiceStub))
        return send(somebody, draft(somebody, parties, **more))


def send(sender: Somebody, contract_id: str) -> str:
    request = pb.SendContractRequest(request_id=str(uuid.uuid4()), contract_id=contract_id)
    sender.call.SendContract(request)
    return contract_id


def token_for(
    cloud: RunningCloud, address: str, *, template: str = "contract_invitation", count: int = 1
) -> str:
    """The token of the newest link that reached an address, once there are ``count``."""
    text = wait_for(cloud, count, to=address, template=template)[-1]["text"]
    return _TOKEN.findall(text)[-1]


def open_link(cloud: RunningCloud, who: Somebody, *, address: str = "", **more: Any) -> pb.Contract:
    """Open the newest invitation that somebody got."""
    token = token_for(cloud, address or who.phone, **more)
    return who.call.OpenInvitation(pb.OpenInvitationRequest(token=token)).contract  # type: ignore[no-any-return]


def pass_time(cloud: RunningCloud, by: timedelta) -> None:
    """Let the service's clock go on."""
    cloud.clock.offset += by


def core_of(cloud: RunningCloud, room: Any) -> Core:
    """The room's own functions, over the service's keys and files."""
    files = ObjectFolder(cloud.data / "objects")
    return Core(
        sources=room.sources,
        accounts=room.accounts,
        identities=Verifications(room.accounts, room.sources),
        organisations=NoOrganisations(),
        objects=Objects(files, room.persons, room.sources),
        messages=Messages(room.persons, room.sources),
        vault=Vault(room.persons),
        words=Words(b"words of a test, 32 bytes or more"),
        links="verifield://contracts/",
        zone="Asia/Shanghai",
    )


class NoOrganisations:
    """Where nobody acts for any."""

    def require_verified(self, connection: Connection, organisation_id: str) -> object:
        raise AssertionError(f"{organisation_id} is asked for")

    def may_act(self, connection: Connection, organisation_id: str, account_id: str) -> bool:
        return False

    def acting_for(self, connection: Connection, account_id: str) -> list[str]:
        return []

    def identity(self, connection: Connection, organisation_id: str) -> Any:
        raise AssertionError(f"{organisation_id} is asked for")


def sign(cloud: RunningCloud, who: Somebody, contract_id: str) -> bytes:
    """Let somebody who has read a contract sign it, as the room of signatures would; return the bytes.

    What is put there only stands for a signature: how one is made is not what these tests are about.
    """

    def content_of(connection: Connection, room: Any) -> bytes:
        desk = Contracts(core_of(cloud, room))
        return desk.open_current(connection, desk.get(connection, contract_id)) + b"%signed"

    signed = in_database(cloud, content_of)

    def work(connection: Connection, room: Any) -> None:
        desk = Contracts(core_of(cloud, room))
        contract = desk.hold(connection, contract_id)
        party = desk.party_of(connection, contract, who.account_id)
        party = desk.authenticated(connection, contract, party, account_id=who.account_id)
        contract = desk.hold(connection, contract_id)
        staged = desk.core.objects.stage(signed, person_id=contract_id, media_type="application/pdf")
        assert contract.revision_sha256 is not None
        desk.signed(
            connection,
            contract,
            party,
            account_id=who.account_id,
            before_sha256=contract.revision_sha256,
            revision=staged,
            field_names=[one.field_name for one in desk.marks(connection, contract, party)],
            final=desk.is_last(connection, contract, party),
        )

    in_database(cloud, work)
    return signed


def concluded(cloud: RunningCloud, sender: Somebody, others: Sequence[Somebody], **more: Any) -> str:
    """A contract that all have signed."""
    contract_id = sent_contract(cloud, sender, [myself(), *others], **more)
    for who in (sender, *others):
        who.read(contract_id)
        sign(cloud, who, contract_id)
    return contract_id


def job(cloud: RunningCloud, name: str) -> int:
    """Run one of the room's jobs now."""

    def work(_connection: Connection, room: Any) -> Core:
        return core_of(cloud, room)

    core = in_database(cloud, work)
    store = Store.open(cloud.database_url, StoreOptions(require_durable=False))
    try:
        upkeep = Upkeep(core, Acts(core), Shelf(core), store)
        return int(getattr(upkeep, name)())
    finally:
        store.close()
