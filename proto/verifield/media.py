"""Files that belong to a record: encrypted at capture to the service's key, delivered in chunks.

HPKE in base mode (RFC 9180: X25519, HKDF-SHA-256, ChaCha20-Poly1305): whoever holds only the
recipient's public key, like the device itself, cannot read a file back. A file is named by the
SHA-256 of its encrypted bytes.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from verifield.errors import Forged, Malformed

CHUNK_BYTES = 256 * 1024
"""Half a minute on a line of 64 kbit/s: what a broken connection costs at most."""

MAX_MEDIA_BYTES = 16 * 1024 * 1024
"""Of the encrypted file: an uncompressed picture of 4 million pixels; 64 chunks."""

OVERHEAD_BYTES = 32 + 16
"""What encryption adds: the encapsulated key and the tag."""

KEY_BYTES = 32

_INFO = b"verifield-media-v1"


def encrypt_media(content: bytes, *, recipient_key: bytes) -> bytes:
    """Encrypt to a raw X25519 public key (32 bytes); the same content gives other bytes each time.

    Raises:
        Malformed: the content is empty or too large, or the key is not one.
    """
    if not 0 < len(content) <= MAX_MEDIA_BYTES - OVERHEAD_BYTES:
        raise Malformed("MEDIA_SIZE", f"A file must have 1 to {MAX_MEDIA_BYTES - OVERHEAD_BYTES} bytes.")
    if len(recipient_key) != KEY_BYTES:
        raise Malformed("MEDIA_KEY", f"The recipient's key must have {KEY_BYTES} bytes.")
    try:
        return _suite().encrypt(content, X25519PublicKey.from_public_bytes(recipient_key), info=_INFO)
    except ValueError as error:  # the key is a point of small order
        raise Malformed("MEDIA_KEY", "The recipient's key cannot be used: it is a weak one.") from error


def decrypt_media(data: bytes, *, private_key: X25519PrivateKey) -> bytes:
    """Return the content.

    Raises:
        Malformed: too short or too large to be an encrypted file.
        Forged: damaged, changed, or encrypted to another key.
    """
    if not OVERHEAD_BYTES < len(data) <= MAX_MEDIA_BYTES:
        raise Malformed(
            "MEDIA_SIZE",
            f"An encrypted file must have {OVERHEAD_BYTES + 1} to {MAX_MEDIA_BYTES} bytes.",
        )
    try:
        return _suite().decrypt(data, private_key, info=_INFO)
    except (InvalidTag, ValueError) as error:
        raise Forged(
            "MEDIA",
            "The file was changed, or it was encrypted to another key.",
            hint="Compare its SHA-256 with the one in the record.",
        ) from error


def chunk_count(size: int) -> int:
    """Return how many chunks a file of ``size`` bytes has; the last one may be shorter.

    Raises:
        Malformed: no file may have that size.
    """
    if not 0 < size <= MAX_MEDIA_BYTES:
        raise Malformed("MEDIA_SIZE", f"An encrypted file must have 1 to {MAX_MEDIA_BYTES} bytes.")
    return -(-size // CHUNK_BYTES)


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
