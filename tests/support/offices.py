"""Two offices with a device each, which may be offline, and somebody who is awaited at them.

with running_identity(tmp_path, clock=clock) as room:
    offices = Offices(room, clock)
    holder = offices.holder()
    asked = offices.request(holder, "north")
    task = offices.task(offices.north, asked.task_id)
    offices.deliver(offices.north, offices.record(offices.north, task, holder.seen()))
    assert offices.results(asked.task_id).results[0].code == "PASSED"
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from tests.support.authorities import Somebody, somebody
from tests.support.cloud import CloudDevice, FakeClock
from tests.support.identity import Holder, IdentityRoom, Seen, manual_request, statement_of
from verifield.tasks import commit_number, parse_account_task
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_ACCOUNT
from verifield.v1.task_pb2 import AccountTask

NUMBERS = iter(range(30_000, 90_000))
PATIENCE_S = 15.0


class Offices:
    """Two offices with a device each, a window, and somebody who is awaited."""

    def __init__(self, room: IdentityRoom, clock: FakeClock) -> None:
        self.room, self.clock = room, clock
        self.people: dict[str, Somebody] = {}
        self.clerk = room.staff("li.wei", id_number=somebody(77).id_number)
        self.north = room.cloud.enroll(room.cloud.join_token("north"))
        self.south = room.cloud.enroll(room.cloud.join_token("south"))

    def holder(self) -> Holder:
        person = somebody(next(NUMBERS))
        self.room.authorities.add(person)
        made = self.room.holder(person)
        made.verify_elements()
        self.people[made.account_id] = person
        return made

    def request(self, holder: Holder, site: str, **more: Any) -> pb.SiteVerification:
        request = pb.RequestSiteVerificationRequest(account_id=holder.account_id, site_id=site, **more)
        answer = self.room.as_staff(self.clerk, "RequestSiteVerification", request)
        return answer.request

    def tasks(self, device: CloudDevice) -> list[AccountTask]:
        """What the device is told to wait for."""
        items = {
            item.item_id: item
            for item in self.room.cloud.pull(device).items
            if item.kind == DOWN_ITEM_KIND_ACCOUNT
        }
        return [parse_account_task(item.content) for item in items.values() if not item.removed]

    def task(self, device: CloudDevice, task_id: str) -> AccountTask:
        [found] = [task for task in self.tasks(device) if task.task_id == task_id]
        return found

    def record(self, device: CloudDevice, task: AccountTask, seen: Seen) -> bytes:
        """What the device signs for a task, without any line to the service."""
        digest = commit_number(seen.card.id_number, salt=task.person.number_salt).digest
        statement, _ = statement_of(
            device, seen, nonce=task.nonce, task_id=task.task_id, number_digest=digest
        )
        return device.sign(statement)

    def deliver(self, device: CloudDevice, *envelopes: bytes) -> None:
        [answer] = self.room.cloud.deliver(device, list(envelopes))
        assert [one.status for one in answer.results] == [1] * len(envelopes), answer

    def results(self, task_id: str, *, count: int = 1) -> pb.SiteVerification:
        """The request, once so many records for it were judged."""

        def look() -> pb.SiteVerification | None:
            answer = self.room.cloud.operator.call(
                self.room.cloud.operator.identity.ListSiteVerifications, pb.ListSiteVerificationsRequest()
            )
            [found] = [one for one in answer.requests if one.task_id == task_id]
            return found if len(found.results) >= count else None

        return wait_for(look)

    def conflicts(self, account_id: str) -> list[pb.Conflict]:
        request = pb.ListConflictsRequest(account_id=account_id)
        return list(
            self.room.cloud.operator.call(self.room.cloud.operator.identity.ListConflicts, request).conflicts
        )

    def settle(self, holder: Holder) -> None:
        """Somebody at a window sees the person."""
        request = manual_request(holder.account_id, reason=pb.MANUAL_REASON_CONFLICT)
        self.room.as_staff(self.clerk, "RecordManualVerification", request)

    def receipt_now(self, device: CloudDevice, task: AccountTask, holder: Holder) -> bytes:
        """Digest of a receipt that ``device`` gets now: what cites it was made later."""
        ended = self.record(device, task, holder.seen(outcome=att.OUTCOME_ABORTED))
        [answer] = self.room.cloud.deliver(device, [ended])
        return hashlib.sha256(answer.receipt).digest()


def cites(receipt_sha256: bytes) -> Callable[[att.Statement], None]:
    """A change to a statement: it cites this receipt."""

    def change(statement: att.Statement) -> None:
        statement.last_receipt_sha256 = receipt_sha256

    return change


def wait_for(look: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")
