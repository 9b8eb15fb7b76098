"""What offices are asked to find out: a person is awaited at a site, whose devices may be offline."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.feed.publish import Addressee, publish_activation, withdraw
from cloud.feed.vault import TaskVault
from cloud.sources import Sources, from_us, to_us
from cloud.store import site_verifications as rows
from cloud.store.site_verifications import TaskRow
from verifield.tasks import commit_number, mask_name
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.attestation_pb2 import DOCUMENT_TYPE_RESIDENT_ID
from verifield.v1.task_pb2 import AccountTask, TaskPerson

DEFAULT_LIFE = timedelta(days=7)
MAX_OPEN = 5
"""Offices at which one person may be awaited at a time."""

EXPIRED_AT_ONCE = 200

_NONCE_BYTES = 32
_SALT_BYTES = 32


class Sites:
    """Publishes and withdraws, in the caller's transaction, who holds the account's lock."""

    def __init__(self, sources: Sources, vault: TaskVault) -> None:
        self._sources = sources
        self._vault = vault

    def request(
        self,
        connection: Connection,
        *,
        account_id: str,
        site_id: str,
        name: str,
        id_number: str,
        life: timedelta,
        requested_by: str,
    ) -> TaskRow:
        """Have a person awaited at a site.

        Raises:
            ServiceError: SITE_UNKNOWN, VERIFICATION_RUNNING.
        """
        if not rows.has_device(connection, site_id):
            raise ServiceError(Reason.SITE_UNKNOWN, "No device that is let in stands at this site.")
        waiting = rows.open_tasks(connection, account_id)
        if any(task.site_id == site_id for task in waiting) or len(waiting) >= MAX_OPEN:
            raise ServiceError(
                Reason.VERIFICATION_RUNNING, "The person is awaited there, or at too many offices already."
            )
        now = self._sources.now()
        commitment = commit_number(id_number, salt=self._sources.random_bytes(_SALT_BYTES))
        row = TaskRow(
            task_id=self._sources.uuid7(),
            account_id=account_id,
            site_id=site_id,
            state=pb.SITE_VERIFICATION_STATE_OPEN,
            nonce=self._sources.random_bytes(_NONCE_BYTES),
            number_digest=commitment.digest,
            issued_us=to_us(now),
            expires_us=to_us(now + life),
            requested_by=requested_by,
        )
        rows.add_task(connection, row)
        task = AccountTask(
            task_id=row.task_id,
            account_id=account_id,
            person=TaskPerson(
                masked_name=mask_name(name),
                document_type=DOCUMENT_TYPE_RESIDENT_ID,
                number_digest=commitment.digest,
                number_salt=commitment.salt,
            ),
            nonce=row.nonce,
        )
        task.issue_time.FromDatetime(from_us(row.issued_us))
        task.expire_time.FromDatetime(from_us(row.expires_us))
        publish_activation(connection, Addressee.site(site_id), task, vault=self._vault)
        return row

    def cancel(self, connection: Connection, task_id: str) -> TaskRow:
        """Have the person awaited no more.

        Raises:
            ServiceError: SITE_TASK_NOT_FOUND, SITE_TASK_STATE.
        """
        row = rows.get_task(connection, task_id, lock=True)
        if row is None:
            raise ServiceError(Reason.SITE_TASK_NOT_FOUND, "There is no such request.")
        if row.state != pb.SITE_VERIFICATION_STATE_OPEN:
            raise ServiceError(Reason.SITE_TASK_STATE, "The request has ended.")
        close_task(connection, row, pb.SITE_VERIFICATION_STATE_WITHDRAWN)
        return row

    def expire(self, connection: Connection) -> int:
        """End what nobody came for in time, and take it off the devices; return how many that were."""
        over = rows.expired_tasks(connection, now_us=to_us(self._sources.now()), limit=EXPIRED_AT_ONCE)
        for row in over:
            close_task(connection, row, pb.SITE_VERIFICATION_STATE_EXPIRED)
        return len(over)


def close_task(connection: Connection, row: TaskRow, state: int) -> None:
    """End a request and take it off the devices."""
    rows.set_task_state(connection, row.task_id, state)
    withdraw(connection, Addressee.site(row.site_id), row.task_id)


def close_tasks(connection: Connection, account_id: str, state: int) -> None:
    """Have nobody awaited for this account any more.

    In one order of sites, for each has a row that its writers wait for.
    """
    for row in sorted(rows.open_tasks(connection, account_id), key=lambda one: one.site_id):
        close_task(connection, row, state)
