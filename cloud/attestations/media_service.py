"""MediaService: the pictures of a record, still encrypted, for whoever holds the key of pictures.

Which files a record has is told by the record, whose bytes are checked; not by a row beside it. A
download is in the audit chain before its first byte leaves: who cannot be audited gets nothing.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.attestations.bundles import check_row
from cloud.audit import chain
from cloud.audit.layer import caller_of
from cloud.errors import Reason, ServiceError
from cloud.media.intake import MediaIntake
from cloud.sources import Sources, to_us
from cloud.store import attestations as rows
from cloud.store.database import Store
from verifield.media import CHUNK_BYTES
from verifield.v1 import media_service_pb2 as pb
from verifield.v1.attestation_pb2 import MediaReference
from verifield.v1.audit_pb2 import AUDIT_OUTCOME_READ
from verifield.v1.media_service_pb2_grpc import MediaServiceServicer

READ_ACTION = "media.read"

Context = grpc.aio.ServicerContext[Any, Any]


class MediaService(MediaServiceServicer):
    def __init__(self, store: Store, media: MediaIntake, sources: Sources) -> None:
        self._store = store
        self._media = media
        self._sources = sources

    async def ListMedia(self, request: pb.ListMediaRequest, context: Context) -> pb.ListMediaResponse:
        def read() -> list[pb.MediaFile]:
            device_id, named = self._named(request.attestation_id)
            return [
                pb.MediaFile(
                    name=one.name,
                    sha256=one.sha256,
                    size_bytes=one.size_bytes,
                    complete=self._media.find(device_id, one.sha256).complete,
                )
                for one in named
            ]

        return pb.ListMediaResponse(media=await asyncio.to_thread(read))

    async def DownloadMedia(
        self, request: pb.DownloadMediaRequest, context: Context
    ) -> AsyncIterator[pb.DownloadMediaResponse]:
        device_id, one = await asyncio.to_thread(self._find, request)
        call = CALL.get()

        def audit(connection: Connection) -> None:
            chain.record(
                connection,
                action=READ_ACTION,
                subject=f"attestations/{request.attestation_id}/media/{one.name}",
                caller=caller_of(call),
                request_id=call.request_id,
                now_us=to_us(self._sources.now()),
                facts={"sha256": one.sha256.hex()},
                outcome=AUDIT_OUTCOME_READ,
            )

        await asyncio.to_thread(self._store.run, audit)
        with await asyncio.to_thread(self._media.open_complete, device_id, one.sha256) as file:
            while content := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield pb.DownloadMediaResponse(content=content)

    def _find(self, request: pb.DownloadMediaRequest) -> tuple[str, MediaReference]:
        """The device that sent a file, and how its record names it.

        Raises:
            ServiceError: ATTESTATION_NOT_FOUND or MEDIA_NOT_HERE.
        """
        device_id, named = self._named(request.attestation_id)
        for one in named:
            if one.name == request.name and self._media.find(device_id, one.sha256).complete:
                return device_id, one
        raise ServiceError(Reason.MEDIA_NOT_HERE, "The record has no file of this name that is here.")

    def _named(self, attestation_id: str) -> tuple[str, list[MediaReference]]:
        with self._store.reading() as connection:
            row = rows.get_attestation(connection, attestation_id)
            if row is None:
                raise ServiceError(Reason.ATTESTATION_NOT_FOUND, "There is no attestation with this id.")
            return row.device_id, list(check_row(connection, row).media)
