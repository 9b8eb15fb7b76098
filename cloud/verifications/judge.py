"""What a device recorded for a request, perhaps offline and days ago, and whether it counts: the rules.

A record was made between two times. The earliest is that of the request, whose nonce nobody can have named
before, or a later one that the receipt shows which it cites; the latest is when it came.

    1  it names the request's nonce                                                  OTHER_NONCE
    2  nobody withdrew the request, and the account has not ended; where its person  WITHDRAWN,
       has another account by then, that is a conflict for people                    OTHER_ACCOUNT
    3  it was made at the site that was asked                                        OTHER_SITE
    4  the device's certificate was not revoked before it came, and the device is    DEVICE
       let in
    5  it was made in the request's life: surely so, or by a clock that the device   TOO_LATE,
       calls trusted                                                                 TIME_UNCERTAIN
    6  the card was the awaited person's                                             OTHER_PERSON
    7  the device saw a live person who matches the photo of a resident's chip, by   the outcome, or its
       a camera that is not simulated                                                reason
    8  the account can be verified: its four elements are known, it has not ended,   the reason, or
       and it is not verified already                                                ALREADY_VERIFIED
    9  no other record contradicts it (below)                                        LOST_TO_EARLIER, CONFLICT

Two records about one account, made for different requests, contradict each other where one says that the
person stood there (PASSED) and the other that it was somebody else (NOT_MATCHED, SPOOF, OTHER_PERSON). What
was known when a request was made does not stand against it: whoever asked for it wanted another look.
Where the one was surely made before the other, the earlier one counts. Where both can have been the first,
nobody decides: the conflict stands beside both, the account is not verified (any more), and somebody at a
window sees the person. Nothing that was written about a record is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from sqlalchemy import Connection

from cloud.accounts.states import Event as AccountEvent
from cloud.accounts.states import State as AccountState
from cloud.errors import Reason, ServiceError
from cloud.sources import from_us, to_us
from cloud.store import attestations, devices
from cloud.store import identity_conflicts as conflicts
from cloud.store import site_verifications as rows
from cloud.store import verifications as verification_rows
from cloud.store.attestations import AttestationRow
from cloud.store.identity_conflicts import ConflictRow
from cloud.store.site_verifications import ResultRow, TaskRow
from cloud.store.verifications import VerificationRow
from cloud.verifications.desk import Held, Verifications
from cloud.verifications.evidence import check_outcome, earliest_of, outcome_name
from cloud.verifications.sites import close_task
from cloud.verifications.states import State
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.bundle_pb2 import Envelope
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE

PASSED = "PASSED"
LOST = "LOST_TO_EARLIER"
CONFLICT = "CONFLICT"
ALREADY = "ALREADY_VERIFIED"
WITHDRAWN = "WITHDRAWN"
OTHER_ACCOUNT = "OTHER_ACCOUNT"

YES = frozenset({PASSED, ALREADY, LOST, CONFLICT})
"""Codes of records that say: the person stood there."""

NO = frozenset({"NOT_MATCHED", "SPOOF", "OTHER_PERSON"})
"""Codes of records that say: it was somebody else."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A record was made between these two; microseconds."""

    not_before_us: int
    not_after_us: int

    def before(self, other: Bounds) -> bool:
        """Whether this one was surely made before the other."""
        return self.not_after_us < other.not_before_us


@dataclass(frozen=True, slots=True)
class Found:
    """What rules 1 to 7 said of a record: a code, or nothing against it."""

    code: str
    bounds: Bounds


class Judge:
    """``simulated``: whether records of simulated cameras count, for trials."""

    def __init__(self, desk: Verifications, *, simulated: bool = False) -> None:
        self._desk = desk
        self._simulated = simulated

    def judge(self, connection: Connection, attestation_id: str, task_id: str) -> bool:
        """Judge one record, once; False where another server has, or does."""
        task = rows.get_task(connection, task_id) if task_id else None
        held = self._desk.hold(connection, task.account_id) if task else None
        if not rows.claim_purpose(connection, attestation_id, now_us=self._desk.now_us):
            return False
        record = attestations.get_attestation(connection, attestation_id)
        if task is None or held is None or record is None:  # made for something else than a request to a site
            return True
        task = rows.get_task(connection, task_id, lock=True) or task
        statement = att.Statement.FromString(Envelope.FromString(record.envelope).payload)
        bounds = bounds_of(connection, statement, task, received_us=record.received_us)
        other_id = self._other_account(connection, held)
        ended = held.account.state == AccountState.DEREGISTERED
        code = check_record(statement, task, bounds, ended=ended) or self._check_device(connection, record)
        code = code or self._check_outcome(statement)
        if code == WITHDRAWN and other_id:
            code = OTHER_ACCOUNT
        code, against = self._weigh(connection, held, task, Found(code, bounds))
        verification_id = self._verify(connection, held, record) if code == PASSED else ""
        result = ResultRow(
            attestation_id=attestation_id,
            task_id=task_id,
            account_id=task.account_id,
            device_id=record.device_id,
            site_id=record.site_id,
            outcome=record.outcome,
            not_before_us=bounds.not_before_us,
            not_after_us=bounds.not_after_us,
            code=code,
            verification_id=verification_id,
            judged_us=self._desk.now_us,
        )
        rows.add_result(connection, result)
        if code == OTHER_ACCOUNT:
            self._add_conflict(connection, result, pb.CONFLICT_KIND_ACCOUNTS, other_account_id=other_id)
        self._note_conflicts(connection, held, result, against)
        if code in YES and task.state != pb.SITE_VERIFICATION_STATE_DONE:
            close_task(connection, task, pb.SITE_VERIFICATION_STATE_DONE)
        return True

    def _check_device(self, connection: Connection, record: AttestationRow) -> str:
        device = devices.get_device(connection, record.device_id)
        revoked_us = rows.revoked_us(connection, record.device_id, record.certificate_sha256)
        if revoked_us is not None and revoked_us <= record.received_us:  # rule 4
            return "DEVICE"
        let_in = device is not None and (device.state == DEVICE_STATE_ACTIVE or revoked_us is not None)
        return "" if let_in else "DEVICE"

    def _check_outcome(self, statement: att.Statement) -> str:
        try:
            check_outcome(statement, simulated=self._simulated)  # rule 7
        except ServiceError as error:
            outcome = outcome_name(statement)
            return outcome if outcome != "VERIFIED" else error.metadata["reason"] or "DOCUMENT"
        return ""

    def _weigh(
        self, connection: Connection, held: Held, task: TaskRow, found: Found
    ) -> tuple[str, list[ResultRow]]:
        """Rules 8 and 9: the final code, and the earlier results that say the opposite."""
        code = found.code or self._check_account(connection, held)
        if code and code not in NO | YES:
            return code, []
        opposite = YES if code in NO else NO
        against = [
            one
            for one in rows.results_of_account(connection, held.account_id)
            if one.code in opposite and one.task_id != task.task_id and one.judged_us > task.issued_us
        ]
        if code in NO:
            return code, against
        if any(_bounds(one).before(found.bounds) for one in against):
            return LOST, against
        if any(not found.bounds.before(_bounds(one)) for one in against):
            return CONFLICT, against
        return code or PASSED, against

    def _check_account(self, connection: Connection, held: Held) -> str:
        try:
            self._desk.check_open(held, AccountEvent.VERIFY_IDENTITY)  # rule 8
        except ServiceError as error:
            return error.reason.value
        if held.identity.elements_us is None:
            return Reason.ELEMENTS_REQUIRED.value
        if conflicts.has_open(connection, held.account_id):
            return CONFLICT
        counts = held.identity.verified_us is not None and held.identity.stale_us is None
        return ALREADY if counts else ""

    def _other_account(self, connection: Connection, held: Held) -> str:
        """The account that the person of an account which has ended has by now; empty for none."""
        if held.account.state != AccountState.DEREGISTERED:
            return ""
        number = self._desk.accounts.personal(connection, held.account_id).id_number
        other = self._desk.accounts.find_live(connection, number) if number else None
        return other.account_id if other else ""

    def _verify(self, connection: Connection, held: Held, record: AttestationRow) -> str:
        now_us = self._desk.now_us
        row = VerificationRow(
            verification_id=self._desk.new_id(),
            account_id=held.account_id,
            method=pb.VERIFICATION_METHOD_FACE,
            state=State.PASSED,
            code="",
            mark=0,
            request_id="",
            attestation_id=record.attestation_id,
            device_id=record.device_id,
            created_us=now_us,
            updated_us=now_us,
            expires_us=now_us,
        )
        verification_rows.add_verification(connection, row)
        self._desk.confirm_person(connection, held, row)
        return row.verification_id

    def _note_conflicts(
        self, connection: Connection, held: Held, new: ResultRow, against: list[ResultRow]
    ) -> None:
        """Write down what contradicts what; who was verified by the one that does not count is no more."""
        for old in against:
            winner = _winner(old, new)
            self._add_conflict(
                connection,
                new,
                pb.CONFLICT_KIND_OUTCOMES,
                old=old,
                winner=winner.attestation_id if winner else "",
            )
            loser_is_old = winner is new or winner is None
            if loser_is_old and old.code == PASSED and self._stands_on(connection, held, old):
                self._desk.mark_stale(connection, held.account_id, "CONFLICT")

    def _stands_on(self, connection: Connection, held: Held, result: ResultRow) -> bool:
        identity = verification_rows.get_identity(connection, held.account_id)
        return bool(result.verification_id) and identity.verification_id == result.verification_id

    def _add_conflict(
        self,
        connection: Connection,
        new: ResultRow,
        kind: int,
        *,
        old: ResultRow | None = None,
        winner: str = "",
        other_account_id: str = "",
    ) -> None:
        row = ConflictRow(
            conflict_id=self._desk.new_id(),
            account_id=new.account_id,
            kind=kind,
            state=pb.CONFLICT_STATE_DECIDED_BY_TIME if winner else pb.CONFLICT_STATE_OPEN,
            first_id=old.attestation_id if old else new.attestation_id,
            second_id=new.attestation_id if old else "",
            winner_id=winner,
            other_account_id=other_account_id,
            opened_us=self._desk.now_us,
        )
        conflicts.add_conflict(connection, row)


def check_record(statement: att.Statement, task: TaskRow, bounds: Bounds, *, ended: bool) -> str:
    """Rules 1 to 3, 5 and 6, which need only the record and the request; empty where they are kept.

    ``ended``: whether the account has.
    """
    if statement.purpose.nonce != bytes(task.nonce):
        return "OTHER_NONCE"
    if ended or task.state == pb.SITE_VERIFICATION_STATE_WITHDRAWN:
        return WITHDRAWN
    if statement.site.site_id != task.site_id:
        return "OTHER_SITE"
    if bounds.not_before_us > task.expires_us:
        return "TOO_LATE"
    if bounds.not_after_us > task.expires_us and not _surely_in_time(statement, task, bounds):
        return "TIME_UNCERTAIN"
    if statement.HasField("document") and statement.purpose.number_digest != bytes(task.number_digest):
        return "OTHER_PERSON"
    return ""


def bounds_of(connection: Connection, statement: att.Statement, task: TaskRow, *, received_us: int) -> Bounds:
    """Between which two times a record was made that names the request's nonce."""
    earliest = earliest_of(connection, statement)
    not_before_us = max(task.issued_us, to_us(earliest)) if earliest else task.issued_us
    return Bounds(min(not_before_us, received_us), received_us)


def _surely_in_time(statement: att.Statement, task: TaskRow, bounds: Bounds) -> bool:
    """By the device's own clock, where that was synchronised and does not contradict what else is known."""
    if statement.clock.quality != att.TIME_QUALITY_TRUSTED:
        return False
    wall = statement.clock.wall_time.ToDatetime(tzinfo=UTC)
    return from_us(bounds.not_before_us) <= wall <= from_us(min(bounds.not_after_us, task.expires_us))


def _bounds(result: ResultRow) -> Bounds:
    return Bounds(result.not_before_us, result.not_after_us)


def _winner(old: ResultRow, new: ResultRow) -> ResultRow | None:
    if _bounds(old).before(_bounds(new)):
        return old
    return new if _bounds(new).before(_bounds(old)) else None
