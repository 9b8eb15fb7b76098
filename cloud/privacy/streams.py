"""Long contents in sealed pieces (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).

    magic (6 bytes) || pieces of 64 KiB, the last one shorter, each with 16 bytes of tag

A piece is bound to its place, and the last one says that it is: what was cut short, put in another order or
taken from elsewhere is refused. The nonces are the pieces' numbers, so a key seals one content, ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud.privacy.sealing import SealBrokenError

PIECE_BYTES = 64 * 1024
"""What is held in memory at once, and known to be good before it is handed out."""

_TAG_BYTES = 16
_COUNTER_BYTES = 11


def seal_pieces(source: IO[bytes], *, key: bytes, magic: bytes) -> Iterator[bytes]:
    """The sealed form of ``source``, piece by piece. ``key``: 32 bytes that seal nothing else."""
    cipher = AESGCM(key)
    yield magic
    number, piece = 0, source.read(PIECE_BYTES)
    while True:
        following = source.read(PIECE_BYTES) if len(piece) == PIECE_BYTES else b""
        yield cipher.encrypt(_nonce(number, last=not following), piece, None)
        if not following:
            return
        number, piece = number + 1, following


def unseal_pieces(source: IO[bytes], *, key: bytes, magic: bytes) -> Iterator[bytes]:
    """What :func:`seal_pieces` sealed; each piece was checked when it is handed out.

    Raises:
        SealBrokenError: changed, cut short, or sealed with another key.
    """
    cipher = AESGCM(key)
    if source.read(len(magic)) != magic:
        raise SealBrokenError("a content is not of the form of sealed ones")
    number, piece = 0, source.read(PIECE_BYTES + _TAG_BYTES)
    while True:
        following = source.read(PIECE_BYTES + _TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), piece, None)
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError("a content was changed, or another key sealed it") from error
        if not following:
            return
        number, piece = number + 1, following


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_BYTES, "big") + bytes([last])
