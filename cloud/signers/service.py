"""DocumentService: whether a signed PDF is good, and the certificates of those who signed."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import grpc
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.signers.checks import Checks, receive
from cloud.signers.room import Signers
from cloud.store import signers as rows
from cloud.store.database import Store
from cloud.store.signers import SignerRow
from verifield.documents import Language, Verdict, say_finding, say_verdict
from verifield.v1 import document_service_pb2 as pb
from verifield.v1.document_service_pb2_grpc import DocumentServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

_LANGUAGES = MappingProxyType(
    {
        pb.DOCUMENT_LANGUAGE_UNSPECIFIED: Language.EN,
        pb.DOCUMENT_LANGUAGE_EN: Language.EN,
        pb.DOCUMENT_LANGUAGE_ZH: Language.ZH,
        pb.DOCUMENT_LANGUAGE_ES: Language.ES,
    }
)


class DocumentService(DocumentServiceServicer):
    def __init__(self, store: Store, mutations: Mutations, signers: Signers, checks: Checks) -> None:
        self._store = store
        self._mutations = mutations
        self._signers = signers
        self._checks = checks

    async def VerifyDocument(
        self, request_iterator: AsyncIterator[pb.VerifyDocumentRequest], context: Context
    ) -> pb.VerifyDocumentResponse:
        language = Language.EN

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal language
            first = True
            async for request in request_iterator:
                if first:
                    language = _LANGUAGES[request.language]
                first = False
                yield request.content

        with self._checks.place(CALL.get().source):
            content = await receive(pieces())
            revoked = await asyncio.to_thread(self._crl)
            verdict = await self._checks.judge(content, revocations=[revoked])
        return _to_answer(verdict, language, sha256=hashlib.sha256(content).digest())

    async def GetSignerRevocationList(
        self, request: pb.GetSignerRevocationListRequest, context: Context
    ) -> pb.GetSignerRevocationListResponse:
        return pb.GetSignerRevocationListResponse(revocation_list=await asyncio.to_thread(self._crl))

    async def GetTrustAnchors(
        self, request: pb.GetTrustAnchorsRequest, context: Context
    ) -> pb.GetTrustAnchorsResponse:
        keys = self._signers.authority.keys
        return pb.GetTrustAnchorsResponse(
            root=keys.root.public_bytes(Encoding.DER),
            signers=keys.signers.certificate.public_bytes(Encoding.DER),
            stamp_roots=[one.public_bytes(Encoding.DER) for one in self._signers.stamp_roots],
        )

    async def ListSignerCertificates(
        self, request: pb.ListSignerCertificatesRequest, context: Context
    ) -> pb.ListSignerCertificatesResponse:
        filters = f"signers {request.account_id}"
        behind = _parse_place(parse_page_token(request.page_token, filters=filters))
        size = page_size(request.page_size)

        def read() -> list[SignerRow]:
            with self._store.reading() as connection:
                return rows.list_signers(
                    connection, limit=size + 1, behind=behind, account_id=request.account_id
                )

        found = await asyncio.to_thread(read)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = encode_page_token(f"{last.issued_us}:{last.serial}", filters=filters)
        return pb.ListSignerCertificatesResponse(
            certificates=[to_message(row) for row in found[:size]], next_page_token=token
        )

    async def RevokeSignerCertificate(
        self, request: pb.RevokeSignerCertificateRequest, context: Context
    ) -> pb.RevokeSignerCertificateResponse:
        def work(connection: Connection) -> pb.RevokeSignerCertificateResponse:
            row = self._signers.authority.revoke(connection, request.serial, request.reason)
            return pb.RevokeSignerCertificateResponse(certificate=to_message(row))

        return await self._mutations.run(
            request,
            action="signers.revoke",
            subject=f"signers/{request.serial}",
            work=work,
            facts={"why": pb.SignerRevocationReason.Name(request.reason)},
        )

    def _crl(self) -> bytes:
        with self._store.reading() as connection:
            return self._signers.authority.crl(connection)


def to_message(row: SignerRow) -> pb.SignerCertificate:
    """A certificate as the contract has it."""
    message = pb.SignerCertificate(
        serial=row.serial,
        kind=pb.SignerKind.ValueType(row.kind),
        account_id=row.account_id,
        certificate_sha256=bytes(row.certificate_sha256),
        reason=pb.SignerRevocationReason.ValueType(row.reason or 0),
    )
    message.issue_time.FromMicroseconds(row.issued_us)
    message.expire_time.FromMicroseconds(row.not_after_us)
    if row.revoked_us is not None:
        message.revoke_time.FromMicroseconds(row.revoked_us)
    return message


def _parse_place(position: str) -> tuple[int, str] | None:
    if not position:
        return None
    issued, _, serial = position.partition(":")
    if not issued.isdecimal() or len(issued) > 18:
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "The page token is damaged.")
    return int(issued), serial


def _to_answer(verdict: Verdict, language: Language, *, sha256: bytes) -> pb.VerifyDocumentResponse:
    answer = pb.VerifyDocumentResponse(
        outcome=pb.DocumentOutcome.Value(f"DOCUMENT_OUTCOME_{verdict.outcome}"),
        text=say_verdict(verdict, language),
        complete=verdict.complete,
        sha256=sha256,
    )
    for one in verdict.signatures:
        signature = answer.signatures.add(
            field=one.field,
            kind=pb.DocumentSignatureKind.Value(f"DOCUMENT_SIGNATURE_KIND_{one.kind}"),
            valid=one.valid,
            signer=one.signer,
            organisation=one.organisation,
            uscc=one.uscc,
            time_source=pb.DocumentTimeSource.Value(f"DOCUMENT_TIME_SOURCE_{one.time_source}"),
            covers_file=one.covers_file,
            serial=one.serial,
        )
        if one.time is not None:
            signature.time.FromDatetime(one.time)
    for found, given in ((answer.findings, verdict.findings), (answer.notes, verdict.notes)):
        for finding in given:
            found.add(code=finding.code, field=finding.field, text=say_finding(finding, language))
    return answer
