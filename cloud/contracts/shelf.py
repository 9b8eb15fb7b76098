"""What becomes of contracts afterwards: classes, the archive, and their end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.contracts.core import Core
from cloud.contracts.states import DRAFTS, MACHINE, Event, State
from cloud.contracts.terms import MAX_RETENTION_US
from cloud.errors import Reason, ServiceError
from cloud.sources import from_us
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow
from verifield.v1 import contract_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Shelf:
    """``account_id``: who asks."""

    core: Core

    def classify(
        self, connection: Connection, account_id: str, request: pb.ClassifyContractRequest
    ) -> ContractRow:
        """Give a contract another category, folder and tags.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE.
        """
        core = self.core
        row = core.own(connection, request.contract_id, account_id, lock=True)
        details = replace(
            core.vault.open_details(connection, row),
            folder=request.folder.strip(),
            tags=tuple(request.tags),
        )
        row = core.move(
            connection,
            row,
            Event.CLASSIFY,
            category=request.category,
            details=core.vault.details(connection, row.contract_id, details),
        )
        core.index(connection, row)
        return row

    def archive(
        self, connection: Connection, account_id: str, contract_id: str, *, retention_us: int | None
    ) -> ContractRow:
        """Make a completed contract read-only.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_RETENTION.
        """
        row = self.core.own(connection, contract_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.ARCHIVE)
        until_us = row.retention_until_us or 0
        if retention_us is not None:
            if not until_us <= retention_us <= self.core.now_us + MAX_RETENTION_US:
                raise _retained(until_us)
            until_us = retention_us
        return self.core.move(connection, row, Event.ARCHIVE, retention_until_us=until_us)

    def unarchive(self, connection: Connection, account_id: str, contract_id: str) -> ContractRow:
        """The way back.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE.
        """
        row = self.core.own(connection, contract_id, account_id, lock=True)
        return self.core.move(connection, row, Event.UNARCHIVE)

    def delete(self, connection: Connection, account_id: str, contract_id: str) -> ContractRow:
        """Take a draft away, or what has ended once its retention is over.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_STATE, CONTRACT_RETENTION.
        """
        row = self.core.own(connection, contract_id, account_id, lock=True)
        MACHINE.after(State(row.state), Event.DELETE)
        if row.retention_until_us is not None and row.retention_until_us > self.core.now_us:
            raise _retained(row.retention_until_us)
        return self.take_away(connection, row)

    def take_away(self, connection: Connection, row: ContractRow) -> ContractRow:
        """Let go of the files and of all that was told about a contract; the row is locked.

        What is left says that there was one, when, and the digests of its revisions.
        """
        core = self.core
        if State(row.state) is State.INTERNAL_REVIEW:
            row = core.move(connection, row, Event.REVIEW_RECALL)
        MACHINE.after(State(row.state), Event.DELETE)
        if State(row.state) in DRAFTS:
            rows.drop_parties(connection, row.contract_id)
        for party in rows.parties_of(connection, row.contract_id):
            empty = replace(party, name=None, address=None, asked=None, decline_reason=None, link_digest=None)
            rows.change_party(connection, empty)
        rows.put_reviews(connection, row.contract_id, [])
        rows.put_words(connection, row.contract_id, [])
        files = {row.upload_id, row.document_id, row.revision_id}
        files |= {one.object_id for one in rows.revisions_of(connection, row.contract_id)}
        for object_id in sorted(files - {None}, key=str):
            core.objects.drop(connection, str(object_id))
        return core.move(connection, row, Event.DELETE, details=None, category="")


def _retained(until_us: int) -> ServiceError:
    return ServiceError(
        Reason.CONTRACT_RETENTION,
        "The contract is kept until its retention ends.",
        {"until": from_us(until_us).strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
