"""Why the service refuses: stable reasons, how each travels, and what its receiver can do about it.

English hints stand here; ``cloud.hints`` has the other languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from google.rpc import code_pb2


class Reason(StrEnum):
    """Stable, machine-readable reasons of refusals, sent as google.rpc.ErrorInfo.reason."""

    REQUEST_INVALID = "REQUEST_INVALID"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    FILTER_INVALID = "FILTER_INVALID"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    UPDATE_MASK_INVALID = "UPDATE_MASK_INVALID"
    OPERATOR_TOKEN_MISSING = "OPERATOR_TOKEN_MISSING"  # noqa: S105 (the name of a reason)
    OPERATOR_TOKEN_REFUSED = "OPERATOR_TOKEN_REFUSED"  # noqa: S105
    CLIENT_CERTIFICATE_REFUSED = "CLIENT_CERTIFICATE_REFUSED"
    SIGN_IN_TOKEN_REFUSED = "SIGN_IN_TOKEN_REFUSED"  # noqa: S105
    SIGN_IN_UNAVAILABLE = "SIGN_IN_UNAVAILABLE"
    IDENTITY_AMBIGUOUS = "IDENTITY_AMBIGUOUS"
    USER_UNKNOWN = "USER_UNKNOWN"
    USER_DISABLED = "USER_DISABLED"
    PERMISSION_MISSING = "PERMISSION_MISSING"
    METHOD_CLOSED = "METHOD_CLOSED"
    RATE_LIMITED = "RATE_LIMITED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    LOGIN_TAKEN = "LOGIN_TAKEN"
    SUBJECT_TAKEN = "SUBJECT_TAKEN"
    LAST_SUPERUSER = "LAST_SUPERUSER"
    OWN_ROLES = "OWN_ROLES"
    ABOVE_OWN_ROLES = "ABOVE_OWN_ROLES"
    USER_NOT_ACTIVE = "USER_NOT_ACTIVE"
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
    PREDECESSOR_INVALID = "PREDECESSOR_INVALID"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    STREAM_IDLE = "STREAM_IDLE"
    CURSOR_INVALID = "CURSOR_INVALID"
    MEDIA_UNKNOWN = "MEDIA_UNKNOWN"
    MEDIA_CHUNK_INVALID = "MEDIA_CHUNK_INVALID"
    MEDIA_NO_ROOM = "MEDIA_NO_ROOM"
    MEDIA_DIGEST = "MEDIA_DIGEST"
    MEDIA_NOT_HERE = "MEDIA_NOT_HERE"
    TRANSFER_INVALID = "TRANSFER_INVALID"
    TRANSFER_BUSY = "TRANSFER_BUSY"
    TRANSFER_NO_ROOM = "TRANSFER_NO_ROOM"
    CERTIFICATES_MISSING = "CERTIFICATES_MISSING"
    CERTIFICATES_REFUSED = "CERTIFICATES_REFUSED"
    ATTESTATION_NOT_FOUND = "ATTESTATION_NOT_FOUND"
    DEVICE_NOT_FOUND = "DEVICE_NOT_FOUND"
    DIRECTIVE_INVALID = "DIRECTIVE_INVALID"
    ALARM_NOT_FOUND = "ALARM_NOT_FOUND"
    POLICY_INVALID = "POLICY_INVALID"
    POLICY_VERSION = "POLICY_VERSION"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    LOG_RANGE = "LOG_RANGE"
    AUDIT_EMPTY = "AUDIT_EMPTY"
    RECORD_DAMAGED = "RECORD_DAMAGED"
    BUSY = "BUSY"
    VERIFIER_UNAVAILABLE = "VERIFIER_UNAVAILABLE"
    LOG_INCONSISTENT = "LOG_INCONSISTENT"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Remedy:
    """How a reason travels (a code of gRPC) and what its receiver can do about it.

    ``hint``: in English; ``cloud.hints`` has it in the other languages. ``retry_s``: when it may be tried
    again with some prospect; None where waiting alone does not help.
    """

    status: code_pb2.Code.ValueType
    hint: str
    retry_s: float | None = None


_S = code_pb2
REMEDIES: Mapping[Reason, Remedy] = MappingProxyType(
    {
        Reason.REQUEST_INVALID: Remedy(
            _S.INVALID_ARGUMENT,
            "Correct the fields that the answer names; the .proto files tell their rules.",
        ),
        Reason.REQUEST_ID_REUSED: Remedy(
            _S.ALREADY_EXISTS, "Give each new request an id of its own, and repeat only the same request."
        ),
        Reason.FILTER_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Correct the filter at the place that the message names; see docs/api.md."
        ),
        Reason.UPDATE_MASK_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Name fields that can be changed, or leave the mask out for all of them."
        ),
        Reason.ETAG_MISMATCH: Remedy(
            _S.ABORTED, "Read it again, look at what others changed, and send the change with the new etag."
        ),
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
        Reason.SIGN_IN_TOKEN_REFUSED: Remedy(
            _S.UNAUTHENTICATED,
            "Sign in again; if it is refused again, compare issuer, audience and clocks.",
        ),
        Reason.SIGN_IN_UNAVAILABLE: Remedy(
            _S.UNAVAILABLE,
            "Try again in a moment, or come with a client certificate.",
            retry_s=15.0,
        ),
        Reason.IDENTITY_AMBIGUOUS: Remedy(
            _S.UNAUTHENTICATED,
            "Send one proof of who you are: a client certificate or a token, and not both.",
        ),
        Reason.USER_UNKNOWN: Remedy(_S.PERMISSION_DENIED, "Ask whoever manages the users to add you."),
        Reason.USER_DISABLED: Remedy(
            _S.PERMISSION_DENIED, "Ask whoever manages the users to let you in again."
        ),
        Reason.PERMISSION_MISSING: Remedy(
            _S.PERMISSION_DENIED, "Ask for a role that has the permission which the answer names."
        ),
        Reason.METHOD_CLOSED: Remedy(
            _S.PERMISSION_DENIED,
            "See the method's access option in the .proto files: it is for other callers.",
        ),
        Reason.RATE_LIMITED: Remedy(
            _S.RESOURCE_EXHAUSTED, "Wait as long as the answer says, and then call less often."
        ),
        Reason.DEADLINE_EXCEEDED: Remedy(
            _S.DEADLINE_EXCEEDED,
            "Ask for less at once, and look whether a change was made before you repeat it.",
        ),
        Reason.USER_NOT_FOUND: Remedy(_S.NOT_FOUND, "List the users to see their ids."),
        Reason.LOGIN_TAKEN: Remedy(_S.ALREADY_EXISTS, "Choose another login."),
        Reason.SUBJECT_TAKEN: Remedy(
            _S.ALREADY_EXISTS, "One person is one user: use the one that has this issuer and subject."
        ),
        Reason.LAST_SUPERUSER: Remedy(_S.FAILED_PRECONDITION, "Give the role to another active user first."),
        Reason.OWN_ROLES: Remedy(_S.PERMISSION_DENIED, "Ask another person who manages the users."),
        Reason.ABOVE_OWN_ROLES: Remedy(
            _S.PERMISSION_DENIED, "Ask somebody who has all of these permissions."
        ),
        Reason.USER_NOT_ACTIVE: Remedy(_S.FAILED_PRECONDITION, "Enable the user first."),
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
            _S.FAILED_PRECONDITION,
            "Ask the operator to compare the key's fingerprint and approve it.",
            retry_s=60.0,
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
        Reason.RENEWAL_TOO_OFTEN: Remedy(
            _S.RESOURCE_EXHAUSTED, "Keep what was given, and try tomorrow.", retry_s=86400.0
        ),
        Reason.PREDECESSOR_INVALID: Remedy(
            _S.FAILED_PRECONDITION, "Name a device that was let in and has no successor yet."
        ),
        Reason.PAGE_TOKEN_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send next_page_token of the last answer unchanged, with the same filters."
        ),
        Reason.BATCH_TOO_LARGE: Remedy(
            _S.INVALID_ARGUMENT,
            "Send at most 256 envelopes and 2 MiB in one batch.",
        ),
        Reason.TOO_MANY_STREAMS: Remedy(
            _S.RESOURCE_EXHAUSTED,
            "End a stream, or wait until a broken one is noticed, and try again.",
            retry_s=30.0,
        ),
        Reason.STREAM_IDLE: Remedy(
            _S.DEADLINE_EXCEEDED,
            "Open a stream when there is something to deliver, and try again.",
            retry_s=1.0,
        ),
        Reason.CURSOR_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send next_cursor of the last answer unchanged, or none to begin anew."
        ),
        Reason.MEDIA_UNKNOWN: Remedy(_S.NOT_FOUND, "Deliver the record that names the file first."),
        Reason.MEDIA_CHUNK_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Send chunks of 256 KiB, the last one what remains, with the signed size."
        ),
        Reason.MEDIA_NO_ROOM: Remedy(
            _S.RESOURCE_EXHAUSTED,
            "Keep the file and try again later; give the service a larger disk.",
            retry_s=3600.0,
        ),
        Reason.MEDIA_DIGEST: Remedy(
            _S.DATA_LOSS, "Send all chunks again; if it happens again, the device's copy is damaged."
        ),
        Reason.TRANSFER_INVALID: Remedy(
            _S.INVALID_ARGUMENT, "Let the device write the file again, and take one of this deployment."
        ),
        Reason.TRANSFER_BUSY: Remedy(
            _S.RESOURCE_EXHAUSTED, "Wait until the other import has ended.", retry_s=30.0
        ),
        Reason.TRANSFER_NO_ROOM: Remedy(
            _S.RESOURCE_EXHAUSTED, "Give the service's data directory more room, and import the file again."
        ),
        Reason.CERTIFICATES_MISSING: Remedy(
            _S.INVALID_ARGUMENT, "Send the attestation key's certificates in the first message of the stream."
        ),
        Reason.CERTIFICATES_REFUSED: Remedy(
            _S.PERMISSION_DENIED, "Send the attestation certificates that enrolment gave to this device."
        ),
        Reason.MEDIA_NOT_HERE: Remedy(
            _S.NOT_FOUND,
            "List the files of the record; those that are not complete yet come with a later sync.",
        ),
        Reason.ATTESTATION_NOT_FOUND: Remedy(
            _S.NOT_FOUND, "List the attestations to see what was delivered."
        ),
        Reason.DEVICE_NOT_FOUND: Remedy(_S.NOT_FOUND, "List the devices to see their ids."),
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
        Reason.AUDIT_EMPTY: Remedy(
            _S.FAILED_PRECONDITION, "Sign a head once there is an event; list the events to see them."
        ),
        Reason.RECORD_DAMAGED: Remedy(
            _S.DATA_LOSS, "The database was changed from outside; restore it from a backup."
        ),
        Reason.BUSY: Remedy(
            _S.RESOURCE_EXHAUSTED,
            "Keep the records, wait as long as the answer says, and try again.",
            retry_s=1.0,
        ),
        Reason.VERIFIER_UNAVAILABLE: Remedy(
            _S.UNAVAILABLE, "Keep the records, wait as long as the answer says, and try again.", retry_s=5.0
        ),
        Reason.LOG_INCONSISTENT: Remedy(
            _S.INTERNAL,
            "Keep the records; whoever runs the service must restore it from a backup before it takes more.",
            retry_s=300.0,
        ),
        Reason.STORE_UNAVAILABLE: Remedy(
            _S.UNAVAILABLE, "Try again in a moment; nothing was accepted.", retry_s=2.0
        ),
        Reason.INTERNAL: Remedy(
            _S.INTERNAL, "Give the error id to whoever runs the service; its log explains."
        ),
    }
)
