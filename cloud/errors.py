"""Every fault of the cloud service, in one tree; the reasons of refusals are in ``cloud.reasons``.

    CloudError
    +-- SetupError      the service cannot start; the person who runs it can mend it
    +-- ServiceError    an answer to one caller: a stable reason from the table of ``cloud.reasons``
    +-- ClientError     an operator command: the cloud is away, or it refused

What a record of a batch is refused for is an outcome (``attestations.ingest.RecordReason``), not a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from google.rpc import code_pb2

from cloud.reasons import REMEDIES, Reason, Remedy

__all__ = [
    "ERROR_DOMAIN",
    "REMEDIES",
    "ClientError",
    "CloudError",
    "ExitCode",
    "FieldViolation",
    "Reason",
    "Remedy",
    "ServiceError",
    "SetupError",
]

# The domain of google.rpc.ErrorInfo (AIP-193): who owns the reasons.
ERROR_DOMAIN = "verifield"


class ExitCode(IntEnum):
    """Exit statuses of ``verifield-cloud``."""

    OK = 0
    USAGE = 2  # wrong options; also what Typer uses
    SETUP = 3
    UNSOUND = 4  # what was checked does not hold
    CLOUD = 6


class CloudError(Exception):
    """Base of all faults: one sentence for a person, and a hint that says what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SetupError(CloudError):
    """Configuration, keys, database or ports are not as needed. ``code`` is stable."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ClientError(CloudError):
    """The cloud did not answer, or refused; ``code`` is the reason or the gRPC status name."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """``field``: its path, for example ``items[2].name``; ``rule``: a stable code; never the value."""

    field: str
    rule: str
    description: str


@dataclass(eq=False)
class ServiceError(CloudError):
    """A refusal with a reason from the table; ``metadata`` adds facts for machines, never personal data.

    ``violations``: the fields that are at fault. ``retry_s``: where it is known better than in the table.
    """

    reason: Reason
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = field(default=(), kw_only=True)
    retry_s: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__init__(self.message, hint=REMEDIES[self.reason].en)
        if self.retry_s is None:
            self.retry_s = REMEDIES[self.reason].retry_s

    @property
    def status(self) -> code_pb2.Code.ValueType:
        """The gRPC code of the reason."""
        return REMEDIES[self.reason].status
