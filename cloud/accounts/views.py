"""Accounts as the contract shows them: personal values masked."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.filing import judge_filing
from cloud.accounts.personal import Personal, to_validity_message
from cloud.accounts.states import NEXT_STEPS, State
from cloud.privacy.masks import mask_email, mask_id_number, mask_name, mask_phone
from cloud.store import account_sessions
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb


def next_step(state: int) -> pb.NextStep.ValueType:
    """What the holder does next."""
    return NEXT_STEPS.get(State(state), pb.NEXT_STEP_NONE)


def etag_of(account_id: str, version: int) -> str:
    """Changes with every change of the account."""
    digest = hashlib.sha256(f"{account_id} {version}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:12]).decode()


def show_account(connection: Connection, accounts: Accounts, row: AccountRow, now_us: int) -> pb.Account:
    """One account."""
    [account] = show_accounts(connection, accounts, [row], now_us)
    return account


def show_accounts(
    connection: Connection, accounts: Accounts, rows: Sequence[AccountRow], now_us: int
) -> list[pb.Account]:
    """Some accounts, in their order."""
    personal = accounts.vault.open_all(connection, rows)
    locked = account_sessions.locked_until(connection, [row.account_id for row in rows])
    return [_to_account(row, personal[row.account_id], now_us, locked.get(row.account_id, 0)) for row in rows]


def _to_account(row: AccountRow, personal: Personal, now_us: int, locked_until_us: int) -> pb.Account:
    account = pb.Account(
        account_id=row.account_id,
        state=cast("pb.AccountState.ValueType", row.state),
        subject_type=cast("pb.SubjectType.ValueType", row.subject_type),
        source=cast("pb.AccountSource.ValueType", row.source),
        next_step=next_step(row.state),
        name=mask_name(personal.name) if personal.name else "",
        id_number=mask_id_number(personal.id_number),
        phone=mask_phone(personal.phone.removeprefix("+86")),
        email=mask_email(personal.email) if personal.email else "",
        login_name=personal.login_name,
        organisation_name=personal.organisation_name,
        organisation_code=personal.organisation_code,
        validity=to_validity_message(personal.validity) if personal.validity else None,
        language=row.language,
        prefers=cast("pb.ContactChannel.ValueType", row.prefers),
        filing=judge_filing(row, now_us).to_message(),
        end_reason=cast("pb.DeregistrationReason.ValueType", row.end_reason),
        etag=etag_of(row.account_id, row.version),
    )
    account.create_time.FromMicroseconds(row.created_us)
    account.update_time.FromMicroseconds(row.updated_us)
    if locked_until_us > now_us:
        account.locked_until.FromMicroseconds(locked_until_us)
    return account
