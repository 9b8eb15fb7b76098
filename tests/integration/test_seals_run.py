"""Seals through the service: pictures, reviews, versions, freezing, revoking, and who may use them."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from PIL import Image
from sqlalchemy import insert

from cloud.access.roles import Role
from cloud.errors import ServiceError
from cloud.seals.desk import Scope
from cloud.store import seals as rows
from cloud.store.reviewers import KINDS_OF_SEAL_REVIEWERS, skills_of, suitable
from cloud.store.schema import reviewer_skills
from tests.support.accounts import SignedIn, as_account, in_database, registered, sign_in
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.identity import verified
from tests.support.organisation_review import (
    NOT_PASSED,
    OrganisationReviewer,
    ReviewRoom,
    review_room,
)
from tests.support.organisations import (
    approve,
    approved_seal,
    grant_request,
    grant_seal,
    ring,
    upload_seal,
    verified_organisation,
)
from tests.support.samples import jpeg
from tests.support.seals import open_seals
from verifield.v1 import audit_service_pb2
from verifield.v1 import organisation_service_pb2 as org_pb
from verifield.v1 import review_service_pb2 as review_pb
from verifield.v1 import seal_service_pb2 as pb
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

DOCUMENT = hashlib.sha256(b"a document").digest()
DRAWING = pb.SealDrawing(
    shape=pb.SEAL_SHAPE_ROUND, colour=pb.SEAL_COLOUR_RED, bottom_text="合同专用章", code="3301060012345"
)
FAILED, INVALID = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
MISSING, DENIED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED


@dataclass
class Admin:
    """The administrator of a verified organisation."""

    signed_in: SignedIn
    seals: Any
    organisation_id: str

    def upload(self, picture: bytes = b"", **header: Any) -> pb.Seal:
        return upload_seal(self.seals, self.organisation_id, picture or ring(), **header)

    def get(self, seal_id: str) -> pb.Seal:
        return self.seals.GetSeal(pb.GetSealRequest(seal_id=seal_id)).seal  # type: ignore[no-any-return]

    def change(self, what: str, seal_id: str) -> pb.Seal:
        request = getattr(pb, f"{what}SealRequest")(seal_id=seal_id)
        return getattr(self.seals, f"{what}Seal")(request).seal  # type: ignore[no-any-return]

    def image(self, seal_id: str, version: int = 0) -> bytes:
        request = pb.GetSealImageRequest(seal_id=seal_id, version=version)
        return b"".join(part.content for part in self.seals.GetSealImage(request))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data", clock=FakeClock()) as running:
        yield running


@pytest.fixture(scope="module")
def room(cloud: RunningCloud) -> Iterator[ReviewRoom]:
    with review_room(cloud) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)  # so that nothing ever waits in the queue
def reviewer(room: ReviewRoom) -> OrganisationReviewer:
    return room.reviewer("wang")


def person(cloud: RunningCloud, *, is_verified: bool = True) -> SignedIn:
    signed_in = registered(cloud)
    if is_verified:
        verified(cloud, signed_in)
    return signed_in


@pytest.fixture
def admin(cloud: RunningCloud) -> Iterator[Admin]:
    signed_in = person(cloud)
    organisation_id = verified_organisation(cloud, signed_in)
    with as_account(cloud, signed_in) as stubs:
        yield Admin(signed_in, stubs(SealServiceStub), organisation_id)


@contextmanager
def refused(status: grpc.StatusCode, reason: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    code, info, hint = refusal(caught.value)
    assert (code, info.reason) == (status, reason)
    assert hint


def subject_of(cloud: RunningCloud, seal_id: str, version: int = 1) -> str:
    """What the review of a version is about."""
    return in_database(cloud, lambda connection, _: open_version(connection, seal_id, version))


def open_version(connection: Any, seal_id: str, version: int) -> str:
    found = rows.find_version(connection, seal_id, version)
    assert found is not None
    return f"seal_versions/{found.version_id}"


def use(
    cloud: RunningCloud, seal_id: str, who: SignedIn, scope: Scope = Scope.APPROVALS, marks: int = 1
) -> str:
    """What a use is refused for; empty where it is noted."""
    try:
        in_database(
            cloud,
            lambda connection, room: open_seals(room, cloud).use(
                connection,
                seal_id=seal_id,
                account_id=who.account_id,
                scope=scope,
                document_sha256=DOCUMENT,
                field_names=[f"Seal{number}" for number in range(1, marks + 1)],
                place="device/0001",
                subject=f"approvals/{uuid.uuid4()}",
            ),
        )
    except ServiceError as error:
        return error.reason.value + (f" {error.metadata['why']}" if "why" in error.metadata else "")
    return ""


@pytest.mark.req("R165")
def test_an_organisation_that_is_not_verified_makes_no_seal(cloud: RunningCloud) -> None:
    signed_in = person(cloud)
    with as_account(cloud, signed_in) as stubs:
        request = org_pb.RegisterOrganisationRequest(name="示例有限公司")
        made = stubs(OrganisationServiceStub).RegisterOrganisation(request).organisation
        stub, organisation_id = stubs(SealServiceStub), made.organisation_id
        assert made.state == org_pb.ORGANISATION_STATE_REGISTERED
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED"):
            upload_seal(stub, organisation_id, ring())
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED"):
            stub.GenerateSeal(
                pb.GenerateSealRequest(
                    organisation_id=organisation_id, kind=pb.SEAL_KIND_OFFICIAL, drawing=DRAWING
                )
            )
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED"):
            stub.PreviewGeneratedSeal(
                pb.PreviewGeneratedSealRequest(organisation_id=organisation_id, drawing=DRAWING)
            )
        with refused(FAILED, "ORG_REAL_NAME_REQUIRED"):
            stub.ListSeals(pb.ListSealsRequest(organisation_id=organisation_id))


@pytest.mark.req("R166")
def test_a_picture_is_taken_or_refused_with_its_own_reason(admin: Admin) -> None:
    for picture, reason in (
        (jpeg(size=(800, 800)), "SEAL_IMAGE_FORMAT"),
        (ring(ground=(255, 255, 255, 255)), "SEAL_IMAGE_OPAQUE"),
        (ring(100), "SEAL_IMAGE_TOO_SMALL"),
        (ring(3100), "SEAL_IMAGE_TOO_LARGE"),
        (ring(400, (20, 150, 40)), "SEAL_IMAGE_COLOUR"),
    ):
        with refused(INVALID, reason):
            admin.upload(picture)
    with refused(INVALID, "SEAL_SIZE"):
        admin.upload(width_dmm=300, height_dmm=500)
    with refused(INVALID, "UPLOAD_DIGEST"):
        admin.upload(sha256=bytes(32))
    listed = admin.seals.ListSeals(pb.ListSealsRequest(organisation_id=admin.organisation_id))
    assert not listed.seals
    made = admin.upload()
    assert made.state == pb.SEAL_STATE_PENDING_REVIEW
    assert admin.image(made.seal_id, 1) == ring()
    policy = admin.seals.GetSealPolicy(pb.GetSealPolicyRequest()).policy
    assert (policy.format, policy.version) == ("PNG", 1)
    assert policy.min_side_px < policy.max_side_px


@pytest.mark.req("R167")
def test_a_seal_waits_for_its_review_and_signs_nothing_before(
    cloud: RunningCloud, admin: Admin, room: ReviewRoom, reviewer: OrganisationReviewer
) -> None:
    clerk = person(cloud)
    marks = review_pb.ReviewerMarks(id_numbers=[clerk.person.id_number])
    member = room.reviewer("member", marks=marks)  # the clerk, who is idle
    company = room.reviewer("company", marks=review_pb.ReviewerMarks(companies=["杭州示例网络科技有限公司"]))
    first = approved_seal(cloud, admin.signed_in, admin.organisation_id)
    grant_seal(cloud, admin.signed_in, first, clerk)
    made = admin.upload()
    grant_seal(cloud, admin.signed_in, made.seal_id, clerk)
    assert use(cloud, made.seal_id, clerk) == "SEAL_NOT_APPROVED"
    task = reviewer.task_of(subject_of(cloud, made.seal_id))
    for related in (member, company):
        request = review_pb.AssignTaskRequest(
            task_id=task.task_id, reviewer_id=related.person.user.user_id, reason="for a test"
        )
        with refused(DENIED, "REVIEW_CONFLICT"):
            room.manager.AssignTask(request, timeout=20)
        room.away(related)
    shown = reviewer.shown(task)
    assert shown["seal_id"] == made.seal_id
    image = pb.ReadSealImageRequest(seal_id=made.seal_id, version=1)
    parts = list(reviewer.seals.ReadSealImage(image, timeout=20))
    assert b"".join(part.content for part in parts) == ring()
    reviewer.decide(task)
    assert admin.get(made.seal_id).state == pb.SEAL_STATE_APPROVED
    assert use(cloud, made.seal_id, clerk) == ""


def test_a_reviewer_of_seals_gets_those_and_organisations_and_nothing_else(
    cloud: RunningCloud, admin: Admin, room: ReviewRoom, reviewer: OrganisationReviewer
) -> None:
    of_seals = room.reviewer("of-seals", role=Role.SEAL_REVIEWER)
    room.away(reviewer)
    made = admin.upload()
    task = of_seals.task_of(subject_of(cloud, made.seal_id))
    of_seals.decide(task)
    assert admin.get(made.seal_id).state == pb.SEAL_STATE_APPROVED
    user_id = of_seals.person.user.user_id
    for kind in (review_pb.REVIEW_KIND_CERTIFICATION, review_pb.REVIEW_KIND_BUSINESS):
        request = review_pb.SetReviewerProfileRequest(
            reviewer_id=user_id, skills=[review_pb.REVIEW_KIND_SEAL, kind], capacity=100
        )
        with refused(FAILED, "REVIEWER_NO_ROLE"):
            room.manager.SetReviewerProfile(request, timeout=20)
    with cloud.database() as connection:  # as if the role had been wider before
        connection.execute(
            insert(reviewer_skills).values(reviewer_id=user_id, kind=review_pb.REVIEW_KIND_CERTIFICATION)
        )
    with cloud.database() as connection:
        assert suitable(connection, review_pb.REVIEW_KIND_CERTIFICATION, full_at=100) == []
        assert suitable(connection, review_pb.REVIEW_KIND_SEAL, full_at=100) == [user_id]
        assert skills_of(connection, [user_id])[user_id] == set(KINDS_OF_SEAL_REVIEWERS)
    with refused(FAILED, "REVIEWER_UNSKILLED"):
        of_seals.reviews.TakeTask(
            review_pb.TakeTaskRequest(kind=review_pb.REVIEW_KIND_CERTIFICATION), timeout=20
        )
    room.away(of_seals)
    room.back(reviewer)


def test_who_became_a_member_meanwhile_does_not_decide(
    cloud: RunningCloud, admin: Admin, reviewer: OrganisationReviewer, room: ReviewRoom
) -> None:
    clerk = person(cloud)
    made = admin.upload()
    task = reviewer.task_of(subject_of(cloud, made.seal_id))
    marks = review_pb.ReviewerMarks(id_numbers=[clerk.person.id_number])
    request = review_pb.SetReviewerProfileRequest(
        reviewer_id=reviewer.person.user.user_id,
        skills=[review_pb.REVIEW_KIND_ORGANISATION_REAL_NAME, review_pb.REVIEW_KIND_SEAL],
        capacity=100,
        marks=marks,
    )
    room.manager.SetReviewerProfile(request, timeout=20)
    grant_seal(cloud, admin.signed_in, made.seal_id, clerk)
    with refused(DENIED, "REVIEW_CONFLICT"):
        reviewer.decide(task)
    assert admin.get(made.seal_id).state == pb.SEAL_STATE_PENDING_REVIEW
    request.marks.CopyFrom(review_pb.ReviewerMarks())
    room.manager.SetReviewerProfile(request, timeout=20)


@pytest.mark.req("R168")
def test_a_rejected_seal_comes_again_as_a_new_version(
    cloud: RunningCloud, admin: Admin, reviewer: OrganisationReviewer
) -> None:
    seal_id = admin.upload().seal_id
    with refused(FAILED, "SEAL_STATE"):
        admin.upload(seal_id=seal_id)  # one at a time
    reviewer.decide(
        reviewer.task_of(subject_of(cloud, seal_id)),
        NOT_PASSED,
        code="NO_TEXT",
        text="there is no name on it",
    )
    found = admin.get(seal_id)
    assert found.state == pb.SEAL_STATE_REJECTED
    [reason] = found.versions[0].reasons
    assert (reason.code, reason.text) == ("NO_TEXT", "there is no name on it")
    again = admin.upload(ring(420), seal_id=seal_id)
    assert (again.state, again.newest_version) == (pb.SEAL_STATE_PENDING_REVIEW, 2)
    reviewer.decide(reviewer.task_of(subject_of(cloud, seal_id, 2)))
    found = admin.get(seal_id)
    assert (found.state, found.approved_version) == (pb.SEAL_STATE_APPROVED, 2)
    assert [version.state for version in found.versions] == [
        pb.SEAL_VERSION_STATE_REJECTED,
        pb.SEAL_VERSION_STATE_APPROVED,
    ]


@pytest.mark.req("R168")
def test_a_seal_is_frozen_replaced_and_revoked(
    cloud: RunningCloud, admin: Admin, reviewer: OrganisationReviewer
) -> None:
    clerk, seal_id = person(cloud), approved_seal(cloud, admin.signed_in, admin.organisation_id)
    grant_seal(cloud, admin.signed_in, seal_id, clerk)
    assert use(cloud, seal_id, clerk) == ""
    assert admin.change("Freeze", seal_id).state == pb.SEAL_STATE_FROZEN
    assert use(cloud, seal_id, clerk) == "SEAL_FROZEN"
    assert admin.change("Unfreeze", seal_id).state == pb.SEAL_STATE_APPROVED
    assert admin.upload(ring(440), seal_id=seal_id).state == pb.SEAL_STATE_APPROVED  # the old one signs on
    assert use(cloud, seal_id, clerk) == ""
    assert admin.image(seal_id) == ring()
    reviewer.decide(reviewer.task_of(subject_of(cloud, seal_id, 2)))
    assert admin.image(seal_id) == ring(440)
    found = admin.get(seal_id)
    assert [version.state for version in found.versions] == [
        pb.SEAL_VERSION_STATE_REPLACED,
        pb.SEAL_VERSION_STATE_APPROVED,
    ]
    admin.upload(ring(460), seal_id=seal_id)
    assert admin.change("Revoke", seal_id).state == pb.SEAL_STATE_REVOKED
    assert admin.get(seal_id).versions[2].state == pb.SEAL_VERSION_STATE_WITHDRAWN
    assert use(cloud, seal_id, clerk) == "SEAL_REVOKED"
    for what in ("Freeze", "Unfreeze", "Revoke"):
        with refused(FAILED, "SEAL_STATE"):
            admin.change(what, seal_id)
    with refused(FAILED, "SEAL_STATE"):
        admin.upload(seal_id=seal_id)
    with refused(FAILED, "SEAL_REVOKED"):
        grant_seal(cloud, admin.signed_in, seal_id, clerk)


def test_a_seal_is_drawn_where_there_is_none(cloud: RunningCloud, admin: Admin) -> None:
    asked = pb.PreviewGeneratedSealRequest(organisation_id=admin.organisation_id, drawing=DRAWING)
    shown = admin.seals.PreviewGeneratedSeal(asked)
    assert Image.open(io.BytesIO(shown.image)).size == (1008, 1008)
    request = pb.GenerateSealRequest(
        organisation_id=admin.organisation_id, kind=pb.SEAL_KIND_CONTRACT, label="合同章", drawing=DRAWING
    )
    made = admin.seals.GenerateSeal(request).seal
    assert admin.image(made.seal_id, 1) == shown.image
    found = admin.get(made.seal_id)
    assert (found.label, found.versions[0].source) == ("合同章", pb.SEAL_SOURCE_GENERATED)
    assert (found.versions[0].width_dmm, found.versions[0].height_dmm) == (420, 420)
    request.drawing.bottom_text = "\U0001f600"
    with refused(INVALID, "SEAL_TEXT"):
        admin.seals.GenerateSeal(request)


@pytest.mark.req("R169")
def test_the_administrator_alone_gives_and_takes_grants_and_the_chain_tells(
    cloud: RunningCloud, admin: Admin
) -> None:
    clerk, seal_id = person(cloud), approved_seal(cloud, admin.signed_in, admin.organisation_id)
    with as_account(cloud, clerk) as stubs:
        stub = stubs(SealServiceStub)
        with refused(MISSING, "SEAL_NOT_FOUND"):
            stub.GrantSeal(grant_request(cloud, seal_id, clerk.account_id))
        grant_id = grant_seal(cloud, admin.signed_in, seal_id, clerk, max_uses=3)
        with refused(MISSING, "SEAL_GRANT_NOT_FOUND"):
            stub.RevokeSealGrant(pb.RevokeSealGrantRequest(grant_id=grant_id))
        with refused(MISSING, "SEAL_NOT_FOUND"):
            stub.ListSealGrants(pb.ListSealGrantsRequest(seal_id=seal_id))
        with refused(MISSING, "SEAL_NOT_FOUND"):
            stub.FreezeSeal(pb.FreezeSealRequest(seal_id=seal_id))
        [own] = stub.ListOwnSealGrants(pb.ListOwnSealGrantsRequest()).grants
        assert (own.grant_id, own.max_uses, own.state) == (grant_id, 3, pb.SEAL_GRANT_STATE_ACTIVE)
        assert not stub.GetSeal(pb.GetSealRequest(seal_id=seal_id)).seal.versions[0].reasons
    [listed] = admin.seals.ListSealGrants(pb.ListSealGrantsRequest(seal_id=seal_id)).grants
    assert listed.grant_id == grant_id
    ended = admin.seals.RevokeSealGrant(pb.RevokeSealGrantRequest(grant_id=grant_id)).grant
    assert ended.state == pb.SEAL_GRANT_STATE_REVOKED
    with refused(FAILED, "SEAL_GRANT_STATE"):
        admin.seals.RevokeSealGrant(pb.RevokeSealGrantRequest(grant_id=grant_id))
    asked = audit_service_pb2.ListAuditEventsRequest(page_size=500)
    events = cloud.operator.call(cloud.operator.audit.ListAuditEvents, asked).events
    told = [(event.action, event.subject) for event in events]
    assert ("seals.grant", f"seals/{seal_id}") in told
    assert ("seals.revoke_grant", f"seal_grants/{grant_id}") in told


@pytest.mark.req("R170")
def test_a_grant_is_for_a_verified_person_a_scope_a_period_and_so_many_uses(
    cloud: RunningCloud, admin: Admin
) -> None:
    seal_id, clerk = approved_seal(cloud, admin.signed_in, admin.organisation_id), person(cloud)
    nobody = person(cloud, is_verified=False)
    with refused(FAILED, "IDENTITY_REQUIRED"):
        grant_seal(cloud, admin.signed_in, seal_id, nobody)
    with refused(INVALID, "SEAL_GRANT_PERIOD"):
        grant_seal(cloud, admin.signed_in, seal_id, clerk, days=-1)
    with refused(INVALID, "SEAL_GRANT_PERIOD"):
        grant_seal(cloud, admin.signed_in, seal_id, clerk, days=3000)
    assert use(cloud, seal_id, clerk) == "SEAL_NOT_GRANTED NONE"
    assert use(cloud, seal_id, admin.signed_in) == "SEAL_NOT_GRANTED NONE"  # not even the administrator
    approvals = (pb.SEAL_SCOPE_APPROVALS,)
    grant_id = grant_seal(
        cloud, admin.signed_in, seal_id, clerk, scopes=approvals, starts=1, days=2, max_uses=3
    )
    assert use(cloud, seal_id, clerk) == "SEAL_NOT_GRANTED PERIOD"
    cloud.clock.offset += timedelta(days=1, minutes=1)
    assert use(cloud, seal_id, clerk, Scope.CONTRACTS) == "SEAL_NOT_GRANTED SCOPE"
    assert use(cloud, seal_id, clerk, marks=2) == ""
    assert use(cloud, seal_id, clerk, marks=2) == "SEAL_NOT_GRANTED USES"
    assert use(cloud, seal_id, clerk) == ""
    assert use(cloud, seal_id, clerk) == "SEAL_NOT_GRANTED USES"
    again = sign_in(cloud, admin.signed_in)  # the session has ended meanwhile
    second = grant_seal(cloud, again, seal_id, clerk, scopes=approvals, days=1)
    assert use(cloud, seal_id, clerk) == ""
    with as_account(cloud, again) as stubs:
        stubs(SealServiceStub).RevokeSealGrant(pb.RevokeSealGrantRequest(grant_id=second))
    assert use(cloud, seal_id, clerk) == "SEAL_NOT_GRANTED REVOKED"
    third = grant_seal(cloud, again, seal_id, clerk, scopes=approvals, days=1)
    cloud.clock.offset += timedelta(days=1, minutes=1)
    assert use(cloud, seal_id, clerk) == "SEAL_NOT_GRANTED PERIOD"
    with as_account(cloud, sign_in(cloud, admin.signed_in)) as stubs:
        request = pb.ListSealGrantsRequest(seal_id=seal_id)
        states = {one.grant_id: one.state for one in stubs(SealServiceStub).ListSealGrants(request).grants}
    assert states == {
        grant_id: pb.SEAL_GRANT_STATE_EXPIRED,
        second: pb.SEAL_GRANT_STATE_REVOKED,
        third: pb.SEAL_GRANT_STATE_EXPIRED,
    }


def test_each_use_is_in_the_log_and_nobody_else_reads_it(cloud: RunningCloud, admin: Admin) -> None:
    seal_id, clerk = approved_seal(cloud, admin.signed_in, admin.organisation_id), person(cloud)
    grant_id = grant_seal(cloud, admin.signed_in, seal_id, clerk)
    assert use(cloud, seal_id, clerk, marks=3) == ""
    uses = admin.seals.ListSealUses(pb.ListSealUsesRequest(seal_id=seal_id)).uses
    assert {one.field_name for one in uses} == {"Seal1", "Seal2", "Seal3"}
    for one in uses:
        assert (one.account_id, one.grant_id, one.version) == (clerk.account_id, grant_id, 1)
        assert (one.document_sha256, one.place) == (DOCUMENT, "device/0001")
    with as_account(cloud, clerk) as stubs, refused(MISSING, "SEAL_NOT_FOUND"):
        stubs(SealServiceStub).ListSealUses(pb.ListSealUsesRequest(seal_id=seal_id))


def test_an_organisation_that_changed_signs_nothing_until_it_is_verified_anew(
    cloud: RunningCloud, admin: Admin
) -> None:
    seal_id, clerk = approved_seal(cloud, admin.signed_in, admin.organisation_id), person(cloud)
    grant_seal(cloud, admin.signed_in, seal_id, clerk)
    with as_account(cloud, admin.signed_in) as stubs:
        request = org_pb.DeclareOrganisationChangeRequest(
            organisation_id=admin.organisation_id, change=org_pb.ORGANISATION_CHANGE_NAME
        )
        stubs(OrganisationServiceStub).DeclareOrganisationChange(request)
    assert use(cloud, seal_id, clerk) == "ORG_REAL_NAME_REQUIRED"
    assert admin.change("Freeze", seal_id).state == pb.SEAL_STATE_FROZEN  # stopping is always possible
    with refused(FAILED, "ORG_REAL_NAME_REQUIRED"):
        admin.change("Unfreeze", seal_id)


def test_staff_sees_states_and_pictures_and_no_labels(cloud: RunningCloud, admin: Admin) -> None:
    seal_id = admin.upload(label="红色的章").seal_id
    approve(cloud, seal_id)
    request = pb.InspectSealRequest(seal_id=seal_id)
    found = cloud.operator.call(cloud.operator.seals.InspectSeal, request).seal
    assert (found.state, found.label) == (pb.SEAL_STATE_APPROVED, "")
    assert admin.get(seal_id).label == "红色的章"
    asked = pb.SearchSealsRequest(organisation_id=admin.organisation_id)
    listed = cloud.operator.call(cloud.operator.seals.SearchSeals, asked).seals
    assert [one.seal_id for one in listed] == [seal_id]
