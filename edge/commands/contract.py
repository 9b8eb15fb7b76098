"""``verifield-edge contract``: a person reads a contract here and signs it with their face, also offline."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uuid_utils
from rich.table import Table

from edge.app import open_identity, open_recorder, open_state
from edge.attest.clock import SystemClock, bounded_now
from edge.attest.package import picture_not_kept
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    fault_json,
    out,
    print_fault,
    print_json,
    print_values,
)
from edge.config import EdgeConfig, load_config
from edge.contracts.keeping import BEST_SHOT, SignatureKeeper, settle
from edge.contracts.reading import begin_signing, contract_of, not_confirmed, open_document
from edge.delivery import sync_folder
from edge.desk import Lines
from edge.errors import ExitCode, InputError
from edge.files import create_private
from edge.interrupts import obey_stops
from edge.model import Outcome
from edge.recorder import Recorder
from edge.state.records import ItemKind
from edge.state.signatures import About, SignatureRow, SignatureState
from edge.state.store import StateStore
from edge.tasks import WaitingTask, find_task, waiting_tasks
from edge.texts import ASKS, HAS_READ, OUTCOMES, Ask, Language
from verifield.terminal import visible

if TYPE_CHECKING:
    from edge.pipeline import Verification

_WIDTH = 24
_PATIENCE_S = 600.0
"""How long the question waits whether the person has read the document."""

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.")]

app = typer.Typer(
    help="Contracts that people read and sign here, also offline.", no_args_is_help=True, add_completion=False
)


@app.callback()
def contracts() -> None:
    """Contracts that people read and sign here, also offline."""


@app.command("list")
@ends_with_exit_code
def list_contracts(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List contracts that wait here, and what became of those that were signed here.

    Example: verifield-edge contract list --json
    """
    settings = load_config(config, data_dir=data)
    with open_state(settings, open_identity(settings)) as state:
        bounds = bounded_now(SystemClock(), contact=state.contact())
        waiting = [task for task in waiting_tasks(state, bounds) if task.kind is ItemKind.CONTRACT]
        shown = [_to_json(state, task) for task in waiting]
        signatures = state.signatures.all()
    if as_json:
        print_json({"waiting": shown, "signatures": [_signature_json(row) for row in signatures]})
        return
    table = Table("task", "for", "title", "document", box=None)
    for task in shown:
        document = "here" if task["document"]["complete"] else "on its way"
        table.add_row(task["task_id"], task["masked_name"], task["title"], document)
    out().print(table)
    for row in signatures:
        word = f" ({row.reason})" if row.reason else ""
        out().print(f"{row.noted:%Y-%m-%d %H:%M}Z  {row.about.title}: {row.state.value}{word}")


@app.command("show")
@ends_with_exit_code
def show(
    task_id: TaskArgument, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show one contract that waits: whether its document is here and was read, and whether it is signed.

    Example: verifield-edge contract show 019ca5a0-0000-7000-8000-000000000001 --json
    """
    settings = load_config(config, data_dir=data)
    with open_state(settings, open_identity(settings)) as state:
        answer = _to_json(state, _find_contract(state, task_id))
    if as_json:
        print_json(answer)
    else:
        print_values(answer, width=_WIDTH)


@app.command("read")
@ends_with_exit_code
def read(
    task_id: TaskArgument,
    to: Annotated[Path, typer.Option(help="Where to write the PDF for a viewer. Remove it after reading.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a contract's document into a new file, which only this user may read, for the person to read.

    Example: verifield-edge contract read 019ca5a0-0000-7000-8000-000000000001 --to /run/user/1000/lease.pdf
    """
    settings = load_config(config, data_dir=data)
    with open_state(settings, open_identity(settings)) as state:
        task = _find_contract(state, task_id)
        now = bounded_now(SystemClock(), contact=state.contact()).likely
        content = open_document(state, task, at=now)
        try:
            create_private(to, content)
        except OSError as error:
            raise InputError(
                "FILE_NOT_WRITTEN",
                f"The document cannot be written to {to}: {error.strerror or type(error).__name__}.",
                hint="Name a new file in a folder that exists and belongs to you.",
            ) from None
        answer = {**_to_json(state, task), "file": str(to)}
    if as_json:
        print_json(answer)
    else:
        out().print(f"Written to {to}. Show all of it to the person, then remove the file.", soft_wrap=True)


@app.command("sign")
@ends_with_exit_code
def sign(
    task_id: TaskArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    camera: Annotated[str | None, typer.Option(help="For example v4l2:0.")] = None,
    reader: Annotated[str | None, typer.Option(help="Serial port of the card reader.")] = None,
    operator: Annotated[str | None, typer.Option(help="Who signs in first.")] = None,
    was_read: Annotated[
        bool,
        typer.Option("--was-read", help="The person has read the document and wants to sign: do not ask."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a person's face for a contract; the signature goes to the cloud with the next sync.

    Status 0 only when VERIFIED and kept for the cloud, 1 for other outcomes.

    Example: verifield-edge contract sign 019ca5a0-0000-7000-8000-000000000001 --was-read
    """
    settings = load_config(config, data_dir=data, camera=camera, reader_port=reader)
    obey_stops()  # so that being stopped is attested as well
    with ExitStack() as opened:
        recorder = opened.enter_context(open_recorder(settings))
        state = opened.enter_context(open_state(settings, recorder.identity))
        settle(recorder.outbox, state.signatures)
        task = _find_contract(state, task_id)
        now = bounded_now(SystemClock(), contact=state.contact()).likely
        about = begin_signing(state, task, at=now)
        if not (was_read or _confirmed(settings.language, task)):
            raise not_confirmed()
        keeper = _keeper(recorder, state, task, about)
        verification = _run(settings, keeper, recorder, state, operator=operator)
        row = state.signatures.of_task(task_id)
    sync_folder(settings).call()  # a daemon that waits hands it in now
    _tell(settings, verification, row, as_json=as_json)


def _run(
    settings: EdgeConfig,
    keeper: SignatureKeeper,
    recorder: Recorder,
    state: StateStore,
    *,
    operator: str | None,
) -> Verification:
    from edge.station import open_pipeline  # noqa: PLC0415 - the networks take a second to load

    with open_pipeline(settings, recorder, state, operator=operator, task=keeper.task) as pipeline:
        if BEST_SHOT not in pipeline.plan.media:
            raise picture_not_kept()
        return dataclasses.replace(pipeline, attest=keeper.around(pipeline.attest)).run()


def _keeper(recorder: Recorder, state: StateStore, task: WaitingTask, about: About) -> SignatureKeeper:
    return SignatureKeeper(
        outbox=recorder.outbox,
        signatures=state.signatures,
        certificates=recorder.identity.attestation_certificates,
        task=task,
        about=about,
        new_id=lambda: str(uuid_utils.uuid7()),
        now=lambda: about.read_at,
    )


def _confirmed(language: Language, task: WaitingTask) -> bool:
    """Only the whole word is a yes."""
    title = contract_of(task).title
    word = ASKS[Ask.YES][language]
    print(visible(f"{HAS_READ[language].format(title=title)} ({word})"), file=sys.stderr, flush=True)
    answer = Lines(sys.stdin).next(_PATIENCE_S)
    return isinstance(answer, str) and answer.casefold() == word.casefold()


def _tell(
    settings: EdgeConfig, verification: Verification, row: SignatureRow | None, *, as_json: bool
) -> None:
    outcome = verification.decision.outcome
    kept = row is not None and row.attestation_id == verification.record.attestation_id
    if as_json:
        print_json(
            {
                "outcome": outcome.value,
                "reasons": list(verification.decision.reasons),
                "attestation_id": verification.record.attestation_id,
                "signature": _signature_json(row) if row is not None and kept else None,
                "fault": None if verification.fault is None else fault_json(verification.fault),
            }
        )
    else:
        out().print(OUTCOMES[outcome][settings.language])
        for reason in verification.decision.reasons:
            out().print(f"  {reason}")
        if kept:
            out().print("The signature is kept and goes to the cloud with the next sync.")
    if verification.fault is not None:
        print_fault(verification.fault)
    if outcome is not Outcome.VERIFIED or not kept:
        raise typer.Exit(int(ExitCode.NEGATIVE))


def _find_contract(state: StateStore, task_id: str) -> WaitingTask:
    task = find_task(state, task_id, bounded_now(SystemClock(), contact=state.contact()))
    contract_of(task)
    return task


def _to_json(state: StateStore, task: WaitingTask) -> dict[str, Any]:
    contract = contract_of(task)
    sha256 = contract.document_sha256
    known = state.documents.get(task.task_id, sha256)
    row = state.signatures.of_task(task.task_id)
    return {
        "task_id": task.task_id,
        "contract_id": task.subject_id,
        "masked_name": task.masked_name,
        "title": contract.title,
        "party": contract.party,
        "expire_time": task.expires.isoformat(),
        "perhaps_expired": task.perhaps_expired,
        "document": {
            "sha256": sha256.hex(),
            "complete": known is not None and known.complete,
            "size_bytes": known.size if known else None,
            "shown": known is not None and known.shown is not None,
        },
        "signature": None if row is None else _signature_json(row),
    }


def _signature_json(row: SignatureRow) -> dict[str, Any]:
    return {
        "submission_id": row.submission_id,
        "task_id": row.task_id,
        "contract_id": row.contract_id,
        "title": row.about.title,
        "masked_name": row.about.masked_name,
        "document_sha256": row.about.document_sha256.hex(),
        "state": row.state.value,
        "signing_state": row.reason if row.state is SignatureState.COMPLETED else "",
        "reason": row.reason if row.state is SignatureState.REFUSED else "",
        "attestation_id": row.attestation_id,
        "time": row.noted.isoformat(),
    }
