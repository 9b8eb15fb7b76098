"""What happens to a seal when something happens to the review of one of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.messages.outbox import Messages
from cloud.messages.templates.organisations import SEAL_DECIDED
from cloud.organisations.handler import check_no_conflict, tell_account
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement, Task
from cloud.seals.desk import not_found
from cloud.seals.workshop import Workshop
from cloud.store import seals as rows
from cloud.store.seals import VersionRow
from verifield.v1 import seal_service_pb2 as pb

SUPPLEMENT_MISSED = "SUPPLEMENT_MISSED"


@dataclass(frozen=True, slots=True)
class SealReviews:
    """A ReviewHandler (cloud.reviews.port): its subjects are ``seal_versions/ID``, its lock is the seal's."""

    workshop: Workshop
    messages: Messages

    def hold(self, connection: Connection, subject: str) -> None:
        """Lock the seal's row."""
        self.workshop.find(connection, self._version(connection, subject).seal_id, lock=True)

    def shown(self, connection: Connection, task: Task) -> Mapping[str, str]:
        """What it has to match; the picture is read with SealService.ReadSealImage."""
        version = self._version(connection, task.subject)
        seal = self.workshop.find(connection, version.seal_id)
        registry = self.workshop.registry
        organisation = registry.organisations.find(connection, seal.organisation_id)
        profile = registry.organisations.profile(connection, organisation)
        return {
            "organisation_name": profile.name,
            "uscc": profile.uscc or profile.organisation_code,
            "seal_id": seal.seal_id,
            "seal_kind": pb.SealKind.Name(pb.SealKind.ValueType(seal.kind)).removeprefix("SEAL_KIND_"),
            "version": str(version.version),
            "source": pb.SealSource.Name(pb.SealSource.ValueType(version.source)).removeprefix(
                "SEAL_SOURCE_"
            ),
            "size_mm": f"{version.width_dmm / 10} x {version.height_dmm / 10}",
            "image_sha256": bytes(version.image_sha256).hex(),
        }

    def assigned(self, connection: Connection, task: Task) -> None:
        """A reviewer has it now."""
        self.workshop.assigned(connection, _id(task.subject), task.task_id)

    def supplement_asked(  # all refused alike
        self,
        connection: Connection,  # noqa: ARG002
        task: Task,  # noqa: ARG002
        supplement: Supplement,  # noqa: ARG002
    ) -> None:
        """There is nothing to add to a picture: another one is another version.

        Raises:
            ServiceError: SEAL_STATE.
        """
        raise ServiceError(Reason.SEAL_STATE, "Reject the picture with its reason: another one may follow.")

    def decided(self, connection: Connection, task: Task, decision: Decision) -> None:
        """The version signs, or does not.

        Raises:
            ServiceError: REVIEW_CONFLICT; ORG_REAL_NAME_REQUIRED: the organisation is verified no more.
        """
        version, registry = self._version(connection, task.subject), self.workshop.registry
        organisation = registry.organisations.find(connection, version.organisation_id)
        check_no_conflict(connection, task, frozenset(self.workshop.marks(connection, organisation)))
        if decision.outcome is Outcome.PASSED:
            registry.organisations.require_verified(connection, version.organisation_id)
            self.workshop.approve(connection, version.version_id)
        else:
            self.workshop.reject(connection, version.version_id, decision.reasons)
        self._tell(connection, organisation.account_id)

    def supplement_expired(self, connection: Connection, task: Task) -> None:
        """Nothing was asked for; a task that ended so all the same approves nothing."""
        version = self._version(connection, task.subject)
        self.workshop.reject(connection, version.version_id, [ReasonText(SUPPLEMENT_MISSED, "")])

    def reopened(self, connection: Connection, task: Task) -> None:
        """A decision does not stand: until it is made anew, the version does not sign."""
        self.workshop.reopen(connection, _id(task.subject), task.task_id)

    def _tell(self, connection: Connection, account_id: str) -> None:
        accounts, messages = self.workshop.registry.accounts, self.messages
        tell_account(connection, account_id, SEAL_DECIDED, accounts=accounts, messages=messages)

    def _version(self, connection: Connection, subject: str) -> VersionRow:
        found = rows.get_version(connection, _id(subject))
        if found is None:
            raise not_found()
        return found


def _id(subject: str) -> str:
    return subject.partition("/")[2]
