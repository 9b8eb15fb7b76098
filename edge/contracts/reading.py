"""Before a contract is signed at this device: its document is here and whole, and the person has read it."""

from __future__ import annotations

from datetime import datetime

from edge.errors import InputError
from edge.state.signatures import About, SignatureState, already_signed
from edge.state.store import StateStore
from edge.tasks import Contract, WaitingTask


def open_document(state: StateStore, task: WaitingTask, *, at: datetime) -> bytes:
    """Return the PDF, whose digest is the task's, and note that it was given out to be read.

    Raises:
        InputError: NO_CONTRACT, or DOCUMENT_AWAY.
        StorageError: the store refuses, or the data key is away.
    """
    sha256 = contract_of(task).document_sha256
    content = state.documents.read(task.task_id, sha256)
    if content is None:
        raise InputError(
            "DOCUMENT_AWAY",
            "The document of this contract has not come to this device, or not all of it.",
            hint="Connect the device and run: verifield-edge sync --once",
        )
    state.documents.note_shown(task.task_id, sha256, at=at)
    return content


def begin_signing(state: StateStore, task: WaitingTask, *, at: datetime) -> About:
    """Check that this contract may be signed here now; return what is kept of it with the signature.

    Raises:
        InputError: NO_CONTRACT, ALREADY_SIGNED, DOCUMENT_AWAY, or DOCUMENT_NOT_READ.
        StorageError: the store refuses, or the data key is away.
    """
    contract = contract_of(task)
    before = state.signatures.of_task(task.task_id)
    if before is not None and before.state is not SignatureState.REFUSED:
        raise already_signed()
    known = state.documents.get(task.task_id, contract.document_sha256)
    if known is not None and known.complete and known.shown is None:
        raise InputError(
            "DOCUMENT_NOT_READ",
            "Nobody has opened the document at this device.",
            hint=f"Show it to the person first: verifield-edge contract read {task.task_id} --to FILE.pdf",
        )
    open_document(state, task, at=at)  # whole and as its task names it, at this moment
    return About(
        title=contract.title,
        party=contract.party,
        masked_name=task.masked_name,
        document_sha256=contract.document_sha256,
        read_at=at,
    )


def not_confirmed() -> InputError:
    """The person did not say that they have read it."""
    return InputError(
        "NOT_CONFIRMED",
        "It was not confirmed that the person has read the document and wants to sign it.",
        hint="Nothing was signed. Run the command again once the person has read it.",
    )


def refuse_contract(task: WaitingTask) -> None:
    """Check that a task is no contract: a record alone, without what is handed in with it, signs nothing.

    Raises:
        InputError: IS_CONTRACT.
    """
    if task.contract is not None:
        raise InputError(
            "IS_CONTRACT",
            "This task is a contract, which a record alone does not sign.",
            hint=f"Have it read and signed with: verifield-edge contract sign {task.task_id}",
        )


def contract_of(task: WaitingTask) -> Contract:
    """Return what is to be signed.

    Raises:
        InputError: NO_CONTRACT.
    """
    if task.contract is None:
        raise InputError(
            "NO_CONTRACT",
            "This task is no contract.",
            hint="See which contracts wait with: verifield-edge contract list",
        )
    return task.contract
