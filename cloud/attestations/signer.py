"""Who signed a device's records: the certificate chain of its attestation key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.store import issued
from cloud.store.devices import DeviceRow
from verifield.certificates import Purpose, check_chain, signing_key
from verifield.errors import VerifieldError
from verifield.profile import device_id_of


@dataclass(frozen=True, slots=True)
class Signer:
    """A chain (DER, leaf first, root left out) that leads to our root, and what its leaf says."""

    chain: tuple[bytes, ...]
    device_id: str
    key: ec.EllipticCurvePublicKey
    serial: str  # lower-case hex

    def key_spki(self) -> bytes:
        """The key as SubjectPublicKeyInfo, DER."""
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_signer(chain: Sequence[bytes], *, root: x509.Certificate, at: datetime) -> Signer:
    """Check the certificates of an attestation key, valid ``at`` that time.

    What an expired certificate's key signed is taken with the renewed certificate of the same key.

    Raises:
        ServiceError: there are none, or they are not those of a device of this deployment.
    """
    if not chain:
        raise ServiceError(Reason.CERTIFICATES_MISSING, "The stream came without certificates.")
    try:
        leaf = check_chain(chain, roots=[root], at=at, purpose=Purpose.ATTESTATION)
        return Signer(tuple(chain), device_id_of(leaf), signing_key(leaf), f"{leaf.serial_number:x}")
    except VerifieldError as error:
        raise _refused(error.message, error.code) from error


def check_owner(signer: Signer, *, device_id: str) -> None:
    """Check that the certificate was issued to the device that calls.

    Raises:
        ServiceError: to another one.
    """
    if signer.device_id != device_id:
        raise _refused("The certificate is that of another device.", "OTHER_DEVICE")


def check_issued(connection: Connection, signer: Signer, device: DeviceRow) -> None:
    """Check that the certificate is for the key with which the device was enrolled, and not revoked.

    Raises:
        ServiceError: for another key, or revoked.
    """
    if sha256(signer.key_spki()).digest() != device.attestation_key_sha256:
        raise _refused("The certificate is for another key than the device's own.", "OTHER_KEY")
    if issued.is_revoked(connection, device.device_id, signer.serial):
        raise _refused("The certificate was revoked.", "REVOKED")


def _refused(sentence: str, code: str) -> ServiceError:
    return ServiceError(Reason.CERTIFICATES_REFUSED, sentence, {"check": code})
