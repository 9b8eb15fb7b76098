"""The errands of contracts: documents come down, signatures go up; one call to the cloud at a time.

What the cloud answers to a signature is final, completed or refused, and kept for the operator. Where no
answer comes, the same is handed in again under the same id, and the cloud answers as the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from edge.attest.clock import bounded_now
from edge.contracts.keeping import settle
from edge.errors import EdgeError, StorageError
from edge.outbox.store import Outbox
from edge.ports import Clock
from edge.rpc import FailureKind, RpcFailure
from edge.state.records import ItemKind
from edge.state.signatures import SignatureState
from edge.state.store import StateStore
from edge.sync.events import Trouble
from edge.sync.pacing import backoff_s
from edge.sync.ports import Uplink, UplinkError
from verifield.errors import VerifieldError
from verifield.tasks import parse_contract_task
from verifield.v1.identity_pb2 import FaceEvidence
from verifield.v1.signing_service_pb2 import (
    SIGNING_STATE_UNSPECIFIED,
    SigningState,
    SubmitOfflineSignatureRequest,
)

RETRY_S = 3600.0
"""What the cloud would not take or give for a reason that may pass is tried again after this."""

_AWAY = frozenset({"CLOUD_AWAY", "HUNG_UP", "DEVICE_REVOKED"})
"""Nothing else would come through now either."""

_NOT_ABOUT_IT = ("CLOUD_", "DEVICE_")
"""Beginnings of codes that say nothing of the signature: an older cloud, a device that is not let in yet."""

_STATE_PREFIX = "SIGNING_STATE_"
_STATES = frozenset(SigningState.values()) - {SIGNING_STATE_UNSPECIFIED}


class _Judgement(Enum):
    AWAY = auto()
    LATER = auto()
    FINAL = auto()


def _judge(failure: RpcFailure) -> _Judgement:
    if failure.code in _AWAY:
        return _Judgement.AWAY
    final = failure.kind is FailureKind.PERMANENT and not failure.code.startswith(_NOT_ABOUT_IT)
    return _Judgement.FINAL if final else _Judgement.LATER


@dataclass(slots=True)
class _Pace:
    """When what has failed is tried again, by id. Of this process: a restart tries at once."""

    clock: Clock
    jitter: Callable[[], float]
    _due: dict[str, float] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)

    def allows(self, name: str) -> bool:
        return self._due.get(name, 0.0) <= self._now()

    def failed(self, name: str, *, wait_s: float | None = None) -> None:
        """``wait_s``: None grows with the failures."""
        count = self._failures.get(name, 0)
        self._failures[name] = count + 1
        self._due[name] = self._now() + (backoff_s(count, self.jitter()) if wait_s is None else wait_s)

    def forget(self, name: str) -> None:
        self._due.pop(name, None)
        self._failures.pop(name, None)

    def _now(self) -> float:
        return self.clock.monotonic_ns() / 1e9


class SignatureErrand:
    """Hands in signatures, the oldest first. Implements ``edge.sync.ports.Errand``."""

    def __init__(self, state: StateStore, outbox: Outbox, clock: Clock, jitter: Callable[[], float]) -> None:
        self._state = state
        self._signatures = state.signatures
        self._outbox = outbox
        self._clock = clock
        self._pace = _Pace(clock, jitter)

    def waiting(self) -> bool:
        return self._next() is not None

    def step(self, uplink: Uplink) -> Trouble | None:
        name = self._next()
        if name is None:
            return None
        try:
            row = self._signatures.get(name)
            request = SubmitOfflineSignatureRequest(request_id=name)
            if row is not None:
                request.task_id = row.task_id
                request.evidence.CopyFrom(FaceEvidence.FromString(row.content))
        except EdgeError as error:  # the data key is away
            return self._later(name, error.code, wait_s=RETRY_S)
        try:
            answer = uplink.submit_signature(request)
        except UplinkError as error:
            return self._failed(name, error)
        if answer.task_id != request.task_id or answer.state not in _STATES:
            return self._later(name, "CLOUD_ANSWER")
        self._keep(name, SigningState.Name(answer.state).removeprefix(_STATE_PREFIX), refused=False)
        return None

    def _failed(self, name: str, error: UplinkError) -> Trouble | None:
        failure = error.failure
        match _judge(failure):
            case _Judgement.AWAY:
                raise error
            case _Judgement.LATER:
                about_us = failure.kind is not FailureKind.TRANSIENT
                return self._later(name, failure.code, wait_s=RETRY_S if about_us else None)
            case _Judgement.FINAL:
                word = f"{failure.code}/{failure.why}" if failure.why else failure.code
                self._keep(name, word, refused=True)
                return Trouble(
                    "SIGNATURE_REFUSED", f"The cloud refused a signature that was made here ({word})."
                )

    def _keep(self, name: str, word: str, *, refused: bool) -> None:
        bounds = bounded_now(self._clock, contact=self._state.contact())
        self._signatures.answer(name, word, refused=refused, at=bounds.likely)
        self._pace.forget(name)

    def _later(self, name: str, code: str, *, wait_s: float | None = None) -> Trouble:
        self._pace.failed(name, wait_s=wait_s)
        return Trouble("SIGNATURE_WAITS", f"The cloud has not taken a signature yet ({code}); it is kept.")

    def _next(self) -> str | None:
        with suppress(EdgeError):  # said elsewhere: it must not keep records from being delivered
            if self._signatures.count(SignatureState.PREPARED):
                settle(self._outbox, self._signatures)
            return next((name for name in self._signatures.queued() if self._pace.allows(name)), None)
        return None


class DocumentErrand:
    """Fetches documents of contracts, those first that expire first. Implements ``edge.sync.ports.Errand``.

    ``has_room``: whether the disk has room for more than records.
    """

    def __init__(
        self, state: StateStore, clock: Clock, jitter: Callable[[], float], *, has_room: Callable[[], bool]
    ) -> None:
        self._state = state
        self._documents = state.documents
        self._has_room = has_room
        self._pace = _Pace(clock, jitter)

    def waiting(self) -> bool:
        return self._next() is not None

    def step(self, uplink: Uplink) -> Trouble | None:
        name = self._next()
        if name is None:
            return None
        try:
            item = self._state.item(ItemKind.CONTRACT, name)
            if item is None:
                return None
            sha256 = parse_contract_task(item.content).document_sha256
            known = self._documents.get(name, sha256)
        except (EdgeError, VerifieldError) as error:
            return self._later(name, error.code, wait_s=RETRY_S)
        start = known.here if known else 0
        try:
            part = uplink.get_task_document(name, sha256=sha256, start=start)
        except UplinkError as error:
            judged = _judge(error.failure)
            if judged is _Judgement.AWAY:
                raise
            lasting = error.failure.kind is not FailureKind.TRANSIENT
            return self._later(name, error.failure.code, wait_s=RETRY_S if lasting else None)
        try:
            self._documents.add(name, sha256, start=start, size=part.size_bytes, content=part.content)
            known = self._documents.get(name, sha256)
        except StorageError as error:
            if not error.code.startswith("DOCUMENT"):
                raise
            return self._later(name, error.code, wait_s=RETRY_S)
        if known is not None and known.here <= start:  # nothing of it was of use
            return self._later(name, "CLOUD_ANSWER")
        self._pace.forget(name)
        return None

    def _later(self, name: str, code: str, *, wait_s: float | None = None) -> Trouble:
        self._pace.failed(name, wait_s=wait_s)
        return Trouble("DOCUMENT_WAITS", f"The document of a contract that waits here did not come ({code}).")

    def _next(self) -> str | None:
        with suppress(EdgeError):
            missing = self._documents.missing()
            if missing and self._has_room():
                return next((name for name in missing if self._pace.allows(name)), None)
        return None
