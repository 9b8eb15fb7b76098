"""Who signed a device's records: the certificate chain of its attestation key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloud.errors import Reason, ServiceError
from verifield.certificates import Purpose, check_chain, signing_key
from verifield.errors import VerifieldError
from verifield.profile import device_id_of


class Signer(NamedTuple):
    """A chain (DER, leaf first, root left out) that leads to our root, and what its leaf says."""

    chain: tuple[bytes, ...]
    device_id: str
    key_spki: bytes  # SubjectPublicKeyInfo, DER
    serial: str  # lower-case hex


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
        spki = signing_key(leaf).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Signer(tuple(chain), device_id_of(leaf), spki, f"{leaf.serial_number:x}")
    except VerifieldError as error:
        raise refused(error.message, error.code) from error


def check_owner(signer: Signer, *, device_id: str) -> None:
    """Check that the certificate was issued to the device that calls.

    Raises:
        ServiceError: to another one.
    """
    if signer.device_id != device_id:
        raise refused("The certificate is that of another device.", "OTHER_DEVICE")


def refused(sentence: str, code: str) -> ServiceError:
    """The refusal of certificates, with what was found wrong."""
    return ServiceError(Reason.CERTIFICATES_REFUSED, sentence, {"check": code})
