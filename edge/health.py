"""How the device is: what stands against a session, and what will before long. Pure; never kinder than true.

DEVICE_LOCKED, DEVICE_STOPPED, POLICY_DAMAGED,
POLICY_INCOMPLETE, CERTIFICATE_EXPIRED, CLOCK_WRONG, DISK_RESERVE,
QUEUE_UNUSABLE, QUEUE_STUCK, RECEIPT_OVERDUE,
DELIVERY_HALTED                                     no session, or none that counts
DEVICE_DEGRADED, POLICY_EXPIRED, POLICY_MISSING,
CLOCK_SUSPECT, CERTIFICATE_EXPIRES, DISK_LOW,
QUEUE_WAITS, RECORDS_REFUSED, RECORDS_DAMAGED,
RECORDS_LEFT, RECEIPT_LATE, DELIVERY_SILENT,
DELIVERY_TROUBLE, NEWS_REFUSED                      somebody should look

What is wrong with the key, the camera, the reader, the models or the gallery is told by the code of the
fault itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.attest.clock import MAX_DRIFT, TimeBounds
from edge.errors import SetupError
from edge.lease import Lease
from edge.model import Standing
from edge.outbox.records import OutboxStats
from edge.outbox.space import Space, SpaceVerdict
from edge.policy import BUILT_IN_VERSION, Policy
from edge.session.plan import plan_session
from edge.state.records import RefusedItem
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT

EXPIRES_SOON = timedelta(days=14)
"""Certificates are renewed at half their life: one so near its end was not; two weeks remain to act."""

WAITS_LONG = timedelta(days=1)
"""A record that is older and still here: the line, or somebody, has been away for a working day."""

NOT_LOOKED_AT = "NOT_LOOKED_AT"
"""What is said of a part that nobody has looked at: never that it is well."""

BAD = frozenset(
    {
        "DEVICE_LOCKED",
        "DEVICE_STOPPED",
        "POLICY_DAMAGED",
        "POLICY_INCOMPLETE",
        "CERTIFICATE_EXPIRED",
        "CLOCK_WRONG",
        "DISK_RESERVE",
        "QUEUE_UNUSABLE",
        "QUEUE_STUCK",
        "RECEIPT_OVERDUE",
        "DELIVERY_HALTED",
    }
)
"""The graver problems; all others are warnings."""


@dataclass(frozen=True, slots=True)
class PartLook:
    """How a part was found. ``code``: of the fault, empty where there is none; ``works`` all the same."""

    code: str = ""
    message: str = ""
    hint: str = ""
    works: bool = False
    value: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryLook:
    """The sync daemon's last sign of life. ``state``: of its machine; ``code``: of what troubles it."""

    alive: bool
    state: str = ""
    code: str = ""
    halted: bool = False


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

    ``certificates``: name and end of each. Parts and ``delivery``: None where nobody has looked; ``gallery``
    also where the device has none and needs none.
    """

    lease: Lease
    bounds: TimeBounds
    policy: Policy | None
    certificates: tuple[tuple[str, datetime], ...]
    queue: Queue
    refused: tuple[RefusedItem, ...]
    key: PartLook | None = None
    camera: PartLook | None = None
    reader: PartLook | None = None
    models: PartLook | None = None
    gallery: PartLook | None = None
    delivery: DeliveryLook | None = None


def judge_health(health: Health) -> tuple[str, ...]:
    """Return the codes of all problems, gravest first."""
    lease, policy, bounds = health.lease, health.policy, health.bounds
    stats, space = health.queue.stats, health.queue.space
    ends = [end for _, end in health.certificates]
    verdict = space.verdict if space else None
    soon = bounds.likely + EXPIRES_SOON
    problems = {
        "DEVICE_LOCKED": lease.standing is Standing.LOCKED,
        "DEVICE_STOPPED": lease.standing is Standing.STOPPED,
        "POLICY_DAMAGED": policy is None,
        "POLICY_INCOMPLETE": policy is not None and not _can_be_held(policy),
        "CERTIFICATE_EXPIRED": any(end < bounds.likely for end in ends),
        "CLOCK_WRONG": bounds.wall < bounds.not_before - MAX_DRIFT,
        "DISK_RESERVE": verdict is SpaceVerdict.STOP,
        "QUEUE_UNUSABLE": bool(health.queue.unusable),
        **_waiting(health),
        "DEVICE_DEGRADED": lease.standing is Standing.DEGRADED,
        "POLICY_EXPIRED": lease.policy_expired,
        "POLICY_MISSING": policy is not None and policy.version == BUILT_IN_VERSION,
        "CLOCK_SUSPECT": bounds.quality == TIME_QUALITY_SUSPECT,
        "CERTIFICATE_EXPIRES": any(bounds.likely <= end < soon for end in ends),
        "DISK_LOW": verdict is SpaceVerdict.LOW,
        "RECORDS_REFUSED": stats is not None and stats.invalid > 0,
        "RECORDS_DAMAGED": stats is not None
        and (stats.damaged + stats.missing + stats.media_lost > 0 or bool(stats.reset_needed)),
        "RECORDS_LEFT": health.queue.left > 0,
        **_delivery(health.delivery),
        "NEWS_REFUSED": bool(health.refused),
    }
    found = [code for code, there in problems.items() if there]
    faults = [(part.code, part.works) for part in _parts(health) if part.code]
    grave = [code for code, works in faults if not works] + [code for code in found if code in BAD]
    return (*grave, *(code for code, works in faults if works), *(code for code in found if code not in BAD))


def _can_be_held(policy: Policy) -> bool:
    """Whether its steps have what they show; how long a device waits does not matter for that."""
    try:
        plan_session(policy, card_timeout_s=0, capture_timeout_s=0)
    except SetupError:
        return False
    return True


def _parts(health: Health) -> list[PartLook]:
    parts = (health.key, health.camera, health.reader, health.models, health.gallery)
    return [one for one in parts if one is not None]


def _waiting(health: Health) -> dict[str, bool]:
    """How long records have waited, first for the cloud to have them and their files, then for its receipt.

    A receipt covers all that came before it: where it never came, the oldest record without one tells.
    """
    stats, policy, now = health.queue.stats, health.policy or Policy(), health.bounds.likely
    if stats is None:
        return {}
    stuck, long = policy.offline.degraded_after, min(WAITS_LONG, policy.offline.degraded_after)
    waits = now - (stats.oldest_waiting or now)
    since = stats.oldest_delivered or stats.last_receipt_time
    unreceipted = now - since if stats.delivered and since is not None else timedelta(0)
    return {
        "QUEUE_STUCK": waits > stuck,
        "RECEIPT_OVERDUE": unreceipted > stuck,
        "QUEUE_WAITS": long < waits <= stuck,
        "RECEIPT_LATE": long < unreceipted <= stuck,
    }


def _delivery(look: DeliveryLook | None) -> dict[str, bool]:
    if look is None:
        return {}
    return {
        "DELIVERY_HALTED": look.halted,
        "DELIVERY_SILENT": not look.alive and not look.halted,
        "DELIVERY_TROUBLE": look.alive and bool(look.code) and not look.halted,
    }
