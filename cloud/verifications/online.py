"""Verifications by the holder, before and after an authority was asked: each function within a transaction.

An authority is asked outside of transactions, for it may take seconds:

    begin      the account's lock is taken; whether it may go on at all; a row PENDING is committed
    ask        the authority, with the attempt's id: the same question again is not charged twice
    conclude   the lock again; a row that is not PENDING any more stays as it is; else the answer is written

A server that dies in between leaves a row PENDING. A job ends it as ERROR_RETRYABLE, and so does the next
attempt: nobody is verified by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import Connection

from cloud.accounts.states import Event as AccountEvent
from cloud.accounts.states import State as AccountState
from cloud.authorities.port import AuthorityFault, Elements, FaceMatch, FaceResult, data_missing
from cloud.elements import FourElements
from cloud.errors import Reason, ServiceError
from cloud.sources import from_us
from cloud.store import verifications as rows
from cloud.store.verifications import FaceCheckRow, IdentityRow, VerificationRow
from cloud.verifications.desk import Held, Verifications, subject_of
from cloud.verifications.evidence import NONCE_LIFE, FaceEvidence, Wanted, same_card
from cloud.verifications.states import State
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.identity_pb2 import FaceEvidence as FaceEvidencePb
from verifield.v1.rulebook_pb2 import VerificationRules

CLAIM_LIFE_US = 120_000_000
"""How long an attempt may be PENDING while an authority is asked: twice the longest budget of a question."""

DAY = timedelta(days=1)
MAX_TRIES_A_DAY = 30
"""Attempts of one method by one account: far more than a person needs, far fewer than there are days of
validity to try."""

CHECK_LIST = "name,id_number,valid_from,valid_to"
"""What a person has to look at when the registry does not know the four: always all of them."""

NONCE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """An attempt that has begun. ``again``: the request was answered before, as its row says.

    ``known``: what the account had, so that nothing is written over what was changed meanwhile.
    """

    row: VerificationRow
    known: FourElements = field(repr=False)
    elements: FourElements = field(repr=False)
    again: bool = False


class Online:
    """``evidence``: judges what devices signed."""

    def __init__(self, desk: Verifications, evidence: FaceEvidence) -> None:
        self.desk = desk
        self._evidence = evidence

    def begin_elements(
        self, connection: Connection, account_id: str, given: FourElements | None, *, request_id: str
    ) -> Asked:
        """Begin with the four elements; ``given`` None: those of the account.

        Raises:
            ServiceError: ID_VALIDITY_CONFLICT, VERIFICATION_RUNNING, VERIFICATION_TRIES_USED,
                VERIFICATION_STATE, or why the account's state does not allow it.
        """
        held = self.desk.hold(connection, account_id)
        known = self.desk.accounts.personal(connection, account_id).elements
        elements = given or known
        method = pb.VERIFICATION_METHOD_FOUR_ELEMENTS
        answered = self._answered(connection, account_id, method, request_id=request_id)
        if answered is not None:
            return Asked(answered, known, elements, again=True)
        self.desk.check_open(held, AccountEvent.VERIFY_ELEMENTS)
        if elements != known and held.account.state != AccountState.PHONE_VERIFIED:
            raise ServiceError(
                Reason.VERIFICATION_STATE,
                "These are not the elements of the account; a change is told with UpdateIdentity.",
                {"remedies": "UPDATE_IDENTITY"},
            )
        row = begin(self.desk, connection, held, method, request_id=request_id)
        return Asked(row, known, elements)

    def conclude_elements(
        self, connection: Connection, asked: Asked, answer: Elements | AuthorityFault
    ) -> VerificationRow | ServiceError:
        """Write what the registry answered; an error is to be returned by the work of a mutation.

        Raises:
            ServiceError: VERIFICATION_STATE: the answer came too late.
        """
        held, row = resume(self.desk, connection, asked.row)
        if isinstance(answer, AuthorityFault):
            self.desk.interrupt(connection, row, code=answer.reason.value)
            return answer
        if (barred := bar(self.desk, connection, held, row, AccountEvent.VERIFY_ELEMENTS)) is not None:
            return barred
        if self.desk.accounts.personal(connection, row.account_id).elements != asked.known:
            return changed(self.desk, connection, row)
        if answer is Elements.MISSING:
            identity = self.desk.refuse(connection, held, row, code=Reason.VERIFICATION_DATA_MISSING)
            return missing(identity, self.desk.rules(connection))
        self.desk.confirm_elements(connection, held, row, asked.elements)
        return read(connection, row.verification_id)

    def start_face_check(self, connection: Connection, account_id: str, *, nonce: bytes) -> FaceCheckRow:
        """Give out a nonce; the account's earlier ones count no more.

        Raises:
            ServiceError: ELEMENTS_REQUIRED, ID_VALIDITY_CONFLICT, IDENTITY_DISPUTED, or why the state does
                not allow it.
        """
        held = self.desk.hold(connection, account_id)
        self._check_face(connection, held)
        now_us = self.desk.now_us
        row = FaceCheckRow(
            face_check_id=self.desk.new_id(),
            account_id=account_id,
            nonce=nonce,
            created_us=now_us,
            expires_us=now_us + _us(self._life(connection)),
        )
        rows.begin_face_check(connection, row)
        return row

    def begin_face(
        self,
        connection: Connection,
        account_id: str,
        face_check_id: str,
        evidence: FaceEvidencePb,
        *,
        request_id: str,
    ) -> Asked | ServiceError:
        """Check the evidence, and begin. A ServiceError that is returned was counted, and is to be told.

        Raises:
            ServiceError: what is wrong with the evidence (EVIDENCE_*), ELEMENTS_REQUIRED,
                ID_VALIDITY_CONFLICT, IDENTITY_DISPUTED, VERIFICATION_RUNNING, VERIFICATION_TRIES_USED, or
                why the account's state does not allow it.
        """
        held = self.desk.hold(connection, account_id)
        known = self.desk.accounts.personal(connection, account_id).elements
        method = pb.VERIFICATION_METHOD_FACE
        answered = self._answered(connection, account_id, method, request_id=request_id)
        if answered is not None:
            return Asked(answered, known, known, again=True)
        self._check_face(connection, held)
        if rows.is_used(connection, sha256(evidence.envelope).digest()):
            raise ServiceError(Reason.EVIDENCE_REPLAYED, "This record was used as evidence before.")
        check = self._open_check(connection, face_check_id, account_id)
        row = begin(self.desk, connection, held, method, request_id=request_id)
        rows.end_face_check(
            connection, face_check_id, verification_id=row.verification_id, now_us=self.desk.now_us
        )
        wanted = Wanted(
            nonce=bytes(check.nonce),
            issued=from_us(check.created_us),
            id_number=known.id_number,
            subject=subject_of(row.verification_id),
            life=timedelta(microseconds=check.expires_us - check.created_us),
        )
        try:
            checked = self._evidence.check(connection, evidence, wanted)
        except ServiceError as error:
            if error.reason is not Reason.EVIDENCE_OUTCOME:
                raise
            self.desk.refuse(connection, held, row, code=error.reason)
            return error
        row = replace(row, attestation_id=checked.attestation_id, device_id=checked.device_id)
        rows.change_verification(connection, row)
        if not same_card(checked.validity, known.validity):
            return self.desk.note_conflict(connection, held, row)
        return Asked(row, known, known)

    def conclude_face(
        self, connection: Connection, asked: Asked, answer: FaceResult | AuthorityFault
    ) -> VerificationRow | ServiceError:
        """Write what the registry answered; otherwise as :meth:`conclude_elements`."""
        held, row = resume(self.desk, connection, asked.row)
        if isinstance(answer, AuthorityFault):
            self.desk.interrupt(connection, row, code=answer.reason.value)
            return answer
        if (barred := bar(self.desk, connection, held, row, AccountEvent.VERIFY_IDENTITY)) is not None:
            return barred
        if self.desk.accounts.personal(connection, row.account_id).elements != asked.known:
            return changed(self.desk, connection, row)
        match answer.match:
            case FaceMatch.MATCH:
                return self.desk.confirm_person(connection, held, row)
            case FaceMatch.OTHER_CARD:  # it knew the four: they are those of a card that was replaced
                return self.desk.note_conflict(connection, held, row)
            case FaceMatch.MISSING:  # says nothing of the days: there is no face to compare with
                self.desk.refuse(connection, held, row, code=Reason.VERIFICATION_DATA_MISSING)
                return data_missing(check_list=CHECK_LIST, remedies="CTID,MANUAL")
            case _:
                identity = self.desk.refuse(connection, held, row, code=Reason.FACE_MISMATCH)
                return face_refused(identity, self.desk.rules(connection), answer)

    def _check_face(self, connection: Connection, held: Held) -> None:
        self.desk.check_open(held, AccountEvent.VERIFY_IDENTITY)
        self.desk.check_undisputed(connection, held)
        if held.identity.elements_us is None:
            raise ServiceError(Reason.ELEMENTS_REQUIRED, "The four elements have not been verified.")

    def _open_check(self, connection: Connection, face_check_id: str, account_id: str) -> FaceCheckRow:
        row = rows.get_face_check(connection, face_check_id)
        if row is None or row.account_id != account_id:
            raise ServiceError(Reason.EVIDENCE_NONCE, "This account has no such face check.")
        if row.ended_us is not None:
            raise ServiceError(Reason.EVIDENCE_NONCE, "The face check was used, or another one was begun.")
        return row

    def _answered(
        self, connection: Connection, account_id: str, method: int, *, request_id: str
    ) -> VerificationRow | None:
        """What a request with this id has led to already, where that was a yes: it is not asked again."""
        if not request_id:
            return None
        row = rows.newest_of_request(connection, account_id, method, request_id=request_id)
        return row if row is not None and row.state in (State.PASSED, State.STALE) else None

    def _life(self, connection: Connection) -> timedelta:
        return min(NONCE_LIFE, self.desk.rules(connection).evidence_max_age.ToTimedelta())


def begin(
    desk: Verifications, connection: Connection, held: Held, method: int, *, request_id: str
) -> VerificationRow:
    """Note that an attempt begins, where the account has not tried too often.

    Raises:
        ServiceError: VERIFICATION_TRIES_USED, VERIFICATION_RUNNING.
    """
    since_us = desk.now_us - _us(DAY)
    if rows.count_since(connection, held.account_id, method, since_us=since_us) >= MAX_TRIES_A_DAY:
        raise ServiceError(
            Reason.VERIFICATION_TRIES_USED,
            "Too many tries within 24 hours.",
            {"tries": str(MAX_TRIES_A_DAY), "escalation_allowed": "true", "remedies": "WINDOW"},
        )
    return desk.begin(connection, held, method, request_id=request_id, life_us=CLAIM_LIFE_US)


def resume(desk: Verifications, connection: Connection, row: VerificationRow) -> tuple[Held, VerificationRow]:
    """Lock the account and the attempt again, once the authority has answered.

    Raises:
        ServiceError: VERIFICATION_STATE: the answer came too late.
    """
    held = desk.hold(connection, row.account_id)
    found = read(connection, row.verification_id, lock=True)
    if found.state != State.PENDING:
        raise ServiceError(
            Reason.VERIFICATION_STATE,
            "The answer came too late: it counts no more.",
            {"state": State(found.state).name},
        )
    return held, found


def bar(
    desk: Verifications, connection: Connection, held: Held, row: VerificationRow, event: AccountEvent
) -> ServiceError | None:
    """End an attempt from which the account was barred while the authority was asked; None: it was not."""
    try:
        desk.check_open(held, event)
        if event is AccountEvent.VERIFY_IDENTITY:
            desk.check_undisputed(connection, held)
    except ServiceError as error:
        desk.interrupt(connection, row, code=error.reason.value)
        return error
    return None


def changed(desk: Verifications, connection: Connection, row: VerificationRow) -> ServiceError:
    """What was asked about is not the account's any more."""
    desk.interrupt(connection, row, code="CHANGED_MEANWHILE")
    return ServiceError(
        Reason.VERIFICATION_STATE, "The account was changed while the authority was asked: try again."
    )


def read(connection: Connection, verification_id: str, *, lock: bool = False) -> VerificationRow:
    """One attempt.

    Raises:
        ServiceError: VERIFICATION_NOT_FOUND.
    """
    found = rows.get_verification(connection, verification_id, lock=lock)
    if found is None:
        raise ServiceError(Reason.VERIFICATION_NOT_FOUND, "There is no such verification.")
    return found


def missing(identity: IdentityRow, rules: VerificationRules) -> ServiceError:
    """The registry does not know the four: always the same list, whichever of them is wrong."""
    allowed = identity.element_tries >= rules.tries_before_escalation
    return data_missing(
        check_list=CHECK_LIST,
        tries=str(identity.element_tries),
        escalation_allowed=str(allowed).lower(),
        remedies="CHECK_ELEMENTS,TICKET_FOUR_ELEMENTS" if allowed else "CHECK_ELEMENTS",
    )


def face_refused(identity: IdentityRow, rules: VerificationRules, answer: FaceResult) -> ServiceError:
    """It was another face, or none could be seen."""
    advised = identity.face_tries >= rules.face_tries_before_window
    return ServiceError(
        Reason.FACE_MISMATCH,
        "The face does not match the registry's photograph.",
        {
            "result": answer.match.value,
            "tries": str(identity.face_tries),
            "retry_class": "NEVER",
            "window_advised": str(advised).lower(),
            "remedies": "RETRY,CTID,MANUAL",
        },
    )


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
