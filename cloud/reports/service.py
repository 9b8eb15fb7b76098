"""ReportService: evidence reports of contracts, made when they are asked for."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.attestations.bundles import Bundles, check_row
from cloud.audit import chain
from cloud.contracts.core import subject_of
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Sequencer, SignedCheckpoint
from cloud.pdf.ports import Identity, StampUnavailable
from cloud.reports.gather import Gathered, Gatherer
from cloud.reports.make import DeviceRecord, Made, Press
from cloud.serving import Base
from cloud.signers.authority import SignerAuthority
from cloud.sources import to_us
from cloud.store import attestations as rows
from verifield.reports import CONCLUDED, FACE
from verifield.v1 import report_service_pb2 as pb
from verifield.v1.report_service_pb2_grpc import ReportServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

CHUNK_BYTES = 64 * 1024
MOST_AT_ONCE = 2
"""Reports that are made at the same time: each takes a second of a core, and others sign meanwhile."""

_LANGUAGES = MappingProxyType(
    {
        pb.REPORT_LANGUAGE_UNSPECIFIED: "en",
        pb.REPORT_LANGUAGE_EN: "en",
        pb.REPORT_LANGUAGE_ZH: "zh",
        pb.REPORT_LANGUAGE_ES: "es",
    }
)


class ReportService(ReportServiceServicer):
    """Nothing is kept but the certificate that a report is signed with, and a line of the audit chain."""

    def __init__(
        self,
        base: Base,
        gatherer: Gatherer,
        press: Press,
        *,
        signers: SignerAuthority,
        bundles: Bundles,
        sequencer: Sequencer,
    ) -> None:
        self._base = base
        self._gatherer = gatherer
        self._press = press
        self._signers = signers
        self._bundles = bundles
        self._sequencer = sequencer
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def GetEvidenceReport(
        self, request: pb.GetEvidenceReportRequest, context: Context
    ) -> AsyncIterator[pb.GetEvidenceReportResponse]:
        contract_id = request.contract_id.lower()
        async with self._turns:
            made = await self._make(contract_id, caller_of_call().name, _LANGUAGES[request.language])
        first = pb.GetEvidenceReportResponse(
            report_id=made.facts.report_id,
            sha256=sha256(made.content).digest(),
            size_bytes=len(made.content),
            half_signed=made.facts.contract.state not in CONCLUDED,
        )
        for at in range(0, len(made.content), CHUNK_BYTES):
            answer = pb.GetEvidenceReportResponse() if at else first
            answer.chunk = made.content[at : at + CHUNK_BYTES]
            yield answer

    async def _make(self, contract_id: str, account_id: str, language: str) -> Made:
        gathered = await self._base.store.look(
            lambda connection: self._gatherer.gather(connection, contract_id, account_id)
        )
        records = await self._device_records(gathered)
        report_id, now = self._base.sources.uuid7(), self._base.sources.now()
        identity = await asyncio.to_thread(
            self._base.store.run, partial(self._begin, contract_id=contract_id, report_id=report_id)
        )
        make = partial(
            self._press.make,
            gathered,
            records,
            report_id=report_id,
            now=now,
            language=language,
            identity=identity,
        )
        try:
            return await asyncio.to_thread(make)
        except StampUnavailable as error:
            raise ServiceError(
                Reason.TIMESTAMP_UNAVAILABLE, "No authority gives a time-stamp for the report now."
            ) from error

    def _begin(self, connection: Connection, *, contract_id: str, report_id: str) -> Identity:
        """A certificate for the report; the audit chain tells who gets it, before anybody has it."""
        call, now = CALL.get(), self._base.sources.now()
        identity = self._signers.platform(connection, now=now)
        chain.record(
            connection,
            action="contracts.report",
            subject=subject_of(contract_id),
            caller=caller_of_call().path,
            request_id=call.request_id,
            now_us=to_us(now),
            facts={"report": report_id},
        )
        return identity

    async def _device_records(self, gathered: Gathered) -> dict[str, DeviceRecord]:
        """By their ids, those that have come to the log."""
        wanted = sorted({one.evidence_id for one in gathered.signatures if one.method == FACE})
        found = {}
        for attestation_id in wanted:
            row = await self._base.store.look(partial(rows.get_attestation, attestation_id=attestation_id))
            if row is None:  # the device has handed in the evidence, and not delivered its chain yet
                continue
            published = self._sequencer.published
            if row.log_index >= published.size:
                published = await self._sequencer.settled()
            found[attestation_id] = await self._base.store.look(
                partial(self._bundle, row=row, published=published)
            )
        return found

    def _bundle(
        self, connection: Connection, *, row: rows.AttestationRow, published: SignedCheckpoint
    ) -> DeviceRecord:
        statement = check_row(connection, row)
        bundle = self._bundles.build(connection, row, statement, published=published)
        return DeviceRecord(bundle.SerializeToString(deterministic=True), statement.purpose.task_id)
