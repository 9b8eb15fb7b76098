"""Signing at a site whose devices may be offline: handed down as a task, and handed in when a line is there.

The person has chosen, previewed and confirmed before. The device takes the person's face for the task, whose
nonce is H; it may hand that in days later, once. What cannot be signed any more then is refused with the
reason, and the signing ends.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from sqlalchemy import Connection

from cloud.attestations.intake import known_device
from cloud.elements import FourElements
from cloud.errors import Reason, ServiceError
from cloud.feed.publish import Addressee, publish_contract
from cloud.feed.vault import TaskVault
from cloud.signatures.desk import Desk, Held, retract
from cloud.signatures.ground import is_final
from cloud.signatures.methods import Faces, nonce_of
from cloud.signatures.states import MAKING, Event, State
from cloud.sources import Sources, from_us
from cloud.store import contracts
from cloud.store import signatures as rows
from cloud.store import site_verifications as sites
from cloud.store.signatures import SigningRow
from verifield.tasks import commit_number, mask_name
from verifield.v1 import identity_pb2
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.attestation_pb2 import DOCUMENT_TYPE_RESIDENT_ID
from verifield.v1.task_pb2 import ContractTask, TaskPerson

SITE_LIFE = timedelta(days=7)
"""From handing a signing to a site until the person has come; the contract's deadline ends it earlier."""

_SALT_BYTES = 32
_TITLE_CHARS = 200
_PARTY_CHARS = 100


class Offline:
    """In the caller's transaction."""

    def __init__(self, desk: Desk, faces: Faces, vault: TaskVault, sources: Sources) -> None:
        self._desk = desk
        self._faces = faces
        self._vault = vault
        self._sources = sources

    def hand_out(
        self, connection: Connection, account_id: str, signing_id: str, *, preview_hash: bytes, site_id: str
    ) -> Held:
        """Hand a previewed signing to the devices of a site.

        Raises:
            ServiceError: as Desk.hold; SIGN_METHOD_NOT_ALLOWED, SITE_UNKNOWN, and those of the preview.
        """
        held = self._desk.hold(connection, account_id, signing_id, Event.HAND_OUT)
        self._desk.check_allowed(held.act, pb.SIGN_METHOD_FACE)
        self._desk.check_preview(connection, held, preview_hash)
        if not sites.has_device(connection, site_id):
            raise ServiceError(Reason.SITE_UNKNOWN, "No device that is let in stands at this site.")
        now_us, life_us = self._desk.now_us, SITE_LIFE // timedelta(microseconds=1)
        until_us = min(now_us + life_us, held.act.contract.deadline_us or now_us + life_us)
        row = self._desk.move(
            connection,
            held.row,
            Event.HAND_OUT,
            site_id=site_id,
            task_id=self._sources.uuid7(),
            expires_us=until_us,
        )
        held = Held(row, held.act)
        elements = self._desk.ground.accounts.elements(connection, account_id)
        task = self._task(connection, held, elements)
        publish_contract(connection, Addressee.site(site_id), task, vault=self._vault)
        return held

    def cancel(self, connection: Connection, account_id: str, signing_id: str) -> SigningRow:
        """Have the person awaited no more.

        Raises:
            ServiceError: SIGNING_NOT_FOUND, SIGNING_STATE.
        """
        self._desk.find(connection, account_id, signing_id)
        row = rows.get_signing(connection, signing_id, lock=True)
        if row is None:
            raise ServiceError(Reason.SIGNING_NOT_FOUND, "This account has no such signing.")
        moved = self._desk.move(connection, row, Event.CANCEL)
        retract(connection, row)
        return moved

    def submit(
        self, connection: Connection, device_id: str, task_id: str, evidence: identity_pb2.FaceEvidence
    ) -> SigningRow | ServiceError:
        """Take what a device brings for a task; a refusal that ends the signing is returned.

        Raises:
            ServiceError: SIGN_TASK_NOT_FOUND, SIGN_TASK_OVER, or why the evidence does not count; as
                :func:`known_device`.
        """
        device = known_device(connection, device_id)
        known = rows.find_by_task(connection, task_id)
        if known is None or device.site_id != known.site_id:
            raise ServiceError(Reason.SIGN_TASK_NOT_FOUND, "There is no such task at this site.")
        row = self._locked(connection, known)
        if State(row.state) in MAKING or row.state == State.SIGNED:
            return self._again(row, evidence)
        if row.state != State.AT_SITE:
            raise _over(row, row.reason or State(row.state).name)
        if self._desk.expire(connection, row.signing_id) is not None:
            return _over(row, State.EXPIRED.name)
        try:
            held = self._hold(connection, row)
        except ServiceError as refusal:
            if not is_final(refusal):
                raise
            return self._end(connection, row, refusal)
        life = timedelta(microseconds=row.expires_us - row.started_us)
        shown = self._faces.judge(connection, held.row, evidence, life=life, task_id=task_id)
        if isinstance(shown, ServiceError):
            raise shown
        if shown.device_id != device_id:
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The record is of another device than the caller.")
        retract(connection, held.row)
        return self._desk.enter(connection, held, shown, Event.SUBMIT)

    def end_stranded(self, connection: Connection, signing_id: str) -> SigningRow | None:
        """End one at a site whose contract cannot be signed any more; None where it can, or it is over."""
        known = rows.get_signing(connection, signing_id)
        if known is None:
            return None
        row = self._locked(connection, known)
        if row.state != State.AT_SITE:
            return None
        try:
            self._hold(connection, row)
        except ServiceError as refusal:
            if not is_final(refusal):
                raise
            self._end(connection, row, refusal)
            return row
        return None

    def _locked(self, connection: Connection, known: SigningRow) -> SigningRow:
        """As it is now: what another call did to it meanwhile is done."""
        contracts.get_contract(connection, known.contract_id, lock=True)
        return rows.get_signing(connection, known.signing_id, lock=True) or known

    def _hold(self, connection: Connection, row: SigningRow) -> Held:
        act = self._desk.ground.stand(connection, row.contract_id, row.account_id, party_id=row.party_id)
        if act.document_sha256 != row.document_sha256:
            raise ServiceError(Reason.SIGN_DOCUMENT_MOVED, "The contract has another document now.")
        self._desk.check_preview(connection, Held(row, act), bytes(row.preview_sha256 or b""))
        return Held(row, act)

    def _end(self, connection: Connection, row: SigningRow, refusal: ServiceError) -> ServiceError:
        retract(connection, row)
        self._desk.move(connection, row, Event.FAIL, reason=refusal.reason.value)
        return _over(row, refusal.reason.value)

    def _again(self, row: SigningRow, evidence: identity_pb2.FaceEvidence) -> SigningRow:
        """The same record once more is answered as the first time; another one is refused."""
        if row.evidence_sha256 != sha256(evidence.envelope).digest():
            raise _over(row, State(row.state).name)
        return row

    def _task(self, connection: Connection, held: Held, elements: FourElements) -> ContractTask:
        commitment = commit_number(elements.id_number, salt=self._sources.random_bytes(_SALT_BYTES))
        row = held.row
        title = self._desk.ground.contracts.title_of(connection, held.act.contract)
        signer = held.act.signer
        task = ContractTask(
            task_id=row.task_id or "",
            contract_id=row.contract_id,
            person=TaskPerson(
                masked_name=mask_name(elements.name),
                document_type=DOCUMENT_TYPE_RESIDENT_ID,
                number_digest=commitment.digest,
                number_salt=commitment.salt,
            ),
            nonce=nonce_of(row),
            title=(title or row.contract_id)[:_TITLE_CHARS],
            party=(signer.organisation or mask_name(signer.name))[:_PARTY_CHARS],
            document_sha256=row.document_sha256,
        )
        task.issue_time.FromDatetime(from_us(self._desk.now_us))
        task.expire_time.FromDatetime(from_us(row.expires_us))
        return task


def _over(row: SigningRow, why: str) -> ServiceError:
    return ServiceError(
        Reason.SIGN_TASK_OVER,
        "This signature is not awaited any more.",
        {"why": why, "task_id": row.task_id or ""},
    )
