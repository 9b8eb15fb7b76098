"""Organisations as the contract shows them."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.objects.store import ObjectRef
from cloud.organisations.registry import Registry
from cloud.organisations.states import State, state_of
from cloud.organisations.vault import reasons_place
from cloud.store import organisations as rows
from cloud.store.organisations import DocumentRow, EventRow, OrganisationRow
from verifield.v1 import organisation_service_pb2 as pb


def outline(row: OrganisationRow) -> pb.Organisation:
    """Without anything that was handed in: for lists, staff, and answers to changes, which are kept."""
    shown = pb.Organisation(
        organisation_id=row.organisation_id,
        state=pb.OrganisationState.ValueType(row.state),
        account_id=row.account_id,
        kind=pb.REAL_NAME_KIND_CORPORATE,
        task_id=row.task_id or "",
    )
    for field, moment in (("supplement_until", row.supplement_us), ("verify_time", row.verified_us)):
        if moment is not None:
            getattr(shown, field).FromMicroseconds(moment)
    shown.create_time.FromMicroseconds(row.created_us)
    shown.update_time.FromMicroseconds(row.updated_us)
    return shown


def with_name(connection: Connection, registry: Registry, row: OrganisationRow) -> pb.Organisation:
    """With its name alone: for its administrator's list, and for those who hold its seals."""
    shown = outline(row)
    shown.real_name.name = registry.organisations.profile(connection, row).name
    shown.prompts.extend(prompts(connection, registry, row))
    return shown


def inspect(connection: Connection, registry: Registry, row: OrganisationRow) -> pb.Organisation:
    """For staff: what happened and which documents there are; nothing of what they hold."""
    shown = outline(row)
    kept = rows.list_documents(connection, row.organisation_id)
    refs = registry.objects.find(connection, [one.document_id for one in kept])
    shown.documents.extend(describe_document(one, refs.get(one.document_id)) for one in kept)
    shown.timeline.extend(map(_step, rows.list_events(connection, row.organisation_id)))
    return shown


def describe(connection: Connection, registry: Registry, row: OrganisationRow) -> pb.Organisation:
    """All of it: for its administrator."""
    shown = inspect(connection, registry, row)
    shown.offered_to = row.offered_to or ""
    profile = registry.organisations.profile(connection, row)
    shown.real_name.CopyFrom(
        pb.OrganisationRealName(
            name=profile.name,
            uscc=profile.uscc,
            licence_number=profile.licence_number,
            organisation_code=profile.organisation_code,
            is_legal_representative=row.is_representative,
            legal_representative=pb.LegalRepresentative(
                name=profile.representative_name, id_number=profile.representative_id_number
            ),
        )
    )
    shown.prompts.extend(prompts(connection, registry, row))
    place = reasons_place(row.organisation_id)
    reasons = registry.organisations.vault.reasons(connection, row.organisation_id, place, row.reasons)
    shown.reasons.extend(pb.OrganisationReason(code=one.code, text=one.text) for one in reasons)
    return shown


def prompts(
    connection: Connection, registry: Registry, row: OrganisationRow
) -> list[pb.OrganisationPrompt.ValueType]:
    """What its administrator is asked to do, the most pressing first."""
    state, found = state_of(row), []
    if state is State.SUPPLEMENT:
        found.append(pb.ORGANISATION_PROMPT_SUPPLEMENT)
    if state is not State.VERIFIED:
        found.append(pb.ORGANISATION_PROMPT_REAL_NAME)
    if not registry.verifications.standing(connection, row.account_id).verified:
        found.append(pb.ORGANISATION_PROMPT_OWN_IDENTITY)
    return found


def describe_document(row: DocumentRow, ref: ObjectRef | None) -> pb.OrganisationDocument:
    """``ref`` None: its content is gone with the organisation whose it was."""
    shown = pb.OrganisationDocument(
        document_id=row.document_id, kind=pb.OrganisationDocumentKind.ValueType(row.kind)
    )
    if ref is not None:
        shown.sha256, shown.size_bytes, shown.media_type = ref.sha256, ref.size, ref.media_type
    shown.add_time.FromMicroseconds(row.added_us)
    return shown


def open_document(
    connection: Connection, registry: Registry, organisation_id: str, document_id: str
) -> tuple[pb.OrganisationDocument, bytes]:
    """A document, and its content.

    Raises:
        ServiceError: ORGANISATION_NOT_FOUND: there is no such document; OBJECT_NOT_FOUND, OBJECT_DAMAGED.
    """
    kept = rows.list_documents(connection, organisation_id)
    row = next((one for one in kept if one.document_id == document_id), None)
    if row is None:
        raise ServiceError(Reason.ORGANISATION_NOT_FOUND, "The organisation has no such document.")
    content = registry.objects.open(connection, document_id)
    refs = registry.objects.find(connection, [document_id])
    return describe_document(row, refs.get(document_id)), content


def _step(row: EventRow) -> pb.OrganisationStep:
    shown = pb.OrganisationStep(
        event=pb.OrganisationEvent.ValueType(row.event), state=pb.OrganisationState.ValueType(row.state)
    )
    shown.time.FromMicroseconds(row.time_us)
    return shown
