"""``verifield-cloud status``: how a running service is. The exit status tells machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2

from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.errors import ExitCode
from verifield.v1.status_service_pb2 import GetStatusRequest, GetStatusResponse

CERTIFICATE_DAYS = 30
"""Service certificates are renewed at a start, months before their end: fewer days than these mean that the
service should be started again, or that its CA ends."""

DISK_FREE_BYTES = 2 * 1024**3
"""Some million records, or the time that somebody needs to come and make room."""

ALARM_DAYS = 7
"""An alarm that nobody closed for a week is being overlooked."""

BACKUP_DAYS = 2
"""Of daily backups one may fail."""

SERVING = "SERVING"


@operator_command
def status(
    connect: Connect,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as failures.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print how the service is: health, sizes, what waits, what needs care.

    Ends with 0 where every service takes calls and the database answers, else with 6.

    Example: verifield-cloud status --strict --json
    """
    with connect() as client:
        listed = client.call(client.health.List, health_pb2.HealthListRequest())
        found = client.call(client.status.GetStatus, GetStatusRequest())
    health = {
        name or "(all)": health_pb2.HealthCheckResponse.ServingStatus.Name(one.status)
        for name, one in sorted(listed.statuses.items())
    }
    warnings = list(warn(found, now=datetime.now(UTC)))
    well = found.database.reachable and all(one == SERVING for one in health.values())
    if as_json:
        print_json({"healthy": well, "services": health, "warnings": warnings, **facts(found)})
    else:
        print_table(["SERVICE", "HEALTH"], [[name, one] for name, one in health.items()])
        print()
        print_values(for_people(found))
        for warning in warnings:
            err().print(f"[yellow]Take care:[/] {warning}")
    if not well or (strict and warnings):
        sys.exit(ExitCode.CLOUD)


def facts(found: GetStatusResponse) -> dict[str, Any]:
    """What the service said, as JSON has it; times in ISO 8601, null for what is not known."""
    return {
        "version": found.version,
        "started": show_time(found.start_time),
        "database": found.database.engine,
        "database_reachable": found.database.reachable,
        "schema": found.database.schema_revision or None,
        "database_bytes": found.database.size_bytes if found.database.HasField("size_bytes") else None,
        "disk_free_bytes": found.disk_free_bytes or None,
        "log_size": found.log_size,
        "queue_depth": found.queue_depth,
        "devices": dict(sorted(found.devices.items())),
        "open_alarms": dict(sorted((kind, many) for kind, many in found.open_alarms.items() if many)),
        "oldest_alarm": show_maybe(found, "oldest_alarm_time"),
        "staged_records": found.staged_records,
        "last_backup": show_maybe(found, "last_backup_time"),
        "certificates_end": {
            name: show_time(end) for name, end in sorted(found.certificate_expire_times.items())
        },
    }


def for_people(found: GetStatusResponse) -> dict[str, str]:
    """The same in few lines: sizes in whole units, of the certificates the first that ends."""
    values = facts(found)
    ends = {end: name for name, end in values.pop("certificates_end").items()}
    first = min(ends, default=None)
    values["devices"] = {state: many for state, many in values["devices"].items() if many}
    shown = {name.replace("_", " "): _as_text(value) for name, value in values.items()}
    for name in ("database_bytes", "disk_free_bytes"):
        del shown[name.replace("_", " ")]
        shown[name.removesuffix("_bytes").replace("_", " ") + " size"] = _as_size(values[name])
    shown["certificates"] = f"{ends[first]} ends first, {first}" if first else "-"
    return shown


def _as_size(size: int | None) -> str:
    if size is None:
        return "-"
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = max(0, min(len(units) - 1, (size.bit_length() - 1) // 10))
    return f"{size >> 10 * power} {units[power]}"


def warn(found: GetStatusResponse, *, now: datetime) -> Iterator[str]:
    """One sentence for each thing that a person should look after before it becomes trouble."""
    for name, end in sorted(found.certificate_expire_times.items()):
        left = _moment(end) - now
        if left < timedelta(days=CERTIFICATE_DAYS):
            days = max(left.days, 0)
            yield f"the certificate of the {name} key ends in {days} days: start the service again."
    if not found.database.reachable:
        yield "the database does not answer."
        return
    if found.disk_free_bytes < DISK_FREE_BYTES:
        yield f"the data directory has {found.disk_free_bytes // 1024**2} MiB left: make room."
    if found.HasField("oldest_alarm_time"):
        age = now - _moment(found.oldest_alarm_time)
        if age > timedelta(days=ALARM_DAYS):
            yield f"an alarm has been open for {age.days} days: verifield-cloud alarms list."
    if found.HasField("last_backup_time"):
        age = now - _moment(found.last_backup_time)
        if age > timedelta(days=BACKUP_DAYS):
            yield f"the newest backup is {age.days} days old."


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def _as_text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items()) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
