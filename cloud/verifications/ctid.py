"""Verification by network certificate: begun here, agreed to by the person with a phone, asked for again.

It stays PENDING until the person has answered, and ends as ERROR_RETRYABLE where that does not happen in
the time that the authority gives. A new one takes the place of one that waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from cloud.accounts.states import Event as AccountEvent
from cloud.authorities.port import AuthorityFault, CtidResult, CtidState, CtidTransaction
from cloud.elements import FourElements
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.sources import to_us
from cloud.store import verifications as rows
from cloud.store.schema import ctid_transactions
from cloud.store.sealed import SealedTable
from cloud.store.verifications import CtidRow, VerificationRow
from cloud.verifications.desk import Verifications
from cloud.verifications.online import Asked, bar, begin, changed, read, resume
from cloud.verifications.states import State
from verifield.v1 import identity_service_pb2 as pb

TABLE = "ctid_transactions"

SEALED = SealedTable(ctid_transactions, key="verification_id", person="account_id", sealed=("nonce",))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction to ask about. ``ended``: the attempt is over already, as its row says."""

    asked: Asked
    transaction_id: str = ""
    nonce: bytes = field(default=b"", repr=False)
    ended: bool = False

    @property
    def person(self) -> FourElements:
        return self.asked.known


class CtidDesk:
    """Each method within a transaction; the authority is asked between them."""

    def __init__(self, desk: Verifications, persons: Persons) -> None:
        self._desk = desk
        self._persons = persons

    def begin(self, connection: Connection, account_id: str, *, request_id: str) -> Asked:
        """Begin; one that waits for the person ends, unless it is this request's own.

        Raises:
            ServiceError: VERIFICATION_RUNNING: the authority is being asked for this request;
                ID_VALIDITY_CONFLICT, IDENTITY_DISPUTED, VERIFICATION_TRIES_USED, or why the account's state
                does not allow it.
        """
        method = pb.VERIFICATION_METHOD_CTID
        held = self._desk.hold(connection, account_id)
        known = self._desk.accounts.personal(connection, account_id).elements
        if request_id:
            mine = rows.newest_of_request(connection, account_id, method, request_id=request_id)
            if mine is not None and rows.get_ctid(connection, mine.verification_id) is not None:
                return Asked(mine, known, known, again=True)
        self._desk.check_open(held, AccountEvent.VERIFY_IDENTITY)
        self._desk.check_undisputed(connection, held)
        left = rows.find_pending(connection, account_id, method)
        if left is not None and (not request_id or left.request_id != request_id):
            self._desk.interrupt(connection, left, code="SUPERSEDED")
        row = begin(self._desk, connection, held, method, request_id=request_id)
        return Asked(row, known, known)

    def started(
        self, connection: Connection, asked: Asked, answer: CtidTransaction | AuthorityFault | None
    ) -> VerificationRow | ServiceError:
        """Keep what the authority gave; ``answer`` None: this request was answered, and that is forgotten.

        Raises:
            ServiceError: VERIFICATION_STATE: another one was begun meanwhile.
        """
        if answer is None:
            return ServiceError(Reason.CTID_UNKNOWN, "The answer to this request id is not kept any more.")
        _held, row = resume(self._desk, connection, asked.row)
        if isinstance(answer, AuthorityFault):
            self._desk.interrupt(connection, row, code=answer.reason.value)
            return answer
        key = self._persons.key_of(connection, row.account_id)
        place = Place(TABLE, "nonce", row.verification_id)
        sealed = self._persons.seal_text(key, place, answer.nonce.hex())
        rows.add_ctid(connection, CtidRow(row.verification_id, row.account_id, answer.transaction_id, sealed))
        waiting = replace(row, expires_us=to_us(answer.expires))
        rows.change_verification(connection, waiting)
        return waiting

    def find(self, connection: Connection, account_id: str, verification_id: str) -> Waiting:
        """What to ask the authority about.

        Raises:
            ServiceError: VERIFICATION_NOT_FOUND, CTID_UNKNOWN.
        """
        row = read(connection, verification_id)
        if row.account_id != account_id or row.method != pb.VERIFICATION_METHOD_CTID:
            raise ServiceError(Reason.VERIFICATION_NOT_FOUND, "There is no such verification.")
        known = self._desk.accounts.personal(connection, account_id).elements
        asked = Asked(row, known, known)
        if row.state != State.PENDING:
            return Waiting(asked, ended=True)
        kept = rows.get_ctid(connection, verification_id)
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        place = Place(TABLE, "nonce", verification_id)
        nonce = self._persons.open_text(key, place, kept.nonce) if kept else ""
        if kept is None or not nonce:
            raise ServiceError(Reason.CTID_UNKNOWN, "The authority has not begun this verification.")
        return Waiting(asked, kept.transaction_id, bytes.fromhex(nonce))

    def finished(
        self, connection: Connection, waiting: Waiting, answer: CtidResult | None
    ) -> VerificationRow | ServiceError:
        """Write what the authority answered; ``answer`` None: the attempt was over already.

        Raises:
            ServiceError: why the account's state does not allow it.
        """
        held = self._desk.hold(connection, waiting.asked.row.account_id)
        row = read(connection, waiting.asked.row.verification_id, lock=True)
        if answer is None or row.state != State.PENDING:  # asked twice at a time: the other was faster
            return _ended(row)
        if (barred := bar(self._desk, connection, held, row, AccountEvent.VERIFY_IDENTITY)) is not None:
            return barred
        if self._desk.accounts.personal(connection, row.account_id).elements != waiting.person:
            return changed(self._desk, connection, row)
        match answer.state:
            case CtidState.PENDING:
                return row
            case CtidState.VERIFIED:
                return self._desk.confirm_person(connection, held, row)
            case CtidState.EXPIRED:
                return _ended(self._desk.interrupt(connection, row, code="CTID_EXPIRED"))
            case _:
                self._desk.refuse(connection, held, row, code=Reason.CTID_REFUSED)
                return _refused(answer.state.value)


def _ended(row: VerificationRow) -> VerificationRow | ServiceError:
    if row.state == State.FAILED:
        return _refused(row.code)
    if row.state == State.ERROR_RETRYABLE:
        return ServiceError(Reason.CTID_UNKNOWN, "This verification is over.", {"code": row.code})
    return row


def _refused(why: str) -> ServiceError:
    return ServiceError(
        Reason.CTID_REFUSED, "The network certificate did not confirm the holder.", {"result": why}
    )
