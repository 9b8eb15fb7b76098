"""Registration business through the service: an applicant, an agent, a reviewer, and what the chain tells."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from cloud.access.roles import Role
from cloud.store.schema import review_task_marks, review_tasks
from tests.support.accounts import SignedIn, as_account, registered
from tests.support.business import may_file
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import add_person, channel_of
from tests.support.samples import pdf
from verifield.v1 import account_service_pb2, audit_pb2, audit_service_pb2, review_service_pb2
from verifield.v1 import business_service_pb2 as pb
from verifield.v1.business_service_pb2_grpc import BusinessServiceStub
from verifield.v1.review_service_pb2_grpc import ReviewServiceStub

ARTICLES = pb.BUSINESS_DOCUMENT_KIND_ARTICLES


@dataclass
class Party:
    """Somebody who signed in, and the stub whose calls carry the token."""

    signed_in: SignedIn
    business: Any

    @property
    def account_id(self) -> str:
        return self.signed_in.account_id

    def begin(self, code: str = "NAME_CHECK", principal: str = "", **more: Any) -> pb.BusinessRequest:
        request = pb.CreateBusinessRequestRequest(service_code=code, principal_account_id=principal, **more)
        return self.business.CreateBusinessRequest(request).business  # type: ignore[no-any-return]

    def get(self, business_id: str) -> pb.BusinessRequest:
        request = pb.GetBusinessRequestRequest(business_id=business_id)
        return self.business.GetBusinessRequest(request).business  # type: ignore[no-any-return]

    def submit(self, business_id: str) -> pb.BusinessRequest:
        request = pb.SubmitBusinessRequestRequest(business_id=business_id)
        return self.business.SubmitBusinessRequest(request).business  # type: ignore[no-any-return]

    def upload(self, business_id: str, content: bytes, **changes: Any) -> pb.BusinessDocument:
        header = pb.BusinessDocumentHeader(
            business_id=business_id, kind=ARTICLES, sha256=hashlib.sha256(content).digest()
        )
        for name, value in changes.items():
            setattr(header, name, value)
        pieces = [content[start : start + 48_000] for start in range(0, len(content), 48_000)]
        parts = [
            pb.UploadBusinessDocumentRequest(header=header),
            *(pb.UploadBusinessDocumentRequest(content=piece) for piece in pieces),
        ]
        return self.business.UploadBusinessDocument(iter(parts)).document  # type: ignore[no-any-return]

    def delegate(self, agent: Party, *codes: str) -> pb.Delegation:
        """Offered by this one, and accepted by the other."""
        now = self.now
        start, end = Timestamp(), Timestamp()
        start.FromDatetime(now - timedelta(minutes=1))
        end.FromDatetime(now + timedelta(days=1))
        offer = pb.OfferDelegationRequest(
            agent_account_id=agent.account_id,
            service_codes=codes or ("NAME_CHECK",),
            valid_from=start,
            valid_until=end,
        )
        offered = self.business.OfferDelegation(offer).delegation
        answer = pb.AnswerDelegationRequest(delegation_id=offered.delegation_id, accept=True)
        return agent.business.AnswerDelegation(answer).delegation  # type: ignore[no-any-return]

    now: Any = None


@contextmanager
def party(cloud: RunningCloud, *, verified: bool = True, allowed: bool = True) -> Iterator[Party]:
    signed_in = registered(cloud)
    may_file(cloud, signed_in, verified=verified, allowed=allowed)
    with as_account(cloud, signed_in) as stubs:
        yield Party(signed_in, stubs(BusinessServiceStub), cloud.clock.now())


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def holder(cloud: RunningCloud) -> Iterator[Party]:
    with party(cloud) as found:
        yield found


@contextmanager
def refused(status: grpc.StatusCode, reason: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    code, info, hint = refusal(caught.value)
    assert (code, info.reason) == (status, reason)
    assert hint


def events(cloud: RunningCloud, **wanted: Any) -> list[audit_pb2.AuditEvent]:
    request = audit_service_pb2.ListAuditEventsRequest(page_size=500, **wanted)
    return list(cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events)


def facts(event: audit_pb2.AuditEvent) -> dict[str, str]:
    return {fact.key: fact.value for fact in event.facts}


@pytest.mark.req("R023")
def test_who_is_not_verified_begins_no_business(cloud: RunningCloud) -> None:
    with party(cloud, verified=False) as somebody:
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "IDENTITY_REQUIRED"):
            somebody.begin()
        may_file(cloud, somebody.signed_in)
        assert somebody.begin().state == pb.BUSINESS_STATE_DRAFT


def test_who_allows_no_business_has_none_begun(cloud: RunningCloud) -> None:
    failed = grpc.StatusCode.FAILED_PRECONDITION
    with party(cloud, allowed=False) as somebody, refused(failed, "FILING_NOT_ALLOWED"):
        somebody.begin()


def review_marks(cloud: RunningCloud, business_id: str) -> set[bytes]:
    """What a reviewer must not share with those behind a request."""
    task = review_tasks.c.task_id == review_task_marks.c.task_id
    query = select(review_task_marks.c.mark).join(review_tasks, task)
    with cloud.database() as connection:
        found = connection.execute(query.where(review_tasks.c.subject == f"business/{business_id}"))
        return {bytes(one) for one in found.scalars()}


@pytest.mark.req("R034")
def test_an_agent_acts_under_a_delegation_and_the_chain_names_both(cloud: RunningCloud) -> None:
    with ExitStack() as stack:
        principal = stack.enter_context(party(cloud))
        agent = stack.enter_context(party(cloud, allowed=False))
        both = {"principal": principal.account_id, "agent": agent.account_id}
        caller = f"account/{agent.account_id}"

        with refused(grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_MISSING"):
            agent.begin(principal=principal.account_id)
        [event] = events(cloud, caller=caller, action="business.create")
        assert event.outcome == audit_pb2.AUDIT_OUTCOME_REFUSED
        assert facts(event) == both | {"service": "NAME_CHECK", "reason": "DELEGATION_MISSING"}

        given = principal.delegate(agent)
        assert given.state == pb.DELEGATION_STATE_ACTIVE
        made = agent.begin(principal=principal.account_id, text="for a friend")
        assert (made.account_id, made.agent_account_id) == (principal.account_id, agent.account_id)
        done = events(cloud, subject=f"business/{made.business_id}")
        assert [facts(one) for one in done] == [both | {"service": "NAME_CHECK"}]
        agent.upload(made.business_id, pdf("for a friend"))
        assert agent.submit(made.business_id).state == pb.BUSINESS_STATE_SUBMITTED
        assert len(review_marks(cloud, made.business_id)) == 4  # id numbers and telephones of both
        for one in events(cloud, subject=f"business/{made.business_id}", caller=caller):
            assert facts(one).items() >= both.items()
        assert principal.get(made.business_id).text == "for a friend"

        end = pb.RevokeDelegationRequest(delegation_id=given.delegation_id)
        principal.business.RevokeDelegation(end)
        for call in (
            lambda: agent.begin(principal=principal.account_id),
            lambda: agent.get(made.business_id),
            lambda: agent.business.WithdrawBusinessRequest(
                pb.WithdrawBusinessRequestRequest(business_id=made.business_id)
            ),
        ):
            with refused(grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_MISSING"):
                call()
        [refusal_event] = events(cloud, caller=caller, action="business.withdraw")
        assert facts(refusal_event) == both | {"reason": "DELEGATION_MISSING"}
        listed = agent.business.ListBusinessRequests(pb.ListBusinessRequestsRequest(as_agent=True)).business
        assert [(one.business_id, one.text) for one in listed] == [(made.business_id, "")]


def test_a_delegation_is_not_offered_to_nobody_nor_answered_by_another(
    cloud: RunningCloud, holder: Party
) -> None:
    with party(cloud) as other, party(cloud) as third:
        given = holder.delegate(other, "NAME_CHECK", "ADDRESS_CHANGE")
        assert given.service_codes == ["NAME_CHECK", "ADDRESS_CHANGE"]
        with refused(grpc.StatusCode.NOT_FOUND, "DELEGATION_NOT_FOUND"):
            third.business.RevokeDelegation(pb.RevokeDelegationRequest(delegation_id=given.delegation_id))
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "DELEGATION_STATE"):
            other.business.AnswerDelegation(
                pb.AnswerDelegationRequest(delegation_id=given.delegation_id, accept=False)
            )
        for side, as_agent in ((holder, False), (other, True)):
            request = pb.ListDelegationsRequest(as_agent=as_agent)
            [found] = side.business.ListDelegations(request).delegations
            assert found == given


def test_a_third_account_sees_nothing_of_a_request(cloud: RunningCloud, holder: Party) -> None:
    made = holder.begin()
    with party(cloud) as stranger:
        with refused(grpc.StatusCode.NOT_FOUND, "BUSINESS_NOT_FOUND"):
            stranger.get(made.business_id)
        with refused(grpc.StatusCode.NOT_FOUND, "BUSINESS_NOT_FOUND"):
            stranger.upload(made.business_id, pdf())
        assert not stranger.business.ListBusinessRequests(pb.ListBusinessRequestsRequest()).business


def test_a_document_comes_as_a_stream_and_staff_read_the_same_bytes(
    cloud: RunningCloud, holder: Party
) -> None:
    made = holder.begin()
    content = pdf("a" * 20) + b"\n% padding " + b"x" * 150_000 + b"\nstartxref\n0\n%%EOF\n"
    kept = holder.upload(made.business_id, content)
    assert (kept.sha256, kept.size_bytes) == (hashlib.sha256(content).digest(), len(content))
    assert kept.media_type == "application/pdf"

    read = pb.ReadBusinessDocumentRequest(business_id=made.business_id, document_id=kept.document_id)
    answers = list(cloud.operator.receive(cloud.operator.business.ReadBusinessDocument, read))
    assert answers[0].document == kept
    assert b"".join(one.content for one in answers) == content
    told, deadline = [], time.monotonic() + 10  # reads are written together, within a second
    while not told and time.monotonic() < deadline:
        told = events(cloud, subject=f"business/{made.business_id}", action="business.read")
    assert [one.outcome for one in told] == [audit_pb2.AUDIT_OUTCOME_READ]

    remove = pb.RemoveBusinessDocumentRequest(business_id=made.business_id, document_id=kept.document_id)
    holder.business.RemoveBusinessDocument(remove)
    assert not holder.get(made.business_id).documents


def test_an_upload_is_refused_with_its_reason(holder: Party) -> None:
    made = holder.begin()
    invalid, argument = grpc.StatusCode.INVALID_ARGUMENT, pdf()
    with refused(invalid, "BUSINESS_DOCUMENT_DIGEST"):
        holder.upload(made.business_id, argument, sha256=bytes(32))
    with refused(invalid, "OBJECT_TYPE_REFUSED"):
        holder.upload(made.business_id, b"#!/bin/sh\necho no document\n")
    with refused(invalid, "REQUEST_INVALID"):
        holder.business.UploadBusinessDocument(iter([pb.UploadBusinessDocumentRequest(content=b"x")]))
    header = pb.BusinessDocumentHeader(business_id=made.business_id, kind=ARTICLES, sha256=bytes(32))
    twice = [pb.UploadBusinessDocumentRequest(header=header)] * 2
    with refused(invalid, "REQUEST_INVALID"):
        holder.business.UploadBusinessDocument(iter(twice))
    with refused(invalid, "OBJECT_TOO_LARGE"):
        holder.upload(made.business_id, argument + bytes(10 * 1024 * 1024))
    assert not holder.get(made.business_id).documents


def test_a_request_that_is_repeated_is_done_once(cloud: RunningCloud, holder: Party) -> None:
    request = pb.CreateBusinessRequestRequest(request_id=str(uuid.uuid4()), service_code="NAME_CHECK")
    first = holder.business.CreateBusinessRequest(request).business
    assert holder.business.CreateBusinessRequest(request).business == first
    request_id, content = str(uuid.uuid4()), pdf("once")
    kept = holder.upload(first.business_id, content, request_id=request_id)
    assert holder.upload(first.business_id, content, request_id=request_id) == kept
    assert [one.document_id for one in holder.get(first.business_id).documents] == [kept.document_id]


def test_staff_search_and_close(cloud: RunningCloud, holder: Party) -> None:
    first, second = holder.begin("ADDRESS_CHANGE"), holder.begin("NAME_CHANGE", text="a new name")
    staff = cloud.operator.business
    request = pb.SearchBusinessRequestsRequest(
        account_id=holder.account_id, filter='service_code = "NAME_CHANGE"'
    )
    [found] = cloud.operator.call(staff.SearchBusinessRequests, request).business
    assert (found.business_id, found.text) == (second.business_id, "")
    closed = cloud.operator.call(
        staff.CloseBusinessRequest,
        pb.CloseBusinessRequestRequest(business_id=second.business_id, why="asked for at the window"),
    ).business
    assert closed.state == pb.BUSINESS_STATE_WITHDRAWN
    [reason] = holder.get(second.business_id).reasons
    assert (reason.code, reason.text) == ("CLOSED_BY_STAFF", "asked for at the window")
    inspect = pb.InspectBusinessRequestRequest(business_id=first.business_id)
    shown = cloud.operator.call(staff.InspectBusinessRequest, inspect).business
    assert shown.etag == first.etag
    pages = cloud.operator.pages(
        staff.SearchBusinessRequests,
        pb.SearchBusinessRequestsRequest(page_size=1, account_id=holder.account_id),
    )
    ids = [one.business_id for page in pages for one in page.business]
    assert ids == [second.business_id, first.business_id]


@pytest.mark.parametrize("outcome", ["PASSED", "NOT_PASSED"])
def test_a_reviewer_asks_and_decides(tmp_path: Path, database_url: str, outcome: str) -> None:
    with running_cloud(tmp_path / "data", database=database_url) as cloud, party(cloud) as holder:
        reviewer = add_person(cloud, "reviewer", Role.REVIEWER)
        skills = review_service_pb2.SetReviewerProfileRequest(
            reviewer_id=reviewer.user.user_id,
            skills=[review_service_pb2.REVIEW_KIND_BUSINESS],
            capacity=10,
        )
        admin = add_person(cloud, "admin", Role.ORGANISATION_ADMIN)
        with channel_of(cloud, admin) as channel:
            ReviewServiceStub(channel).SetReviewerProfile(skills, timeout=20)
        made = holder.begin("OTHER_CHANGE", text="another term")
        holder.upload(made.business_id, pdf())
        assert holder.submit(made.business_id).state == pb.BUSINESS_STATE_IN_REVIEW
        with channel_of(cloud, reviewer) as channel:
            reviews = ReviewServiceStub(channel)
            [task] = reviews.ListTasks(review_service_pb2.ListTasksRequest(mine=True), timeout=20).tasks
            assert task.subject == f"business/{made.business_id}"
            shown = reviews.GetTask(review_service_pb2.GetTaskRequest(task_id=task.task_id), timeout=20)
            material = {one.name: one.value for one in shown.material}
            assert material["service"] == "OTHER_CHANGE"
            ask = review_service_pb2.RequestSupplementRequest(
                task_id=task.task_id,
                reason=review_service_pb2.ReviewReason(code="PAGE_MISSING", text="page two is missing"),
                items=["articles of association"],
            )
            reviews.RequestSupplement(ask, timeout=20)
            waiting = holder.get(made.business_id)
            assert waiting.HasField("supplement_until")
            assert waiting.reasons[0].text == "page two is missing"
            holder.upload(made.business_id, pdf("page two"))
            assert not holder.submit(made.business_id).HasField("supplement_until")
            for check in shown.checks:
                done = review_service_pb2.RecordCheckRequest(
                    task_id=task.task_id, item=check.item, result=review_service_pb2.CHECK_RESULT_PASSED
                )
                reviews.RecordCheck(done, timeout=20)
            reasons = [review_service_pb2.ReviewReason(code="NOT_CLEAR", text="unclear")]
            decide = review_service_pb2.DecideTaskRequest(
                task_id=task.task_id,
                outcome=review_service_pb2.ReviewOutcome.Value(f"REVIEW_OUTCOME_{outcome}"),
                reasons=reasons if outcome == "NOT_PASSED" else [],
            )
            reviews.DecideTask(decide, timeout=20)
        ended = holder.get(made.business_id)
        expected = {"PASSED": pb.BUSINESS_STATE_ACCEPTED, "NOT_PASSED": pb.BUSINESS_STATE_REJECTED}
        assert ended.state == expected[outcome]
        assert [one.code for one in ended.reasons] == (["NOT_CLEAR"] if outcome == "NOT_PASSED" else [])
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "BUSINESS_STATE"):
            holder.submit(made.business_id)


def test_an_upload_that_is_repeated_is_answered_as_then_whatever_came_since(holder: Party) -> None:
    full = holder.begin()
    request_id, content = str(uuid.uuid4()), pdf("the last one")
    for number in range(29):
        holder.upload(full.business_id, pdf(str(number)))
    kept = holder.upload(full.business_id, content, request_id=request_id)
    assert holder.upload(full.business_id, content, request_id=request_id) == kept
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "BUSINESS_TOO_MANY_DOCUMENTS"):
        holder.upload(full.business_id, pdf("one more"), request_id=str(uuid.uuid4()))
    holder.submit(full.business_id)
    assert holder.upload(full.business_id, content, request_id=request_id) == kept
    for more in ({}, {"request_id": str(uuid.uuid4())}):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "BUSINESS_STATE"):
            holder.upload(full.business_id, content, **more)
    assert len(holder.get(full.business_id).documents) == 30


def test_both_sides_download_their_documents_and_nobody_else(cloud: RunningCloud) -> None:
    with party(cloud) as principal, party(cloud, allowed=False) as agent, party(cloud) as stranger:
        given = principal.delegate(agent)
        made = agent.begin(principal=principal.account_id)
        content = pdf("a" * 20) + b"\n% padding " + b"x" * 150_000 + b"\nstartxref\n0\n%%EOF\n"
        kept = agent.upload(made.business_id, content)
        other = stranger.begin()

        def download(side: Party, business_id: str = made.business_id) -> bytes:
            request = pb.DownloadBusinessDocumentRequest(
                business_id=business_id, document_id=kept.document_id
            )
            first, *others = side.business.DownloadBusinessDocument(request)
            assert first.document == kept
            return b"".join(one.content for one in others)

        assert download(principal) == download(agent) == content
        for business_id in (made.business_id, other.business_id):
            with refused(grpc.StatusCode.NOT_FOUND, "BUSINESS_NOT_FOUND"):
                download(stranger, business_id)
        principal.business.RevokeDelegation(pb.RevokeDelegationRequest(delegation_id=given.delegation_id))
        with refused(grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_MISSING"):
            download(agent)
        assert download(principal) == content


def test_an_account_that_ends_takes_its_requests_and_delegations_along(cloud: RunningCloud) -> None:
    with party(cloud) as holder, party(cloud, allowed=False) as agent:
        holder.delegate(agent)
        made = holder.begin()
        holder.submit(made.business_id)
        accounts = cloud.operator.accounts
        request = account_service_pb2.DeregisterRequest(
            account_id=holder.account_id, reason=account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
        )
        cloud.operator.call(accounts.Deregister, request)
        inspect = pb.InspectBusinessRequestRequest(business_id=made.business_id)
        shown = cloud.operator.call(cloud.operator.business.InspectBusinessRequest, inspect).business
        assert shown.state == pb.BUSINESS_STATE_WITHDRAWN
        assert [one.code for one in shown.reasons] == ["ACCOUNT_ENDED"]
        [given] = agent.business.ListDelegations(pb.ListDelegationsRequest(as_agent=True)).delegations
        assert given.state == pb.DELEGATION_STATE_REVOKED


def test_a_withdrawn_request_takes_its_review_along(cloud: RunningCloud, holder: Party) -> None:
    made = holder.begin()
    holder.submit(made.business_id)
    withdraw = pb.WithdrawBusinessRequestRequest(business_id=made.business_id)
    assert holder.business.WithdrawBusinessRequest(withdraw).business.state == pb.BUSINESS_STATE_WITHDRAWN
    admin = add_person(cloud, "admin", Role.ORGANISATION_ADMIN)
    with channel_of(cloud, admin) as channel:
        tasks = ReviewServiceStub(channel).ListTasks(review_service_pb2.ListTasksRequest(), timeout=20).tasks
    closed = review_service_pb2.REVIEW_TASK_STATE_CLOSED
    assert f"business/{made.business_id}" not in {one.subject for one in tasks if one.state != closed}


def test_a_report_tells_how_long_steps_took(cloud: RunningCloud, holder: Party) -> None:
    holder.submit(holder.begin().business_id)
    request = pb.GetProcessReportRequest()
    request.start_time.FromDatetime(cloud.clock.now() - timedelta(days=1))
    request.end_time.FromDatetime(cloud.clock.now() + timedelta(days=1))
    steps = cloud.operator.call(cloud.operator.business.GetProcessReport, request).steps
    draft = next(one for one in steps if one.step == pb.BUSINESS_STATE_DRAFT)
    assert draft.count >= 1
    assert draft.p50_us <= draft.p90_us <= draft.p99_us <= draft.max_us
