"""Verification by a person at a window, and the ledger of those: added to, and never changed.

1  who confirms is a user of this service who is signed in: a token is nobody
2  it is known which person that user is (DeclareStaffIdentity), and it is not the account's holder
3  the attempt, the account and the ledger's entry are written together
4  an open conflict of the account is settled by it: somebody has seen the person

Step 2 fails closed: where nobody has said which person a user is, that user verifies nobody. An entry
covers the one before it by its digest, so that a ledger that was changed by whoever could drop the
triggers of the database does not add up any more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from cloud.access.call import Caller, Kind
from cloud.accounts.states import Event as AccountEvent
from cloud.errors import Reason, ServiceError
from cloud.store import identity_conflicts as conflicts
from cloud.store import verifications as rows
from cloud.store.verifications import LedgerRow, VerificationRow
from cloud.verifications.desk import Verifications
from cloud.verifications.people import Staff
from verifield.v1 import identity_service_pb2 as pb

_RACES = 5

LIFE_US = 1
"""Nobody is waited for: the attempt ends in the transaction in which it begins."""


class Ledger:
    """Each method within a transaction."""

    def __init__(self, desk: Verifications, staff: Staff) -> None:
        self._desk = desk
        self._staff = staff

    def record(
        self, connection: Connection, request: pb.RecordManualVerificationRequest, *, caller: Caller
    ) -> tuple[VerificationRow, LedgerRow]:
        """Confirm who the holder of an account is.

        Raises:
            ServiceError: OWN_IDENTITY, STAFF_IDENTITY_REQUIRED, ID_VALIDITY_CONFLICT,
                VERIFICATION_RUNNING, ACCOUNT_NOT_FOUND, or why the account's state does not allow it.
        """
        if caller.kind is not Kind.USER:  # rule 1
            raise ServiceError(
                Reason.STAFF_IDENTITY_REQUIRED, "Who verifies by hand is a user who is signed in."
            )
        held = self._desk.hold(connection, request.account_id)
        personal = self._desk.accounts.personal(connection, request.account_id)
        self._staff.check_not_self(connection, caller.name, personal.id_number)  # rule 2
        self._desk.check_open(held, AccountEvent.VERIFY_IDENTITY)
        attempt = self._desk.begin(
            connection,
            held,
            pb.VERIFICATION_METHOD_MANUAL,
            request_id=request.request_id.lower(),
            life_us=LIFE_US,
        )
        mark = pb.VERIFICATION_MARK_MANUAL_VERIFIED
        row = self._desk.confirm_person(connection, held, attempt, mark=mark)  # rule 3
        entry = self._add(connection, row, request, operator=caller.path)
        conflicts.settle(  # rule 4
            connection, held.account_id, settled_by=row.verification_id, now_us=self._desk.now_us
        )
        return row, entry

    def _add(
        self,
        connection: Connection,
        row: VerificationRow,
        request: pb.RecordManualVerificationRequest,
        *,
        operator: str,
    ) -> LedgerRow:
        for _ in range(_RACES):  # somebody at another window may be faster by a moment
            last = rows.last_entry(connection)
            entry = LedgerRow(
                number=last.number + 1 if last else 1,
                account_id=row.account_id,
                verification_id=row.verification_id,
                operator=operator,
                recorded_us=row.updated_us,
                place=request.place,
                documents=json.dumps(sorted(request.documents)),
                reason=request.reason,
                note=request.note,
                previous_sha256=bytes(last.entry_sha256) if last else bytes(32),
                entry_sha256=b"",
            )
            entry = replace(entry, entry_sha256=digest_of(entry))
            try:
                with connection.begin_nested():
                    rows.add_entry(connection, entry)
            except IntegrityError:
                continue
            return entry
        raise ServiceError(Reason.VERIFICATION_RUNNING, "Many others write into the ledger at this moment.")


def digest_of(entry: LedgerRow) -> bytes:
    """SHA-256 over all that an entry says, and the digest of the one before it."""
    said = [
        entry.number,
        entry.account_id,
        entry.verification_id,
        entry.operator,
        entry.recorded_us,
        entry.place,
        entry.documents,
        entry.reason,
        entry.note,
        bytes(entry.previous_sha256).hex(),
    ]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).digest()


def page_of_ledger(connection: Connection, *, start_us: int, end_us: int, after: int = 0) -> list[LedgerRow]:
    """Some entries of a span of time behind the number ``after``, in order; empty at the end.

    Raises:
        ServiceError: RECORD_DAMAGED, with the number at which the ledger does not add up.
    """
    found = rows.entries_between(connection, start_us=start_us, end_us=end_us, after=after)
    before = rows.entry_digests(connection, [entry.number - 1 for entry in found]) | {0: bytes(32)}
    for entry in found:
        chained = bytes(entry.previous_sha256) == before.get(entry.number - 1)
        if not chained or bytes(entry.entry_sha256) != digest_of(entry):
            raise ServiceError(
                Reason.RECORD_DAMAGED, "The ledger was changed from outside.", {"number": str(entry.number)}
            )
    return found
