"""What is due by itself: deadlines that pass, reminders, and what is kept no longer.

Each contract is done in a transaction of its own, locked and looked at again: of two servers that find the
same one, the second finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from cloud.contracts.acts import Acts, awaited, last_told
from cloud.contracts.core import Core
from cloud.contracts.shelf import Shelf
from cloud.contracts.states import CAME_TO_NOTHING, DRAFTS, OPEN_STATES, State
from cloud.contracts.terms import KEEP_DRAFTS_US, MAX_REMINDERS, REMIND_AFTER_US
from cloud.errors import ServiceError
from cloud.store import contract_lists as lists
from cloud.store import contracts as rows
from cloud.store.contracts import ContractRow
from cloud.store.database import Store
from cloud.upkeep import Job

BATCH = 50

LOOK_S = 15.0
"""For deadlines: what a person calls at once, and a look at an index."""

DAILY_S = 900.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Any thread may use it."""

    core: Core
    acts: Acts
    shelf: Shelf
    store: Store

    def jobs(self) -> list[Job]:
        """For as long as the service runs."""
        return [
            Job("contracts.expire", self.expire, every_s=LOOK_S, full=BATCH),
            Job("contracts.remind", self.remind, every_s=DAILY_S, full=BATCH),
            Job("contracts.retain", self.retain, every_s=DAILY_S, full=BATCH),
        ]

    def expire(self) -> int:
        """End the contracts whose deadline has passed; return how many there were."""
        now_us = self.core.now_us

        def work(connection: Connection, row: ContractRow) -> bool:
            late = row.deadline_us is not None and row.deadline_us <= now_us and row.stamp_waits_us is None
            if State(row.state) not in OPEN_STATES or not late:
                return False
            self.acts.expire(connection, row)
            return True

        return self._each(lambda connection: lists.late(connection, now_us=now_us, limit=BATCH), work)

    def remind(self) -> int:
        """Remind those who have let some days pass; return of how many contracts."""
        before_us = self.core.now_us - REMIND_AFTER_US

        def work(connection: Connection, row: ContractRow) -> bool:
            if State(row.state) not in OPEN_STATES or (row.deadline_us or 0) <= self.core.now_us:
                return False
            due = [
                one
                for one in awaited(connection, row)
                if last_told(one) <= before_us and one.reminders < MAX_REMINDERS
            ]
            for party in due:
                self.acts.remind_one(connection, row, party, by_itself=True)
            return bool(due)

        return self._each(
            lambda connection: lists.to_remind(
                connection, before_us=before_us, most=MAX_REMINDERS, now_us=self.core.now_us, limit=BATCH
            ),
            work,
        )

    def retain(self) -> int:
        """Take away drafts that nobody touches, and what came to nothing long ago; return how many."""
        now_us = self.core.now_us
        drafts_us = now_us - KEEP_DRAFTS_US

        def work(connection: Connection, row: ContractRow) -> bool:
            state = State(row.state)
            old_draft = state in DRAFTS and row.updated_us <= drafts_us
            over = row.retention_until_us is not None and row.retention_until_us <= now_us
            if not old_draft and not (state in CAME_TO_NOTHING and over):
                return False
            self.shelf.take_away(connection, row)
            return True

        return self._each(
            lambda connection: lists.to_forget(connection, drafts_us=drafts_us, now_us=now_us, limit=BATCH),
            work,
        )

    def _each(
        self,
        find: Callable[[Connection], list[str]],
        work: Callable[[Connection, ContractRow], bool],
    ) -> int:
        with self.store.reading() as connection:
            found = find(connection)

        def one(contract_id: str, connection: Connection) -> bool:
            row = rows.get_contract(connection, contract_id, lock=True)
            return row is not None and work(connection, row)

        done, faults = 0, []
        for contract_id in found:
            try:
                done += self.store.run(partial(one, contract_id))
            except ServiceError as error:
                faults.append(error)  # of this contract; the others are not kept waiting by it
        if faults:
            raise faults[0]
        return done


@dataclass(frozen=True, slots=True)
class ContractWatcher:
    """A watcher of accounts (cloud.accounts.desk.Watcher): who ends an account sends nothing any more."""

    acts: Acts
    shelf: Shelf

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """Who opened an invitation stays the party that was invited."""

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """Drafts go, and what is out is withdrawn; concluded contracts stay with those who signed them.

        What an organisation sent is the organisation's.
        """
        states = [int(state) for state in DRAFTS | OPEN_STATES]
        for row in rows.contracts_sent_by(connection, account_id, states):
            if row.sender_organisation_id is not None:
                continue
            if State(row.state) in DRAFTS:
                self.shelf.take_away(connection, row)
            else:
                self.acts.end_by_sender(connection, row, account_id)
