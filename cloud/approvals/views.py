"""Approvals as the contract shows them."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.approvals.desk import Approvals
from cloud.store import approvals as rows
from cloud.store.approvals import ApprovalRow, SignatureRow
from verifield.v1 import approval_service_pb2 as pb
from verifield.v1 import signing_service_pb2


def outline(row: ApprovalRow) -> pb.Approval:
    """Without its title: for lists, and for answers to changes, which are kept."""
    shown = pb.Approval(
        approval_id=row.approval_id,
        organisation_id=row.organisation_id,
        state=pb.ApprovalState.ValueType(row.state),
        created_by=row.created_by,
        document_sha256=row.document_sha256,
        pages=row.pages,
        sealed_sha256=row.sealed_sha256 or b"",
    )
    shown.create_time.FromMicroseconds(row.created_us)
    shown.update_time.FromMicroseconds(row.updated_us)
    return shown


def inspect(connection: Connection, row: ApprovalRow) -> pb.Approval:
    """For staff: with its signatures."""
    shown = outline(row)
    shown.signatures.extend(map(_signature, rows.signatures_of(connection, row.approval_id)))
    return shown


def describe(connection: Connection, desk: Approvals, row: ApprovalRow) -> pb.Approval:
    """For members."""
    shown = inspect(connection, row)
    shown.title = desk.title(connection, row)
    return shown


def _signature(row: SignatureRow) -> pb.ApprovalSignature:
    shown = pb.ApprovalSignature(
        record_id=row.record_id,
        kind=signing_service_pb2.SignatureKind.ValueType(row.kind),
        field=row.field,
        certificate_serial=row.serial,
        method=signing_service_pb2.SignMethod.ValueType(row.method),
        evidence_id=row.evidence_id,
        document_sha256=row.document_sha256,
        challenge=row.challenge,
        before_sha256=row.before_sha256,
        after_sha256=row.after_sha256,
        seal_id=row.seal_id,
        seal_version=row.seal_version,
        account_id=row.account_id,
        verification_id=row.verification_id,
    )
    shown.authenticate_time.FromMicroseconds(row.authenticated_us)
    shown.sign_time.FromMicroseconds(row.signed_us)
    return shown
