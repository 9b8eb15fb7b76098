"""The periodic review: once a day, everything that counts is looked at for what is no longer so.

1  the round of a day is one row; servers take turns with it, a piece at a time, and go on where it stands
2  a certification whose holder's identity card has expired, whose verification is stale or too old, or whose
   badge has expired, becomes RECERT_REQUIRED: its holder is told, and has a task to certify again
3  at its end the round is closed: a second run on the same day finds nothing to do
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection

from cloud.accounts.states import State as AccountState
from cloud.certifications.badges import RECERT
from cloud.certifications.core import Core
from cloud.errors import ServiceError
from cloud.sources import to_us
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certification_care import RoundRow
from cloud.store.certifications import ApplicationRow
from cloud.store.database import Store
from verifield.v1 import certification_service_pb2 as pb

AT_ONCE = 50
"""Certifications in one transaction: some tens of milliseconds, in which others wait on SQLite."""

CHECK_LIVES = timedelta(days=5 * 365)
"""A verification of who somebody is counts so long; see docs/adr/0029-certifications.md."""


@dataclass(frozen=True, slots=True)
class PeriodicReview:
    """Any server may run it at any time."""

    core: Core
    store: Store

    def run(self) -> RoundRow:
        """Bring the round of today to its end; return how it stands then."""
        day = f"{self.core.sources.now():%Y-%m-%d}"
        while True:
            found = self.store.run(lambda connection: self.step(connection, day))
            if found.ended_us is not None:
                return found

    def job(self) -> int:
        """How many were flagged by this run, for the log."""
        day = f"{self.core.sources.now():%Y-%m-%d}"
        with self.store.reading() as connection:
            before = care.get_round(connection, day)
        if before is not None and before.ended_us is not None:
            return 0
        return self.run().flagged - (before.flagged if before else 0)

    def step(self, connection: Connection, day: str) -> RoundRow:
        """One piece, in the caller's transaction."""
        row = care.begin_round(connection, day, now_us=self.core.now_us)
        if row.ended_us is not None:  # step 3
            return row
        found = care.passed_after(connection, row.position, limit=AT_ONCE)
        flagged = sum(self._look_at(connection, one) for one in found)
        row = replace(
            row,
            position=found[-1].application_id if found else row.position,
            checked=row.checked + len(found),
            flagged=row.flagged + flagged,
            ended_us=None if len(found) == AT_ONCE else self.core.now_us,
        )
        care.change_round(connection, row)
        return row

    def _look_at(self, connection: Connection, row: ApplicationRow) -> bool:
        if self._is_gone(connection, row.account_id):
            return False
        reasons = self._reasons(connection, row)
        for why in reasons[1:]:
            care.add_recert(
                connection, row.application_id, why=why, account_id=row.account_id, now_us=self.core.now_us
            )
        if reasons:
            self.core.require_recert(connection, row, reasons[0], badge=RECERT)
        return bool(reasons)

    def _is_gone(self, connection: Connection, account_id: str) -> bool:
        """Nobody is there any more to certify again: the account has ended, or its holder was erased."""
        account = self.core.accounts.find(connection, account_id)
        return account.state == AccountState.DEREGISTERED or not self.core.vault.keeps(connection, account_id)

    def _reasons(self, connection: Connection, row: ApplicationRow) -> list[pb.RecertReason.ValueType]:
        core, now = self.core, self.core.sources.now()
        found: list[pb.RecertReason.ValueType] = []
        try:
            until = core.accounts.elements(connection, row.account_id).validity.valid_to
        except ServiceError:  # not all of it is known any more
            found.append(pb.RECERT_REASON_CHECK_STALE)
        else:
            if until is not None and until < now.date():
                found.append(pb.RECERT_REASON_ID_EXPIRED)
        standing = core.identities.standing(connection, row.account_id)
        old = standing.verified_us is None or standing.verified_us < to_us(now - CHECK_LIVES)
        if (standing.stale or not standing.verified or old) and pb.RECERT_REASON_CHECK_STALE not in found:
            found.append(pb.RECERT_REASON_CHECK_STALE)
        badge = rows.badge_of(connection, row.application_id)
        if badge is None or badge.expires_us <= core.now_us:
            found.append(pb.RECERT_REASON_BADGE_EXPIRED)
        return found
