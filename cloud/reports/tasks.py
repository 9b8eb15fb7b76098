"""TaskService: the documents of contracts that are signed at a device, while they wait there."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.bank.sessions import check_device
from cloud.contracts.desk import Contracts
from cloud.errors import Reason, ServiceError
from cloud.signatures.states import State
from cloud.store import signatures as rows
from cloud.store.database import Store
from verifield.v1 import task_service_pb2 as pb
from verifield.v1.task_service_pb2_grpc import TaskServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

PART_BYTES = 128 * 1024
"""Of a document at a time: a minute on a link of 2 KiB/s."""


class TaskService(TaskServiceServicer):
    """Nothing is changed here; each look at a file stands in the audit chain."""

    def __init__(self, store: Store, contracts: Contracts) -> None:
        self._store = store
        self._contracts = contracts

    async def GetTaskDocument(
        self, request: pb.GetTaskDocumentRequest, context: Context
    ) -> pb.GetTaskDocumentResponse:
        device_id, task_id = CALL.get().device_id, request.task_id.lower()

        def read(connection: Connection) -> pb.GetTaskDocumentResponse:
            content = self._document(connection, device_id, task_id, request.document_sha256)
            if request.start >= len(content):
                raise ServiceError(Reason.REQUEST_INVALID, "The document has no byte there.")
            part = content[request.start : request.start + PART_BYTES]
            return pb.GetTaskDocumentResponse(content=part, size_bytes=len(content))

        return await self._store.look(read)

    def _document(self, connection: Connection, device_id: str, task_id: str, sha256: bytes) -> bytes:
        """The document of a task that waits at the site of this device.

        Raises:
            ServiceError: SIGN_TASK_NOT_FOUND, SIGN_TASK_OVER, SIGN_DOCUMENT_MOVED, those of files, and as
                :func:`check_device`.
        """
        device = check_device(connection, device_id)
        row = rows.find_by_task(connection, task_id)
        if row is None or device.site_id != row.site_id:
            raise ServiceError(Reason.SIGN_TASK_NOT_FOUND, "There is no such task at this site.")
        if row.state != State.AT_SITE:
            raise ServiceError(
                Reason.SIGN_TASK_OVER,
                "This signature is not awaited any more.",
                {"why": row.reason or State(row.state).name, "task_id": task_id},
            )
        contract = self._contracts.get(connection, row.contract_id)
        if contract.document_sha256 != sha256:
            raise ServiceError(Reason.SIGN_DOCUMENT_MOVED, "The contract has another document now.")
        return self._contracts.document(connection, contract)
