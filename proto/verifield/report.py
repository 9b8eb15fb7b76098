"""What a verification found, as values and in plain words.

A genuine record is not a verified person: a device signs refused attempts as well. The headline
says which of the two the reader holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from verifield.v1 import attestation_pb2 as pb

Status = Literal["passed", "failed", "missing"]

VERIFIED = "verified"

HEADLINES = {
    "VERIFIED": "Genuine record: the device saw a live person whose face matched the document's photo.",
    "NOT_MATCHED": "Genuine record of a REFUSAL: the face did not match the document's photo. "
    "It verifies NO person.",
    "SPOOF": "Genuine record of an ATTACK: what was held before the camera was not a live person. "
    "It verifies NO person.",
    "INCONCLUSIVE": "Genuine record WITHOUT a result: there was not enough evidence. It verifies NO person.",
    "MANUAL": "Genuine record of a decision by PEOPLE: the device itself verified NO person.",
    "ABORTED": "Genuine record of an attempt that was STOPPED before a decision. It verifies NO person.",
}
EVENT_HEADLINE = "Genuine record of a device event. It is about the device and verifies NO person."
INCOMPLETE_HEADLINE = "NOT established: needed evidence is missing. Do not rely on this record yet."
REFUSED_HEADLINES = {
    "malformed": "REFUSED, malformed: this is not an intact bundle.",
    "forged": "REFUSED, forged: a signature, a digest or a proof does not hold.",
    "untrusted": "REFUSED, untrusted: nothing valid leads from a signer to the given root.",
    "unknown": "REFUSED, unknown: this version cannot read all of the bundle.",
}


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
    """What the signed record says. ``outcome`` is empty for device events; times are aware, UTC.

    ``not_before`` and ``not_after`` bound the time of the record; None where nothing bounds it.
    ``wall_time`` is what the device's own clock showed.
    """

    attestation_id: str
    device_id: str
    chain_epoch: int
    seq: int
    kind: str
    outcome: str
    reasons: tuple[str, ...]
    wall_time: datetime
    not_before: datetime | None
    not_after: datetime | None
    key_protection: str
    camera: str
    reader_sam_id: str
    log_index: int | None


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


def name_kind(kind: pb.RecordKind.ValueType) -> str:
    """Return the name without its prefix."""
    return pb.RecordKind.Name(kind).removeprefix("RECORD_KIND_")


def name_outcome(outcome: pb.Outcome.ValueType) -> str:
    """Return the name without its prefix, empty where the record has none."""
    return pb.Outcome.Name(outcome).removeprefix("OUTCOME_") if outcome else ""


def name_key_protection(protection: pb.KeyProtection.ValueType) -> str:
    """Return the name without its prefix."""
    return pb.KeyProtection.Name(protection).removeprefix("KEY_PROTECTION_")


def name_camera(camera: pb.CameraAssurance.ValueType) -> str:
    """Return the name without its prefix, empty where no camera was used."""
    return pb.CameraAssurance.Name(camera).removeprefix("CAMERA_ASSURANCE_") if camera else ""


def describe_headline(facts: Facts) -> str:
    """Return the one sentence that a hurried reader takes away from a record whose checks all passed."""
    return HEADLINES[facts.outcome] if facts.outcome else EVENT_HEADLINE


def describe_proved(facts: Facts) -> tuple[str, ...]:
    """Return what holds, one sentence each."""
    sentences = [
        f"The key of device {facts.device_id}, for which the given root vouches, signed exactly this."
    ]
    if facts.not_after:
        sentences.append(
            f"It is record {facts.seq} in epoch {facts.chain_epoch} of the device's chain, "
            "as the service confirmed."
        )
    if facts.log_index is not None:
        sentences.append(f"It is entry {facts.log_index} of the transparency log.")
    if facts.not_before:
        sentences.append(f"It was made after {facts.not_before:%Y-%m-%d %H:%M:%S} UTC.")
    if facts.not_after:
        sentences.append(f"It was made before {facts.not_after:%Y-%m-%d %H:%M:%S} UTC.")
    if facts.not_after and facts.outcome:
        sentences.append(f"The outcome that the device recorded is {facts.outcome}.")
    return tuple(sentences)


def describe_not_proved(facts: Facts) -> tuple[str, ...]:
    """Return what a reader might wrongly assume, one sentence each."""
    sentences = [
        "That the device's decision was right: the record shows what it decided, and on what scores."
    ]
    if facts.not_before is None:
        sentences.append("The earliest time of the record: it comes with no receipt from before it.")
    if facts.not_after is None:
        sentences.append(
            "The time of the record, and that the key was still valid then: no receipt is there."
        )
    else:
        sentences.append("The exact time: only the bounds hold, and they rest on the service's clock.")
    if _outside_bounds(facts):
        sentences.append(
            f"The device's clock, which showed {facts.wall_time:%Y-%m-%d %H:%M:%S} UTC: outside the bounds."
        )
    if facts.key_protection == "SOFTWARE":
        sentences.append("That nobody copied the device's key: it was kept in software.")
    if facts.camera in {"HOST", "SIMULATED"}:
        sentences.append(f"That the pictures came straight from a camera: its assurance is {facts.camera}.")
    if facts.outcome:
        sentences.append("Who the person is: personal data enters only as commitments, and none was opened.")
    sentences.append("That the log shows everybody the same tree: no witness signature was checked.")
    return tuple(sentences)


def _outside_bounds(facts: Facts) -> bool:
    early = facts.not_before is not None and facts.wall_time < facts.not_before
    late = facts.not_after is not None and facts.wall_time > facts.not_after
    return early or late
