"""Seals as the contract shows them."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.seals.desk import use_place
from cloud.seals.policy import POLICY
from cloud.seals.workshop import Workshop, reasons_place
from cloud.store import seals as rows
from cloud.store.seals import SealRow, UseRow, VersionRow
from verifield.v1 import seal_service_pb2 as pb


def outline(row: SealRow) -> pb.Seal:
    """Without its label and reasons: for lists, for staff, and for answers to changes, which are kept."""
    shown = pb.Seal(
        seal_id=row.seal_id,
        organisation_id=row.organisation_id,
        kind=pb.SealKind.ValueType(row.kind),
        state=pb.SealState.ValueType(row.state),
        approved_version=row.approved_version or 0,
        newest_version=row.newest_version,
    )
    shown.create_time.FromMicroseconds(row.created_us)
    shown.update_time.FromMicroseconds(row.updated_us)
    return shown


def inspect(connection: Connection, row: SealRow) -> pb.Seal:
    """For staff: with its versions."""
    shown = outline(row)
    shown.versions.extend(map(_version, rows.list_versions(connection, row.seal_id)))
    return shown


def describe(connection: Connection, workshop: Workshop, row: SealRow, *, admin: bool) -> pb.Seal:
    """For its administrator; for who holds a grant, without reasons and without versions that do not sign."""
    shown = outline(row)
    shown.label = workshop.label(connection, row)
    for one in rows.list_versions(connection, row.seal_id):
        if not admin and one.version != row.approved_version:
            continue
        version = _version(one)
        if admin:
            place, vault = reasons_place(one.version_id), workshop.registry.organisations.vault
            reasons = vault.reasons(connection, row.organisation_id, place, one.reasons)
            version.reasons.extend(pb.SealReason(code=found.code, text=found.text) for found in reasons)
        shown.versions.append(version)
    return shown


def open_image(
    connection: Connection, workshop: Workshop, row: SealRow, version: int, *, any_version: bool
) -> bytes:
    """The picture of a version; 0: of the one that signs.

    Raises:
        ServiceError: SEAL_NOT_FOUND, OBJECT_NOT_FOUND, OBJECT_DAMAGED.
    """
    number = version or row.approved_version or 0
    found = rows.find_version(connection, row.seal_id, number) if number else None
    if found is None or not (any_version or number == row.approved_version):
        raise ServiceError(Reason.SEAL_NOT_FOUND, "The seal has no such version.")
    return workshop.registry.objects.open(connection, found.object_id)


def policy() -> pb.SealImagePolicy:
    """What counts now."""
    return pb.SealImagePolicy(
        version=POLICY.version,
        format="PNG",
        max_bytes=POLICY.max_bytes,
        min_side_px=POLICY.min_side_px,
        max_side_px=POLICY.max_side_px,
        min_transparent_per_mille=POLICY.min_transparent_per_mille,
        min_ink_per_mille=POLICY.min_ink_per_mille,
        max_ink_per_mille=POLICY.max_ink_per_mille,
        min_colour_per_mille=POLICY.min_colour_per_mille,
        colours=POLICY.colours,
        min_side_dmm=POLICY.min_side_dmm,
        max_side_dmm=POLICY.max_side_dmm,
        min_dots_per_inch=round(POLICY.min_px_per_mm * 25.4),
        max_white_per_mille=POLICY.max_white_per_mille,
        max_faint_per_mille=POLICY.max_faint_per_mille,
    )


def describe_uses(connection: Connection, persons: Persons, found: list[UseRow]) -> list[pb.SealUse]:
    """Lines of the log; places of persons who were erased are empty."""
    keys = persons.keys_of(connection, {row.account_id for row in found})
    shown = []
    for row in found:
        key = keys.get(row.account_id)
        one = pb.SealUse(
            use_id=row.use_id,
            seal_id=row.seal_id,
            version=row.version,
            grant_id=row.grant_id,
            account_id=row.account_id,
            scope=pb.SealScope.ValueType(row.scope),
            subject=row.subject,
            document_sha256=row.document_sha256,
            field_name=row.field_name,
            place=persons.open_text(key, use_place(row.use_id), row.place) if key else "",
        )
        one.time.FromMicroseconds(row.time_us)
        shown.append(one)
    return shown


def _version(row: VersionRow) -> pb.SealVersion:
    shown = pb.SealVersion(
        version=row.version,
        state=pb.SealVersionState.ValueType(row.state),
        source=pb.SealSource.ValueType(row.source),
        image_sha256=row.image_sha256,
        width_px=row.width_px,
        height_px=row.height_px,
        width_dmm=row.width_dmm,
        height_dmm=row.height_dmm,
        colour=pb.SealColour.ValueType(row.colour),
        policy_version=row.policy_version,
    )
    shown.create_time.FromMicroseconds(row.created_us)
    if row.decided_us is not None:
        shown.decide_time.FromMicroseconds(row.decided_us)
    return shown
