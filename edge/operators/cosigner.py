"""A supervisor's own key for the second signature: of use only with the PIN and only on this device.

The P-256 key is sealed under the key that the PIN gives (Argon2id, then AES-256-GCM), and that again by
the device's key store. A copy of the disk lacks the store; the device without the person lacks the PIN.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.errors import SetupError
from edge.model import KeyProtection
from edge.operators.pins import SALT_BYTES, derive_key
from edge.ports import KeyStore
from edge.state.records import Cosigner

SCALAR_BYTES = 32
NONCE_BYTES = 12
"""A key seals one secret, so that any nonce would do."""


class OperatorSigner:
    """Implements ``edge.ports.Signer`` while its owner is signed in."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def protection(self) -> KeyProtection:
        """SOFTWARE: in use, the key lies in this process's memory."""
        return KeyProtection.SOFTWARE

    def public_key_der(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(SHA256()))


def create_cosigner(pin: str, *, operator_id: str, key_store: KeyStore) -> Cosigner:
    """Make a new key and seal it; errors as ``KeyStore.wrap``."""
    return seal_cosigner(
        ec.generate_private_key(ec.SECP256R1()), pin, operator_id=operator_id, key_store=key_store
    )


def seal_cosigner(
    key: ec.EllipticCurvePrivateKey, pin: str, *, operator_id: str, key_store: KeyStore
) -> Cosigner:
    """Seal a key under PIN and device."""
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    scalar = key.private_numbers().private_value.to_bytes(SCALAR_BYTES, "big")
    under_pin = nonce + AESGCM(derive_key(pin, salt=salt)).encrypt(nonce, scalar, operator_id.encode())
    return Cosigner(
        public_key=OperatorSigner(key).public_key_der(),
        wrapped=salt + key_store.wrap(under_pin, label=_label(operator_id)),
    )


def open_cosigner(
    cosigner: Cosigner, pin: str, *, operator_id: str, key_store: KeyStore
) -> ec.EllipticCurvePrivateKey:
    """Open a sealed key.

    Raises:
        SetupError: KEY_UNREADABLE: another PIN, another device, or damaged.
    """
    salt, wrapped = cosigner.wrapped[:SALT_BYTES], cosigner.wrapped[SALT_BYTES:]
    under_pin = key_store.unwrap(wrapped, label=_label(operator_id))
    nonce, sealed = under_pin[:NONCE_BYTES], under_pin[NONCE_BYTES:]
    try:
        scalar = AESGCM(derive_key(pin, salt=salt)).decrypt(nonce, sealed, operator_id.encode())
    except InvalidTag:
        raise SetupError(
            "KEY_UNREADABLE",
            "The supervisor's key cannot be opened.",
            hint="Remove the operator and add the person again, with a new key.",
        ) from None
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def _label(operator_id: str) -> str:
    return f"verifield cosigner {operator_id}"
