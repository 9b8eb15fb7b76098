"""What a verification found, as values; :mod:`verifield.describe` puts them into words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from verifield.commitments import Disclosure

Status = Literal["passed", "failed", "missing"]

VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the verification."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the bundle is not verified: a stable code, one sentence, and what to do."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the signed record says, and what the checks added to it. Times are aware, UTC.

    ``outcome`` is empty for device events, ``event`` (one sentence) for all others. ``not_before``
    and ``not_after`` bound the time of the record; None where nothing bounds it. ``wall_time`` is what
    the device's own clock showed. ``witnesses`` counts other devices. ``policy_version`` is None where
    no policy was brought. ``decided_by`` (two pseudonyms) and ``accepted`` belong to manual decisions.
    ``read_method`` is CHIP, TYPED or SCANNED, empty where no document was read; ``printed_photo``: the
    photo is the printed one, not the chip's. ``disclosed`` was proved; personal data.
    """

    attestation_id: str
    device_id: str
    chain_epoch: int
    seq: int
    kind: str
    outcome: str
    reasons: tuple[str, ...]
    event: str
    wall_time: datetime
    not_before: datetime | None
    not_after: datetime | None
    key_protection: str
    camera: str
    reader_sam_id: str
    log_index: int | None
    witnesses: int
    revocation_checked: bool
    policy_version: int | None
    decided_by: tuple[str, ...]
    accepted: bool | None
    degraded: bool
    read_method: str
    printed_photo: bool
    disclosed: tuple[Disclosure, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """``verdict``: verified, malformed, forged, untrusted, unknown, or unreadable where no bytes were had.

    ``facts`` is None where the bundle was refused.
    """

    verdict: str
    headline: str
    checks: tuple[Check, ...]
    facts: Facts | None
    proved: tuple[str, ...]
    not_proved: tuple[str, ...]
    error: Fault | None

    @property
    def ok(self) -> bool:
        """Whether every required check passed; says nothing about the outcome in the record."""
        return self.verdict == VERIFIED
