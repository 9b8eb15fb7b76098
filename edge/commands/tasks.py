"""``verifield-edge tasks``: what waits at this device until a person comes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock, bounded_now
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    out,
    print_json,
    print_values,
)
from edge.config import load_config
from edge.tasks import WaitingTask, find_task, waiting_tasks

_WIDTH = 24

app = typer.Typer(
    help="Accounts and contracts that wait for a person.", no_args_is_help=True, add_completion=False
)


@app.callback()
def tasks() -> None:
    """Accounts and contracts that wait for a person."""


@app.command("list")
@ends_with_exit_code
def list_tasks(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List accounts to be activated and contracts to be signed here, the first to expire first.

    Example: verifield-edge tasks list --json
    """
    settings = load_config(config, data_dir=data)
    with open_state(settings, open_identity(settings)) as state:
        found = waiting_tasks(state, bounded_now(SystemClock(), contact=state.contact()))
    if as_json:
        print_json({"tasks": [_to_json(task) for task in found]})
        return
    table = Table("task", "kind", "for", "about", "until", box=None)
    for task in found:
        about = task.contract.title if task.contract else task.subject_id
        until = f"{task.expires:%Y-%m-%d %H:%M}Z" + (" (perhaps over)" if task.perhaps_expired else "")
        table.add_row(task.task_id, task.kind.lower(), task.masked_name, about, until)
    out().print(table)


@app.command("show")
@ends_with_exit_code
def show(
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one task: who is awaited, what is asked, until when.

    Example: verifield-edge tasks show 019ca5a0-0000-7000-8000-000000000001 --json
    """
    settings = load_config(config, data_dir=data)
    with open_state(settings, open_identity(settings)) as state:
        task = find_task(state, task_id, bounded_now(SystemClock(), contact=state.contact()))
    answer = _to_json(task)
    if as_json:
        print_json(answer)
    else:
        print_values(answer, width=_WIDTH)


def _to_json(task: WaitingTask) -> dict[str, Any]:
    contract = task.contract
    return {
        "task_id": task.task_id,
        "kind": task.kind.value,
        "subject_id": task.subject_id,
        "masked_name": task.masked_name,
        "document_type": task.document_type.value,
        "steps": [step.value for step in task.steps],
        "issue_time": task.issued.isoformat(),
        "expire_time": task.expires.isoformat(),
        "perhaps_expired": task.perhaps_expired,
        "nonce": task.nonce.hex(),
        "contract": None
        if contract is None
        else {
            "title": contract.title,
            "party": contract.party,
            "document_sha256": contract.document_sha256.hex(),
        },
    }
