"""Applicants and reviewers of a running service, and the steps of an application for certification.

with certifying(cloud) as office:
    applicant = office.applicant()
    application_id = applicant.submitted()
    office.decide(application_id)
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from cloud.access.roles import Role
from cloud.sources import to_us
from cloud.store import verifications as identity_rows
from cloud.store.verifications import IdentityRow
from tests.support.accounts import SignedIn, as_account, registered, sign_in
from tests.support.cloud import RunningCloud, refusal
from tests.support.people import Person, add_person, channel_of
from tests.support.samples import jpeg
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1 import review_service_pb2 as review_pb
from verifield.v1.archive_service_pb2_grpc import ArchiveServiceStub
from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub
from verifield.v1.review_service_pb2_grpc import ReviewServiceStub

FORM = {"address": "北京市海淀区", "occupation": "engineer"}
ORGANISATION_FORM = {
    "organisation_name": "Example Trading Ltd",
    "credit_code": "91350100M000100Y43",
    "address": "1 Example Street",
}
REQUIRED = {"PERSONAL": ("id_card_front", "id_card_back")}


def form(values: dict[str, str]) -> list[pb.FormValue]:
    return [pb.FormValue(name=name, value=value) for name, value in values.items()]


def refused(call: Any, request: Any, **more: Any) -> tuple[grpc.StatusCode, ErrorInfo]:
    with pytest.raises(grpc.RpcError) as error:
        call(request, **more)
    code, info, _hint = refusal(error.value)
    return code, info


@dataclass
class Applicant:
    """Somebody with an active, verified account, signed in."""

    signed_in: SignedIn
    stub: Any

    @property
    def account_id(self) -> str:
        return self.signed_in.account_id

    def create(self, type_code: str = "PERSONAL", values: dict[str, str] | None = None) -> str:
        request = pb.CreateApplicationRequest(
            request_id=str(uuid.uuid4()), type_code=type_code, form=form(FORM if values is None else values)
        )
        return str(self.stub.CreateApplication(request).application.application_id)

    def upload(self, application_id: str, kind: str, content: bytes | None = None) -> pb.Material:
        return self.stub.UploadMaterial(upload_of(application_id, kind, content or jpeg())).material  # type: ignore[no-any-return]

    def declare(self, application_id: str) -> pb.Application:
        declaration = self.stub.GetDeclaration(pb.GetDeclarationRequest()).declaration
        request = pb.AcceptDeclarationRequest(
            application_id=application_id, version=declaration.version, sha256=declaration.sha256
        )
        return self.stub.AcceptDeclaration(request).application  # type: ignore[no-any-return]

    def complete(self, application_id: str) -> None:
        """All that a personal application needs."""
        for number, kind in enumerate(REQUIRED["PERSONAL"]):
            self.upload(application_id, kind, jpeg(number))
        self.declare(application_id)

    def submit(self, application_id: str) -> pb.Application:
        request = pb.SubmitApplicationRequest(application_id=application_id)
        return self.stub.SubmitApplication(request).application  # type: ignore[no-any-return]

    def submitted(self) -> str:
        application_id = self.create()
        self.complete(application_id)
        self.submit(application_id)
        return application_id

    def status(self, application_id: str) -> pb.GetApplicationStatusResponse:
        return self.stub.GetApplicationStatus(  # type: ignore[no-any-return]
            pb.GetApplicationStatusRequest(application_id=application_id)
        )


def upload_of(
    application_id: str, kind: str, content: bytes, *, sha256: bytes = b"", request_id: str = ""
) -> Iterator[pb.UploadMaterialRequest]:
    """The messages of an upload."""
    header = pb.MaterialHeader(application_id=application_id, kind=kind, sha256=sha256, request_id=request_id)
    yield pb.UploadMaterialRequest(header=header)
    for at in range(0, len(content), 32_768):
        yield pb.UploadMaterialRequest(chunk=content[at : at + 32_768])


@dataclass
class Office:
    """The staff, and whoever applies."""

    cloud: RunningCloud
    stack: ExitStack
    reviewers: list[tuple[Person, Any]] = field(default_factory=list)

    def applicant(self, *, verified: bool = True, **wanted: Any) -> Applicant:
        signed_in = registered(self.cloud, **wanted)
        if verified:
            self.verify(signed_in.account_id)
        stubs = self.stack.enter_context(as_account(self.cloud, signed_in))
        return Applicant(signed_in, stubs(CertificationServiceStub))

    def again(self, applicant: Applicant) -> Applicant:
        """The same person with a new session, after a long time."""
        signed_in = sign_in(self.cloud, applicant.signed_in)
        stubs = self.stack.enter_context(as_account(self.cloud, signed_in))
        return Applicant(signed_in, stubs(CertificationServiceStub))

    def verify(self, account_id: str, **changes: Any) -> None:
        """The account's holder was verified now, as the room of verifications keeps it."""
        now_us = to_us(self.cloud.clock.now())
        values: dict[str, Any] = {
            "elements_us": now_us,
            "verification_id": str(uuid.uuid4()),
            "method": 2,
            "mark": 0,
            "verified_us": now_us,
        }
        with self.cloud.database() as connection:
            identity_rows.put_identity(connection, IdentityRow(account_id, **(values | changes)))

    def add_reviewer(self, login: str) -> Any:
        person = add_person(self.cloud, login, Role.REVIEWER)
        stub = ReviewServiceStub(self.stack.enter_context(channel_of(self.cloud, person)))
        self.manage.SetReviewerProfile(
            review_pb.SetReviewerProfileRequest(
                reviewer_id=person.user.user_id, skills=[review_pb.REVIEW_KIND_CERTIFICATION]
            )
        )
        self.reviewers.append((person, stub))
        return stub

    @property
    def manage(self) -> Any:
        return _Operator(self.cloud, ReviewServiceStub)

    @property
    def staff(self) -> Any:
        return _Operator(self.cloud, CertificationServiceStub)

    @property
    def archive(self) -> Any:
        return _Operator(self.cloud, ArchiveServiceStub)

    def task_of(self, application_id: str) -> tuple[Any, review_pb.ReviewTask]:
        """Whose task it is, and the task; taken by the first reviewer where nobody has it."""
        for _person, stub in self.reviewers:
            for task in stub.ListTasks(review_pb.ListTasksRequest(mine=True)).tasks:
                if task.subject == f"certifications/{application_id}":
                    return stub, task
        _person, stub = self.reviewers[0]
        for task in stub.ListTasks(review_pb.ListTasksRequest()).tasks:
            if task.subject == f"certifications/{application_id}":
                return stub, stub.TakeTask(review_pb.TakeTaskRequest(task_id=task.task_id)).task
        raise AssertionError("no reviewer has a task of this application")

    def decide(
        self,
        application_id: str,
        outcome: review_pb.ReviewOutcome.ValueType = review_pb.REVIEW_OUTCOME_PASSED,
        reasons: Sequence[review_pb.ReviewReason] = (),
    ) -> None:
        stub, task = self.task_of(application_id)
        for check in stub.GetTask(review_pb.GetTaskRequest(task_id=task.task_id)).checks:
            stub.RecordCheck(
                review_pb.RecordCheckRequest(
                    task_id=task.task_id, item=check.item, result=review_pb.CHECK_RESULT_PASSED
                )
            )
        stub.DecideTask(review_pb.DecideTaskRequest(task_id=task.task_id, outcome=outcome, reasons=reasons))

    def reject(self, application_id: str, text: str = "The picture cannot be read.") -> None:
        reason = review_pb.ReviewReason(code="UNREADABLE", text=text)
        self.decide(application_id, review_pb.REVIEW_OUTCOME_NOT_PASSED, [reason])

    def ask(self, application_id: str, **more: Any) -> None:
        stub, task = self.task_of(application_id)
        stub.RequestSupplement(
            review_pb.RequestSupplementRequest(
                task_id=task.task_id,
                reason=review_pb.ReviewReason(code="UNREADABLE", text="The back cannot be read."),
                items=["back of the identity card"],
                **more,
            )
        )


class _Operator:
    """Calls of the operator's token, of whichever service."""

    def __init__(self, cloud: RunningCloud, stub: Any) -> None:
        self._cloud = cloud
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        token = (self._cloud.data / "operator.token").read_text().strip()

        def call(request: Any) -> Any:
            with self._cloud.public_channel() as channel:
                answer = getattr(self._stub(channel), name)(
                    request, metadata=(("authorization", f"Bearer {token}"),), timeout=30
                )
                return list(answer) if hasattr(answer, "__next__") else answer

        return call


@contextmanager
def certifying(cloud: RunningCloud, *, reviewers: int = 1) -> Iterator[Office]:
    """An office with so many reviewers."""
    with ExitStack() as stack:
        office = Office(cloud, stack)
        for number in range(reviewers):
            office.add_reviewer(f"reviewer-{number + 1}")
        yield office


def joined(pieces: Sequence[Any]) -> io.BytesIO:
    """A file that came in pieces."""
    return io.BytesIO(b"".join(piece.chunk for piece in pieces))


__all__ = [
    "FORM",
    "ORGANISATION_FORM",
    "Applicant",
    "Office",
    "certifying",
    "form",
    "joined",
    "refused",
    "upload_of",
]
