"""OrganisationService: organisations, and who they are."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.messages.outbox import Messages
from cloud.organisations import uploads, views
from cloud.organisations.desk import not_found
from cloud.organisations.handover import Handover
from cloud.organisations.lists import page_of_organisations
from cloud.organisations.registry import Registry, subject_of
from cloud.serving import Base
from cloud.store import organisations as rows
from verifield.v1 import organisation_service_pb2 as pb
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
MayAct = Callable[[Connection, str, str], bool]


class OrganisationService(OrganisationServiceServicer):
    """``may_act``: whether an account acts for an organisation, with a seal (cloud.seals.desk)."""

    def __init__(self, base: Base, registry: Registry, *, may_act: MayAct) -> None:
        self._base = base
        self._registry = registry
        self._handover = Handover(registry, Messages.of(base))
        self._may_act = may_act

    async def RegisterOrganisation(
        self, request: pb.RegisterOrganisationRequest, context: Context
    ) -> pb.RegisterOrganisationResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.RegisterOrganisationResponse:
            row = self._registry.register(connection, caller=caller, name=request.name)
            return pb.RegisterOrganisationResponse(organisation=views.outline(row))

        return await self._base.mutations.run(
            request,
            action="organisations.register",
            subject=lambda answer: subject_of(answer.organisation.organisation_id),
            work=work,
        )

    async def GetOrganisation(
        self, request: pb.GetOrganisationRequest, context: Context
    ) -> pb.GetOrganisationResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> pb.Organisation:
            row = rows.get_organisation(connection, request.organisation_id)
            if row is not None and row.account_id == caller:
                return views.describe(connection, self._registry, row)
            if row is None or not (
                row.offered_to == caller or self._may_act(connection, row.organisation_id, caller)
            ):
                raise not_found()
            return views.with_name(connection, self._registry, row)

        return pb.GetOrganisationResponse(organisation=await self._base.store.look(read))

    async def ListOrganisations(
        self, request: pb.ListOrganisationsRequest, context: Context
    ) -> pb.ListOrganisationsResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> pb.ListOrganisationsResponse:
            wanted = {"offered_to" if request.offered else "account_id": caller}
            found, token = page_of_organisations(connection, request, **wanted)
            shown = [views.with_name(connection, self._registry, row) for row in found]
            return pb.ListOrganisationsResponse(organisations=shown, next_page_token=token)

        return await self._base.store.look(read)

    async def UploadOrganisationDocument(
        self, request_iterator: AsyncIterator[pb.UploadOrganisationDocumentRequest], context: Context
    ) -> pb.UploadOrganisationDocumentResponse:
        caller = caller_of_call().name
        header: pb.OrganisationDocumentHeader = await uploads.read_header(request_iterator)
        await self._base.store.look(
            partial(
                self._registry.check_may_add,
                organisation_id=header.organisation_id,
                caller=caller,
                again=bool(header.request_id),
            )
        )
        staged = await uploads.receive(
            self._registry.objects, request_iterator, header, person_id=header.organisation_id
        )

        def work(connection: Connection) -> pb.UploadOrganisationDocumentResponse:
            kept = self._registry.add_document(
                connection, header.organisation_id, staged, caller=caller, kind=header.kind
            )
            return pb.UploadOrganisationDocumentResponse(document=views.describe_document(kept, staged.ref))

        return await self._base.mutations.run(
            header,
            action="organisations.add_document",
            subject=subject_of(header.organisation_id),
            work=work,
            facts={"kind": pb.OrganisationDocumentKind.Name(header.kind)},
        )

    async def RemoveOrganisationDocument(
        self, request: pb.RemoveOrganisationDocumentRequest, context: Context
    ) -> pb.RemoveOrganisationDocumentResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.RemoveOrganisationDocumentResponse:
            self._registry.remove_document(
                connection, request.organisation_id, request.document_id, caller=caller
            )
            return pb.RemoveOrganisationDocumentResponse()

        return await self._base.mutations.run(
            request,
            action="organisations.remove_document",
            subject=subject_of(request.organisation_id),
            work=work,
        )

    async def SubmitOrganisationRealName(
        self, request: pb.SubmitOrganisationRealNameRequest, context: Context
    ) -> pb.SubmitOrganisationRealNameResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.SubmitOrganisationRealNameResponse:
            row = self._registry.submit(connection, request.organisation_id, request.real_name, caller=caller)
            return pb.SubmitOrganisationRealNameResponse(organisation=views.outline(row))

        return await self._base.mutations.run(
            request, action="organisations.submit", subject=subject_of(request.organisation_id), work=work
        )

    async def WithdrawOrganisationRealName(
        self, request: pb.WithdrawOrganisationRealNameRequest, context: Context
    ) -> pb.WithdrawOrganisationRealNameResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.WithdrawOrganisationRealNameResponse:
            row = self._registry.withdraw(connection, request.organisation_id, caller=caller)
            return pb.WithdrawOrganisationRealNameResponse(organisation=views.outline(row))

        return await self._base.mutations.run(
            request, action="organisations.withdraw", subject=subject_of(request.organisation_id), work=work
        )

    async def DeclareOrganisationChange(
        self, request: pb.DeclareOrganisationChangeRequest, context: Context
    ) -> pb.DeclareOrganisationChangeResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.DeclareOrganisationChangeResponse:
            row = self._registry.declare_change(connection, request.organisation_id, caller=caller)
            return pb.DeclareOrganisationChangeResponse(organisation=views.outline(row))

        return await self._base.mutations.run(
            request,
            action="organisations.declare_change",
            subject=subject_of(request.organisation_id),
            work=work,
            facts={"change": pb.OrganisationChange.Name(request.change)},
        )

    async def OfferOrganisation(
        self, request: pb.OfferOrganisationRequest, context: Context
    ) -> pb.OfferOrganisationResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.OfferOrganisationResponse:
            row = self._handover.offer(
                connection, request.organisation_id, caller=caller, account_id=request.account_id
            )
            return pb.OfferOrganisationResponse(organisation=views.outline(row))

        return await self._base.mutations.run(
            request,
            action="organisations.offer",
            subject=subject_of(request.organisation_id),
            work=work,
            facts={"account": request.account_id},
        )

    async def TakeOverOrganisation(
        self, request: pb.TakeOverOrganisationRequest, context: Context
    ) -> pb.TakeOverOrganisationResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.TakeOverOrganisationResponse:
            row = self._handover.take_over(connection, request.organisation_id, caller=caller)
            return pb.TakeOverOrganisationResponse(organisation=views.outline(row))

        return await self._base.mutations.run(
            request, action="organisations.take_over", subject=subject_of(request.organisation_id), work=work
        )

    async def InspectOrganisation(
        self, request: pb.InspectOrganisationRequest, context: Context
    ) -> pb.InspectOrganisationResponse:
        def read(connection: Connection) -> pb.Organisation:
            row = self._registry.organisations.find(connection, request.organisation_id)
            return views.inspect(connection, self._registry, row)

        return pb.InspectOrganisationResponse(organisation=await self._base.store.look(read))

    async def SearchOrganisations(
        self, request: pb.SearchOrganisationsRequest, context: Context
    ) -> pb.SearchOrganisationsResponse:
        read = partial(
            page_of_organisations, request=request, account_id=request.account_id, state=int(request.state)
        )
        found, token = await self._base.store.look(read)
        return pb.SearchOrganisationsResponse(organisations=map(views.outline, found), next_page_token=token)

    async def ReadOrganisationDocument(
        self, request: pb.ReadOrganisationDocumentRequest, context: Context
    ) -> AsyncIterator[pb.ReadOrganisationDocumentResponse]:
        read = partial(
            views.open_document,
            registry=self._registry,
            organisation_id=request.organisation_id,
            document_id=request.document_id,
        )
        document, content = await self._base.store.look(read)
        yield pb.ReadOrganisationDocumentResponse(document=document)
        for piece in uploads.pieces(content):
            yield pb.ReadOrganisationDocumentResponse(content=piece)
