"""``verifield-edge status``: how the device stands, and what somebody should look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer
from cryptography import x509

from edge.app import open_identity, open_outbox, open_state, outbox_path
from edge.attest.clock import SystemClock, bounded_now
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
from edge.config import EdgeConfig, load_config
from edge.errors import EdgeError, ExitCode
from edge.health import Health, Queue, judge_health
from edge.lease import read_lease
from edge.outbox.older import undelivered_elsewhere
from edge.policy import Policy
from edge.ports import Clock
from edge.state.records import ItemKind
from edge.state.store import StateStore
from edge.texts import STANDINGS
from verifield.certificates import load_roots, parse_certificate
from verifield.v1.attestation_pb2 import TimeQuality

_WIDTH = 34

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def status(
    config: ConfigOption = None,
    data: DataOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing: only the status counts.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show lock, lease, policy, clock, certificates, disk, queue and news; status 1 where there is a problem.

    Example: verifield-edge status --json
    """
    settings = load_config(config, data_dir=data)
    identity = open_identity(settings)
    roots = load_roots(identity.root_pem)
    with open_state(settings, identity) as state:
        health = _look(settings, identity, state, roots, SystemClock())
        waiting = _waiting(state)
    problems = judge_health(health)
    answer = _to_json(identity, health, waiting) | {"problems": list(problems)}
    if as_json:
        print_json(answer)
    elif not quiet:
        out().print(STANDINGS[health.lease.standing][settings.language], style="bold")
        print_values(answer, width=_WIDTH)
    if problems:
        raise typer.Exit(int(ExitCode.NEGATIVE))


def _look(
    config: EdgeConfig,
    identity: DeviceIdentity,
    state: StateStore,
    roots: list[x509.Certificate],
    clock: Clock,
) -> Health:
    policy = _policy(state, roots)
    lease = read_lease(
        state,
        clock,
        policy=policy or Policy(),
        certificates=identity.attestation_certificates,
        roots=roots,
    )
    return Health(
        lease=lease,
        bounds=bounded_now(clock, contact=state.contact()),
        policy=policy,
        certificates=tuple(
            (name, parse_certificate(chain[0]).not_valid_after_utc)
            for name, chain in (
                ("attestation", identity.attestation_certificates),
                ("tls", identity.tls_certificates),
            )
        ),
        queue=_queue(config, identity),
        refused=tuple(state.refused()),
    )


def _policy(state: StateStore, roots: list[x509.Certificate]) -> Policy | None:
    try:
        return state.policy(roots)
    except EdgeError as error:
        if error.code != "STATE_POLICY_DAMAGED":
            raise
        return None


def _queue(config: EdgeConfig, identity: DeviceIdentity) -> Queue:
    """A store that cannot be used is an answer here, not the end of the command."""
    queue = Queue()
    try:
        with open_outbox(config, identity) as outbox:
            queue = Queue(stats=outbox.stats(), space=outbox.space())
            outbox.check_ready()
    except EdgeError as error:
        queue = replace(queue, unusable=error.code)
    return replace(queue, left=undelivered_elsewhere(outbox_path(config, identity.device_id)))


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
        "waiting": waiting,
        "refused": [
            {"kind": item.kind, "item_id": item.item_id, "code": item.code, "message": item.message}
            for item in health.refused
        ],
    }


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
