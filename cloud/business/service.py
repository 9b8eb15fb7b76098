"""BusinessService: requests for registration business, and who acts for whom."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.business import uploads
from cloud.business.delegations import DelegationDesk
from cloud.business.describe import (
    describe,
    describe_certification_step,
    describe_document,
    describe_step,
    outline,
)
from cloud.business.desk import BusinessDesk, subject_of
from cloud.business.downloads import open_document, pieces
from cloud.business.lists import page_of_all, page_of_delegations, page_of_own
from cloud.errors import Reason, ServiceError
from cloud.serving import Base
from cloud.store import business as rows
from cloud.store import steps
from cloud.store.business import BusinessRow, DelegationRow
from verifield.v1 import business_service_pb2 as pb
from verifield.v1.business_service_pb2_grpc import BusinessServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class BusinessService(BusinessServiceServicer):
    """A refusal for want of a delegation is told in the audit chain, with both accounts."""

    def __init__(self, base: Base, desk: BusinessDesk, delegations: DelegationDesk) -> None:
        self._base = base
        self._desk = desk
        self._delegations = delegations

    async def CreateBusinessRequest(
        self, request: pb.CreateBusinessRequestRequest, context: Context
    ) -> pb.CreateBusinessRequestResponse:
        caller = caller_of_call().name
        principal = request.principal_account_id or caller

        def work(connection: Connection) -> pb.CreateBusinessRequestResponse:
            row = self._desk.create(
                connection,
                caller=caller,
                principal=principal,
                service_code=request.service_code,
                text=request.text,
            )
            return pb.CreateBusinessRequestResponse(business=outline(row))

        return await self._base.mutations.run(
            request,
            action="business.create",
            subject=lambda answer: subject_of(answer.business.business_id),
            work=_told(work),
            facts=_parties(principal, caller) | {"service": request.service_code},
        )

    async def UpdateBusinessRequest(
        self, request: pb.UpdateBusinessRequestRequest, context: Context
    ) -> pb.UpdateBusinessRequestResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.UpdateBusinessRequestResponse:
            row = self._desk.edit(
                connection, request.business_id, caller=caller, text=request.text, etag=request.etag
            )
            return pb.UpdateBusinessRequestResponse(business=outline(row))

        return await self._base.mutations.run(
            request,
            action="business.update",
            subject=subject_of(request.business_id),
            work=_told(work),
            facts=await self._facts(request.business_id, caller),
        )

    async def UploadBusinessDocument(
        self, request_iterator: AsyncIterator[pb.UploadBusinessDocumentRequest], context: Context
    ) -> pb.UploadBusinessDocumentResponse:
        caller = caller_of_call().name
        header = await uploads.read_header(request_iterator)
        check = partial(
            self._desk.check_may_add,
            business_id=header.business_id,
            caller=caller,
            again=bool(header.request_id),
        )
        owner = (await self._base.store.look(check)).account_id
        staged = await uploads.receive(self._desk.objects, request_iterator, header, person_id=owner)

        def work(connection: Connection) -> pb.UploadBusinessDocumentResponse:
            kept = self._desk.add_document(
                connection, header.business_id, staged, caller=caller, kind=header.kind
            )
            return pb.UploadBusinessDocumentResponse(document=describe_document(kept, staged.ref))

        return await self._base.mutations.run(
            header,
            action="business.add_document",
            subject=subject_of(header.business_id),
            work=_told(work),
            facts=_parties(owner, caller),
        )

    async def RemoveBusinessDocument(
        self, request: pb.RemoveBusinessDocumentRequest, context: Context
    ) -> pb.RemoveBusinessDocumentResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.RemoveBusinessDocumentResponse:
            self._desk.remove_document(connection, request.business_id, request.document_id, caller=caller)
            return pb.RemoveBusinessDocumentResponse()

        return await self._base.mutations.run(
            request,
            action="business.remove_document",
            subject=subject_of(request.business_id),
            work=_told(work),
            facts=await self._facts(request.business_id, caller),
        )

    async def SubmitBusinessRequest(
        self, request: pb.SubmitBusinessRequestRequest, context: Context
    ) -> pb.SubmitBusinessRequestResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.SubmitBusinessRequestResponse:
            row = self._desk.submit(connection, request.business_id, caller=caller, etag=request.etag)
            return pb.SubmitBusinessRequestResponse(business=outline(row))

        return await self._base.mutations.run(
            request,
            action="business.submit",
            subject=subject_of(request.business_id),
            work=_told(work),
            facts=await self._facts(request.business_id, caller),
        )

    async def WithdrawBusinessRequest(
        self, request: pb.WithdrawBusinessRequestRequest, context: Context
    ) -> pb.WithdrawBusinessRequestResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.WithdrawBusinessRequestResponse:
            row = self._desk.withdraw(connection, request.business_id, caller=caller)
            return pb.WithdrawBusinessRequestResponse(business=outline(row))

        return await self._base.mutations.run(
            request,
            action="business.withdraw",
            subject=subject_of(request.business_id),
            work=_told(work),
            facts=await self._facts(request.business_id, caller),
        )

    async def GetBusinessRequest(
        self, request: pb.GetBusinessRequestRequest, context: Context
    ) -> pb.GetBusinessRequestResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> pb.BusinessRequest:
            row = rows.get_request(connection, request.business_id)
            return describe(connection, self._desk, self._desk.guard.check_side(connection, row, caller))

        return pb.GetBusinessRequestResponse(business=await self._base.store.look(read))

    async def ListBusinessRequests(
        self, request: pb.ListBusinessRequestsRequest, context: Context
    ) -> pb.ListBusinessRequestsResponse:
        caller = caller_of_call().name
        found, token = await self._base.store.look(partial(page_of_own, request=request, account_id=caller))
        return pb.ListBusinessRequestsResponse(business=map(outline, found), next_page_token=token)

    async def DownloadBusinessDocument(
        self, request: pb.DownloadBusinessDocumentRequest, context: Context
    ) -> AsyncIterator[pb.DownloadBusinessDocumentResponse]:
        caller = caller_of_call().name

        def read(connection: Connection) -> tuple[pb.BusinessDocument, bytes]:
            row = rows.get_request(connection, request.business_id)
            self._desk.guard.check_side(connection, row, caller)
            return open_document(connection, self._desk, request.business_id, request.document_id)

        document, content = await self._base.store.look(read)
        yield pb.DownloadBusinessDocumentResponse(document=document)
        for piece in pieces(content):
            yield pb.DownloadBusinessDocumentResponse(content=piece)

    async def OfferDelegation(
        self, request: pb.OfferDelegationRequest, context: Context
    ) -> pb.OfferDelegationResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.OfferDelegationResponse:
            row = self._delegations.offer(
                connection,
                principal=caller,
                agent=request.agent_account_id,
                service_codes=list(request.service_codes),
                valid_from=request.valid_from,
                valid_until=request.valid_until,
            )
            return pb.OfferDelegationResponse(delegation=self._delegations.describe(row))

        return await self._base.mutations.run(
            request,
            action="delegations.offer",
            subject=lambda answer: f"delegations/{answer.delegation.delegation_id}",
            work=work,
            facts={"principal": caller, "agent": request.agent_account_id},
        )

    async def AnswerDelegation(
        self, request: pb.AnswerDelegationRequest, context: Context
    ) -> pb.AnswerDelegationResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.AnswerDelegationResponse:
            row = self._delegations.answer(
                connection, request.delegation_id, caller=caller, accept=request.accept
            )
            return pb.AnswerDelegationResponse(delegation=self._delegations.describe(row))

        return await self._base.mutations.run(
            request,
            action="delegations.accept" if request.accept else "delegations.decline",
            subject=f"delegations/{request.delegation_id}",
            work=work,
            facts=await self._delegation_facts(request.delegation_id, caller),
        )

    async def RevokeDelegation(
        self, request: pb.RevokeDelegationRequest, context: Context
    ) -> pb.RevokeDelegationResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.RevokeDelegationResponse:
            row = self._delegations.revoke(connection, request.delegation_id, caller=caller)
            return pb.RevokeDelegationResponse(delegation=self._delegations.describe(row))

        return await self._base.mutations.run(
            request,
            action="delegations.revoke",
            subject=f"delegations/{request.delegation_id}",
            work=work,
            facts=await self._delegation_facts(request.delegation_id, caller),
        )

    async def ListDelegations(
        self, request: pb.ListDelegationsRequest, context: Context
    ) -> pb.ListDelegationsResponse:
        caller = caller_of_call().name
        found, token = await self._base.store.look(
            partial(page_of_delegations, request=request, account_id=caller)
        )
        return pb.ListDelegationsResponse(
            delegations=map(self._delegations.describe, found), next_page_token=token
        )

    async def InspectBusinessRequest(
        self, request: pb.InspectBusinessRequestRequest, context: Context
    ) -> pb.InspectBusinessRequestResponse:
        def read(connection: Connection) -> pb.BusinessRequest:
            return describe(connection, self._desk, self._desk.read(connection, request.business_id))

        return pb.InspectBusinessRequestResponse(business=await self._base.store.look(read))

    async def SearchBusinessRequests(
        self, request: pb.SearchBusinessRequestsRequest, context: Context
    ) -> pb.SearchBusinessRequestsResponse:
        found, token = await self._base.store.look(partial(page_of_all, request=request))
        return pb.SearchBusinessRequestsResponse(business=map(outline, found), next_page_token=token)

    async def ReadBusinessDocument(
        self, request: pb.ReadBusinessDocumentRequest, context: Context
    ) -> AsyncIterator[pb.ReadBusinessDocumentResponse]:
        def read(connection: Connection) -> tuple[pb.BusinessDocument, bytes]:
            return open_document(connection, self._desk, request.business_id, request.document_id)

        document, content = await self._base.store.look(read)
        yield pb.ReadBusinessDocumentResponse(document=document)
        for piece in pieces(content):
            yield pb.ReadBusinessDocumentResponse(content=piece)

    async def CloseBusinessRequest(
        self, request: pb.CloseBusinessRequestRequest, context: Context
    ) -> pb.CloseBusinessRequestResponse:
        caller = caller_of_call().path

        def work(connection: Connection) -> pb.CloseBusinessRequestResponse:
            row = self._desk.close(connection, request.business_id, caller=caller, why=request.why)
            return pb.CloseBusinessRequestResponse(business=outline(row))

        return await self._base.mutations.run(
            request, action="business.close", subject=subject_of(request.business_id), work=work
        )

    async def GetProcessReport(
        self, request: pb.GetProcessReportRequest, context: Context
    ) -> pb.GetProcessReportResponse:
        period = {
            "start_us": request.start_time.ToMicroseconds(),
            "end_us": request.end_time.ToMicroseconds(),
        }

        def read(connection: Connection) -> pb.GetProcessReportResponse:
            return pb.GetProcessReportResponse(
                steps=map(describe_step, steps.report_business(connection, **period)),
                certification_steps=map(
                    describe_certification_step, steps.report_certifications(connection, **period)
                ),
            )

        return await self._base.store.look(read)

    async def _facts(self, business_id: str, caller: str) -> Mapping[str, str]:
        """Who is acted for, and who acts, as the audit chain tells it; they never change."""
        row: BusinessRow | None = await self._base.store.look(
            partial(rows.get_request, business_id=business_id)
        )
        return _parties(row.account_id, caller) if row else {}

    async def _delegation_facts(self, delegation_id: str, caller: str) -> Mapping[str, str]:
        row: DelegationRow | None = await self._base.store.look(
            partial(rows.get_delegation, delegation_id=delegation_id)
        )
        sides = (row.account_id, row.agent_account_id) if row else ()
        return dict(zip(("principal", "agent"), sides, strict=True)) if caller in sides else {}


def _parties(principal: str, caller: str) -> dict[str, str]:
    """Both sides where there are two."""
    return {"principal": principal} | ({"agent": caller} if caller != principal else {})


def _told(work: Callable[[Connection], T]) -> Callable[[Connection], T | ServiceError]:
    """``work``, whose refusal for want of a delegation leaves a trace; it has written nothing by then."""

    def run(connection: Connection) -> T | ServiceError:
        try:
            return work(connection)
        except ServiceError as error:
            if error.reason is Reason.DELEGATION_MISSING:
                return error
            raise

    return run
