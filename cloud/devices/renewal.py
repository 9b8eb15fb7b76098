"""Renewal: new certificates for a device that proves its identity key, however long ago the old ones expired.

1  the challenge in the proof is one that this service made for this device, and is fresh
2  the proof is signed by the attestation key that the store has for the device
3  the proof names the certificate request that came with it, which proves the new TLS key
4  the device is one that may connect: neither waiting to be let in nor revoked
5  certificates are issued and recorded (``cloud.devices.certificates``)

A challenge needs no memory: ``version | expiry | nonce | HMAC(version, expiry, nonce, device id)`` under
a secret of the service. A proof that somebody repeats within its time brings certificates for the same
TLS key, which only the device has.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.devices.certificates import Pair, issue_pair, parse_key
from cloud.devices.peer import check_may_connect
from cloud.errors import Reason, ServiceError
from cloud.sources import to_us
from cloud.store import devices as rows
from cloud.store import issued
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.renewal import check_proof
from verifield.v1.enrollment_service_pb2 import RenewalProof
from verifield.wire import parse_message

CHALLENGE_LIFETIME = timedelta(minutes=10)
"""To sign takes a moment; the rest is for a bad link."""

MAX_DAY_RENEWALS = 20
"""Of one device in 24 hours: lost answers are few, and each certificate that is still valid stands in the
revocation list once the device is revoked, which must stay small enough to be handed out."""

NONCE_BYTES = 16

_VERSION = b"\x01"
_EXPIRY_BYTES = 8
_MAC = "sha256"
_MAC_BYTES = 32
_CHALLENGE_BYTES = len(_VERSION) + _EXPIRY_BYTES + NONCE_BYTES + _MAC_BYTES
_CONTEXT = b"verifield renewal challenge\0"


def make_challenge(secret: bytes, device_id: str, *, nonce: bytes, now: datetime) -> tuple[bytes, datetime]:
    """Return a challenge for ``device_id`` (which need not exist) and when it ends."""
    expires = now + CHALLENGE_LIFETIME
    front = _VERSION + to_us(expires).to_bytes(_EXPIRY_BYTES) + nonce
    return front + _mac(secret, front, device_id), expires


def check_challenge(secret: bytes, challenge: bytes, *, device_id: str, now: datetime) -> None:
    """Check step 1.

    Raises:
        ServiceError: not ours, of another device, or expired.
    """
    front, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
    genuine = len(challenge) == _CHALLENGE_BYTES and hmac.compare_digest(mac, _mac(secret, front, device_id))
    if not genuine:
        raise ServiceError(
            Reason.RENEWAL_CHALLENGE_REFUSED, "The challenge was not made by this service for this device."
        )
    expires_us = int.from_bytes(front[len(_VERSION) : len(_VERSION) + _EXPIRY_BYTES])
    if to_us(now) >= expires_us:
        raise ServiceError(Reason.RENEWAL_CHALLENGE_REFUSED, "The challenge has expired.")


def check_renewal(
    connection: Connection, envelope: bytes, *, secret: bytes, tls_csr: bytes, now: datetime
) -> str:
    """Check steps 1 to 3 and return the device id; reads only, so that strangers never hold up the writers.

    Raises:
        ServiceError: a step failed.
    """
    claim = _parse_claim(envelope)  # not verified: good only to find the key to verify it with
    check_challenge(secret, claim.challenge, device_id=claim.device_id, now=now)  # step 1
    device = rows.get_device(connection, claim.device_id)
    if device is None:
        raise ServiceError(Reason.DEVICE_UNKNOWN, "There is no such device.")
    try:
        proof = check_proof(envelope, key=_attestation_key(device))  # step 2
    except VerifieldError as error:
        raise _refused(error.message) from error
    if proof != claim or not hmac.compare_digest(proof.tls_csr_sha256, hashlib.sha256(tls_csr).digest()):
        raise _refused("The proof is for another certificate request.")  # step 3
    return proof.device_id


def renew(
    connection: Connection,
    authority: Authority,
    device_id: str,
    *,
    tls_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> Pair:
    """Issue new certificates to a device whose proof was checked (steps 4 and 5).

    Raises:
        ServiceError: the device may not connect, or was given very many already.
    """
    device = rows.get_device(connection, device_id, lock=True)
    if device is None:
        raise ServiceError(Reason.DEVICE_UNKNOWN, "There is no such device.")
    check_may_connect(device.state)
    _check_rate(connection, device_id, now=now)
    rows.touch(connection, device_id, now_us=to_us(now))
    return issue_pair(
        connection,
        authority,
        device_id=device_id,
        attestation_key=_attestation_key(device),
        tls_key=tls_key,
        now=now,
    )


def _parse_claim(envelope: bytes) -> RenewalProof:
    try:
        payload = parse_envelope(envelope).payload
        return parse_message(RenewalProof, payload, what="renewal proof", max_bytes=len(payload))
    except VerifieldError as error:
        raise _refused(error.message) from error


def _attestation_key(device: rows.DeviceRow) -> ec.EllipticCurvePublicKey:
    if device.attestation_key is None:
        raise _refused("The service does not have this device's key, because it has delivered nothing yet.")
    return parse_key(device.attestation_key)


def _check_rate(connection: Connection, device_id: str, *, now: datetime) -> None:
    since_us = to_us(now - timedelta(days=1))
    recent = issued.count_issued(connection, device_id, purpose=issued.TLS_CLIENT, since_us=since_us)
    if recent >= MAX_DAY_RENEWALS:
        raise ServiceError(
            Reason.RENEWAL_TOO_OFTEN, f"This device got certificates {MAX_DAY_RENEWALS} times in a day."
        )


def _mac(secret: bytes, front: bytes, device_id: str) -> bytes:
    return hmac.digest(secret, _CONTEXT + front + device_id.encode(), _MAC)


def _refused(message: str) -> ServiceError:
    return ServiceError(Reason.RENEWAL_PROOF_REFUSED, message)
