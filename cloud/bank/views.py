"""Rows as the contract shows them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection

from cloud.bank.items import unpack
from cloud.bank.states import State
from cloud.bank.vault import Vault
from cloud.store import bank as rows
from cloud.store.bank import RecordRow, SessionRow
from cloud.store.banks import BankRow
from verifield.v1 import bank_pb2
from verifield.v1 import coop_service_pb2 as pb

FACE_TRIES = 3
"""Of one session: light and glasses explain two."""


def describe_session(connection: Connection, row: SessionRow) -> pb.CoopSession:
    """A session; nothing in it is personal."""
    known = unpack(row.items)
    session = pb.CoopSession(
        session_id=row.session_id,
        state=cast("pb.CoopState.ValueType", row.state),
        end=cast("pb.CoopEnd.ValueType", row.end),
        language=row.language,
        items=known.items,
        outcome=known.outcome,
        customer_id=row.customer_id or "",
        customer_version=row.customer_version,
        number=row.number or "",
    )
    session.create_time.FromMicroseconds(row.started_us)
    session.expire_time.FromMicroseconds(row.deadline_us)
    if row.state == State.CARD_ACCEPTED.value:
        session.nonce = row.nonce or b""
        session.face_tries_left = FACE_TRIES - row.face_tries
    if row.number:
        record = rows.record_of_session(connection, row.session_id)
        session.record_id = record.record_id if record else ""
    return session


def describe_bank(row: BankRow) -> bank_pb2.Bank:
    """A bank as the contract shows it."""
    bank = bank_pb2.Bank(
        bank_id=row.bank_id,
        code=row.code,
        name_zh=row.name_zh,
        name_en=row.name_en,
        name_es=row.name_es,
        periods=row.periods.split(),
        enabled=bool(row.enabled),
        etag=etag_of(row),
    )
    bank.create_time.FromMicroseconds(row.created_us)
    bank.update_time.FromMicroseconds(row.updated_us)
    return bank


def etag_of(row: BankRow) -> str:
    """Changes with every change of the row."""
    digest = hashlib.sha256(f"{row.bank_id} {row.version}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:12]).decode()


def describe_records(
    connection: Connection, vault: Vault, found: Sequence[RecordRow], *, now_us: int, language: str
) -> list[bank_pb2.CoopRecord]:
    """Records as they stand at ``now_us``."""
    return [_record(connection, vault, row, now_us=now_us, language=language) for row in found]


def state_of(row: RecordRow, *, now_us: int) -> bank_pb2.CoopRecordState.ValueType:
    """A record is good until the instant at which it expires, and not at that instant."""
    if row.revoked_us is not None:
        return bank_pb2.COOP_RECORD_STATE_REVOKED
    if now_us >= row.expires_us:
        return bank_pb2.COOP_RECORD_STATE_EXPIRED
    return bank_pb2.COOP_RECORD_STATE_VALID


def name_in(bank: bank_pb2.Bank, language: str) -> str:
    """A bank's name in ``zh`` or ``es``; for anything else in English."""
    return {"zh": bank.name_zh, "es": bank.name_es}.get(language, bank.name_en)


def _record(
    connection: Connection, vault: Vault, row: RecordRow, *, now_us: int, language: str
) -> bank_pb2.CoopRecord:
    organisation = vault.open(
        connection,
        row.customer_id,
        row.organisation_name,
        at=("coop_records", "organisation_name", row.record_id),
    )
    record = bank_pb2.CoopRecord(
        record_id=row.record_id,
        number=row.number,
        bank_id=row.bank_id,
        bank_name=name_in(bank_pb2.Bank.FromString(row.bank_names), language),
        organisation_name=(organisation or b"").decode(),
        organisation_id=row.organisation_id or "",
        outcome=cast("bank_pb2.CoopOutcome.ValueType", row.outcome),
        state=state_of(row, now_us=now_us),
        period=row.period,
        revocation=cast("bank_pb2.CoopRevocation.ValueType", row.revocation),
        customer_id=row.customer_id,
    )
    record.valid_from.FromMicroseconds(row.valid_from_us)
    record.expire_time.FromMicroseconds(row.expires_us)
    if row.revoked_us is not None:
        record.revoke_time.FromMicroseconds(row.revoked_us)
    return record
