"""Sends a document: what it is first, then its bytes."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from cloud.business.describe import describe_document
from cloud.business.desk import BusinessDesk
from cloud.errors import Reason, ServiceError
from cloud.store import business as rows
from verifield.v1 import business_service_pb2 as pb

PIECE_BYTES = 48 * 1024
"""Of a document in one answer."""


def open_document(
    connection: Connection, desk: BusinessDesk, business_id: str, document_id: str
) -> tuple[pb.BusinessDocument, bytes]:
    """A document of a request, and its content.

    Raises:
        ServiceError: BUSINESS_NOT_FOUND: it has no such document; OBJECT_NOT_FOUND, OBJECT_DAMAGED.
    """
    kept = rows.list_documents(connection, business_id)
    row = next((one for one in kept if one.document_id == document_id), None)
    if row is None:
        raise ServiceError(Reason.BUSINESS_NOT_FOUND, "The request has no such document.")
    content = desk.objects.open(connection, document_id)
    refs = desk.objects.find(connection, [document_id])
    return describe_document(row, refs.get(document_id)), content


def pieces(content: bytes) -> Iterator[bytes]:
    """A content as it travels."""
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
