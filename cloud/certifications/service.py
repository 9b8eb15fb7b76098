"""CertificationService: what holders and the staff ask for."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.certifications import views
from cloud.certifications.desk import Desk
from cloud.certifications.periodic import PeriodicReview
from cloud.certifications.standing import Standings
from cloud.certifications.uploads import Uploads, pieces
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow
from cloud.store.database import Store
from verifield.v1 import archive_service_pb2 as archive_pb
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1.certification_service_pb2_grpc import CertificationServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)


class _OfApplication(Protocol):
    request_id: str
    application_id: str


class CertificationService(CertificationServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(
        self, store: Store, desk: Desk, standings: Standings, periodic: PeriodicReview, mutations: Mutations
    ) -> None:
        self._store = store
        self._desk = desk
        self._core = desk.core
        self._standings = standings
        self._periodic = periodic
        self._mutations = mutations
        self._uploads = Uploads(store, desk, mutations)

    async def ListCertificationTypes(
        self, request: pb.ListCertificationTypesRequest, context: Context
    ) -> pb.ListCertificationTypesResponse:
        return pb.ListCertificationTypesResponse(types=await self._store.look(self._core.catalogue.types))

    async def GetDeclaration(
        self, request: pb.GetDeclarationRequest, context: Context
    ) -> pb.GetDeclarationResponse:
        return pb.GetDeclarationResponse(declaration=await self._store.look(self._core.catalogue.declaration))

    async def CreateApplication(
        self, request: pb.CreateApplicationRequest, context: Context
    ) -> pb.CreateApplicationResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.CreateApplicationResponse | ServiceError:
            made = self._desk.create(connection, account_id, request.type_code, request.form)
            if isinstance(made, ServiceError):
                return made
            return pb.CreateApplicationResponse(application=views.application(made))

        return await self._mutations.run(
            request,
            action="certifications.create",
            subject=lambda answer: _name(answer.application.application_id),
            work=work,
            facts={"type": request.type_code},
        )

    async def UpdateApplication(
        self, request: pb.UpdateApplicationRequest, context: Context
    ) -> pb.UpdateApplicationResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.UpdateApplicationResponse:
            row = self._desk.update(
                connection, account_id, request.application_id, request.form, etag=request.etag
            )
            return pb.UpdateApplicationResponse(application=views.application(row))

        return await self._change(request, "update", work)

    async def AcceptDeclaration(
        self, request: pb.AcceptDeclarationRequest, context: Context
    ) -> pb.AcceptDeclarationResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.AcceptDeclarationResponse:
            row = self._desk.accept(
                connection,
                account_id,
                request.application_id,
                version=request.version,
                sha256=request.sha256,
            )
            return pb.AcceptDeclarationResponse(application=views.application(row))

        facts = {"version": str(request.version), "sha256": request.sha256.hex()}
        return await self._change(request, "declare", work, facts)

    async def UploadMaterial(
        self, request_iterator: AsyncIterator[pb.UploadMaterialRequest], context: Context
    ) -> pb.UploadMaterialResponse:
        return await self._uploads.receive(request_iterator, caller_of_call().name)

    async def RemoveMaterial(
        self, request: pb.RemoveMaterialRequest, context: Context
    ) -> pb.RemoveMaterialResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.RemoveMaterialResponse:
            self._desk.remove_material(connection, account_id, request.application_id, request.material_id)
            return pb.RemoveMaterialResponse()

        return await self._change(request, "remove_material", work, {"material": request.material_id})

    async def SubmitApplication(
        self, request: pb.SubmitApplicationRequest, context: Context
    ) -> pb.SubmitApplicationResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.SubmitApplicationResponse:
            row = self._desk.submit(connection, account_id, request.application_id, etag=request.etag)
            return pb.SubmitApplicationResponse(application=views.application(row))

        return await self._change(request, "submit", work)

    async def WithdrawApplication(
        self, request: pb.WithdrawApplicationRequest, context: Context
    ) -> pb.WithdrawApplicationResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.WithdrawApplicationResponse:
            row = self._desk.withdraw(connection, account_id, request.application_id)
            return pb.WithdrawApplicationResponse(application=views.application(row))

        return await self._change(request, "withdraw", work)

    async def Reapply(self, request: pb.ReapplyRequest, context: Context) -> pb.ReapplyResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.ReapplyResponse | ServiceError:
            made = self._desk.reapply(connection, account_id, request.application_id)
            if isinstance(made, ServiceError):
                return made
            return pb.ReapplyResponse(application=views.application(made))

        answer = await self._mutations.run(
            request,
            action="certifications.reapply",
            subject=lambda answer: _name(answer.application.application_id),
            work=work,
            facts={"previous": request.application_id},
        )
        # Not part of what is kept to be answered again: it goes with the person.
        case = await self._own(
            answer.application.application_id,
            lambda connection, row: views.case(self._core, connection, row),
        )
        return pb.ReapplyResponse(application=answer.application, form=case.form)

    async def GetApplication(
        self, request: pb.GetApplicationRequest, context: Context
    ) -> pb.GetApplicationResponse:
        return await self._own(
            request.application_id, lambda connection, row: views.case(self._core, connection, row)
        )

    async def GetApplicationStatus(
        self, request: pb.GetApplicationStatusRequest, context: Context
    ) -> pb.GetApplicationStatusResponse:
        return await self._own(
            request.application_id, lambda connection, row: views.status(self._desk, connection, row)
        )

    async def ListHistory(self, request: pb.ListHistoryRequest, context: Context) -> pb.ListHistoryResponse:
        account_id, size = caller_of_call().name, page_size(request.page_size)
        asked = f"certifications of {account_id}"
        before = parse_page_token(request.page_token, filters=asked)

        def read(connection: Connection) -> pb.ListHistoryResponse:
            found = rows.page_of_applications(connection, account_id, before=before, limit=size + 1)
            page = found[:size]
            token = encode_page_token(page[-1].application_id, filters=asked) if len(found) > size else ""
            return pb.ListHistoryResponse(
                entries=views.history(self._core, connection, page), next_page_token=token
            )

        return await self._store.look(read)

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Context
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        ref, content = await self._own(
            request.application_id,
            lambda connection, row: self._uploads.open(connection, row, request.material_id),
        )
        for number, chunk in enumerate(pieces(content)):
            answer = pb.DownloadFileResponse(chunk=chunk)
            if number == 0:
                answer.media_type, answer.sha256 = ref.media_type, ref.sha256
            yield answer

    async def GetBadge(self, request: pb.GetBadgeRequest, context: Context) -> pb.GetBadgeResponse:
        return await self._own(
            request.application_id,
            lambda connection, row: pb.GetBadgeResponse(
                badge=self._core.badges.file_of(connection, row.application_id)
            ),
        )

    async def CheckBadge(self, request: pb.CheckBadgeRequest, context: Context) -> pb.CheckBadgeResponse:
        badges = self._core.badges
        badge = badges.read(request.file) if request.WhichOneof("badge") == "file" else None
        badge_id = badge.badge_id if badge else request.badge_id
        status, envelope, chain = await self._store.look(
            lambda connection: badges.check(connection, badge_id)
        )
        return pb.CheckBadgeResponse(state=status.state, badge=badge, status=envelope, certificates=chain)

    async def MarkFalseInformation(
        self, request: pb.MarkFalseInformationRequest, context: Context
    ) -> pb.MarkFalseInformationResponse:
        caller = caller_of_call().path

        def work(connection: Connection) -> pb.MarkFalseInformationResponse:
            row = self._standings.mark_false(
                connection, request.application_id, reason=request.reason, caller=caller
            )
            return pb.MarkFalseInformationResponse(application=views.application(row))

        return await self._change(request, "mark_false", work)

    async def LiftApplicationLimit(
        self, request: pb.LiftApplicationLimitRequest, context: Context
    ) -> pb.LiftApplicationLimitResponse:
        caller = caller_of_call().path

        def work(connection: Connection) -> pb.LiftApplicationLimitResponse:
            self._core.accounts.find(connection, request.account_id)
            self._desk.limiter.lift(connection, request.account_id)
            kind = archive_pb.CERTIFICATION_MEASURE_KIND_LIMIT_LIFTED
            self._standings.note(connection, request.account_id, kind, request.reason, caller=caller)
            return pb.LiftApplicationLimitResponse()

        return await self._mutations.run(
            request, action="certifications.lift_limit", subject=f"accounts/{request.account_id}", work=work
        )

    async def RunPeriodicReview(
        self, request: pb.RunPeriodicReviewRequest, context: Context
    ) -> pb.RunPeriodicReviewResponse:
        found = await asyncio.to_thread(self._periodic.run)
        answer = pb.RunPeriodicReviewResponse(
            day=found.day, checked=found.checked, flagged=found.flagged, done=found.ended_us is not None
        )
        return await self._mutations.run(
            request,
            action="certifications.periodic_review",
            subject=f"certifications/{found.day}",
            work=lambda _: answer,
        )

    async def PublishCertificationType(
        self, request: pb.PublishCertificationTypeRequest, context: Context
    ) -> pb.PublishCertificationTypeResponse:
        author = caller_of_call().path

        def work(connection: Connection) -> pb.PublishCertificationTypeResponse:
            kind = self._core.catalogue.publish_type(
                connection, request.type, effective_us=_effective(request), author=author
            )
            return pb.PublishCertificationTypeResponse(type=kind)

        return await self._mutations.run(
            request,
            action="certifications.publish_type",
            subject=f"certification_types/{request.type.code}",
            work=work,
            facts={"version": str(request.type.version)},
        )

    async def PublishDeclaration(
        self, request: pb.PublishDeclarationRequest, context: Context
    ) -> pb.PublishDeclarationResponse:
        author = caller_of_call().path

        def work(connection: Connection) -> pb.PublishDeclarationResponse:
            declaration = self._core.catalogue.publish_declaration(
                connection,
                request.version,
                request.text,
                effective_us=_effective(request),
                author=author,
            )
            return pb.PublishDeclarationResponse(declaration=declaration)

        return await self._mutations.run(
            request,
            action="certifications.publish_declaration",
            subject=f"declarations/{request.version}",
            work=work,
        )

    async def _change(
        self,
        request: _OfApplication,
        action: str,
        work: Callable[[Connection], Answer],
        facts: dict[str, str] | None = None,
    ) -> Answer:
        return await self._mutations.run(
            request,
            action=f"certifications.{action}",
            subject=_name(request.application_id),
            work=work,
            facts=facts or {},
        )

    async def _own(self, application_id: str, show: Callable[[Connection, ApplicationRow], T]) -> T:
        account_id = caller_of_call().name

        def read(connection: Connection) -> T:
            return show(connection, self._core.own(connection, application_id, account_id))

        return await self._store.look(read)


def _effective(request: pb.PublishCertificationTypeRequest | pb.PublishDeclarationRequest) -> int | None:
    return request.effective_time.ToMicroseconds() if request.HasField("effective_time") else None


def _name(application_id: str) -> str:
    if not application_id:
        raise ServiceError(Reason.INTERNAL, "An answer names no application.")
    return f"certifications/{application_id}"
