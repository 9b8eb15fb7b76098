"""The signature itself, once its person has authenticated: composed here, time-stamped, and stored.

    1  read what is signed: the newest revision, the marks, who signs
    2  a certificate for this one act is issued
    3  the marks are set, each a signature with a time-stamp; behind the last party's, the document is closed
       so that it can be checked for ever (PAdES B-LTA)
    4  the new revision is stored, and read again
    5  in one transaction: the contract still stands on the revision of step 1, the seal may still be used,
       the party has signed; the records are appended, and the audit chain tells of it

Steps 2 to 4 hold no lock of the database. Who loses the race at step 5 begins again; who dies before it has
left a file that nobody names, and the signing is taken up again. Without a time-stamp nothing is signed: the
signing waits, the person has nothing more to do, and it is tried again until the contract's deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cloud.audit import chain
from cloud.contracts.desk import Contracts, Current
from cloud.errors import Reason, ServiceError
from cloud.objects.kinds import MediaType
from cloud.objects.store import Staged
from cloud.papers.fonts import Fonts
from cloud.pdf.fields import Kind
from cloud.pdf.marks import MarkRefused
from cloud.pdf.ports import StampUnavailable
from cloud.pdf.sign import Signed, SignRefused, finish, sign
from cloud.seals.desk import Scope
from cloud.signatures.desk import Desk
from cloud.signatures.ground import Act, Ground, SignerProof, is_final
from cloud.signatures.marks import Plan
from cloud.signatures.states import MAKING, Event, State
from cloud.signatures.turns import TURNS
from cloud.signers.authority import Subject
from cloud.signers.room import Signers
from cloud.sources import Sources, from_us, to_us
from cloud.store import signatures as rows
from cloud.store.contracts import ContractRow
from cloud.store.database import Store
from cloud.store.signatures import RecordRow, SigningRow
from verifield.v1 import audit_pb2
from verifield.v1 import signing_service_pb2 as pb

MAX_RACES = 30
"""Lost to other servers one after the other; then it is taken up again later."""

FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=10)
"""Between two tries to get a time-stamp, or to have a file kept."""

CLOCK_SKEW = timedelta(seconds=10)
"""Between the clocks of two servers. No report holds for a signature older than its authentication."""


@dataclass(frozen=True, slots=True)
class Job:
    """What was read in step 1."""

    row: SigningRow
    act: Act
    plan: Plan
    current: Current
    last: bool


class Maker:
    """``told``: is told the method and the seconds of each party's flow."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        desk: Desk,
        *,
        signers: Signers,
        fonts: Fonts | None,
        told: Callable[[str, float], None],
    ) -> None:
        self._store = store
        self._sources = sources
        self._desk = desk
        self._signers = signers
        self._objects = desk.ground.contracts.core.objects
        self._fonts = fonts
        self._told = told

    @property
    def _ground(self) -> Ground:
        return self._desk.ground

    @property
    def _contracts(self) -> Contracts:
        return self._desk.ground.contracts

    def make(self, signing_id: str, contract_id: str, *, wait: bool = True) -> bool:
        """Make the signature, where it is still to be made; False where it is left for later."""
        with TURNS.one(contract_id, wait=wait) as mine:
            return mine and self._make(signing_id)

    def _make(self, signing_id: str) -> bool:
        for _ in range(MAX_RACES):
            try:
                job = self._store.run(lambda connection: self._read(connection, signing_id))
                if job is None:
                    return True
                self._sign(job)
            except StampUnavailable:
                self._store.run(lambda connection: self._wait(connection, signing_id))
                return False
            except (SignRefused, MarkRefused) as error:
                self._fail(
                    signing_id, ServiceError(Reason.SIGN_DOCUMENT_MOVED, f"It cannot be signed: {error}.")
                )
            except ServiceError as refusal:
                if refusal.reason is Reason.REVISION_MOVED:
                    continue
                if not is_final(refusal):
                    self._store.run(lambda connection: self._put_off(connection, signing_id))
                    raise
                self._fail(signing_id, refusal)
            except DBAPIError:
                raise
            except Exception:  # whatever it is: others come first, and it is tried again later
                self._store.run(lambda connection: self._put_off(connection, signing_id))
                raise
            return True
        return False

    def _read(self, connection: Connection, signing_id: str) -> Job | None:
        """Step 1; None where there is nothing to do."""
        row = rows.get_signing(connection, signing_id)
        if row is None or State(row.state) not in MAKING:
            return None
        act = self._ground.stand(connection, row.contract_id, row.account_id, party_id=row.party_id)
        row = rows.get_signing(connection, signing_id, lock=True)
        if row is None or State(row.state) not in MAKING:  # another server was faster
            return None
        plan = self._ground.plan_of(connection, act, row, used=True)
        if plan.preview_hash != row.preview_sha256:
            raise ServiceError(Reason.PREVIEW_OUTDATED, "What was confirmed is not what would be signed.")
        current = self._contracts.current(connection, row.contract_id)
        return Job(row, act, plan, current, self._contracts.is_last(connection, act.contract, act.party))

    def _sign(self, job: Job) -> None:
        with self._store.reading() as connection:
            content = self._contracts.open_current(connection, job.act.contract)
        now, signer = self._sources.now(), job.plan.signer
        if now + CLOCK_SKEW < from_us(job.row.authenticated_us or 0):
            raise StampUnavailable("this machine's clock is behind the authentication: it was set back")
        subject = Subject(signer.name, signer.account_id, signer.organisation, signer.uscc)
        proof = SignerProof(self._ground, signer.organisation_id)
        identity = self._store.run(  # step 2
            lambda connection: self._signers.authority.issue(connection, subject, proof=proof, now=now)
        )
        signed = sign(  # step 3
            content,
            job.plan.fill(now, self._fonts),
            identity=identity,
            stamper=self._signers.stamper,
            at=now,
            reason=f"contract {job.row.contract_id}",
        )
        final = self._close(signed) if job.last else signed.content
        staged = self._objects.stage(final, person_id=job.row.contract_id, media_type=MediaType.PDF)  # step 4
        try:
            done = self._store.run(lambda connection: self._commit(connection, job, signed, staged))  # step 5
        except ServiceError:
            self._objects.settle(self._store, staged)
            raise
        if done:
            method = pb.SignMethod.Name(pb.SignMethod.ValueType(job.row.method))
            seconds = (to_us(self._sources.now()) - job.row.opened_us) / 1_000_000
            self._told(method.removeprefix("SIGN_METHOD_"), max(0.0, seconds))
        else:
            self._objects.settle(self._store, staged)

    def _close(self, signed: Signed) -> bytes:
        with self._store.reading() as connection:
            crls = self._signers.authority.crls(connection)
        return finish(signed.content, stamper=self._signers.stamper, chain=self._signers.chain, crls=crls)

    def _commit(self, connection: Connection, job: Job, signed: Signed, staged: Staged) -> bool:
        """Step 5; False where another server has done it."""
        fresh = self._read(connection, job.row.signing_id)
        if fresh is None:
            return False
        row, act = fresh.row, fresh.act
        self._contracts.signed(
            connection,
            act.contract,
            act.party,
            account_id=row.account_id,
            before_sha256=job.current.revision_sha256,
            revision=staged,
            field_names=[part.name for part in signed.parts],
            final=job.last,
        )
        self._objects.confirm(connection, staged.ref.object_id)
        self._use_seal(connection, fresh)
        records = records_of(fresh, signed, new_id=self._sources.uuid7)
        rows.add_records(connection, records)
        self._desk.move(connection, row, Event.COMPLETE, signed_us=to_us(signed.parts[-1].time), reason="")
        self._tell(connection, row, {"marks": str(len(records)), "revision": staged.ref.sha256.hex()})
        return True

    def _use_seal(self, connection: Connection, job: Job) -> None:
        stamp = job.plan.stamp
        if stamp is None:
            return
        self._ground.seals.use(
            connection,
            seal_id=stamp.seal_id,
            account_id=job.row.account_id,
            scope=Scope.CONTRACTS,
            document_sha256=job.row.document_sha256,
            field_names=[one.name for one in job.plan.fields if one.kind is Kind.SEAL],
            place=self._desk.source_of(connection, job.row),
            subject=f"contracts/{job.row.contract_id}",
            version=stamp.version,
        )

    def _wait(self, connection: Connection, signing_id: str) -> None:
        """No time-stamp can be had: the signing waits; the first try behind the deadline gives it up."""
        known = rows.get_signing(connection, signing_id)
        if known is None or State(known.state) not in MAKING:
            return
        contract = self._contracts.hold(connection, known.contract_id)
        row = rows.get_signing(connection, signing_id, lock=True)
        if row is None or State(row.state) not in MAKING:
            return
        party = self._contracts.party_of(connection, contract, row.account_id, party_id=row.party_id)
        self._contracts.await_stamp(connection, contract, party)
        due_us = self._later_us(row)
        self._desk.move(
            connection,
            row,
            Event.WAIT,
            tries=row.tries + 1,
            due_us=min(due_us, contract.deadline_us or due_us),
            reason=Reason.TIMESTAMP_UNAVAILABLE.value,
        )

    def _put_off(self, connection: Connection, signing_id: str) -> None:
        """It went wrong for now, as where files cannot be kept: every try makes a certificate for nothing."""
        row = rows.get_signing(connection, signing_id, lock=True)
        if row is not None and State(row.state) in MAKING:
            rows.change_signing(connection, replace(row, tries=row.tries + 1, due_us=self._later_us(row)))

    def _later_us(self, row: SigningRow) -> int:
        pause = min(FIRST_PAUSE * 2 ** min(row.tries, 10), LONGEST_PAUSE)
        return to_us(self._sources.now() + pause)

    def _fail(self, signing_id: str, refusal: ServiceError) -> None:
        """It cannot be signed any more; the contract waits for no time-stamp of this signing either."""

        def work(connection: Connection) -> None:
            known = rows.get_signing(connection, signing_id)
            if known is None:
                return
            contract = self._locked(connection, known.contract_id)
            row = rows.get_signing(connection, signing_id, lock=True)
            if row is None or State(row.state) not in MAKING:
                return
            waits = contract is not None and contract.stamp_waits_us is not None
            if contract is not None and waits and not rows.others_waiting(connection, row):
                self._contracts.stop_awaiting(connection, contract)
            late = refusal.reason is Reason.CONTRACT_EXPIRED and row.state == State.TIMESTAMP_PENDING
            self._end(connection, row, Reason.TIMESTAMP_UNAVAILABLE if late else refusal.reason)

        self._store.run(work)

    def _locked(self, connection: Connection, contract_id: str) -> ContractRow | None:
        try:
            return self._contracts.hold(connection, contract_id)
        except ServiceError:  # it was deleted
            return None

    def _end(self, connection: Connection, row: SigningRow, why: Reason) -> None:
        self._desk.move(connection, row, Event.FAIL, reason=why.value)
        self._tell(connection, row, {"reason": why.value}, outcome=audit_pb2.AUDIT_OUTCOME_REFUSED)

    def _tell(
        self,
        connection: Connection,
        row: SigningRow,
        facts: dict[str, str],
        *,
        outcome: audit_pb2.AuditOutcome.ValueType = audit_pb2.AUDIT_OUTCOME_DONE,
    ) -> None:
        """The audit chain is told last: its end is locked then."""
        chain.record(
            connection,
            action="signings.complete",
            subject=f"signings/{row.signing_id}",
            caller=f"account/{row.account_id}",
            request_id="",
            now_us=to_us(self._sources.now()),
            facts={"contract": row.contract_id, "party": row.party_id, **facts},
            outcome=outcome,
        )


def records_of(job: Job, signed: Signed, *, new_id: Callable[[], str]) -> list[RecordRow]:
    """What is kept of each signature, in the order in which they were made."""
    row, stamp = job.row, job.plan.stamp
    kinds = {one.name: one.kind for one in job.plan.fields}
    ids = sorted(new_id() for _ in signed.parts)
    found = []
    for record_id, part in zip(ids, signed.parts, strict=True):
        sealed = kinds[part.name] is Kind.SEAL and stamp is not None
        found.append(
            RecordRow(
                record_id=record_id,
                contract_id=row.contract_id,
                party_id=row.party_id,
                signing_id=row.signing_id,
                account_id=row.account_id,
                organisation_id=row.organisation_id,
                kind=pb.SIGNATURE_KIND_SEAL if sealed else pb.SIGNATURE_KIND_PERSONAL,
                field=part.name,
                serial=f"{part.serial:x}",
                method=row.method,
                evidence_id=row.evidence_id,
                evidence_sha256=row.evidence_sha256,
                evidence=row.evidence,
                device_id=row.device_id,
                document_sha256=row.document_sha256,
                challenge=row.challenge,
                preview_sha256=job.plan.preview_hash,
                before_sha256=part.before_sha256,
                after_sha256=part.after_sha256,
                seal_id=stamp.seal_id if stamp and sealed else None,
                seal_version=stamp.version if stamp and sealed else 0,
                authenticated_us=row.authenticated_us or 0,
                signed_us=to_us(part.time),
                place=sha256(f"{row.contract_id}\0{part.name}".encode()).digest(),
            )
        )
    return found
