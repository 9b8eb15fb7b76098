"""Checkpoints of the log: C2SP tlog-checkpoint bodies in C2SP signed notes, with Ed25519.

<origin>\\n<size>\\n<base64 root>\\n[more lines]\\n\\n— <name> <base64(key id || signature)>\\n...
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from verifield.errors import Forged, Malformed
from verifield.merkle import HASH_BYTES, MAX_TREE_SIZE

MAX_NOTE_BYTES = 16 * 1024
"""A checkpoint with a hundred witness signatures of 100 to 150 bytes."""

MAX_NOTE_SIGNATURES = 100
"""As in the reference implementation of signed notes."""

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_NAME = re.compile(r"[^\s+]{1,128}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a log: ``root`` (32 bytes) over its first ``size`` leaves. ``origin`` names log and key."""

    origin: str
    size: int
    root: bytes


def sign_checkpoint(checkpoint: Checkpoint, *, key: Ed25519PrivateKey) -> str:
    """Return the signed note; the key's name is the checkpoint's origin."""
    body = f"{checkpoint.origin}\n{checkpoint.size}\n{_encode64(checkpoint.root)}\n"
    signature = _key_id(checkpoint.origin, key.public_key()) + key.sign(body.encode())
    text = f"{body}\n— {checkpoint.origin} {_encode64(signature)}\n"
    parse_checkpoint(text)
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Parse a signed checkpoint without checking any signature.

    Raises:
        Malformed: not a signed note with a checkpoint in it.
    """
    body, _ = _split_note(text)
    lines = body.split("\n")
    named = _NAME.fullmatch(lines[0]) and lines[0].isprintable()
    if len(lines) < 4 or not named or not _SIZE.fullmatch(lines[1]):
        raise _malformed("its body is not origin, size and root")
    size, root = int(lines[1]), _decode64(lines[2])
    if size > MAX_TREE_SIZE or len(root) != HASH_BYTES:
        raise _malformed("its size or its root is out of range")
    return Checkpoint(lines[0], size, root)


def check_checkpoint(text: str, *, key: Ed25519PublicKey) -> Checkpoint:
    """Return the checkpoint if ``key`` signed it under its origin's name; other signatures are ignored.

    Raises:
        Malformed: not a signed checkpoint.
        Forged: ``key`` did not sign it, or a signature that names ``key`` does not hold.
    """
    checkpoint = parse_checkpoint(text)
    body, signatures = _split_note(text)
    expected = _key_id(checkpoint.origin, key)
    found = False
    for name, blob in signatures:
        if name != checkpoint.origin or blob[:_KEY_ID_BYTES] != expected:
            continue
        try:
            key.verify(blob[_KEY_ID_BYTES:], body.encode())
        except InvalidSignature as error:
            raise Forged(
                "CHECKPOINT_SIGNATURE", "The signature of the log's checkpoint does not hold."
            ) from error
        found = True
    if not found:
        raise Forged("CHECKPOINT_SIGNATURE", "The log's checkpoint is not signed by the log's key.")
    return checkpoint


def _split_note(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the signed text, which ends with a newline, and (name, key id || signature) of each line."""
    if len(text.encode()) > MAX_NOTE_BYTES:
        raise _malformed(f"it passes {MAX_NOTE_BYTES} bytes")
    if any((ord(char) < 0x20 and char != "\n") or char == "\x7f" for char in text):
        raise _malformed("it has control characters")
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise _malformed("it is not a signed note")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_NOTE_SIGNATURES:
        raise _malformed(f"it has more than {MAX_NOTE_SIGNATURES} signatures")
    signatures = []
    for line in lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            raise _malformed("a signature line is not of the form '— name base64'")
        blob = _decode64(match[2])
        if len(blob) <= _KEY_ID_BYTES:
            raise _malformed("a signature is too short")
        signatures.append((match[1], blob))
    return body + "\n", signatures


def _key_id(name: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:_KEY_ID_BYTES]


def _encode64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode64(text: str) -> bytes:
    """Decode strictly: one text for each value, so that no bit of a note is without effect."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("a base64 text is broken") from error
    if _encode64(data) != text:
        raise _malformed("a base64 text is not canonical")
    return data


def _malformed(why: str) -> Malformed:
    return Malformed("CHECKPOINT", f"The log's checkpoint is malformed: {why}.")
