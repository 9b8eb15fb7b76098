"""``verifield-edge status``: how the device stands, and what somebody should look at."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
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
from edge.errors import EdgeError, ExitCode
from edge.health import Health, Queue, judge_health
from edge.health_items import health_items, worst_state
from edge.state.records import ItemKind
from edge.state.store import StateStore
from edge.texts import STANDINGS
from edge.watch import NO_PARTS, look, look_at_parts
from verifield.v1.attestation_pb2 import TimeQuality

_WIDTH = 34

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def status(
    config: ConfigOption = None,
    data: DataOption = None,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Look at key, camera, reader and models too, disturbing no session."),
    ] = False,
    metrics_file: Annotated[
        Path | None,
        typer.Option("--metrics-file", help="Write all of it there for Prometheus; implies --parts."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing: only the status counts.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show lock, lease, policy, clock, certificates, disk, queue and news; status 1 where there is a problem.

    Example: verifield-edge status --json
    """
    settings = load_config(config, data_dir=data)
    clock = SystemClock()
    try:
        identity = open_identity(settings)
        with open_state(settings, identity) as state:
            seen = look_at_parts(settings, identity, state) if parts or metrics_file else NO_PARTS
            health = look(settings, identity, state, clock, parts=seen)
            waiting = _waiting(state)
    except EdgeError as error:
        if metrics_file is not None:
            _write_metrics(metrics_file, None, error, at=clock.wall())
        raise
    if metrics_file is not None:
        _write_metrics(metrics_file, health, None, at=clock.wall())
    problems = judge_health(health)
    items = health_items(health)
    answer = _to_json(identity, health, waiting) | {"problems": list(problems)}
    if parts:
        answer["parts"] = {one.name: f"{one.state} {one.code or one.value}".strip() for one in items}
        answer["worst"] = worst_state(items).value
    if as_json:
        print_json(answer)
    elif not quiet:
        out().print(STANDINGS[health.lease.standing][settings.language], style="bold")
        print_values(answer, width=_WIDTH)
    if problems:
        raise typer.Exit(int(ExitCode.NEGATIVE))


def _write_metrics(path: Path, health: Health | None, error: EdgeError | None, *, at: datetime) -> None:
    from edge.metrics import write_metrics  # noqa: PLC0415 - the library is for this option alone

    write_metrics(path, health, fault="" if error is None else error.code, at=at)


def _waiting(state: StateStore) -> dict[str, int]:
    """Counts what awaits somebody at this device."""
    return {kind.value.lower(): state.count(kind) for kind in (ItemKind.ACCOUNT, ItemKind.CONTRACT)}


def _to_json(identity: DeviceIdentity, health: Health, waiting: dict[str, int]) -> dict[str, Any]:
    lease, policy, bounds = health.lease, health.policy, health.bounds
    return {
        "device_id": identity.device_id,
        "site_id": identity.site_id,
        "key_protection": identity.key_protection.value,
        "standing": lease.standing.value,
        "reason": lease.reason,
        "detail": lease.detail,
        "silence_s": round(lease.silence.total_seconds()),
        "left_s": round(lease.left.total_seconds()),
        "policy": {
            "version": policy.version if policy else None,
            "sha256": policy.sha256().hex() if policy else None,
            "expire_time": _time(policy.expire_time) if policy else None,
            "expired": lease.policy_expired,
        },
        "clock": {
            "quality": TimeQuality.Name(bounds.quality).removeprefix("TIME_QUALITY_"),
            "wall": _time(bounds.wall),
            "not_before": _time(bounds.not_before),
        },
        "certificates": {
            name: {"end": _time(end), "days_left": (end - bounds.likely).days}
            for name, end in health.certificates
        },
        "queue": _queue_json(health.queue),
        "delivery": _delivery_json(health),
        "waiting": waiting,
        "refused": [
            {"kind": item.kind, "item_id": item.item_id, "code": item.code, "message": item.message}
            for item in health.refused
        ],
    }


def _delivery_json(health: Health) -> dict[str, Any]:
    look = health.delivery
    if look is None:
        return {"daemon": "none"}
    return {"daemon": "alive" if look.alive else "silent", "state": look.state, "trouble": look.code or None}


def _queue_json(queue: Queue) -> dict[str, Any]:
    stats, space = queue.stats, queue.space
    unusable: dict[str, Any] = {"left": queue.left}
    if queue.unusable:
        unusable["unusable"] = queue.unusable
    if stats is None or space is None:
        return unusable
    return unusable | {
        "pending": stats.pending,
        "oldest_pending": _time(stats.oldest_pending),
        "delivered": stats.delivered,
        "confirmed": stats.confirmed,
        "invalid": stats.invalid,
        "damaged": stats.damaged,
        "media_pending": stats.media_pending,
        "last_receipt_time": _time(stats.last_receipt_time),
        "disk_free_bytes": space.free_bytes,
        "disk_free_percent": space.free_bytes * 100 // max(1, space.total_bytes),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
