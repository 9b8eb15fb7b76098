"""Feedback through the service: taken from people at devices and elsewhere, and counted."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from cloud.access.roles import Role
from cloud.store import schema
from tests.support.accounts import as_account, registered
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import add_person, channel_of
from verifield.v1 import feedback_service_pb2 as pb
from verifield.v1.feedback_service_pb2_grpc import FeedbackServiceStub

CONTEXT = pb.FeedbackContext(screen="card-read", app="kiosk", app_version="0.1.0", language="zh")
PROCESS, FACE, STAFF = (
    pb.FEEDBACK_CATEGORY_PROCESS,
    pb.FEEDBACK_CATEGORY_FACE,
    pb.FEEDBACK_CATEGORY_STAFF,
)


@pytest.fixture
def cloud(tmp_path: Any) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path / "data") as running:
        yield running


def at(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def send(stub: Any, category: int = PROCESS, text: str = "步骤太多", **more: Any) -> str:
    given: dict[str, Any] = {"category": category, "text": text, "context": CONTEXT}
    return stub.SubmitFeedback(pb.SubmitFeedbackRequest(**(given | more))).ack_number  # type: ignore[no-any-return]


def send_unknown(cloud: RunningCloud, category: int, text: str = "somebody") -> str:
    request = pb.SubmitAnonymousFeedbackRequest(category=category, text=text)  # type: ignore[arg-type]
    with cloud.public_channel() as channel:
        return FeedbackServiceStub(channel).SubmitAnonymousFeedback(request, timeout=20).ack_number


def listed(cloud: RunningCloud, **wanted: Any) -> list[pb.Feedback]:
    stub = cloud.operator.feedback
    pages = cloud.operator.pages(stub.ListFeedback, pb.ListFeedbackRequest(page_size=2, **wanted))
    return [one for page in pages for one in page.feedback]


def summary(cloud: RunningCloud, start: datetime, end: datetime) -> pb.SummarizeFeedbackResponse:
    request = pb.SummarizeFeedbackRequest(start_time=at(start), end_time=at(end))
    return cloud.operator.call(cloud.operator.feedback.SummarizeFeedback, request)


@pytest.mark.req("R113")
def test_feedback_is_kept_with_its_context_and_a_number_comes_back(cloud: RunningCloud) -> None:
    signed_in = registered(cloud)
    with as_account(cloud, signed_in) as stubs:
        number = send(stubs(FeedbackServiceStub))
    [kept] = listed(cloud, ack_number=number)
    assert (kept.ack_number, kept.text, kept.category) == (number, "步骤太多", PROCESS)
    assert (kept.account_id, kept.context) == (signed_in.account_id, CONTEXT)
    assert kept.HasField("receive_time")


def test_who_stands_at_a_device_needs_no_account(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    request = pb.SubmitAnonymousFeedbackRequest(category=FACE, text="太暗", context=CONTEXT)
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        number = FeedbackServiceStub(channel).SubmitAnonymousFeedback(request, timeout=20).ack_number
    [kept] = listed(cloud)
    assert (kept.ack_number, kept.device_id, kept.account_id) == (number, device.device_id, "")


@pytest.mark.req("R114")
def test_a_summary_counts_what_the_rows_say(cloud: RunningCloud) -> None:
    start = cloud.clock.now()
    with as_account(cloud, registered(cloud)) as stubs:
        for category in (PROCESS, PROCESS, FACE):
            send(stubs(FeedbackServiceStub), category)
    for category in (FACE, FACE, STAFF):
        send_unknown(cloud, category)
    middle = cloud.clock.now()
    cloud.clock.offset = timedelta(hours=2)
    send_unknown(cloud, STAFF)
    end = cloud.clock.now() + timedelta(seconds=1)

    for first, last in ((start, middle), (middle, end), (start, end), (end, end + timedelta(days=1))):
        counted = summary(cloud, first, last)
        with cloud.database() as connection:
            rows = connection.execute(
                select(schema.feedback.c.category, schema.feedback.c.account_id).where(
                    schema.feedback.c.received_us >= at(first).ToMicroseconds(),
                    schema.feedback.c.received_us < at(last).ToMicroseconds(),
                )
            ).all()
        assert {one.category: one.count for one in counted.counts} == Counter(row.category for row in rows)
        assert {one.category: one.from_accounts for one in counted.counts if one.from_accounts} == Counter(
            row.category for row in rows if row.account_id
        )
        assert counted.total == len(rows)
        assert len(listed(cloud, start_time=at(first), end_time=at(last))) == len(rows)
    assert [one.count for one in summary(cloud, start, end).counts] == [3, 2, 2]


def test_a_repeated_request_is_kept_once(cloud: RunningCloud) -> None:
    request_id = str(uuid.uuid4())
    with as_account(cloud, registered(cloud)) as stubs:
        stub = stubs(FeedbackServiceStub)
        assert send(stub, request_id=request_id) == send(stub, request_id=request_id)
    assert len(listed(cloud)) == 1


def test_an_account_that_sends_too_much_waits(cloud: RunningCloud) -> None:
    with as_account(cloud, registered(cloud)) as stubs:
        stub = stubs(FeedbackServiceStub)
        for _ in range(10):
            send(stub)
        with pytest.raises(grpc.RpcError) as caught:
            send(stub)
    status, info, _ = refusal(caught.value)
    assert (status, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "FEEDBACK_TOO_OFTEN")
    assert len(listed(cloud)) == 10


def test_words_stand_in_no_log_and_only_who_may_reads_them(cloud: RunningCloud) -> None:
    send_unknown(cloud, STAFF, "what-nobody-shall-read")
    assert "what-nobody-shall-read" not in repr(cloud.log.calls)
    clerk = add_person(cloud, "clerk", Role.CLERK)
    with channel_of(cloud, clerk) as channel, pytest.raises(grpc.RpcError) as caught:
        FeedbackServiceStub(channel).ListFeedback(pb.ListFeedbackRequest(), timeout=20)
    assert refusal(caught.value)[1].reason == "PERMISSION_MISSING"


@pytest.mark.parametrize(
    "changes",
    [
        {"text": ""},
        {"text": " \n\t "},
        {"text": "x" * 4001},
        {"text": "a\0b"},
        {"category": 0},
        {"category": 99},
        {"context": pb.FeedbackContext(screen="a b")},
        {"context": pb.FeedbackContext(language="de")},
    ],
    ids=str,
)
def test_what_breaks_the_contract_is_refused(cloud: RunningCloud, changes: dict[str, Any]) -> None:
    with as_account(cloud, registered(cloud)) as stubs, pytest.raises(grpc.RpcError) as caught:
        send(stubs(FeedbackServiceStub), **changes)
    assert refusal(caught.value)[1].reason == "REQUEST_INVALID"
