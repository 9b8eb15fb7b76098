"""Limits of contracts, and what counts where the sender says nothing."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud.api.rules import refuse_field
from cloud.errors import FieldViolation, Reason, ServiceError
from verifield.v1 import signing_service_pb2 as signing_pb

_DAY_US = 24 * 3600 * 1_000_000

DEFAULT_DEADLINE_US = 30 * _DAY_US
"""From sending. Others have 15 to 90 days."""

MAX_DEADLINE_US = 366 * _DAY_US

KEEP_CONCLUDED_US = 3653 * _DAY_US
"""Ten years: what most laws ask of commercial documents, and longer than most claims live."""

KEEP_ENDED_US = 365 * _DAY_US
"""Of what came to nothing: long enough to show what was asked for."""

KEEP_DRAFTS_US = 180 * _DAY_US
"""A draft that nobody touched for so long is taken away."""

MAX_RETENTION_US = 100 * 366 * _DAY_US

MAX_DRAFTS = 100
"""Of one sender. Each holds a file."""

MAX_SENT = 200
"""By one account within :data:`SENT_WITHIN_US`: each tells people who never asked to be told."""

SENT_WITHIN_US = _DAY_US

MAX_BYTES = 10 * 1024 * 1024
"""Of an uploaded document; signatures need room beside it."""

MAX_REMINDERS = 5
"""Of one party, by the service itself."""

REMIND_AFTER_US = 3 * _DAY_US
"""From the last message to the next reminder, by the service itself."""

REMIND_AGAIN_US = _DAY_US // 2
"""From the last message to a reminder that the sender asks for."""

METHODS = frozenset(signing_pb.SignMethod.values()) - {signing_pb.SIGN_METHOD_UNSPECIFIED}
"""All methods that there are."""


def bits_of(methods: Iterable[int]) -> int:
    """As a set of methods is stored; none given means all that there are."""
    chosen = set(methods) or METHODS
    return sum(1 << method for method in chosen)


def methods_of(bits: int) -> frozenset[int]:
    """What :func:`bits_of` made."""
    return frozenset(method for method in range(1, 31) if bits >> method & 1)


def check_zone(name: str) -> None:
    """Raises ServiceError REQUEST_INVALID: no time zone has this name; an empty one is not checked."""
    try:
        ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        refuse_field("terms.time_zone", rule="contract.time_zone", why="is no name of the IANA database")


def check_deadline(deadline_us: int, *, now_us: int) -> None:
    """Raises ServiceError CONTRACT_DEADLINE."""
    if not now_us < deadline_us <= now_us + MAX_DEADLINE_US:
        told = "must be in the future, and at most 366 days away"
        raise ServiceError(
            Reason.CONTRACT_DEADLINE,
            f"The deadline {told}.",
            violations=(FieldViolation("terms.deadline_time", "contract.deadline", told),),
        )
