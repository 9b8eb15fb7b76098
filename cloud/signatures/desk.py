"""The act of signing, up to where the person has authenticated: started, previewed, confirmed.

All in the caller's transaction, who tells the audit chain. The contract's row is locked first, then the
signing's: so whatever happens to one contract comes one after the other, on whichever servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.codes.desk import Challenge, Codes, Purpose
from cloud.errors import Reason, ServiceError
from cloud.feed.publish import Addressee, withdraw
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.signatures.binding import CHALLENGE_BYTES
from cloud.signatures.ground import Act, Ground
from cloud.signatures.marks import Plan
from cloud.signatures.methods import Method, Shown, nonce_of
from cloud.signatures.states import MACHINE, MAKING, OPEN, Event, State
from cloud.sources import Sources, to_us
from cloud.store import signatures as rows
from cloud.store.contracts import ContractRow
from cloud.store.schema import signings
from cloud.store.sealed import SealedTable
from cloud.store.signatures import SigningRow
from verifield.v1 import signing_service_pb2 as pb

SEALED = SealedTable(signings, key="signing_id", person="account_id", sealed=("source",))
"""For erasing a person."""

LIFE = timedelta(minutes=30)
"""From the start of a signing until its person has authenticated: time to read it all once more."""

MAX_TRIES = 10
"""What does not authenticate a person; then the signing is over, and has to be started again."""

FIRST_AGAIN = timedelta(seconds=30)
"""When the service takes up by itself what a server left that died: longer than a signature takes."""


@dataclass(frozen=True, slots=True)
class Held:
    """A signing, and what it stands on; both are locked."""

    row: SigningRow
    act: Act


class Desk:
    """``methods``: by the field of SignRequest (cloud.signatures.methods.registry)."""

    def __init__(
        self,
        ground: Ground,
        codes: Codes,
        persons: Persons,
        sources: Sources,
        *,
        methods: Mapping[str, Method],
    ) -> None:
        self.ground = ground
        self._codes = codes
        self._persons = persons
        self._sources = sources
        self._methods = methods

    @property
    def now_us(self) -> int:
        return to_us(self._sources.now())

    def start(self, connection: Connection, account_id: str, contract_id: str) -> Held:
        """Begin, in the place of what this person began before.

        Raises:
            ServiceError: why the person may not sign now; SIGNING_UNDER_WAY.
        """
        act = self.ground.stand(connection, contract_id, account_id)
        self._replace_others(connection, act.party.party_id, account_id)
        now_us = self.now_us
        row = SigningRow(
            signing_id=self._sources.uuid7(),
            contract_id=contract_id,
            party_id=act.party.party_id,
            account_id=account_id,
            organisation_id=act.party.organisation_id,
            state=State.STARTED,
            challenge=self._sources.random_bytes(CHALLENGE_BYTES),
            document_sha256=act.document_sha256,
            started_us=now_us,
            expires_us=now_us + LIFE // timedelta(microseconds=1),
            opened_us=act.party.opened_us or now_us,
        )
        if not rows.add_signing(connection, row):
            raise _under_way()
        return Held(row, act)

    def find(self, connection: Connection, account_id: str, signing_id: str) -> SigningRow:
        """One of this person's own.

        Raises:
            ServiceError: SIGNING_NOT_FOUND.
        """
        row = rows.get_signing(connection, signing_id)
        if row is None or row.account_id != account_id:
            raise _not_found()
        return row

    def hold(self, connection: Connection, account_id: str, signing_id: str, event: Event) -> Held:
        """One of this person's own, to which ``event`` may happen now.

        Raises:
            ServiceError: SIGNING_NOT_FOUND, SIGNING_STATE, SIGNING_EXPIRED, or why nothing can be signed.
        """
        known = self.find(connection, account_id, signing_id)
        MACHINE.after(State(known.state), event)
        act = self.ground.stand(connection, known.contract_id, account_id, party_id=known.party_id)
        row = rows.get_signing(connection, signing_id, lock=True)
        if row is None:
            raise _not_found()
        MACHINE.after(State(row.state), event)
        if row.expires_us <= self.now_us:
            raise ServiceError(Reason.SIGNING_EXPIRED, "The time for this signing is over.")
        return Held(row, act)

    def preview(
        self,
        connection: Connection,
        account_id: str,
        signing_id: str,
        *,
        asset_id: str | None,
        seal_id: str | None,
    ) -> Plan:
        """Choose how it looks, and say what will be confirmed; what was chosen before counts no more.

        Raises:
            ServiceError: as :meth:`hold`, and those of the choice.
        """
        held = self.hold(connection, account_id, signing_id, Event.CHOOSE)
        plan = self.ground.plan(connection, held.act, asset_id=asset_id, seal_id=seal_id)
        self.move(
            connection,
            held.row,
            Event.CHOOSE,
            asset_id=asset_id,
            seal_id=seal_id,
            preview_sha256=plan.preview_hash,
        )
        return plan

    def chosen(self, connection: Connection, account_id: str, signing_id: str) -> tuple[ContractRow, Plan]:
        """What was previewed, once more: to be shown.

        Raises:
            ServiceError: as :meth:`preview`; PREVIEW_OUTDATED.
        """
        held = self.hold(connection, account_id, signing_id, Event.CHOOSE)
        plan = self.ground.plan_of(connection, held.act, held.row)
        if plan.preview_hash != held.row.preview_sha256:
            raise ServiceError(Reason.PREVIEW_OUTDATED, "Something else was chosen meanwhile.")
        return held.act.contract, plan

    def send_code(
        self, connection: Connection, account_id: str, signing_id: str, *, source: str
    ) -> Challenge:
        """Send a code that counts for this signing alone.

        Raises:
            ServiceError: as :meth:`hold`; SIGN_METHOD_NOT_ALLOWED, or what sending raises.
        """
        held = self.hold(connection, account_id, signing_id, Event.ASK_CODE)
        self.check_allowed(held.act, pb.SIGN_METHOD_SMS_CODE)
        contact = self.ground.accounts.contact(connection, account_id)
        return self._codes.send(
            connection,
            phone=contact.phone,
            purpose=Purpose.SIGN_CONTRACT,
            bound=nonce_of(held.row),
            person_id=account_id,
            source=source,
            language=contact.language,
        )

    def code_sent_to(self, connection: Connection, challenge_id: str) -> str:
        """As Codes.sent_to."""
        return self._codes.sent_to(connection, challenge_id)

    def authenticate(
        self,
        connection: Connection,
        account_id: str,
        signing_id: str,
        *,
        preview_hash: bytes,
        proof: str,
        given: Any,
    ) -> SigningRow | ServiceError:
        """The person confirms a preview, and shows who they are. A refusal that counts is returned.

        Raises:
            ServiceError: as :meth:`hold`; SIGN_METHOD_NOT_ALLOWED, PREVIEW_REQUIRED, PREVIEW_OUTDATED.
        """
        held = self.hold(connection, account_id, signing_id, Event.AUTHENTICATE)
        method = self._methods[proof]
        self.check_allowed(held.act, method.number)
        self.check_preview(connection, held, preview_hash)
        shown = method.check(connection, held.row, given)
        if isinstance(shown, ServiceError):
            return self._miss(connection, held.row, shown)
        return self.enter(connection, held, shown, Event.AUTHENTICATE)

    def check_preview(self, connection: Connection, held: Held, preview_hash: bytes) -> None:
        """Check that what was confirmed is what would be signed now.

        Raises:
            ServiceError: PREVIEW_REQUIRED, PREVIEW_OUTDATED, or why it cannot be signed so.
        """
        if held.row.preview_sha256 is None:
            raise ServiceError(Reason.PREVIEW_REQUIRED, "Nothing was previewed.")
        now = self.ground.plan_of(connection, held.act, held.row).preview_hash
        if not preview_hash == bytes(held.row.preview_sha256) == now:
            raise ServiceError(Reason.PREVIEW_OUTDATED, "What was confirmed is not what would be signed now.")

    def enter(self, connection: Connection, held: Held, shown: Shown, event: Event) -> SigningRow:
        """The person was shown to be who is asked for: from here on the service goes on by itself."""
        self._replace_others(connection, held.row.party_id, "", keep=held.row.signing_id)
        party = self.ground.contracts.authenticated(
            connection, held.act.contract, held.act.party, account_id=held.row.account_id
        )
        now_us = self.now_us
        key = self._persons.key_of(connection, held.row.account_id)
        return self.move(
            connection,
            held.row,
            event,
            source=self._persons.seal_text(key, _place(held.row.signing_id), CALL.get().source),
            method=shown.method,
            evidence_id=shown.evidence_id,
            evidence_sha256=shown.sha256,
            evidence=shown.content,
            device_id=shown.device_id,
            authenticated_us=party.authenticated_us,
            due_us=now_us + FIRST_AGAIN // timedelta(microseconds=1),
            tries=0,
            reason="",
        )

    def source_of(self, connection: Connection, row: SigningRow) -> str:
        """From where the person authenticated; empty where that was erased."""
        key = self._persons.keys_of(connection, [row.account_id]).get(row.account_id)
        return self._persons.open_text(key, _place(row.signing_id), row.source)

    def expire(self, connection: Connection, signing_id: str) -> SigningRow | None:
        """End one whose person did not come; None where it is over already."""
        row = rows.get_signing(connection, signing_id, lock=True)
        if row is None or State(row.state) not in OPEN - MAKING or row.expires_us > self.now_us:
            return None
        retract(connection, row)
        return self.move(connection, row, Event.EXPIRE)

    def _replace_others(
        self, connection: Connection, party_id: str, account_id: str, *, keep: str = ""
    ) -> None:
        """End what else was begun for a party, by this person; empty: by anybody.

        Raises:
            ServiceError: SIGNING_UNDER_WAY.
        """
        for one in rows.open_of_party(connection, party_id):
            if one.signing_id == keep:
                continue
            if State(one.state) in MAKING:
                raise _under_way()
            if not account_id or one.account_id == account_id:
                retract(connection, one)
                self.move(connection, one, Event.REPLACE)

    def allowed(self, contract: ContractRow) -> list[pb.SignMethod.ValueType]:
        """How a person may authenticate: what the contract allows, of what there is here."""
        here = {one.number for one in self._methods.values()}
        return [
            pb.SignMethod.ValueType(one)
            for one in sorted(self.ground.contracts.allowed_methods(contract) & here)
        ]

    def check_allowed(self, act: Act, method: pb.SignMethod.ValueType) -> None:
        """Check that the contract lets people authenticate so.

        Raises:
            ServiceError: SIGN_METHOD_NOT_ALLOWED.
        """
        allowed = self.allowed(act.contract)
        if method not in allowed:
            names = ",".join(pb.SignMethod.Name(one).removeprefix("SIGN_METHOD_") for one in allowed)
            raise ServiceError(
                Reason.SIGN_METHOD_NOT_ALLOWED,
                "This contract does not allow this method.",
                {"allowed": names, "remedies": names},
            )

    def _miss(self, connection: Connection, row: SigningRow, refusal: ServiceError) -> ServiceError:
        """Count a try; the last one ends the signing."""
        if row.tries + 1 >= MAX_TRIES:
            self.move(connection, row, Event.FAIL, tries=row.tries + 1, reason=Reason.SIGNING_TRIES.value)
            return ServiceError(Reason.SIGNING_TRIES, "Too many tries did not authenticate the person.")
        self.move(connection, row, Event.MISS, tries=row.tries + 1)
        return refusal

    @staticmethod
    def move(connection: Connection, row: SigningRow, event: Event, **changes: Any) -> SigningRow:
        """Let something happen to a signing that is locked.

        Raises:
            ServiceError: SIGNING_STATE.
        """
        state = MACHINE.after(State(row.state), event)
        return rows.change_signing(connection, replace(row, **changes, state=int(state)))


def retract(connection: Connection, row: SigningRow) -> None:
    """Take a signing off the devices that it was handed to."""
    if row.state == State.AT_SITE and row.task_id:
        withdraw(connection, Addressee.site(row.site_id), row.task_id)


def _place(signing_id: str) -> Place:
    return Place(signings.name, "source", signing_id)


def _not_found() -> ServiceError:
    return ServiceError(Reason.SIGNING_NOT_FOUND, "This account has no such signing.")


def _under_way() -> ServiceError:
    return ServiceError(Reason.SIGNING_UNDER_WAY, "This party has authenticated; its signature is made now.")
