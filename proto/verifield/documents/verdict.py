"""The verdict on a document: what it says, as values. Sentences for people are in ``words``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """VALID: every signature is good and ours, and nothing was changed since. ALTERED: it was signed here,
    and is not as it was signed. UNKNOWN: nothing can be said of it."""

    VALID = "VALID"
    ALTERED = "ALTERED"
    UNKNOWN = "UNKNOWN"


class Kind(StrEnum):
    """Whose signature it is. SEAL: of a person for an organisation. TIME_STAMP: over the whole document."""

    PLATFORM = "PLATFORM"
    PERSONAL = "PERSONAL"
    SEAL = "SEAL"
    TIME_STAMP = "TIME_STAMP"


class TimeSource(StrEnum):
    """TIME_STAMP: an authority said so. CLAIMED: the signature itself, and nobody else."""

    TIME_STAMP = "TIME_STAMP"
    CLAIMED = "CLAIMED"


class Code(StrEnum):
    """What was found. Stable; docs/documents-check.md explains each."""

    # The document was changed.
    CHANGED = "CHANGED"  # bytes that a signature covers
    CONTENT_CHANGED = "CONTENT_CHANGED"  # by an update that no signature allows
    CONTENT_ADDED = "CONTENT_ADDED"  # something stands behind the last signature
    SIGNATURE_CHANGED = "SIGNATURE_CHANGED"
    SIGNATURE_REMOVED = "SIGNATURE_REMOVED"
    SIGNATURE_FOREIGN = "SIGNATURE_FOREIGN"  # somebody else signed what was signed here
    CERTIFICATION_MISSING = "CERTIFICATION_MISSING"
    FIELDS_CHANGED = "FIELDS_CHANGED"  # fields that were not there when it was frozen, or are gone
    DAMAGED = "DAMAGED"  # signed here, and cannot be read any more

    # Nothing can be said.
    NOT_PDF = "NOT_PDF"
    TOO_LARGE = "TOO_LARGE"
    UNREADABLE = "UNREADABLE"
    TOO_COSTLY = "TOO_COSTLY"  # the time or the memory for a check was used up
    UNSIGNED = "UNSIGNED"
    NOT_OURS = "NOT_OURS"
    REVOKED = "REVOKED"
    STAMP_MISSING = "STAMP_MISSING"
    STAMP_UNTRUSTED = "STAMP_UNTRUSTED"
    CERTIFICATE_UNFIT = "CERTIFICATE_UNFIT"  # not valid at that time, or not for documents
    TIME_AHEAD = "TIME_AHEAD"  # it was signed later than now
    TIME_DIFFERS = "TIME_DIFFERS"  # the signature states another time than its time-stamp

    # No fault.
    INCOMPLETE = "INCOMPLETE"  # fields are not signed yet, or this is an earlier state
    NOT_CLOSED = "NOT_CLOSED"  # no time-stamp over the whole document yet
    REVOCATIONS_UNKNOWN = "REVOCATIONS_UNKNOWN"  # no list of revoked signers was at hand
    LIST_FOREIGN = "LIST_FOREIGN"  # one that was given says nothing of who signed here


ALTERED_CODES = frozenset(
    {
        Code.CHANGED,
        Code.CONTENT_CHANGED,
        Code.CONTENT_ADDED,
        Code.SIGNATURE_CHANGED,
        Code.SIGNATURE_REMOVED,
        Code.SIGNATURE_FOREIGN,
        Code.CERTIFICATION_MISSING,
        Code.FIELDS_CHANGED,
        Code.DAMAGED,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """``field``: the signature it is about; empty: the document."""

    code: Code
    field: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature. ``covers_file``: all of the file, and not an earlier state of it alone.

    ``valid``: it is good by itself, and what came after it is what it allows. ``serial``: lower-case hex.
    """

    field: str
    kind: Kind
    valid: bool
    signer: str
    organisation: str
    uscc: str
    time: datetime | None
    time_source: TimeSource
    covers_file: bool
    serial: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``signatures``: in the order in which they were made. ``findings``: why the outcome is not VALID.

    ``notes``: what is no fault. ``complete``: all fields are signed.
    """

    outcome: Outcome
    signatures: tuple[Signature, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    complete: bool = False

    @classmethod
    def unknown(cls, code: Code) -> Verdict:
        """Nothing can be said, for one reason."""
        return cls(Outcome.UNKNOWN, findings=(Finding(code),))


def decide(findings: tuple[Finding, ...]) -> Outcome:
    """The outcome that follows from what was found."""
    if not findings:
        return Outcome.VALID
    altered = any(one.code in ALTERED_CODES for one in findings)
    return Outcome.ALTERED if altered else Outcome.UNKNOWN


def encode_verdict(verdict: Verdict) -> dict[str, Any]:
    """As JSON."""
    return {
        "outcome": verdict.outcome.value,
        "complete": verdict.complete,
        "signatures": [
            {
                "field": one.field,
                "kind": one.kind.value,
                "valid": one.valid,
                "signer": one.signer,
                "organisation": one.organisation,
                "uscc": one.uscc,
                "time": one.time.astimezone(UTC).isoformat() if one.time else None,
                "time_source": one.time_source.value,
                "covers_file": one.covers_file,
                "serial": one.serial,
            }
            for one in verdict.signatures
        ],
        "findings": [{"code": one.code.value, "field": one.field} for one in verdict.findings],
        "notes": [{"code": one.code.value, "field": one.field} for one in verdict.notes],
    }


def parse_verdict(value: Mapping[str, Any]) -> Verdict:
    """What :func:`encode_verdict` made.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """

    def found(name: str) -> tuple[Finding, ...]:
        return tuple(Finding(Code(one["code"]), str(one["field"])) for one in value[name])

    signatures = tuple(
        Signature(
            field=str(one["field"]),
            kind=Kind(one["kind"]),
            valid=bool(one["valid"]),
            signer=str(one["signer"]),
            organisation=str(one["organisation"]),
            uscc=str(one["uscc"]),
            time=datetime.fromisoformat(one["time"]) if one["time"] else None,
            time_source=TimeSource(one["time_source"]),
            covers_file=bool(one["covers_file"]),
            serial=str(one["serial"]),
        )
        for one in value["signatures"]
    )
    return Verdict(
        Outcome(value["outcome"]), signatures, found("findings"), found("notes"), bool(value["complete"])
    )
