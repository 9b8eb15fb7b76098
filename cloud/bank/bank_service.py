"""BankService: the catalogue, the notices, and the records, for those who run bank verification."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.api.statuses import LANGUAGE_KEY
from cloud.bank import customer_service
from cloud.bank.catalogue import Catalogue, describe_notice
from cloud.bank.requests import Requests
from cloud.bank.sessions import Sessions
from cloud.bank.views import describe_bank, describe_records
from cloud.errors import Reason, ServiceError
from cloud.hints import choose_language
from cloud.mutations import Mutations
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import bank as rows
from cloud.store.bank import RecordRow
from cloud.store.database import Store
from verifield.v1 import bank_pb2
from verifield.v1 import bank_service_pb2 as pb
from verifield.v1.bank_service_pb2_grpc import BankServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class BankService(BankServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        *,
        sessions: Sessions,
        catalogue: Catalogue,
        requests: Requests,
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._sessions = sessions
        self._catalogue = catalogue
        self._requests = requests

    async def PutBank(self, request: pb.PutBankRequest, context: Context) -> pb.PutBankResponse:
        def work(connection: Connection) -> pb.PutBankResponse:
            return pb.PutBankResponse(bank=describe_bank(self._catalogue.put(connection, request.bank)))

        return await self._mutations.run(
            request,
            action="bank.put",
            subject=lambda answer: f"banks/{answer.bank.bank_id}",
            work=work,
            facts={"code": request.bank.code, "enabled": str(request.bank.enabled).lower()},
        )

    async def ListCatalogue(
        self, request: pb.ListCatalogueRequest, context: Context
    ) -> pb.ListCatalogueResponse:
        def read(connection: Connection) -> pb.ListCatalogueResponse:
            found, more = self._catalogue.page(
                connection, size=request.page_size, token=request.page_token, enabled_only=False
            )
            return pb.ListCatalogueResponse(banks=map(describe_bank, found), next_page_token=more)

        return await self._store.look(read)

    async def PublishNotice(
        self, request: pb.PublishNoticeRequest, context: Context
    ) -> pb.PublishNoticeResponse:
        def work(connection: Connection) -> pb.PublishNoticeResponse:
            version = self._catalogue.publish(
                connection, zh=request.text_zh, en=request.text_en, es=request.text_es
            )
            return pb.PublishNoticeResponse(version=version)

        return await self._mutations.run(
            request,
            action="bank.publish_notice",
            subject=lambda answer: f"bank_notices/{answer.version}",
            work=work,
        )

    async def GetNotice(self, request: pb.GetNoticeRequest, context: Context) -> pb.GetNoticeResponse:
        def read(connection: Connection) -> pb.GetNoticeResponse:
            version = request.version if request.HasField("version") else None
            row = self._catalogue.notice(connection, version)
            answer = pb.GetNoticeResponse(notice=describe_notice(row, request.language))
            if row.version:
                answer.publish_time.FromMicroseconds(row.published_us)
            return answer

        return await self._store.look(read)

    async def CheckRecord(self, request: pb.CheckRecordRequest, context: Context) -> pb.CheckRecordResponse:
        def read(connection: Connection) -> pb.CheckRecordResponse:
            if request.WhichOneof("key") == "number":
                row = rows.record_by_number(connection, request.number)
            else:
                row = rows.get_record(connection, request.record_id)
            return pb.CheckRecordResponse(record=self._describe(connection, [_found(row)])[0])

        return await self._store.look(read)

    async def ListCustomerRecords(
        self, request: pb.ListCustomerRecordsRequest, context: Context
    ) -> pb.ListCustomerRecordsResponse:
        filters = f"records of customer {request.customer_id}"
        behind, size = parse_page_token(request.page_token, filters=filters), page_size(request.page_size)

        def read(connection: Connection) -> pb.ListCustomerRecordsResponse:
            found = rows.list_records(connection, request.customer_id, behind=behind, limit=size + 1)
            more = found[size - 1].record_id if len(found) > size else ""
            return pb.ListCustomerRecordsResponse(
                records=self._describe(connection, found[:size]),
                next_page_token=encode_page_token(more, filters=filters) if more else "",
            )

        return await self._store.look(read)

    async def RevokeRecord(
        self, request: pb.RevokeRecordRequest, context: Context
    ) -> pb.RevokeRecordResponse:
        def work(connection: Connection) -> pb.RevokeRecordResponse:
            row = _found(rows.get_record(connection, request.record_id, lock=True))
            if row.revoked_us is not None:
                raise ServiceError(Reason.COOP_RECORD_REVOKED, "This record was revoked already.")
            sealed = self._sessions.vault.seal_while_kept(
                connection,
                row.customer_id,
                request.explanation.encode(),
                at=("coop_records", "explanation", row.record_id),
            )
            rows.revoke_record(
                connection,
                row.record_id,
                now_us=self._sessions.now_us,
                revocation=request.revocation,
                explanation=sealed,
            )
            changed = _found(rows.get_record(connection, row.record_id))
            return pb.RevokeRecordResponse(record=self._describe(connection, [changed])[0])

        return await self._mutations.run(
            request,
            action="bank.revoke_record",
            subject=lambda answer: customer_service.name_of(answer.record.customer_id),
            work=work,
            facts={
                "record": request.record_id,
                "revocation": bank_pb2.CoopRevocation.Name(request.revocation).removeprefix(
                    "COOP_REVOCATION_"
                ),
            },
        )

    async def GetCoopRequest(
        self, request: pb.GetCoopRequestRequest, context: Context
    ) -> pb.GetCoopRequestResponse:
        def read(connection: Connection) -> pb.GetCoopRequestResponse:
            row = _found(rows.get_record(connection, request.record_id))
            pdf, paper = self._requests.pdf_of(connection, row.record_id)
            explanation = self._sessions.vault.open(
                connection,
                row.customer_id,
                row.explanation,
                at=("coop_records", "explanation", row.record_id),
            )
            return pb.GetCoopRequestResponse(
                number=row.number,
                pdf=pdf,
                sha256=paper.pdf_sha256,
                evidence=bank_pb2.CoopEvidence.FromString(paper.evidence),
                evidence_sha256=paper.evidence_sha256,
                revocation_explanation=(explanation or b"").decode(),
            )

        return await self._store.look(read)

    def _describe(self, connection: Connection, found: list[RecordRow]) -> list[bank_pb2.CoopRecord]:
        return describe_records(
            connection,
            self._sessions.vault,
            found,
            now_us=self._sessions.now_us,
            language=choose_language(CALL.get().one(LANGUAGE_KEY)),
        )


def _found(row: RecordRow | None) -> RecordRow:
    if row is None:
        raise ServiceError(Reason.COOP_RECORD_NOT_FOUND, "There is no such record.")
    return row
