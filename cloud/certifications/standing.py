"""How an account stands: whether a certification counts, and what ends one from outside of a review."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.certifications.badges import ACCOUNT_ENDED, FALSE_INFORMATION, RECERT
from cloud.certifications.core import Core
from cloud.certifications.desk import Desk
from cloud.certifications.states import CERTIFIED, MACHINE, Event, State
from cloud.certifications.vault import MEASURES
from cloud.errors import Reason, ServiceError
from cloud.messages.templates.certifications import REVOKED
from cloud.privacy.sealing import Place
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow
from verifield.v1 import archive_service_pb2 as archive_pb
from verifield.v1 import certification_service_pb2 as pb

_OF_THE_CARD = frozenset({"name", "validity"})
_LIVE = (State.DRAFT, State.SUBMITTED, State.IN_REVIEW, State.SUPPLEMENT_REQUIRED)


@dataclass(frozen=True, slots=True)
class Certified:
    """A certification that counts now."""

    application_id: str
    type_code: str
    badge_id: str
    expires_us: int


@dataclass(frozen=True, slots=True)
class Standings:
    """In the caller's transaction."""

    core: Core

    def find(self, connection: Connection, account_id: str) -> list[Certified]:
        """All that count now: passed, with a badge that has neither expired nor been taken back."""
        found = []
        for row in rows.applications_of(connection, account_id, [int(State.PASSED)]):
            badge = rows.badge_of(connection, row.application_id)
            if badge is None or row.superseded_us is not None or badge.revoked_us is not None:
                continue
            if self.core.now_us < badge.expires_us:
                one = Certified(row.application_id, row.type_code, badge.badge_id, badge.expires_us)
                found.append(one)
        return found

    def require_certified(
        self, connection: Connection, account_id: str, type_code: str = ""
    ) -> list[Certified]:
        """As :meth:`find`; ``type_code``: only this type will do. For whoever lets somebody sign.

        Raises:
            ServiceError: CERTIFICATION_REQUIRED.
        """
        found = [one for one in self.find(connection, account_id) if type_code in ("", one.type_code)]
        if not found:
            raise ServiceError(
                Reason.CERTIFICATION_REQUIRED,
                "No certification of this account counts now.",
                {"type": type_code} if type_code else {},
            )
        return found

    def refuse_outdated(self, connection: Connection, account_id: str) -> None:
        """Check that nothing that was certified of this account waits to be certified anew.

        Raises:
            ServiceError: CERTIFICATION_REQUIRED.
        """
        waiting = rows.applications_of(connection, account_id, [int(State.RECERT_REQUIRED)])
        outdated = next((row for row in waiting if row.superseded_us is None), None)
        if outdated is not None:
            raise ServiceError(
                Reason.CERTIFICATION_REQUIRED,
                "What was certified of this account has changed, and has to be certified again.",
                {"type": outdated.type_code},
            )

    def mark_false(
        self, connection: Connection, application_id: str, *, reason: str, caller: str
    ) -> ApplicationRow:
        """End a certification because what was said in it is not true.

        Raises:
            ServiceError: APPLICATION_NOT_FOUND, APPLICATION_STATE.
        """
        core = self.core
        row = core.lock(connection, application_id)
        row = core.move(connection, row, Event.REVOKE)
        rows.revoke_badges(connection, application_id, now_us=core.now_us, why=FALSE_INFORMATION)
        kind = archive_pb.CERTIFICATION_MEASURE_KIND_FALSE_INFORMATION
        self.note(connection, row.account_id, kind, reason, caller=caller, application_id=application_id)
        core.tell(connection, row, REVOKED)
        return row

    def note(
        self,
        connection: Connection,
        account_id: str,
        kind: int,
        reason: str,
        *,
        caller: str,
        application_id: str | None = None,
    ) -> None:
        """Keep why a measure was taken, and by whom."""
        core, measure_id = self.core, self.core.sources.uuid7()
        place = Place(MEASURES, "reason", measure_id)
        sealed = core.vault.seal(connection, account_id, place, reason.encode())
        row = care.MeasureRow(measure_id, account_id, kind, application_id, sealed, caller, core.now_us)
        care.add_measure(connection, row)


@dataclass(frozen=True, slots=True)
class CertificationWatcher:
    """Told of changes of accounts (cloud.accounts.desk.Watcher)."""

    core: Core
    desk: Desk

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """What was certified is no longer so: it is to be certified again before it counts.

        What is being reviewed was handed in with the old card: it is noted, and cannot be passed until it is
        handed in again. All that is open is locked, so that no decision of the same moment is overlooked.
        """
        if not fields:
            return
        why, now_us = pb.RECERT_REASON_IDENTITY_CHANGED, self.core.now_us
        states = [int(one) for one in (*_LIVE, State.PASSED)]
        for row in rows.applications_of(connection, account_id, states, lock=True):
            if row.state == State.PASSED:
                self.core.require_recert(connection, row, why, badge=RECERT)
            elif row.state in (State.SUBMITTED, State.IN_REVIEW) and fields & _OF_THE_CARD:
                care.add_recert(connection, row.application_id, why=why, account_id=account_id, now_us=now_us)

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """Nothing is open any more, and no badge counts."""
        for row in rows.applications_of(connection, account_id, [int(one) for one in _LIVE], lock=True):
            if MACHINE.allows(State(row.state), Event.WITHDRAW):
                self.desk.end(connection, row)
        for row in rows.applications_of(connection, account_id, [int(one) for one in CERTIFIED], lock=True):
            rows.revoke_badges(connection, row.application_id, now_us=self.core.now_us, why=ACCOUNT_ENDED)
