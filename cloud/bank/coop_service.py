"""CoopService: the steps of a session, called by the device at which the customer stands."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.bank.catalogue import Catalogue, describe_notice
from cloud.bank.checks import Checks
from cloud.bank.customers import Customers
from cloud.bank.notices import PROMPT
from cloud.bank.requests import Requests
from cloud.bank.sessions import Sessions, check_device, name_of
from cloud.bank.states import Event, State
from cloud.bank.steps import Steps
from cloud.bank.views import describe_bank, describe_records, describe_session
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import bank as rows
from cloud.store.bank import SessionRow
from cloud.store.database import Store
from verifield.v1 import coop_service_pb2 as pb
from verifield.v1.coop_service_pb2_grpc import CoopServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class CoopService(CoopServiceServicer):
    """Every method is one event of ``cloud.bank.states``; changes go through ``mutations``."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        *,
        sessions: Sessions,
        customers: Customers,
        catalogue: Catalogue,
        steps: Steps,
        requests: Requests,
        checks: Checks,
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._sessions = sessions
        self._customers = customers
        self._catalogue = catalogue
        self._steps = steps
        self._requests = requests
        self._checks = checks

    async def StartSession(
        self, request: pb.StartSessionRequest, context: Context
    ) -> pb.StartSessionResponse:
        device_id = caller_of_call().name

        def work(connection: Connection) -> pb.StartSessionResponse:
            row = self._sessions.start(connection, device_id=device_id, language=request.language)
            return pb.StartSessionResponse(
                session=describe_session(connection, row), prompt=PROMPT[request.language]
            )

        return await self._mutations.run(
            request,
            action="coop.start",
            subject=lambda answer: name_of(answer.session.session_id),
            work=work,
            facts={"function": request.function_code},
        )

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        def read(connection: Connection, row: SessionRow) -> pb.GetSessionResponse:
            return pb.GetSessionResponse(session=describe_session(connection, row))

        return await self._look(request.session_id, None, read)

    async def CancelSession(
        self, request: pb.CancelSessionRequest, context: Context
    ) -> pb.CancelSessionResponse:
        def work(connection: Connection, row: SessionRow) -> pb.CancelSessionResponse:
            moved = self._sessions.move(connection, row, Event.CANCEL)
            return pb.CancelSessionResponse(session=describe_session(connection, moved))

        return await self._step(request, "coop.cancel", Event.CANCEL, work)

    async def SubmitCard(self, request: pb.SubmitCardRequest, context: Context) -> pb.SubmitCardResponse:
        return await self._checks.submit_card(request)

    async def GetAuthorityPhoto(
        self, request: pb.GetAuthorityPhotoRequest, context: Context
    ) -> pb.GetAuthorityPhotoResponse:
        def read(connection: Connection, row: SessionRow) -> pb.GetAuthorityPhotoResponse:
            place = self._sessions.place(row, "authority_photo")
            photo = self._sessions.vault.open(connection, row.person_id, row.authority_photo, at=place)
            return pb.GetAuthorityPhotoResponse(photo=photo or b"")

        return await self._look(request.session_id, Event.SHOW_PHOTO, read)

    async def SubmitFace(self, request: pb.SubmitFaceRequest, context: Context) -> pb.SubmitFaceResponse:
        return await self._checks.submit_face(request)

    async def GetCoopDetails(
        self, request: pb.GetCoopDetailsRequest, context: Context
    ) -> pb.GetCoopDetailsResponse:
        def read(connection: Connection, row: SessionRow) -> pb.GetCoopDetailsResponse:
            card = self._sessions.card_of(connection, row)
            card.ClearField("photo")
            return pb.GetCoopDetailsResponse(session=describe_session(connection, row), card=card)

        return await self._look(request.session_id, Event.SHOW_DETAILS, read)

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        device_id = caller_of_call().name
        filters = f"records of {request.session_id}"
        behind, size = parse_page_token(request.page_token, filters=filters), page_size(request.page_size)

        def work(connection: Connection) -> pb.ListRecordsResponse:
            row = self._sessions.take(connection, request.session_id, Event.SHOW_RECORDS, device_id=device_id)
            number = self._sessions.card_of(connection, row).number
            customer = self._customers.of_number(connection, number)
            found = (
                rows.list_records(connection, customer.customer_id, behind=behind, limit=size + 1)
                if customer
                else []
            )
            if row.state != State.RECORDS_SHOWN.value:  # a further page changes nothing
                self._sessions.move(connection, row, Event.SHOW_RECORDS)
            more = found[size - 1].record_id if len(found) > size else ""
            return pb.ListRecordsResponse(
                records=describe_records(
                    connection,
                    self._sessions.vault,
                    found[:size],
                    now_us=self._sessions.now_us,
                    language=row.language,
                ),
                next_page_token=encode_page_token(more, filters=filters) if more else "",
            )

        return await asyncio.to_thread(self._store.run, work)

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:
        event = Event.EXIT if request.decision == pb.COOP_DECISION_EXIT else Event.CONTINUE

        def work(connection: Connection, row: SessionRow) -> pb.DecideResponse:
            moved = self._sessions.move(connection, row, event)
            return pb.DecideResponse(session=describe_session(connection, moved))

        return await self._step(request, "coop.decide", event, work)

    async def ConfirmCustomer(
        self, request: pb.ConfirmCustomerRequest, context: Context
    ) -> pb.ConfirmCustomerResponse:
        def work(connection: Connection, row: SessionRow) -> pb.ConfirmCustomerResponse:
            bound = self._customers.confirm(connection, row, version=request.version)
            moved = self._sessions.move(connection, bound, Event.CONFIRM_CUSTOMER)
            return pb.ConfirmCustomerResponse(session=describe_session(connection, moved))

        return await self._step(request, "coop.confirm_customer", Event.CONFIRM_CUSTOMER, work)

    async def ListBanks(self, request: pb.ListBanksRequest, context: Context) -> pb.ListBanksResponse:
        device_id = caller_of_call().name

        def read() -> pb.ListBanksResponse:
            with self._store.reading() as connection:
                check_device(connection, device_id)
                found, more = self._catalogue.page(
                    connection, size=request.page_size, token=request.page_token, enabled_only=True
                )
            return pb.ListBanksResponse(banks=map(describe_bank, found), next_page_token=more)

        return await asyncio.to_thread(read)

    async def CompleteInfo(
        self, request: pb.CompleteInfoRequest, context: Context
    ) -> pb.CompleteInfoResponse:
        def work(connection: Connection, row: SessionRow) -> pb.CompleteInfoResponse:
            moved, linked = self._steps.complete(connection, row, request)
            return pb.CompleteInfoResponse(session=describe_session(connection, moved), linked=linked)

        return await self._step(request, "coop.complete", Event.COMPLETE_INFO, work)

    async def GetNotices(self, request: pb.GetNoticesRequest, context: Context) -> pb.GetNoticesResponse:
        def read(connection: Connection, row: SessionRow) -> pb.GetNoticesResponse:
            notice = describe_notice(self._catalogue.notice(connection), row.language)
            return pb.GetNoticesResponse(notice=notice)

        return await self._look(request.session_id, Event.SHOW_NOTICES, read)

    async def ConfirmNotices(
        self, request: pb.ConfirmNoticesRequest, context: Context
    ) -> pb.ConfirmNoticesResponse:
        def work(connection: Connection, row: SessionRow) -> pb.ConfirmNoticesResponse:
            moved = self._steps.confirm_notices(
                connection, row, version=request.notice_version, digest=request.notice_sha256
            )
            return pb.ConfirmNoticesResponse(session=describe_session(connection, moved))

        return await self._step(request, "coop.confirm_notices", Event.CONFIRM_NOTICES, work)

    async def ConfirmSignature(
        self, request: pb.ConfirmSignatureRequest, context: Context
    ) -> pb.ConfirmSignatureResponse:
        def work(connection: Connection, row: SessionRow) -> pb.ConfirmSignatureResponse:
            moved, signature = self._steps.sign(connection, row, request.strokes, request.image)
            return pb.ConfirmSignatureResponse(
                session=describe_session(connection, moved),
                strokes_sha256=signature.strokes_sha256,
                image_sha256=signature.image_sha256,
            )

        return await self._step(request, "coop.sign", Event.SIGN, work)

    async def IssueRequest(
        self, request: pb.IssueRequestRequest, context: Context
    ) -> pb.IssueRequestResponse:
        def work(connection: Connection, row: SessionRow) -> pb.IssueRequestResponse:
            moved, record, paper = self._requests.issue(connection, row)
            answer = pb.IssueRequestResponse(
                session=describe_session(connection, moved),
                number=record.number,
                sha256=paper.pdf_sha256,
                record_id=record.record_id,
            )
            answer.expire_time.FromMicroseconds(record.expires_us)
            return answer

        return await self._step(request, "coop.issue", Event.ISSUE, work)

    async def DownloadRequest(
        self, request: pb.DownloadRequestRequest, context: Context
    ) -> pb.DownloadRequestResponse:
        def read(connection: Connection, row: SessionRow) -> pb.DownloadRequestResponse:
            record = self._sessions.record_of(connection, row)
            pdf, paper = self._requests.pdf_of(connection, record.record_id)
            if not pdf:
                raise ServiceError(Reason.PERSON_ERASED, "The paper was erased with the customer.")
            return pb.DownloadRequestResponse(number=record.number, pdf=pdf, sha256=paper.pdf_sha256)

        return await self._look(request.session_id, Event.DOWNLOAD, read)

    async def _step(
        self, request: Any, action: str, event: Event, work: Callable[[Connection, SessionRow], T]
    ) -> T:
        """Take the session for ``event`` and do ``work``, once."""
        device_id = caller_of_call().name

        def taken(connection: Connection) -> T:
            row = self._sessions.take(connection, request.session_id, event, device_id=device_id)
            return work(connection, row)

        run: Any = self._mutations.run
        answer: T = await run(request, action=action, subject=name_of(request.session_id), work=taken)
        return answer

    async def _look(
        self, session_id: str, event: Event | None, work: Callable[[Connection, SessionRow], T]
    ) -> T:
        device_id = caller_of_call().name

        def read() -> T:
            with self._store.reading() as connection:
                row = self._sessions.look(connection, session_id, event, device_id=device_id)
                return work(connection, row)

        return await asyncio.to_thread(read)
