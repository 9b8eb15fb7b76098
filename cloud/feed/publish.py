"""What rooms of the service hand down as tasks: accounts to be activated, contracts to be signed.

Each call is part of its caller's transaction: a task is handed down if and only if what it is about was
stored. Publishing a task of the same id again replaces it on the devices, withdrawing takes it away. A
room also withdraws what has expired: devices forget it by themselves, the store here does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.feed.vault import TaskVault
from cloud.store import feed
from verifield.rules import check_device_id, check_plain_name, check_uuid7
from verifield.tasks import Task, encode_task
from verifield.v1.sync_service_pb2 import (
    DOWN_ITEM_KIND_ACCOUNT,
    DOWN_ITEM_KIND_CONTRACT,
    DownItemKind,
)
from verifield.v1.task_pb2 import AccountTask, ContractTask


@dataclass(frozen=True, slots=True)
class Addressee:
    """Who is told: all devices of one site, or one device. Make it with the class methods."""

    scope: str

    @classmethod
    def site(cls, site_id: str) -> Addressee:
        """Raises Malformed where ``site_id`` is no plain name."""
        check_plain_name(site_id, what="site_id")
        return cls(feed.site_scope(site_id))

    @classmethod
    def device(cls, device_id: str) -> Addressee:
        """Raises Malformed where ``device_id`` is no plain name."""
        check_device_id(device_id)
        return cls(feed.task_scope(device_id))


def publish_activation(connection: Connection, to: Addressee, task: AccountTask, *, vault: TaskVault) -> None:
    """Hand down an account that awaits its activation, in place of the task of its id.

    Raises:
        verifield.errors.Malformed, Unknown: the task breaks a rule; nothing is changed.
    """
    _publish(connection, to, DOWN_ITEM_KIND_ACCOUNT, task, vault=vault)


def publish_contract(connection: Connection, to: Addressee, task: ContractTask, *, vault: TaskVault) -> None:
    """Hand down a contract that awaits a signature; otherwise as :func:`publish_activation`."""
    _publish(connection, to, DOWN_ITEM_KIND_CONTRACT, task, vault=vault)


def withdraw(connection: Connection, to: Addressee, task_id: str) -> bool:
    """Take a task away from those it was handed to; False where it is not theirs (any more).

    Raises:
        verifield.errors.Malformed: ``task_id`` is none.
    """
    check_uuid7(task_id, what="task_id")
    found = False
    for kind in (DOWN_ITEM_KIND_ACCOUNT, DOWN_ITEM_KIND_CONTRACT):
        known = feed.get_item(connection, to.scope, kind=kind, item_id=task_id)
        if known is not None and not known.removed:
            feed.publish(connection, to.scope, kind=kind, item_id=task_id, removed=True)
            found = True
    return found


def _publish(
    connection: Connection, to: Addressee, kind: DownItemKind.ValueType, task: Task, *, vault: TaskVault
) -> None:
    row = feed.FeedRow(to.scope, 0, kind, task.task_id, encode_task(task), removed=False)
    content = vault.seal(connection, row)
    feed.publish(connection, to.scope, kind=kind, item_id=task.task_id, content=content)
