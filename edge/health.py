"""How the device is: what stands against a session, and what will before long. Pure; never kinder than true.

DEVICE_LOCKED, DEVICE_STOPPED, POLICY_DAMAGED,
CERTIFICATE_EXPIRED, DISK_RESERVE, QUEUE_UNUSABLE   no session, or none that counts
DEVICE_DEGRADED, POLICY_EXPIRED, POLICY_MISSING,
CLOCK_SUSPECT, CERTIFICATE_EXPIRES, DISK_LOW,
QUEUE_WAITS, RECORDS_REFUSED, RECORDS_DAMAGED,
RECORDS_LEFT, NEWS_REFUSED                                        somebody should look
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.attest.clock import TimeBounds
from edge.lease import Lease
from edge.model import Standing
from edge.outbox.records import OutboxStats
from edge.outbox.space import Space, SpaceVerdict
from edge.policy import BUILT_IN_VERSION, Policy
from edge.state.records import RefusedItem
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT

EXPIRES_SOON = timedelta(days=14)
"""Certificates are renewed at half their life: one so near its end was not; two weeks remain to act."""


@dataclass(frozen=True, slots=True)
class Queue:
    """``unusable``: the stable code of what keeps records from being stored; figures where there are any.

    ``left``: records of earlier identities of this device that have no receipt.
    """

    stats: OutboxStats | None = None
    space: Space | None = None
    unusable: str = ""
    left: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """``policy``: None where it is damaged; ``lease`` is then that of the built-in one.

    ``certificates``: name and end of each.
    """

    lease: Lease
    bounds: TimeBounds
    policy: Policy | None
    certificates: tuple[tuple[str, datetime], ...]
    queue: Queue
    refused: tuple[RefusedItem, ...]


def judge_health(health: Health) -> tuple[str, ...]:
    """Return the codes of all problems, gravest first."""
    lease, policy, now = health.lease, health.policy, health.bounds.likely
    stats, space = health.queue.stats, health.queue.space
    ends = [end for _, end in health.certificates]
    verdict = space.verdict if space else None
    problems = {
        "DEVICE_LOCKED": lease.standing is Standing.LOCKED,
        "DEVICE_STOPPED": lease.standing is Standing.STOPPED,
        "POLICY_DAMAGED": policy is None,
        "CERTIFICATE_EXPIRED": any(end < now for end in ends),
        "DISK_RESERVE": verdict is SpaceVerdict.STOP,
        "QUEUE_UNUSABLE": bool(health.queue.unusable),
        "DEVICE_DEGRADED": lease.standing is Standing.DEGRADED,
        "POLICY_EXPIRED": lease.policy_expired,
        "POLICY_MISSING": policy is not None and policy.version == BUILT_IN_VERSION,
        "CLOCK_SUSPECT": health.bounds.quality == TIME_QUALITY_SUSPECT,
        "CERTIFICATE_EXPIRES": any(now <= end < now + EXPIRES_SOON for end in ends),
        "DISK_LOW": verdict is SpaceVerdict.LOW,
        "QUEUE_WAITS": _waits(health),
        "RECORDS_REFUSED": stats is not None and stats.invalid > 0,
        "RECORDS_DAMAGED": stats is not None
        and (stats.damaged + stats.missing + stats.media_lost > 0 or bool(stats.reset_needed)),
        "RECORDS_LEFT": health.queue.left > 0,
        "NEWS_REFUSED": bool(health.refused),
    }
    return tuple(code for code, there in problems.items() if there)


def _waits(health: Health) -> bool:
    """Whether a record has waited for as long as marks a device."""
    stats, policy = health.queue.stats, health.policy or Policy()
    if stats is None or stats.oldest_pending is None:
        return False
    return health.bounds.likely - stats.oldest_pending > policy.offline.degraded_after
