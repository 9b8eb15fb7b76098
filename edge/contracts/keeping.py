"""From a session to a signature that waits for the cloud: nothing that a person did is lost in between.

    1  the picture and the certificates are put down, sealed and durable          (PREPARED)
    2  the record of the session is stored in the outbox                          (the commit point)
    3  the package is put together from both and queued                           (QUEUED)

Killed before 1 or 2: the session has no record but that it was cut off; the task still waits, and the person
is asked again. Killed between 2 and 3: ``settle`` finds the record and does step 3. Step 3 alone hands over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from edge.answers import PrivateField
from edge.attest.package import face_evidence
from edge.errors import EdgeError, InputError
from edge.model import Decision, Evidence, Outcome, Position
from edge.outbox.records import StoredRecord
from edge.outbox.store import Outbox
from edge.state.signatures import About, SignatureRow, SignatureState, SignatureTable
from edge.tasks import WaitingTask
from verifield.dsse import MAX_ENVELOPE_BYTES, parse_envelope
from verifield.errors import VerifieldError
from verifield.statement import parse_statement
from verifield.v1.attestation_pb2 import OUTCOME_VERIFIED, Statement
from verifield.v1.identity_pb2 import FaceEvidence

BEST_SHOT = "best_shot"
"""The picture that shows whose face it was."""

_PAGE_RECORDS = 64
_START = Position(0, 0)

_log = logging.getLogger(__name__)

Attest = Callable[[Evidence, Decision], StoredRecord]


@dataclass(frozen=True, slots=True)
class SignatureKeeper:
    """For one task. ``certificates``: of the device's key, DER. ``new_id``: a fresh UUID 7."""

    outbox: Outbox
    signatures: SignatureTable
    certificates: Sequence[bytes]
    task: WaitingTask
    about: About
    new_id: Callable[[], str]
    now: Callable[[], datetime]

    def around(self, attest: Attest) -> Attest:
        """Return ``attest`` with steps 1 and 3 around it; what is not VERIFIED is attested and no more.

        The record says which document the person has confirmed to have read.
        """

        def keep(evidence: Evidence, decision: Decision) -> StoredRecord:
            if evidence.purpose is not None:
                purpose = replace(evidence.purpose, read_sha256=self.about.document_sha256)
                evidence = replace(evidence, purpose=purpose)
            picture = next((one.value for one in evidence.media if one.name == BEST_SHOT), b"")
            if decision.outcome is not Outcome.VERIFIED or evidence.session is None or not picture:
                return attest(evidence, decision)
            submission_id = self._prepare(evidence.session.session_id, picture)
            record = attest(evidence, decision)
            if submission_id:
                self._hand_over()
            return record

        return keep

    def _prepare(self, session_id: bytes, picture: bytes) -> str:
        head = self.outbox.head()
        content = FaceEvidence(certificates=self.certificates, picture=picture)
        row = SignatureRow(
            submission_id=self.new_id(),
            task_id=self.task.task_id,
            contract_id=self.task.subject_id,
            state=SignatureState.PREPARED,
            session_id=session_id,
            head=Position(head.epoch, head.seq) if head else _START,
            attestation_id="",
            reason="",
            noted=self.now(),
            about=self.about,
            content=content.SerializeToString(deterministic=True),
        )
        try:
            self.signatures.prepare(row)
        except InputError as error:  # another process was faster: what was seen is attested all the same
            _log.warning("no second signature is queued: %s", error.code)
            return ""
        return row.submission_id

    def _hand_over(self) -> None:
        try:
            for row in self.signatures.all(SignatureState.PREPARED):
                queue_prepared(row, self.outbox, self.signatures)
        except EdgeError as error:  # the record is durable: the next start does it
            _log.warning("a signature is queued at the next start: %s", error.code)


def settle(outbox: Outbox, signatures: SignatureTable) -> int:
    """Finish what processes that were killed left; return how many signatures were queued by it.

    Nothing happens while a process has a session under way.

    Raises:
        StorageError: a store refuses; the rest is done the next time.
    """
    with outbox.closed_for_sessions() as closed:
        if not closed:
            return 0
        queued = 0
        for row in signatures.all(SignatureState.PREPARED):
            if queue_prepared(row, outbox, signatures):
                queued += 1
            else:
                signatures.drop(row.submission_id)
        return queued


def queue_prepared(row: SignatureRow, outbox: Outbox, signatures: SignatureTable) -> bool:
    """Step 3 for one that is PREPARED; False where its session has no record."""
    record = _record_of(row, outbox)
    if record is None:
        return False
    kept = FaceEvidence.FromString(row.content)
    package = face_evidence(
        record.envelope,
        certificates=kept.certificates,
        private=outbox.private(record.attestation_id),
        media=(PrivateField(BEST_SHOT, kept.picture),),
        picture=BEST_SHOT,
    )
    content = package.SerializeToString(deterministic=True)
    return signatures.queue(row.submission_id, attestation_id=record.attestation_id, package=content)


def _record_of(row: SignatureRow, outbox: Outbox) -> StoredRecord | None:
    """The session's record, which is behind where the chain stood when the session ended."""
    after = row.head
    while True:
        page = outbox.pending(
            after=after, limit_bytes=_PAGE_RECORDS * MAX_ENVELOPE_BYTES, limit_count=_PAGE_RECORDS
        )
        for record in page:
            statement = _read(record)
            if statement is not None and statement.session.session_id == row.session_id:
                return record if statement.outcome == OUTCOME_VERIFIED else None
        if not page:
            return None
        after = page[-1].position


def _read(record: StoredRecord) -> Statement | None:
    try:
        return parse_statement(parse_envelope(record.envelope).payload)
    except VerifieldError:  # of an older version, under other rules
        return None
