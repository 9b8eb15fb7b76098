"""ApprovalService: an organisation's documents, and its seal under them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.approvals import views
from cloud.approvals.desk import Approvals, Authenticated, subject_of
from cloud.approvals.sealing import Sealer, document_refused, places_of
from cloud.approvals.states import State
from cloud.errors import Reason, ServiceError
from cloud.objects.inflow import Held, Inflow
from cloud.objects.kinds import MediaType
from cloud.organisations import uploads
from cloud.organisations.lists import Paged, page_of
from cloud.pdf.fields import Place
from cloud.pdf.intake import Document, PdfRefused
from cloud.pdf.preview import PreviewFailed, Previews
from cloud.pdf.sign import Signed
from cloud.serving import Base
from cloud.store import approvals as rows
from cloud.store.approvals import ApprovalRow
from verifield.v1 import approval_service_pb2 as pb
from verifield.v1.approval_service_pb2_grpc import ApprovalServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class ApprovalService(ApprovalServiceServicer):
    """``previews``: of this server; a process of theirs looks at what comes."""

    def __init__(self, base: Base, desk: Approvals, sealer: Sealer, *, previews: Previews) -> None:
        self._base = base
        self._desk = desk
        self._sealer = sealer
        self._previews = previews
        self._inflow = Inflow()

    async def UploadApproval(
        self, request_iterator: AsyncIterator[pb.UploadApprovalRequest], context: Context
    ) -> pb.UploadApprovalResponse:
        caller = caller_of_call().name
        header: pb.UploadApprovalHeader = await uploads.read_header(request_iterator)
        organisation_id = header.organisation_id
        allowed = partial(self._desk.check_may_add, caller=caller, again=bool(header.request_id))
        await self._base.store.look(partial(allowed, organisation_id=organisation_id))
        with self._inflow.one(caller) as held:
            content = await uploads.collect(request_iterator, partial(_check_room, held))
            uploads.check_digest(sha256(content).digest(), header)
            document = await self._check(content)
            stage = partial(self._desk.objects.stage, person_id=organisation_id, media_type=MediaType.PDF)
            staged = await asyncio.to_thread(stage, content)

        def work(connection: Connection) -> pb.UploadApprovalResponse:
            row = self._desk.add(
                connection, organisation_id, staged, document, caller=caller, title=header.title
            )
            return pb.UploadApprovalResponse(approval=views.outline(row))

        try:
            return await self._base.mutations.run(
                header,
                action="approvals.upload",
                subject=lambda answer: subject_of(answer.approval.approval_id),
                work=work,
                facts={"organisation": organisation_id},
            )
        finally:
            await asyncio.to_thread(self._desk.objects.settle, self._base.store, staged)

    async def GetApproval(self, request: pb.GetApprovalRequest, context: Context) -> pb.GetApprovalResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> pb.Approval:
            row = self._desk.visible(connection, request.approval_id, caller)
            return views.describe(connection, self._desk, row)

        return pb.GetApprovalResponse(approval=await self._base.store.look(read))

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> tuple[list[ApprovalRow], str]:
            self._desk.require_member(connection, request.organisation_id, caller)
            self._desk.seals.organisations.require_known(connection, request.organisation_id)
            return _page(connection, request, organisation_id=request.organisation_id)

        found, token = await self._base.store.look(read)
        return pb.ListApprovalsResponse(approvals=map(views.outline, found), next_page_token=token)

    async def DownloadApproval(
        self, request: pb.DownloadApprovalRequest, context: Context
    ) -> AsyncIterator[pb.DownloadApprovalResponse]:
        caller = caller_of_call().name

        def read(connection: Connection) -> bytes:
            row = self._desk.visible(connection, request.approval_id, caller)
            object_id = row.sealed_object_id if request.sealed else row.object_id
            if object_id is None:
                raise ServiceError(
                    Reason.APPROVAL_STATE, "The approval is not sealed.", {"state": State(row.state).name}
                )
            return self._desk.objects.open(connection, object_id)

        for piece in uploads.pieces(await self._base.store.look(read)):
            yield pb.DownloadApprovalResponse(content=piece)

    async def WithdrawApproval(
        self, request: pb.WithdrawApprovalRequest, context: Context
    ) -> pb.WithdrawApprovalResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.WithdrawApprovalResponse:
            row = self._desk.withdraw(connection, request.approval_id, caller=caller)
            return pb.WithdrawApprovalResponse(approval=views.outline(row))

        return await self._base.mutations.run(
            request, action="approvals.withdraw", subject=subject_of(request.approval_id), work=work
        )

    async def RequestSealCode(
        self, request: pb.RequestSealCodeRequest, context: Context
    ) -> pb.RequestSealCodeResponse:
        caller, source = caller_of_call().name, CALL.get().source

        def work(connection: Connection) -> pb.RequestSealCodeResponse:
            sent, challenge = self._desk.send_code(
                connection, request.approval_id, caller=caller, seal_id=request.seal_id, source=source
            )
            answer = pb.RequestSealCodeResponse(challenge_id=sent.challenge_id, challenge=challenge)
            answer.expire_time.FromDatetime(sent.expire_time)
            return answer

        answer = await self._base.mutations.run(
            request,
            action="approvals.request_code",
            subject=subject_of(request.approval_id),
            work=work,
            facts={"seal": request.seal_id},
        )
        # Not part of what is kept to be answered again: it goes with the person.
        answer.phone = await self._base.store.look(
            lambda connection: self._desk.code_sent_to(connection, answer.challenge_id)
        )
        return answer

    async def SealApproval(
        self, request: pb.SealApprovalRequest, context: Context
    ) -> pb.SealApprovalResponse:
        caller, source = caller_of_call().name, CALL.get().source
        is_sealed: bool = await self._base.store.look(partial(_is_sealed, request=request))
        if request.request_id and is_sealed:
            return await self._answer_again(request, caller)
        look = partial(
            self._desk.check_may_seal,
            approval_id=request.approval_id,
            caller=caller,
            seal_id=request.seal_id,
            marks=len(request.places),
        )
        row, seal = await self._base.store.look(look)
        if row.document_sha256 != request.document_sha256:
            raise ServiceError(Reason.APPROVAL_MOVED, "This is not the document of the approval.")
        places = places_of(request.places, seal, caller=caller)
        content = await self._base.store.look(partial(self._desk.objects.open, object_id=row.object_id))
        await asyncio.to_thread(self._sealer.check, content, places)
        given = await self._authenticate(request, caller)
        return await self._seal(request, content, places, given, caller=caller, source=source)

    async def InspectApproval(
        self, request: pb.InspectApprovalRequest, context: Context
    ) -> pb.InspectApprovalResponse:
        def read(connection: Connection) -> pb.Approval:
            return views.inspect(connection, self._desk.find(connection, request.approval_id))

        return pb.InspectApprovalResponse(approval=await self._base.store.look(read))

    async def SearchApprovals(
        self, request: pb.SearchApprovalsRequest, context: Context
    ) -> pb.SearchApprovalsResponse:
        read = partial(
            _page, request=request, organisation_id=request.organisation_id, state=int(request.state)
        )
        found, token = await self._base.store.look(read)
        return pb.SearchApprovalsResponse(approvals=map(views.outline, found), next_page_token=token)

    async def _check(self, content: bytes) -> Document:
        try:
            return await self._previews.check(content)
        except PdfRefused as error:
            raise document_refused(error) from error
        except PreviewFailed as error:
            raise ServiceError(Reason.OBJECTS_BUSY, "Too many documents are being looked at.") from error

    async def _authenticate(self, request: pb.SealApprovalRequest, caller: str) -> Authenticated:
        """The code is taken in a transaction of its own: a wrong one counts as a try."""
        shown: list[Authenticated] = []

        def work(connection: Connection) -> pb.SealApprovalResponse | ServiceError:
            found = self._desk.authenticate(
                connection,
                request.approval_id,
                caller=caller,
                seal_id=request.seal_id,
                marks=len(request.places),
                evidence_id=request.challenge_id,
                challenge=request.challenge,
                code=request.code,
            )
            if isinstance(found, ServiceError):
                return found
            shown[:] = [found]
            return pb.SealApprovalResponse()

        once = pb.SealApprovalRequest()
        once.CopyFrom(request)
        once.ClearField("request_id")  # the answer that is kept is that of the seal
        await self._base.mutations.run(
            once,
            action="approvals.authenticate",
            subject=subject_of(request.approval_id),
            work=work,
            facts={"seal": request.seal_id},
        )
        return shown[0]

    async def _seal(
        self,
        request: pb.SealApprovalRequest,
        content: bytes,
        places: list[Place],
        given: Authenticated,
        *,
        caller: str,
        source: str,
    ) -> pb.SealApprovalResponse:
        signed = await asyncio.to_thread(self._sealer.seal, content, places, given, caller=caller)
        stage = partial(
            self._desk.objects.stage, person_id=given.row.organisation_id, media_type=MediaType.PDF
        )
        staged = await asyncio.to_thread(stage, signed.content)

        def work(connection: Connection) -> pb.SealApprovalResponse:
            records = self._sealer.records(connection, given, signed, caller=caller)
            row = self._desk.sealed(connection, given, staged, records, caller=caller, source=source)
            return pb.SealApprovalResponse(approval=views.outline(row))

        try:
            return await self._base.mutations.run(
                request,
                action="approvals.seal",
                subject=subject_of(request.approval_id),
                work=work,
                facts=_facts(request, given, signed),
            )
        finally:
            await asyncio.to_thread(self._desk.objects.settle, self._base.store, staged)

    async def _answer_again(self, request: pb.SealApprovalRequest, caller: str) -> pb.SealApprovalResponse:
        """What this request was answered before; a refusal where it was another one that sealed it."""

        def work(connection: Connection) -> pb.SealApprovalResponse:
            self._desk.check_may_seal(
                connection,
                request.approval_id,
                caller=caller,
                seal_id=request.seal_id,
                marks=len(request.places),
            )
            raise ServiceError(Reason.APPROVAL_STATE, "The approval is sealed already.")

        return await self._base.mutations.run(
            request, action="approvals.seal", subject=subject_of(request.approval_id), work=work
        )


def _is_sealed(connection: Connection, request: pb.SealApprovalRequest) -> bool:
    row = rows.get_approval(connection, request.approval_id)
    return row is not None and row.state == State.SEALED


def _facts(request: pb.SealApprovalRequest, given: Authenticated, signed: Signed) -> dict[str, str]:
    return {
        "seal": request.seal_id,
        "version": str(given.seal.version),
        "marks": str(len(signed.parts)),
        "document": bytes(request.document_sha256).hex(),
        "certificate": f"{signed.parts[0].serial:x}",
    }


def _check_room(held: Held, content: bytearray) -> None:
    if len(content) > uploads.MAX_DOCUMENT_BYTES:
        raise ServiceError(
            Reason.OBJECT_TOO_LARGE,
            f"A file may have at most {uploads.MAX_DOCUMENT_BYTES} bytes here.",
            {"limit": str(uploads.MAX_DOCUMENT_BYTES)},
        )
    held.add(len(content) - held.count)


def _page(connection: Connection, request: Paged, **wanted: Any) -> tuple[list[ApprovalRow], str]:
    return page_of(
        connection,
        request,
        read=rows.select_approvals,
        row=ApprovalRow,
        position="approval_id",
        **wanted,
    )
