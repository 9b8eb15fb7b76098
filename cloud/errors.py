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
    TPM_CHALLENGE_EXPIRED = "TPM_CHALLENGE_EXPIRED"
    TPM_SECRET_REFUSED = "TPM_SECRET_REFUSED"  # noqa: S105
    DEVICE_PENDING = "DEVICE_PENDING"
    DEVICE_REVOKED = "DEVICE_REVOKED"
    DEVICE_NOT_PENDING = "DEVICE_NOT_PENDING"
    FINGERPRINT_MISMATCH = "FINGERPRINT_MISMATCH"
    RENEWAL_CHALLENGE_REFUSED = "RENEWAL_CHALLENGE_REFUSED"
    RENEWAL_PROOF_REFUSED = "RENEWAL_PROOF_REFUSED"
    RENEWAL_TOO_OFTEN = "RENEWAL_TOO_OFTEN"
    SITE_INVALID = "SITE_INVALID"
    PREDECESSOR_INVALID = "PREDECESSOR_INVALID"
    TTL_OUT_OF_RANGE = "TTL_OUT_OF_RANGE"
    PAGE_SIZE_OUT_OF_RANGE = "PAGE_SIZE_OUT_OF_RANGE"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    STREAM_IDLE = "STREAM_IDLE"
    DAMAGED_INVALID = "DAMAGED_INVALID"
    CURSOR_INVALID = "CURSOR_INVALID"
    PULL_SIZE_OUT_OF_RANGE = "PULL_SIZE_OUT_OF_RANGE"
    MEDIA_UNKNOWN = "MEDIA_UNKNOWN"
    MEDIA_CHUNK_INVALID = "MEDIA_CHUNK_INVALID"
    MEDIA_NO_ROOM = "MEDIA_NO_ROOM"
    MEDIA_DIGEST = "MEDIA_DIGEST"
    TRANSFER_INVALID = "TRANSFER_INVALID"
    TRANSFER_BUSY = "TRANSFER_BUSY"
    TRANSFER_NO_ROOM = "TRANSFER_NO_ROOM"
    CERTIFICATES_MISSING = "CERTIFICATES_MISSING"
    CERTIFICATES_REFUSED = "CERTIFICATES_REFUSED"
    ATTESTATION_NOT_FOUND = "ATTESTATION_NOT_FOUND"
    DEVICE_NOT_FOUND = "DEVICE_NOT_FOUND"
    ACCOUNT_INVALID = "ACCOUNT_INVALID"
    REVOCATION_REASON_MISSING = "REVOCATION_REASON_MISSING"
    DIRECTIVE_INVALID = "DIRECTIVE_INVALID"
    ALARM_NOT_FOUND = "ALARM_NOT_FOUND"
    POLICY_INVALID = "POLICY_INVALID"
    POLICY_VERSION = "POLICY_VERSION"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
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
            _S.PERMISSION_DENIED, "Each token enrols one key of one device; ask the operator for a new one."
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
            _S.FAILED_PRECONDITION,
            "Use the device's own TPM, whose maker's certificate stands in the service's tpm_roots; keys in "
            "a PKCS#11 token or in software are let in by a person.",
        ),
        Reason.TPM_CHALLENGE_EXPIRED: Remedy(_S.FAILED_PRECONDITION, "Enrol again with the same token."),
        Reason.TPM_SECRET_REFUSED: Remedy(
            _S.PERMISSION_DENIED, "Enrol again with the same token, on the device whose TPM has the key."
        ),
        Reason.DEVICE_PENDING: Remedy(
            _S.FAILED_PRECONDITION, "Ask the operator to compare the key's fingerprint and approve it."
        ),
        Reason.DEVICE_REVOKED: Remedy(
            _S.PERMISSION_DENIED, "It is never let in again: enrol anew, with a new token and new keys."
        ),
        Reason.DEVICE_NOT_PENDING: Remedy(
            _S.FAILED_PRECONDITION, "Look at its state: only one that waits for a person can be approved."
        ),
        Reason.FINGERPRINT_MISMATCH: Remedy(
            _S.FAILED_PRECONDITION,
            "Read the fingerprint again from the device's own screen; if it differs, revoke the device.",
        ),
        Reason.RENEWAL_CHALLENGE_REFUSED: Remedy(
            _S.FAILED_PRECONDITION, "Ask for a new challenge, and send the proof within its time."
        ),
        Reason.RENEWAL_PROOF_REFUSED: Remedy(
            _S.PERMISSION_DENIED,
            "Sign with the enrolled attestation key; if it is lost, enrol anew.",
        ),
        Reason.RENEWAL_TOO_OFTEN: Remedy(_S.RESOURCE_EXHAUSTED, "Keep what was given, and try tomorrow."),
        Reason.PREDECESSOR_INVALID: Remedy(
            _S.FAILED_PRECONDITION, "Name a device that was let in and has no successor yet."
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
            _S.INVALID_ARGUMENT,
            "Send at most 256 envelopes and 2 MiB in one batch, and at most 16 damaged records of 64 KiB.",
        ),
        Reason.TOO_MANY_STREAMS: Remedy(
            _S.RESOURCE_EXHAUSTED, "End a stream, or wait until a broken one is noticed, and try again."
        ),
        Reason.STREAM_IDLE: Remedy(
            _S.DEADLINE_EXCEEDED, "Open a stream when there is something to deliver, and try again."
        ),
        Reason.DAMAGED_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send the epoch and seq under which the record was written."
        ),
        Reason.CURSOR_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send next_cursor of the last answer unchanged, or none to begin anew."
        ),
        Reason.PULL_SIZE_OUT_OF_RANGE: Remedy(
            _S.INVALID_ARGUMENT, "Use 1 to 100, or 0 for the default of 50."
        ),
        Reason.MEDIA_UNKNOWN: Remedy(_S.NOT_FOUND, "Deliver the record that names the file first."),
        Reason.MEDIA_CHUNK_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send chunks of 256 KiB, the last one what remains, with the signed size."
        ),
        Reason.MEDIA_NO_ROOM: Remedy(
            _S.RESOURCE_EXHAUSTED, "Keep the file and try again later; give the service a larger disk."
        ),
        Reason.MEDIA_DIGEST: Remedy(
            _S.DATA_LOSS, "Send all chunks again; if it happens again, the device's copy is damaged."
        ),
        Reason.TRANSFER_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Let the device write the file again, and take one of this deployment."
        ),
        Reason.TRANSFER_BUSY: Remedy(_S.RESOURCE_EXHAUSTED, "Wait until the other import has ended."),
        Reason.TRANSFER_NO_ROOM: Remedy(
            _S.RESOURCE_EXHAUSTED, "Give the service's data directory more room, and import the file again."
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
        Reason.DEVICE_NOT_FOUND: Remedy(_S.NOT_FOUND, "List the devices to see their ids."),
        Reason.ACCOUNT_INVALID: Remedy(
            _S.INVALID_ARGUMENT,
            "Use up to 64 letters, digits, dots, dashes or underscores, or leave it empty.",
        ),
        Reason.REVOCATION_REASON_MISSING: Remedy(
            _S.INVALID_ARGUMENT, "Say why: KEY_COMPROMISE, SUPERSEDED or CESSATION_OF_OPERATION."
        ),
        Reason.DIRECTIVE_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Use LOCK, UNLOCK or WIPE, and a reason of at most 200 characters."
        ),
        Reason.ALARM_NOT_FOUND: Remedy(_S.NOT_FOUND, "List the alarms to see their ids."),
        Reason.POLICY_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Correct what the message names, and publish the policy again."
        ),
        Reason.POLICY_NOT_FOUND: Remedy(_S.NOT_FOUND, "List the policies to see their versions."),
        Reason.POLICY_VERSION: Remedy(
            _S.FAILED_PRECONDITION, "Take the newest policy, change it, and give it the next version."
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
