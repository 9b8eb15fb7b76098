"""What waits at this device until a person comes: accounts to be activated, contracts to be signed.

The state store keeps what came, sealed; here it becomes values. A task goes when it has surely expired;
one that has expired only by a clock that nobody vouches for is shown, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from edge.answers import Step
from edge.attest.clock import TimeBounds
from edge.errors import InputError, StorageError
from edge.model import DocumentType
from edge.state.records import DownItem, ItemKind
from edge.state.store import StateStore
from verifield.errors import VerifieldError
from verifield.tasks import Task, awaits, parse_account_task, parse_contract_task, task_times
from verifield.v1.attestation_pb2 import DocumentType as DocumentTypePb
from verifield.v1.policy_pb2 import SessionStep
from verifield.v1.task_pb2 import AccountTask

TASK_KINDS = (ItemKind.ACCOUNT, ItemKind.CONTRACT)


@dataclass(frozen=True, slots=True)
class Contract:
    """What is to be signed. ``document_sha256``: of the document itself."""

    title: str
    party: str
    document_sha256: bytes


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """One task. ``subject_id``: pseudonym of the account or contract. ``contract``: None for an account.

    ``nonce``: 32 bytes, which what is signed for the task has to name. ``perhaps_expired``: the device's
    clock says so, but nobody vouches for it. What tells of the person is not in ``repr``.
    """

    kind: ItemKind
    task_id: str
    subject_id: str
    masked_name: str = field(repr=False)
    document_type: DocumentType
    steps: tuple[Step, ...]
    issued: datetime
    expires: datetime
    nonce: bytes
    perhaps_expired: bool
    contract: Contract | None
    _task: Task = field(repr=False)

    @property
    def number_salt(self) -> bytes:
        """Under which the person's number is committed to; 32 bytes."""
        return self._task.person.number_salt

    def awaits(self, number: str) -> bool:
        """Whether the document of this number is the person's that the task awaits."""
        return awaits(self._task.person, number)


def waiting_tasks(state: StateStore, bounds: TimeBounds) -> list[WaitingTask]:
    """Return what waits, the first to expire first; what has surely expired is forgotten.

    Raises:
        StorageError: STATE_CORRUPT, or the data key is away.
    """
    state.drop_expired(by=bounds.not_before)
    found = [_to_task(item, bounds, state) for kind in TASK_KINDS for item in state.items(kind)]
    return sorted(found, key=lambda task: (task.expires, task.task_id))


def find_task(state: StateStore, task_id: str, bounds: TimeBounds) -> WaitingTask:
    """Return one task that waits; errors also as :func:`waiting_tasks`.

    Raises:
        InputError: TASK_UNKNOWN.
    """
    state.drop_expired(by=bounds.not_before)
    for kind in TASK_KINDS:
        if item := state.item(kind, task_id):
            return _to_task(item, bounds, state)
    raise InputError(
        "TASK_UNKNOWN",
        "No such task waits at this device: it was withdrawn, has expired, or is another device's.",
        hint="See what waits with: verifield-edge tasks list",
    )


def _to_task(item: DownItem, bounds: TimeBounds, state: StateStore) -> WaitingTask:
    try:
        task = (parse_account_task if item.kind is ItemKind.ACCOUNT else parse_contract_task)(item.content)
    except VerifieldError:  # checked when it came, and sealed since: an older version wrote it
        state.pull_anew()
        raise StorageError(
            "STATE_CORRUPT",
            "A task that is stored here is none.",
            hint="Connect the device: the next sync brings what waits again.",
        ) from None
    times = task_times(task)
    return WaitingTask(
        kind=item.kind,
        task_id=task.task_id,
        subject_id=task.account_id if isinstance(task, AccountTask) else task.contract_id,
        masked_name=task.person.masked_name,
        document_type=DocumentType(
            DocumentTypePb.Name(task.person.document_type).removeprefix("DOCUMENT_TYPE_")
        ),
        steps=tuple(Step(SessionStep.Name(step).removeprefix("SESSION_STEP_")) for step in task.steps),
        issued=times.issued,
        expires=times.expires,
        nonce=task.nonce,
        perhaps_expired=times.expires <= bounds.likely,
        contract=None
        if isinstance(task, AccountTask)
        else Contract(task.title, task.party, task.document_sha256),
        _task=task,
    )
