"""FeedbackService: what users think of the process."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar, cast

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.feedback.desk import FeedbackDesk, Sender
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.serving import Base
from cloud.store import feedback as rows
from cloud.store import lists, scans
from verifield.v1 import feedback_service_pb2 as pb
from verifield.v1.feedback_service_pb2_grpc import FeedbackServiceServicer

MAX_FEEDBACK_PAGE = 100
"""Texts of up to 16 KB each: a page stays below gRPC's default of 4 MiB."""

ACTION = "feedback.submit"

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class FeedbackService(FeedbackServiceServicer):
    """Answers to who writes hold a number and nothing else."""

    def __init__(self, base: Base, desk: FeedbackDesk) -> None:
        self._base = base
        self._desk = desk

    async def SubmitFeedback(
        self, request: pb.SubmitFeedbackRequest, context: Context
    ) -> pb.SubmitFeedbackResponse:
        call = CALL.get()
        sender = Sender(call.source, caller_of_call().name, call.device_id)

        def work(connection: Connection) -> pb.SubmitFeedbackResponse:
            return pb.SubmitFeedbackResponse(ack_number=self._take(connection, request, sender))

        return await self._base.mutations.run(
            request, action=ACTION, subject=_subject, work=work, facts=_facts(request)
        )

    async def SubmitAnonymousFeedback(
        self, request: pb.SubmitAnonymousFeedbackRequest, context: Context
    ) -> pb.SubmitAnonymousFeedbackResponse:
        call = CALL.get()
        sender = Sender(call.source, device_id=call.device_id)

        def work(connection: Connection) -> pb.SubmitAnonymousFeedbackResponse:
            return pb.SubmitAnonymousFeedbackResponse(ack_number=self._take(connection, request, sender))

        return await self._base.mutations.run(
            request, action=ACTION, subject=_subject, work=work, facts=_facts(request)
        )

    async def ListFeedback(
        self, request: pb.ListFeedbackRequest, context: Context
    ) -> pb.ListFeedbackResponse:
        start_us = request.start_time.ToMicroseconds()  # of one that is absent: 0
        end_us = request.end_time.ToMicroseconds()
        asked = f"feedback {request.category} {start_us} {end_us} {request.ack_number}"
        after = parse_page_token(request.page_token, filters=asked)
        read = partial(
            rows.select_feedback,
            lists.Begin(after or None, descending=True),
            category=request.category,
            start_us=start_us,
            end_us=end_us,
            ack_number=request.ack_number,
        )

        def look(connection: Connection) -> pb.ListFeedbackResponse:
            page = scans.read_page(
                connection,
                read,
                size=min(page_size(request.page_size), MAX_FEEDBACK_PAGE),
                position="feedback_id",
                descending=True,
            )
            found = [rows.FeedbackRow(**row._mapping) for row in page.rows]
            texts = self._desk.vault.open_all(connection, found)
            token = "" if page.end is None else encode_page_token(page.end, filters=asked)
            return pb.ListFeedbackResponse(
                feedback=[_feedback(row, texts[row.feedback_id]) for row in found], next_page_token=token
            )

        return await self._base.store.look(look)

    async def SummarizeFeedback(
        self, request: pb.SummarizeFeedbackRequest, context: Context
    ) -> pb.SummarizeFeedbackResponse:
        counts = await self._base.store.look(
            partial(
                rows.count_by_category,
                start_us=request.start_time.ToMicroseconds(),
                end_us=request.end_time.ToMicroseconds(),
            )
        )
        return pb.SummarizeFeedbackResponse(
            counts=[
                pb.FeedbackCount(
                    category=cast("pb.FeedbackCategory.ValueType", row.category),
                    count=row.count,
                    from_accounts=row.from_accounts,
                )
                for row in counts
            ],
            total=sum(row.count for row in counts),
        )

    def _take(
        self,
        connection: Connection,
        request: pb.SubmitFeedbackRequest | pb.SubmitAnonymousFeedbackRequest,
        sender: Sender,
    ) -> str:
        row = self._desk.take(
            connection, sender, category=request.category, text=request.text, context=request.context
        )
        return row.ack_number


def _subject(answer: pb.SubmitFeedbackResponse | pb.SubmitAnonymousFeedbackResponse) -> str:
    return f"feedback/{answer.ack_number}"


def _facts(request: pb.SubmitFeedbackRequest | pb.SubmitAnonymousFeedbackRequest) -> dict[str, str]:
    return {"category": pb.FeedbackCategory.Name(request.category).removeprefix("FEEDBACK_CATEGORY_")}


def _feedback(row: rows.FeedbackRow, text: str) -> pb.Feedback:
    shown = pb.Feedback(
        feedback_id=row.feedback_id,
        ack_number=row.ack_number,
        category=cast("pb.FeedbackCategory.ValueType", row.category),
        text=text,
        context=pb.FeedbackContext(
            screen=row.screen, app_version=row.app_version, app=row.app, language=row.language
        ),
        account_id=row.account_id or "",
        device_id=row.device_id,
    )
    shown.receive_time.FromMicroseconds(row.received_us)
    return shown
