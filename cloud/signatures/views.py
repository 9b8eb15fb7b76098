"""Signings, signatures and passkeys as the contract has them."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.errors import ServiceError
from cloud.signatures.assets import Drawn
from cloud.signatures.desk import Desk
from cloud.signatures.ground import fields_of
from cloud.signatures.marks import Field
from cloud.signatures.methods import nonce_of
from cloud.signatures.passkeys import Opened, Passkeys
from cloud.signatures.states import State
from cloud.sources import from_us
from cloud.store import contracts as contract_rows
from cloud.store.signatures import RecordRow, SigningRow
from verifield.v1 import signing_service_pb2 as pb


class Views:
    """``passkeys``: what an authenticator is asked for is part of a signing that was started."""

    def __init__(self, desk: Desk, passkeys: Passkeys) -> None:
        self._desk = desk
        self._passkeys = passkeys

    def signing(self, connection: Connection, row: SigningRow) -> pb.Signing:
        """To its person alone: who signs is told by name while it is open."""
        told = pb.Signing(
            signing_id=row.signing_id,
            contract_id=row.contract_id,
            party_id=row.party_id,
            state=pb.SigningState.ValueType(row.state),
            document_sha256=row.document_sha256,
            challenge=row.challenge,
            nonce=nonce_of(row),
            method=pb.SignMethod.ValueType(row.method),
            reason=row.reason,
            site_id=row.site_id,
            task_id=row.task_id or "",
        )
        told.start_time.FromDatetime(from_us(row.started_us))
        told.expire_time.FromDatetime(from_us(row.expires_us))
        if row.authenticated_us is not None:
            told.authenticate_time.FromDatetime(from_us(row.authenticated_us))
        if row.signed_us is not None:
            told.sign_time.FromDatetime(from_us(row.signed_us))
        self._tell_ground(connection, row, told)
        return told

    def _tell_ground(self, connection: Connection, row: SigningRow, told: pb.Signing) -> None:
        ground = self._desk.ground
        party = contract_rows.get_party(connection, row.party_id)
        try:
            contract = ground.contracts.get(connection, row.contract_id)
            if party is None:
                return
            signer = ground.signer(connection, party, row.account_id)
        except ServiceError:  # it was deleted, or the person is not verified any more: nothing is told of it
            return
        told.signer_name, told.organisation_name = signer.name, signer.organisation
        told.marks.extend(map(mark, fields_of(ground.contracts.marks(connection, contract, party))))
        if row.state != State.STARTED:
            return
        told.allowed_methods.extend(self._desk.allowed(contract))
        if pb.SIGN_METHOD_PASSKEY in told.allowed_methods:
            told.passkey_options_json = self._passkeys.ask(connection, row.account_id, nonce_of(row))


def mark(one: Field) -> pb.SignMark:
    """A place that is filled."""
    return pb.SignMark(
        field=one.name,
        kind=pb.MarkKind.Value(f"MARK_KIND_{one.kind.name}"),
        page=one.page,
        x=one.x,
        y=one.y,
        width=one.width,
        height=one.height,
    )


def asset(drawn: Drawn) -> pb.SignatureAsset:
    """A drawn signature."""
    told = pb.SignatureAsset(
        asset_id=drawn.row.asset_id,
        kind=pb.SIGNATURE_ASSET_KIND_HANDWRITTEN,
        image=drawn.image,
        image_sha256=drawn.row.image_sha256,
    )
    told.create_time.FromDatetime(from_us(drawn.row.created_us))
    return told


def passkey(opened: Opened) -> pb.Passkey:
    """A passkey, to its owner."""
    row = opened.row
    told = pb.Passkey(passkey_id=row.passkey_id, name=opened.name, synced=bool(row.synced))
    told.create_time.FromDatetime(from_us(row.created_us))
    if row.used_us is not None:
        told.last_use_time.FromDatetime(from_us(row.used_us))
    return told


def record(row: RecordRow) -> pb.SignatureRecord:
    """A signature, to the parties of its contract."""
    told = pb.SignatureRecord(
        record_id=row.record_id,
        contract_id=row.contract_id,
        party_id=row.party_id,
        kind=pb.SignatureKind.ValueType(row.kind),
        field=row.field,
        certificate_serial=row.serial,
        method=pb.SignMethod.ValueType(row.method),
        evidence_id=row.evidence_id,
        document_sha256=row.document_sha256,
        challenge=row.challenge,
        preview_hash=row.preview_sha256,
        before_sha256=row.before_sha256,
        after_sha256=row.after_sha256,
        seal_id=row.seal_id or "",
        seal_version=row.seal_version,
        device_id=row.device_id,
        evidence_sha256=row.evidence_sha256 or b"",
    )
    told.authenticate_time.FromDatetime(from_us(row.authenticated_us))
    told.sign_time.FromDatetime(from_us(row.signed_us))
    return told
