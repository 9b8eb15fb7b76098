"""What the three key stores share: names, limits, the sealed form of small secrets, and their errors.

Sealed form: ``MAGIC | head | nonce(12) | AES-256-GCM(secret)``. ``head`` is what the store itself needs
to find the key again (of fixed length in each store); it and the label are authenticated. The AES key is
derived with HKDF-SHA-256 (RFC 5869) from bytes that only the store can bring back.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge.errors import SetupError

MAX_NAME_LENGTH = 64
"""Names become labels in tokens; PKCS#11 sets no limit, small cards do."""
MAX_SECRET_BYTES = 64
"""Stores wrap keys, never data: two 256-bit keys are the most that anything needs."""
MAX_LABEL_BYTES = 128
"""A label is a short constant in the code."""
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_SEALED_BYTES = 512
"""The largest head (48 bytes), nonce, secret and tag stay far below it."""

_NAME = re.compile(rf"[a-z0-9.-]{{1,{MAX_NAME_LENGTH}}}")


def check_name(name: str) -> None:
    """Raises:
    ValueError: no key may have this name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a key's name is 1 to {MAX_NAME_LENGTH} of a-z, 0-9, - and .")


def check_label(label: str) -> None:
    """Raises:
    ValueError: nothing may be wrapped under this label.
    """
    if not 1 <= len(label.encode()) <= MAX_LABEL_BYTES:
        raise ValueError(f"a label has 1 to {MAX_LABEL_BYTES} bytes")


def derive_key(material: bytes, *, info: str) -> bytes:
    """Return the 32-byte key that ``material`` gives for the purpose ``info``."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info.encode()).derive(material)


def seal_secret(secret: bytes, *, key: bytes, magic: bytes, head: bytes, label: str) -> bytes:
    """Return the sealed form of ``secret``.

    Raises:
        ValueError: the secret or the label is not of an allowed length.
    """
    if not 1 <= len(secret) <= MAX_SECRET_BYTES:
        raise ValueError(f"a secret has 1 to {MAX_SECRET_BYTES} bytes")
    check_label(label)
    front = magic + head
    nonce = secrets.token_bytes(NONCE_BYTES)
    return front + nonce + AESGCM(key).encrypt(nonce, secret, front + label.encode())


def parse_head(sealed: bytes, *, magic: bytes, head_bytes: int) -> bytes:
    """Return the head of a sealed form.

    Raises:
        SetupError: KEY_UNREADABLE, it is not one of this store.
    """
    least = len(magic) + head_bytes + NONCE_BYTES + 1 + TAG_BYTES
    if not least <= len(sealed) <= MAX_SEALED_BYTES or not sealed.startswith(magic):
        raise wrapped_unreadable()
    return sealed[len(magic) : len(magic) + head_bytes]


def unseal_secret(sealed: bytes, *, key: bytes, magic: bytes, head_bytes: int, label: str) -> bytes:
    """Return the secret.

    Raises:
        SetupError: KEY_UNREADABLE, for whichever reason it does not open.
    """
    check_label(label)
    parse_head(sealed, magic=magic, head_bytes=head_bytes)
    split = len(magic) + head_bytes
    front, rest = sealed[:split], sealed[split:]
    try:
        return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], front + label.encode())
    except InvalidTag:
        raise wrapped_unreadable() from None


def wrapped_unreadable() -> SetupError:
    """A sealed form that does not open; why is not told apart, since the AEAD does not."""
    return SetupError(
        "KEY_UNREADABLE",
        "A wrapped key cannot be opened on this device.",
        hint="It is damaged, was made on another device or for another use, or its wrapping was destroyed: "
        "restore the device's folder and key store together, or enrol the device anew.",
    )


def key_exists(where: str) -> SetupError:
    """``where``: the place in words, a path or a label."""
    return SetupError(
        "KEY_EXISTS",
        f"There is a key at {where} already.",
        hint="Keys are never overwritten: move the old one away first.",
    )


def key_missing(where: str) -> SetupError:
    """``where``: the place in words, a path or a label."""
    return SetupError(
        "KEY_MISSING",
        f"The key {where} is missing.",
        hint="Restore it from where it was, or enrol the device anew.",
    )


def key_unreadable(where: str, why: str) -> SetupError:
    """``where``: the place in words; ``why``: the end of a sentence."""
    return SetupError(
        "KEY_UNREADABLE",
        f"The key {where} cannot be used: {why}.",
        hint="Restore it from where it was, or enrol the device anew.",
    )


def key_unwritable(path: Path, error: OSError) -> SetupError:
    """``error``: what the system said."""
    return SetupError(
        "KEY_UNWRITABLE",
        f"The key file {path} cannot be written: {error.strerror or error}.",
        hint="Check that the folder exists, belongs to you and has space.",
    )


def store_away(what: str, why: str, *, hint: str) -> SetupError:
    """``what`` the hardware is called. A device with keys in hardware never falls back to software."""
    return SetupError("KEY_STORE_AWAY", f"{what} is not there: {why}.", hint=hint)
