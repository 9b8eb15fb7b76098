"""What verifications need in time: attempts that nobody ends, records that came, requests that are over."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cloud.store import site_verifications
from cloud.store import verifications as rows
from cloud.store.database import Store
from cloud.upkeep import Job
from cloud.verifications.desk import Verifications
from cloud.verifications.judge import Judge
from cloud.verifications.sites import EXPIRED_AT_ONCE, Sites

JUDGED_AT_ONCE = 100
DUE_AT_ONCE = 100

_DAY_US = 86_400_000_000


def jobs(store: Store, desk: Verifications, sites: Sites, judge: Judge) -> list[Job]:
    """All jobs of this room. Any number of servers may run them."""
    upkeep = _Upkeep(store, desk, sites, judge)
    return [
        Job("identity.judge", upkeep.judge_records, every_s=1.0, full=JUDGED_AT_ONCE),
        Job("identity.overdue", upkeep.end_overdue, every_s=5.0),
        Job("identity.sites", upkeep.expire_sites, every_s=5.0, full=EXPIRED_AT_ONCE),
        Job("identity.recheck", upkeep.mark_due, every_s=600.0, full=DUE_AT_ONCE),
        Job("identity.clean", upkeep.clean, every_s=3600.0),
    ]


class _Upkeep:
    def __init__(self, store: Store, desk: Verifications, sites: Sites, judge: Judge) -> None:
        self._store = store
        self._desk = desk
        self._sites = sites
        self._judge = judge

    def judge_records(self) -> int:
        """Judge what devices delivered, each record in a transaction of its own.

        One that cannot be judged waits, and holds up none behind it; that is told once all had their turn.
        """
        with self._store.reading() as connection:
            waiting = site_verifications.waiting_purposes(connection, limit=JUDGED_AT_ONCE)

        done, fault = 0, None
        for row in waiting:
            judge_one = partial(self._judge.judge, attestation_id=row.attestation_id, task_id=row.task_id)
            try:
                done += self._store.run(judge_one)
            except DBAPIError:  # the database is away: so it will be for the others
                raise
            except Exception as error:  # whatever it is: the others are not to blame
                fault = error
        if fault is not None:
            raise fault
        return done

    def end_overdue(self) -> int:
        """End attempts to which no answer came: the server that had asked died, or the person did nothing."""
        return self._store.run(self._end_overdue)

    def expire_sites(self) -> int:
        """Take requests that are over off the devices."""
        return self._store.run(self._sites.expire)

    def mark_due(self) -> int:
        """Mark what is older than the rules allow."""

        def work(connection: Connection) -> int:
            span: timedelta = self._desk.rules(connection).recheck_after.ToTimedelta()
            before_us = self._desk.now_us - span // timedelta(microseconds=1)
            due = rows.identities_older(connection, before_us=before_us, limit=DUE_AT_ONCE)
            return sum(
                self._desk.mark_stale(connection, one, "RECHECK_DUE", before_us=before_us) for one in due
            )

        return self._store.run(work)

    def clean(self) -> int:
        """Forget nonces that expired more than a day ago."""
        before_us = self._desk.now_us - _DAY_US
        return self._store.run(lambda connection: rows.drop_face_checks(connection, before_us=before_us))

    def _end_overdue(self, connection: Connection) -> int:
        over = rows.overdue(connection, now_us=self._desk.now_us)
        for row in over:
            self._desk.interrupt(connection, row, code="NO_ANSWER")
        return len(over)
