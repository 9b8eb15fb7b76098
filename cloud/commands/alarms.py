"""``verifield-cloud alarms``: what a person should look into, and what was kept beside the chains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.files import write_output
from cloud.commands.listing import FilterOption, PageOption, fetch, tell_next, with_next
from verifield.v1 import device_service_pb2 as pb

app = typer.Typer(help="Alarms of devices, and records that are in no chain.", no_args_is_help=True)

DeviceOption = Annotated[str, typer.Option("--device", help="Only those of this device.")]


@app.command("list")
@operator_command
def list_alarms(
    connect: Connect,
    device: DeviceOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Also those that were acknowledged.")] = False,
    filter_text: FilterOption = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List alarms, newest first.

    Example: verifield-cloud alarms list --all --json
    """
    request = pb.ListAlarmsRequest(device_id=device, open_only=not everything, filter=filter_text)
    with connect() as client:
        found, more = fetch(client, client.devices.ListAlarms, request, items="alarms", page=page)
    rows = [_describe(alarm) for alarm in found]
    if as_json:
        print_json(with_next({"alarms": rows}, page, more))
        return
    print_table(
        ["ALARM", "RAISED", "KIND", "REASON", "DEVICE", "RECORD", "ACKNOWLEDGED"],
        [
            [
                row["alarm_id"],
                row["raised_time"],
                row["kind"],
                row["reason"],
                row["device_id"],
                f"{row['chain_epoch']}/{row['seq']}",
                row["acknowledged_time"] or "no",
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def acknowledge(
    connect: Connect,
    alarm: Annotated[str, typer.Argument(metavar="ALARM", help="The alarm's id.")],
    as_json: JsonOption = False,
) -> None:
    """Say that you have looked into it. A suspended device goes on once none of its alarms is open.

    Example: verifield-cloud alarms acknowledge 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        answer = client.call(client.devices.AcknowledgeAlarm, pb.AcknowledgeAlarmRequest(alarm_id=alarm))
    row = _describe(answer.alarm)
    if as_json:
        print_json(row)
    else:
        print_values(row)


@app.command("side-records")
@operator_command
def side_records(
    connect: Connect,
    device: DeviceOption = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the bytes as received, one file for each record.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what devices delivered that is in no chain: refused, of another branch, or damaged.

    Example: verifield-cloud alarms side-records --out side-records
    """
    rows: list[dict[str, Any]] = []
    request = pb.ListSideRecordsRequest(device_id=device, with_content=out is not None)
    with connect() as client:
        for page in client.pages(client.devices.ListSideRecords, request):
            for record in page.records:
                rows.append(_describe_side(record))
                if out is not None:
                    write_output(out / f"{record.sha256.hex()}.bin", record.content)
    if as_json:
        print_json({"side_records": rows})
        return
    print_table(
        ["RECEIVED", "KIND", "REASON", "DEVICE", "RECORD", "SHA-256"],
        [
            [
                row["received_time"],
                row["kind"],
                row["reason"],
                row["device_id"],
                f"{row['chain_epoch']}/{row['seq']}",
                row["sha256"],
            ]
            for row in rows
        ],
    )


def _describe(alarm: pb.Alarm) -> dict[str, Any]:
    return {
        "alarm_id": alarm.alarm_id,
        "device_id": alarm.device_id,
        "kind": pb.AlarmKind.Name(alarm.kind).removeprefix("ALARM_KIND_"),
        "reason": alarm.reason,
        "chain_epoch": alarm.chain_epoch,
        "seq": alarm.seq,
        "raised_time": show_time(alarm.raised_time),
        "acknowledged_time": show_maybe(alarm, "acknowledged_time"),
    }


def _describe_side(record: pb.SideRecord) -> dict[str, Any]:
    return {
        "kind": pb.SideRecordKind.Name(record.kind).removeprefix("SIDE_RECORD_KIND_"),
        "device_id": record.device_id,
        "chain_epoch": record.chain_epoch,
        "seq": record.seq,
        "sha256": record.sha256.hex(),
        "reason": record.reason,
        "received_time": show_time(record.received_time),
    }
