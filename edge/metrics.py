"""A device's figures for Prometheus, as a text file that its node exporter picks up.

No port is opened for them. The file is written whole or not at all, holds figures and stable codes and
nothing about a person, and says when the device was looked at: a file that is old speaks for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from edge.errors import StorageError
from edge.files import make_private_folder, write_private
from edge.health import Health, judge_health
from edge.health_items import HealthItem, HealthState, health_items

READABLE = 0o644
"""The exporter is another user; there is nothing secret in the file."""

_LEVELS = {HealthState.OK: 0, HealthState.WARN: 1, HealthState.BAD: 2}


def write_metrics(path: Path, health: Health | None, *, fault: str, at: datetime) -> None:
    """Write what was seen; ``fault``: the code of what kept the device from being looked at.

    Raises:
        StorageError: METRICS_UNWRITABLE.
    """
    try:
        make_private_folder(path.parent)
        write_private(path, encode_metrics(health, fault=fault, at=at))
        path.chmod(READABLE)
    except OSError as error:
        raise StorageError(
            "METRICS_UNWRITABLE",
            f"The figures cannot be written to {path}: {error.strerror or error}.",
            hint="Name a folder that belongs to this user, with --metrics-file.",
        ) from None


def encode_metrics(health: Health | None, *, fault: str, at: datetime) -> bytes:
    """Prometheus text format; without ``health`` only that the device could not be looked at, and why."""
    registry = CollectorRegistry()
    _set(registry, "looked_at_seconds", "When the device was looked at (Unix time).", at.timestamp())
    _set(registry, "looked", "1 where the device could be looked at.", float(health is not None))
    problems = Gauge(
        "verifield_edge_problem", "1 for each problem, by its code.", ["code"], registry=registry
    )
    if health is None:
        problems.labels(fault).set(1)
        return bytes(generate_latest(registry))
    for code in judge_health(health):
        problems.labels(code).set(1)
    _items(registry, health_items(health))
    _figures(registry, health)
    return bytes(generate_latest(registry))


def _items(registry: CollectorRegistry, items: Iterable[HealthItem]) -> None:
    states = Gauge(
        "verifield_edge_health",
        "Each part: 0 good, 1 somebody should look, 2 no session that counts.",
        ["item"],
        registry=registry,
    )
    for item in items:
        states.labels(item.name).set(_LEVELS[item.state])


def _figures(registry: CollectorRegistry, health: Health) -> None:
    now, lease = health.bounds.likely, health.lease
    ends = Gauge(
        "verifield_edge_certificate_days_left",
        "Days until a certificate ends; below 0 since.",
        ["certificate"],
        registry=registry,
    )
    for name, end in health.certificates:
        ends.labels(name).set((end - now).total_seconds() / 86400)
    _set(registry, "silence_seconds", "Since the cloud's last word.", lease.silence.total_seconds())
    _set(registry, "lease_left_seconds", "Until no session may begin.", lease.left.total_seconds())
    _set(
        registry, "policy_version", "Of the policy in force.", health.policy.version if health.policy else -1
    )
    stats, space = health.queue.stats, health.queue.space
    if space is not None:
        _set(registry, "disk_free_bytes", "Free for records.", space.free_bytes)
        _set(registry, "disk_bytes", "In use and free, less what the system keeps back.", space.total_bytes)
    if stats is None:
        return
    records = Gauge(
        "verifield_edge_records", "Records on the device, by state.", ["state"], registry=registry
    )
    for state in ("pending", "delivered", "confirmed", "invalid", "branch", "damaged", "missing"):
        records.labels(state).set(getattr(stats, state))
    _set(registry, "records_elsewhere", "Of earlier identities, without receipt.", health.queue.left)
    _set(registry, "media_pending", "Pictures that wait for the cloud.", stats.media_pending)
    for name, lacks, oldest in (
        ("queue", "does not have.", stats.oldest_pending),
        ("media", "has without all of its pictures.", stats.oldest_media),
        ("unreceipted", "has without a receipt for it.", stats.oldest_delivered),
    ):
        age = (now - oldest).total_seconds() if oldest else 0.0
        _set(registry, f"{name}_age_seconds", f"Age of the oldest record that the cloud {lacks}", age)
    if stats.last_receipt_time is not None:
        _set(
            registry,
            "last_receipt_seconds",
            "Of the newest receipt (Unix time).",
            stats.last_receipt_time.timestamp(),
        )


def _set(registry: CollectorRegistry, name: str, what: str, value: float) -> None:
    Gauge(f"verifield_edge_{name}", what, registry=registry).set(value)
