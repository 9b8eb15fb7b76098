"""Who somebody is, in tests of a running service: a device's evidence, a window, and what they say.

with running_identity(tmp_path, somebody(1)) as room:
    holder = room.holder(state=State.PHONE_VERIFIED)
    holder.verify_elements()
    holder.verify_face(room.kiosk)
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo

from cloud.access.roles import Role
from cloud.accounts.states import State
from cloud.elements import FourElements, to_message
from cloud.store import verifications as rows
from tests.support.accounts import Citizen, SignedIn, as_account, in_database, new_citizen, registered
from tests.support.authorities import RunningAuthorities, Somebody, face_of, running_authorities
from tests.support.cloud import (
    CloudDevice,
    FakeClock,
    RunningCloud,
    refusal,
    running_cloud,
    verification_of,
)
from tests.support.people import Person, add_person, channel_of
from verifield.commitments import commit
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_pb2
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.identity_service_pb2_grpc import IdentityServiceStub

T = TypeVar("T")
M = TypeVar("M", bound=Message)
TIMEOUT_S = 20.0
OWN_FACE, OTHER_FACE = "astronaut", "grace_hopper"


@dataclass(frozen=True)
class Seen:
    """What a device saw and read. ``card``: of the person before it."""

    card: FourElements
    picture: bytes = b"a picture of a face"
    outcome: att.Outcome.ValueType = att.OUTCOME_VERIFIED
    camera: att.CameraAssurance.ValueType = att.CAMERA_ASSURANCE_HOST
    quality: att.TimeQuality.ValueType = att.TIME_QUALITY_BOUNDED
    wall: datetime | None = None
    change: Callable[[att.Statement], None] = field(default=lambda _: None)


def evidence_of(device: CloudDevice, seen: Seen, *, nonce: bytes) -> identity_pb2.FaceEvidence:
    """The package of a record that ``device`` makes now."""
    statement, salts = statement_of(device, seen, nonce=nonce)
    return identity_pb2.FaceEvidence(
        envelope=device.sign(statement),
        certificates=device.chain,
        number_salt=salts["document.number"],
        valid_from=_days(seen.card)["document.valid_from"],
        valid_from_salt=salts["document.valid_from"],
        valid_to=_days(seen.card)["document.valid_to"],
        valid_to_salt=salts["document.valid_to"],
        picture=seen.picture,
        picture_salt=salts["media.best_shot"],
    )


def statement_of(
    device: CloudDevice,
    seen: Seen,
    *,
    nonce: bytes,
    task_id: str = "",
    number_digest: bytes = b"",
    read_sha256: bytes = b"",
) -> tuple[att.Statement, dict[str, bytes]]:
    """What the device says, and the salts of its commitments."""
    statement = verification_of(device, outcome=seen.outcome)
    statement.site.site_id = device.site_id
    statement.clock.quality = seen.quality
    purpose = att.Purpose(nonce=nonce, task_id=task_id, number_digest=number_digest, read_sha256=read_sha256)
    statement.purpose.CopyFrom(purpose)
    values = {
        "document.name": seen.card.name,
        "document.number": seen.card.id_number,
        **_days(seen.card),
    }
    salts = {name: secrets.token_bytes(32) for name in (*values, "media.best_shot")}
    if statement.HasField("document"):
        statement.assurance.camera = seen.camera
        del statement.document.fields[:]
        for name, value in sorted(values.items()):
            digest = commit(field=name, value=value.encode(), salt=salts[name])
            statement.document.fields.add(field=name, digest=digest)
    statement.media.add(
        name="best_shot",
        sha256=hashlib.sha256(seen.picture).digest(),
        size_bytes=len(seen.picture) + 48,
        content_commitment=commit(field="media.best_shot", value=seen.picture, salt=salts["media.best_shot"]),
    )
    if seen.wall is not None:
        statement.clock.wall_time.FromDatetime(seen.wall)
    seen.change(statement)
    return statement, salts


def _days(card: FourElements) -> dict[str, str]:
    """As a device reads them off the chip."""
    start, end = card.validity.valid_from, card.validity.valid_to
    return {
        "document.valid_from": start.isoformat() if start else "2000-01-01",
        "document.valid_to": end.isoformat() if end else "long-term",
    }


@dataclass
class Holder:
    """Somebody with an account, who calls by a session."""

    room: IdentityRoom
    signed_in: SignedIn
    person: Citizen

    @property
    def account_id(self) -> str:
        return self.signed_in.account_id

    def call(self, method: str, request: Message, *, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
        with as_account(self.room.cloud, self.signed_in) as stub:
            called = getattr(stub(IdentityServiceStub), method)
            return called(request, timeout=TIMEOUT_S, metadata=metadata)

    def refused(self, method: str, request: Message, **more: Any) -> ErrorInfo:
        """Why a call is refused."""
        try:
            answer = self.call(method, request, **more)
        except grpc.RpcError as error:
            return refusal(error)[1]
        raise AssertionError(f"not refused: {answer}")

    def verify_elements(self, elements: FourElements | None = None, **more: Any) -> pb.Verification:
        request = pb.VerifyFourElementsRequest(
            elements=to_message(elements) if elements else None, request_id=str(uuid.uuid4())
        )
        return self.call("VerifyFourElements", request, **more).verification

    def elements_refused(self, elements: FourElements | None = None, **more: Any) -> ErrorInfo:
        request = pb.VerifyFourElementsRequest(elements=to_message(elements) if elements else None)
        return self.refused("VerifyFourElements", request, **more)

    def start_face(self) -> pb.StartFaceCheckResponse:
        return self.call("StartFaceCheck", pb.StartFaceCheckRequest())

    def face_request(
        self, seen: Seen | None = None, *, device: CloudDevice | None = None
    ) -> pb.SubmitFaceEvidenceRequest:
        """A face check that is begun, and the evidence for it."""
        check = self.start_face()
        seen = seen or self.seen()
        evidence = evidence_of(device or self.room.kiosk, seen, nonce=check.nonce)
        return pb.SubmitFaceEvidenceRequest(face_check_id=check.face_check_id, evidence=evidence)

    def verify_face(self, seen: Seen | None = None) -> pb.Verification:
        return self.call("SubmitFaceEvidence", self.face_request(seen)).verification

    def face_refused(self, seen: Seen | None = None) -> ErrorInfo:
        return self.refused("SubmitFaceEvidence", self.face_request(seen))

    def seen(self, **changes: Any) -> Seen:
        """What an honest device sees of this person."""
        made = Seen(self.person.elements, face_of(OWN_FACE))
        return replace(made, **changes)

    def identity(self) -> pb.Identity:
        return self.call("GetIdentity", pb.GetIdentityRequest()).identity


@dataclass
class IdentityRoom:
    """A running service with authorities, and a device at a counter."""

    cloud: RunningCloud
    authorities: RunningAuthorities
    kiosk: CloudDevice

    def holder(
        self, person: Somebody | None = None, *, state: State = State.PHONE_VERIFIED, phone: str = ""
    ) -> Holder:
        """A new account; the registers know its holder as ``person``, or not at all."""
        citizen = new_citizen()
        if person is not None:
            number = phone or citizen.phone
            citizen = Citizen(person.name, person.id_number, number, person.elements.validity)
        signed_in = registered(self.cloud, citizen, state=state)
        return Holder(self, signed_in, signed_in.person)

    def staff(self, login: str, *roles: Role, id_number: str = "") -> Person:
        """Somebody at a window; ``id_number``: who that is."""
        person = add_person(self.cloud, login, *(roles or (Role.WINDOW_STAFF,)))
        if id_number:
            request = pb.DeclareStaffIdentityRequest(user_id=person.user.user_id, id_number=id_number)
            self.cloud.operator.call(self.cloud.operator.identity.DeclareStaffIdentity, request)
        return person

    def as_staff(self, person: Person, method: str, request: Message) -> Any:
        with channel_of(self.cloud, person) as channel:
            return getattr(IdentityServiceStub(channel), method)(request, timeout=TIMEOUT_S)

    def staff_refused(self, person: Person, method: str, request: Message) -> ErrorInfo:
        try:
            answer = self.as_staff(person, method, request)
        except grpc.RpcError as error:
            return refusal(error)[1]
        raise AssertionError(f"not refused: {answer}")


@contextmanager
def running_identity(
    data: Path,
    *people: Somebody,
    clock: FakeClock | None = None,
    models: Path | None = None,
    **settings: Any,
) -> Iterator[IdentityRoom]:
    """Serve until the block ends; the registers know ``people``, and compare their faces with ``models``."""
    with (
        running_authorities(people, models=models) as authorities,
        running_cloud(data, clock=clock, **{**authorities.settings, **settings}) as cloud,
    ):
        yield IdentityRoom(cloud, authorities, cloud.enroll())


def verified(cloud: RunningCloud, signed_in: SignedIn) -> None:
    """Let the holder of an account count as verified, without going through it all."""

    def work(connection: Any, room: Any) -> None:
        now_us = int(room.sources.now().timestamp() * 1_000_000)
        row = rows.get_identity(connection, signed_in.account_id)
        rows.put_identity(
            connection,
            replace(
                row,
                elements_us=now_us,
                verified_us=now_us,
                method=pb.VERIFICATION_METHOD_FACE,
                verification_id=room.sources.uuid7(),
                stale_us=None,
            ),
        )

    in_database(cloud, work)


def manual_request(account_id: str, **changes: Any) -> pb.RecordManualVerificationRequest:
    """As a window sends it."""
    values: dict[str, Any] = {
        "account_id": account_id,
        "place": "Office 3, window 2",
        "documents": [pb.SEEN_DOCUMENT_RESIDENT_ID, pb.SEEN_DOCUMENT_HOUSEHOLD_REGISTER],
        "reason": pb.MANUAL_REASON_FACE_FAILED,
        "note": "glasses",
    }
    return pb.RecordManualVerificationRequest(**values | changes)
