"""What the sync machine tells the people at the device: stable codes and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge.model import Hole, ResetReason
from edge.sync.events import RecordResult, Trouble

OUT_OF_ORDER = Trouble(
    "OUT_OF_ORDER", "The cloud wants an earlier record first, which this device has sent already."
)
RECEIPT_MISSING = Trouble(
    "RECEIPT_MISSING", "The cloud took all records but gave no receipt for the newest of them yet."
)
HELD_BACK = Trouble(
    "HELD_BACK",
    "The cloud keeps this device's records but does not go on with its chain until a person there has "
    "looked into an alarm. Ask the operator of the cloud.",
)
CANNOT_REPAIR = Trouble(
    "CANNOT_REPAIR",
    "This device and the cloud do not agree about its records, and no note of the device mends it. "
    "All records are kept: ask the operator of the cloud.",
)
NEW_EPOCH: Mapping[ResetReason, Trouble] = MappingProxyType(
    {
        ResetReason.STORE_BEHIND: Trouble(
            "STORE_BEHIND",
            "The cloud has records that this device does not have: its store was restored from a backup, or "
            "another device uses its identity. It goes on with a new chain.",
        ),
        ResetReason.FORK: Trouble(
            "FORK",
            "The cloud has other records of this device than the device has: a store was restored from a "
            "backup, or another device uses its identity. It goes on with a new chain.",
        ),
        ResetReason.STORE_LOST: Trouble(
            "STORE_LOST", "This device has lost its records. It goes on with a new chain."
        ),
        ResetReason.COUNTER_AHEAD: Trouble(
            "COUNTER_AHEAD",
            "This device's store is an older copy than the one that its key hardware counted. It goes on "
            "with a new chain.",
        ),
    }
)


def records_lost(holes: tuple[Hole, ...]) -> Trouble:
    """Say which records are given up by GAP events."""
    ranges = ", ".join(f"{hole.first_seq} to {hole.last_seq} ({hole.reason})" for hole in holes)
    return Trouble("RECORDS_LOST", f"This device can no longer deliver records {ranges}; a note says so.")


def record_refused(result: RecordResult) -> Trouble:
    """Say which record is closed by a TOMBSTONE."""
    return Trouble(
        "RECORD_REFUSED",
        f"The cloud will not take record {result.position.seq} ({result.reason}). It is kept here and there, "
        "marked as refused, and the others go on.",
    )


def excuse_refused(result: RecordResult) -> Trouble:
    """Say that even our own notes are refused."""
    return Trouble(
        "NOTE_REFUSED",
        f"The cloud refuses this device's own note {result.position.seq} about a record ({result.reason}): "
        "it may know the device under other terms. All records are kept: ask the operator of the cloud.",
    )


def log_inconsistent(code: str) -> Trouble:
    """Say that the log contradicts what it showed before."""
    return Trouble(
        "LOG_INCONSISTENT",
        f"The cloud's log is not shown to continue the one that this device saw before ({code}). Both notes "
        "are kept beside the records as evidence: ask the operator of the cloud, and show them.",
    )
