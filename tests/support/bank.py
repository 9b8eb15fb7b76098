"""A counter at which business customers are verified: a device of a running cloud, what it reads and sees.

with counter(tmp_path, database=database_url) as at:
    session = at.started()
    session = at.read_card(session, at.person)
    ...
    at.walk(to="SIGNED")
"""

from __future__ import annotations

import hashlib
import io
import secrets
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
from PIL import Image, ImageDraw

from cloud.bank.jobs import jobs
from cloud.bank.sessions import Sessions
from cloud.bank.vault import Vault
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from tests.support.authorities import RunningAuthorities, Somebody, face_of, running_authorities, somebody
from tests.support.cloud import CloudDevice, FakeClock, RunningCloud, running_cloud, verification_of
from verifield.commitments import commit
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import bank_pb2, bank_service_pb2, customer_service_pb2, identity_pb2
from verifield.v1 import coop_service_pb2 as pb
from verifield.v1.coop_service_pb2_grpc import CoopServiceStub
from verifield.v1.customer_service_pb2_grpc import CustomerServiceStub

TIMEOUT_S = 30.0
SALT = bytes(range(32))
COMPANY = "模拟样本有限公司"
A = TypeVar("A")

INFO = customer_service_pb2.CustomerInfo(
    address="模拟市样本区虚构路1号", phone="13800000000", email="someone@example.org", occupation="样本"
)


def customer_person(number: int, **changes: Any) -> Somebody:
    """Somebody whose card's validity is in the authority's register."""
    person = somebody(number, **changes)
    assert person.valid_from is not None
    ends = {"valid_from": person.valid_from.isoformat()}
    ends["valid_to"] = person.valid_to.isoformat() if person.valid_to else "long-term"
    return person.but(other={**ends, "company": COMPANY})


def card_of(person: Somebody, **changes: Any) -> pb.CoopCard:
    """What a reader gives of this person's card."""
    assert person.valid_from is not None
    values: dict[str, Any] = {
        "number": person.id_number,
        "name": person.name,
        "issuer": person.issuer,
        "valid_from": person.valid_from.isoformat(),
        "valid_to": person.valid_to.isoformat() if person.valid_to else "长期",
    }
    if "photo" not in changes:  # finding a face takes half a second
        values["photo"] = face_of(person.portrait)
    return pb.CoopCard(**{**values, **changes})


def evidence_of(
    device: CloudDevice,
    person: Somebody,
    nonce: bytes,
    *,
    portrait: str = "",
    change: Callable[[att.Statement], None] = lambda _: None,
) -> identity_pb2.FaceEvidence:
    """What a device signs that saw this person, live, at a real camera; ``portrait``: another face."""
    assert person.valid_from is not None
    picture = face_of(portrait or person.portrait)
    statement = verification_of(device)
    statement.site.site_id = device.site_id
    statement.purpose.nonce = nonce
    statement.assurance.camera = att.CAMERA_ASSURANCE_HOST
    end = person.valid_to.isoformat() if person.valid_to else "long-term"
    values = {
        "document.number": person.id_number,
        "document.valid_from": person.valid_from.isoformat(),
        "document.valid_to": end,
    }
    del statement.document.fields[:]
    for name, value in sorted(values.items()):
        statement.document.fields.add(field=name, digest=commit(field=name, value=value.encode(), salt=SALT))
    statement.media.add(
        name="best_shot",
        sha256=hashlib.sha256(b"encrypted" + picture).digest(),
        size_bytes=len(picture),
        content_commitment=commit(field="media.best_shot", value=picture, salt=SALT),
    )
    change(statement)
    return identity_pb2.FaceEvidence(
        envelope=device.sign(statement),
        certificates=device.chain,
        number_salt=SALT,
        valid_from=values["document.valid_from"],
        valid_from_salt=SALT,
        valid_to=end,
        valid_to_salt=SALT,
        picture=picture,
        picture_salt=SALT,
    )


def strokes(*, width: int = 600, height: int = 200) -> pb.SignatureStrokes:
    """A signature of two strokes."""
    first = [(60, 150), (90, 90), (120, 40), (160, 90), (190, 150), (230, 160), (280, 120), (330, 60)]
    second = [(300, 150), (360, 130), (420, 100), (480, 90), (540, 60)]
    made = pb.SignatureStrokes(width=width, height=height)
    time_ms = 0
    for way in (first, second):
        stroke = made.strokes.add()
        for x, y in way:
            stroke.points.add(x=x * width // 600, y=y * height // 200, time_ms=time_ms, pressure=20_000)
            time_ms += 15
    return made


def picture_of(signature: pb.SignatureStrokes, *, clear: bool = True) -> bytes:
    """The pad as it looks: ink on clear or white ground."""
    ground = (0, 0, 0, 0) if clear else (255, 255, 255, 255)
    picture = Image.new("RGBA", (signature.width, signature.height), ground)
    pen = ImageDraw.Draw(picture)
    for stroke in signature.strokes:
        pen.line([(point.x, point.y) for point in stroke.points], fill=(10, 10, 60, 255), width=5)
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, each with the right check sum."""
    told = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def broken_pngs(picture: bytes) -> list[bytes]:
    """The picture with a profile of colours that is cut off: Pillow reads beyond its end."""
    chunks, at = [], 8
    while at < len(picture):
        size = int.from_bytes(picture[at : at + 4], "big")
        chunks.append((picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]))
        at += 12 + size
    return [png_of([*chunks[:-1], (b"iCCP", content), chunks[-1]]) for content in (b"", b"\0")]


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass
class Counter:
    """A device with its calls; ``person`` stands in front of it."""

    cloud: RunningCloud
    authorities: RunningAuthorities
    device: CloudDevice
    coop: CoopServiceStub
    customers: CustomerServiceStub
    person: Somebody
    bank: bank_pb2.Bank = field(default_factory=bank_pb2.Bank)

    def call(self, method: Callable[..., A], request: object) -> A:
        return method(request, timeout=TIMEOUT_S)

    def operator(self, method: Callable[..., A], request: object) -> A:
        return self.cloud.operator.call(method, request)

    def put_bank(self, **changes: Any) -> bank_pb2.Bank:
        values: dict[str, Any] = {
            "code": f"bank-{new_id()[:8]}",
            "name_zh": "模拟样本银行",
            "name_en": "Sample Bank",
            "name_es": "Banco de Muestra",
            "periods": ["P90D", "P6M", "P1Y"],
            "enabled": True,
        }
        request = bank_service_pb2.PutBankRequest(bank=bank_pb2.Bank(**{**values, **changes}))
        return self.operator(self.cloud.operator.bank.PutBank, request).bank

    def started(self, language: str = "zh") -> pb.CoopSession:
        request = pb.StartSessionRequest(request_id=new_id(), function_code="COOP_VERIFY", language=language)
        return self.call(self.coop.StartSession, request).session

    def read_card(self, session: pb.CoopSession, person: Somebody, **changes: Any) -> pb.CoopSession:
        request = pb.SubmitCardRequest(session_id=session.session_id, card=card_of(person, **changes))
        return self.call(self.coop.SubmitCard, request).session

    def see_face(self, session: pb.CoopSession, person: Somebody, **changes: Any) -> pb.CoopSession:
        request = self.face(session, person, **changes)
        return self.call(self.coop.SubmitFace, request).session

    def face(
        self,
        session: pb.CoopSession,
        person: Somebody,
        local: pb.CoopLocalMatch.ValueType = pb.COOP_LOCAL_MATCH_MATCHED,
        **changes: Any,
    ) -> pb.SubmitFaceRequest:
        return pb.SubmitFaceRequest(
            session_id=session.session_id,
            evidence=evidence_of(self.device, person, session.nonce or bytes(32), **changes),
            local_match=local,
        )

    def records(self, session: pb.CoopSession) -> list[bank_pb2.CoopRecord]:
        request = pb.ListRecordsRequest(session_id=session.session_id)
        return list(self.call(self.coop.ListRecords, request).records)

    def decide(self, session: pb.CoopSession, decision: pb.CoopDecision.ValueType) -> pb.CoopSession:
        request = pb.DecideRequest(session_id=session.session_id, decision=decision)
        return self.call(self.coop.Decide, request).session

    def upsert(
        self,
        session: pb.CoopSession,
        version: int = 0,
        info: customer_service_pb2.CustomerInfo = INFO,
    ) -> customer_service_pb2.Customer:
        request = customer_service_pb2.UpsertCustomerRequest(
            session_id=session.session_id, info=info, version=version
        )
        return self.call(self.customers.UpsertCustomer, request).customer

    def confirm(self, session: pb.CoopSession, version: int = 1) -> pb.CoopSession:
        request = pb.ConfirmCustomerRequest(session_id=session.session_id, version=version)
        return self.call(self.coop.ConfirmCustomer, request).session

    def complete(self, session: pb.CoopSession, **changes: Any) -> pb.CompleteInfoResponse:
        values: dict[str, Any] = {"bank_id": self.bank.bank_id, "period": "P6M"}
        if "organisation_id" not in changes:
            values["organisation_name"] = COMPANY
        request = pb.CompleteInfoRequest(session_id=session.session_id, **{**values, **changes})
        return self.call(self.coop.CompleteInfo, request)

    def notice(self, session: pb.CoopSession) -> bank_pb2.Notice:
        return self.call(self.coop.GetNotices, pb.GetNoticesRequest(session_id=session.session_id)).notice

    def confirm_notice(self, session: pb.CoopSession, notice: bank_pb2.Notice) -> pb.CoopSession:
        request = pb.ConfirmNoticesRequest(
            session_id=session.session_id, notice_version=notice.version, notice_sha256=notice.sha256
        )
        return self.call(self.coop.ConfirmNotices, request).session

    def sign(self, session: pb.CoopSession) -> pb.ConfirmSignatureResponse:
        written = strokes()
        request = pb.ConfirmSignatureRequest(
            session_id=session.session_id, strokes=written, image=picture_of(written)
        )
        return self.call(self.coop.ConfirmSignature, request)

    def issue(self, session: pb.CoopSession, request_id: str = "") -> pb.IssueRequestResponse:
        request = pb.IssueRequestRequest(request_id=request_id or new_id(), session_id=session.session_id)
        return self.call(self.coop.IssueRequest, request)

    def walk(self, to: str, *, person: Somebody | None = None, language: str = "zh") -> pb.CoopSession:
        """A new session of the person, with every step until the state ``to``."""
        person = person or self.person
        at = self.started(language)

        def info() -> pb.CoopSession:
            request = customer_service_pb2.GetSessionCustomerRequest(session_id=at.session_id)
            known = self.call(self.customers.GetSessionCustomer, request).customer
            version = known.version or self.upsert(at).version
            return self.confirm(at, version)

        steps: list[Callable[[], object]] = [
            lambda: self.read_card(at, person),
            lambda: self.see_face(at, person),
            lambda: self.records(at),
            lambda: self.decide(at, pb.COOP_DECISION_CONTINUE),
            info,
            lambda: self.complete(at),
            lambda: self.confirm_notice(at, self.notice(at)),
            lambda: self.sign(at),
            lambda: self.issue(at),
        ]
        for step in steps:
            if pb.CoopState.Name(at.state) == f"COOP_STATE_{to}":
                break
            step()
            at = self.session(at)
        assert pb.CoopState.Name(at.state) == f"COOP_STATE_{to}"
        return at

    def session(self, session: pb.CoopSession) -> pb.CoopSession:
        return self.call(self.coop.GetSession, pb.GetSessionRequest(session_id=session.session_id)).session


@contextmanager
def counter(
    data: Path, *, database: str | None = None, clock: FakeClock | None = None, **settings: Any
) -> Iterator[Counter]:
    """A cloud, its authorities and one device until the block ends."""
    person = customer_person(1)
    with (
        running_authorities([person]) as authorities,
        running_cloud(data, database=database, clock=clock, **{**authorities.settings, **settings}) as cloud,
        at_device(cloud, authorities, person) as at,
    ):
        at.bank = at.put_bank()
        yield at


@contextmanager
def at_device(cloud: RunningCloud, authorities: RunningAuthorities, person: Somebody) -> Iterator[Counter]:
    """A newly enrolled device."""
    device = cloud.enroll()
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        yield Counter(
            cloud, authorities, device, CoopServiceStub(channel), CustomerServiceStub(channel), person
        )


@contextmanager
def own_counter(shop: Counter, name: str) -> Iterator[Counter]:
    """A device and a person of their own for the test ``name``, at the real time when it begins and ends."""
    person = customer_person(10 + int(hashlib.sha256(name.encode()).hexdigest()[:4], 16))
    shop.authorities.add(person)
    shop.authorities.well()
    shop.cloud.clock.offset = timedelta()
    try:
        with at_device(shop.cloud, shop.authorities, person) as own:
            own.bank = shop.bank
            yield own
    finally:
        shop.cloud.clock.offset = timedelta()
        shop.authorities.well()


def run_jobs(at: Counter) -> list[int]:
    """The jobs of the room, as a server runs them."""
    sources = Sources(now=at.cloud.clock.now, random_bytes=secrets.token_bytes)
    store = Store.open(at.cloud.database_url, StoreOptions(require_durable=False))
    try:
        ring = KeyRing.open(
            at.cloud.data / "keys", now_us=to_us(sources.now()), random_bytes=sources.random_bytes
        )
        sessions = Sessions(Vault(Persons(ring, sources)), sources)
        return [job.run() for job in jobs(store, sessions)]
    finally:
        store.close()


def reason_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and reason of a refused call."""
    from tests.support.cloud import refusal  # noqa: PLC0415

    code, info, _ = refusal(error)
    return code, info.reason
