"""Delivery by hand: the file that a device writes on a stick, and the one that the service writes back.

    file  = MAGIC *frame
    frame = length (4 bytes, big-endian) serialised TransferFrame

A device's file begins with the frame of its signed manifest, which holds the number and the digest
of all bytes behind it. A writer therefore writes its frames to a spool file first, and measures them
with :func:`frames_digest`; a reader measures what lies behind the manifest in the same way. The service's
answer ends with a seal, which holds the same of all frames before it: who carries the file changes nothing.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from cryptography import x509

from verifield.certificates import Purpose, check_chain
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.errors import Forged, Malformed
from verifield.profile import device_id_of
from verifield.rules import DIGEST_BYTES, MAX_COUNTER, check_device_id, check_uuid7
from verifield.signed import check_signed
from verifield.v1.transfer_pb2 import AnswerManifest, AnswerSeal, TransferFrame, TransferManifest
from verifield.wire import check_all_known, parse_message, parse_time

TRANSFER_TYPE = "application/vnd.verifield.transfer.v1+protobuf"
ANSWER_TYPE = "application/vnd.verifield.transfer-answer.v1+protobuf"

MAGIC = b"VERIFIELD-TRANSFER-1\n"

MAX_FRAME_BYTES = 4 * 1024 * 1024
"""A batch of 2 MiB, 16 damaged records of 64 KiB, certificates, and room."""

MAX_FRAMES = 65_536
"""Four times as many chunks of media as the largest file can hold."""

MAX_TRANSFER_BYTES = 2**32 - 1
"""The largest file on a stick formatted with FAT32."""

MAX_CURSOR_CHARS = 256
"""A cursor is the service's own word; it needs a few dozen characters."""

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class FramesDigest:
    """How many frames, and SHA-256 of their bytes as they stand in the file, lengths included."""

    frames: int
    sha256: bytes


def write_frame(file: BinaryIO, frame: TransferFrame) -> int:
    """Write one frame at the file's position and return the number of its bytes; MAGIC is the caller's.

    Raises:
        Malformed: the frame is empty or too large.
        Unknown: it has a field that this version does not know.
    """
    check_all_known(frame, what="transfer frame")
    _check_frame(frame)
    data = frame.SerializeToString(deterministic=True)
    if len(data) > MAX_FRAME_BYTES:
        raise Malformed("FRAME", f"A frame must have at most {MAX_FRAME_BYTES} bytes.")
    file.write(_LENGTH.pack(len(data)) + data)
    return _LENGTH.size + len(data)


def read_frames(file: BinaryIO) -> Iterator[TransferFrame]:
    """Read MAGIC and then frame by frame to the end of the file, never more than one at a time.

    After each frame the file stands right behind it.

    Raises:
        Malformed: not a transfer file, cut short, past a limit, or with a manifest that is not first.
        Unknown: a frame of a newer version.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise _no_transfer()
    for number, data in enumerate(_read_lengths(file)):
        frame = parse_message(
            TransferFrame, data[_LENGTH.size :], what="transfer frame", max_bytes=MAX_FRAME_BYTES
        )
        _check_frame(frame)
        if number and frame.HasField("manifest"):
            raise Malformed("FRAME", "The transfer file has a manifest that is not its first frame.")
        yield frame


def frames_digest(file: BinaryIO) -> FramesDigest:
    """Measure the frames from the file's position to its end.

    Raises:
        Malformed: cut short, or past a limit.
    """
    digest, count = hashlib.sha256(), 0
    for data in _read_lengths(file):
        digest.update(data)
        count += 1
    return FramesDigest(count, digest.digest())


def read_seal(file: BinaryIO) -> tuple[FramesDigest, AnswerSeal]:
    """Read MAGIC, measure all frames of an answer but the last, and return that one.

    Raises:
        Malformed: cut short, past a limit, or it does not end with a seal.
        Unknown: the last frame is of a newer version.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise _no_transfer()
    digest, count, last = hashlib.sha256(), -1, b""
    for data in _read_lengths(file):
        digest.update(last)
        count, last = count + 1, data
    frame = parse_message(
        TransferFrame, last[_LENGTH.size :], what="transfer frame", max_bytes=MAX_FRAME_BYTES
    )
    if not frame.HasField("seal"):
        raise Malformed("SEAL", "The answer does not end with the service's seal.")
    return FramesDigest(count, digest.digest()), frame.seal


def encode_answer_manifest(manifest: AnswerManifest) -> bytes:
    """Return the bytes to sign for a seal.

    Raises:
        Malformed, Unknown: it breaks a rule that :func:`check_seal` would refuse.
    """
    check_all_known(manifest, what="answer manifest")
    _check_answer_shape(manifest)
    return manifest.SerializeToString(deterministic=True)


def check_seal(
    seal: AnswerSeal, *, roots: Sequence[x509.Certificate], found: FramesDigest, answered: TransferManifest
) -> datetime:
    """Check that the service wrote the frames that were ``found``, in answer to that file; return when.

    Raises:
        Malformed: not a seal, or a certificate is damaged.
        Forged: not signed by the first certificate's key, of other frames, or in answer to another file.
        Untrusted: nothing valid leads from the certificate to a root.
        Unknown: of another type or version.
    """
    chain = tuple(seal.certificates)
    payload = check_signed(
        seal.envelope, payload_type=ANSWER_TYPE, certificates=chain, what="seal of the answer"
    )
    manifest = parse_message(AnswerManifest, payload, what="answer manifest", max_bytes=MAX_ENVELOPE_BYTES)
    _check_answer_shape(manifest)
    written = parse_time(manifest.server_time, what="answer's time")
    check_chain(chain, roots=roots, at=written, purpose=Purpose.POLICY)
    if (manifest.device_id, manifest.transfer_id) != (answered.device_id, answered.transfer_id):
        raise Forged("SEAL", "The seal is of the answer to another file.")
    if FramesDigest(manifest.frames, manifest.frames_sha256) != found:
        raise Forged("SEAL", "The frames are not those that the service has sealed.")
    return written


def encode_manifest(manifest: TransferManifest) -> bytes:
    """Return the bytes to sign; the same manifest always gives the same bytes.

    Raises:
        Malformed, Unknown: it breaks a rule that :func:`check_manifest` would refuse.
    """
    check_all_known(manifest, what="transfer manifest")
    _check_shape(manifest)
    return manifest.SerializeToString(deterministic=True)


def check_manifest(
    envelope: bytes, *, certificates: Sequence[bytes], roots: Sequence[x509.Certificate], at: datetime
) -> TransferManifest:
    """Check a manifest's envelope against the device's attestation certificates, valid ``at`` that time.

    Whether the frames are those that it names is for the caller to check, with :func:`frames_digest`.

    Raises:
        Malformed: not a manifest, or a certificate is damaged.
        Forged: not signed by the first certificate's key, or in the name of another device.
        Untrusted: nothing valid leads from the certificate to a root.
        Unknown: of another type or version.
    """
    payload = check_signed(
        envelope, payload_type=TRANSFER_TYPE, certificates=certificates, what="transfer manifest"
    )
    manifest = parse_message(
        TransferManifest, payload, what="transfer manifest", max_bytes=MAX_ENVELOPE_BYTES
    )
    _check_shape(manifest)
    leaf = check_chain(certificates, roots=roots, at=at, purpose=Purpose.ATTESTATION)
    if device_id_of(leaf) != manifest.device_id:
        raise Forged("DEVICE", "The manifest names another device than the certificate of its key.")
    return manifest


def _check_shape(manifest: TransferManifest) -> None:
    check_device_id(manifest.device_id)
    check_uuid7(manifest.transfer_id, what="transfer_id")
    parse_time(manifest.wall_time, what="manifest's wall time")
    sound = (
        manifest.HasField("wall_time")
        and manifest.frames <= MAX_FRAMES
        and len(manifest.frames_sha256) == DIGEST_BYTES
        and manifest.records <= MAX_COUNTER
        and len(manifest.pull_cursor) <= MAX_CURSOR_CHARS
    )
    if not sound:
        raise Malformed("MANIFEST", "The transfer manifest lacks its time or digest, or passes a limit.")


def _check_answer_shape(manifest: AnswerManifest) -> None:
    check_device_id(manifest.device_id)
    check_uuid7(manifest.transfer_id, what="transfer_id")
    parse_time(manifest.server_time, what="answer's time")
    sound = (
        manifest.HasField("server_time")
        and manifest.frames <= MAX_FRAMES
        and len(manifest.frames_sha256) == DIGEST_BYTES
    )
    if not sound:
        raise Malformed("SEAL", "The seal lacks its time or digest, or passes a limit.")


def _check_frame(frame: TransferFrame) -> None:
    if frame.WhichOneof("content") is None:
        raise Malformed("FRAME", "A frame of the transfer file is empty.")


def _read_lengths(file: BinaryIO) -> Iterator[bytes]:
    """Yield each frame with its length in front, until the file ends behind one."""
    total = count = 0
    while header := file.read(_LENGTH.size):
        if len(header) < _LENGTH.size:
            raise _cut_short()
        (length,) = _LENGTH.unpack(header)
        total, count = total + len(header) + length, count + 1
        if not 0 < length <= MAX_FRAME_BYTES or count > MAX_FRAMES + 1 or total > MAX_TRANSFER_BYTES:
            raise Malformed("FRAME", "A frame of the transfer file, or the file itself, passes a limit.")
        body = file.read(length)
        if len(body) < length:
            raise _cut_short()
        yield header + body


def _no_transfer() -> Malformed:
    return Malformed(
        "NOT_A_TRANSFER", "This is no transfer file.", hint="Choose the file that the device wrote."
    )


def _cut_short() -> Malformed:
    return Malformed(
        "TRANSFER_CUT",
        "The transfer file ends in the middle of a frame.",
        hint="The stick was pulled out too early, or it is damaged: write the file again.",
    )
