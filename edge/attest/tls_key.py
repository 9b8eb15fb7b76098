"""The mutual-TLS key: in software, because the TLS library needs it whole; at rest wrapped by the key store.

Identities of the first version keep it as the software key store keeps its keys.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.attest.keys import create_key_file, open_private_key, open_secret, read_key_file
from edge.attest.keystore_rules import key_unreadable
from edge.ports import KeyStore

LABEL = "verifield mutual-TLS key"
MAX_FILE_BYTES = 16 * 1024
"""A wrapped scalar has some 100 bytes, a key file of the first version 400."""

_SCALAR_BYTES = 32
_FIRST_VERSION = b"-----BEGIN"


def create_tls_key(path: Path, *, key_store: KeyStore) -> ec.EllipticCurvePrivateKey:
    """Make a new key and keep it, wrapped, at ``path``; errors as ``KeyStore.wrap`` and KEY_EXISTS."""
    key = ec.generate_private_key(ec.SECP256R1())
    scalar = key.private_numbers().private_value.to_bytes(_SCALAR_BYTES)
    create_key_file(path, key_store.wrap(scalar, label=LABEL))
    return key


def open_tls_key(path: Path, *, key_store: KeyStore, secret_folder: Path) -> ec.EllipticCurvePrivateKey:
    """Open the key at ``path``.

    Raises:
        SetupError: KEY_MISSING, KEY_UNREADABLE or KEY_PERMISSIONS, or the key store is away.
    """
    content = read_key_file(path, max_bytes=MAX_FILE_BYTES)
    if content.startswith(_FIRST_VERSION):
        return open_private_key(path, secret=open_secret(secret_folder, environ=os.environ))
    scalar = key_store.unwrap(content, label=LABEL)
    try:
        return ec.derive_private_key(int.from_bytes(scalar), ec.SECP256R1())
    except ValueError:
        raise key_unreadable(str(path), "it is not a P-256 key") from None


def encode_tls_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Unencrypted PEM, for the TLS library alone: never written anywhere."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
