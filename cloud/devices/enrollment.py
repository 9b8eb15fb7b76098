"""How a key becomes a device: by proof where a TPM can give one, else by a person's word.

A join token enrols one attestation key. Asking again with the same token and key changes nothing and
tells how far it has come, so that a lost answer costs nothing; it ends with the device's first
authenticated contact, by which the certificates have arrived.

Where a device stands, what happens, where it stands then; what is not in the table is refused:

    NEW               TPM_EVIDENCE      CHALLENGED         (cloud.devices.tpm_credential, steps 1 to 6)
    NEW               WAIVED            ACTIVE             (the operator believes the token's holder)
    NEW               CLAIMED           PENDING_APPROVAL
    CHALLENGED        TPM_EVIDENCE      CHALLENGED         (a new secret)
    CHALLENGED        SECRET_RELEASED   ACTIVE             (step 7)
    PENDING_APPROVAL  CLAIMED           PENDING_APPROVAL
    PENDING_APPROVAL  APPROVED          ACTIVE             (a person compared the key's fingerprint)
    ACTIVE            all of these      ACTIVE
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from types import MappingProxyType

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.store import devices as rows
from cloud.store import issued
from verifield.chain import GENESIS_EPOCH
from verifield.v1.attestation_pb2 import KEY_PROTECTION_TPM
from verifield.v1.device_service_pb2 import (
    DEVICE_STATE_ACTIVE,
    DEVICE_STATE_PENDING,
    DEVICE_STATE_REPLACED,
    DEVICE_STATE_REVOKED,
)

CHALLENGE_LIFETIME = timedelta(minutes=5)
"""A TPM answers within seconds; the rest is for a bad link."""

MAX_ANSWERS = 100
"""How often one enrolment gets certificates: lost answers are few, and each is kept for ever."""


class Standing(Enum):
    """Where an enrolment stands."""

    NEW = auto()
    CHALLENGED = auto()
    PENDING_APPROVAL = auto()
    ACTIVE = auto()


class Event(Enum):
    """What moves it."""

    TPM_EVIDENCE = auto()
    WAIVED = auto()
    CLAIMED = auto()
    SECRET_RELEASED = auto()
    APPROVED = auto()


NEXT: Mapping[tuple[Standing, Event], Standing] = MappingProxyType(
    {
        (Standing.NEW, Event.TPM_EVIDENCE): Standing.CHALLENGED,
        (Standing.NEW, Event.WAIVED): Standing.ACTIVE,
        (Standing.NEW, Event.CLAIMED): Standing.PENDING_APPROVAL,
        (Standing.CHALLENGED, Event.TPM_EVIDENCE): Standing.CHALLENGED,
        (Standing.CHALLENGED, Event.SECRET_RELEASED): Standing.ACTIVE,
        (Standing.PENDING_APPROVAL, Event.CLAIMED): Standing.PENDING_APPROVAL,
        (Standing.PENDING_APPROVAL, Event.APPROVED): Standing.ACTIVE,
        **{(Standing.ACTIVE, event): Standing.ACTIVE for event in Event},
    }
)


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks to become a device. ``device_id``: if it is new; ``attestation_key``: SPKI, DER.

    The evidence of a KEY_PROTECTION_TPM has been checked.
    """

    device_id: str
    key_protection: int
    attestation_key: bytes

    @property
    def key_sha256(self) -> bytes:
        return hashlib.sha256(self.attestation_key).digest()


@dataclass(frozen=True, slots=True)
class Admission:
    """How far the device has come."""

    standing: Standing
    device: rows.DeviceRow


def submit(connection: Connection, applicant: Applicant, *, token_sha256: bytes, now_us: int) -> Admission:
    """Enrol the applicant, or find how far it has come.

    Raises:
        ServiceError: the token is unknown, expired, or used by another key or up to the end; the key
            belongs to another device; the device was revoked; another one took its predecessor's place.
    """
    token = check_token(connection, token_sha256, now_us=now_us, lock=True)
    if token.device_id is None:
        device = _add(connection, applicant, token=token, now_us=now_us)
        before = Standing.NEW
    else:
        device = _resume(connection, applicant, device_id=token.device_id)
        before = standing_of(device)
    after = NEXT[before, _event_of(applicant, token)]
    if before is not after is Standing.ACTIVE:
        device = activate(connection, device)
    return Admission(after, device)


def check_token(
    connection: Connection, token_sha256: bytes, *, now_us: int, lock: bool = False
) -> rows.JoinTokenRow:
    """Return the token if it can enrol a device now, or has enrolled one; ``lock`` as ``get_join_token``.

    Raises:
        ServiceError: it is unknown, or expired unused.
    """
    token = rows.get_join_token(connection, token_sha256, lock=lock)
    if token is None:
        raise ServiceError(Reason.JOIN_TOKEN_UNKNOWN, "There is no such join token.")
    if token.used_us is None and now_us >= token.expires_us:
        raise ServiceError(Reason.JOIN_TOKEN_EXPIRED, "The join token has expired.")
    return token


def standing_of(device: rows.DeviceRow) -> Standing:
    """Where the enrolment of a device stands."""
    if device.state != DEVICE_STATE_PENDING:
        return Standing.ACTIVE
    tpm = device.key_protection == KEY_PROTECTION_TPM
    return Standing.CHALLENGED if tpm else Standing.PENDING_APPROVAL


def activate(connection: Connection, device: rows.DeviceRow) -> rows.DeviceRow:
    """Let the device in; the one whose place it takes is replaced by that.

    Raises:
        ServiceError: PREDECESSOR_INVALID: another device was faster.
    """
    if device.predecessor_id is not None:
        predecessor = rows.get_device(connection, device.predecessor_id, lock=True)
        if rows.has_successor(connection, device.predecessor_id):
            raise ServiceError(
                Reason.PREDECESSOR_INVALID, "Another device has taken the predecessor's place meanwhile."
            )
        # A revoked one stays so; a suspended one still waits for a person to look into its alarms.
        if predecessor is not None and predecessor.state == DEVICE_STATE_ACTIVE:
            rows.set_state(connection, predecessor.device_id, DEVICE_STATE_REPLACED)
    rows.set_state(connection, device.device_id, DEVICE_STATE_ACTIVE)
    return _device(connection, device.device_id)


def approve(connection: Connection, device_id: str, *, key_sha256: bytes) -> rows.DeviceRow:
    """Let in a device that waits, after a person has compared the fingerprint; once more changes nothing.

    Raises:
        ServiceError: there is no such device, it does not wait for this, or has another key.
    """
    device = rows.get_device(connection, device_id, lock=True)
    if device is None:
        raise ServiceError(Reason.DEVICE_NOT_FOUND, "There is no such device.")
    if not hmac.compare_digest(device.attestation_key_sha256, key_sha256):
        raise ServiceError(
            Reason.FINGERPRINT_MISMATCH, "The device that waits has another key than the one approved."
        )
    if device.state == DEVICE_STATE_ACTIVE:
        return device
    after = NEXT.get((standing_of(device), Event.APPROVED))
    if device.state != DEVICE_STATE_PENDING or after is not Standing.ACTIVE:
        raise ServiceError(Reason.DEVICE_NOT_PENDING, "The device does not wait for an approval.")
    return activate(connection, device)


def check_predecessor(connection: Connection, device_id: str) -> None:
    """Check that a new device may take the place of ``device_id``.

    Raises:
        ServiceError: there is no such device, it was never let in, or it has a successor.
    """
    device = rows.get_device(connection, device_id)
    if device is None:
        raise ServiceError(Reason.DEVICE_NOT_FOUND, "There is no device with the predecessor's id.")
    if device.state == DEVICE_STATE_PENDING or rows.has_successor(connection, device_id):
        raise ServiceError(
            Reason.PREDECESSOR_INVALID, "The predecessor was never let in, or has a successor already."
        )


def cleared_state(connection: Connection, device_id: str) -> int:
    """The state of a suspended device once a person has looked into its alarms."""
    return DEVICE_STATE_REPLACED if rows.has_successor(connection, device_id) else DEVICE_STATE_ACTIVE


def ask_tpm(connection: Connection, device_id: str, *, secret: bytes, now_us: int) -> None:
    """Keep what the TPM must release; what was asked before counts no more."""
    row = issued.TpmChallengeRow(
        device_id=device_id,
        secret_sha256=hashlib.sha256(secret).digest(),
        expires_us=now_us + CHALLENGE_LIFETIME // timedelta(microseconds=1),
    )
    issued.put_challenge(connection, row)


def release(
    connection: Connection, device_id: str, *, token_sha256: bytes, secret: bytes, now_us: int
) -> bool:
    """Let the device in if its TPM released the secret; False if it did not.

    One try for each challenge: the transaction must be committed also where the answer is False.

    Raises:
        ServiceError: the token is not the device's, or nothing was asked of its TPM lately.
    """
    token = rows.get_join_token(connection, token_sha256)
    if token is None or token.device_id is None or token.device_id != device_id:
        raise ServiceError(Reason.JOIN_TOKEN_UNKNOWN, "There is no such join token for this device.")
    device = _device(connection, device_id)
    _check_not_revoked(device)
    if device.state != DEVICE_STATE_PENDING:
        return True  # the answer was lost
    challenge = issued.get_challenge(connection, device_id)
    if challenge is None or now_us >= challenge.expires_us:
        raise ServiceError(Reason.TPM_CHALLENGE_EXPIRED, "Nothing was asked of this device's TPM lately.")
    issued.drop_challenge(connection, device_id)
    if not hmac.compare_digest(hashlib.sha256(secret).digest(), challenge.secret_sha256):
        return False
    rows.set_residency(connection, device_id)
    activate(connection, device)
    return True


def check_answers(connection: Connection, device_id: str) -> None:
    """Raises:
    ServiceError: the enrolment got certificates so often that something is wrong.
    """
    if issued.count_issued(connection, device_id, purpose=issued.TLS_CLIENT) >= MAX_ANSWERS:
        raise ServiceError(Reason.JOIN_TOKEN_USED, "This enrolment was answered very often already.")


def _event_of(applicant: Applicant, token: rows.JoinTokenRow) -> Event:
    if applicant.key_protection == KEY_PROTECTION_TPM:
        return Event.TPM_EVIDENCE
    return Event.WAIVED if token.waive_approval else Event.CLAIMED


def _add(
    connection: Connection, applicant: Applicant, *, token: rows.JoinTokenRow, now_us: int
) -> rows.DeviceRow:
    if rows.has_attestation_key(connection, applicant.key_sha256):
        raise ServiceError(Reason.KEY_ALREADY_ENROLLED, "A device with this attestation key exists already.")
    rows.add_device(
        connection,
        device_id=applicant.device_id,
        site_id=token.site_id,
        key_protection=applicant.key_protection,
        attestation_key_sha256=applicant.key_sha256,
        enrolled_us=now_us,
        chain_epoch=GENESIS_EPOCH,
        state=DEVICE_STATE_PENDING,
        account_id=token.account_id,
        predecessor_id=token.predecessor_id,
        attestation_key=applicant.attestation_key,
    )
    if not rows.use_join_token(connection, token.token_sha256, device_id=applicant.device_id, used_us=now_us):
        raise _used("The join token has enrolled a device already.")
    return _device(connection, applicant.device_id)


def _resume(connection: Connection, applicant: Applicant, *, device_id: str) -> rows.DeviceRow:
    device = _device(connection, device_id)
    if not hmac.compare_digest(device.attestation_key_sha256, applicant.key_sha256):
        raise _used("The join token has enrolled another key already.")
    if device.key_protection != applicant.key_protection:
        raise _used("The key was enrolled with another protection.")
    _check_not_revoked(device)
    if device.state not in {DEVICE_STATE_PENDING, DEVICE_STATE_ACTIVE} or _has_arrived(device):
        raise _used("This enrolment is complete.")
    return device


def _has_arrived(device: rows.DeviceRow) -> bool:
    return device.last_contact_us is not None or device.seq > 0


def _check_not_revoked(device: rows.DeviceRow) -> None:
    if device.state == DEVICE_STATE_REVOKED:
        raise ServiceError(Reason.DEVICE_REVOKED, "This device was revoked.")


def _device(connection: Connection, device_id: str) -> rows.DeviceRow:
    device = rows.get_device(connection, device_id, lock=True)
    if device is None:
        raise LookupError("a device that the transaction relies on is gone")
    return device


def _used(message: str) -> ServiceError:
    return ServiceError(Reason.JOIN_TOKEN_USED, message)
