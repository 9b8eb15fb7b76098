"""Organisations through the service: registered, handed in, reviewed, changed; and what nobody else sees."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from sqlalchemy import select

from cloud.access.roles import Role
from cloud.store.schema import organisations, review_task_marks, review_tasks
from tests.support.accounts import SignedIn, as_account, new_citizen, registered
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.identity import verified
from tests.support.organisation_review import (
    NOT_PASSED,
    OrganisationReviewer,
    ReviewRoom,
    review_room,
)
from tests.support.organisations import new_licence_number, new_organisation_code, new_uscc
from tests.support.people import add_person, channel_of
from tests.support.samples import jpeg, pdf, pdf_with_script
from tests.support.spool import wait_for
from verifield.v1 import audit_pb2, audit_service_pb2
from verifield.v1 import organisation_service_pb2 as pb
from verifield.v1 import review_service_pb2 as review_pb
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub

NAME = "杭州示例网络科技有限公司"
LICENCE = pb.ORGANISATION_DOCUMENT_KIND_LICENCE
LETTER = pb.ORGANISATION_DOCUMENT_KIND_AUTHORISATION_LETTER
REGISTERED, PENDING = pb.ORGANISATION_STATE_REGISTERED, pb.ORGANISATION_STATE_PENDING_REVIEW
VERIFIED, REJECTED = pb.ORGANISATION_STATE_VERIFIED, pb.ORGANISATION_STATE_REJECTED
STALE = pb.ORGANISATION_STATE_STALE


@dataclass
class Admin:
    """Somebody who signed in, and the stub whose calls carry the token."""

    signed_in: SignedIn
    stub: Any

    def register(self, name: str = NAME) -> str:
        made = self.stub.RegisterOrganisation(pb.RegisterOrganisationRequest(name=name)).organisation
        return made.organisation_id  # type: ignore[no-any-return]

    def get(self, organisation_id: str) -> pb.Organisation:
        request = pb.GetOrganisationRequest(organisation_id=organisation_id)
        return self.stub.GetOrganisation(request).organisation  # type: ignore[no-any-return]

    def upload(
        self, organisation_id: str, content: bytes, kind: int = LICENCE, **changes: Any
    ) -> pb.OrganisationDocument:
        header = pb.OrganisationDocumentHeader(
            organisation_id=organisation_id,
            kind=pb.OrganisationDocumentKind.ValueType(kind),
            sha256=hashlib.sha256(content).digest(),
        )
        for name, value in changes.items():
            setattr(header, name, value)
        parts = [
            pb.UploadOrganisationDocumentRequest(header=header),
            *(
                pb.UploadOrganisationDocumentRequest(content=content[start : start + 48_000])
                for start in range(0, len(content), 48_000)
            ),
        ]
        return self.stub.UploadOrganisationDocument(iter(parts)).document  # type: ignore[no-any-return]

    def real_name(self, **changes: Any) -> pb.OrganisationRealName:
        """What the administrator hands in, who is the legal representative."""
        person = self.signed_in.person
        given: dict[str, Any] = {
            "name": NAME,
            "uscc": new_uscc(),
            "is_legal_representative": True,
            "legal_representative": pb.LegalRepresentative(name=person.name, id_number=person.id_number),
        }
        return pb.OrganisationRealName(**given | changes)

    def submit(self, organisation_id: str, **changes: Any) -> pb.Organisation:
        request = pb.SubmitOrganisationRealNameRequest(
            organisation_id=organisation_id, real_name=self.real_name(**changes)
        )
        return self.stub.SubmitOrganisationRealName(request).organisation  # type: ignore[no-any-return]

    def handed_in(self, **changes: Any) -> str:
        organisation_id = self.register()
        self.upload(organisation_id, jpeg())
        self.submit(organisation_id, **changes)
        return organisation_id


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def room(cloud: RunningCloud) -> Iterator[ReviewRoom]:
    with review_room(cloud) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)  # so that nothing ever waits in the queue
def reviewer(room: ReviewRoom) -> OrganisationReviewer:
    return room.reviewer("wang")


@contextmanager
def somebody(cloud: RunningCloud, *, is_verified: bool = True, **person: str) -> Iterator[Admin]:
    signed_in = registered(cloud, new_citizen(**person))
    if is_verified:
        verified(cloud, signed_in)
    with as_account(cloud, signed_in) as stubs:
        yield Admin(signed_in, stubs(OrganisationServiceStub))


@pytest.fixture
def admin(cloud: RunningCloud) -> Iterator[Admin]:
    with somebody(cloud) as found:
        yield found


@contextmanager
def refused(status: grpc.StatusCode, reason: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    code, info, hint = refusal(caught.value)
    assert (code, info.reason) == (status, reason)
    assert hint


FAILED, MISSING = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND
INVALID, DENIED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.req("R159")
def test_whoever_registers_an_organisation_owns_it(cloud: RunningCloud, admin: Admin) -> None:
    request = pb.RegisterOrganisationRequest(name=f" {NAME} ", request_id=str(uuid.uuid4()))
    made = admin.stub.RegisterOrganisation(request).organisation
    assert made == admin.stub.RegisterOrganisation(request).organisation  # once
    assert (made.state, made.account_id) == (REGISTERED, admin.signed_in.account_id)
    assert not made.real_name.name  # answers are kept
    assert admin.get(made.organisation_id).real_name.name == NAME
    [listed] = admin.stub.ListOrganisations(pb.ListOrganisationsRequest()).organisations
    assert (listed.organisation_id, listed.real_name.name) == (made.organisation_id, NAME)


@pytest.mark.req("R161")
def test_the_prompt_stays_until_it_is_verified(
    cloud: RunningCloud, admin: Admin, reviewer: OrganisationReviewer
) -> None:
    organisation_id = admin.register()
    assert list(admin.get(organisation_id).prompts) == [pb.ORGANISATION_PROMPT_REAL_NAME]
    admin.upload(organisation_id, pdf())
    admin.submit(organisation_id)
    assert list(admin.get(organisation_id).prompts) == [pb.ORGANISATION_PROMPT_REAL_NAME]
    reviewer.decide(reviewer.task_of(f"organisations/{organisation_id}"))
    assert list(admin.get(organisation_id).prompts) == []


def test_who_is_not_verified_is_told_so_and_hands_nothing_in(cloud: RunningCloud) -> None:
    with somebody(cloud, is_verified=False) as admin:
        organisation_id = admin.register()
        asked = [pb.ORGANISATION_PROMPT_REAL_NAME, pb.ORGANISATION_PROMPT_OWN_IDENTITY]
        assert list(admin.get(organisation_id).prompts) == asked
        admin.upload(organisation_id, jpeg())
        with refused(FAILED, "IDENTITY_REQUIRED"):
            admin.submit(organisation_id)


@pytest.mark.req("R162")
def test_numbers_are_checked_where_they_are_handed_in(admin: Admin) -> None:
    organisation_id = admin.register()
    admin.upload(organisation_id, jpeg())
    good = new_uscc()
    wrong = good[:17] + ("0" if good[17] != "0" else "1")
    with refused(INVALID, "USCC_INVALID"):
        admin.submit(organisation_id, uscc=wrong)
    with refused(INVALID, "LICENCE_NUMBER_INVALID"):
        admin.submit(organisation_id, uscc="", licence_number="110108000000017")
    with refused(INVALID, "ORG_CODE_INVALID"):
        admin.submit(
            organisation_id, uscc="", licence_number=new_licence_number(), organisation_code="600037342"
        )
    with refused(INVALID, "ORG_CODE_MISMATCH"):
        admin.submit(organisation_id, uscc=good, organisation_code=new_organisation_code())
    with refused(INVALID, "ORG_NUMBER_REQUIRED"):
        admin.submit(organisation_id, uscc="")
    assert admin.get(organisation_id).state == REGISTERED
    assert admin.submit(organisation_id, uscc=good, organisation_code=good[8:17]).state == PENDING
    shown = admin.get(organisation_id).real_name
    assert (shown.uscc, shown.organisation_code) == (good, good[8:17])


@pytest.mark.req("R163")
def test_who_is_not_the_representative_adds_a_letter(admin: Admin) -> None:
    organisation_id = admin.register()
    other = new_citizen()
    representative = pb.LegalRepresentative(name=other.name, id_number=other.id_number)
    with refused(FAILED, "ORG_LICENCE_REQUIRED"):
        admin.submit(organisation_id)
    admin.upload(organisation_id, jpeg())
    with refused(FAILED, "REPRESENTATIVE_MISMATCH"):  # says to be the representative, and is another one
        admin.submit(organisation_id, legal_representative=representative)
    renamed = pb.LegalRepresentative(name=other.name, id_number=admin.signed_in.person.id_number)
    with refused(FAILED, "REPRESENTATIVE_MISMATCH"):
        admin.submit(organisation_id, legal_representative=renamed)
    with refused(FAILED, "AUTHORISATION_LETTER_REQUIRED"):
        admin.submit(organisation_id, legal_representative=representative, is_legal_representative=False)
    admin.upload(organisation_id, pdf("letter"), LETTER)
    made = admin.submit(organisation_id, legal_representative=representative, is_legal_representative=False)
    assert made.state == PENDING


@pytest.mark.req("R164")
def test_a_review_verifies_or_rejects_and_then_it_is_handed_in_again(
    admin: Admin, reviewer: OrganisationReviewer
) -> None:
    organisation_id = admin.register()
    kept = admin.upload(organisation_id, jpeg())
    assert admin.submit(organisation_id).state == PENDING
    with refused(FAILED, "ORGANISATION_STATE"):
        admin.submit(organisation_id)
    with refused(FAILED, "ORGANISATION_STATE"):
        admin.upload(organisation_id, jpeg(2))
    task = reviewer.task_of(f"organisations/{organisation_id}")
    shown = reviewer.shown(task)
    assert shown["document_01"] == f"LICENCE {kept.document_id}"
    request = pb.ReadOrganisationDocumentRequest(
        organisation_id=organisation_id, document_id=kept.document_id
    )
    parts = list(reviewer.organisations.ReadOrganisationDocument(request, timeout=20))
    assert b"".join(part.content for part in parts) == jpeg()
    reviewer.decide(task, NOT_PASSED, code="LICENCE_UNREADABLE", text="the licence cannot be read")
    found = admin.get(organisation_id)
    assert found.state == REJECTED
    assert [(one.code, one.text) for one in found.reasons] == [
        ("LICENCE_UNREADABLE", "the licence cannot be read")
    ]
    admin.stub.RemoveOrganisationDocument(
        pb.RemoveOrganisationDocumentRequest(organisation_id=organisation_id, document_id=kept.document_id)
    )
    admin.upload(organisation_id, jpeg(3))
    assert admin.submit(organisation_id).state == PENDING
    assert not admin.get(organisation_id).reasons
    reviewer.decide(reviewer.task_of(f"organisations/{organisation_id}"))
    found = admin.get(organisation_id)
    assert found.state == VERIFIED
    assert found.HasField("verify_time")
    events = [pb.OrganisationEvent.Name(step.event).rpartition("EVENT_")[2] for step in found.timeline]
    assert events == ["REGISTERED", "SUBMITTED", "REJECTED", "SUBMITTED", "VERIFIED"]


def test_a_question_of_the_reviewer_is_answered(admin: Admin, reviewer: OrganisationReviewer) -> None:
    organisation_id = admin.handed_in()
    task = reviewer.task_of(f"organisations/{organisation_id}")
    reviewer.reviews.RequestSupplement(
        review_pb.RequestSupplementRequest(
            task_id=task.task_id,
            reason=review_pb.ReviewReason(code="UNREADABLE", text="page two is missing"),
            items=["page two"],
        ),
        timeout=20,
    )
    found = admin.get(organisation_id)
    assert found.state == PENDING
    assert found.HasField("supplement_until")
    assert found.prompts[0] == pb.ORGANISATION_PROMPT_SUPPLEMENT
    assert found.reasons[0].text == "page two is missing"
    admin.upload(organisation_id, jpeg(7))
    admin.submit(organisation_id)
    reviewer.decide(reviewer.task_of(f"organisations/{organisation_id}"))
    assert admin.get(organisation_id).state == VERIFIED


def test_what_is_reviewed_can_be_withdrawn(admin: Admin, reviewer: OrganisationReviewer) -> None:
    organisation_id = admin.handed_in()
    request = pb.WithdrawOrganisationRealNameRequest(organisation_id=organisation_id)
    assert admin.stub.WithdrawOrganisationRealName(request).organisation.state == REGISTERED
    with pytest.raises(ValueError, match="not enough"):
        reviewer.task_of(f"organisations/{organisation_id}")
    assert admin.submit(organisation_id).state == PENDING


def test_one_organisation_is_verified_once(
    cloud: RunningCloud, admin: Admin, reviewer: OrganisationReviewer
) -> None:
    uscc = new_uscc()
    first = admin.handed_in(uscc=uscc)
    with somebody(cloud) as other:  # at the same time, by its older number
        licence = {"uscc": "", "licence_number": new_licence_number(), "organisation_code": uscc[8:17]}
        second = other.handed_in(**licence)
        reviewer.decide(reviewer.task_of(f"organisations/{first}"))
        with refused(grpc.StatusCode.ALREADY_EXISTS, "ORGANISATION_EXISTS"):
            reviewer.decide(reviewer.task_of(f"organisations/{second}"))
        reviewer.decide(reviewer.task_of(f"organisations/{second}"), NOT_PASSED)
        with refused(grpc.StatusCode.ALREADY_EXISTS, "ORGANISATION_EXISTS"):
            other.submit(second, **licence)
    declared = pb.DeclareOrganisationChangeRequest(
        organisation_id=first, change=pb.ORGANISATION_CHANGE_LEGAL_REPRESENTATIVE
    )
    assert admin.stub.DeclareOrganisationChange(declared).organisation.state == STALE
    found = admin.get(first)
    assert list(found.prompts) == [pb.ORGANISATION_PROMPT_REAL_NAME]
    assert not found.HasField("verify_time")
    assert admin.submit(first, uscc=uscc).state == PENDING


def test_who_has_something_in_common_does_not_review(
    cloud: RunningCloud, room: ReviewRoom, admin: Admin, reviewer: OrganisationReviewer
) -> None:
    """The reviewer ``li`` works for the company, ``mei`` is the administrator: both are idle."""
    uscc, person = new_uscc(), admin.signed_in.person
    li = room.reviewer(
        "li", marks=review_pb.ReviewerMarks(companies=[NAME.replace("有限公司", "有限责任公司")])
    )
    mei = room.reviewer("mei", marks=review_pb.ReviewerMarks(id_numbers=[person.id_number]))
    organisation_id = admin.handed_in(uscc=uscc)
    task = reviewer.task_of(f"organisations/{organisation_id}")  # with more tasks than both
    for related in (li, mei):
        assert not related.tasks()
        request = review_pb.AssignTaskRequest(
            task_id=task.task_id, reviewer_id=related.person.user.user_id, reason="for a test"
        )
        with refused(DENIED, "REVIEW_CONFLICT"):
            room.manager.AssignTask(request, timeout=20)
        room.away(related)
    with cloud.database() as connection:
        marks = connection.execute(
            select(review_task_marks.c.mark).where(review_task_marks.c.task_id == task.task_id)
        ).all()
    assert len(marks) == 5  # name, two numbers, representative and administrator, telephone


def test_the_administration_is_offered_and_taken_over(
    cloud: RunningCloud, admin: Admin, reviewer: OrganisationReviewer
) -> None:
    organisation_id = admin.handed_in()
    reviewer.decide(reviewer.task_of(f"organisations/{organisation_id}"))
    with somebody(cloud) as heir, somebody(cloud) as other:
        offer = pb.OfferOrganisationRequest(
            organisation_id=organisation_id, account_id=heir.signed_in.account_id
        )
        for stranger in (heir, other):
            with refused(grpc.StatusCode.NOT_FOUND, "ORGANISATION_NOT_FOUND"):
                stranger.stub.OfferOrganisation(offer)
        admin.stub.OfferOrganisation(offer)
        assert admin.get(organisation_id).offered_to == heir.signed_in.account_id
        [told] = wait_for(cloud, to=heir.signed_in.person.phone, template="organisation_offered")
        assert organisation_id not in told["text"]
        offered = heir.stub.ListOrganisations(pb.ListOrganisationsRequest(offered=True)).organisations
        assert [one.organisation_id for one in offered] == [organisation_id]
        seen = heir.get(organisation_id)
        assert seen.real_name == pb.OrganisationRealName(name=NAME)
        take = pb.TakeOverOrganisationRequest(organisation_id=organisation_id)
        with refused(grpc.StatusCode.NOT_FOUND, "ORGANISATION_NOT_FOUND"):
            other.stub.TakeOverOrganisation(take)
        taken = heir.stub.TakeOverOrganisation(take).organisation
        assert (taken.account_id, taken.state) == (heir.signed_in.account_id, STALE)
        with refused(grpc.StatusCode.NOT_FOUND, "ORGANISATION_NOT_FOUND"):
            admin.get(organisation_id)
        assert heir.get(organisation_id).timeline[-1].event == pb.ORGANISATION_EVENT_HANDED_OVER
        assert heir.submit(organisation_id, uscc=new_uscc()).state == PENDING
        reviewer.decide(reviewer.task_of(f"organisations/{organisation_id}"))
        assert heir.get(organisation_id).state == VERIFIED


def test_others_see_nothing_and_staff_sees_no_data(cloud: RunningCloud, admin: Admin) -> None:
    organisation_id = admin.handed_in()
    with somebody(cloud) as other:
        with refused(MISSING, "ORGANISATION_NOT_FOUND"):
            other.get(organisation_id)
        with refused(MISSING, "ORGANISATION_NOT_FOUND"):
            other.upload(organisation_id, jpeg())
        with refused(MISSING, "ORGANISATION_NOT_FOUND"):
            other.submit(organisation_id)
    request = pb.InspectOrganisationRequest(organisation_id=organisation_id)
    found = cloud.operator.call(cloud.operator.organisations.InspectOrganisation, request).organisation
    assert found.documents
    assert found.timeline
    assert not found.HasField("real_name")
    viewer = add_person(cloud, f"viewer-{organisation_id[:8]}", Role.VIEWER)
    with (
        channel_of(cloud, viewer) as channel,
        refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING"),
    ):
        OrganisationServiceStub(channel).InspectOrganisation(request, timeout=20)


def test_nothing_of_it_stands_in_clear(cloud: RunningCloud, admin: Admin) -> None:
    uscc = new_uscc()
    organisation_id = admin.handed_in(uscc=uscc)
    person = admin.signed_in.person
    with cloud.database() as connection:
        row = connection.execute(
            select(organisations).where(organisations.c.organisation_id == organisation_id)
        ).one()
    stored = repr(row)
    listed = audit_service_pb2.ListAuditEventsRequest(
        page_size=500, filter=f'subject = "organisations/{organisation_id}"'
    )
    events = cloud.operator.call(cloud.operator.audit.ListAuditEvents, listed).events
    assert [event.action for event in events] == [
        "organisations.submit",
        "organisations.add_document",
        "organisations.register",
    ]
    assert all(event.outcome == audit_pb2.AUDIT_OUTCOME_DONE for event in events)
    told = stored + repr(events) + repr(cloud.log.calls)
    for secret in (NAME, uscc, uscc[8:17], person.name, person.id_number):
        assert secret not in told
        assert secret.encode().hex() not in bytes(row.profile).hex()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"MZ" + bytes(100), "OBJECT_TYPE_REFUSED"), (pdf_with_script(), "OBJECT_TYPE_REFUSED")],
)
def test_files_that_are_none_of_these_are_refused(admin: Admin, content: bytes, reason: str) -> None:
    organisation_id = admin.register()
    with refused(INVALID, reason):
        admin.upload(organisation_id, content)
    with refused(INVALID, "UPLOAD_DIGEST"):
        admin.upload(organisation_id, jpeg(), sha256=bytes(32))
    assert not admin.get(organisation_id).documents


def test_the_tasks_of_this_room_are_of_its_kind(cloud: RunningCloud, admin: Admin) -> None:
    organisation_id = admin.handed_in()
    with cloud.database() as connection:
        kind = connection.execute(
            select(review_tasks.c.kind).where(review_tasks.c.subject == f"organisations/{organisation_id}")
        ).scalar_one()
    assert kind == review_pb.REVIEW_KIND_ORGANISATION_REAL_NAME
