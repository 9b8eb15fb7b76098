"""Files that belong to a record: encrypted to the service before they touch the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from edge.answers import PrivateField
from verifield.media import encrypt_media


@dataclass(frozen=True, slots=True)
class SealedMedia:
    """One file. ``content``: as it was, for the commitment alone. ``data``: encrypted; all that is stored."""

    name: str
    content: bytes = field(repr=False)
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> bytes:
        """Digest of the encrypted file, which is its name."""
        return hashlib.sha256(self.data).digest()


def seal_media(files: tuple[PrivateField, ...], *, recipient_key: bytes) -> tuple[SealedMedia, ...]:
    """Encrypt each file to ``recipient_key`` (X25519, 32 bytes): this device cannot read it back.

    Raises:
        verifield.errors.Malformed: a file is empty or too large, or the key is not one.
    """
    return tuple(
        SealedMedia(item.name, item.value, encrypt_media(item.value, recipient_key=recipient_key))
        for item in files
    )
