"""Requests as the contract shows them."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.business.desk import BusinessDesk
from cloud.business.etags import etag_of
from cloud.objects.store import ObjectRef
from cloud.store import business as rows
from cloud.store.business import BusinessRow, DocumentRow, EventRow
from cloud.store.steps import StepRow
from verifield.v1 import business_service_pb2 as pb
from verifield.v1 import certification_service_pb2


def outline(row: BusinessRow) -> pb.BusinessRequest:
    """Without anything personal: for lists, and for answers to changes, which are kept."""
    shown = pb.BusinessRequest(
        business_id=row.business_id,
        service_code=row.service_code,
        state=pb.BusinessState.ValueType(row.state),
        account_id=row.account_id,
        agent_account_id=row.agent_account_id or "",
        permission=pb.PermissionSnapshot.FromString(bytes(row.permission)),
        process_version=row.process_version,
        etag=etag_of(row),
    )
    if row.submit_permission is not None:
        shown.submit_permission.ParseFromString(bytes(row.submit_permission))
    if row.supplement_us is not None:
        shown.supplement_until.FromMicroseconds(row.supplement_us)
    shown.create_time.FromMicroseconds(row.created_us)
    shown.update_time.FromMicroseconds(row.updated_us)
    return shown


def describe(connection: Connection, desk: BusinessDesk, row: BusinessRow) -> pb.BusinessRequest:
    """All that is known of one request."""
    shown = outline(row)
    shown.text = desk.vault.text(connection, row)
    reasons = desk.vault.reasons(connection, row)
    shown.reasons.extend(pb.BusinessReason(code=one.code, text=one.text) for one in reasons)
    kept = rows.list_documents(connection, row.business_id)
    refs = desk.objects.find(connection, [one.document_id for one in kept])
    shown.documents.extend(describe_document(one, refs.get(one.document_id)) for one in kept)
    shown.timeline.extend(map(_step, rows.list_events(connection, row.business_id)))
    return shown


def describe_document(row: DocumentRow, ref: ObjectRef | None) -> pb.BusinessDocument:
    """``ref`` None: its content is gone with the person whose it was."""
    shown = pb.BusinessDocument(document_id=row.document_id, kind=pb.BusinessDocumentKind.ValueType(row.kind))
    if ref is not None:
        shown.sha256, shown.size_bytes, shown.media_type = ref.sha256, ref.size, ref.media_type
    shown.add_time.FromMicroseconds(row.added_us)
    return shown


def describe_step(row: StepRow) -> pb.StepReport:
    """Of a report on requests."""
    return pb.StepReport(step=pb.BusinessState.ValueType(row.left_state), **_figures(row))


def describe_certification_step(row: StepRow) -> pb.CertificationStepReport:
    """Of a report on applications for certifications."""
    step = certification_service_pb2.ApplicationState.ValueType(row.left_state)
    return pb.CertificationStepReport(step=step, **_figures(row))


def _figures(row: StepRow) -> dict[str, int]:
    names = ("process_version", "count", "p50_us", "p90_us", "p99_us", "max_us")
    return {name: getattr(row, name) for name in names}


def _step(row: EventRow) -> pb.BusinessStep:
    shown = pb.BusinessStep(
        event=pb.BusinessEvent.ValueType(row.event), state=pb.BusinessState.ValueType(row.state)
    )
    shown.time.FromMicroseconds(row.time_us)
    return shown
