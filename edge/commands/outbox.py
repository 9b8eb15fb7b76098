"""``verifield-edge outbox``: what waits for delivery, and what was confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge.app import identity_folder, open_outbox
from edge.attest.identity import DeviceIdentity
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import load_config
from edge.errors import InputError
from edge.outbox.store import Outbox

MAX_SEQ = 2**63 - 1  # of the store's integers
MAX_ROWS = 10_000  # what a person or a script can still use at once

app = typer.Typer(help="The durable store of signed records.", no_args_is_help=True)


@app.command("stats")
@ends_with_exit_code
def stats(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Count the records by state; unconfirmed are those that no receipt covers.

    Example: verifield-edge outbox stats --json
    """
    with _opened(config, data) as outbox:
        figures = outbox.stats()
    answer = {
        "seq": figures.head.seq if figures.head else 0,
        "pending": figures.pending,
        "delivered": figures.delivered,
        "confirmed": figures.confirmed,
        "invalid": figures.invalid,
        "unconfirmed": figures.pending + figures.delivered + figures.invalid,
        "pending_bytes": figures.pending_bytes,
        "oldest_pending": figures.oldest_pending.isoformat() if figures.oldest_pending else None,
        "last_receipt_time": figures.last_receipt_time.isoformat() if figures.last_receipt_time else None,
    }
    if as_json:
        print_json(answer)
        return
    for name, value in answer.items():
        out().print(f"{name:<18} {'-' if value is None else value}")


@app.command("list")
@ends_with_exit_code
def list_records(
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="Newest first.")] = 50,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the records that are still on this device.

    Example: verifield-edge outbox list --limit 10
    """
    with _opened(config, data) as outbox:
        records = outbox.newest(limit=limit)
    if as_json:
        rows = [
            {
                "seq": record.seq,
                "attestation_id": record.attestation_id,
                "state": record.state.value,
                "reason": record.reason,
                "created_at": record.created_at.isoformat(),
            }
            for record in records
        ]
        print_json({"records": rows})
        return
    table = Table("seq", "attestation", "state", "reason", "created", box=None)
    for record in records:
        created = f"{record.created_at:%Y-%m-%d %H:%M:%S}Z"
        table.add_row(str(record.seq), record.attestation_id, record.state.value, record.reason, created)
    out().print(table)


@app.command("retry")
@ends_with_exit_code
def retry(
    seq: Annotated[int, typer.Argument(min=1, max=MAX_SEQ, help="Of a record that is INVALID.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a record again that the cloud refused, after the cause was removed.

    Example: verifield-edge outbox retry 17
    """
    with _opened(config, data) as outbox:
        queued = outbox.retry_invalid(seq)
    if not queued:
        raise InputError(
            "NOT_INVALID",
            f"Record {seq} is not one that the cloud refused.",
            hint="See them with: verifield-edge outbox list",
        )
    if as_json:
        print_json({"seq": seq, "state": "PENDING"})
    else:
        out().print(f"Record {seq} will be delivered again.")


@contextmanager
def _opened(config: Path | None, data: Path | None) -> Iterator[Outbox]:
    settings = load_config(config, data_dir=data)
    with open_outbox(settings, DeviceIdentity.open(identity_folder(settings))) as outbox:
        yield outbox
