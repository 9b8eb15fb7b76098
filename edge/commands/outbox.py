"""``verifield-edge outbox``: what waits for delivery, what was confirmed, what can be saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.progress import SpinnerColumn, TextColumn
from rich.table import Table

from edge.app import open_identity, open_outbox, outbox_path
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    out,
    print_json,
    progress_bar,
)
from edge.config import load_config
from edge.errors import ExitCode, InputError
from edge.model import Hole
from edge.outbox.records import OutboxStats, StoredRecord
from edge.outbox.recover import Recovery
from edge.outbox.recover import recover as recover_store
from edge.outbox.space import Space
from edge.outbox.store import Outbox
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement

MAX_ROWS = 10_000  # what a person or a script can still use at once

app = typer.Typer(help="The durable store of signed records.", no_args_is_help=True, add_completion=False)


@app.command("stats")
@ends_with_exit_code
def stats(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Count the records by state; unconfirmed are those that no receipt covers.

    Example: verifield-edge outbox stats --json
    """
    with _opened(config, data) as outbox:
        answer = _describe(outbox.stats(), outbox.space())
    if as_json:
        print_json(answer)
        return
    for name, value in answer.items():
        out().print(f"{name:<20} {'-' if value is None else value}")


@app.command("list")
@ends_with_exit_code
def list_records(
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="Newest first.")] = 50,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the records that are still on this device; broken ones are among them.

    Example: verifield-edge outbox list --limit 10
    """
    with _opened(config, data) as outbox:
        records = outbox.newest(limit=limit)
    if as_json:
        print_json({"records": [_row(record) for record in records]})
        return
    table = Table("epoch", "seq", "attestation", "state", "reason", "created", box=None)
    for record in records:
        created = f"{record.created_at:%Y-%m-%d %H:%M:%S}Z" if record.created_at else ""
        place = (str(record.epoch), str(record.seq))
        table.add_row(*place, record.attestation_id, record.state.value, record.reason, created)
    out().print(table)


@app.command("show")
@ends_with_exit_code
def show(
    attestation_id: Annotated[str, typer.Argument(help="As listed by: outbox list")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what one record says, how far it is delivered, and its files. Nothing personal is in it.

    Example: verifield-edge outbox show 019ca5a0-0000-7000-8000-000000000001 --json
    """
    with _opened(config, data) as outbox:
        record = outbox.get(attestation_id)
        if record is None:
            raise InputError(
                "RECORD_UNKNOWN",
                "There is no such record on this device, or it is damaged.",
                hint="See them with: verifield-edge outbox list",
            )
        media = [
            {"sha256": sha256.hex(), "state": state.value}
            for sha256, state in outbox.media_of(record.position)
        ]
    statement = parse_statement(parse_envelope(record.envelope).payload)
    answer = _row(record) | {
        "envelope_sha256": record.sha256.hex(),
        "media": media,
        "statement": MessageToDict(statement, preserving_proto_field_name=True),
    }
    if as_json:
        print_json(answer)
    else:
        out().print_json(data=answer)


@app.command("check")
@ends_with_exit_code
def check(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Read every record and compare it with its digest; status 1 where something is broken.

    Example: verifield-edge outbox check
    """
    with _opened(config, data) as outbox:
        with _progress("Reading records") as count:
            report = outbox.check(count)
        stats = outbox.stats()
    answer = {
        "records": report.records,
        "damaged": stats.damaged,
        "missing": stats.missing,
        "sound": report.sound,
    }
    if as_json:
        print_json(answer)
    else:
        out().print(f"{report.records} records are whole, {stats.damaged} damaged, {stats.missing} missing.")
        if not report.sound:
            out().print("The file itself is damaged. What to do: verifield-edge outbox recover")
    if stats.damaged or stats.missing or not report.sound:
        raise typer.Exit(int(ExitCode.NEGATIVE))


@app.command("recover")
@ends_with_exit_code
def recover(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Put what can be read of a broken store into a new one. The broken file is kept beside it.

    Stop the other processes of this device first. What is lost is named, here and for ever in the chain.

    Example: verifield-edge outbox recover --json
    """
    settings = load_config(config, data_dir=data)
    identity = open_identity(settings)
    with _progress("Reading rows") as count:
        found = recover_store(
            outbox_path(settings, identity.device_id),
            device_id=identity.device_id,
            now=datetime.now(UTC),
            progress=count,
        )
    if as_json:
        print_json(
            {
                "kept": str(found.kept) if found.kept else None,
                "records": found.records,
                "damaged": found.damaged,
                "lost": [_hole(hole) for hole in found.lost],
                "head": {"epoch": found.head.epoch, "seq": found.head.seq} if found.head else None,
                "reset_needed": found.reset_needed,
            }
        )
    else:
        _print_recovery(found)


def _print_recovery(found: Recovery) -> None:
    console = out()
    if found.kept is not None:
        console.print(f"The broken store is kept as {found.kept}.", soft_wrap=True)
    console.print(f"Saved {found.records} records whole; of {found.damaged} only some bytes are left.")
    for hole in found.lost:
        console.print(f"Lost: places {hole.first_seq} to {hole.last_seq} of epoch {hole.epoch}.")
    if found.reset_needed:
        console.print("The end of the chain is lost: the device records nothing before the next sync.")
    console.print("What to do: connect the device and run: verifield-edge sync", soft_wrap=True)


def _describe(figures: OutboxStats, space: Space) -> dict[str, Any]:
    confirmed = figures.confirmed_through
    return {
        "epoch": figures.head.epoch if figures.head else 0,
        "seq": figures.head.seq if figures.head else 0,
        "confirmed_epoch": confirmed.epoch if confirmed else 0,
        "confirmed_seq": confirmed.seq if confirmed else 0,
        "pending": figures.pending,
        "delivered": figures.delivered,
        "confirmed": figures.confirmed,
        "invalid": figures.invalid,
        "branch": figures.branch,
        "damaged": figures.damaged,
        "missing": figures.missing,
        "unconfirmed": figures.pending + figures.delivered,
        "pending_bytes": figures.pending_bytes,
        "oldest_pending": figures.oldest_pending.isoformat() if figures.oldest_pending else None,
        "last_receipt_time": figures.last_receipt_time.isoformat() if figures.last_receipt_time else None,
        "media_pending": figures.media_pending,
        "media_pending_bytes": figures.media_pending_bytes,
        "media_lost": figures.media_lost,
        "reset_needed": figures.reset_needed.value if figures.reset_needed else None,
        "disk_free_bytes": space.free_bytes,
        "disk": space.verdict.value,
    }


def _row(record: StoredRecord) -> dict[str, Any]:
    return {
        "epoch": record.epoch,
        "seq": record.seq,
        "attestation_id": record.attestation_id,
        "state": record.state.value,
        "reason": record.reason,
        "created_at": record.created_at.isoformat() if record.created_at else None,
    }


def _hole(hole: Hole) -> dict[str, Any]:
    return {
        "epoch": hole.epoch,
        "first_seq": hole.first_seq,
        "last_seq": hole.last_seq,
        "reason": str(hole.reason),
    }


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """Yield what takes the number read so far; shown on standard error, if that is a terminal."""
    columns = SpinnerColumn(), TextColumn("{task.description} {task.completed:.0f}")
    with progress_bar(*columns) as bar:
        task = bar.add_task(what, total=None)
        yield lambda count: bar.update(task, completed=count)


@contextmanager
def _opened(config: Path | None, data: Path | None) -> Iterator[Outbox]:
    settings = load_config(config, data_dir=data)
    with open_outbox(settings, open_identity(settings)) as outbox:
        yield outbox
