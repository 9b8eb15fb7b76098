"""Tasks of people who do not exist, with ids that follow from a short name."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timedelta

from tests.support.authority import NOW
from verifield.tasks import commit_number, encode_task, mask_name
from verifield.v1 import sync_service_pb2 as sync
from verifield.v1.attestation_pb2 import DOCUMENT_TYPE_RESIDENT_ID
from verifield.v1.policy_pb2 import SESSION_STEP_CONSENT, SESSION_STEP_SIGNATURE
from verifield.v1.task_pb2 import AccountTask, ContractTask, TaskPerson

NAME, NUMBER = "试验样本", "990000199001019990"
"""Nobody's: the region code 99 does not exist."""

SALT = bytes(range(32))
LIFE = timedelta(days=30)


def task_id(name: str) -> str:
    """A UUID version 7 of its own for each name."""
    bits = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big") & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=bits | 0x7 << 76 | 0x2 << 62))


def account_task(
    name: str, *, account_id: str = "acct-1", issued: datetime = NOW, life: timedelta = LIFE
) -> AccountTask:
    task = AccountTask(
        task_id=task_id(name),
        account_id=account_id,
        person=_person(),
        steps=[SESSION_STEP_CONSENT],
        nonce=hashlib.sha256(name.encode()).digest(),
    )
    task.issue_time.FromDatetime(issued)
    task.expire_time.FromDatetime(issued + life)
    return task


def contract_task(
    name: str, *, title: str = "Lease of a flat", issued: datetime = NOW, life: timedelta = LIFE
) -> ContractTask:
    task = ContractTask(
        task_id=task_id(name),
        contract_id="contract-1",
        person=_person(),
        steps=[SESSION_STEP_SIGNATURE],
        nonce=hashlib.sha256(name.encode()).digest(),
        title=title,
        party="Sample Housing",
        document_sha256=bytes(range(32)),
    )
    task.issue_time.FromDatetime(issued)
    task.expire_time.FromDatetime(issued + life)
    return task


def account_item(
    name: str, *, account_id: str = "acct-1", issued: datetime = NOW, life: timedelta = LIFE
) -> sync.DownItem:
    task = account_task(name, account_id=account_id, issued=issued, life=life)
    return sync.DownItem(kind=sync.DOWN_ITEM_KIND_ACCOUNT, item_id=task.task_id, content=encode_task(task))


def contract_item(name: str, *, title: str = "Lease of a flat", issued: datetime = NOW) -> sync.DownItem:
    task = contract_task(name, title=title, issued=issued)
    return sync.DownItem(kind=sync.DOWN_ITEM_KIND_CONTRACT, item_id=task.task_id, content=encode_task(task))


def removed_item(
    name: str, *, kind: sync.DownItemKind.ValueType = sync.DOWN_ITEM_KIND_ACCOUNT
) -> sync.DownItem:
    return sync.DownItem(kind=kind, item_id=task_id(name), removed=True)


def bad_item(item_id: str, content: bytes = b"") -> sync.DownItem:
    """An account's item that says no more than this."""
    return sync.DownItem(kind=sync.DOWN_ITEM_KIND_ACCOUNT, item_id=item_id, content=content)


def _person() -> TaskPerson:
    hidden = commit_number(NUMBER, salt=SALT)
    return TaskPerson(
        masked_name=mask_name(NAME),
        document_type=DOCUMENT_TYPE_RESIDENT_ID,
        number_digest=hidden.digest,
        number_salt=hidden.salt,
    )
