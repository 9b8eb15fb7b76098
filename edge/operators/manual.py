"""Decisions by hand: never by one person alone, and kept in the device's ledger."""

from __future__ import annotations

from edge.answers import SignedIn
from edge.attest.clock import bounded_now
from edge.errors import InputError
from edge.model import Role
from edge.ports import Clock
from edge.state.records import ManualEntry
from edge.state.store import StateStore


def check_two_people(decided_by: SignedIn, agreed_by: SignedIn) -> None:
    """Check that these two may decide by hand together.

    Raises:
        InputError: SAME_PERSON, or NO_SUPERVISOR.
    """
    if decided_by.operator_id == agreed_by.operator_id:
        raise InputError(
            "SAME_PERSON",
            "A decision by hand takes two people, and both are the same.",
            hint="Let a supervisor sign in beside the operator.",
        )
    if agreed_by.role != Role.SUPERVISOR:
        raise InputError(
            "NO_SUPERVISOR",
            "The second person is no supervisor.",
            hint="Let a supervisor sign in beside the operator.",
        )


def note_manual(
    state: StateStore,
    clock: Clock,
    *,
    decided_by: SignedIn,
    agreed_by: SignedIn,
    attestation_id: str,
    accepted: bool,
) -> int:
    """Write a decision, whose record is durable, into the ledger; return the row's number.

    Raises:
        InputError: as :func:`check_two_people`.
        StorageError: LEDGER_BROKEN among others.
    """
    check_two_people(decided_by, agreed_by)
    bounds = bounded_now(clock, contact=state.contact())
    return state.ledger.append(
        ManualEntry(
            attestation_id=attestation_id,
            decided_by=decided_by.operator_id,
            agreed_by=agreed_by.operator_id,
            accepted=accepted,
            not_before=bounds.not_before,
            wall=bounds.wall,
        )
    )
