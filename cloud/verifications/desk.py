"""How an account stands: for those who build on it, and for those who change it.

The lock of the account's row is taken before anything here is changed: so two calls about one account, on
whichever servers, come one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.accounts.states import MACHINE as ACCOUNT_MACHINE
from cloud.accounts.states import Event as AccountEvent
from cloud.accounts.states import State as AccountState
from cloud.elements import FourElements
from cloud.errors import Reason, ServiceError
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, to_us
from cloud.store import identity_conflicts as conflicts
from cloud.store import verifications as rows
from cloud.store.accounts import AccountRow
from cloud.store.verifications import IdentityRow, VerificationRow
from cloud.verifications.sites import close_tasks
from cloud.verifications.states import MACHINE, Event, State
from verifield.v1 import account_service_pb2, rulebook_pb2
from verifield.v1 import identity_service_pb2 as pb

REMEDY_OLD_CARD = "TICKET_OLD_CARD"
REMEDY_UPDATE = "UPDATE_IDENTITY"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands. ``verified``: who its holder is was shown, and still counts.

    ``method`` and ``mark``: numbers of the contract; 0 where there are none. ``stale``: it counted once.
    """

    verified: bool
    method: int
    mark: int
    verification_id: str
    verified_us: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Held:
    """An account whose row is locked, and how it stands."""

    account: AccountRow
    identity: IdentityRow

    @property
    def account_id(self) -> str:
        return self.account.account_id

    @property
    def registering(self) -> bool:
        """Whether the account has not come to its end of registering."""
        return self.account.state in (AccountState.PHONE_VERIFIED, AccountState.ELEMENTS_VERIFIED)


class Verifications:
    """Also a watcher of accounts (cloud.accounts.desk.Watcher)."""

    def __init__(self, accounts: Accounts, sources: Sources) -> None:
        self.accounts = accounts
        self._sources = sources

    @property
    def now_us(self) -> int:
        return to_us(self._sources.now())

    def new_id(self) -> str:
        """Of a thing that is made now."""
        return self._sources.uuid7()

    def standing(self, connection: Connection, account_id: str) -> Standing:
        """How an account stands."""
        row = rows.get_identity(connection, account_id)
        return Standing(
            verified=row.verified_us is not None and row.stale_us is None,
            method=row.method,
            mark=row.mark,
            verification_id=row.verification_id or "",
            verified_us=row.verified_us or 0,
            stale=row.stale_us is not None,
        )

    def require_verified(self, connection: Connection, account_id: str) -> Standing:
        """How an account stands, where its holder is verified.

        Raises:
            ServiceError: IDENTITY_REQUIRED.
        """
        standing = self.standing(connection, account_id)
        if not standing.verified:
            raise ServiceError(
                Reason.IDENTITY_REQUIRED,
                "The identity has to be verified anew."
                if standing.stale
                else "The identity is not verified.",
                {"stale": str(standing.stale).lower(), "remedies": "FACE,CTID,MANUAL"},
            )
        return standing

    def rules(self, connection: Connection) -> rulebook_pb2.VerificationRules:
        """What counts now."""
        return find(connection, RuleKind.VERIFICATION, self.now_us).rules

    def hold(self, connection: Connection, account_id: str) -> Held:
        """Lock an account.

        Raises:
            ServiceError: ACCOUNT_NOT_FOUND.
        """
        account = self.accounts.find(connection, account_id, lock=True)
        return Held(account, rows.get_identity(connection, account_id))

    def check_open(self, held: Held, event: AccountEvent) -> None:
        """Check that an account may be verified now.

        Raises:
            ServiceError: ID_VALIDITY_CONFLICT, or why the account's state does not allow it.
        """
        ACCOUNT_MACHINE.after(AccountState(held.account.state), event)
        if held.identity.conflict_us is not None:
            raise validity_conflict(registering=True)

    def check_undisputed(self, connection: Connection, held: Held) -> None:
        """Check that no two records contradict each other about the person: then somebody has to look.

        Raises:
            ServiceError: IDENTITY_DISPUTED.
        """
        if conflicts.has_open(connection, held.account_id):
            raise ServiceError(
                Reason.IDENTITY_DISPUTED,
                "Two records contradict each other about this person.",
                {"remedies": "MANUAL"},
            )

    def begin(
        self, connection: Connection, held: Held, method: int, *, request_id: str, life_us: int
    ) -> VerificationRow:
        """Note that an attempt begins; one that was left behind is ended first.

        Raises:
            ServiceError: VERIFICATION_RUNNING.
        """
        now_us = self.now_us
        left = rows.find_pending(connection, held.account_id, method)
        if left is not None and left.expires_us > now_us:
            raise ServiceError(Reason.VERIFICATION_RUNNING, "A verification of this kind has not ended yet.")
        if left is not None:
            self.interrupt(connection, left, code="INTERRUPTED")
        row = VerificationRow(
            verification_id=self.new_id(),
            account_id=held.account_id,
            method=method,
            state=State.PENDING,
            code="",
            mark=0,
            request_id=request_id,
            attestation_id="",
            device_id="",
            created_us=now_us,
            updated_us=now_us,
            expires_us=now_us + life_us,
        )
        rows.add_verification(connection, row)
        return row

    def end(
        self, connection: Connection, row: VerificationRow, event: Event, *, code: str = ""
    ) -> VerificationRow:
        """Let something happen to an attempt that was read with a lock.

        Raises:
            ServiceError: VERIFICATION_STATE.
        """
        after = MACHINE.after(State(row.state), event)
        changed = replace(row, state=int(after), code=code, updated_us=self.now_us)
        rows.change_verification(connection, changed)
        return changed

    def interrupt(self, connection: Connection, row: VerificationRow, *, code: str) -> VerificationRow:
        """No answer was got: nothing counts, and what was brought for it may be brought once more."""
        changed = self.end(connection, row, Event.INTERRUPT, code=code)
        rows.free_evidence(connection, row.verification_id, subject=subject_of(row.verification_id))
        return changed

    def confirm_elements(
        self,
        connection: Connection,
        held: Held,
        row: VerificationRow,
        elements: FourElements,
        *,
        mark: int = 0,
    ) -> tuple[Held, VerificationRow]:
        """The registry, or the information centre, knows these four: they are the account's from now on.

        Raises:
            ServiceError: ACCOUNT_EXISTS, VERIFICATION_STATE, or why the account's state does not allow it.
        """
        ended = self.end(connection, replace(row, mark=mark), Event.CONFIRM)
        changed = self._with_elements(connection, held.account, elements)
        account = self.accounts.change(connection, changed, AccountEvent.VERIFY_ELEMENTS)
        identity = replace(
            held.identity, elements_us=self.now_us, elements_id=row.verification_id, element_tries=0
        )
        rows.put_identity(connection, identity)
        return Held(account, identity), ended

    def confirm_person(
        self, connection: Connection, held: Held, row: VerificationRow, *, mark: int = 0
    ) -> VerificationRow:
        """Who the holder is was shown: nobody is awaited any more. ``row`` may have been confirmed before.

        Raises:
            ServiceError: VERIFICATION_STATE, or why the account's state does not allow it.
        """
        if row.state == State.PENDING:
            row = self.end(connection, replace(row, mark=mark), Event.CONFIRM)
        self.accounts.change(connection, held.account, AccountEvent.VERIFY_IDENTITY)
        identity = replace(
            held.identity,
            verification_id=row.verification_id,
            method=row.method,
            mark=mark,
            verified_us=self.now_us,
            stale_us=None,
            stale_code="",
            element_tries=0,
            face_tries=0,
        )
        rows.put_identity(connection, identity)
        close_tasks(connection, held.account_id, pb.SITE_VERIFICATION_STATE_DONE)
        return row

    def refuse(
        self, connection: Connection, held: Held, row: VerificationRow, *, code: Reason
    ) -> IdentityRow:
        """The answer was no: count it."""
        self.end(connection, row, Event.REFUSE, code=code.value)
        is_elements = row.method == pb.VERIFICATION_METHOD_FOUR_ELEMENTS
        identity = replace(
            held.identity,
            element_tries=held.identity.element_tries + is_elements,
            face_tries=held.identity.face_tries + (not is_elements),
        )
        rows.put_identity(connection, identity)
        return identity

    def note_conflict(self, connection: Connection, held: Held, row: VerificationRow) -> ServiceError:
        """The account has another card's validity: while it registers, nothing goes on."""
        identity = self.refuse(connection, held, row, code=Reason.ID_VALIDITY_CONFLICT)
        if held.registering:
            rows.put_identity(connection, replace(identity, conflict_us=self.now_us))
        return validity_conflict(registering=held.registering)

    def mark_stale(
        self, connection: Connection, account_id: str, why: str, *, before_us: int | None = None
    ) -> bool:
        """What the account's verification stood on has changed; False where there was none that counts.

        ``why``: a stable code, for example IDENTITY_CHANGED. ``before_us``: only what is older than that.
        """
        held = self.hold(connection, account_id)
        identity = held.identity
        if identity.verified_us is None or identity.stale_us is not None:
            return False
        if before_us is not None and identity.verified_us >= before_us:
            return False  # verified anew while the lock was waited for
        row = rows.get_verification(connection, identity.verification_id or "", lock=True)
        if row is not None and row.state == State.PASSED:
            self.end(connection, row, Event.OUTDATE, code=why)
        rows.put_identity(connection, replace(identity, stale_us=self.now_us, stale_code=why))
        return True

    def identity_changed(self, connection: Connection, account_id: str, fields: frozenset[str]) -> None:
        """A new card or name has to be verified anew. A telephone number says nothing of a person.

        Raises:
            ServiceError: ID_VALIDITY_CONFLICT: the days of such an account cannot be changed.
        """
        if not fields & {"name", "validity"}:
            return
        held = self.hold(connection, account_id)
        if held.identity.conflict_us is not None:
            raise validity_conflict(registering=True)
        self.mark_stale(connection, account_id, "IDENTITY_CHANGED")
        identity = rows.get_identity(connection, account_id)
        if identity.elements_us is not None:
            rows.put_identity(connection, replace(identity, elements_us=None, elements_id=None))

    def deregistered(self, connection: Connection, account_id: str) -> None:
        """The account has ended: its verification too, and nobody is awaited for it."""
        self.mark_stale(connection, account_id, "ACCOUNT_ENDED")
        close_tasks(connection, account_id, pb.SITE_VERIFICATION_STATE_WITHDRAWN)

    def _with_elements(
        self, connection: Connection, account: AccountRow, elements: FourElements
    ) -> AccountRow:
        """The row with these elements; a number that was mistyped is put right with what it is found by."""
        vault, account_id = self.accounts.vault, account.account_id
        known = vault.open(connection, account)
        if (known.name, known.id_number, known.validity) == (
            elements.name,
            elements.id_number,
            elements.validity,
        ):
            return account
        key = vault.key_of(connection, account_id)
        changed = replace(
            account,
            name=vault.text(key, account_id, "name", elements.name),
            validity=vault.validity(key, account_id, elements.validity),
        )
        if known.id_number == elements.id_number:
            return changed
        other = self.accounts.find_live(connection, elements.id_number)
        if other is not None and other.account_id != account_id:
            raise ServiceError(Reason.ACCOUNT_EXISTS, "This person has an account.")
        self.accounts.put_identifier(
            connection, key, account_id, account_service_pb2.IDENTIFIER_KIND_ID_NUMBER, elements.id_number
        )
        return replace(
            changed,
            id_number=vault.text(key, account_id, "id_number", elements.id_number),
            id_mark=vault.id_mark(elements.id_number),
        )


def subject_of(verification_id: str) -> str:
    """As the audit chain, and a record that was used for it, name an attempt."""
    return f"verifications/{verification_id}"


def validity_conflict(*, registering: bool) -> ServiceError:
    """The account was registered with another card's days."""
    return ServiceError(
        Reason.ID_VALIDITY_CONFLICT,
        "The validity of the card is not the one that the account was registered with.",
        {"remedies": REMEDY_OLD_CARD if registering else REMEDY_UPDATE},
    )
