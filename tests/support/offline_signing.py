"""A device at which contracts are signed, its stores real; and a service that keeps the contract's word."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.answers import PrivateField, SessionAnswers
from edge.attest.clock import BUILD_DATE, bounded_now
from edge.attest.media import seal_media
from edge.contracts.carry import DocumentErrand, SignatureErrand
from edge.contracts.keeping import BEST_SHOT, SignatureKeeper
from edge.contracts.reading import begin_signing, open_document
from edge.model import Decision, Evidence, Outcome, Purpose
from edge.outbox.records import StoredRecord
from edge.rpc import FailureKind, RpcFailure
from edge.sync.events import Trouble
from edge.sync.ports import UplinkError
from edge.tasks import WaitingTask, find_task
from tests.support.appliance import verified_evidence
from tests.support.authority import Authority
from tests.support.clocks import ManualClock
from tests.support.known import KnownDevice
from tests.support.sync_device import FieldDevice
from tests.support.tasks import contract_task
from verifield.tasks import encode_task
from verifield.v1 import signing_service_pb2 as signing
from verifield.v1 import sync_service_pb2 as sync
from verifield.v1.task_pb2 import ContractTask
from verifield.v1.task_service_pb2 import GetTaskDocumentResponse

PART_BYTES = 1000
PICTURE = b"a picture of a face"
VERIFIED = Decision(Outcome.VERIFIED, ())
NOW = BUILD_DATE
DOCUMENT = b"%PDF-1.7 a lease of a flat " * 120


def contract_of(name: str, document: bytes = DOCUMENT) -> ContractTask:
    task = contract_task(name, issued=NOW)
    task.document_sha256 = hashlib.sha256(document).digest()
    return task


def item_of(task: ContractTask) -> sync.DownItem:
    return sync.DownItem(kind=sync.DOWN_ITEM_KIND_CONTRACT, item_id=task.task_id, content=encode_task(task))


def refusal(code: str, kind: FailureKind = FailureKind.PERMANENT) -> UplinkError:
    return UplinkError(RpcFailure(kind, code, "The cloud answered."))


def away() -> UplinkError:
    return refusal("CLOUD_AWAY", FailureKind.TRANSIENT)


@dataclass
class Service:
    """``refuses``: why a task is not signed any more. ``lose``: answers to be lost, the work being done."""

    documents: dict[str, bytes] = field(default_factory=dict)
    refuses: dict[str, UplinkError] = field(default_factory=dict)
    signed: dict[str, bytes] = field(default_factory=dict)
    calls: list[signing.SubmitOfflineSignatureRequest] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    lose: int = 0

    def get_task_document(self, task_id: str, *, sha256: bytes, start: int) -> GetTaskDocumentResponse:
        content = self.documents.get(task_id)
        if content is None:
            raise refusal("SIGNING_TASK_ENDED")
        self.parts.append(start)
        part = content[start : start + PART_BYTES]
        self._lose()
        return GetTaskDocumentResponse(content=part, size_bytes=len(content))

    def submit_signature(
        self, request: signing.SubmitOfflineSignatureRequest
    ) -> signing.SubmitOfflineSignatureResponse:
        self.calls.append(request)
        record = hashlib.sha256(request.evidence.envelope).digest()
        if request.task_id not in self.signed:
            if request.task_id in self.refuses:
                raise self.refuses[request.task_id]
            self.signed[request.task_id] = record
        elif self.signed[request.task_id] != record:
            raise refusal("EVIDENCE_REPLAYED")
        self._lose()
        return signing.SubmitOfflineSignatureResponse(
            task_id=request.task_id, state=signing.SIGNING_STATE_SIGNED
        )

    def _lose(self) -> None:
        if self.lose:
            self.lose -= 1
            raise away()


class Counter:
    """A device at a counter. ``clock``: monotonic time that passes only where a test lets it."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.known = KnownDevice(folder / "known", authority)
        self.field = FieldDevice(folder / "device", sync=False)
        self.clock = ManualClock()
        self.key = X25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.field.verify()
        self.open()

    def open(self) -> None:
        state, jitter = self.known.state, lambda: 0.5
        self.signatures = SignatureErrand(state, self.field.outbox, self.clock, jitter)
        self.fetching = DocumentErrand(state, self.clock, jitter, has_room=lambda: True)

    def restart(self) -> None:
        """As after a kill: all handles are new."""
        self.known.restart()
        self.field.restart()
        self.open()

    def close(self) -> None:
        self.known.state.close()
        self.field.close()

    def pull(self, *items: sync.DownItem, **more: Any) -> None:
        outcome = self.known.pull(*items, at=NOW, **more)
        assert not outcome.refused

    def task(self, task_id: str) -> WaitingTask:
        bounds = bounded_now(self.clock, contact=self.known.state.contact())
        return find_task(self.known.state, task_id, bounds)

    def sync(self, service: Service, *, limit: int = 100) -> list[Trouble]:
        """What the pump does with errands, until nothing is left for now; UplinkError ends it."""
        uplink: Any = service
        troubles = []
        for _ in range(limit):
            errand = next((one for one in (self.signatures, self.fetching) if one.waiting()), None)
            if errand is None:
                return troubles
            trouble = errand.step(uplink)
            troubles += [trouble] if trouble else []
        raise AssertionError("it never ends")

    def show(self, task_id: str) -> bytes:
        return open_document(self.known.state, self.task(task_id), at=NOW)

    def keeper(self, task_id: str) -> SignatureKeeper:
        task = self.task(task_id)
        return SignatureKeeper(
            outbox=self.field.outbox,
            signatures=self.known.state.signatures,
            certificates=[b"leaf", b"issuer"],
            task=task,
            about=begin_signing(self.known.state, task, at=NOW),
            new_id=_uuid7,
            now=lambda: NOW,
        )

    def attest(self, evidence: Evidence, decision: Decision) -> StoredRecord:
        media = seal_media(evidence.media, recipient_key=self.key)
        return self.field.recorder.record(evidence, decision, media=media)

    def evidence(self, task_id: str) -> Evidence:
        """What a session for the task saw; each has an id of its own."""
        task = self.task(task_id)
        return replace(
            verified_evidence(),
            session=SessionAnswers(uuid.uuid4().bytes),
            media=(PrivateField(BEST_SHOT, PICTURE),),
            purpose=Purpose(task.nonce, task_id, task.number_salt),
        )

    def sign(self, task_id: str, decision: Decision = VERIFIED) -> StoredRecord:
        return self.keeper(task_id).around(self.attest)(self.evidence(task_id), decision)

    def at_rest(self) -> bytes:
        """All that the store of what the device knows has on its disk."""
        return b"".join(path.read_bytes() for path in sorted(self.known.path.parent.iterdir()))


@contextmanager
def open_counter(folder: Path, authority: Authority) -> Iterator[Counter]:
    counter = Counter(folder, authority)
    try:
        yield counter
    finally:
        counter.close()


def _uuid7() -> str:
    bits = uuid.uuid4().int & ~(0xF << 76) & ~(0x3 << 62) & ((1 << 80) - 1)
    stamp = int(datetime.now(UTC).timestamp() * 1000)
    return str(uuid.UUID(int=stamp << 80 | bits | 0x7 << 76 | 0x2 << 62))
