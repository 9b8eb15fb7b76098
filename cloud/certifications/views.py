"""Rows as the contract has them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.certifications.core import Core
from cloud.certifications.desk import Desk, etag_of
from cloud.certifications.forms import to_values
from cloud.certifications.states import MACHINE, NEXT_ACTIONS, Event, State
from cloud.certifications.vault import APPLICATIONS, RESULTS, parse_reasons
from cloud.privacy.sealing import Place
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow, EventRow, MaterialRow, ResultRow
from verifield.v1 import certification_service_pb2 as pb


def moment(time_us: int | None) -> Timestamp | None:
    """A time; None for none."""
    if time_us is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


def number(reviewer: str | None) -> int:
    """A reviewer's number; 0 for nobody."""
    return int(reviewer) if reviewer and reviewer.isdecimal() else 0


def application(row: ApplicationRow) -> pb.Application:
    """Without what is personal."""
    return pb.Application(
        application_id=row.application_id,
        account_id=row.account_id,
        type_code=row.type_code,
        type_version=row.type_version,
        state=pb.ApplicationState.ValueType(row.state),
        previous_id=row.previous_id or "",
        create_time=moment(row.created_us),
        update_time=moment(row.updated_us),
        etag=etag_of(row),
        declare_time=moment(row.declared_us),
        declaration_version=row.declaration_version or 0,
    )


def materials(core: Core, connection: Connection, found: Iterable[MaterialRow]) -> list[pb.Material]:
    """Those that can still be opened."""
    listed = list(found)
    refs = core.objects.find(connection, [one.object_id for one in listed])
    return [
        pb.Material(
            material_id=one.material_id,
            kind=one.kind,
            category=pb.MaterialCategory.ValueType(one.category),
            media_type=refs[one.object_id].media_type,
            size_bytes=refs[one.object_id].size,
            sha256=refs[one.object_id].sha256,
            create_time=moment(one.created_us),
        )
        for one in listed
        if one.object_id in refs
    ]


def case(core: Core, connection: Connection, row: ApplicationRow) -> pb.GetApplicationResponse:
    """Form and material of one application."""
    found = rows.materials_of(connection, row.application_id)
    return pb.GetApplicationResponse(
        application=application(row),
        form=to_values(core.vault.open_form(connection, row)),
        materials=materials(core, connection, found),
    )


def reasons(core: Core, connection: Connection, row: ResultRow) -> list[pb.CertificationReason]:
    """Codes and texts."""
    place = Place(RESULTS, "reasons", row.result_id)
    content = core.vault.open(connection, row.account_id, place, row.reasons)
    return [pb.CertificationReason(code=code, text=text) for code, text in parse_reasons(content)]


def result(core: Core, connection: Connection, row: ResultRow) -> pb.CertificationResult:
    """One result, with the digest of its document."""
    document = core.objects.find(connection, [row.document_id]).get(row.document_id)
    return pb.CertificationResult(
        result_id=row.result_id,
        outcome=pb.ResultOutcome.ValueType(row.outcome),
        reasons=reasons(core, connection, row),
        reviewer_number=number(row.reviewer),
        decide_time=moment(row.decided_us),
        document_sha256=document.sha256 if document else b"",
    )


def status(desk: Desk, connection: Connection, row: ApplicationRow) -> pb.GetApplicationStatusResponse:
    """How far it has come, and what comes next."""
    core, state = desk.core, State(row.state)
    answer = pb.GetApplicationStatusResponse(
        application=application(row),
        next_action=NEXT_ACTIONS[state],
        timeline=[_event(one) for one in rows.events_of(connection, row.application_id)],
        supplement=_supplement(core, connection, row),
    )
    if MACHINE.allows(state, Event.EDIT):
        answer.missing_kinds.extend(desk.missing_kinds(connection, row))
    found = rows.get_result(connection, row.result_id) if row.result_id else None
    if found is not None and state not in (State.SUBMITTED, State.IN_REVIEW, State.SUPPLEMENT_REQUIRED):
        answer.result.CopyFrom(result(core, connection, found))
    whys = care.recerts_of(connection, row.application_id)
    answer.recert_reasons.extend(pb.RecertReason.ValueType(why) for why in whys)
    return answer


def history(core: Core, connection: Connection, found: list[ApplicationRow]) -> list[pb.HistoryEntry]:
    """Each application with its results."""
    results = rows.results_of(connection, [row.application_id for row in found])
    return [
        pb.HistoryEntry(
            application=application(row),
            results=[result(core, connection, one) for one in results.get(row.application_id, [])],
        )
        for row in found
    ]


def _event(row: EventRow) -> pb.ApplicationEvent:
    return pb.ApplicationEvent(
        kind=pb.ApplicationEventKind.ValueType(row.event),
        state=pb.ApplicationState.ValueType(row.state),
        time=moment(row.at_us),
        reviewer_number=number(row.reviewer),
        deadline=moment(row.due_us),
    )


def _supplement(core: Core, connection: Connection, row: ApplicationRow) -> pb.SupplementRequest | None:
    place = Place(APPLICATIONS, "supplement", row.application_id)
    content = core.vault.open(connection, row.account_id, place, row.supplement)
    if not content:
        return None
    code, text, items = json.loads(content)
    return pb.SupplementRequest(
        reason=pb.CertificationReason(code=code, text=text),
        items=items,
        deadline=moment(row.supplement_due_us),
    )
