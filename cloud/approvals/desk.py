"""Approvals: an organisation's own documents, which its seal is set under.

The approval's row is locked first, then the organisation, the seal and its grants (cloud.seals.desk).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sqlalchemy import Connection

from cloud.approvals.states import MACHINE, Event, State
from cloud.codes.desk import Challenge, Codes, Purpose
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Objects, Staged
from cloud.pdf.intake import Document
from cloud.privacy.sealing import Place
from cloud.seals.desk import Scope, Seals, UsableSeal
from cloud.sources import Sources, to_us
from cloud.store import approvals as rows
from cloud.store.approvals import ApprovalRow, SignatureRow
from cloud.store.schema import approvals
from cloud.store.sealed import SealedTable

SEALED = SealedTable(approvals, key="approval_id", person="organisation_id", sealed=("title",))
"""For erasing an organisation."""

MAX_OPEN = 500
"""Of one organisation."""

CHALLENGE_BYTES = 16
_DOMAIN = b"verifield sign v1"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Who is about to seal an approval, by what, and when that was shown."""

    row: ApprovalRow
    seal: UsableSeal
    evidence_id: str
    challenge: bytes
    time_us: int


class Approvals:
    """In the caller's transaction; any thread may use it."""

    def __init__(self, seals: Seals, objects: Objects, codes: Codes, sources: Sources) -> None:
        self.seals = seals
        self.objects = objects
        self._codes = codes
        self._sources = sources

    def check_may_add(
        self, connection: Connection, organisation_id: str, *, caller: str, again: bool = False
    ) -> None:
        """Before an upload is read: whether its document would be taken.

        ``again``: it may be one that was taken before, and is answered as then, whatever came since.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND: the caller is no member; ORG_REAL_NAME_REQUIRED,
                APPROVALS_TOO_MANY.
        """
        self.require_member(connection, organisation_id, caller)
        if again:
            return
        self.seals.organisations.require_verified(connection, organisation_id)
        if rows.count_approvals(connection, organisation_id, state=State.OPEN) >= MAX_OPEN:
            raise ServiceError(
                Reason.APPROVALS_TOO_MANY,
                f"An organisation has at most {MAX_OPEN} approvals that are open.",
                {"limit": str(MAX_OPEN)},
            )

    def add(
        self,
        connection: Connection,
        organisation_id: str,
        staged: Staged,
        document: Document,
        *,
        caller: str,
        title: str,
    ) -> ApprovalRow:
        """Keep a document that was checked.

        Raises:
            ServiceError: as :meth:`check_may_add`.
        """
        self.check_may_add(connection, organisation_id, caller=caller)
        ref = self.objects.keep(connection, staged)
        approval_id, now_us = self._sources.uuid7(), to_us(self._sources.now())
        vault = self.seals.organisations.vault
        row = ApprovalRow(
            approval_id=approval_id,
            organisation_id=organisation_id,
            state=State.OPEN,
            title=vault.seal(connection, organisation_id, _place(approval_id), title.strip()),
            created_by=caller,
            object_id=ref.object_id,
            document_sha256=ref.sha256,
            pages=len(document.pages),
            sealed_object_id=None,
            sealed_sha256=None,
            created_us=now_us,
            updated_us=now_us,
            version=1,
        )
        rows.add_approval(connection, row)
        return row

    def withdraw(self, connection: Connection, approval_id: str, *, caller: str) -> ApprovalRow:
        """End one that is not sealed: who uploaded it may, and the administrator.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND, APPROVAL_STATE.
        """
        row = self.visible(connection, approval_id, caller, lock=True)
        is_admin = self.seals.organisations.is_admin(connection, row.organisation_id, caller)
        if caller != row.created_by and not is_admin:
            raise _not_found()
        return self._advance(connection, row, Event.WITHDRAW)

    def send_code(
        self, connection: Connection, approval_id: str, *, caller: str, seal_id: str, source: str
    ) -> tuple[Challenge, bytes]:
        """Send a code that lets the caller seal this document with this seal; the challenge goes with it.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND, APPROVAL_STATE, those of Seals.check and of Codes.send.
        """
        row = self.visible(connection, approval_id, caller)
        MACHINE.after(State(row.state), Event.AUTHENTICATE)
        self._usable(connection, row, seal_id, caller, marks=1)
        challenge = self._sources.random_bytes(CHALLENGE_BYTES)
        contact = self.seals.accounts.contact(connection, caller)
        sent = self._codes.send(
            connection,
            phone=contact.phone,
            purpose=Purpose.SIGN_CONTRACT,
            bound=_bound(row, caller, challenge, seal_id),
            person_id=caller,
            source=source,
            language=contact.language,
        )
        return sent, challenge

    def code_sent_to(self, connection: Connection, challenge_id: str) -> str:
        """As Codes.sent_to."""
        return self._codes.sent_to(connection, challenge_id)

    def check_may_seal(
        self, connection: Connection, approval_id: str, *, caller: str, seal_id: str, marks: int
    ) -> tuple[ApprovalRow, UsableSeal]:
        """Look whether the caller may seal an approval; nothing is locked.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND, APPROVAL_STATE, those of Seals.check.
        """
        row = self.visible(connection, approval_id, caller)
        MACHINE.after(State(row.state), Event.AUTHENTICATE)
        return row, self._usable(connection, row, seal_id, caller, marks=marks)

    def authenticate(
        self,
        connection: Connection,
        approval_id: str,
        *,
        caller: str,
        seal_id: str,
        marks: int,
        evidence_id: str,
        challenge: bytes,
        code: str,
    ) -> Authenticated | ServiceError:
        """Take the code. A refusal is returned, not raised: the try that it counts must be committed.

        Raises:
            ServiceError: as :meth:`check_may_seal`.
        """
        row, seal = self.check_may_seal(connection, approval_id, caller=caller, seal_id=seal_id, marks=marks)
        refusal = self._codes.verify(
            connection,
            evidence_id,
            code,
            purpose=Purpose.SIGN_CONTRACT,
            bound=_bound(row, caller, challenge, seal_id),
            person_id=caller,
        )
        now_us = to_us(self._sources.now())
        return refusal or Authenticated(row, seal, evidence_id.lower(), challenge, now_us)

    def sealed(
        self,
        connection: Connection,
        given: Authenticated,
        staged: Staged,
        signatures: Sequence[SignatureRow],
        *,
        caller: str,
        source: str,
    ) -> ApprovalRow:
        """Keep the sealed file: the seal may still be used, and nobody was faster.

        Raises:
            ServiceError: APPROVAL_STATE, those of Seals.use.
        """
        row = rows.get_approval(connection, given.row.approval_id, lock=True)
        if row is None:
            raise _not_found()
        MACHINE.after(State(row.state), Event.SEAL)
        self.seals.use(
            connection,
            seal_id=given.seal.seal_id,
            account_id=caller,
            scope=Scope.APPROVALS,
            document_sha256=row.document_sha256,
            field_names=[one.field for one in signatures],
            place=source,
            subject=subject_of(row.approval_id),
            version=given.seal.version,
        )
        ref = self.objects.keep(connection, staged)
        self.objects.confirm(connection, ref.object_id)
        for one in signatures:
            rows.add_signature(connection, one)
        new = replace(row, sealed_object_id=ref.object_id, sealed_sha256=ref.sha256)
        return self._advance(connection, new, Event.SEAL)

    def require_member(self, connection: Connection, organisation_id: str, caller: str) -> None:
        """Check that an account acts for an organisation.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND.
        """
        if not self.seals.may_act(connection, organisation_id, caller):
            raise _not_found()

    def visible(
        self, connection: Connection, approval_id: str, caller: str, *, lock: bool = False
    ) -> ApprovalRow:
        """An approval, for members of its organisation.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND, also for everybody else.
        """
        row = self.find(connection, approval_id, lock=lock)
        self.require_member(connection, row.organisation_id, caller)
        return row

    def find(self, connection: Connection, approval_id: str, *, lock: bool = False) -> ApprovalRow:
        """One approval.

        Raises:
            ServiceError: APPROVAL_NOT_FOUND.
        """
        row = rows.get_approval(connection, approval_id, lock=lock)
        if row is None:
            raise _not_found()
        return row

    def title(self, connection: Connection, row: ApprovalRow) -> str:
        """As it was given."""
        vault = self.seals.organisations.vault
        return vault.open(connection, row.organisation_id, _place(row.approval_id), row.title)

    def _usable(
        self, connection: Connection, row: ApprovalRow, seal_id: str, caller: str, *, marks: int
    ) -> UsableSeal:
        seal = self.seals.check(
            connection,
            seal_id=seal_id,
            account_id=caller,
            scope=Scope.APPROVALS,
            document_sha256=row.document_sha256,
            marks=marks,
        )
        if seal.organisation_id != row.organisation_id:
            raise ServiceError(Reason.SEAL_NOT_FOUND, "The seal is not one of this organisation.")
        return seal

    def _advance(self, connection: Connection, row: ApprovalRow, event: Event) -> ApprovalRow:
        state = MACHINE.after(State(row.state), event)
        now_us = to_us(self._sources.now())
        new = replace(row, state=int(state), updated_us=now_us, version=row.version + 1)
        rows.change_approval(connection, new)
        return new


def bind(approval_id: str, account_id: str, document_sha256: bytes, challenge: bytes) -> bytes:
    """What an authentication is bound to, as a contract's is; the contract of the API tells it."""
    head = b"\0".join((_DOMAIN, approval_id.encode(), account_id.encode(), b""))
    return sha256(head + document_sha256 + challenge).digest()


def subject_of(approval_id: str) -> str:
    """What the log of uses and the audit chain call an approval."""
    return f"approvals/{approval_id}"


def _bound(row: ApprovalRow, caller: str, challenge: bytes, seal_id: str) -> bytes:
    """A code is for one seal beside."""
    return bind(row.approval_id, caller, bytes(row.document_sha256), challenge) + seal_id.lower().encode()


def _place(approval_id: str) -> Place:
    return Place("approvals", "title", approval_id)


def _not_found() -> ServiceError:
    return ServiceError(Reason.APPROVAL_NOT_FOUND, "This account has no such approval.")
