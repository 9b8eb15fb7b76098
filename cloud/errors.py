"""Every fault of the cloud service, in one tree and one table.

    CloudError
    +-- SetupError      the service cannot start; the person who runs it can mend it
    +-- ServiceError    an answer to one caller: a stable reason from the table below
    +-- ClientError     an operator command: the cloud is away, or it refused

What a record of a batch is refused for is an outcome (``attestations.ingest.RecordReason``), not a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

from google.rpc import code_pb2

# The domain of google.rpc.ErrorInfo (AIP-193): who owns the reasons.
ERROR_DOMAIN = "verifield"


class ExitCode(IntEnum):
    """Exit statuses of ``verifield-cloud``."""

    OK = 0
    USAGE = 2  # wrong options; also what Typer uses
    SETUP = 3
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


class Reason(StrEnum):
    """Stable, machine-readable reasons of refusals, sent as google.rpc.ErrorInfo.reason."""

    OPERATOR_TOKEN_MISSING = "OPERATOR_TOKEN_MISSING"  # noqa: S105 (the name of a reason)
    OPERATOR_TOKEN_REFUSED = "OPERATOR_TOKEN_REFUSED"  # noqa: S105
    CLIENT_CERTIFICATE_REFUSED = "CLIENT_CERTIFICATE_REFUSED"
    DEVICE_UNKNOWN = "DEVICE_UNKNOWN"
    JOIN_TOKEN_UNKNOWN = "JOIN_TOKEN_UNKNOWN"  # noqa: S105
    JOIN_TOKEN_USED = "JOIN_TOKEN_USED"  # noqa: S105
    JOIN_TOKEN_EXPIRED = "JOIN_TOKEN_EXPIRED"  # noqa: S105
    CSR_INVALID = "CSR_INVALID"
    KEY_ALREADY_ENROLLED = "KEY_ALREADY_ENROLLED"
    KEY_PROTECTION_UNPROVEN = "KEY_PROTECTION_UNPROVEN"
    SITE_INVALID = "SITE_INVALID"
    TTL_OUT_OF_RANGE = "TTL_OUT_OF_RANGE"
    PAGE_SIZE_OUT_OF_RANGE = "PAGE_SIZE_OUT_OF_RANGE"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    STREAM_IDLE = "STREAM_IDLE"
    CERTIFICATES_MISSING = "CERTIFICATES_MISSING"
    CERTIFICATES_REFUSED = "CERTIFICATES_REFUSED"
    ATTESTATION_NOT_FOUND = "ATTESTATION_NOT_FOUND"
    LOG_RANGE = "LOG_RANGE"
    RECORD_DAMAGED = "RECORD_DAMAGED"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Remedy:
    """How a reason travels (a code of gRPC) and what its receiver can do about it."""

    status: code_pb2.Code.ValueType
    hint: str


_S = code_pb2
REMEDIES: Mapping[Reason, Remedy] = MappingProxyType(
    {
        Reason.OPERATOR_TOKEN_MISSING: Remedy(
            _S.UNAUTHENTICATED, "Send the metadata 'authorization: Bearer TOKEN' with the operator token."
        ),
        Reason.OPERATOR_TOKEN_REFUSED: Remedy(
            _S.UNAUTHENTICATED, "Use the token in the file operator.token of the service's data directory."
        ),
        Reason.CLIENT_CERTIFICATE_REFUSED: Remedy(
            _S.UNAUTHENTICATED,
            "Connect with the TLS certificate that enrolment gave; enrol again if it expired.",
        ),
        Reason.DEVICE_UNKNOWN: Remedy(_S.PERMISSION_DENIED, "Enrol this device with a new join token."),
        Reason.JOIN_TOKEN_UNKNOWN: Remedy(
            _S.PERMISSION_DENIED, "Check the token for typing errors, or ask the operator for a new one."
        ),
        Reason.JOIN_TOKEN_USED: Remedy(
            _S.PERMISSION_DENIED, "Each token enrols one device; ask the operator for a new one."
        ),
        Reason.JOIN_TOKEN_EXPIRED: Remedy(_S.PERMISSION_DENIED, "Ask the operator for a new one."),
        Reason.CSR_INVALID: Remedy(
            _S.INVALID_ARGUMENT,
            "Send a self-signed PKCS#10 request (DER) of a P-256 key for each certificate.",
        ),
        Reason.KEY_ALREADY_ENROLLED: Remedy(
            _S.ALREADY_EXISTS, "Each enrolment needs a new key; two devices must never share one."
        ),
        Reason.KEY_PROTECTION_UNPROVEN: Remedy(
            _S.FAILED_PRECONDITION, "Enrol as SOFTWARE until this service can check evidence of key hardware."
        ),
        Reason.SITE_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Use 1 to 64 letters, digits, dots, dashes or underscores."
        ),
        Reason.TTL_OUT_OF_RANGE: Remedy(_S.INVALID_ARGUMENT, "Use 1 minute to 30 days."),
        Reason.PAGE_SIZE_OUT_OF_RANGE: Remedy(
            _S.INVALID_ARGUMENT, "Use 1 to 500, or 0 for the default of 50."
        ),
        Reason.PAGE_TOKEN_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send next_page_token of the last answer unchanged, with the same filters."
        ),
        Reason.BATCH_TOO_LARGE: Remedy(
            _S.INVALID_ARGUMENT, "Send at most 256 envelopes and 2 MiB in one batch."
        ),
        Reason.TOO_MANY_STREAMS: Remedy(
            _S.RESOURCE_EXHAUSTED, "End a stream, or wait until a broken one is noticed, and try again."
        ),
        Reason.STREAM_IDLE: Remedy(
            _S.DEADLINE_EXCEEDED, "Open a stream when there is something to deliver, and try again."
        ),
        Reason.CERTIFICATES_MISSING: Remedy(
            _S.INVALID_ARGUMENT, "Send the attestation key's certificates in the first message of the stream."
        ),
        Reason.CERTIFICATES_REFUSED: Remedy(
            _S.PERMISSION_DENIED, "Send the attestation certificates that enrolment gave to this device."
        ),
        Reason.ATTESTATION_NOT_FOUND: Remedy(
            _S.NOT_FOUND, "List the attestations to see what was delivered."
        ),
        Reason.LOG_RANGE: Remedy(_S.OUT_OF_RANGE, "Ask within the size of the newest checkpoint."),
        Reason.RECORD_DAMAGED: Remedy(
            _S.DATA_LOSS, "The database was changed from outside; restore it from a backup."
        ),
        Reason.STORE_UNAVAILABLE: Remedy(_S.UNAVAILABLE, "Try again in a moment; nothing was accepted."),
        Reason.INTERNAL: Remedy(
            _S.INTERNAL, "Give the error id to whoever runs the service; its log explains."
        ),
    }
)


@dataclass(eq=False)
class ServiceError(CloudError):
    """A refusal with a reason from the table; ``metadata`` adds facts for machines, never personal data."""

    reason: Reason
    message: str
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message, hint=REMEDIES[self.reason].hint)

    @property
    def status(self) -> code_pb2.Code.ValueType:
        """The gRPC code of the reason."""
        return REMEDIES[self.reason].status
