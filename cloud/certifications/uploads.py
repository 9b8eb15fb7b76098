"""Files of applications on their way in and out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.certifications import views
from cloud.certifications.desk import Desk
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.objects.store import ObjectRef, Staged
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow
from cloud.store.database import Store
from verifield.v1 import certification_service_pb2 as pb

CHUNK_BYTES = 32 * 1024
"""Of an answer; a message of the public port has at most 64 KiB."""

MAX_MATERIAL_BYTES = 10 * 1024 * 1024
"""A photograph of a page by a good telephone has 5 MiB."""


class Uploads:
    """``desk``: knows what may be uploaded."""

    def __init__(self, store: Store, desk: Desk, mutations: Mutations) -> None:
        self._store = store
        self._desk = desk
        self._mutations = mutations

    async def receive(
        self, requests: AsyncIterator[pb.UploadMaterialRequest], account_id: str
    ) -> pb.UploadMaterialResponse:
        """Take one file: whether it may come is known before its content is taken.

        Raises:
            ServiceError: REQUEST_INVALID: no header, or more than one. MATERIAL_UNKNOWN, OBJECT_TOO_LARGE,
                OBJECT_TYPE_REFUSED, OBJECTS_BUSY, and what the application's state says.
        """
        header = await _header(requests)
        await asyncio.to_thread(self._check, header, account_id)
        objects = self._desk.core.objects
        staged = await objects.receive(_chunks(requests), person_id=account_id, limit=MAX_MATERIAL_BYTES)
        try:
            answer = await self._keep(header, account_id, staged)
        except ServiceError:
            await asyncio.to_thread(objects.settle, self._store, staged)
            raise
        await asyncio.to_thread(objects.settle, self._store, staged)  # it may have come for the second time
        return answer

    async def _keep(
        self, header: pb.MaterialHeader, account_id: str, staged: Staged
    ) -> pb.UploadMaterialResponse:
        if header.sha256 and header.sha256 != staged.ref.sha256:
            refuse_field("header.sha256", rule="material.sha256", why="is not that of the content")
        header.sha256 = staged.ref.sha256  # the same request is one with the same content

        def work(connection: Connection) -> pb.UploadMaterialResponse:
            row = self._desk.add_material(connection, account_id, header.application_id, header.kind, staged)
            [material] = views.materials(self._desk.core, connection, [row])
            return pb.UploadMaterialResponse(material=material)

        return await self._mutations.run(
            header,
            action="certifications.upload",
            subject=f"certifications/{header.application_id}",
            work=work,
            facts={"kind": header.kind},
        )

    def open(self, connection: Connection, row: ApplicationRow, material_id: str) -> tuple[ObjectRef, bytes]:
        """A piece of material, or, where none is named, the document of the newest result.

        Raises:
            ServiceError: OBJECT_NOT_FOUND, RESULT_NOT_FOUND, OBJECT_DAMAGED.
        """
        return open_file(self._desk, connection, row, material_id)

    def _check(self, header: pb.MaterialHeader, account_id: str) -> None:
        with self._store.reading() as connection:
            self._desk.check_upload(connection, account_id, header.application_id, header.kind)


def open_file(
    desk: Desk, connection: Connection, row: ApplicationRow, material_id: str
) -> tuple[ObjectRef, bytes]:
    """As :meth:`Uploads.open`."""
    objects = desk.core.objects
    if material_id:
        found = rows.materials_of(connection, row.application_id)
        object_id = next((one.object_id for one in found if one.material_id == material_id), "")
        if not object_id:
            raise ServiceError(Reason.OBJECT_NOT_FOUND, "This application has no such material.")
    else:
        result = rows.get_result(connection, row.result_id) if row.result_id else None
        if result is None:
            raise ServiceError(Reason.RESULT_NOT_FOUND, "This application has no result.")
        object_id = result.document_id
    content = objects.open(connection, object_id)
    return objects.find(connection, [object_id])[object_id], content


def pieces(content: bytes) -> Iterator[bytes]:
    """A content as it travels; an empty one is one empty piece."""
    for at in range(0, max(1, len(content)), CHUNK_BYTES):
        yield content[at : at + CHUNK_BYTES]


async def _header(requests: AsyncIterator[pb.UploadMaterialRequest]) -> pb.MaterialHeader:
    first = await anext(requests, None)
    if first is None or first.WhichOneof("part") != "header":
        refuse_field("header", rule="material.header_first", why="comes first, and names the application")
    header = pb.MaterialHeader()
    header.CopyFrom(first.header)
    return header


async def _chunks(requests: AsyncIterator[pb.UploadMaterialRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            refuse_field("header", rule="material.header_once", why="comes once")
        yield request.chunk
