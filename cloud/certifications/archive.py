"""ArchiveService: what was decided, with all that it rests on; and what a reviewer needs to decide."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import Caller, caller_of_call
from cloud.access.roles import Permission, permissions_of
from cloud.certifications import views
from cloud.certifications.bundle import Bundle
from cloud.certifications.desk import Desk, subject_of
from cloud.certifications.uploads import open_file, pieces
from cloud.certifications.vault import MEASURES
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.privacy.sealing import Place
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store import reviews as review_rows
from cloud.store.certifications import ApplicationRow, ResultRow
from cloud.store.database import Store
from verifield.archive import MANIFEST_NAME
from verifield.dsse import parse_envelope
from verifield.v1 import archive_service_pb2 as pb
from verifield.v1 import badge_pb2
from verifield.v1 import certification_service_pb2 as certification_pb
from verifield.v1.archive_service_pb2_grpc import ArchiveServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")

_ALL_CASES = frozenset({Permission.ARCHIVE_READ, Permission.REVIEWS_MANAGE})
"""Who has one of these sees every case, as every task; others those whose review is theirs now."""


class ArchiveService(ArchiveServiceServicer):
    """Nothing is changed here; each look stands in the audit chain."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self._store = store
        self._desk = desk
        self._core = desk.core

    async def SearchArchive(
        self, request: pb.SearchArchiveRequest, context: Context
    ) -> pb.SearchArchiveResponse:
        size = page_size(request.page_size)
        plain = pb.SearchArchiveRequest()
        plain.CopyFrom(request)
        plain.page_size, plain.page_token = 0, ""
        asked = f"archive {plain.SerializeToString(deterministic=True).hex()}"
        before = parse_page_token(request.page_token, filters=asked)

        def read(connection: Connection) -> pb.SearchArchiveResponse:
            found = rows.page_of_results(
                connection,
                before=before,
                limit=size + 1,
                account_id=request.account_id,
                outcome=request.outcome,
                reviewer=str(request.reviewer_number or ""),
                from_us=request.from_time.ToMicroseconds() if request.HasField("from_time") else None,
                until_us=request.until_time.ToMicroseconds() if request.HasField("until_time") else None,
            )
            page = found[:size]
            more = len(found) > size
            token = encode_page_token(page[-1][0].result_id, filters=asked) if more else ""
            return pb.SearchArchiveResponse(
                entries=[_entry(row, state) for row, state in page], next_page_token=token
            )

        return await self._store.look(read)

    async def GetArchived(self, request: pb.GetArchivedRequest, context: Context) -> pb.GetArchivedResponse:
        def read(connection: Connection) -> pb.GetArchivedResponse:
            row = _found(connection, request.result_id)
            application = self._core.find(connection, row.application_id)
            return pb.GetArchivedResponse(
                entry=_entry(row, application.state),
                reasons=views.reasons(self._core, connection, row),
                manifest=self._core.objects.open(connection, row.manifest_id),
                measures=self._measures(connection, row),
            )

        return await self._store.look(read)

    async def ExportArchived(
        self, request: pb.ExportArchivedRequest, context: Context
    ) -> AsyncIterator[pb.ExportArchivedResponse]:
        places, manifest, signed = await self._store.look(
            lambda connection: self._contents(connection, request)
        )
        bundle = Bundle()
        bundle.add(MANIFEST_NAME, signed)
        for entry in manifest.files:
            bundle.add(
                entry.name, await self._store.look(partial(self._archived, places.get(entry.name, ""), entry))
            )
            for chunk in pieces(bundle.take()):
                yield pb.ExportArchivedResponse(chunk=chunk)
        for chunk in pieces(bundle.end()):
            yield pb.ExportArchivedResponse(chunk=chunk)

    async def GetCase(self, request: pb.GetCaseRequest, context: Context) -> pb.GetCaseResponse:
        caller = caller_of_call()

        def read(connection: Connection) -> pb.GetCaseResponse:
            row = self._case(connection, request.application_id, caller)
            found = views.case(self._core, connection, row)
            for name in ("state", "update_time", "etag"):
                found.application.ClearField(name)
            return pb.GetCaseResponse(
                application=found.application, form=found.form, materials=found.materials
            )

        return await self._store.look(read)

    async def ReadMaterial(
        self, request: pb.ReadMaterialRequest, context: Context
    ) -> AsyncIterator[pb.ReadMaterialResponse]:
        caller = caller_of_call()
        ref, content = await self._store.look(
            lambda connection: open_file(
                self._desk,
                connection,
                self._case(connection, request.application_id, caller),
                request.material_id,
            )
        )
        for number, chunk in enumerate(pieces(content)):
            answer = pb.ReadMaterialResponse(chunk=chunk)
            if number == 0:
                answer.media_type, answer.sha256 = ref.media_type, ref.sha256
            yield answer

    def _case(self, connection: Connection, application_id: str, caller: Caller) -> ApplicationRow:
        """An application, for who has to do with it.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND, CASE_NOT_YOURS.
        """
        row = self._core.find(connection, application_id)
        if permissions_of(caller.roles).isdisjoint(_ALL_CASES) and not review_rows.has_task(
            connection, subject_of(application_id), caller.name
        ):
            raise ServiceError(Reason.CASE_NOT_YOURS, "You have no review task of this application.")
        return row

    def _contents(
        self, connection: Connection, request: pb.ExportArchivedRequest
    ) -> tuple[dict[str, str], badge_pb2.ArchiveManifest, bytes]:
        """Which objects the files of a decision are, and the manifest that was signed for them."""
        row = _found(connection, request.result_id)
        signed = self._core.objects.open(connection, row.manifest_id)
        envelope = badge_pb2.SignedManifest.FromString(signed).envelope
        manifest = badge_pb2.ArchiveManifest.FromString(parse_envelope(envelope).payload)
        return json.loads(row.files), manifest, signed

    def _archived(self, object_id: str, entry: badge_pb2.ArchivedFile, connection: Connection) -> bytes:
        """One file, as it was signed for."""
        if not object_id:
            raise ServiceError(Reason.OBJECT_NOT_FOUND, "A file of this decision is not here any more.")
        content = self._core.objects.open(connection, object_id)
        if sha256(content).digest() != entry.sha256:
            raise ServiceError(Reason.OBJECT_DAMAGED, "A file is not what was archived.")
        return content

    def _measures(self, connection: Connection, row: ResultRow) -> list[pb.CertificationMeasure]:
        return [
            pb.CertificationMeasure(
                kind=pb.CertificationMeasureKind.ValueType(one.kind),
                reason=self._core.vault.open(
                    connection, row.account_id, Place(MEASURES, "reason", one.measure_id), one.reason
                ).decode(),
                caller=one.caller,
                time=views.moment(one.at_us),
            )
            for one in care.measures_of(connection, row.account_id)
            if one.application_id in (None, row.application_id)
        ]


def _entry(row: ResultRow, state: int) -> pb.ArchiveEntry:
    return pb.ArchiveEntry(
        result_id=row.result_id,
        application_id=row.application_id,
        account_id=row.account_id,
        type_code=row.type_code,
        outcome=certification_pb.ResultOutcome.ValueType(row.outcome),
        reviewer_number=views.number(row.reviewer),
        decide_time=views.moment(row.decided_us),
        state=certification_pb.ApplicationState.ValueType(state),
    )


def _found(connection: Connection, result_id: str) -> ResultRow:
    row = rows.get_result(connection, result_id)
    if row is None:
        raise ServiceError(Reason.RESULT_NOT_FOUND, "There is no such decision.")
    return row
