"""ContractService: what senders, parties and operators ask for."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.contracts import views
from cloud.contracts.acts import Acts
from cloud.contracts.core import Core, subject_of
from cloud.contracts.drafts import Drafts
from cloud.contracts.files import Files, pieces
from cloud.contracts.reviewing import Reviewing
from cloud.contracts.search import Search
from cloud.contracts.sending import Sending
from cloud.contracts.shelf import Shelf
from cloud.errors import ServiceError
from cloud.mutations import Mutations
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow
from cloud.store.database import Store
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1.contract_service_pb2_grpc import ContractServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
Answer = TypeVar("Answer", bound=Message)
Change = Callable[[Connection, str], ContractRow | ServiceError]


class _OfContract(Protocol):
    request_id: str
    contract_id: str


class ContractService(ContractServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(
        self, store: Store, core: Core, mutations: Mutations, *, sending: Sending, files: Files
    ) -> None:
        self._store = store
        self._core = core
        self._mutations = mutations
        self._sending = sending
        self._files = files
        self._drafts = Drafts(core)
        self._reviewing = Reviewing(core)
        self._acts = Acts(core)
        self._shelf = Shelf(core)
        self._search = Search(core)

    async def UploadContract(
        self, request_iterator: AsyncIterator[pb.UploadContractRequest], context: Context
    ) -> pb.UploadContractResponse:
        return await self._files.receive(request_iterator, caller_of_call().name)

    async def UpdateContract(
        self, request: pb.UpdateContractRequest, context: Context
    ) -> pb.UpdateContractResponse:
        return await self._change(
            request,
            "update",
            lambda connection, account_id: self._drafts.update(connection, account_id, request),
            pb.UpdateContractResponse,
        )

    async def SetParties(self, request: pb.SetPartiesRequest, context: Context) -> pb.SetPartiesResponse:
        return await self._change(
            request,
            "set_parties",
            lambda connection, account_id: self._drafts.set_parties(
                connection, account_id, request.contract_id, request.parties, etag=request.etag
            ),
            pb.SetPartiesResponse,
        )

    async def PlaceMarks(self, request: pb.PlaceMarksRequest, context: Context) -> pb.PlaceMarksResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.PlaceMarksResponse:
            row, widgets = self._drafts.place_marks(
                connection, account_id, request.contract_id, request.marks, etag=request.etag
            )
            parties = rows.parties_of(connection, row.contract_id)
            return pb.PlaceMarksResponse(contract=views.contract(row), marks=views.marks(widgets, parties))

        return await self._mutations.run(
            request, action="contracts.place_marks", subject=subject_of(request.contract_id), work=work
        )

    async def RequestContractReview(
        self, request: pb.RequestContractReviewRequest, context: Context
    ) -> pb.RequestContractReviewResponse:
        return await self._change(
            request,
            "request_review",
            lambda connection, account_id: self._reviewing.request(
                connection, account_id, request.contract_id, request.account_ids
            ),
            pb.RequestContractReviewResponse,
        )

    async def DecideContractReview(
        self, request: pb.DecideContractReviewRequest, context: Context
    ) -> pb.DecideContractReviewResponse:
        return await self._change(
            request,
            "decide_review",
            lambda connection, account_id: self._reviewing.decide(
                connection,
                account_id,
                request.contract_id,
                approve=request.approve,
                reason=request.reason,
                etag=request.etag,
            ),
            pb.DecideContractReviewResponse,
            {"approve": str(request.approve).lower()},
        )

    async def RecallContractReview(
        self, request: pb.RecallContractReviewRequest, context: Context
    ) -> pb.RecallContractReviewResponse:
        return await self._change(
            request,
            "recall_review",
            lambda connection, account_id: self._reviewing.recall(
                connection, account_id, request.contract_id
            ),
            pb.RecallContractReviewResponse,
        )

    async def SendContract(
        self, request: pb.SendContractRequest, context: Context
    ) -> pb.SendContractResponse:
        return await self._sending.send(request, caller_of_call().name)

    async def OpenInvitation(
        self, request: pb.OpenInvitationRequest, context: Context
    ) -> pb.OpenInvitationResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.OpenInvitationResponse | ServiceError:
            row = self._acts.open(
                connection, account_id, request.token, organisation_id=request.organisation_id
            )
            if isinstance(row, ServiceError):
                return row
            return pb.OpenInvitationResponse(contract=views.contract(row))

        return await self._mutations.run(
            request,
            action="contracts.open",
            subject=lambda answer: subject_of(answer.contract.contract_id),
            work=work,
        )

    async def GetContract(self, request: pb.GetContractRequest, context: Context) -> pb.GetContractResponse:
        account_id = caller_of_call().name

        def read(connection: Connection) -> pb.GetContractResponse:
            row = self._core.find(connection, request.contract_id)
            view = self._core.view(connection, row, account_id)
            return views.whole(self._core, connection, row, view, account_id)

        return await self._store.look(read)

    async def GetPage(
        self, request: pb.GetPageRequest, context: Context
    ) -> AsyncIterator[pb.GetPageResponse]:
        account_id = caller_of_call().name
        picture, row, shown = await self._files.page(request, account_id)
        for number, chunk in enumerate(pieces(picture)):
            answer = pb.GetPageResponse(chunk=chunk)
            if number == 0:
                answer.shown_sha256, answer.document_sha256 = shown, row.document_sha256 or b""
            yield answer
        await self._files.delivered(request, account_id)

    async def MarkRead(self, request: pb.MarkReadRequest, context: Context) -> pb.MarkReadResponse:
        return await self._change(
            request,
            "mark_read",
            lambda connection, account_id: self._acts.mark_read(
                connection, account_id, request.contract_id, request.document_sha256
            ),
            pb.MarkReadResponse,
            {"sha256": request.document_sha256.hex()},
        )

    async def ApproveContract(
        self, request: pb.ApproveContractRequest, context: Context
    ) -> pb.ApproveContractResponse:
        return await self._change(
            request,
            "approve",
            lambda connection, account_id: self._acts.approve(
                connection, account_id, request.contract_id, request.document_sha256
            ),
            pb.ApproveContractResponse,
            {"sha256": request.document_sha256.hex()},
        )

    async def DeclineContract(
        self, request: pb.DeclineContractRequest, context: Context
    ) -> pb.DeclineContractResponse:
        return await self._change(
            request,
            "decline",
            lambda connection, account_id: self._acts.decline(
                connection, account_id, request.contract_id, request.reason
            ),
            pb.DeclineContractResponse,
        )

    async def WithdrawContract(
        self, request: pb.WithdrawContractRequest, context: Context
    ) -> pb.WithdrawContractResponse:
        return await self._change(
            request,
            "withdraw",
            lambda connection, account_id: self._acts.withdraw(connection, account_id, request.contract_id),
            pb.WithdrawContractResponse,
        )

    async def CopyContract(
        self, request: pb.CopyContractRequest, context: Context
    ) -> pb.CopyContractResponse:
        return await self._files.copy(request, caller_of_call().name)

    async def RemindParties(
        self, request: pb.RemindPartiesRequest, context: Context
    ) -> pb.RemindPartiesResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.RemindPartiesResponse:
            return pb.RemindPartiesResponse(
                reminded=self._acts.remind(connection, account_id, request.contract_id)
            )

        return await self._mutations.run(
            request, action="contracts.remind", subject=subject_of(request.contract_id), work=work
        )

    async def SearchContracts(
        self, request: pb.SearchContractsRequest, context: Context
    ) -> pb.SearchContractsResponse:
        account_id = caller_of_call().name
        return await self._store.look(lambda connection: self._search.search(connection, account_id, request))

    async def DownloadContract(
        self, request: pb.DownloadContractRequest, context: Context
    ) -> AsyncIterator[pb.DownloadContractResponse]:
        content, first = await self._files.download(request, caller_of_call().name)
        for number, chunk in enumerate(pieces(content)):
            answer = first if number == 0 else pb.DownloadContractResponse()
            answer.chunk = chunk
            yield answer

    async def ClassifyContract(
        self, request: pb.ClassifyContractRequest, context: Context
    ) -> pb.ClassifyContractResponse:
        return await self._change(
            request,
            "classify",
            lambda connection, account_id: self._shelf.classify(connection, account_id, request),
            pb.ClassifyContractResponse,
            {"category": request.category},
        )

    async def ArchiveContract(
        self, request: pb.ArchiveContractRequest, context: Context
    ) -> pb.ArchiveContractResponse:
        until_us = request.retention_time.ToMicroseconds() if request.HasField("retention_time") else None
        return await self._change(
            request,
            "archive",
            lambda connection, account_id: self._shelf.archive(
                connection, account_id, request.contract_id, retention_us=until_us
            ),
            pb.ArchiveContractResponse,
        )

    async def UnarchiveContract(
        self, request: pb.UnarchiveContractRequest, context: Context
    ) -> pb.UnarchiveContractResponse:
        return await self._change(
            request,
            "unarchive",
            lambda connection, account_id: self._shelf.unarchive(connection, account_id, request.contract_id),
            pb.UnarchiveContractResponse,
        )

    async def DeleteContract(
        self, request: pb.DeleteContractRequest, context: Context
    ) -> pb.DeleteContractResponse:
        return await self._change(
            request,
            "delete",
            lambda connection, account_id: self._shelf.delete(connection, account_id, request.contract_id),
            pb.DeleteContractResponse,
        )

    async def ListContracts(
        self, request: pb.ListContractsRequest, context: Context
    ) -> pb.ListContractsResponse:
        return await self._store.look(lambda connection: self._search.list_all(connection, request))

    async def InspectContract(
        self, request: pb.InspectContractRequest, context: Context
    ) -> pb.InspectContractResponse:
        return await self._store.look(
            lambda connection: self._search.inspect(connection, request.contract_id)
        )

    async def _change(
        self,
        request: _OfContract,
        action: str,
        change: Change,
        answer: Callable[..., Answer],
        facts: Mapping[str, str] | None = None,
    ) -> Answer:
        """One that answers with how the contract stands then."""
        account_id = caller_of_call().name

        def work(connection: Connection) -> Answer | ServiceError:
            row = change(connection, account_id)
            return row if isinstance(row, ServiceError) else answer(contract=views.contract(row))

        return await self._mutations.run(
            request,
            action=f"contracts.{action}",
            subject=subject_of(request.contract_id),
            work=work,
            facts=facts or {},
        )
